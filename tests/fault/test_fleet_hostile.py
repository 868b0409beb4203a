"""Pushes that somebody made by hand: each is refused before anything in it can do harm, and named."""

from __future__ import annotations

import gzip
import json
import re
import resource
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard

from collectord.dataset.exporter import export
from collectord.dataset.row_plan import ExportOptions
from collectord.fleet.export import Incomplete
from collectord.fleet.manifest import MAX_INDEX_BYTES, Push, latest_name
from collectord.fleet.options import FleetOptions
from collectord.fleet.shard import MAX_BLOB
from collectord.fleet.storage import Folder
from tests.integration.test_fleet_export import exported, records
from tests.support.fleets import made_source, pushed_source

DATA = Path(__file__).parents[1] / "integration" / "data"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Push, bytes]:
    """A storage with one honest push, what it says, and the index in it."""
    folder = tmp_path_factory.mktemp("honest")
    push = pushed_source(folder / "repo", folder / "store", "honest", part=slice(0, 6)).push
    packed = (folder / "store" / push.shard).read_bytes()
    return folder / "store", push, zstandard.ZstdDecompressor().decompress(packed)


@pytest.fixture
def store(made_once: tuple[Path, Push, bytes], tmp_path: Path) -> Folder:
    shutil.copytree(made_once[0], tmp_path / "store")
    return Folder(tmp_path / "store")


def forge(store: Folder, push: Push, packed: bytes, index: bytes, **other: object) -> Push:
    """A push of the source `other`; its manifest says of these bytes what is true, but for some members."""
    members: dict[str, Any] = {
        **push.model_dump(by_alias=True),
        "source": "other",
        "identity": "ab" * 16,
        "sha256": sha256(packed).hexdigest(),
        "size": len(packed),
        "index_sha256": sha256(index).hexdigest(),
        "index_size": len(index),
        **other,
    }
    own = {name: value for name, value in members.items() if name != "schema"}
    forged = Push.model_construct(**own, schema_=members["schema"])
    document = json.dumps({**json.loads(push.as_bytes()), **json.loads(json.dumps(members, default=_plain))})
    store.replace(forged.shard, packed)
    store.replace(forged.manifest, document.encode())
    store.replace(latest_name("other"), document.encode())
    return forged


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json")


def refusal(store: Folder, to: Path) -> str:
    """Why the source `other` cannot be had; nothing is published, and without it the other source is."""
    with pytest.raises(Incomplete) as refused:
        exported(store.url, to)
    assert not list(to.glob("planner_fleet_v1*"))
    made = exported(store.url, to, allow_missing=True)
    assert [one["source"] for one in made.document["sources"]] == ["honest"]
    [missing] = made.document["missing"]
    assert missing["source"] == "other"
    assert str(missing["why"]) in str(refused.value)
    return str(missing["why"])


def altered(index: bytes, folder: Path, *statements: str) -> bytes:
    """The index after some SQL of somebody."""
    path = folder / "altered.sqlite3"
    path.write_bytes(index)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path.read_bytes()


def packed(index: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(index)


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (["CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END"], "a trigger"),
        (["CREATE VIEW v AS SELECT 1"], "a view"),
        (["DROP TABLE kept_rows", "CREATE VIEW kept_rows AS SELECT x'00' AS key, x'00' AS data"], "a view"),
        (["CREATE TABLE more (a)"], "a table"),
        (["DROP TABLE kept_rows", "CREATE VIRTUAL TABLE kept_rows USING fts4(key, data)"], "a table"),
        (["CREATE INDEX ix_more ON runs (upper(run_id))"], "an expression"),
        (["CREATE INDEX ix_more ON runs (run_id) WHERE started_ms > 0"], "an? index"),
        (["ALTER TABLE runs ADD COLUMN more TEXT"], "a column"),
        (["ALTER TABLE runs ADD COLUMN more TEXT GENERATED ALWAYS AS (upper(run_id)) VIRTUAL"], "a column"),
        (["UPDATE alembic_version SET version_num = '0999'"], "newer"),
        (["DROP TABLE alembic_version"], "schema None"),
        (["DROP TABLE runs"], "cannot be|holds|no such"),
        (["UPDATE runs SET summary = 'x'"], "what no collectord writes"),
        (["UPDATE runs SET summary = '[]'"], "what no collectord writes"),
        (["UPDATE labels SET recorded_swarms = '{{'"], "what no collectord writes"),
    ],
)
def test_an_index_that_no_collectord_made_is_refused(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path, statements: list[str], why: str
) -> None:
    _, push, index = made_once
    index = altered(index, tmp_path, *statements)
    forge(store, push, packed(index), index)
    found = refusal(store, tmp_path / "to")
    assert re.search(why, found), found


def test_an_artifact_with_other_bytes_is_refused(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path
) -> None:
    _, push, index = made_once
    index = altered(
        index, tmp_path, "DELETE FROM kept_rows", "UPDATE artifacts SET data = x'789c030000000001'"
    )
    forge(store, push, packed(index), index)
    assert "artifact" in refusal(store, tmp_path / "to")


Bytes = Callable[[bytes], bytes]
HARMS: list[Bytes] = [
    lambda data: data[:-1],
    lambda data: data + b"\0",
    lambda data: b"",
    lambda data: data[:9] + b"\xff" + data[10:],
]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("part", ["packed", "index"])
def test_what_does_not_fit_its_digests_is_refused(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path, harm: Bytes, part: str
) -> None:
    _, push, index = made_once
    if part == "packed":
        forged = forge(store, push, packed(index), index)
        store.replace(forged.shard, harm(packed(index)))
    else:
        forge(store, push, packed(harm(index)), index)
    why = refusal(store, tmp_path / "to")
    assert any(words in why for words in ("manifest", "unpack", "bytes instead of", "it names")), why


def test_a_file_that_is_no_index_is_refused(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path
) -> None:
    _, push, index = made_once
    for content in (b"", b"no index" * 1000, index[:8192], b"SQLite format 3\0" + bytes(5000)):
        forge(store, push, packed(content), content)
        assert "index" in refusal(store, tmp_path / "to")
        shutil.rmtree(tmp_path / "to")


def test_a_bomb_is_refused_before_it_goes_off(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path
) -> None:
    _, push, index = made_once
    bomb = zstandard.ZstdCompressor().compress(bytes(2**30))
    assert len(bomb) < 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    forge(store, push, bomb, index)
    assert "unpacks to more" in refusal(store, tmp_path / "to")
    shutil.rmtree(tmp_path / "to")
    forge(store, push, bomb, index, index_size=MAX_INDEX_BYTES + 1)
    assert "no push has" in refusal(store, tmp_path / "to")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_a_window_that_wants_gigabytes_is_refused(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path
) -> None:
    _, push, index = made_once
    # A frame of one segment with a window of 2 GiB, as its header says.
    frame = b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00"
    forge(store, push, frame, index)
    assert "unpack" in refusal(store, tmp_path / "to")


def test_a_bomb_inside_of_an_index_is_refused(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path
) -> None:
    _, push, index = made_once
    path = tmp_path / "bombed.sqlite3"
    path.write_bytes(index)
    data = zlib.compress(bytes(MAX_BLOB + 2**20), 9)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE artifacts SET data = ?", (data,))
        connection.commit()
    bombed = path.read_bytes()
    forge(store, push, packed(bombed), bombed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "unpacks to more" in refusal(store, tmp_path / "to")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("index-*.sql.gz")))
def test_an_older_index_is_upgraded_in_scratch_and_stays_as_it_was(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path, name: str
) -> None:
    _, push, _ = made_once
    path = tmp_path / "older.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(gzip.decompress((DATA / name).read_bytes()).decode())
    index = path.read_bytes()
    forged = forge(store, push, packed(index), index, index_schema="0003")
    made = exported(store.url, tmp_path / "to", FleetOptions(shard_rows=50))
    counts = {one["source"]: one["rows"] for one in made.document["sources"]}
    # The dumps are of the first twelve archives.
    now = made_source(tmp_path / "now", tmp_path / "unused", "now", part=slice(0, 12))
    wanted = export(now, ExportOptions(), epoch="all", dry_run=True).meta["dataset_hash"]
    assert {one["source"]: one["dataset_hash"] for one in made.document["sources"]}["other"] == wanted
    assert len(records(made.url)) == sum(counts.values())
    assert zstandard.ZstdDecompressor().decompress((store.root / forged.shard).read_bytes()) == index


def test_links_on_the_storage_lead_nowhere(
    made_once: tuple[Path, Push, bytes], store: Folder, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of another")
    (store.root / "sources/loop").symlink_to(store.root / "sources")
    (store.root / "sources/other").mkdir()
    (store.root / "sources/other/latest.json").symlink_to(secret)
    (store.root / "sources/other/000001.json").symlink_to(secret)
    made = exported(store.url, tmp_path / "to")
    assert [one["source"] for one in made.document["sources"]] == ["honest"]
    assert made.document["missing"] == []
