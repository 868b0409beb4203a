"""One dataset of many indexes: who is in it, the stages, and the publication."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from collectord.dataset.credentials import Detector
from collectord.epochs.selection import SHORTEST_PREFIX, beginning_with
from collectord.errors import CollectordError, UsageError
from collectord.fleet.catalog import Source, sources_in
from collectord.fleet.datasets import find_same, point, publish
from collectord.fleet.documents import describing, fleet_document, source_document
from collectord.fleet.look import same_index, shared_environments, trouble_of
from collectord.fleet.manifest import Push
from collectord.fleet.merge import Merged, MergeTask, merge
from collectord.fleet.options import FleetOptions, render_key
from collectord.fleet.parts import MadePart, PartTask, make_part
from collectord.fleet.pins import pin, unpin
from collectord.fleet.render import Failed, Rendered, RenderTask, find_rendered, render
from collectord.fleet.runners import Runner, WorkersFailed
from collectord.fleet.storage import Storage, StorageError, open_storage
from collectord.index.files import stamp_of_ms
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.rows import SPLITS

JOBS = "scratch/jobs"
_DAY_MS = 86_400_000
# No export takes so long: what is older was left by one that was killed.
_JOB_MS = 2 * _DAY_MS
T = TypeVar("T")
R = TypeVar("R")
RENDER, MERGE, WRITE = "render", "merge", "write"


class Incomplete(CollectordError):
    """Sources are missing, and nobody said that they may be."""

    exit_code = 3


class Progress(Protocol):
    """ArtifactFacts of everything that ends."""

    def __call__(self, stage: str, done: int, total: int, what: str, rows: int) -> None:
        """So many of a stage's tasks are done; the last one was `what`, of so many rows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`environments` are fingerprints or their beginnings; empty, with `all_runs` false, for the only one."""

    fleet: str
    to: str
    glob: str = "*"
    environments: tuple[str, ...] = ()
    all_runs: bool = False
    allow_missing: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """`url` is where the dataset lies; `reused` sources were rendered before. `notes` are for a person."""

    url: str
    is_new: bool
    document: JsonObject
    reused: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sources of a dataset, those that cannot be had, and those without a run that is asked for."""

    sources: tuple[tuple[Push, tuple[str, ...]], ...]
    missing: tuple[Failed, ...]
    without: tuple[str, ...]
    options: FleetOptions


def export_fleet(
    asked: Asked, options: FleetOptions, runner: Runner, progress: Progress, clock_ms: Callable[[], int]
) -> Exported:
    """Publish the dataset of a fleet, unless a published one has the same content.

    Raises Incomplete where a source cannot be had, unless the caller allows it, and CollectordError.
    """
    if options.redact:
        Detector()  # before anything is fetched: it says what is missing
    storage = open_storage(asked.fleet)
    chosen = choose(sources_in(storage, asked.glob), asked, options)
    with _pinned(storage, asked.to, chosen, clock_ms()) as pins:
        return _Export(asked, chosen, runner, progress, clock_ms, pins).run()


def choose(sources: Sequence[Source], asked: Asked, options: FleetOptions) -> Chosen:
    """Who is in the dataset; raises UsageError and CollectordError where the question has no answer. Pure."""
    if not sources:
        raise CollectordError(
            f"{asked.fleet}: no source there fits '{asked.glob}'; `collectord fleet list` shows all"
        )
    if doubled := same_index(sources):
        raise CollectordError(
            f"{' and '.join(doubled[0])} are pushes of one index, and each of its rows would come several "
            "times: leave one out with --sources, or remove its folder"
        )
    wanted = _environments(sources, asked)
    found, missing, without = [], [], []
    for source in sources:
        trouble = trouble_of(source)
        if source.push is None or trouble is not None:
            missing.append(Failed(source.name, trouble or "it has no push"))
        elif wanted is not None and not any(one.fingerprint in wanted for one in source.push.environments):
            without.append(source.name)
        else:
            found.append((source.push, source.problems))
    return Chosen(tuple(found), tuple(missing), tuple(without), replace(options, environments=wanted))


def _environments(sources: Sequence[Source], asked: Asked) -> tuple[str, ...] | None:
    if asked.all_runs and asked.environments:
        raise UsageError("--all and --environment ask for different things; give one of them")
    if asked.all_runs:
        return None
    known = [shared.fingerprint for shared in shared_environments(sources) if shared.fingerprint]
    if not asked.environments:
        if len(known) == 1:
            return (known[0],)
        listed = ", ".join([name[:21] for name in known[:5]] + ["…"] * (len(known) > 5)) or "none"
        raise UsageError(
            f"the sources have {len(known)} environments ({listed}), and equal issues have other labels in "
            "each: choose with --environment, which can be given several times, or take --all; "
            "`collectord fleet environments` shows who has which"
        )
    return tuple(sorted({_full_name(prefix, known) for prefix in asked.environments}))


def _full_name(prefix: str, known: Sequence[str]) -> str:
    matching = beginning_with(prefix, known)
    if len(matching) == 1:
        return matching[0]
    what = "is the beginning of several" if matching else "is no fingerprint that a source has"
    raise UsageError(
        f"--environment {prefix}: {what} (at least {SHORTEST_PREFIX} characters); "
        "`collectord fleet environments` lists them"
    )


class _Pins:
    """What keeps the pushes of this dataset: for a while as long as it is made, then for good."""

    def __init__(self, storage: Storage, pushes: list[tuple[str, int]]) -> None:
        self._storage, self._pushes = storage, pushes
        self._temporary: str | None = None
        self.notes: list[str] = []

    def begin(self, to: str, now_ms: int) -> None:
        try:
            self._temporary = pin(self._storage, f"{to} (is being made)", self._pushes, now_ms + _JOB_MS)
        except StorageError as error:
            self.notes.append(
                f"{error}. So nothing keeps the pushes of this dataset: the hosts remove them in time, and "
                "then it cannot be made again"
            )

    def keep(self, url: str) -> None:
        if self._temporary is not None:
            pin(self._storage, url, self._pushes)

    def end(self) -> None:
        if self._temporary is not None:
            with suppress(StorageError):
                unpin(self._storage, self._temporary)


@contextmanager
def _pinned(storage: Storage, to: str, chosen: Chosen, now_ms: int) -> Iterator[_Pins]:
    pins = _Pins(storage, [(push.source, push.sequence) for push, _ in chosen.sources])
    pins.begin(to, now_ms)
    try:
        yield pins
    finally:
        pins.end()


@dataclass
class _Export:
    asked: Asked
    chosen: Chosen
    runner: Runner
    progress: Progress
    clock_ms: Callable[[], int]
    pins: _Pins

    def run(self) -> Exported:
        target = open_storage(self.asked.to)
        rendered, failed, reused = self._render(target)
        missing = sorted([*self.chosen.missing, *failed], key=lambda one: one.source)
        self._refuse_missing(missing, rendered)
        job = f"{JOBS}/{stamp_of_ms(self.clock_ms())}-{secrets.token_hex(4)}"
        try:
            merged = self._merge(job, rendered)
            document = self._document(merged, rendered, missing)
            name = find_same(target, document)
            is_new = name is None
            if name is None:
                name = self._publish(target, job, self._write(job, merged, rendered), document)
            self.pins.keep(f"{target.url}/{name}")
            point(target, name, document)
        finally:
            with suppress(StorageError):
                target.remove_all(job)
                self._remove_left(target)
        return Exported(f"{target.url}/{name}", is_new, document, reused, tuple(self.pins.notes))

    def _render(self, target: Storage) -> tuple[tuple[Rendered, ...], list[Failed], int]:
        options = self.chosen.options
        tasks = [
            RenderTask(self.asked.fleet, self.asked.to, push, options, render_key(push, options))
            for push, _ in self.chosen.sources
        ]
        there = [find_rendered(target, task.key) for task in tasks]
        found = [one for one in there if one is not None]
        left = [task for task, one in zip(tasks, there, strict=True) if one is None]
        failed, total = [], len(tasks)
        for number, one in enumerate(found, 1):
            self.progress(RENDER, number, total, f"{one.source}: as before", one.rows)
        for done, (place, result) in enumerate(self.runner.run(render, left), len(found) + 1):
            source = left[place].push.source
            if isinstance(result, WorkersFailed):
                result = Failed(source, str(result))
            if isinstance(result, Exception):
                raise result
            if isinstance(result, Failed):
                failed.append(result)
                self.progress(RENDER, done, total, f"{source}: {result.why}", 0)
            else:
                found.append(result)
                self.progress(RENDER, done, total, source, result.rows)
        rendered = sorted(found, key=lambda one: one.source)
        return tuple(rendered), failed, total - len(left)

    def _refuse_missing(self, missing: Sequence[Failed], rendered: Sequence[Rendered]) -> None:
        if missing and not self.asked.allow_missing:
            listed = "\n".join(f"{one.source}: {one.why}" for one in missing)
            raise Incomplete(
                f"{listed}\n{len(missing)} sources cannot be had, so nothing was published: mend them, leave "
                "them out with --sources, or allow it with --allow-missing"
            )
        if not rendered:
            raise CollectordError(f"{self.asked.fleet}: no source that can be had has such a run")

    def _merge(self, job: str, rendered: tuple[Rendered, ...]) -> Merged:
        options = self.chosen.options
        task = MergeTask(self.asked.to, job, _slim(rendered), options.split_by, options.shard_rows)
        [merged] = self._all(MERGE, merge, [task], lambda made: ("all sources", made.rows))
        return merged

    def _document(
        self, merged: Merged, rendered: Sequence[Rendered], missing: Sequence[Failed]
    ) -> JsonObject:
        options = self.chosen.options
        known = {push.source: (push, problems) for push, problems in self.chosen.sources}
        sources = [source_document(known[r.source][0], r, known[r.source][1], options) for r in rendered]
        return fleet_document(options, merged, sources, missing, self.chosen.without)

    def _write(self, job: str, merged: Merged, rendered: tuple[Rendered, ...]) -> list[MadePart]:
        counts = {split: sum(part.split == split for part in merged.parts) for split in SPLITS}
        to, folder, jsonl = self.asked.to, f"{job}/dataset", self.chosen.options.jsonl
        slim = _slim(rendered)
        tasks = [PartTask(to, folder, slim, part, counts[part.split], jsonl) for part in merged.parts]
        return self._all(WRITE, make_part, tasks, lambda made: (made.files[0].name, made.rows))

    def _publish(self, target: Storage, job: str, parts: Sequence[MadePart], document: JsonObject) -> str:
        documents = describing(document, parts)
        for name, data in documents.items():
            target.replace(f"{job}/dataset/{name}", data)
        files = [*(file.name for part in parts for file in part.files), *documents]
        return publish(target, f"{job}/dataset", files, self.clock_ms())

    def _all(
        self,
        stage: str,
        function: Callable[[T], R],
        tasks: Sequence[T],
        said: Callable[[R], tuple[str, int]],
    ) -> list[R]:
        made: dict[int, R] = {}
        for done, (place, result) in enumerate(self.runner.run(function, tasks), 1):
            if isinstance(result, Exception):
                raise result
            made[place] = result
            self.progress(stage, done, len(tasks), *said(result))
        return [made[place] for place in range(len(tasks))]

    def _remove_left(self, target: Storage) -> None:
        """What exports left that were killed; those of the last two days may still run."""
        oldest = stamp_of_ms(self.clock_ms() - _JOB_MS)
        jobs = {name.split("/")[2] for name in target.files(JOBS)}
        for job in sorted(job for job in jobs if job < oldest):
            target.remove_all(f"{JOBS}/{job}")


def _slim(rendered: Sequence[Rendered]) -> tuple[Rendered, ...]:
    """What a task needs of them: it goes to every worker."""
    return tuple(Rendered(one.key, {"source": one.source, "rows": one.rows}) for one in rendered)
