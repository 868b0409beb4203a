"""Environments and when each was seen, the kernel's processes, cuts by hand, and the seals of epochs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from collectord.index.engine import IndexConnection
from collectord.index.info import info, put_info
from collectord.index.rows import db_text
from collectord.index.statements import insert, inserting, marks, scalar
from collectord.kernel.jsonio import JsonObject, ascii_json
from collectord.model import GIT, Environment, EnvironmentObservation, KernelSession, Launch

LAST_LOOK = "environment_last_look_ms"
POLICY = "policy"


def store_environment(connection: IndexConnection, environment: Environment, now_ms: int) -> None:
    """Store an environment under its fingerprint; one that is stored already is not changed."""
    values = {
        "fingerprint": environment.fingerprint,
        "normaliser": environment.normaliser,
        "digests": ascii_json(environment.digests),
        "components": ascii_json(environment.components),
        "unrecognised": ascii_json(list(environment.unrecognised)),
        "first_seen_ms": now_ms,
    }
    insert(connection, "environments", values, keys=())


def environments(connection: IndexConnection) -> dict[str, Environment]:
    """Fingerprint → every environment that was read from policy files."""
    return {row["fingerprint"]: _environment(row) for row in connection.execute("SELECT * FROM environments")}


def _environment(row: Any) -> Environment:
    return Environment(
        fingerprint=row["fingerprint"],
        origin=POLICY,
        normaliser=row["normaliser"],
        digests=json.loads(row["digests"]),
        components=json.loads(row["components"]),
        unrecognised=tuple(json.loads(row["unrecognised"])),
    )


def store_observation(connection: IndexConnection, observation: EnvironmentObservation) -> None:
    """Store that an environment was seen; the environment itself must be stored before."""
    values = {
        "fingerprint": observation.fingerprint,
        "source": observation.source,
        "since_ms": observation.since_ms,
        "seen_ms": observation.seen_ms,
        "previous_ms": observation.previous_ms,
        "commit_id": observation.commit,
        "launch": db_text(observation.launch),
    }
    insert(connection, "environment_observations", values)


def observations(connection: IndexConnection) -> list[EnvironmentObservation]:
    """Every observation in the order in which it was stored."""
    shown = "fingerprint, source, since_ms, seen_ms, previous_ms, commit_id, launch"
    query = f"SELECT {shown} FROM environment_observations ORDER BY id"
    return [EnvironmentObservation(*row) for row in connection.execute(query)]


def last_look_ms(connection: IndexConnection, launch: str | None = None) -> int | None:
    """When the repo itself was looked at last, for a kernel with that command, and could be read."""
    value = info(connection, _last_look_key(launch))
    return None if value is None else int(value)


def store_last_look(connection: IndexConnection, at_ms: int, launch: str | None = None) -> None:
    """Store when the repo itself was looked at, for a kernel with that command."""
    put_info(connection, _last_look_key(launch), str(at_ms))


def _last_look_key(launch: str | None) -> str:
    return LAST_LOOK if launch is None else f"{LAST_LOOK} {db_text(launch)}"


def replace_fingerprint(
    connection: IndexConnection, before: str, environment: Environment, now_ms: int
) -> None:
    """Move observations and seals to `environment`, which a newer normaliser makes of the same files."""
    store_environment(connection, environment, now_ms)
    renamed = "UPDATE environment_observations SET fingerprint = ? WHERE fingerprint = ?"
    connection.execute(renamed, (environment.fingerprint, before))
    for key, seal in seals(connection).items():
        if key.startswith(f"{before}@"):
            _rename_seal(connection, seal, key.replace(before, environment.fingerprint, 1))


def _rename_seal(connection: IndexConnection, seal: Seal, key: str) -> None:
    insert(connection, "sealed_epochs", asdict(replace(seal, key=key)))
    merge_seals(connection, key, (seal.key,))


def drop_observations(connection: IndexConnection, source: str) -> None:
    """Delete every observation of one source, before they are stored again."""
    connection.execute("DELETE FROM environment_observations WHERE source = ?", (source,))


def known_fingerprint(connection: IndexConnection, launch: str | None = None) -> str | None:
    """The fingerprint that the last look at the repo itself saw, for a kernel with that command."""
    looks = "environment_observations WHERE source != ? AND launch IS ?"
    query = f"SELECT fingerprint FROM {looks} ORDER BY id DESC LIMIT 1"
    found: str | None = scalar(connection, query, (GIT, db_text(launch)))
    return found


def store_cut(connection: IndexConnection, at_ms: int, why: str) -> None:
    """Store a cut by hand."""
    insert(connection, "epoch_cuts", {"at_ms": at_ms, "why": db_text(why)})


def cuts(connection: IndexConnection) -> list[tuple[int, str]]:
    """(at_ms, why) of every cut by hand, in order."""
    query = "SELECT at_ms, why FROM epoch_cuts ORDER BY at_ms, id"
    return [(at_ms, why) for at_ms, why in connection.execute(query)]


# Between two looks at one process its start can come out a little differently: the clocks are read one
# after the other, and a wall clock is set now and then.
SAME_START_MS = 2000
KERNELS = "kernels"


def kernel_sessions(connection: IndexConnection) -> list[KernelSession]:
    """Every process of the kernel that was ever seen, in the order in which they started."""
    query = "SELECT * FROM kernel_sessions ORDER BY started_ms, pid, id"
    return [_session(row) for row in connection.execute(query)]


def _session(row: Any) -> KernelSession:
    launch = Launch(row["config"], row["universe"], bool(row["speculate"]))
    seen = row["first_seen_ms"], row["last_seen_ms"], row["gone_ms"]
    return KernelSession(row["pid"], row["started_ms"], launch, row["max_concurrent"], *seen)


def store_kernel_look(
    connection: IndexConnection, seen: Sequence[KernelSession], at_ms: int, before_ms: int | None = None
) -> bool:
    """Store which kernels a look at `at_ms` saw; returns whether one began or ended since the look before.

    `before_ms` is when the same process looked last; a kernel that is gone now was still there then. One
    that counted as gone and is seen again was never gone.
    """
    changed, running = False, []
    for session in seen:
        row_id = _row_of(connection, session)
        running.append(_insert(connection, session) if row_id is None else row_id)
        changed = changed or row_id is None
    is_running = f"id IN ({marks(running)})"
    here = f"UPDATE kernel_sessions SET last_seen_ms = ?, gone_ms = NULL WHERE {is_running}"
    back = connection.execute(f"{here} AND gone_ms IS NOT NULL", (at_ms, *running)).rowcount
    connection.execute(here, (at_ms, *running))
    gone = (
        "UPDATE kernel_sessions SET gone_ms = ?, last_seen_ms = max(last_seen_ms, ?)"
        f" WHERE gone_ms IS NULL AND NOT {is_running}"
    )
    ended = connection.execute(gone, (at_ms, before_ms or 0, *running)).rowcount
    return bool(back or ended or changed)


def _row_of(connection: IndexConnection, session: KernelSession) -> int | None:
    same = "pid = ? AND started_ms BETWEEN ? AND ?"
    values = session.pid, session.started_ms - SAME_START_MS, session.started_ms + SAME_START_MS
    query = f"SELECT id FROM kernel_sessions WHERE {same} ORDER BY id DESC"
    found: int | None = scalar(connection, query, values)
    return found


def _insert(connection: IndexConnection, session: KernelSession) -> int:
    values = {
        "pid": session.pid,
        "started_ms": session.started_ms,
        "config": db_text(session.launch.config),
        "universe": db_text(session.launch.universe),
        "speculate": int(session.launch.speculate),
        "max_concurrent": session.max_concurrent,
        "first_seen_ms": session.first_seen_ms,
        "last_seen_ms": session.last_seen_ms,
        "gone_ms": session.gone_ms,
    }
    done = connection.execute(inserting("kernel_sessions", values), values)
    assert done.lastrowid is not None
    return done.lastrowid


def store_kernel_states(connection: IndexConnection, states: Sequence[JsonObject]) -> None:
    """Store the state of each running kernel, for readers that cannot wait until it is found again."""
    put_info(connection, KERNELS, ascii_json(list(states)))


def kernel_states(connection: IndexConnection) -> list[JsonObject]:
    """The state of each running kernel as it was stored last."""
    found: list[JsonObject] = json.loads(info(connection, KERNELS) or "[]")
    return found


@dataclass(frozen=True, slots=True)
class Seal:
    """The end of an epoch: closing since `closing_ms`, sealed at `sealed_ms` (None: not yet) and why."""

    key: str
    number: int
    closing_ms: int
    sealed_ms: int | None
    why_sealed: str | None


def has_closing(connection: IndexConnection) -> bool:
    """Whether an epoch is closing and not sealed yet."""
    query = "SELECT 1 FROM sealed_epochs WHERE sealed_ms IS NULL"
    return connection.execute(query).fetchone() is not None


@dataclass(frozen=True, slots=True)
class EpochSnapshot:
    """A published snapshot of a sealed epoch; `content` is the digest of the runs that it was made of."""

    key: str
    path: str
    dataset_hash: str
    content: str
    published_ms: int
    superseded_ms: int | None


def store_seal(connection: IndexConnection, seal: Seal) -> None:
    """Store the seal of an epoch, over the one before."""
    insert(connection, "sealed_epochs", asdict(seal), keys=("key",))


def drop_seals(connection: IndexConnection, keys: Iterable[str]) -> None:
    """Delete the seals of epochs that have not ended after all."""
    for key in keys:
        connection.execute("DELETE FROM sealed_epochs WHERE key = ?", (key,))


def merge_seals(connection: IndexConnection, key: str, former: Iterable[str]) -> None:
    """Give an epoch the snapshots that it had under `former` keys, and delete the seals of those."""
    for other in former:
        connection.execute("UPDATE epoch_snapshots SET key = ? WHERE key = ?", (key, other))
        connection.execute("DELETE FROM sealed_epochs WHERE key = ?", (other,))


def seals(connection: IndexConnection) -> dict[str, Seal]:
    """Key → every seal."""
    query = "SELECT key, number, closing_ms, sealed_ms, why_sealed FROM sealed_epochs"
    return {row["key"]: Seal(*row) for row in connection.execute(query)}


def store_epoch_snapshot(connection: IndexConnection, snapshot: EpochSnapshot) -> None:
    """Store a snapshot of an epoch; the ones before it are superseded from then on.

    The same directory again only gets another `content`: runs that arrived changed no row of it.
    """
    older = "WHERE key = :key AND superseded_ms IS NULL"
    same = f"UPDATE epoch_snapshots SET content = :content {older} AND path = :path"
    if connection.execute(same, asdict(snapshot)).rowcount:
        return
    superseded = f"UPDATE epoch_snapshots SET superseded_ms = :published_ms {older}"
    connection.execute(superseded, asdict(snapshot))
    insert(connection, "epoch_snapshots", asdict(snapshot))


def epoch_snapshots(connection: IndexConnection) -> dict[str, list[EpochSnapshot]]:
    """Key → the snapshots of an epoch, the newest last."""
    found: dict[str, list[EpochSnapshot]] = {}
    shown = "key, path, dataset_hash, content, published_ms, superseded_ms"
    for row in connection.execute(f"SELECT {shown} FROM epoch_snapshots ORDER BY id"):
        found.setdefault(row["key"], []).append(EpochSnapshot(*row))
    return found
