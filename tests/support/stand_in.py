"""A process that looks like a kernel: named `cyntra`, with its command line and its working directory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

# The system tells the start of a process to a hundredth of a second: what is dispatched before and after it
# is kept that far away, as it is by any kernel, whose imports alone take longer.
TICK_S = 0.02
_SCRIPT = "import time\nprint('up', flush=True)\ntime.sleep(240)\n"


class StandIn:
    """Runs from the beginning of the block to its end, or until `stop`."""

    def __init__(self, repo: Path, scratch: Path, arguments: Sequence[str] = ("run", "--watch")) -> None:
        script = scratch / "bin/cyntra"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(_SCRIPT)
        command = [sys.executable, "-S", str(script), *arguments]
        time.sleep(TICK_S)
        self._process = subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        time.sleep(TICK_S)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def stop(self) -> None:
        """End it; once more does nothing."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> StandIn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
