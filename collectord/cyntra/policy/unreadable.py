"""The one way in which an environment is unknown."""

from __future__ import annotations

from collectord.errors import CollectordError


class PolicyUnreadable(CollectordError):
    """The environment cannot be told: a file of it cannot be read, or a kernel could not start with it.

    `path` is the file below the repo, `reason` the rest of the sentence. Never a guess in its place: the
    last good environment stands until the file can be read again.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
