"""The trace that a delivery belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what an older version need not know."""
    op.add_column("inbox", sa.Column("trace", sa.Text))
