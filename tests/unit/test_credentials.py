"""What looks like a credential is found in any text and replaced by its kind; anything else stays."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectord.dataset.credentials import KINDS, REPLACED, Detector, issue_in, may_hold_one
from collectord.kernel.jsonio import ITEM, KEY, marked
from tests.support.planted_credentials import PLANTED

DETECTOR = Detector()


@pytest.mark.parametrize(("kind", "value"), PLANTED.items(), ids=list(PLANTED))
def test_a_credential_is_replaced_by_its_kind_wherever_it_stands(kind: str, value: str) -> None:
    for text in (value, f"Deploy fails with {value} since monday", f'log says "{value}"\nand stops'):
        said = DETECTOR.redacted(text)
        assert value not in said
        assert kind in REPLACED.findall(said)
        assert DETECTOR.redacted(said) == said


def test_every_planted_kind_is_one_of_ours() -> None:
    assert set(PLANTED) <= set(KINDS)
    assert len(PLANTED) >= 12


@pytest.mark.parametrize(
    "text",
    [
        "Migration genome frontier timeout",
        "fix token budget: 50000 tokens, key frames, password field",
        "commit 77cb93c2a21d85e2e0a6a885310fa02527c83b1a",
        "see https://example.org/a:b/c@d and wc-144-20261123T181404Z",
        "2026-11-23T18:14:04.250000Z",
        "area:frontier",
    ],
)
def test_what_issues_are_full_of_is_no_credential(text: str) -> None:
    assert DETECTOR.redacted(text) == text


def test_a_private_key_goes_with_all_of_its_lines() -> None:
    begin, end = ("-----" + word + " RSA PRIVATE " + "KEY-----" for word in ("BEGIN", "END"))
    said = DETECTOR.redacted(f"before\n{begin}\nMIIEow\nabc\n{end}\nafter")
    assert said == "before\n[REDACTED:private-key]\nafter"
    assert DETECTOR.redacted(f"cut off {begin}\nMIIEow") == "cut off [REDACTED:private-key]"


@pytest.mark.parametrize("kind", ["github-token", "stripe", "jwt", "slack", "aws", "square-oauth"])
def test_a_token_that_is_longer_than_its_pattern_goes_to_its_end(kind: str) -> None:
    said = DETECTOR.redacted(f"use {PLANTED[kind]}TAIL9 for it")
    assert said == f"use [REDACTED:{kind}] for it"


def test_it_is_found_in_the_middle_of_megabytes() -> None:
    value = PLANTED["github-token"]
    text = "x " * 500_000 + value + " y" * 500_000
    assert DETECTOR.redacted(text) == text.replace(value, "[REDACTED:github-token]")


def test_keywords_that_come_from_a_credential_go_and_no_other() -> None:
    value = PLANTED["github-token"]
    given = {"issue": {"title": "Deploy", "keywords": ["deploy", value.lower(), "since"], "tags": [value]}}
    found = DETECTOR.redacted_input(given, [f"Deploy fails with {value} since monday"])
    assert found["issue"]["keywords"] == ["deploy", "since"]
    assert found["issue"]["tags"] == ["[REDACTED:github-token]"]
    assert DETECTOR.redacted_input({"issue": {"keywords": ["deploy"]}}, ["nothing here"]) == {
        "issue": {"keywords": ["deploy"]}
    }


def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(kind, pattern) for kind, pattern in DETECTOR._patterns if kind != "private-key"]


@given(st.data())
def test_no_pattern_matches_a_text_without_a_sign(data: Any) -> None:
    _, pattern = data.draw(st.sampled_from(_patterns()))
    text = data.draw(st.from_regex(pattern, fullmatch=True))
    value = pattern.search(text)
    assert value is not None
    assert DETECTOR.find(text), (pattern.pattern, text)


def test_only_the_issue_of_a_row_is_looked_at_although_histories_name_job_types_too() -> None:
    runs: list[Any] = [{"a": 1, "issue_id": "7", "job_type": "code"}]
    issue: dict[str, Any] = {"id": "7", "title": 'a "quoted" title, "job_type": none'}
    planner_input: dict[str, Any] = {"history": {"runs": runs}, "issue": issue, "job_type": "code"}
    row = marked({"planner_input": planner_input})
    assert json.loads(issue_in(row).replace(ITEM, ",").replace(KEY, ":")) == issue


@pytest.mark.parametrize(
    "issue", [{"a": 1, "job_type": "x", "z": "y"}, {"a": {"b": 1, "job_type": 2}}, "none"]
)
def test_all_of_a_row_is_looked_at_where_its_issue_cannot_be_told(issue: object) -> None:
    row = marked({"planner_input": {"issue": issue, "job_type": "code"}})
    assert issue_in(row) == row


@given(st.data())
def test_an_issue_as_json_shows_every_sign_that_one_of_its_texts_shows(data: Any) -> None:
    pattern = data.draw(st.sampled_from([pattern for _, pattern in DETECTOR._patterns]))
    around = data.draw(st.text(max_size=8))
    text = f"{around}{data.draw(st.from_regex(pattern, fullmatch=True))}\n\"'\\"
    if may_hold_one(text):
        assert may_hold_one(marked({"title": "x", "description": [text]}))


# All signs in one pattern: four times as slow, and plain to read.
_SIGNS = re.compile(
    r"AKC|AP[\dA-F]|A3T|ABIA|ACCA|AKIA|ASIA|AccountKey=|://|_authToken|eyJ|-us\d|sk-|k_live_|SG\.|sq0csp-"
    r"|gh[pousr]_|gl[a-z]{2,5}-|GR1348941|PRIVATE KEY|PuTTY|pypi-Ag|AC[a-z0-9]{32}|SK[a-z0-9]{32}"
    r"|\.[\w-]{6}\.|[xX][oO][xX]|\d{8,10}:"
)
_LONG_VALUE = re.compile(r"[\w/+-]{24}")
_WORDS = ("aws", "key", "pw", "pass", "token")


@settings(max_examples=400)
@given(st.data())
def test_a_text_shows_a_sign_where_one_pattern_of_all_signs_finds_one(data: Any) -> None:
    parts = st.one_of(
        st.from_regex(_SIGNS, fullmatch=True),
        st.from_regex(_LONG_VALUE, fullmatch=True),
        st.sampled_from(_WORDS),
        st.text("AKPSGgsxoeyJ:.-_/+0123456789\u0663 \n", max_size=12),
        st.text(max_size=8),
    )
    between = data.draw(st.sampled_from(("", " ", ":", ".")))
    text = between.join(data.draw(st.lists(parts, max_size=4)))
    for cut in range(min(len(text), 5)):
        shown = text[cut:]
        has_word = any(word in shown.lower() for word in _WORDS)
        expected = bool(_SIGNS.search(shown)) or (has_word and bool(_LONG_VALUE.search(shown)))
        assert may_hold_one(shown) == expected, shown


SHORTEST = (
    *("AKC", "AP0", "APF", "A3T", "ABIA", "ACCA", "AKIA", "ASIA", "AccountKey=", "://", "_authToken", "eyJ"),
    *(
        "-us1",
        "sk-",
        "k_live_",
        "SG.",
        "sq0csp-",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "glab-",
        "glabcde-",
    ),
    *("GR1348941", "PRIVATE KEY", "PuTTY", "pypi-Ag", f"AC{'a' * 32}", f"SK{'0' * 32}", ".a-b_c1.", "xOx"),
    *("12345678:", f"pw {'a' * 24}"),
)


@pytest.mark.parametrize("sign", SHORTEST)
def test_the_shortest_form_of_each_sign_is_seen_and_nothing_shorter(sign: str) -> None:
    assert may_hold_one(f"a {sign} b")
    assert not may_hold_one(sign[1:])
    assert not may_hold_one(sign[:-1])
