"""Whether executed actions can come out of environments, remembered from run to run.

Patterns of the repo's rules are matched under a limit (`bounded_regex`); one that is given up decides
nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from collectord.kernel.evidence import executed_from, issue_text_from
from collectord.kernel.policy.feasible import (
    Executed,
    Find,
    IssueText,
    Judgement,
    Possible,
    Verdict,
    as_looked_at,
    has_patterns,
    judge,
    possible_labels,
    tags_looked_at,
)
from collectord.model import Environment
from collectord.system.bounded_regex import limited_search

ROUTING = "routing"
_Key = tuple[str, str | None, bool | None, str]
# What Beads says of an issue can change its answers, so these are parts of every question.
Asks = bool | None


class Actions:
    """Answers by the texts that the index keeps; they stay the same with the texts and the fingerprint."""

    def __init__(self) -> None:
        self._judged: dict[_Key, Judgement] = {}
        self._judged_alike: dict[tuple[str, Executed, IssueText], Judgement] = {}
        self._tags: dict[str, frozenset[str]] = {}
        self._labels: dict[_Key, frozenset[Possible]] = {}
        self._patterns: dict[str, bool] = {}
        self._find: Find = _nothing_known

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Patterns are matched inside of this; a time limit needs the main thread, elsewhere none is."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with limited_search() as search:
            self._find = search.found_or_not
            try:
                yield
            finally:
                self._find = _nothing_known

    def agrees(self, executed: str | None, text: str | None, asks: Asks, environment: Environment) -> bool:
        """Whether an action can have come out of an environment; yes for one that nothing is known of."""
        if executed is None or ROUTING not in environment.components:
            return True
        return self.judgement(executed, text, asks, environment).verdict is not Verdict.IMPOSSIBLE

    def judgement(self, executed: str, text: str | None, asks: Asks, environment: Environment) -> Judgement:
        """The verdict on an action and an environment whose rules are known."""
        key = self._key(executed, text, asks, environment)
        if key not in self._judged:
            self._judged[key] = self._judge(environment, *self._question(key))
        return self._judged[key]

    def _judge(self, environment: Environment, executed: Executed, text: IssueText) -> Judgement:
        """The same for all issues that the rules cannot tell from each other."""
        name = environment.fingerprint
        if name not in self._tags:
            self._tags[name] = tags_looked_at(environment.components)
        alike = as_looked_at(executed, self._tags[name])
        key = name, alike, text
        if key not in self._judged_alike:
            self._judged_alike[key] = judge(environment.components, alike, text, self._find)
        return self._judged_alike[key]

    def labels(
        self, executed: str, text: str | None, asks: Asks, environment: Environment
    ) -> frozenset[Possible]:
        """Every label that an environment can give to the issue."""
        key = self._key(executed, text, asks, environment)
        if key not in self._labels:
            self._labels[key] = possible_labels(environment.components, *self._question(key), self._find)
        return self._labels[key]

    def _key(self, executed: str, text: str | None, asks: Asks, environment: Environment) -> _Key:
        name = environment.fingerprint
        if name not in self._patterns:
            self._patterns[name] = has_patterns(environment.components)
        return executed, text if self._patterns[name] else None, asks, name

    def _question(self, key: _Key) -> tuple[Executed, IssueText]:
        executed, text, asks, _ = key
        return executed_from(executed)._replace(asks=asks), issue_text_from(text)


def looks_at_texts(environment: Environment) -> bool:
    """Whether titles and descriptions of issues can change what comes out of an environment."""
    return ROUTING in environment.components and has_patterns(environment.components)


def _nothing_known(_pattern: str, _text: str) -> bool | None:
    return None
