"""Targets and whether they were met: one judgement for each incident and target."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.domain.rulebook import Sla
from app.domain.stats_record import Course

ACKNOWLEDGE, RESOLVE = "acknowledge", "resolve"
KEPT, BROKEN, RUNNING = "kept", "broken", "running"


@dataclass(frozen=True, slots=True)
class SlaCount:
    """One target of one severity, and how many incidents kept it."""

    severity: str
    target: str
    """``acknowledge`` or ``resolve``."""
    minutes: float
    kept: int = 0
    broken: int = 0
    running: int = 0
    """Not done yet, and still in time."""


def targets(sla: Mapping[str, Sla]) -> Mapping[tuple[str, str], float]:
    """Minutes by severity and target, in the order of the rulebook."""
    return {
        (severity.lower(), target): minutes
        for severity, aims in sla.items()
        for target, minutes in ((ACKNOWLEDGE, aims.acknowledge_minutes), (RESOLVE, aims.resolve_minutes))
        if minutes is not None
    }


def judged(stood: Course, target: str, minutes: float, as_of: datetime) -> str:
    """``kept``, ``broken`` or ``running``. To the very second of the target is in time.

    A resolve ends the waiting for an acknowledge too: nobody is waited for any more.
    """
    done = stood.minutes_to_resolve if target == RESOLVE else _answered(stood)
    if done is not None:
        return KEPT if done <= minutes else BROKEN
    return RUNNING if stood.minutes_until(as_of) <= minutes else BROKEN


def _answered(stood: Course) -> float | None:
    known = [at for at in (stood.minutes_to_acknowledge, stood.minutes_to_resolve) if at is not None]
    return min(known, default=None)
