"""Statistics of a period, folded from the bridge's own record. Every number is defined in docs/reports.md.

An *incident* of the period is one that was triggered in it, an *alert* of the period one that was raised in it. Both
are looked at as they stood at one instant, ``as_of``. Records are counted one at a time: what is kept does not grow
with them, but for one number for each time.
"""

from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise

from app.domain.model.types import FALSE_ALERT, RANK, TRUE_ALERT
from app.domain.reports.compare import capacity, judged, targets, whole_weeks
from app.domain.reports.figures import Alerts, Day, Group, IncidentStatus, Numbers, SlaCount, SlaOutcome, Verdicts
from app.domain.reports.period import Period, midnight
from app.domain.reports.record import (
    NOBODY_NAMED,
    UNKNOWN,
    AlertCount,
    IncidentFigures,
    IncidentState,
    IncidentTimes,
    Names,
    Record,
    WeeklyCount,
    figures_of,
    spread,
    state_at,
)
from app.domain.rules.rulebook import Sla

STEPS = (5, 15, 60, 240, 1440)
"""Minutes: a time belongs to the first step it does not exceed, or beyond them all."""
LAST_MOMENT = timedelta(microseconds=1)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Frame:
    """What is asked: which period, as seen when, against which targets."""

    period: Period
    as_of: datetime
    """The period's last moment, or now while it runs."""
    sla: Mapping[str, Sla] = field(default_factory=dict)
    weeks: tuple[date, ...] = ()
    """Mondays of the weeks that the capacity is told of, one after the other."""
    began_at: datetime | None = None
    """When the record begins; None = it is empty."""

    @property
    def spans_of_weeks(self) -> Mapping[date, tuple[datetime, datetime]]:
        """Between which instants (the second excluded) each of the weeks lies, by its Monday."""
        zone = self.period.zone
        return {day: (midnight(day, zone), midnight(day + timedelta(days=7), zone)) for day in self.weeks}

    @property
    def triggered(self) -> tuple[datetime, datetime]:
        """Between which instants (the second excluded) an incident was triggered of which anything counts."""
        weeks_since = [midnight(monday, self.period.zone) for monday in self.weeks[:1]]
        return min([self.period.since, *weeks_since]), self.period.until


def frame(period: Period, now: datetime, sla: Mapping[str, Sla], began_at: datetime | None) -> Frame:
    """The question as it is put now, to a record that begins at ``began_at``."""
    as_of = min(period.until - LAST_MOMENT, now)
    return Frame(period, as_of, sla, whole_weeks(as_of, began_at, period.zone), began_at)


def fold(records: Iterable[Record], asked: Frame) -> Numbers:
    """The statistics of these records, in whatever order they come, each with its whole history. Those that do not
    matter are passed over. Reports get the same numbers from what the store counts, without reading everything."""
    tally = Tally(asked)
    for record in records:
        tally.take(record)
    return tally.numbers()


def counted(incident: IncidentFigures, verdict: str | None, flaps: int = 0) -> Mapping[str, int]:
    """What one incident counts for."""
    is_resolved = incident.status == IncidentStatus.RESOLVED
    is_acknowledged = incident.times.minutes_to_acknowledge is not None
    return {
        "total": 1,
        "acknowledged": is_acknowledged,
        "resolved": is_resolved,
        "open": not is_resolved,
        "never_acknowledged": is_resolved and not is_acknowledged,
        "reopened": incident.reopened > 0,
        "merged": incident.merged,
        "escalated": incident.escalated > 0,
        "escalations": incident.escalated,
        "acknowledged_after_escalation": incident.acknowledged_after_escalation,
        FALSE_ALERT: verdict == FALSE_ALERT,
        TRUE_ALERT: verdict == TRUE_ALERT,
        "unjudged": verdict not in (FALSE_ALERT, TRUE_ALERT),
        "flaps": flaps,
    }


class Pile:
    """Incidents put together: all of them, or those of one rule, severity, service or urgency."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.acknowledges, self.resolves = array("d"), array("d")

    def as_group(self, name: str) -> Group:
        """The numbers of a group of this name."""
        return {
            "name": name,
            "total": self.counts["total"],
            "acknowledged": self.counts["acknowledged"],
            "resolved": self.counts["resolved"],
            "escalated": self.counts["escalated"],
            "escalations": self.counts["escalations"],
            "false_alerts": self.counts[FALSE_ALERT],
            "mtta_minutes": spread(self.acknowledges),
            "mttr_minutes": spread(self.resolves),
        }


class Tally:
    """Everything that is counted for one period."""

    def __init__(self, asked: Frame) -> None:
        self.period, self.as_of, self.weeks, self.targets = asked.period, asked.as_of, asked.weeks, targets(asked.sla)
        self._since, self._until = self.period.since, self.period.until  # asked of every record
        self._weeks = asked.spans_of_weeks
        self.all = Pile()
        self._targets_of: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
        for (severity, target), minutes in self.targets.items():
            self._targets_of[severity].append((target, minutes))
        # In the order of ``Names``.
        self.groups = {by: defaultdict[str, Pile](Pile) for by in ("rule", "severity", "service", "urgency")}
        self._times: defaultdict[Names, tuple[array[float], array[float]]] = defaultdict(
            lambda: (array("d"), array("d"))
        )
        self.incomplete = 0
        self.alerts: Counter[str] = Counter()
        self.suppressed: Counter[str] = Counter()
        self._sla: Counter[tuple[str, str, SlaOutcome]] = Counter()
        self._days: defaultdict[date, Counter[str]] = defaultdict(Counter)
        self._hours = [[0] * 24 for _ in WEEKDAYS]
        self._weekly: Counter[date] = Counter()
        self._responders: defaultdict[str, Counter[date]] = defaultdict(Counter)

    def take(self, record: Record) -> None:
        """One more record, with all that is known of it, whether it matters or not."""
        state = state_at(record, self.as_of)
        if self._is_of_the_period(record.raised_at):
            self.take_alerts(AlertCount(record.reason, record.urgency is not None, state is not None))
        if state is not None:
            self.take_state(record, state)
        self.take_incomplete(record.raised_at, state.triggered_at if state else None, record.incomplete)

    def take_state(self, record: Record, state: IncidentState) -> None:
        """One more incident, as it stood at ``as_of``."""
        incident, triggered_at = figures_of(state), state.triggered_at
        if self._since <= triggered_at < self._until:
            self.take_counts(record.names, counted(incident, record.verdict, record.flaps))
        self.take_times(record.names, incident.times)
        if (monday := self._week_of(triggered_at)) is not None:
            self.take_week(monday, WeeklyCount(incident.acknowledged_by, state.acknowledge is not None))

    def take_alerts(self, alerts: AlertCount) -> None:
        """Alerts of the period."""
        undecided = alerts.reason is None
        unwanted = "undecided" if undecided else "not_opened" if alerts.wants_incident else "suppressed"
        became = "with_incident" if alerts.has_incident else unwanted
        self.alerts["total"] += alerts.count
        self.alerts[became] += alerts.count
        if became == "suppressed":
            self.suppressed[alerts.reason or UNKNOWN] += alerts.count

    def take_counts(self, names: Names, counts: Mapping[str, int]) -> None:
        """Incidents triggered in the period, as ``counted`` counts them."""
        for pile in self._piles(names):
            pile.counts.update(counts)

    def take_times(self, names: Names, times: IncidentTimes) -> None:
        """The times of an incident, if it was triggered in the period."""
        triggered_at, _, took, lasted = times
        if not self._since <= triggered_at < self._until:
            return
        acknowledges, resolves = self._times[names]
        if took is not None:
            acknowledges.append(took)
        if lasted is not None:
            resolves.append(lasted)
        for target, minutes in self._targets_of.get(names.severity, ()):
            self._sla[names.severity, target, judged(times, target, minutes, self.as_of)] += 1
        here = triggered_at.astimezone(self.period.zone)
        self._days[here.date()][names.urgency] += 1
        self._hours[here.weekday()][here.hour] += 1

    def take_week(self, monday: date, work: WeeklyCount) -> None:
        """Incidents triggered in one of the weeks."""
        self._weekly[monday] += work.count
        if work.is_acknowledged:
            self._responders[work.acknowledged_by or NOBODY_NAMED][monday] += work.count

    def take_incomplete(self, raised_at: datetime, triggered_at: datetime | None, incomplete: bool = True) -> None:
        """Whether a history is incomplete of which anything counts here. ``triggered_at``: None where no incident had
        been triggered."""
        if not incomplete:
            return
        counts = self._is_of_the_period(raised_at)
        if triggered_at is not None:
            in_period = self._since <= triggered_at < self._until
            counts = counts or in_period or self._week_of(triggered_at) is not None
        self.incomplete += counts

    def _is_of_the_period(self, raised_at: datetime) -> bool:
        return self._since <= raised_at < self._until and raised_at <= self.as_of

    def _piles(self, names: Names) -> tuple[Pile, ...]:
        """All of it, and every group of these names."""
        return (self.all, *(piles[name] for piles, name in zip(self.groups.values(), names, strict=True)))

    def _week_of(self, triggered_at: datetime) -> date | None:
        """The Monday of the week that it was triggered in, where that is one of the weeks."""
        spans = self._weeks.items() if triggered_at <= self.as_of else ()
        return next((monday for monday, (since, until) in spans if since <= triggered_at < until), None)

    def numbers(self) -> Numbers:
        """All of it; nothing more is taken then."""
        for names, (acknowledged_after, resolved_after) in self._times.items():
            for pile in self._piles(names):
                pile.acknowledges.extend(acknowledged_after)
                pile.resolves.extend(resolved_after)
        counts = self.all.counts
        acknowledges, resolves = sorted(self.all.acknowledges), sorted(self.all.resolves)
        mttr = spread(resolves)
        return {
            "total": counts["total"],
            "avg_resolution_minutes": mttr["mean"],
            "escalated": counts["escalated"],
            "acknowledged": counts["acknowledged"],
            "resolved": counts["resolved"],
            "open": counts["open"],
            "never_acknowledged": counts["never_acknowledged"],
            "reopened": counts["reopened"],
            "merged": counts["merged"],
            "escalations": counts["escalations"],
            "acknowledged_after_escalation": counts["acknowledged_after_escalation"],
            "flaps": counts["flaps"],
            "history_incomplete": self.incomplete,
            "mtta_minutes": spread(acknowledges),
            "mttr_minutes": mttr,
            "time_steps": {
                "up_to_minutes": list(STEPS),
                "acknowledged": _steps(acknowledges),
                "resolved": _steps(resolves),
            },
            "sla": self._sla_counts(),
            "alerts": self._alerts(),
            "false_alerts": self._verdicts(),
            "by_rule": self._groups("rule"),
            "by_severity": self._groups("severity"),
            "by_service": self._groups("service"),
            "by_urgency": self._groups("urgency"),
            "by_day": self._by_day(),
            "by_weekday": [{"name": n, "total": sum(day)} for n, day in zip(WEEKDAYS, self._hours, strict=True)],
            "by_hour": [{"hour": hour, "total": sum(day[hour] for day in self._hours)} for hour in range(24)],
            "by_weekday_hour": self._hours,
            "capacity": capacity(self.weeks, self._weekly, self._responders),
        }

    def _groups(self, by: str) -> list[Group]:
        """Severities and urgencies in their own order, the others with the most incidents first."""
        ranks = {"high": 0, "low": 1} if by == "urgency" else {name: -rank for name, rank in RANK.items()}

        def place(group: Group) -> tuple[int, int, str]:
            ranked = ranks.get(group["name"], len(ranks)) if by in ("severity", "urgency") else 0
            return ranked, -group["total"], group["name"]

        return sorted((pile.as_group(name) for name, pile in self.groups[by].items()), key=place)

    def _sla_counts(self) -> dict[str, dict[str, SlaCount]]:
        counts: dict[str, dict[str, SlaCount]] = {}
        for (severity, target), minutes in self.targets.items():
            kept, broken, running = (self._sla[severity, target, outcome] for outcome in SlaOutcome)
            one: SlaCount = {"minutes": minutes, "kept": kept, "broken": broken, "running": running}
            counts.setdefault(severity, {})[target] = one
        return counts

    def _alerts(self) -> Alerts:
        alerts, incidents = self.alerts, self.all.counts["total"]
        return {
            "total": alerts["total"],
            "with_incident": alerts["with_incident"],
            "not_opened": alerts["not_opened"],
            "undecided": alerts["undecided"],
            "suppressed": alerts["suppressed"],
            "suppressed_by_reason": dict(sorted(self.suppressed.items())),
            "per_incident": alerts["total"] / incidents if incidents else None,
        }

    def _verdicts(self) -> Verdicts:
        false, true = self.all.counts[FALSE_ALERT], self.all.counts[TRUE_ALERT]
        rate = false / (false + true) if false + true else None
        unjudged = self.all.counts["unjudged"]
        return {"false": false, "true": true, "judged": false + true, "unjudged": unjudged, "rate": rate}

    def _by_day(self) -> list[Day]:
        """Every day of the period that had begun at ``as_of``, also those without incidents. By PagerDuty's clock the
        next one may have begun already: then it is there if it has an incident."""
        seen = self._days.keys()
        days = [day for day in self.period.days() if day in seen or midnight(day, self.period.zone) <= self.as_of]
        counted = {day: self._days.get(day, Counter[str]()) for day in days}
        return [
            {"date": f"{day}", "total": counts.total(), "high": counts["high"], "low": counts["low"]}
            for day, counts in counted.items()
        ]


def _steps(ordered: Sequence[float]) -> list[int]:
    """How many times fall on each of ``STEPS``, and how many beyond."""
    reached = [bisect_right(ordered, step) for step in STEPS]
    return [upto - before for before, upto in pairwise((0, *reached, len(ordered)))]
