"""The declared schema. Migrations in `migrations/` make it; a test holds the two against each other.

Statements are SQL text for Python's own driver (`statements`, and beside those who need them): SQLAlchemy
describes tables and serves migrations, and a command that reads does not wait for it.

STRICT tables with TEXT, INTEGER, REAL and BLOB only, in types that also make valid PostgreSQL DDL.
Texts from archives that a database cannot hold (lone surrogates, integers beyond 64 bits) never reach
a typed column: JSON columns are ASCII, and the typed ones go through `index.rows`.
"""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)
# SQLite's STRICT knows no BIGINT, and only an INTEGER primary key is the row id.
Int = BigInteger().with_variant(Integer(), "sqlite")

index_info = Table(
    "index_info",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_strict=True,
)

archives = Table(
    "archives",
    metadata,
    Column("id", Int, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("signature", Text),
    Column("revision", Int),
    Column("first_seen_ms", Int, nullable=False),
    Column("changed_ms", Int, nullable=False),
    Column("complete_ms", Int),
    Column("gone_ms", Int),
    Column("tries", Int, nullable=False),
    Column("glance", Text),
    UniqueConstraint("kind", "name"),
    sqlite_strict=True,
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", Int, primary_key=True),
    Column("archive_id", Int, ForeignKey("archives.id"), nullable=False),
    Column("number", Int, nullable=False),
    Column("digest", Text, nullable=False),
    Column("partial", Text),
    Column("dir_mtime_ns", Int, nullable=False),
    Column("seen_ms", Int, nullable=False),
    UniqueConstraint("archive_id", "number"),
    UniqueConstraint("archive_id", "digest"),
    sqlite_strict=True,
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size", Int, nullable=False),
    Column("codec", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_strict=True,
)

revision_files = Table(
    "revision_files",
    metadata,
    Column("revision_id", Int, ForeignKey("revisions.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("sha256", Text, ForeignKey("artifacts.sha256")),
    Column("mtime_ns", Int),
    Column("reason", Text),
    sqlite_strict=True,
)

runs = Table(
    "runs",
    metadata,
    Column("revision_id", Int, ForeignKey("revisions.id"), primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("issue_id", Text),
    Column("job_type", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("toolchain", Text),
    Column("model", Text),
    Column("prompt_genome_id", Text),
    Column("started_ms", Int, nullable=False),
    Column("started_source", Text, nullable=False),
    Column("finished_ms", Int),
    Column("duration_ms", Int, nullable=False),
    Column("cost_usd", REAL),
    Column("tokens_used", Int),
    Column("has_proof", Int, nullable=False),
    Column("has_rollout", Int, nullable=False),
    Column("ends_in_event_log", Int, nullable=False),
    Column("input_state", Text, nullable=False),
    Column("hash_state", Text, nullable=False),
    Column("encodable", Int, nullable=False),
    Column("summary", Text, nullable=False),
    Column("builder_summary", Text),
    Column("evidence", Text),
    Column("situation", Text),
    Column("executed", Text),
    Column("issue_text", Text),
    Column("time_conflict", Text),
    Column("artifact_facts", Text),
    Index(None, "started_ms"),
    Index(None, "run_id"),
    sqlite_strict=True,
)

labels = Table(
    "labels",
    metadata,
    Column("revision_id", Int, ForeignKey("runs.revision_id"), primary_key=True),
    Column("explicit", Int, nullable=False),
    Column("swarm_id", Text),
    Column("max_candidates", Int),
    Column("timeout_seconds", Int),
    Column("max_iterations", Int),
    Column("recorded_swarms", Text),
    sqlite_strict=True,
)

# Rows by a digest of all that they depend on, the version of the code that made them included: what is not
# here, or under another key, is computed from the artifacts.
kept_rows = Table(
    "kept_rows",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    sqlite_strict=True,
)

issue_revisions = Table(
    "issue_revisions",
    metadata,
    Column("id", Int, primary_key=True),
    Column("issue_id", Text, nullable=False),
    Column("seen_ms", Int, nullable=False),
    Column("digest", Text, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "issue_id", "seen_ms"),
    sqlite_strict=True,
)

workcell_ends = Table(
    "workcell_ends",
    metadata,
    Column("workcell_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("position", Int, nullable=False),
    Column("type", Text, nullable=False),
    Column("at_ms", Int),
    Column("timed_out", Int, nullable=False),
    Column("duration_ms", Int, nullable=False),
    sqlite_strict=True,
)

sources = Table(
    "sources",
    metadata,
    Column("path", Text, primary_key=True),
    Column("stamp", Text, nullable=False),
    Column("position", Int, nullable=False),
    sqlite_strict=True,
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("archive_id", Int, ForeignKey("archives.id"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text),
    Column("first_ms", Int, nullable=False),
    Column("last_ms", Int, nullable=False),
    sqlite_strict=True,
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("path", Text, primary_key=True),
    Column("profile", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("dataset_hash", Text, nullable=False),
    Column("runs_digest", Text, nullable=False),
    Column("example_count", Int, nullable=False),
    Column("published_ms", Int, nullable=False),
    Index(None, "dataset_hash"),
    sqlite_strict=True,
)

daemon = Table(
    "daemon",
    metadata,
    Column("id", Int, primary_key=True),
    Column("pid", Int, nullable=False),
    Column("started_ms", Int, nullable=False),
    Column("beat_ms", Int, nullable=False),
    Column("stopped_ms", Int),
    Column("state", Text, nullable=False),
    sqlite_strict=True,
)

environments = Table(
    "environments",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("normaliser", Int, nullable=False),
    Column("digests", Text, nullable=False),
    Column("components", Text, nullable=False),
    Column("unrecognised", Text, nullable=False),
    Column("first_seen_ms", Int, nullable=False),
    sqlite_strict=True,
)

environment_observations = Table(
    "environment_observations",
    metadata,
    Column("id", Int, primary_key=True),
    Column("fingerprint", Text, ForeignKey("environments.fingerprint"), nullable=False),
    Column("source", Text, nullable=False),
    Column("since_ms", Int, nullable=False),
    Column("seen_ms", Int, nullable=False),
    Column("previous_ms", Int),
    Column("commit_id", Text),
    Column("launch", Text),
    sqlite_strict=True,
)

kernel_sessions = Table(
    "kernel_sessions",
    metadata,
    Column("id", Int, primary_key=True),
    Column("pid", Int, nullable=False),
    Column("started_ms", Int, nullable=False),
    Column("config", Text),
    Column("universe", Text),
    Column("speculate", Int, nullable=False),
    Column("max_concurrent", Int),
    Column("first_seen_ms", Int, nullable=False),
    Column("last_seen_ms", Int, nullable=False),
    Column("gone_ms", Int),
    sqlite_strict=True,
)

epoch_cuts = Table(
    "epoch_cuts",
    metadata,
    Column("id", Int, primary_key=True),
    Column("at_ms", Int, nullable=False),
    Column("why", Text, nullable=False),
    sqlite_strict=True,
)

sealed_epochs = Table(
    "sealed_epochs",
    metadata,
    Column("key", Text, primary_key=True),
    Column("number", Int, nullable=False),
    Column("closing_ms", Int, nullable=False),
    Column("sealed_ms", Int),
    Column("why_sealed", Text),
    sqlite_strict=True,
)

epoch_snapshots = Table(
    "epoch_snapshots",
    metadata,
    Column("id", Int, primary_key=True),
    Column("key", Text, ForeignKey("sealed_epochs.key"), nullable=False),
    Column("path", Text, nullable=False),
    Column("dataset_hash", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("published_ms", Int, nullable=False),
    Column("superseded_ms", Int),
    sqlite_strict=True,
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Int, primary_key=True),
    Column("event", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("opened_ms", Int, nullable=False),
    Column("last_ms", Int, nullable=False),
    Column("resolved_ms", Int),
    Column("acked_ms", Int),
    Column("fields", Text, nullable=False),
    Index(None, "event", "key"),
    sqlite_strict=True,
)


def names_of_tables() -> list[str]:
    """Every table, behind those that it refers to."""
    return [table.name for table in metadata.sorted_tables]


def names_of_columns(table: str) -> list[str]:
    """The columns of a table, in order."""
    return [column.name for column in metadata.tables[table].columns]


def primary_key(table: str) -> list[str]:
    """The columns of the key of a table."""
    return [column.name for column in metadata.tables[table].primary_key]
