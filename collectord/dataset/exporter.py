"""The export: plan, write, publish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from collectord.dataset import layout, snapshot
from collectord.dataset.credentials import detector_version, kinds_finder
from collectord.dataset.documents import Contents, write_documents
from collectord.dataset.inputs import plan_dataset, read_repo
from collectord.dataset.jsonl import Written, meta_of, write_rows
from collectord.dataset.parquet import pyarrow_version
from collectord.dataset.publish import (
    PublishPlace,
    candidates,
    point_link,
    publish,
    read_snapshot,
    same_content,
    taken,
    workspace,
)
from collectord.dataset.reuse import LastExport, LastTables, PublishedExport, copy_files, inputs_digest
from collectord.dataset.row_plan import ExportOptions, PlannedDataset, RunKeys
from collectord.dataset.rowcache import RowCache, is_usable
from collectord.dataset.snapshot import NO_PROVENANCE, Provenance
from collectord.epochs.selection import chosen_runs
from collectord.errors import LockHeld
from collectord.index.opening import now_ms, reader_for
from collectord.index.reader import IndexReader, content_digest
from collectord.index.rows import db_text
from collectord.index.snapshots import known_snapshots, record_of, register_snapshot
from collectord.kernel.jsonio import canonical
from collectord.model import Progress
from collectord.system.durable import remove_leftovers
from collectord.system.gc_tuning import rare_collections
from collectord.system.lock import StateLock

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.dataset.row_plan import ExportOptions


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did; `path` is None for a dry run, `is_new` False where the content was there.

    `rows_reused` were in the last export of the kind; the others were computed now, or when they were read.
    """

    path: Path | None
    is_new: bool
    meta: dict[str, object]
    document: dict[str, Any]
    moved_aside: Path | None
    rows_computed: int
    rows_reused: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where to: `out` is an exact directory, else a dated name in `benches`; rows are cached in `cache`."""

    benches: Path
    cache: Path | None
    out: Path | None = None

    @property
    def place(self) -> PublishPlace:
        """The place to publish at."""
        return PublishPlace(self.benches if self.out is None else self.out.parent, self.out)


@rare_collections()
def export_dataset(
    reader: IndexReader,
    repo: Path,
    options: ExportOptions,
    target: Target,
    *,
    clock_ms: Callable[[], int],
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
    provenance: Provenance = NO_PROVENANCE,
    other_epoch: RunKeys = frozenset(),
    content: str = "",
) -> Exported:
    """Write the dataset of the index and publish it, unless a published one has the same content.

    `other_epoch` are the runs that `options.epoch` and `options.environment` leave out, `content` is that of
    the index where a folder for a cache is given.
    """
    files = read_repo(repo, options)
    key = inputs_digest(content, files, options, provenance, other_epoch) if target.cache else None
    last_export = LastExport(target.cache, options, key) if target.cache and key else None
    if last_export and (again := _repeat(last_export, target, clock_ms, dry_run=dry_run)):
        return again
    planned = plan_dataset(reader, repo, options, other_epoch=other_epoch, files=files)
    export = _Export(planned, options, target, progress, provenance)
    if dry_run:
        return export.result(None, export.write(None), is_new=False)
    if target.place.folder.is_dir():
        remove_leftovers(target.place.folder)
    if there := export.find_published():
        return _saved(last_export, there, {})
    if target.out is not None and target.out.exists():
        raise taken(target.out)
    with workspace(target.place) as folder:
        with (folder / layout.DATASET_FILE).open("wb", buffering=2**20) as file:
            written = export.write(file)
        last = LastTables(target.cache, options) if target.cache else None
        copy = last.copy if last else _nothing_to_copy
        sums, tables = write_documents(folder, export.contents(written), reader, copy)
        path = publish(folder, target.place, clock_ms())
    if last:
        last.save(path, tables)
    return _saved(last_export, export.result(path, written, is_new=True), sums)


def _nothing_to_copy(_digest: str, _path: Path) -> None:
    return None


def _saved(last_export: LastExport | None, exported: Exported, sums: dict[str, str]) -> Exported:
    if last_export and exported.path:
        path = str(exported.path.absolute())
        last_export.save(PublishedExport(path, sums, dict(exported.meta), exported.document))
    return exported


def _repeat(
    last_export: LastExport, target: Target, clock_ms: Callable[[], int], *, dry_run: bool
) -> Exported | None:
    """The last export again where its inputs have not changed: still published, or copied."""
    last = last_export.load()
    if last is None:
        return None
    if dry_run:
        return _again(last, target, None, is_new=False)
    if there := _published(target, last.document):
        return _again(last, target, there, is_new=False)
    if target.out is not None and target.out.exists():
        raise taken(target.out)
    with workspace(target.place) as folder:
        if not copy_files(last, folder):
            return None
        path = publish(folder, target.place, clock_ms())
    return _saved(last_export, _again(last, target, path, is_new=True), last.sums)


def _again(last: PublishedExport, target: Target, path: Path | None, *, is_new: bool) -> Exported:
    moved = point_link(target.benches, path) if path and target.out is None else None
    return Exported(path, is_new, last.meta, last.document, moved, 0, last.meta["example_count"])


def _published(target: Target, document: dict[str, Any]) -> Path | None:
    """A published snapshot with the same content; at the default place with all files that it would get."""
    for folder in candidates(target.place):
        found = read_snapshot(folder) or {}
        whole = target.out is not None or snapshot.holds_files(
            found, with_tables=pyarrow_version() is not None
        )
        if whole and same_content(document, found):
            return folder
    return None


@dataclass
class _Export:
    planned: PlannedDataset
    options: ExportOptions
    target: Target
    progress: Progress
    provenance: Provenance
    computed: int = 0
    reused: int = 0

    def write(self, file: BinaryIO | None) -> Written:
        """One pass over the rows; the next pass finds in the cache what this one computed."""
        with RowCache(self._cache_file(), kinds_finder(redacted=self.options.redact)) as cache:
            written = write_rows(file, self.planned, self.options, cache, self.progress)
            self.computed, self.reused = self.computed + cache.computed, cache.reused
        return written

    def _cache_file(self) -> Path | None:
        if self.target.cache is None or not is_usable(self.target.cache):
            return None
        asked = {key: value for key, value in self.options.as_json().items() if key != "split_by"}
        # What was found in a row is kept with it.
        options = canonical([asked, detector_version()]).encode("utf-8", "surrogatepass")
        return self.target.cache / f"rows-{self.options.profile}-{sha256(options).hexdigest()[:16]}.pack"

    def find_published(self) -> Exported | None:
        """A published snapshot with the same content; it is looked for only where the runs are the same."""
        digest, options = self.planned.runs_digest, self.options.as_json()
        found = [read_snapshot(folder) or {} for folder in candidates(self.target.place)]
        if not any((s.get("runs_digest"), s.get("options")) == (digest, options) for s in found):
            return None
        written = self.write(None)
        path = _published(self.target, self.document(written))
        return self.result(path, written, is_new=False) if path else None

    def document(self, written: Written) -> dict[str, Any]:
        return snapshot.snapshot_document(self.planned, self.options, written, self.provenance)

    def contents(self, written: Written) -> Contents:
        core, meta = self.document(written), meta_of(self.planned, self.options, written)
        return Contents(self.planned, written, self.provenance, core, meta)

    def result(self, path: Path | None, written: Written, *, is_new: bool) -> Exported:
        moved = point_link(self.target.benches, path) if path and self.target.out is None else None
        return Exported(
            path=path,
            is_new=is_new,
            meta=meta_of(self.planned, self.options, written),
            document=self.document(written),
            moved_aside=moved,
            rows_computed=self.computed,
            rows_reused=self.reused,
        )


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
    target = Target(settings.benches_dir, settings.state_dir / "cache", out)
    with reader_for(settings) as reader:
        content = content_digest(reader.connection)
        chosen = chosen_runs(settings, reader.connection, epoch, environment)
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
            content=content,
        )
        known = {snapshot["path"] for snapshot in known_snapshots(reader.connection)}
    # One that was there before can be unknown: to a new index, or where another process held the lock.
    if exported.path and (exported.is_new or db_text(str(exported.path.absolute())) not in known):
        _remember(settings, exported.path, exported.document)
    return exported


def _remember(settings: Settings, path: Path, document: dict[str, Any]) -> None:
    """Note a snapshot in the index; while a daemon writes there, it finds the directory by itself."""
    try:
        with StateLock.acquire(settings.lock_path, "collectord export"):
            register_snapshot(settings.index_path, record_of(path, document))
    except LockHeld:
        return
