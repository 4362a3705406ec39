"""Migrations: what they make is what the code expects, starting together is safe, and no worker is overrun."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from structlog.testing import capture_logs

from app.domain.model.types import LinkId
from app.store import codec
from app.store import database as revision
from app.store import migrate as migrating
from app.store.database import MIGRATIONS, SchemaTooNew, open_bridge, open_inbox
from app.store.migrate import migrate
from app.store.plain import PRAGMAS
from app.store.schema import bridge, evidence, inbox_metadata, links
from app.store.store_check import StoreCheck
from app.store.worker_leases import FileLease, PostgresLease, workers_kept_out
from tests.fakes import START
from tests.store import old_links
from tests.store.conftest import Stores
from tests.store.old_links import known
from tests.system.waiting import until


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
    store_check = StoreCheck(data, None)
    assert ((data / "inbox.db",) if exposed else ()) == store_check.exposed()
    store_check.close()


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


def first_version(engine: sa.Engine, number: str = "0001") -> None:
    """The bridge's store as the first version made it, or another one."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / "bridge"))
    with engine.begin() as connection:
        config.attributes |= {"connection": connection, "version_table": "bridge_version"}
        command.upgrade(config, number)


def row(number: int, state: str) -> dict[str, object]:
    return {
        "alert_id": f"a{number}", "incident_key": f"k{number}", "first_seen_at": 1, "status": "open", "paged": True,
        "state": state,
    }  # fmt: skip


def link(**fields: Any) -> str:
    state = old_links.link(**fields)
    state["alert"]["message"] = 'a "quoted" title, frozen_at and \\u0000'
    return json.dumps(state)


FROZEN = datetime(2026, 5, 4, 9, 0, 0, 123456, UTC)
FROZEN_AT, START_AT = FROZEN.isoformat().replace("+00:00", "Z"), old_links.at(0)
OPEN = known("open")
WRITTEN: list[tuple[str, tuple[str | None, str | None, datetime | None]]] = [
    (link(), (None, None, None)),
    (link(alert_side=known("acknowledged", 0)), ("acknowledged", None, None)),
    (link(incident_side=known("resolved", 0), frozen_at=FROZEN_AT), (None, "resolved", FROZEN)),
    (link(alert_side=OPEN, incident_side=OPEN, frozen_at=START_AT), ("open", "open", START)),
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


NUMBERED: list[tuple[str, tuple[int | None, bool]]] = [
    ('{"incident_number":7,"decision":{"reason":"rule"}}', (7, False)),
    ('{"incident_number":0,"decision":{"reason":"silenced"}}', (0, True)),
    ('{"incident_number":9223372036854775807}', (2**63 - 1, False)),
    ('{"incident_number":9223372036854775808,"decision":null}', (None, False)),
    ('{"incident_number":-7}', (None, False)),
    ('{"incident_number":true,"decision":"silenced"}', (None, False)),
    ('{"incident_number":"7"}', (None, False)),
    ("{broken", (None, False)),
    ("[]", (None, False)),
    ('{"alert":{"message":"\\"incident_number\\":7,"}}', (None, False)),
]


def test_numbers_and_silences_of_older_links_are_looked_up_like_any_other(place: "Place") -> None:
    first_version(place.bridge, "0004")
    old = sa.table("links", *(sa.column(name) for name in row(0, "")))
    with place.bridge.begin() as connection:
        connection.execute(sa.insert(old), [row(number, state) for number, (state, _) in enumerate(NUMBERED)])
    place.migrate()
    with place.bridge.connect() as connection:
        filled = connection.execute(sa.select(links.c.incident_number, links.c.silenced).order_by(links.c.id)).all()
    assert [expected for _, expected in NUMBERED] == [tuple(found) for found in filled]


def test_the_texts_of_older_links_move_into_a_table_of_their_own(place: "Place") -> None:
    alert = {"alert_id": "a1", "severity": "high", "claim": "Marker-7f3a \u2603", "confidence_text": "5%",
             "people": {"email": "Marker-7f3a@x.test"}, "extra": {"pii_type": "Marker-7f3a", "score": 4}}  # fmt: skip
    written = [
        json.dumps(old_links.link() | {"alert": alert, "agreed": "acknowledged"}),
        "{broken",
        '{"alert": 3}',
        "[]",
    ]
    written += [json.dumps(old_links.link() | {"agreed": "open"})] + [written[0]] * 600  # several pages
    first_version(place.bridge, "0005")
    old = sa.table("links", *(sa.column(name) for name in row(0, "")))
    with place.bridge.begin() as connection:
        connection.execute(sa.insert(old), [row(number, state) for number, state in enumerate(written)])
    place.migrate()
    with place.bridge.connect() as connection:
        states = list(connection.execute(sa.select(links.c.state).order_by(links.c.id)).scalars())
        texts = dict(connection.execute(sa.select(evidence.c.link_id, evidence.c.texts)).all())
    assert written[1:5] == states[1:5]
    assert [1, *range(6, 606)] == sorted(texts)
    assert "Marker" not in "".join(states)
    read = codec.LINK.join(states[0], texts[1], LinkId(0))
    assert ("Marker-7f3a \u2603", "5%", {"email": "Marker-7f3a@x.test"}, {"pii_type": "Marker-7f3a", "score": 4}) == (
        read.alert.claim, read.alert.confidence_text, read.alert.people, read.alert.extra,
    )  # fmt: skip
    assert json.loads(states[0]) == json.loads(codec.LINK.split(read))
    assert json.loads(texts[1]) == json.loads(codec.LINK.evidence(read.alert))


def test_what_older_versions_deleted_is_in_no_file_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(PRAGMAS, "secure_delete", "OFF")
        place = Place(tmp_path, None)
        first_version(place.bridge, "0005")
        with place.bridge.begin() as connection:
            connection.execute(sa.text("CREATE TABLE probe (words TEXT)"))
            connection.execute(sa.text("INSERT INTO probe VALUES (:words)"), [{"words": "Marker-7f3a" * 900}] * 9)
        with place.bridge.begin() as connection:
            connection.execute(sa.text("DELETE FROM probe"))
        for engine in (place.bridge, place.inbox, place.workers):
            engine.dispose()
    assert b"Marker-7f3a" in (tmp_path / "bridge.db").read_bytes()
    place.migrate()
    assert [] == [file.name for file in tmp_path.iterdir() if b"Marker-7f3a" in file.read_bytes()]


# ------------------------------------------------------------------------------------------------------- workers


def test_the_revisions_that_are_known_are_those_that_can_be_applied() -> None:
    for branch in ("bridge", "inbox"):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS / branch))
        script = ScriptDirectory.from_config(config)
        assert {one.revision for one in script.walk_revisions()} == set(revision.known(branch))
        assert script.get_current_head() == revision.known(branch)[-1]


class Place:
    """Where a store lies, and who works there."""

    def __init__(self, data_dir: Path, url: str | None) -> None:
        self.data_dir, self.url = data_dir, url
        self.bridge, self.inbox = open_bridge(data_dir, url), open_inbox(data_dir, url)
        self.workers = open_bridge(data_dir, url)

    def worker(self) -> FileLease | PostgresLease:
        return PostgresLease(self.workers) if self.url else FileLease(self.data_dir)

    def migrate(self) -> None:
        """As another process would, with connections of its own."""
        one, other = open_bridge(self.data_dir, self.url), open_inbox(self.data_dir, self.url)
        try:
            migrate(one, other, self.data_dir)
        finally:
            one.dispose()
            other.dispose()

    @contextmanager
    def migrating(self) -> Iterator[threading.Thread]:
        thread = threading.Thread(target=self.migrate, daemon=True)
        thread.start()
        yield thread
        thread.join(30)
        assert not thread.is_alive()

    def revision(self) -> str:
        return revision.stored(self.bridge, "bridge")


HEAD = revision.known("bridge")[-1]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    made = Place(tmp_path, url)
    yield made
    for engine in (made.bridge, made.inbox, made.workers):
        engine.dispose()


def waits(lines: list[Any]) -> Callable[[], list[int]]:
    return lambda: [line["workers"] for line in lines if line["event"] == "migration.waiting"]


def test_the_migration_waits_until_no_older_worker_works(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "REPORT_SECONDS", 0.05)
    first_version(place.bridge, "0003")
    workers = [place.worker() for _ in range(2 if place.url else 1)]
    assert None not in [worker.acquire() for worker in workers]
    with capture_logs() as lines, place.migrating():
        until(lambda: len(waits(lines)()) > 2, "it says again and again for whom it waits")
        assert {len(workers)} == set(waits(lines)())
        assert "0003" == place.revision()
        for worker in workers[1:]:
            worker.release()
        until(lambda: 1 in waits(lines)(), "one is left")
        assert "0003" == place.revision()
        workers[0].release()
        until(lambda: HEAD == place.revision(), "the migration went on")
    assert ["migration.started"] == [line["event"] for line in lines if line["event"] != "migration.waiting"]
    again = place.worker()
    until(lambda: again.acquire() is not None, "whoever comes after it may work")
    again.release()


def test_of_several_that_wait_each_goes_on_when_the_worker_is_gone(place: Place) -> None:
    """They begin together; a worker migrates before it acquires its lease, so none of them waits for another."""
    first_version(place.bridge, "0003")
    worker = place.worker()
    assert worker.acquire()
    with capture_logs() as lines, place.migrating(), place.migrating(), place.migrating():
        until(waits(lines), "one of them waits for the worker")
        worker.release()
    assert HEAD == place.revision()
    assert 1 == len([line for line in lines if line["event"] == "migration.started"])


def test_nobody_begins_to_work_during_a_migration(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first_version(place.bridge, "0003")
    taken: list[str | None] = []
    really = migrating._upgrade

    def upgrade(engine: sa.Engine, branch: str) -> None:
        if branch == "bridge":
            worker = place.worker()
            taken.append(worker.acquire())
            worker.release()
        really(engine, branch)

    monkeypatch.setattr(migrating, "_upgrade", upgrade)
    place.migrate()
    assert [None] == taken
    assert HEAD == place.revision()


@pytest.mark.parametrize("before", ["", HEAD])
def test_a_new_store_and_one_of_this_version_wait_for_nobody(place: Place, before: str) -> None:
    if before:
        place.migrate()
    worker = place.worker()
    assert worker.acquire()
    with capture_logs() as lines:
        place.migrate()
    assert ([], HEAD) == (lines, place.revision())
    worker.release()


def test_all_leases_are_kept_or_none(place: Place) -> None:
    """A migration that meets a worker in the last moment holds nothing back from the others."""
    worker, other = place.worker(), place.worker()
    with workers_kept_out(place.bridge, place.data_dir) as workers:
        assert (0, None) == (workers, worker.acquire())
    until(lambda: worker.acquire() is not None, "the block has ended")
    with workers_kept_out(place.bridge, place.data_dir) as workers:
        assert (1, "worker-1" if place.url else None) == (workers, other.acquire())
    for one in (worker, other):
        one.release()


@pytest.mark.parametrize("branch", ["bridge", "inbox"])
def test_a_store_of_a_newer_version_is_not_touched(place: Place, branch: str) -> None:
    place.migrate()
    engine = place.bridge if branch == "bridge" else place.inbox
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {branch}_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNew, match="9999") as refusal:
        place.migrate()
    assert f"up to {revision.known(branch)[-1]}" in str(refusal.value)
    assert "Start the newer version" in str(refusal.value)
    assert "9999" == revision.stored(engine, branch)


def test_a_store_that_is_not_there_has_no_revision(place: Place) -> None:
    assert ("", "") == (place.revision(), revision.check(place.bridge, "bridge"))


# ------------------------------------------------------------------------------------------------------- SQLite


def test_sqlite_is_opened_durable(tmp_path: Path) -> None:
    engine = open_bridge(tmp_path, None)
    with engine.connect() as connection:
        asked = ["journal_mode", "synchronous", "foreign_keys"]
        answer = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in asked]
        clock = connection.exec_driver_sql("SELECT unixepoch('subsec'), strftime('%s', 'now')").one()
    engine.dispose()
    assert ["wal", 2, 1] == answer
    assert all(isinstance(value, float) for value in clock)
