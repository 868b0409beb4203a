"""The migrations make exactly the declared schema, and no step of them can lose an index."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from collectord.dataset.exporter import export
from collectord.dataset.row_plan import ExportOptions
from collectord.errors import IndexTooNew, IndexTooOld
from collectord.index import schema, tables
from collectord.index.files import backup_file
from collectord.index.reader import IndexReader
from collectord.index.statements import JSON_OF_A_RUN, TYPED_COLUMNS_OF_A_RUN
from collectord.intake.ingest import ingest
from collectord.repair.check import check
from tests.conftest import unpack

DATA = Path(__file__).parent / "data"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(schema.migrations_dir()))
    return config


def _make(path: Path, revision: str) -> None:
    config = _config()
    with schema.migrating(path) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_the_migrated_schema_is_the_declared_one(tmp_path: Path) -> None:
    schema.upgrade(tmp_path / "index.sqlite3")
    with schema.migrating(tmp_path / "index.sqlite3") as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def test_the_columns_of_a_run_that_statements_name_are_the_declared_ones() -> None:
    declared = [name for name in tables.names_of_columns("runs") if name not in JSON_OF_A_RUN]
    assert list(TYPED_COLUMNS_OF_A_RUN) == declared


def test_every_table_is_strict(tmp_path: Path) -> None:
    schema.upgrade(tmp_path / "index.sqlite3")
    with closing(sqlite3.connect(tmp_path / "index.sqlite3")) as connection:
        listed = connection.execute("PRAGMA table_list").fetchall()
    strict = {row[1]: row[5] for row in listed if not row[1].startswith(("sqlite_", "alembic_"))}
    assert set(strict) == set(tables.metadata.tables)
    assert set(strict.values()) == {1}


def test_the_list_of_revisions_is_the_folders() -> None:
    script = ScriptDirectory.from_config(_config())
    assert tuple(reversed([r.revision for r in script.walk_revisions()])) == schema.REVISIONS
    assert script.get_current_head() == schema.HEAD


def test_the_schema_is_valid_for_postgresql_too() -> None:
    for table in tables.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


@pytest.mark.parametrize("revision", schema.REVISIONS)
def test_a_populated_index_of_each_revision_is_upgraded_behind_a_backup(
    tmp_path: Path, revision: str
) -> None:
    path = tmp_path / "index.sqlite3"
    _make(path, revision)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO index_info (key, value) VALUES ('kept', 'yes')")
        connection.commit()
    if revision != schema.HEAD:
        with pytest.raises(IndexTooOld, match="db upgrade"):
            schema.require_current(path)
    done = schema.upgrade(path)
    assert (done.before, done.after) == (revision, schema.HEAD)
    assert (done.backup is None) == (revision == schema.HEAD)
    with IndexReader(path) as reader:
        assert reader.info("kept") == "yes"


def test_a_backup_holds_the_whole_of_a_populated_index(tmp_path: Path, settings_for: object) -> None:
    settings = settings_for(unpack("kernel-run", tmp_path / "repo"))  # type: ignore[operator]
    ingest(settings)
    copy = tmp_path / "copy.sqlite3"
    backup_file(settings.index_path, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(settings.index_path)) as one, closing(sqlite3.connect(copy)) as other:
        kept = list(one.iterdump())
        assert any(line.startswith('INSERT INTO "runs"') for line in kept)
        assert list(other.iterdump()) == kept


def test_a_file_without_a_schema_is_told_from_a_current_one(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    path.touch()
    with pytest.raises(IndexTooOld):
        schema.require_current(path)


def test_a_newer_index_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    schema.upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = path.read_bytes()
    for refuse in (schema.upgrade, schema.require_current):
        with pytest.raises(IndexTooNew, match="newer collectord"):
            refuse(path)
    assert path.read_bytes() == before


def test_the_index_and_its_folder_are_for_their_owner_only(tmp_path: Path, settings_for: object) -> None:
    settings = settings_for(unpack("kernel-run", tmp_path / "repo"))  # type: ignore[operator]
    ingest(settings)
    assert settings.state_dir.stat().st_mode & 0o777 == 0o700
    assert settings.index_path.stat().st_mode & 0o777 == 0o600


def test_runs_of_an_older_index_keep_their_rows_and_show_no_evidence_yet(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    _make(path, "0001")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO archives VALUES (1, 'archive', 'wc-1', 'indexed', NULL, 's', 1, 1, 1, 1, NULL, 0)"
        )
        connection.execute("INSERT INTO revisions VALUES (1, 1, 1, 'd', NULL, 1, 1)")
        values = "1, 'r', NULL, 'code', 'code', 'failed', NULL, NULL, NULL, 1, 'mtime', NULL, 0, NULL, NULL"
        more = "0, 0, 1, 'absent', 'absent', 1, '{}', NULL"
        connection.execute(f"INSERT INTO runs VALUES ({values}, {more})")
        connection.commit()
    schema.upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT run_id, evidence, situation FROM runs").fetchall() == [
            ("r", None, None)
        ]


@pytest.mark.parametrize("revision", schema.REVISIONS[:-1])
def test_an_index_that_an_earlier_release_filled_gives_the_rows_of_a_new_one(
    tmp_path: Path, settings_for: object, revision: str
) -> None:
    """The dumps were made by collectord as it was then, over twelve archives of the golden repo."""
    dump = gzip.decompress((DATA / f"index-{revision}.sql.gz").read_bytes()).decode("utf-8", "surrogatepass")
    hashes = []
    for name in ("old", "new"):
        settings = settings_for(unpack("kernel-run", tmp_path / name))  # type: ignore[operator]
        for folder in sorted(path for path in settings.archives_dir.iterdir() if path.is_dir())[12:]:
            shutil.rmtree(folder)
        if name == "old":
            settings.state_dir.mkdir(parents=True)
            with closing(sqlite3.connect(settings.index_path)) as connection:
                connection.executescript(dump)
            assert schema.upgrade(settings.index_path).before == revision
        assert ingest(settings).outcomes["partial"] == 0
        assert check(settings).findings == []
        hashes.append(export(settings, ExportOptions(), dry_run=True).meta["dataset_hash"])
    assert hashes[0] == hashes[1]
