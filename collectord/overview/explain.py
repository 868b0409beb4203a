"""What became of one archive, and why it is or is not in a dataset."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from collectord.errors import CollectordError
from collectord.index.reader import IndexReader

REASONS = {
    "no_executed_plan": "no: its manifest holds no explicit executed plan, so there is no label",
    "swarm_not_in_action_space": "no: the executed swarm is not among those it could choose from",
    "not_encodable": "no: it holds a lone surrogate, which cannot be written as UTF-8",
    "fab_world": "only with --include-world",
}
"""Words for why a run is no row."""


def explain_archive(reader: IndexReader, archives_dir: Path, wanted: str) -> dict[str, Any]:
    """One document about an archive, by its directory's name or its run id."""
    found = reader.archive(wanted) or reader.archive_of_run(wanted)
    if found is None:
        raise _unknown(reader, archives_dir, wanted)
    revisions = found.pop("revisions")
    current = next((r for r in revisions if r["number"] == found["revision"]), None)
    return {
        "schema": "collectord.explain.v1",
        "archive": found,
        "revisions": revisions,
        "datasets": {"dispatch": _dispatch(current), "builder": _builder(current)},
        "advice": _advice(found),
    }


def _unknown(reader: IndexReader, archives_dir: Path, wanted: str) -> CollectordError:
    if "/" not in wanted and "\0" not in wanted and (archives_dir / wanted).is_dir():
        return CollectordError(
            f"{wanted}: is on disk and not in the index yet; run `collectord ingest {wanted}`"
        )
    close = get_close_matches(wanted, [k.name for k in reader.known() if k.kind == "archive"], 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return CollectordError(f"{wanted}: neither in the index nor in {archives_dir}{hint}")


def _dispatch(current: dict[str, Any] | None) -> str:
    run = current["run"] if current else None
    if current is None or run is None:
        return "no: no run can be made of it"
    label = current["label"]
    if run["job_type"] == "fab-world":
        return REASONS["fab_world"]
    if label is None or not label["explicit"]:
        return REASONS["no_executed_plan"]
    if not run["encodable"]:
        return REASONS["not_encodable"]
    recorded = label["recorded_swarms"]
    if recorded is None and run["input_state"] == "verbatim":
        recorded = []
    if recorded is not None and label["swarm_id"] not in recorded:
        return REASONS["swarm_not_in_action_space"]
    if recorded is None:
        return "yes, if the universe knows its swarm (it recorded no action space)"
    return "yes"


def _builder(current: dict[str, Any] | None) -> str:
    run = current["run"] if current else None
    if run is None:
        return "no: no run can be made of it"
    if run["builder_summary"] is None:
        return "no: the kernel's builder takes no run without a proof or a v1 rollout"
    if not run["encodable"]:
        return REASONS["not_encodable"]
    return REASONS["fab_world"] if run["job_type"] == "fab-world" else "yes"


def _advice(archive: dict[str, Any]) -> str | None:
    state, reason = archive["state"], archive["reason"] or ""
    if state == "quarantined":
        return f"it is tried again when it changes; what stands in the way: {reason}"
    if state == "partial":
        return f"it is read again when it changes; what is missing or broken: {reason}"
    return None
