"""Migrations: what they make is what the code expects, and starting together is safe."""

import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from app.domain.alert import Alert
from app.domain.link import Known, Link
from app.domain.names import AlertId, Status, incident_key
from app.store import codec
from app.store.checkup import Checkup
from app.store.database import open_bridge, open_inbox
from app.store.migrate import MIGRATIONS, migrate
from app.store.schema import bridge, inbox_metadata, links
from tests.fakes import START
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


def test_the_store_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        data, files = _made(tmp_path / "fresh" / "data")
        there = tmp_path / "there"
        there.mkdir(mode=0o755)
        kept, inside = _made(there)
    finally:
        os.umask(umask)
    assert (0o700, {0o600}) == (data, set(files.values()))
    assert (0o755, {0o600}) == (kept, set(inside.values())), "a folder that is there keeps its mode"
    assert {"bridge.db", "bridge.db-wal", "inbox.db", "inbox.db-wal"} <= set(files)


def _made(data_dir: Path) -> tuple[int, dict[str, int]]:
    """The modes of a new store's folder and of its databases and their logs, while they are in use."""
    bridge_engine, inbox_engine = open_bridge(data_dir, None), open_inbox(data_dir, None)
    migrate(bridge_engine, inbox_engine, data_dir)
    with bridge_engine.begin() as one, inbox_engine.begin() as other:
        for connection in (one, other):
            connection.execute(sa.text("CREATE TABLE probe (number INTEGER)"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in data_dir.glob("*.db*")}
    bridge_engine.dispose()
    inbox_engine.dispose()
    return stat.S_IMODE(data_dir.stat().st_mode), modes


def test_a_database_that_is_there_is_not_opened_beside_its_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its closing would end the locks that this process holds on it, and two writers would meet."""
    open_bridge(tmp_path, None).connect().close()
    really, opened = os.open, []

    def opening(path: Any, *how: Any, **more: Any) -> int:
        descriptor = really(path, *how, **more)
        opened.append(Path(path).name)
        return descriptor

    monkeypatch.setattr(os, "open", opening)
    open_bridge(tmp_path, None).connect().close()
    assert "bridge.db" not in opened


@pytest.mark.parametrize(
    ("folder", "file", "exposed"),
    [
        (0o755, 0o644, True), (0o750, 0o640, True), (0o711, 0o604, True),
        (0o700, 0o644, False), (0o755, 0o600, False), (0o750, 0o604, False),
    ],
)  # fmt: skip
def test_who_can_read_the_store_is_seen(tmp_path: Path, folder: int, file: int, exposed: bool) -> None:
    data = tmp_path / "data"
    _made(data)
    data.chmod(folder)
    (data / "inbox.db").chmod(file)
    checkup = Checkup(data, None)
    assert ((data / "inbox.db",) if exposed else ()) == checkup.exposed()
    checkup.close()


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


def first_version(engine: sa.Engine) -> None:
    """The bridge's store as the first version made it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / "bridge"))
    with engine.begin() as connection:
        config.attributes |= {"connection": connection, "version_table": "bridge_version"}
        command.upgrade(config, "0001")


def row(number: int, state: str) -> dict[str, object]:
    return {
        "alert_id": f"a{number}", "incident_key": f"k{number}", "first_seen_at": 1, "status": "open", "paged": True,
        "state": state,
    }  # fmt: skip


def link(**known: object) -> str:
    alert = Alert(AlertId("a1"), message='a "quoted" title, frozen_at and \\u0000')
    return codec.dump_link(replace(Link(alert, incident_key(alert.alert_id), START), **known))  # type: ignore[arg-type]


FROZEN = datetime(2026, 5, 4, 9, 0, 0, 123456, UTC)
WRITTEN: list[tuple[str, tuple[str | None, str | None, datetime | None]]] = [
    (link(), (None, None, None)),
    (link(alert_side=Known(Status.ACKNOWLEDGED, START)), ("acknowledged", None, None)),
    (link(incident_side=Known(Status.RESOLVED, START), frozen_at=FROZEN), (None, "resolved", FROZEN)),
    (link(alert_side=Known(Status.OPEN), incident_side=Known(Status.OPEN), frozen_at=START), ("open", "open", START)),
    ('{"alert_side": {"status": "open"}, "note": "\\u0000\\ud800"}', ("open", None, None)),
    ('{"alert_side": {"status": "open"}, "frozen_at": "never"}', ("open", None, None)),
    ('{"alert_side": null, "incident_side": {"status": null}, "frozen_at": null}', (None, None, None)),
    ("{broken", (None, None, None)),
    ("[]", (None, None, None)),
    ("", (None, None, None)),
]


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_what_the_first_version_wrote_is_looked_up_like_anything_else(
    request: pytest.FixtureRequest, tmp_path: Path, store: str
) -> None:
    url = request.getfixturevalue("postgres_url") if store == "postgresql" else None
    engine, inbox = open_bridge(tmp_path, url), open_inbox(tmp_path, url)
    first_version(engine)
    old = sa.table("links", *(sa.column(name) for name in row(0, "")))
    more = 1200  # several pages
    with engine.begin() as connection:
        connection.execute(sa.insert(old), [row(number, state) for number, (state, _) in enumerate(WRITTEN)])
        connection.execute(sa.insert(old), [row(100 + number, WRITTEN[1][0]) for number in range(more)])
    migrate(engine, inbox, tmp_path)
    with engine.connect() as connection:
        filled = connection.execute(
            sa.select(links.c.alert_status, links.c.incident_status, links.c.frozen_at).order_by(links.c.id)
        ).all()
    assert [expected for _, expected in WRITTEN] == [tuple(found) for found in filled[: len(WRITTEN)]]
    assert {WRITTEN[1][1]} == {tuple(found) for found in filled[len(WRITTEN) :]}
    assert more == len(filled) - len(WRITTEN)
    engine.dispose()
    inbox.dispose()


def test_sqlite_is_opened_durable(tmp_path: Path) -> None:
    engine = open_bridge(tmp_path, None)
    with engine.connect() as connection:
        asked = ["journal_mode", "synchronous", "foreign_keys"]
        told = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in asked]
        clock = connection.exec_driver_sql("SELECT unixepoch('subsec'), strftime('%s', 'now')").one()
    engine.dispose()
    assert ["wal", 2, 1] == told
    assert all(isinstance(value, float) for value in clock)
