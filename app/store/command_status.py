"""How far along the bridge's own deliveries are."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.domain.model.types import Source, instant
from app.ports import Tx
from app.store.database import KEY_VALUES, Database, readable
from app.store.health import WORKER_SEEN
from app.store.inbox_sqlite import CURSOR, storable_id
from app.store.schema import inbox

_stored = sa.select(inbox.c.id, inbox.c.taken_at).where(
    inbox.c.source == Source.BRIDGE.value, inbox.c.delivery_id == sa.bindparam("delivery_id")
)
_arrived = sa.select(inbox.c.received_at).order_by(inbox.c.id).limit(1)


@dataclass(eq=False)
class StoredCommandStatus:
    """Implements ``ports.CommandStatus`` from the bridge's tables and its inbox (the same database twice on
    PostgreSQL)."""

    bridge: Database
    inbox_engine: sa.Engine

    def taken(self, delivery_id: str) -> bool | None:
        with readable(self.inbox_engine) as reader, readable(self.bridge.engine) as bridge:
            row = reader.execute(_stored, {"delivery_id": storable_id(delivery_id)}).one_or_none()
            # The cursor moves, and the flag is set, in the transaction that did it: then its effect can be read.
            cursor = self._cursor(Tx(bridge))
        if row is None:
            return None
        return row.taken_at is not None if cursor is None else row.id <= cursor

    def is_behind(self, since: datetime) -> bool:
        """Whether a delivery that arrived before then still waits to be taken in. Raises ``StoreUnavailable``."""
        with readable(self.inbox_engine) as reader, readable(self.bridge.engine) as bridge:
            cursor = self._cursor(Tx(bridge))
            waits = inbox.c.taken_at.is_(None) if cursor is None else inbox.c.id > cursor
            arrived = reader.execute(_arrived.where(waits)).scalar_one_or_none()
        return arrived is not None and arrived < since

    def worker_seen_at(self) -> datetime | None:
        with self.bridge.read() as tx:
            return instant(KEY_VALUES.read(tx, WORKER_SEEN))

    def _cursor(self, tx: Tx) -> int | None:
        """The number of the last row taken in; None where every row says so itself."""
        return int(KEY_VALUES.read(tx, CURSOR) or 0) if self.inbox_engine.dialect.name == "sqlite" else None
