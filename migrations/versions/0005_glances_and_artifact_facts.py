"""What a look at an archive showed at a glance; what the audit asks the artifacts of a run for.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null for what an older collectord ingested: both are written down with the next look and evaluation.
    op.add_column("archives", sa.Column("glance", sa.Text))
    op.add_column("runs", sa.Column("artifact_facts", sa.Text))
