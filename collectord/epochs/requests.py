"""What commands ask of environments, epochs and alerts; while a daemon runs, it carries out the changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.epochs.drift import surface_of
from collectord.epochs.evaluate import evaluate as bring_up_to_date
from collectord.epochs.evaluate import note_unreadable, seal_limits
from collectord.epochs.json_views import (
    alert_document,
    difference,
    epoch_documents,
    shown_at,
    stretch_documents,
)
from collectord.epochs.named import environment_named
from collectord.epochs.observe import launches_of_interest, note_look, read_history, take_look
from collectord.epochs.outline import KeptOutline, outline_for
from collectord.epochs.rules import overrides_from, without_effect
from collectord.epochs.timeline import START
from collectord.errors import CollectordError, LockHeld
from collectord.index.alerts import acknowledge
from collectord.index.alerts import alerts as stored_alerts
from collectord.index.engine import IndexConnection
from collectord.index.environments import (
    drop_observations,
    epoch_snapshots,
    has_closing,
    kernel_sessions,
    seals,
    store_cut,
    store_environment,
    store_kernel_look,
    store_observation,
)
from collectord.index.info import EVALUATED, info, put_info
from collectord.index.opening import now_ms, reader_for, writer_for
from collectord.kernel.jsonio import JsonObject, Unparsable, ascii_json, parse_object
from collectord.model import GIT, Environment, EnvironmentObservation, Launch
from collectord.repo.kernel_processes import KernelFinder
from collectord.repo.policy import PolicyReader, WorkingTree
from collectord.system.durable import atomic_write, ensure_private_dir

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.epochs.outline import Outline
    from collectord.epochs.rules import Overrides
    from collectord.index.alerts import Notice
    from collectord.index.engine import IndexConnection
    from collectord.index.writer import IndexWriter
    from collectord.kernel.jsonio import JsonObject
    from collectord.model import Launch


FOLDER = "requests"
MAX_BYTES = 256 * 2**20
REQUEUE, ACCEPT_GONE = "requeue", "accept_gone"


def cut_request(why: str, at_ms: int) -> JsonObject:
    """Ask for a cut at that time."""
    return {"kind": "cut", "why": why, "at_ms": at_ms}


def ack_request(ids: Iterable[int] | None, at_ms: int) -> JsonObject:
    """Ask for alerts to be marked as seen, all of them for None."""
    return {"kind": "ack", "ids": None if ids is None else sorted(ids), "at_ms": at_ms}


def requeue_request(names: Iterable[str], at_ms: int) -> JsonObject:
    """Ask for directories in quarantine to be read again."""
    return {"kind": REQUEUE, "names": sorted(names), "at_ms": at_ms}


def accept_gone_request(at_ms: int) -> JsonObject:
    """Ask for what is missing to be believed gone."""
    return {"kind": ACCEPT_GONE, "at_ms": at_ms}


def history_request(found: Iterable[tuple[Environment, EnvironmentObservation]], at_ms: int) -> JsonObject:
    """Ask for the repo's history to be kept in place of what was read of it before."""
    listed = [[asdict(environment), asdict(observation)] for environment, observation in found]
    return {"kind": "history", "found": listed, "at_ms": at_ms}


def carry_out(connection: IndexConnection, request: JsonObject) -> int:
    """Do what a request asks of environments and alerts; returns how many things changed.

    Raises KeyError for any other request.
    """
    at_ms = request["at_ms"]
    match request["kind"]:
        case "cut":
            store_cut(connection, at_ms, request["why"])
            return 1
        case "ack":
            return acknowledge(connection, request["ids"], at_ms)
        case "history":
            return _store_history(connection, request["found"], at_ms)
    raise KeyError(request["kind"])


def _store_history(connection: IndexConnection, found: list[Any], at_ms: int) -> int:
    drop_observations(connection, GIT)
    for environment, observation in found:
        unrecognised = tuple(environment["unrecognised"])
        store_environment(connection, Environment(**{**environment, "unrecognised": unrecognised}), at_ms)
        store_observation(connection, EnvironmentObservation(**observation))
    return len(found)


def leave(state_dir: Path, request: JsonObject) -> Path:
    """Leave a request for the daemon; the same one twice is one."""
    folder = state_dir / FOLDER
    ensure_private_dir(folder)
    data = ascii_json(request).encode("ascii")
    path = folder / f"{request['at_ms']:016d}-{sha256(data).hexdigest()[:16]}.json"
    atomic_write(path, data)
    return path


def left(state_dir: Path) -> Iterator[tuple[Path, JsonObject | None]]:
    """The requests that were left, the oldest first; None for a file that is none."""
    folder = state_dir / FOLDER
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            yield path, parse_object(path.read_bytes()[:MAX_BYTES])
        except (OSError, Unparsable):
            yield path, None


SCHEMA = "collectord.environment.v1"


def overrides_of(settings: Settings) -> Overrides:
    """What the configuration says about the severity of changes."""
    return overrides_from(settings.config.environment)


def look_by_hand(settings: Settings, writer: IndexWriter) -> list[Notice]:
    """One look at the repo by hand: what it sees is noted, or that it could not be read."""
    running = KernelFinder(settings.repo).look(now_ms())
    with writer.transaction() as connection:
        store_kernel_look(connection, running.kernels, running.at_ms)
        sessions = kernel_sessions(connection)
    plain = take_look(PolicyReader(WorkingTree(settings.repo)), now_ms())
    launches = launches_of_interest(sessions, plain.has_universe)
    others = [take_look(PolicyReader(WorkingTree(settings.repo), each), now_ms()) for each in launches]
    with writer.transaction() as connection:
        for seen in (plain, *others):
            note_look(connection, seen, START)
        unreadable = [seen.unreadable for seen in (plain, *others) if seen.unreadable is not None]
        return note_unreadable(connection, unreadable, plain.at_ms)


def evaluate_by_hand(settings: Settings, writer: IndexWriter) -> list[Notice]:
    """Bring alerts and epochs to what follows from the index; returns what is to be told.

    Nothing is computed where all that it follows from is as it was.
    """
    kept = KeptOutline(settings)
    with writer.transaction() as connection:
        before = info(connection, EVALUATED)
        # An epoch that is closing is sealed by time and by what is in flight, and that is not in the index.
        if before == kept.key(connection) and not has_closing(connection):
            return []
        overrides, seal_after = overrides_of(settings), seal_after_ms(settings)
        done = bring_up_to_date(
            connection, settings.repo, overrides, now_ms=now_ms(), seal_after_ms=seal_after
        )
        key = kept.key(connection)
        put_info(connection, EVALUATED, key)
    if key != before:
        kept.save(key, done.survey)
    return done.notices


def seal_after_ms(settings: Settings) -> int | None:
    """The configured limit of a closing epoch; None for what its toolchains need."""
    return int(settings.config.environment.seal_after * 1000) or None


def show_environment(settings: Settings, at_ms: int | None) -> dict[str, Any]:
    """The environment that stood at a time, or stands; with what the repo holds now where none is given."""
    with reader_for(settings) as reader:
        found = outline_for(settings, reader.connection)
        now = _repo_now(settings) if at_ms is None else None
        return {"schema": SCHEMA, "repo": str(settings.repo), **shown_at(found, at_ms), "now": now}


def _repo_now(settings: Settings) -> dict[str, Any]:
    seen = take_look(PolicyReader(WorkingTree(settings.repo)), now_ms())
    return {
        "fingerprint": seen.environment.fingerprint if seen.environment else None,
        "unreadable": str(seen.unreadable) if seen.unreadable else None,
    }


def overrides_without_effect(settings: Settings) -> tuple[str, ...]:
    """The entries of `environment.severity` and `environment.ignore` that match nothing in the repo now.

    None of them where the environment cannot be read, which is told elsewhere.
    """
    overrides = overrides_of(settings)
    if not (overrides.severity or overrides.ignored):
        return ()
    launches = [None, *_launches(settings)]
    looks = [take_look(PolicyReader(WorkingTree(settings.repo), each), now_ms()) for each in launches]
    surfaces = [surface_of(look.environment) for look in looks if look.environment is not None]
    unmatched = [without_effect(overrides, surface) for surface in surfaces]
    return (
        tuple(entry for entry in unmatched[0] if all(entry in each for each in unmatched))
        if unmatched
        else ()
    )


def environment_history(settings: Settings) -> dict[str, Any]:
    """Every environment that stood, from when to when, how that is known, and the runs under it."""
    with reader_for(settings) as reader:
        found = outline_for(settings, reader.connection)
        return {"schema": "collectord.environment_history.v1", "stretches": stretch_documents(found)}


def diff_environments(settings: Settings, before: str, after: str) -> dict[str, Any]:
    """What changed between two environments, each named by a time, a fingerprint, an epoch or a file."""
    if Path(before).is_file() and Path(after).is_file():
        pair = [environment_named(None, name, now_ms()) for name in (before, after)]
    else:
        with reader_for(settings) as reader:
            found = outline_for(settings, reader.connection)
            pair = [environment_named(found, name, now_ms()) for name in (before, after)]
    differing = difference(pair[0], pair[1], overrides_of(settings), now_ms())
    return {"schema": "collectord.environment_diff.v1", **differing}


def backfill_history(settings: Settings) -> dict[str, Any]:
    """Read the repo's git history of its policy files into the timeline, in place of an earlier reading."""
    done = read_history(settings.repo, now_ms())
    others = [read_history(settings.repo, now_ms(), launch) for launch in _launches(settings)]
    found = [pair for each in (done, *others) for pair in each.found]
    result = ask(settings, history_request(found, now_ms()), "collectord environment backfill", first=True)
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
    if not settings.index_path.exists():
        return []
    with reader_for(settings) as reader:
        launches = dict.fromkeys(session.launch for session in kernel_sessions(reader.connection))
    return [launch for launch in launches if launch != Launch()]


def ask(settings: Settings, request: JsonObject, command: str, *, first: bool = False) -> dict[str, Any]:
    """Carry a request out, or leave it for the daemon that holds the index.

    `done` says which, `changed` how many things changed. With `first` the index may be made by it.
    """
    from collectord.index.schema import require_exists

    if not first:
        require_exists(settings.index_path)
    try:
        with writer_for(settings, command) as writer:
            with writer.transaction() as connection:
                changed = carry_out(connection, request)
            evaluate_by_hand(settings, writer)
        return {"done": True, "changed": changed}
    except LockHeld:
        leave(settings.state_dir, request)
        return {"done": False, "changed": None}


def list_epochs(settings: Settings) -> dict[str, Any]:
    """Every epoch."""
    with reader_for(settings) as reader:
        found = outline_for(settings, reader.connection)
        return {
            "schema": "collectord.epochs.v1",
            "epochs": _epoch_documents(settings, reader.connection, found),
        }


def _epoch_documents(settings: Settings, connection: IndexConnection, found: Outline) -> list[dict[str, Any]]:
    limits = seal_limits(found.environments, seal_after_ms(settings))
    sealed = seals(connection), epoch_snapshots(connection)
    return epoch_documents(found, *sealed, now_ms=now_ms(), limit_ms=limits)


def show_epoch(settings: Settings, number: int) -> dict[str, Any]:
    """One epoch with its environment, what changed before it, its snapshots and its runs."""
    from collectord.epochs.selection import find_epoch, select

    with reader_for(settings) as reader:
        found = outline_for(settings, reader.connection)
        epoch = find_epoch(found, str(number))
        selection = select(found, str(number), None, overrides_of(settings))
        return {
            "schema": "collectord.epoch.v1",
            "epoch": _epoch_documents(settings, reader.connection, found)[epoch.number - 1],
            "environment": selection.environment_document,
            "drift": list(selection.drift),
            "runs": [name for (_, name), placement in found.runs() if placement.epoch == epoch.number],
        }


def cut_epoch(settings: Settings, why: str) -> dict[str, Any]:
    """End the current epoch now."""
    at_ms = now_ms()
    done = ask(settings, cut_request(why, at_ms), "collectord epoch cut")
    return {"schema": "collectord.epoch_cut.v1", "at_ms": at_ms, "why": why, **done}


def list_alerts(settings: Settings, since_ms: int | None) -> dict[str, Any]:
    """The alerts, the newest first."""
    with reader_for(settings) as reader:
        found = stored_alerts(reader.connection, since_ms=since_ms)
    return {"schema": "collectord.alerts.v1", "alerts": [alert_document(alert) for alert in found]}


def show_alert(settings: Settings, number: int) -> dict[str, Any]:
    """One alert; raises CollectordError where there is none of that number."""
    found = [a for a in list_alerts(settings, None)["alerts"] if a["id"] == number]
    if not found:
        raise CollectordError(f"alert {number}: there is none; `collectord drift list` shows them")
    return {"schema": "collectord.alert.v1", "alert": found[0]}


def acknowledge_alerts(settings: Settings, numbers: Collection[int] | None) -> dict[str, Any]:
    """Mark alerts as seen, all of them for None."""
    for number in numbers or ():
        show_alert(settings, number)
    done = ask(settings, ack_request(numbers, now_ms()), "collectord drift ack")
    return {"schema": "collectord.drift_ack.v1", **done}
