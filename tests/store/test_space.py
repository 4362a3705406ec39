"""What retention deletes is given back to the disk, some pages at a time; files of older versions keep it."""

import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.types import Source
from app.ports import Delivery, StoreUnavailable
from app.store import backup, database
from app.store.backup import FILES, back_up, compact, restore
from app.store.database import Database, connection, open_bridge, open_inbox
from app.store.inbox_sqlite import SqliteInbox
from app.store.plain import StoreRefused
from app.store.retention import KEPT_FREE, PAGES_AT_ONCE, StoredRetention
from app.store.schema import inbox, key_values
from app.store.worker_leases import FileLease
from tests.fakes import START
from tests.shapes import shape

ROWS, TEXT = 1500, "x" * 2000


class Files:
    """A store in a folder, with rows to delete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bridge, self.inbox = Database(open_bridge(folder, None)), open_inbox(folder, None)
        shape(self.bridge.engine, self.inbox, folder)
        self.retention = StoredRetention(self.bridge, self.inbox, folder)

    def fill(self) -> None:
        with self.bridge.begin() as tx:
            rows = [{"name": f"n{number}", "value": TEXT} for number in range(ROWS)]
            connection(tx).execute(sa.insert(key_values), rows)
        with self.inbox.begin() as writing:
            row = {"source": "truthvouch", "received_at": START, "body": TEXT.encode(), "request_id": "r"}
            arrived = [row | {"delivery_id": str(number)} for number in range(ROWS)]
            writing.execute(sa.insert(inbox), arrived)

    def delete(self) -> None:
        with self.bridge.begin() as tx:
            connection(tx).execute(sa.delete(key_values).where(key_values.c.value == TEXT))
        with self.inbox.begin() as writing:
            writing.execute(sa.delete(inbox))

    def pages(self, pragma: str = "page_count") -> list[int]:
        """Of both files."""
        return [self._pages(engine, pragma) for engine in (self.bridge.engine, self.inbox)]

    @staticmethod
    def _pages(engine: sa.Engine, pragma: str) -> int:
        with engine.connect() as reading:
            return int(reading.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())

    def bytes(self) -> list[int]:
        """Of both files, with nothing left in their logs."""
        for engine in (self.bridge.engine, self.inbox):
            with engine.connect() as reading:
                reading.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return [(self.folder / name).stat().st_size for name in FILES]

    def close(self) -> None:
        self.bridge.engine.dispose()
        self.inbox.dispose()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path / "data")
    made.fill()
    yield made
    made.close()


@pytest.fixture
def old_files(files: Files) -> Files:
    """As a version made them that gave nothing back."""
    files.close()
    for name in FILES:
        with closing(sqlite3.connect(files.folder / name)) as writing:
            writing.execute("PRAGMA auto_vacuum=NONE")
            writing.execute("VACUUM")
    assert [0, 0] == files.pages("auto_vacuum")
    return files


def test_both_files_shrink_when_rows_are_deleted_and_what_stays_is_there(files: Files) -> None:
    full = files.bytes()
    with files.bridge.begin() as tx:
        connection(tx).execute(sa.insert(key_values), [{"name": "stays", "value": "this"}])
    files.delete()
    assert full == [size for size, _ in zip(files.bytes(), full, strict=True)]
    given = list(files.retention.give_back())
    assert PAGES_AT_ONCE == max(given)
    assert sum(given) > ROWS / 3
    assert all(now < before / 2 for now, before in zip(files.bytes(), full, strict=True))
    with files.bridge.read() as tx:
        assert "this" == database.KEY_VALUES.read(tx, "stays")
        assert "ok" == connection(tx).exec_driver_sql("PRAGMA integrity_check").scalar_one()
    assert [] == list(files.retention.give_back())


def test_a_tenth_stays_free_for_what_comes_next(files: Files) -> None:
    files.delete()
    list(files.retention.give_back())
    for free, pages in zip(files.pages("freelist_count"), files.pages(), strict=True):
        assert pages // KEPT_FREE == free


def test_a_delivery_that_arrives_meanwhile_waits_for_one_step_at_most(files: Files) -> None:
    """In steps that a writer may come between; the accept is the real one, with its lock between processes."""
    files.delete()
    steps = files.retention.give_back()
    accepted = SqliteInbox(files.folder / "inbox.db")
    for number in range(10):
        assert next(steps)
        assert accepted.add(Delivery(Source.TRUTHVOUCH, f"new{number}", START, b"{}"))
        with files.bridge.begin() as tx:
            database.KEY_VALUES.put(tx, f"new{number}", "1")
    accepted.close()


def test_a_step_waits_for_its_turn_to_write(files: Files) -> None:
    files.delete()
    steps, given = files.retention.give_back(), threading.Event()

    def step() -> None:
        next(steps)
        given.set()

    with files.bridge.begin():
        thread = threading.Thread(target=step)
        thread.start()
        assert not given.wait(0.2)
    assert given.wait(20)
    thread.join()


def test_files_of_an_older_version_keep_what_is_free_and_work_on(old_files: Files) -> None:
    full = old_files.bytes()
    old_files.delete()
    assert [] == list(old_files.retention.give_back())
    assert full == old_files.bytes()
    old_files.fill()
    assert all(now < before * 1.05 for now, before in zip(old_files.bytes(), full, strict=True))


def test_compacting_makes_files_of_an_older_version_small_and_new(old_files: Files) -> None:
    full = old_files.bytes()
    old_files.delete()
    with old_files.bridge.begin() as tx:
        database.KEY_VALUES.put(tx, "stays", "this")
    old_files.close()
    modes = [(old_files.folder / name).stat().st_mode for name in FILES]
    sizes = compact(old_files.folder)
    assert full == [sizes[name][0] for name in FILES]
    assert all(after < before / 5 for before, after in sizes.values())
    assert [sizes[name][1] for name in FILES] == [(old_files.folder / name).stat().st_size for name in FILES]
    assert modes == [(old_files.folder / name).stat().st_mode for name in FILES]
    anew = Files(old_files.folder)
    with anew.bridge.read() as tx:
        assert "this" == database.KEY_VALUES.read(tx, "stays")
    assert [2, 2] == anew.pages("auto_vacuum")
    anew.fill()
    anew.delete()
    assert list(anew.retention.give_back())
    anew.close()


def test_nothing_is_compacted_while_a_bridge_has_the_files(files: Files) -> None:
    lease = FileLease(files.folder)
    lease.acquire()
    with pytest.raises(StoreRefused):
        compact(files.folder)
    lease.release()
    before = files.bytes()
    with closing(sqlite3.connect(files.folder / "inbox.db")) as web:
        web.execute("SELECT count(*) FROM inbox").fetchall()
        with pytest.raises(StoreRefused):
            compact(files.folder)
    assert before == files.bytes()


def test_what_is_accepted_meanwhile_is_in_the_file_that_was_compacted(
    old_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who was there before, and opens the file only now."""
    old_files.delete()
    old_files.close()
    accepted: list[str] = []
    begun, ended = threading.Event(), threading.Event()

    def accept() -> None:
        inbox_file = SqliteInbox(old_files.folder / "inbox.db")
        for number in itertools.count():
            begun.set()
            with suppress(StoreUnavailable):
                inbox_file.add(Delivery(Source.TRUTHVOUCH, f"meanwhile{number}", START, b"{}"))
                accepted.append(f"meanwhile{number}")
            if ended.is_set() and accepted:
                break
        inbox_file.close()

    def beside(file: Path, anew: Callable[[Path], int] = backup._written_anew) -> int:
        if not begun.is_set():
            thread.start()
        assert begun.wait(10)
        return anew(file)

    thread = threading.Thread(target=accept)
    monkeypatch.setattr(backup, "_written_anew", beside)
    compact(old_files.folder)
    ended.set()
    thread.join(30)
    with closing(sqlite3.connect(old_files.folder / "inbox.db")) as found:
        assert [("ok",)] == found.execute("PRAGMA integrity_check").fetchall()
        stored = {row[0] for row in found.execute("SELECT delivery_id FROM inbox WHERE delivery_id LIKE 'meanwhile%'")}
    assert accepted
    assert set(accepted) <= stored


def test_a_damaged_file_is_not_written_anew(files: Files) -> None:
    files.close()
    file = files.folder / "bridge.db"
    whole = file.read_bytes()
    broken = bytearray(whole)
    broken[4096 * 40 : 4096 * 60] = b"\xff" * 4096 * 20
    file.write_bytes(broken)
    with pytest.raises((StoreRefused, StoreUnavailable)):
        compact(files.folder)
    assert bytes(broken[4096:]) == file.read_bytes()[4096:]


def test_a_backup_gives_space_back_as_its_store_does(files: Files, tmp_path: Path) -> None:
    back_up(files.folder, tmp_path / "backup", lambda *_: None)
    restore(tmp_path / "new", tmp_path / "backup", False, lambda *_: None, START)
    restored = Files(tmp_path / "new")
    restored.delete()
    assert list(restored.retention.give_back())
    restored.close()


def test_a_file_is_opened_while_somebody_writes(files: Files) -> None:
    """To set what is set already would wait for the writer, and fail."""
    with files.bridge.begin():
        files.bridge.engine.pool.dispose()
        assert [2, 2] == files.pages("auto_vacuum")


@pytest.mark.postgres
def test_postgresql_sees_to_its_own_space(migrated_postgres_url: str, tmp_path: Path) -> None:
    bridge, rows = (opened(tmp_path, migrated_postgres_url) for opened in (open_bridge, open_inbox))
    assert [] == list(StoredRetention(Database(bridge), rows, tmp_path).give_back())
    bridge.dispose()
    rows.dispose()
