"""Wires the configuration into objects; nothing else builds them. One function a use case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.app.opening import now_ms as now_ms
from collectord.app.opening import reader_for as reader_for
from collectord.app.opening import writer_for as writer_for
from collectord.errors import LockHeld
from collectord.fs import StateLock, holder

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.export.compare.diff import Diff
    from collectord.export.exporter import Exported
    from collectord.export.row_plan import ExportOptions
    from collectord.export.verify import Verified
    from collectord.index.schema import Upgrade
    from collectord.ingest.bulk import IngestOptions, IngestResult
    from collectord.model import Outcome

Progress = Callable[[int, int], None]
DAEMON = "collectord run"  # who holds the lock while the daemon runs


def ingest(
    settings: Settings,
    *,
    names: frozenset[str] | None = None,
    accept_gone: bool = False,
    report: Callable[[Outcome], None] = lambda _outcome: None,
) -> IngestResult:
    """One pass over archives, world runs, issues and event log, and one look at the environment."""
    from collectord.app import environment
    from collectord.ingest.bulk import ingest_repo

    options = ingest_options(settings, names=names, accept_gone=accept_gone)
    with _unless_the_daemon_does_it(settings), writer_for(settings, "collectord ingest") as writer:
        archives = settings.archives_dir
        notices = environment.look(settings, writer)
        result = ingest_repo(writer, settings.repo, archives, options, clock_ms=now_ms, report=report)
        result.notices += [*notices, *environment.evaluate(settings, writer)]
        return result


def may_lack_archives(settings: Settings) -> bool:
    """Whether it is no wonder that there is no archives folder: a Cyntra repo none of whose runs is known."""
    if not (settings.repo / ".cyntra").is_dir():
        return False
    if not settings.index_path.exists():
        return True
    with writer_for(settings, "collectord ingest") as writer:
        return not writer.known


def ingest_options(
    settings: Settings, *, names: frozenset[str] | None = None, accept_gone: bool = False
) -> IngestOptions:
    """How the configuration wants a pass to go."""
    from collectord.absence import AbsenceRules
    from collectord.ingest.bulk import IngestOptions
    from collectord.ingest.collect import ReadLimits

    config = settings.config
    return IngestOptions(
        limits=ReadLimits(config.limits.json_bytes, config.limits.entries),
        ignore=frozenset(config.watch.ignore),
        batch=config.ingest.batch,
        min_age_s=config.settle.min_age,
        names=names,
        accept_gone=accept_gone,
        absence=AbsenceRules(confirm_s=config.watch.gone_after, alarm_hold_s=config.watch.mass_gone_after),
    )


@contextmanager
def _unless_the_daemon_does_it(settings: Settings) -> Iterator[None]:
    try:
        yield
    except LockHeld as held:
        found = holder(settings.lock_path) or {}
        if found.get("command") != DAEMON:
            raise
        raise LockHeld(
            f"the daemon (process {found.get('pid')}) runs and does this by itself: it indexes each archive "
            "once it is whole; `collectord status` shows what is pending"
        ) from held


def export(
    settings: Settings,
    options: ExportOptions,
    *,
    epoch: str = "all",
    environment: str | None = None,
    out: Path | None = None,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Exported:
    """Publish the dataset of the index; beside a running daemon at any time.

    `epoch` is `all`, `current` or a number; `environment` a fingerprint, which goes before it.
    """
    from collectord.app.epochs import select
    from collectord.export.exporter import Target, export_dataset
    from collectord.export.snapshot import Provenance
    from collectord.index.codec import db_text
    from collectord.index.snapshots import known_snapshots

    target = Target(settings.benches_dir, settings.state_dir / "cache", out)
    with reader_for(settings) as reader:
        chosen = select(settings, reader, epoch, environment)
        exported = export_dataset(
            reader,
            settings.repo,
            replace(options, epoch=chosen.epoch, environment=chosen.environment),
            target,
            clock_ms=now_ms,
            dry_run=dry_run,
            progress=progress,
            provenance=Provenance(chosen.epoch_document, chosen.environment_document, chosen.drift),
            other_epoch=chosen.others,
        )
        known = {snapshot["path"] for snapshot in known_snapshots(reader.connection)}
    # One that was there before can be unknown: to a new index, or where another process held the lock.
    if exported.path and (exported.is_new or db_text(str(exported.path.absolute())) not in known):
        _remember(settings, exported.path, exported.document)
    return exported


def _remember(settings: Settings, path: Path, document: dict[str, Any]) -> None:
    """Note a snapshot in the index; while a daemon writes there, it finds the directory by itself."""
    from collectord.index.snapshots import record_of, register_snapshot

    try:
        with StateLock.acquire(settings.lock_path, "collectord export"):
            register_snapshot(settings.index_path, record_of(path, document))
    except LockHeld:
        return


def verify(settings: Settings | None, folder: Path, *, fast: bool = False) -> Verified:
    """Check a snapshot directory; with settings its rows are made again from their index too."""
    from collectord.export.verify import verify_snapshot

    if settings is None:
        return verify_snapshot(folder, fast=fast)
    with reader_for(settings) as reader:
        return verify_snapshot(folder, (reader, settings.repo))


def diff(a: Path, b: Path) -> Diff:
    """What differs between two dataset directories; asks no index."""
    from collectord.export.compare.diff import diff_snapshots

    return diff_snapshots(a, b)


def snapshots(settings: Settings) -> list[dict[str, Any]]:
    """The published directories in the benches folder, the newest name first."""
    from collectord.export.catalog import list_snapshots

    return list_snapshots(settings.benches_dir)


def find_snapshot(settings: Settings, name: str) -> Path:
    """A published directory by name or path; `latest` is where the link leads."""
    from collectord.export.catalog import find_snapshot

    return find_snapshot(settings.benches_dir, name)


def status(settings: Settings, *, measure: bool = False) -> dict[str, Any]:
    """What the index holds, who writes to it, the newest snapshot, and how much disk is used.

    The latter as the daemon measured it last, or now with `measure`, which walks every archive.
    """
    from collectord.app import disk
    from collectord.index.kernels import kernel_states
    from collectord.overview.facts import stale_workcells
    from collectord.overview.kernel import kernel_document
    from collectord.overview.status import status_of, without_index
    from collectord.sources.in_flight import in_flight
    from collectord.sources.kernel_processes import KernelFinder

    if not settings.index_path.exists():
        return without_index(str(settings.repo), str(settings.index_path))
    with reader_for(settings) as reader:
        found = status_of(reader, str(settings.repo), holder(settings.lock_path), now_ms())
        found["disk"] = disk.measure(settings) if measure else disk.last_measured(reader)
        states = kernel_states(reader.connection)
    look = KernelFinder(settings.repo).look(now_ms())
    found["kernel"] = kernel_document(look, states, len(in_flight(settings.repo)))
    found["stale_workcells"] = list(stale_workcells(settings.repo, now_ms()))
    return found


def runs(
    settings: Settings, *, since_ms: int | None, wanted: Mapping[str, str | None], limit: int
) -> list[dict[str, Any]]:
    """Runs, the newest first."""
    from collectord.index.queries import list_runs

    with reader_for(settings) as reader:
        return list_runs(reader, since_ms=since_ms, wanted=wanted, limit=limit)


def explain(settings: Settings, workcell_id: str) -> dict[str, Any]:
    """What became of one archive, and of its run in the datasets that the configuration asks for."""
    from collectord.app.environment import survey_of
    from collectord.environment.json_views import run_document
    from collectord.export.row_plan import ExportOptions
    from collectord.overview.explain import explain_directory

    asked = settings.config.export
    options = ExportOptions(n_similar=asked.n_similar, include_world=asked.include_world)
    with reader_for(settings) as reader:
        told = explain_directory(reader, settings.repo, settings.archives_dir, workcell_id, options)
        place = told["archive"]["kind"], told["archive"]["name"]
        return {**told, "epoch": run_document(survey_of(settings, reader.connection), place)}


def stats(settings: Settings, *, include_world: bool) -> dict[str, Any]:
    """Counts over run summaries."""
    from collectord.overview.status import stats_of

    with reader_for(settings) as reader:
        return stats_of(reader, settings.repo, include_world=include_world)


def quarantined(settings: Settings) -> list[dict[str, Any]]:
    """Archives in quarantine."""
    from collectord.index.queries import quarantined

    with reader_for(settings) as reader:
        return quarantined(reader)


def upgrade(settings: Settings) -> Upgrade:
    """Bring the index to the newest schema, behind the state lock."""
    from collectord.index.schema import require_exists, upgrade

    require_exists(settings.index_path)
    with StateLock.acquire(settings.lock_path, "collectord db upgrade"):
        return upgrade(settings.index_path)
