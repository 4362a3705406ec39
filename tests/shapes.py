"""Stores of this version's shape without migrating each anew: hundreds of tests begin with one."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from app.store.database import Database, open_bridge, open_inbox
from app.store.health import StoredHealth
from app.store.migrate import migrate
from app.store.plain import PlainStore, plain_bridge, plain_inbox

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


def shaped(data_dir: Path) -> None:
    """Make the folder of an installation whose store is new: its start has nothing left to migrate."""
    data_dir.mkdir(mode=0o700)
    for name in FILES:
        shutil.copy(_pattern() / name, data_dir / name)


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


def plain_of(engine: sa.Engine) -> PlainStore:
    """The same database by its driver; closed when the engine is disposed of."""
    if engine.dialect.name == "sqlite":
        file = Path(str(engine.url.database))
        plain = (plain_inbox if file.name == "inbox.db" else plain_bridge)(file.parent, None)
    else:
        plain = plain_bridge(Path(), engine.url.render_as_string(hide_password=False))
    sa.event.listen(engine, "engine_disposed", lambda _engine: plain.close())
    return plain


def health_of(database: Database, inbox: sa.Engine) -> StoredHealth:
    """Health, read from the stores of these engines."""
    return StoredHealth(plain_of(database.engine), plain_of(inbox))
