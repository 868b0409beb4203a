"""`collectord run` as a real process, with its log as values and its waiting without luck."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.cli import Cli

DEADLINE_S = 30.0
QUICK = """
watch: {poll_interval: 300ms}
settle: {min_age: 100ms, short: 200ms, long: 500ms}
daemon: {heartbeat_interval: 200ms}
disk: {min_free_percent: 0, min_free_bytes: 0}
log: {level: debug, format: json}
"""


def configure(cli: Cli, text: str = QUICK) -> Path:
    """Write the repo's configuration file."""
    path = cli.repo / ".cyntra/collectord.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class Daemon:
    """A running daemon; left by an exception or not, its process is gone afterwards."""

    def __init__(self, cli: Cli, env: Mapping[str, str] | None = None) -> None:
        self.cli = cli
        self.lines: list[dict[str, Any]] = []
        self.other: list[str] = []
        self.process = subprocess.Popen(
            cli.argv("run"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=cli.environ(env),
            cwd=cli.home,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines so far with that event name."""
        return [line for line in list(self.lines) if line["event"] == name]

    def wait_for(self, event: str, count: int = 1, **fields: object) -> list[dict[str, Any]]:
        """Waits for so many lines of an event with these fields, and returns them."""

        def found() -> list[dict[str, Any]]:
            return [e for e in self.events(event) if all(e.get(k) == v for k, v in fields.items())]

        def enough() -> bool:
            return len(found()) >= count

        wait_until(lambda: enough() or self.process.poll() is not None, lambda: self.said())
        if self.process.poll() is not None:
            self._reader.join(DEADLINE_S)  # its last words
        assert enough(), f"{count} {event} {fields} did not come: {self.said()}"
        return found()

    def started(self) -> Daemon:
        """Waits until it watches."""
        self.wait_for("daemon.started")
        return self

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it; returns the exit code."""
        self.send(number)
        return self.ended()

    def ended(self) -> int:
        """Waits for its end; returns the exit code."""
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    def status(self) -> dict[str, Any]:
        """What `collectord status --json` says."""
        found: dict[str, Any] = json.loads(self.cli.ok("status", "--json"))
        return found

    def said(self) -> str:
        """The last of what it said, for failures."""
        return "\n".join([*(json.dumps(line) for line in self.lines[-30:]), *self.other[-10:]])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.other.append(line.rstrip("\n"))


def wait_until(
    condition: Callable[[], bool], what: Callable[[], str] | str, within: float = DEADLINE_S
) -> None:
    """Polls a condition; fails with `what` after the deadline."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
