"""Opens the stores and hands out transactions.

SQLite: WAL and synchronous=FULL (a commit is on disk when it returns), a clock with milliseconds for DBOS, whose own
``unixepoch('subsec')`` and ``strftime('%s')`` are missing or whole seconds on older SQLite, and write transactions
that take the lock at once, so that read-then-write never meets a stale snapshot.
"""

import contextlib
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.ports import StoreUnavailable, Tx
from app.store.turns import take_turns

PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that vanished without a word is noticed in seconds: a page must not wait for the system's hours.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
LOG_BYTES = 64 * 1024 * 1024
"""To which a log that a slow reader let grow is cut back."""
APPLICATION = "truthvouch "
"""How every connection's ``application_name`` begins; host, process and a random word follow."""
BUSY_TIMEOUT_MS = 30_000
CACHE_KIB = 512
"""Of each connection, and every delivery thread has one; the system caches the file anyway."""
CHECKPOINT_PAGES = 8_000
"""32 MiB of log between checkpoints: pages that change often are then written home once instead of many times."""


def open_bridge(data_dir: Path, database_url: str | None) -> sa.Engine:
    """The engine over links, time line and the durable engine's own tables. Opens nothing yet."""
    if database_url:
        return _postgres(database_url)
    return _sqlite(data_dir / "bridge.db")


def open_inbox(data_dir: Path, database_url: str | None) -> sa.Engine:
    """The engine over the inbox: a file of its own on SQLite, the same database on PostgreSQL."""
    if database_url:
        return _postgres(database_url)
    return _sqlite(data_dir / "inbox.db")


def _postgres(url: str) -> sa.Engine:
    parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
    name = f"{APPLICATION}{socket.gethostname()[:24]} {os.getpid()} {secrets.token_hex(4)}"  # at most 63 bytes
    return sa.create_engine(
        parsed,
        pool_size=20,
        max_overflow=20,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=PATIENCE | {"application_name": name},
    )


def _sqlite(path: Path) -> sa.Engine:
    make_private(path.parent)
    engine = sa.create_engine(f"sqlite:///{path}", pool_size=40, max_overflow=40, hide_parameters=True)
    sa.event.listen(engine, "do_connect", lambda *_: _make_file(path))
    sa.event.listen(engine, "connect", _prepare)
    take_turns(engine)
    return engine


def make_private(folder: Path) -> None:
    """Make the data directory, for its owner alone: alerts with their prompts lie in it as they came.

    One that is there keeps its mode, which may be meant; ``truthvouch doctor`` says who can read it. Raises
    ``StoreUnavailable``.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        why = "it is a file" if folder.is_file() else fault.strerror
        raise StoreUnavailable(f"the folder {folder} cannot be made: {why}") from fault


def _make_file(path: Path) -> None:
    """An empty file is an empty database. SQLite itself would make it readable by all; its logs take its mode.

    One that is there is not even opened: to close it would end the locks that this process's connections hold on it.
    https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    """
    with contextlib.suppress(OSError):  # it is there; or SQLite will say what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_WRONLY, 0o600))


def check_made(data_dir: Path, database_url: str | None) -> None:
    """Raise ``StoreUnavailable`` unless somebody has made the store: looking must not make one."""
    if not database_url and not (data_dir / "bridge.db").exists():
        raise StoreUnavailable(f"there is no bridge.db in {data_dir.absolute()}")


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
    connection.create_function("unixepoch", -1, _unixepoch)
    connection.create_function("strftime", -1, _strftime)


def _unixepoch(*_args: str) -> float:
    """``unixepoch('subsec')``: SQLite knows it from 3.42 on."""
    return round(time.time(), 3)


def _strftime(form: str, *_args: str) -> float | str:
    """``strftime('%s','now')``, the one form DBOS uses, with milliseconds instead of whole seconds."""
    return round(time.time(), 3) if form == "%s" else time.strftime(form, time.gmtime())


READ_ONLY = "25006"
"""A server that was just made a standby, or refuses writes to save its disk.
https://www.postgresql.org/docs/current/errcodes-appendix.html"""


GONE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, sa.exc.PendingRollbackError)


class Database:
    """Write transactions over one SQLAlchemy engine: all or nothing, durable on leaving."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._lock_first = engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        """One write transaction. Raises ``StoreUnavailable`` when the store cannot be reached or written."""
        try:
            with self.engine.connect() as connection:
                if self._lock_first:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield Tx(connection)
                connection.commit()
        except sa.exc.SQLAlchemyError as fault:
            if is_gone(fault):
                raise StoreUnavailable(str(getattr(fault, "orig", None) or fault)) from fault
            raise

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A look that locks nobody out."""
        try:
            with self.engine.connect() as connection:
                yield Tx(connection)
        except sa.exc.SQLAlchemyError as fault:
            if is_gone(fault):
                raise StoreUnavailable(str(getattr(fault, "orig", None) or fault)) from fault
            raise


def is_gone(fault: sa.exc.SQLAlchemyError) -> bool:
    """Whether the store is the reason: not there, or not writable now. A row that it refuses is another matter."""
    if isinstance(fault, GONE):
        return True
    if not isinstance(fault, sa.exc.DBAPIError):
        return False
    return fault.connection_invalidated or getattr(fault.orig, "sqlstate", None) == READ_ONLY


def connection(tx: Tx) -> sa.Connection:
    """What a transaction is inside this room."""
    assert isinstance(tx, sa.Connection)
    return tx
