"""The protocol of S3, spoken with moto's server on the loopback: pushes, exports, faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectord.errors import CollectordError
from collectord.fleet import storage as storages
from collectord.fleet.catalog import sources_in
from collectord.fleet.datasets import published
from collectord.fleet.look import list_sources
from collectord.fleet.options import FleetOptions
from collectord.fleet.push import push
from collectord.fleet.runners import workers
from collectord.fleet.storage import StorageError, open_storage
from tests.integration.test_fleet_export import exported, files_of
from tests.support.fleets import made_source, one_more_run, settings_in

MISSING = "MOTO IS NOT INSTALLED, so nothing speaks S3 here: install the extra `dev`"
moto = pytest.importorskip("moto.server", reason=MISSING)
boto3 = pytest.importorskip("boto3", reason=MISSING)
s3fs = pytest.importorskip("s3fs", reason=MISSING)

SECRET = "sEcReT" * 5


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A server of S3 at a port of its own."""
    found = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def bucket(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket, in an environment that has its credentials."""
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storages, "_WAITS_S", (0.0, 0.1, 0.1))
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"b{abs(hash(str(tmp_path)))}"
    boto3.client("s3").create_bucket(Bucket=name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()


def downloaded(url: str) -> dict[str, bytes]:
    """Every file of a dataset on S3."""
    storage = open_storage(url.rpartition("/")[0])
    name = url.rpartition("/")[2]
    return {file.removeprefix(f"{name}/"): storage.read(file, 2**26) or b"" for file in storage.files(name)}


def test_a_storage_on_s3_does_what_a_folder_does(bucket: str, tmp_path: Path) -> None:
    storage = open_storage(f"{bucket}/prefix")
    local = tmp_path / "local"
    local.write_bytes(b"x" * 6_000_000)
    assert (storage.read("a/b", 9), storage.size("a/b"), storage.files("a")) == (None, None, {})
    storage.create("a/b", b"one")
    with pytest.raises(FileExistsError):
        storage.create("a/b", b"two")
    storage.replace("a/empty", b"")
    storage.put(local, "a/c/d")
    assert (storage.read("a/b", 3), storage.read("a/empty", 9)) == (b"one", b"")
    assert storage.files("") == {"a/b": 3, "a/c/d": 6_000_000, "a/empty": 0}
    with storage.open("a/c/d") as file:
        file.seek(5_999_999)
        assert file.read(9) == b"x"
    storage.move("a/c/d", "e")
    assert (storage.size("a/c/d"), storage.size("e")) == (None, 6_000_000)
    storage.publish("a", ["b", "empty"], "published")
    storage.replace("again/b", b"")
    with pytest.raises(FileExistsError):
        storage.publish("again", ["b"], "published")
    storage.remove_all("published")
    storage.remove("e")
    assert set(storage.files("")) == {"again/b", "claims/published"}


@pytest.mark.slow
def test_pushed_to_s3_and_exported_there_it_is_the_same_dataset(bucket: str, tmp_path: Path) -> None:
    made = {
        name: made_source(tmp_path / name, tmp_path / "unused", name, part=part)
        for name, part in (("a/x", slice(0, 9)), ("b", slice(9, 21)))
    }
    for name, settings in made.items():
        push(settings_in(settings.repo, tmp_path / "store", name))
        assert push(settings_in(settings.repo, f"{bucket}/fleet", name)).is_new
        assert not push(settings_in(settings.repo, f"{bucket}/fleet", name)).is_new
    listed = list_sources(open_storage(f"{bucket}/fleet"), "*", 0)["sources"]
    assert [(one["source"], one["trouble"]) for one in listed] == [("a/x", None), ("b", None)]
    options = FleetOptions(shard_rows=8)
    wanted = files_of(exported(str(tmp_path / "store"), tmp_path / "to", options).url)
    wanted_rows = {name: data for name, data in wanted.items() if name.startswith("data/")}
    first = exported(f"{bucket}/fleet", f"{bucket}/to", options)
    found = downloaded(first.url)
    # The pushes differ in their digests and times, the rows in nothing.
    assert {name: data for name, data in found.items() if name.startswith("data/")} == wanted_rows
    assert set(found) == set(wanted)
    again = exported(f"{bucket}/fleet", f"{bucket}/to", options)
    assert (again.is_new, again.url) == (False, first.url)
    with workers(2, None, None) as runner:
        by_workers = exported(f"{bucket}/fleet", f"{bucket}/other", options, runner)
    assert downloaded(by_workers.url) == found
    latest = json.loads(open_storage(f"{bucket}/to").read("latest.json", 1000) or b"")
    assert latest["name"] == first.url.rpartition("/")[2]


def test_the_name_of_a_source_on_s3_belongs_to_one_index(bucket: str, tmp_path: Path) -> None:
    one = made_source(tmp_path / "one", f"{bucket}/fleet", "a", part=slice(0, 3))
    other = made_source(tmp_path / "other", f"{bucket}/fleet", "a", part=slice(3, 6))
    push(one)
    with pytest.raises(CollectordError, match="is the index of"):
        push(other)
    one_more_run(one)
    assert push(one).push.sequence == 2
    [found] = sources_in(open_storage(f"{bucket}/fleet"))
    assert found.push is not None
    assert found.push.runs == 4


@pytest.mark.slow
def test_what_s3_refuses_is_told_without_credentials(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = made_source(tmp_path / "one", "s3://nobodys-bucket-at-all/fleet", "a", part=slice(0, 3))
    with pytest.raises(StorageError) as missing:
        push(settings)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError) as unreachable:
        push(settings_in(settings.repo, f"{bucket}/fleet", "a"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StorageError) as nobody:
        push(settings_in(settings.repo, f"{bucket}/fleet", "a"))
    for error in (missing, unreachable, nobody):
        assert SECRET not in str(error.value)
        assert "s3://" in str(error.value)
    assert published(open_storage(str(tmp_path))) == []
