"""Lanes, coverage, fill and backlog on planted collections: verdicts, numbers and the text a person reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from collectord.audit.answers import Answers
from collectord.audit.backlog import backlog
from collectord.audit.coverage import State, coverage, player_of, reach_of
from collectord.audit.facts import Action, AuditFacts, backlog_of
from collectord.audit.findings import CONFIDENCE, LANE_C, LANES, WEEK_MS
from collectord.audit.lanes import Verdict, lanes, runs_to_settle, verdict_of
from collectord.audit.layout import goodman, wilson
from collectord.audit.report import answer
from collectord.kernel.beads import parse_deps
from tests.support.planted import DOUBLE, POLICY, SERIAL, TRIPLE, facts, issue, run, runs, said, surface_of
from tests.support.simulated_year import simulate

BALANCED = {SERIAL: 600, DOUBLE: 300, TRIPLE: 100}
SHORT_OF_C = {SERIAL: 370, DOUBLE: 225, TRIPLE: 5}


def answers(folder: Path, found: AuditFacts, policy: str = POLICY) -> Answers:
    return answer(found, surface_of(folder, policy))


# Intervals


def test_goodman_gives_the_published_example() -> None:
    # The first example of Sison and Glaz (1995, JASA 90, 366–369), who print Goodman's intervals too.
    found = goodman([56, 72, 73, 59, 62, 87, 58], 0.95)
    lows = [round(i.low, 3) for i in found]
    highs = [round(i.high, 3) for i in found]
    assert lows == [0.085, 0.115, 0.116, 0.091, 0.096, 0.143, 0.089]
    assert highs == [0.166, 0.204, 0.207, 0.173, 0.181, 0.239, 0.171]


@pytest.mark.parametrize("counts", [[47, 12, 7], [600, 300, 100], [1, 0, 0], [30, 30, 39, 1], [5, 5]])
def test_goodman_agrees_with_statsmodels(counts: list[int]) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    theirs = proportion.multinomial_proportions_confint(counts, alpha=0.05, method="goodman")
    for ours, (low, high) in zip(goodman(counts, 0.95), theirs, strict=True):
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9)


def test_wilson_agrees_with_statsmodels() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    for hits, total in ((0, 5), (3, 7), (99, 100), (5, 5)):
        theirs = proportion.proportion_confint(hits, total, method="wilson")
        ours = wilson(hits, total)
        assert (ours.low, ours.high) == pytest.approx(theirs, abs=1e-9)


def test_nothing_is_known_without_runs() -> None:
    assert [(i.low, i.high) for i in goodman([0, 0, 0], 0.95)] == [(0.0, 1.0)] * 3
    found = lanes(facts([]))
    assert {lane.verdict for lane in found.lanes} == {Verdict.TOO_FEW}
    assert said(found) == [
        "undetermined: collect 20 more runs with an executed plan before asking about lanes "
        "(0 labelled runs in the last 7 days)"
    ]


# Verdicts


def test_a_balanced_week_is_in_on_every_lane() -> None:
    found = lanes(facts(runs(BALANCED)))
    assert [lane.words for lane in found.lanes] == [
        "60 % (56–64 %) against 50–70 %: in",
        "30 % (27–34 %) against 20–40 %: in",
        "10 % (8–13 %) against 5–15 %: in",
    ]
    assert not found.findings


@pytest.mark.parametrize(
    ("counts", "verdicts"),
    [
        ({SERIAL: 12, DOUBLE: 5, TRIPLE: 2}, ["too few runs"] * 3),
        ({SERIAL: 12, DOUBLE: 6, TRIPLE: 2}, ["about right"] * 3),
        ({SERIAL: 48, DOUBLE: 10, TRIPLE: 2}, ["leaning high", "leaning low", "leaning low"]),
        ({SERIAL: 28, DOUBLE: 20, TRIPLE: 12}, ["leaning low", "about right", "leaning high"]),
        ({SERIAL: 900, DOUBLE: 90, TRIPLE: 10}, ["high", "low", "low"]),
    ],
)
def test_what_the_intervals_do_not_decide_the_estimate_leans_to(
    counts: dict[Action, int], verdicts: list[str]
) -> None:
    assert [lane.verdict for lane in lanes(facts(runs(counts))).lanes] == verdicts


def test_a_thin_window_is_joined_by_four_weeks_of_the_same_epoch() -> None:
    week = [run(k, SERIAL, days_ago=1, epoch=2) for k in range(30)]
    before = [run(100 + k, TRIPLE, days_ago=20, epoch=2) for k in range(10)]
    other = [run(200 + k, TRIPLE, days_ago=25, epoch=1) for k in range(10)]
    older = [run(300 + k, TRIPLE, days_ago=40, epoch=2) for k in range(10)]
    found = lanes(facts([*older, *other, *before, *week]))
    assert (found.runs, found.lanes[2].runs) == (40, 10)
    assert found.window == "the last 4 weeks under epoch 2, as the window alone has 30 runs"
    assert lanes(facts(runs(BALANCED))).window == "the last 7 days"


def test_the_number_of_runs_that_would_settle_it_does() -> None:
    numbers = [12, 6, 2]
    more = runs_to_settle(LANE_C, 2, numbers)
    assert more is not None

    def verdict(runs: int) -> Verdict:
        scaled = [round(n * runs / 20) for n in numbers]
        return verdict_of(LANE_C, goodman(scaled, CONFIDENCE)[2], runs)

    assert verdict(20 + more) is Verdict.IN
    assert verdict(round(20 + 0.8 * more)) is Verdict.ABOUT_RIGHT


def test_a_share_on_the_edge_of_its_band_is_hardly_ever_settled() -> None:
    assert runs_to_settle(LANE_C, 2, [60, 25, 15]) is None


def test_runs_outside_of_the_window_and_without_a_plan_do_not_count() -> None:
    old = [run(9000 + k, TRIPLE, days_ago=29) for k in range(50)]
    found = lanes(facts([*runs({SERIAL: 10}), *old, run(99_000, None)]))
    assert (found.runs, found.unlabelled, found.lanes[2].runs) == (10, 1, 0)


def test_the_trend_counts_iso_weeks_with_lanes() -> None:
    found = lanes(facts([run(1, TRIPLE, days_ago=0.1), run(2, SERIAL, days_ago=10), run(3, days_ago=80)]))
    assert [week.week for week in found.trend] == [f"2026-W{n}" for n in range(41, 49)]
    assert (found.trend[-1].lanes["C"], found.trend[-2].runs, found.trend[-3].lanes["A"]) == (1, 0, 1)
    assert sum(week.runs for week in found.trend) == 2


def test_a_window_that_is_longer_than_the_collection_is_old_counts_as_its_age() -> None:
    found = facts(runs({SERIAL: 600}, days=10))
    assert lanes(replace(found, window_ms=8 * WEEK_MS)).weeks == pytest.approx(10 / 7, abs=0.3)
    assert lanes(found).weeks == 1


# Coverage


def test_each_cell_is_unreachable_empty_thin_or_enough(tmp_path: Path) -> None:
    reach = reach_of(surface_of(tmp_path))
    cover = coverage(facts([*runs({SERIAL: 25}), run(900, TRIPLE)]), reach)
    cells = {(c.action.words, c.risk, c.size): c for c in cover.cells}
    assert cells["serial_handoff×1, 60 min", "low", "M"].state is State.ENOUGH
    assert cells["speculate_vote×3, 60 min", "critical", "M"].state is State.THIN
    assert cells["speculate_vote×2, 60 min", "high", "M"].state is State.EMPTY
    alone = cells["speculate_vote×3, 60 min", "low", "M"]
    assert (alone.state, alone.why) == (
        State.UNREACHABLE,
        "low/M goes by rule 3: serial_handoff×1, 60 min",
    )
    assert cells["serial_handoff×1, 15 min", "low", "M"].why == (
        "no toolchain has such a time limit; there are 45 min, 60 min"
    )
    assert sum(cover.states.values()) == len(cover.cells) == 15 * 20


def test_a_lane_that_no_rule_leads_to_is_blocked_and_the_rule_is_named(tmp_path: Path) -> None:
    policy = POLICY.replace("parallelism: 3", "parallelism: 2")
    cover = coverage(facts(runs(BALANCED)), reach_of(surface_of(tmp_path, policy)))
    assert said(cover)[0] == (
        "blocked: change the policy before adding issues for lane C (speculate_vote×3) "
        "(no issue can get it: no rule gives parallelism 3: the widest is 2 (rule 0))"
    )


def test_speculation_that_is_off_is_named(tmp_path: Path) -> None:
    policy = POLICY.replace("speculation: {enabled: true", "speculation: {enabled: false")
    found = said(coverage(facts([]), reach_of(surface_of(tmp_path, policy))))
    assert found[:2] == [
        "blocked: change the policy before adding issues for lane B (speculate_vote×2) "
        "(no issue can get it: speculation is off)",
        "blocked: change the policy before adding issues for lane C (speculate_vote×3) "
        "(no issue can get it: speculation is off)",
    ]


def test_a_missing_minute_bin_is_blocked(tmp_path: Path) -> None:
    policy = POLICY.replace("timeout_minutes: 45", "timeout_minutes: 60")
    found = said(coverage(facts([]), reach_of(surface_of(tmp_path, policy))))
    assert found[0] == (
        "blocked: give some toolchain a timeout of about 45 minutes "
        "(no toolchain with 45 minutes is in use: there is 60 min)"
    )


def test_nothing_is_called_unreachable_where_the_policy_cannot_be_read() -> None:
    cover = coverage(facts([], policy_unknown="config.yaml: not YAML"), None)
    assert cover.states["unreachable"] == 0
    assert said(cover) == [
        "collection: make the policy readable: without it nobody can tell what the backlog can still fill "
        "(config.yaml: not YAML)"
    ]


# Fill


def test_a_shortage_in_c_with_nothing_in_the_way_says_which_issues_to_add(tmp_path: Path) -> None:
    ready = [issue(k, risk="critical") for k in range(3)]
    found = answers(tmp_path, facts(runs(SHORT_OF_C), ready)).fill
    assert found.add[0].words == (
        "add about 51 issues with dk_risk critical this week (51 to 96), "
        "as lane C (speculate_vote×3) is short"
    )
    assert said(found) == [
        f"out: {found.add[0].words} "
        "(5 of 5 critical-risk runs of 8 weeks ended in lane C (57–100 %); "
        "3 ready issues of that risk now; these are among the 7 to make ready)"
    ]
    assert not found.stop


def test_what_is_added_lifts_the_lane_to_its_aim_and_no_further(tmp_path: Path) -> None:
    wanted = answers(tmp_path, facts(runs(SHORT_OF_C))).fill.add[0]
    assert wanted.issues is not None
    share = (5 + wanted.issues[0]) / (600 + wanted.issues[0])
    assert LANE_C.low <= share <= LANE_C.high


def test_a_lane_that_leans_is_filled_with_an_amount_that_is_called_tentative(tmp_path: Path) -> None:
    found = answers(tmp_path, facts(runs({SERIAL: 38, DOUBLE: 21, TRIPLE: 1}))).fill
    assert [wanted.lane for wanted in found.add] == ["C"]
    assert found.add[0].is_tentative
    assert found.add[0].issues is not None
    assert found.add[0].issues[0] > 0
    assert said(found)[0].startswith("leaning: add about ")
    assert "looks short; tentative" in said(found)[0]


def test_a_lane_that_is_empty_gets_an_amount_by_what_the_policy_would_do(tmp_path: Path) -> None:
    found = answers(tmp_path, facts(runs({SERIAL: 380, DOUBLE: 220}))).fill
    assert found.add[0].words.startswith("add about ")
    assert "with dk_risk critical" in found.add[0].words
    assert "by the policy all of these would" in said(found)[0]


def test_ready_issues_that_would_bring_a_lane_out_of_its_band_are_answered_now(tmp_path: Path) -> None:
    serial = [issue(k, risk="low") for k in range(40)]
    balanced = facts(runs(BALANCED), serial)
    assert [wanted.lane for wanted in answers(tmp_path, balanced).fill.add] == ["B", "C"]
    mixed = [*serial[:24], *(issue(50 + k, risk="high") for k in range(12))]
    mixed += [issue(70 + k, risk="critical") for k in range(4)]
    assert not answers(tmp_path, facts(runs(BALANCED), mixed)).fill.findings


@pytest.mark.slow
@pytest.mark.parametrize(("runs_a_week", "latest"), [(60, 12), (150, 4), (400, 4)])
def test_over_a_year_an_operator_who_follows_the_advice_gets_into_the_bands_and_stays(
    runs_a_week: int, latest: int
) -> None:
    for seed in range(1 if runs_a_week > 300 else 2):
        year = simulate(runs_a_week, seed)
        assert year.in_band_after is not None
        assert year.in_band_after <= latest
        assert year.kept >= 0.9
        assert max(year.under, year.over) <= 0.02
        assert year.needless <= 5


def test_a_shortage_in_c_that_routing_blocks_says_so_first(tmp_path: Path) -> None:
    policy = POLICY.replace("parallelism: 3", "parallelism: 2")
    found = said(answers(tmp_path, facts(runs(SHORT_OF_C)), policy).fill)
    assert found[0].startswith("blocked: change the policy first, then add about ")
    assert "blocked: no rule gives parallelism 3: the widest is 2 (rule 0)" in found[0]


def test_sizes_are_named_where_only_some_lead_to_the_lane(tmp_path: Path) -> None:
    policy = POLICY.replace("{dk_risk: [critical]}", "{dk_risk: [critical], dk_size: [L, XL]}")
    large = [run(5000 + k, TRIPLE, size=("L", "XL")[k % 2], days_ago=2) for k in range(5)]
    small = [run(6000 + k, SERIAL, size="S", risk="critical", days_ago=2) for k in range(20)]
    found = answers(tmp_path, facts([*runs({SERIAL: 350, DOUBLE: 225}), *large, *small]), policy).fill
    assert found.add[0].sizes == ("L", "XL")
    assert "with dk_risk critical, size L–XL this week" in found.add[0].words


def test_what_to_stop_adding_is_said_of_an_overfull_lane(tmp_path: Path) -> None:
    found = answers(tmp_path, facts(runs({SERIAL: 900, DOUBLE: 300, TRIPLE: 10}))).fill
    [stop] = found.stop
    assert stop.startswith("hold about ")
    assert "with dk_risk low back this week" in stop
    assert stop.endswith("as lane A (serial_handoff) is over (of its runs low 100 %)")


def test_nothing_is_held_back_where_nothing_is_ready(tmp_path: Path) -> None:
    over = runs({SERIAL: 900, DOUBLE: 300, TRIPLE: 10})
    assert not answers(tmp_path, facts(over, [issue(1, attempts=3)])).fill.stop
    assert answers(tmp_path, facts(over, [issue(1)])).fill.stop


def test_too_few_runs_ask_for_nothing(tmp_path: Path) -> None:
    assert not answers(tmp_path, facts(runs({SERIAL: 14, DOUBLE: 5}))).fill.findings


# Backlog


def test_ready_issues_and_what_holds_the_others_back(tmp_path: Path) -> None:
    play = player_of(surface_of(tmp_path))
    backlog_ = [issue(k, risk="critical" if k < 2 else "low", size="S") for k in range(12)]
    held = [
        issue(20, blocked_by=("1",)),
        issue(21, attempts=3),
        issue(22, escalated=True),
        issue(23, status="done"),
        issue(24, status="in_progress"),
    ]
    found = backlog(facts([], [*backlog_, *held]), play)
    assert found.ready == 12
    assert found.held_back == {"blocked by an open issue": 1, "escalated": 1, "no attempts left": 1}
    assert found.lanes == pytest.approx({"A": 10 / 12, "B": 0, "C": 2 / 12, "other": 0})
    assert found.labels["serial_handoff×1, 45 min"] == 10
    assert found.pressure == "12 issues ready, as wanted (10–50); the kernel runs 3 at once, as wanted (2–3)"


def test_a_backlog_that_runs_dry_or_over_is_said(tmp_path: Path) -> None:
    few = said(backlog(facts([], [issue(1)]), None))
    assert few[0].startswith("pressure: make 9 more issues ready: the kernel has few issues to choose from")
    none = said(backlog(facts([], [issue(1, attempts=3)]), None))
    assert "make 10 more issues ready: the kernel has nothing to choose from" in none[0]
    many = said(backlog(facts([], [issue(k) for k in range(60)]), None))
    assert many[0].startswith("pressure: hold 10 issues back")
    at_once = said(backlog(facts([], [issue(k) for k in range(20)], concurrent=6), None))
    assert at_once == [
        "pressure: set scheduling.max_concurrent_workcells to 2–3 "
        "(20 issues ready, as wanted (10–50); the kernel runs 6 at once, too many (2–3))"
    ]


def test_the_graph_holds_issues_back_and_finds_the_critical_path() -> None:
    edges = parse_deps(
        '{"from": "1", "to": "2", "type": "blocks"}\n{"from_id": 2, "to_id": 3, "dep_type": "blocks"}\n'
        '{"issue_id": "4", "depends_on_id": "9", "type": "blocks"}\n'
        '{"from": "5", "to": "1", "type": "related"}\nnot JSON\n[]\n{"from": "7", "to": "7"}\n'
        '{"from": "10", "to": "11"}\n{"from": "11", "to": "10"}\n'
    )
    records = {str(k): {"id": str(k), "status": "open"} for k in range(1, 12)}
    records["9"]["status"] = "done"
    found = {one.issue_id: one for one in backlog_of(records, edges)}
    assert found["2"].blocked_by == ("1",)
    assert found["3"].blocked_by == ("2",)
    assert found["4"].blocked_by == ()
    assert {key for key, one in found.items() if one.on_critical_path} == {"1", "2", "3"}


def test_an_action_outside_of_the_grid_is_in_no_lane() -> None:
    assert [Action(*parts).lane for parts in (("speculate_vote", 1, 60), ("other_swarm", 2, 60))] == [
        "other"
    ] * 2
    assert [lane.key for lane in LANES] == ["A", "B", "C"]
