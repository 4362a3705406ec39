"""Which inbox belongs to which store, what the bridge puts into its own, and how far along that is.

An internal event is what reconciliation found or what an operator asked for: stored by any process, taken in by the
worker.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from app.domain.model.events import AlertEvent, Command, CommandType, IncidentEvent, Reading, Unreadable, Way
from app.domain.model.types import Source, instant
from app.ports import Inbox, Tx
from app.store.codec import Codec, StoredAlertEvent, StoredIncidentEvent
from app.store.database import KEY_VALUES, Database, readable
from app.store.health import WORKER_SEEN
from app.store.inbox_reader import CURSOR
from app.store.inbox_sqlite import SqliteInbox, storable_id
from app.store.schema import inbox


class ClosableInbox(Inbox, Protocol):
    """An inbox with connections to give back."""

    def close(self) -> None:
        """Give this process's connection back; the next use opens a new one."""


class Place(Protocol):
    """Where this installation keeps its deliveries; the settings are one."""

    @property
    def data_dir(self) -> Path:
        """The folder of ``inbox.db``, which the migration makes."""

    @property
    def database_url(self) -> str | None:
        """PostgreSQL instead of that file."""


def inbox_for(place: Place) -> ClosableInbox:
    """The inbox of this installation. Opens nothing yet: each process that uses it opens its own connection."""
    if place.database_url:
        from app.store.inbox_postgres import PostgresInbox  # psycopg is loaded only where it is configured

        return PostgresInbox(place.database_url)
    return SqliteInbox(place.data_dir / "inbox.db")


@dataclass(frozen=True, slots=True)
class _StoredCommand:
    """A command under its stored names, which stay."""

    verb: CommandType
    subject: str = ""
    by: str = ""
    detail: str = ""
    way: Way | None = None


@dataclass(frozen=True, slots=True)
class _InternalEvents:
    alerts: tuple[StoredAlertEvent, ...] = ()
    incidents: tuple[StoredIncidentEvent, ...] = ()
    wish: _StoredCommand | None = None
    """A stored name, like those of all fields here."""


_EVENTS = Codec[_InternalEvents](_InternalEvents)


def encode_observed_events(*events: AlertEvent | IncidentEvent) -> bytes:
    """Events that a read at the partners gave, in the order alerts, then incidents."""
    alerts = tuple(event for event in events if isinstance(event, AlertEvent))
    incidents = tuple(event for event in events if isinstance(event, IncidentEvent))
    return _EVENTS.dump(_InternalEvents(alerts, incidents)).encode()


def encode_command(command: Command) -> bytes:
    """One command."""
    stored = _StoredCommand(command.type, command.subject, command.by, command.detail, command.way)
    return _EVENTS.dump(_InternalEvents(wish=stored)).encode()


def read(body: bytes, content_encoding: str | None) -> tuple[Reading, ...]:
    """What the two functions above wrote. Never raises: an event of a newer version is parked, not lost."""
    try:
        stored = _EVENTS.load(body)
    except ValueError:
        return (Unreadable("unknown_internal_event"),)
    asked = stored.wish
    commands = (Command(asked.verb, asked.subject, asked.by, asked.detail, asked.way),) if asked else ()
    readings: tuple[Reading, ...] = (*stored.alerts, *stored.incidents, *commands)
    return readings or (Unreadable("empty_internal_event"),)


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
