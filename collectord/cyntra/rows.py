"""Dataset rows: planner input, tokens and label of one run, encoded once (CONTRACT.md 6.4–6.7). Pure.

A row is built from pieces that are already encoded, because a run's summary stands in up to n other
rows. The split is not known until all rows are, so a row is kept as what stands before and after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from collectord.cyntra.jsonio import JsonObject, Rendered, render, render_array, render_object
from collectord.cyntra.label import label_action
from collectord.cyntra.tokens import head_tokens, run_block, sequence, tokens_of

DATASET_SCHEMA = "cyntra.planner_dataset.v1"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class HistoryRun:
    """A run's summary, encoded once for every row that shows it."""

    summary: Rendered
    block: list[str]


@dataclass(frozen=True, slots=True)
class RowPieces:
    """A row around its split: `{before}"split": "train"{after}` in both written forms."""

    before: Rendered
    after: Rendered

    def with_split(self, split: str) -> Rendered:
        """The whole row."""
        return Rendered(
            f'{self.before.compact}"split":"{split}"{self.after.compact}',
            f'{self.before.spaced}"split": "{split}"{self.after.spaced}',
        )


def history_run(summary: JsonObject) -> HistoryRun:
    """Encode a run summary for use in histories."""
    return HistoryRun(render(summary), run_block(summary))


def rebuilt_row(
    run_id: str, started_ms: int, parts: JsonObject, history: Sequence[HistoryRun], action: JsonObject
) -> RowPieces:
    """A row whose input is built from parts and a history."""
    members = {key: render(value) for key, value in parts.items()}
    runs = render_array([run.summary for run in history])
    members["history"] = render_object({"last_n_similar_runs": runs})
    tokens = sequence(head_tokens(parts), [run.block for run in history])
    swarm_ids = parts["action_space"]["swarm_ids"]
    return _row(run_id, started_ms, members, tokens, action, swarm_ids, parts["created_at"])


def verbatim_row(
    run_id: str, started_ms: int, planner_input: JsonObject, action: JsonObject, created_at: str
) -> RowPieces:
    """A row whose input is the recorded one, as it is."""
    members = {key: render(value) for key, value in planner_input.items()}
    swarm_ids = planner_input["action_space"]["swarm_ids"]
    return _row(run_id, started_ms, members, tokens_of(planner_input), action, swarm_ids, created_at)


def _row(
    run_id: str,
    started_ms: int,
    members: Mapping[str, Rendered],
    tokens: list[str],
    action: JsonObject,
    swarm_ids: Sequence[str],
    created_at: str,
) -> RowPieces:
    hashed = render_object({k: v for k, v in members.items() if k != "created_at"}).compact
    input_hash = sha256(hashed.encode("utf-8")).hexdigest()
    label = label_action(action, swarm_ids, created_at, input_hash)
    head = {
        "label_action": render(label),
        "planner_input": render_object(members),
        "run_id": render(run_id),
    }
    tail = {"started_ms": render(started_ms), "tokens": render(tokens)}
    return RowPieces(_open(render_object(head)), _close(render_object(tail)))


def _open(head: Rendered) -> Rendered:
    return Rendered(head.compact[:-1] + ",", head.spaced[:-1] + ", ")


def _close(tail: Rendered) -> Rendered:
    return Rendered("," + tail.compact[1:], ", " + tail.spaced[1:])


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


def dataset_hash(rows: Iterable[Rendered]) -> str:
    """The dataset hash over whole rows in order."""
    digest = sha256()
    for row in rows:
        digest.update(row.compact.encode("utf-8") + b"\n")
    return digest.hexdigest()
