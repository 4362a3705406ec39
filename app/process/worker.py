"""The worker process: takes the inbox in, delivers, and beats its heart.

It acquires a lease before it works (one worker per SQLite directory), ends when told (SIGTERM) or when the process that
started it is gone, and finishes what is in hand; what it cannot finish is repeated at the next start.

A worker that lost its lease (the store restarted, the network broke, another worker found it hanging) ends at once and
comes back as a new one in the same process: nothing of the old one, no thread and no connection, outlives that.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, NoReturn, TypeVar

import structlog

from app.config.environment import PARENT_FD
from app.ports import LeaseLost, PeriodicTask, StoreUnavailable
from app.process import job_child

if TYPE_CHECKING:
    from app.bootstrap.worker import WorkerBridge

log = structlog.get_logger()

HEARTBEAT_SECONDS = 1.0
POLL_SECONDS = 0.5
"""How late an event is taken in when its notification is lost."""
TASK_POLL_SECONDS = 0.2
FAILED_TASK_SECONDS = 10.0
"""Until a task that failed is tried again: what was asked for, and what a start owes, is not put off for minutes."""
STORE_RETRY_SECONDS = 1.0
LEASE_RETRY_SECONDS = 0.2
FINISH_SECONDS = 8
"""How long deliveries in hand may take to end; every partner call is bounded by less than twice that."""
LAST_CALL_SECONDS = 12.0


class Worker:
    """Acquires a lease, works, and ends."""

    def __init__(self, bridge: "WorkerBridge") -> None:
        self._bridge = bridge
        self._leading = False

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop. Raises ``SchemaTooNew`` when a newer version has upgraded the store."""
        executor_id = self._acquire_lease(stop)
        if executor_id is None:
            return
        # Asked with the lease in hand: while anybody has one, nobody migrates.
        when_stored(self._bridge.check_schema, stop)
        if stop.is_set():
            return
        # A thread of its own: a sign of life that all workers share may wait for one that hangs.
        self._keep(self._bridge.lease.beat, "lease-heartbeat", stop)
        take = self._launch(executor_id, stop)
        self._keep(lambda: self._bridge.beat(datetime.now(UTC)), "heart", stop)
        for task in (*self._bridge.tasks, self._bridge.jobs_task(job_child.start)):
            threading.Thread(target=self._run_task, args=(task, stop), name=task.name, daemon=True).start()
        log.info("worker.started", executor_id=executor_id, pid=os.getpid())
        while not stop.is_set():
            self._take_in(take, stop)
        log.info("worker.stopping")
        self._bridge.close(FINISH_SECONDS)  # the lease ends with the process: a call may still be ending
        log.info("worker.stopped")

    def _launch(self, executor_id: str, stop: threading.Event) -> Callable[[], int]:
        try:
            return self._bridge.launch(executor_id)
        except Exception:
            log.exception("worker.not_started", executor_id=executor_id)
            stop.wait(STORE_RETRY_SECONDS)
            _start_over(stop)

    def _acquire_lease(self, stop: threading.Event) -> str | None:
        is_logged = False
        while not stop.is_set():
            executor_id = when_stored(self._bridge.lease.acquire, stop)
            if executor_id is not None:
                return executor_id
            if not is_logged:
                why = "another worker holds the lease; this one takes over when it is gone"
                log.info("worker.waiting", because=why)
                is_logged = True
            stop.wait(LEASE_RETRY_SECONDS)
        return None

    def _take_in(self, take: Callable[[], int], stop: threading.Event) -> None:
        try:
            self._leading = self._bridge.lease.leads()
            if not self._leading:
                stop.wait(HEARTBEAT_SECONDS)
            elif not take():
                self._bridge.wakeup.wait(POLL_SECONDS)
        except LeaseLost as fault:
            # Its number may be another worker's by now: nothing more may be done under it, not even in an orderly way.
            log.critical("lease.lost", reason=str(fault))
            _start_over(stop)
        except StoreUnavailable as fault:
            log.error("store.unavailable", reason=str(fault)[:200])
            stop.wait(STORE_RETRY_SECONDS)
        except Exception:
            log.exception("intake.broke")
            stop.wait(STORE_RETRY_SECONDS)

    def _run_task(self, task: PeriodicTask, stop: threading.Event) -> None:
        """Do it whenever its time has come or somebody asked, as long as this worker may."""
        due = monotonic() + task.first_after_seconds
        while not stop.wait(TASK_POLL_SECONDS):
            if (monotonic() < due and not task.asked.now) or (task.leader_only and not self._leading):
                continue
            wanted, task.asked.now = task.asked.now, False
            pause = task.every_seconds
            try:
                task.run()
            except Exception:
                log.exception("task.failed", task=task.name)
                task.asked.now = task.asked.now or wanted
                pause = min(pause, FAILED_TASK_SECONDS)
                stop.wait(FAILED_TASK_SECONDS if wanted else 0)
            due = monotonic() + pause

    def _keep(self, beat: Callable[[], None], name: str, stop: threading.Event) -> None:
        def run() -> None:
            while not stop.is_set():
                try:
                    beat()
                except Exception as fault:
                    log.error("heartbeat.missed", which=name, reason=str(fault)[:200])
                stop.wait(HEARTBEAT_SECONDS)

        threading.Thread(target=run, name=name, daemon=True).start()


T = TypeVar("T")


def when_stored(act: Callable[[], T], stop: threading.Event) -> T | None:
    """Do it as soon as the store is there; None when told to stop before that."""
    while not stop.is_set():
        try:
            return act()
        except StoreUnavailable as fault:
            log.error("store.unavailable", reason=str(fault)[:200])
            stop.wait(STORE_RETRY_SECONDS)
    return None


def _start_over(stop: threading.Event) -> NoReturn:
    """Become a new process under the same number, with the same orders and the same parent.

    Whoever watches this process sees no death, and one that nobody watches comes back all the same.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if stop.is_set():
        os._exit(0)
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    finally:
        os._exit(1)


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
