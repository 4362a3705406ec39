"""The inbox in a SQLite file of its own.

Raw ``sqlite3``: SQLAlchemy doubles the cost of this one statement. WAL with ``synchronous=FULL``: the commit has been
fsynced when the statement returns (https://www.sqlite.org/pragma.html#pragma_synchronous). Row ids become visible in
their order, which the intake's cursor relies on; a weaker setting with an fsync of our own afterwards would show rows
that a power cut takes back, and give their ids to others.

The shape, measured under gunicorn with 2 processes x 8 threads on a shared machine (``python -m bench.inbox_micro``):
one connection for each process and group commit (``group_commit``), because threads with a connection each fight for
SQLite's write lock (950 rows a second and a 99th percentile of 160 ms, against 1,600 and 30); and a turn between the
processes (``write_turn``), because two processes fight the same way.
"""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from app.domain.names import Source
from app.ports import Delivery, StoreUnavailable
from app.store.group_commit import PATIENCE_SECONDS, GroupCommit, UnwritableRow
from app.store.inbox_rows import Key, Row, bounds_of, insert_statement, newest_statement, row_of
from app.store.write_turn import WriteTurn

LOCK_SECONDS = 0.75
"""How long one commit waits for its turn, and then once more for SQLite's lock: two commits fit into the patience."""
_ROW_FAULTS = (sqlite3.DataError, sqlite3.InterfaceError, UnicodeError, OverflowError)
_STATEMENTS = tuple(insert_statement(rows, "?") for rows in range(1, 33))
_NEWEST = newest_statement("?")
_PROBE: Row = ("", "probe", 0, b"\0" * 4096, "", None, 0)


class SqliteInbox:
    """The durable door on one machine: threads and processes may share it, and it may be made before a fork."""

    def __init__(self, path: Path, patience: float = PATIENCE_SECONDS, lock_seconds: float = LOCK_SECONDS) -> None:
        self._path = path.absolute()
        self._patience = patience
        self._lock_seconds = lock_seconds
        self._files: dict[int, _InboxFile] = {}

    def add(self, delivery: Delivery) -> bool:
        """True if new, False if already stored; on disk either way. Raises ``StoreUnavailable``."""
        return self._file().commits.add(row_of(delivery))

    def newest_of(self, source: Source, series: str) -> tuple[int, str] | None:
        """The newest delivery of a series: its number and its id. Raises ``StoreUnavailable``."""
        file = self._file()
        with file.commits.alone():
            return max(file.between(source, *bounds_of(series)), default=None)

    def check_writable(self) -> None:
        """Write a row and take it back in one fsynced transaction. Raises ``StoreUnavailable``."""
        file = self._file()
        with file.commits.alone():
            file.probe()

    def close(self) -> None:
        """Close this process's connection; the next use opens a new one."""
        file = self._file()
        with file.commits.alone():
            file.close()

    def _file(self) -> "_InboxFile":
        """This process's own. What a parent opened is kept, unused: closing it here would tear the parent's locks down.

        https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
        """
        pid = os.getpid()
        try:
            return self._files[pid]
        except KeyError:
            return self._files.setdefault(pid, _InboxFile(self._path, self._patience, self._lock_seconds))


class _InboxFile:
    """One process's connection. Everything but ``commits`` is called by one thread at a time."""

    def __init__(self, path: Path, patience: float, lock_seconds: float) -> None:
        self.commits = GroupCommit(self._write, patience)
        self._path = path
        self._lock_seconds = lock_seconds
        self._turn = WriteTurn(path, lock_seconds)
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def close(self) -> None:
        self._disconnect()
        self._turn.close()

    def probe(self) -> None:
        try:
            with self._turn:
                connection = self._opened()
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_STATEMENTS[0], _PROBE).fetchall()
                connection.execute("DELETE FROM inbox WHERE source = ''")
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as fault:
            self.close()
            raise StoreUnavailable(str(fault)) from fault

    def between(self, source: str, first: str, last: str) -> list[tuple[int, str]]:
        try:
            return self._opened().execute(_NEWEST, (source, first, last)).fetchall()
        except (sqlite3.Error, OSError) as fault:
            self.close()
            raise StoreUnavailable(str(fault)) from fault

    def _write(self, rows: Sequence[Row]) -> list[Key]:
        values = [value for row in rows for value in row]
        try:
            with self._turn:
                return self._opened().execute(_STATEMENTS[len(rows) - 1], values).fetchall()
        except _ROW_FAULTS as fault:
            self.close()
            raise UnwritableRow(str(fault)) from fault
        except (sqlite3.Error, OSError) as fault:
            self.close()  # a fresh connection is the one repair that fits every fault
            raise StoreUnavailable(str(fault)) from fault

    def _opened(self) -> sqlite3.Connection:
        """The connection to the file that lies at the path now, not to one that was moved away or deleted."""
        found = self._path.stat()
        if self._connection is None or self._identity != (found.st_dev, found.st_ino):
            self._disconnect()
            self._connection = _connect(self._path, self._lock_seconds)
            self._identity = (found.st_dev, found.st_ino)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _connect(path: Path, lock_seconds: float) -> sqlite3.Connection:
    """``mode=rw``: a missing file is a fault to report, not an empty inbox to create."""
    connection = sqlite3.connect(
        path.as_uri() + "?mode=rw", uri=True, isolation_level=None, check_same_thread=False, timeout=lock_seconds
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone leaves the data in the drive's cache
        [mode] = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError(f"the inbox cannot use a write-ahead log here (journal mode {mode})")
    except BaseException:
        connection.close()
        raise
    return connection
