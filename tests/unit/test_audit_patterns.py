"""Patterns of the repo's rules: matched as the kernel does, given up where they never end."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path

import pytest

from collectord.audit.coverage import reach_of
from collectord.audit.report import answer
from collectord.kernel.artifact_facts import artifact_facts_of
from collectord.kernel.failures import cause_of
from collectord.system.bounded_regex import MAX_TEXT, limited_search
from tests.support.planted import POLICY, TRIPLE, facts, issue, said, surface_of

ENDLESS = "(a+)+$"
EVIL = "a" * 60 + "!"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?i)^fix", "FIX it"),
        (r"\bcache\b", "the cache, again"),
        ("(?<=un)safe", "unsafe"),
        ("ß", "STRASSE"),
        ("a{e<=1}", "a{e<=1}"),
        ("^$", ""),
        ("x", "y"),
    ],
)
def test_a_pattern_means_what_it_means_to_the_kernel(pattern: str, text: str) -> None:
    with limited_search() as search:
        assert search(pattern, text) is (re.search(pattern, text) is not None)
        assert not search.given_up


@pytest.mark.parametrize(
    ("pattern", "text"), [(ENDLESS, EVIL), (r"(?=(a+)+$)b", EVIL), ("(.*)\\1\\1x", "ab" * 20_000)]
)
def test_a_pattern_that_never_ends_is_given_up_and_the_others_go_on(pattern: str, text: str) -> None:
    with limited_search(pattern_limit_s=0.05) as search:
        assert not search(pattern, text)
        assert list(search.given_up) == [pattern]
        assert search("a", text)
        assert not search(pattern, "a" if pattern == ENDLESS else "b")


def test_many_slow_patterns_share_one_limit() -> None:
    patterns = [f"(a+)+{'b' * k}$" for k in range(1, 60)]
    with limited_search(pattern_limit_s=0.05, all_limit_s=0.1) as search:
        before = sum(search._spent.values())
        assert not any(search(pattern, EVIL) for pattern in patterns)
        assert list(search.given_up) == patterns
        # Nothing near the sum of their own limits, 3 s: the engine looks for signals every few milliseconds.
        assert sum(search._spent.values()) - before < 1.0


def test_a_text_beyond_any_title_is_not_searched() -> None:
    with limited_search() as search:
        assert not search("x", "x" * (MAX_TEXT + 1))
        assert search("x", "x")
        assert list(search.given_up) == []


def test_the_timer_and_its_handler_are_put_back() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with limited_search(pattern_limit_s=0.02) as search:
        search(ENDLESS, EVIL)
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_where_there_can_be_no_timer_nothing_is_searched() -> None:
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            with limited_search() as search:
                search("a", "a")
        except ValueError as error:
            raised.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(raised) == 1


def test_a_slow_pattern_is_said_and_the_backlog_still_told(tmp_path: Path) -> None:
    rule = f"    - {{match: {{title_pattern: '{ENDLESS}'}}, use: [codex]}}\n"
    surface = surface_of(tmp_path, POLICY.replace("  rules:\n", f"  rules:\n{rule}"))
    with limited_search(pattern_limit_s=0.05) as search:
        found = answer(facts([], [issue(k, title=EVIL) for k in range(12)]), surface, search, search.given_up)
    assert found.backlog.slow_patterns == (ENDLESS,)
    assert said(found.backlog)[0] == (
        "blocked: rewrite the pattern (a+)+$ of a routing rule: matching it takes too long (it was given up "
        "and counted as matching nothing here; a kernel has no such limit and would hang)"
    )
    assert found.backlog.lanes is not None


def test_what_only_a_title_leads_to_is_reachable(tmp_path: Path) -> None:
    policy = POLICY.replace("{dk_risk: [critical]}", "{title_pattern: '^Rewrite (the|a) '}")
    reach = reach_of(surface_of(tmp_path, policy))
    assert TRIPLE in reach.actions
    assert not reach.plainly("critical", "C")


def test_what_asks_for_a_tag_and_others_together_is_reachable(tmp_path: Path) -> None:
    policy = POLICY.replace("{dk_risk: [critical]}", "{tags_any: [wide], tags_all: [core, slow]}")
    assert TRIPLE in reach_of(surface_of(tmp_path, policy)).actions


def test_long_texts_of_archives_take_no_longer_than_reading_them() -> None:
    gates = {"g": {"command": "echo" + " " * 400_000 + ";"}, "empty": "  true\n"}
    assert artifact_facts_of({"quality_gates": gates}, {}).empty_gates == ("empty",)
    assert cause_of({}, ["tool" * 400_000]) is None
