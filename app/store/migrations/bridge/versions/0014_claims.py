"""A worker claims the deliveries that it makes at once."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, empty: what waits in the engine's queues stays there."""
    op.create_table(
        "claims",
        sa.Column(
            "link_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("side", sa.Text, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("executor_id", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
