"""Whether issues carry what a policy could learn from: the learnable-metadata rules. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from collectord.audit.facts import DONE, AuditFacts, BacklogIssue
from collectord.audit.findings import Finding, Kind
from collectord.audit.layout import count, listing, percent

# A title says what and where: fewer words than these, or only words like these, do not.
_LEAST_WORDS = 3
_FILLERS = (
    "a an and bug bugs change changes clean cleanup code do feature fix fixes fixup for improve improvements",
    "in issue it misc more new of on problem refactor some stuff task test tests the thing things tidy to",
    "todo up update updates various wip work",
)
_EMPTY_WORDS = frozenset(word for line in _FILLERS for word in line.split())
_MOST_IDS = 50
_MANY = 10


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule over the issues that are not done; `issues` are the first ids that break it."""

    rule: str
    broken: int
    issues: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class Quality:
    """The answer; `looked_at` issues are not done or were run in the window."""

    looked_at: int
    faultless: int
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]


def is_vague(title: str) -> bool:
    """Whether a title says too little to tell one issue from another."""
    words = re.findall(r"[^\W_]+", title.lower())
    return len(words) < _LEAST_WORDS or all(word in _EMPTY_WORDS or word.isdigit() for word in words)


def quality(facts: AuditFacts) -> Quality:
    """Each rule with the issues that break it."""
    run = {one.issue_id for one in facts.recent}
    issues = [i for i in facts.backlog if i.status not in DONE or i.issue_id in run]
    twice = Counter(_folded(issue.title) for issue in issues)
    checks: tuple[tuple[str, Callable[[BacklogIssue], bool], str], ...] = (
        ("vague title", lambda i: is_vague(i.title), "say what is to change and where, in a few words"),
        ("no description", lambda i: not i.description.strip(), "describe the change; keywords come from it"),
        ("missing or unknown dk_risk", lambda i: i.risk is None, "set dk_risk: it decides the lane"),
        ("missing or unknown dk_size", lambda i: i.size is None, "set dk_size"),
        ("no tags", lambda i: not i.tags, "tag the area: similar runs are found by tags"),
        (
            "duplicate title",
            lambda i: bool(_folded(i.title)) and twice[_folded(i.title)] > 1,
            "tell the issues apart, or close all but one",
        ),
    )
    broken = {name: [i.issue_id for i in issues if check(i)] for name, check, _ in checks}
    rules = tuple(
        Rule(name, len(broken[name]), tuple(broken[name][:_MOST_IDS]), advice) for name, _, advice in checks
    )
    faulty = {issue for ids in broken.values() for issue in ids}
    found = (*_leaks(facts), *_findings(rules, len(issues)))
    return Quality(len(issues), len(issues) - len(faulty), rules, found)


def _leaks(facts: AuditFacts) -> Iterator[Finding]:
    """Credentials in issues that become rows; nothing where the extra that finds them is not installed."""
    if facts.credentials:
        named = [f"{issue} ({', '.join(kinds)})" for issue, kinds in sorted(facts.credentials.items())]
        do = "revoke what looks like a credential, take it out of the issue, publish with `export --redact`"
        why = f"{count(len(named), 'issue')} with something that looks like one: {listing(named)}"
        yield Finding(Kind.QUALITY, "quality", do, why)


def _folded(title: str) -> str:
    return " ".join(title.casefold().split())


def _findings(rules: Sequence[Rule], issues: int) -> list[Finding]:
    found = []
    for rule in rules:
        if rule.broken:
            many = rule.broken >= _MANY or rule.broken * 5 >= issues
            why = f"{count(rule.broken, 'issue')} of {issues:,} ({percent(rule.broken / issues)}) "
            why += f"with {_article(rule.rule)}: {listing(rule.issues)}"
            found.append(Finding(Kind.QUALITY if many else Kind.NOTE, "quality", rule.advice, why))
    return found


def _article(rule: str) -> str:
    return rule if rule.startswith(("no ", "missing")) else f"a {rule}"
