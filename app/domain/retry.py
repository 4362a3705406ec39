"""When a failed call is tried again, and when it is given up: data beside its reason."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import isnan

from app.domain.effects import (
    LOOKS_FOR_AN_ID,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    SetAlert,
    SetIncident,
)
from app.domain.names import Status

PAGE_DELAYS: Sequence[float] = (1, 2, 4, 8, 15, 30, 60)
"""Seconds. A page that is five minutes late is a failure, so it is tried steeply and never rests long."""

OTHER_DELAYS: Sequence[float] = (1, 2, 5, 10, 30, 60, 120)
"""Seconds. Status changes and notes: quick at first, gentle on a partner that stays down."""

LOOK_DELAY = 1.0
"""Seconds. An Events incident exists moments after its 202; nobody documents how many."""

SLOW_LOOKS: Sequence[float] = (30, 60, 120, 240)
"""Seconds between further looks. An incident that has not come after these never will: a maintenance window or a
suppressing event rule swallowed the trigger."""

CONFIRM_DELAY = 3.0
"""Seconds until it is read whether an event had its effect; its webhook usually tells sooner."""

HOLD_PROBE_DELAY = 15.0
"""Seconds between probes of a target whose credentials are refused: at least every 15."""

MIN_DELAY, MAX_ASKED_DELAY = 0.5, 300.0
"""No answer can make us spin, and no hostile ``Retry-After`` can park an effect for ever."""

JITTER = 0.2
SHORTEST_SPREAD = 0.5
"""Seconds over which those come back who were turned away together, however short their wait."""

KEEP_TRYING = timedelta(hours=24)
KEEP_TRYING_PAGES = timedelta(days=7)
"""Creates and resolves: a page, and the end of one, are worth a week."""


def next_try(effect: Effect, attempt: int, asked_seconds: float | None, dice: float) -> float:
    """Seconds until try number ``attempt`` + 1 (attempts count from 1), with ±20 % jitter.

    ``asked_seconds`` is the partner's own word, obeyed between 0.5 and 300; ``dice`` is uniform in 0..1.
    """
    planned = _planned(effect, attempt) * (1 + JITTER * (2 * dice - 1))
    # NaN compares with nothing, so it must not be compared.
    asked = min(asked_seconds, MAX_ASKED_DELAY) if asked_seconds and not isnan(asked_seconds) else 0.0
    return max(MIN_DELAY, planned, asked)


def waiting(seconds: float, longest: float, dice: float) -> float:
    """Seconds for one of many that wait for the same moment, ``seconds`` from now: none earlier, none later than
    ``longest`` from now, and not all at once."""
    return max(MIN_DELAY, seconds + dice * max(0.0, longest - seconds))


def turned_away(seconds: float, dice: float) -> float:
    """Seconds until something that our own budget turned away asks again; its turn comes in ``seconds``."""
    seconds = min(max(seconds, 0.0), MAX_ASKED_DELAY)
    return waiting(seconds, seconds + max(SHORTEST_SPREAD, JITTER * seconds), dice)


def _planned(effect: Effect, attempt: int) -> float:
    if isinstance(effect, LookForIncident) and attempt <= LOOKS_FOR_AN_ID:
        return LOOK_DELAY
    if isinstance(effect, LookForIncident):
        return SLOW_LOOKS[min(attempt - LOOKS_FOR_AN_ID, len(SLOW_LOOKS)) - 1]
    delays = PAGE_DELAYS if isinstance(effect, OpenIncident) else OTHER_DELAYS
    return delays[min(attempt, len(delays)) - 1]


def patience(effect: Effect) -> timedelta:
    """How long a retryable effect is tried before it becomes a dead letter."""
    resolves = isinstance(effect, SetIncident | SetAlert) and effect.status is Status.RESOLVED
    pages = resolves or isinstance(effect, OpenIncident | LookForIncident | ReadIncident | ReadAlert)
    return KEEP_TRYING_PAGES if pages else KEEP_TRYING


RANKS: Mapping[str, int] = {
    "OpenIncident": 0,
    "SetIncident open": 0,
    "SetIncident resolved": 0,
    "SetAlert resolved": 0,
    "SetIncident acknowledged": 1,
    "SetAlert acknowledged": 1,
    "SetAlert open": 1,
    "LookForIncident": 2,
    "ReadIncident": 2,
    "ReadAlert": 2,
    "ReadNote": 3,
    "AddNote": 3,
}
"""What may wait for what, the first the most urgent: who is woken or let sleep, other statuses, looks, notes."""

SURELY_ASLEEP = timedelta(seconds=1)
"""Before it is due a delayed delivery has not begun; by less than this the machines' clocks may disagree."""


def named(effect: Effect) -> str:
    """What an effect is called where it is written down: ``SetIncident resolved``, ``AddNote``."""
    return " ".join(filter(None, (type(effect).__name__, str(getattr(effect, "status", "")))))


def overtakes(effect: Effect, waits_for: str) -> bool:
    """Whether an effect may go at once although its lane waits to try ``waits_for`` again: another one that is at
    least as urgent. So a status change never waits behind a note that fails, and one word causes one more try at
    the most."""
    name = named(effect)
    lowest = max(RANKS.values())
    return name != waits_for and RANKS.get(name, lowest) <= RANKS.get(waits_for, lowest)
