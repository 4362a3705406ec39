"""When the engine's queues are looked at: at once when something was put into one, at its time when it is due, and once
a second for everything nobody notified of.

DBOS would poll each queue in a thread of its own, two transactions each time, and the delayed in two more.
"""

import heapq
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial

import structlog

log = structlog.get_logger()

POLL_SECONDS = 1.0
"""How late a delivery starts when its notification is lost, or when another machine had no room for it: all queues are
looked at in one question, and DBOS's thread of a queue only polls where that finds something."""

RESERVE_POLL_SECONDS = 30.0
"""Between two polls of a queue in which nothing was found: should the question ever miss something."""

BUSY_POLL_SECONDS, BUSY_SECONDS = 0.25, 6.0
"""The same where something was started or submitted so short a time ago: a place in a budget notifies nobody."""

# DBOS's queue threads sleep in ``Event.wait`` between polls. The events they may sleep on get a ``wait`` that also
# returns when the waiting thread's queue was notified. Should a later DBOS sleep otherwise, the polls remain and
# only latency suffers; a test notices.

THREAD_PREFIX = "queue-worker-"

SOON_SECONDS = 0.025
"""Between polls of a queue that is busy."""


class QueueWakeup:
    """Notifies by queue name; a notification that comes while a queue is being polled is kept for its next wait."""

    def __init__(self, stops: Sequence[threading.Event], queues: Collection[str]) -> None:
        """``stops``: the events whose waiting may be cut short; setting one still ends its waiters at once. ``queues``:
        those that ``Due`` looks at. Whoever else waits, for other queues or to see that a queue's thread lives, does so
        as long as DBOS says."""
        self._queues = frozenset(queues)
        self._condition = threading.Condition()
        self._notified: defaultdict[str, int] = defaultdict(int)
        self._seen: defaultdict[str, int] = defaultdict(int)
        self._soon: defaultdict[str, bool] = defaultdict(bool)
        self._busy_until: defaultdict[str, float] = defaultdict(float)
        for stop in stops:
            stop.wait = partial(self._wait, stop)  # type: ignore[method-assign]
            stop.set = partial(self._set_and_notify, stop.set)  # type: ignore[method-assign]

    def notify(self, queue: str) -> None:
        """Poll that queue now."""
        with self._condition:
            self._notified[queue] += 1
            self._busy_until[queue] = time.monotonic() + BUSY_SECONDS
            self._condition.notify_all()

    def soon(self, queue: str) -> None:
        """Poll that queue again in a moment: a place became free, and more may be waiting for one."""
        with self._condition:
            self._busy_until[queue] = time.monotonic() + BUSY_SECONDS
            if not self._soon[queue]:
                self._soon[queue] = True
                self._condition.notify_all()

    def _wait(self, stop: threading.Event, timeout: float | None = None) -> bool:
        name = threading.current_thread().name
        queue = name.removeprefix(THREAD_PREFIX) if name.startswith(THREAD_PREFIX) else ""

        def called() -> bool:
            return stop.is_set() or self._notified[queue] != self._seen[queue]

        with self._condition:
            if timeout is not None and queue in self._queues:
                is_busy = self._busy_until[queue] > time.monotonic()
                timeout = min(timeout, BUSY_POLL_SECONDS) if is_busy else max(timeout, RESERVE_POLL_SECONDS)
            self._condition.wait_for(lambda: called() or self._soon[queue], timeout)
            if self._soon[queue]:
                self._condition.wait_for(called, SOON_SECONDS)
            self._soon[queue] = False
            self._seen[queue] = self._notified[queue]
        return stop.is_set()

    def _set_and_notify(self, set_event: Callable[[], None]) -> None:
        set_event()
        with self._condition:
            self._condition.notify_all()


class Due:
    """Notifies when a delayed delivery is due; and looks at all queues, in one question, for what nobody notified of:
    that of another worker, or of one that is gone."""

    def __init__(
        self,
        enqueue_due: Callable[[], None],
        notify: Callable[[str], None],
        startable: Callable[[], tuple[Collection[str], bool]],
        poll_seconds: float,
    ) -> None:
        """``enqueue_due`` makes every delayed delivery whose time has come ready to start; ``startable``: the queues
        that have something to start, and whether a delayed one is due."""
        self._enqueue_due, self._notify = enqueue_due, notify
        self._startable, self._poll_seconds = startable, poll_seconds
        self._look_at = time.monotonic() + poll_seconds
        self._times: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self._stopped = False
        threading.Thread(target=self._run, name="due", daemon=True).start()

    def at(self, seconds: float, queue: str) -> None:
        """Notify that queue so many seconds from now."""
        with self._changed:
            heapq.heappush(self._times, (time.monotonic() + seconds, queue))
            self._changed.notify()

    def stop(self) -> None:
        """Forget what is not due yet: it is durable, and the next start or another worker finds it."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while (queues := self._next()) is not None:
            if queues:
                self._enqueue_due()
            for queue in queues or self._found():
                self._notify(queue)

    def _found(self) -> Collection[str]:
        self._look_at = time.monotonic() + self._poll_seconds
        try:
            queues, is_due = self._startable()
            if is_due:
                self._enqueue_due()
                queues, _ = self._startable()
        except Exception as fault:
            log.warning("engine.looked_in_vain", reason=type(fault).__name__)
            return ()
        return queues

    def _next(self) -> set[str] | None:
        """The queues whose time has come; none where it is time to look."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if now >= self._look_at or (self._times and self._times[0][0] <= now):
                    return set() if now >= self._look_at else self._take_due()
                self._changed.wait(min([self._look_at, *(at for at, _ in self._times[:1])]) - now)
        return None

    def _take_due(self) -> set[str]:
        queues = set()
        while self._times and self._times[0][0] <= time.monotonic():
            queues.add(heapq.heappop(self._times)[1])
        return queues
