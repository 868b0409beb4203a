"""Backups, checks and recoveries of the index as their users meet them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from collectord.errors import IndexFull
from collectord.index.engine import connect, readable_errors, transaction
from collectord.index.files import finish_exchange, ready_path
from collectord.index.opening import now_ms, writer_for
from collectord.index.schema import upgrade
from collectord.intake.ingest import ingest
from collectord.repair.backups import backup, backup_name, backups_in, expired, free_place
from collectord.repair.check import derive
from collectord.repair.merge import transplant
from collectord.repair.recover import recover, start_from_backup
from collectord.repair.salvage import Salvage
from collectord.status.disk_usage import measure
from collectord.system.lock import StateLock
from tests.conftest import unpack
from tests.support.cli import Cli
from tests.support.snapshots import settings_of


def hashes(cli: Cli) -> list[str]:
    profiles = ("dispatch", "builder")
    documents = [cli.ok("export", "--dry-run", "--profile", profile, "--json") for profile in profiles]
    return [json.loads(document)["dataset_hash"] for document in documents]


def change(index: Path, statement: str) -> None:
    """Harm that SQLite itself does not notice."""
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("UPDATE runs SET status = 'success', summary = replace(summary, 'failed', 'success')", "run.status"),
        ("UPDATE labels SET timeout_seconds = 1", "label.timeout_seconds"),
        ("DELETE FROM labels", "another label"),
        ("UPDATE issue_revisions SET record = replace(record, 'a', 'b')", "another digest"),
        ("UPDATE archives SET revision = 7 WHERE name = 'wc-e001'", "its current revision 7 is not there"),
        ("UPDATE archives SET complete_ms = 1 WHERE name = 'wc-e001'", "time of arrival"),
        ("UPDATE archives SET state = 'indexee' WHERE name = 'wc-e001'", "no such kind or state"),
        ("DELETE FROM artifacts WHERE rowid = 5", "not there"),
        ("UPDATE revision_files SET sha256 = (SELECT max(sha256) FROM artifacts)", "digest"),
    ],
)
def test_check_notices_what_sqlite_cannot(ingested: Cli, harm: str, said: str) -> None:
    change(ingested.index, harm)
    done = ingested("db", "check")
    assert done.returncode == 1
    assert said in done.stdout
    assert "db recover" in done.stderr


def test_recovery_undoes_what_check_noticed_and_keeps_the_damaged_file(ingested: Cli) -> None:
    before = hashes(ingested)
    change(ingested.index, "UPDATE runs SET started_ms = 5, summary = replace(summary, 'failed', 'success')")
    change(ingested.index, "DELETE FROM artifacts WHERE rowid % 3 = 0")
    shutil.rmtree(ingested.archives / "wc-e003")
    harmed = ingested.index.read_bytes()
    document = json.loads(ingested("db", "recover", "--json").stdout)
    assert document["artifacts_from_archives"] > 20
    [aside] = [Path(path) for path in document["aside"] if not path.endswith("-wal")]
    assert aside.read_bytes() == harmed
    assert "fine" in ingested.ok("db", "check")
    if document["lost"]:
        assert all(name.startswith("wc-e003: ") for name in document["lost"])
    else:
        assert hashes(ingested) == before


def test_a_revision_whose_row_is_unreadable_is_lost_and_said_to_be(ingested: Cli) -> None:
    on_disk, pruned = sorted(path.name for path in ingested.archives.iterdir() if path.is_dir())[:2]
    shutil.rmtree(ingested.archives / pruned)
    with closing(sqlite3.connect(ingested.index)) as connection, connection:
        for name in (on_disk, pruned):
            of_it = (
                "IN (SELECT id FROM revisions WHERE archive_id = (SELECT id FROM archives WHERE name = ?))"
            )
            connection.execute(f"DELETE FROM labels WHERE revision_id {of_it}", (name,))
            connection.execute(f"DELETE FROM runs WHERE revision_id {of_it}", (name,))
            connection.execute(f"DELETE FROM revision_files WHERE revision_id {of_it}", (name,))
            connection.execute(f"DELETE FROM revisions WHERE id {of_it}", (name,))
    done = ingested("db", "recover", "--force", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document["lost"] == [f"{pruned}: a revision of it (unreadable)"]
    assert document["read_again"] == [on_disk]


def test_a_lost_revision_is_named_and_the_exit_code_says_so(ingested: Cli) -> None:
    change(ingested.index, "DELETE FROM artifacts WHERE rowid <= 12")
    for archive in ingested.archives.glob("wc-*"):
        shutil.rmtree(archive)
    done = ingested("db", "recover")
    assert done.returncode == 1
    assert "LOST: wc-" in done.stdout
    assert "not all of it" in done.stderr
    assert "nothing is lost" not in done.stdout


def test_an_archive_whose_current_revision_is_unknown_is_read_into_the_one_it_has(ingested: Cli) -> None:
    change(ingested.index, "UPDATE archives SET revision = NULL, signature = NULL WHERE name < 'wc-e003'")
    (ingested.archives / "wc-e002/proof.json").write_text("{}")
    ingested.ok("ingest")
    with closing(sqlite3.connect(ingested.index)) as connection:
        query = "SELECT name, revision FROM archives WHERE name IN ('wc-e001', 'wc-e002')"
        assert dict(connection.execute(query)) == {"wc-e001": 1, "wc-e002": 2}


def test_a_file_that_is_no_index_any_more_comes_back_from_its_backup(ingested: Cli) -> None:
    before = hashes(ingested)
    ingested.ok("db", "backup")
    for archive in ingested.archives.glob("wc-*"):
        shutil.rmtree(archive)
    ingested.index.write_bytes(b"no index" * 4096)
    assert "collectord db recover" in ingested("status").stderr
    done = ingested("db", "recover")
    assert done.returncode == 1, "what the file held since the backup is unknown, and that is said"
    assert "started from: " in done.stdout
    assert "unknown: the damaged file" in done.stdout
    assert hashes(ingested) == before


def test_a_damaged_backup_is_passed_over_for_an_older_one(ingested: Cli) -> None:
    first = json.loads(ingested.ok("db", "backup", "--json"))["path"]
    good, bad = (Path(first).with_name(backup_name(ms)) for ms in (1_600_000_000_000, 1_700_000_000_000))
    Path(first).rename(good)
    shutil.copyfile(good, bad)
    change(bad, "UPDATE artifacts SET data = x'00' WHERE rowid = 1")
    document = json.loads(ingested.ok("db", "recover", "--force", "--json"))
    assert document["backup"] == str(good)
    assert list(document["rejected_backups"]) == [str(bad)]


def test_a_backup_that_cannot_be_read_ends_no_recovery(ingested: Cli) -> None:
    made = json.loads(ingested.ok("db", "backup", "--json"))["path"]
    folder = Path(made).parent
    good = Path(made).rename(folder / backup_name(1_500_000_000_000))
    is_folder, dangling = (folder / backup_name(ms) for ms in (1_600_000_000_000, 1_700_000_000_000))
    is_folder.mkdir()
    dangling.symlink_to("nowhere")
    found = recover(settings_of(ingested.repo), force=True)
    assert found.backup == good
    assert set(found.rejected) == {is_folder, dangling}
    assert all("cannot be read" in why for why in found.rejected.values())


def test_a_full_disk_is_no_fault_of_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_source: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", no_room)
    with pytest.raises(OSError, match="No space"):
        start_from_backup(tmp_path / "new", [tmp_path / backup_name(0)])


def test_the_old_index_is_set_aside_whole_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index.sqlite3"
    index.write_bytes(b"old")
    ready_path(index, "20260101T000000Z").write_bytes(b"new")
    copy = shutil.copyfile

    def no_links(_index: Path, _aside: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    def killed(source: Path, target: Path) -> None:
        copy(source, target)
        Path(target).write_bytes(b"o")
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(shutil, "copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        finish_exchange(index)
    monkeypatch.setattr(shutil, "copyfile", copy)
    [aside] = finish_exchange(index)
    assert (aside.read_bytes(), index.read_bytes()) == (b"old", b"new")
    assert list(tmp_path.glob(".*")) == []


def test_a_fine_index_is_left_alone(ingested: Cli) -> None:
    before = ingested.index.stat().st_ino
    assert "nothing to do" in ingested.ok("db", "recover")
    assert ingested.index.stat().st_ino == before


def test_recovery_waits_for_nobody(ingested: Cli) -> None:
    with StateLock.acquire(ingested.index.with_name("lock"), "collectord run"):
        done = ingested("db", "recover", "--force")
    assert done.returncode == 75
    assert "collectord run" in done.stderr


@pytest.mark.parametrize("step", ["before", "second name", "log moved"])
def test_an_exchange_that_was_killed_is_finished_by_the_next_writer(ingested: Cli, step: str) -> None:
    before = hashes(ingested)
    ready = ready_path(ingested.index, "20260101T000000Z")
    shutil.copyfile(ingested.index, ready)
    ingested.index.write_bytes(b"damaged")
    log = ingested.index.with_name("index.sqlite3-wal")
    log.write_bytes(b"of the damaged one")
    aside = ingested.index.with_name("index.sqlite3.damaged-20260101T000000Z")
    if step != "before":
        shutil.copyfile(ingested.index, aside)
    if step == "log moved":
        log.rename(f"{aside}-wal")
    ingested.ok("ingest")
    assert aside.read_bytes() == b"damaged"
    assert Path(f"{aside}-wal").read_bytes() == b"of the damaged one"
    assert hashes(ingested) == before
    assert finish_exchange(ingested.index) == ()


def test_backups_are_checked_dated_and_the_oldest_removed(ingested: Cli) -> None:
    folder = ingested.index.parent / "backups"
    folder.mkdir()
    old = [folder / backup_name(1_600_000_000_000 + day * 86_400_000) for day in range(8)]
    for path in (*old, folder / "index-mine.sqlite3"):
        path.touch()
    made = json.loads(ingested.ok("db", "backup", "--json"))
    assert made["artifacts"] > 200
    assert [Path(path) for path in made["removed"]] == [old[1], old[0]]
    assert len(backups_in(folder, now_ms())) == 7
    assert (folder / "index-mine.sqlite3").exists()
    assert Path(made["path"]).stat().st_mode & 0o777 == 0o600
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} == set()


def test_what_a_killed_backup_left_is_removed_once_it_is_old(ingested: Cli) -> None:
    folder = ingested.index.parent / "backups"
    folder.mkdir()
    name = backup_name(1_600_000_000_000)
    old = [folder / f".{name}.unchecked", folder / f"..{name}.unchecked.partial-77", folder / ".mine"]
    young = folder / f".{name}.unchecked-wal"
    for path in (*old, young):
        path.touch()
    for path in old:
        os.utime(path, (1_600_000_000, 1_600_000_000))
    backup(settings_of(ingested.repo), None)
    assert {path.name for path in folder.glob(".*")} == {".mine", young.name}


def test_what_killed_recoveries_and_rebuilds_left_is_counted_and_removed_unless_one_runs(
    ingested: Cli,
) -> None:
    state, settings = ingested.index.parent, settings_of(ingested.repo)
    before = measure(settings)["bytes"]["index set aside"]
    left = [state / ".recovering-left", state / ".rebuilding-left"]
    for folder in left:
        folder.mkdir()
        (folder / "old.sqlite3").write_bytes(os.urandom(2**20))
    assert measure(settings)["bytes"]["index set aside"] - before >= 2**21
    with StateLock.acquire(state / "rebuild.lock", "collectord db rebuild"):
        backup(settings, None)
    assert [folder.exists() for folder in left] == [False, True]
    with StateLock.acquire(state / "lock", "collectord run"):
        backup(settings, None)
    assert [folder.exists() for folder in left] == [False, False]


def test_a_disk_that_is_full_is_not_taken_for_rows_that_are_refused(ingested: Cli, tmp_path: Path) -> None:
    upgrade(tmp_path / "new")
    new = connect(tmp_path / "new", read_only=False)
    with closing(new) as connection, Salvage(ingested.index, ingested.home) as source:
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(IndexFull), readable_errors(tmp_path / "new"), transaction(connection):
            transplant(source, connection, derive, lambda _kind, _name, _digest: None)


def test_the_newest_backup_is_never_removed() -> None:
    paths = [Path(name) for name in "dcba"]
    assert expired(paths, 0) == expired(paths, 1) == paths[1:]
    assert expired(paths, 9) == []


def test_two_backups_of_one_second_are_two_files(tmp_path: Path) -> None:
    first = free_place(tmp_path, 1_700_000_000_000)
    first.touch()
    second = free_place(tmp_path, 1_700_000_000_400)
    assert first != second
    second.touch()
    assert backups_in(tmp_path, 1_700_000_000_400) == [second, first]


def test_backups_of_a_clock_that_was_wrong_are_the_oldest_and_the_one_just_made_stays(ingested: Cli) -> None:
    folder = ingested.index.parent / "backups"
    folder.mkdir()
    ahead = [folder / backup_name(now_ms() + day * 86_400_000) for day in range(1, 10)]
    for path in ahead:
        path.touch()
    made = json.loads(ingested.ok("db", "backup", "--json"))
    assert Path(made["path"]).exists()
    assert [Path(path) for path in made["removed"]] == [ahead[2], ahead[1], ahead[0]]
    assert backups_in(folder, now_ms())[0] == Path(made["path"])
    recovered = json.loads(ingested("db", "recover", "--force", "--json").stdout)
    assert (recovered["backup"], recovered["rejected_backups"]) == (made["path"], {})


def test_a_damaged_index_gives_no_backup_and_costs_no_older_one(ingested: Cli) -> None:
    ingested.ok("db", "backup")
    change(ingested.index, "UPDATE artifacts SET data = x'00' WHERE rowid = 3")
    done = ingested("db", "backup")
    assert done.returncode == 1
    assert "no backup was made" in done.stderr
    assert len(list((ingested.index.parent / "backups").iterdir())) == 1


def test_a_backup_goes_where_it_is_told_and_never_over_a_file(ingested: Cli) -> None:
    target = ingested.home / "copy.sqlite3"
    ingested.ok("db", "backup", "--to", str(target))
    done = ingested("db", "backup", "--to", str(target))
    assert done.returncode == 1
    assert "is there already" in done.stderr
    inside = ingested("db", "backup", "--to", str(ingested.archives / "copy"))
    assert inside.returncode == 1
    assert "archives folder" in inside.stderr


def test_a_backup_without_an_index_says_so_and_makes_nothing(bare: Cli) -> None:
    done = bare("db", "backup")
    assert done.returncode == bare("db", "check").returncode != 0
    assert "there is no index yet; run `collectord ingest` first" in done.stderr
    assert not bare.index.parent.exists()


def test_a_backup_works_beside_a_writer(tmp_path: Path, settings_for: Any) -> None:
    settings = settings_for(unpack("universe", tmp_path / "repo"))
    ingest(settings)
    with writer_for(settings, "collectord run") as writer, writer.transaction():
        made = backup(settings, None)
    assert made.artifacts > 200


def test_every_artifact_is_written_out_under_its_digest(ingested: Cli) -> None:
    folder = ingested.home / "out"
    assert "224 artifacts of 112 revisions" in ingested.ok("db", "export-artifacts", str(folder))
    for path in (folder / "artifacts").iterdir():
        assert sha256(path.read_bytes()).hexdigest() == path.name
    lines = [json.loads(line) for line in (folder / "revisions.jsonl").read_text().splitlines()]
    [first] = [line for line in lines if line["name"] == "wc-e001"]
    manifest = (folder / "artifacts" / first["files"]["manifest.json"]["sha256"]).read_bytes()
    assert manifest == (ingested.archives / "wc-e001/manifest.json").read_bytes()
    again = ingested("db", "export-artifacts", str(folder))
    assert again.returncode == 1
    assert "not empty" in again.stderr


def test_one_damaged_artifact_holds_up_no_other(ingested: Cli) -> None:
    with closing(sqlite3.connect(ingested.index)) as connection:
        query = (
            "SELECT f.sha256 FROM revision_files f JOIN revisions r ON r.id = f.revision_id "
            "JOIN archives a ON a.id = r.archive_id WHERE a.name = 'wc-e001' AND f.name LIKE '%.json'"
        )
        [bad, gone] = [digest for (digest,) in connection.execute(query)]
        query = (
            "SELECT DISTINCT a.name FROM revision_files f JOIN revisions r ON r.id = f.revision_id "
            "JOIN archives a ON a.id = r.archive_id WHERE f.sha256 IN (?, ?)"
        )
        broken = {name for (name,) in connection.execute(query, (bad, gone))}
    change(ingested.index, f"UPDATE artifacts SET data = x'00' WHERE sha256 = '{bad}'")
    change(ingested.index, f"DELETE FROM artifacts WHERE sha256 = '{gone}'")
    folder = ingested.home / "out"
    done = ingested("db", "export-artifacts", str(folder), "--json")
    assert done.returncode == 1
    assert "2 artifacts could not be written out; all others are there" in done.stderr
    assert set(json.loads(done.stdout)["failed"]) == {bad, gone}
    assert len(os.listdir(folder / "artifacts")) == 222
    back = ingested("restore", "--all", "--to", str(ingested.home / "back"), "--json")
    assert back.returncode == 1
    assert f"{len(broken)} archives could not be restored; all others are in place" in back.stderr
    failed = json.loads(back.stdout)["failed"]
    assert set(failed) == broken
    assert all("db recover" in why for why in failed.values())
    assert len(os.listdir(ingested.home / "back")) == 112 - len(broken)
