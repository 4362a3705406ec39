"""Which secret proved a delivery, and the way to the oldest rows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what an older version need not know."""
    op.add_column("inbox", sa.Column("secret_index", sa.SmallInteger, nullable=False, server_default="0"))
    op.create_index("inbox_received_at", "inbox", ["received_at"])
    old = sa.text("secret_index > 0")
    op.create_index("inbox_old_secrets", "inbox", ["source", "received_at"], sqlite_where=old, postgresql_where=old)
