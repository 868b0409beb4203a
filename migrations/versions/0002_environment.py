"""The environment: what stood when, manual cuts, sealed epochs, alerts; what each run shows of it.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def Int() -> sa.types.TypeEngine[int]:
    """64 bits everywhere; SQLite's STRICT tables know only INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # NULL for what an older collectord ingested: derived from the stored manifest when it is needed.
    op.add_column("runs", sa.Column("evidence", sa.Text))
    op.add_column("runs", sa.Column("situation", sa.Text))
    op.create_table(
        "environments",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("normaliser", Int(), nullable=False),
        sa.Column("digests", sa.Text, nullable=False),
        sa.Column("components", sa.Text, nullable=False),
        sa.Column("unrecognised", sa.Text, nullable=False),
        sa.Column("first_seen_ms", Int(), nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "environment_observations",
        sa.Column("id", Int(), primary_key=True),
        sa.Column(
            "fingerprint",
            sa.Text,
            sa.ForeignKey(
                "environments.fingerprint", name="fk_environment_observations_fingerprint_environments"
            ),
            nullable=False,
        ),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("since_ms", Int(), nullable=False),
        sa.Column("seen_ms", Int(), nullable=False),
        sa.Column("previous_ms", Int()),
        sa.Column("commit_id", sa.Text),
        sqlite_strict=True,
    )
    op.create_table(
        "epoch_cuts",
        sa.Column("id", Int(), primary_key=True),
        sa.Column("at_ms", Int(), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "sealed_epochs",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("number", Int(), nullable=False),
        sa.Column("closing_ms", Int(), nullable=False),
        sa.Column("sealed_ms", Int()),
        sa.Column("why_sealed", sa.Text),
        sqlite_strict=True,
    )
    op.create_table(
        "epoch_snapshots",
        sa.Column("id", Int(), primary_key=True),
        sa.Column(
            "key",
            sa.Text,
            sa.ForeignKey("sealed_epochs.key", name="fk_epoch_snapshots_key_sealed_epochs"),
            nullable=False,
        ),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("dataset_hash", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("published_ms", Int(), nullable=False),
        sa.Column("superseded_ms", Int()),
        sqlite_strict=True,
    )
    op.create_table(
        "alerts",
        sa.Column("id", Int(), primary_key=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("opened_ms", Int(), nullable=False),
        sa.Column("last_ms", Int(), nullable=False),
        sa.Column("resolved_ms", Int()),
        sa.Column("acked_ms", Int()),
        sa.Column("fields", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_alerts_event_key", "alerts", ["event", "key"])
