"""The parts that a snapshot is written from: arrays, lines, schema, splits, the card's words."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectord.dataset.card import shown
from collectord.dataset.columns import FLAG, INTEGER, REAL, TEXT, TEXTS, Column
from collectord.dataset.jsonl import published_row, row_head
from collectord.dataset.parquet import ParquetFile, arrow_array
from collectord.dataset.rowschema import row_schema, violations
from collectord.kernel.rows import SPLITS, split_of_issue

_text = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = {
    TEXT: _text,
    TEXTS: st.lists(_text),
    INTEGER: st.integers(-(2**63), 2**63 - 1),
    REAL: st.floats(allow_nan=False),
    FLAG: st.booleans(),
}


@settings(deadline=None)  # pyarrow imports pandas with the first array where that is installed
@given(st.data())
def test_a_column_holds_the_values_it_was_made_of(data: st.DataObject) -> None:
    for kind, values in VALUES.items():
        column = data.draw(st.lists(st.none() | values, max_size=20))
        array = arrow_array(kind, column)
        array.validate(full=True)
        assert array.to_pylist() == column


def test_a_lone_surrogate_becomes_an_escape_and_a_large_integer_is_an_error() -> None:
    assert arrow_array(TEXT, ["\ud800", None]).to_pylist() == ["\\ud800", None]
    assert arrow_array(TEXTS, [["a", "\ud800"], None, []]).to_pylist() == [["a", "\\ud800"], None, []]
    with pytest.raises(OverflowError):
        arrow_array(INTEGER, [2**63])


def test_a_column_that_is_null_throughout_keeps_its_type(tmp_path: Path) -> None:
    columns = [Column("a", TEXT, ""), Column("b", TEXTS, ""), Column("c", INTEGER, ""), Column("d", FLAG, "")]
    with ParquetFile(tmp_path / "x.parquet", columns) as file:
        file.add([None, None, None, None])
    schema = pq.read_schema(tmp_path / "x.parquet")
    assert schema.types == [pa.string(), pa.list_(pa.string()), pa.int64(), pa.bool_()]


def test_row_groups_end_by_rows_and_by_size(tmp_path: Path) -> None:
    with ParquetFile(tmp_path / "rows.parquet", [Column("a", INTEGER, "")]) as file:
        for number in range(600):
            file.add([number])
    with ParquetFile(tmp_path / "size.parquet", [Column("a", INTEGER, "")]) as file:
        for number in range(5):
            file.add([number], size=5 * 2**20)
    assert _groups(tmp_path / "rows.parquet") == [256, 256, 88]
    assert _groups(tmp_path / "size.parquet") == [2, 2, 1]
    assert pq.read_table(tmp_path / "rows.parquet")["a"].to_pylist() == list(range(600))


def _groups(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


LABEL = {
    "schema_version": "cyntra.planner_action.v1",
    "created_at": "2026-01-01T00:00:00Z",
    "swarm_id": "serial_handoff",
    "budgets": {"max_candidates_bin": 1, "max_minutes_bin": 30, "max_iterations_bin": "NA"},
    "model": {"checkpoint_id": "executed_plan"},
    "confidence": 1.0,
    "abstain_to_default": False,
    "reason": None,
    "input_hash": "0" * 64,
}
ROW = {
    "run_id": 'a "split": "x" b',
    "started_ms": 5,
    "planner_input": {"schema_version": "cyntra.planner_input.v1", "split": "val", "x": '"split": "test"'},
    "tokens": ["[BOS]", '"split": "test"', "[EOS]"],
    "label_action": LABEL,
    "split": "train",
}


def test_a_line_is_taken_apart_whatever_its_texts_look_like() -> None:
    line = json.dumps(ROW, ensure_ascii=False, sort_keys=True)
    row = published_row(line)
    assert (row.run_id, row.started_ms, row.split) == (ROW["run_id"], 5, "train")
    assert (row.label, row.tokens) == (LABEL, ROW["tokens"])
    assert json.loads(row.input_text) == ROW["planner_input"]
    assert row.input_text in line
    assert row_head(line + "\n").split == "train"


KEYS = st.sampled_from(
    ["a", "history", "issue", "job_type", "universe_id", "z", ', "issue": {', '"run_id": ']
)
PARTS = st.recursive(
    st.none() | st.integers() | _text | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


NESTED = {"a": 1, "issue": {"x": 1}}


@example(planner_input={"a": NESTED, "issue": {"y": 2}}, run_id="7")
@example(planner_input={"a": NESTED, "z": {}}, run_id="7")
@example(planner_input={"a": [NESTED], "issue": {}, "z": NESTED}, run_id="7")
@example(planner_input={"a": 1, "issue": {}}, run_id='"run_id": ')
@settings(max_examples=300, deadline=None)
@given(planner_input=st.dictionaries(KEYS, PARTS, max_size=6), run_id=_text | KEYS)
def test_a_row_shows_its_issue_whatever_stands_in_its_history(
    planner_input: dict[str, Any], run_id: str
) -> None:
    line = json.dumps(
        {**ROW, "planner_input": planner_input, "run_id": run_id}, ensure_ascii=False, sort_keys=True
    )
    row = published_row(line)
    assert json.loads(row.input_text) == planner_input
    assert (row.run_id, row.tokens) == (run_id, ROW["tokens"])
    for name in ("issue", "job_type", "universe_id"):
        assert row.planner_input.get(name) == planner_input.get(name)


def test_the_history_of_a_row_is_not_taken_apart() -> None:
    history = {"last_n_similar_runs": [{"a": 1, "issue": 5}]}
    planner_input = {"history": history, "issue": {"id": "7"}, "job_type": "code"}
    row = published_row(json.dumps({**ROW, "planner_input": planner_input}, sort_keys=True))
    assert row.planner_input == {"issue": {"id": "7"}, "job_type": "code"}


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"label_action": {}}', '{"label_action": 1, "x": 2}'])
def test_a_line_that_is_not_ours_is_an_error(line: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        published_row(line)


def _mutations() -> list[dict[str, Any]]:
    def label(**changed: Any) -> dict[str, Any]:
        return {**ROW, "label_action": {**LABEL, **changed}}

    return [
        {**ROW, "extra": 1},
        {key: value for key, value in ROW.items() if key != "split"},
        {**ROW, "split": "validation"},
        {**ROW, "started_ms": "5"},
        {**ROW, "started_ms": True},
        {**ROW, "started_ms": 5.5},
        {**ROW, "tokens": ["[BOS]"]},
        {**ROW, "tokens": ["[BOS]", 1]},
        {**ROW, "tokens": ["x"] * 1025},
        {**ROW, "planner_input": {}},
        {**ROW, "planner_input": {"schema_version": "cyntra.planner_input.v2"}},
        label(confidence=True),
        label(confidence=0.5),
        label(reason=""),
        label(input_hash="0" * 63 + "G"),
        label(budgets={**LABEL["budgets"], "max_minutes_bin": 31}),  # type: ignore[dict-item]
        label(budgets={**LABEL["budgets"], "max_candidates_bin": True}),  # type: ignore[dict-item]
        label(abstain_to_default=0),
        {**ROW, "label_action": []},
    ]


@pytest.mark.parametrize("row", _mutations())
def test_what_breaks_the_schema_is_found_as_any_validator_finds_it(row: dict[str, Any]) -> None:
    schema = row_schema()
    judge = jsonschema.Draft202012Validator(schema)
    assert not judge.is_valid(row)
    assert list(violations(row, schema))
    assert judge.is_valid(ROW)
    assert not list(violations(ROW, schema))


def test_issues_are_spread_over_the_splits_eight_to_one_to_one() -> None:
    found = Counter(split_of_issue(str(number)) for number in range(10_000))
    assert set(found) == set(SPLITS)
    assert 7_800 < found["train"] < 8_200
    assert 850 < found["val"] < 1_150
    assert split_of_issue("\ud800") in SPLITS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "`plain`"),
        ("a|b`c", "`a¦b'c`"),
        ("line\nbreak", '`"line\\nbreak"`'),
        ("x" * 100, "`" + "x" * 59 + "…`"),
        ({"a": 1}, '`{"a": 1}`'),
        (None, "`null`"),
    ],
)
def test_a_value_from_an_archive_cannot_break_the_card(value: object, text: str) -> None:
    assert shown(value) == text
