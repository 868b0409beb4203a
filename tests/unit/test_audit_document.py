"""The document of an audit: it is as its schema says, and holds every number that the pages show."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import jsonschema
import pytest

from collectord.audit.document import AuditDocument, document_of, json_schema, plain
from collectord.audit.facts import Agreement, AuditFacts, Epoch, Health, OpenAlert, SnapshotFact
from collectord.audit.findings import DAY_MS
from collectord.audit.layout import day, percent, week
from collectord.audit.page import page
from collectord.audit.report import answer
from collectord.audit.terminal import show
from tests.support.planted import DOUBLE, NOW_MS, SERIAL, TRIPLE, facts, issue, run, runs, surface_of

# What the pages say whatever there is: confidences, the keys' names, what is kept of a hash.
SAID_ALWAYS = {"95", "0", "1", "2", "3", "100"}


def everything() -> AuditFacts:
    """A collection in which every answer has something to say."""
    found = [
        *runs({SERIAL: 403, DOUBLE: 37, TRIPLE: 11}, days=6.5),
        *runs({SERIAL: 391, DOUBLE: 223, TRIPLE: 83}, first=2000, days=50, status="failed", diff_lines=0),
        *(
            run(5000 + k, (SERIAL, DOUBLE)[k % 2], k1="same", issue_id="77", fallback="no toolchain")
            for k in range(13)
        ),
        *(run(6000 + k, status="failed", cause="network", evidence="no route", days_ago=3) for k in range(7)),
        *(run(7000 + k, status="success", diff_lines=0, requested=DOUBLE, days_ago=2) for k in range(9)),
        *(run(8000 + k, None, days_ago=4, hash_state="mismatch") for k in range(4)),
    ]
    middle = NOW_MS - 20 * DAY_MS
    found = [replace(one, epoch=2) if one.started_ms > middle else one for one in found]
    epochs = (
        Epoch(1, NOW_MS - 60 * DAY_MS, middle, "ab", "697 runs"),
        Epoch(2, middle, None, "cd", "474 runs"),
    )
    alerts = tuple(OpenAlert("labels.contradiction", NOW_MS - k * DAY_MS, f"situation {k}") for k in range(3))
    snapshot = SnapshotFact("/benches/v1", "f" * 64, 1234, NOW_MS - DAY_MS, True, True)
    partial = tuple((f"wc-p{k}", "partial", "no proof.json") for k in range(5))
    return facts(
        found,
        [
            *(issue(k, risk=("low", "critical")[k % 2]) for k in range(29)),
            *(issue(100 + k, title="fix", tags=(), attempts=3) for k in range(17)),
        ],
        epochs=epochs,
        agreement=tuple(Agreement(f"wc-{k}", "verified", k > 5, ("a",) * k, ("b",)) for k in range(23)),
        health=Health({"indexed": 1171, "partial": 5}, partial, ("wc-l",), NOW_MS, alerts, snapshot),
    )


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> AuditDocument:
    return document_of(everything(), answer(everything(), surface_of(tmp_path_factory.mktemp("repo"))))


@pytest.fixture(scope="module")
def whole(audited: AuditDocument) -> dict[str, Any]:
    return plain(audited)


def judged(found: dict[str, Any]) -> list[str]:
    judge = jsonschema.Draft202012Validator(json_schema())
    return [f"{list(error.absolute_path)}: {error.message}" for error in judge.iter_errors(found)]


def test_the_schema_is_one_and_forbids_nothing_that_json_has() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json_schema()["properties"]["schema"] == {"const": "collectord.audit.v2"}


def test_audits_are_as_their_schema_says(whole: dict[str, Any]) -> None:
    assert judged(whole) == []
    assert judged(plain(document_of(facts([]), answer(facts([]), None), epoch=1))) == []


def test_a_key_that_is_missing_or_new_is_no_audit_of_this_schema(whole: dict[str, Any]) -> None:
    assert judged({**whole, "backlog": {**whole["backlog"], "ready": None}})
    assert judged({**whole, "another": 1})
    assert judged({key: value for key, value in whole.items() if key != "drift"})


# Every number is in the JSON


def numbers_in(text: str) -> set[str]:
    return {token.replace(",", "").rstrip(".") for token in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}


def forms_of(value: float) -> Iterator[str]:
    """A number of the document in every way in which a page may write it."""
    yield f"{value:.0f}"
    yield from (f"{value:.{digits}f}" for digits in (1, 2, 4))
    yield percent(value).removesuffix(" %")
    yield f"{100 * value:.0f}"
    if isinstance(value, int) and abs(value) > 10**11:
        yield from (*numbers_in(day(value)), *numbers_in(week(value)))


def told_by(value: object) -> Iterator[str]:
    """Every number of a document: of its texts and keys, and how long its lists are."""
    match value:
        case bool() | None:
            return
        case int() | float():
            yield from forms_of(value)
        case str():
            yield from numbers_in(value)
        case list():
            yield str(len(value))
            for item in value:
                yield from told_by(item)
        case dict():
            for key, item in value.items():
                yield from (*numbers_in(key), *told_by(item))


def untold(text: str, found: dict[str, Any]) -> set[str]:
    return numbers_in(text) - set(told_by(found)) - SAID_ALWAYS


def texts_of_page(text: str) -> str:
    """What a reader sees outside of charts, whose axes have numbers of their own."""
    body = text[text.index("<body>") :]
    return unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<svg.*?</svg>", " ", body, flags=re.S)))


def test_every_number_on_the_terminal_stands_in_the_json(
    audited: AuditDocument, whole: dict[str, Any]
) -> None:
    shown = io.StringIO()
    show(audited, shown, width=200)
    ranks = {str(number) for number in range(1, 11)}
    assert len(numbers_in(shown.getvalue())) > 100
    assert untold(shown.getvalue(), whole) - ranks == set()


def test_every_number_of_the_page_stands_in_the_json(audited: AuditDocument, whole: dict[str, Any]) -> None:
    pytest.importorskip("vl_convert", reason="the extra `report` is not installed")
    text = texts_of_page(page(audited))
    assert len(numbers_in(text)) > 100
    assert untold(text, whole) == set()


def test_a_number_that_the_json_lacks_would_be_seen(whole: dict[str, Any]) -> None:
    assert untold("and 987,654 more", whole) == {"987654"}
