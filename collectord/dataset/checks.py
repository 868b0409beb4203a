"""What a published directory is held against: its sums, its rows, its documents, its Parquet files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from collectord.dataset import layout, snapshot
from collectord.dataset.columns import ARTIFACT_COLUMNS, ROW_COLUMNS, RUN_COLUMNS, SPLIT_NAMES, split_files
from collectord.dataset.documents import described
from collectord.dataset.jsonl import file_sha256, published_row
from collectord.dataset.layout import (
    DATASET_FILE,
    RUNS_FILE,
    RUNS_TABLE,
    SCHEMA_FILE,
)
from collectord.dataset.parquet import read_parquet
from collectord.dataset.row_plan import BY_TIME, OUTCOME, Distributions, Tally, label_values
from collectord.dataset.rowschema import row_schema, violations
from collectord.dataset.tables import row_columns
from collectord.index.rows import db_text
from collectord.kernel.jsonio import JsonObject, canonical, loads
from collectord.kernel.rows import SPLITS, split_counts
from collectord.kernel.values import member

_MAX_FINDINGS = 20


class Findings(list[str]):
    """Sentences, the first twenty of them and then how many more."""

    def add(self, sentence: str) -> None:
        """Note one finding."""
        self.append(sentence)

    def sentences(self) -> tuple[str, ...]:
        """What is shown of them."""
        more = len(self) - _MAX_FINDINGS
        return (*self[:_MAX_FINDINGS], *([f"… and {more} more differences"] if more > 0 else []))


def read_document(path: Path, findings: Findings) -> dict[str, Any]:
    """A JSON object from a file; empty and a finding where it is none."""
    try:
        value = loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        findings.add(f"{path.name}: missing or not a JSON object")
        return {}
    return value


_OTHER = "has other bytes than when it was published"


def check_sums(folder: Path, findings: Findings) -> dict[str, str]:
    """Every file is listed, there and as it was; returns name → sha256 as listed."""
    sums = _read_sums(folder / layout.SUMS_FILE, findings)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not S_ISDIR(p.lstat().st_mode)}
    for name in sorted(sums.keys() - there):
        findings.add(f"{name}: missing")
    for name in sorted(there - sums.keys() - {layout.SUMS_FILE}):
        findings.add(f"{name}: not part of the snapshot (not in {layout.SUMS_FILE})")
    for name in sorted(sums.keys() & there):
        if not _is_as_published(folder / name, sums[name]):
            findings.add(f"{name}: {_OTHER}")
    return sums


def _is_as_published(path: Path, digest: str) -> bool:
    return S_ISREG(path.lstat().st_mode) and file_sha256(path) == digest


def _read_sums(path: Path, findings: Findings) -> dict[str, str]:
    """Name → digest; the file must be exactly what those sums are written as, to the last byte."""
    try:
        data = path.read_bytes()
        sums = snapshot.read_sums(data)
    except (OSError, ValueError):
        findings.add(f"{path.name}: missing or unreadable")
        return {}
    if snapshot.sums_document(sums) != data:
        findings.add(f"{path.name}: {_OTHER}")
    return sums


_OURS = row_schema()
_NO_SCHEMA = (TypeError, KeyError, AttributeError, ValueError, re.error)


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """What the rows themselves give; `labels` counts the labels of those that are rows at all."""

    rows: int
    dataset_hash: str
    split_counts: dict[str, int]
    labels: Distributions
    span_ms: tuple[int, int] | None


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, each with its end."""
    with path.open("rb") as file:
        yield from file


def check_rows(folder: Path, schema: JsonObject | None, findings: Findings) -> CheckedRows:
    """Read every row once; `schema` is the snapshot's own, None where it has none."""
    schemas = [_OURS] if schema in (None, _OURS) else [_OURS, schema]
    digest, splits, tally, number = sha256(), Counter[str](), Tally(), 0
    order: list[tuple[int, str]] = []
    for number, line in enumerate(lines_of(folder / DATASET_FILE), 1):
        row, complaint = _row(line, schemas)
        if complaint:
            findings.add(f"{DATASET_FILE}:{number}: {complaint}")
        if row is None:
            continue
        digest.update(canonical(row).encode("utf-8", "surrogatepass") + b"\n")
        splits[row["split"]] += 1
        tally.add(row["split"], label_values(row["label_action"]), None)
        here = (row["started_ms"], row["run_id"])
        if order and here < order[-1]:
            findings.add(f"{DATASET_FILE}:{number}: out of order")
        order = [*order[:1], here]
    span = (order[0][0], order[-1][0]) if order else None
    counts = {name: splits[name] for name in SPLITS}
    return CheckedRows(number, digest.hexdigest(), counts, tally.as_json(), span)


def _row(line: bytes, schemas: Sequence[Any]) -> tuple[JsonObject | None, str | None]:
    """A row, or None where it is none, and what is wrong with it."""
    try:
        row = json.loads(line.decode("utf-8"))
    except ValueError:
        return None, "not JSON"
    except RecursionError:
        return None, "nested too deeply"
    for schema in schemas:
        try:
            broken = list(violations(row, schema))
        except _NO_SCHEMA:
            broken = [f"{SCHEMA_FILE} cannot judge it"]
        if broken:
            return None, f"not a row: {', '.join(broken[:3])}"
    return row, None if line.endswith(b"\n") else "the file ends within the row"


_COUNTS = ("dataset_hash", "example_count", "split_counts")


def check_documents(
    folder: Path, meta: JsonObject, document: JsonObject, sums: Mapping[str, str], findings: Findings
) -> None:
    """What can be told without reading the rows; a directory of an older collectord has less to tell."""
    for key in _COUNTS:
        if meta and document and meta.get(key) != document.get(key):
            findings.add(f"{layout.META_FILE} and {layout.SNAPSHOT_FILE} do not say the same {key}")
    if "files" not in document:
        return
    expected = set(texts_of(document["files"])) | {layout.SNAPSHOT_FILE}
    for name in sorted(expected ^ set(sums)):
        findings.add(f"{name}: only one of {layout.SNAPSHOT_FILE} and {layout.SUMS_FILE} names it")
    _check_croissant(folder, sums, findings)
    _check_rejects(folder, document, findings)


def texts_of(value: object) -> list[str]:
    """The texts in a list; none of anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _check_croissant(folder: Path, sums: Mapping[str, str], findings: Findings) -> None:
    if layout.CROISSANT_FILE not in sums:
        return
    try:
        document = json.loads((folder / layout.CROISSANT_FILE).read_bytes())
        listed = {str(file["contentUrl"]): file["sha256"] for file in document["distribution"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        findings.add(f"{layout.CROISSANT_FILE}: does not say which files there are")
        return
    others = {name: digest for name, digest in sums.items() if name != layout.CROISSANT_FILE}
    for name in sorted(name for name in {*listed, *others} if listed.get(name) != others.get(name)):
        findings.add(f"{layout.CROISSANT_FILE}: has another sum of {name} than {layout.SUMS_FILE}")


def _check_rejects(folder: Path, document: JsonObject, findings: Findings) -> None:
    try:
        rejects = [json.loads(line) for line in lines_of(folder / layout.REJECTS_FILE)]
        runs = [json.loads(line) for line in lines_of(folder / layout.RUNS_FILE)]
        named = [(r["kind"], r["workcell_id"], r["run_id"], r["reason"]) for r in rejects]
        listed = [(r["kind"], r["workcell_id"], r["run_id"], r["left_out"]) for r in runs if r["left_out"]]
        counted = Counter(str(reason) for *_, reason in named)
        stated = Counter({**document["left_out"], **document["not_selected"]})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        findings.add(f"{layout.REJECTS_FILE} or {layout.RUNS_FILE}: not readable")
        return
    if named != listed:
        findings.add(f"{layout.REJECTS_FILE}: does not name the runs that {layout.RUNS_FILE} leaves out")
    if counted != stated:
        findings.add(f"{layout.REJECTS_FILE}: has {dict(counted)}, {layout.SNAPSHOT_FILE} {dict(stated)}")


def check_counts(name: str, document: JsonObject, checked: CheckedRows, findings: Findings) -> None:
    """meta.json or snapshot.json against what the rows give."""
    found = (checked.dataset_hash, checked.rows, checked.split_counts)
    for key, value in zip(_COUNTS, found, strict=True):
        if document and document.get(key) != value:
            findings.add(f"{name}: {key} says {document.get(key)}, the rows give {value}")


def check_described(
    folder: Path, document: JsonObject, sums: Mapping[str, str], checked: CheckedRows, findings: Findings
) -> None:
    """The split rule, the distributions, and what is written from them: the card and Croissant."""
    by_time = member(document, "options", "split_by") in (None, BY_TIME)
    if document and by_time and checked.split_counts != split_counts(checked.rows):
        wanted = split_counts(checked.rows)
        findings.add(f"{layout.SNAPSHOT_FILE}: the rows are not split by time as {wanted}")
    if "distributions" not in document:
        return
    for name, values in checked.labels.items():
        if name != OUTCOME and member(document, "distributions", name) != values:
            findings.add(f"{layout.SNAPSHOT_FILE}: the distribution of {name} is not that of the rows")
    if not findings and member(document, "software", "collectord") == version("collectord"):
        _check_rendered(folder, document, sums, checked, findings)


def _check_rendered(
    folder: Path, document: JsonObject, sums: Mapping[str, str], checked: CheckedRows, findings: Findings
) -> None:
    # Another version may word them otherwise, so this is only asked of our own.
    rendered: dict[str, Any] = {}
    try:
        data = {name: digest for name, digest in sums.items() if name not in layout.DESCRIBING}
        rendered = described(document, data, checked.span_ms)
    except (KeyError, TypeError, AttributeError, ValueError):
        findings.add(f"{layout.SNAPSHOT_FILE}: lacks what the card is written from")
    for name, wanted in rendered.items():
        if (folder / name).read_bytes() != wanted:
            findings.add(f"{name}: does not say what {layout.SNAPSHOT_FILE} and the rows say")


Record = dict[str, Any]


def check_tables(folder: Path, document: JsonObject, findings: Findings) -> None:
    """Each Parquet row says what its row of dataset.jsonl says, each run what its line of runs.jsonl does."""
    for check in (_check_rows, _check_runs):
        try:
            check(folder, document, findings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            findings.add(f"the Parquet files cannot be held against the rows: {error}")


def _check_rows(folder: Path, document: JsonObject, findings: Findings) -> None:
    tables = {split: SplitTable(folder, document, split) for split in SPLITS}
    for number, line in enumerate(lines_of(folder / DATASET_FILE), 1):
        row = published_row(line.decode("utf-8"))
        table = tables[row.split]
        if wrong := unequal(row_columns(row), next(table, None)):
            findings.add(f"{table.file}: {wrong} not as in {DATASET_FILE}:{number}")
    for table in tables.values():
        if extra := sum(1 for _ in table):
            findings.add(f"{table.file}: {extra} rows beyond those of {DATASET_FILE}")


class SplitTable:
    """The records of a split from its Parquet files; `file` is the one that the last of them was in."""

    def __init__(self, folder: Path, document: JsonObject, split: str) -> None:
        self.file = f"data/{SPLIT_NAMES[split]}"
        # What reads them knows nothing of this object: with a circle a file would stay open for a while.
        self._records = _records_of(folder, split_files(texts_of(document["files"]), split))

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        self.file, record = next(self._records)
        return record


def _records_of(folder: Path, files: Sequence[str]) -> Iterator[tuple[str, Record]]:
    for file in files:
        for record in read_parquet(folder / file, ROW_COLUMNS):
            yield file, record


def unequal(wanted: Mapping[str, Any], record: Record | None) -> str:
    """The columns in which a record is not what is wanted, as words; empty where it is."""
    if record is None:
        return "the row is missing,"
    return ", ".join(name for name, value in wanted.items() if record[name] != value)


def _check_runs(folder: Path, _document: JsonObject, findings: Findings) -> None:
    table = read_parquet(folder / RUNS_TABLE, RUN_COLUMNS)
    for number, line in enumerate(lines_of(folder / RUNS_FILE), 1):
        if wrong := unequal(_run_columns(json.loads(line)), next(table, None)):
            findings.add(f"{RUNS_TABLE}: {wrong} not as in {RUNS_FILE}:{number}")
    if extra := sum(1 for _ in table):
        findings.add(f"{RUNS_TABLE}: {extra} runs beyond those of {RUNS_FILE}")


def _run_columns(run: JsonObject) -> Record:
    artifacts = {column: run["artifacts"].get(name) for column, name in ARTIFACT_COLUMNS.items()}
    same = {name: run[name] for name in ("kind", "workcell_id", "revision", "left_out")}
    return {**same, "run_id": db_text(run["run_id"]), **artifacts}


def same_records(name: str, records: Iterator[Record], wanted: Iterator[Record], findings: Findings) -> None:
    """Hold records of a table against those that the index gives, one by one."""
    number = 0
    for number, want in enumerate(wanted, 1):
        if wrong := unequal(want, next(records, None)):
            findings.add(f"{name}: row {number}: rebuilt otherwise: {wrong}")
    if extra := sum(1 for _ in records):
        findings.add(f"{name}: {extra} rows beyond the {number} that the index gives")
