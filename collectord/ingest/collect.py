"""One directory on disk → the change it makes to the index. Reads, never writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from collectord import archive
from collectord.archive import ArchiveRoot
from collectord.index.writer import Change, Seen
from collectord.ingest.interpret import CORE_FILES, interpret, refused
from collectord.model import ARCHIVE, Known, Observation, Outcome, OutcomeKind
from collectord.names import readable_name


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What one archive may make us read: bytes of a core file, top-level entries; hard links or not."""

    json_bytes: int = 8 * 2**20
    entries: int = 10_000
    hard_links: bool = False


@dataclass(frozen=True, slots=True)
class NotYet:
    """A directory that was not taken this time: still being written, or gone while it was read."""

    outcome: Outcome


Collected = Change | NotYet


def is_stray(name: str, kind: str, ignore: frozenset[str]) -> str | None:
    """Why an entry of the archives folder is no archive, or None for one that may be."""
    if kind != archive.DIRECTORY:
        return f"a {kind}, not a directory"
    return "not an archive (watch.ignore)" if name in ignore else None


def collect(
    root: ArchiveRoot,
    name: str,
    known: Known | None,
    limits: ReadLimits,
    kind: str = ARCHIVE,
    is_young: Callable[[Observation], bool] = lambda _observation: False,
) -> Collected | None:
    """Look at a directory and read it if it changed; None if the index has it as it is.

    The signature is compared before and after reading: a directory that moved meanwhile is not taken, and
    neither is one that `is_young`.
    """
    key = readable_name(name)
    if key != name:
        return _seen(kind, key, OutcomeKind.QUARANTINED, "name: not UTF-8")
    try:
        before = archive.observe(root, name, max_entries=limits.entries)
        if known is not None and known.signature == before.signature and known.gone_ms is None:
            return None
        if is_young(before):
            return NotYet(Outcome(name, OutcomeKind.SETTLING, "still being written"))
        return _read(root, before, limits, kind)
    except archive.Vanished:
        return NotYet(Outcome(name, OutcomeKind.VANISHED, "went away while it was read"))
    except archive.ArchiveRefused as refusal:
        return _seen(kind, name, OutcomeKind.QUARANTINED, f"directory: {refusal.reason}")


def _read(root: ArchiveRoot, before: Observation, limits: ReadLimits, kind: str) -> Collected:
    name = before.name
    if before.has(".git"):
        return _seen(kind, name, OutcomeKind.IGNORED, "a git worktree, not an archive", before.signature)
    artifacts = archive.read_core(
        root, name, CORE_FILES[kind], max_bytes=limits.json_bytes, allow_hard_links=limits.hard_links
    )
    after = archive.observe(root, name, max_entries=limits.entries)
    if after.signature != before.signature:
        return NotYet(Outcome(name, OutcomeKind.SETTLING, "changed while it was read"))
    if reason := refused(artifacts):
        return _seen(kind, name, OutcomeKind.QUARANTINED, reason, before.signature)
    return interpret(kind, before, artifacts)


def _seen(kind: str, name: str, outcome: OutcomeKind, reason: str, signature: str | None = None) -> Seen:
    return Seen(kind, name, outcome, signature, reason)
