"""Is there room on the disk to write? Pure."""

from __future__ import annotations

from dataclasses import dataclass

# Resuming wants a little more room than pausing leaves, so that the edge is not crossed with every write.
RESUME_FACTOR = 1.1
SMALL_DISK_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class DiskRules:
    """Writing pauses below the larger of the two; `largest_share` of a disk is all that is kept free.

    The share is for a default of bytes that would be most of a small disk.
    """

    min_free_percent: float = 1.0
    min_free_bytes: int = 512 * 2**20
    largest_share: float = SMALL_DISK_SHARE

    def floor(self, total_bytes: int) -> int:
        """Bytes that must stay free on a disk of that size."""
        fixed = min(self.min_free_bytes, total_bytes * self.largest_share)
        return int(max(fixed, total_bytes * self.min_free_percent / 100))


def is_full(was_full: bool, free_bytes: int, total_bytes: int, rules: DiskRules) -> bool:
    """Whether to pause writing, given whether it is paused now."""
    floor = rules.floor(total_bytes)
    return free_bytes < (floor * RESUME_FACTOR if was_full else floor)
