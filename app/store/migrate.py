"""Brings both stores to this version's shape; safe when several processes start at once."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from app.ports import StoreUnavailable
from app.store.database import make_private

MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x7472757468
"""Any number nobody else in the database uses."""


def migrate(bridge: sa.Engine, inbox: sa.Engine, data_dir: Path) -> None:
    """Create or upgrade the tables of both stores, one process at a time.

    Raises ``StoreUnavailable`` when the store cannot be reached or written.
    """
    try:
        with _alone(bridge, data_dir):
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
    if engine.dialect.name == "sqlite":
        make_private(data_dir)
        with (data_dir / "migrate.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(ADVISORY_LOCK)))
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(ADVISORY_LOCK)))
