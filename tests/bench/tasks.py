"""One measured step, in a process of its own: prints seconds, peak memory and what it did as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

CORE = ("manifest.json", "proof.json", "rollout.json", ".workcell")


def _settings(repo: Path) -> Any:
    from collectord.config import load

    return load(
        repo=repo, config=None, overrides={"settle.min_age": 0}, environ={"HOME": "/nonexistent"}, cwd=repo
    )


def floor_ingest(repo: Path, _rest: list[str]) -> dict[str, Any]:
    """Open, read, json.loads and sha256 of the same core files."""
    count = 0
    for folder in os.scandir(repo / ".cyntra/archives"):
        for name in CORE:
            try:
                with open(f"{folder.path}/{name}", "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                continue
            json.loads(data)
            sha256(data).hexdigest()
        count += 1
    return {"archives": count}


def ingest(repo: Path, _rest: list[str]) -> dict[str, Any]:
    """One pass of collectord."""
    from collectord import app

    return {"outcomes": dict(app.ingest(_settings(repo)).outcomes)}


def export(repo: Path, rest: list[str]) -> dict[str, Any]:
    """One export: profile, n_similar, and where to (or "default")."""
    from collectord import app
    from collectord.export.options import ExportOptions

    profile, n_similar, out = rest
    target = None if out == "default" else Path(out)
    exported = app.export(_settings(repo), ExportOptions(profile, int(n_similar)), out=target)
    return {
        "computed": exported.rows_computed,
        "rows": exported.meta["example_count"],
        "new": exported.is_new,
    }


def floor_export(_repo: Path, rest: list[str]) -> dict[str, Any]:
    """Write, fsync and sha256 of the same bytes; reading them is not counted."""
    data = Path(rest[0]).read_bytes()
    begun = time.perf_counter()
    with open(rest[1], "wb") as file:
        for start in range(0, len(data), 2**20):
            file.write(data[start : start + 2**20])
        file.flush()
        os.fsync(file.fileno())
    sha256(data).hexdigest()
    return {"seconds": time.perf_counter() - begun, "bytes": len(data)}


TASKS: dict[str, Callable[[Path, list[str]], dict[str, Any]]] = {
    "floor_ingest": floor_ingest,
    "ingest": ingest,
    "export": export,
    "floor_export": floor_export,
}


def main() -> None:
    """Run the task that the arguments name."""
    task, repo, *rest = sys.argv[1:]
    begun = time.perf_counter()
    found = TASKS[task](Path(repo), rest)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, **found}))


if __name__ == "__main__":
    main()
