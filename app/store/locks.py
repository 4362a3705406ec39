"""Who may work: on SQLite one worker per data directory, on PostgreSQL one per executor slot and one leader."""

import contextlib
import fcntl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from app.ports import SeatLost, StoreUnavailable
from app.store.database import Database, make_private
from app.store.marks import StoredMarks

ADVISORY_LOCK = 0x7472757468
"""Any number nobody else in the database uses: held by whoever migrates."""
LEADER = ADVISORY_LOCK + 1
FIRST_SLOT = ADVISORY_LOCK + 1000
SLOTS = 64
"""How many workers may share one PostgreSQL."""
SEAT = "worker-"
"""A seat's number behind it is the executor id."""
PULSE = "worker.seen."
"""The executor id behind it names the mark of that worker's own sign of life."""


class FileSeat:
    """The one worker's seat in a data directory: freed by the system the moment its holder dies."""

    def __init__(self, data_dir: Path) -> None:
        make_private(data_dir)
        self._path = data_dir / "worker.lock"
        self._file: IO[str] | None = None

    def take(self) -> str | None:
        """The executor id, or None while another worker holds the seat."""
        self._file = self._file or self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        return "main"

    def leads(self) -> bool:
        """The only worker leads."""
        return True

    def beat(self) -> None:
        """Nobody watches the only worker's seat."""

    def leave(self) -> None:
        """Give the seat up."""
        if self._file is not None:
            self._file.close()
            self._file = None


class PostgresSeat:
    """One of many seats, held by a session's advisory lock: PostgreSQL frees it when the session ends.

    A seat's number is the executor id, so whoever sits down on a dead worker's seat takes up its work.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._marks = StoredMarks()
        self._session: sa.Connection | None = None
        self._executor_id = ""
        self._leading = False

    def take(self) -> str | None:
        """The executor id, or None when every seat is taken. Raises ``StoreUnavailable``."""
        try:
            if self._session is None:
                self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            for slot in range(SLOTS):
                if self._try(FIRST_SLOT + slot):
                    self._executor_id = f"{SEAT}{slot}"
                    return self._executor_id
        except sa.exc.SQLAlchemyError as fault:
            self.leave()
            raise StoreUnavailable(str(getattr(fault, "orig", None) or fault)) from fault
        return None

    def leads(self) -> bool:
        """Whether this worker is the one that takes the inbox in; the first to ask, until its session ends.

        Raises ``SeatLost`` when the session is gone: its locks are, and somebody else may sit here now.
        """
        try:
            self._leading = (self._leading and self._alive()) or self._try(LEADER)
        except sa.exc.SQLAlchemyError as fault:
            raise SeatLost(type(fault).__name__) from fault
        return self._leading

    def beat(self) -> None:
        """Show the others that this worker does not hang. Raises ``StoreUnavailable``."""
        with Database(self._engine).begin() as tx:
            self._marks.put(tx, PULSE + self._executor_id, datetime.now(UTC).isoformat())

    def leave(self) -> None:
        """Give seat and lead up."""
        if self._session is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                self._session.invalidate()
            self._session.close()
            self._session = None

    def _try(self, key: int) -> bool:
        assert self._session is not None
        return bool(self._session.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one())

    def _alive(self) -> bool:
        assert self._session is not None
        return bool(self._session.execute(sa.select(sa.literal(1))).scalar_one())


_HELD = sa.text("""
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32 | objid::bigint) BETWEEN :first AND :last
""")
"""https://www.postgresql.org/docs/current/view-pg-locks.html: a bigint key is classid (high half) and objid (low)."""
_LEFT_OVER = sa.text("SELECT count(*) FROM generate_series(:first, :last) AS key WHERE NOT pg_try_advisory_lock(key)")


@contextlib.contextmanager
def workers_kept_out(engine: sa.Engine, data_dir: Path) -> Iterator[int]:
    """How many workers hold a seat. If none does, none can take one before the block ends, not even one that starts
    anew."""
    if engine.dialect.name == "sqlite":
        seat = FileSeat(data_dir)
        try:
            yield 1 if seat.take() is None else 0
        finally:
            seat.leave()
        return
    keys = {"first": FIRST_SLOT, "last": FIRST_SLOT + SLOTS - 1}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        # Looked at before anything is locked: workers end a session that holds a seat and shows no sign of life.
        held: int = session.execute(_HELD, keys).scalar_one()
        if held:
            yield held
            return
        try:
            yield session.execute(_LEFT_OVER, keys).scalar_one()
        finally:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            session.invalidate()  # the locks end with the session, whatever went wrong
