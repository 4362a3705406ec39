"""Intake's place in the inbox.

SQLite: rows become visible in the order of their ids, because one writer writes at a time, so a cursor in the bridge's
own file, moved in the transaction that holds the rows' effects, takes each row exactly once and never writes the inbox.
PostgreSQL: ids may become visible out of order, so each row carries a flag, set in that same transaction.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from app.domain.model.types import Source
from app.ports import Delivery, InboxRow, Tx
from app.store.database import KEY_VALUES, Database, connection, is_gone, unavailable
from app.store.inbox_sqlite import CURSOR
from app.store.prepared import Prepared
from app.store.schema import dead_letters, inbox, kept_bodies, key_values, unmatched_events

log = structlog.get_logger()

LAST_TAKEN = "intake.last_taken"
"""What the row under the cursor looked like: another one there means another inbox."""
_cursor = Prepared(sa.select(key_values).where(sa.or_(key_values.c.name == CURSOR, key_values.c.name == LAST_TAKEN)))
_rows = sa.select(
    *inbox.c["id", "source", "delivery_id", "received_at", "body", "request_id"],
    *inbox.c["content_encoding", "secret_index", "trace"],
).order_by(inbox.c.id)
_from = Prepared(_rows.where(inbox.c.id >= sa.bindparam("first")).limit(sa.bindparam("at_most")))
_not_taken = Prepared(
    _rows.where(inbox.c.taken_at.is_(None)).limit(sa.bindparam("at_most")).with_for_update(skip_locked=True)
)
_whole = Prepared(_rows.where(inbox.c.id == sa.bindparam("wanted"), inbox.c.erased_sha256.is_(None)))
_is_one_after = Prepared(sa.select(inbox.c.id).where(inbox.c.id > sa.bindparam("last")).limit(1))
_is_one_not_taken = Prepared(sa.select(inbox.c.id).where(inbox.c.taken_at.is_(None)).limit(1))
_SOURCES = frozenset(Source)
LOOK_SECONDS = 5.0
"""So often an inbox is looked at in which nothing new seems to be: a file restored from a copy has lower numbers."""


@dataclass(eq=False)
class CursorInboxReader:
    """For the SQLite inbox in its own file. For one thread."""

    inbox: Database
    _reader: sa.Connection | None = None
    """Kept open: to take one from the pool costs several times what it reads."""
    _last: int | None = None
    """Up to which everything was taken in by us and is committed; None until we know."""
    _looked_at: float = 0.0

    def waits(self) -> bool:
        if self._last is None or time.monotonic() - self._looked_at >= LOOK_SECONDS:
            return True  # one of the files may have been replaced meanwhile
        return bool(self._read(_is_one_after, {"last": self._last}))

    def next_rows(self, tx: Tx, limit: int) -> tuple[InboxRow, ...]:
        """The rows after the cursor; all rows where the cursor was moved over another inbox than this one.

        A file restored from a copy, or a new one, has other rows under the numbers that were taken already: passed
        over by number they would be lost, taken once more they are duplicates to the links.
        """
        cursor, expected = _place(tx)
        self._last, self._looked_at = cursor, time.monotonic()
        rows = self._from(cursor if expected else cursor + 1, limit + 1)
        if expected and not (rows and rows[0].inbox_id == cursor and _looks(rows[0]) == expected):
            log.critical("inbox.replaced", cursor=cursor, because="the row last taken is not in it any more")
            self._start_over(tx)
            rows, expected = self._from(0, limit), None
        return rows[1:] if expected else rows[:limit]

    def _from(self, inbox_id: int, limit: int) -> tuple[InboxRow, ...]:
        return tuple(map(_row, self._read(_from, {"first": inbox_id, "at_most": limit})))

    def _read(self, statement: Prepared, values: Mapping[str, Any]) -> list[Any]:
        try:
            self._reader = self._reader or self.inbox.engine.connect()
            return statement.rows(Tx(self._reader), values)
        except sa.exc.SQLAlchemyError as fault:
            if self._reader is not None:
                self._reader.close()
            self._reader = None
            if is_gone(fault):
                raise unavailable(fault) from fault
            raise

    def _has_taken(self, last: int) -> None:
        self._last = last

    def _start_over(self, tx: Tx) -> None:
        """What was kept under the numbers of the other inbox lets go of them: a row here may have the same."""
        self._last = None
        KEY_VALUES.put(tx, CURSOR, "0")
        KEY_VALUES.clear(tx, LAST_TAKEN)
        letting_go = sa.update(dead_letters).where(dead_letters.c.inbox_id.is_not(None)).values(inbox_id=None)
        connection(tx).execute(letting_go)
        numbered = sa.update(unmatched_events).where(unmatched_events.c.inbox_id > 0)
        connection(tx).execute(numbered.values(inbox_id=-unmatched_events.c.id))
        connection(tx).execute(sa.delete(kept_bodies).where(kept_bodies.c.inbox_id > 0))

    def row(self, tx: Tx, inbox_id: int) -> InboxRow | None:
        with self.inbox.read() as reading:
            return _one(reading, inbox_id)

    def mark_taken(self, tx: Tx, rows: Sequence[InboxRow], at: datetime) -> None:
        last = max(rows, key=lambda row: row.inbox_id)
        KEY_VALUES.put_all(tx, {CURSOR: str(last.inbox_id), LAST_TAKEN: _looks(last)})
        self.inbox.after_commit(tx, partial(self._has_taken, last.inbox_id))


@dataclass(eq=False)
class FlagInboxReader:
    """For the PostgreSQL inbox in the bridge's own database."""

    bridge: Database

    def waits(self) -> bool:
        with self.bridge.read() as tx:
            return _is_one_not_taken.row(tx) is not None

    def next_rows(self, tx: Tx, limit: int) -> tuple[InboxRow, ...]:
        return tuple(_row(row) for row in _not_taken.rows(tx, {"at_most": limit}))

    def row(self, tx: Tx, inbox_id: int) -> InboxRow | None:
        return _one(tx, inbox_id)

    def mark_taken(self, tx: Tx, rows: Sequence[InboxRow], at: datetime) -> None:
        ids = [row.inbox_id for row in rows]
        connection(tx).execute(sa.update(inbox).where(inbox.c.id.in_(ids)).values(taken_at=at))


def is_inbox_of(bridge_tx: Tx, inbox_tx: Tx) -> bool:
    """Whether the cursor was moved over this inbox, so that what lies up to it was taken in."""
    cursor, expected = _place(bridge_tx)
    if expected is None:
        return True
    rows = _from.rows(inbox_tx, {"first": cursor, "at_most": 1})
    return bool(rows) and rows[0].id == cursor and _looks(_row(rows[0])) == expected


def _place(tx: Tx) -> tuple[int, str | None]:
    """The cursor, and what the row under it looked like; None where there is none, or nobody knows."""
    found = {row.name: row.value for row in _cursor.rows(tx)}
    cursor = int(found.get(CURSOR) or 0)
    return cursor, found.get(LAST_TAKEN) if cursor else None


def _looks(row: InboxRow) -> str:
    delivery = row.delivery
    seen_at = f"{delivery.received_at.isoformat()} {delivery.delivery_id}"
    return hashlib.sha256(seen_at.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _one(tx: Tx, inbox_id: int) -> InboxRow | None:
    row = _whole.row(tx, {"wanted": inbox_id})
    return None if row is None else _row(row)


def _row(row: Any) -> InboxRow:
    delivery = Delivery(
        # That of a newer version beside us is an internal event that we cannot read: it is parked, and stops nobody.
        source=Source(row.source) if row.source in _SOURCES else Source.BRIDGE,
        delivery_id=row.delivery_id,
        received_at=row.received_at,
        body=bytes(row.body),
        request_id=row.request_id,
        content_encoding=row.content_encoding,
        secret_index=row.secret_index,
        trace=row.trace,
    )
    return InboxRow(row.id, delivery)
