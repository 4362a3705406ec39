"""The store by the driver itself, for what a web process asks all the time: health, metrics, the rules in force.

SQLAlchemy is sixteen megabytes in each web process, and most of them never show a page. So what stands here, and what
reads by it, imports nothing but the standard library and, where PostgreSQL is configured, psycopg.

Statements are texts with ``?`` for each value, in words that both stores know. Instants are whole microseconds.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.ports import StoreUnavailable

LOG_BYTES = 64 * 1024 * 1024
"""A log that a slow reader let grow is cut back to this."""
PRAGMAS = {
    "busy_timeout": 30_000,
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "cache_size": -512,  # KiB of each connection, and every delivery thread has one; the system caches the file anyway
    # 32 MiB of log between checkpoints: pages that change often are then written home once instead of many times.
    "wal_autocheckpoint": 8_000,
    "journal_size_limit": LOG_BYTES,
    # What is erased or written over is overwritten with zeros: the pages of a file that are free hold nothing.
    "secure_delete": "ON",
}
"""Of whoever writes to a file."""
_OF_READERS = {name: PRAGMAS[name] for name in ("busy_timeout", "cache_size")} | {"query_only": "ON"}
KEPT = 2
"""Connections that a process keeps: ``readyz`` and ``metrics`` ask at once. Whoever finds none opens one for itself."""

VALUE = "SELECT value FROM marks WHERE name = ?"
"""Of one key value."""
Ask = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""Executes a statement with these values; the answer is its rows."""


class StoreRefused(Exception):
    """This program must not work on the store as it is. The message is for people."""


class Driver(Protocol):
    """One database, by its driver."""

    @property
    def is_sqlite(self) -> bool: ...

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """Whatever the driver raises."""

    def connect(self, *, writes: bool = False) -> Any:
        """A connection that commits each statement."""

    def is_living(self, connection: Any) -> bool:
        """Whether it leads to the database as it is now, as far as can be seen without asking it."""

    def ask(self, connection: Any, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]: ...


class PlainStore:
    """One database: many threads may share it, and it may be made before a fork. What a parent opened is kept, unused:
    closing it in the child would tear down the parent's locks.

    Everything raises ``StoreUnavailable``, in the driver's words.
    """

    def __init__(self, driver: Driver) -> None:
        self.is_sqlite = driver.is_sqlite
        self._driver = driver
        self._kept: dict[int, list[Any]] = {}

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a SELECT finds."""
        kept = self._kept.setdefault(os.getpid(), [])
        try:
            connection, found = self._asked(kept, statement, values)
        except self._driver.faults as fault:
            raise StoreUnavailable(_message(fault)) from fault
        if len(kept) < KEPT:
            kept.append(connection)
        else:
            self._close(connection)
        return found

    def row(self, statement: str, values: Sequence[object] = ()) -> tuple[Any, ...]:
        """The one row of an aggregate."""
        (found,) = self.rows(statement, values)
        return found

    def value(self, name: str) -> str | None:
        """One key value; None where there is none."""
        return next((value for (value,) in self.rows(VALUE, (name,))), None)

    @contextmanager
    def writing(self) -> Iterator[Ask]:
        """One transaction over a connection of its own: for what is written seldom."""
        driver = self._driver
        try:
            connection = driver.connect(writes=True)
            try:
                driver.ask(connection, "BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN", ())
                yield lambda statement, values: driver.ask(connection, statement, values)
                driver.ask(connection, "COMMIT", ())
            finally:
                self._close(connection)
        except driver.faults as fault:
            raise StoreUnavailable(_message(fault)) from fault

    def close(self) -> None:
        """Give this process's connections back; the next question opens a new one."""
        for connection in self._kept.pop(os.getpid(), []):
            self._close(connection)

    def _asked(self, kept: list[Any], statement: str, values: Sequence[object]) -> tuple[Any, list[tuple[Any, ...]]]:
        """Asks again where a kept connection turns out to be dead: the server may have restarted while nobody asked."""
        while True:
            connection, is_new = self._taken(kept)
            try:
                return connection, self._driver.ask(connection, statement, values)
            except BaseException as fault:  # a new connection is the one repair that fits every fault
                is_dead = isinstance(fault, self._driver.faults) and not self._driver.is_living(connection)
                self._close(connection)
                if is_new or not is_dead:
                    raise

    def _taken(self, kept: list[Any]) -> tuple[Any, bool]:
        """A connection, and whether it is new."""
        while kept:
            try:
                connection = kept.pop()
            except IndexError:  # another thread was faster
                break
            if self._driver.is_living(connection):
                return connection, False
            self._close(connection)
        return self._driver.connect(), True

    def _close(self, connection: Any) -> None:
        with suppress(*self._driver.faults):
            connection.close()


def _message(fault: Exception) -> str:
    """The first line: the rest may quote the statement."""
    return (str(fault).splitlines() or [type(fault).__name__])[0]


class _Opened(sqlite3.Connection):
    identity = (0, 0)
    """Of the file that it leads to."""


@dataclass(frozen=True)
class SqliteDriver:
    """A file. It is never made here: looking must not make a store."""

    path: Path
    is_sqlite = True
    faults: tuple[type[Exception], ...] = (sqlite3.Error, OSError)

    def connect(self, *, writes: bool = False) -> _Opened:
        """``query_only`` and not ``mode=ro``, which cannot open a log that nobody else has open."""
        if not self.path.exists():
            raise missing(self.path)
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        opened = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, factory=_Opened)
        try:
            opened.identity = self._identity()
            for setting, value in (PRAGMAS if writes else _OF_READERS).items():
                opened.execute(f"PRAGMA {setting}={value}")
        except BaseException:
            opened.close()
            raise
        return opened

    def is_living(self, connection: _Opened) -> bool:
        """Whether it leads to the file that lies at the path now, not to one that was moved away or deleted."""
        try:
            return connection.identity == self._identity()
        except OSError:
            return False

    def ask(self, connection: _Opened, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return connection.execute(statement, tuple(values)).fetchall()

    def _identity(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_dev, found.st_ino


def plain_bridge(data_dir: Path, database_url: str | None) -> PlainStore:
    """Over links, time line and whatever else the bridge keeps. Opens nothing yet."""
    return _postgres(database_url) if database_url else PlainStore(SqliteDriver(data_dir / "bridge.db"))


def plain_inbox(data_dir: Path, database_url: str | None) -> PlainStore:
    """Over the inbox: a file of its own on SQLite, the same database on PostgreSQL."""
    return _postgres(database_url) if database_url else PlainStore(SqliteDriver(data_dir / "inbox.db"))


def _postgres(url: str) -> PlainStore:
    from app.store.inbox_postgres import PostgresDriver  # psycopg is loaded only where it is configured

    return PlainStore(PostgresDriver(url))


def check_made(data_dir: Path, database_url: str | None) -> None:
    """Raise ``StoreUnavailable`` unless somebody has made the store: looking must not make one."""
    path = data_dir / "bridge.db"
    if not database_url and not path.exists():
        raise missing(path)


def missing(path: Path) -> StoreUnavailable:
    """The fault of a file that nobody has made."""
    return StoreUnavailable(f"there is no {path.name} in {path.parent.absolute()}")
