"""Where two JSON values differ, by path. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from collectord.dataset import layout, snapshot
from collectord.dataset.card import CardFacts, card
from collectord.dataset.croissant import CroissantFacts, croissant
from collectord.dataset.jsonl import Written
from collectord.dataset.parquet import pyarrow_version
from collectord.dataset.row_plan import PlannedDataset
from collectord.dataset.rowschema import row_schema
from collectord.dataset.snapshot import Provenance
from collectord.dataset.tables import CopyTable, Tables, write_tables
from collectord.index.reader import IndexReader

_SHOWN = 60


class Difference(NamedTuple):
    """A member that two values do not share; None stands for null and for a member that is not there."""

    path: str
    before: Any
    after: Any


def differences(a: Any, b: Any, path: str = "") -> Iterator[Difference]:
    """Every member that differs, as a JSON pointer; lists of different lengths differ as a whole."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from differences(a.get(key), b.get(key), f"{path}/{_escaped(key)}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{path}/{place}")
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield Difference(path, a, b)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def short(value: object) -> str:
    """A value as JSON of at most sixty characters."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "…"


@dataclass(frozen=True, slots=True)
class Contents:
    """What the documents are written from: `core` says what the snapshot is, `meta` is meta.json."""

    planned: PlannedDataset
    written: Written
    provenance: Provenance
    core: dict[str, Any]
    meta: dict[str, object]


def write_documents(
    folder: Path, contents: Contents, reader: IndexReader, copy: CopyTable
) -> tuple[dict[str, str], Tables]:
    """Write every file but dataset.jsonl, which is there, into a folder that is to be published.

    Gives the sums of all files but SHA256SUMS, and the Parquet files.
    """
    planned, written, provenance = contents.planned, contents.written, contents.provenance
    tables, pyarrow = Tables({}, {}), pyarrow_version()
    if pyarrow:
        tables = write_tables(folder, planned, written, reader, provenance, copy)
    published = snapshot.published_document(contents.core, written.tally, tables.sums, pyarrow)
    sums = {**tables.sums, layout.DATASET_FILE: written.file_sha256}
    documents = {
        layout.META_FILE: snapshot.pretty(contents.meta),
        layout.SNAPSHOT_FILE: snapshot.pretty(published),
        layout.SCHEMA_FILE: snapshot.pretty(row_schema()),
        layout.RUNS_FILE: b"".join(snapshot.runs_lines(planned)),
        layout.REJECTS_FILE: b"".join(snapshot.rejects_lines(planned)),
        **snapshot.provenance_documents(provenance),
    }
    sums |= _sums(documents)
    documents |= described(published, sums, _span_ms(planned))
    sums |= _sums(documents)
    documents[layout.SUMS_FILE] = snapshot.sums_document(sums)
    for name, data in documents.items():
        (folder / name).write_bytes(data)
    return sums, tables


def described(
    published: Mapping[str, Any], sums: Mapping[str, str], span_ms: tuple[int, int] | None
) -> dict[str, bytes]:
    """The card and Croissant, which tell of the other files: `sums` are theirs, `span_ms` of the rows."""
    readme = card(CardFacts(published, span_ms))
    known = {**sums, layout.CARD_FILE: sha256(readme).hexdigest()}
    about = CroissantFacts(published, known, span_ms and span_ms[1])
    return {layout.CARD_FILE: readme, layout.CROISSANT_FILE: snapshot.pretty(croissant(about))}


def _sums(documents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(data).hexdigest() for name, data in documents.items()}


def _span_ms(planned: PlannedDataset) -> tuple[int, int] | None:
    runs = planned.runs
    return (runs[0].started_ms, runs[-1].started_ms) if runs else None
