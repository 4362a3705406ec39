"""The threads that deliver, one set per queue: the urgent first, then in order of arrival."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from queue import PriorityQueue

Call = Callable[[], str]


class Lanes:
    """A pool of daemon threads with priorities."""

    def __init__(self, threads: int, name: str) -> None:
        """``threads``: how many calls run at once; they start with the first call."""
        self._threads, self._name = threads, name
        self._waiting: PriorityQueue[tuple[int, int, Call, Future[str]]] = PriorityQueue()
        self._order = count()
        self._started = False
        self._starting = threading.Lock()

    def submit(self, priority: int, call: Call) -> Future[str]:
        """Run this when a thread is free; 1 goes before 10."""
        self._start()
        done: Future[str] = Future()
        self._waiting.put((priority, next(self._order), call, done))
        return done

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                for number in range(self._threads):
                    threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()
                self._started = True

    def _work(self) -> None:
        while True:
            _, _, call, done = self._waiting.get()
            try:
                done.set_result(call())
            except BaseException as fault:
                done.set_exception(fault)
