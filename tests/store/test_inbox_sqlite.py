"""How the SQLite inbox behaves when its file or its disk fails it."""

import fcntl
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.ports import StoreUnavailable
from app.store.database import open_inbox
from app.store.inbox_sqlite import SqliteInbox
from app.store.schema import inbox_metadata
from tests.store.test_inbox import DELIVERY, ROOT, numbered


def make_file(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    engine = open_inbox(folder, None)
    inbox_metadata.create_all(engine)
    engine.dispose()
    return folder / "inbox.db"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_file(tmp_path)


@pytest.fixture
def inbox_store(path: Path) -> Iterator[SqliteInbox]:
    inbox_store = SqliteInbox(path, timeout=1.0, lock_seconds=0.05)
    yield inbox_store
    inbox_store.close()


@contextmanager
def write_lock(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as reader:
        return int(reader.execute("SELECT count(*) FROM inbox").fetchone()[0])


def test_a_file_locked_for_long_refuses_and_accepts_when_it_is_free(inbox_store, path):
    with write_lock(path):
        with pytest.raises(StoreUnavailable, match="locked") as refused:
            inbox_store.add(DELIVERY)
        with pytest.raises(StoreUnavailable):
            inbox_store.check_writable()
    assert isinstance(refused.value.__cause__, sqlite3.OperationalError)
    assert inbox_store.add(DELIVERY)


def test_a_file_locked_for_a_moment_is_waited_for(path):
    inbox_store = SqliteInbox(path, lock_seconds=10)
    with write_lock(path) as other:
        threading.Timer(0.05, other.execute, ("COMMIT",)).start()
        assert inbox_store.add(DELIVERY)
    inbox_store.close()


def test_a_process_that_stopped_with_the_write_lock_delays_but_does_not_keep_others_out(inbox_store, path):
    with path.with_name("inbox.db.lock").open("w") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        assert inbox_store.add(DELIVERY)


def test_a_missing_file_is_refused_and_not_created_empty(tmp_path):
    inbox_store = SqliteInbox(tmp_path / "inbox.db")
    with pytest.raises(StoreUnavailable):
        inbox_store.add(DELIVERY)
    assert not (tmp_path / "inbox.db").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "inbox.db").write_bytes(b"no database at all" * 500)
    with pytest.raises(StoreUnavailable) as refused:
        SqliteInbox(tmp_path / "inbox.db").add(DELIVERY)
    assert isinstance(refused.value.__cause__, sqlite3.DatabaseError)


def test_a_file_deleted_under_us_refuses_instead_of_filling_the_deleted_one(inbox_store, path):
    inbox_store.add(DELIVERY)
    path.unlink()
    with pytest.raises(StoreUnavailable):
        inbox_store.add(numbered(2))


def test_a_file_put_in_its_place_is_the_one_that_is_filled(inbox_store, path, tmp_path):
    inbox_store.add(DELIVERY)
    for old in tmp_path.glob("inbox.db*"):
        old.unlink()
    make_file(tmp_path / "new").rename(path)
    assert inbox_store.add(DELIVERY)
    inbox_store.close()
    assert 1 == count(path)


FULL_DISK = """
import pathlib, resource, sys
from app.ports import StoreUnavailable
from app.store.inbox_sqlite import SqliteInbox
from tests.store.test_inbox import numbered
inbox_store = SqliteInbox(pathlib.Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
accepted = 0
try:
    for n in range(1000):
        accepted += inbox_store.add(numbered(n))
except StoreUnavailable as fault:
    assert fault.__cause__ is not None
else:
    sys.exit("never full")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert inbox_store.add(numbered(2000))
inbox_store.close()
print(accepted + 1)
"""


def test_a_full_disk_refuses_and_accepts_again_when_there_is_room(path):
    """The system's limit on the size of a file stands in for the end of the disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) == count(path)


CHECKED = (
    FULL_DISK.split("accepted = 0")[0]
    + """
try:
    for n in range(1000):
        inbox_store.check_writable()
except StoreUnavailable:
    sys.exit(0)
sys.exit("never full")
"""
)


def test_a_full_disk_is_seen_by_the_check_before_a_sender_sees_it(path):
    subprocess.run([sys.executable, "-c", CHECKED, str(path)], cwd=ROOT, check=True, timeout=60)
