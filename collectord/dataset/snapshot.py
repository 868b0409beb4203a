"""Where the rows of a dataset come from: the epoch, its environment, and what changed before it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from collectord.dataset.credentials import detector_version
from collectord.dataset.jsonl import Written
from collectord.dataset.layout import (
    CARD_FILE,
    CROISSANT_FILE,
    DATASET_FILE,
    DRIFT_FILE,
    ENVIRONMENT_FILE,
    META_FILE,
    REJECTS_FILE,
    RUNS_FILE,
    SCHEMA_FILE,
)
from collectord.dataset.row_plan import HISTORY_RULE, ExportOptions, PlannedDataset, Tally
from collectord.kernel.jsonio import JsonObject
from collectord.model import IndexedRun


@dataclass(frozen=True, slots=True)
class Provenance:
    """What stands beside a dataset about its environment; empty where none is known.

    `epoch` has the number, times, runs and the reason of the cut; `environment` the fingerprint, the digest
    of each component and the components; `drift` the changes from the environment before, in order.
    """

    epoch: JsonObject | None = None
    environment: JsonObject | None = None
    drift: tuple[JsonObject, ...] = ()


NO_PROVENANCE = Provenance()


SNAPSHOT_SCHEMA = "collectord.snapshot.v1"
ENVIRONMENT_SCHEMA = "collectord.environment.v1"
DRIFT_SCHEMA = "collectord.drift.v1"


def pretty(value: object) -> bytes:
    """A document the way the kernel writes meta.json: indent 2, sorted keys, a final newline."""
    return (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode("utf-8")


def snapshot_document(
    planned: PlannedDataset, options: ExportOptions, written: Written, provenance: Provenance
) -> dict[str, Any]:
    """What was asked for, what came of it, and what was left out and why."""
    environment, epoch = provenance.environment, provenance.epoch
    conflicts = dict(sorted(planned.time_conflicts.items()))
    return {
        **({"time_conflicts": conflicts} if conflicts else {}),
        **_credentials(options, written),
        "schema": SNAPSHOT_SCHEMA,
        "profile": options.profile,
        "options": options.as_json(),
        "universe_id": planned.universe_id,
        "dataset_hash": written.dataset_hash,
        "example_count": written.rows,
        "split_counts": written.split_counts,
        "left_out": planned.left_out,
        "not_selected": planned.not_selected,
        "input_hashes": dict(sorted(planned.input_hashes.items())),
        "history_rule": HISTORY_RULE,
        "runs_digest": planned.runs_digest,
        "epoch": json.loads(json.dumps(epoch)),  # as it reads back: it is compared with published ones
        "environment": environment and {key: environment.get(key) for key in ("fingerprint", "digests")},
        "cut": epoch and epoch.get("cut"),
        "software": {"collectord": version("collectord"), "python": platform.python_version()},
    }


def _credentials(options: ExportOptions, written: Written) -> dict[str, Any]:
    """What was replaced and by which version, or what looks like a credential; nothing where nothing does."""
    if options.redact:
        return {"redaction": {"detect-secrets": detector_version(), **written.credentials.as_json()}}
    return {"credentials": written.credentials.as_json()} if written.credentials.rows else {}


def published_document(
    core: dict[str, Any], tally: Tally, tables: Iterable[str], pyarrow: str | None
) -> dict[str, Any]:
    """snapshot.json: the document of the content, what files hold it, and how it is distributed.

    `tables` are the Parquet files, `parquet` is null where pyarrow was not installed. The bytes of Parquet
    files depend on its version; no hash but those of the files themselves does.
    """
    return {
        **core,
        "distributions": tally.as_json(),
        "files": _file_names(core, tables),
        "parquet": pyarrow and {"pyarrow": pyarrow},
    }


def holds_files(document: dict[str, Any], *, with_tables: bool) -> bool:
    """Whether a published snapshot has the files that a new one would have: an older or barer one has not."""
    return "files" in document and (document.get("parquet") is not None or not with_tables)


def _file_names(core: dict[str, Any], tables: Iterable[str]) -> list[str]:
    """Every file of a snapshot but snapshot.json and SHA256SUMS themselves."""
    names = [DATASET_FILE, META_FILE, RUNS_FILE, REJECTS_FILE, SCHEMA_FILE, CARD_FILE, CROISSANT_FILE]
    if core["environment"] is not None:
        names += [ENVIRONMENT_FILE, DRIFT_FILE]
    return sorted([*names, *tables])


def provenance_documents(provenance: Provenance) -> dict[str, bytes]:
    """environment.json and drift.json; none where no environment is known."""
    if provenance.environment is None:
        return {}
    drift = {"schema": DRIFT_SCHEMA, "changes": list(provenance.drift)}
    environment = {"schema": ENVIRONMENT_SCHEMA, **provenance.environment}
    return {ENVIRONMENT_FILE: pretty(environment), DRIFT_FILE: pretty(drift)}


def runs_lines(planned: PlannedDataset) -> Iterator[bytes]:
    """runs.jsonl: every run that was looked at, its revision and artifacts, and why it is no row.

    This is what a dataset is made again from, years later: rows and histories depend on nothing else.
    """
    for run, reason in listed_runs(planned):
        yield _line(_run_document(run, reason))


def rejects_lines(planned: PlannedDataset) -> Iterator[bytes]:
    """rejects.jsonl: every run that is no row, with the reason."""
    for run, reason in listed_runs(planned):
        if reason is not None:
            found = {"kind": run.kind, "workcell_id": run.name, "run_id": run.run_id, "reason": reason}
            yield _line(found)


def listed_runs(planned: PlannedDataset) -> list[tuple[IndexedRun, str | None]]:
    """Every run that was looked at with the reason why it is no row, by kind and name."""
    listed = [*((run, None) for run in planned.runs), *planned.rejects]
    return sorted(listed, key=lambda pair: (pair[0].kind, pair[0].name))


_LINE = json.JSONEncoder(ensure_ascii=True, sort_keys=True)


def _line(document: dict[str, Any]) -> bytes:
    return (_LINE.encode(document) + "\n").encode()


def _run_document(run: IndexedRun, reason: str | None) -> dict[str, Any]:
    return {
        "kind": run.kind,
        "workcell_id": run.name,
        "run_id": run.run_id,
        "revision": run.digest,
        "artifacts": run.artifacts,
        "left_out": reason,
    }


def read_sums(data: bytes) -> dict[str, str]:
    """Name → sha256 of what `sums_document` wrote; raises ValueError for what has not its form."""
    lines = data.decode("utf-8").split("\n")[:-1]
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def sums_document(sums: dict[str, str]) -> bytes:
    """SHA256SUMS in the form that `sha256sum -c` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode("utf-8")
