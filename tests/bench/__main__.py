"""`python -m tests.bench`: figures with a floor beside each, for archives of the real shape."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path

from tests.bench import page
from tests.bench.figures import Figure
from tests.bench.machine import describe
from tests.bench.processes import run_task
from tests.bench.steps import Bench
from tests.bench.tasks import FOR_AUDIT, FOR_EXPORT, FOR_INGEST

GROUPS = ("ingest", "dispatch", "one-new", "builder", "audit", "older", "start")
NOTES = "## What the misses are, and where the time goes"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--sizes", default="1000,5000,20000", help="archives, comma-separated")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"of {','.join(GROUPS)}")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each figure; the median counts")
    kept = Path(tempfile.gettempdir()) / f"collectord-bench-{os.getuid()}"
    parser.add_argument(
        "--scratch", type=Path, default=kept, help="keeps the archives (default: %(default)s)"
    )
    parser.add_argument("--write", type=Path, help="a page to write; what stands under its notes is kept")
    asked = parser.parse_args()
    asked.groups = set(asked.only.split(","))
    if unknown := asked.groups - set(GROUPS):
        parser.error(f"--only: {', '.join(sorted(unknown))}: not one of {', '.join(GROUPS)}")
    return asked


def _notes_of(path: Path) -> str:
    """The notes that somebody wrote under the figures stay where they are."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    _, heading, notes = text.partition(NOTES)
    return heading + notes


def main() -> None:
    """Measure, print, and write the page if asked to."""
    if sys.argv[1:2] == ["daemon"]:
        from tests.bench import daemon

        daemon.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["fleet"]:
        from tests.bench import fleet

        del sys.argv[1]
        fleet.main()
        return
    asked = _arguments()
    asked.scratch.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []

    def note(figure: Figure) -> None:
        figures.append(figure)
        print(page.line(figure), flush=True)

    run_task("imports", *FOR_INGEST, *FOR_EXPORT, *FOR_AUDIT)
    machine = describe(asked.scratch)
    print(machine, flush=True)
    for size in map(int, asked.sizes.split(",")):
        Bench(asked.scratch.resolve(), size, asked.repeat, note).run(asked.groups)
    print(*page.verdict_lines(figures), sep="\n")
    if asked.write:
        command = shlex.join(["./dev", "bench", *sys.argv[1:]])
        notes = _notes_of(asked.write)
        text = page.page(figures, machine=machine, command=command, repeat=asked.repeat, notes=notes)
        asked.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
