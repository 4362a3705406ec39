"""Things that happen a little after the answer, as PagerDuty's queue does after a 202."""

import heapq
import logging
import threading
from collections.abc import Callable
from itertools import count

_log = logging.getLogger("sandbox.later")


class Later:
    """Runs actions when they are due, in the order of their due times and, within one, of their arrival."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._changed = threading.Condition()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run ``action`` once, ``seconds`` from now or as soon after as can be."""
        with self._changed:
            heapq.heappush(self._waiting, (self._clock() + seconds, next(self._serial), action))
            self._changed.notify()

    def run_due(self) -> int:
        """Run everything whose time has come; the number of actions run."""
        ran = 0
        while (action := self._take_due()) is not None:
            action()
            ran += 1
        return ran

    def clear(self) -> None:
        """Forget everything that has not happened yet."""
        with self._changed:
            self._waiting.clear()

    def start(self) -> None:
        """Run due actions in a background thread for the rest of the process."""
        threading.Thread(target=self._run_for_ever, name="sandbox-later", daemon=True).start()

    def _take_due(self) -> Callable[[], None] | None:
        with self._changed:
            if not self._waiting or self._waiting[0][0] > self._clock():
                return None
            return heapq.heappop(self._waiting)[2]

    def _run_for_ever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(self._seconds_to_next())
            try:
                self.run_due()
            except Exception:
                _log.exception("a delayed action failed")

    def _seconds_to_next(self) -> float | None:
        return max(0.0, self._waiting[0][0] - self._clock()) if self._waiting else None
