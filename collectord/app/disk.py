"""How much disk each part takes: measured now, or as the daemon measured it last."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from collectord.app.opening import now_ms

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.reader import IndexReader

MEASURED = "disk_usage"  # where in index_info the last document stands


def measure(settings: Settings) -> dict[str, Any]:
    """Bytes on disk by part, and when that was looked at. Walks every archive."""
    from collectord.index.backups import FOLDER
    from collectord.index.wal import log_path
    from collectord.overview.disk_usage import usage_of
    from collectord.recovery.recover import scratch_folders

    index, state = settings.index_path, settings.state_dir
    parts = {
        "world runs": [settings.repo / ".cyntra/runs"],
        "workcells": [settings.repo / ".workcells"],
        "index": [index, log_path(index)],
        # What recoveries, rebuilds and upgrades kept of the index as it was, or were killed over.
        "index set aside": [*sorted(index.parent.glob(f"{index.name}.*")), *scratch_folders(state)],
        "backups": [state / FOLDER],
        "row cache": [state / "cache"],
        "snapshots": [settings.benches_dir],
    }
    return {"measured_ms": now_ms(), "bytes": usage_of(settings.archives_dir, parts)}


def last_measured(reader: IndexReader) -> dict[str, Any] | None:
    """What the daemon measured last; None before its first night."""
    text = reader.info(MEASURED)
    found: dict[str, Any] | None = json.loads(text) if text else None
    return found
