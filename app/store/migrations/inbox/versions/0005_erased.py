"""What is left of a body that was erased."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what an older version need not know."""
    op.add_column("inbox", sa.Column("erased_sha256", sa.Text))
