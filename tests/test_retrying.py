"""Asking again: how often, how long, and never sooner than the partner wants."""

from dataclasses import dataclass, field

import pytest

from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.retrying import RetryPolicy


@dataclass
class Time:
    """Passes only while somebody waits."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def asked(*replies: Reply[str], seconds: float = 60.0) -> tuple[Reply[str], list[float]]:
    """What came of it, and the waits between."""
    time, left = Time(), list(replies)
    retry = RetryPolicy(tries=4, wait_seconds=seconds, pause=time.pause, monotonic=lambda: time.now, jitter=lambda: 0.5)
    return retry(lambda: left.pop(0)), time.waits


@pytest.mark.parametrize("final", [Done("yes"), Held("unauthorized"), Refused("not_found", 404)])
def test_a_final_answer_is_not_questioned(final: Reply[str]):
    assert (final, []) == asked(final, Done("never asked"))


def test_waits_double_and_tries_end():
    busy: Reply[str] = Retry("http_503")
    assert (busy, [0.5, 1.0, 2.0]) == asked(busy, busy, busy, busy)


def test_the_partners_own_wait_is_kept_where_it_is_longer():
    assert (Done("yes"), [7.0]) == asked(Retry("http_429", after_seconds=7.0), Done("yes"))
    assert (Done("yes"), [0.5]) == asked(Retry("http_429", after_seconds=0.0), Done("yes"))


def test_who_asks_for_too_long_a_wait_is_not_asked_again():
    slow: Reply[str] = Retry("http_429", after_seconds=40.0)
    assert (slow, [40.0]) == asked(slow, slow, Done("too late"))
    assert (slow, []) == asked(slow, Done("too late"), seconds=30.0)
