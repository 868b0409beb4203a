"""Errors that a person can meet. Each carries the exit code of the command that ends with it.

The message is a sentence: what happened, to what, and what to do about it.
"""

from __future__ import annotations


class CollectordError(Exception):
    """Something failed that the person at the terminal can do something about."""

    exit_code = 1


class UsageError(CollectordError):
    """The command was called in a way that cannot mean anything."""

    exit_code = 2


class VerificationFailed(CollectordError):
    """A published dataset is not what it says it is."""

    exit_code = 3


class ExtraMissing(CollectordError):
    """What was asked for wants libraries of an extra that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(extra_missing(what, extra))


def extra_missing(what: str, extra: str) -> str:
    """The sentence for a missing extra, which is installed as collectord itself was."""
    return (
        f"{what} the extra `{extra}`, which is not installed: install collectord again with it, such as "
        f"`pip install '.[{extra}]'` (docs/operations.md has each way)"
    )


class LockHeld(CollectordError):
    """Another instance is the writer of this state folder."""

    exit_code = 75


class ConfigError(CollectordError):
    """The configuration is wrong; the message has one finding a line, with file, line and column."""

    exit_code = 78


class IndexDamaged(CollectordError):
    """The index answered with an I/O error or a corrupt page; nothing is retried over it."""


class IndexFull(CollectordError):
    """There was no room to write; nothing of the transaction was kept."""


class IndexBusy(CollectordError):
    """Another process holds the index for longer than a writer waits; nothing was written."""


class IndexUnusable(CollectordError):
    """The index cannot be opened or written: rights, or a folder that went away."""


# About the index as a whole, and no fault of what is written: the loop pauses or ends over them.
INDEX_FAULTS = (IndexBusy, IndexDamaged, IndexFull, IndexUnusable)


class IndexTooNew(CollectordError):
    """The index was written by a newer collectord."""


class IndexTooOld(CollectordError):
    """The index wants `collectord db upgrade` before this command can read it."""


class IndexMissing(CollectordError):
    """There is no index yet."""
