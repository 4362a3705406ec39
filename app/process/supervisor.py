"""Keeps the one worker process running beside the web processes, for as long as gunicorn's master lives.

It also watches that the worker reports. While it does not, or where there is none, a short-lived child looks at the
bridge and pages about it: the master itself calls nobody and reads no store.

There is no thread: a master that forks must have none. Gunicorn's own loop, which wakes for every child that ends and
otherwise once a second, asks ``WorkerSupervisor.tick`` what to do. The worker holds the read end of a pipe whose write
end only the master has, so the end of the master, however it comes, is an end of file there, on Linux and macOS alike.
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

from app.config.environment import PARENT_FD, WATCH_FD, WATCH_MEMORY

log = structlog.get_logger()

STOP_TIMEOUT_SECONDS = 13.0
"""From SIGTERM to SIGKILL. The worker ends itself after 12."""
GRACE_DEATHS = 3
"""So many deaths at the start are mere bad luck; from then on each pause is twice the one before."""
MAX_PAUSE_SECONDS = 15.0
YOUNG_SECONDS = 10.0
"""A worker that ends by itself before this never really started."""
YOUNG_WHEN_KILLED_SECONDS = 1.0
POLL_SECONDS = 0.05
SILENT_SECONDS = 40.0
"""A worker that has not reported a look for so long is not relied upon: it looks every 15 seconds."""
LOOK_SECONDS = 15.0
"""From one look of a child to the next while the worker is silent."""
LOOK_WITHOUT_WORKER_SECONDS = 60.0
"""The same where there is none (``BRIDGE_ROLE=web``)."""
LOOK_TIMEOUT_SECONDS = 60.0
MAX_SAID_BYTES = 65_536
"""More than a look ever says, and what a pipe holds."""


class Lookout:
    """Starts the child that looks at the bridge, whenever nobody else has for long. For one thread."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        has_worker: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command, self._environ, self._clock = command, environ, clock
        self._silent_seconds = SILENT_SECONDS if has_worker else LOOK_WITHOUT_WORKER_SECONDS
        self._pause = LOOK_SECONDS if has_worker else LOOK_WITHOUT_WORKER_SECONDS
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self.write_end, False)
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = clock()
        self._due_at = clock() + self._silent_seconds
        self._memory, self._unread = b"", b""
        self._stopping = False

    @property
    def memory(self) -> str:
        """What the newest look remembers, for the next; it is theirs to read. Of a worker that was killed, too: its
        last words may still lie in the pipe."""
        self._listen()
        return self._memory.decode("ascii", "ignore")

    @property
    def pid(self) -> int | None:
        """Of the child that looks now; None while there is none."""
        return self._child.pid if self._child else None

    def tick(self) -> None:
        """Hear what the worker says, and start a child if it has said nothing for long."""
        self._listen()
        now = self._clock()
        if self._child is not None:
            if self._child.poll() is not None:
                self._has_looked(self._child)
            elif now - self._started_at > LOOK_TIMEOUT_SECONDS:
                log.error("self_page.look_killed", because="it did not end in time")
                self._child.kill()
        elif now >= self._due_at and not self._stopping:
            self._start(now)

    def stop(self) -> None:
        """End a look in the middle and start none any more: what it has sent, the next one sends again under the same
        key."""
        self._stopping = True
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def let_go(self) -> None:
        """In a process forked off the master."""
        self._stopping = True
        os.close(self._read_end)
        os.close(self.write_end)

    def _listen(self) -> None:
        try:
            said = os.read(self._read_end, MAX_SAID_BYTES)
        except BlockingIOError:
            return
        *lines, self._unread = (self._unread + said).split(b"\n")
        if lines:
            self._memory = lines[-1]
            self._due_at = self._clock() + self._silent_seconds

    def _start(self, now: float) -> None:
        self._due_at, self._started_at = now + self._pause, now
        environ = {**self._environ, WATCH_MEMORY: self.memory}
        try:
            self._child = subprocess.Popen(  # noqa: S603
                self._command, env=environ, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as fault:
            log.error("self_page.look_not_started", reason=str(fault))

    def _has_looked(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = None
        assert child.stdout is not None
        with child.stdout:
            *lines, _ = child.stdout.read(MAX_SAID_BYTES).split(b"\n")
        if lines:  # also of one that was killed: it says so before it sends something
            self._memory = lines[-1]
        if child.returncode:
            log.error("self_page.look_failed", status=child.returncode)


class WorkerSupervisor:
    """One child process that is always there. Not for use from several threads."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        on_death: Callable[[int], None] = lambda _pid: None,
        clock: Callable[[], float] = time.monotonic,
        lookout: Lookout | None = None,
    ) -> None:
        """``on_death`` is called with the pid of every child that has ended; ``lookout`` is who the child reports its
        looks to."""
        self._command, self._environ, self._on_death, self._clock = command, environ, on_death, clock
        self._lookout = lookout
        self._read_end, self._write_end = os.pipe()
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = self._due_at = clock()
        self._deaths = 0
        self._asked_to_end = self._stopping = False

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
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """End the child in good order and start none any more. Does not wait."""
        if not self._stopping:
            self._stopping = True
            self._due_at = self._clock() + STOP_TIMEOUT_SECONDS
            self._signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait for the end of a stopped child, and make it end when its time is up."""
        self.tick()
        while self._child is not None:
            if self._clock() >= self._due_at:
                log.error("worker.killed", pid=self.pid, because="it did not end in time")
                self._due_at = math.inf
                self._signal(signal.SIGKILL)
            time.sleep(POLL_SECONDS)
            self.tick()

    def let_go(self) -> None:
        """In a process forked off the master: it must not keep the pipe open, nor the child company."""
        self._stopping = True
        os.close(self._read_end)
        os.close(self._write_end)

    def _start(self) -> None:
        environ, fds = {**self._environ, PARENT_FD: str(self._read_end)}, [self._read_end]
        if self._lookout is not None:
            environ |= {WATCH_FD: str(self._lookout.write_end), WATCH_MEMORY: self._lookout.memory}
            fds.append(self._lookout.write_end)
        # A session of its own: Ctrl-C on a terminal is for the master, which ends the child in its order.
        try:
            self._child = subprocess.Popen(  # noqa: S603
                self._command, env=environ, pass_fds=fds, start_new_session=True
            )
        except OSError as fault:
            log.error("worker.not_started", reason=str(fault))
            self._due_at = self._clock() + MAX_PAUSE_SECONDS
            return
        self._started_at, self._asked_to_end = self._clock(), False
        log.info("worker.spawned", worker_pid=self._child.pid)

    def _signal(self, number: signal.Signals) -> None:
        self._asked_to_end = True
        if self._child is not None:
            self._child.send_signal(number)

    def _has_ended(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = None
        self._on_death(child.pid)
        lived = self._clock() - self._started_at
        facts = {"worker_pid": child.pid, "status": child.returncode, "seconds": round(lived, 1)}
        if self._asked_to_end:
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


def attach(master: Any, worker_supervisor: WorkerSupervisor | None, lookout: Lookout | None = None) -> None:
    """Let the loop of this gunicorn master (an ``Arbiter``) keep these children, and its end be theirs.

    Gunicorn has no hook that is called often enough, so three methods of this one object are extended. ``reap_workers``
    takes the status of *every* ended child; the supervisor looks first, and copes when it comes too late.
    """
    reap, manage, stop = master.reap_workers, master.manage_workers, master.stop

    def tick() -> None:
        # A master started by an upgrade (SIGUSR2) waits until the old one has gone, and its worker with it.
        if master.master_pid == 0:
            if worker_supervisor is not None:
                worker_supervisor.tick()
            if lookout is not None:
                lookout.tick()

    def reap_workers() -> None:
        tick()
        reap()

    def manage_workers() -> None:
        manage()
        tick()

    def stop_everything(graceful: bool = True) -> None:
        if lookout is not None:
            lookout.stop()
        if worker_supervisor is not None:
            worker_supervisor.stop()
        stop(graceful)
        if worker_supervisor is not None:
            worker_supervisor.wait()

    master.reap_workers, master.manage_workers, master.stop = reap_workers, manage_workers, stop_everything
    master.worker_supervisor, master.lookout = worker_supervisor, lookout
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
