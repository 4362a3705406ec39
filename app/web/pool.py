"""The threads of a web process that answer requests, and the way there from the loop.

An executor of the standard library makes a future with a lock and a condition for each request, and wakes the thread
that has slept longest, whose memory has left the processor's cache.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger()


class Pool:
    """Runs calls in threads that end with the process. One thread alone submits."""

    def __init__(self, threads: int) -> None:
        """``threads``: how many calls run at once; each starts when it is first needed."""
        self._threads, self._started = threads, 0
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._idle: list[threading.Lock] = []
        """What the threads without a call wait for. The last to become idle is woken first."""
        self._lock = threading.Lock()

    def submit(self, call: Callable[..., object], *args: Any) -> None:
        """Run this when a thread is free. ``call`` never raises. Raises ``RuntimeError`` where the system has no thread
        at all."""
        with self._lock:
            self._waiting.append((call, args))
            idle = self._idle.pop() if self._idle else None
        if idle:
            idle.release()
        elif self._started < self._threads:
            self._start()

    def shutdown(self, wait: bool = False) -> None:
        """Nothing: these threads end with the process. Gunicorn calls this in a signal handler, too, where the lock
        may be held by the very thread that was interrupted."""

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name=f"answer-{self._started}", daemon=True).start()
        except RuntimeError:  # those that run go on, and the next request tries again
            if not self._started:
                raise
            log.warning("pool.thread_not_started", running=self._started)
        else:
            self._started += 1

    def _work(self) -> None:
        woken = threading.Lock()
        woken.acquire()
        while True:
            with self._lock:
                waiting = self._waiting.popleft() if self._waiting else None
                if waiting is None:
                    self._idle.append(woken)
            if waiting is None:
                woken.acquire()
            else:
                call, args = waiting
                call(*args)
                del waiting, call, args  # an idle thread keeps no request
