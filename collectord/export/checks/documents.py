"""The documents of a snapshot against each other, its sums and its rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.rows import split_counts
from collectord.cyntra.values import member
from collectord.export import snapshot
from collectord.export.checks.findings import Findings
from collectord.export.checks.rows import CheckedRows, lines_of
from collectord.export.distributions import OUTCOME
from collectord.export.documents import described
from collectord.export.row_plan import BY_TIME

_COUNTS = ("dataset_hash", "example_count", "split_counts")


def check_documents(
    folder: Path, meta: JsonObject, document: JsonObject, sums: Mapping[str, str], findings: Findings
) -> None:
    """What can be told without reading the rows; a directory of an older collectord has less to tell."""
    for key in _COUNTS:
        if meta and document and meta.get(key) != document.get(key):
            findings.add(f"{snapshot.META_FILE} and {snapshot.SNAPSHOT_FILE} do not say the same {key}")
    if "files" not in document:
        return
    expected = set(texts_of(document["files"])) | {snapshot.SNAPSHOT_FILE}
    for name in sorted(expected ^ set(sums)):
        findings.add(f"{name}: only one of {snapshot.SNAPSHOT_FILE} and {snapshot.SUMS_FILE} names it")
    _check_croissant(folder, sums, findings)
    _check_rejects(folder, document, findings)


def texts_of(value: object) -> list[str]:
    """The texts in a list; none of anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _check_croissant(folder: Path, sums: Mapping[str, str], findings: Findings) -> None:
    if snapshot.CROISSANT_FILE not in sums:
        return
    try:
        document = json.loads((folder / snapshot.CROISSANT_FILE).read_bytes())
        listed = {str(file["contentUrl"]): file["sha256"] for file in document["distribution"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        findings.add(f"{snapshot.CROISSANT_FILE}: does not say which files there are")
        return
    others = {name: digest for name, digest in sums.items() if name != snapshot.CROISSANT_FILE}
    for name in sorted(name for name in {*listed, *others} if listed.get(name) != others.get(name)):
        findings.add(f"{snapshot.CROISSANT_FILE}: has another sum of {name} than {snapshot.SUMS_FILE}")


def _check_rejects(folder: Path, document: JsonObject, findings: Findings) -> None:
    try:
        rejects = [json.loads(line) for line in lines_of(folder / snapshot.REJECTS_FILE)]
        runs = [json.loads(line) for line in lines_of(folder / snapshot.RUNS_FILE)]
        named = [(r["kind"], r["workcell_id"], r["run_id"], r["reason"]) for r in rejects]
        listed = [(r["kind"], r["workcell_id"], r["run_id"], r["left_out"]) for r in runs if r["left_out"]]
        counted = Counter(str(reason) for *_, reason in named)
        told = Counter({**document["left_out"], **document["not_selected"]})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        findings.add(f"{snapshot.REJECTS_FILE} or {snapshot.RUNS_FILE}: not readable")
        return
    if named != listed:
        findings.add(f"{snapshot.REJECTS_FILE}: does not name the runs that {snapshot.RUNS_FILE} leaves out")
    if counted != told:
        findings.add(f"{snapshot.REJECTS_FILE}: has {dict(counted)}, {snapshot.SNAPSHOT_FILE} {dict(told)}")


def check_counts(name: str, document: JsonObject, checked: CheckedRows, findings: Findings) -> None:
    """meta.json or snapshot.json against what the rows give."""
    found = (checked.dataset_hash, checked.rows, checked.split_counts)
    for key, value in zip(_COUNTS, found, strict=True):
        if document and document.get(key) != value:
            findings.add(f"{name}: {key} says {document.get(key)}, the rows give {value}")


def check_described(
    folder: Path, document: JsonObject, sums: Mapping[str, str], checked: CheckedRows, findings: Findings
) -> None:
    """The split rule, the distributions, and what is written from them: the card and Croissant."""
    by_time = member(document, "options", "split_by") in (None, BY_TIME)
    if document and by_time and checked.split_counts != split_counts(checked.rows):
        wanted = split_counts(checked.rows)
        findings.add(f"{snapshot.SNAPSHOT_FILE}: the rows are not split by time as {wanted}")
    if "distributions" not in document:
        return
    for name, values in checked.labels.items():
        if name != OUTCOME and member(document, "distributions", name) != values:
            findings.add(f"{snapshot.SNAPSHOT_FILE}: the distribution of {name} is not that of the rows")
    if not findings and member(document, "software", "collectord") == version("collectord"):
        _check_rendered(folder, document, sums, checked, findings)


def _check_rendered(
    folder: Path, document: JsonObject, sums: Mapping[str, str], checked: CheckedRows, findings: Findings
) -> None:
    # Another version may word them otherwise, so this is only asked of our own.
    rendered: dict[str, Any] = {}
    try:
        data = {name: digest for name, digest in sums.items() if name not in snapshot.DESCRIBING}
        rendered = described(document, data, checked.span_ms)
    except (KeyError, TypeError, AttributeError, ValueError):
        findings.add(f"{snapshot.SNAPSHOT_FILE}: lacks what the card is written from")
    for name, wanted in rendered.items():
        if (folder / name).read_bytes() != wanted:
            findings.add(f"{name}: does not say what {snapshot.SNAPSHOT_FILE} and the rows say")
