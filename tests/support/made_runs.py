"""Runs of a made-up kernel, the same for the same seed: what archives and Beads records are written from.

The kernel works through a stream of issues, two or three at a time, on months of its own clock. Issues
come back: a failed run is tried again, and old issues are reopened. Tags are as uneven as real ones: a few
areas are everywhere, most are rare, and one issue in seven has none.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from tests.support.made_values import MODELS, TIMEOUT_S, Issue, MadeRun, Route, stamp_of

WORDS = (
    "archive",
    "bench",
    "cache",
    "dataset",
    "export",
    "frontier",
    "gate",
    "genome",
    "index",
    "kernel",
    "ledger",
    "migration",
    "parser",
    "planner",
    "policy",
    "prompt",
    "retry",
    "rollout",
    "router",
    "sampler",
    "scheduler",
    "schema",
    "timeout",
    "tokenizer",
    "verifier",
    "watcher",
    "adapter",
    "backup",
    "cluster",
    "digest",
    "editor",
    "fixture",
    "graph",
    "harness",
    "importer",
    "journal",
    "lexer",
    "metrics",
    "network",
    "observer",
)
START_MS = 1_767_600_000_000
MEAN_GAP_MS = 13 * 60_000
N_SIMILAR = 8
# The kernel chooses among everything; among the last few dozen is as good for the shape and is fast.
_RECENT = 64
AREAS = tuple(f"area:{word}" for word in WORDS)
OTHER_TAGS = ("kernel", "architecture", "bug", "docs", "performance", "security")
_AREA_WEIGHTS = tuple(accumulate(1 / (rank + 2) for rank in range(len(AREAS))))
_OTHER_WEIGHTS = tuple(accumulate(1 / (rank + 1) for rank in range(len(OTHER_TAGS))))
WIDTHS = {"low": 1, "medium": 1, "high": 2, "critical": 3}
Router = Callable[[Issue, random.Random], Route]


def by_model_config(issue: Issue, dice: random.Random) -> Route:
    """As the configuration of the `kernel-run` corpus has it."""
    toolchain = _toolchain(dice, issue)
    return Route(toolchain, WIDTHS[issue.risk], MODELS[toolchain], TIMEOUT_S[toolchain])


class Runs:
    """An endless stream of runs in order of dispatch; the first n do not depend on how many are asked for."""

    def __init__(self, seed: int, *, start_ms: int = START_MS, route: Router = by_model_config) -> None:
        self._dice, self._route = random.Random(seed), route
        self._now_ms, self._number = start_ms, 0
        self._busy_until: dict[str, int] = {}
        self._to_retry: deque[str] = deque()
        self._in_flight: list[MadeRun] = []
        self._recent: deque[MadeRun] = deque(maxlen=_RECENT)
        self.issues: dict[str, Issue] = {}

    def next(self) -> MadeRun:
        """The next run that is dispatched."""
        dice = self._dice
        self._now_ms += 1 + int(dice.expovariate(1 / MEAN_GAP_MS))
        self._collect_finished()
        issue = self._choose()
        run = self._dispatch(issue)
        self._number += 1
        self._in_flight.append(run)
        self._busy_until[issue.id] = run.finished_ms
        self._note_end(issue, run)
        return run

    def _collect_finished(self) -> None:
        done = sorted((r for r in self._in_flight if r.finished_ms <= self._now_ms), key=_by_end)
        self._in_flight = [r for r in self._in_flight if r.finished_ms > self._now_ms]
        # A run that left neither proof nor rollout has no summary and stands in no history.
        self._recent.extend(replace(run, history=()) for run in done if run.status != "timeout")

    def _choose(self) -> Issue:
        if self._to_retry and self._is_free(self._to_retry[0]) and self._dice.random() < 0.7:
            return self.issues[self._to_retry.popleft()]
        if len(self.issues) > 10 and self._dice.random() < 0.25:
            newest = 100 + len(self.issues) - 1
            reopened = str(max(100, newest - int(self._dice.expovariate(1 / 60))))
            if self._is_free(reopened):
                return self.issues[reopened]
        return self._new_issue()

    def _is_free(self, issue_id: str) -> bool:
        # A second more, so that no two runs of an issue share the stamp in their names.
        return self._busy_until.get(issue_id, 0) + 1000 < self._now_ms

    def _new_issue(self) -> Issue:
        dice = self._dice
        issue = Issue(
            id=str(100 + len(self.issues)),
            title=" ".join(dice.sample(WORDS, 4)).capitalize(),
            description=" ".join(dice.choices(WORDS, k=dice.randrange(20, 40))),
            tags=_tags(dice),
            priority=dice.choices(["P0", "P1", "P2", "P3"], [1, 3, 5, 1])[0],
            risk=dice.choices(list(WIDTHS), [3, 4, 2, 1])[0],
            size=dice.choice(["XS", "S", "M", "L", "XL"]),
            created_ms=self._now_ms,
        )
        self.issues[issue.id] = issue
        return issue

    def _dispatch(self, issue: Issue) -> MadeRun:
        dice = self._dice
        route = self._route(issue, dice)
        limit_ms = route.timeout_s * 1000
        status = dice.choices(["success", "failed", "crashed", "timeout"], [80, 11, 4, 5])[0]
        took_ms = min(limit_ms - 1, int(dice.lognormvariate(13.5, 0.8)))
        stamp = stamp_of(self._now_ms)
        name = f"wc-{issue.id}-{stamp}" + (f"-spec-{route.toolchain}" if route.width > 1 else "")
        return MadeRun(
            number=self._number,
            workcell_id=name,
            stamp=stamp,
            issue=issue,
            started_ms=self._now_ms,
            duration_ms=limit_ms if status == "timeout" else took_ms,
            status=status,
            route=route,
            failed_gate=dice.choice([name for name, _ in route.gates]) if status == "failed" else None,
            history=self._similar(issue),
        )

    def _similar(self, issue: Issue) -> tuple[MadeRun, ...]:
        tags = frozenset(issue.tags)
        best = sorted(self._recent, key=lambda r: (-_jaccard(tags, r.issue.tags), -r.started_ms))[:N_SIMILAR]
        return tuple(sorted(best, key=lambda r: -r.started_ms))

    def _note_end(self, issue: Issue, run: MadeRun) -> None:
        failed = run.status != "success"
        self.issues[issue.id] = replace(
            issue,
            attempts=issue.attempts + failed,
            status="open" if failed else "done",
            updated_ms=run.finished_ms,
        )
        if failed and issue.attempts < 3:
            self._to_retry.append(issue.id)


def _by_end(run: MadeRun) -> tuple[int, int]:
    return run.finished_ms, run.number


def _jaccard(tags: frozenset[str], others: tuple[str, ...]) -> float:
    shared = len(tags.intersection(others))
    return shared / (len(tags) + len(others) - shared) if shared else 0.0


def _tags(dice: random.Random) -> tuple[str, ...]:
    found = dice.choices(AREAS, cum_weights=_AREA_WEIGHTS, k=dice.randrange(5))
    if dice.random() < 0.2:
        found += dice.choices(OTHER_TAGS, cum_weights=_OTHER_WEIGHTS)
    return tuple(dict.fromkeys(found))


def _toolchain(dice: random.Random, issue: Issue) -> str:
    if issue.risk == "critical":
        return dice.choice(["codex", "claude", "opencode"])
    if issue.risk == "high":
        return dice.choice(["codex", "claude"])
    return "opencode" if issue.risk == "low" and issue.size in ("XS", "S") else "claude"
