"""The durable door."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the inbox: one row per (source, delivery id)."""
    op.create_table(
        "inbox",
        sa.Column("id", RowId, primary_key=True, autoincrement=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False, server_default=""),
        sa.Column("content_encoding", sa.Text),
        sa.Column("taken_at", sa.BigInteger),
        sa.UniqueConstraint("source", "delivery_id"),
        sqlite_autoincrement=True,
    )
    if op.get_context().dialect.name == "postgresql":
        op.create_index("inbox_untaken", "inbox", ["id"], postgresql_where=sa.text("taken_at IS NULL"))
