"""How much work there is for whom, week by week, and where it is going."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from app.domain.stats_numbers import slope
from app.domain.stats_period import midnight, monday_of, week_name

WEEKS = 8
FEWEST_WEEKS = 3
"""For a trend: two points make a line out of any accident."""
TOO_FEW_WEEKS, RISING, FALLING, STEADY = "too_few_weeks", "rising", "falling", "steady"


@dataclass(frozen=True, slots=True)
class Load:
    """The incidents of one responder, or of all, in each week."""

    name: str
    weekly: tuple[int, ...]
    trend: str
    """``rising``, ``falling``, ``steady`` (by less than one incident over all the weeks) or ``too_few_weeks``."""
    per_week: float | None = None
    """How many more each week than in the one before, by the straight line through all of them."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """The last whole weeks, oldest first."""

    weeks: tuple[str, ...] = ()
    everybody: Load = Load("everybody", (), TOO_FEW_WEEKS)
    """All incidents, acknowledged by somebody or not."""
    responders: tuple[Load, ...] = ()
    """Each incident counts for whoever acknowledged it first; the busiest come first."""


def whole_weeks(as_of: datetime, began_at: datetime | None, zone: tzinfo) -> tuple[date, ...]:
    """The Mondays of the last eight weeks that were over at ``as_of`` (included) and that the record knows whole.

    ``began_at``: when the record begins; None = it is empty.
    """
    if began_at is None:
        return ()
    running = monday_of((as_of + timedelta(microseconds=1)).astimezone(zone).date())
    mondays = (running - timedelta(weeks=back) for back in range(WEEKS, 0, -1))
    return tuple(monday for monday in mondays if midnight(monday, zone) >= began_at)


def capacity(weeks: Sequence[date], all_of: Mapping[date, int], by_name: Mapping[str, Mapping[date, int]]) -> Capacity:
    """Counts by Monday, of all and by responder, as loads."""
    loads = [_load(name, (counts.get(monday, 0) for monday in weeks)) for name, counts in by_name.items()]
    return Capacity(
        tuple(map(week_name, weeks)),
        _load("everybody", (all_of.get(monday, 0) for monday in weeks)),
        tuple(sorted(loads, key=lambda load: (-sum(load.weekly), load.name))),
    )


def _load(name: str, counts: Iterable[int]) -> Load:
    weekly = tuple(counts)
    rise = slope(weekly)
    if rise is None or len(weekly) < FEWEST_WEEKS:
        return Load(name, weekly, TOO_FEW_WEEKS)
    change = rise * (len(weekly) - 1)
    return Load(name, weekly, STEADY if abs(change) < 1 else RISING if change > 0 else FALLING, rise)
