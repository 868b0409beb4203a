"""The figures as text: a line as each is found, and the page. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.figures import Figure, verdicts

_INTRO = """# Benchmarks

Written by `{command}`. Machine: {machine}.

Each figure is the median of {repeat} runs (fastest–slowest beside it), each in a process of its own, in
turns with its floor: the same work in a plain Python loop, in a fresh process too. The page cache is warm
on both sides. Seconds are counted from the first import on, so start-up is in ours and not in the floors;
"imports" is that part, the same at every size. "CPU" is processor time, user and system, of ours and of the
floor, over the same span: it says what a busy machine hides. Growth compares the fastest runs.

The archives are made (`tests/support/archives.py`), of the shape of a real kernel's: recorded inputs with
8 history entries, 0 to 5 of 46 unevenly frequent tags, issues that come back, one run in six failed, one in
twenty timed out without a proof, a run every 13 minutes. "Histories rebuilt" is a repo whose manifests hold
no recorded input, as an older kernel leaves them. An audit is the whole document over all runs:
the first reads every manifest and proof in the index, "again" goes by what that one kept. It has no floor.
"""
_HEAD = """| archives | step | seconds | | CPU | imports | floor | × | floor CPU | peak MiB | |
| ---: | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"""


def line(figure: Figure) -> str:
    """One figure for a terminal."""
    floor = f"{figure.floor_seconds:7.3f} s {figure.ratio:6.1f}×" if figure.ratio else " " * 17
    spread = f"{figure.least:.2f}–{figure.most:.2f}"
    peak = f"{figure.peak_mib:4.0f} MiB" if figure.peak_mib else " " * 8
    cpu = f"{figure.cpu:7.2f} CPU" if figure.cpu else " " * 11
    took = f"{figure.seconds:7.2f} s {spread:>13} {cpu} {floor} {peak}"
    return f"{figure.size:>6} {figure.step:<58} {took}  {figure.said}"


def verdict_lines(figures: Sequence[Figure]) -> list[str]:
    """Each aim with its verdict, for a terminal."""
    return [f"{v.what:<72} {v.found:7.2f} {v.unit:<11} aim {v.aim:g}: {v.text}" for v in verdicts(figures)]


def page(figures: Sequence[Figure], *, machine: str, command: str, repeat: int, notes: str) -> str:
    """The whole page; `notes` stand at its end as they are."""
    return "\n".join(
        [
            _INTRO.format(machine=machine, command=command, repeat=repeat),
            _HEAD,
            *map(_row, figures),
            "",
            "## Against the aims",
            "",
            "| what | found | aim | |",
            "| --- | ---: | ---: | --- |",
            *(f"| {v.what} | {v.found:.2f} {v.unit} | {v.aim:g} | {v.text} |" for v in verdicts(figures)),
            "",
            notes,
        ]
    )


def _row(figure: Figure) -> str:
    floor = f"{figure.floor_seconds:.3f} | {figure.ratio:.1f}" if figure.ratio else " | "
    cpu = f"{figure.cpu:.2f}" if figure.cpu else ""
    floor_cpu = f"{figure.floor_cpu:.2f}" if figure.floor_cpu else ""
    spread = f"{figure.least:.2f}–{figure.most:.2f}"
    imports = f"{figure.imports:.2f}" if figure.imports else ""
    peak = f"{figure.peak_mib:.0f}" if figure.peak_mib else ""
    return (
        f"| {figure.size:,} | {figure.step} | {figure.seconds:.2f} | {spread} | {cpu} | {imports} | {floor} "
        f"| {floor_cpu} | {peak} | {figure.said} |"
    )
