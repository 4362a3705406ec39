"""Stores of this version's shape without migrating each anew: hundreds of tests begin with one."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from app.store.database import open_bridge, open_inbox
from app.store.migrate import migrate

FILES = ("bridge.db", "inbox.db")


def shape(bridge: sa.Engine, inbox: sa.Engine, data_dir: Path) -> None:
    """What ``migrate`` does. New SQLite files are copies of a pair that was migrated once, and what has tables on
    PostgreSQL has all of them; tests of migrations and of the ways into a store use ``migrate`` itself."""
    if bridge.dialect.name != "sqlite" and sa.inspect(bridge).has_table("bridge_version"):
        return
    if bridge.dialect.name != "sqlite" or any((data_dir / name).exists() for name in FILES):
        migrate(bridge, inbox, data_dir)
        return
    for name in FILES:
        shutil.copyfile(_pattern() / name, data_dir / name)


@cache
def _pattern() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="stores-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate_new(folder)
    return folder


def migrate_new(folder: Path, url: str | None = None) -> None:
    """Migrate both stores and let go of them."""
    bridge, inbox = open_bridge(folder, url), open_inbox(folder, url)
    migrate(bridge, inbox, folder)
    bridge.dispose()
    inbox.dispose()
