"""Is a snapshot what it says it is? Each finding is one sentence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import Marked, canonical
from collectord.cyntra.rows import line_of, split_counts
from collectord.cyntra.values import member
from collectord.errors import CollectordError
from collectord.export import snapshot
from collectord.export.dataset import file_sha256, whole_rows
from collectord.export.gather import plan_dataset
from collectord.export.options import BUILDER, BY_TIME, ExportOptions, options_from_json
from collectord.export.planned import OTHER_EPOCH
from collectord.index.reader import IndexReader, Revisions

_ROW_KEYS = {"run_id", "started_ms", "planner_input", "tokens", "label_action", "split"}
_MAX_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked and what was found; no findings means that all is well."""

    rows: int
    dataset_hash: str | None
    rebuilt: bool
    findings: tuple[str, ...]


class _Findings(list[str]):
    """Sentences, the first twenty of them and then how many more."""

    def add(self, sentence: str) -> None:
        self.append(sentence)

    def told(self) -> tuple[str, ...]:
        more = len(self) - _MAX_FINDINGS
        return (*self[:_MAX_FINDINGS], *([f"… and {more} more differences"] if more > 0 else []))


def verify_snapshot(folder: Path, rebuild: tuple[IndexReader, Path] | None = None) -> Verified:
    """Check sums, documents and rows; with `rebuild` (index, repo) also make the rows again and compare."""
    if not (folder / snapshot.DATASET_FILE).is_file():
        raise CollectordError(
            f"{folder}: there is no {snapshot.DATASET_FILE} in it; name a dataset directory"
        )
    findings = _Findings()
    _check_sums(folder, findings)
    meta = _document(folder / snapshot.META_FILE, findings)
    document = _document(folder / snapshot.SNAPSHOT_FILE, findings)
    checked = _check_rows(folder, findings)
    _check_meta(snapshot.META_FILE, meta, checked, findings)
    _check_meta(snapshot.SNAPSHOT_FILE, document, checked, findings)
    if rebuild is not None:
        _check_rebuilt(folder, document, *rebuild, findings)
    return Verified(checked.rows, checked.dataset_hash, rebuild is not None, findings.told())


def _check_sums(folder: Path, findings: _Findings) -> None:
    sums = _read_sums(folder / snapshot.SUMS_FILE, findings)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    for name in sorted(sums.keys() - there):
        findings.add(f"{name}: missing")
    for name in sorted(there - sums.keys() - {snapshot.SUMS_FILE}):
        findings.add(f"{name}: not part of the snapshot (not in {snapshot.SUMS_FILE})")
    for name in sorted(sums.keys() & there):
        if (folder / name).is_symlink() or file_sha256(folder / name) != sums[name]:
            findings.add(f"{name}: has other bytes than when it was published")


def _read_sums(path: Path, findings: _Findings) -> dict[str, str]:
    """Name → digest; the file must be exactly what those sums are written as, to the last byte."""
    try:
        data = path.read_bytes()
        lines = data.decode("utf-8").split("\n")[:-1]
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        findings.add(f"{path.name}: missing or unreadable")
        return {}
    if snapshot.sums_document(sums) != data:
        findings.add(f"{path.name}: has other bytes than when it was published")
    return sums


def _document(path: Path, findings: _Findings) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        findings.add(f"{path.name}: missing or not a JSON object")
        return {}
    return value


@dataclass(frozen=True, slots=True)
class _Checked:
    rows: int
    dataset_hash: str
    splits: dict[str, int]


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _check_rows(folder: Path, findings: _Findings) -> _Checked:
    digest, splits, rows = sha256(), Counter[str](), 0
    order: tuple[int, str] | None = None
    for rows, line in enumerate(_lines(folder / snapshot.DATASET_FILE), 1):
        row = _row(line, rows, findings)
        if row is None:
            continue
        digest.update(canonical(row).encode("utf-8", "surrogatepass") + b"\n")
        splits[str(row["split"])] += 1
        here = (row["started_ms"], row["run_id"])
        if order is not None and here < order:
            findings.add(f"dataset.jsonl:{rows}: out of order")
        order = here
    counts = {name: splits.get(name, 0) for name in split_counts(0)}
    return _Checked(rows, digest.hexdigest(), counts)


def _row(line: bytes, number: int, findings: _Findings) -> dict[str, Any] | None:
    where = f"{snapshot.DATASET_FILE}:{number}"
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        findings.add(f"{where}: not JSON")
        return None
    if not isinstance(row, dict) or set(row) != _ROW_KEYS:
        findings.add(f"{where}: not a row of {', '.join(sorted(_ROW_KEYS))}")
        return None
    if not isinstance(row["started_ms"], int) or not isinstance(row["run_id"], str):
        findings.add(f"{where}: started_ms or run_id has another type")
        return None
    if not line.endswith(b"\n"):
        findings.add(f"{where}: the file ends within the row")
    return row


def _check_meta(name: str, document: dict[str, Any], checked: _Checked, findings: _Findings) -> None:
    if not document:
        return
    found = {
        "dataset_hash": checked.dataset_hash,
        "example_count": checked.rows,
        "split_counts": checked.splits,
    }
    for key, value in found.items():
        if document.get(key) != value:
            findings.add(f"{name}: {key} says {document.get(key)}, the rows give {value}")
    by_time = member(document, "options", "split_by") in (None, BY_TIME)
    if by_time and checked.splits != split_counts(checked.rows) and name == snapshot.SNAPSHOT_FILE:
        findings.add(f"{name}: the rows are not split by time as {split_counts(checked.rows)}")


def _check_rebuilt(
    folder: Path, document: dict[str, Any], reader: IndexReader, repo: Path, findings: _Findings
) -> None:
    try:
        options = options_from_json(document["options"])
        only, other_epoch = _revisions(folder / snapshot.RUNS_FILE)
    except (KeyError, TypeError, ValueError, OSError):
        findings.add(f"{snapshot.SNAPSHOT_FILE} and {snapshot.RUNS_FILE} do not say what to rebuild from")
        return
    planned = plan_dataset(reader, repo, options, only, other_epoch)
    known = len(planned.runs) + len(planned.rejects)
    if known != len(only):
        findings.add(f"{len(only) - known} of its {len(only)} runs are not in this index")
    _compare_rows(folder, options, whole_rows(planned, options, None), findings)


def _compare_rows(folder: Path, options: ExportOptions, rows: Iterator[Marked], findings: _Findings) -> None:
    published = _lines(folder / snapshot.DATASET_FILE)
    number = 0
    for number, row in enumerate(rows, 1):
        text = line_of(row, escape=options.profile != BUILDER)
        line = next(published, b"").decode("utf-8", "replace").removesuffix("\n")
        if line != text:
            findings.add(f"{snapshot.DATASET_FILE}:{number}: rebuilt otherwise: {_difference(line, text)}")
    extra = sum(1 for _ in published)
    if extra:
        findings.add(f"{snapshot.DATASET_FILE}: {extra} rows beyond the {number} that the index gives")


def _difference(published: str, rebuilt: str) -> str:
    """The members of two rows that differ, by path."""
    try:
        paths = list(_paths(json.loads(published), json.loads(rebuilt), ""))
    except ValueError:
        return "the published line is not JSON"
    return ", ".join(paths[:5]) or "the same values in other bytes"


def _paths(a: Any, b: Any, path: str) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from _paths(a.get(key), b.get(key), f"{path}/{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _paths(x, y, f"{path}/{i}")
    elif a != b:
        yield f"{path} is {_short(a)}, rebuilt {_short(b)}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "…"


def _revisions(path: Path) -> tuple[Revisions, set[tuple[str, str]]]:
    """The revision of every run that was looked at, and which of them were left out as of another epoch."""
    found, other_epoch = {}, set()
    for line in _lines(path):
        run = json.loads(line)
        key = run["kind"], run["workcell_id"]
        found[key] = str(run["revision"])
        if run["left_out"] == OTHER_EPOCH:
            other_epoch.add(key)
    return found, other_epoch
