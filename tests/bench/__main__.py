"""`./dev bench`: what people wait for, beside an earlier commit and beside peers, in one run."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import Figure, growth_table, row, table
from tests.bench.machine import describe
from tests.bench.processes import ROOT, python, tree_at
from tests.bench.waits import GROUPS, LARGE, Tree, Waits
from tests.support.archives import kept_repo

NOTES = "## Where the time goes"
LARGER = """Each once, this commit alone; growth 1.00 is linear. The aims: linear, a daemon below 250 MiB, an
export after one new run below 6 s."""
PAGE = """# Benchmarks

Written by `{command}`. Machine: {machine}.

What people wait for, in seconds of processor time (user and system) of the whole process, start-up
included: the median of {repeat} runs. "Before" is commit {before}, measured in turns with today's files on
the same archives; the ratio is of each pair, with its smallest and largest. What stands beside does the same
work by other means, or the least of it, in the same turns. Processor time, because what else the machine
does hides in seconds.

The archives are made (`tests/support/archives.py`), of the shape of a real kernel's: recorded inputs with 8
history entries, issues that come back, one run in six failed, one in twenty timed out without a proof, a run
every 13 minutes. The page cache is warm. The audit is over all runs.

{tables}

{notes}
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--archives", type=int, default=20000)
    parser.add_argument(
        "--large", type=int, help="so many too: how the first steps grow, with this tree alone"
    )
    parser.add_argument("--against", help="an earlier commit, measured in turns with the files of today")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"of {','.join(GROUPS)}")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each; the median counts")
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
    return (heading + notes).rstrip()


def _measured(
    asked: argparse.Namespace, size: int, against: str | None, repeat: int, groups: set[str]
) -> list[Figure]:
    figures: list[Figure] = []

    def note(figure: Figure) -> None:
        figures.append(figure)
        print(f"{size:>7,}  {'  '.join(filter(None, row(figure)))}", flush=True)

    scratch = asked.scratch.resolve()
    work = Path(tempfile.mkdtemp(prefix=f"work-{size}-", dir=scratch))
    try:
        kept = kept_repo(scratch, size)
        roots = [ROOT, *([tree_at(against, scratch)] if against else [])]
        trees = [Tree.made(root, work / str(number), kept.repo) for number, root in enumerate(roots)]
        for tree in trees:
            tree.command("--help").run()  # compiles what is not compiled yet
        Waits(kept, trees, repeat, note, with_peers=size == asked.archives).run(groups)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return figures


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
    machine = describe(asked.scratch)
    print(machine, flush=True)
    python("-c", "import sqlite3, click").run()
    figures = _measured(asked, asked.archives, asked.against, asked.repeat, asked.groups)
    tables = f"## {asked.archives:,} archives\n\n{table(figures)}"
    if asked.large:
        large = _measured(asked, asked.large, None, 1, asked.groups & LARGE)
        grown = growth_table((asked.archives, asked.large), figures, large)
        print(grown, flush=True)
        tables += f"\n\n## {asked.large:,} archives\n\n{LARGER}\n\n{grown}"
    if asked.write:
        text = PAGE.format(
            command=shlex.join(["./dev", "bench", *sys.argv[1:]]),
            machine=machine,
            repeat=asked.repeat,
            before=asked.against or "(none)",
            tables=tables,
            notes=_notes_of(asked.write),
        )
        asked.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
