"""How far along our own mail is: stored by a web process or a command, taken in by the worker."""

from datetime import datetime

import sqlalchemy as sa

from app.domain.names import Source, instant
from app.ports import StoreUnavailable, Tx
from app.store.arrivals import CURSOR
from app.store.database import Database
from app.store.inbox_rows import storable_id
from app.store.marks import StoredMarks
from app.store.schema import Instant, inbox
from app.store.vitals import WORKER_SEEN

_stored = sa.select(inbox.c.id, inbox.c.taken_at).where(
    inbox.c.source == Source.BRIDGE.value, inbox.c.delivery_id == sa.bindparam("delivery_id")
)

_arrived = sa.select(inbox.c.received_at).order_by(inbox.c.id).limit(1)


class StoredPostbox:
    """Reads the bridge's tables and its inbox (the same database twice on PostgreSQL)."""

    def __init__(self, bridge: Database, inbox_engine: sa.Engine) -> None:
        self._bridge = bridge
        self._inbox = inbox_engine
        self._marks = StoredMarks()
        self._cursor_mode = inbox_engine.dialect.name == "sqlite"

    def taken(self, delivery_id: str) -> bool | None:
        """Whether what this mail asks for is done; None when it is not stored. Raises ``StoreUnavailable``."""
        try:
            with self._inbox.connect() as reader, self._bridge.read() as tx:
                row = reader.execute(_stored, {"delivery_id": storable_id(delivery_id)}).one_or_none()
                return None if row is None else self._is_taken(tx, row.id, row.taken_at)
        except sa.exc.DBAPIError as fault:
            raise StoreUnavailable(str(fault.orig)) from fault

    def is_behind(self, since: datetime) -> bool:
        """Whether a delivery that arrived before then still waits to be taken in. Raises ``StoreUnavailable``."""
        try:
            with self._inbox.connect() as reader, self._bridge.read() as tx:
                cursor = int(self._marks.read(tx, CURSOR) or 0) if self._cursor_mode else None
                waits = inbox.c.taken_at.is_(None) if cursor is None else inbox.c.id > cursor
                oldest = reader.execute(_arrived.where(waits)).scalar_one_or_none()
        except sa.exc.DBAPIError as fault:
            raise StoreUnavailable(str(fault.orig)) from fault
        arrived = Instant().process_result_value(oldest, self._inbox.dialect)
        return arrived is not None and arrived < since

    def worker_seen_at(self) -> datetime | None:
        """The newest sign of life of a worker."""
        with self._bridge.read() as tx:
            return instant(self._marks.read(tx, WORKER_SEEN))

    def _is_taken(self, tx: Tx, row_id: int, taken_at: int | None) -> bool:
        """The cursor moves, and the mark is set, in the transaction that did it: then its effect can be read."""
        if self._cursor_mode:
            return row_id <= int(self._marks.read(tx, CURSOR) or 0)
        return taken_at is not None
