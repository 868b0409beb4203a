"""What a configuration that was read again changes, and what a running daemon cannot change."""

from __future__ import annotations

from collectord.config import Settings

# The lock, the index and the folder whose absences are weighed are what the daemon stands on.
_FIXED = ("repo", "paths.archives", "paths.state")


def changed_keys(old: Settings, new: Settings) -> dict[str, str]:
    """Dotted key → "before → after" of every value that differs."""
    before = {key: value for key, value, _ in old.rows()}
    return {key: f"{before[key]} → {value}" for key, value, _ in new.rows() if before[key] != value}


def refusal(changes: dict[str, str]) -> str | None:
    """Why the new configuration cannot be taken over without a restart, or None."""
    fixed = [f"{key} ({changes[key]})" for key in _FIXED if key in changes]
    return f"restart the daemon to change {', '.join(fixed)}" if fixed else None
