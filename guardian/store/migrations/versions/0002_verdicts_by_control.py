"""The index finds verdicts by control: without this, a page of one control's failures would read every record."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_index_verdict_control", "index_verdict", ["control", "verdict", "idx"])
