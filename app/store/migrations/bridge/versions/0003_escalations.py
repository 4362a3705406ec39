"""Our own escalation of incidents."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add one table."""
    op.create_table(
        "escalations",
        sa.Column("incident_id", sa.Text, primary_key=True),
        sa.Column("link_id", sa.BigInteger),
        sa.Column("finished", sa.Boolean, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("letter_id", sa.BigInteger),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    for column in ("due_at", "letter_id"):
        known = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"escalations_{column}", "escalations", [column], sqlite_where=known, postgresql_where=known)
    op.create_index("escalations_changed_at", "escalations", ["changed_at"])
