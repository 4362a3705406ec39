"""A worker waits for its store as long as it takes, and no longer than it is told."""

import threading

from app.ports import StoreUnavailable
from app.process.worker import when_stored


def test_what_the_store_refuses_is_asked_again_until_it_is_there() -> None:
    refusals = [StoreUnavailable("gone")]

    def act() -> str:
        if refusals:
            raise refusals.pop()
        return "done"

    assert "done" == when_stored(act, threading.Event())


def test_a_worker_told_to_stop_waits_no_longer() -> None:
    stop = threading.Event()

    def act() -> str:
        stop.set()
        raise StoreUnavailable("gone")

    assert None is when_stored(act, stop)
