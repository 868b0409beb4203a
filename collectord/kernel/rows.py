"""Dataset rows: planner input, tokens and label of one run, encoded once (CONTRACT.md 6.4–6.7). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from collectord.kernel.jsonio import (
    ITEM,
    KEY,
    EncodedInput,
    JsonObject,
    Marked,
    canonical,
    encode_input,
    joined,
    marked,
    spaced,
)
from collectord.kernel.planner_input import CANDIDATES_BINS, ITERATIONS_BINS, MINUTES_BINS
from collectord.kernel.tokens import head_tokens, run_block, sequence, tokens_of
from collectord.kernel.values import format_ms

ACTION_SCHEMA = "cyntra.planner_action.v1"
Bin = int | str


def nearest_bin(value: int | None, bins: Sequence[int]) -> Bin:
    """The nearest bin, the lower on a tie; "NA" for a missing value."""
    return "NA" if value is None else min(bins, key=lambda b: (abs(b - value), b))


def budgets(action: JsonObject) -> dict[str, Bin]:
    """The three budget bins of an executed action."""
    return {
        "max_candidates_bin": nearest_bin(action["max_candidates"], CANDIDATES_BINS),
        "max_minutes_bin": nearest_bin(action["max_minutes"], MINUTES_BINS),
        "max_iterations_bin": nearest_bin(action["max_iterations"], ITERATIONS_BINS),
    }


def label_action(
    action: JsonObject, swarm_ids: Sequence[str], created_at: str, input_hash: str
) -> JsonObject:
    """The label; a missing swarm counts as serial, and one outside the action space as its first."""
    swarm = action["swarm_id"] or "serial_handoff"
    return {
        "schema_version": ACTION_SCHEMA,
        "created_at": created_at,
        "swarm_id": swarm if swarm in swarm_ids else swarm_ids[0],
        "budgets": budgets(action),
        "model": {"checkpoint_id": "executed_plan"},
        "confidence": 1.0,
        "abstain_to_default": False,
        "reason": None,
        "input_hash": input_hash,
    }


DATASET_SCHEMA = "cyntra.planner_dataset.v1"
# Part of every key that a row is kept under: raise it whenever the bytes of a row could come out otherwise.
ROW_FORMAT = 1
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

    def as_bytes(self) -> bytes:
        """Both texts; JSON never holds a NUL."""
        return f"{self.before}\0{self.after}".encode()


def row_from_bytes(data: bytes) -> RowPieces:
    """A row from its bytes; raises ValueError for any other."""
    before, after = data.decode("utf-8").split("\0")
    return RowPieces(before, after)


def row_key(*parts: object) -> bytes:
    """The key that a row is kept under: of everything that its bytes depend on."""
    return sha256(canonical([ROW_FORMAT, *parts]).encode("utf-8", "surrogatepass")).digest()


def verbatim_key(manifest_sha256: str, run_id: str, started_ms: int) -> bytes:
    """The key of a `verbatim_row`."""
    return row_key("dispatch", "verbatim", manifest_sha256, run_id, started_ms)


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
    made = encode_input(parts, encoded)
    swarm_ids = parts["action_space"]["swarm_ids"]
    label = label_action(action, swarm_ids, parts["created_at"], made.input_hash)
    return _row(run_id, started_ms, made.whole, tokens, label)


def verbatim_row(
    run_id: str,
    started_ms: int,
    planner_input: JsonObject,
    action: JsonObject,
    encoded: EncodedInput | None = None,
) -> RowPieces:
    """A row whose input is the recorded one, as it is; `encoded` where that was encoded before."""
    made = encoded or encode_input(planner_input)
    created_at = planner_input.get("created_at")
    text = created_at if isinstance(created_at, str) else format_ms(started_ms)
    label = label_action(action, planner_input["action_space"]["swarm_ids"], text, made.input_hash)
    return _row(run_id, started_ms, made.whole, tokens_of(planner_input), label)


def _row(run_id: str, started_ms: int, whole: Marked, tokens: list[str], label: JsonObject) -> RowPieces:
    head = f'{{"label_action"{KEY}{marked(label)}{ITEM}"planner_input"{KEY}{whole}'
    return RowPieces(
        f'{head}{ITEM}"run_id"{KEY}{marked(run_id)}{ITEM}',
        f'{ITEM}"started_ms"{KEY}{started_ms}{ITEM}"tokens"{KEY}{marked(tokens)}}}',
    )


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


_LINE_BREAKS = [(char.encode(), f"\\u{ord(char):04x}".encode()) for char in "\x85\u2028\u2029"]


def escape_line_breaks(data: bytes) -> bytes:
    """Escape in UTF-8 what `str.splitlines()` takes for the end of a line and JSON does not."""
    if not data.isascii():
        for char, escape in _LINE_BREAKS:
            data = data.replace(char, escape)
    return data


def line_of(row: Marked, *, escape: bool) -> str:
    """The row as it stands in dataset.jsonl, without the end of the line."""
    return spaced(Marked(escape_line_breaks(row.encode()).decode()) if escape else row)
