"""Whether another collectord gives the same: `python -m tests.support.same_as OTHER_PYTHON [KEY ...]`.

OTHER_PYTHON is the interpreter of an environment with the other one, such as `.venv/bin/python` of an older
checkout. Both are run over copies of the golden repos, and each JSON document and each file of a snapshot is
compared. What differs by its nature (times, paths, versions, ids of processes) is left out; a KEY leaves out
that member too. Exit code 1 for a difference.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import unpack

GOLDEN = ("kernel-run", "universe", "worlds", "awkward")
NOT_COMPARED = {
    *("repo", "path", "made_ms", "measured_ms", "looked_ms", "last_ingest_ms", "published_ms", "bytes"),
    *("opened_ms", "first_ms", "last_ms", "closing_ms", "sealed_ms", "index", "exported_ms", "software"),
    *("free_bytes", "since_ms", "at_ms", "from_ms", "to_ms", "disk", "ended_ms", "seen_ms", "generator"),
    *("resolved_ms", "next_ms"),
    *("created_at", "dateModified", "datePublished", "version", "window", "sha256", "contentSize"),
}
EXACT = ("meta.json", "schema.json", "environment.json", "drift.json")
DOCUMENTS = (
    ("ingest", "--json"),
    ("ingest", "--json"),
    ("status", "--json"),
    ("runs", "--json"),
    ("stats", "--json"),
    ("environment", "show", "--json"),
    ("environment", "history", "--json"),
    ("epoch", "list", "--json"),
    ("drift", "list", "--json"),
    ("quarantine", "list", "--json"),
    ("audit", "--since", "500w", "--json"),
    ("export", "--epoch", "all", "--out", "{out}/dispatch", "--json"),
    ("export", "--profile", "builder", "--out", "{out}/builder", "--json"),
    ("verify", "{out}/dispatch", "--rebuild", "--json"),
    ("diff", "{out}/dispatch", "{out}/builder", "--json"),
    ("db", "check", "--json"),
    ("config", "show", "--json"),
    ("prune", "--logs-older-than", "1d", "--dry-run", "--json"),
    ("snapshot", "list", "--json"),
    ("rebuild", "--json"),
)


def document(python: str, folder: Path, repo: Path, arguments: tuple[str, ...]) -> Any:
    """What a command prints, as JSON; else its exit code and what it says."""
    given = [part.replace("{out}", str(folder)) for part in arguments]
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "TZ": "UTC"}
    command = [python, "-m", "collectord", "--repo", str(repo), *given]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"exit": done.returncode, "said": done.stderr}


def plain(value: Any, folder: Path, left_out: set[str]) -> Any:
    """A document without what differs by its nature."""
    if isinstance(value, dict):
        return {k: plain(v, folder, left_out) for k, v in value.items() if k not in left_out}
    if isinstance(value, list):
        return [plain(item, folder, left_out) for item in value]
    return value.replace(str(folder), "") if isinstance(value, str) else value


def snapshot(folder: Path, name: str) -> dict[str, Any]:
    """The files of a snapshot that do not name versions or times: their bytes or documents."""
    found: dict[str, Any] = {}
    for path in sorted(folder.joinpath(name).rglob("*")):
        if path.suffix == ".jsonl" or path.name in EXACT:
            found[path.name] = path.read_bytes().hex()
        elif path.suffix == ".json":
            found[path.name] = json.loads(path.read_text())
        elif path.suffix == ".md":
            found[path.name] = re.sub(r"\d{4}-\d\d-\d\dT\S+|[0-9a-f]{64}", "…", path.read_text())
    return found


def main() -> None:
    """Compare every document over every golden repo."""
    other, left_out = sys.argv[1], NOT_COMPARED | set(sys.argv[2:])
    differing = compared = 0
    for golden in GOLDEN:
        with tempfile.TemporaryDirectory(prefix="same-as-") as name:
            both: list[list[Any]] = []
            for who, python in (("other", other), ("this", sys.executable)):
                folder = Path(name) / who / "place"
                folder.mkdir(parents=True)
                repo = unpack(golden, folder / "repo")
                found = [document(python, folder, repo, arguments) for arguments in DOCUMENTS]
                found += [snapshot(folder, "dispatch"), snapshot(folder, "builder")]
                both.append([plain(one, folder, left_out) for one in found])
            names = [" ".join(arguments) for arguments in DOCUMENTS] + ["dispatch files", "builder files"]
            for what, before, after in zip(names, *both, strict=True):
                compared += 1
                if before != after:
                    differing += 1
                    print(f"{golden}: {what} differs")
                    for key in {*before, *after} if isinstance(before, dict) else ():
                        if before.get(key) != after.get(key):
                            print(f"  {key}: {str(before.get(key))[:300]}\n  → {str(after.get(key))[:300]}")
    print(f"{compared} documents and snapshots compared, {differing} differ")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
