"""Statistics of a period, folded from the bridge's own record. Every number is defined in docs/reports.md.

An *incident* of the period is one that was triggered in it, an *alert* of the period one that was raised in it. Both
are looked at as they stood at one instant, ``as_of``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from app.domain.rulebook import Sla
from app.domain.stats_capacity import Capacity, whole_weeks
from app.domain.stats_numbers import Spread
from app.domain.stats_period import Period, midnight
from app.domain.stats_record import Record
from app.domain.stats_sla import SlaCount
from app.domain.stats_tally import Pile, Tally, steps
from app.domain.verdict import FALSE_ALERT, TRUE_ALERT

OF_GROUPS = ("total", "acknowledged", "resolved", "escalated", "escalations")
COUNTS = (*OF_GROUPS, "open", "never_acknowledged", "reopened", "merged", "acknowledged_after_escalation")
MARGIN = timedelta(days=40)
"""An incident may come long after its alert was first seen (a silence of 31 days, a create tried for 7), and a link
long after its alert was raised (``reconcile --since``)."""
LAST_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Frame:
    """What is asked: which period, as seen when, against which targets."""

    period: Period
    as_of: datetime
    """The period's last moment, or now while it runs."""
    sla: Mapping[str, Sla] = field(default_factory=dict)
    weeks: tuple[date, ...] = ()
    """Mondays of the weeks that the capacity is told of."""
    began_at: datetime | None = None
    """When the record begins; None = it is empty."""

    @property
    def first_seen(self) -> tuple[datetime, datetime]:
        """Between which instants (the second excluded) a link that matters was first seen."""
        begin = min([self.period.since, *(midnight(monday, self.period.zone) for monday in self.weeks[:1])])
        return begin - MARGIN, self.period.until + MARGIN


def frame(period: Period, now: datetime, sla: Mapping[str, Sla], began_at: datetime | None) -> Frame:
    """The question as it is put now, to a record that begins at ``began_at``."""
    as_of = min(period.until - LAST_MOMENT, now)
    return Frame(period, as_of, sla, whole_weeks(as_of, began_at, period.zone), began_at)


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts of the period. ``total`` is the sum of what follows it."""

    total: int = 0
    with_incident: int = 0
    not_opened: int = 0
    """An incident was wanted and none came: the alert was over before, or the create waits or failed."""
    undecided: int = 0
    """No word that may open an incident came."""
    suppressed: Mapping[str, int] = field(default_factory=dict)
    """No incident was wanted, by the reason: ``suppressed``, ``severity_none``, ``silenced``, ..."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What people said of the period's incidents."""

    false: int = 0
    true: int = 0
    unjudged: int = 0

    @property
    def rate(self) -> float | None:
        """The share (0..1) of false alerts among those that were judged; None when none was."""
        judged = self.false + self.true
        return self.false / judged if judged else None


@dataclass(frozen=True, slots=True)
class Group:
    """The incidents of one rule, severity, service or urgency."""

    name: str
    total: int
    acknowledged: int
    resolved: int
    escalated: int
    escalations: int
    false_alerts: int
    to_acknowledge: Spread
    to_resolve: Spread


@dataclass(frozen=True, slots=True)
class Stats:
    """A period in numbers."""

    total: int
    acknowledged: int
    resolved: int
    open: int
    never_acknowledged: int
    """Resolved without an acknowledge."""
    reopened: int
    merged: int
    escalated: int
    escalations: int
    acknowledged_after_escalation: int
    flaps: int
    to_acknowledge: Spread
    to_resolve: Spread
    acknowledge_times: tuple[int, ...]
    """How many took how long: see ``stats_tally.STEPS``."""
    resolve_times: tuple[int, ...]
    sla: tuple[SlaCount, ...]
    alerts: Alerts
    verdicts: Verdicts
    groups: Mapping[str, tuple[Group, ...]]
    """By ``rule``, ``severity``, ``service`` and ``urgency``."""
    by_day: Mapping[date, Mapping[str, int]]
    """For each day until ``as_of``, incidents by urgency."""
    by_hour: tuple[tuple[int, ...], ...]
    """Seven weekdays from Monday on, of 24 hours each, by the clocks of the time zone."""
    capacity: Capacity
    history_incomplete: int = 0
    """Alerts that count for anything here, and whose oldest moments had to make room: of them an acknowledge, a reopen
    or an escalation may be missing. The trigger never is."""

    @property
    def alerts_per_incident(self) -> float | None:
        """None without incidents."""
        return self.alerts.total / self.total if self.total else None


def fold(records: Iterable[Record], asked: Frame) -> Stats:
    """The statistics of these records, in whatever order they come. Those that do not matter are passed over."""
    tally = Tally(asked.period, asked.as_of, asked.sla, asked.weeks)
    for record in records:
        tally.take(record)
    return _added_up(tally)


def _added_up(tally: Tally) -> Stats:
    counts, alerts = tally.all.counts, tally.alerts
    fates = (alerts["total"], alerts["with_incident"], alerts["not_opened"], alerts["undecided"])
    return Stats(
        **{name: counts[name] for name in COUNTS},
        flaps=tally.flaps,
        to_acknowledge=tally.all.to_acknowledge,
        to_resolve=tally.all.to_resolve,
        acknowledge_times=steps(tally.all.acknowledges),
        resolve_times=steps(tally.all.resolves),
        sla=tally.sla_counts(),
        alerts=Alerts(*fates, suppressed=dict(sorted(tally.suppressed.items()))),
        verdicts=Verdicts(counts[FALSE_ALERT], counts[TRUE_ALERT], counts["unjudged"]),
        groups={by: tuple(_group(name, pile) for name, pile in tally.by_name(by)) for by in tally.groups},
        by_day=tally.by_day(),
        by_hour=tally.by_hour(),
        capacity=tally.capacity(),
        history_incomplete=tally.incomplete,
    )


def _group(name: str, pile: Pile) -> Group:
    counts = {field: pile.counts[field] for field in OF_GROUPS}
    return Group(
        name,
        **counts,
        false_alerts=pile.counts[FALSE_ALERT],
        to_acknowledge=pile.to_acknowledge,
        to_resolve=pile.to_resolve,
    )
