"""The first screen: one sentence, tiles with a state, what changed since the audit before."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectord.audit.document import AuditDocument, document_of, plain
from collectord.audit.facts import AuditFacts, BacklogIssue, Epoch, OpenAlert, SnapshotFact
from collectord.audit.findings import WEEK_MS, Finding, Kind, in_order
from collectord.audit.markdown import markdown
from collectord.audit.overview import Overview
from collectord.audit.report import answer
from collectord.audit.since import since
from collectord.audit.terminal import SCREEN, show
from tests.support.planted import DOUBLE, NOW_MS, SERIAL, TRIPLE, facts, issue, run, runs, surface_of

BALANCED = {SERIAL: 600, DOUBLE: 300, TRIPLE: 100}
OVERVIEW = Overview("", ())
SHORT = {SERIAL: 70, DOUBLE: 28, TRIPLE: 2}


def document(folder: Path, found: AuditFacts, before: dict[str, Any] | None = None) -> AuditDocument:
    return document_of(found, answer(found, surface_of(folder)), before=before)


def tiles(folder: Path, found: AuditFacts) -> dict[str, tuple[str, str]]:
    shown = document(folder, found).overview.tiles
    return {tile.key: (tile.state.value, tile.value) for tile in shown}


def mixed_backlog() -> list[BacklogIssue]:
    kinds = ["low"] * 24 + ["high"] * 12 + ["critical"] * 4
    return [issue(k, risk=risk) for k, risk in enumerate(kinds)]


def test_a_steady_collection_with_the_right_mix_says_so(tmp_path: Path) -> None:
    spread = [replace(one, started_ms=NOW_MS - (k % 7) * 86_000_000) for k, one in enumerate(runs(BALANCED))]
    found = facts(sorted(spread, key=lambda one: one.started_ms), mixed_backlog())
    assert document(tmp_path, found).overview.sentence.startswith("Collecting steadily. The mix is right.")


def test_a_short_lane_is_in_the_sentence_with_an_amount(tmp_path: Path) -> None:
    said = document(tmp_path, facts(runs(SHORT))).overview.sentence
    assert "Lane C looks short: add about " in said
    assert "critical-risk issues" in said


def test_nothing_collected_and_too_few_runs_are_said(tmp_path: Path) -> None:
    assert document(tmp_path, facts([])).overview.sentence.startswith(
        "Nothing was collected yet: `collectord run` takes in each run as it ends."
    )
    old = document(tmp_path, facts(runs(BALANCED, days=60), window_ms=60_000))
    assert old.overview.sentence.startswith("Nothing was collected in this window")


def test_each_tile_has_a_state_by_what_it_is_about(tmp_path: Path) -> None:
    good = tiles(tmp_path, facts(runs(BALANCED)))
    assert good["lanes"][0] == good["consistency"][0] == good["success"][0] == "good"
    assert tiles(tmp_path, facts(runs({SERIAL: 900, DOUBLE: 90, TRIPLE: 10})))["lanes"][0] == "act"
    assert tiles(tmp_path, facts(runs(SHORT)))["lanes"][0] == "watch"
    stale = facts(runs(BALANCED), policy_unknown="config.yaml: not YAML")
    assert tiles(tmp_path, stale)["environment"] == ("act", "unreadable")


def test_a_stale_kernel_wants_a_restart_in_its_tile(tmp_path: Path) -> None:
    found = facts(runs(BALANCED))
    alert = OpenAlert("environment.stale_kernel", NOW_MS, "process 1")
    health = replace(found.health, alerts=(alert,))
    epochs = (Epoch(1, NOW_MS - WEEK_MS, None),)
    assert tiles(tmp_path, replace(found, health=health, epochs=epochs))["environment"] == ("act", "restart")


def test_the_first_screen_fits_a_terminal_of_24_lines(tmp_path: Path) -> None:
    for width in (80, 120, 200):
        out = io.StringIO()
        show(document(tmp_path, facts(runs(SHORT), [issue(1)])), out, width=width, full=False)
        lines = out.getvalue().splitlines()
        assert len(lines) <= SCREEN
        assert max(map(len, lines)) <= width
        assert "--full" in lines[-1]


def many_findings() -> list[Finding]:
    todo = [_finding(f"do {k} {'at length ' * 9 * k}") for k in range(8)]
    return [*todo, *(_finding(f"note {k}", Kind.NOTE) for k in range(3))]


@pytest.mark.parametrize("width", [80, 110])
def test_every_form_tells_five_things_to_do_and_how_many_more_there_are(tmp_path: Path, width: int) -> None:
    found = replace(document(tmp_path, facts(runs(SHORT))), findings=tuple(many_findings()))
    shown = {name: io.StringIO() for name in ("screen", "full")}
    for name, out in shown.items():
        show(found, out, width=width, full=name == "full")
    texts = {name: out.getvalue() for name, out in shown.items()} | {"markdown": markdown(found)}
    for text in texts.values():
        before, _, after = text.partition("3 more to do, 3 notes")
        assert [k for k in range(8) if f"do {k}" in before] == [0, 1, 2, 3, 4]
        assert after
    assert [k for k in range(8) if f"do {k}" in texts["full"]] == list(range(8))
    assert len(texts["screen"].splitlines()) < SCREEN


def test_a_lane_that_is_right_now_would_be_short_and_is_not_called_short(tmp_path: Path) -> None:
    low_alone = [issue(k, risk="low") for k in range(40)]
    found = document(tmp_path, facts(runs(BALANCED), low_alone))
    assert "Lane B would be short by the ready issues: add about " in found.overview.sentence
    advice = [one for one in found.findings if one.answer == "fill"]
    assert {one.kind for one in advice} == {Kind.LEANING}
    for said in ("lane B (speculate_vote×2) would be short", "lane A (serial_handoff) would be over"):
        assert any(f"as {said} by the ready issues" in one.do for one in advice)


def test_what_a_dataset_has_is_called_rows_and_what_the_index_has_labelled_runs(tmp_path: Path) -> None:
    snapshot = SnapshotFact("/benches/v1", "f" * 64, 33, NOW_MS, True)
    found = facts(runs({SERIAL: 40, DOUBLE: 20, TRIPLE: 6}))
    found = replace(found, health=replace(found.health, snapshot=snapshot))
    told = document(tmp_path, found)
    details = {tile.key: (tile.value, tile.detail) for tile in told.overview.tiles}
    assert details["rows"] == ("33", "published, of 66 labelled runs")
    assert details["phase"][1].startswith("66 of 500 labelled runs")
    assert details["consistency"][1].endswith("66 labelled runs is in a situation of another")
    out = io.StringIO()
    show(told, out, width=200)
    spoken = [line for line in out.getvalue().splitlines() if "row" in line.replace("narrow", "")]
    assert all("33 rows" in line or line.startswith(("good   Rows", "profile")) for line in spoken), spoken
    assert tiles(tmp_path, facts(runs(BALANCED)))["rows"] == ("watch", "none")


def test_a_new_environment_that_no_run_has_is_told_in_its_tile(tmp_path: Path) -> None:
    found = facts(runs(BALANCED), epochs=(Epoch(1, NOW_MS - WEEK_MS, None),))
    assert tiles(tmp_path, found)["environment"] == ("good", "7 days stable")
    later = replace(found, unrun_since_ms=NOW_MS - 60_000)
    assert tiles(tmp_path, later)["environment"] == ("watch", "new")
    began = replace(found, epochs=(Epoch(1, NOW_MS - 60_000, None),))
    assert tiles(tmp_path, began)["environment"] == ("good", "since 2026-11-24")


def test_a_contradiction_of_a_few_runs_in_thousands_is_a_note(tmp_path: Path) -> None:
    few = [run(5000 + k, (SERIAL, DOUBLE)[k], k1="same") for k in range(2)]
    found = document(tmp_path, facts([*runs(BALANCED), *few])).findings
    [kind] = [one.kind for one in found if "contradictions" in one.do]
    assert kind is Kind.NOTE


def test_a_finding_whose_range_went_is_the_same_as_before(tmp_path: Path) -> None:
    before = plain(document(tmp_path, facts(runs(SHORT))))
    before["made_ms"] = NOW_MS - WEEK_MS
    for one in before["findings"]:
        one["do"] = re.sub(r" \([\d,]+ to [\d,]+\)", "", one["do"])
    compared = document(tmp_path, facts(runs(SHORT)), before).since
    assert compared is not None
    assert (compared.new, compared.gone) == ((), ())


def test_markdown_has_the_sentence_the_tiles_and_what_to_do(tmp_path: Path) -> None:
    text = markdown(document(tmp_path, facts(runs(SHORT))))
    assert text.startswith("**Collecting")
    assert text.count("\n| ") >= 9
    assert "1. **" in text
    hostile = replace(document(tmp_path, facts(runs(SHORT))), findings=(_finding("<b> [x](y) | *a*"),))
    assert r"\<b\> \[x\](y) \| \*a\*" in markdown(hostile)


def _finding(do: str, kind: Kind = Kind.OUT) -> Finding:
    return Finding(kind, "fill", do, "why")


def test_what_was_advised_and_what_became_of_it_is_said(tmp_path: Path) -> None:
    earlier = facts(runs(SHORT))
    before = plain(document(tmp_path, earlier))
    before["made_ms"] = NOW_MS - WEEK_MS
    later = [run(9000 + k, TRIPLE, days_ago=1) for k in range(8)]
    found = facts([*runs({SERIAL: 70, DOUBLE: 28}), *later])
    compared = document(tmp_path, found, before).since
    assert compared is not None
    [advice] = [line for line in compared.advised if "critical" in line]
    assert "were advised: 8 such runs since; lane C went from 2 % to 8 %" in advice
    assert "Lanes A · B · C" in [change.title for change in compared.changes]
    assert any("lane C" in do for do in compared.gone)


def test_a_document_that_says_nothing_of_this_is_compared_with_what_it_has() -> None:
    found = facts([])
    answers = answer(found, None)
    for before in (None, {}, {"made_ms": "x"}, {"made_ms": NOW_MS + 1}):
        assert since(before, found, answers, OVERVIEW) is None
    odd_values: tuple[Any, ...] = ([], ["x", {"do": 5}], {"a": 1}, 7.5, None, "x")
    for odd in odd_values:
        add = [{"lane": "C", "risk": "low", "issues": issues} for issues in (odd, [odd], [])]
        edited = {
            "made_ms": 1,
            "findings": odd,
            "fill": {"add": add},
            "lanes": {"lanes": odd},
            "overview": odd,
        }
        compared = since(edited, found, answers, OVERVIEW)
        assert compared is not None
        assert compared.advised == ()


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (Kind.DISAGREEMENT, Kind.OUT),
        (Kind.COLLECTION, Kind.LEANING),
        (Kind.BLOCKED, Kind.OUT),
        (Kind.CONFLICT, Kind.OUT),
        (Kind.OUT, Kind.LEANING),
        (Kind.LEANING, Kind.UNSTEADY),
        (Kind.LEANING, Kind.DRIFT),
        (Kind.UNSTEADY, Kind.NOTE),
    ],
)
def test_of_two_findings_the_one_that_costs_more_stands_first(first: Kind, later: Kind) -> None:
    found = in_order([_finding("b", later), _finding("a", first)])
    assert [one.kind for one in found] == [first, later]
