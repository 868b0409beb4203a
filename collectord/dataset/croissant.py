"""croissant.json of a snapshot: MLCommons Croissant 1.1 as JSON-LD, written by hand. Pure.

Each split is a record set of its own, because it is a file with a sum of its own: readers check the sums of
files, and not those of what a pattern matches. Without Parquet the rows are read from dataset.jsonl.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collectord.dataset.columns import (
    FLAG,
    INTEGER,
    REAL,
    ROW_COLUMNS,
    RUN_COLUMNS,
    SPLIT_NAMES,
    TEXT,
    TEXTS,
    Column,
    split_files,
)
from collectord.dataset.layout import DATASET_FILE, RUNS_FILE, RUNS_TABLE
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.rows import SPLITS
from collectord.kernel.values import format_ms

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
CONTEXT: JsonObject = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{
        term: f"cr:{term}"
        for term in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
            *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
            *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
            *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
        )
    },
}
_DATA_TYPES = {TEXT: "sc:Text", TEXTS: "sc:Text", INTEGER: "cr:Int64", REAL: "cr:Float64", FLAG: "sc:Boolean"}
_FORMATS = {
    "parquet": "application/x-parquet",
    "jsonl": "application/jsonlines",
    "json": "application/json",
    "md": "text/markdown",
    "zst": "application/zstd",
}
_ROW_LINES = (
    Column("run_id", TEXT, "The run's own id."),
    Column("started_ms", INTEGER, "Dispatch, UTC epoch milliseconds."),
    Column("split", TEXT, "train, val or test."),
    Column("tokens", TEXTS, "Token sequence of the planner input."),
)
_RUN_LINES = (
    Column("kind", TEXT, "archive or world."),
    Column("workcell_id", TEXT, "Name of the directory that the run was read from."),
    Column("run_id", TEXT, "The run's own id."),
    Column("left_out", TEXT, "Why the run is no row; null for rows."),
)


@dataclass(frozen=True, slots=True)
class CroissantFacts:
    """What the document tells: snapshot.json, name → sha256 of every file, and the last dispatch."""

    snapshot: Mapping[str, Any]
    sums: Mapping[str, str]
    newest_ms: int | None


def croissant(facts: CroissantFacts) -> JsonObject:
    """The whole document. It names no licence and no place on the web: collectord knows of none."""
    document = facts.snapshot
    found: JsonObject = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"planner_dataset_v1_{document['dataset_hash'][:12]}",
        "description": _description(document),
        "identifier": f"sha256:{document['dataset_hash']}",
        "version": "1.0.0",
        "isLiveDataset": is_live(document),
        "distribution": [file_object(name, digest) for name, digest in sorted(facts.sums.items())],
        "recordSet": list(_record_sets(document)),
    }
    if facts.newest_ms is not None:
        # Of the data, not of the publication: the same artifacts give the same bytes on any day.
        found["datePublished"] = format_ms(facts.newest_ms)[:10]
    return found


def is_live(document: Mapping[str, Any]) -> bool:
    """Whether rows are still to come: the epoch that they are from has not ended."""
    epoch = document["epoch"]
    return epoch is not None and epoch.get("ended_ms") is None


def _description(document: Mapping[str, Any]) -> str:
    return (
        f"{document['example_count']} executed plans of a Cyntra kernel, one row a run: what the planner "
        "could see at dispatch and the plan that was executed. "
        f"Profile {document['profile']}, split by {document['options']['split_by']}."
    )


def file_object(name: str, digest: str) -> JsonObject:
    """A file with its sum."""
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": _FORMATS[name.rpartition(".")[2]],
        "sha256": digest,
    }


def _record_sets(document: Mapping[str, Any]) -> Iterator[JsonObject]:
    splits = [split for split in SPLITS if document["split_counts"][split]]
    with_tables = document["parquet"] is not None
    names = [SPLIT_NAMES[split] if with_tables else split for split in splits]
    yield split_names(names)
    if not with_tables:
        yield record_set("rows", DATASET_FILE, _ROW_LINES)
        yield record_set("runs", RUNS_FILE, _RUN_LINES)
        return
    for split, name in zip(splits, names, strict=True):
        files = split_files(document["files"], split)
        for file in files:
            yield record_set(name if len(files) == 1 else table_name(file), file, ROW_COLUMNS)
    yield record_set("runs", RUNS_TABLE, RUN_COLUMNS)


def table_name(file: str) -> str:
    """`train-00000-of-00003` of a Parquet file of that name: each of several has a record set of its own."""
    return file.removeprefix("data/").removesuffix(".parquet")


def split_names(names: Sequence[str]) -> JsonObject:
    """The record set that says which splits there are."""
    field = {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [field],
        "data": [{"splits/name": name} for name in names],
    }


def record_set(name: str, file: str, columns: Sequence[Column]) -> JsonObject:
    """The records of one file, with a field for each column."""
    fields = [_field(name, file, column) for column in columns]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _field(record_set: str, file: str, column: Column) -> JsonObject:
    found: JsonObject = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{column.name}",
        "name": column.name,
        "description": column.meaning,
        "dataType": _DATA_TYPES[column.kind],
        "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
    }
    if column.kind == TEXTS:
        found |= {"isArray": True, "arrayShape": "-1"}
    if column.name == "split":
        found["references"] = {"field": {"@id": "splits/name"}}
    return found
