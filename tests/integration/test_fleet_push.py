"""A push is whole or not there, whatever happens to it; a name belongs to one index."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from collectord.config import Settings
from collectord.errors import CollectordError, ConfigError, LockHeld
from collectord.fleet.catalog import Source, sources_in
from collectord.fleet.manifest import Push, environment_name, latest_name
from collectord.fleet.pins import pin
from collectord.fleet.push import push
from collectord.fleet.storage import Folder
from collectord.index.opening import writer_for
from tests.support import index_state
from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure
from tests.support.fleets import made_source, one_more_run, settings_in

NAME = "build-7/kernel"
DAY_S = 86_400


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An indexed repo; only to be copied."""
    folder = tmp_path_factory.mktemp("source")
    made_source(folder / "repo", folder / "unused", NAME, "universe")
    return folder / "repo"


@pytest.fixture
def source(made_once: Path, tmp_path: Path) -> Settings:
    repo = Path(shutil.copytree(made_once, tmp_path / "repo", symlinks=True))
    return settings_in(repo, tmp_path / "store", NAME)


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "store")


def only(store: Folder) -> Source:
    [found] = sources_in(store)
    return found


def unpacked(store: Folder, pushed: Push, target: Path) -> Path:
    data = (store.root / pushed.shard).read_bytes()
    assert (sha256(data).hexdigest(), len(data)) == (pushed.sha256, pushed.size)
    target.write_bytes(zstandard.ZstdDecompressor().decompress(data))
    return target


def test_a_push_is_the_whole_index_under_its_digest_with_what_it_says_of_itself(
    source: Settings, store: Folder, tmp_path: Path
) -> None:
    pushed = push(source)
    assert pushed.is_new
    assert (pushed.problems, pushed.removed) == ((), ())
    found = only(store)
    assert found == Source(NAME, pushed.push, (), (1,))
    copy = unpacked(store, pushed.push, tmp_path / "copy.sqlite3")
    assert (sha256(copy.read_bytes()).hexdigest(), copy.stat().st_size) == (
        pushed.push.index_sha256,
        pushed.push.index_size,
    )
    assert index_state.troubles(copy) == []
    assert index_state.dump(copy) == index_state.dump(source.index_path)
    with closing(sqlite3.connect(copy)) as connection:
        [(runs, first, last)] = connection.execute(
            "SELECT count(*), min(started_ms), max(started_ms) FROM runs"
        )
    assert (pushed.push.runs, pushed.push.first_ms, pushed.push.last_ms) == (runs, first, last)
    assert sum(one.runs for one in pushed.push.environments) == runs
    for one in pushed.push.environments:
        document = (store.root / environment_name(NAME, one.document)).read_bytes()
        assert sha256(document).hexdigest() == one.document
        assert json.loads(document)["fingerprint"] == one.fingerprint
    assert list(source.state_dir.glob(".*")) == []


def test_the_same_index_again_makes_nothing_new_and_another_run_does(source: Settings, store: Folder) -> None:
    first = push(source)
    before = store.files("sources")
    again = push(source)
    assert (again.is_new, again.push) == (False, first.push)
    assert store.files("sources") == before
    one_more_run(source)
    second = push(source)
    assert (second.is_new, second.push.sequence, second.push.runs) == (True, 2, first.push.runs + 1)
    assert only(store).push == second.push


def test_a_universe_that_was_edited_is_another_push_as_rows_show_it(source: Settings) -> None:
    push(source)
    [swarms] = (source.repo / "universes").glob("*/swarms.yaml")
    swarms.write_text(swarms.read_text().replace("speculate_vote", "speculate_more"))
    assert push(source).is_new


def test_only_so_many_are_kept_and_those_that_a_dataset_names(
    source: Settings, store: Folder, tmp_path: Path
) -> None:
    few = settings_in(source.repo, tmp_path / "store", NAME, {"fleet.keep": 2})
    push(few)
    pin(store, "/some/dataset", [(NAME, 1), ("another", 2)])
    for _ in range(3):
        one_more_run(few)
        done = push(few)
    assert done.removed == (2,)
    assert only(store).sequences == (1, 3, 4)
    shards = [name for name in store.files("sources") if name.endswith(".zst")]
    assert len(shards) == 3


def test_with_a_pin_that_cannot_be_read_nothing_is_removed_and_it_is_said(
    source: Settings, store: Folder, tmp_path: Path
) -> None:
    few = settings_in(source.repo, tmp_path / "store", NAME, {"fleet.keep": 1})
    push(few)
    store.replace("pins/torn.json", b'{"pushes": [[')
    one_more_run(few)
    done = push(few)
    assert done.removed == ()
    assert "pins" in done.problems[0]
    assert only(store).sequences == (1, 2)


def test_another_index_cannot_have_the_name_and_both_are_told(
    source: Settings, store: Folder, tmp_path: Path
) -> None:
    push(source)
    before = {name: (store.root / name).read_bytes() for name in store.files("")}
    other = made_source(tmp_path / "other", tmp_path / "store", NAME, "kernel-run", slice(3))
    with pytest.raises(CollectordError) as refused:
        push(other)
    assert str(source.repo) in str(refused.value)
    assert str(other.repo) in str(refused.value)
    assert {name: (store.root / name).read_bytes() for name in store.files("")} == before


def test_an_index_that_moved_with_its_repo_keeps_its_name(source: Settings, tmp_path: Path) -> None:
    first = push(source)
    moved = settings_in(Path(shutil.move(source.repo, tmp_path / "moved")), tmp_path / "store", NAME)
    assert push(moved).problems == ()  # nothing new, so nothing was pushed from there
    one_more_run(moved)
    again = push(moved)
    assert again.push.identity == first.push.identity
    [said] = again.problems
    assert str(source.repo) in said


@pytest.mark.parametrize("part", ["shard", "manifest", "latest"])
def test_a_push_torn_at_any_byte_falls_back_to_the_newest_whole_one(
    source: Settings, store: Folder, part: str
) -> None:
    first = push(source).push
    one_more_run(source)
    second = push(source).push
    torn = {"shard": second.shard, "manifest": second.manifest, "latest": latest_name(NAME)}[part]
    data = (store.root / torn).read_bytes()
    ends = range(len(data)) if part != "shard" else [0, 1, len(data) // 2, len(data) - 1]
    for end in (*ends, None):
        if end is None:
            (store.root / torn).unlink()
        else:
            (store.root / torn).write_bytes(data[:end])
        found = only(store)
        # The pointer is a hint: without it the newest manifest counts; and one may lack its last line break.
        is_whole = part == "latest" or (part == "manifest" and end == len(data) - 1)
        assert found.push == (second if is_whole else first), end
        assert found.problems or is_whole, end


@pytest.mark.parametrize("part", ["manifest", "latest"])
def test_after_a_torn_push_the_next_one_is_whole(source: Settings, store: Folder, part: str) -> None:
    first = push(source).push
    torn = first.manifest if part == "manifest" else latest_name(NAME)
    (store.root / torn).write_bytes(b'{"schema": ')
    if part == "manifest":
        store.remove(latest_name(NAME))
    done = push(source)
    assert done.push.sequence == (2 if part == "manifest" else 1)
    found = only(store)
    assert found.push == done.push
    assert (store.root / latest_name(NAME)).read_bytes() == done.push.as_bytes()


KILLED = """
import os, sys
from pathlib import Path
from collectord.fleet import storage
from collectord.fleet.push import push
from tests.support.fleets import settings_in
left = int(sys.argv[3])
def counted(work):
    def done(*args):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return work(*args)
    return done
for name in ("create", "replace", "put", "remove"):
    setattr(storage.Folder, name, counted(getattr(storage.Folder, name)))
push(settings_in(Path(sys.argv[1]), sys.argv[2], "build-7/kernel", {"fleet.keep": 1}))
"""


@pytest.mark.slow
def test_killed_before_any_of_its_writes_it_leaves_the_push_before_or_the_new_one(
    source: Settings, store: Folder
) -> None:
    push(source)
    one_more_run(source)
    seen = []
    for writes in range(20):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(source.repo), store.url, str(writes)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, 9), done.stderr
        found = only(store).push
        assert found is not None
        seen.append(found.sequence)
        if done.returncode == 0:
            break
    assert seen == sorted(seen)
    assert seen[0] == 1
    assert seen[-1] > 1
    one_more_run(source)
    push(settings_in(source.repo, store.url, NAME, {"fleet.keep": 1}))
    # What the killed ones left is gone with the next one, and so is all that is beyond the rule.
    assert len([name for name in store.files("sources") if name.endswith(".zst")]) == 1


def test_without_a_place_it_says_what_to_write(made_once: Path, tmp_path: Path) -> None:
    for settings, key in (
        (settings_in(made_once, "off", NAME), "fleet.url"),
        (settings_in(made_once, tmp_path, "off"), "fleet.source"),
    ):
        with pytest.raises(ConfigError, match=key):
            push(settings)


def test_beside_a_writer_it_pushes_once_the_index_has_an_identity(source: Settings) -> None:
    with writer_for(source, "collectord run"), pytest.raises(LockHeld, match="identity"):
        push(source)
    push(source)
    one_more_run(source)
    with writer_for(source, "collectord run"):
        assert push(source).is_new


def test_an_index_that_is_damaged_is_not_pushed(source: Settings, store: Folder) -> None:
    push(source)
    one_more_run(source)
    with closing(sqlite3.connect(source.index_path)) as connection, connection:
        connection.execute(
            "UPDATE artifacts SET data = x'00' WHERE sha256 = (SELECT min(sha256) FROM artifacts)"
        )
    with pytest.raises(CollectordError, match="not whole"):
        push(source)
    assert only(store).sequences == (1,)


def test_a_rebuilt_index_keeps_its_identity(ingested: Cli, tmp_path: Path) -> None:
    settings = settings_in(ingested.repo, tmp_path / "store", NAME)
    first = push(settings).push
    ingested("db", "rebuild", "--replace")
    with closing(sqlite3.connect(ingested.index)) as connection:
        found = connection.execute("SELECT value FROM index_info WHERE key = 'identity'").fetchall()
    assert found == [(first.identity,)]


def test_the_command_says_what_it_did(ingested: Cli, tmp_path: Path) -> None:
    (ingested.repo / ".cyntra/collectord.yaml").write_text(
        f"fleet: {{url: {tmp_path}/store, source: {NAME}}}\n"
    )
    assert "pushed" in ingested.ok("fleet", "push")
    assert "nothing new" in ingested.ok("fleet", "push")
    found = json.loads(ingested("doctor", "--json").stdout)["findings"]
    checked = {one["check"]: one["state"] for one in found}
    assert checked["fleet"] == "good"
    document = json.loads(ingested.ok("fleet", "push", "--json"))
    assert (document["is_new"], document["sequence"], document["source"]) == (False, 1, NAME)


@pytest.mark.slow
def test_the_daemon_pushes_in_the_night_and_gives_the_index_its_identity(bare: Cli, tmp_path: Path) -> None:
    fleet = f"fleet: {{url: {tmp_path}/store, source: {NAME}}}\naudit: {{weekly: off}}\nbackup: {{at: off}}\n"
    configure(bare, QUICK + fleet)
    names, now = Maker(bare.repo).add(3), time.time()
    for path in (
        path for name in names for path in (*(bare.archives / name).iterdir(), bare.archives / name)
    ):
        os.utime(path, (now - 3 * DAY_S, now - 3 * DAY_S))
    bare.ok("ingest")
    with closing(sqlite3.connect(bare.index)) as connection, connection:
        began = str(int((now - 2 * DAY_S) * 1000))
        connection.execute("UPDATE index_info SET value = ? WHERE key = 'first_ingest_ms'", (began,))
    with Daemon(bare) as daemon:
        [done] = daemon.wait_for("push.done")
        assert (done["is_new"], done["runs"]) == (True, 3)
        assert daemon.stop() == 0
    found = only(Folder(tmp_path / "store")).push
    assert found is not None
    assert found.runs == 3
