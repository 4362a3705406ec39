"""Starts a delivery when it is committed or due, instead of at the queue's next poll.

DBOS's queue threads sleep in ``Event.wait`` between polls. The events they may sleep on get a ``wait`` that also
returns when somebody rang for the waiting thread's queue. Should a later DBOS sleep otherwise, the polls remain and
only latency suffers; a test notices.
"""

import heapq
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

THREAD_PREFIX = "queue-worker-"

SOON_SECONDS = 0.025
"""Between polls of a queue that is busy."""


class Wakeup:
    """Rings by queue name; a ring that comes while a queue is being polled is kept for its next wait."""

    def __init__(self, stops: Sequence[threading.Event]) -> None:
        """``stops``: the events whose waiting may be cut short; setting one still ends its waiters at once."""
        self._bell = threading.Condition()
        self._rung: defaultdict[str, int] = defaultdict(int)
        self._heard: defaultdict[str, int] = defaultdict(int)
        self._soon: defaultdict[str, bool] = defaultdict(bool)
        for stop in stops:
            stop.wait = partial(self._wait, stop)  # type: ignore[method-assign]
            stop.set = partial(self._set_and_ring, stop.set)  # type: ignore[method-assign]

    def ring(self, queue: str) -> None:
        """Poll that queue now."""
        with self._bell:
            self._rung[queue] += 1
            self._bell.notify_all()

    def soon(self, queue: str) -> None:
        """Poll that queue again in a moment: a place became free, and more may be waiting for one."""
        with self._bell:
            if not self._soon[queue]:
                self._soon[queue] = True
                self._bell.notify_all()

    def _wait(self, stop: threading.Event, timeout: float | None = None) -> bool:
        name = threading.current_thread().name
        queue = name.removeprefix(THREAD_PREFIX) if name.startswith(THREAD_PREFIX) else ""

        def called() -> bool:
            return stop.is_set() or self._rung[queue] != self._heard[queue]

        with self._bell:
            self._bell.wait_for(lambda: called() or self._soon[queue], timeout)
            if self._soon[queue]:
                self._bell.wait_for(called, SOON_SECONDS)
            self._soon[queue] = False
            self._heard[queue] = self._rung[queue]
        return stop.is_set()

    def _set_and_ring(self, set_event: Callable[[], None]) -> None:
        set_event()
        with self._bell:
            self._bell.notify_all()


class Due:
    """Rings when a delayed delivery is due; DBOS itself looks only once a second."""

    def __init__(self, enqueue_due: Callable[[], None], ring: Callable[[str], None]) -> None:
        """``enqueue_due`` makes every delayed delivery whose time has come ready to start."""
        self._enqueue_due, self._ring = enqueue_due, ring
        self._times: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self._stopped = False
        threading.Thread(target=self._run, name="due", daemon=True).start()

    def at(self, seconds: float, queue: str) -> None:
        """Ring for that queue so many seconds from now."""
        with self._changed:
            heapq.heappush(self._times, (time.monotonic() + seconds, queue))
            self._changed.notify()

    def stop(self) -> None:
        """Forget what is not due yet: it is durable, and DBOS's own timer finds it."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while (queues := self._next()) is not None:
            self._enqueue_due()
            for queue in queues:
                self._ring(queue)

    def _next(self) -> set[str] | None:
        with self._changed:
            while not self._stopped:
                wait = self._times[0][0] - time.monotonic() if self._times else None
                if wait is not None and wait <= 0:
                    return self._take_due()
                self._changed.wait(wait)
        return None

    def _take_due(self) -> set[str]:
        queues = set()
        while self._times and self._times[0][0] <= time.monotonic():
            queues.add(heapq.heappop(self._times)[1])
        return queues
