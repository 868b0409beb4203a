"""A daemon that a nursery started, or that was started for real, with its log as values."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.daemon import wait_until
from tests.support.warm import ROOT, Nursery, Started


class Really:
    """A daemon started as a service manager starts it, by a command line of its own."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=dict(env), cwd="/"
            )
        self.pid = self._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int | None:
        """Its exit code; None while it runs on."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None


class Running:
    """One daemon on a repo; killed when it is left, if it still runs."""

    def __init__(
        self,
        repo: Path,
        nursery: Nursery | None,
        log: Path,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        log.touch()
        self.log, self._from = log, log.stat().st_size
        given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), **(env or {})}
        arguments = ["--repo", str(repo), "run"]
        self.process: Started | Really
        if nursery is None:
            self.process = Really([*before, sys.executable, "-m", "collectord", *arguments], given, log)
        else:
            self.process = nursery.start(arguments, given, log)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.wait(0) is None:
            self.process.signal(signal.SIGKILL)
            self.process.wait()

    def kill(self) -> int | None:
        """SIGKILL, and its end."""
        self.process.signal(signal.SIGKILL)
        return self.process.wait()

    def stop(self) -> tuple[int | None, float]:
        """SIGTERM; the exit code and how many seconds it took."""
        begun = time.monotonic()
        self.process.signal(signal.SIGTERM)
        return self.process.wait(60), time.monotonic() - begun

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines so far; what is not JSON is one with the event `not json`."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return [_line(text) for text in file.read().splitlines(keepends=True) if text.endswith(b"\n")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines with an event name."""
        return [line for line in self.lines() if line["event"] == name]

    def wait_for(self, event: str, count: int = 1, within: float = 30.0) -> None:
        """Waits for so many lines of an event."""
        self.until(lambda: len(self.events(event)) >= count, f"{count} × {event}", within)

    def until(self, condition: Callable[[], bool], what: str, within: float = 30.0) -> None:
        """Waits for a condition; fails with the last lines of the log, at once if the daemon ended."""

        def met_or_ended() -> bool:
            return condition() or self.process.wait(0) is not None

        wait_until(met_or_ended, lambda: f"{what}\n{self.said()}", within)
        assert condition(), f"{what}: the daemon ended with {self.process.wait(0)}\n{self.said()}"

    def said(self) -> str:
        """The last of what it said."""
        return "\n".join(json.dumps(line) for line in self.lines()[-20:])


def _line(text: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"event": "not json", "text": text.decode(errors="replace")}
    return found
