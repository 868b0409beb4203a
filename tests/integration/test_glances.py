"""A pass by hand glances at what it knows, and takes a whole look at another part of it each time."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from collectord.intake.queue import GLANCES_PER_LOOK
from tests.support.archives import Maker
from tests.support.cli import Cli


def _sql(cli: Cli, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(cli.index)) as connection, connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def archive(bare: Cli) -> Path:
    maker = Maker(bare.repo)
    [name] = maker.add(1)
    (maker.archives / name / "telemetry.jsonl").write_text("{}\n")
    bare.ok("ingest")
    return maker.archives / name


def _outcome(cli: Cli, *names: str) -> dict[str, int]:
    counts: dict[str, int] = json.loads(cli.ok("ingest", *names, "--json"))["outcomes"]
    return {name: count for name, count in counts.items() if count}


def _edit_in_place(path: Path) -> None:
    """The directory shows nothing of it, nor do size and modification time."""
    own = path.stat()
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(data.replace(b"e", b"f", 1))
    os.utime(path, ns=(own.st_atime_ns, own.st_mtime_ns))


def test_an_edit_of_a_core_file_in_place_is_found_by_the_next_pass(bare: Cli, archive: Path) -> None:
    for _ in range(GLANCES_PER_LOOK + 1):
        assert _outcome(bare) == {"unchanged": 1}
        _edit_in_place(archive / "proof.json")
        assert "unchanged" not in _outcome(bare)


def test_an_edit_outside_of_them_is_noted_after_some_passes_or_by_name(bare: Cli, archive: Path) -> None:
    [before] = _sql(bare, "SELECT signature FROM archives")
    _edit_in_place(archive / "telemetry.jsonl")
    (archive / "telemetry.jsonl").write_text("[]\n")
    for _ in range(GLANCES_PER_LOOK + 1):
        assert _outcome(bare) == {"unchanged": 1}
    [after] = _sql(bare, "SELECT signature FROM archives")
    assert after != before
    (archive / "telemetry.jsonl").write_text("{}\n")
    assert _outcome(bare, archive.name) == {"unchanged": 1}
    assert _sql(bare, "SELECT signature FROM archives") != [after]


def test_an_index_without_glances_gets_them_by_a_pass(bare: Cli, archive: Path) -> None:
    kept = _sql(bare, "SELECT glance FROM archives")
    assert kept != [(None,)]
    _sql(bare, "UPDATE archives SET glance = NULL")
    assert _outcome(bare) == {"unchanged": 1}
    assert _sql(bare, "SELECT glance FROM archives") == kept


def test_a_glance_without_the_look_that_it_was_a_part_of_counts_for_nothing(bare: Cli, archive: Path) -> None:
    _sql(bare, "UPDATE archives SET signature = NULL")
    assert _outcome(bare) == {"unchanged": 1}
    assert _sql(bare, "SELECT count(*) FROM archives WHERE signature IS NULL") == [(0,)]
