"""A SQLite store goes to PostgreSQL: every row, whatever happens meanwhile, and once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEvent, AlertEventType, IncidentEventType
from app.domain.model.types import Alert, AlertId, Side
from app.ports import COPIED, Delivery, StoreUnavailable
from app.ports.access import Role
from app.store.access import StoredAccess
from app.store.copy import NOT_COPIED, StoreCopy, _File, undo
from app.store.database import KEY_VALUES, Database, StoreClosed, check, connection, open_bridge
from app.store.inbox_sqlite import CURSOR, SqliteInbox
from app.store.plain import StoreRefused
from app.store.schema import (
    access_tokens,
    bridge,
    dead_letters,
    inbox,
    jobs,
    key_values,
    links,
    timeline,
    unmatched_events,
)
from app.store.worker_leases import FileLease
from tests.rig import Rig

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Rows = dict[str, list[tuple[Any, ...]]]


class Killed(Exception):
    """The copy ends in the middle, as by ``kill -9``: what it had committed is there, and nothing else."""


def has_everything(rig: Rig) -> None:
    """A bridge that has done a little of everything."""
    for number in range(6):
        alert = Alert(AlertId(f"a{number}"), message=f"Wrong “{number}” \\ year", claim="x")
        rig.say(Side.TRUTHVOUCH, AlertEvent(AlertEventType.CREATED, alert, "alert.created", rig.clock()))
        rig.run()
    rig.incident(IncidentEventType.ACKNOWLEDGED, "Q1")
    rig.incident(IncidentEventType.RESOLVED, "Q2")
    rig.incident(IncidentEventType.ACKNOWLEDGED, "NOBODYS")
    rig.run()
    rig.alert(AlertEventType.CREATED, alert_id="owed")
    now = rig.clock()
    with rig.database.begin() as tx:
        stored = StoredAccess()
        stored.add_token(tx, "d1", "ci", Role.ADMIN, True, now)
        stored.signing_key(tx, "generated-key")
        stored.add_guess(tx, "192.0.2.1", now, now, 100)
        KEY_VALUES.put(tx, "worker.seen", now.isoformat())
        KEY_VALUES.put(tx, "hold.pagerduty-rest@main", "no_permission")
        letter = {"kind": "event", "reason": "unreadable", "at": now, "attempts": 1, "detail": "x", "inbox_id": 3}
        connection(tx).execute(dead_letters.insert(), letter)
        connection(tx).execute(jobs.insert(), job("one", "running", now))


def job(key: str, state: str, now: datetime) -> dict[str, Any]:
    asked: dict[str, Any] = {"key": key, "kind": "report", "parameters": "{}", "asked_at": now, "asked_by": "me"}
    return asked | {"state": state, "result": b"\x00\xff" if state == "done" else None}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    has_everything(made)
    yield made
    made.let_go()


class Copying:
    """Runs copies of one store into one database."""

    def __init__(self, rig: Rig, data_dir: Path, url: str) -> None:
        self.rig, self.data_dir, self.url = rig, data_dir, url
        self.meanwhile: Callable[[], None] = lambda: None
        """Done after every page."""
        self.asked = 0

    def run(self, wait: Callable[[], None] = lambda: None) -> dict[str, int]:
        def page(_done: int, _total: int) -> None:
            self.meanwhile()
            self.close()

        def waits() -> None:
            wait()
            self.close()

        self.close()
        copy = StoreCopy(self.data_dir, self.url, page, lambda: NOW)
        try:
            return dict(copy.run(self._ask, waits))
        finally:
            copy.dispose()

    def close(self) -> None:
        """Nobody has the old files open."""
        self.rig.let_go()

    def _ask(self) -> None:
        self.asked += 1

    def target(self) -> Database:
        return Database(open_bridge(self.data_dir, self.url))


@pytest.fixture
def copying(tmp_path: Path, rig: Rig, migrated_postgres_url: str) -> Copying:
    return Copying(rig, tmp_path, migrated_postgres_url)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.copy.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("app.store.copy.BODIES_AT_ONCE", 2)


def everything_in(database: Database, inbox_engine: sa.Engine) -> Rows:
    """Every row, without what belongs to one store alone."""
    found: Rows = {}
    own = ("worker.", "copy.", "store.", "intake.", "hold.")
    with database.read() as tx, inbox_engine.connect() as inbox_reader:
        for table in (*bridge.sorted_tables, inbox):
            if table not in NOT_COPIED:
                columns = [column for column in table.c if column is not inbox.c.taken_at]
                reader = inbox_reader if table is inbox else connection(tx)
                rows = [tuple(row) for row in reader.execute(sa.select(*columns))]
                found[table.name] = sorted(rows, key=repr)
    found["marks"] = [row for row in found["marks"] if not row[0].startswith(own)]
    return found


def there(copying: Copying) -> Rows:
    target = copying.target()
    try:
        return everything_in(target, target.engine)
    finally:
        target.engine.dispose()


def test_every_row_of_every_table_comes(rig: Rig, tmp_path: Path, postgres_url: str) -> None:
    copying = Copying(rig, tmp_path, postgres_url)  # without a table
    before = everything_in(rig.database, rig._inbox)
    filled = {name for name, rows in before.items() if rows}
    assert {"links", "evidence", "timeline", "alert_figures", "incident_figures"} <= filled
    assert {dead_letters.name, unmatched_events.name} <= filled
    assert {"access_tokens", "wrong_guesses", "inbox", "marks", "jobs", "kept_bodies", "link_titles"} <= filled
    counted = copying.run()
    assert before == there(copying)
    assert {name: len(rows) for name, rows in before.items()} == counted
    assert 0 == copying.asked, "no bridge runs"


def test_what_was_taken_in_is_marked_so_and_new_rows_get_new_numbers(rig: Rig, copying: Copying) -> None:
    with rig.database.begin() as tx:
        cursor = int(KEY_VALUES.read(tx, CURSOR) or 0)
        connection(tx).execute(access_tokens.delete())
    arrives(rig, "late")
    copying.run()
    target = copying.target()
    with target.begin() as tx:
        taken = connection(tx).execute(sa.select(inbox.c.id, inbox.c.taken_at.is_not(None)).order_by(inbox.c.id)).all()
        assert [(number, number <= cursor) for number, _ in taken] == [tuple(row) for row in taken]
        assert not taken[-1][1]
        given = StoredAccess().add_token(tx, "d2", "ci", Role.ADMIN, True, NOW)
        assert given is not None
        assert 2 == given.token_id, "also beyond numbers of rows that are gone"
        row = {"at": NOW, "event": "x", "facts": "{}"}
        highest = connection(tx).execute(sa.select(sa.func.max(timeline.c.id))).scalar_one()
        assert highest + 1 == connection(tx).execute(timeline.insert().returning(timeline.c.id), row).scalar_one()
    target.engine.dispose()


def arrives(rig: Rig, delivery_id: str) -> None:
    row = {"source": "truthvouch", "delivery_id": delivery_id, "received_at": rig.clock(), "body": b"\x00{}"}
    with rig._inbox.begin() as writer:
        writer.execute(inbox.insert(), row)


def test_only_one_of_the_two_stores_can_be_worked_on(rig: Rig, copying: Copying, tmp_path: Path) -> None:
    copying.meanwhile = killing(3)
    with pytest.raises(Killed):
        copying.run()
    target = copying.target()
    check(rig.database.engine, "bridge")
    with pytest.raises(StoreClosed, match="not complete"):
        check(target.engine, "bridge")
    copying.meanwhile = lambda: None
    copying.run()
    check(target.engine, "bridge")
    with pytest.raises(StoreClosed, match=r"DATABASE_URL[^$]*--undo"):
        check(rig.database.engine, "bridge")
    with target.read() as tx:
        assert KEY_VALUES.read(tx, COPIED) is not None
    target.engine.dispose()
    web = SqliteInbox(tmp_path / "inbox.db")
    with pytest.raises(StoreUnavailable, match="copied to PostgreSQL"):
        web.add(Delivery(Side.TRUTHVOUCH, "d", NOW, b"{}"))  # type: ignore[arg-type]
    with pytest.raises(sa.exc.IntegrityError), rig.database.begin() as tx:
        connection(tx).execute(links.delete())
    before = there(copying)
    assert len(before["links"]) == copying.run()["links"], "once more it only says what is there"
    assert before == there(copying)
    web.close()


def test_killed_between_the_two_stores_it_is_neither_and_the_next_run_opens_the_new_one(
    rig: Rig, copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(StoreCopy, "_open_target", lambda _: killing(0)())
        with pytest.raises(Killed):
            copying.run()
    target = copying.target()
    for engine in (rig.database.engine, target.engine):
        with pytest.raises(StoreClosed):
            check(engine, "bridge")
    copying.run()
    check(target.engine, "bridge")
    with pytest.raises(StoreClosed):
        check(rig.database.engine, "bridge")
    target.engine.dispose()


def test_killed_when_one_of_the_two_files_is_closed_it_goes_on(
    rig: Rig, copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inbox is closed first: nothing is taken in that nobody would copy."""
    with monkeypatch.context() as patched:
        close = _File.close

        def closes(file: _File, writer: sa.Connection) -> None:
            close(file, writer)
            if inbox.name in file.parts:
                writer.commit()
                raise Killed

        patched.setattr(_File, "close", closes)
        with pytest.raises(Killed):
            copying.run()
    check(rig.database.engine, "bridge")
    with pytest.raises(sa.exc.IntegrityError):
        arrives(rig, "refused")
    before = everything_in(rig.database, rig._inbox)
    copying.run()
    assert before == there(copying)


def killing(after: int) -> Callable[[], None]:
    left = [after]

    def count() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return count


@pytest.mark.usefixtures("small_pages")
def test_whatever_changes_meanwhile_comes_too_and_a_killed_copy_goes_on(rig: Rig, copying: Copying) -> None:
    """Every few pages a row of each kind comes, changes, goes, or gives its name to another; and of the first sixty
    pages every tenth is the last one of its run.
    """
    runs, pages = 1, [0]

    def live() -> None:
        pages[0] += 1
        number = pages[0]
        rig.clock.move(1)
        if (number % 4 == 0 and number < 50) or number in (70, 90):
            rig.alert(AlertEventType.CREATED, alert_id=f"b{number}")
            rig.incident(IncidentEventType.ACKNOWLEDGED, "Q3")
            rig.run()
            with rig.database.begin() as tx:
                StoredAccess().revoke(tx, "ci", rig.clock())
                StoredAccess().add_token(tx, f"d{number}", "ci", Role.ADMIN, True, rig.clock())
                connection(tx).execute(jobs.update().values(state="done"))
                connection(tx).execute(jobs.insert(), job(f"j{number}", "running", rig.clock()))
                oldest = sa.select(sa.func.min(timeline.c.id)).scalar_subquery()
                connection(tx).execute(timeline.delete().where(timeline.c.id == oldest))
            with rig._inbox.begin() as writer:
                writer.execute(inbox.update().where(inbox.c.id == 2).values(body=b"", erased_sha256="ab"))
                writer.execute(inbox.delete().where(inbox.c.id == 1))
        if number % 10 == 0 and number < 60:
            raise Killed

    copying.meanwhile = live
    while True:
        try:
            copying.run()
            break
        except Killed:
            runs += 1
    assert runs > 5
    assert everything_in(rig.database, rig._inbox) == there(copying)


def test_while_a_worker_works_it_follows_and_asks_for_its_end(rig: Rig, copying: Copying, tmp_path: Path) -> None:
    lease = FileLease(tmp_path)
    assert lease.acquire()
    waits = [0]

    def wait() -> None:
        waits[0] += 1
        rig.alert(AlertEventType.CREATED, alert_id=f"c{waits[0]}")
        if waits[0] == 3:
            lease.release()

    copying.run(wait)
    assert (1, 3) == (copying.asked, waits[0])
    assert everything_in(rig.database, rig._inbox) == there(copying)


def test_of_two_copies_at_a_time_the_second_is_refused(copying: Copying) -> None:
    def another() -> None:
        copying.meanwhile = lambda: None
        with pytest.raises(StoreRefused, match="Another"):
            copying.run()

    copying.meanwhile = another
    assert copying.run()


def test_a_worker_that_has_just_died_does_not_end_the_bridge(rig: Rig, copying: Copying) -> None:
    """Its web processes have the files open still."""
    with rig.database.read() as web:
        connection(web).execute(sa.select(links.c.id)).all()
        with pytest.raises(Killed):
            copying.run(killing(2))
    check(rig.database.engine, "bridge")
    assert 1 == copying.asked


def test_a_database_that_has_a_bridges_rows_is_refused_and_left_alone(
    rig: Rig, copying: Copying, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    there_too = Rig(other, url=copying.url)
    there_too.alert(AlertEventType.CREATED)
    before = there(copying)
    with pytest.raises(StoreRefused, match="already"):
        copying.run()
    assert before == there(copying)
    check(rig.database.engine, "bridge")
    there_too.let_go()


def test_a_row_too_many_there_closes_nothing(rig: Rig, copying: Copying) -> None:
    def intrudes() -> None:
        target = copying.target()
        with target.begin() as tx:
            row = {"source": "x", "delivery_id": "x", "received_at": NOW, "body": b"", "id": 9999}
            connection(tx).execute(sa.insert(inbox), row)
        target.engine.dispose()
        copying.meanwhile = lambda: None

    copying.meanwhile = intrudes
    with pytest.raises(StoreRefused, match="inbox has"):
        copying.run()
    check(rig.database.engine, "bridge")


def test_undone_the_old_store_is_as_it_was(rig: Rig, copying: Copying, tmp_path: Path) -> None:
    assert not undo(tmp_path)
    schema = schema_of(rig)
    copying.run()
    assert undo(tmp_path)
    check(rig.database.engine, "bridge")
    assert schema == schema_of(rig)
    rig.alert(AlertEventType.CREATED, alert_id="after")
    assert "after" == rig.link("after").alert.alert_id
    with pytest.raises(StoreRefused, match="already"):
        copying.run()


def test_an_unfinished_copy_can_be_given_up(rig: Rig, copying: Copying, tmp_path: Path) -> None:
    schema = schema_of(rig)
    copying.meanwhile = killing(2)
    with pytest.raises(Killed):
        copying.run()
    assert schema != schema_of(rig)
    assert undo(tmp_path)
    assert schema == schema_of(rig)


def schema_of(rig: Rig) -> set[str]:
    found: set[str] = set()
    for engine in (rig.database.engine, rig._inbox):
        with engine.connect() as reader:
            found |= {row[0] for row in reader.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    return found


def test_an_inbox_that_was_restored_and_not_taken_in_is_not_copied_as_taken(rig: Rig, copying: Copying) -> None:
    with rig._inbox.begin() as writer:
        writer.execute(inbox.update().values(received_at=NOW + timedelta(days=1)))
    with pytest.raises(StoreRefused, match="restored"):
        copying.run()
    with rig.database.read() as tx:
        assert connection(tx).execute(sa.select(sa.func.count()).select_from(key_values)).scalar_one()
    check(rig.database.engine, "bridge")
