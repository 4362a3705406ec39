"""Migrations: what they make is what the code expects, and starting together is safe."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.store.database import open_bridge
from app.store.schema import bridge, inbox_metadata
from tests.store.conftest import Stores


@pytest.mark.parametrize("which", ["bridge", "inbox"])
def test_the_migrations_make_exactly_the_tables_the_code_expects(stores: Stores, which: str) -> None:
    engine = stores.bridge.engine if which == "bridge" else stores.inbox
    metadata = bridge if which == "bridge" else inbox_metadata
    made = sa.MetaData()
    made.reflect(engine, only=list(metadata.tables))
    for name, table in metadata.tables.items():
        expected = {column.name: (column.nullable, column.primary_key) for column in table.columns}
        assert expected == {column.name: (column.nullable, column.primary_key) for column in made.tables[name].columns}
        assert _indexed(table, engine) == _indexed(made.tables[name], engine), name


def _indexed(table: sa.Table, engine: sa.Engine) -> set[tuple[bool, tuple[str, ...]]]:
    """What is looked up quickly: columns of every index and unique constraint."""
    postgres = engine.dialect.name == "postgresql"
    found = {
        (bool(index.unique), tuple(column.name for column in index.columns))
        for index in table.indexes
        if postgres
        or index.dialect_options["postgresql"]["where"] is None
        or index.dialect_options["sqlite"]["where"] is not None
    }
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            found.add((True, tuple(column.name for column in constraint.columns)))
    return found


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_processes_that_start_together_on_an_empty_store_all_succeed(
    request: pytest.FixtureRequest, tmp_path: Path, store: str
) -> None:
    url = request.getfixturevalue("postgres_url") if store == "postgresql" else ""
    script = (
        "import sys; from pathlib import Path; from app.store.database import *; from app.store.migrate import migrate;"
        "d, u = Path(sys.argv[1]), sys.argv[2] or None; migrate(open_bridge(d, u), open_inbox(d, u), d)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data"), url]
    started = [subprocess.Popen(command) for _ in range(4)]
    assert [0, 0, 0, 0] == [process.wait(60) for process in started]


def test_sqlite_is_opened_durable(tmp_path: Path) -> None:
    engine = open_bridge(tmp_path, None)
    with engine.connect() as connection:
        asked = ["journal_mode", "synchronous", "foreign_keys"]
        told = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in asked]
        clock = connection.exec_driver_sql("SELECT unixepoch('subsec'), strftime('%s', 'now')").one()
    engine.dispose()
    assert ["wal", 2, 1] == told
    assert all(isinstance(value, float) for value in clock)
