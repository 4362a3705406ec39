"""The inbox in PostgreSQL, shared by any number of web processes on any number of machines.

One connection for each process and group commit, as on SQLite: one round trip and one WAL flush carry every waiting
thread's row: a sixth more rows a second for a third less processor time than with a connection for each thread
(2 processes x 8 threads), and ten web processes need ten connections, not eighty. The wake-up has connections of its
own; a NOTIFY inside the insert would queue all commits of the server behind one lock.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import psycopg

from app.ports import StoreUnavailable
from app.store.inbox_sqlite import (
    COMMIT_TIMEOUT_SECONDS,
    GroupCommit,
    Key,
    Row,
    SharedInbox,
    UnwritableRow,
    insert_statement,
    newest_statement,
)

T = TypeVar("T")

CONNECT_SECONDS = 2
"""The least libpq knows. https://www.postgresql.org/docs/current/libpq-connect.html"""
_STATEMENTS = tuple(insert_statement(rows, "%s") for rows in range(1, 33))
CHANNEL = "bridge_inbox"
_NEWEST = newest_statement("%s")
_PROBE: Row = ("", "probe", 0, b"", "", None, 0, None)
_SESSION = """
SELECT set_config('statement_timeout', %s, false),
       set_config('lock_timeout', %s, false),
       set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                       ELSE current_setting('synchronous_commit') END, false)
"""
"""A server told to lie about commits (``synchronous_commit = off``) is told otherwise; stricter settings stay."""


class PostgresInbox(SharedInbox):
    """On one server."""

    def __init__(self, url: str, timeout: float = COMMIT_TIMEOUT_SECONDS) -> None:
        super().__init__(partial(_InboxSession, url, timeout))


class _InboxSession:
    def __init__(self, url: str, timeout: float) -> None:
        self.commits = GroupCommit(self._write, timeout)
        self._url = url
        self._statement_ms = str(int(timeout * 500))
        self._connection: psycopg.Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def probe(self) -> None:
        try:
            self._on_living(self._write_and_take_back)
        except psycopg.Error as fault:
            self.close()
            raise StoreUnavailable(_said(fault)) from fault

    def _write_and_take_back(self) -> None:
        with self._opened().transaction():
            self._execute(_STATEMENTS[0], _PROBE)
            self._execute("DELETE FROM inbox WHERE source = ''", ())

    def between(self, source: str, first: str, last: str) -> list[tuple[int, str]]:
        try:
            return self._opened().execute(_NEWEST.encode(), (source, first, last)).fetchall()
        except psycopg.Error as fault:
            self.close()
            raise StoreUnavailable(_said(fault)) from fault

    def _write(self, rows: Sequence[Row]) -> list[Key]:
        values = [value for row in rows for value in row]
        try:
            return self._insert(_STATEMENTS[len(rows) - 1], values)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded, UnicodeError) as fault:
            raise UnwritableRow(_said(fault)) from fault
        except psycopg.Error as fault:
            self.close()
            raise StoreUnavailable(_said(fault)) from fault

    def _insert(self, statement: str, values: Sequence[object]) -> list[Key]:
        """Should the lost answer have been "stored", the repeat finds a duplicate: as durable, and never doubled."""
        return self._on_living(lambda: self._execute(statement, values))

    def _on_living(self, act: Callable[[], T]) -> T:
        """Do it once more on a new connection if the old one turns out to be dead: whatever is between us and the
        server may have dropped it while nothing was sent."""
        connection = self._opened()
        try:
            return act()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if not connection.closed:
                raise
            self.close()
            return act()

    def _execute(self, statement: str, values: Sequence[object]) -> list[Key]:
        cursor = self._opened().execute(statement.encode(), values, prepare=True)
        return cursor.fetchall() if cursor.description else []

    def _opened(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url)
            self._connection.execute(_SESSION, (self._statement_ms, self._statement_ms))
        return self._connection


def connect(url: str) -> psycopg.Connection:
    """An autocommitting connection that notices a dead peer within seconds. Raises ``psycopg.OperationalError``."""
    scheme, colon, rest = url.partition("://")
    return psycopg.connect(
        scheme.partition("+")[0] + colon + rest,  # without SQLAlchemy's driver name
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name="truthvouch-bridge",
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=2,
        tcp_user_timeout=3000,
    )


def _said(fault: Exception) -> str:
    """The first line: the rest may quote the values."""
    return (str(fault).splitlines() or [type(fault).__name__])[0]


class PostgresDriver:
    """Implements ``plain.Driver``."""

    is_sqlite = False
    faults: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: str) -> None:
        self._url = url

    def connect(self, *, writes: bool = False) -> psycopg.Connection:
        connection = connect(self._url)
        if not writes:
            connection.execute("SET default_transaction_read_only = on")
        return connection

    def is_living(self, connection: psycopg.Connection) -> bool:
        return not connection.closed

    def ask(self, connection: psycopg.Connection, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        cursor = connection.execute(statement.replace("?", "%s").encode(), values)
        return cursor.fetchall() if cursor.description else []


class PostgresWakeup:
    """Implements ``ports.Wakeup`` by LISTEN and NOTIFY, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._notifiers: dict[int, _Notifier] = {}
        self._listening: psycopg.Connection | None = None

    def notify(self) -> None:
        pid = os.getpid()  # a parent's thread and connection are not ours
        notifier = self._notifiers.get(pid) or self._notifiers.setdefault(pid, _Notifier(self._url))
        notifier.notify()

    def wait(self, timeout: float) -> bool:
        started = time.monotonic()
        try:
            if self._listening is None:
                self._listening = connect(self._url)
                self._listening.execute(f"LISTEN {CHANNEL}")
                return True  # what was sent before is not known
            return self._received(self._listening, timeout)
        except psycopg.Error:
            self._stop_listening()
            time.sleep(max(timeout - (time.monotonic() - started), 0.0))
            return False

    def close(self) -> None:
        """Give both connections back; the next ``notify`` or ``wait`` opens new ones."""
        self._stop_listening()
        notifier = self._notifiers.pop(os.getpid(), None)
        if notifier is not None:
            notifier.close()

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    @staticmethod
    def _received(connection: psycopg.Connection, timeout: float) -> bool:
        received = list(connection.notifies(timeout=max(timeout, 0.0), stop_after=1))
        received += connection.notifies(timeout=0)  # however many there are, the inbox is read once
        return bool(received)


class _Notifier:
    """Notifies from a thread of its own, so that the request that stored a delivery need not wait for the round trip;
    requests that come while it notifies become one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._requested = threading.Event()
        self._closing = False
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="wakeup", daemon=True)

    def notify(self) -> None:
        self._requested.set()
        if self._thread.ident is None:
            with self._starting:
                if self._thread.ident is None:
                    self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._requested.set()
        self._thread.join()

    def _run(self) -> None:
        connection: psycopg.Connection | None = None
        while True:
            self._requested.wait()
            self._requested.clear()
            if self._closing:
                break
            connection = self._notified(connection)
        if connection is not None:
            connection.close()

    def _notified(self, connection: psycopg.Connection | None) -> psycopg.Connection | None:
        """Notify through this connection or a new one; None, and this notification lost, when that fails."""
        try:
            connection = connection or connect(self._url)
            connection.execute(f"NOTIFY {CHANNEL}")
        except psycopg.Error:
            if connection is not None:
                connection.close()
            return None
        return connection
