"""Archives of a finished kernel run, as that run would leave them if it went on now."""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectord.kernel.dispatch import input_hash

_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_FILES = ("manifest.json", "proof.json", "rollout.json")


class Replay:
    """Times of a finished run moved to now, `faster` times as fast; the order of everything stays."""

    def __init__(self, faster: float) -> None:
        self._faster = faster
        self._parts: list[tuple[datetime, datetime]] = []

    def go_on(self, at: datetime, now: datetime) -> None:
        """What happened from `at` on happens from `now` on: at the start, and after each pause."""
        self._parts.append((at, now))

    def moved(self, at: datetime) -> datetime:
        """When something that happened `at` happens in the replay."""
        first, now = [part for part in self._parts if part[0] <= at or part is self._parts[0]][-1]
        return now + (at - first) / self._faster

    def land(self, source: Path, target: Path, models: dict[str, str]) -> None:
        """Write one archive as the replay has it; `models` are other models of toolchains, by name."""
        shutil.copytree(source, target)
        for name in _FILES:
            if (target / name).exists():
                document = self._moved(json.loads((target / name).read_text()))
                _write(target / name, _with_model(document, models))
        os.utime(target)

    def _moved(self, value: Any) -> Any:
        match value:
            case dict():
                return {key: self._in_ms(key, inner) for key, inner in value.items()}
            case list():
                return [self._moved(inner) for inner in value]
            case str() if _TEXT.fullmatch(value):
                return f"{self.moved(datetime.fromisoformat(value)):%Y-%m-%dT%H:%M:%S.%fZ}"
        return value

    def _in_ms(self, key: str, value: Any) -> Any:
        if key == "started_ms":
            return int(self.moved(datetime.fromtimestamp(value / 1000, UTC)).timestamp() * 1000)
        return self._moved(value)


def dispatched(archive: Path) -> datetime:
    """When the run of an archive was dispatched."""
    manifest = json.loads((archive / "manifest.json").read_text())
    return datetime.fromisoformat(manifest["planner"]["planner_input"]["created_at"])


def _with_model(document: dict[str, Any], models: dict[str, str]) -> dict[str, Any]:
    places = ("toolchain_config", "policy", "metadata")
    named: dict[str, Any] = next(document[place] for place in places if place in document)
    toolchain = document.get("toolchain") or named.get("toolchain")
    if toolchain in models:
        named["model"] = models[toolchain]
    planner = document.get("planner") or {}
    if planner.get("planner_action", {}).get("input_hash"):
        planner["planner_action"]["input_hash"] = input_hash(planner["planner_input"])
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2))
