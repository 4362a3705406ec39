"""The inbox in PostgreSQL, shared by any number of web processes on any number of machines.

One connection for each process and group commit, as on SQLite: one round trip and one WAL flush carry every waiting
thread's row: a sixth more rows a second for a third less processor time than with a connection for each thread
(2 processes x 8 threads), and ten web processes need ten connections, not eighty. The bell rings by itself (``bell``);
a NOTIFY inside the insert would queue all commits of the server behind one lock.
"""

import contextlib
import os
from collections.abc import Sequence

import psycopg

from app.domain.names import Source
from app.ports import Delivery, StoreUnavailable
from app.store.group_commit import PATIENCE_SECONDS, GroupCommit, UnwritableRow
from app.store.inbox_rows import Key, Row, bounds_of, insert_statement, newest_statement, row_of

CONNECT_SECONDS = 2
"""The least libpq knows. https://www.postgresql.org/docs/current/libpq-connect.html"""
_STATEMENTS = tuple(insert_statement(rows, "%s") for rows in range(1, 33))
_NEWEST = newest_statement("%s")
_PROBE: Row = ("", "probe", 0, b"", "", None, 0)
_SESSION = """
SELECT set_config('statement_timeout', %s, false),
       set_config('lock_timeout', %s, false),
       set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                       ELSE current_setting('synchronous_commit') END, false)
"""
"""A server told to lie about commits (``synchronous_commit = off``) is told otherwise; stricter settings stay."""


class PostgresInbox:
    """The durable door on PostgreSQL: threads may share it, and it may be made before a fork."""

    def __init__(self, url: str, patience: float = PATIENCE_SECONDS) -> None:
        self._url = url
        self._patience = patience
        self._sessions: dict[int, _InboxSession] = {}

    def add(self, delivery: Delivery) -> bool:
        """True if new, False if already stored; durable either way. Raises ``StoreUnavailable``."""
        return self._session().commits.add(row_of(delivery))

    def newest_of(self, source: Source, series: str) -> tuple[int, str] | None:
        """The newest delivery of a series: its number and its id. Raises ``StoreUnavailable``."""
        session = self._session()
        with session.commits.alone():
            return max(session.between(source, *bounds_of(series)), default=None)

    def check_writable(self) -> None:
        """Write a row and take it back in one transaction. Raises ``StoreUnavailable``."""
        session = self._session()
        with session.commits.alone():
            session.probe()

    def close(self) -> None:
        """Close this process's connection; the next use opens a new one."""
        session = self._session()
        with session.commits.alone():
            session.close()

    def _session(self) -> "_InboxSession":
        """This process's own; a parent's socket must neither be used nor closed here."""
        pid = os.getpid()
        try:
            return self._sessions[pid]
        except KeyError:
            return self._sessions.setdefault(pid, _InboxSession(self._url, self._patience))


class _InboxSession:
    """One process's connection. Everything but ``commits`` is called by one thread at a time."""

    def __init__(self, url: str, patience: float) -> None:
        self.commits = GroupCommit(self._write, patience)
        self._url = url
        self._statement_ms = str(int(patience * 500))
        self._connection: psycopg.Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def probe(self) -> None:
        try:
            with self._opened().transaction():
                self._execute(_STATEMENTS[0], _PROBE)
                self._execute("DELETE FROM inbox WHERE source = ''", ())
        except psycopg.Error as fault:
            self.close()
            raise StoreUnavailable(_said(fault)) from fault

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
        """Once more on a new connection if the old one turns out to be dead.

        Should the lost answer have been "stored", the repeat finds a duplicate: as durable, and never doubled.
        """
        connection = self._opened()
        try:
            return self._execute(statement, values)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if not connection.closed:
                raise
            self.close()
            return self._execute(statement, values)

    def _execute(self, statement: str, values: Sequence[object]) -> list[Key]:
        cursor = self._opened().execute(statement.encode(), values, prepare=True)
        return cursor.fetchall() if cursor.description else []

    def _opened(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url)
            self._connection.execute(_SESSION, (self._statement_ms, self._statement_ms))
        return self._connection


def _libpq_url(url: str) -> str:
    """The address without SQLAlchemy's driver name."""
    scheme, colon, rest = url.partition("://")
    return scheme.partition("+")[0] + colon + rest


def connect(url: str) -> psycopg.Connection:
    """An autocommitting connection that notices a dead peer within seconds. Raises ``psycopg.OperationalError``."""
    return psycopg.connect(
        _libpq_url(url),
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
