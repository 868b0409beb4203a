"""Is a dataset of a fleet what it says it is, and do the pushes make it again? A finding is a sentence."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from heapq import merge as merged
from importlib.metadata import version
from pathlib import Path
from typing import Any

from collectord.dataset.checks import Findings, unequal
from collectord.dataset.columns import ROW_COLUMNS
from collectord.dataset.jsonl import published_row, stream_sha256
from collectord.dataset.layout import CARD_FILE, CROISSANT_FILE, SUMS_FILE
from collectord.dataset.row_plan import BY_TIME, OUTCOME
from collectord.dataset.snapshot import read_sums, sums_document
from collectord.dataset.tables import row_columns
from collectord.dataset.verify import DOCUMENTS, REBUILD, ROWS, SUMS, Verified
from collectord.errors import CollectordError
from collectord.fleet.catalog import pushed
from collectord.fleet.documents import FLEET_FILE, SCHEMA, described, tables_of
from collectord.fleet.manifest import Unreadable
from collectord.fleet.options import FLEET_COLUMNS, FleetOptions, options_from_json
from collectord.fleet.parts import COLUMN_OF
from collectord.fleet.render import OwnRows
from collectord.fleet.row_text import OWN_NAMES, row_digest, row_line
from collectord.fleet.shard import INDEX, ShardRefused, fetch, make_readable
from collectord.fleet.storage import Storage, StorageError, as_storage_error
from collectord.fleet.tables import StoredTable
from collectord.index.reader import IndexReader
from collectord.kernel.jsonio import ascii_json
from collectord.kernel.rows import SPLITS, split_counts
from collectord.kernel.values import as_object

_MAX_DOCUMENT = 64 * 2**20
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)
Record = Mapping[str, Any]
_VALUES = [column.name for column in ROW_COLUMNS if column.name != "split"]
_OF_SOURCE = (
    *("rows", "dataset_hash", "universe_id", "left_out", "not_selected", "input_hashes", "time_conflicts"),
)


def verify_fleet(
    storage: Storage, name: str, *, fast: bool = False, rebuild: Storage | None = None
) -> Verified:
    """Check sums and documents, unless `fast` every row too, and with `rebuild` (the fleet) make each again.

    Raises CollectordError where there is no dataset, and StorageError where the storage fails.
    """
    if storage.size(f"{name}/{FLEET_FILE}") is None:
        raise CollectordError(
            f"{storage.url}/{name}: there is no {FLEET_FILE}, so it is no dataset of a fleet"
        )
    check = _Check(storage, name)
    check.sums_and_documents()
    if fast or check.findings:
        return check.result()
    check.rows(keep=rebuild is not None)
    if rebuild is not None and not check.findings:
        check.rebuilt(rebuild)
    return check.result()


@dataclass
class _Published:
    """What is remembered of the rows of one source: 32 bytes for each row, and for each row's columns."""

    rows: int = 0
    digests: bytearray = field(default_factory=bytearray)
    values: bytearray = field(default_factory=bytearray)


class _Check:
    """One dataset under check, and what was found so far."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._name = storage, name
        self.findings = Findings()
        self._checked = [SUMS, DOCUMENTS]
        self._sums: dict[str, str] = {}
        self._document: dict[str, Any] = {}
        self._found: _Rows | None = None

    def result(self) -> Verified:
        rows, digest = self._document.get("example_count"), self._document.get("dataset_hash")
        if self._found is not None:
            rows, digest = self._found.rows, self._found.digest.hexdigest()
        return Verified(
            rows=rows if isinstance(rows, int) else 0,
            dataset_hash=digest if isinstance(digest, str) else None,
            checked=tuple(self._checked),
            skipped=(),
            findings=self.findings.sentences(),
        )

    def sums_and_documents(self) -> None:
        self._sums = self._read_sums()
        there = {name.removeprefix(f"{self._name}/") for name in self._storage.files(self._name)}
        for name in sorted(self._sums.keys() - there):
            self.findings.add(f"{name}: missing")
        for name in sorted(there - self._sums.keys() - {SUMS_FILE}):
            self.findings.add(f"{name}: not part of the dataset (not in {SUMS_FILE})")
        for name in sorted(self._sums.keys() & there):
            if self._digest(name) != self._sums[name]:
                self.findings.add(f"{name}: has other bytes than when it was published")
        self._read_document()

    def _read(self, name: str) -> bytes:
        return self._storage.read(f"{self._name}/{name}", _MAX_DOCUMENT) or b""

    def _read_sums(self) -> dict[str, str]:
        data = self._read(SUMS_FILE)
        try:
            sums = read_sums(data)
        except ValueError:
            sums = {}
        if not sums or sums_document(sums) != data:
            self.findings.add(f"{SUMS_FILE}: missing, unreadable or changed")
        return sums

    def _digest(self, name: str) -> str:
        path = f"{self._name}/{name}"
        with as_storage_error(f"{self._storage.url}/{path}", "reading"), self._storage.open(path) as file:
            return stream_sha256(file)

    def _read_document(self) -> None:
        try:
            self._document = as_object(json.loads(self._read(FLEET_FILE)))
            options_from_json(self._document["options"])
            if self._document["schema"] != SCHEMA or sorted(self._document["files"]) != self._listed():
                self.findings.add(f"{FLEET_FILE}: names other files than {SUMS_FILE}, or is of another make")
            if not self.findings and as_object(self._document["software"]).get("collectord") == _VERSION:
                self._check_described()
        except _BROKEN:
            self.findings.add(f"{FLEET_FILE}: is not what an export writes")

    def _listed(self) -> list[str]:
        return sorted(self._sums.keys() - {FLEET_FILE})

    def _check_described(self) -> None:
        # Another version may word them otherwise, so this is only asked of our own.
        data = {n: digest for n, digest in self._sums.items() if n not in (CARD_FILE, CROISSANT_FILE)}
        for name, wanted in described(self._document, data).items():
            if sha256(wanted).hexdigest() != self._sums.get(name):
                self.findings.add(f"{name}: does not say what {FLEET_FILE} says")

    def rows(self, *, keep: bool) -> None:
        """Every row: what it says, where it stands, and the hash of all."""
        self._checked.append(ROWS)
        self._found = _Rows(self._document, self.findings, keep=keep)
        try:
            streams = [self._records(split) for split in SPLITS]
            for record in merged(*streams, key=_order):
                self._found.add(record)
            self._found.close()
        except _BROKEN as error:
            self.findings.add(f"the rows cannot be read: {type(error).__name__}: {error}")

    def _records(self, split: str) -> Iterator[Record]:
        """The rows of a split in order; what is out of order is told."""
        last: tuple[int, str, str] | None = None
        for file in tables_of(self._document, split):
            lines = self._lines(file)
            for number, record in enumerate(self._table(file).records(), 1):
                if lines is not None and next(lines, None) != row_line(record):
                    self.findings.add(f"{file}: row {number} is another one in the JSON lines")
                if last is not None and _order(record) < last:
                    self.findings.add(f"{file}: row {number} is out of order")
                if OWN_NAMES.get(record["split"]) != split:
                    self.findings.add(f"{file}: row {number} says that it is of the split {record['split']}")
                last = _order(record)
                yield record

    def _table(self, file: str) -> StoredTable:
        return StoredTable(self._storage, f"{self._name}/{file}", FLEET_COLUMNS)

    def _lines(self, file: str) -> Iterator[str] | None:
        """The JSON lines beside a file, None where there are none."""
        name = f"dataset/{file.removeprefix('data/').removesuffix('.parquet')}.jsonl.zst"
        if not self._document["options"]["jsonl"]:
            return None
        return self._unpacked(name)

    def _unpacked(self, name: str) -> Iterator[str]:
        import zstandard

        with self._storage.open(f"{self._name}/{name}") as file:
            packed = zstandard.ZstdDecompressor().stream_reader(file)
            for line in io.TextIOWrapper(packed, encoding="utf-8", newline="\n"):
                yield line.removesuffix("\n")

    def rebuilt(self, fleet: Storage) -> None:
        """Each source again, from the push that the dataset was made of; no row is taken as it was kept."""
        self._checked.append(REBUILD)
        options = options_from_json(self._document["options"])
        assert self._found is not None
        for source in self._document["sources"]:
            try:
                self._rebuild(fleet, source, options, self._found.of(source["source"]))
            except (Unreadable, ShardRefused, StorageError, CollectordError) as error:
                self.findings.add(f"{source['source']}: push {source['sequence']} cannot be had: {error}")
            except _BROKEN as error:
                said = f"{type(error).__name__}: {error}"
                self.findings.add(f"{source['source']}: cannot be made again: {said}")

    def _rebuild(self, fleet: Storage, source: Record, options: FleetOptions, there: _Published) -> None:
        name = source["source"]
        push = pushed(fleet, name, source["sequence"])
        if push.sha256 != source["sha256"]:
            self.findings.add(f"{name}: push {push.sequence} is another one than the dataset was made of")
            return
        with tempfile.TemporaryDirectory(prefix="collectord-fleet-") as scratch:
            index = fetch(fleet, push, Path(scratch))
            make_readable(index, push)
            with IndexReader(Path(scratch, INDEX)) as reader:
                rows = OwnRows(push, options, reader, computed=True)
                self._compare(name, rows, there)
        made = rows.document()
        for member in _OF_SOURCE:
            if made[member] != source[member]:
                self.findings.add(f"{name}: {member} is {source[member]}, made again {made[member]}")

    def _compare(self, name: str, rows: OwnRows, there: _Published) -> None:
        number = 0
        for number, row in enumerate(rows, 1):
            place = slice(32 * (number - 1), 32 * number)
            if bytes(there.digests[place]).hex() not in row.digests:
                self.findings.add(f"{name}: row {number} ({row.run_id}) comes out otherwise")
            elif bytes(there.values[place]) != values_digest(_without_split(row.values)):
                self.findings.add(f"{name}: columns of row {number} ({row.run_id}) come out otherwise")
        if number != there.rows:
            self.findings.add(f"{name}: {there.rows} rows are published, and its push gives {number}")


_VERSION = version("collectord")


def _order(record: Record) -> tuple[int, str, str]:
    return record["started_ms"], record["source"], record["run_id"]


def _without_split(values: Sequence[Any]) -> list[Any]:
    pairs = zip(ROW_COLUMNS, values, strict=True)
    return [value for column, value in pairs if column.name != "split"]


def values_digest(values: Iterable[Any]) -> bytes:
    """32 bytes that stand for the columns of a row."""
    return sha256(ascii_json(list(values)).encode("ascii")).digest()


class _Rows:
    """Every row once, in the order of all."""

    def __init__(self, document: Mapping[str, Any], findings: Findings, *, keep: bool) -> None:
        self._document, self._findings, self._keep = document, findings, keep
        self.rows, self.digest = 0, sha256()
        self._splits = dict.fromkeys(SPLITS, 0)
        self._counts: dict[str, dict[str, dict[str, int]]] = {name: {} for name in COLUMN_OF}
        self._sources: dict[str, _Published] = {}

    def of(self, source: str) -> _Published:
        """What is remembered of a source."""
        return self._sources.setdefault(source, _Published())

    def add(self, record: Record) -> None:
        """One row: its columns against the input in it, and its digest."""
        self.rows += 1
        wanted = row_columns(published_row(row_line(record)))
        if wrong := unequal(wanted, dict(record)):
            which = f"row {self.rows} ({record['source']} {record['run_id']})"
            self._findings.add(f"{which}: {wrong} not as its input")
        one = bytes.fromhex(row_digest(record))
        self.digest.update(one)
        split = OWN_NAMES[record["split"]]
        self._splits[split] += 1
        for name, column in COLUMN_OF.items():
            if (value := record[column]) is not None:
                of_value = self._counts[name].setdefault(value, {})
                of_value[split] = of_value.get(split, 0) + 1
        source = self.of(record["source"])
        source.rows += 1
        if self._keep:
            source.digests += one
            source.values += values_digest(record[name] for name in _VALUES)

    def close(self) -> None:
        """What all rows give, against what the document says."""
        found = {
            "dataset_hash": self.digest.hexdigest(),
            "example_count": self.rows,
            "split_counts": self._splits,
        }
        for name, value in found.items():
            if self._document[name] != value:
                said = self._document[name]
                self._findings.add(f"{FLEET_FILE}: {name} says {said}, the rows give {value}")
        if self._document["options"]["split_by"] == BY_TIME and self._splits != split_counts(self.rows):
            wanted = split_counts(self.rows)
            self._findings.add(f"{FLEET_FILE}: the rows are not split by time as {wanted}")
        for name, values in self._counts.items():
            if self._document["distributions"][name] != values:
                what = "outcomes" if name == OUTCOME else name
                self._findings.add(f"{FLEET_FILE}: the distribution of {what} is not that of the rows")
        said = {source["source"]: source["rows"] for source in self._document["sources"]}
        given = {name: source.rows for name, source in self._sources.items()}
        if {name: rows for name, rows in said.items() if rows} != given:
            self._findings.add(f"{FLEET_FILE}: says {said} rows by source, the rows give {given}")
