"""The span a report is about: whole days in one time zone, the last day included."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo

MONTHLY = "monthly"
MAX_DAYS = 3_660
"""Ten years: a longer span is a slip of the keyboard."""
FIRST_YEAR, LAST_YEAR = 2000, 2999

WRITE = (
    "write daily, weekly, monthly, quarterly, a number of days such as 30d, or a period such as 2026-03-15, 2026-W11, "
    "2026-03, 2026-Q1"
)


class BadPeriod(ValueError):
    """A date, a word for a period or a time zone that is none; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Period:
    """From the first instant of ``first`` to the last of ``last`` by the clocks of ``zone``."""

    name: str
    first: date
    last: date
    zone: tzinfo = UTC
    time_zone: str = "UTC"
    """The zone's name, for people."""

    @property
    def since(self) -> datetime:
        """The first instant, in UTC."""
        return midnight(self.first, self.zone)

    @property
    def until(self) -> datetime:
        """The first instant after it, in UTC."""
        return midnight(self.last + timedelta(days=1), self.zone)

    def holds(self, at: datetime) -> bool:
        """Whether the instant lies in the period."""
        return self.since <= at < self.until

    def days(self) -> Iterator[date]:
        """Every day of it."""
        return (self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1))


def midnight(day: date, zone: tzinfo) -> datetime:
    """When that day begins there, in UTC. Where clocks skip midnight it begins at the skip; of two the first counts."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def monday_of(day: date) -> date:
    """The first day of the ISO week."""
    return day - timedelta(days=day.weekday())


def week_name(day: date) -> str:
    """``2026-W11``: the ISO week of that day."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def _quarter_name(day: date) -> str:
    return f"{day.year:04}-Q{(day.month + 2) // 3}"


def _month_name(day: date) -> str:
    return day.isoformat()[:7]


NAMERS = {"daily": date.isoformat, "weekly": week_name, MONTHLY: _month_name, "quarterly": _quarter_name}
"""How the day, week, month or quarter that holds a day is called."""


def between(first: date | str, last: date | str, zone: tzinfo = UTC, time_zone: str = "UTC") -> Period:
    """The days from ``first`` to ``last``, both included. Raises ``BadPeriod``."""
    begin, end = day_of(first), day_of(last)
    if begin > end:
        raise BadPeriod(f"The period ends ({end}) before it begins ({begin}).")
    if (end - begin).days >= MAX_DAYS:
        raise BadPeriod(f"A period has at most {MAX_DAYS:,} days.")
    return Period(f"{begin}_{end}", begin, end, zone, time_zone)


def named(word: str, here: date, zone: tzinfo = UTC, time_zone: str = "UTC", previous: bool = False) -> Period:
    """The period that a word means on the day ``here``: the running one, or with ``previous`` the one before it.

    ``daily``, ``weekly`` (from Monday on, ISO 8601), ``monthly``, ``quarterly``; ``30d``: so many days, the last of
    them today; or the name of a day, week, month or quarter. Raises ``BadPeriod``.
    """
    name = NAMERS[word](here) if word in NAMERS else word
    meant = between(*_span(name, here), zone, time_zone)
    if previous:
        end = meant.first - timedelta(days=1)
        namer = next((namer for namer in NAMERS.values() if namer(meant.first) == name), None)
        if namer is not None:
            name, (first, last) = namer(end), _span(namer(end), end)
        else:  # so many days
            name, first, last = f"{name}-before", end - (meant.last - meant.first), end
        meant = between(first, last, zone, time_zone)
    return replace(meant, name=name)


def _span(name: str, here: date) -> tuple[date, date]:
    try:
        if days := re.fullmatch(r"(\d{1,4})d", name):
            return here - timedelta(days=int(days[1]) - 1), here
        if week := re.fullmatch(r"(\d{4})-W(\d{2})", name):
            monday = date.fromisocalendar(int(week[1]), int(week[2]), 1)
            return monday, monday + timedelta(days=6)
        if quarter := re.fullmatch(r"(\d{4})-Q([1-4])", name):
            year, last = int(quarter[1]), 3 * int(quarter[2])
            return date(year, last - 2, 1), _month(date(year, last, 1))[1]
        if month := re.fullmatch(r"(\d{4})-(\d{2})", name):
            return _month(date(int(month[1]), int(month[2]), 1))
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", name):
            return date.fromisoformat(name), date.fromisoformat(name)
    except (ValueError, OverflowError):
        pass
    raise BadPeriod(f"{name[:40]!r} is no period: {WRITE}.")


def _month(day: date) -> tuple[date, date]:
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def day_of(given: date | str) -> date:
    """The day that is meant. Raises ``BadPeriod``."""
    try:
        day = date.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise BadPeriod(f"{str(given)[:40]!r} is no day: write it as 2026-03-15.") from None
    if isinstance(day, datetime) or not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise BadPeriod(f"{day} is no day a report can be about: write a day from {FIRST_YEAR} on, without a time.")
    return day
