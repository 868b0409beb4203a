"""Bytes that an archive on disk still has, asked for by their digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from collectord import archive
from collectord.archive import ArchiveRoot
from collectord.ingest.collect import ReadLimits
from collectord.ingest.interpret import CORE_FILES


class ArchivesOnDisk:
    """The folders of archives and world runs, read archive by archive; the last one read is remembered."""

    def __init__(self, folders: Mapping[str, Path], limits: ReadLimits) -> None:
        """`folders` by kind; one that cannot be opened has no bytes to give."""
        self._limits = limits
        self._roots: dict[str, ArchiveRoot] = {}
        self._last: tuple[str, str] | None = None
        self._held: dict[str, bytes] = {}
        for kind, folder in folders.items():
            try:
                self._roots[kind] = ArchiveRoot(folder)
            except archive.RootUnusable:
                continue

    def bytes_of(self, kind: str, name: str, sha256: str) -> bytes | None:
        """The bytes with that digest among the core files of one archive, or None."""
        if self._last != (kind, name):
            self._last, self._held = (kind, name), self._read(kind, name)
        return self._held.get(sha256)

    def _read(self, kind: str, name: str) -> dict[str, bytes]:
        root = self._roots.get(kind)
        if root is None:
            return {}
        try:
            found = archive.read_core(
                root,
                name,
                CORE_FILES[kind],
                max_bytes=self._limits.json_bytes,
                allow_hard_links=self._limits.hard_links,
            )
        except (archive.Vanished, archive.ArchiveRefused, ValueError, OSError):
            return {}
        return {file.sha256: file.data for file in found.files if file.sha256 is not None}

    def __enter__(self) -> ArchivesOnDisk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for root in self._roots.values():
            root.close()
