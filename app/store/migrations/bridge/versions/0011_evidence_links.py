"""Evidence links can be revoked; a silence by link leaves alone what would page with a higher urgency."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("stored_silences", sa.Column("up_to", sa.Text()))
    op.create_table(
        "revoked_evidence",
        sa.Column("link_id", RowId, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
