"""The durable door: which inbox belongs to which store. psycopg is loaded only where it is configured."""

from pathlib import Path
from typing import Protocol

from app.ports import Inbox


class ClosableInbox(Inbox, Protocol):
    """An inbox with connections to give back."""

    def close(self) -> None:
        """Give this process's connection back; the next use opens a new one."""
        ...


class Place(Protocol):
    """Where this installation keeps its deliveries; the settings are one."""

    @property
    def data_dir(self) -> Path:
        """The folder of ``inbox.db``, which the migration makes."""
        ...

    @property
    def database_url(self) -> str | None:
        """PostgreSQL instead of that file."""
        ...


def open_door(place: Place) -> ClosableInbox:
    """The inbox of this installation. Opens nothing yet: each process that uses it opens its own connection."""
    if place.database_url:
        from app.store.inbox_postgres import PostgresInbox

        return PostgresInbox(place.database_url)
    from app.store.inbox_sqlite import SqliteInbox

    return SqliteInbox(place.data_dir / "inbox.db")
