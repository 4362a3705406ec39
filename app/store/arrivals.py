"""Intake's place in the inbox.

SQLite: rows become visible in the order of their ids, because one writer writes at a time, so a cursor in the bridge's
own file, moved in the transaction that holds the rows' effects, takes each row exactly once and never writes the inbox.
PostgreSQL: ids may become visible out of order, so each row carries its mark, set in that same transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.domain.names import Side
from app.ports import Delivery, InboxRow, Tx
from app.store.database import connection
from app.store.marks import StoredMarks
from app.store.schema import EPOCH, Instant, inbox

CURSOR = "intake.cursor"
_rows = sa.select(
    inbox.c.id,
    inbox.c.source,
    inbox.c.delivery_id,
    sa.type_coerce(inbox.c.received_at, Instant).label("received_at"),
    inbox.c.body,
    inbox.c.request_id,
    inbox.c.content_encoding,
).order_by(inbox.c.id)


class CursorArrivals:
    """For the SQLite inbox in its own file."""

    def __init__(self, inbox_engine: sa.Engine) -> None:
        self._inbox = inbox_engine
        self._marks = StoredMarks()

    def next_rows(self, tx: Tx, limit: int) -> tuple[InboxRow, ...]:
        """The rows after the cursor."""
        cursor = int(self._marks.read(tx, CURSOR) or 0)
        with self._inbox.connect() as reader:
            return tuple(_row(row) for row in reader.execute(_rows.where(inbox.c.id > cursor).limit(limit)))

    def mark_taken(self, tx: Tx, rows: Sequence[InboxRow], at: datetime) -> None:
        """Move the cursor behind these rows."""
        self._marks.put(tx, CURSOR, str(max(row.inbox_id for row in rows)))


class MarkedArrivals:
    """For the PostgreSQL inbox in the bridge's own database."""

    def next_rows(self, tx: Tx, limit: int) -> tuple[InboxRow, ...]:
        """The rows without a mark, locked against another taker."""
        query = _rows.where(inbox.c.taken_at.is_(None)).limit(limit).with_for_update(skip_locked=True)
        return tuple(_row(row) for row in connection(tx).execute(query))

    def mark_taken(self, tx: Tx, rows: Sequence[InboxRow], at: datetime) -> None:
        """Mark them."""
        taken_at = Instant().process_bind_param(at, connection(tx).dialect)
        ids = [row.inbox_id for row in rows]
        connection(tx).execute(sa.update(inbox).where(inbox.c.id.in_(ids)).values(taken_at=taken_at))


def _row(row: sa.Row[Any]) -> InboxRow:
    delivery = Delivery(
        source=Side(row.source),
        delivery_id=row.delivery_id,
        received_at=row.received_at or EPOCH,
        body=bytes(row.body),
        request_id=row.request_id,
        content_encoding=row.content_encoding,
    )
    return InboxRow(row.id, delivery)
