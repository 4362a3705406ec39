"""What reconciliation looks up, how dead letters were closed, and the shared budgets.

Everything is added with a default, so that a version that does not know it can work beside one that does. What links
say is read here and not by the store's own JSON functions: one link that cannot be read would stop them all.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 1000

links = sa.table(
    "links",
    sa.column("id", sa.BigInteger),
    sa.column("state", sa.Text),
    sa.column("alert_status", sa.Text),
    sa.column("incident_status", sa.Text),
    sa.column("frozen_at", sa.BigInteger),
)


def upgrade() -> None:
    """Add columns, filled from what the links say, and one table."""
    for name, kind in (("alert_status", sa.Text()), ("incident_status", sa.Text()), ("frozen_at", sa.BigInteger())):
        op.add_column("links", sa.Column(name, kind))
    _fill()
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


def _fill() -> None:
    """Look up in each link what has a column of its own now, some links at a time."""
    page = sa.select(links.c.id, links.c.state).where(links.c.id > sa.bindparam("after")).order_by(links.c.id)
    fill = sa.update(links).where(links.c.id == sa.bindparam("row_id"))
    columns: dict[str, Any] = {
        name: sa.bindparam(f"new_{name}") for name in ("alert_status", "incident_status", "frozen_at")
    }
    after, connection = 0, op.get_bind()
    while rows := connection.execute(page.limit(ROWS_AT_ONCE), {"after": after}).all():
        after = rows[-1].id
        told = [_told(row.state) | {"row_id": row.id} for row in rows]
        worth_it = [row for row in told if any(value is not None for name, value in row.items() if name != "row_id")]
        if worth_it:
            connection.execute(fill.values(columns), worth_it)


def _told(state: str) -> dict[str, Any]:
    """What one link says; None for what it does not, and where it cannot be read."""
    try:
        link = json.loads(state)
    except ValueError:
        link = None
    link = link if isinstance(link, dict) else {}
    return {
        "new_alert_status": _status(link.get("alert_side")),
        "new_incident_status": _status(link.get("incident_side")),
        "new_frozen_at": _microseconds(link.get("frozen_at")),
    }


def _status(side: object) -> str | None:
    status = side.get("status") if isinstance(side, dict) else None
    return status if isinstance(status, str) else None


def _microseconds(text: object) -> int | None:
    try:
        return (datetime.fromisoformat(str(text)) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    except (TypeError, ValueError):
        return None
