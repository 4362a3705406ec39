"""Silences: for an hour or a week, alerts that match open no incident. Somebody answers for each, and each ends.

A silence is asked before any rule. It keeps nobody from resolving, and when it ends what it silenced and is still open
is decided anew. Which alerts those are, their own decisions say; what is remembered of silences only says when to look.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

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


# ------------------------------------------------------------------------------------- from one look to the next

LOOK_AGAIN = timedelta(minutes=1)
"""What is silenced is looked at again, whether any end was seen or not: a silence may come and go between two looks at
the file, and what was over when it ended may be reopened later."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What one look at the silences leaves for the next. Nothing but ``announced`` has to survive a restart."""

    there: frozenset[str] = frozenset()
    """By ``identity``: those that were in force."""
    announced: frozenset[str] = frozenset()
    ended: bool = False
    """One of them is not any more, and the alerts have not been looked at since."""
    looked_at: datetime | None = None
    """When the alerts were last looked at; None since the start."""

    def seeing(self, silences: Iterable[Silence], now: datetime) -> "Watch":
        """The watch after a look at the silences as they are now."""
        silences = tuple(silences)
        there = frozenset(identity(silence) for silence in in_force(silences, now))
        soon = frozenset(identity(silence) for silence in expiring(silences, now))
        announced = (self.announced | soon) & there
        return replace(self, there=there, announced=announced, ended=self.ended or not self.there <= there)

    def looked(self, now: datetime) -> "Watch":
        """The watch after the alerts were looked at."""
        return replace(self, looked_at=now, ended=False)

    def must_look(self, now: datetime) -> bool:
        """Whether the alerts that are silenced have to be looked at: an end, a minute, a start, a clock set back."""
        return self.ended or self.looked_at is None or abs(now - self.looked_at) >= LOOK_AGAIN


def announced_text(announced: Iterable[str]) -> str:
    """For the store."""
    return json.dumps({"announced": sorted(announced)})


def announced_from(text: str | None) -> frozenset[str]:
    """What ``announced_text`` wrote; nothing for anything else."""
    try:
        return frozenset(map(str, json.loads(text or "{}").get("announced", ())))
    except (AttributeError, TypeError, ValueError):
        return frozenset()
