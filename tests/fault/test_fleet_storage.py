"""A storage that fails, does not answer, lists late or lies: nothing is published that is not whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from collectord.config import Settings
from collectord.errors import CollectordError
from collectord.fleet import storage as storages
from collectord.fleet.catalog import pushed, sources_in
from collectord.fleet.datasets import LATEST, published
from collectord.fleet.options import FleetOptions
from collectord.fleet.push import push
from collectord.fleet.storage import Folder, Remote, Storage, StorageError, open_storage
from tests.integration.test_fleet_export import exported, files_of
from tests.support import faulty
from tests.support.faulty import Faults, time_out
from tests.support.fleets import made_source, one_more_run, settings_in


@pytest.fixture(autouse=True)
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """No faults unless a test sets them, and no waiting between tries."""
    monkeypatch.setattr(storages, "_WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(faulty, "NOW", Faults())


def with_faults(monkeypatch: pytest.MonkeyPatch, faults: Faults) -> Faults:
    monkeypatch.setattr(faulty, "NOW", faults)
    return faults


@pytest.fixture
def source(tmp_path: Path) -> Settings:
    return made_source(tmp_path / "repo", tmp_path / "unused", "a", part=slice(0, 6))


@pytest.fixture(params=["folder", "faulty", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    urls = {
        "folder": str(tmp_path / "s"),
        "faulty": f"faulty://{tmp_path}/s",
        "memory": f"memory://{tmp_path.name}",
    }
    return open_storage(urls[request.param])


def test_every_storage_does_the_same(storage: Storage, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(b"x" * 3_000_000)
    assert (storage.read("a/b", 9), storage.size("a/b"), storage.files("a")) == (None, None, {})
    storage.create("a/b", b"one")
    with pytest.raises(FileExistsError):
        storage.create("a/b", b"two")
    assert storage.read("a/b", 3) == b"one"
    with pytest.raises(StorageError, match="more than 2 bytes"):
        storage.read("a/b", 2)
    storage.replace("a/b", b"two")
    storage.replace("a/empty", b"")
    storage.put(local, "a/c/d")
    assert (storage.read("a/b", 9), storage.read("a/empty", 9), storage.size("a/c/d")) == (
        b"two",
        b"",
        3_000_000,
    )
    assert storage.files("a") == {"a/b": 3, "a/c/d": 3_000_000, "a/empty": 0}
    assert storage.files("") == storage.files("a")
    with storage.open("a/c/d") as file:
        file.seek(2_999_999)
        assert file.read(5) == b"x"
    storage.move("a/c/d", "e")
    assert (storage.size("a/c/d"), storage.size("e")) == (None, 3_000_000)
    storage.remove("e")
    storage.remove("e")
    assert storage.size("e") is None
    storage.publish("a", ["b", "empty"], "published")
    assert storage.files("published") == {"published/b": 3, "published/empty": 0}
    storage.replace("again/b", b"")
    with pytest.raises(FileExistsError):
        storage.publish("again", ["b"], "published")
    storage.remove_all("again")
    storage.remove_all("again")
    assert storage.files("again") == {}
    assert [name for name in storage.files("") if "collectord" in name] == []


def test_what_is_no_file_in_a_folder_is_not_read_and_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"of another")
    (tmp_path / "s").mkdir()
    (tmp_path / "s/link").symlink_to(tmp_path / "secret")
    (tmp_path / "s/folder").mkdir()
    os.mkfifo(tmp_path / "s/pipe")
    storage = Folder(tmp_path / "s")
    assert storage.files("") == {}
    for name in ("link", "folder", "pipe"):
        with pytest.raises(StorageError, match="reading failed"):
            storage.read(name, 100)
        with pytest.raises(StorageError, match="reading failed"):
            storage.open(name)


def test_a_storage_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    for url in ("nosuch://x/y", "abfs://container/x"):
        with pytest.raises(StorageError, match=r"write s3|pip install"):
            Remote(url)


@pytest.mark.parametrize("error", [lambda: OSError(5, "Input/output error"), time_out])
def test_a_push_that_fails_at_any_call_is_tried_again_and_whole_or_not_there(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
) -> None:
    there = settings_in(source.repo, f"faulty://{tmp_path}/store", "a")
    faults = with_faults(monkeypatch, Faults())
    first = push(there).push
    calls = faults.calls
    one_more_run(source)
    seen = set()
    for number in range(calls + 2):
        with_faults(monkeypatch, Faults(dead_from=number, error=error))
        with suppress(CollectordError):
            push(there)
        with_faults(monkeypatch, Faults())
        [found] = sources_in(Folder(tmp_path / "store"))
        assert found.push is not None
        seen.add(found.push.sequence)
        if found.push.sequence > first.sequence:
            break
    assert seen >= {1}
    with_faults(monkeypatch, Faults(fail_at=frozenset(range(0, 90, 9)), error=error))
    one_more_run(source)
    assert push(there).is_new
    with_faults(monkeypatch, Faults())
    [found] = sources_in(open_storage(f"faulty://{tmp_path}/store"))
    assert (found.push is not None and found.push.runs == first.runs + 2, found.problems) == (True, ())


def test_a_listing_that_is_late_hides_no_push_and_gives_no_number_twice(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = settings_in(source.repo, f"faulty://{tmp_path}/store", "a")
    push(there)
    with_faults(monkeypatch, Faults(late=("000001.json", "000002.json", ".zst")))
    assert push(there).is_new is False
    one_more_run(source)
    second = push(there)
    assert (second.is_new, second.push.sequence) == (True, 2)
    [found] = sources_in(open_storage(f"faulty://{tmp_path}/store"))
    assert found.push == second.push
    with_faults(monkeypatch, Faults(late=("000001.json", "000002.json", ".zst", "latest.json")))
    assert sources_in(open_storage(f"faulty://{tmp_path}/store")) == []


def test_a_listing_without_the_manifest_of_a_push_does_not_cost_its_index(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = settings_in(source.repo, f"faulty://{tmp_path}/store", "a")
    first = push(there).push
    with_faults(monkeypatch, Faults(late=("000001.json",)))
    one_more_run(source)
    push(there)
    with_faults(monkeypatch, Faults())
    assert pushed(open_storage(f"faulty://{tmp_path}/store"), "a", 1) == first


def test_a_storage_that_fails_gives_no_older_push_and_no_name_away(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"faulty://{tmp_path}/store"
    push(settings_in(source.repo, url, "a"))
    one_more_run(source)
    push(settings_in(source.repo, url, "a"))
    before = files_of(str(tmp_path / "store"))
    with_faults(monkeypatch, Faults(unreadable=("000002.json", "latest.json")))
    [found] = sources_in(open_storage(url))
    assert found.push is None
    assert "Input/output error" in found.problems[0]
    other = made_source(tmp_path / "other", url, "a", part=slice(6, 9))
    with pytest.raises(StorageError, match="Input/output error"):
        push(other)
    assert files_of(str(tmp_path / "store")) == before


def test_what_is_too_large_to_be_ours_falls_back_and_is_written_over(
    source: Settings, tmp_path: Path
) -> None:
    store = Folder(tmp_path / "store")
    there = settings_in(source.repo, store.url, "a")
    done = push(there).push
    store.replace("sources/a/latest.json", b" " * 5_000_000)
    store.replace("sources/a/000002.json", b" " * 5_000_000)
    [found] = sources_in(store)
    assert (found.push, len(found.problems)) == (done, 2)
    assert push(there).is_new is False
    assert store.read("sources/a/latest.json", 10_000) == done.as_bytes()


def test_a_storage_that_lies_about_sizes_is_not_believed(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"faulty://{tmp_path}/store"
    there = settings_in(source.repo, url, "a")
    with_faults(
        monkeypatch, Faults(sizes=lambda path, size: size - 1 if path.endswith(".tmp") is False else size)
    )
    with pytest.raises(StorageError, match="bytes are there"):
        push(there)
    with_faults(monkeypatch, Faults())
    assert [found.push for found in sources_in(Folder(tmp_path / "store"))] == [None]
    done = push(there)
    with_faults(monkeypatch, Faults(sizes=lambda path, size: size + path.endswith(".zst")))
    [found] = sources_in(open_storage(url))
    assert found.push is None
    assert f"instead of {done.push.size}" in found.problems[-1]


@pytest.mark.slow
def test_an_export_that_fails_at_any_call_publishes_all_or_nothing(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    push(settings_in(source.repo, store, "a"))
    wanted = files_of(exported(str(store), tmp_path / "plain").url)
    faults = with_faults(monkeypatch, Faults())
    exported(str(store), f"faulty://{tmp_path}/count")
    calls = faults.calls
    assert calls > 20
    for number in range(0, calls, 3):
        to = tmp_path / f"to{number}"
        with_faults(monkeypatch, Faults(dead_from=number))
        with suppress(CollectordError):
            exported(str(store), f"faulty://{to}")
        with_faults(monkeypatch, Faults())
        for name in published(open_storage(f"faulty://{to}")):
            assert files_of(str(to / name)) == wanted
        latest = to / LATEST
        if latest.exists():
            assert files_of(str(to / json.loads(latest.read_text())["name"])) == wanted
        done = exported(str(store), f"faulty://{to}")
        assert files_of(done.url.removeprefix("faulty://")) == wanted


def test_two_exports_at_once_get_two_names(source: Settings, tmp_path: Path) -> None:
    store = tmp_path / "store"
    push(settings_in(source.repo, store, "a"))
    with ThreadPoolExecutor(3) as pool:
        made = list(
            pool.map(lambda n: exported(str(store), tmp_path / "to", FleetOptions(shard_rows=n)), (1, 2, 3))
        )
    assert len({one.url for one in made}) == 3
    assert len({one.document["dataset_hash"] for one in made}) == 1
    assert len(published(Folder(tmp_path / "to"))) == 3


def test_a_full_scratch_ends_it_and_blames_no_source(
    source: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    push(settings_in(source.repo, store, "a"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="no room to unpack"):
        exported(str(store), tmp_path / "to", allow_missing=True)
    assert published(Folder(tmp_path / "to")) == []
