"""Brings both stores to this version's shape; safe when several processes start at once.

What is there is migrated while no worker has it in hand: an older one would not understand what it reads. Whoever
migrates waits for them, and none can begin before it is done.
"""

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config

from app.domain.rules.rulebook import Redaction
from app.domain.sync.link import Link
from app.ports import Tx
from app.store import database
from app.store.database import KEY_VALUES, MIGRATIONS, Database, connection, make_private
from app.store.figures import Change, write_figures
from app.store.links import LINK_COLUMNS, read_links
from app.store.schema import links
from app.store.worker_leases import ADVISORY_LOCK, workers_kept_out

log = structlog.get_logger()

RETRY_SECONDS = 0.2
ERASES = "0008"
"""The first revision of the bridge's store that belongs to a version which overwrites what it deletes."""
REPORT_SECONDS = 10.0
"""How often it is said that workers are waited for."""


def migrate(
    bridge: sa.Engine, inbox: sa.Engine, data_dir: Path, redaction: Callable[[], Redaction] = Redaction
) -> None:
    """Create or upgrade the tables of both stores, one process at a time. Waits for workers as long as it takes, but
    only where a store that is there is upgraded. ``redaction``: what may be in the titles of links that are there.

    Raises ``StoreUnavailable`` when the store cannot be reached or written, ``StoreRefused`` where this program must
    not work on it.
    """
    try:
        with alone(bridge, data_dir):
            found = database.check(bridge, "bridge")
            database.check(inbox, "inbox")
            upgraded = found == database.known("bridge")[-1] and _is_filled(bridge)
            with nullcontext() if upgraded or not found else _without_workers(bridge, data_dir):
                _upgrade(bridge, "bridge")
                _fill_figures(bridge, redaction)
                if found and found < ERASES:
                    _rewrite(bridge)
            _upgrade(inbox, "inbox")
            if found and found < ERASES:
                _rewrite(inbox)
    except (OSError, sa.exc.SQLAlchemyError) as fault:
        raise database.unavailable(fault) from fault


def _rewrite(engine: sa.Engine) -> None:
    """Write a SQLite file anew. Versions before ``ERASES`` left what they deleted in its free pages. Where that is not
    possible, for want of space or because somebody uses the file, the bridge starts all the same."""
    if engine.dialect.name != "sqlite":
        return
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(database.GIVES_BACK)
            connection.exec_driver_sql("VACUUM")
    except sa.exc.SQLAlchemyError as fault:
        log.warning("migration.not_rewritten", reason=str(database.unavailable(fault)), remedy="docs/privacy.md")


def _upgrade(engine: sa.Engine, branch: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / branch).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        config.attributes["version_table"] = f"{branch}_version"
        command.upgrade(config, "head")


@contextmanager
def alone(engine: sa.Engine, data_dir: Path) -> Iterator[None]:
    """One process migrates; the others wait, also while it waits for workers: those migrate before they work, so nobody
    who works ever waits here."""
    if engine.dialect.name == "sqlite":
        make_private(data_dir)
        with (data_dir / "migrate.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        # Asked again and again: a statement that waits for hours would keep the server from cleaning up.
        while not session.execute(sa.select(sa.func.pg_try_advisory_lock(ADVISORY_LOCK))).scalar_one():
            time.sleep(RETRY_SECONDS)
        try:
            yield
        finally:
            session.execute(sa.select(sa.func.pg_advisory_unlock(ADVISORY_LOCK)))


@contextmanager
def _without_workers(engine: sa.Engine, data_dir: Path) -> Iterator[None]:
    """Wait until no worker works on this store; none can begin before the block ends."""
    reported_at: float | None = None
    while True:
        with workers_kept_out(engine, data_dir) as workers:
            if not workers:
                if reported_at is not None:
                    log.info("migration.started")
                yield
                return
        if reported_at is None or time.monotonic() - reported_at >= REPORT_SECONDS:
            log.warning("migration.waiting", workers=workers, because="an older version of the bridge still works here")
            reported_at = time.monotonic()
        time.sleep(RETRY_SECONDS)


# The figures of links that older versions stored. The links are read as this version reads them, so a later revision
# may move whatever it likes.

FILLED = "figures.filled"
"""Key: up to which link the figures are written; ``all`` once there are no more to write."""
EVERY_LINK = "all"
ROWS_AT_ONCE = 500
REPORT_ROWS = 10_000

_numbers = (
    sa.select(links.c.id).where(links.c.id > sa.bindparam("after")).order_by(links.c.id).limit(ROWS_AT_ONCE)
)  # fmt: skip
_some = sa.select(*LINK_COLUMNS).where(links.c.id.in_(sa.bindparam("ids", expanding=True)))


def _is_filled(engine: sa.Engine) -> bool:
    with Database(engine).read() as tx:
        return KEY_VALUES.read(tx, FILLED) == EVERY_LINK


def _fill_figures(engine: sa.Engine, redaction: Callable[[], Redaction]) -> None:
    """Write the figures of every link, some links at a time; what was interrupted goes on where it was."""
    store, done, unreadable = Database(engine), 0, 0
    while not _is_filled(engine):
        with store.begin() as tx:
            reached = int(KEY_VALUES.read(tx, FILLED) or 0)
            ids = connection(tx).execute(_numbers, {"after": reached}).scalars().all()
            found = _readable(tx, ids) if ids else ()
            write_figures(tx, (Change(None, link) for link in found), redaction)
            KEY_VALUES.put(tx, FILLED, str(ids[-1]) if ids else EVERY_LINK)
        before, done, unreadable = done, done + len(ids), unreadable + len(ids) - len(found)
        if done // REPORT_ROWS > before // REPORT_ROWS:
            log.info("figures.filling", links=done)
    if done:
        log.info("figures.filled", links=done, unreadable=unreadable)


def _readable(tx: Tx, ids: Sequence[int]) -> tuple[Link, ...]:
    """One that nobody can read counts for nothing."""
    try:
        return read_links(tx, _some, {"ids": ids})
    except ValueError:
        halves = (ids[: len(ids) // 2], ids[len(ids) // 2 :]) if len(ids) > 1 else ()
        return tuple(link for half in halves for link in _readable(tx, half))
