"""The way to the newest row of a sender: readiness and metrics ask for it again and again."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index."""
    op.create_index("inbox_source", "inbox", ["source", "id"])
