"""The texts and people of alerts move out of the links into a table of their own, where they can be erased.

Some links at a time: the memory used does not grow with their number. A row that cannot be read is left alone. Nothing
of the program's model is used: that goes on changing.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 500
TEXTS = ("message", "claim", "truth", "query", "response", "confidence_text", "dashboard_url")

links = sa.table("links", sa.column("id", sa.BigInteger), sa.column("state", sa.Text))
evidence = sa.table("evidence", sa.column("link_id", sa.BigInteger), sa.column("texts", sa.Text))


def upgrade() -> None:
    """Add two tables, and move what the links say."""
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "evidence",
        sa.Column("link_id", row_id, primary_key=True, autoincrement=False),
        sa.Column("texts", sa.Text, nullable=False),
    )
    op.create_table(
        "kept_bodies",
        sa.Column("inbox_id", row_id, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("due", sa.Boolean, nullable=False, server_default=sa.false()),
        sqlite_with_rowid=False,
    )
    op.create_index("kept_bodies_subject", "kept_bodies", ["subject"])
    due = sa.text("due")
    op.create_index("kept_bodies_due", "kept_bodies", ["inbox_id"], sqlite_where=due, postgresql_where=due)
    _move()


def _move() -> None:
    page = sa.select(links.c.id, links.c.state).where(links.c.id > sa.bindparam("after")).order_by(links.c.id)
    change = sa.update(links).where(links.c.id == sa.bindparam("row_id")).values(state=sa.bindparam("new_state"))
    after, connection = 0, op.get_bind()
    while rows := connection.execute(page.limit(ROWS_AT_ONCE), {"after": after}).all():
        after = rows[-1].id
        moved = [(row.id, *parts) for row in rows if (parts := split(row.state))]
        if moved:
            connection.execute(sa.insert(evidence), [{"link_id": number, "texts": texts} for number, _, texts in moved])
            connection.execute(change, [{"row_id": number, "new_state": state} for number, state, _ in moved])


def split(state: str) -> tuple[str, str] | None:
    """What stays of a link, and its evidence; None where it has none, or cannot be read."""
    try:
        link = json.loads(state)
        alert = link["alert"]
        texts = {name: alert.pop(name) for name in (*TEXTS, "people") if alert.get(name)}
        extra = alert.get("extra", {})
        if words := {name: extra.pop(name) for name in list(extra) if isinstance(extra[name], str)}:
            texts["extra"] = words
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return (_text(link), _text(texts)) if texts else None


def _text(value: dict[str, Any]) -> str:
    """As the program writes it: dense, and readable wherever a store takes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if text.encode("utf-8", "replace").decode() == text:
        return text
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
