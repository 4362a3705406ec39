"""The seats of all workers on one PostgreSQL, as one of them sees them: who sits, who does not move any more."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa

from app.ports import StoreUnavailable
from app.store.database import APPLICATION, Database, connection
from app.store.locks import FIRST_SLOT, PULSE, SEAT, SLOTS
from app.store.schema import marks

_HOLDERS = sa.text("""
SELECT (l.classid::bigint << 32 | l.objid::bigint) - :first AS slot, l.pid, m.value
FROM pg_locks l
LEFT JOIN marks m ON m.name = CAST(:pulse AS text) || ((l.classid::bigint << 32 | l.objid::bigint) - :first)
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) BETWEEN :first AND :last
""")
"""https://www.postgresql.org/docs/current/view-pg-locks.html: a bigint key is classid (high half) and objid (low)."""

_END = sa.text("""
SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND (a.pid = :pid OR a.application_name = (
    SELECT application_name FROM pg_stat_activity WHERE pid = :pid AND starts_with(application_name, :ours)))
  AND EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = :pid AND l.locktype = 'advisory' AND l.objsubid = 1
    AND l.granted AND (l.classid::bigint << 32 | l.objid::bigint) = :key)
""")
"""All sessions of that process: a stopped one may hold a link's lock in the middle of a transaction."""


class PostgresSeats:
    """Finds vacant seats and frees those whose holder hangs."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._database = Database(engine)

    @contextmanager
    def vacant(self, executor_id: str) -> Iterator[bool]:
        """Whether nobody sits there; if so, nobody can sit down before this block ends. Raises ``StoreUnavailable``."""
        slot = executor_id.removeprefix(SEAT)
        if not (executor_id.startswith(SEAT) and slot.isdigit()):
            yield False
            return
        key = FIRST_SLOT + int(slot)
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
                free = bool(session.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar_one())
                try:
                    yield free
                finally:
                    if free:
                        session.invalidate()  # ends the session, and the lock with it, whatever went wrong
        except sa.exc.SQLAlchemyError as fault:
            raise StoreUnavailable(str(getattr(fault, "orig", None) or fault)) from fault

    def holders(self) -> Mapping[str, tuple[int, str | None]]:
        """Every taken seat: its session's process id, and the holder's last sign of life (None before the first).

        Raises ``StoreUnavailable``.
        """
        bounds = {"first": FIRST_SLOT, "last": FIRST_SLOT + SLOTS - 1, "pulse": PULSE + SEAT}
        with self._database.read() as tx:
            rows = connection(tx).execute(_HOLDERS, bounds).all()
        return {f"{SEAT}{slot}": (pid, seen) for slot, pid, seen in rows}

    def end(self, executor_id: str, pid: int) -> int:
        """End all sessions of whoever holds this seat, if that process still does; the answer is how many.

        Raises ``StoreUnavailable``.
        """
        key = FIRST_SLOT + int(executor_id.removeprefix(SEAT))
        with self._database.begin() as tx:
            asked = {"pid": pid, "key": key, "ours": APPLICATION}
            ended: int = connection(tx).execute(_END, asked).scalar_one()
        return ended

    def forget(self, executor_id: str) -> None:
        """No sign of life is left of a seat that nobody sits on. Raises ``StoreUnavailable``."""
        with self._database.begin() as tx:
            connection(tx).execute(sa.delete(marks).where(marks.c.name == PULSE + executor_id))
