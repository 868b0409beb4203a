"""How much room must be left on the disk, and what is done while there is less."""

from __future__ import annotations

from pathlib import Path

from collectord.errors import CollectordError
from collectord.system.mounts import DiskRules, free_space

# Resuming wants a little more room than pausing leaves, so that the edge is not crossed with every write.
RESUME_FACTOR = 1.1


def is_full(was_full: bool, free_bytes: int, total_bytes: int, rules: DiskRules) -> bool:
    """Whether to pause writing, given whether it is paused now."""
    floor = rules.floor(total_bytes)
    return free_bytes < (floor * RESUME_FACTOR if was_full else floor)


FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 60.0


class DiskGuard:
    """Owned by the loop's thread; `mono` is seconds, monotonic."""

    def __init__(self, folder: Path, rules: DiskRules, first_wait_s: float = FIRST_WAIT_S) -> None:
        self._folder, self._rules, self._first_wait_s = folder, rules, first_wait_s
        self._low = False
        self._free = 0
        self._wait = first_wait_s
        self._hit_at = float("-inf")
        # After a write that found no room only another write proves that there is some again.
        self.is_proven = True

    def check(self) -> bool:
        """Looks at the disk; whether there is too little room."""
        try:
            self._free, total = free_space(self._folder)
        except OSError as error:
            raise CollectordError(
                f"{self._folder}: the state folder cannot be reached any more ({error.strerror}); "
                "bring it back, then start the daemon again"
            ) from error
        self._low = is_full(self._low, self._free, total, self._rules)
        return self._low

    def hit(self, mono: float) -> None:
        """A write found no room, whatever the figures of the disk say (a quota, a reserve)."""
        soon_again = mono - self._hit_at < 2 * LONGEST_WAIT_S
        self._wait = min(2 * self._wait, LONGEST_WAIT_S) if soon_again else self._first_wait_s
        self._hit_at = mono
        self.is_proven = False

    def wrote(self) -> None:
        """A write found room."""
        self.is_proven = True

    def reason(self, mono: float) -> str | None:
        """Why nothing is written now; None when writing is fine."""
        if self._low:
            return f"only {self._free // 2**20} MiB are free on the disk of {self._folder}"
        if mono < self._hit_at + self._wait:
            return f"the disk of {self._folder} took no more"
        return None
