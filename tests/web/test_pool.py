"""The threads that answer."""

import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from app.web.pool import Pool
from tests.system.waiting import until

SECONDS = 5.0
"""More than any of this takes."""


class Calls:
    """Calls that say which thread has them, and last until they are let go."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._changed = threading.Condition()
        self.running: dict[int, str] = {}
        self._ends: dict[int, threading.Event] = {}

    def submit(self, number: int) -> None:
        self._ends[number] = threading.Event()
        self._pool.submit(self._run, number)

    def end(self, number: int) -> None:
        self._ends[number].set()
        self.wait(lambda: number not in self.running)

    def wait(self, holds: Callable[[], bool]) -> None:
        """Until this is so."""
        with self._changed:
            assert self._changed.wait_for(holds, SECONDS)

    def _run(self, number: int) -> None:
        with self._changed:
            self.running[number] = threading.current_thread().name
            self._changed.notify_all()
        assert self._ends[number].wait(SECONDS)
        with self._changed:
            del self.running[number]
            self._changed.notify_all()


def idle(pool: Pool, count: int) -> Callable[[], bool]:
    """Whether so many threads wait."""
    return lambda: len(pool._idle) == count


def test_as_many_run_at_once_as_there_are_threads_and_the_rest_in_order_of_arrival():
    calls = Calls(Pool(2))
    for number in (1, 2, 3, 4):
        calls.submit(number)
    calls.wait(lambda: {1, 2} == set(calls.running))
    calls.end(2)
    calls.wait(lambda: {1, 3} == set(calls.running))
    calls.end(1)
    calls.wait(lambda: {3, 4} == set(calls.running))
    calls.end(3)
    calls.end(4)


def test_the_last_thread_to_become_idle_is_woken_first_and_no_other_is_started():
    pool = Pool(3)
    calls = Calls(pool)
    for number in (1, 2):
        calls.submit(number)
    calls.wait(lambda: {1, 2} == set(calls.running))
    for count, number in ((1, 2), (2, 1)):
        name = calls.running[number]
        calls.end(number)
        until(idle(pool, count), "the thread is idle")
    for number in (3, 4, 5):
        calls.submit(number)
        calls.wait(lambda number=number: number in calls.running)
        assert name == calls.running[number]
        calls.end(number)
        until(idle(pool, 2), "the thread is idle")


def test_where_the_system_has_no_thread_left_those_that_run_go_on(monkeypatch: pytest.MonkeyPatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError

    pool = Pool(2)
    calls = Calls(pool)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            Pool(2).submit(print)
    calls.submit(1)
    calls.wait(lambda: {1} == set(calls.running))
    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr(threading.Thread, "start", refuse)
        calls.submit(2)
    assert ["pool.thread_not_started"] == [line["event"] for line in lines]
    calls.end(1)
    calls.wait(lambda: {2} == set(calls.running))
    calls.end(2)
