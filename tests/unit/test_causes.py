"""Alerts neither come and go with new runs nor cost anything again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from collectord.epochs.assign import RunKey
from collectord.epochs.causes import MAX_RUNS, causes
from collectord.epochs.json_views import Remembered, fields_of_changes
from collectord.epochs.observe import environment_of
from collectord.epochs.rules import Overrides
from collectord.epochs.survey import Survey
from collectord.index.runs import DispatchedRun
from collectord.kernel.evidence import situation_json
from collectord.model import Environment, EnvironmentChange, Situation
from collectord.repo.policy import read_policy
from tests.support.environments import assigned, folded, run, shows


def _shown(name: str, at: int, issue: int, minutes: int) -> DispatchedRun:
    key = situation_json(Situation("code", "low", "S", None, (f"t{issue}",), None))
    plan = ("serial_handoff", 1, minutes * 60, None)
    return DispatchedRun("archive", name, name, at, shows(), situation=key, digest="d", plan=plan)


def _keys(runs: Sequence[DispatchedRun]) -> list[str]:
    dispatched = [run(shown.started_ms, shown.evidence, shown.name) for shown in runs]
    found: Mapping[RunKey, DispatchedRun] = {(shown.kind, shown.name): shown for shown in runs}
    survey = Survey(
        {},
        [],
        (),
        assigned(dispatched, [], {}),
        folded(dispatched, [], {}),
        found,
        (),
        None,
    )
    return [cause.key for cause in causes(survey, lambda change: {})]


def _environment(document: dict[str, Any]) -> Environment:
    class OneFile:
        def read(self, path: PurePosixPath) -> bytes | None:
            whole = {"version": "1.0", "toolchains": {"codex": {}}, **document}
            return json.dumps(whole).encode() if str(path) == ".cyntra/config.yaml" else None

        def names(self, path: PurePosixPath) -> tuple[str, ...]:
            return ()

    return environment_of(read_policy(OneFile()))


def test_new_runs_of_a_known_contradiction_do_not_push_another_out() -> None:
    pairs = [
        _shown(f"{issue:03d}-{minutes}", issue * 100 + minutes, issue, minutes)
        for issue in range(MAX_RUNS + 1)
        for minutes in (30, 60)
    ]
    more = [_shown(f"m{n}", 9_000 + n, MAX_RUNS, 60) for n in range(3)]
    before = _keys(pairs)
    assert len(before) == MAX_RUNS
    assert _keys([*pairs, *more]) == before


def test_a_change_that_was_told_is_not_derived_again() -> None:
    change = EnvironmentChange(1, "a", "b", "daemon")
    remembered: Remembered = {}
    documents = {"a": {}, "b": {"toolchains": {"codex": {"timeout_minutes": 45}}}}
    environments = {name: _environment(document) for name, document in documents.items()}
    first = fields_of_changes(environments, Overrides(), remembered)(change)
    # Without any environment there is nothing to derive it from.
    assert fields_of_changes({}, Overrides(), remembered)(change) is first
