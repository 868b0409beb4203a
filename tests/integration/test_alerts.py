"""Alerts and seals in the index: one row a cause while it stands, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectord.epochs import requests
from collectord.index.alerts import Cause, acknowledge, alerts, note_moment, note_standing
from collectord.index.engine import IndexConnection
from collectord.index.environments import (
    EpochSnapshot,
    Seal,
    cuts,
    environments,
    epoch_snapshots,
    observations,
    replace_fingerprint,
    seals,
    store_environment,
    store_epoch_snapshot,
    store_seal,
)
from collectord.index.writer import IndexWriter
from collectord.model import Environment, EnvironmentObservation


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[IndexConnection]:
    writer = IndexWriter(tmp_path / "index.sqlite3")
    with writer.transaction() as connection:
        yield connection
    writer.close()


def _cause(key: str = "k", *, over: bool = False, runs: int = 1) -> Cause:
    return Cause("e", key, {"runs": runs}, is_over=over)


def test_the_same_cause_does_not_repeat_and_says_when_it_is_over(connection: IndexConnection) -> None:
    assert [n.is_resolved for n in note_standing(connection, ("e",), [_cause()], 1)] == [False]
    assert note_standing(connection, ("e",), [_cause(runs=2)], 2) == []
    [open_alert] = alerts(connection)
    assert (open_alert.opened_ms, open_alert.last_ms, open_alert.fields) == (1, 2, {"runs": 2})
    assert [n.is_resolved for n in note_standing(connection, ("e",), [], 3)] == [True]
    assert note_standing(connection, ("e",), [], 4) == []
    assert alerts(connection)[0].resolved_ms == 3


def test_what_comes_again_is_another_alert(connection: IndexConnection) -> None:
    for causes in ([_cause()], [], [_cause()]):
        note_standing(connection, ("e",), causes, 1)
    assert len(alerts(connection)) == 2


def test_what_is_over_when_it_is_first_seen_is_noted_once(connection: IndexConnection) -> None:
    assert [n.is_resolved for n in note_standing(connection, ("e",), [_cause(over=True)], 1)] == [False, True]
    assert note_standing(connection, ("e",), [_cause(over=True)], 2) == []


def test_alerts_of_other_events_are_left_alone(connection: IndexConnection) -> None:
    note_standing(connection, ("e",), [_cause()], 1)
    assert note_standing(connection, ("other",), [], 2) == []
    assert alerts(connection)[0].resolved_ms is None


def test_a_moment_is_told_once_for_all(connection: IndexConnection) -> None:
    assert len(note_moment(connection, _cause(), 1)) == 1
    assert note_moment(connection, _cause(runs=9), 2) == []
    assert alerts(connection)[0].resolved_ms == 1


def test_what_was_seen_is_not_seen_again(connection: IndexConnection) -> None:
    note_standing(connection, ("e",), [_cause("a"), _cause("b")], 1)
    first = alerts(connection)[0].id
    assert (acknowledge(connection, [first], 2), acknowledge(connection, None, 3)) == (1, 1)
    assert acknowledge(connection, None, 4) == 0


def test_a_snapshot_supersedes_the_one_before_and_only_another_one_does(connection: IndexConnection) -> None:
    store_seal(connection, Seal("k", 1, 1, 2, "why"))
    for path, content, at in (("one", "c1", 10), ("one", "c2", 20), ("two", "c3", 30)):
        store_epoch_snapshot(connection, EpochSnapshot("k", path, "h", content, at, None))
    found = epoch_snapshots(connection)["k"]
    assert [(s.path, s.content, s.superseded_ms) for s in found] == [("one", "c2", 30), ("two", "c3", None)]


def test_a_newer_reading_of_the_same_files_keeps_the_timeline_and_the_seals(
    connection: IndexConnection,
) -> None:
    old, new = (
        Environment(name, "policy", version, {}, {}) for version, name in enumerate(("old", "new"), 1)
    )
    store_environment(connection, old, 1)
    requests.carry_out(
        connection, requests.history_request([(old, EnvironmentObservation("old", "git", 1, 1))], 1)
    )
    store_seal(connection, Seal("old@9", 1, 1, 2, "why"))
    store_epoch_snapshot(connection, EpochSnapshot("old@9", "p", "h", "c", 3, None))
    replace_fingerprint(connection, "old", new, 5)
    assert [o.fingerprint for o in observations(connection)] == ["new"]
    assert list(seals(connection)) == list(epoch_snapshots(connection)) == ["new@9"]
    assert set(environments(connection)) == {"old", "new"}


def test_a_request_that_was_left_for_the_daemon_does_what_it_does_at_once(
    connection: IndexConnection, tmp_path: Path
) -> None:
    requests.leave(tmp_path, requests.cut_request("why", 7))
    requests.leave(tmp_path, requests.cut_request("why", 7))
    (tmp_path / requests.FOLDER / "junk.json").write_text("not JSON")
    left = list(requests.left(tmp_path))
    assert [request is None for _, request in left] == [False, True]
    requests.carry_out(connection, left[0][1] or {})
    assert cuts(connection) == [(7, "why")]
    with pytest.raises(KeyError):
        requests.carry_out(connection, {"kind": "rm", "at_ms": 1})
