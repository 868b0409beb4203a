"""What became of the audit before: what it advised, what changed, which findings came and went. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from collectord.audit.answers import Answers
from collectord.audit.coverage import kind_of
from collectord.audit.facts import AuditFacts
from collectord.audit.layout import count, percent
from collectord.audit.overview import Overview
from collectord.kernel.values import as_object, is_int, text_or_none

JsonObject = dict[str, Any]
_NUMBERS = re.compile(r" \([\d,]+ (?:to [\d,]+|or many more)\)|\d")


@dataclass(frozen=True, slots=True)
class Change:
    """A tile that says something else than before."""

    title: str
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class Since:
    """Against the audit made at `made_ms`: what became of its advice, in sentences; what else differs."""

    made_ms: int
    advised: tuple[str, ...]
    changes: tuple[Change, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    runs: int


def since(before: JsonObject | None, facts: AuditFacts, answers: Answers, found: Overview) -> Since | None:
    """None without an audit before, or with a document that says nothing of what is asked here."""
    made_ms = (before or {}).get("made_ms")
    if before is None or not is_int(made_ms) or made_ms >= facts.now_ms:
        return None
    findings = _objects(before.get("findings"))
    old = {_key(str(one.get("answer")), str(one.get("do"))): str(one.get("do")) for one in findings}
    now = {_key(one.answer, one.do): one.do for one in answers.findings}
    return Since(
        made_ms=made_ms,
        advised=tuple(_advised(before, made_ms, facts, answers)),
        changes=tuple(_changes(before, found)),
        new=tuple(do for key, do in now.items() if key not in old),
        gone=tuple(do for key, do in old.items() if key not in now),
        runs=sum(run.started_ms >= made_ms for run in facts.runs),
    )


def _key(answer: str, do: str) -> tuple[str, str]:
    """A finding is the same where only its numbers moved, or a range of them came or went."""
    return answer, _NUMBERS.sub("", do)


def _advised(before: JsonObject, made_ms: int, facts: AuditFacts, answers: Answers) -> Iterator[str]:
    """`about 8 high-risk issues were advised: 3 such runs since; lane B went from 18 % to 22 %`."""
    shares = {lane.key: lane.interval.share for lane in answers.lanes.lanes}
    earlier = _shares(before)
    later = [run for run in facts.runs if run.started_ms >= made_ms]
    for wanted in _objects(as_object(before.get("fill")).get("add")):
        lane, risk = text_or_none(wanted.get("lane")), text_or_none(wanted.get("risk"))
        amount = wanted.get("issues")
        if (
            lane not in shares
            or risk is None
            or not (isinstance(amount, list) and amount and is_int(amount[0]))
        ):
            continue
        such = sum(kind_of(run)[0] == risk for run in later)
        went = f"lane {lane} is {percent(shares[lane])}"
        if lane in earlier:
            went = f"lane {lane} went from {percent(earlier[lane])} to {percent(shares[lane])}"
        advised = f"about {count(amount[0], f'{risk}-risk issue')} were advised"
        yield f"{advised}: {count(such, 'such run')} since; {went}"


def _shares(before: JsonObject) -> dict[str, float]:
    found = {}
    for lane in _objects(as_object(before.get("lanes")).get("lanes")):
        share = as_object(lane.get("interval")).get("share")
        if isinstance(share, int | float) and 0 <= share <= 1:
            found[str(lane.get("key"))] = float(share)
    return found


def _objects(value: object) -> list[JsonObject]:
    """The objects of a list in a file that anybody may have edited."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _changes(before: JsonObject, found: Overview) -> Iterator[Change]:
    tiles = _objects(as_object(before.get("overview")).get("tiles"))
    old = {str(tile.get("key")): str(tile.get("value")) for tile in tiles}
    for tile in found.tiles:
        if tile.key in old and old[tile.key] != tile.value:
            yield Change(tile.title, old[tile.key], tile.value)
