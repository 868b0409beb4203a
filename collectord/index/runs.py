"""Runs read back in bulk: for epochs, for the audit, for datasets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, func, select, true, update

from collectord.errors import IndexDamaged
from collectord.index import tables
from collectord.index.engine import readable_errors
from collectord.index.queries import columns_of_a_run
from collectord.index.reader import IndexReader
from collectord.index.rows import label_from, unpack
from collectord.kernel.dispatch import completed_ms, time_conflict
from collectord.kernel.evidence import (
    UNKNOWN,
    evidence_json,
    evidence_of,
    executed_json,
    executed_of,
    issue_text_json,
    issue_text_of,
    situation_json,
    situation_of,
)
from collectord.kernel.jsonio import JsonObject, Unparsable, parse_object
from collectord.model import ARCHIVE, IndexedRun

_BATCH = 512
Plan = tuple[str | None, int | None, int | None, int | None]


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run of a current revision and what it shows; all but ids, times and the plan are JSON texts.

    `plan` is (swarm, candidates, timeout in seconds, iterations) of an explicit executed plan, else None.
    """

    kind: str
    name: str
    run_id: str
    started_ms: int
    evidence: str
    situation: str | None
    digest: str
    plan: Plan | None
    issue_id: str | None = None
    executed: str | None = None
    issue_text: str | None = None


def shown_runs(connection: Connection, keys: Collection[tuple[str, str]] | None = None) -> Iterator[ShownRun]:
    """The runs of current revisions, one at a time; evidence that an older index lacks is derived.

    `keys` are (kind, name) of those wanted, None for all.
    """
    if keys is None:
        yield from _found(connection, true())
        return
    a, listed = tables.archives, sorted(keys)
    for start in range(0, len(listed), _BATCH):
        batch = listed[start : start + _BATCH]
        for kind in sorted({kind for kind, _ in batch}):
            names = [name for of, name in batch if of == kind]
            yield from _found(connection, (a.c.kind == kind) & a.c.name.in_(names))


def _found(connection: Connection, wanted: ColumnElement[bool]) -> Iterator[ShownRun]:
    a, r, run, label = tables.archives, tables.revisions, tables.runs, tables.labels
    columns = (a.c.kind, a.c.name, r.c.id, r.c.digest, run.c.run_id, run.c.started_ms, run.c.domain)
    plan = (label.c.explicit, label.c.swarm_id, label.c.max_candidates, label.c.timeout_seconds)
    shown = (run.c.evidence, run.c.situation, run.c.issue_id, run.c.executed, run.c.issue_text)
    query = select(*columns, *shown, *plan, label.c.max_iterations)
    query = query.select_from(tables.runs_joined(with_labels=True)).where(wanted).order_by(a.c.kind, a.c.name)
    for row in connection.execute(query):
        is_new = row.evidence is not None and row.executed is not None
        texts = Texts(row.evidence, row.situation, row.executed, row.issue_text)
        yield _shown_run(
            row, texts if is_new else texts_of(_document(connection, row.id, "manifest.json"), row.domain)
        )


class Texts(NamedTuple):
    """What the index keeps of a manifest beside the manifest itself."""

    evidence: str
    situation: str | None
    executed: str
    issue_text: str | None


def texts_of(manifest: dict[str, Any], domain: str) -> Texts:
    """The texts of a manifest; `domain` is the run's."""
    return Texts(
        evidence_json(evidence_of(manifest, domain)),
        situation_json(situation_of(manifest)) if manifest else None,
        executed_json(executed_of(manifest)),
        issue_text_json(issue_text_of(manifest)),
    )


def fill_older(connection: Connection) -> int:
    """Write down what was not looked for in the runs that an older collectord ingested; how many."""
    run = tables.runs
    columns = (run.c.revision_id, run.c.domain, run.c.started_ms, run.c.duration_ms)
    listed = connection.execute(select(*columns).where(run.c.executed.is_(None))).all()
    for row in listed:
        completed = completed_ms(_document(connection, row.revision_id, "proof.json"))
        conflict = time_conflict(completed, row.started_ms, row.duration_ms)
        texts = texts_of(_document(connection, row.revision_id, "manifest.json"), row.domain)._asdict()
        values = {**texts, "time_conflict": conflict}
        connection.execute(update(run).filter_by(revision_id=row.revision_id).values(values))
    return len(listed)


def _shown_run(row: Any, texts: Texts) -> ShownRun:
    evidence, situation, executed, issue_text = texts
    label = (row.swarm_id, row.max_candidates, row.timeout_seconds, row.max_iterations)
    return ShownRun(
        sys.intern(row.kind),
        row.name,
        row.run_id,
        row.started_ms,
        evidence,
        situation,
        row.digest,
        label if row.explicit else None,
        row.issue_id,
        None if executed == UNKNOWN else executed,
        issue_text,
    )


def _document(connection: Connection, revision_id: int, name: str) -> dict[str, Any]:
    f, artifact = tables.revision_files, tables.artifacts
    query = select(artifact).join(f, f.c.sha256 == artifact.c.sha256)
    row = connection.execute(query.where(f.c.revision_id == revision_id, f.c.name == name)).one_or_none()
    try:
        return parse_object(unpack(row.sha256, row.codec, row.data)) if row else {}
    except Unparsable:
        return {}


DbRow = dict[str, Any]


def runs_for_audit(reader: IndexReader) -> list[DbRow]:
    """In order of dispatch; `manifest` and `proof` are digests of artifacts, None where there are none."""
    a, r, label = tables.archives, tables.revisions, tables.labels
    plan = (label.c.explicit, label.c.swarm_id, label.c.max_candidates, label.c.timeout_seconds)
    files = [_file(name).label(column) for name, column in _FILES]
    query = select(a.c.name, a.c.complete_ms, r.c.digest, r.c.seen_ms, *columns_of_a_run(), *plan, *files)
    query = query.select_from(tables.runs_joined(with_labels=True)).where(a.c.kind == ARCHIVE)
    query = query.order_by(tables.runs.c.started_ms, tables.runs.c.run_id, a.c.name)
    with readable_errors(reader.path):
        found = reader.connection.execute(query)
        names = list(found.keys())
        return [dict(zip(names, row, strict=True)) for row in found.all()]


MANIFEST = "manifest.json"
_FILES = ((MANIFEST, "manifest"), ("proof.json", "proof"))


def plain_runs(reader: IndexReader) -> list[IndexedRun]:
    """The run of every current archive by name, as `IndexReader.runs` gives it but for its artifacts.

    For who looks at all runs and builds few: nothing is parsed, and only the manifest's digest is told.
    """
    a, run, label = tables.archives, tables.runs, tables.labels
    columns = [a.c.kind, a.c.name, tables.revisions.c.digest, run.c.run_id, run.c.started_ms]
    columns += [run.c.finished_ms, a.c.complete_ms, run.c.duration_ms, run.c.input_state, run.c.hash_state]
    columns += [
        run.c.encodable,
        run.c.ends_in_event_log,
        run.c.job_type,
        run.c.domain,
        run.c.status,
        run.c.summary,
    ]
    columns.append(run.c.time_conflict)
    plan = (label.c.explicit, label.c.swarm_id, label.c.max_candidates, label.c.timeout_seconds)
    query = select(*columns, _file(MANIFEST), *plan, label.c.max_iterations, label.c.recorded_swarms)
    query = (
        query.select_from(tables.runs_joined(with_labels=True)).where(a.c.kind == ARCHIVE).order_by(a.c.name)
    )
    with readable_errors(reader.path):
        return [_plain_run(row) for row in reader.connection.execute(query).all()]


def _plain_run(row: Sequence[Any]) -> IndexedRun:
    # By place: to take so many values out of a row by name costs more than to fetch it.
    kind, name, digest, run_id, started_ms, finished_ms, complete_ms, duration_ms = row[:8]
    input_state, hash_state, encodable, in_event_log, job_type, domain, status, summary = row[8:16]
    conflict, manifest = row[16:18]
    artifacts = {} if manifest is None else {MANIFEST: manifest}
    return IndexedRun(
        kind,
        name,
        digest,
        run_id,
        started_ms,
        finished_ms,
        complete_ms,
        duration_ms,
        input_state,
        hash_state,
        bool(encodable),
        bool(in_event_log),
        job_type,
        domain,
        status,
        summary,
        label_from(*row[18:]),
        artifacts,
        conflict,
    )


def _file(name: str) -> Any:
    table = tables.revision_files
    of_run = (table.c.revision_id == tables.runs.c.revision_id) & (table.c.name == name)
    return select(table.c.sha256).where(of_run).scalar_subquery()


def ended_without_archive(reader: IndexReader) -> list[str]:
    """Workcells that the event log says have failed or timed out and whose archive was never seen."""
    end, a = tables.workcell_ends, tables.archives
    query = select(func.distinct(end.c.workcell_id)).where(
        end.c.workcell_id.not_in(select(a.c.name).where(a.c.kind == ARCHIVE))
    )
    with readable_errors(reader.path):
        return sorted(str(row[0]) for row in reader.connection.execute(query))


Facts = dict[str, Any]


def facts_of(connection: Connection, runs: Sequence[IndexedRun]) -> Iterator[Facts]:
    """The typed columns of each run, its revision's `partial`, its plan as `plan_*`; in the order given."""
    for start in range(0, len(runs), _BATCH):
        batch = runs[start : start + _BATCH]
        found = _fetch(connection, batch)
        for run in batch:
            yield found[run.kind, run.name, run.digest]


def _fetch(connection: Connection, runs: Sequence[IndexedRun]) -> dict[tuple[str, str, str], Facts]:
    found = {}
    for kind in {run.kind for run in runs}:
        names = [run.name for run in runs if run.kind == kind]
        for row in connection.execute(_query(kind, names)):
            found[row.kind, row.name, row.digest] = dict(row._mapping)
    return found


def _query(kind: str, names: Sequence[str]) -> Any:
    a, r, run, label = tables.archives, tables.revisions, tables.runs, tables.labels
    joined = tables.runs_joined(current=False, with_labels=True)
    typed = [column for column in run.c if column.name not in tables.JSON_OF_A_RUN]
    plan = [
        column.label(f"plan_{column.name}")
        for column in label.c
        if column.name not in ("revision_id", "recorded_swarms")
    ]
    query = select(a.c.kind, a.c.name, r.c.digest, r.c.partial, *typed, *plan).select_from(joined)
    return query.where(a.c.kind == kind, a.c.name.in_(names))


_WINDOW = 128
K = TypeVar("K", bound=Hashable)


class _Ahead(Generic[K]):
    """Values by key from the index, in windows of the order in which they will be asked for."""

    def __init__(self, fetch: Callable[[Sequence[K]], Mapping[K, bytes]]) -> None:
        self._fetch = fetch
        self._order: Sequence[K] = ()
        self._place: dict[K, int] = {}
        self._fetched = range(0)
        self._window: Mapping[K, bytes] = {}

    def expect(self, order: Sequence[K]) -> None:
        self._order, self._fetched, self._window = order, range(0), {}
        self._place = {key: place for place, key in enumerate(order)}

    def get(self, key: K) -> bytes | None:
        if key not in self._window and (place := self._place[key]) not in self._fetched:
            self._fetched = range(place, place + _WINDOW)
            self._window = self._fetch(self._order[place : place + _WINDOW])
        return self._window.get(key)


class Manifests:
    """Gives parsed manifests by digest; what is fetched ahead is bounded."""

    def __init__(self, reader: IndexReader) -> None:
        self.reader = reader
        self._ahead = _Ahead(reader.artifacts)

    def expect(self, digests: Sequence[str]) -> None:
        """The digests that will be asked for, in order; some may be left out."""
        self._ahead.expect(digests)

    def get(self, digest: str) -> JsonObject:
        """The parsed manifest; it parsed when it was ingested. Raises IndexDamaged where it is lost."""
        data = self._ahead.get(digest)
        if data is None:
            raise IndexDamaged(f"artifact {digest}: is not in the index; run `collectord db recover`")
        return parse_object(data)


class KeptRows:
    """Gives packed rows by key, where they were kept when their runs were read."""

    def __init__(self, reader: IndexReader) -> None:
        self._ahead = _Ahead(reader.kept_rows)

    def expect(self, keys: Sequence[bytes]) -> None:
        """The keys that will be asked for, in order; some may be left out."""
        self._ahead.expect(keys)

    def get(self, key: bytes) -> bytes | None:
        """The packed row; None where none was kept."""
        return self._ahead.get(key)
