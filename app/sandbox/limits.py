"""Rate limits to order. Off unless asked for: the sandbox must never be what a benchmark measures."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

PAGERDUTY_REST_LIMIT = 960
"""Requests a minute and key; what the headers claim while no limit is enforced.
https://developer.pagerduty.com/docs/rest-api-rate-limits"""


@dataclass(slots=True)
class Allowance:
    """What is left of a limit after one request."""

    limit: int
    remaining: int
    reset_seconds: int
    exceeded: bool = False


class Limit:
    """``calls`` requests in any window of ``seconds``, counted from the first request of the window."""

    def __init__(self, clock: Callable[[], float], default_limit: int = PAGERDUTY_REST_LIMIT) -> None:
        self._clock = clock
        self._default_limit = default_limit
        self._lock = threading.Lock()
        self.set(0, 60.0)

    def set(self, calls: int, seconds: float) -> None:
        """``calls`` 0 = no limit."""
        self.calls, self.seconds = calls, seconds
        self._window_started_at, self._used = 0.0, 0

    def take(self) -> Allowance:
        """Count one request."""
        if not self.calls:
            return Allowance(self._default_limit, self._default_limit - 1, 60)
        with self._lock:
            now = self._clock()
            if now - self._window_started_at >= self.seconds:
                self._window_started_at, self._used = now, 0
            self._used += 1
            reset = max(1, round(self._window_started_at + self.seconds - now + 0.5))
            return Allowance(self.calls, max(0, self.calls - self._used), reset, self._used > self.calls)
