"""What reconciliation looks up, how dead letters were closed, and the shared budgets.

Everything is added with a default, so that a version that does not know it can work beside one that does.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and one table."""
    for name, kind in (
        ("alert_status", sa.Text()),
        ("incident_status", sa.Text()),
        ("frozen_at", sa.BigInteger()),
    ):
        op.add_column("links", sa.Column(name, kind))
    op.create_index("links_status", "links", ["status", "id"])
    both = "alert_status <> 'resolved' OR incident_status <> 'resolved'"
    not_over = sa.text(f"(status <> 'resolved' OR (paged AND ({both})))")
    op.create_index("links_open", "links", ["id"], sqlite_where=not_over, postgresql_where=not_over)
    frozen = sa.text("frozen_at IS NOT NULL")
    op.create_index("links_frozen_at", "links", ["frozen_at"], sqlite_where=frozen, postgresql_where=frozen)
    for name in ("effect", "outcome", "closed_by"):
        op.add_column("letters", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "budgets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("spent_until", sa.BigInteger, nullable=False),
        sa.Column("paused_until", sa.BigInteger),
    )
