"""The index: archives and revisions, runs, labels, issues, artifacts, quarantine, snapshots.

Revision ID: 0001
Revises: none
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def Int() -> sa.types.TypeEngine[int]:
    """64 bits everywhere; SQLite's STRICT tables know only INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "index_info",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "archives",
        sa.Column("id", Int(), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("signature", sa.Text),
        sa.Column("revision", Int()),
        sa.Column("first_seen_ms", Int(), nullable=False),
        sa.Column("changed_ms", Int(), nullable=False),
        sa.Column("complete_ms", Int()),
        sa.Column("gone_ms", Int()),
        sa.Column("tries", Int(), nullable=False),
        sa.UniqueConstraint("kind", "name", name="uq_archives_kind_name"),
        sqlite_strict=True,
    )
    op.create_table(
        "revisions",
        sa.Column("id", Int(), primary_key=True),
        sa.Column(
            "archive_id",
            Int(),
            sa.ForeignKey("archives.id", name="fk_revisions_archive_id_archives"),
            nullable=False,
        ),
        sa.Column("number", Int(), nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("partial", sa.Text),
        sa.Column("dir_mtime_ns", Int(), nullable=False),
        sa.Column("seen_ms", Int(), nullable=False),
        sa.UniqueConstraint("archive_id", "number", name="uq_revisions_archive_id_number"),
        sa.UniqueConstraint("archive_id", "digest", name="uq_revisions_archive_id_digest"),
        sqlite_strict=True,
    )
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("size", Int(), nullable=False),
        sa.Column("codec", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "revision_files",
        sa.Column(
            "revision_id",
            Int(),
            sa.ForeignKey("revisions.id", name="fk_revision_files_revision_id_revisions"),
            primary_key=True,
        ),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column(
            "sha256", sa.Text, sa.ForeignKey("artifacts.sha256", name="fk_revision_files_sha256_artifacts")
        ),
        sa.Column("mtime_ns", Int()),
        sa.Column("reason", sa.Text),
        sqlite_strict=True,
    )
    op.create_table(
        "runs",
        sa.Column(
            "revision_id",
            Int(),
            sa.ForeignKey("revisions.id", name="fk_runs_revision_id_revisions"),
            primary_key=True,
        ),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("issue_id", sa.Text),
        sa.Column("job_type", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("toolchain", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("prompt_genome_id", sa.Text),
        sa.Column("started_ms", Int(), nullable=False),
        sa.Column("started_source", sa.Text, nullable=False),
        sa.Column("finished_ms", Int()),
        sa.Column("duration_ms", Int(), nullable=False),
        sa.Column("cost_usd", sa.REAL),
        sa.Column("tokens_used", Int()),
        sa.Column("has_proof", Int(), nullable=False),
        sa.Column("has_rollout", Int(), nullable=False),
        sa.Column("ends_in_event_log", Int(), nullable=False),
        sa.Column("input_state", sa.Text, nullable=False),
        sa.Column("hash_state", sa.Text, nullable=False),
        sa.Column("encodable", Int(), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("builder_summary", sa.Text),
        sqlite_strict=True,
    )
    op.create_table(
        "labels",
        sa.Column(
            "revision_id",
            Int(),
            sa.ForeignKey("runs.revision_id", name="fk_labels_revision_id_runs"),
            primary_key=True,
        ),
        sa.Column("explicit", Int(), nullable=False),
        sa.Column("swarm_id", sa.Text),
        sa.Column("max_candidates", Int()),
        sa.Column("timeout_seconds", Int()),
        sa.Column("max_iterations", Int()),
        sa.Column("recorded_swarms", sa.Text),
        sqlite_strict=True,
    )
    op.create_table(
        "issue_revisions",
        sa.Column("id", Int(), primary_key=True),
        sa.Column("issue_id", sa.Text, nullable=False),
        sa.Column("seen_ms", Int(), nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "workcell_ends",
        sa.Column("workcell_id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("position", Int(), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("at_ms", Int()),
        sa.Column("timed_out", Int(), nullable=False),
        sa.Column("duration_ms", Int(), nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "sources",
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("stamp", sa.Text, nullable=False),
        sa.Column("position", Int(), nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "quarantine",
        sa.Column(
            "archive_id",
            Int(),
            sa.ForeignKey("archives.id", name="fk_quarantine_archive_id_archives"),
            primary_key=True,
        ),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("first_ms", Int(), nullable=False),
        sa.Column("last_ms", Int(), nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "snapshots",
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("dataset_hash", sa.Text, nullable=False),
        sa.Column("runs_digest", sa.Text, nullable=False),
        sa.Column("example_count", Int(), nullable=False),
        sa.Column("published_ms", Int(), nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_runs_started_ms", "runs", ["started_ms"])
    op.create_index("ix_runs_run_id", "runs", ["run_id"])
    op.create_index("ix_issue_revisions_issue_id_seen_ms", "issue_revisions", ["issue_id", "seen_ms"])
    op.create_index("ix_snapshots_dataset_hash", "snapshots", ["dataset_hash"])
    op.create_table(
        "daemon",
        sa.Column("id", Int(), primary_key=True),
        sa.Column("pid", Int(), nullable=False),
        sa.Column("started_ms", Int(), nullable=False),
        sa.Column("beat_ms", Int(), nullable=False),
        sa.Column("stopped_ms", Int()),
        sa.Column("state", sa.Text, nullable=False),
        sqlite_strict=True,
    )
