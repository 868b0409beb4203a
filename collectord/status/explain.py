"""What became of one directory, why it is or is not in a dataset, and what to do about it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord import archive
from collectord.dataset import left_out
from collectord.dataset.row_plan import COPY_OF, FAB_WORLD, NO_PLAN, NOT_ENCODABLE, OTHER_SWARM, ExportOptions
from collectord.epochs.actions import Actions
from collectord.epochs.assign import Explaining
from collectord.epochs.outline import outline_for
from collectord.epochs.reasons import run_document
from collectord.epochs.timeline import Standing, timelines
from collectord.errors import CollectordError
from collectord.index import queries
from collectord.index.environments import kernel_sessions, observations
from collectord.index.opening import reader_for
from collectord.index.reader import IndexReader
from collectord.index.repo_records import may_ask
from collectord.index.runs import dispatched_runs
from collectord.index.sign_of_life import last_beat
from collectord.kernel.rows import budgets
from collectord.model import ARCHIVE, WORLD, IndexedRun, OutcomeKind
from collectord.repo.files import load_universe
from collectord.system.names import readable_name

if TYPE_CHECKING:
    from collectord.config import Settings


# The constant behind the last colon of a reason → what helps.
_QUARANTINED = {
    archive.SYMLINK: "links are never followed; put the file itself in its place",
    archive.NOT_REGULAR: "something stands where a file should; put the file itself in its place",
    archive.HARD_LINK: "it has a second name and belongs to another user; put a copy in its place",
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
            "dispatch": _verdict(_copy_of(reader, run, place) or _dispatch(run, repo, options)),
            "builder": _verdict(_builder(run, reader.run_of(*place, builder=True), options)),
        },
        "same_run_id": _others(reader, run, place),
        "advice": advice_for(found["state"], found["reason"], has_revision=found["revision"] is not None),
    }


def _find(reader: IndexReader, wanted: str) -> dict[str, Any] | None:
    """By name, by run id, by the id of an issue (its newest run), or by a beginning that only one has."""
    name = readable_name(wanted)
    for kind, candidate in [(ARCHIVE, name), *queries.directories_of_run(reader, wanted), (WORLD, name)]:
        found = queries.directory(reader, kind, candidate)
        if found is not None:
            return found
    if newest := queries.newest_of_issue(reader, wanted):
        return queries.directory(reader, ARCHIVE, newest)
    begun = [known.name for known in reader.known() if known.kind == ARCHIVE and known.name.startswith(name)]
    return queries.directory(reader, ARCHIVE, begun[0]) if len(begun) == 1 else None


def _unknown(reader: IndexReader, archives_dir: Path, wanted: str) -> CollectordError:
    if _is_there(archives_dir, wanted):
        beat = last_beat(reader.connection)
        waiting = {one["name"]: one for one in (beat.state.get("waiting") or [])} if beat else {}
        if one := waiting.get(readable_name(wanted)):
            how = "stands still and cannot be taken" if one["stalled"] else "is not whole yet"
            return CollectordError(
                f"{wanted}: {how}; the daemon waits for {one['waits_for']} and looks again by itself"
            )
        return CollectordError(
            f"{wanted}: is on disk and not in the index yet; run `collectord ingest {wanted}`"
        )
    known = [directory.name for directory in reader.known()]
    if begun := [name for name in known if name.startswith(wanted)]:
        shown = ", ".join(sorted(begun)[:5]) + (", …" if len(begun) > 5 else "")
        return CollectordError(f"{wanted}: {len(begun)} archives begin with that: {shown}")
    from difflib import get_close_matches

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


def _copy_of(reader: IndexReader, run: IndexedRun | None, place: tuple[str, str]) -> str | None:
    if run is None:
        return None
    same = [reader.run_of(*other) for other in queries.directories_of_run(reader, run.run_id)]
    original = left_out.copies_in([one for one in same if one is not None]).get(place)
    return f"{COPY_OF} {original}" if original else None


def _dispatch(run: IndexedRun | None, repo: Path, options: ExportOptions) -> str | None:
    if run is None:
        return NO_RUN
    return left_out.dispatch_left_out(run, options, load_universe(repo, options.universe))


def _builder(run: IndexedRun | None, summarized: IndexedRun | None, options: ExportOptions) -> str | None:
    if summarized is None:
        return NO_RUN if run is None else NO_SUMMARY
    return left_out.builder_left_out(summarized, options)


def _verdict(reason: str | None) -> dict[str, Any]:
    if reason is not None and reason.startswith(COPY_OF):
        text = f"no: it is a copy of {reason.removeprefix(COPY_OF).strip()}"
    else:
        text = "yes" if reason is None else f"no: {_WORDS[reason]}"
    return {"included": reason is None, "reason": reason, "text": text}


def _others(reader: IndexReader, run: IndexedRun | None, place: tuple[str, str]) -> list[str]:
    """Names of other directories whose run has the same id; the kernel lets that happen."""
    found = queries.directories_of_run(reader, run.run_id) if run else []
    return [name for kind, name in found if (kind, name) != place]


def explain(settings: Settings, workcell_id: str) -> dict[str, Any]:
    """What became of one archive, and of its run in the datasets that the configuration asks for."""
    asked = settings.config.export
    options = ExportOptions(n_similar=asked.n_similar, include_world=asked.include_world)
    with reader_for(settings) as reader:
        found = explain_directory(reader, settings.repo, settings.archives_dir, workcell_id, options)
        place = found["archive"]["kind"], found["archive"]["name"]
        return {**found, "epoch": epoch_of(settings, reader, place)}


def epoch_of(settings: Settings, reader: IndexReader, place: tuple[str, str]) -> dict[str, Any] | None:
    """The epoch of a run, and what tells its environment."""
    connection = reader.connection
    run = next(dispatched_runs(connection, partial(may_ask, connection), [place], with_texts=True), None)
    if run is None:
        return None
    outline = outline_for(settings, connection)
    standing = Standing(
        timelines(observations(connection)), outline.environments, kernel_sessions(connection)
    )
    return run_document(outline, run, Explaining(standing, Actions()))
