"""The made-up kernel's reading of its configuration, so far as its archives show it (CONTRACT.md section 5).

Written apart from the reading in collectord, so that one can be held against the other.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.made_values import Issue, Route

Document = Mapping[str, Any]
_DEFAULT_GATES = {"test_command": "pytest", "typecheck_command": "mypy .", "lint_command": "ruff check ."}


@dataclass(frozen=True)
class FakePolicy:
    """A configuration as it was at the kernel's start; routes issues as the kernel would."""

    document: Document

    def route(self, issue: Issue, dice: random.Random) -> Route:
        """The toolchain, width, model, timeout and gates of a run of this issue."""
        rule = self._rule(issue)
        use = self._usable(rule.get("use")) or self._usable(self._priority()) or ["claude"]
        width = min(self._width(issue, rule), len(use))
        toolchain = dice.choice(use[:width])
        settings = self._toolchains().get(toolchain) or {}
        return Route(toolchain, width, _model(settings), _timeout_s(settings), tuple(self._gates().items()))

    def _rule(self, issue: Issue) -> Document:
        rules = _section(self.document, "routing").get("rules") or []
        return next((rule for rule in rules if _matches(rule.get("match") or {}, issue)), {})

    def _width(self, issue: Issue, rule: Document) -> int:
        speculation = _section(self.document, "speculation")
        triggered = issue.risk in speculation.get("auto_trigger_risk_levels", ["high", "critical"])
        if not speculation.get("enabled", True) or not (rule.get("speculate") or triggered):
            return 1
        wanted = rule.get("parallelism") or speculation.get("default_parallelism", 2)
        return max(1, min(int(wanted), int(speculation.get("max_parallelism", 3))))

    def _toolchains(self) -> Document:
        return _section(self.document, "toolchains")

    def _priority(self) -> Sequence[str]:
        found: Sequence[str] = self.document.get("toolchain_priority") or ["codex", "claude", "crush"]
        return found

    def _usable(self, names: object) -> list[str]:
        listed = [names] if isinstance(names, str) else list(names or ())  # type: ignore[call-overload]
        return [n for n in listed if (self._toolchains().get(n) or {}).get("enabled", True)]

    def _gates(self) -> dict[str, str]:
        given = {**_DEFAULT_GATES, **_section(self.document, "gates")}
        named = ((name, given.get(f"{name}_command")) for name in ("test", "typecheck", "lint", "build"))
        return {name: command for name, command in named if command}


def read_fake_policy(repo: Path) -> FakePolicy:
    """What `.cyntra/config.yaml` says now."""
    return FakePolicy(yaml.safe_load((repo / ".cyntra/config.yaml").read_text()) or {})


def _section(document: Document, name: str) -> Document:
    found: Document = document.get(name) or {}
    return found


def _matches(match: Document, issue: Issue) -> bool:
    facts = {
        "dk_risk": issue.risk,
        "dk_size": issue.size,
        "dk_priority": issue.priority,
        "dk_tool_hint": None,
    }
    for key, wanted in match.items():
        allowed = wanted if isinstance(wanted, list) else [wanted]
        if key == "tags":
            if not set(allowed) & set(issue.tags):
                return False
        elif facts.get(key) not in allowed:
            return False
    return True


def _model(settings: Document) -> str:
    config = settings.get("config") or {}
    return str(settings.get("model") or config.get("model") or settings.get("default_model") or "unknown")


def _timeout_s(settings: Document) -> int:
    if "timeout_seconds" in settings:
        return int(settings["timeout_seconds"])
    return int(settings["timeout_minutes"]) * 60 if "timeout_minutes" in settings else 1800
