"""Runs read back in bulk: for epochs, for the audit, for datasets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from sqlite3 import Row
from typing import Any, Generic, NamedTuple, TypeVar

from collectord.errors import IndexDamaged
from collectord.index.engine import IndexConnection, readable_errors
from collectord.index.reader import IndexReader
from collectord.index.rows import label_from, unpack
from collectord.index.statements import (
    ALL_RUNS,
    COLUMNS_OF_A_RUN,
    PLAN,
    RUNS,
    TYPED_COLUMNS_OF_A_RUN,
    WITH_LABELS,
    marks,
    scalar,
)
from collectord.kernel.artifact_facts import VERSION, ArtifactFacts, artifact_facts_json, artifact_facts_of
from collectord.kernel.dispatch import InputState, completed_ms, time_conflict
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
MANIFEST, PROOF = "manifest.json", "proof.json"
Plan = tuple[str | None, int | None, int | None, int | None]


class DispatchedRun(NamedTuple):
    """A run of a current revision and what it shows; all but ids, times and the plan are JSON texts.

    `asks` is whether its issue may ask to speculate: None, it may or not; False where Beads knows the issue
    and has never said so. `plan` is (swarm, candidates, timeout in seconds, iterations) of an explicit
    executed plan, else None. The environment of a run follows from what stands before `situation`.
    """

    kind: str
    name: str
    run_id: str
    started_ms: int
    evidence: str
    executed: str | None = None
    issue_text: str | None = None
    asks: bool | None = None
    situation: str | None = None
    digest: str = ""
    plan: Plan | None = None
    issue_id: str | None = None


Asks = Callable[[str | None], bool | None]


def dispatched_runs(
    connection: IndexConnection,
    asks: Asks,
    keys: Collection[tuple[str, str]] | None = None,
    *,
    with_texts: bool,
) -> Iterator[DispatchedRun]:
    """The runs of current revisions, one at a time; evidence that an older index lacks is derived.

    `asks` tells of an issue what `DispatchedRun` has of it. `keys` are (kind, name) of those wanted, None for
    all. Without `with_texts` no run has the text of its issue.
    """
    for row in _rows(connection, keys):
        yield _dispatched_run(connection, row, asks, with_texts)


def _rows(connection: IndexConnection, keys: Collection[tuple[str, str]] | None) -> Iterator[Any]:
    columns = "a.kind, a.name, run.run_id, run.started_ms, r.digest, run.issue_id"
    texts = "run.evidence, run.situation, run.executed, run.issue_text, run.revision_id, run.domain"
    shown = f"SELECT {columns}, {texts}, {PLAN}, label.max_iterations FROM {RUNS} {WITH_LABELS}"
    ordered = "ORDER BY a.kind, a.name"
    if keys is None:
        yield from connection.execute(f"{shown} {ordered}")
        return
    listed = sorted(keys)
    for start in range(0, len(listed), _BATCH):
        batch = listed[start : start + _BATCH]
        for kind in sorted({kind for kind, _ in batch}):
            names = [name for of, name in batch if of == kind]
            of_these = f"WHERE a.kind = ? AND a.name IN ({marks(names)})"
            yield from connection.execute(f"{shown} {of_these} {ordered}", (kind, *names))


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


def fill_older(connection: IndexConnection) -> int:
    """Write down what was not looked for in the runs that an older collectord ingested; how many."""
    query = "SELECT revision_id, domain, started_ms, duration_ms FROM runs WHERE executed IS NULL"
    update = (
        "UPDATE runs SET evidence = ?, situation = ?, executed = ?, issue_text = ?, time_conflict = ?"
        " WHERE revision_id = ?"
    )
    listed = connection.execute(query).fetchall()
    for revision_id, domain, started_ms, duration_ms in listed:
        completed = completed_ms(_document(connection, revision_id, PROOF))
        conflict = time_conflict(completed, started_ms, duration_ms)
        texts = texts_of(_document(connection, revision_id, MANIFEST), domain)
        connection.execute(update, (*texts, conflict, revision_id))
    return len(listed)


def fill_artifact_facts(connection: IndexConnection) -> int:
    """Write down what artifacts tell of runs that an older collectord ingested; how many."""
    # The version is the first value of the text: `[1, …`.
    lacking = f"a.kind = '{ARCHIVE}' AND (run.artifact_facts IS NULL OR run.artifact_facts NOT LIKE ?)"
    query = f"SELECT run.revision_id FROM {ALL_RUNS} WHERE {lacking}"
    listed = connection.execute(query, (f"[{VERSION},%",)).fetchall()
    for (revision_id,) in listed:
        values = artifact_facts_json(_artifact_facts(connection, revision_id)), revision_id
        connection.execute("UPDATE runs SET artifact_facts = ? WHERE revision_id = ?", values)
    return len(listed)


def _dispatched_run(connection: IndexConnection, row: Any, asks: Asks, with_texts: bool) -> DispatchedRun:
    kind, name, run_id, started_ms, digest, issue_id = row[:6]
    evidence, situation, executed, issue_text, revision_id, domain = row[6:12]
    explicit, *label = row[12:]
    texts = Texts(evidence, situation, executed, issue_text)
    if evidence is None or executed is None:
        texts = texts_of(_document(connection, revision_id, MANIFEST), domain)
    # Most runs show and plan what others do, and a run has the name of its archive: one copy is enough.
    return DispatchedRun(
        sys.intern(kind),
        sys.intern(name),
        sys.intern(run_id),
        started_ms,
        sys.intern(texts.evidence),
        None if texts.executed == UNKNOWN else sys.intern(texts.executed),
        _one_copy(texts.issue_text) if with_texts else None,
        asks(issue_id),
        _one_copy(texts.situation),
        digest,
        _plan(*label) if explicit else None,
        _one_copy(issue_id),
    )


def _one_copy(text: str | None) -> str | None:
    return None if text is None else sys.intern(text)


@lru_cache(maxsize=256)
def _plan(
    swarm_id: str | None, max_candidates: int | None, timeout_seconds: int | None, max_iterations: int | None
) -> Plan:
    return swarm_id, max_candidates, timeout_seconds, max_iterations


def _document(connection: IndexConnection, revision_id: int, name: str) -> dict[str, Any]:
    query = (
        "SELECT sha256, codec, data FROM revision_files f JOIN artifacts USING (sha256)"
        " WHERE f.revision_id = ? AND f.name = ?"
    )
    row = connection.execute(query, (revision_id, name)).fetchone()
    try:
        return parse_object(unpack(*row)) if row else {}
    except Unparsable:
        return {}


def runs_for_audit(reader: IndexReader) -> list[Row]:
    """The typed columns of each run, its plan and the facts of its artifacts, in order of dispatch."""
    columns = f"a.name, a.complete_ms, r.digest, r.seen_ms, {COLUMNS_OF_A_RUN}, run.artifact_facts, {PLAN}"
    query = f"SELECT {columns} FROM {RUNS} {WITH_LABELS} WHERE a.kind = '{ARCHIVE}'"
    with readable_errors(reader.path):
        found = reader.connection.execute(f"{query} ORDER BY run.started_ms, run.run_id, a.name")
        return found.fetchall()


def artifact_facts_of_revision(reader: IndexReader, revision_id: int) -> ArtifactFacts:
    """The facts of a run's artifacts, read from them where the index has none."""
    with readable_errors(reader.path):
        return _artifact_facts(reader.connection, revision_id)


def _artifact_facts(connection: IndexConnection, revision_id: int) -> ArtifactFacts:
    return artifact_facts_of(*(_document(connection, revision_id, name) for name in (MANIFEST, PROOF)))


def count_recorded(connection: IndexConnection, since_ms: int) -> int:
    """How many current runs since a time have a recorded planner input that is taken as it is."""
    query = f"SELECT count(*) FROM {RUNS} WHERE run.input_state = ? AND run.started_ms >= ?"
    return int(scalar(connection, query, (InputState.VERBATIM, since_ms)))


def plain_runs(reader: IndexReader) -> list[IndexedRun]:
    """The run of every current archive by name, as `IndexReader.runs` gives it but for its artifacts.

    For who looks at all runs and builds few: nothing is parsed, and only the manifest's digest is given.
    """
    columns = "a.kind, a.name, r.digest, run.run_id, run.started_ms, run.finished_ms, a.complete_ms"
    states = "run.duration_ms, run.input_state, run.hash_state, run.encodable, run.ends_in_event_log"
    shown = f"run.job_type, run.domain, run.status, run.summary, run.time_conflict, {_file(MANIFEST)}"
    plan = f"{PLAN}, label.max_iterations, label.recorded_swarms"
    query = f"SELECT {columns}, {states}, {shown}, {plan} FROM {RUNS} {WITH_LABELS}"
    with readable_errors(reader.path):
        found = reader.connection.execute(f"{query} WHERE a.kind = '{ARCHIVE}' ORDER BY a.name")
        return [_plain_run(row) for row in found]


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


def _file(name: str) -> str:
    of_run = f"f.revision_id = run.revision_id AND f.name = '{name}'"
    return f"(SELECT f.sha256 FROM revision_files f WHERE {of_run})"


def ended_without_archive(reader: IndexReader) -> list[str]:
    """Workcells that the event log says have failed or timed out and whose archive was never seen."""
    seen = f"SELECT name FROM archives WHERE kind = '{ARCHIVE}'"
    query = f"SELECT DISTINCT workcell_id FROM workcell_ends WHERE workcell_id NOT IN ({seen})"
    with readable_errors(reader.path):
        return sorted(str(row[0]) for row in reader.connection.execute(query))


def facts_of(connection: IndexConnection, runs: Iterable[IndexedRun]) -> Iterator[Row]:
    """FACTS of runs by kind and name: typed columns, `partial` of the revision, the plan as `plan_*`.

    Raises KeyError for a run of a revision that the index does not have.
    """
    found = connection.execute(f"{_FACTS} ORDER BY a.kind, a.name")
    for run in runs:
        key = run.kind, run.name, run.digest
        row = next((row for row in found if row[:3] == key), None)
        if row is None:
            raise KeyError(key)
        yield row


class Tools(NamedTuple):
    """What a run was worked on with."""

    toolchain: str | None
    model: str | None
    prompt_genome_id: str | None


def tools_in(facts: Row) -> Tools:
    """The tools among FACTS; of words that recur there is one copy."""
    return Tools(*(_one_copy(facts[name]) for name in Tools._fields))


def tools_of(connection: IndexConnection, runs: Iterable[IndexedRun]) -> dict[tuple[str, str], Tools]:
    """The tools of runs in any order, by kind and name. Raises KeyError as `facts_of` does."""
    ordered = sorted(runs, key=lambda run: (run.kind, run.name))
    return {(row[0], row[1]): tools_in(row) for row in facts_of(connection, ordered)}


_OF_PLAN = ("explicit", "swarm_id", "max_candidates", "timeout_seconds", "max_iterations")
FACTS = (
    *("kind", "name", "digest", "partial"),
    *TYPED_COLUMNS_OF_A_RUN,
    *(f"plan_{name}" for name in _OF_PLAN),
)


def _facts_query() -> str:
    typed = ", ".join(f"run.{name}" for name in TYPED_COLUMNS_OF_A_RUN)
    planned = ", ".join(f"label.{name} AS plan_{name}" for name in _OF_PLAN)
    columns = f"a.kind, a.name, r.digest, r.partial, {typed}, {planned}"
    return f"SELECT {columns} FROM {ALL_RUNS} {WITH_LABELS}"


_FACTS = _facts_query()


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
