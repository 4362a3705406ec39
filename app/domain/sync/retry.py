"""When a failed call is tried again, and when it is given up: data beside its reason.

What a person's decision about a dead letter means for its side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from math import isnan

from app.domain.model.types import Side, Status
from app.domain.sync.effects import (
    NO_EFFECT,
    READS_FOR_AN_ID,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    SetAlert,
    SetIncident,
)
from app.domain.sync.link import DeliveryState, Link

# --------------------------------------------------------------------------------------------------------------- retry

PAGE_DELAYS: Sequence[float] = (1, 2, 4, 8, 15, 30, 60)
"""Seconds. A page that is five minutes late is a failure, so it is tried steeply and never rests long."""

OTHER_DELAYS: Sequence[float] = (1, 2, 5, 10, 30, 60, 120)
"""Seconds. Status changes and notes: quick at first, gentle on a partner that stays down."""

READ_DELAY = 1.0
"""Seconds. An Events incident exists moments after its 202; nobody documents how many."""

SLOW_READS: Sequence[float] = (30, 60, 120, 240)
"""Seconds between further looks. An incident that has not come after these never will: a maintenance window or a
suppressing event rule swallowed the trigger."""

CONFIRM_DELAY = 3.0
"""Seconds until it is read whether an event had its effect; its webhook usually tells sooner."""

PAUSE_PROBE_DELAY = 15.0
"""Seconds between probes of a target whose credentials are refused: at least every 15."""

MIN_DELAY, MAX_ASKED_DELAY = 0.5, 300.0
"""No answer can make us spin, and no hostile ``Retry-After`` can park an effect for ever."""

JITTER = 0.2
SHORTEST_SPREAD = 0.5
"""Seconds over which those come back who were turned away together, however short their wait."""

KEEP_TRYING = timedelta(hours=24)
KEEP_TRYING_PAGES = timedelta(days=7)
"""Creates and resolves: a page, and the end of one, are worth a week."""


def next_try(effect: Effect, attempt: int, asked_seconds: float | None, jitter: float) -> float:
    """Seconds until try number ``attempt`` + 1 (attempts count from 1), with ±20 % jitter.

    ``asked_seconds`` is the partner's own word, obeyed between 0.5 and 300; ``jitter`` is uniform in 0..1.
    """
    planned = _planned(effect, attempt) * (1 + JITTER * (2 * jitter - 1))
    # NaN compares with nothing, so it must not be compared.
    asked = min(asked_seconds, MAX_ASKED_DELAY) if asked_seconds and not isnan(asked_seconds) else 0.0
    return max(MIN_DELAY, planned, asked)


def waiting(seconds: float, longest: float, jitter: float) -> float:
    """Seconds for one of many that wait for the same moment, ``seconds`` from now: none earlier, none later than
    ``longest`` from now, and not all at once."""
    return max(MIN_DELAY, seconds + jitter * max(0.0, longest - seconds))


def turned_away(seconds: float, jitter: float) -> float:
    """Seconds until something that our own budget turned away asks again; its turn comes in ``seconds``."""
    seconds = min(max(seconds, 0.0), MAX_ASKED_DELAY)
    return waiting(seconds, seconds + max(SHORTEST_SPREAD, JITTER * seconds), jitter)


def _planned(effect: Effect, attempt: int) -> float:
    if isinstance(effect, LookForIncident) and attempt <= READS_FOR_AN_ID:
        return READ_DELAY
    if isinstance(effect, LookForIncident):
        return SLOW_READS[min(attempt - READS_FOR_AN_ID, len(SLOW_READS)) - 1]
    delays = PAGE_DELAYS if isinstance(effect, OpenIncident) else OTHER_DELAYS
    return delays[min(attempt, len(delays)) - 1]


def give_up_after(effect: Effect) -> timedelta:
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
    """Whether an effect may go at once although its side waits to try ``waits_for`` again: another one that is at
    least as urgent. So a status change never waits behind a note that fails, and one event causes one more try at
    the most."""
    name = named(effect)
    lowest = max(RANKS.values())
    return name != waits_for and RANKS.get(name, lowest) <= RANKS.get(waits_for, lowest)


# ------------------------------------------------------------------------------------------------- dead-letter actions

# Each dead letter is decided on by itself: a decision about one brings nothing back that another is about, and the side
# stays closed until its last dead letter is.

GIVEN_UP_AS_OPEN = "OpenIncident"
NOTE = "AddNote"
FIND_INCIDENT = "LookForIncident"


def replayed(link: Link, side: Side, effect: str = "", others: Sequence[str] = ()) -> Link:
    """The link after an operator replayed a dead letter of that side: what was given up there is pending again.

    ``effect`` is what the dead letter is about, as ``retry.named`` says it; empty where nobody knows: then everything
    given up. ``others``: the reasons of the side's other open dead letters, oldest first, behind which the rest still
    waits.
    """
    notes = effect in ("", NOTE) and side is Side.PAGERDUTY
    link = _with_notes(link, done=False) if notes else link
    delivery = link.delivery(side)
    if not effect or delivery.refused is _status_of(effect):
        delivery = replace(delivery, refused=None)
        link = link.with_side(side, replace(link.side(side), unconfirmed_count=0))
    link = link.with_delivery(side, delivery)
    return _behind(_reading_again(link, effect) if side is Side.PAGERDUTY else link, side, others)


def discarded(link: Link, side: Side, effect: str = "", others: Sequence[str] = ()) -> Link:
    """The link after an operator discarded a dead letter of that side: the rest goes on without what was given up."""
    notes = effect == NOTE and side is Side.PAGERDUTY
    return _behind(_with_notes(link, done=True) if notes else link, side, others)


def _reading_again(link: Link, effect: str) -> Link:
    """A read that was given up is pending again: nobody knows yet whether there is an incident that has to be
    closed."""
    return replace(link, open_tried=link.open_tried or effect in ("", FIND_INCIDENT))


def _with_notes(link: Link, done: bool) -> Link:
    """The notes that were given up are decided on: pending again, or done with for good."""
    notes = tuple(replace(note, done=done, given_up=False) if note.given_up else note for note in link.notes)
    return replace(link, notes=notes)


def _behind(link: Link, side: Side, others: Sequence[str]) -> Link:
    """The side behind its newest dead letter that is left. One that is open is never closed again."""
    left = [reason for reason in others if not (reason == NO_EFFECT and link.incident_id)]  # it came after all
    delivery: DeliveryState = link.delivery(side)
    return link.with_delivery(side, replace(delivery, dead=left[-1] if left and delivery.dead else ""))


def _status_of(effect: str) -> Status | None:
    """The status whose refusal such a dead letter is about; None for a read or a note."""
    if effect == GIVEN_UP_AS_OPEN:
        return Status.OPEN
    _, _, status = effect.partition(" ")
    return Status(status) if status in {known.value for known in Status} else None
