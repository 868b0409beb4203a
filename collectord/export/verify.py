"""Is a snapshot what it says it is? Each finding is one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectord.cyntra.values import is_int
from collectord.errors import CollectordError
from collectord.export import snapshot
from collectord.export.checks.documents import check_counts, check_described, check_documents
from collectord.export.checks.findings import Findings, check_sums, read_document
from collectord.export.checks.rebuild import check_rebuilt
from collectord.export.checks.rows import CheckedRows, check_rows
from collectord.export.checks.tables import check_tables
from collectord.export.parquet import pyarrow_version
from collectord.index.reader import IndexReader

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
    if not (folder / snapshot.DATASET_FILE).is_file():
        raise CollectordError(
            f"{folder}: there is no {snapshot.DATASET_FILE} in it; name a dataset directory"
        )
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
        self.meta = read_document(self.folder / snapshot.META_FILE, self.findings)
        self.document = read_document(self.folder / snapshot.SNAPSHOT_FILE, self.findings)
        check_documents(self.folder, self.meta, self.document, self.sums, self.findings)

    def rows(self) -> CheckedRows:
        schema = None
        if snapshot.SCHEMA_FILE in self.sums:
            schema = read_document(self.folder / snapshot.SCHEMA_FILE, self.findings)
        checked = check_rows(self.folder, schema, self.findings)
        self.checked.append(ROWS)
        check_counts(snapshot.META_FILE, self.meta, checked, self.findings)
        check_counts(snapshot.SNAPSHOT_FILE, self.document, checked, self.findings)
        check_described(self.folder, self.document, self.sums, checked, self.findings)
        if self.document.get("parquet") is not None:
            self.tables()
        return checked

    def tables(self) -> None:
        # Damaged files are found already, and what they would give is no use.
        if pyarrow_version() is None:
            self.skipped.append(
                "Parquet was only held against its sums: collectord[parquet] is not installed"
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
            findings=self.findings.told(),
        )
