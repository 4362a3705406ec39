"""Which revision a store has, and which ones this program knows. Light: every worker asks when it starts."""

from pathlib import Path

import sqlalchemy as sa

from app.store.database import Database, connection

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaTooNew(Exception):
    """A newer version of the bridge has migrated the store; this one must not touch it. The message is for people."""


def known(branch: str) -> tuple[str, ...]:
    """The revisions of a store (``bridge`` or ``inbox``) that this program knows, oldest first."""
    return tuple(sorted(path.stem.partition("_")[0] for path in (MIGRATIONS / branch / "versions").glob("[0-9]*.py")))


def stored(engine: sa.Engine, branch: str) -> str:
    """The revision that the store has; empty where it was never migrated. Raises ``StoreUnavailable``."""
    table = sa.table(f"{branch}_version", sa.column("version_num"))
    with Database(engine).read() as tx:
        if not sa.inspect(connection(tx)).has_table(table.name):
            return ""
        return connection(tx).execute(sa.select(table.c.version_num)).scalar_one_or_none() or ""


def check(engine: sa.Engine, branch: str) -> str:
    """The revision that the store has. Raises ``SchemaTooNew`` when this program does not know it, and
    ``StoreUnavailable``."""
    found, ours = stored(engine, branch), known(branch)
    if found and found not in ours:
        raise SchemaTooNew(
            f"A newer version of the bridge has upgraded this store: the {branch} tables have revision {found}, and "
            f"this version knows up to {ours[-1]}. Start the newer version instead. Nothing was changed."
        )
    return found
