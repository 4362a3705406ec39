"""Opens the stores and hands out transactions.

SQLite: WAL and synchronous=FULL (a commit is on disk when it returns), a clock with milliseconds for DBOS, whose own
``unixepoch('subsec')`` and ``strftime('%s')`` are missing or whole seconds on older SQLite, and write transactions
that take the lock at once, so that read-then-write never meets a stale snapshot.

A mutex serializes the writers of one process before SQLite does.
"""

import contextlib
import os
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from app.ports import StoreUnavailable, Tx
from app.store.plain import PRAGMAS, StoreRefused
from app.store.prepared import Prepared
from app.store.schema import key_values

# SQLite's own busy handler sleeps in growing steps and lets whoever wakes luckiest go first: with a dozen threads it
# costs most of the throughput and seconds of the tail. A mutex wakes the next writer at once.

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN")
HOLDS_MUTEX = "write_mutex"
MUTEX_TIMEOUT_SECONDS = 30.0


class MutexTimeout(sa.exc.TimeoutError):
    """The write mutex was not released for half a minute."""


def serialize_writes(engine: sa.Engine) -> None:
    """Make the writers of this engine queue for a mutex from their first write until their connection is given back."""
    mutex = threading.Lock()

    def before(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if HOLDS_MUTEX not in connection.info and statement.lstrip()[:7].upper().startswith(WRITES):
            if not mutex.acquire(timeout=MUTEX_TIMEOUT_SECONDS):
                raise MutexTimeout("the store's write mutex was not free for 30 seconds")
            connection.info[HOLDS_MUTEX] = True

    def given_back(_dbapi_connection: Any, record: Any) -> None:
        if record.info.pop(HOLDS_MUTEX, None):
            mutex.release()

    sa.event.listen(engine, "before_cursor_execute", before)
    sa.event.listen(engine, "checkin", given_back)
    sa.event.listen(engine, "invalidate", lambda connection, record, _fault: given_back(connection, record))


CONNECT_TIMEOUTS = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that vanished without a word is noticed in seconds: a page must not wait for the system's hours.
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
APPLICATION = "truthvouch "
"""How every connection's ``application_name`` begins; host, process and a random word follow."""

GIVES_BACK = "PRAGMA auto_vacuum=INCREMENTAL"
"""Free pages can be given back some at a time. It counts for a file without pages, and when one is written anew."""
USED_AT, RESTED_SECONDS = "used_at", 1.0


def open_bridge(data_dir: Path, database_url: str | None) -> sa.Engine:
    """The engine over links, time line and the durable engine's own tables. Opens nothing yet."""
    return _postgres(database_url) if database_url else _sqlite(data_dir / "bridge.db")


def open_inbox(data_dir: Path, database_url: str | None) -> sa.Engine:
    """The engine over the inbox: a file of its own on SQLite, the same database on PostgreSQL."""
    return _postgres(database_url) if database_url else _sqlite(data_dir / "inbox.db")


def _postgres(url: str) -> sa.Engine:
    parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
    name = f"{APPLICATION}{socket.gethostname()[:24]} {os.getpid()} {secrets.token_hex(4)}"  # at most 63 bytes
    engine = sa.create_engine(
        parsed,
        pool_size=20,
        max_overflow=20,
        pool_use_lifo=True,  # few are in use, and the others are not kept awake
        hide_parameters=True,
        connect_args=CONNECT_TIMEOUTS | {"application_name": name},
    )
    ping_the_rested(engine)
    return engine


def ping_the_rested(engine: sa.Engine) -> None:
    """Try a connection that nobody used for a while before it is given to anybody: its server may have restarted. One
    that was used a moment ago is not asked, which would be a round trip more for each transaction."""

    def given(driver: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get(USED_AT, 0.0) < RESTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(driver)
        except sa.exc.SQLAlchemyError as fault:
            raise sa.exc.DisconnectionError from fault
        except engine.dialect.loaded_dbapi.Error as fault:
            raise sa.exc.DisconnectionError from fault

    def given_back(_driver: Any, record: Any) -> None:
        record.info[USED_AT] = time.monotonic()

    sa.event.listen(engine, "checkout", given)
    sa.event.listen(engine, "checkin", given_back)


def _sqlite(path: Path) -> sa.Engine:
    make_private(path.parent)
    engine = sa.create_engine(
        f"sqlite:///{path}",
        pool_size=40,
        max_overflow=40,
        pool_use_lifo=True,  # whoever wrote last knows the file's pages; any other connection has to read them anew
        hide_parameters=True,
    )
    sa.event.listen(engine, "do_connect", lambda *_: _make_file(path))
    sa.event.listen(engine, "connect", _prepare)
    serialize_writes(engine)
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


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={PRAGMAS['busy_timeout']}")
    if not connection.execute("PRAGMA page_count").fetchone()[0]:  # on another it would wait for whoever writes
        connection.execute(GIVES_BACK)
    for setting, value in PRAGMAS.items():
        connection.execute(f"PRAGMA {setting}={value}")
    connection.create_function("unixepoch", -1, lambda *_: _strftime("%s"))
    connection.create_function("strftime", -1, _strftime)


def _strftime(form: str, *_args: str) -> float | str:
    """``strftime('%s','now')``, the one form DBOS uses, with milliseconds instead of whole seconds; and
    ``unixepoch('subsec')``, which SQLite knows from 3.42 on."""
    return round(time.time(), 3) if form == "%s" else time.strftime(form, time.gmtime())


READ_ONLY = "25006"
"""A server that was just made a standby, or refuses writes to save its disk.
https://www.postgresql.org/docs/current/errcodes-appendix.html"""


log = structlog.get_logger()

_afterwards: WeakKeyDictionary[sa.Connection, list[Callable[[], None]]] = WeakKeyDictionary()
"""What is to be done when these transactions have committed."""

GONE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, sa.exc.PendingRollbackError)


class Database:
    """Implements ``ports.Transactions`` over one SQLAlchemy engine."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._lock_first = engine.dialect.name == "sqlite"
        # A transaction would be two round trips more, and isolates nothing: each statement sees what is committed.
        self._reading = engine if self._lock_first else engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        with reachable(self.engine) as connection:
            connection.begin()  # what the driver itself runs would begin nothing that a commit here ends
            if self._lock_first:
                _lock.run(Tx(connection), [{}])
            yield Tx(connection)
            connection.commit()
            acts = _afterwards.pop(connection, ())
        for act in acts:
            try:
                act()
            except Exception:  # what is committed stands, and the others are to be done
                log.exception("commit.not_followed")

    def after_commit(self, tx: Tx, act: Callable[[], None]) -> None:
        _afterwards.setdefault(connection(tx), []).append(act)

    def read(self) -> AbstractContextManager[Tx]:
        return cast("AbstractContextManager[Tx]", reachable(self._reading))


@contextmanager
def reachable(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection. Raises ``StoreUnavailable`` where the store is the reason that something fails on it."""
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.SQLAlchemyError as fault:
        if is_gone(fault):
            raise unavailable(fault) from fault
        raise


@contextmanager
def readable(engine: sa.Engine) -> Iterator[sa.Connection]:
    """The same for readers: ``StoreUnavailable`` for whatever else the driver says, too, of a broken file say."""
    try:
        with reachable(engine) as connection:
            yield connection
    except sa.exc.DBAPIError as fault:
        raise unavailable(fault) from fault


def unavailable(fault: Exception) -> StoreUnavailable:
    """The fault in the driver's words, without the statement."""
    return StoreUnavailable(str(getattr(fault, "orig", None) or fault))


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


MIGRATIONS = Path(__file__).parent / "migrations"


CLOSED = "store.closed"
"""Key: why no bridge may work on this store, for people; absent on every other. A stored name."""


class SchemaTooNew(StoreRefused):
    """A newer version of the bridge has migrated the store; this one must not touch it."""


class StoreClosed(StoreRefused):
    """The store was copied elsewhere, or what is copied into it is not complete."""


def known(branch: str) -> tuple[str, ...]:
    """The revisions of a store (``bridge`` or ``inbox``) that this program knows, oldest first."""
    return tuple(sorted(path.stem.partition("_")[0] for path in (MIGRATIONS / branch / "versions").glob("[0-9]*.py")))


def stored(engine: sa.Engine, branch: str) -> str:
    """The revision that the store has; empty where it was never migrated. Raises ``StoreUnavailable``; and the driver's
    own error where the store answers and cannot be read, for that does not end by waiting."""
    table = sa.table(f"{branch}_version", sa.column("version_num"))
    with reachable(engine) as reader:
        if not sa.inspect(reader).has_table(table.name):
            return ""
        return reader.execute(sa.select(table.c.version_num)).scalar_one_or_none() or ""


def check(engine: sa.Engine, branch: str) -> str:
    """The revision that the store has. Raises ``SchemaTooNew`` when this program does not know it, ``StoreClosed``
    where the bridge's own store says so, and ``StoreUnavailable``."""
    found, ours = stored(engine, branch), known(branch)
    if found and found not in ours:
        raise SchemaTooNew(
            f"A newer version of the bridge has upgraded this store: the {branch} tables have revision {found}, and "
            f"this version knows up to {ours[-1]}. Start the newer version instead. Nothing was changed."
        )
    if found and branch == "bridge":
        with Database(engine).read() as tx:
            closed = KEY_VALUES.read(tx, CLOSED)
        if closed is not None:
            raise StoreClosed(closed)
    return found


_lock = Prepared(sa.text("BEGIN IMMEDIATE"))
_value = Prepared(sa.select(key_values.c.value).where(key_values.c.name == sa.bindparam("wanted")))


def upserting(table: sa.Table) -> Prepared:
    """Writes whole rows of this table, new or not."""
    made = {}
    for dialect, insert in (("sqlite", sqlite_insert(table)), ("postgresql", postgres_insert(table))):
        key = [column.name for column in table.primary_key]
        values = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in key}
        made[dialect] = insert.on_conflict_do_update(index_elements=key, set_=values)
    return Prepared(made)


_put = upserting(key_values)


class StoredKeyValues:
    """Implements ``ports.KeyValueStore``."""

    def read(self, tx: Tx, name: str) -> str | None:
        row = _value.row(tx, {"wanted": name})
        return row.value if row else None

    def all(self, tx: Tx) -> dict[str, str]:
        """Every text, by name."""
        return dict(connection(tx).execute(sa.select(key_values.c.name, key_values.c.value)).all())

    def put(self, tx: Tx, name: str, value: str) -> None:
        self.put_all(tx, {name: value})

    def put_all(self, tx: Tx, values: Mapping[str, str]) -> None:
        """Write these texts, by name."""
        _put.run(tx, [{"name": name, "value": value} for name, value in values.items()])

    def clear(self, tx: Tx, name: str) -> None:
        connection(tx).execute(sa.delete(key_values).where(key_values.c.name == name))


KEY_VALUES = StoredKeyValues()


def upsert(connection: sa.Connection, table: sa.Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Write one row, new or not."""
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
    row = insert(table).values(**key, **values)
    connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=values))
