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


def damped(before: Link, link: Link, side: Side, now: datetime) -> Link:
    """The link after ``side`` changed what both should be: a resolve begins its hold, a reopen within it is a flap."""
    if link.status is not Status.RESOLVED:
        return _flapped(before, link) if side is Side.TRUTHVOUCH and is_flap(before, link, now) else _not_held(link)
    minutes = link.decision.hold_resolve_minutes if link.decision else 0.0
    held = side is Side.TRUTHVOUCH and minutes > 0
    return replace(link, hold_until=now + timedelta(minutes=minutes) if held else None)


def is_flap(before: Link, link: Link, now: datetime) -> bool:
    """Whether the alert came back while its resolve was still held back from an incident that shows nothing of it."""
    held = before.status is Status.RESOLVED and before.hold_until is not None and now < before.hold_until
    unseen = before.incident_side.status not in (None, Status.RESOLVED)
    return held and unseen and link.alert_side.status is not Status.RESOLVED


def _not_held(link: Link) -> Link:
    return link if link.hold_until is None else replace(link, hold_until=None)


def _flapped(before: Link, link: Link) -> Link:
    """Nobody at PagerDuty has seen the resolve, so they are told neither of it nor of its end, and who has the incident
    in hand has it still. TruthVouch, whose alert is open again, is told of that."""
    notes = tuple(note for note in link.notes if note.done or note.held_until != before.hold_until)
    alert = replace(link.alert_side, inherited=True)
    return replace(link, alert_side=alert, hold_until=None, flaps=link.flaps + 1, notes=notes)


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
