"""The processes of the kernel, what they were started with, and what was executed for which issue.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def Int() -> sa.types.TypeEngine[int]:
    """64 bits everywhere; SQLite's STRICT tables know only INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "kernel_sessions",
        sa.Column("id", Int(), primary_key=True),
        sa.Column("pid", Int(), nullable=False),
        sa.Column("started_ms", Int(), nullable=False),
        sa.Column("config", sa.Text),
        sa.Column("universe", sa.Text),
        sa.Column("speculate", Int(), nullable=False),
        sa.Column("max_concurrent", Int()),
        sa.Column("first_seen_ms", Int(), nullable=False),
        sa.Column("last_seen_ms", Int(), nullable=False),
        sa.Column("gone_ms", Int()),
        sqlite_strict=True,
    )
    op.add_column("environment_observations", sa.Column("launch", sa.Text))
    # Null for what an older collectord ingested: it is derived from the manifest and written down then.
    op.add_column("runs", sa.Column("executed", sa.Text))
    op.add_column("runs", sa.Column("issue_text", sa.Text))
    op.add_column("runs", sa.Column("time_conflict", sa.Text))
    # The end of a run was what its proof said alone; now it is the later of that and its duration, and
    # unknown where that lies before the start.
    op.execute(
        "UPDATE runs SET finished_ms = max(finished_ms,"
        " CASE WHEN duration_ms > 9223372036854775807 - started_ms THEN 9223372036854775807"
        " ELSE started_ms + duration_ms END)"
        " WHERE finished_ms IS NOT NULL AND duration_ms > 0"
    )
    op.execute("UPDATE runs SET finished_ms = NULL WHERE finished_ms < started_ms")
