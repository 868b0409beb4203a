"""The last export of each kind: where nothing that it depends on has changed, it is copied or named again.

Like the row cache this only saves time. One digest covers all that an export depends on, our code and library
versions included; every file is checked while it is copied; and where anything is missing, torn or altered,
the export is made anew.
"""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from collectord.dataset.credentials import detector_version
from collectord.dataset.inputs import RepoFiles
from collectord.dataset.layout import DATASET_FILE, SUMS_FILE
from collectord.dataset.parquet import pyarrow_version
from collectord.dataset.row_plan import ExportOptions, RunKeys
from collectord.dataset.snapshot import Provenance, sums_document
from collectord.dataset.tables import Tables
from collectord.kernel.jsonio import canonical
from collectord.repo.files import open_regular
from collectord.system.cache_files import UNUSABLE, load_cached, save_cached
from collectord.system.own_code import code_stamp

_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class PublishedExport:
    """An export that was published at `path`; `sums` are empty where others wrote its files."""

    path: str
    sums: dict[str, str]
    meta: dict[str, Any]
    document: dict[str, Any]


def inputs_digest(
    content: str,
    files: RepoFiles,
    options: ExportOptions,
    provenance: Provenance,
    other_epoch: RunKeys,
) -> str | None:
    """A digest of all that an export depends on; None with worlds, whose universes are not looked at here.

    `content` is that of the index (`content_digest`).
    """
    if options.include_world:
        return None
    parts = [
        content,
        canonical(options.as_json()),
        repr(files.universe),
        canonical(files.beads),
        canonical(asdict(provenance)),
        repr(sorted(other_epoch)),
        repr((version("collectord"), platform.python_version(), pyarrow_version(), detector_version())),
        code_stamp(),
    ]
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class LastExport:
    """The last export with the same options, in a file beside the index; `key` is its `inputs_digest`."""

    def __init__(self, folder: Path, options: ExportOptions, key: str) -> None:
        self._path, self._key = folder / f"last-{options.profile}-{_kind(options)}.json", key

    def load(self) -> PublishedExport | None:
        """The last export, if its inputs were exactly the same."""
        try:
            return PublishedExport(**load_cached(self._path, self._key))
        except UNUSABLE:
            return None

    def save(self, last: PublishedExport) -> None:
        """Store an export that was just published or found; a failure is ignored."""
        save_cached(self._path, self._key, asdict(last))


class LastTables:
    """The Parquet files of the last export with the same options: where they lie, by what went into them."""

    def __init__(self, folder: Path, options: ExportOptions) -> None:
        self._path = folder / f"tables-{options.profile}-{_kind(options)}.json"
        self._key = sha256(repr((pyarrow_version(), code_stamp())).encode()).hexdigest()
        self._known: dict[str, Any] = {}
        with suppress(*UNUSABLE):
            self._known = load_cached(self._path, self._key)

    def copy(self, digest: str, path: Path) -> str | None:
        """Put the file of that digest at `path`; gives its sum, None where it is not there as it was."""
        try:
            name, wanted = self._known["files"][digest]
            if _copy(Path(self._known["folder"]) / name, path) == wanted:
                return str(wanted)
        except UNUSABLE:
            pass
        path.unlink(missing_ok=True)
        return None

    def save(self, folder: Path, tables: Tables) -> None:
        """Store where files lie that were just published; a failure is ignored."""
        files = {digest: [name, tables.sums[name]] for name, digest in tables.digests.items()}
        save_cached(self._path, self._key, {"folder": str(folder.absolute()), "files": files})


def _kind(options: ExportOptions) -> str:
    return sha256(canonical(options.as_json()).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def copy_files(last: PublishedExport, folder: Path) -> bool:
    """Copy the files of the last export; False, with the folder half filled, where one is not as it was."""
    if DATASET_FILE not in last.sums:
        return False
    try:
        for name, digest in last.sums.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if _copy(Path(last.path) / name, folder / name) != digest:
                return False
    except OSError:
        return False
    (folder / SUMS_FILE).write_bytes(sums_document(last.sums))
    return True


def _copy(source: Path, target: Path) -> str:
    digest = sha256()
    with open_regular(source) as read, target.open("xb", buffering=0) as write:
        while block := read.read(_CHUNK):
            digest.update(block)
            write.write(block)
    return digest.hexdigest()
