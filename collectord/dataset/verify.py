"""Is a snapshot what it says it is, and does the index make it again? Each finding is one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.dataset import layout, snapshot
from collectord.dataset.checks import (
    CheckedRows,
    Findings,
    Record,
    SplitTable,
    check_counts,
    check_described,
    check_documents,
    check_rows,
    check_sums,
    check_tables,
    lines_of,
    read_document,
    same_records,
    unequal,
)
from collectord.dataset.columns import RUN_COLUMNS, SPLIT_NAMES
from collectord.dataset.credentials import detector_version
from collectord.dataset.documents import differences, short
from collectord.dataset.inputs import plan_dataset
from collectord.dataset.jsonl import row_head, whole_rows
from collectord.dataset.parquet import pyarrow_version, read_parquet
from collectord.dataset.row_plan import (
    BUILDER,
    FIRST_RULE,
    OTHER_EPOCH,
    ExportOptions,
    PlannedDataset,
    RunKeys,
    options_from_json,
)
from collectord.dataset.snapshot import Provenance
from collectord.dataset.tables import count_rows, outcome_columns, run_values
from collectord.errors import CollectordError
from collectord.index.opening import reader_for
from collectord.index.reader import IndexReader, Revisions
from collectord.index.runs import facts_of, tools_of
from collectord.kernel.jsonio import JsonObject, Marked
from collectord.kernel.rows import line_of
from collectord.kernel.values import as_object, is_int

if TYPE_CHECKING:
    from collectord.config import Settings


def check_rebuilt(
    folder: Path, document: JsonObject, reader: IndexReader, repo: Path, findings: Findings
) -> None:
    """Make the snapshot again from the revisions it names, with the options it names."""
    try:
        options = options_from_json(document["options"])
        only, other_epoch = _revisions(folder / layout.RUNS_FILE)
    except (KeyError, TypeError, ValueError, OSError, RecursionError):
        findings.add(f"{layout.SNAPSHOT_FILE} and {layout.RUNS_FILE} do not say what to rebuild from")
        return
    rule = document.get("history_rule", FIRST_RULE)
    planned = plan_dataset(reader, repo, options, only, other_epoch, rule=rule)
    known = len(planned.runs) + len(planned.rejects)
    if known != len(only):
        findings.add(f"{len(only) - known} of its {len(only)} runs are not in this index")
    _compare_rows(folder, options, whole_rows(planned, options), findings)
    redacted_by = as_object(document.get("redaction")).get("detect-secrets")
    if findings and options.redact and redacted_by != detector_version():
        findings.add(
            f"it was redacted by detect-secrets {redacted_by}, and here {detector_version()} is installed"
        )
    _compare_lines(folder / layout.RUNS_FILE, snapshot.runs_lines(planned), findings)
    _compare_document(document, planned, findings)
    if "files" in document:
        _compare_lines(folder / layout.REJECTS_FILE, snapshot.rejects_lines(planned), findings)
    if "files" in document and not findings:
        try:
            _compare_outcomes(folder, document, planned, reader, findings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            findings.add(f"the outcomes cannot be held against the index: {error}")


def _revisions(path: Path) -> tuple[Revisions, RunKeys]:
    """The revision of every run that was looked at, and which of them were left out as of another epoch."""
    found, other_epoch = {}, set()
    for line in lines_of(path):
        run = json.loads(line)
        key = run["kind"], run["workcell_id"]
        found[key] = str(run["revision"])
        if run["left_out"] == OTHER_EPOCH:
            other_epoch.add(key)
    return found, other_epoch


def _compare_rows(folder: Path, options: ExportOptions, rows: Iterator[Marked], findings: Findings) -> None:
    published = lines_of(folder / layout.DATASET_FILE)
    number = 0
    for number, row in enumerate(rows, 1):
        text = line_of(row, escape=options.profile != BUILDER)
        line = next(published, b"").decode("utf-8", "replace").removesuffix("\n")
        if line != text:
            findings.add(f"{layout.DATASET_FILE}:{number}: rebuilt otherwise: {_difference(line, text)}")
    extra = sum(1 for _ in published)
    if extra:
        findings.add(f"{layout.DATASET_FILE}: {extra} rows beyond the {number} that the index gives")


def _difference(published: str, rebuilt: str) -> str:
    """The members of two rows that differ, by path."""
    try:
        found = list(differences(json.loads(published), json.loads(rebuilt)))
    except (ValueError, RecursionError):
        return "the published line is not JSON"
    differing = [f"{d.path} is {short(d.before)}, rebuilt {short(d.after)}" for d in found[:5]]
    return ", ".join(differing) or "the same values in other bytes"


def _compare_lines(path: Path, wanted: Iterator[bytes], findings: Findings) -> None:
    published = lines_of(path) if path.is_file() else iter(())
    number = 0
    for number, line in enumerate(wanted, 1):
        if next(published, b"") != line:
            findings.add(f"{path.name}:{number}: rebuilt otherwise")
    if extra := sum(1 for _ in published):
        findings.add(f"{path.name}: {extra} lines beyond the {number} that the index gives")


def _compare_document(document: JsonObject, planned: PlannedDataset, findings: Findings) -> None:
    wanted: dict[str, Any] = {
        "universe_id": planned.universe_id,
        "left_out": planned.left_out,
        "not_selected": planned.not_selected,
        "input_hashes": dict(planned.input_hashes),
        "runs_digest": planned.runs_digest,
    }
    for key, value in wanted.items():
        if document.get(key) != value:
            findings.add(
                f"{layout.SNAPSHOT_FILE}: {key} is {short(document.get(key))}, rebuilt {short(value)}"
            )


def _compare_outcomes(
    folder: Path, document: JsonObject, planned: PlannedDataset, reader: IndexReader, findings: Findings
) -> None:
    """What only the index can give: outcomes, and the columns of runs. The rows are as they should be."""
    if document["distributions"] != count_rows(folder, planned).as_json():
        findings.add(f"{layout.SNAPSHOT_FILE}: the distributions are not those that the index gives")
    if document["parquet"] is None or pyarrow_version() is None:
        return
    runs = read_parquet(folder / layout.RUNS_TABLE, RUN_COLUMNS)
    same_records(layout.RUNS_TABLE, runs, _run_records(planned, reader), findings)
    known = Provenance(document["epoch"], document["environment"])
    tables = {split: SplitTable(folder, document, split) for split in SPLIT_NAMES}
    tools = tools_of(reader.connection, planned.runs)
    for line, run in zip(lines_of(folder / layout.DATASET_FILE), planned.runs, strict=True):
        split = row_head(line.decode("utf-8")).split
        wanted = outcome_columns(run, tools[run.kind, run.name], known)
        if wrong := unequal(wanted, next(tables[split], None)):
            findings.add(f"{tables[split].file}: {wrong} of {run.name} rebuilt otherwise")


def _run_records(planned: PlannedDataset, reader: IndexReader) -> Iterator[Record]:
    listed = snapshot.listed_runs(planned)
    names = [column.name for column in RUN_COLUMNS]
    for (run, reason), facts in zip(
        listed, facts_of(reader.connection, [run for run, _ in listed]), strict=True
    ):
        yield dict(zip(names, run_values(run, reason, facts), strict=True))


SUMS, DOCUMENTS, ROWS, TABLES, REBUILD = "sums", "documents", "rows and hash", "Parquet", "rebuild"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked, what could not be and why, and what was found; no findings means that all is well.

    `rows` and `dataset_hash` are counted from the rows, or as meta.json says where only sums were looked at.
    """

    rows: int
    dataset_hash: str | None
    checked: tuple[str, ...]
    skipped: tuple[str, ...]
    findings: tuple[str, ...]

    @property
    def rebuilt(self) -> bool:
        """Whether the rows were made again from the index."""
        return REBUILD in self.checked


def verify_snapshot(
    folder: Path, rebuild: tuple[IndexReader, Path] | None = None, *, fast: bool = False
) -> Verified:
    """Check sums and documents, unless `fast` rows and tables too, and with `rebuild` (index, repo) all."""
    if not (folder / layout.DATASET_FILE).is_file():
        raise CollectordError(f"{folder}: there is no {layout.DATASET_FILE} in it; name a dataset directory")
    check = _Check(folder)
    check.sums_and_documents()
    if fast:
        return check.result(check.meta.get("example_count"), check.meta.get("dataset_hash"))
    checked = check.rows()
    if rebuild is not None:
        check.checked.append(REBUILD)
        check_rebuilt(folder, check.document, *rebuild, check.findings)
    return check.result(checked.rows, checked.dataset_hash)


class _Check:
    """One directory under check: its documents, and what was found so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.findings = Findings()
        self.checked, self.skipped = [SUMS, DOCUMENTS], list[str]()
        self.sums: dict[str, str] = {}
        self.meta: dict[str, Any] = {}
        self.document: dict[str, Any] = {}

    def sums_and_documents(self) -> None:
        self.sums = check_sums(self.folder, self.findings)
        self.meta = read_document(self.folder / layout.META_FILE, self.findings)
        self.document = read_document(self.folder / layout.SNAPSHOT_FILE, self.findings)
        check_documents(self.folder, self.meta, self.document, self.sums, self.findings)

    def rows(self) -> CheckedRows:
        schema = None
        if layout.SCHEMA_FILE in self.sums:
            schema = read_document(self.folder / layout.SCHEMA_FILE, self.findings)
        checked = check_rows(self.folder, schema, self.findings)
        self.checked.append(ROWS)
        check_counts(layout.META_FILE, self.meta, checked, self.findings)
        check_counts(layout.SNAPSHOT_FILE, self.document, checked, self.findings)
        check_described(self.folder, self.document, self.sums, checked, self.findings)
        if self.document.get("parquet") is not None:
            self.tables()
        return checked

    def tables(self) -> None:
        # Damaged files are found already, and what they would give is no use.
        if pyarrow_version() is None:
            self.skipped.append(
                "Parquet was only held against its sums: the extra `parquet` is not installed"
            )
        elif not self.findings:
            self.checked.append(TABLES)
            check_tables(self.folder, self.document, self.findings)

    def result(self, rows: object, dataset_hash: object) -> Verified:
        return Verified(
            rows=rows if is_int(rows) else 0,
            dataset_hash=dataset_hash if isinstance(dataset_hash, str) else None,
            checked=tuple(self.checked),
            skipped=tuple(self.skipped),
            findings=self.findings.sentences(),
        )


def verify(settings: Settings | None, folder: Path, *, fast: bool = False) -> Verified:
    """Check a snapshot directory; with settings its rows are made again from their index too."""
    if settings is None:
        return verify_snapshot(folder, fast=fast)
    with reader_for(settings) as reader:
        return verify_snapshot(folder, (reader, settings.repo))
