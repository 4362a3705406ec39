"""Intake's place in the inbox.

SQLite: rows become visible in the order of their ids, because one writer writes at a time, so a cursor in the bridge's
own file, moved in the transaction that holds the rows' effects, takes each row exactly once and never writes the inbox.
PostgreSQL: ids may become visible out of order, so each row carries its mark, set in that same transaction.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from app.domain.names import Source
from app.ports import Delivery, InboxRow, Tx
from app.store.database import connection
from app.store.marks import StoredMarks
from app.store.schema import EPOCH, Instant, inbox, letters, strays

log = structlog.get_logger()

CURSOR = "intake.cursor"
LAST_TAKEN = "intake.last_taken"
"""What the row under the cursor looked like: another one there means another inbox."""
_rows = sa.select(
    inbox.c.id,
    inbox.c.source,
    inbox.c.delivery_id,
    sa.type_coerce(inbox.c.received_at, Instant).label("received_at"),
    inbox.c.body,
    inbox.c.request_id,
    inbox.c.content_encoding,
    inbox.c.secret_index,
).order_by(inbox.c.id)


_SOURCES = frozenset(Source)


class CursorArrivals:
    """For the SQLite inbox in its own file."""

    def __init__(self, inbox_engine: sa.Engine) -> None:
        self._inbox = inbox_engine
        self._marks = StoredMarks()

    def next_rows(self, tx: Tx, limit: int) -> tuple[InboxRow, ...]:
        """The rows after the cursor; all rows where the cursor was moved over another inbox than this one.

        A file restored from a copy, or a new one, has other rows under the numbers that were taken already: passed
        over by number they would be lost, taken once more they are duplicates to the links.
        """
        cursor = int(self._marks.read(tx, CURSOR) or 0)
        expected = self._marks.read(tx, LAST_TAKEN) if cursor else None
        rows = self._from(cursor if expected else cursor + 1, limit + 1)
        if expected and not (rows and rows[0].inbox_id == cursor and _looks(rows[0]) == expected):
            log.critical("inbox.replaced", cursor=cursor, because="the row last taken is not in it any more")
            self._start_over(tx)
            rows, expected = self._from(0, limit), None
        return rows[1:] if expected else rows[:limit]

    def _from(self, inbox_id: int, limit: int) -> tuple[InboxRow, ...]:
        with self._inbox.connect() as reader:
            return tuple(_row(row) for row in reader.execute(_rows.where(inbox.c.id >= inbox_id).limit(limit)))

    def _start_over(self, tx: Tx) -> None:
        """What was kept under the numbers of the other inbox lets go of them: a row here may have the same."""
        self._marks.put(tx, CURSOR, "0")
        self._marks.clear(tx, LAST_TAKEN)
        connection(tx).execute(sa.update(letters).where(letters.c.inbox_id.is_not(None)).values(inbox_id=None))
        connection(tx).execute(sa.update(strays).where(strays.c.inbox_id > 0).values(inbox_id=-strays.c.id))

    def row(self, tx: Tx, inbox_id: int) -> InboxRow | None:
        """One row, taken or not."""
        with self._inbox.connect() as reader:
            return _one(reader, inbox_id)

    def mark_taken(self, tx: Tx, rows: Sequence[InboxRow], at: datetime) -> None:
        """Move the cursor behind these rows."""
        last = max(rows, key=lambda row: row.inbox_id)
        self._marks.put(tx, CURSOR, str(last.inbox_id))
        self._marks.put(tx, LAST_TAKEN, _looks(last))


class MarkedArrivals:
    """For the PostgreSQL inbox in the bridge's own database."""

    def next_rows(self, tx: Tx, limit: int) -> tuple[InboxRow, ...]:
        """The rows without a mark, locked against another taker."""
        query = _rows.where(inbox.c.taken_at.is_(None)).limit(limit).with_for_update(skip_locked=True)
        return tuple(_row(row) for row in connection(tx).execute(query))

    def row(self, tx: Tx, inbox_id: int) -> InboxRow | None:
        """One row, taken or not."""
        return _one(connection(tx), inbox_id)

    def mark_taken(self, tx: Tx, rows: Sequence[InboxRow], at: datetime) -> None:
        """Mark them."""
        taken_at = Instant().process_bind_param(at, connection(tx).dialect)
        ids = [row.inbox_id for row in rows]
        connection(tx).execute(sa.update(inbox).where(inbox.c.id.in_(ids)).values(taken_at=taken_at))


def _looks(row: InboxRow) -> str:
    delivery = row.delivery
    told = f"{delivery.received_at.isoformat()} {delivery.delivery_id}"
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _one(reader: sa.Connection, inbox_id: int) -> InboxRow | None:
    row = reader.execute(_rows.where(inbox.c.id == inbox_id)).one_or_none()
    return None if row is None else _row(row)


def _source(text: str) -> Source:
    """A source of a newer version beside us is mail of ours that we cannot read: it is parked, and stops nobody."""
    return Source(text) if text in _SOURCES else Source.BRIDGE


def _row(row: sa.Row[Any]) -> InboxRow:
    delivery = Delivery(
        source=_source(row.source),
        delivery_id=row.delivery_id,
        received_at=row.received_at or EPOCH,
        body=bytes(row.body),
        request_id=row.request_id,
        content_encoding=row.content_encoding,
        secret_index=row.secret_index,
    )
    return InboxRow(row.id, delivery)
