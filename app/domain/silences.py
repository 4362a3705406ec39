"""Silences: for an hour or a week, alerts that match open no incident. Somebody answers for each, and each ends.

A silence is asked before any rule. It keeps nobody from resolving, and when it ends what it silenced and is still open
is decided anew.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.domain.names import instant

LONGEST = timedelta(days=31)
"""How far ahead a silence may end: what has to be quiet for longer is a rule."""

EXPIRES_SOON = timedelta(hours=1)
"""How long before its end it is announced."""

SILENCED = "silenced"
"""The reason word of a decision that a silence made."""


@dataclass(frozen=True, slots=True)
class Silence:
    """One entry of ``silences:``."""

    name: str
    match: str
    """A trigger, in the language of the rules."""
    owner: str
    reason: str
    until: datetime
    starts: datetime | None = None
    """None: it is in force at once."""

    def is_in_force(self, now: datetime) -> bool:
        """Whether it silences an alert that is decided now. At ``until`` itself it is over."""
        return (self.starts is None or self.starts <= now) and now < self.until

    def standing(self, now: datetime) -> str:
        """``in_force``, ``planned`` or ``over``."""
        if now >= self.until:
            return "over"
        return "in_force" if self.is_in_force(now) else "planned"


def in_force(silences: Iterable[Silence], now: datetime) -> tuple[Silence, ...]:
    """Those that silence now, in the order of the file."""
    return tuple(silence for silence in silences if silence.is_in_force(now))


def expiring(silences: Iterable[Silence], now: datetime) -> tuple[Silence, ...]:
    """Those in force that end within ``EXPIRES_SOON``."""
    return tuple(silence for silence in in_force(silences, now) if silence.until - now <= EXPIRES_SOON)


def told_of_expiry(silence: Silence, now: datetime) -> str:
    """What people read about a silence that ends soon."""
    minutes = max(1, round((silence.until - now).total_seconds() / 60))
    return (
        f"the silence {silence.name!r} of {silence.owner} ends in {minutes} minute{'' if minutes == 1 else 's'}: "
        "what it silenced and is still open is then decided anew"
    )


def identity(silence: Silence) -> str:
    """What makes a silence the same one. Changed in any of it, the old one has ended and a new one begun."""
    starts = silence.starts.isoformat() if silence.starts else ""
    return "|".join((silence.name, silence.match, starts, silence.until.isoformat()))


# ------------------------------------------------------------------------------------- what is watched until it ends

LOOK_AGAIN = timedelta(minutes=1)
LOOKED_LONG_ENOUGH = timedelta(minutes=10)
"""An alert may be decided in the very moment in which a silence ends, and written down after it: so it is looked for
again, once a minute, longer than any transaction lasts."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of silences over restarts: those in force, those that have ended, those announced."""

    ended: Mapping[str, datetime | None] = field(default_factory=dict)
    """By ``identity``: when it was first seen not to be in force any more; None while it is."""
    announced: frozenset[str] = frozenset()
    looked_at: datetime | None = None
    """When the alerts of those that ended were last decided anew."""

    def seeing(self, silences: Iterable[Silence], now: datetime) -> "Watch":
        """The watch after a look at the silences as they are now."""
        silences = tuple(silences)
        there = {identity(silence) for silence in in_force(silences, now)}
        ended = {name: at or now for name, at in self.ended.items() if name not in there and not self._is_done(at)}
        soon = frozenset(identity(silence) for silence in expiring(silences, now))
        announced = (self.announced | soon) & (there | soon)
        return replace(self, ended={**ended, **dict.fromkeys(sorted(there))}, announced=announced)

    def looked(self, now: datetime) -> "Watch":
        """The watch after the alerts were decided anew."""
        return replace(self, looked_at=now)

    def must_look(self, now: datetime) -> bool:
        """Whether alerts have to be decided anew because a silence has ended."""
        if self.looked_at is None:
            return any(self.ended.values())
        again = now - self.looked_at >= LOOK_AGAIN
        return any(at is not None and (again or at > self.looked_at) for at in self.ended.values())

    def _is_done(self, ended_at: datetime | None) -> bool:
        return bool(ended_at and self.looked_at and self.looked_at - ended_at >= LOOKED_LONG_ENOUGH)

    def as_text(self) -> str:
        """For the store."""
        ended = {name: at.isoformat() if at else None for name, at in self.ended.items()}
        looked_at = self.looked_at.isoformat() if self.looked_at else None
        return json.dumps({"ended": ended, "announced": sorted(self.announced), "looked_at": looked_at})


def watch_from(text: str | None) -> Watch:
    """What ``as_text`` wrote; an empty watch for anything else."""
    try:
        told = json.loads(text or "{}")
        ended = {str(name): instant(at) for name, at in dict(told.get("ended", {})).items()}
        return Watch(ended, frozenset(map(str, told.get("announced", ()))), instant(told.get("looked_at")))
    except (AttributeError, TypeError, ValueError):
        return Watch()
