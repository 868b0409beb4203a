"""fleet.json, the card and Croissant of a fleet's dataset. Pure."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from collectord.dataset.card import (
    column_table,
    credentials_text,
    features,
    label_table,
    shown,
    size_category,
)
from collectord.dataset.columns import SPLIT_NAMES
from collectord.dataset.credentials import detector_version
from collectord.dataset.croissant import (
    CONFORMS_TO,
    CONTEXT,
    file_object,
    record_set,
    split_names,
    table_name,
)
from collectord.dataset.layout import CARD_FILE, CROISSANT_FILE, SUMS_FILE
from collectord.dataset.parquet import pyarrow_version
from collectord.dataset.row_plan import DIMENSIONS, HISTORY_RULE
from collectord.dataset.snapshot import pretty, sums_document
from collectord.fleet.manifest import Push
from collectord.fleet.merge import Merged
from collectord.fleet.options import FLEET_COLUMNS, FleetOptions
from collectord.fleet.parts import MadePart
from collectord.fleet.render import Failed, Rendered
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.rows import SPLITS
from collectord.kernel.values import format_ms

SCHEMA = "collectord.fleet_dataset.v1"
FLEET_FILE = "fleet.json"
_OF_RENDERED = (
    *("rows", "dataset_hash", "universe_id", "left_out", "not_selected", "input_hashes", "time_conflicts"),
    *("rows_by_environment", "credentials"),
)
_OF_PUSH = (
    *("sequence", "sha256", "index_sha256", "index_schema", "identity", "host", "repo", "collectord"),
    "made_ms",
)


def source_document(
    push: Push, rendered: Rendered, problems: Sequence[str], options: FleetOptions
) -> JsonObject:
    """A source as it stands in fleet.json: its push, its environments and epochs, and what came of it."""
    wanted = options.environments
    chosen = [one for one in push.environments if wanted is None or one.fingerprint in wanted]
    return {
        "source": push.source,
        **{name: getattr(push, name) for name in _OF_PUSH},
        "environments": [one.fingerprint for one in chosen],
        "epochs": sorted({number for one in chosen for number in one.epochs}),
        "universe": push.universe.model_dump(mode="json"),
        **{name: rendered.document[name] for name in _OF_RENDERED},
        "problems": list(problems),
    }


def fleet_document(
    options: FleetOptions,
    merged: Merged,
    sources: Sequence[JsonObject],
    missing: Sequence[Failed],
    without: Sequence[str],
) -> JsonObject:
    """fleet.json without what the files add: what was asked for, what came of it, and from whom."""
    return {
        "schema": SCHEMA,
        "options": options.as_json(),
        "dataset_hash": merged.dataset_hash,
        "example_count": merged.rows,
        "split_counts": merged.split_counts,
        "span_ms": None if merged.span_ms is None else list(merged.span_ms),
        "sources": list(sources),
        "missing": [{"source": one.source, "why": one.why} for one in missing],
        # Sources that have no run under the environments that were asked for.
        "without_runs": list(without),
        "history_rule": HISTORY_RULE,
        "redaction": {"detect-secrets": detector_version()} if options.redact else None,
        "parquet": {"pyarrow": pyarrow_version()},
        "software": {"collectord": version("collectord"), "python": platform.python_version()},
    }


def same_content(document: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two datasets hold the same rows of the same sources, asked for in the same way."""
    return bool(_content(document) == _content(other))


def _content(document: Mapping[str, Any]) -> Any:
    try:
        sources = [
            [one[name] for name in ("source", "identity", *_OF_RENDERED)] for one in document["sources"]
        ]
        missing = [one["source"] for one in document["missing"]]
        return [document["options"], document["dataset_hash"], sources, missing, document["without_runs"]]
    except (KeyError, TypeError):
        return None


def distributions(parts: Sequence[MadePart]) -> dict[str, dict[str, dict[str, int]]]:
    """Dimension → value → split → rows."""
    found: dict[str, dict[str, dict[str, int]]] = {name: {} for name in DIMENSIONS}
    for part in parts:
        for name, values in part.counts.items():
            for value, count in values.items():
                of_value = found[name].setdefault(value, {})
                of_value[part.split] = of_value.get(part.split, 0) + count
    return {name: dict(sorted(values.items())) for name, values in found.items()}


def describing(document: JsonObject, parts: Sequence[MadePart]) -> dict[str, bytes]:
    """Every file of a dataset but those of the rows; SHA256SUMS comes last."""
    sums = {file.name: file.sha256 for part in parts for file in part.files}
    files = sorted([*sums, CARD_FILE, CROISSANT_FILE])
    complete = {**document, "distributions": distributions(parts), "files": files}
    documents = {FLEET_FILE: pretty(complete)}
    documents |= described(complete, {**sums, FLEET_FILE: sha256(documents[FLEET_FILE]).hexdigest()})
    sums |= {name: sha256(data).hexdigest() for name, data in documents.items()}
    return {**documents, SUMS_FILE: sums_document(sums)}


def described(document: Mapping[str, Any], sums: Mapping[str, str]) -> dict[str, bytes]:
    """The card and Croissant, which tell of the other files: `sums` are theirs."""
    readme = card(document)
    known = {**sums, CARD_FILE: sha256(readme).hexdigest()}
    return {CARD_FILE: readme, CROISSANT_FILE: pretty(croissant(document, known))}


def tables_of(document: Mapping[str, Any], split: str) -> list[str]:
    """The Parquet files of a split (`train`, `val`, `test`), in order."""
    return [name for name in document["files"] if name.startswith(f"data/{SPLIT_NAMES[split]}-")]


def card(document: Mapping[str, Any]) -> bytes:
    """README.md of the dataset."""
    parts = [*_front_matter(document), *_what(document), *_sources(document), *_counts(document)]
    parts += [*label_table(document["distributions"]), *_loading(document), *_files(document)]
    parts += ["## Columns", "", *column_table(FLEET_COLUMNS)]
    return ("\n".join(parts) + "\n").encode("utf-8")


def _front_matter(document: Mapping[str, Any]) -> Iterator[str]:
    yield from ("---", "pretty_name: Executed plans of many Cyntra kernels")
    yield from ("tags:", "- cyntra", "- executed-plans", "size_categories:")
    yield f"- {size_category(document['example_count'])}"
    if document["example_count"]:
        yield from ("configs:", "- config_name: default", "  default: true", "  data_files:")
        for split in SPLITS:
            if tables_of(document, split):
                yield f"  - split: {SPLIT_NAMES[split]}"
                yield f"    path: data/{SPLIT_NAMES[split]}-*.parquet"
        yield "dataset_info:"
        yield from features("default", FLEET_COLUMNS)
    yield from ("---", "")


_SPLIT_BY = {
    "time": "time: the first 80 % of the rows of all sources train, the next 10 % validation, the rest test",
    "issue": "issue: all rows of an issue id are in one split, whichever source they are from",
    "source": "source: all rows of a source are in one split",
}


def _what(document: Mapping[str, Any]) -> Iterator[str]:
    environments = document["options"]["environments"]
    yield "# Executed plans of many Cyntra kernels"
    yield ""
    yield "One row is one run: what the planner could see when it was dispatched, and the plan that was"
    yield "executed, as a label. Made by collectord from the indexes of several repos; the column `source`"
    yield "says which."
    yield ""
    yield "- profile: `dispatch` (what the planner saw at dispatch and nothing later)"
    yield f"- dataset_hash: `{document['dataset_hash']}`"
    yield f"- split by: {_SPLIT_BY[document['options']['split_by']]}"
    if environments is None:
        yield "- environments: all; equal issues can have other labels in each"
    else:
        yield f"- environments: {', '.join(map(shown, environments))}"
    if document["span_ms"]:
        yield f"- dispatched: {format_ms(document['span_ms'][0])} to {format_ms(document['span_ms'][1])}"
    yield from _credentials(document)
    yield ""


def _credentials(document: Mapping[str, Any]) -> Iterator[str]:
    kinds: dict[str, int] = {}
    for source in document["sources"]:
        for kind, rows in source["credentials"]["by_kind"].items():
            kinds[kind] = kinds.get(kind, 0) + rows
    rows = sum(source["credentials"]["rows"] for source in document["sources"])
    text = credentials_text({"rows": rows, "by_kind": dict(sorted(kinds.items()))})
    if document["options"]["redact"]:
        yield f"- redacted: what looked like a credential was replaced in {text}"
    elif rows:
        yield f"- CREDENTIALS: something looks like one in {text}; do not publish it"


def _sources(document: Mapping[str, Any]) -> Iterator[str]:
    yield "## Sources"
    yield ""
    yield "| source | push | rows | left out | not selected |"
    yield "| --- | ---: | ---: | --- | --- |"
    for source in document["sources"]:
        cells = [shown(source["source"]), str(source["sequence"]), str(source["rows"])]
        cells += [_listed(source[name]) for name in ("left_out", "not_selected")]
        yield f"| {' | '.join(cells)} |"
    yield ""
    if document["without_runs"]:
        names = ", ".join(map(shown, document["without_runs"]))
        yield f"Without a run under these environments: {names}."
        yield ""
    for one in document["missing"]:
        yield f"MISSING: {shown(one['source'])}: {shown(one['why'])}"
        yield ""
    yield "`fleet.json` has the digests of each push, and the `dataset_hash` that its source gives by itself."
    yield ""


def _listed(counts: Mapping[str, int]) -> str:
    found: dict[str, int] = {}
    for reason, count in counts.items():
        kind = reason.partition(" ")[0]  # a copy names its original
        found[kind] = found.get(kind, 0) + count
    return ", ".join(f"{count} `{reason}`" for reason, count in sorted(found.items())) or "none"


def _counts(document: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Counts", "", "| split | rows | files |", "| --- | ---: | ---: |")
    for split in SPLITS:
        count = document["split_counts"][split]
        yield f"| {SPLIT_NAMES[split]} | {count} | {len(tables_of(document, split))} |"
    yield f"| all | {document['example_count']} | |"
    yield ""


def _loading(document: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Loading", "")
    if not document["example_count"]:
        yield from ("There are no rows, and so there is no file to load.", "")
        return
    yield from _CODE
    yield ""
    yield "Features are the planner input and the tokens made of it. Outcome, duration, cost and what failed"
    yield "were not known at dispatch; a model that sees them learns from the future. Run ids of two sources"
    yield "can be the same: a row is known by `source` and `run_id`."
    yield ""


_CODE = (
    "```python",
    "from datasets import load_dataset",
    "",
    'rows = load_dataset("DIR")             # train, validation, test',
    "```",
    "",
    "```python",
    "import dask.dataframe",
    "",
    'rows = dask.dataframe.read_parquet("DIR/data/train-*.parquet")',
    "```",
    "",
    "```sql",
    "SELECT source, label_swarm_id, count(*) FROM 'DIR/data/*.parquet' GROUP BY ALL  -- DuckDB",
    "```",
)


def _files(document: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Files", "", "| file | what |", "| --- | --- |")
    yield f"| `data/*.parquet` | the rows of each split, {document['options']['shard_rows']} in a file |"
    yield "| `fleet.json` | what was asked for, every source with its push and what came of it |"
    if document["options"]["jsonl"]:
        yield "| `dataset/*.jsonl.zst` | the rows once more, a line of JSON each |"
    yield "| `croissant.json` | MLCommons Croissant 1.1 |"
    yield "| `SHA256SUMS` | for `sha256sum -c` |"
    yield ""


def croissant(document: Mapping[str, Any], sums: Mapping[str, str]) -> JsonObject:
    """croissant.json; each file of rows is a record set of its own, because it is a file with a sum."""
    found: JsonObject = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"planner_fleet_v1_{document['dataset_hash'][:12]}",
        "description": (
            f"{document['example_count']} executed plans of {len(document['sources'])} Cyntra repos, "
            "one row a run: what the planner could see at dispatch and the plan that was executed. "
            f"Split by {document['options']['split_by']}."
        ),
        "identifier": f"sha256:{document['dataset_hash']}",
        "version": "1.0.0",
        "isLiveDataset": False,
        "distribution": [file_object(name, digest) for name, digest in sorted(sums.items())],
        "recordSet": list(_record_sets(document)),
    }
    if document["span_ms"] is not None:
        # Of the data, not of the publication: the same pushes give the same bytes on any day.
        found["datePublished"] = format_ms(document["span_ms"][1])[:10]
    return found


def _record_sets(document: Mapping[str, Any]) -> Iterator[JsonObject]:
    yield split_names([SPLIT_NAMES[split] for split in SPLITS if tables_of(document, split)])
    for split in SPLITS:
        for name in tables_of(document, split):
            yield record_set(table_name(name), name, FLEET_COLUMNS)
