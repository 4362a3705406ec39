"""A ring wakes at once; a lost one costs a poll and nothing else."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.store.bell import MAX_PATH_BYTES, PostgresBell, SocketBell, bell_path, open_bell
from tests.store.test_inbox import ROOT
from tests.system.waiting import until

ALARM_SECONDS = 10
NOBODY = "postgresql://postgres@127.0.0.1:9/test"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[SocketBell]:
    bell = SocketBell(tmp_path)
    bell.wait(0)
    yield bell
    bell.close()


def test_a_ring_wakes_the_listener_once(listener, tmp_path):
    SocketBell(tmp_path).ring()
    assert (True, False) == (listener.wait(ALARM_SECONDS), listener.wait(0))


def test_many_rings_are_one_waking_and_never_block(listener, tmp_path):
    ringer = SocketBell(tmp_path)
    for _ in range(5000):
        ringer.ring()
    assert (True, False) == (listener.wait(ALARM_SECONDS), listener.wait(0))


def test_a_bell_may_be_rung_where_nobody_listens(tmp_path):
    SocketBell(tmp_path).ring()
    SocketBell(tmp_path / "no" / "such" / "folder").ring()


def test_without_a_ring_the_wait_ends_in_time(listener):
    started = time.monotonic()
    assert not listener.wait(0.02)
    assert 0.02 <= time.monotonic() - started < ALARM_SECONDS


def test_another_process_can_ring(listener, tmp_path):
    script = "import sys, pathlib; from app.store.bell import SocketBell; SocketBell(pathlib.Path(sys.argv[1])).ring()"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT)
    assert listener.wait(ALARM_SECONDS)


def test_the_file_of_a_killed_worker_is_no_obstacle(tmp_path):
    script = """if True:
        import os, signal, sys, pathlib
        from app.store.bell import SocketBell
        SocketBell(pathlib.Path(sys.argv[1])).wait(0)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, cwd=ROOT)
    assert bell_path(tmp_path).is_socket()
    ringer = SocketBell(tmp_path)
    ringer.ring()  # nobody hears it, nobody is hurt
    restarted = SocketBell(tmp_path)
    restarted.wait(0)
    ringer.ring()
    assert restarted.wait(ALARM_SECONDS)
    restarted.close()


def test_of_two_listeners_the_later_hears_and_the_earlier_takes_over_when_it_goes(tmp_path):
    earlier, later, ringer = SocketBell(tmp_path), SocketBell(tmp_path), SocketBell(tmp_path)
    earlier.wait(0)
    later.wait(0)
    ringer.ring()
    assert (False, True) == (earlier.wait(0), later.wait(0))
    later.close()
    earlier.wait(0)
    ringer.ring()
    assert earlier.wait(ALARM_SECONDS)
    earlier.close()


def test_a_bell_whose_file_was_swept_away_hangs_itself_up_again(listener, tmp_path):
    bell_path(tmp_path).unlink()
    listener.wait(0)
    SocketBell(tmp_path).ring()
    assert listener.wait(ALARM_SECONDS)


def test_closing_takes_its_own_file_down_and_nobody_elses(tmp_path):
    earlier, later = SocketBell(tmp_path), SocketBell(tmp_path)
    earlier.wait(0)
    later.wait(0)
    earlier.close()
    assert bell_path(tmp_path).is_socket()
    later.close()
    assert [] == list(tmp_path.iterdir())


def test_where_no_socket_can_be_made_the_wait_is_a_poll():
    bell = SocketBell(Path("/missing/folder"))
    started = time.monotonic()
    assert not bell.wait(0.02)
    assert time.monotonic() - started >= 0.02


def test_only_its_owner_can_ring_a_bell(listener, tmp_path):
    assert 0o600 == bell_path(tmp_path).stat().st_mode & 0o777


def test_a_path_too_long_for_a_socket_has_a_short_stand_in_both_ends_find(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(str(bell_path(deep))) <= MAX_PATH_BYTES
    assert bell_path(deep) == bell_path(Path("d" * 120))
    assert bell_path(deep) != bell_path(tmp_path / ("e" * 120))
    bell = SocketBell(deep)
    bell.wait(0)
    SocketBell(Path("d" * 120)).ring()
    assert bell.wait(ALARM_SECONDS)
    bell.close()


def test_the_database_decides_which_bell(tmp_path):
    assert isinstance(open_bell(tmp_path, None), SocketBell)
    assert isinstance(open_bell(tmp_path, NOBODY), PostgresBell)


@pytest.fixture
def notified(postgres_url) -> Iterator[PostgresBell]:
    bell = PostgresBell(postgres_url)
    while bell.wait(0):
        pass
    yield bell
    bell.close()


@pytest.mark.postgres
def test_a_ring_goes_through_postgresql(notified, postgres_url):
    ringer = PostgresBell(postgres_url)
    ringer.ring()
    assert notified.wait(ALARM_SECONDS)
    ringer.close()


@pytest.mark.postgres
def test_every_listener_on_postgresql_hears(notified, postgres_url):
    second = PostgresBell(postgres_url)
    second.wait(0)
    ringer = PostgresBell(postgres_url)
    ringer.ring()
    assert (True, True) == (notified.wait(ALARM_SECONDS), second.wait(ALARM_SECONDS))
    second.close()
    ringer.close()


def _listeners(owner: psycopg.Connection[Any]) -> int:
    counted = owner.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'truthv%' AND datname = current_database()"
    ).fetchone()
    assert counted
    return int(counted[0])


@pytest.mark.postgres
def test_a_lost_listening_connection_costs_one_wait(notified, postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'truthv%' AND datname = current_database()"
        )
        until(lambda: not _listeners(owner), "the server has ended it", 5)
    assert not notified.wait(0.01)
    assert notified.wait(ALARM_SECONDS)  # connected anew: what rang meanwhile is not known, so look
    ringer = PostgresBell(postgres_url)
    ringer.ring()
    assert notified.wait(ALARM_SECONDS)
    ringer.close()


def test_an_unreachable_postgresql_makes_the_wait_a_poll_and_the_ring_a_nothing():
    bell = PostgresBell(NOBODY)
    bell.ring()
    assert not bell.wait(0.02)
    bell.close()
