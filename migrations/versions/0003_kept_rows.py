"""Rows that take the recorded input as it is: encoded when the run was read, for the exports after it.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Empty for what an older collectord ingested: an export computes what it does not find.
    op.create_table(
        "kept_rows",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
