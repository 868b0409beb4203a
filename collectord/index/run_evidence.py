"""Every run with what it shows of its environment: what epochs are folded from."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, select, true, update

from collectord.cyntra.dispatch import completed_ms, time_conflict
from collectord.cyntra.evidence import evidence_json, evidence_of, situation_json, situation_of
from collectord.cyntra.executed import UNKNOWN, executed_json, executed_of, issue_text_json, issue_text_of
from collectord.cyntra.jsonio import Unparsable, parse_object
from collectord.index import tables
from collectord.index.codec import unpack

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
    joined = a.join(r, (r.c.archive_id == a.c.id) & (r.c.number == a.c.revision))
    columns = (a.c.kind, a.c.name, r.c.id, r.c.digest, run.c.run_id, run.c.started_ms, run.c.domain)
    plan = (label.c.explicit, label.c.swarm_id, label.c.max_candidates, label.c.timeout_seconds)
    shown = (run.c.evidence, run.c.situation, run.c.issue_id, run.c.executed, run.c.issue_text)
    query = select(*columns, *shown, *plan, label.c.max_iterations)
    joined = joined.join(run, run.c.revision_id == r.c.id).outerjoin(label, label.c.revision_id == r.c.id)
    query = query.select_from(joined).where(wanted).order_by(a.c.kind, a.c.name)
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
