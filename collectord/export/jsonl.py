"""Lines of a published dataset.jsonl, taken apart without encoding anything again. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from sys import intern

from collectord.cyntra.jsonio import JsonObject
from collectord.export.distributions import label_values

_DECODE = json.JSONDecoder().raw_decode
_LABEL = '{"label_action": '
_INPUT = ', "planner_input": '
_RUN = '"run_id": '
_SPLIT = '"split": "'


@dataclass(frozen=True, slots=True)
class RowHead:
    """What the counts are made of: the label and the split of a row."""

    label: JsonObject
    split: str


@dataclass(frozen=True, slots=True)
class RowMark:
    """What a row is compared by: `label` in the order of LABEL_PARTS, `rest` all of it but the split."""

    run_id: str
    split: str
    label: tuple[str, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of dataset.jsonl; `input_text` is the planner input to the letter as it stands there."""

    run_id: str
    started_ms: int
    split: str
    label: JsonObject
    planner_input: JsonObject
    input_text: str
    tokens: list[str]


def row_head(text: str) -> RowHead:
    """Label and split of a line that we wrote; raises ValueError for any other."""
    label, _ = _DECODE(text, _after(text, _LABEL, 0))
    # What stands behind it is a number and tokens, and no token holds an unescaped quote.
    start = text.rindex(_SPLIT) + len(_SPLIT)
    return RowHead(label, text[start : text.index('"', start)])


def row_mark(text: str) -> RowMark:
    """The marks of a line that we or the kernel wrote; raises ValueError or KeyError for any other."""
    label, _ = _DECODE(text, _after(text, _LABEL, 0))
    start = text.rindex(_SPLIT) + len(_SPLIT)
    end = text.index('"', start)
    place = text.rindex(_RUN, 0, start) + len(_RUN)
    run_id, _ = _DECODE(text, place)
    if not isinstance(run_id, str):
        raise ValueError("a run id that is no text")
    values = tuple(intern(value) for value in label_values(label).values())
    return RowMark(run_id, intern(text[start:end]), values, text[:start] + text[end:])


def published_row(text: str) -> PublishedRow:
    """A line that we wrote; raises ValueError or KeyError for any other."""
    label, end = _DECODE(text, _after(text, _LABEL, 0))
    start = _after(text, _INPUT, end)
    planner_input, end = _DECODE(text, start)
    tail = json.loads("{" + text[_after(text, ", ", end) :])
    return PublishedRow(
        run_id=tail["run_id"],
        started_ms=tail["started_ms"],
        split=tail["split"],
        label=label,
        planner_input=planner_input,
        input_text=text[start:end],
        tokens=tail["tokens"],
    )


def _after(text: str, expected: str, position: int) -> int:
    if not text.startswith(expected, position):
        raise ValueError(f"not a row of ours at character {position}")
    return position + len(expected)
