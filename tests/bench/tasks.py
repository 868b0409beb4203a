"""What is measured, one step a process: does it and prints seconds, peak memory and what came of it as JSON.

Our own steps count from the first import on; how long the imports alone took is told beside it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

CORE = ("manifest.json", "proof.json", "rollout.json", ".workcell")
FOR_INGEST = ("collectord.app", "collectord.config", "collectord.intake.ingest")
FOR_EXPORT = ("collectord.app", "collectord.config", "collectord.dataset.exporter")
FOR_AUDIT = ("collectord.audit.report", "collectord.audit.report", "collectord.config")
_CHUNK = 2**20
_YEAR_MS = 365 * 86_400_000
Found = dict[str, Any]


def _settings(repo: str, state: str) -> Any:
    from collectord.config import load

    places = {"paths.state": f"{state}/state", "paths.benches": f"{state}/benches"}
    # A second look at what was written within the last two seconds would be measured as our own work.
    overrides = {**places, "settle.min_age": 0}
    return load(
        repo=Path(repo), config=None, overrides=overrides, environ={"HOME": "/nonexistent"}, cwd=Path(repo)
    )


def make(folder: str, count: str, recorded: str) -> Found:
    """Make the archives, unless they are kept from before."""
    from tests.support.archives import kept_repo

    kept = kept_repo(Path(folder), int(count), recorded=recorded == "recorded")
    return {"repo": str(kept.repo), "spare": str(kept.spare), "spare_place": str(kept.spare_place)}


def floor_ingest(repo: str) -> Found:
    """Open, read, json.loads and sha256 of the core files."""
    size = 0
    for folder in _archives(repo):
        for name in CORE:
            try:
                with open(f"{folder}/{name}", "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                continue
            json.loads(data)
            sha256(data).hexdigest()
            size += len(data)
    return {"bytes": size}


def floor_look(repo: str) -> Found:
    """An lstat of each archive and of each entry in it."""
    count = 0
    for folder in _archives(repo):
        os.lstat(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
    return {"entries": count}


def _archives(repo: str) -> Iterator[str]:
    with os.scandir(f"{repo}/.cyntra/archives") as folders:
        for folder in folders:
            yield folder.path


def floor_export(dataset: str, copy: str) -> Found:
    """Write, fsync and sha256 of the same bytes; reading them first is not counted."""
    data = Path(dataset).read_bytes()
    begun, cpu = time.perf_counter(), _cpu_seconds()
    digest = sha256()
    with open(copy, "wb", buffering=0) as file:
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            file.write(chunk)
            digest.update(chunk)
        os.fsync(file.fileno())
    found = {"seconds": time.perf_counter() - begun, "cpu": _cpu_seconds() - cpu, "bytes": len(data)}
    Path(copy).unlink()
    return found


def _cpu_seconds() -> float:
    """User and system, of this process and of children that ended."""
    return sum(os.times()[:4])


def imports(*modules: str) -> Found:
    """Import what the steps need; run once unmeasured, so that every module's bytecode is there."""
    begun = time.perf_counter()
    for module in modules:
        import_module(module)
    return {"imports": time.perf_counter() - begun}


def ingest(repo: str, state: str) -> Found:
    """One pass of collectord."""
    found = imports(*FOR_INGEST)
    from collectord.intake.ingest import ingest as ingest_now

    return {**found, "outcomes": dict(ingest_now(_settings(repo, state)).outcomes)}


def export(repo: str, state: str, profile: str, n_similar: str, out: str) -> Found:
    """One export; `out` is a directory, or `default` for the dated name."""
    # The tables for pyarrow are another thing than the bytes of the floor, and an extra.
    sys.modules["pyarrow"] = None  # type: ignore[assignment]
    found = imports(*FOR_EXPORT)
    from collectord.dataset.exporter import export as export_now
    from collectord.dataset.row_plan import ExportOptions

    target = None if out == "default" else Path(out)
    exported = export_now(_settings(repo, state), ExportOptions(profile, int(n_similar)), out=target)
    return {
        **found,
        "computed": exported.rows_computed,
        "rows": exported.meta["example_count"],
        "new": exported.is_new,
        "path": str(exported.path),
    }


def audit(repo: str, state: str) -> Found:
    """One audit over everything, as one document."""
    found = imports(*FOR_AUDIT)
    from collectord.audit import report

    return {**found, "runs": report.audit(_settings(repo, state), window_ms=10 * _YEAR_MS).runs}


def audit_page(repo: str, state: str, page: str) -> Found:
    """One audit with its HTML page."""
    found = imports(*FOR_AUDIT)
    from collectord.audit import report

    document = report.audit(_settings(repo, state), window_ms=10 * _YEAR_MS)
    report.write_page(document, Path(page))
    return {**found, "bytes": Path(page).stat().st_size}


TASKS: dict[str, Callable[..., Found]] = {
    task.__name__: task
    for task in (make, floor_ingest, floor_look, floor_export, imports, ingest, export, audit, audit_page)
}


def main() -> None:
    """Run the task that the arguments name."""
    task, *rest = sys.argv[1:]
    begun, cpu = time.perf_counter(), _cpu_seconds()
    found = TASKS[task](*rest)
    spent = {"seconds": time.perf_counter() - begun, "cpu": _cpu_seconds() - cpu}
    # Kilobytes on Linux, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({**spent, "peak_mib": peak, **found}))


if __name__ == "__main__":
    main()
