"""The time line of a climb on a virtual clock: what will happen if nobody acknowledges."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.account import OnCall
from app.domain.escalation import Climb


@dataclass(frozen=True, slots=True)
class Planned:
    """One level to come."""

    level: int
    at: datetime
    """At the earliest: a level whose predecessor is late is as late."""
    policy_id: str | None
    """None: whatever policy the incident is on."""
    to_level: int
    """The policy's level to which it leads, if nobody else moves the incident."""
    puts: bool
    """The incident comes from another policy."""
    description: str = ""


def plan(climb: Climb, on_policy: str | None = None) -> tuple[Planned, ...]:
    """The levels to come, from the next one on. ``on_policy``: where the incident is now, None if nobody knows."""
    stays = climb.placed or climb.course.policy_id in (None, on_policy)
    below, at = (climb.at_level if stays else 0), climb.clock_at
    planned = []
    for place, rung in enumerate(climb.course.rungs[climb.fired :], start=1):
        at += timedelta(seconds=rung.timeout_seconds)
        policy_id = on_policy if climb.placed and on_policy else climb.course.policy_id or on_policy
        to_level = below + place + climb.skipped
        puts = not stays and place == 1
        planned.append(Planned(climb.fired + place, at, policy_id, to_level, puts, rung.description))
    return tuple(planned)


def who(planned: Planned, on_call: Sequence[OnCall]) -> tuple[str, ...]:
    """The names of whoever is on call there now; empty: nobody, so the level would be skipped."""
    there = [entry for entry in on_call if (entry.policy_id, entry.level) == (planned.policy_id, planned.to_level)]
    return tuple(dict.fromkeys(entry.user_name or entry.user_id for entry in there))
