"""Whether an executed action can come out of a policy for the issue that it was executed for. Pure.

The policy is played over what no manifest records: whether the issue lay on the critical path, whether it
asked to speculate, and where they are not recorded which toolchains were available (CONTRACT.md section 5).

What stays undecided: fewer candidates than the policy gives where nothing says which toolchains were
available; in mode `enforce`, where a model may reduce what the policy gives, fewer candidates and another
swarm with no more of them; a rule with a pattern whose answer is not known; a swarm that is none of the
kernel's own. Gates of an issue's own, assets and worlds show less of the gates, and as much of the action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

from collectord.kernel.policy.routing import (
    PATTERN_KEYS,
    SERIAL,
    SPECULATE,
    TAG_KEYS,
    Action,
    IssueFacts,
    plan_action,
    started,
)
from collectord.kernel.policy.surface import ASSET, Surface
from collectord.kernel.values import unique

ENFORCE = "enforce"
# (pattern, text) → whether it is found, None where that is not known.
Find = Callable[[str, str], bool | None]


class Verdict(IntEnum):
    """Whether an action can come out, the best last."""

    IMPOSSIBLE = 0
    UNDECIDED = 1
    POSSIBLE = 2


class Executed(NamedTuple):
    """What was dispatched, and for which issue, as far as a manifest records it.

    `asks` is the issue's `dk_speculate` and `available` the toolchains that could run, each None where it is
    not known; `toolchain` is the one that ran, of a speculation the winner.
    """

    swarm_id: str
    candidates: int | None = None
    toolchain: str | None = None
    risk: str = "medium"
    size: str = "M"
    tool_hint: str | None = None
    tags: tuple[str, ...] = ()
    available: tuple[str, ...] | None = None
    asks: bool | None = None


class IssueText(NamedTuple):
    """Title and description of an issue, None where they are not known; only patterns look at them."""

    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the reason, in words."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Possible:
    """One label that a policy can give; `rule` is the index of the one that decided, None where none did."""

    swarm_id: str
    candidates: int
    timeout_seconds: int
    rule: int | None


def has_patterns(components: Mapping[str, Any]) -> bool:
    """Whether some rule looks at titles or descriptions."""
    return any(key in rule["match"] for rule in components["routing"]["rules"] for key in PATTERN_KEYS)


def tags_looked_at(components: Mapping[str, Any]) -> frozenset[str]:
    """The tags that some rule names; beside them only `asset:` tags count, for the control mode."""
    rules = components["routing"]["rules"]
    return frozenset(tag for rule in rules for key in TAG_KEYS for tag in rule["match"].get(key, ()))


def as_looked_at(executed: Executed, tags: frozenset[str]) -> Executed:
    """The same action for an issue without the tags that nothing looks at: all answers are the same.

    `tags` are those of `tags_looked_at`. Issues are many and differ in tags that decide nothing.
    """
    kept = {tag for tag in executed.tags if tag in tags or tag.startswith(ASSET)}
    return executed._replace(tags=tuple(sorted(kept)))


def judge(components: Mapping[str, Any], executed: Executed, text: IssueText, find: Find) -> Judgement:
    """Whether the action can come out of an environment with these components."""
    if executed.swarm_id not in (SERIAL, SPECULATE):
        return Judgement(Verdict.UNDECIDED, f"{executed.swarm_id} is no swarm of the kernel's own routing")
    surface = Surface(components)
    stopped = sorted(set(executed.available or ()) - set(started(surface)))
    if stopped:
        return Judgement(Verdict.IMPOSSIBLE, f"{stopped[0]} was available, and is not started there")
    found = [_judge_play(surface, executed, play) for play in _plays(surface, executed, text, find)]
    best = max(found, key=lambda judgement: judgement.verdict)
    if best.verdict is not Verdict.IMPOSSIBLE and _depends_on_unknown_patterns(found, components, text, find):
        return Judgement(Verdict.UNDECIDED, "a rule looks for a pattern, and its answer is not known")
    return best


def possible_labels(
    components: Mapping[str, Any], executed: Executed, text: IssueText, find: Find
) -> frozenset[Possible]:
    """Every label that the policy can give to the issue, a speculation that of any of its toolchains."""
    surface = Surface(components)
    return frozenset(
        Possible(play.swarm_id, play.candidates, seconds, play.rule)
        for play in _plays(surface, executed, text, find)
        for seconds in play.timeouts
    )


def _depends_on_unknown_patterns(
    found: list[Judgement], components: Mapping[str, Any], text: IssueText, find: Find
) -> bool:
    verdicts = {judgement.verdict for judgement in found}
    return len(verdicts) > 1 and has_patterns(components) and any(_unknown_patterns(components, text, find))


def _unknown_patterns(components: Mapping[str, Any], text: IssueText, find: Find) -> Iterator[bool]:
    texts = dict(zip(PATTERN_KEYS, (text.title, text.description), strict=True))
    for rule in components["routing"]["rules"]:
        for key in PATTERN_KEYS:
            if key in rule["match"]:
                known = texts[key]
                yield known is None or find(rule["match"][key], known) is None


def _plays(surface: Surface, executed: Executed, text: IssueText, find: Find) -> Iterator[Action]:
    """The policy's actions over what is not known of the issue and of the moment."""
    available = None if executed.available is None else frozenset(executed.available)
    issue = IssueFacts(
        executed.risk,
        executed.size,
        executed.tool_hint,
        executed.tags,
        _UNKNOWN if text.title is None else text.title,
        _UNKNOWN if text.description is None else text.description,
    )
    asks = (False, True) if executed.asks is None else (executed.asks,)
    patterns = (
        any(_unknown_patterns(surface.components, text, find)) if has_patterns(surface.components) else False
    )
    for otherwise in (False, True) if patterns else (False,):
        search = partial(_searched, find, otherwise)
        for asked in asks:
            for critical in (False, True):
                facts = replace(issue, speculate=asked, on_critical_path=critical)
                yield plan_action(surface, facts, available, search)


# No issue has this for a title, so the search knows that it does not know.
_UNKNOWN = "\0"


def _searched(find: Find, otherwise: bool, pattern: str, text: str) -> bool:
    found = None if text == _UNKNOWN else find(pattern, text)
    return otherwise if found is None else found


def _judge_play(surface: Surface, executed: Executed, play: Action) -> Judgement:
    """One way in which the policy may have gone."""
    enforced = surface.components["planner"]["mode"] == ENFORCE
    more = _more(executed, play)
    if more is not None:
        return Judgement(Verdict.IMPOSSIBLE, more)
    if executed.swarm_id != play.swarm_id:
        said = f"the policy gives {play.swarm_id} ({play.why}), the run had {executed.swarm_id}"
        return Judgement(Verdict.UNDECIDED if enforced else Verdict.IMPOSSIBLE, said)
    wrong = _other_toolchain(surface, executed, play)
    if wrong is not None:
        return Judgement(Verdict.IMPOSSIBLE, wrong)
    if executed.candidates is not None and executed.candidates < play.candidates:
        return _fewer(executed, play, enforced)
    return Judgement(Verdict.POSSIBLE, f"{play.swarm_id}×{play.candidates}: {play.why}")


def _more(executed: Executed, play: Action) -> str | None:
    if executed.candidates is None or executed.candidates <= play.candidates:
        return None
    return f"the policy gives ×{play.candidates} at the most ({play.why}), the run had ×{executed.candidates}"


def _fewer(executed: Executed, play: Action, enforced: bool) -> Judgement:
    said = f"the policy gives ×{play.candidates} ({play.why}), the run had ×{executed.candidates}"
    decided = executed.available is not None and not enforced
    return Judgement(Verdict.IMPOSSIBLE if decided else Verdict.UNDECIDED, said)


def _other_toolchain(surface: Surface, executed: Executed, play: Action) -> str | None:
    """Why the toolchain that ran cannot have been chosen; None where it can."""
    if executed.toolchain is None or executed.toolchain in play.toolchains:
        return None
    if executed.available is None and executed.toolchain in _chosen_without(surface, executed, play):
        return None
    chosen = " and ".join(play.toolchains) or "no toolchain"
    return f"the policy gives {chosen} ({play.why}), the run had {executed.toolchain}"


def _chosen_without(surface: Surface, executed: Executed, play: Action) -> list[str]:
    """What the kernel may choose where the toolchains before it are not available."""
    routing, runnable = surface.components["routing"], started(surface)
    rule = {} if play.rule is None else routing["rules"][play.rule]
    use = list(rule.get("use", ()))
    if play.swarm_id == SPECULATE:
        hint = [executed.tool_hint] if executed.tool_hint else []
        wanted = [*hint, *use] or routing["toolchain_priority"]
        return [name for name in wanted if name in runnable]
    if executed.tool_hint in runnable:
        return []
    fallbacks = [name for used in use for name in routing["fallbacks"].get(used, [])]
    priority = routing["toolchain_priority"]
    return unique(
        [name for name in (*use, *fallbacks, *priority) if name in runnable] + (priority or ["codex"])[:1]
    )
