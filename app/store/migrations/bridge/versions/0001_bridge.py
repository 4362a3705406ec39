"""Links, strays, time line, dead letters, marks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> sa.Column[int]:
    return sa.Column("id", RowId, primary_key=True, autoincrement=True)


def upgrade() -> None:
    """Create the bridge's own tables."""
    _links()
    op.create_table(
        "strays",
        _id(),
        sa.Column("incident_id", sa.Text, nullable=False, index=True),
        sa.Column("inbox_id", sa.BigInteger, nullable=False, unique=True),
        sa.Column("at", sa.BigInteger, nullable=False, index=True),
        sa.Column("word", sa.Text, nullable=False),
    )
    op.create_table(
        "timeline",
        _id(),
        sa.Column("at", sa.BigInteger, nullable=False, index=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("link_id", sa.BigInteger, index=True),
        sa.Column("alert_id", sa.Text),
        sa.Column("incident_id", sa.Text),
        sa.Column("author", sa.Text),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_table(
        "letters",
        _id(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("link_id", sa.BigInteger, index=True),
        sa.Column("side", sa.Text),
        sa.Column("inbox_id", sa.BigInteger, unique=True),
        sa.Column("closed_at", sa.BigInteger),
    )
    op.create_table("marks", sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False))


def _links() -> None:
    op.create_table(
        "links",
        _id(),
        sa.Column("alert_id", sa.Text, nullable=False, unique=True),
        sa.Column("incident_key", sa.Text, nullable=False, unique=True),
        sa.Column("incident_id", sa.Text, index=True),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("paged", sa.Boolean, nullable=False),
        sa.Column("truthvouch_since", sa.BigInteger),
        sa.Column("pagerduty_since", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("links_truthvouch_since", "links", ["truthvouch_since"])
    op.create_index("links_pagerduty_since", "links", ["pagerduty_since"])
