"""One dataset of many indexes: the rows of each source's own export, in one order, whoever does the work."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from collectord.config import Settings
from collectord.dataset.columns import SPLIT_NAMES
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BY_ISSUE, ExportOptions
from collectord.errors import CollectordError, UsageError
from collectord.fleet import parts, runners
from collectord.fleet.catalog import sources_in
from collectord.fleet.datasets import published
from collectord.fleet.export import Asked, Exported, Incomplete, export_fleet
from collectord.fleet.options import FleetOptions
from collectord.fleet.pins import pinned
from collectord.fleet.push import push
from collectord.fleet.render import RenderTask
from collectord.fleet.row_text import row_digest
from collectord.fleet.runners import Dask, Here, Runner, workers
from collectord.fleet.storage import Folder
from collectord.intake.ingest import ingest
from collectord.kernel.jsonio import canonical
from collectord.kernel.rows import split_of, split_of_issue
from tests.support.fleets import made_source, one_more_run, pushed_source, settings_in
from tests.support.loading import load
from tests.support.snapshots import read_rows

NOW_MS = 1_796_000_000_000
PLAIN = FleetOptions()
Record = dict[str, Any]


def quiet(stage: str, done: int, total: int, what: str, rows: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """Settings by source, all pushed: two with runs in common, another environment, another corpus."""
    folder = tmp_path_factory.mktemp("fleet")
    store = folder / "store"
    made = {
        "a/kernel": made_source(folder / "a", store, "a/kernel", part=slice(0, 25)),
        "b": made_source(folder / "b", store, "b", part=slice(15, 45)),
        "c/other": made_source(folder / "c", store, "c/other", part=slice(45, 66), model="claude-opus-5"),
        "d": made_source(folder / "d", store, "d", "universe"),
    }
    for settings in made.values():
        push(settings)
    return made


def store_of(fleet: dict[str, Settings]) -> str:
    return next(iter(fleet.values())).config.fleet.url


def exported(
    fleet: dict[str, Settings] | str,
    to: Path | str,
    options: FleetOptions = PLAIN,
    runner: Runner | None = None,
    **asked: Any,
) -> Exported:
    url = fleet if isinstance(fleet, str) else store_of(fleet)
    if not asked.get("environments"):
        asked.setdefault("all_runs", True)
    return export_fleet(Asked(url, str(to), **asked), options, runner or Here(), quiet, lambda: NOW_MS)


def records(url: str) -> list[Record]:
    """Every row, by split and file."""
    files = [
        *Path(url).glob("data/train-*"),
        *Path(url).glob("data/validation-*"),
        *Path(url).glob("data/test-*"),
    ]
    return [row for path in sorted(files, key=_by_split) for row in pq.read_table(path).to_pylist()]


def _by_split(path: Path) -> tuple[int, str]:
    return ("train", "validation", "test").index(path.name.partition("-")[0]), path.name


def files_of(url: str) -> dict[str, bytes]:
    folder = Path(url)
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize("name", ["a/kernel", "d"])
@pytest.mark.parametrize(
    "options", [FleetOptions(), FleetOptions(split_by="issue"), FleetOptions(redact=True)]
)
def test_one_source_alone_gives_its_own_machines_rows_in_order_and_its_hash(
    fleet: dict[str, Settings], tmp_path: Path, name: str, options: FleetOptions
) -> None:
    by = BY_ISSUE if options.split_by == "issue" else "time"
    own = export(
        fleet[name], ExportOptions(split_by=by, redact=options.redact), epoch="all", out=tmp_path / "own"
    )
    made = exported(fleet, tmp_path / "to", options, glob=name)
    [source] = made.document["sources"]
    assert source["dataset_hash"] == own.meta["dataset_hash"]
    assert (source["left_out"], source["not_selected"]) == (
        own.document["left_out"],
        own.document["not_selected"],
    )
    assert made.document["split_counts"] == own.meta["split_counts"]
    rows = records(made.url)
    assert [{k: v for k, v in row.items() if k != "source"} for row in rows] == records(str(tmp_path / "own"))
    assert {row["source"] for row in rows} == {name}


def test_an_environment_gives_the_rows_that_its_own_machine_gives_for_it(
    fleet: dict[str, Settings], tmp_path: Path
) -> None:
    [pushed] = [s.push for s in sources_in(Folder(Path(store_of(fleet)))) if s.name == "c/other"]
    assert pushed is not None
    [fingerprint] = [one.fingerprint for one in pushed.environments]
    own = export(fleet["c/other"], ExportOptions(), environment=fingerprint, out=tmp_path / "own")
    made = exported(fleet, tmp_path / "to", environments=(fingerprint[:12],))
    assert [s["source"] for s in made.document["sources"]] == ["c/other"]
    assert made.document["without_runs"] == ["a/kernel", "b", "d"]
    assert made.document["sources"][0]["dataset_hash"] == own.meta["dataset_hash"]
    rows = records(made.url)
    assert {row["environment"] for row in rows} == {fingerprint}
    assert [{k: v for k, v in row.items() if k != "source"} for row in rows] == records(str(tmp_path / "own"))


def test_several_environments_of_a_source_give_the_rows_of_those_that_are_asked_for(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    settings = made_source(tmp_path / "a", store, "a", part=slice(0, 30))
    # The configuration is edited, and the second half of the runs comes after that.
    names = sorted(path.name for path in settings.archives_dir.iterdir())
    (tmp_path / "later").mkdir()
    for name in names[15:]:
        shutil.move(settings.archives_dir / name, tmp_path / "later" / name)
    settings.index_path.unlink()
    ingest(settings)
    config = settings.repo / ".cyntra/config.yaml"
    config.write_text(config.read_text().replace("claude-opus-4-5-20251101", "claude-opus-5"))
    for name in names[15:]:
        for path in (tmp_path / "later" / name).glob("*.json"):
            path.write_text(path.read_text().replace("claude-opus-4-5-20251101", "claude-opus-5"))
        shutil.move(tmp_path / "later" / name, settings.archives_dir / name)
    ingest(settings)
    found = push(settings).push.environments
    assert len(found) == 2
    whole = exported(str(store), tmp_path / "both", environments=tuple(one.fingerprint for one in found))
    rows = records(whole.url)
    assert {row["environment"] for row in rows} == {one.fingerprint for one in found}
    assert whole.document["sources"][0]["rows_by_environment"] == {
        one.fingerprint: sum(row["environment"] == one.fingerprint for row in rows) for one in found
    }
    for number, one in enumerate(found):
        own = export(settings, ExportOptions(), environment=one.fingerprint, out=tmp_path / f"own{number}")
        alone = exported(str(store), tmp_path / f"alone{number}", environments=(one.fingerprint,))
        assert alone.document["sources"][0]["dataset_hash"] == own.meta["dataset_hash"]
        of_both = [row for row in rows if row["environment"] == one.fingerprint]
        own_rows = records(str(tmp_path / f"own{number}"))
        unsplit = [{k: v for k, v in row.items() if k not in ("source", "split")} for row in of_both]
        assert unsplit == [{k: v for k, v in row.items() if k != "split"} for row in own_rows]


def test_the_rows_are_those_of_all_sources_in_one_order_and_split_by_rank(
    fleet: dict[str, Settings], tmp_path: Path
) -> None:
    made = exported(fleet, tmp_path / "to", FleetOptions(shard_rows=7))
    rows = records(made.url)
    keys = [(row["started_ms"], row["source"], row["run_id"]) for row in rows]
    assert keys == sorted(keys)
    names = {"val": "validation"}
    wanted = [names.get(s, s) for s in (split_of(rank, len(rows)) for rank in range(len(rows)))]
    assert [row["split"] for row in rows] == wanted
    by_source: dict[str, list[Record]] = {}
    for row in rows:
        by_source.setdefault(row["source"], []).append(row)
    for name, settings in fleet.items():
        own = export(settings, ExportOptions(), epoch="all", out=tmp_path / f"own-{name.replace('/', '-')}")
        assert own.path is not None
        without = [{k: v for k, v in row.items() if k not in ("source", "split")} for row in by_source[name]]
        own_rows = [{k: v for k, v in row.items() if k != "split"} for row in records(str(own.path))]
        assert without == own_rows
    sizes = [pq.read_metadata(path).num_rows for path in sorted(Path(made.url).glob("data/train-*"))]
    assert set(sizes[:-1]) == {7}


def test_the_hash_is_that_of_each_rows_canonical_json_with_its_source(
    fleet: dict[str, Settings], tmp_path: Path
) -> None:
    made = exported(fleet, tmp_path / "to", FleetOptions(jsonl=True))
    digest = sha256()
    lines = []
    for path in sorted(Path(made.url).glob("dataset/*"), key=_by_split):
        text = zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read().decode("utf-8")
        lines += text.splitlines()
    rows = records(made.url)
    for line, record in zip(lines, rows, strict=True):
        row = json.loads(line)
        one = sha256(canonical(row).encode("utf-8", "surrogatepass"))
        assert one.hexdigest() == row_digest(record)
        digest.update(one.digest())
    assert digest.hexdigest() == made.document["dataset_hash"]
    own = export(fleet["d"], ExportOptions(), epoch="all", out=tmp_path / "own")
    assert own.path is not None
    of_source = [json.loads(line) for line in lines if json.loads(line)["source"] == "d"]
    wanted = [
        {**row, "source": "d", "split": of_source[n]["split"]} for n, row in enumerate(read_rows(own.path))
    ]
    assert of_source == wanted


@pytest.mark.parametrize("split_by", ["issue", "source"])
def test_all_rows_of_an_issue_or_a_source_are_in_one_split(
    fleet: dict[str, Settings], tmp_path: Path, split_by: str
) -> None:
    made = exported(fleet, tmp_path / "to", FleetOptions(split_by=split_by, shard_rows=5))
    column = "issue_id" if split_by == "issue" else "source"
    names = {"val": "validation"}
    for row in records(made.url):
        split = split_of_issue(row[column] or row["run_id"])
        assert row["split"] == names.get(split, split)
    again = exported(fleet, tmp_path / "again", FleetOptions(split_by=split_by, shard_rows=1000))
    assert again.document["dataset_hash"] == made.document["dataset_hash"]


@pytest.mark.slow
def test_other_peoples_tools_read_it_as_it_lies_there(fleet: dict[str, Settings], tmp_path: Path) -> None:
    made = exported(fleet, tmp_path / "to", FleetOptions(shard_rows=30))
    rows = records(made.url)
    by_split: dict[str, list[str]] = {split: [] for split in SPLIT_NAMES.values()}
    for row in sorted(rows, key=lambda row: str(row["run_id"])):
        by_split[row["split"]].append(row["run_id"])
    for tool in ("duckdb", "polars"):
        [read] = load(tool, [Path(made.url)], tmp_path)
        assert {split: sorted(ids) for split, ids in read["splits"].items()} == by_split
    [croissant] = load("mlcroissant", [Path(made.url)], tmp_path)
    assert "error" not in croissant, croissant
    sets = {name: ids for name, ids in croissant["record_sets"].items() if name != "splits"}
    assert sorted(run_id for ids in sets.values() for run_id in ids) == sorted(r["run_id"] for r in rows)
    assert set(sets) == {path.stem for path in Path(made.url).glob("data/*")}


def test_how_many_rows_are_fetched_together_changes_no_byte(
    fleet: dict[str, Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "BLOCK_ROWS", 3)
    options = FleetOptions(shard_rows=40)
    wanted = files_of(exported(fleet, tmp_path / "at-once", options).url)
    for first, room in ((3, 1), (6, 1), (3, 200_000)):
        monkeypatch.setattr(parts, "FIRST_BATCH", first)
        monkeypatch.setattr(parts, "BATCH_BYTES", room)
        assert files_of(exported(fleet, tmp_path / f"{first}-{room}", options).url) == wanted


@contextmanager
def threads(number: int) -> Iterator[Runner]:
    import distributed

    library: Any = distributed
    with (
        library.LocalCluster(
            n_workers=1, threads_per_worker=number, processes=False, dashboard_address=None, silence_logs=50
        ) as cluster,
        library.Client(cluster) as client,
    ):
        yield Dask(client, None)


@pytest.mark.slow
def test_a_cluster_that_is_there_is_used_and_one_of_other_versions_refused(
    fleet: dict[str, Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    library: Any = distributed
    wanted = files_of(exported(fleet, tmp_path / "here").url)
    with library.LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address=None, silence_logs=50
    ) as cluster:
        address = cluster.scheduler_address
        with workers(3, None, address) as runner:
            assert files_of(exported(fleet, tmp_path / "there", PLAIN, runner).url) == wanted
        # The worker is a thread of this process, so what differs is the name of that.
        monkeypatch.setattr(runners, "software", lambda: (threading.current_thread().name,))
        with pytest.raises(CollectordError, match="would write other bytes"), workers(3, None, address):
            pass
    with pytest.raises(CollectordError, match="cannot be reached"), workers(3, None, "tcp://127.0.0.1:9"):
        pass


class Doubled:
    """Does each task twice, and the other way round."""

    dashboard = None

    def run(self, function: Callable[[Any], Any], tasks: Any) -> Iterator[tuple[int, Any]]:
        for number in reversed(range(len(tasks))):
            assert function(tasks[number]) == function(tasks[number])
            yield number, function(tasks[number])


@pytest.mark.slow
def test_whoever_does_the_work_the_bytes_are_the_same(fleet: dict[str, Settings], tmp_path: Path) -> None:
    options = FleetOptions(shard_rows=9)
    wanted = files_of(exported(fleet, tmp_path / "here", options).url)
    ways: dict[str, Any] = {
        "one": workers(1, None, None),
        "two": workers(2, None, None),
        "four": workers(4, None, None),
        "threads": threads(2),
    }
    assert files_of(exported(fleet, tmp_path / "doubled", options, Doubled()).url) == wanted
    for name, made in ways.items():
        with made as runner:
            # With keys of their own: whoever has an account here is no client of theirs.
            address = runner.client.scheduler.address if isinstance(runner, Dask) else ""
            assert address.startswith("inproc://" if name == "threads" else "tls://")
            assert files_of(exported(fleet, tmp_path / name, options, runner).url) == wanted, name


@dataclass(frozen=True)
class DiesOnce:
    """A task of which the first worker that gets it dies: before it, or with all of it done."""

    function: Callable[[Any], Any]
    marks: Path
    is_late: bool

    def __call__(self, task: Any) -> Any:
        result = self.function(task) if self.is_late else None
        try:
            (self.marks / self.function.__name__).mkdir()
        except FileExistsError:
            return self.function(task)
        os._exit(9 if result is None else 8)


@dataclass(frozen=True)
class Deadly:
    """A runner in which a worker dies in each stage."""

    runner: Runner
    marks: Path
    is_late: bool
    dashboard: str | None = None

    def run(self, function: Callable[[Any], Any], tasks: Any) -> Iterator[tuple[int, Any]]:
        yield from self.runner.run(DiesOnce(function, self.marks, self.is_late), tasks)


@pytest.mark.slow
@pytest.mark.parametrize("is_late", [False, True])
def test_a_worker_that_dies_in_each_stage_changes_no_byte(
    fleet: dict[str, Settings], tmp_path: Path, is_late: bool
) -> None:
    options = FleetOptions(shard_rows=20)
    wanted = files_of(exported(fleet, tmp_path / "here", options).url)
    (tmp_path / "marks").mkdir()
    with workers(2, None, None) as runner:
        made = exported(fleet, tmp_path / "to", options, Deadly(runner, tmp_path / "marks", is_late))
    assert files_of(made.url) == wanted
    assert {path.name for path in (tmp_path / "marks").iterdir()} == {"render", "merge", "make_part"}


@dataclass(frozen=True)
class AlwaysDies:
    """A task that no worker survives, for one source."""

    function: Callable[[Any], Any]

    def __call__(self, task: Any) -> Any:
        if isinstance(task, RenderTask) and task.push.source == "b":
            os._exit(9)
        return self.function(task)


@dataclass(frozen=True)
class Lethal:
    """A runner whose workers do not survive one source."""

    runner: Runner
    dashboard: str | None = None

    def run(self, function: Callable[[Any], Any], tasks: Any) -> Iterator[tuple[int, Any]]:
        yield from self.runner.run(AlwaysDies(function), tasks)


@pytest.mark.slow
def test_a_source_that_no_worker_survives_is_named_and_left_out(
    fleet: dict[str, Settings], tmp_path: Path
) -> None:
    with workers(1, None, None) as runner:
        made = exported(fleet, tmp_path / "to", PLAIN, Lethal(runner), allow_missing=True)
    [missing] = made.document["missing"]
    assert (missing["source"], "workers died" in missing["why"]) == ("b", True)
    assert [one["source"] for one in made.document["sources"]] == ["a/kernel", "c/other", "d"]


def test_the_order_of_pushes_and_the_size_of_files_change_no_row(tmp_path: Path) -> None:
    hashes = set()
    made = {
        name: made_source(tmp_path / name, tmp_path / "unused", name, part=part)
        for name, part in (("a", slice(0, 9)), ("b", slice(5, 14)), ("c", slice(20, 31)))
    }
    for number, (order, rows) in enumerate(
        ((("a", "b", "c"), 1), (("c", "a", "b"), 4), (("b", "c", "a"), 10_000))
    ):
        store = tmp_path / f"store{number}"
        for name in order:
            push(settings_in(made[name].repo, store, name))
        hashes.add(
            exported(str(store), tmp_path / f"to{number}", FleetOptions(shard_rows=rows)).document[
                "dataset_hash"
            ]
        )
    assert len(hashes) == 1


def test_only_what_was_pushed_anew_is_rendered_again_and_the_same_makes_nothing_new(tmp_path: Path) -> None:
    store, to = tmp_path / "store", tmp_path / "to"
    pushed_source(tmp_path / "a", store, "a", part=slice(0, 9))
    other = made_source(tmp_path / "b", store, "b", part=slice(9, 20))
    push(other)
    first = exported(str(store), to)
    assert (first.is_new, first.reused) == (True, 0)
    again = exported(str(store), to)
    assert (again.is_new, again.reused, again.url) == (False, 2, first.url)
    one_more_run(other)
    push(other)
    grown = exported(str(store), to)
    assert (grown.is_new, grown.reused) == (True, 1)
    assert grown.document["example_count"] >= first.document["example_count"]
    assert Path(to, "planner_fleet_v1").resolve() == Path(grown.url).resolve()
    assert json.loads((to / "latest.json").read_text())["name"] == Path(grown.url).name
    # All that is left of the work is what saves it the next time.
    assert {name.split("/")[1] for name in Folder(to).files("scratch")} == {"rendered"}
    shorter = exported(str(store), to, FleetOptions(shard_rows=3))
    assert (shorter.is_new, shorter.reused, shorter.document["dataset_hash"]) == (
        True,
        2,
        grown.document["dataset_hash"],
    )


def test_the_pushes_of_a_published_dataset_are_kept_by_the_hosts(tmp_path: Path) -> None:
    store = tmp_path / "store"
    settings = made_source(tmp_path / "a", store, "a", part=slice(0, 4))
    few = settings_in(settings.repo, store, "a", {"fleet.keep": 1})
    push(few)
    exported(str(store), tmp_path / "to")
    assert pinned(Folder(store), "a", NOW_MS) == {1}
    for _ in range(2):
        one_more_run(few)
        push(few)
    assert sources_in(Folder(store))[0].sequences == (1, 3)


def test_a_question_without_an_answer_is_a_sentence(fleet: dict[str, Settings], tmp_path: Path) -> None:
    store = store_of(fleet)
    with pytest.raises(UsageError, match="environments"):
        exported(store, tmp_path, all_runs=False)
    with pytest.raises(UsageError, match="no fingerprint"):
        exported(store, tmp_path, environments=("abcdef",))
    with pytest.raises(UsageError, match="different things"):
        exported(store, tmp_path, environments=("abcdef",), all_runs=True)
    with pytest.raises(CollectordError, match="no source"):
        exported(store, tmp_path, glob="nobody")
    assert list(tmp_path.iterdir()) == []


def test_one_environment_needs_no_word(fleet: dict[str, Settings], tmp_path: Path) -> None:
    made = exported(fleet, tmp_path / "to", all_runs=False, glob="[ab]*")
    assert [s["source"] for s in made.document["sources"]] == ["a/kernel", "b"]
    assert len(made.document["options"]["environments"]) == 1


def test_one_index_under_two_names_is_refused(tmp_path: Path) -> None:
    settings = made_source(tmp_path / "a", tmp_path / "store", "a", part=slice(0, 3))
    push(settings)
    push(settings_in(settings.repo, tmp_path / "store", "z"))
    with pytest.raises(CollectordError, match="a and z are pushes of one index"):
        exported(str(tmp_path / "store"), tmp_path / "to")


def test_a_source_that_cannot_be_had_ends_it_unless_it_may_be_missing(tmp_path: Path) -> None:
    store = Folder(tmp_path / "store")
    pushed_source(tmp_path / "a", store.url, "a", part=slice(0, 9))
    damaged = pushed_source(tmp_path / "b", store.url, "b", part=slice(9, 20)).push
    data = bytearray((store.root / damaged.shard).read_bytes())
    data[len(data) // 2] ^= 1
    store.replace(damaged.shard, bytes(data))
    with pytest.raises(Incomplete) as refused:
        exported(store.url, tmp_path / "to")
    assert refused.value.exit_code == 3
    assert "b: " in str(refused.value)
    assert published(Folder(tmp_path / "to")) == []
    assert pinned(store, "a", NOW_MS) == frozenset()
    made = exported(store.url, tmp_path / "to", allow_missing=True)
    assert [one["source"] for one in made.document["missing"]] == ["b"]
    assert [one["source"] for one in made.document["sources"]] == ["a"]
    assert "MISSING" in (Path(made.url) / "README.md").read_text()
