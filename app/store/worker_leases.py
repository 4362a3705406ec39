"""Who may work: on SQLite one worker per data directory, on PostgreSQL one per executor slot and one leader."""

import fcntl
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from app.ports import LeaseLost
from app.store.database import APPLICATION, KEY_VALUES, Database, connection, make_private, unavailable
from app.store.schema import key_values

ADVISORY_LOCK = 0x7472757468
"""Any number nobody else in the database uses: held by whoever migrates."""
LEADER = ADVISORY_LOCK + 1
FIRST_SLOT = ADVISORY_LOCK + 1000
SLOTS = 64
"""How many workers may share one PostgreSQL."""
EXECUTOR_PREFIX = "worker-"
"""A lease's number behind it is the executor id. A stored name."""
HEARTBEAT_PREFIX = "worker.seen."
"""The executor id behind it names that worker's own sign of life."""
_clock = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Goes on while the machine is suspended."""
ASK_SECONDS = 1.0
"""Between two questions whether the session lives, as long as the server sends nothing on it."""


class FileLease:
    """The one worker's lease in a data directory: freed by the system the moment its holder dies."""

    def __init__(self, data_dir: Path) -> None:
        make_private(data_dir)
        self._path = data_dir / "worker.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> str | None:
        self._file = self._file or self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return "main"

    def leads(self) -> bool:
        return True

    def beat(self) -> None:
        """Nobody watches the only worker's lease."""

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class PostgresLease:
    """One of many leases, held by a session's advisory lock: PostgreSQL frees it when the session ends.

    A lease's number is the executor id, so whoever acquires a dead worker's lease takes up its work.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._session: sa.Connection | None = None
        self._executor_id = ""
        self._leading = False
        self._asked_at = 0.0

    def acquire(self) -> str | None:
        """The executor id, or None when every lease is taken. Raises ``StoreUnavailable``."""
        try:
            if self._session is None:
                self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            for slot in range(SLOTS):
                if self._is(sa.select(sa.func.pg_try_advisory_lock(FIRST_SLOT + slot))):
                    self._executor_id = f"{EXECUTOR_PREFIX}{slot}"
                    return self._executor_id
        except sa.exc.SQLAlchemyError as fault:
            self.release()
            raise unavailable(fault) from fault
        return None

    def leads(self) -> bool:
        """Whether this worker is the one that takes the inbox in; the first to ask, until its session ends.

        Raises ``LeaseLost`` when the session is gone: its locks are, and another worker may hold this lease now.
        """
        try:
            if self._leading and _clock() - self._asked_at < ASK_SECONDS and self._is_quiet():
                return True
            self._asked_at = _clock()
            alive = self._leading and self._is(sa.select(sa.literal(1)))
            self._leading = alive or self._is(sa.select(sa.func.pg_try_advisory_lock(LEADER)))
        except sa.exc.SQLAlchemyError as fault:
            raise LeaseLost(type(fault).__name__) from fault
        return self._leading

    def beat(self) -> None:
        with Database(self._engine).begin() as tx:
            KEY_VALUES.put(tx, HEARTBEAT_PREFIX + self._executor_id, datetime.now(UTC).isoformat())

    def release(self) -> None:
        if self._session is not None:
            with suppress(sa.exc.SQLAlchemyError):
                self._session.invalidate()
            self._session.close()
            self._session = None

    def _is_quiet(self) -> bool:
        """Whether the server has sent nothing: it says so when it ends a session, and so does a broken connection."""
        assert self._session is not None
        driver: Any = self._session.connection.driver_connection
        if driver.closed:
            return False
        heard = select.poll()
        heard.register(driver.fileno(), select.POLLIN)
        return not heard.poll(0)

    def _is(self, question: sa.Select[Any]) -> bool:
        assert self._session is not None
        return bool(self._session.execute(question).scalar_one())


_LEASES = """
(SELECT pid, (classid::bigint << 32 | objid::bigint) - :first AS slot FROM pg_locks
 WHERE locktype = 'advisory' AND objsubid = 1 AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (classid::bigint << 32 | objid::bigint) BETWEEN :first AND :last) AS lease
"""
"""https://www.postgresql.org/docs/current/view-pg-locks.html: a bigint key is classid (high half) and objid (low)."""
_HELD = sa.text(f"SELECT count(*) FROM {_LEASES}")  # noqa: S608 - our own words only
_HOLDERS = sa.text(
    f"SELECT slot, pid, value FROM {_LEASES} LEFT JOIN marks ON name = CAST(:heartbeat AS text) || slot"  # noqa: S608
)
_LEFT_OVER = sa.text("SELECT count(*) FROM generate_series(:first, :last) AS key WHERE NOT pg_try_advisory_lock(key)")


@contextmanager
def workers_kept_out(engine: sa.Engine, data_dir: Path) -> Iterator[int]:
    """How many workers hold a lease. If none does, none can take one before the block ends, not even one that starts
    anew."""
    if engine.dialect.name == "sqlite":
        lease = FileLease(data_dir)
        try:
            yield 1 if lease.acquire() is None else 0
        finally:
            lease.release()
        return
    keys = {"first": FIRST_SLOT, "last": FIRST_SLOT + SLOTS - 1}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        # Looked at before anything is locked: workers end a session that holds a lease and shows no sign of life.
        held: int = session.execute(_HELD, keys).scalar_one()
        if held:
            yield held
            return
        try:
            yield session.execute(_LEFT_OVER, keys).scalar_one()
        finally:
            with suppress(sa.exc.SQLAlchemyError):
                session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            session.invalidate()  # the locks end with the session, whatever went wrong


_END = sa.text("""
SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND (a.pid = :pid OR a.application_name = (
    SELECT application_name FROM pg_stat_activity WHERE pid = :pid AND starts_with(application_name, :ours)))
  AND EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = :pid AND l.locktype = 'advisory' AND l.objsubid = 1
    AND l.granted AND (l.classid::bigint << 32 | l.objid::bigint) = :key)
""")
"""All sessions of that process: a stopped one may hold a link's lock in the middle of a transaction."""


class PostgresLeases:
    """The leases of all workers on one PostgreSQL, as one of them sees them. Its methods raise ``StoreUnavailable``."""

    def __init__(self, engine: sa.Engine) -> None:
        self._database = Database(engine)

    @contextmanager
    def vacant(self, executor_id: str) -> Iterator[bool]:
        slot = executor_id.removeprefix(EXECUTOR_PREFIX)
        if not (executor_id.startswith(EXECUTOR_PREFIX) and slot.isdigit()):
            yield False
            return
        key = FIRST_SLOT + int(slot)
        try:
            with self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
                free = bool(session.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one())
                try:
                    yield free
                finally:
                    if free:
                        session.invalidate()  # ends the session, and the lock with it, whatever went wrong
        except sa.exc.SQLAlchemyError as fault:
            raise unavailable(fault) from fault

    def holders(self) -> Mapping[str, tuple[int, str | None]]:
        """By executor id: the process id of the session on the server, and the last sign of life."""
        bounds = {"first": FIRST_SLOT, "last": FIRST_SLOT + SLOTS - 1, "heartbeat": HEARTBEAT_PREFIX + EXECUTOR_PREFIX}
        with self._database.read() as tx:
            rows = connection(tx).execute(_HOLDERS, bounds).all()
        return {f"{EXECUTOR_PREFIX}{slot}": (pid, seen) for slot, pid, seen in rows}

    def end(self, executor_id: str, pid: int) -> int:
        key = FIRST_SLOT + int(executor_id.removeprefix(EXECUTOR_PREFIX))
        with self._database.begin() as tx:
            return int(connection(tx).execute(_END, {"pid": pid, "key": key, "ours": APPLICATION}).scalar_one())

    def forget(self, executor_id: str) -> None:
        with self._database.begin() as tx:
            connection(tx).execute(sa.delete(key_values).where(key_values.c.name == HEARTBEAT_PREFIX + executor_id))
