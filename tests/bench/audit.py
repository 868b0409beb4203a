"""`python -m tests.bench.audit REPO`: the audit of a repo that is ingested, first and from what was kept.

Prints CPU and wall seconds of the whole command as a process of its own, with and without the page.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(repo: str, *more: str) -> tuple[float, float, dict[str, object]]:
    """(CPU seconds, wall seconds, the document) of one audit over everything."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    argv = [sys.executable, "-m", "collectord", "--repo", repo, "audit", "--since", "52w", "--json", *more]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, json.loads(done.stdout)


def main(repo: str) -> int:
    """One line a step."""
    kept = Path(repo) / ".cyntra/state/collectord/cache/audit.json.z"
    kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = str(Path(folder) / "audit.html")
        for step, more in (("first audit", ()), ("audit again", ()), ("audit again, page", ("--html", page))):
            cpu, wall, found = timed(repo, *more)
            print(f"{step}: {found['runs']} runs, {cpu:.1f} s CPU, {wall:.1f} s wall")
        print(f"kept {kept.stat().st_size / 2**20:.1f} MiB, page {Path(page).stat().st_size / 2**20:.2f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
