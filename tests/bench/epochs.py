"""`python -m tests.bench.epochs`: assigning 20,000 runs to 50 environments and 200 kernel sessions, and
folding them into epochs; and one look for the processes of a kernel.

The aim is 3 s of the processor for assigning and folding, evidence and actions parsed anew, in a fresh
process; and 5 ms for a look.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from collectord.epochs.actions import Actions
from collectord.epochs.assign import Explaining, assign
from collectord.epochs.epochs import fold
from collectord.epochs.observe import environment_of
from collectord.epochs.timeline import Standing, timelines
from collectord.index.runs import DispatchedRun
from collectord.kernel.evidence import executed_json
from collectord.kernel.policy import Surface, normalise
from collectord.kernel.policy.feasible import Executed
from collectord.model import Environment, KernelSession
from collectord.repo.kernel_processes import KernelFinder
from tests.support.environments import kernel, run, seen, shows

RUNS, ENVIRONMENTS, SESSIONS, AIM_S = 20_000, 50, 200, 3.0
STEP_MS = 1000
LOOK_AIM_MS = 5.0
RISKS, SIZES = ("low", "medium", "high", "critical"), ("XS", "S", "M", "L", "XL")


def _surface(number: int) -> Surface:
    """A policy of a dozen rules; each environment has another timeout and another width."""
    config: dict[str, Any] = {
        "toolchain_priority": ["codex", "claude", "opencode"],
        "toolchains": {
            "codex": {"model": "m1", "timeout_seconds": 1800 + 60 * number},
            "claude": {},
            "opencode": {},
        },
        "routing": {
            "rules": [
                {
                    "match": {"dk_risk": "critical"},
                    "speculate": True,
                    "parallelism": 2 + number % 2,
                    "use": ["codex", "claude", "opencode"],
                },
                *(
                    {"match": {"tags_any": [f"tag{n}"], "dk_size": SIZES[n % 5]}, "use": ["claude"]}
                    for n in range(10)
                ),
                {"match": {}, "use": ["codex"]},
            ]
        },
    }
    return normalise(config)


def _run(number: int, dice: random.Random) -> DispatchedRun:
    """A tenth are stale, a tenth of another toolchain, some unexplained; issues of 1,000 kinds."""
    had = max(0, number * ENVIRONMENTS // RUNS - dice.choice([0] * 8 + [1, 7]))
    kind, risk = dice.random(), dice.choice(RISKS)
    toolchain, evidence = (
        "codex",
        shows(timeout=1800 + 60 * had, control_mode=dice.choice(["disabled", None])),
    )
    if kind < 0.1:
        toolchain, evidence = "claude", shows("claude", "opus", 1800)
    elif kind < 0.11:
        evidence = shows(model="unknown", timeout=dice.randrange(1, 40))
    swarm, width = ("speculate_vote", 2 + had % 2) if risk == "critical" else ("serial_handoff", 1)
    tags = (f"tag{dice.randrange(10)}", f"area{dice.randrange(20)}")
    available = ("claude", "codex", "opencode")
    executed = Executed(swarm, width, toolchain, risk, dice.choice(SIZES), None, tags, available)
    made = run(STEP_MS + number * STEP_MS, evidence, f"wc-{number:06d}")
    return DispatchedRun(
        made.kind, made.name, made.run_id, made.started_ms, evidence, executed_json(executed), None, False
    )


def _sessions() -> list[KernelSession]:
    """Half of the time no kernel was seen, so that as many runs go by evidence."""
    length = RUNS * STEP_MS // SESSIONS
    spans = [(number * length, number * length + length // 2) for number in range(SESSIONS)]
    return [kernel(start, end - 10, end, pid=number) for number, (start, end) in enumerate(spans, 1)]


def measure() -> tuple[float, int]:
    """Seconds of the processor, and how many epochs there were."""
    dice = random.Random(1)
    runs = [_run(number, dice) for number in range(RUNS)]
    dice.shuffle(runs)
    made: list[Environment] = [environment_of(_surface(number)) for number in range(ENVIRONMENTS)]
    length = RUNS // ENVIRONMENTS * STEP_MS
    looks = [seen(environment.fingerprint, i * length) for i, environment in enumerate(made)]
    sessions = _sessions()
    begun = time.process_time()
    standing = Standing(timelines(looks), {e.fingerprint: e for e in made}, sessions)
    found = fold(assign(runs, Explaining(standing, Actions())).runs, standing, [])
    return time.process_time() - begun, len(found.epochs)


def measure_look(looks: int = 50) -> float:
    """Milliseconds of the processor of one look for processes, once most are known to be none."""
    with TemporaryDirectory() as repo:
        finder = KernelFinder(Path(repo))
        finder.look(0)
        begun = time.process_time()
        for _ in range(looks):
            finder.look(0)
        return (time.process_time() - begun) * 1000 / looks


def main() -> None:
    """Print each figure beside its aim."""
    seconds, epochs = measure()
    said = "met" if seconds < AIM_S else "MISSED"
    what = f"{RUNS} runs × {ENVIRONMENTS} environments × {SESSIONS} sessions"
    print(f"{what}: {seconds:.2f} s → {epochs} epochs (aim {AIM_S} s: {said})")
    look = measure_look()
    said = "met" if look < LOOK_AIM_MS else "MISSED"
    print(f"a look for processes: {look:.1f} ms (aim {LOOK_AIM_MS} ms: {said})")


if __name__ == "__main__":
    main()
