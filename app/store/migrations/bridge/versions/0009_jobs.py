"""Long work has a row of its own, every human action leaves a line, and silences and drafts may live in the store."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the four tables, empty."""
    _add_jobs()
    _add_audit()
    op.create_table(
        "stored_silences",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("match", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("starts", sa.BigInteger()),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_stored_silences_until", "stored_silences", ["until"])
    op.create_table(
        "rule_drafts",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("saved_by", sa.Text(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
    )


def _add_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", RowId, primary_key=True, autoincrement=True),
        sa.Column("key", sa.Text(), nullable=False, unique=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_way", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("starts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("seen_at", sa.BigInteger()),
        sa.Column("progress_done", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("progress_total", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("cancel_asked_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("failure", sa.Text(), nullable=False, server_default=""),
        sa.Column("result_name", sa.Text()),
        sa.Column("result_type", sa.Text()),
        sa.Column("result", sa.LargeBinary()),
        sqlite_autoincrement=True,
    )
    waits, runs, over = sa.text("state = 'waiting'"), sa.text("state = 'running'"), sa.text("finished_at IS NOT NULL")
    op.create_index("jobs_waiting", "jobs", ["id"], sqlite_where=waits, postgresql_where=waits)
    op.create_index("jobs_running", "jobs", ["state"], unique=True, sqlite_where=runs, postgresql_where=runs)
    op.create_index("jobs_finished_at", "jobs", ["finished_at"], sqlite_where=over, postgresql_where=over)


def _add_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", RowId, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("audit_actor", "audit", ["actor", "id"])
    op.create_index("audit_subject", "audit", ["subject", "id"])
