"""Counting, one record at a time: what is kept does not grow with the records, but for one number for each time."""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

from app.domain.rulebook import Sla
from app.domain.severity import RANK
from app.domain.stats_capacity import Capacity, capacity
from app.domain.stats_numbers import Spread, spread
from app.domain.stats_period import Period, midnight, monday_of
from app.domain.stats_record import NOBODY_NAMED, RESOLVED, UNKNOWN, Course, Record, course
from app.domain.stats_sla import SlaCount, judged, targets
from app.domain.verdict import FALSE_ALERT, TRUE_ALERT

STEPS = (5, 15, 60, 240, 1440)
"""Minutes: a time belongs to the first step it does not exceed, or beyond them all."""


class Pile:
    """Incidents put together: all of them, or those of one rule, severity, service or urgency."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.acknowledges, self.resolves = array("d"), array("d")

    def take(self, stood: Course, verdict: str | None) -> None:
        """One more incident."""
        took, lasted = stood.minutes_to_acknowledge, stood.minutes_to_resolve
        self.acknowledges.extend([] if took is None else [took])
        self.resolves.extend([] if lasted is None else [lasted])
        self.counts.update(_facts(stood, verdict))
        self.counts["escalations"] += stood.escalated

    @property
    def to_acknowledge(self) -> Spread:
        """The times to the first acknowledge."""
        return spread(self.acknowledges)

    @property
    def to_resolve(self) -> Spread:
        """The times to the resolve that ended the matter."""
        return spread(self.resolves)


def _facts(stood: Course, verdict: str | None) -> Iterable[str]:
    """What is counted of one incident, by name."""
    is_resolved, is_acknowledged = stood.status == RESOLVED, stood.acknowledged_at is not None
    true_of = {
        "total": True,
        "acknowledged": is_acknowledged,
        "resolved": is_resolved,
        "open": not is_resolved,
        "never_acknowledged": is_resolved and not is_acknowledged,
        "reopened": stood.reopened > 0,
        "merged": stood.merged,
        "escalated": stood.escalated > 0,
        "acknowledged_after_escalation": stood.acknowledged_after_escalation,
        FALSE_ALERT: verdict == FALSE_ALERT,
        TRUE_ALERT: verdict == TRUE_ALERT,
        "unjudged": verdict not in (FALSE_ALERT, TRUE_ALERT),
    }
    return (name for name, holds in true_of.items() if holds)


class Tally:
    """Everything that is counted for one period."""

    def __init__(self, period: Period, as_of: datetime, sla: Mapping[str, Sla], weeks: Sequence[date]) -> None:
        """``weeks``: Mondays of the weeks that the capacity is told of, one after the other."""
        self.period, self.as_of, self.weeks, self.targets = period, as_of, weeks, targets(sla)
        self._since, self._until = period.since, period.until  # asked of every record
        self._weeks_since = midnight(weeks[0], period.zone) if weeks else None
        self.all, self.groups = Pile(), {by: defaultdict[str, Pile](Pile) for by in self._names(None)}
        self.flaps = 0
        self.incomplete = 0  # alerts that count for anything here, and whose oldest moments are gone
        self.alerts: Counter[str] = Counter()
        self.suppressed: Counter[str] = Counter()
        self._sla: Counter[tuple[str, str, str]] = Counter()
        self._days: defaultdict[date, Counter[str]] = defaultdict(Counter)
        self._hours = [[0] * 24 for _ in range(7)]
        self._weekly: Counter[date] = Counter()
        self._responders: defaultdict[str, Counter[date]] = defaultdict(Counter)

    def take(self, record: Record) -> None:
        """One more record, whether it matters or not."""
        stood = course(record, self.as_of)
        counts = self._since <= record.raised_at < self._until and record.raised_at <= self.as_of
        if counts:
            self._take_alert(record, stood)
        if stood is not None:
            if self._since <= stood.triggered_at < self._until:
                self._take_incident(record, stood)
                counts = True
            counts = self._take_week(stood) or counts
        if counts and record.incomplete:
            self.incomplete += 1

    def _take_alert(self, record: Record, stood: Course | None) -> None:
        undecided, unwanted = record.reason is None, record.urgency is None
        became = "with_incident" if stood else "undecided" if undecided else "suppressed" if unwanted else "not_opened"
        self.alerts.update(("total", became))
        if became == "suppressed":
            self.suppressed[record.reason or UNKNOWN] += 1

    def _take_incident(self, record: Record, stood: Course) -> None:
        self.all.take(stood, record.verdict)
        for by, name in self._names(record).items():
            self.groups[by][name].take(stood, record.verdict)
        self.flaps += record.flaps
        for (severity, target), minutes in self.targets.items():
            if severity == record.severity:
                self._sla[severity, target, judged(stood, target, minutes, self.as_of)] += 1
        here = stood.triggered_at.astimezone(self.period.zone)
        self._days[here.date()][record.urgency or UNKNOWN] += 1
        self._hours[here.weekday()][here.hour] += 1

    def _names(self, record: Record | None) -> dict[str, str]:
        """The groups that an incident belongs to."""
        told = record or Record("", self.as_of)
        urgency = told.urgency or UNKNOWN
        return {"rule": told.rule, "severity": told.severity, "service": told.service_id, "urgency": urgency}

    def _take_week(self, stood: Course) -> bool:
        """Whether it was triggered in one of the weeks."""
        if self._weeks_since is None or not self._weeks_since <= stood.triggered_at <= self.as_of:
            return False
        monday = monday_of(stood.triggered_at.astimezone(self.period.zone).date())
        if monday not in self.weeks:
            return False
        self._weekly[monday] += 1
        if stood.acknowledged_at is not None:
            self._responders[stood.acknowledged_by or NOBODY_NAMED][monday] += 1
        return True

    # ------------------------------------------------------------------------------------------- what came of it

    def by_name(self, by: str) -> list[tuple[str, Pile]]:
        """The groups: severities and urgencies in their own order, the others with the most incidents first."""
        ranks = {"high": 0, "low": 1} if by == "urgency" else {name: -rank for name, rank in RANK.items()}

        def place(group: tuple[str, Pile]) -> tuple[int, int, str]:
            name, pile = group
            ranked = ranks.get(name, len(ranks)) if by in ("severity", "urgency") else 0
            return ranked, -pile.counts["total"], name

        return sorted(self.groups[by].items(), key=place)

    def sla_counts(self) -> tuple[SlaCount, ...]:
        """Every target of the rulebook, also where no incident was measured against it."""
        return tuple(
            SlaCount(severity, target, minutes, *(self._sla[severity, target, word] for word in WORDS))
            for (severity, target), minutes in self.targets.items()
        )

    def by_day(self) -> dict[date, Mapping[str, int]]:
        """Every day of the period that had begun at ``as_of``, also those without incidents. By PagerDuty's clock the
        next one may have begun already: then it is there if it has an incident."""
        zone, seen = self.period.zone, self._days.keys()
        days = (day for day in self.period.days() if day in seen or midnight(day, zone) <= self.as_of)
        return {day: dict(self._days.get(day, {})) for day in days}

    def by_hour(self) -> tuple[tuple[int, ...], ...]:
        """Monday to Sunday, hour by hour."""
        return tuple(map(tuple, self._hours))

    def capacity(self) -> Capacity:
        """The weeks, of all and by responder."""
        return capacity(self.weeks, self._weekly, self._responders)


WORDS = ("kept", "broken", "running")


def steps(minutes: Iterable[float]) -> tuple[int, ...]:
    """How many times fall on each of ``STEPS``, and how many beyond."""
    counts = Counter(bisect_left(STEPS, took) for took in minutes)
    return tuple(counts[place] for place in range(len(STEPS) + 1))
