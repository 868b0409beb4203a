"""The index made again from what it holds: compared, named in words, put in place."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import ExportOptions
from collectord.errors import CollectordError, LockHeld
from collectord.index.opening import reader_for
from collectord.index.queries import quarantined
from collectord.index.schema import upgrade
from collectord.intake.ingest import ingest
from collectord.repair.check import check
from collectord.repair.rebuild import Difference, Rebuilt, compare_indexes, rebuild
from collectord.repair.recover import forget_derived, recover
from collectord.system.lock import StateLock
from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.index_state import dump
from tests.support.snapshots import settings_of


def _quarantined(settings: Settings) -> list[dict[str, Any]]:
    with reader_for(settings) as reader:
        return quarantined(reader)


def change(index: Path, *statements: str) -> None:
    """Harm that SQLite itself does not notice."""
    with closing(sqlite3.connect(index)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            connection.execute(statement)


def names(found: Rebuilt) -> set[tuple[str, str, str]]:
    """(table, side, what is named last) of what differs."""
    return {(one.table, one.side, one.key[-1]) for one in found.differences}


def test_an_index_that_is_right_is_the_same_and_stays_as_it_is(kept: Cli) -> None:
    before = kept.index.read_bytes()
    assert "the same: 114 archives, 112 revisions" in kept.ok("rebuild", "--replace")
    assert rebuild(settings_of(kept.repo)).differences == []
    assert kept.index.read_bytes() == before
    assert [path.name for path in kept.index.parent.glob("*.replaced-*")] == []


def test_what_the_index_says_otherwise_is_named_and_replaced(kept: Cli) -> None:
    right = dump(kept.index)
    change(
        kept.index,
        "UPDATE runs SET status = 'other', cost_usd = 7 WHERE revision_id IN (4, 5)",
        "DELETE FROM labels WHERE revision_id = 9",
    )
    wrong = dump(kept.index)
    done = kept("rebuild")
    assert done.returncode == 3
    assert "labels: 1 only in the new one: wc-e00" in done.stdout
    assert "runs: 2 differ in status, cost_usd: wc-e00" in done.stdout
    assert "rebuild --replace" in done.stderr
    assert dump(kept.index) == wrong
    document = json.loads(kept.ok("rebuild", "--replace", "--json"))
    assert document["replaced"]
    assert {one["table"] for one in document["differences"]} == {"runs", "labels"}
    assert dump(kept.index) == right
    [aside] = [Path(path) for path in document["aside"] if not path.endswith("-wal")]
    assert dump(aside) == wrong
    assert check(settings_of(kept.repo)).findings == []


def test_archives_give_bytes_that_the_index_lacks_and_revisions_that_it_never_read(kept: Cli) -> None:
    change(kept.index, "DELETE FROM artifacts WHERE rowid = 5")
    shutil.copytree(kept.archives / "wc-e001", kept.archives / "wc-new")
    found = rebuild(settings_of(kept.repo))
    assert found.from_disk == 1
    assert [one.side for one in found.differences if one.table == "artifacts"] == ["new"]
    assert ("archives", "new", "wc-new") in names(found)
    assert not found.lost


def test_an_index_is_not_replaced_by_one_that_lacks_what_only_it_had(kept: Cli) -> None:
    change(kept.index, "UPDATE artifacts SET data = x'00' WHERE rowid = 5")
    shutil.rmtree(kept.archives)
    kept.archives.mkdir()
    before = dump(kept.index)
    done = kept("rebuild", "--replace")
    assert done.returncode == 1
    assert "revisions: 1 only in the old index: wc-e0" in done.stdout
    assert "db recover" in done.stderr
    assert dump(kept.index) == before


def test_a_kept_row_that_no_artifact_gives_is_named_and_made_again(tmp_path: Path) -> None:
    Maker(tmp_path).add(4)
    settings = settings_of(tmp_path)
    ingest(settings)
    held = dump(settings.index_path)["kept_rows"]
    assert held.total() == 4
    change(settings.index_path, "UPDATE kept_rows SET data = x'00' WHERE rowid = 2")
    change(settings.index_path, "DELETE FROM kept_rows WHERE rowid = 3")
    found = rebuild(settings, replace=True)
    assert [(one.table, one.columns) for one in found.differences] == [("kept_rows", ("data",))]
    assert dump(settings.index_path)["kept_rows"] == held


@pytest.mark.parametrize("mend", [lambda settings: rebuild(settings, replace=True), recover])
def test_an_export_after_it_takes_no_row_that_the_index_before_it_gave(
    tmp_path: Path, mend: Callable[[Settings], object]
) -> None:
    Maker(tmp_path).add(4)
    settings = settings_of(tmp_path)
    ingest(settings)
    right = export(settings, ExportOptions(), dry_run=True).meta
    forget_derived(settings)
    change(settings.index_path, "UPDATE kept_rows SET data = (SELECT data FROM kept_rows LIMIT 1)")
    assert export(settings, ExportOptions()).meta != right
    mend(settings)
    assert export(settings, ExportOptions()).meta == right


def test_kept_rows_that_another_zlib_packed_are_no_difference(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    rows = [(b"a", b"same"), (b"b", b"one"), (b"c", b"old alone")]
    for index, level, held in ((old, 9, rows), (new, 0, [rows[0], (b"b", b"another")])):
        upgrade(index)
        with closing(sqlite3.connect(index)) as connection, connection:
            packed = [(key, zlib.compress(data, level)) for key, data in held]
            connection.executemany("INSERT INTO kept_rows (key, data) VALUES (?, ?)", packed)
    assert list(compare_indexes(old, new)) == [Difference("kept_rows", (b"b".hex(),), "both", ("data",))]


def test_a_file_that_is_damaged_is_left_to_the_recovery(kept: Cli) -> None:
    with kept.index.open("rb+") as file:
        file.seek(12 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(CollectordError, match="collectord db recover"):
        rebuild(settings_of(kept.repo))
    assert [path.name for path in kept.index.parent.glob(".rebuilding-*")] == []


def test_why_archives_were_not_taken_outlives_a_rebuild_and_a_recovery(kept: Cli) -> None:
    settings = settings_of(kept.repo)
    (kept.archives / "wc-e001/proof.json").unlink()
    (kept.archives / "wc-e001/proof.json").symlink_to("/etc/hostname")
    ingest(settings)
    before = _quarantined(settings)
    assert "wc-e001" in [row["name"] for row in before]
    change(kept.index, "UPDATE runs SET status = 'other'")
    assert rebuild(settings, replace=True).replaced
    assert _quarantined(settings) == before
    recover(settings, force=True)
    assert _quarantined(settings) == before


@pytest.mark.parametrize("held", ["lock", "rebuild.lock"])
def test_nothing_is_replaced_beside_another_writer(kept: Cli, held: str) -> None:
    shutil.copytree(kept.archives / "wc-e001", kept.archives / "wc-new")
    with StateLock.acquire(kept.index.with_name(held), "collectord run"):
        with pytest.raises(LockHeld, match="collectord run"):
            rebuild(settings_of(kept.repo), replace=True)
        if held == "lock":
            # The daemon reads archives as they come: what is on its way is no difference.
            assert "archives were not read" in kept.ok("rebuild")
