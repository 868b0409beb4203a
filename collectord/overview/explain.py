"""What became of one directory, why it is or is not in a dataset, and what to do about it."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from collectord import archive
from collectord.cyntra.label import budgets
from collectord.errors import CollectordError
from collectord.export import builder_profile, dispatch_profile
from collectord.export.row_plan import FAB_WORLD, NO_PLAN, NOT_ENCODABLE, OTHER_SWARM, ExportOptions
from collectord.index import queries
from collectord.index.reader import IndexReader
from collectord.model import ARCHIVE, WORLD, IndexedRun, OutcomeKind
from collectord.names import readable_name
from collectord.sources.universe import load_universe

# The constant behind the last colon of a reason → what helps.
_QUARANTINED = {
    archive.SYMLINK: "links are never followed; put the file itself in its place",
    archive.NOT_REGULAR: "something stands where a file should; put the file itself in its place",
    archive.HARD_LINK: "the file has a second name elsewhere; copy it, so that it has one",
    archive.OTHER_DEVICE: "something is mounted there; put the files themselves in its place",
    archive.TOO_LARGE: "if it is meant to be that large, raise limits.json_bytes",
    archive.PERMISSION: "let the user that runs collectord read it",
    archive.TooManyEntries.reason: "if it is meant to hold that many, raise limits.entries",
    "not UTF-8": "rename the directory",
}
_PARTIAL = {
    "no core files": "nothing in it says what ran",
    "missing": "without a manifest there is no plan",
    "no run can be made of it": "its time lies outside of what a calendar can hold",
}


def advice_for(state: str, reason: str | None, *, has_revision: bool) -> str | None:
    """A sentence for a person; None where nothing is to be done."""
    what = (reason or "").rpartition(": ")[2]
    if state == OutcomeKind.QUARANTINED:
        kept = ", and until then its last good revision counts" if has_revision else ""
        help_ = _QUARANTINED.get(what, "its disk may be failing")
        return f"{help_}; the archive is tried again when it changes{kept}"
    if state == OutcomeKind.PARTIAL:
        help_ = _PARTIAL.get(what, "a file that does not parse counts as missing")
        return f"{help_}; the archive is read again when it changes"
    return None


NO_RUN = "no_run"
NO_SUMMARY = "no_builder_summary"
_WORDS = {
    NO_RUN: "no run can be made of what was read",
    NO_PLAN: "its manifest holds no explicit executed plan, so there is no label",
    OTHER_SWARM: "the executed swarm is not among those it could choose from",
    NOT_ENCODABLE: "it holds a lone surrogate, which cannot be written as UTF-8",
    NO_SUMMARY: "the kernel's builder takes no run without a proof or a v1 rollout",
    FAB_WORLD: "it is a fab-world run, which only --include-world asks for",
}


def explain_directory(
    reader: IndexReader, repo: Path, archives_dir: Path, wanted: str, options: ExportOptions
) -> dict[str, Any]:
    """One document about an archive or world run, by its directory's name or its run id.

    `options` say for which dataset; their profile does not count. Raises CollectordError for the unknown.
    """
    found = _find(reader, wanted)
    if found is None:
        raise _unknown(reader, archives_dir, wanted)
    revisions = found.pop("revisions")
    place = found["kind"], found["name"]
    run = reader.run_of(*place)
    return {
        "schema": "collectord.explain.v1",
        "archive": found,
        "revisions": revisions,
        "label": _label(run),
        "datasets": {
            "dispatch": _verdict(_dispatch(run, repo, options)),
            "builder": _verdict(_builder(run, reader.run_of(*place, builder=True), options)),
        },
        "same_run_id": _others(reader, run, place),
        "advice": advice_for(found["state"], found["reason"], has_revision=found["revision"] is not None),
    }


def _find(reader: IndexReader, wanted: str) -> dict[str, Any] | None:
    name = readable_name(wanted)
    for kind, candidate in [(ARCHIVE, name), *queries.directories_of_run(reader, wanted), (WORLD, name)]:
        found = queries.directory(reader, kind, candidate)
        if found is not None:
            return found
    return None


def _unknown(reader: IndexReader, archives_dir: Path, wanted: str) -> CollectordError:
    if _is_there(archives_dir, wanted):
        return CollectordError(
            f"{wanted}: is on disk and not in the index yet; run `collectord ingest {wanted}`"
        )
    known = [directory.name for directory in reader.known()]
    close = get_close_matches(wanted, known, 3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return CollectordError(f"{wanted}: neither in the index nor in {archives_dir}{hint}")


def _is_there(archives_dir: Path, name: str) -> bool:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    return (archives_dir / name).is_dir()


def _label(run: IndexedRun | None) -> dict[str, Any] | None:
    """The label as rows hold it: swarm and bins; None without an explicit plan."""
    if run is None or run.label is None or not run.label.explicit:
        return None
    action = json.loads(run.summary)["action_executed"]
    return {"swarm_id": action["swarm_id"], "budgets": budgets(action)}


def _dispatch(run: IndexedRun | None, repo: Path, options: ExportOptions) -> str | None:
    if run is None:
        return NO_RUN
    return dispatch_profile.reason_left_out(run, options, load_universe(repo, options.universe))


def _builder(run: IndexedRun | None, summarized: IndexedRun | None, options: ExportOptions) -> str | None:
    if summarized is None:
        return NO_RUN if run is None else NO_SUMMARY
    return builder_profile.reason_left_out(summarized, options)


def _verdict(reason: str | None) -> dict[str, Any]:
    text = "yes" if reason is None else f"no: {_WORDS[reason]}"
    return {"included": reason is None, "reason": reason, "text": text}


def _others(reader: IndexReader, run: IndexedRun | None, place: tuple[str, str]) -> list[str]:
    """Names of other directories whose run has the same id; the kernel lets that happen."""
    found = queries.directories_of_run(reader, run.run_id) if run else []
    return [name for kind, name in found if (kind, name) != place]
