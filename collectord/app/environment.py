"""The environment of the repo: noting it, showing it, comparing it, reading its history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.app.opening import now_ms, reader_for, writer_for
from collectord.errors import LockHeld

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.cyntra.jsonio import JsonObject
    from collectord.environment.severity import Overrides
    from collectord.environment.survey import Survey
    from collectord.index.alerts import Notice
    from collectord.index.engine import IndexConnection
    from collectord.index.writer import IndexWriter
    from collectord.model import Launch

SCHEMA = "collectord.environment.v1"


def overrides_of(settings: Settings) -> Overrides:
    """What the configuration says about the severity of changes."""
    from collectord.environment.severity import overrides_from

    return overrides_from(settings.config.environment)


def survey_of(settings: Settings, connection: IndexConnection) -> Survey:
    """Everything that the index knows of the environment."""
    from collectord.environment.alert_fields import is_cutting
    from collectord.environment.survey import survey

    return survey(connection, is_cutting(overrides_of(settings)))


def look(settings: Settings, writer: IndexWriter) -> list[Notice]:
    """One look at the repo by hand: what it sees is noted, or that it could not be read."""
    from collectord.environment.evaluate import note_unreadable
    from collectord.environment.observe import launches_of_interest, note_look, take_look
    from collectord.environment.timeline import START
    from collectord.index.kernels import kernel_sessions, note_kernels
    from collectord.sources.kernel_processes import KernelFinder
    from collectord.sources.policy import PolicyReader
    from collectord.sources.tree import WorkingTree

    running = KernelFinder(settings.repo).look(now_ms())
    with writer.transaction() as connection:
        note_kernels(connection, running.kernels, running.at_ms)
        sessions = kernel_sessions(connection)
    plain = take_look(PolicyReader(WorkingTree(settings.repo)), now_ms())
    launches = launches_of_interest(sessions, plain.has_universe)
    others = [take_look(PolicyReader(WorkingTree(settings.repo), each), now_ms()) for each in launches]
    with writer.transaction() as connection:
        for seen in (plain, *others):
            note_look(connection, seen, START)
        unreadable = [seen.unreadable for seen in (plain, *others) if seen.unreadable is not None]
        return note_unreadable(connection, unreadable, plain.at_ms)


def evaluate(settings: Settings, writer: IndexWriter) -> list[Notice]:
    """Bring alerts and epochs to what follows from the index; returns what is to be told."""
    from collectord.environment.evaluate import evaluate

    with writer.transaction() as connection:
        return evaluate(
            connection,
            settings.repo,
            overrides_of(settings),
            now_ms=now_ms(),
            seal_after_ms=seal_after_ms(settings),
        ).notices


def seal_after_ms(settings: Settings) -> int | None:
    """The configured limit of a closing epoch; None for what its toolchains need."""
    return int(settings.config.environment.seal_after * 1000) or None


def show(settings: Settings, at_ms: int | None) -> dict[str, Any]:
    """The environment that stood at a time, or stands; with what the repo holds now where none is given."""
    from collectord.environment.json_views import shown_at

    with reader_for(settings) as reader:
        found = survey_of(settings, reader.connection)
        now = _repo_now(settings) if at_ms is None else None
        return {"schema": SCHEMA, "repo": str(settings.repo), **shown_at(found, at_ms), "now": now}


def _repo_now(settings: Settings) -> dict[str, Any]:
    from collectord.environment.observe import take_look
    from collectord.sources.policy import PolicyReader
    from collectord.sources.tree import WorkingTree

    seen = take_look(PolicyReader(WorkingTree(settings.repo)), now_ms())
    return {
        "fingerprint": seen.environment.fingerprint if seen.environment else None,
        "unreadable": str(seen.unreadable) if seen.unreadable else None,
    }


def history(settings: Settings) -> dict[str, Any]:
    """Every environment that stood, from when to when, how that is known, and the runs under it."""
    from collectord.environment.json_views import stretch_documents

    with reader_for(settings) as reader:
        found = survey_of(settings, reader.connection)
        return {"schema": "collectord.environment_history.v1", "stretches": stretch_documents(found)}


def diff(settings: Settings, before: str, after: str) -> dict[str, Any]:
    """What changed between two environments, each named by a time, a fingerprint, an epoch or a file."""
    from collectord.environment.json_views import difference
    from collectord.environment.selection import environment_named

    if Path(before).is_file() and Path(after).is_file():
        pair = [environment_named(None, name, now_ms()) for name in (before, after)]
    else:
        with reader_for(settings) as reader:
            found = survey_of(settings, reader.connection)
            pair = [environment_named(found, name, now_ms()) for name in (before, after)]
    told = difference(pair[0], pair[1], overrides_of(settings), now_ms())
    return {"schema": "collectord.environment_diff.v1", **told}


def backfill(settings: Settings) -> dict[str, Any]:
    """Read the repo's git history of its policy files into the timeline, in place of an earlier reading."""
    from collectord.environment import requests
    from collectord.environment.observe import read_history

    done = read_history(settings.repo, now_ms())
    others = [read_history(settings.repo, now_ms(), launch) for launch in _launches(settings)]
    found = [pair for each in (done, *others) for pair in each.found]
    result = ask(settings, requests.history(found, now_ms()), "collectord environment backfill", first=True)
    return {
        "schema": "collectord.environment_backfill.v1",
        "commits": done.commits,
        "environments": len(done.found),
        "unreadable": [{"commit": commit, "reason": reason} for commit, reason in done.unreadable],
        "early": done.early,
        "shallow": done.shallow,
        "linked": (settings.repo / ".cyntra").is_symlink(),
        **result,
    }


def _launches(settings: Settings) -> list[Launch]:
    """How kernels of the repo were started, beside those without options."""
    from collectord.index.kernels import kernel_sessions
    from collectord.model import Launch

    if not settings.index_path.exists():
        return []
    with reader_for(settings) as reader:
        launches = dict.fromkeys(session.launch for session in kernel_sessions(reader.connection))
    return [launch for launch in launches if launch != Launch()]


def ask(settings: Settings, request: JsonObject, command: str, *, first: bool = False) -> dict[str, Any]:
    """Carry a request out, or leave it for the daemon that holds the index.

    `done` says which, `changed` how many things changed. With `first` the index may be made by it.
    """
    from collectord.environment import requests
    from collectord.index.schema import require_exists

    if not first:
        require_exists(settings.index_path)
    try:
        with writer_for(settings, command) as writer:
            with writer.transaction() as connection:
                changed = requests.carry_out(connection, request)
            evaluate(settings, writer)
        return {"done": True, "changed": changed}
    except LockHeld:
        requests.leave(settings.state_dir, request)
        return {"done": False, "changed": None}
