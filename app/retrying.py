"""Asking a partner again, for callers that wait for the answer: a bounded number of times, as long as it was asked to.

The engine's deliveries never wait like this; a script and a command on a terminal do.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from app.domain.model.outcome import Reply, Retry

T = TypeVar("T")

TRIES = 5
WAIT_SECONDS = 60.0
FIRST_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and how long altogether."""

    tries: int = TRIES
    wait_seconds: float = WAIT_SECONDS
    """The longest that all waits together may take; a partner that asks for more is not asked again."""
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def __call__(self, ask: Callable[[], Reply[T]]) -> Reply[T]:
        """Ask until the answer is final, the tries are used up, or the next wait would be too long.

        ``ask`` must be safe to repeat. Waits double from half a second, and are never shorter than ``Retry-After``.
        """
        until, reply = self.monotonic() + self.wait_seconds, ask()
        for tried in range(1, self.tries):
            if not isinstance(reply, Retry):
                break
            wait = max(reply.after_seconds or 0.0, FIRST_WAIT_SECONDS * 2 ** (tried - 1) * (0.75 + self.jitter() / 2))
            if self.monotonic() + wait > until:
                break
            self.pause(wait)
            reply = ask()
        return reply
