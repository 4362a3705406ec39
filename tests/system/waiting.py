"""Waiting for things that happen in other processes: always for a condition, never for a length of time alone."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.03
SLOWEST_POLL_SECONDS = 0.12
"""Whoever waits longer asks less often: each question is work for the processes that are waited for."""
SLOWER = 1.15


class NeverHappened(AssertionError):
    """What was waited for did not come about in time."""


def until(happened: Callable[[], T], what: str, seconds: float = 15.0, evidence: Callable[[], object] = str) -> T:
    """The first truthy answer of ``happened``; ``NeverHappened`` after ``seconds``, with ``told()`` as evidence."""
    deadline, pause = time.monotonic() + seconds, POLL_SECONDS
    while True:
        answer = happened()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise NeverHappened(f"not within {seconds:g} s: {what}\n{evidence()}")
        time.sleep(pause)
        pause = min(pause * SLOWER, SLOWEST_POLL_SECONDS)


def steady(look: Callable[[], T], what: str, for_seconds: float, within: float = 20.0) -> T:
    """The answer of ``look`` once it has stayed the same for so long: the only way to see that nothing more comes."""
    deadline = time.monotonic() + within
    seen, since = look(), time.monotonic()
    while time.monotonic() - since < for_seconds:
        if time.monotonic() > deadline:
            raise NeverHappened(f"still changing after {within:g} s: {what}; now {seen}")
        time.sleep(SLOWEST_POLL_SECONDS)
        now = look()
        if now != seen:
            seen, since = now, time.monotonic()
    return seen
