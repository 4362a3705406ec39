"""Keeps the one worker process running beside the web processes, for as long as gunicorn's master lives.

There is no thread: a master that forks must have none. Gunicorn's own loop, which wakes for every child that ends and
otherwise once a second, asks ``Keeper.tick`` what to do. The worker holds the read end of a pipe whose write end only
the master has, so the end of the master, however it comes, is an end of file there, on Linux and macOS alike.
"""

import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from app.environment import PARENT_FD

log = structlog.get_logger()

PATIENCE_SECONDS = 13.0
"""From SIGTERM to SIGKILL. The worker ends itself after 12."""
GRACE_DEATHS = 3
"""So many deaths at the start are mere bad luck; from then on each pause is twice the one before."""
MAX_PAUSE_SECONDS = 15.0
YOUNG_SECONDS = 10.0
"""A worker that ends by itself before this never really started."""
YOUNG_WHEN_KILLED_SECONDS = 1.0
POLL_SECONDS = 0.05


class Keeper:
    """One child process that is always there. Not for use from several threads."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        buried: Callable[[int], None] = lambda _pid: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``buried`` hears the pid of every child that has ended."""
        self._command, self._environ, self._buried, self._clock = command, environ, buried, clock
        self._read_end, self._write_end = os.pipe()
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = self._due_at = clock()
        self._deaths = 0
        self._told_to_end = self._stopping = False

    @property
    def pid(self) -> int | None:
        """Of the running child; None while there is none."""
        return self._child.pid if self._child else None

    def tick(self) -> None:
        """Notice a child that has ended, and start one if it is time."""
        if self._child is not None and self._child.poll() is not None:
            self._has_ended(self._child)
        if self._child is None and not self._stopping and self._clock() >= self._due_at:
            self._start()

    def restart(self) -> None:
        """End the child in good order; the next tick after its end starts another."""
        self._tell(signal.SIGTERM)

    def stop(self) -> None:
        """End the child in good order and start none any more. Does not wait."""
        if not self._stopping:
            self._stopping = True
            self._due_at = self._clock() + PATIENCE_SECONDS
            self._tell(signal.SIGTERM)

    def wait(self) -> None:
        """Wait for the end of a stopped child, and make it end when its time is up."""
        self.tick()
        while self._child is not None:
            if self._clock() >= self._due_at:
                log.error("worker.killed", pid=self.pid, because="it did not end in time")
                self._due_at = math.inf
                self._tell(signal.SIGKILL)
            time.sleep(POLL_SECONDS)
            self.tick()

    def let_go(self) -> None:
        """In a process forked off the master: it must not keep the pipe open, nor the child company."""
        self._stopping = True
        os.close(self._read_end)
        os.close(self._write_end)

    def _start(self) -> None:
        environ = {**self._environ, PARENT_FD: str(self._read_end)}
        # A session of its own: Ctrl-C on a terminal is for the master, which ends the child in its order.
        try:
            self._child = subprocess.Popen(  # noqa: S603
                self._command, env=environ, pass_fds=(self._read_end,), start_new_session=True
            )
        except OSError as fault:
            log.error("worker.not_started", reason=str(fault))
            self._due_at = self._clock() + MAX_PAUSE_SECONDS
            return
        self._started_at, self._told_to_end = self._clock(), False
        log.info("worker.spawned", worker_pid=self._child.pid)

    def _tell(self, number: signal.Signals) -> None:
        self._told_to_end = True
        if self._child is not None:
            self._child.send_signal(number)

    def _has_ended(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = None
        self._buried(child.pid)
        lived = self._clock() - self._started_at
        facts = {"worker_pid": child.pid, "status": child.returncode, "seconds": round(lived, 1)}
        if self._told_to_end:
            log.info("worker.ended", **facts)
            return
        killed = child.returncode <= 0
        young = lived < (YOUNG_WHEN_KILLED_SECONDS if killed else YOUNG_SECONDS)
        self._deaths = self._deaths + 1 if young else 0
        pause = _pause(self._deaths)
        self._due_at = self._clock() + pause
        log.error("worker.died", **facts, restart_in_seconds=pause)


def _pause(deaths: int) -> float:
    """Seconds before the next start after so many deaths in a row at the start."""
    return 0.0 if deaths <= GRACE_DEATHS else min(MAX_PAUSE_SECONDS, 2.0 ** (deaths - GRACE_DEATHS - 1))


def attach(master: Any, keeper: Keeper) -> None:
    """Let the loop of this gunicorn master (an ``Arbiter``) keep the child, and its end be the child's.

    Gunicorn has no hook that is called often enough, so three methods of this one object are extended. ``reap_workers``
    takes the status of *every* ended child; the keeper looks first, and copes when it comes too late.
    """
    reap, manage, stop = master.reap_workers, master.manage_workers, master.stop

    def tick() -> None:
        # A master started by an upgrade (SIGUSR2) waits until the old one has gone, and its worker with it.
        if master.master_pid == 0:
            keeper.tick()

    def reap_workers() -> None:
        tick()
        reap()

    def manage_workers() -> None:
        manage()
        tick()

    def stop_everything(graceful: bool = True) -> None:
        keeper.stop()
        stop(graceful)
        keeper.wait()

    master.reap_workers, master.manage_workers, master.stop = reap_workers, manage_workers, stop_everything
    master.keeper = keeper
    tick()


def follow(master: Any, fd: int) -> None:
    """Let this gunicorn master end in good order when the other end of this pipe is gone, and with it whoever started
    it. Gunicorn asks about once a second."""
    manage = master.manage_workers

    def manage_workers() -> None:
        readable, _, _ = select.select([fd], [], [], 0)
        if readable and not os.read(fd, 1):
            log.warning("parent.gone")
            raise StopIteration
        manage()

    master.manage_workers = manage_workers
