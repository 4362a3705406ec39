"""The worker process: takes the inbox in, delivers, and beats its heart.

It sits down before it works (one worker per SQLite directory), leaves when told (SIGTERM) or when the process that
started it is gone, and finishes what is in hand; what it cannot finish is repeated at the next start.
"""

import os
import select
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from app.bootstrap import WorkerBridge
from app.environment import PARENT_FD
from app.ports import SeatLost, StoreUnavailable

log = structlog.get_logger()

HEARTBEAT_SECONDS = 1.0
POLL_SECONDS = 0.25
"""How late an event is taken in when its ring is lost."""
STORE_RETRY_SECONDS = 1.0
SEAT_RETRY_SECONDS = 0.2
FINISH_SECONDS = 8
"""How long deliveries in hand may take to end; every partner call is bounded by less than twice that."""
LAST_CALL_SECONDS = 12.0


class Worker:
    """Sits down, works, and leaves."""

    def __init__(self, bridge: WorkerBridge) -> None:
        self._bridge = bridge

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        executor_id = self._sit_down(stop)
        if executor_id is None:
            return
        take = self._bridge.launch(executor_id)
        heart = threading.Thread(target=self._keep_beating, args=(stop,), name="heart", daemon=True)
        heart.start()
        log.info("worker.started", executor_id=executor_id, pid=os.getpid())
        while not stop.is_set():
            self._take_in(take, stop)
        log.info("worker.stopping")
        self._bridge.close(FINISH_SECONDS)  # the seat is left with the process: a call may still be ending
        log.info("worker.stopped")

    def _sit_down(self, stop: threading.Event) -> str | None:
        told = False
        while not stop.is_set():
            executor_id = self._bridge.seat.take()
            if executor_id is not None:
                return executor_id
            if not told:
                log.info("worker.waiting", because="another worker holds the seat; this one takes over when it is gone")
                told = True
            stop.wait(SEAT_RETRY_SECONDS)
        return None

    def _take_in(self, take: Callable[[], int], stop: threading.Event) -> None:
        try:
            if not self._bridge.seat.leads():
                stop.wait(HEARTBEAT_SECONDS)
            elif not take():
                self._bridge.bell.wait(POLL_SECONDS)
        except SeatLost as fault:
            # Its number may be another worker's by now: nothing more may be done under it, not even in an orderly way.
            log.critical("seat.lost", reason=str(fault))
            os._exit(1)
        except StoreUnavailable as fault:
            log.error("store.unavailable", reason=str(fault)[:200])
            stop.wait(STORE_RETRY_SECONDS)
        except Exception:
            log.exception("intake.broke")
            stop.wait(STORE_RETRY_SECONDS)

    def _keep_beating(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._bridge.beat(datetime.now(UTC))
            except Exception as fault:
                log.error("heartbeat.missed", reason=str(fault)[:200])
            stop.wait(HEARTBEAT_SECONDS)


def watch_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT end the work; so does the end of the parent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop(stop))
    parent = os.environ.get(PARENT_FD)
    if parent is not None and parent.isdigit():
        threading.Thread(target=_watch_parent, args=(int(parent), stop), name="parent", daemon=True).start()


def _stop(stop: threading.Event) -> None:
    stop.set()
    _no_later_than(LAST_CALL_SECONDS, 0)


def _watch_parent(fd: int, stop: threading.Event) -> None:
    while not stop.is_set():
        readable, _, _ = select.select([fd], [], [], 1.0)
        if readable and not os.read(fd, 1):
            log.warning("parent.gone")
            stop.set()
            _no_later_than(LAST_CALL_SECONDS, 1)


def _no_later_than(seconds: float, code: int) -> None:
    """End the process even if something hangs: an unfinished call is repeated after the next start."""
    timer = threading.Timer(seconds, os._exit, args=(code,))
    timer.daemon = True
    timer.start()
