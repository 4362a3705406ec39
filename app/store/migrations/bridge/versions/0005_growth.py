"""What is looked up while the bridge serves is found by an index, however much lies in the store."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 1000
LARGEST = 2**63 - 1

links = sa.table(
    "links",
    sa.column("id", sa.BigInteger),
    sa.column("state", sa.Text),
    sa.column("incident_number", sa.BigInteger),
    sa.column("silenced", sa.Boolean),
)

INDEXES = (
    ("links_open_paged", "links", "id",
     "(paged AND (status <> 'resolved' OR alert_status <> 'resolved' OR incident_status <> 'resolved'))"),
    ("links_open_unpaged", "links", "id", "(NOT paged AND status <> 'resolved')"),
    ("links_open_silenced", "links", "id", "(silenced AND NOT paged AND status <> 'resolved')"),
    ("links_frozen", "links", "id", "frozen_at IS NOT NULL"),
    ("links_incident_number", "links", "incident_number", "incident_number IS NOT NULL"),
    ("timeline_unlinked", "timeline", "alert_id", "link_id IS NULL"),
    ("timeline_incident_id", "timeline", "incident_id", "incident_id IS NOT NULL"),
    ("letters_open", "letters", "id", "closed_at IS NULL"),
    ("letters_closed_at", "letters", "closed_at", "closed_at IS NOT NULL"),
    ("escalations_unfinished", "escalations", "due_at", "NOT finished"),
)  # fmt: skip


def upgrade() -> None:
    """Add two columns, filled from what the links say, and the indexes."""
    op.add_column("links", sa.Column("incident_number", sa.BigInteger()))
    op.add_column("links", sa.Column("silenced", sa.Boolean(), nullable=False, server_default=sa.false()))
    _fill()
    op.drop_index("links_frozen_at", "links")
    for name, table, column, words in INDEXES:
        where = sa.text(words)
        op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)


def _fill() -> None:
    """Look up in each link what has a column of its own now, some links at a time."""
    page = sa.select(links.c.id, links.c.state).where(links.c.id > sa.bindparam("after")).order_by(links.c.id)
    fill = sa.update(links).where(links.c.id == sa.bindparam("row_id"))
    columns: dict[str, Any] = {"incident_number": sa.bindparam("new_number"), "silenced": sa.bindparam("new_silenced")}
    after, connection = 0, op.get_bind()
    while rows := connection.execute(page.limit(ROWS_AT_ONCE), {"after": after}).all():
        after = rows[-1].id
        filled = [_columns(row.state) | {"row_id": row.id} for row in rows]
        if worth_it := [row for row in filled if row["new_number"] is not None or row["new_silenced"]]:
            connection.execute(fill.values(columns), worth_it)


def _columns(state: str) -> dict[str, Any]:
    """What one link says; nothing where it cannot be read."""
    try:
        link = json.loads(state)
    except (ValueError, RecursionError):
        link = None
    link = link if isinstance(link, dict) else {}
    number, decision = link.get("incident_number"), link.get("decision")
    return {
        "new_number": number if type(number) is int and 0 <= number <= LARGEST else None,
        "new_silenced": isinstance(decision, dict) and decision.get("reason") == "silenced",
    }
