"""Every run with what it shows of its environment: what epochs are folded from."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, true

from collectord.cyntra.evidence import evidence_json, evidence_of, situation_json, situation_of
from collectord.cyntra.jsonio import Unparsable, parse_object
from collectord.index import tables
from collectord.index.codec import unpack

_BATCH = 512
Plan = tuple[str | None, int | None, int | None, int | None]


@dataclass(frozen=True, slots=True)
class ShownRun:
    """A run of a current revision and what it shows; `evidence` and `situation` are JSON texts.

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
    query = select(*columns, run.c.evidence, run.c.situation, *plan, label.c.max_iterations)
    joined = joined.join(run, run.c.revision_id == r.c.id).outerjoin(label, label.c.revision_id == r.c.id)
    query = query.select_from(joined).where(wanted).order_by(a.c.kind, a.c.name)
    for row in connection.execute(query):
        shown = row.evidence, row.situation
        yield _shown_run(row, _derived(connection, row) if row.evidence is None else shown)


def _shown_run(row: Any, shown: tuple[str, str | None]) -> ShownRun:
    evidence, situation = shown
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
    )


def _derived(connection: Connection, row: Any) -> tuple[str, str | None]:
    """(evidence, situation) from the stored manifest."""
    manifest = _manifest(connection, row.id)
    evidence = evidence_json(evidence_of(manifest, row.domain))
    return evidence, situation_json(situation_of(manifest)) if manifest else None


def _manifest(connection: Connection, revision_id: int) -> dict[str, Any]:
    f, artifact = tables.revision_files, tables.artifacts
    query = select(artifact).join(f, f.c.sha256 == artifact.c.sha256)
    row = connection.execute(
        query.where(f.c.revision_id == revision_id, f.c.name == "manifest.json")
    ).one_or_none()
    try:
        return parse_object(unpack(row.sha256, row.codec, row.data)) if row else {}
    except Unparsable:
        return {}
