"""`python -m tests.bench.environment`: the fingerprint of a repo of real size, when nothing changed and when
everything is read again.

The floor is a stat and a read of every file that the answer depends on, and its sha256.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from collectord.epochs.drift import compare
from collectord.epochs.fingerprint import fingerprint
from collectord.repo.policy import PolicyReader, WorkingTree
from tests.support.trees import BASE_CONFIG, CONFIG, UNIVERSE, UNIVERSE_TEXT, report

GENOMES = 200
UNCHANGED_AIM_MS = 50
_REPEAT = 20
_LATER_NS = 10**20
_TOOLCHAINS = ("codex", "claude", "opencode", "crush")
_DOMAINS = ("code", "fab_asset")


def make_repo(root: Path, genomes: int = GENOMES) -> None:
    """A repo with as many genomes of a few KiB, a frontier over all of them, a universe and a report."""
    items = []
    for number in range(genomes):
        pair = f"{_DOMAINS[number % 2]}/{_TOOLCHAINS[number // 2 % 4]}"
        body = {
            "genome_id": f"g{number:03}",
            "system_prompt": f"Genome {number}. " + "Work with care. " * 200,
        }
        _put(root, f"prompts/{pair}/g{number:03}.yaml", yaml.safe_dump(body))
        items.append({"genome_id": f"g{number:03}", "pass_rate": number % 17 / 17, "cost": number % 5})
    frontier = {"objectives": {"pass_rate": "max", "cost": "min"}, "items": items}
    _put(root, "prompts/frontier.json", json.dumps(frontier, indent=2))
    _put(root, CONFIG, BASE_CONFIG)
    _put(root, UNIVERSE, UNIVERSE_TEXT)
    _put(root, "src/main.py", "")
    _put(root, ".cyntra/dynamics/dynamics_report.json", report(0.3, code=0.05))


def _put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def _timed_ms(work: Callable[[], object]) -> float:
    """Processor time of this process: the machine may be busy with other things."""
    begun = time.process_time()
    work()
    return 1000 * (time.process_time() - begun)


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of a step and of its floor, each measured in turns."""

    step: str
    ours_ms: tuple[float, ...]
    floor_ms: tuple[float, ...]
    said: str


def measure(root: Path) -> list[Timed]:
    """The three figures, each with its floor."""
    warm = PolicyReader(WorkingTree(root))
    before = warm.read(_LATER_NS)
    files = [root / path for path in warm.paths() if (root / path).is_file()]

    def first() -> object:
        return fingerprint(PolicyReader(WorkingTree(root)).read(_LATER_NS))

    def again() -> object:
        return fingerprint(warm.read(_LATER_NS))

    def floor() -> object:
        return [(path.stat(), hashlib.sha256(path.read_bytes())) for path in files]

    _put(root, CONFIG, BASE_CONFIG.replace("parallelism: 3", "parallelism: 2"))
    after = PolicyReader(WorkingTree(root)).read(_LATER_NS)
    _put(root, CONFIG, BASE_CONFIG)
    warm.read(_LATER_NS)
    said = f"{GENOMES} genomes, {len(warm.paths())} paths looked at"
    return [
        _figure("fingerprint, nothing changed", again, floor, f"{said}; aim: {UNCHANGED_AIM_MS} ms"),
        _figure("fingerprint, all read again", first, floor, said),
        _figure("drift of one change, told by issue", lambda: compare(before, after), floor, said),
    ]


def _figure(step: str, ours: Callable[[], object], floor: Callable[[], object], said: str) -> Timed:
    pairs = [(_timed_ms(floor), _timed_ms(ours)) for _ in range(_REPEAT)]
    return Timed(step, tuple(own for _, own in pairs), tuple(low for low, _ in pairs), said)


def _line(timed: Timed) -> str:
    ours, floor = timed.ours_ms, statistics.median(timed.floor_ms)
    times = f"{statistics.median(ours):7.2f} ms ({min(ours):.2f}–{max(ours):.2f})"
    return f"{timed.step:<38} {times}, floor {floor:.2f} ms; {timed.said}"


def main() -> int:
    """Print the figures; exit 1 where an unchanged repo takes longer than the aim."""
    with tempfile.TemporaryDirectory() as scratch:
        make_repo(Path(scratch))
        figures = measure(Path(scratch))
    for figure in figures:
        print(_line(figure))
    return 0 if statistics.median(figures[0].ours_ms) < UNCHANGED_AIM_MS else 1


if __name__ == "__main__":
    sys.exit(main())
