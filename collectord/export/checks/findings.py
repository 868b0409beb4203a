"""Findings of a check: one sentence each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import loads

_MAX_FINDINGS = 20


class Findings(list[str]):
    """Sentences, the first twenty of them and then how many more."""

    def add(self, sentence: str) -> None:
        """Note one finding."""
        self.append(sentence)

    def told(self) -> tuple[str, ...]:
        """What is shown of them."""
        more = len(self) - _MAX_FINDINGS
        return (*self[:_MAX_FINDINGS], *([f"… and {more} more differences"] if more > 0 else []))


def read_document(path: Path, findings: Findings) -> dict[str, Any]:
    """A JSON object from a file; empty and a finding where it is none."""
    try:
        value = loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        findings.add(f"{path.name}: missing or not a JSON object")
        return {}
    return value
