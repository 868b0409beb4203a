"""What the audit asks the artifacts of a run for, told once when the run is read.

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
    # Null for what an older collectord ingested: it is told and written down with the next evaluation.
    op.add_column("runs", sa.Column("told", sa.Text))
