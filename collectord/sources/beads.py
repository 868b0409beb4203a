"""The Beads files of a repo as they are now."""

from __future__ import annotations

from pathlib import Path

from collectord.cyntra.beads import parse_issues
from collectord.cyntra.deps import parse_deps
from collectord.cyntra.jsonio import JsonObject
from collectord.sources.files import open_regular

BEADS_FILE = Path(".beads/issues.jsonl")
DEPS_FILE = Path(".beads/deps.jsonl")
MAX_BEADS_BYTES = 256 * 2**20


def read_beads(repo: Path) -> dict[str, JsonObject] | None:
    """Today's issues by id; None if there is no readable file. Nothing that is in it raises."""
    try:
        with open_regular(repo / BEADS_FILE) as file:
            data = file.read(MAX_BEADS_BYTES + 1)
        return parse_issues(data.decode("utf-8")) if len(data) <= MAX_BEADS_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def read_deps(repo: Path) -> tuple[tuple[str, str], ...]:
    """(blocker, blocked) issue ids of today; none if there is no readable file. Nothing in it raises."""
    try:
        with open_regular(repo / DEPS_FILE) as file:
            data = file.read(MAX_BEADS_BYTES + 1)
        return parse_deps(data.decode("utf-8")) if len(data) <= MAX_BEADS_BYTES else ()
    except (OSError, UnicodeDecodeError):
        return ()
