"""Flap damping: a resolve from TruthVouch is held back from PagerDuty for a while, in case the alert comes back.

The rule that opened the incident says for how long (``hold_resolve_minutes``), and the link keeps that for itself: a
rule that is changed or deleted meanwhile strands nothing. What a person does at PagerDuty is never held back.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.effects import Effect, SetIncident
from app.domain.link import Link, joint_status
from app.domain.names import Side, Status

HELD_RESOLVE = "held resolve"
"""What a lane waits for while it holds a resolve back: anything else may go before it."""


def damped(before: Link, link: Link, side: Side, at: datetime) -> Link:
    """The link after ``side`` changed what both should be: a resolve begins its hold, a reopen within it is a flap."""
    if link.status is not Status.RESOLVED:
        return _reopened(before, link, side, at)
    minutes = link.decision.hold_resolve_minutes if link.decision else 0.0
    held = side is Side.TRUTHVOUCH and minutes > 0
    return replace(link, hold_until=at + timedelta(minutes=minutes) if held else None)


def _reopened(before: Link, link: Link, side: Side, at: datetime) -> Link:
    """Nobody at PagerDuty has seen the resolve, so they are told neither of it nor of its end, and who has the incident
    in hand has it still. TruthVouch, whose alert is open again, is told of that."""
    ended = replace(link, hold_until=None)
    if before.hold_until is None or side is Side.PAGERDUTY or not _is_unseen(before) or at >= before.hold_until:
        return ended
    notes = tuple(note for note in link.notes if note.done or note.held_until != before.hold_until)
    return replace(ended, clock=link.clock.flapping(before.clock), flaps=link.flaps + 1, notes=notes)


def _is_unseen(link: Link) -> bool:
    """Whether there is an incident that shows nothing of the resolve."""
    return link.incident_side.status not in (None, Status.RESOLVED)


def held_seconds(link: Link, side: Side, shared: Sequence[Link], now: datetime) -> float:
    """For how much longer the incident's resolve is held back; 0 = it is not, or there is none.

    ``shared``: every link on the same incident, this one included. It is resolved with the last of them, and held
    back as long as any of them asks for.
    """
    links = list(shared) or [link]
    if side is Side.TRUTHVOUCH or not link.paged or link.incident_side.status is Status.RESOLVED:
        return 0.0
    if joint_status(links) is not Status.RESOLVED:
        return 0.0
    until = max((other.hold_until for other in links if other.hold_until), default=now)
    return max(0.0, (until - now).total_seconds())


def is_held(effect: Effect | None) -> bool:
    """Whether this is the effect that a hold is about."""
    return isinstance(effect, SetIncident) and effect.status is Status.RESOLVED
