"""Facts for `doctor`, gathered without ever failing on what it is there to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collectord.app import now_ms, status
from collectord.app.disk import measure
from collectord.errors import CollectordError

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.overview.doctor import Check
    from collectord.overview.facts import DoctorFacts


def examine(settings: Settings) -> tuple[list[Check], dict[str, int]]:
    """Findings, and bytes on disk by part."""
    from collectord.overview.doctor import findings

    facts = _facts(settings)
    return findings(facts), dict(facts.usage)


def _facts(settings: Settings) -> DoctorFacts:
    from collectord.index.backups import FOLDER, backups_in
    from collectord.index.wal import examine_log, log_path
    from collectord.overview import facts

    clock_ms, repo = now_ms(), settings.repo
    found, schema, error = _status(settings)
    backups = backups_in(settings.state_dir / FOLDER, clock_ms)
    return facts.DoctorFacts(
        archives=facts.folder_facts(settings.archives_dir),
        state=facts.folder_facts(settings.state_dir),
        benches=facts.folder_facts(settings.benches_dir),
        sqlite=facts.sqlite_version(),
        watch_limits=facts.watch_limits(),
        clock_ms=clock_ms,
        newest_ms=facts.newest_change_ms(settings.archives_dir),
        schema=schema,
        index_error=error,
        log_lost=examine_log(log_path(settings.index_path)).lost,
        status=found,
        stale_workcells=facts.stale_workcells(repo, clock_ms),
        usage=measure(settings)["bytes"],
        backups=len(backups),
        newest_backup_ms=backups[0].stat().st_mtime_ns // 1_000_000 if backups else None,
        kernel=(found or {}).get("kernel") or _kernel(settings),
    )


def _kernel(settings: Settings) -> dict[str, Any]:
    """The kernels that run, where no index knows anything of them."""
    from collectord.overview.kernel import kernel_document
    from collectord.sources.in_flight import in_flight
    from collectord.sources.kernel_processes import KernelFinder

    look = KernelFinder(settings.repo).look(now_ms())
    return kernel_document(look, [], len(in_flight(settings.repo)))


def _status(settings: Settings) -> tuple[dict[str, Any] | None, str | None, str | None]:
    """(status document, schema, error) of the index; nothing of all where there is none."""
    from collectord.index.schema import version_of

    if not settings.index_path.exists():
        return None, None, None
    try:
        return status(settings), version_of(settings.index_path), None
    except CollectordError as error:
        return None, None, str(error)
