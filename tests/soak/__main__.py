"""`./dev soak`: the daemon is killed 2,000 times while 10,000 archives land, half of its starts real ones.

`./dev soak drift` measures how often the drift test says drift instead. `./dev soak exports` holds exports
that take what did not change from the one before against exports from nothing, over random histories.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.support.storm import rage
from tests.support.warm import Nursery

# So many kills on one repo, then everything is held together and the next repo begins.
KILLS_A_REPO = 200


def main() -> None:
    """Storms on one repo after the other until all kills are done; stops at the first thing found."""
    if sys.argv[1:2] == ["drift"]:
        from tests.support import drift_rates

        sys.exit(drift_rates.main())
    if sys.argv[1:2] == ["exports"]:
        from tests.support import export_histories

        export_histories.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--archives-per-kill", type=int, default=5)
    parser.add_argument("--cold-share", type=float, default=0.5, help="of starts that are real command lines")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    done = 0
    with Nursery() as nursery:
        while done < asked.kills:
            kills = min(KILLS_A_REPO, asked.kills - done)
            begun, seed = time.monotonic(), f"{asked.seed} {done}"
            with tempfile.TemporaryDirectory(prefix="collectord-soak-") as folder:
                storm = rage(
                    Path(folder) / "repo",
                    nursery,
                    random.Random(seed),
                    kills=kills,
                    archives=kills * asked.archives_per_kill,
                    cold_share=asked.cold_share,
                )
            done += kills
            took = time.monotonic() - begun
            print(f"{done} of {asked.kills} kills (seed {seed!r}, {took:.0f} s): {storm}", flush=True)


if __name__ == "__main__":
    main()
