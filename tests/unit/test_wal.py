"""A log that is damaged in its middle is told from a short one and from one that a power cut tore."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from collectord.errors import IndexDamaged
from collectord.index.files import LogState, examine_log, log_path, require_whole_log

FRAME, HEADER = 24 + 4096, 32


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """An index whose writer was killed after five transactions of one page each."""
    index, copy = tmp_path / "index", tmp_path / "killed"
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA journal_mode = WAL")
        for number in range(5):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        for path in (index, log_path(index)):
            shutil.copyfile(path, copy.with_name(path.name.replace("index", "killed")))
    return copy


def flip(log: Path, place: int) -> None:
    data = bytearray(log.read_bytes())
    data[place] ^= 1
    log.write_bytes(data)


def rows(index: Path) -> int:
    with closing(sqlite3.connect(index)) as connection:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def test_a_whole_log_and_none_are_whole(killed: Path, tmp_path: Path) -> None:
    assert examine_log(log_path(killed)) == LogState(5, 0)
    assert examine_log(tmp_path / "none") == LogState(0, 0)
    require_whole_log(killed)


@pytest.mark.parametrize("frame", range(5))
@pytest.mark.parametrize("place", [5, 17, 100, 4000])
def test_it_counts_what_sqlite_would_forget(killed: Path, frame: int, place: int) -> None:
    flip(log_path(killed), HEADER + frame * FRAME + place)
    state = examine_log(log_path(killed))
    assert state.commits == frame
    assert state.damaged == (state.lost > 1)
    # A frame whose own salt was hit is no longer known to be of this log; those behind it are.
    assert state.lost in (5 - frame, 4 - frame)
    if state.damaged:
        with pytest.raises(IndexDamaged, match="db recover"):
            require_whole_log(killed)
    assert rows(killed) == state.commits


def test_a_torn_last_transaction_is_what_a_power_cut_leaves(killed: Path) -> None:
    flip(log_path(killed), HEADER + 4 * FRAME + 100)
    assert examine_log(log_path(killed)) == LogState(4, 1)
    require_whole_log(killed)


@pytest.mark.parametrize("place", [0, 9, 13, 17, 25])
def test_a_damaged_header_hides_everything_and_is_damage(killed: Path, place: int) -> None:
    flip(log_path(killed), place)
    assert examine_log(log_path(killed)).damaged
    assert rows(killed) == 0


def test_frames_of_an_earlier_use_of_the_file_are_no_damage(tmp_path: Path) -> None:
    index = tmp_path / "index"
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        for number in range(20):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        connection.execute("INSERT INTO t VALUES (20)")
        assert examine_log(log_path(index)) == LogState(1, 0)
