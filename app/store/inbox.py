"""Which inbox belongs to which store, and what the bridge puts into its own.

An internal event is what reconciliation found or what an operator asked for: stored by any process, taken in by the
worker.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.domain.model.events import AlertEvent, Command, CommandType, IncidentEvent, Reading, Unreadable, Way
from app.ports import Inbox
from app.store.codec import Codec, StoredAlertEvent, StoredIncidentEvent
from app.store.inbox_sqlite import SqliteInbox


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
