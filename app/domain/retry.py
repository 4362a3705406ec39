"""When a failed call is tried again, and when it is given up: data beside its reason."""

from collections.abc import Sequence
from datetime import timedelta

from app.domain.effects import LOOKS_FOR_AN_ID, Effect, LookForIncident, OpenIncident, SetAlert, SetIncident
from app.domain.names import Status

PAGE_DELAYS: Sequence[float] = (1, 2, 4, 8, 15, 30, 60)
"""Seconds. A page that is five minutes late is a failure, so it is tried steeply and never rests long."""

OTHER_DELAYS: Sequence[float] = (1, 2, 5, 10, 30, 60, 120)
"""Seconds. Status changes and notes: quick at first, gentle on a partner that stays down."""

LOOK_DELAY = 1.0
"""Seconds. An Events incident exists moments after its 202; nobody documents how many."""

HOLD_PROBE_DELAY = 15.0
"""Seconds between probes of a target whose credentials are refused: at least every 15."""

MIN_DELAY, MAX_ASKED_DELAY = 0.5, 300.0
"""No answer can make us spin, and no hostile ``Retry-After`` can park an effect for ever."""

JITTER = 0.2

KEEP_TRYING = timedelta(hours=24)
KEEP_TRYING_PAGES = timedelta(days=7)
"""Creates and resolves: a page, and the end of one, are worth a week."""


def next_try(effect: Effect, attempt: int, asked_seconds: float | None, dice: float) -> float:
    """Seconds until try number ``attempt`` + 1 (attempts count from 1), with ±20 % jitter.

    ``asked_seconds`` is the partner's own word, obeyed between 0.5 and 300; ``dice`` is uniform in 0..1.
    """
    planned = _planned(effect, attempt) * (1 + JITTER * (2 * dice - 1))
    asked = min(asked_seconds or 0.0, MAX_ASKED_DELAY)
    return max(MIN_DELAY, planned, asked)


def _planned(effect: Effect, attempt: int) -> float:
    if isinstance(effect, LookForIncident) and attempt < LOOKS_FOR_AN_ID:
        return LOOK_DELAY
    delays = PAGE_DELAYS if isinstance(effect, OpenIncident) else OTHER_DELAYS
    return delays[min(attempt, len(delays)) - 1]


def patience(effect: Effect) -> timedelta:
    """How long a retryable effect is tried before it becomes a dead letter."""
    resolves = isinstance(effect, SetIncident | SetAlert) and effect.status is Status.RESOLVED
    pages = resolves or isinstance(effect, OpenIncident | LookForIncident)
    return KEEP_TRYING_PAGES if pages else KEEP_TRYING
