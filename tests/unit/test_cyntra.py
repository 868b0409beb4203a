"""The kernel's rules, one table each (CONTRACT.md sections 4, 6 and 7)."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectord.kernel import dispatch, events, jsonio, rows, tokens, universe, values
from collectord.kernel.beads import issue_attempts, issue_tags, parse_issues
from collectord.kernel.planner_input import issue_input

START = 1_765_353_660_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2025-12-10T08:01:00Z", START),
        (" 2025-12-10T08:01:00Z ", START),
        ("2025-12-10T08:01:00", START),
        ("2025-12-10T10:01:00+02:00", START),
        ("2025-12-10T08:01:00.999999Z", START + 999),
        ("20251210T080100Z", START),
        ("2025-12-10", 1_765_324_800_000),
        ("soon", None),
        ("", None),
        (None, None),
        (5, None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
    ],
)
def test_times_are_read_as_the_kernel_reads_them(text: object, ms: int | None) -> None:
    assert values.parse_ms(text) == ms


def test_times_are_written_as_the_kernel_writes_them() -> None:
    assert values.format_ms(START) == "2025-12-10T08:01:00Z"
    assert values.format_ms(START + 123) == "2025-12-10T08:01:00.123000Z"


@pytest.mark.parametrize(
    ("name", "ms"),
    [
        ("wc-1-20251210T080100Z", START),
        ("wc-1-20251210T080100Z-spec-codex-a1b2c3", START),
        ("wc-1-20251310T080100Z", None),
        ("wc-1", None),
    ],
)
def test_the_stamp_of_a_workcell_id_is_a_time(name: str, ms: int | None) -> None:
    assert values.stamp_ms(name) == ms


def test_the_best_source_of_the_dispatch_time_wins() -> None:
    manifest = {"planner": {"planner_input": {"created_at": "2025-12-10T08:01:00Z"}}}
    proof = {"metadata": {"started_at": "2025-12-10T08:02:00Z"}}
    marker = {"created": "20251210T080300Z"}
    name = "wc-1-20251210T080400Z"
    mtime = (START + 300_000) * 1_000_000
    assert dispatch.started_ms(name, manifest, proof, marker, mtime) == (START, "planner_input")
    assert dispatch.started_ms(name, {}, proof, marker, mtime) == (START + 60_000, "proof")
    assert dispatch.started_ms(name, {}, {}, marker, mtime) == (START + 120_000, "workcell")
    assert dispatch.started_ms(name, {}, {}, {}, mtime) == (START + 180_000, "workcell_id")
    assert dispatch.started_ms("x", {}, {}, {}, mtime) == (START + 240_000 + 60_000, "mtime")


def test_the_end_of_a_run_is_its_proofs_then_its_durations() -> None:
    proof = {"metadata": {"completed_at": "2025-12-10T08:01:00Z"}}
    assert dispatch.finished_ms(proof, 5, 7) == START
    assert dispatch.finished_ms({}, 5, 7) == 12
    assert dispatch.finished_ms({}, 5, 0) is None


@pytest.mark.parametrize(
    ("plan", "explicit"),
    [
        ({"swarm_id_executed": "s", "timeout_seconds_executed": 1}, True),
        ({"swarm_id_executed": "s", "timeout_seconds_executed": 0}, False),
        ({"swarm_id_executed": "s", "timeout_seconds_executed": True}, False),
        ({"swarm_id_executed": "s", "timeout_seconds_executed": 60.0}, False),
        ({"swarm_id_executed": "", "timeout_seconds_executed": 60}, False),
        ({"swarm_id_executed": 7, "timeout_seconds_executed": 60}, False),
        ({}, False),
        ("x", False),
        (None, False),
    ],
)
def test_only_an_explicit_plan_is_a_label(plan: object, explicit: bool) -> None:
    assert (dispatch.explicit_plan({"planner": {"executed_plan": plan}}) is not None) == explicit


@pytest.mark.parametrize(
    ("value", "bins", "found"),
    [
        (None, (15, 30), "NA"),
        (0, (15, 30, 45), 15),
        (22, (15, 30, 45), 15),
        (23, (15, 30, 45), 30),
        (10**400, (15, 30, 45), 45),
        (4, (1, 2, 3, 5), 3),
        (True, (1, 2), 1),
    ],
)
def test_a_budget_goes_to_the_nearest_bin_and_the_lower_on_a_tie(
    value: int | None, bins: tuple[int, ...], found: object
) -> None:
    assert rows.nearest_bin(value, bins) == found


def test_keywords_are_the_most_frequent_words_then_alphabetical() -> None:
    assert tokens.extract_keywords("b cache the zebra", "cache Zebra apple ab") == [
        "cache",
        "zebra",
        "apple",
    ]
    assert tokens.extract_keywords(None, None) == ["none"]
    assert len(tokens.extract_keywords(" ".join(f"word{n:02}" for n in range(40)), "")) == 16


def test_beads_are_read_line_by_line_and_the_last_record_wins() -> None:
    text = "\n".join(
        [
            '{"id": "1", "title": "old"}',
            "not json",
            "[1]",
            "   ",
            '{"id": 3, "dk_attempts": "2"}',
            '{"id": "4", "dk_attempts": "many"}',
            '{"title": "no id"}',
            '{"id": ""}',
            '{"id": "1", "title": "new"}',
            '{"id": "5", "title": "\\ud800"}',
            '{"id": "6"}\u2028{"id": "7"}',
        ]
    )
    found = parse_issues(text)
    assert list(found) == ["1", "3", "6", "7"]
    assert found["1"]["title"] == "new"
    assert issue_attempts(found["3"]) == 2
    assert issue_tags({"tags": ["a", " ", 5, None, "b"]}) == ["a", "b"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, ("P2", "medium", "M", None)),
        (
            {"priority": "P0", "risk": "high", "size": "XL", "tool_hint": "codex"},
            ("P0", "high", "XL", "codex"),
        ),
        ({"dk_priority": "", "priority": "P1"}, ("P1", "medium", "M", None)),
        ({"dk_priority": "P9", "dk_risk": "severe", "dk_size": ["M"]}, ("P2", "medium", "M", None)),
    ],
)
def test_issue_fields_fall_back_and_stay_in_their_range(record: Any, expected: tuple[Any, ...]) -> None:
    issue = issue_input("1", record, [])
    names = ("dk_priority", "dk_risk", "dk_size", "dk_tool_hint")
    assert tuple(issue[name] for name in names) == expected


def test_an_unknown_issue_has_no_title_and_no_keywords() -> None:
    assert "title" not in issue_input("1", None, ["a"])
    assert issue_input("1", None, ["a"])["tags"] == ["a"]


@pytest.mark.parametrize(
    ("event", "timed_out", "duration"),
    [
        ({"type": "workcell.failed", "data": {"error": "it TIMED OUT", "duration_ms": 7}}, True, 7),
        ({"type": "workcell.timeout", "duration_ms": 9}, True, 9),
        ({"type": "workcell.failed", "data": {"error": "boom"}}, False, 0),
    ],
)
def test_the_event_log_says_how_a_workcell_ended(event: Any, timed_out: bool, duration: int) -> None:
    end = events.parse_end(json.dumps({"workcell_id": "wc-1", **event}).encode())
    assert end is not None
    assert (end.timed_out, end.duration_ms) == (timed_out, duration)


@pytest.mark.parametrize("line", [b"", b"workcell.failed", b'{"type": "workcell.failed"', b'["workcell."]'])
def test_lines_that_are_no_end_are_passed_over(line: bytes) -> None:
    assert events.parse_end(line) is None


def _run_block(codes: int) -> dict[str, Any]:
    gates = [{"name": f"g{n}", "passed": False} for n in range(codes)]
    return {
        "outcome": {"status": "failed", "fail_codes": [f"c{n}" for n in range(codes)], "gates": gates},
        "action_executed": {"swarm_id": "s"},
        "runtime": {"duration_ms": 1_800_000},
    }


def test_a_run_shows_eight_codes_and_eight_gates_at_the_most() -> None:
    block = tokens.run_block(_run_block(12))
    assert sum(t.startswith("[FAIL_HASH") for t in block) == 8
    assert sum(t.startswith("[GATE_HASH") for t in block) == 8
    assert "[VAL:DURATION_BIN:GE_30M]" in block


def test_texts_of_megabytes_leave_nothing_in_memory() -> None:
    run = {**_run_block(3), "outcome": {"status": "x" * 2**20, "fail_codes": ["y" * 2**20]}}
    tracemalloc.start()
    try:
        tokens.run_block(run)
        tokens.hashed("TAG", "tag", ["z" * 2**20 + "z"])
        tokens.extract_keywords("w" * 2**20 + "w", "v")
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert left < 2**16


def test_a_block_is_cut_at_64_and_the_sequence_at_1024() -> None:
    long = [f"t{n}" for n in range(100)]
    found = tokens.sequence(["[BOS]"], [long] * 30)
    assert len(found) == 1024
    assert found.index("[SEP]") == 1 + 64
    short = tokens.sequence(["[BOS]", "[SEP]"], [])
    assert short == ["[BOS]", "[EOS]"]


@pytest.mark.parametrize(
    ("ms", "name"),
    [
        (0, "LT_1S"),
        (999, "LT_1S"),
        (1000, "1_10S"),
        (59_999, "30_60S"),
        (60_000, "1_5M"),
        (1_799_999, "5_30M"),
    ],
)
def test_durations_fall_into_bins(ms: int, name: str) -> None:
    run = {"runtime": {"duration_ms": ms}}
    assert f"[VAL:DURATION_BIN:{name}]" in tokens.run_block(run)


UNIVERSE = {
    "schema_version": "1.0",
    "universe_id": "lab",
    "worlds": [{"world_id": "main", "world_kind": "codebase", "path": "src"}],
    "defaults": {"swarm_id": "b", "objective_id": ""},
}
SWARMS = {"schema_version": "1.0", "swarms": {"b": {"population_size": 2}, "a": {}}}


def _universe(changed: dict[str, Any], swarms: Any = SWARMS) -> universe.Universe:
    document = {**UNIVERSE, **changed}
    return universe.from_documents("lab", document, swarms, None, path_is_inside=lambda path: path == "src")


def test_a_valid_universe_gives_its_swarms_sorted_and_its_defaults() -> None:
    found = _universe({})
    assert found.swarm_ids == ("a", "b")
    assert found.defaults() == {"swarm_id": "b", "objective_id": None}
    assert found.populations == {"b": 2}


@pytest.mark.parametrize(
    "changed",
    [
        {"schema_version": "2.0"},
        {"universe_id": "other"},
        {"worlds": []},
        {"worlds": "x"},
        {"worlds": [{"world_id": "main", "world_kind": "other", "path": "src"}]},
        {"worlds": [{"world_id": "main", "world_kind": "codebase", "path": "../out"}]},
        {"worlds": [{"world_id": "main", "world_kind": "codebase", "path": "src", "more": 1}]},
        {"surprise": 1},
    ],
)
def test_a_universe_that_is_not_valid_gives_its_name_alone(changed: dict[str, Any]) -> None:
    found = _universe(changed)
    assert found == universe.Universe("lab")


def test_a_broken_catalog_makes_the_universe_not_valid() -> None:
    assert _universe({}, swarms={"schema_version": "9", "swarms": {}}) == universe.Universe("lab")


def test_line_breaks_of_unicode_are_escaped_so_that_a_trainer_sees_whole_rows() -> None:
    text = "".join(json.dumps({"a": "x\x85y\u2028z\u2029"}, ensure_ascii=False) + "\n" for _ in range(3))
    escaped = rows.escape_line_breaks(text.encode()).decode()
    assert len(escaped.splitlines()) == 3
    assert [json.loads(line) for line in escaped.splitlines()] == [{"a": "x\x85y\u2028z\u2029"}] * 3


@pytest.mark.parametrize(
    ("total", "splits"), [(0, (0, 0, 0)), (1, (0, 0, 1)), (9, (7, 0, 2)), (10, (8, 1, 1))]
)
def test_splits_are_by_time_and_round_down(total: int, splits: tuple[int, int, int]) -> None:
    assert tuple(rows.split_counts(total).values()) == splits
    assert [rows.split_of(i, total) for i in range(total)].count("train") == splits[0]


MARKED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=MARKED)
@example(value={"b": [1, {"é": 'x"\u2028\x01\x02'}], 'a"b, c: d': None, "c": 1e16, "\x01\x02": "\\\x01"})
def test_one_encoding_gives_both_written_forms_whatever_stands_in_the_strings(value: Any) -> None:
    text = jsonio.marked(value)
    assert jsonio.compact(text) == jsonio.canonical(value)
    assert jsonio.spaced(text) == json.dumps(value, ensure_ascii=False, sort_keys=True)
    data = text.encode("utf-8", "surrogatepass")
    assert jsonio.compact_bytes(data) == jsonio.compact(text).encode("utf-8", "surrogatepass")
    assert jsonio.spaced_bytes(data) == jsonio.spaced(text).encode("utf-8", "surrogatepass")


def test_pieces_that_are_joined_are_what_encoding_the_whole_gives() -> None:
    value = {"b": [1, {"é": 'x"\u2028'}], 'a"b': None, "c": 1e16}
    pieces = [jsonio.marked_members({key: value[key]}) for key in sorted(value)]
    assert f"{{{jsonio.joined('', *pieces)}}}" == jsonio.marked(value)
    assert jsonio.marked_members({}) == jsonio.joined() == ""


def test_what_is_not_finite_counts_as_missing() -> None:
    nan, inf = float("nan"), float("inf")
    assert jsonio.drop_non_finite({"a": nan, "b": [inf, 1], "c": {"d": nan}}) == {"b": [None, 1], "c": {}}
    assert not jsonio.is_finite({"a": [nan]})
    assert not jsonio.is_encodable({"a": "\ud800"})
