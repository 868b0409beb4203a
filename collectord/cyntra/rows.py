"""Dataset rows: planner input, tokens and label of one run, encoded once (CONTRACT.md 6.4–6.7). Pure.

A row is built from pieces that are already encoded, because a run's summary stands in up to n other
rows. The split is not known until all rows are, so a row is kept as what stands before and after it.
Both written forms come from one encoding (`jsonio.marked`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby

from collectord.cyntra.jsonio import (
    ITEM,
    KEY,
    JsonObject,
    Marked,
    compact,
    joined,
    marked,
    marked_members,
    spaced,
)
from collectord.cyntra.label import label_action
from collectord.cyntra.tokens import head_tokens, run_block, sequence, tokens_of

DATASET_SCHEMA = "cyntra.planner_dataset.v1"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class HistoryRun:
    """A run's summary, encoded once for every row that shows it."""

    summary: Marked
    block: list[str]


@dataclass(frozen=True, slots=True)
class RowPieces:
    """A row around its split: `{before}"split": "train"{after}`, with its marks."""

    before: str
    after: str

    def with_split(self, split: str) -> Marked:
        """The whole row."""
        return Marked(f'{self.before}"split"{KEY}"{split}"{self.after}')


def history_run(summary: JsonObject) -> HistoryRun:
    """Encode a run summary for use in histories."""
    return HistoryRun(marked(summary), run_block(summary))


def rebuilt_row(
    run_id: str, started_ms: int, parts: JsonObject, history: Sequence[HistoryRun], action: JsonObject
) -> RowPieces:
    """A row whose input is built from parts and a history."""
    runs = joined(*[run.summary for run in history])
    encoded = {"history": f'"history"{KEY}{{"last_n_similar_runs"{KEY}[{runs}]}}'}
    tokens = sequence(head_tokens(parts), [run.block for run in history])
    swarm_ids = parts["action_space"]["swarm_ids"]
    return _row(run_id, started_ms, parts, encoded, tokens, action, swarm_ids, parts["created_at"])


def verbatim_row(
    run_id: str, started_ms: int, planner_input: JsonObject, action: JsonObject, created_at: str
) -> RowPieces:
    """A row whose input is the recorded one, as it is."""
    swarm_ids = planner_input["action_space"]["swarm_ids"]
    tokens = tokens_of(planner_input)
    return _row(run_id, started_ms, planner_input, {}, tokens, action, swarm_ids, created_at)


def _row(
    run_id: str,
    started_ms: int,
    parts: JsonObject,
    encoded: Mapping[str, str],
    tokens: list[str],
    action: JsonObject,
    swarm_ids: Sequence[str],
    created_at: str,
) -> RowPieces:
    whole, hashed = _input(parts, encoded)
    input_hash = sha256(compact(hashed).encode("utf-8")).hexdigest()
    label = marked(label_action(action, swarm_ids, created_at, input_hash))
    return RowPieces(
        f'{{"label_action"{KEY}{label}{ITEM}"planner_input"{KEY}{whole}{ITEM}"run_id"{KEY}{marked(run_id)}{ITEM}',
        f'{ITEM}"started_ms"{KEY}{started_ms}{ITEM}"tokens"{KEY}{marked(tokens)}}}',
    )


def _input(parts: JsonObject, encoded: Mapping[str, str]) -> tuple[Marked, Marked]:
    """A planner input of parts and members that are encoded already: whole, and as it is hashed."""
    apart = dict(encoded)
    if "created_at" in parts:
        apart["created_at"] = marked_members({"created_at": parts["created_at"]})
    members: list[tuple[str, str]] = []
    for is_apart, keys in groupby(sorted({*parts, *apart}), apart.__contains__):
        if is_apart:
            members += [(key, apart[key]) for key in keys]
        else:
            members.append(("", marked_members({key: parts[key] for key in keys})))
    hashed = joined(*[text for key, text in members if key != "created_at"])
    return Marked(f"{{{joined(*[text for _, text in members])}}}"), Marked(f"{{{hashed}}}")


def split_of(position: int, total: int) -> str:
    """The split by time: the first int(0.8·n) rows train, the next int(0.1·n) val, the rest test."""
    train = int(0.8 * total)
    if position < train:
        return "train"
    return "val" if position < train + int(0.1 * total) else "test"


def split_of_issue(issue_id: str) -> str:
    """The split of every row of an issue, by hash: 80, 10 and 10 % of the issues, whichever others there are.

    Not the kernel's way: a dataset that is split so has another hash.
    """
    share = int.from_bytes(sha256(f"split:{issue_id}".encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return SPLITS[(share * 10 >> 64 > 7) + (share * 10 >> 64 > 8)]


def split_counts(total: int) -> dict[str, int]:
    """Rows in each split."""
    train, val = int(0.8 * total), int(0.1 * total)
    return {"train": train, "val": val, "test": total - train - val}


def escape_line_breaks(text: str) -> str:
    """Escape what `str.splitlines()` takes for the end of a line and JSON does not."""
    if text.isascii():
        return text
    return text.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def line_of(row: Marked, *, escape: bool) -> str:
    """The row as it stands in dataset.jsonl, without the end of the line."""
    return spaced(Marked(escape_line_breaks(row)) if escape else row)
