"""Brings both stores to this version's shape; safe when several processes start at once.

What is there is migrated while no worker has it in hand: an older one would not understand what it reads. Whoever
migrates waits for them, and none can begin before it is done.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config

from app.ports import StoreUnavailable
from app.store import revision
from app.store.database import make_private
from app.store.locks import ADVISORY_LOCK, workers_kept_out
from app.store.revision import MIGRATIONS

__all__ = ["MIGRATIONS", "migrate"]

log = structlog.get_logger()

RETRY_SECONDS = 0.2
REPORT_SECONDS = 10.0
"""How often it is said that workers are waited for."""


def migrate(bridge: sa.Engine, inbox: sa.Engine, data_dir: Path) -> None:
    """Create or upgrade the tables of both stores, one process at a time. Waits for workers as long as it takes, but
    only where a store that is there is upgraded.

    Raises ``StoreUnavailable`` when the store cannot be reached or written, ``SchemaTooNew`` when a newer version has
    upgraded it.
    """
    try:
        with _alone(bridge, data_dir):
            found = revision.check(bridge, "bridge")
            revision.check(inbox, "inbox")
            if found in ("", revision.known("bridge")[-1]):
                _upgrade(bridge, "bridge")
            else:
                with _without_workers(bridge, data_dir):
                    _upgrade(bridge, "bridge")
            _upgrade(inbox, "inbox")
    except (OSError, sa.exc.SQLAlchemyError) as fault:
        raise StoreUnavailable(str(getattr(fault, "orig", None) or fault)) from fault


def _upgrade(engine: sa.Engine, branch: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / branch).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        config.attributes["version_table"] = f"{branch}_version"
        command.upgrade(config, "head")


@contextmanager
def _alone(engine: sa.Engine, data_dir: Path) -> Iterator[None]:
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
