"""The status as OpenMetrics: what a scrape or node_exporter's textfile collector reads.

Nothing out of an archive is a label value: states, outcomes, lanes, events and parts are fixed sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.errors import ExtraMissing
from collectord.status.doctor import examine
from collectord.status.health import Check, State, worst
from collectord.system.durable import atomic_write, permitted

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from collectord.config import Settings

OUTCOMES = ("success", "failed", "timeout")
_LANES = {("serial_handoff", 1): "A", ("speculate_vote", 2): "B", ("speculate_vote", 3): "C"}
_PARTS = {"index": "index", "backups": "backups", "snapshots": "snapshots", "row cache": "row_cache"}
# (name, help, samples by labels); a None sample is left out.
Samples = Sequence[tuple[dict[str, str], float | None]]


def require_client() -> None:
    """Raise ExtraMissing where prometheus_client is not installed."""
    from importlib.util import find_spec

    if find_spec("prometheus_client") is None:
        raise ExtraMissing("metrics want", "metrics")


def metrics(settings: Settings) -> str:
    """All metrics, as they are now, in the text format of OpenMetrics."""
    require_client()
    from prometheus_client import CollectorRegistry
    from prometheus_client.openmetrics.exposition import generate_latest

    registry = CollectorRegistry()
    registry.register(Collector(settings))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode("utf-8")


class Collector:
    """Looks anew at each scrape."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        from prometheus_client.core import GaugeMetricFamily

        examined = examine(self._settings, walk=False)
        for name, words, samples in families(examined.status or {}, examined.checks):
            found = [(labels, value) for labels, value in samples if value is not None]
            family = GaugeMetricFamily(f"collectord_{name}", words, labels=list(found[0][0]) if found else [])
            for labels, value in found:
                family.add_metric(list(labels.values()), value)
            yield family


def families(status: Mapping[str, Any], checks: Iterable[Check]) -> Iterator[tuple[str, str, Samples]]:
    """(name without its prefix, help, samples) of every metric. Pure."""
    daemon, environment = status.get("daemon") or {}, status.get("environment") or {}
    epoch, kernel = environment.get("epoch") or {}, status.get("kernel") or {}
    state = worst(checks)
    yield "health", "1 for the state that holds", [({"state": one}, float(one is state)) for one in State]
    yield "up", "Whether the daemon gives signs of life", [({}, float(daemon.get("life") == "alive"))]
    yield "paused", "Whether the daemon pauses writing", [({}, float(bool(daemon.get("paused"))))]
    yield _seconds("heartbeat_timestamp", "The last sign of life", daemon.get("beat_ms"))
    yield _seconds("last_indexed_timestamp", "The last change of the index", status.get("last_ingest_ms"))
    yield _seconds(
        "environment_look_timestamp", "The last look at the policy files", environment.get("looked_ms")
    )
    for name, words in (("pending", "Archives that wait"), ("stalled", "Archives that stand still")):
        yield name, words, [({}, daemon.get(name))]
    lag = daemon.get("lag_ms")
    yield (
        "lag_seconds",
        "By how much the oldest due look is late",
        [({}, None if lag is None else lag / 1000)],
    )
    archives = (status.get("archives") or {}).items()
    yield "archives", "Archives by state", [({"state": one}, float(count)) for one, count in archives]
    yield "runs", "Runs by outcome and lane", _runs(status.get("outcomes") or ())
    yield "epoch", "The number of the newest epoch", [({}, epoch.get("number"))]
    yield _seconds("epoch_start_timestamp", "When the newest epoch began", epoch.get("since_ms"))
    yield "epoch_runs", "Runs of the newest epoch", [({}, epoch.get("runs"))]
    alerts = (environment.get("alerts") or {}).items()
    yield "open_alerts", "Open alerts by event", [({"event": event}, float(n)) for event, n in alerts]
    stale = sum(bool(one["wants_restart"]) for one in kernel.get("running") or ())
    yield "kernels_wanting_restart", "Kernels with an older configuration", [({}, float(stale))]
    sizes = ((status.get("disk") or {}).get("bytes") or {}).items()
    parts = [({"part": _PARTS[part]}, float(size)) for part, size in sizes if part in _PARTS]
    yield "bytes", "Bytes on disk by part, as measured last night", parts
    yield _seconds("backup_timestamp", "When the newest backup was made", status.get("backup_ms"))
    yield _seconds("push_timestamp", "When the index was pushed to its fleet last", status.get("pushed_ms"))


def _seconds(name: str, words: str, ms: int | None) -> tuple[str, str, Samples]:
    return f"{name}_seconds", words, [({}, None if ms is None else ms / 1000)]


def lane_of(swarm_id: str | None, candidates: int | None) -> str:
    """A, B or C of an executed plan, `other` for what is none of them, `none` without one."""
    return _LANES.get((str(swarm_id), candidates or 0), "other" if swarm_id else "none")


def _runs(outcomes: Iterable[Mapping[str, Any]]) -> Samples:
    counts: dict[tuple[str, str], int] = {}
    for row in outcomes:
        outcome = row["status"] if row["status"] in OUTCOMES else "other"
        lane = lane_of(row["swarm_id"], row["max_candidates"])
        counts[outcome, lane] = counts.get((outcome, lane), 0) + int(row["runs"])
    return [({"outcome": outcome, "lane": lane}, float(n)) for (outcome, lane), n in sorted(counts.items())]


def write_textfile(settings: Settings, target: Path) -> None:
    """For node_exporter's textfile collector: whole or not at all."""
    atomic_write(target, metrics(settings).encode("utf-8"), permitted(0o644))


def listen(settings: Settings, address: str, port: int) -> None:
    """Answer scrapes in threads of their own, as long as this process lives."""
    require_client()
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(Collector(settings))
    start_http_server(port, address, registry)
