"""README.md of a snapshot: the dataset card, with the front matter that loaders read. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collectord.dataset.columns import ROW_COLUMNS, RUN_COLUMNS, SPLIT_NAMES, TEXTS, Column, split_files
from collectord.dataset.row_plan import DIMENSIONS, Distributions
from collectord.kernel.rows import SPLITS
from collectord.kernel.values import format_ms, is_int

_SHOWN_VALUES = 20
_SHOWN_CHARACTERS = 60
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card tells; `snapshot` is snapshot.json, `span_ms` the first and last dispatch of its rows."""

    snapshot: Mapping[str, Any]
    span_ms: tuple[int, int] | None

    @property
    def has_tables(self) -> bool:
        """Whether the rows are there as Parquet too."""
        return self.snapshot["parquet"] is not None

    @property
    def splits(self) -> list[str]:
        """The splits that have rows."""
        return [split for split in SPLITS if self.snapshot["split_counts"][split]]


def card(facts: CardFacts) -> bytes:
    """The whole file."""
    parts = [*_front_matter(facts), *_what(facts), *_from(facts), *_counts(facts)]
    parts += [
        *label_table(facts.snapshot["distributions"]),
        *_loading(facts),
        *_files(facts),
        *_columns(facts),
    ]
    return ("\n".join(parts) + "\n").encode("utf-8")


def _front_matter(facts: CardFacts) -> Iterator[str]:
    yield "---"
    yield "pretty_name: Executed plans of a Cyntra kernel"
    yield "tags:"
    yield "- cyntra"
    yield "- executed-plans"
    yield "size_categories:"
    yield f"- {size_category(facts.snapshot['example_count'])}"
    if facts.has_tables and facts.splits:
        yield from _configs(facts)
    yield "---"
    yield ""


def size_category(rows: int) -> str:
    """The category of so many rows, as loaders know it."""
    return next((name for below, name in _SIZES if rows < below), "n>1M")


def _configs(facts: CardFacts) -> Iterator[str]:
    yield "configs:"
    yield "- config_name: default"
    yield "  default: true"
    yield "  data_files:"
    for split in facts.splits:
        yield f"  - split: {SPLIT_NAMES[split]}"
        yield from _paths(split_files(facts.snapshot["files"], split))
    yield "- config_name: runs"
    yield "  data_files:"
    yield "  - split: train"
    yield "    path: runs.parquet"
    yield "dataset_info:"
    yield from features("default", ROW_COLUMNS)
    yield from features("runs", RUN_COLUMNS)


def _paths(files: Sequence[str]) -> Iterator[str]:
    if len(files) == 1:
        yield f"    path: {files[0]}"
        return
    yield "    path:"
    for name in files:
        yield f"    - {name}"


def features(config: str, columns: Sequence[Column]) -> Iterator[str]:
    """The columns of a configuration as they stand in the front matter."""
    yield f"- config_name: {config}"
    yield "  features:"
    for column in columns:
        yield f"  - name: {column.name}"
        yield "    list: string" if column.kind == TEXTS else f"    dtype: {column.kind}"


def _what(facts: CardFacts) -> Iterator[str]:
    document = facts.snapshot
    yield "# Executed plans of a Cyntra kernel"
    yield ""
    yield "One row is one run: what the planner could see when it was dispatched, and the plan that was"
    yield "executed, as a label. Made by collectord from its index of run archives."
    yield ""
    yield f"- universe: {shown(document['universe_id'])}"
    yield f"- profile: `{document['profile']}` ({_PROFILES[document['profile']]})"
    yield f"- dataset_hash: `{document['dataset_hash']}`"
    yield f"- split by: {_SPLIT_BY[document['options']['split_by']]}"
    yield from _credentials(document)
    if facts.span_ms:
        yield f"- dispatched: {format_ms(facts.span_ms[0])} to {format_ms(facts.span_ms[1])}"
    yield ""


def _credentials(document: Mapping[str, Any]) -> Iterator[str]:
    if redaction := document.get("redaction"):
        yield f"- redacted: what looked like a credential was replaced in {credentials_text(redaction)}"
    elif found := document.get("credentials"):
        yield f"- CREDENTIALS: something looks like one in {credentials_text(found)}; do not publish it"


def credentials_text(counts: Mapping[str, Any]) -> str:
    """`3 rows (2 aws, 1 slack)`."""
    kinds = ", ".join(f"{rows} {kind}" for kind, rows in counts["by_kind"].items())
    return f"{counts['rows']} {'row' if counts['rows'] == 1 else 'rows'}" + (f" ({kinds})" if kinds else "")


_PROFILES = {
    "dispatch": "what the planner saw at dispatch and nothing later",
    "builder": "as the kernel's own builder writes it, with what was known when it was built",
}
_SPLIT_BY = {
    "time": "time: the first 80 % of the rows train, the next 10 % validation, the rest test",
    "issue": "issue: all rows of an issue are in one split. This is not the kernel's split by time, "
    "and the dataset_hash is another one",
}


def _from(facts: CardFacts) -> Iterator[str]:
    epoch, environment = facts.snapshot["epoch"], facts.snapshot["environment"]
    yield "## From"
    yield ""
    if epoch is None:
        yield "No environment epoch was selected: the rows are from all runs that were indexed."
    else:
        yield "The rows are from one epoch, a stretch of runs under one policy of the kernel:"
        yield ""
        yield f"- number: {shown(epoch.get('number'))}"
        yield f"- since: {_when(epoch.get('since_ms'))}"
        yield f"- ended: {_end(epoch)}"
    if environment is not None:
        yield ""
        yield f"Its environment is {shown(environment.get('fingerprint'))}; `environment.json` has all of it."
    yield ""


def _end(epoch: Mapping[str, Any]) -> str:
    if epoch.get("ended_ms") is None:
        return "not yet; more rows may come"
    return f"{_when(epoch['ended_ms'])}, because of {shown(epoch.get('cut'))}"


def _when(value: object) -> str:
    return format_ms(value) if is_int(value) else "not known"


def _counts(facts: CardFacts) -> Iterator[str]:
    document = facts.snapshot
    yield "## Counts"
    yield ""
    yield "| split | rows |"
    yield "| --- | ---: |"
    for split in SPLITS:
        yield f"| {SPLIT_NAMES[split]} | {document['split_counts'][split]} |"
    yield f"| all | {document['example_count']} |"
    yield ""
    for title, counts in (("Left out", document["left_out"]), ("Not selected", document["not_selected"])):
        listed = ", ".join(f"{count} `{reason}`" for reason, count in sorted(counts.items()))
        yield f"{title}: {listed or 'none'}."
    yield "`rejects.jsonl` names each of them."
    if conflicts := document.get("time_conflicts"):
        listed = ", ".join(f"{count} `{reason}`" for reason, count in sorted(conflicts.items()))
        yield ""
        yield f"Runs whose times contradict each other: {listed}. Histories show them from the later time"
        yield "on, or from the arrival of the archive, and so may miss one; they never foresee one."
    yield ""


def label_table(distributions: Distributions) -> Iterator[str]:
    """The section with the counts of labels and outcomes by split."""
    yield "## Labels and outcomes"
    yield ""
    yield "| what | value | train | validation | test |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for name in DIMENSIONS:
        values = distributions[name]
        for value in sorted(values)[:_SHOWN_VALUES]:
            counts = " | ".join(str(values[value].get(split, 0)) for split in SPLITS)
            yield f"| {name} | {shown(value)} | {counts} |"
        if len(values) > _SHOWN_VALUES:
            yield f"| {name} | and {len(values) - _SHOWN_VALUES} more | | | |"
    yield ""


def _loading(facts: CardFacts) -> Iterator[str]:
    yield "## Loading"
    yield ""
    if facts.has_tables and facts.splits:
        yield from _CODE_TABLES
    elif facts.has_tables:
        yield "There are no rows, and so there is no file to load."
    else:
        yield "This directory has no Parquet files: pyarrow was not installed where it was published. Install"
        yield "`collectord[parquet]` there and export again. The rows are in `dataset.jsonl`:"
        yield ""
        yield from _CODE_LINES
    yield ""
    yield "Features are the planner input and the tokens made of it. Outcome, duration, cost and what failed"
    yield "were not known at dispatch; a model that sees them learns from the future."
    yield ""
    yield "`collectord verify DIR` proves that the directory is what was published, and `sha256sum -c"
    yield "SHA256SUMS` does half of that without collectord."
    yield ""


_CODE_TABLES = (
    "```python",
    "from datasets import load_dataset",
    "",
    'rows = load_dataset("DIR")                           # train, validation, test',
    'runs = load_dataset("DIR", "runs", split="train")    # every run that was looked at',
    "```",
    "",
    "```sql",
    "SELECT label_swarm_id, count(*) FROM 'DIR/data/*.parquet' GROUP BY ALL  -- DuckDB",
    "```",
)
_CODE_LINES = (
    "```python",
    "import json",
    "",
    'with open("DIR/dataset.jsonl", encoding="utf-8") as file:',
    "    rows = [json.loads(line) for line in file]",
    "```",
)


def _files(facts: CardFacts) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield "| file | what |"
    yield "| --- | --- |"
    for name in facts.snapshot["files"]:
        yield f"| `{name}` | {_MEANINGS.get(name, 'the rows of one split in flat columns')} |"
    yield "| `snapshot.json` | what was asked for, what came of it, software versions |"
    yield "| `SHA256SUMS` | for `sha256sum -c` |"
    yield ""


_MEANINGS = {
    "README.md": "this card",
    "croissant.json": "MLCommons Croissant 1.1",
    "dataset.jsonl": "the rows; split names are those of the kernel: train, val, test",
    "drift.json": "changes of the environment",
    "environment.json": "the environment of the epoch",
    "meta.json": "the kernel's own summary",
    "rejects.jsonl": "every run that is no row, with the reason",
    "runs.jsonl": "every run that was looked at, its revision and artifacts: what a rebuild starts from",
    "runs.parquet": "every run that was looked at, with what the index knows of it",
    "schema.json": "JSON Schema of a row in dataset.jsonl",
}


def _columns(facts: CardFacts) -> Iterator[str]:
    if not facts.has_tables:
        return
    yield "## Columns"
    for title, columns in (("data/*.parquet", ROW_COLUMNS), ("runs.parquet", RUN_COLUMNS)):
        yield ""
        yield f"`{title}`"
        yield ""
        yield from column_table(columns)


def column_table(columns: Sequence[Column]) -> Iterator[str]:
    """A row for each column."""
    yield "| column | type | what |"
    yield "| --- | --- | --- |"
    for column in columns:
        kind = "list of string" if column.kind == TEXTS else column.kind
        yield f"| `{column.name}` | {kind} | {column.meaning} |"


def shown(value: object) -> str:
    """A value from an archive as it may stand in Markdown: JSON in ASCII, never markup, never long."""
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=True)
    text = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return "`" + text.replace("`", "'").replace("|", "¦") + "`"
