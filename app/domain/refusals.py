"""Whom a partner refuses at one door: everybody, for our credential, or one alert alone. Pure; ``now`` is given.

A 401 is about the credential and holds everybody. A 403 may be about one alert that we must not touch, and a redirect
about one path, so it is its own delivery alone that waits, until another alert's meets one too with no success between:
then it is about the credential, or the address.

==========================================  =========================================================================
said by the partner                         who waits now
==========================================  =========================================================================
401                                         everybody, fifteen seconds
403, a redirect to one alert                that delivery alone
the same to a second, no success between    everybody, fifteen seconds
the same again, to one of these             these, fifteen seconds: who has not met it yet is the next probe
a write succeeds                            nobody; who met it before is known to be alone: it holds nobody else
==========================================  =========================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeGuard

from app.domain.effects import Effect, LookForIncident, OpenIncident, ReadAlert, ReadIncident, ReadNote
from app.domain.outcome import NOT_ASKED, REDIRECTED, Done, Held, Refused, Reply
from app.domain.retry import HOLD_PROBE_DELAY

FORBIDDEN = "forbidden"
"""The reason word of a 403."""
PERHAPS_ALONE = frozenset({FORBIDDEN, REDIRECTED})
"""The reason words of what may be about one alert; whoever gets such an answer *meets* it."""
TO_SOME = "_to_some"
"""Ends the reason word of a door that is open to everybody but those who met it: ``forbidden_to_some``."""

REMEMBERED = timedelta(minutes=5)
"""How long a success proves that it is somebody's own, and how long who met it is remembered if not heard of."""
ONE_AT_A_TIME = timedelta(seconds=1)
"""Between calls of those who are known to be alone: were they many, they would use up what others need."""
PROBE = timedelta(seconds=HOLD_PROBE_DELAY)

Who = tuple[int, str]
"""A link and a kind of effect: a note may be forbidden where a status is not."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """What is known of one door."""

    reason: str = ""
    """Why the credential itself is refused; empty while it is not."""
    all_until: datetime | None = None
    """Until when everybody waits."""
    met_until: datetime | None = None
    """Until when those wait who met it."""
    met: Mapping[Who, tuple[datetime, datetime]] = field(default_factory=dict)
    """Who met it, first and last."""
    met_reason: str = ""
    """The newest reason word that any of them got."""
    proven_at: datetime | None = None
    """When a write last succeeded."""
    alone_at: datetime | None = None
    """When the next one of those who are alone may ask."""


def asked(door: Refusals, link: int, effect: Effect, now: datetime) -> tuple[Refusals, float]:
    """Whether a call that can wait may go: 0, or the seconds until it may ask again."""
    who = _who(link, effect)
    shut = [door.all_until, door.met_until if who in door.met else None]
    left = max((until - now for until in shut if until), default=timedelta())
    if left > timedelta():
        return door, left.total_seconds()
    if not _is_alone(door, who, now):
        return door, 0.0
    if door.alone_at is not None and now < door.alone_at:
        return door, (door.alone_at - now).total_seconds()
    return replace(door, alone_at=now + ONE_AT_A_TIME), 0.0


def heard(door: Refusals, link: int, effect: Effect, reply: Reply[object], now: datetime) -> Refusals:
    """The door after a reply to that call."""
    door = replace(door, met={who: seen for who, seen in door.met.items() if now - seen[1] < REMEMBERED})
    if isinstance(reply, Done | Refused):
        return _answered(door, _who(link, effect), effect, reply, now)
    if not is_refusal(reply):
        return door
    if reply.reason in PERHAPS_ALONE:
        return _met(replace(door, met_reason=reply.reason), _who(link, effect), now)
    return replace(door, reason=reply.reason, all_until=now + PROBE)


def says(door: Refusals, now: datetime) -> str:
    """The reason word for people; empty where nobody is refused."""
    if door.reason:
        return door.reason
    if _is_everybody(door, now):
        return door.met_reason
    return door.met_reason + TO_SOME if door.met else ""


def is_refusal(reply: Reply[object]) -> TypeGuard[Held]:
    """Whether the partner refused us; what we ourselves lack (``no_...``) holds only what needs it."""
    return isinstance(reply, Held) and reply.reason not in NOT_ASKED and not reply.reason.startswith("no_")


def _answered(door: Refusals, who: Who, effect: Effect, reply: Done[object] | Refused, now: datetime) -> Refusals:
    """The credential is good for something. That it may write is proven only by a write."""
    if door.reason:
        door = replace(door, reason="", all_until=None)
    if isinstance(reply, Refused):
        return door
    door = replace(door, met={other: seen for other, seen in door.met.items() if other != who})
    return replace(door, proven_at=now, all_until=None, met_until=None) if _writes(effect) else door


def _met(door: Refusals, who: Who, now: datetime) -> Refusals:
    is_new = who not in door.met
    first, _ = door.met.get(who, (now, now))
    before = replace(door, reason="", all_until=None) if door.reason else door
    door = replace(before, met={**before.met, who: (first, now)})
    if _is_alone(door, who, now) or not _is_everybody(door, now):
        return door
    door = replace(door, met_until=now + PROBE)
    return replace(door, all_until=now + PROBE) if is_new else door


def _is_everybody(door: Refusals, now: datetime) -> bool:
    """Whether two links met it of which nothing says that it is their own."""
    return len({who[0] for who in door.met if not _is_alone(door, who, now)}) > 1


def _is_alone(door: Refusals, who: Who, now: datetime) -> bool:
    """Whether others could write after this one met it, not long ago."""
    if door.proven_at is None or who not in door.met or now - door.proven_at >= REMEMBERED:
        return False
    return door.met[who][0] <= door.proven_at


def _who(link: int, effect: Effect) -> Who:
    return link, type(effect).__name__


def _writes(effect: Effect) -> bool:
    """Whether a yes to it is a yes to a write; one that looks first may have found it done."""
    if isinstance(effect, OpenIncident):
        return not effect.look_first
    return not isinstance(effect, LookForIncident | ReadIncident | ReadAlert | ReadNote)
