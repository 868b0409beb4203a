"""The rows of one source, made by the code that its own machine exports with: sorted, on the storage.

They are kept under a digest of all that they depend on, so that only what changed is made again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.dataset.columns import INTEGER, ROW_COLUMNS, TEXT, Column
from collectord.dataset.credentials import CredentialCounter, kinds_finder
from collectord.dataset.inputs import RepoFiles, plan_dataset
from collectord.dataset.jsonl import file_sha256, published_row
from collectord.dataset.parquet import ParquetFile
from collectord.dataset.row_plan import PlannedDataset, RunKeys, splitter
from collectord.dataset.rowcache import kept_or_made
from collectord.dataset.snapshot import Provenance, pretty
from collectord.dataset.tables import outcome_columns, row_values
from collectord.epochs.drift import is_cutting
from collectord.epochs.rules import Overrides
from collectord.epochs.survey import survey
from collectord.errors import CollectordError
from collectord.fleet.manifest import Push
from collectord.fleet.options import FleetOptions
from collectord.fleet.shard import INDEX, ShardRefused, fetch, make_readable
from collectord.fleet.storage import Storage, StorageError, open_storage
from collectord.index.reader import IndexReader
from collectord.index.runs import tools_of
from collectord.kernel.jsonio import ascii_json, compact_bytes
from collectord.kernel.planner_input import recorded_issue_id
from collectord.kernel.rows import SPLITS, RowPieces, line_of, split_of_issue

RENDERED_SCHEMA = "collectord.fleet_rendered.v1"
RENDERED = "scratch/rendered"
_MAX_INFO = 16 * 2**20
# What an index of another make can do to code that trusts its own: each is the source's fault.
_NOT_OURS = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)
DIGEST_CHARACTERS = 64
_KEYS_IN_A_GROUP = 4096
# The digests of a row in each split, one after the other, as hexadecimal text: a row is hashed with its
# split, which is only known when all sources are.
KEY_COLUMNS = (
    Column("started_ms", INTEGER, "Dispatch."),
    Column("run_id", TEXT, "The run's own id."),
    Column("issue_split", TEXT, "The split of its issue."),
    Column("digests", TEXT, "sha256 of the row with its source in train, val and test."),
)


@dataclass(frozen=True, slots=True)
class RenderTask:
    """All that the stage depends on; `fleet` and `to` are URLs, `key` is `render_key` of the rest."""

    fleet: str
    to: str
    push: Push
    options: FleetOptions
    key: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The rows of one source in order: `document` says what they are. The files lie under the key."""

    key: str
    document: Mapping[str, Any]

    @property
    def source(self) -> str:
        """The source that it is of."""
        return str(self.document["source"])

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.document["rows"])

    @property
    def rows_file(self) -> str:
        """The name of its rows."""
        return f"{RENDERED}/{self.key}.rows.parquet"

    @property
    def keys_file(self) -> str:
        """The name of what it is merged by."""
        return f"{RENDERED}/{self.key}.keys.parquet"


@dataclass(frozen=True, slots=True)
class Failed:
    """A source whose rows cannot be had, and why."""

    source: str
    why: str


def render(task: RenderTask) -> Rendered | Failed:
    """Render one source; what is there already is not made again. Done twice it is the same.

    Raises StorageError where the rows cannot be kept, and OSError where this machine has no room.
    """
    storage = open_storage(task.to)
    if there := find_rendered(storage, task.key):
        return there
    with tempfile.TemporaryDirectory(prefix="collectord-fleet-") as scratch:
        made = _render(task, Path(scratch))
        if isinstance(made, Failed):
            return made
        for name in (made.rows_file, made.keys_file):
            storage.put(Path(scratch, name.rpartition("/")[2]), name)
        storage.replace(_info_name(task.key), pretty(dict(made.document)))
    return made


def find_rendered(storage: Storage, key: str) -> Rendered | None:
    """What is kept under a key, if all of it is there."""
    data = storage.read(_info_name(key), _MAX_INFO)
    try:
        found = Rendered(key, json.loads(data or b""))
        sizes = found.document["files"]
        if found.document["schema"] != RENDERED_SCHEMA or found.document["key"] != key or found.rows < 0:
            return None
        if any(storage.size(f"{RENDERED}/{name}") != one["bytes"] for name, one in sizes.items()):
            return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found


def _info_name(key: str) -> str:
    return f"{RENDERED}/{key}.json"


def _render(task: RenderTask, scratch: Path) -> Rendered | Failed:
    try:
        index = fetch(open_storage(task.fleet), task.push, scratch)
        make_readable(index, task.push)
        with IndexReader(index) as reader:
            return _write(task, reader, scratch)
    except (ShardRefused, StorageError, CollectordError) as error:
        # Where it lay in scratch says nothing to anybody, and would differ each time.
        return Failed(task.push.source, str(error).replace(str(scratch / INDEX), task.push.shard))
    except _NOT_OURS as error:
        said = f"{type(error).__name__}: {error}"[:300]
        return Failed(task.push.source, f"{task.push.shard}: holds what no collectord writes ({said})")


def _write(task: RenderTask, reader: IndexReader, scratch: Path) -> Rendered:
    rows = OwnRows(task.push, task.options, reader)
    names = [f"{task.key}.{part}.parquet" for part in ("rows", "keys")]
    paths = [scratch / name for name in names]
    with (
        ParquetFile(paths[0], ROW_COLUMNS) as table,
        ParquetFile(paths[1], KEY_COLUMNS, _KEYS_IN_A_GROUP) as keys,
    ):
        for row in rows:
            table.add(row.values, row.size)
            keys.add([row.started_ms, row.run_id, row.issue_split, "".join(row.digests)])
    files = {p.name: {"bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in paths}
    return Rendered(task.key, {"schema": RENDERED_SCHEMA, "key": task.key, **rows.document(), "files": files})


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A row of a source: the values of ROW_COLUMNS, and what it is merged and hashed by."""

    values: list[Any]
    started_ms: int
    run_id: str
    issue_split: str
    digests: tuple[str, ...]
    size: int


class OwnRows:
    """The rows of a source in their order, once; `document` tells what they were, afterwards.

    With `computed` no row is taken as it was kept when its run was read: each is made of its artifacts.
    """

    def __init__(
        self, push: Push, options: FleetOptions, reader: IndexReader, *, computed: bool = False
    ) -> None:
        self._push, self._options, self._reader, self._computed = push, options, reader, computed
        self._others, self._environments = _chosen(reader, options)
        self._planned = self._plan()
        self._own = sha256()
        self._counter, self._kinds_of = CredentialCounter(), kinds_finder(redacted=options.redact)
        self._rows = 0
        self._by_environment: dict[str, int] = {}

    def _plan(self) -> PlannedDataset:
        files = RepoFiles(self._push.universe.as_universe(), None)
        # Without worlds nothing of a repo is looked at.
        nowhere = Path("/nonexistent")
        asked = self._options.of_source()
        return plan_dataset(self._reader, nowhere, asked, other_epoch=self._others, files=files)

    def __iter__(self) -> Iterator[OwnRow]:
        planned = self._planned
        split_of = splitter(self._options.of_source().split_by, len(planned.runs))
        tools = tools_of(self._reader.connection, planned.runs)
        for lazy, run in zip(planned.rows(), planned.runs, strict=True):
            piece = lazy.make() if self._computed else kept_or_made(lazy)
            split = split_of(self._rows, piece.as_bytes())
            whole = piece.with_split(split)
            self._own.update(compact_bytes(whole.encode("utf-8")) + b"\n")
            self._counter.add(self._kinds_of(whole))
            line = line_of(whole, escape=True)
            row = published_row(line)
            environment = self._environments.get((run.kind, run.name))
            outcome = outcome_columns(run, tools[run.kind, run.name], _provenance(environment))
            self._rows += 1
            name = environment or ""
            self._by_environment[name] = self._by_environment.get(name, 0) + 1
            yield OwnRow(
                values=row_values(row, outcome),
                started_ms=row.started_ms,
                run_id=row.run_id,
                issue_split=split_of_issue(recorded_issue_id(row.planner_input) or row.run_id),
                digests=row_digests(piece, self._push.source),
                size=len(line),
            )

    def document(self) -> dict[str, Any]:
        """What the source gave; complete when all rows were taken."""
        planned, counts = self._planned, self._counter.counts()
        return {
            "source": self._push.source,
            "rows": self._rows,
            "dataset_hash": self._own.hexdigest(),
            "universe_id": planned.universe_id,
            "left_out": planned.left_out,
            "not_selected": planned.not_selected,
            "input_hashes": dict(planned.input_hashes),
            "time_conflicts": dict(sorted(planned.time_conflicts.items())),
            "rows_by_environment": dict(sorted(self._by_environment.items())),
            "credentials": counts.as_json(),
        }


def _chosen(reader: IndexReader, options: FleetOptions) -> tuple[RunKeys, Mapping[tuple[str, str], str]]:
    """The runs that are no rows, and the environment of each other one; nothing where all are asked for."""
    if options.environments is None:
        return frozenset(), {}
    found = survey(reader.connection, is_cutting(Overrides()))
    given = {(a.run.kind, a.run.name): a.fingerprint for a in found.assigned.runs}
    others = frozenset(key for key, name in given.items() if name not in options.environments)
    return others, {key: name for key, name in given.items() if key not in others}


def _provenance(environment: str | None) -> Provenance:
    return Provenance(None, None if environment is None else {"fingerprint": environment})


def row_digests(piece: RowPieces, source: str) -> tuple[str, ...]:
    """sha256 hex of the canonical JSON of a row with its source, in each of SPLITS. Pure."""
    before = compact_bytes(piece.before.encode("utf-8")) + f'"source":{ascii_json(source)},"split":"'.encode()
    after = b'"' + compact_bytes(piece.after.encode("utf-8"))
    begun = sha256(before)
    found = []
    for split in SPLITS:
        digest = begun.copy()
        digest.update(split.encode() + after)
        found.append(digest.hexdigest())
    return tuple(found)
