"""A notification wakes at once; a lost one costs a poll and nothing else."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.store.inbox_postgres import PostgresWakeup
from app.store.wakeup import MAX_PATH_BYTES, SocketWakeup, open_wakeup, socket_path
from tests.store.test_inbox import ROOT
from tests.system.waiting import until

ALARM_SECONDS = 10
NOBODY = "postgresql://postgres@127.0.0.1:9/test"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[SocketWakeup]:
    wakeup = SocketWakeup(tmp_path)
    wakeup.wait(0)
    yield wakeup
    wakeup.close()


def test_a_notification_wakes_the_listener_once(listener, tmp_path):
    SocketWakeup(tmp_path).notify()
    assert (True, False) == (listener.wait(ALARM_SECONDS), listener.wait(0))


def test_many_notifications_are_one_waking_and_never_block(listener, tmp_path):
    notifier = SocketWakeup(tmp_path)
    for _ in range(5000):
        notifier.notify()
    assert (True, False) == (listener.wait(ALARM_SECONDS), listener.wait(0))


def test_a_wakeup_may_be_sent_where_nobody_listens(tmp_path):
    SocketWakeup(tmp_path).notify()
    SocketWakeup(tmp_path / "no" / "such" / "folder").notify()


def test_without_a_notification_the_wait_ends_in_time(listener):
    started = time.monotonic()
    assert not listener.wait(0.02)
    assert 0.02 <= time.monotonic() - started < ALARM_SECONDS


def test_another_process_can_notify(listener, tmp_path):
    script = (
        "import sys, pathlib; from app.store.wakeup import SocketWakeup as W; W(pathlib.Path(sys.argv[1])).notify()"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT)
    assert listener.wait(ALARM_SECONDS)


def test_the_file_of_a_killed_worker_is_no_obstacle(tmp_path):
    script = """if True:
        import os, signal, sys, pathlib
        from app.store.wakeup import SocketWakeup
        SocketWakeup(pathlib.Path(sys.argv[1])).wait(0)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, cwd=ROOT)
    assert socket_path(tmp_path).is_socket()
    notifier = SocketWakeup(tmp_path)
    notifier.notify()  # nobody hears it, nobody is hurt
    restarted = SocketWakeup(tmp_path)
    restarted.wait(0)
    notifier.notify()
    assert restarted.wait(ALARM_SECONDS)
    restarted.close()


def test_of_two_listeners_the_later_hears_and_the_earlier_takes_over_when_it_goes(tmp_path):
    earlier, later, notifier = SocketWakeup(tmp_path), SocketWakeup(tmp_path), SocketWakeup(tmp_path)
    earlier.wait(0)
    later.wait(0)
    notifier.notify()
    assert (False, True) == (earlier.wait(0), later.wait(0))
    later.close()
    earlier.wait(0)
    notifier.notify()
    assert earlier.wait(ALARM_SECONDS)
    earlier.close()


def test_a_socket_whose_file_was_swept_away_is_bound_again(listener, tmp_path):
    socket_path(tmp_path).unlink()
    listener.wait(0)
    SocketWakeup(tmp_path).notify()
    assert listener.wait(ALARM_SECONDS)


def test_closing_takes_its_own_file_down_and_nobody_elses(tmp_path):
    earlier, later = SocketWakeup(tmp_path), SocketWakeup(tmp_path)
    earlier.wait(0)
    later.wait(0)
    earlier.close()
    assert socket_path(tmp_path).is_socket()
    later.close()
    assert [] == list(tmp_path.iterdir())


def test_where_no_socket_can_be_made_the_wait_is_a_poll():
    wakeup = SocketWakeup(Path("/missing/folder"))
    started = time.monotonic()
    assert not wakeup.wait(0.02)
    assert time.monotonic() - started >= 0.02


def test_only_its_owner_can_notify(listener, tmp_path):
    assert 0o600 == socket_path(tmp_path).stat().st_mode & 0o777


def test_a_path_too_long_for_a_socket_has_a_short_stand_in_both_ends_find(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(str(socket_path(deep))) <= MAX_PATH_BYTES
    assert socket_path(deep) == socket_path(Path("d" * 120))
    assert socket_path(deep) != socket_path(tmp_path / ("e" * 120))
    wakeup = SocketWakeup(deep)
    wakeup.wait(0)
    SocketWakeup(Path("d" * 120)).notify()
    assert wakeup.wait(ALARM_SECONDS)
    wakeup.close()


def test_the_database_decides_which_wakeup(tmp_path):
    assert isinstance(open_wakeup(tmp_path, None), SocketWakeup)
    assert isinstance(open_wakeup(tmp_path, NOBODY), PostgresWakeup)


@pytest.fixture
def notified(migrated_postgres_url) -> Iterator[PostgresWakeup]:
    wakeup = PostgresWakeup(migrated_postgres_url)
    while wakeup.wait(0):
        pass
    yield wakeup
    wakeup.close()


@pytest.mark.postgres
def test_a_notification_goes_through_postgresql(notified, migrated_postgres_url):
    notifier = PostgresWakeup(migrated_postgres_url)
    notifier.notify()
    assert notified.wait(ALARM_SECONDS)
    notifier.close()


@pytest.mark.postgres
def test_every_listener_on_postgresql_hears(notified, migrated_postgres_url):
    second = PostgresWakeup(migrated_postgres_url)
    second.wait(0)
    notifier = PostgresWakeup(migrated_postgres_url)
    notifier.notify()
    assert (True, True) == (notified.wait(ALARM_SECONDS), second.wait(ALARM_SECONDS))
    second.close()
    notifier.close()


def _listeners(owner: psycopg.Connection[Any]) -> int:
    counted = owner.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'truthv%' AND datname = current_database()"
    ).fetchone()
    assert counted
    return int(counted[0])


@pytest.mark.postgres
def test_a_lost_listening_connection_costs_one_wait(notified, migrated_postgres_url):
    with psycopg.connect(migrated_postgres_url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'truthv%' AND datname = current_database()"
        )
        until(lambda: not _listeners(owner), "the server has ended it", 5)
    assert not notified.wait(0.01)
    assert notified.wait(ALARM_SECONDS)  # connected anew: what was sent meanwhile is not known, so look
    notifier = PostgresWakeup(migrated_postgres_url)
    notifier.notify()
    assert notified.wait(ALARM_SECONDS)
    notifier.close()


def test_an_unreachable_postgresql_makes_the_wait_a_poll_and_the_notification_a_nothing():
    wakeup = PostgresWakeup(NOBODY)
    wakeup.notify()
    assert not wakeup.wait(0.02)
    wakeup.close()
