"""The store by its driver: what a web process asks all the time, over files and servers that come and go."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.ports import StoreUnavailable
from app.store.database import KEY_VALUES
from app.store.plain import KEPT, PlainStore, plain_bridge, plain_inbox
from tests.shapes import migrate_new, plain_of
from tests.store.conftest import Stores


def put(stores: Stores, name: str, value: str) -> None:
    with stores.bridge.begin() as tx:
        KEY_VALUES.put(tx, name, value)


@pytest.fixture
def plain(stores: Stores) -> Iterator[PlainStore]:
    made = plain_of(stores.bridge.engine)
    yield made
    made.close()


def kept(plain: PlainStore) -> list[Any]:
    return plain._kept.get(os.getpid(), [])


def test_what_others_commit_is_read_over_one_connection(stores: Stores, plain: PlainStore) -> None:
    assert plain.value("a") is None
    (first,) = kept(plain)
    put(stores, "a", "1")
    assert "1" == plain.value("a")
    assert [first] == kept(plain)
    plain.close()
    assert "1" == plain.value("a")


def test_a_reader_changes_nothing(stores: Stores, plain: PlainStore) -> None:
    put(stores, "a", "1")
    with pytest.raises(StoreUnavailable, match=r"readonly|read-only"):
        plain.rows("UPDATE marks SET value = ?", ("2",))
    assert "1" == plain.value("a")


def test_a_fault_is_in_the_drivers_words_and_the_next_question_is_answered(plain: PlainStore) -> None:
    with pytest.raises(StoreUnavailable, match="no_such_table") as raised:
        plain.rows("SELECT 1 FROM no_such_table")
    assert "\n" not in str(raised.value)
    assert (1,) == plain.row("SELECT 1")


def test_a_write_is_whole_or_not_at_all(plain: PlainStore) -> None:

    def write(*values: str, fail: bool = False) -> None:
        with plain.writing() as ask:
            for value in values:
                ask("INSERT INTO marks (name, value) VALUES ('a', ?)", (value,))
            if fail:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write("1", fail=True)
    with pytest.raises(StoreUnavailable):
        write("1", "2")
    assert plain.value("a") is None
    write("3")
    assert "3" == plain.value("a")


def test_threads_ask_at_once_and_few_connections_stay(stores: Stores, plain: PlainStore) -> None:
    put(stores, "a", "1")
    with ThreadPoolExecutor(8) as threads:
        assert {"1"} == set(threads.map(lambda _: plain.value("a"), range(400)))
    assert 1 <= len(kept(plain)) <= KEPT


FORKED = """
import os, sys
from pathlib import Path
from app.store.plain import plain_bridge
plain = plain_bridge(Path(sys.argv[1]), sys.argv[2] or None)
assert plain.row("SELECT 1") == (1,)
(parents,) = plain._kept[os.getpid()]
if os.fork() == 0:
    same = plain.row("SELECT 1") == (1,) and parents not in plain._kept[os.getpid()]
    plain.close()
    os._exit(0 if same else 1)
assert os.wait()[1] == 0
assert plain.row("SELECT 1") == (1,)
assert [parents] == plain._kept[os.getpid()]
"""


def test_a_forked_process_opens_its_own(stores: Stores, tmp_path: Path) -> None:
    url = stores.bridge.engine.url
    given = "" if url.drivername == "sqlite" else url.render_as_string(hide_password=False)
    asked = subprocess.run([sys.executable, "-c", FORKED, tmp_path, given], capture_output=True, text=True, timeout=60)
    assert 0 == asked.returncode, asked.stderr


# --------------------------------------------------------------------------------------------- files


def test_a_file_that_nobody_made_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    for plain in (plain_bridge(folder, None), plain_inbox(folder, None)):
        with pytest.raises(StoreUnavailable, match=r"there is no (bridge|inbox)\.db in "):
            plain.rows("SELECT 1")
    assert not folder.exists()


def test_a_file_that_was_put_in_the_place_of_another_is_read(tmp_path: Path) -> None:
    """As a restore does it."""
    here, restored = tmp_path / "here", tmp_path / "restored"
    plain = plain_bridge(here, None)
    for folder, value in ((here, "old"), (restored, "new")):
        migrate_new(folder)
        other = plain_bridge(folder, None)
        with other.writing() as ask:
            ask("INSERT INTO marks (name, value) VALUES ('a', ?)", (value,))
    assert "old" == plain.value("a")
    (restored / "bridge.db").replace(here / "bridge.db")
    assert "new" == plain.value("a")
    shutil.rmtree(here)
    with pytest.raises(StoreUnavailable):
        plain.value("a")
    plain.close()


def test_a_broken_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "bridge.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        plain_bridge(tmp_path, None).rows("SELECT 1 FROM marks")


# --------------------------------------------------------------------------------------------- servers


@pytest.mark.postgres
def test_a_server_that_ended_every_connection_is_asked_anew(migrated_postgres_url: str) -> None:
    plain = plain_bridge(Path(), migrated_postgres_url)
    dead = [plain._driver.connect() for _ in range(KEPT)]
    plain._kept[os.getpid()] = dead[:]
    with psycopg.connect(migrated_postgres_url, autocommit=True) as other:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY(%s)"
        other.execute(others, ([one.info.backend_pid for one in dead],))
    assert (1,) == plain.row("SELECT 1")
    assert not set(map(id, dead)) & set(map(id, kept(plain)))
    plain.close()


@pytest.mark.postgres
def test_a_server_that_is_not_there_is_said_to_be_gone(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        plain_bridge(tmp_path, "postgresql+psycopg://postgres@127.0.0.1:1/none").rows("SELECT 1")
