"""Writing the files of a snapshot beside its rows, and the sums of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.export import snapshot
from collectord.export.card import CardFacts, card
from collectord.export.croissant import CroissantFacts, croissant
from collectord.export.dataset import Written, file_sha256
from collectord.export.parquet import pyarrow_version
from collectord.export.planned import PlannedDataset
from collectord.export.provenance import Provenance
from collectord.export.rowschema import row_schema
from collectord.export.tables import count_rows, write_tables
from collectord.index.reader import IndexReader


@dataclass(frozen=True, slots=True)
class Contents:
    """What the documents are written from: `core` says what the snapshot is, `meta` is meta.json."""

    planned: PlannedDataset
    written: Written
    provenance: Provenance
    core: dict[str, Any]
    meta: dict[str, object]


def write_documents(folder: Path, contents: Contents, reader: IndexReader) -> None:
    """Write every file but dataset.jsonl, which is there, into a folder that is to be published."""
    planned, provenance = contents.planned, contents.provenance
    pyarrow = pyarrow_version()
    tally = write_tables(folder, planned, reader, provenance) if pyarrow else count_rows(folder, planned)
    published = snapshot.published_document(contents.core, tally, pyarrow)
    sums = {name: file_sha256(folder / name) for name in published["files"] if name.endswith(".parquet")}
    sums[snapshot.DATASET_FILE] = contents.written.file_sha256
    documents = {
        snapshot.META_FILE: snapshot.pretty(contents.meta),
        snapshot.SNAPSHOT_FILE: snapshot.pretty(published),
        snapshot.SCHEMA_FILE: snapshot.pretty(row_schema()),
        snapshot.RUNS_FILE: b"".join(snapshot.runs_lines(planned)),
        snapshot.REJECTS_FILE: b"".join(snapshot.rejects_lines(planned)),
        snapshot.CARD_FILE: card(CardFacts(published, _span_ms(planned))),
    }
    for name, document in snapshot.provenance_documents(provenance).items():
        documents[name] = snapshot.pretty(document)
    sums.update((name, sha256(data).hexdigest()) for name, data in documents.items())
    about = CroissantFacts(published, sums, planned.runs[-1].started_ms if planned.runs else None)
    documents[snapshot.CROISSANT_FILE] = snapshot.pretty(croissant(about))
    sums[snapshot.CROISSANT_FILE] = sha256(documents[snapshot.CROISSANT_FILE]).hexdigest()
    documents[snapshot.SUMS_FILE] = snapshot.sums_document(sums)
    for name, data in documents.items():
        (folder / name).write_bytes(data)


def _span_ms(planned: PlannedDataset) -> tuple[int, int] | None:
    runs = planned.runs
    return (runs[0].started_ms, runs[-1].started_ms) if runs else None
