"""What reports count and searches look for, in narrow rows without a text; titles apart. ``store/figures.py`` fills
them from the links that are there."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the four tables."""
    _alert_figures()
    op.create_table(
        "incident_figures",
        sa.Column(
            "link_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("triggered_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("final_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger()),
        sa.Column("acknowledged_by", sa.Text()),
        sa.Column("acknowledged_after", sa.BigInteger()),
        sa.Column("resolved_at", sa.BigInteger()),
        sa.Column("resolved_after", sa.BigInteger()),
        sa.Column("reopened", sa.Integer(), nullable=False),
        sa.Column("escalated", sa.Integer(), nullable=False),
        sa.Column("acknowledged_after_escalation", sa.Boolean(), nullable=False),
        sa.Column("merged", sa.Boolean(), nullable=False),
        sa.Column("incident_id", sa.Text()),
        sa.Column("incident_number", sa.BigInteger()),
        sa.Column("url", sa.Text()),
    )
    op.create_index("ix_incident_figures_triggered_at", "incident_figures", ["triggered_at"])
    op.create_table(
        "incident_moments",
        sa.Column("link_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("what", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("side", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("author", sa.Text()),
        sa.Column("received_at", sa.BigInteger()),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "link_titles",
        sa.Column(
            "link_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite's unique index has the order of bytes already
        ops, where = {"alert_id": "text_pattern_ops"}, sa.text("alert_id IS NOT NULL")
        op.create_index("links_alert_id_prefix", "links", ["alert_id"], postgresql_ops=ops, postgresql_where=where)


def _alert_figures() -> None:
    op.create_table(
        "alert_figures",
        sa.Column(
            "link_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("category", sa.Text()),
        sa.Column("rule", sa.Text()),
        sa.Column("rulebook_version", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("urgency", sa.Text()),
        sa.Column("service_id", sa.Text()),
        sa.Column("verdict", sa.Text()),
        sa.Column("flaps", sa.Integer(), nullable=False),
        sa.Column("paged", sa.Boolean(), nullable=False),
        sa.Column("incomplete", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_alert_figures_raised_at", "alert_figures", ["raised_at"])
    op.create_index("alert_figures_severity", "alert_figures", ["severity", "link_id"])
    for name, words in (("alert_figures_paged", "paged"), ("alert_figures_incomplete", "incomplete")):
        where = sa.text(words)
        op.create_index(name, "alert_figures", ["link_id"], sqlite_where=where, postgresql_where=where)
