"""The last export of each kind: where nothing that it depends on has changed, it is copied or named again;
and the last selection of runs.

Like the row cache this only saves time. One digest covers all that an export depends on, our code and library
versions included; every file is checked while it is copied; and where anything is missing, torn or altered,
the export is made anew.
"""

from __future__ import annotations

import json
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
from collectord.kernel.jsonio import ascii_json, canonical
from collectord.model import Selection
from collectord.repo.files import open_regular
from collectord.system.durable import atomic_write
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


class LastSelection:
    """The runs that the last export took of the same epoch or environment, in a file beside the index.

    Which run is of which epoch follows from the index and the configuration alone, and is long to find.
    """

    def __init__(self, folder: Path, asked: tuple[str, str | None], inputs: str) -> None:
        """`asked` are epoch and environment, `inputs` is a digest of all that the answer follows from."""
        named = sha256(repr(asked).encode("utf-8", "surrogatepass")).hexdigest()
        self._path, self._key = folder / f"selection-{named[:16]}.json", inputs

    def load(self) -> Selection | None:
        """The last selection, if all that it follows from is the same."""
        try:
            values = load_cached(self._path, self._key)
            others = frozenset((kind, name) for kind, name in values["others"])
            return Selection(**{**values, "others": others, "drift": tuple(values["drift"])})
        except UNUSABLE:
            return None

    def save(self, selection: Selection) -> None:
        """Store what was selected now; a failure is ignored."""
        save_cached(self._path, self._key, {**asdict(selection), "others": sorted(selection.others)})


UNUSABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


def load_cached(path: Path, key: str) -> dict[str, Any]:
    """What was saved in a file of the cache under that key; raises one of `UNUSABLE` for anything else."""
    document = json.loads(path.read_bytes())
    if document["key"] != key or document["check"] != _check(document["last"]):
        raise ValueError("of other inputs, or damaged")
    found: dict[str, Any] = document["last"]
    return found


def save_cached(path: Path, key: str, values: dict[str, Any]) -> None:
    """Save values that JSON can hold under a key that says what they follow from; a failure is ignored."""
    document = {"key": key, "last": values, "check": _check(values)}
    # A file that cannot be written costs the next time its work only. Members keep their order, so that
    # what is loaded is written as what was found.
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_write(path, json.dumps(document).encode("ascii"))


def _check(values: dict[str, Any]) -> str:
    return sha256(ascii_json(values).encode("ascii")).hexdigest()


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
