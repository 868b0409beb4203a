"""Consistency, agreement, outcomes, quality, steadiness, phase and health on planted collections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collectord.audit.agreement import agreement
from collectord.audit.collection import health, steadiness
from collectord.audit.consistency import consistency
from collectord.audit.facts import Action, Agreement, AuditRun, BacklogIssue, Health, OpenAlert, SnapshotFact
from collectord.audit.findings import DAY_MS
from collectord.audit.outcomes import outcomes
from collectord.audit.phase import entropy, phase
from collectord.audit.quality import is_vague, quality
from collectord.kernel.failures import cause_of
from tests.support.planted import DOUBLE, NOW_MS, SERIAL, TRIPLE, facts, issue, run, runs, said

SHORT = Action("serial_handoff", 1, 45)


# Consistency


def test_contradictions_from_the_critical_path_are_found_and_explained() -> None:
    clean = runs({SERIAL: 90})
    told: dict[str, Any] = {"k1": "same", "risk": "high", "tags": ("area:cache",)}
    on = [run(500 + k, DOUBLE, **told) for k in range(6)]
    off = [run(600 + k, SERIAL, **told) for k in range(4)]
    found = consistency(facts([*clean, *on, *off]))
    k1 = found.keys[1]
    assert (k1.rows, k1.conflicting, k1.g3) == (100, 0.10, 0.04)
    assert k1.singletons == 0.9
    assert k1.worst[0].labels == {"speculate_vote×2, 60 min": 6, "serial_handoff×1, 60 min": 4}
    assert said(found) == [
        "conflict: take away the cause of contradictions: the critical path: an issue of "
        "this risk speculates "
        "only while it lies on it, and no input says whether it does "
        "(10 % of labelled runs contradict others that share the input without id, history, attempts and "
        "times (K1), so every policy on it is wrong on 4 %; the worst: code, high/M, no hint, area:cache "
        "(6 speculate_vote×2, 60 min, 4 serial_handoff×1, 60 min), such as wc-500, wc-501 and 4 more)"
    ]


@pytest.mark.parametrize(
    ("one", "other", "cause"),
    [
        ({"epoch": 1}, {"epoch": 2}, "the policy changed between epochs 1, 2: train on one of them"),
        ({"toolchain": "claude"}, {"toolchain": "opencode"}, "another toolchain, and so another timeout"),
        ({"timeout_overridden": False}, {"timeout_overridden": True}, "some timeouts were overridden"),
        ({"fallback": None}, {"fallback": "codex missing"}, "fallbacks: codex missing"),
        ({}, {}, "nothing recorded tells them apart"),
    ],
)
def test_the_cause_that_goes_along_with_the_labels_is_named(one: dict, other: dict, cause: str) -> None:
    both = [run(k, SERIAL, k1="same", **one) for k in range(3)]
    both += [run(10 + k, SHORT, k1="same", **other) for k in range(3)]
    assert consistency(facts(both)).keys[1].worst[0].cause.startswith(cause)


def test_widths_are_explained_by_control_modes_and_toolchains() -> None:
    def cause(**told: Any) -> str:
        pair = [run(1, DOUBLE, k1="same"), run(2, TRIPLE, k1="same", **told)]
        return consistency(facts(pair)).keys[1].worst[0].cause

    assert cause(control="trap") == "the control mode changes the width: none, trap"
    assert cause() == "how many toolchains were available at dispatch"


def test_g3_counts_what_the_best_deterministic_policy_gets_wrong() -> None:
    labels = [SERIAL] * 5 + [DOUBLE] * 3 + [TRIPLE] * 2
    found = consistency(facts([run(k, label, k1="same") for k, label in enumerate(labels)]))
    assert (found.keys[1].g3, found.keys[1].conflicting, found.keys[1].groups) == (0.5, 1.0, 1)


def test_flips_between_epochs_and_consistency_within_each() -> None:
    told = {"risk": "high", "tags": ("t",), "k1": "same"}
    before = [run(k, SERIAL, epoch=1, days_ago=20, **told) for k in range(5)]
    after = [run(10 + k, DOUBLE, epoch=2, days_ago=2, **told) for k in range(5)]
    found = consistency(facts([*before, *after]))
    assert [(e.epoch, e.conflicting) for e in found.epochs] == [(1, 0.0), (2, 0.0)]
    assert found.keys[1].conflicting == 1.0
    assert said(found)[1] == (
        "conflict: train on one epoch, or leave out what changed (1 situation got another usual label: "
        "code, high/M, no hint, t: serial_handoff×1, 60 min → speculate_vote×2, 60 min (epochs 1 and 2))"
    )


def test_validity_rules_fallbacks_and_requests_are_counted() -> None:
    wrong = run(1, Action("serial_handoff", 2, 60), requested=Action("serial_handoff", 1, 60))
    fallen = run(2, SHORT, fallback="codex unavailable", requested=SERIAL)
    iterated = run(3, SERIAL, iterations=3, requested=SERIAL)
    world = run(4, Action("evolve", "NA", "NA"), job_type="fab-world")
    found = consistency(facts([wrong, fallen, iterated, world]))
    assert found.invalid == {
        "code with a number of iterations": 1,
        "fab-world without a number of candidates": 1,
        "serial_handoff with more than one candidate": 1,
    }
    assert found.fallbacks == {"codex unavailable": 1}
    assert found.requested == {"compared": 3, "equal": 1, "swarm": 0, "candidates": 1, "minutes": 1}
    assert any("leave out the runs whose label breaks a validity rule" in text for text in said(found))
    assert any("25 %: codex unavailable: 1 labelled run" in text for text in said(found))


# Agreement


def test_altered_inputs_and_other_histories_are_disagreements() -> None:
    found = runs({SERIAL: 20})
    found[3] = replace(found[3], hash_state="mismatch")
    compared = [
        Agreement(one.name, "verified", k > 4, ("x",) if k <= 4 else ()) for k, one in enumerate(found)
    ]
    compared[9] = replace(compared[9], issue_differs=("dk_priority",))
    answer = agreement(facts(found, agreement=tuple(compared)))
    assert (answer.compared, answer.histories_equal, answer.issues_equal) == (20, 15, 19)
    text = said(answer)
    assert text[0] == (
        "disagreement: leave out the runs whose recorded input was altered: `collectord "
        "runs --hash mismatch` "
        "(1 input without the hash recorded with it: wc-3)"
    )
    assert text[1].startswith("note: where a planner will be served histories from this index, train on ")
    assert "what the kernel recorded is right as it is; 5 of 20 recorded histories hold other runs" in text[1]
    assert text[1].endswith("such as wc-0, wc-1, wc-2 and 2 more)")
    assert text[2].endswith("(5 % differ from Beads as it was known: dk_priority in 1 run)")


def test_equal_inputs_say_nothing() -> None:
    found = runs({SERIAL: 5})
    same = tuple(Agreement(one.name, "verified", True) for one in found)
    assert not agreement(facts(found, agreement=same)).findings


# Outcomes


def gate(**members: object) -> dict:
    return {"verification": {"gates": {"test": {"passed": False, **members}}}}


@pytest.mark.parametrize(
    ("proof", "cause", "evidence"),
    [
        (
            gate(output="sh: 1: pytest: not found", exit_code=127),
            "missing tool",
            "test: sh: 1: pytest: not found",
        ),
        (gate(error="bash: ruff: command not found"), "missing tool", "test: bash: ruff: command not found"),
        (gate(exit_code=127), "missing tool", "test: exit code 127"),
        (
            gate(output="E   ModuleNotFoundError: No module named 'yaml'"),
            "missing module",
            "test: E ModuleNotFoundError: No module named 'yaml'",
        ),
        (gate(output="OSError: [Errno 28] No space left on device"), "no disk space", None),
        (gate(error="Could not resolve host: pypi.org"), "network", None),
        (gate(output="fork: Cannot allocate memory"), "out of memory", None),
    ],
)
def test_a_failure_of_the_environment_is_told_with_its_line(
    proof: dict, cause: str, evidence: str | None
) -> None:
    found = cause_of(proof, [])
    assert found is not None
    assert found.cause == cause
    assert evidence is None or found.evidence == evidence


@pytest.mark.parametrize(
    "proof",
    [
        gate(output="FAILED tests/test_a.py::test_b - AssertionError: assert 1 == 2", exit_code=1),
        gate(output="E   ModuleNotFoundError: No module named 'newmod'")
        | {"patch": {"files_modified": ["src/newmod.py"]}},
        {"verification": {"gates": {"test": {"passed": True, "output": "command not found"}}}},
        {"verification": {"gates": {"test": {"passed": False, "output": 7, "error": ["x"]}, "lint": "odd"}}},
        {"verification": []},
        {},
    ],
)
def test_a_failure_of_the_task_is_not_blamed_on_the_environment(proof: dict) -> None:
    assert cause_of(proof, ["assertion"]) is None


def test_a_fail_code_tells_too_and_evidence_is_capped() -> None:
    found = cause_of({}, ["tool_missing:pytest"])
    assert found is not None
    assert (found.cause, found.evidence) == ("missing tool", "fail code tool_missing:pytest")
    long = cause_of(gate(output="command not found " + "x" * 9000), [])
    assert long is not None
    assert len(long.evidence) == 160


def test_an_environment_failure_wave_is_said_with_what_to_do() -> None:
    broken: dict[str, Any] = {
        "status": "failed",
        "cause": "missing tool",
        "evidence": "test: pytest: command not found",
    }
    wave = [run(900 + k, days_ago=2 - k / 100, **broken) for k in range(12)]
    task = [run(950 + k, status="failed", days_ago=3) for k in range(8)]
    found = outcomes(facts([*runs({SERIAL: 80}), *wave, *task]))
    assert said(found) == [
        "environment: mend the machine (missing tool), then leave these runs out of training "
        "(12 of 20 failures of the last 7 days, 2026-11-22: test: pytest: command not found)"
    ]
    assert (found.window.environment, found.window.failed) == (12, 20)
    lane = found.by["lane"][0]
    assert (lane.name, lane.runs, lane.success, lane.environment) == ("A", 100, 80, 12)


def test_one_such_failure_is_no_wave() -> None:
    one = run(900, status="failed", cause="network", evidence="test: Connection refused")
    task = [run(950 + k, status="failed") for k in range(8)]
    assert said(outcomes(facts([one, *task]))) == [
        "note: keep an eye on network (1 of 9 failures of the last 7 days, 2026-11-23: "
        "test: Connection refused)"
    ]


def test_successes_that_changed_nothing_are_said() -> None:
    found = outcomes(facts([run(k, diff_lines=0 if k < 3 else 40) for k in range(10)]))
    assert said(found) == [
        "quality: look at successes that changed nothing: they teach that doing nothing passes "
        "(3 of 10 successes (30 %) have an empty diff, such as wc-0 and 2 more)"
    ]
    most = outcomes(facts([run(k, diff_lines=0 if k < 5 else 40) for k in range(10)]))
    assert said(most)[0].startswith("collection: look at successes that changed nothing")


def test_groups_beyond_a_dozen_are_one() -> None:
    found = outcomes(facts([run(k, model=f"model {k % 15}") for k in range(60)]))
    assert [g.name for g in found.by["model"]][-1] == "3 others"
    assert sum(g.runs for g in found.by["model"]) == 60


# Quality


@pytest.mark.parametrize(
    "title", ["Fix bug", "", "Update some stuff", "WIP", "misc cleanup of things", "Fix issue 12"]
)
def test_vague_titles(title: str) -> None:
    assert is_vague(title)


@pytest.mark.parametrize(
    "title", ["Parse archive header once", "Fix crash in tokenizer", "Détecter les doublons vides"]
)
def test_titles_that_say_what_and_where(title: str) -> None:
    assert not is_vague(title)


def test_thirty_vague_issues_are_found_with_their_ids() -> None:
    vague = [issue(k, title="Fix bug", description="") for k in range(30)]
    good = [issue(100 + k) for k in range(70)]
    found = quality(facts([], [*vague, *good, issue(999, status="done", title="x")]))
    assert (found.looked_at, found.faultless) == (100, 70)
    assert said(found) == [
        "quality: say what is to change and where, in a few words "
        "(30 issues of 100 (30 %) with a vague title: 0, 1, 2, 3, 4 and 25 more)",
        "quality: describe the change; keywords come from it "
        "(30 issues of 100 (30 %) with no description: 0, 1, 2, 3, 4 and 25 more)",
        "quality: tell the issues apart, or close all but one "
        "(30 issues of 100 (30 %) with a duplicate title: 0, 1, 2, 3, 4 and 25 more)",
    ]


def test_missing_metadata_is_found() -> None:
    found = quality(facts([], [issue(1, risk=None), issue(2, size=None), issue(3, tags=()), issue(4)]))
    broken = {rule.rule: rule.issues for rule in found.rules if rule.broken}
    assert broken == {
        "missing or unknown dk_risk": ("1",),
        "missing or unknown dk_size": ("2",),
        "no tags": ("3",),
    }


# Steadiness


def test_a_hero_week_is_said() -> None:
    hero = [run(k, days_ago=3 + k / 1000) for k in range(80)]
    found = steadiness(facts([*hero, *runs({SERIAL: 20}, first=500)]))
    assert (found.busiest_day, found.active_days, found.days) == ("2026-11-21", 8, 8)
    assert said(found)[0] == (
        "unsteady: spread the runs over the week (83 % of 100 runs are of 2026-11-21, 8 of 8 days had any)"
    )


def test_runs_of_one_day_and_the_days_without_any_are_one_finding() -> None:
    found = steadiness(facts([run(k, days_ago=5 + k / 1000) for k in range(40)]))
    assert said(found) == [
        "unsteady: spread the runs over the week and keep the queue filled "
        "(all 40 runs are of 2026-11-19, 1 of 7 days had any; "
        "1 gap of more than a day without a dispatch, the longest 5 days from 2026-11-19)"
    ]


def test_a_hero_issue_and_gaps_are_said() -> None:
    again = [run(k, issue_id="77", days_ago=1 + k / 100) for k in range(6)]
    found = steadiness(facts([*again, *[run(50 + k, days_ago=6.5 - k / 100) for k in range(6)]]))
    text = said(found)
    assert any("stop running issue 77 again and again" in t and "50 % of 12 runs" in t for t in text)
    assert any(t.startswith("unsteady: keep the queue filled (1 gap of more than a day") for t in text)


def test_a_steady_week_says_nothing() -> None:
    assert not steadiness(facts(runs({SERIAL: 140}))).findings


# Phase


@pytest.mark.parametrize(
    ("rows", "number", "later"), [(3, 0, 10), (66, 0, 500), (900, 1, 5000), (6000, 2, None)]
)
def test_the_phase_and_the_next_one(rows: int, number: int, later: int | None) -> None:
    found = phase(facts(runs({SERIAL: rows}, days=28)))
    assert (found.phase, found.next_at) == (number, later)


def test_when_the_next_phase_begins_at_the_present_rate() -> None:
    found = phase(facts(runs({SERIAL: 400}, days=28)))
    assert found.rate_a_week == pytest.approx(100, rel=0.01)
    assert found.words == (
        "phase 0 of 3 (until archives are whole and gates test something): 400 labelled runs; "
        "phase 1 begins at 500: about 2026-12-01 at 100 a week"
    )


@pytest.mark.parametrize(
    ("given", "backlog", "why"),
    [
        (runs({SERIAL: 60}, days=28), [issue(1, attempts=3)], "nothing is ready to run"),
        (
            [run(k, days_ago=3 + k / 1000) for k in range(60)],
            [issue(1)],
            "all runs of four weeks are of 1 day",
        ),
        ([run(k, days_ago=40) for k in range(60)], [issue(1)], "no run came in the last four weeks"),
    ],
)
def test_a_pace_that_says_nothing_gives_no_date(
    given: list[AuditRun], backlog: list[BacklogIssue], why: str
) -> None:
    found = phase(facts(given, backlog))
    assert (found.next_ms, found.undated) == (None, why)
    assert found.words.endswith(f"no date, as {why}")


def test_entropy_majority_and_the_list_for_best_of_k() -> None:
    found = phase(
        facts([*runs({SERIAL: 50, DOUBLE: 25, TRIPLE: 25}), run(900, issue_id="5", status="failed")])
    )
    assert entropy([1, 1]) == 1.0
    assert entropy([3]) == 0.0
    assert found.majority_label == "serial_handoff×1, 60 min"
    assert found.majority_share == pytest.approx(51 / 101)
    assert [(b.issue_id, b.candidates, b.passed) for b in found.best_of] == [("5", 2, 1)]


def test_gates_that_do_nothing_and_missing_proofs_are_said() -> None:
    empty = [run(k, gates=2, empty_gates=("lint", "test"), has_proof=k % 2 == 0) for k in range(20)]
    assert said(phase(facts(empty))) == [
        "collection: find out why archives come without a proof or a manifest "
        "(50 % have both; without: wc-5, wc-7, wc-9)",
        "collection: give the gates real commands (`gates` in .cyntra/config.yaml): one that always passes "
        "teaches nothing (no gate of the last 20 runs tests anything: lint, test)",
    ]


# Health


def test_what_is_wrong_with_the_collection_is_said() -> None:
    late = [replace(one, seen_ms=(one.finished_ms or 0) + 3 * 3_600_000) for one in runs({SERIAL: 9})]
    snapshot = SnapshotFact(
        "/d", "ab" * 32, 9, NOW_MS, exists=True, rebuilt=False, findings=("row 3 differs",)
    )
    given = Health(
        {"indexed": 9, "quarantined": 1},
        (("wc-bad", "quarantined", "manifest.json: too large"),),
        ("wc-lost",),
        alerts=(
            OpenAlert("environment.unreadable", NOW_MS - 4 * DAY_MS, "config.yaml: not valid YAML"),
            OpenAlert("labels.contradiction", NOW_MS, "code high M issues, 2 labels"),
            OpenAlert("labels.contradiction", NOW_MS - DAY_MS, "code low M issues, 2 labels"),
        ),
        snapshot=snapshot,
    )
    text = said(health(facts(late, health=given)))
    assert text == [
        "collection: see to what is quarantined: `collectord explain wc-bad` "
        "(1 archive: wc-bad (manifest.json: too large))",
        "note: keep the daemon running: archives went away before they were read (1 workcell failed by the "
        "event log and left no archive here: wc-lost; losers of speculation are among "
        "them)",
        "collection: run `collectord ingest` more often, or the daemon: what is pruned "
        "before it is read is lost "
        "(half of the archives of the last 7 days came more than 3.0 h late)",
        "collection: see to 1 open alert environment.unreadable: `collectord drift list` "
        "(since 2026-11-20: config.yaml: not valid YAML)",
        "conflict: see to 2 open alerts labels.contradiction: `collectord drift list` "
        "(since 2026-11-23: code high M issues, 2 labels and 1 more)",
        "collection: find out why /d cannot be made again before training on it (row 3 differs)",
    ]


def test_a_healthy_collection_says_nothing() -> None:
    snapshot = SnapshotFact("/d", "ab" * 32, 9, NOW_MS, exists=True, rebuilt=True)
    found = health(facts(runs({SERIAL: 9}), health=Health({"indexed": 9}, snapshot=snapshot)))
    assert not found.findings
    assert found.lag.median_s == 5.0


def test_rows_without_a_recorded_hash_count_as_inputs_of_their_own() -> None:
    found = consistency(facts([run(1, k0="same"), run(2, k0="same"), run(3), run(4)])).keys[0]
    assert (found.key, found.rows, found.groups) == ("K0", 4, 3)
