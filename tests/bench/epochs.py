"""`python -m tests.bench.epochs`: assigning 20,000 runs to 50 environments and folding them into epochs.

The aim is 2 s of the processor for both together, the evidence parsed anew, in a fresh process.
"""

from __future__ import annotations

import random
import time

from collectord.environment.assign import DispatchedRun, Explaining, assign
from collectord.environment.epochs import fold
from collectord.environment.expected import facts_of
from collectord.environment.timeline import timeline
from tests.support.environments import components, run, seen, shows

RUNS, ENVIRONMENTS, AIM_S = 20_000, 50, 2.0
STEP_MS = 1000


def made(runs: int = RUNS, environments: int = ENVIRONMENTS) -> tuple[list[DispatchedRun], list[str]]:
    """Runs over all environments: a tenth stale, a tenth of the other toolchain, some unexplained."""
    dice = random.Random(1)
    names = [f"e{number:02d}" for number in range(environments)]
    found = []
    for i in range(runs):
        current = i * environments // runs
        had = max(0, current - dice.choice([0] * 8 + [1, 7]))
        kind = dice.random()
        if kind < 0.1:
            text = shows("claude", "opus")
        elif kind < 0.11:
            text = shows(model="unknown", timeout=dice.randrange(1, 40))
        else:
            text = shows(
                timeout=1800 + 60 * had, prompt_genome_id=None, control_mode=dice.choice(["trap", None])
            )
        found.append(run(STEP_MS + i * STEP_MS, text, f"wc-{i:06d}"))
    dice.shuffle(found)
    return found, names


def measure() -> tuple[float, int]:
    """Seconds of the processor, and how many epochs there were."""
    runs, names = made()
    looks = [seen(name, i * (RUNS // ENVIRONMENTS) * STEP_MS) for i, name in enumerate(names)]
    facts = {name: facts_of(components(timeout=1800 + 60 * i)) for i, name in enumerate(names)}
    begun = time.process_time()
    stretches = timeline(looks)
    found = fold(assign(runs, Explaining(stretches, facts)).runs, stretches, [])
    return time.process_time() - begun, len(found.epochs)


def main() -> None:
    """Print the figure beside its aim."""
    seconds, epochs = measure()
    said = "met" if seconds < AIM_S else "MISSED"
    figure = f"{RUNS} runs × {ENVIRONMENTS} environments: {seconds:.2f} s → {epochs} epochs"
    print(f"{figure} (aim {AIM_S} s: {said})")


if __name__ == "__main__":
    main()
