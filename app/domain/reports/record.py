"""What statistics keep of one link, and where its matter stood at an instant.

The clocks of the two sides are never compared, with each other or with ours. Entries of one side are ordered and
measured by the times of that side; where two sides meet, by when the bridge received each. The period in which a moment
counts is that of its own time. And the arithmetic of reports: means, percentiles, a straight line.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import accumulate
from typing import NamedTuple

from app.domain.model.types import EARLIEST
from app.domain.reports.figures import IncidentStatus, Spread
from app.domain.sync.link import HistoryEntry, Link
from app.domain.sync.side_state import usable

UNKNOWN = "unknown"
"""A severity, rule or service that nobody told."""
NOBODY_NAMED = "nobody named"
"""Who acknowledged, where the acknowledge names nobody: an automation, or a read that found it so."""

_ORDER: Mapping[str, int] = {"triggered": 0, "reopened": 1, "unacknowledged": 2, "acknowledged": 4, "resolved": 5}
_OTHERS = 3
"""In the same moment the furthest along comes last, so it wins, as it does for the link."""


_LATEST = datetime.max.replace(tzinfo=UTC)


class Names(NamedTuple):
    """The groups an incident counts for."""

    rule: str
    severity: str
    service_id: str
    urgency: str


@dataclass(frozen=True, slots=True)
class Record:
    """One alert and, if there was one, its incident."""

    alert_id: str
    raised_at: datetime
    """When TruthVouch says the alert was made; when the bridge first saw it, where that is unknown or later."""
    severity: str = UNKNOWN
    rule: str = UNKNOWN
    reason: str | None = None
    """Why it got an incident or none, in the decision's word; None: nothing was decided yet."""
    urgency: str | None = None
    """None: it wants no incident."""
    service_id: str = UNKNOWN
    verdict: str | None = None
    flaps: int = 0
    entries: tuple[HistoryEntry, ...] = ()
    incomplete: bool = False
    """Its oldest moments but the trigger had to make room for newer ones."""

    @property
    def names(self) -> Names:
        """The groups its incident counts for."""
        return Names(self.rule, self.severity, self.service_id, self.urgency or UNKNOWN)

    @property
    def trigger(self) -> HistoryEntry | None:
        """When its incident was opened; None: it has none."""
        return next((entry for entry in self.entries if entry.what == "triggered"), None)


@dataclass(frozen=True, slots=True)
class IncidentState:
    """An incident as it stood at one instant, with all that had happened until then."""

    trigger: HistoryEntry
    status: IncidentStatus = IncidentStatus.TRIGGERED
    acknowledge: HistoryEntry | None = None
    """The first acknowledge by either side while the matter was open."""
    resolve: HistoryEntry | None = None
    """The resolve that ended the matter for good, as far as one could know then; None: it was open."""
    reopened: int = 0
    escalated: int = 0
    acknowledged_after_escalation: bool = False
    """Somebody acknowledged when it had been escalated; not whoever had before."""
    merged: bool = False

    @property
    def triggered_at(self) -> datetime:
        """By the clock of its side, as the other instants are: they place a moment, and are not for subtracting."""
        return self.trigger.at

    @property
    def acknowledged_after(self) -> int | None:
        """Microseconds from the trigger, never negative; None: nobody had acknowledged."""
        return _microseconds_between(self.trigger, self.acknowledge) if self.acknowledge else None

    @property
    def resolved_after(self) -> int | None:
        """Microseconds from the trigger, never negative; None: it was open."""
        return _microseconds_between(self.trigger, self.resolve) if self.resolve else None

    @property
    def minutes_to_acknowledge(self) -> float | None:
        """None: nobody had acknowledged. Never negative."""
        return minutes_of(self.acknowledged_after)

    @property
    def minutes_to_resolve(self) -> float | None:
        """None: it was open. Never negative."""
        return minutes_of(self.resolved_after)

    def minutes_until(self, now: datetime) -> float:
        """How long it had been there at ``now``, which is by our clock. Never negative."""
        return _minutes(now - received(self.trigger))


# A report makes these by the hundred thousand: a tuple takes a fifth of the time of a frozen dataclass.


class IncidentTimes(NamedTuple):
    """When an incident was triggered, and how long it took then."""

    triggered_at: datetime
    received_at: datetime
    """When the bridge learned that it was triggered, by our clock."""
    minutes_to_acknowledge: float | None = None
    """None: nobody had acknowledged. Never negative."""
    minutes_to_resolve: float | None = None
    """None: it was open. Never negative."""

    def minutes_until(self, now: datetime) -> float:
        """How long it had been there at ``now``, which is by our clock. Never negative."""
        return _minutes(now - self.received_at)


class IncidentFigures(NamedTuple):
    """What reports count of one incident as it stood at one instant: an ``IncidentState`` as plain values."""

    times: IncidentTimes
    status: IncidentStatus
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    reopened: int
    escalated: int
    acknowledged_after_escalation: bool
    merged: bool


class ListedIncident(NamedTuple):
    """An incident as a report lists it."""

    names: Names
    alert_id: str
    verdict: str | None
    incomplete: bool
    """As in ``Record``."""
    figures: IncidentFigures
    title: str
    incident_id: str | None = None
    incident_number: int | None = None
    url: str | None = None
    changed: Record | None = None
    """Where it has changed since the instant asked for: with the moments by which it is known how it stood then."""


@dataclass(frozen=True, slots=True)
class AlertCount:
    """So many alerts of one fate."""

    reason: str | None
    """As in ``Record``."""
    wants_incident: bool
    has_incident: bool
    count: int = 1


@dataclass(frozen=True, slots=True)
class WeeklyCount:
    """So many incidents of one week that were acknowledged by the same person, or not at all."""

    acknowledged_by: str | None
    is_acknowledged: bool
    count: int = 1


def figures_of(state: IncidentState) -> IncidentFigures:
    """The same as plain values."""
    trigger, acknowledge, resolve = state.trigger, state.acknowledge, state.resolve
    return IncidentFigures(
        IncidentTimes(trigger.at, received(trigger), state.minutes_to_acknowledge, state.minutes_to_resolve),
        state.status,
        acknowledge.at if acknowledge else None,
        acknowledge.author if acknowledge else None,
        resolve.at if resolve else None,
        state.reopened,
        state.escalated,
        state.acknowledged_after_escalation,
        state.merged,
    )


def _microseconds_between(begin: HistoryEntry, end: HistoryEntry) -> int:
    """By the times of their side; by our receipts where they lie on two sides. Never negative."""
    same_side = begin.side is end.side
    took = end.at - begin.at if same_side else received(end) - received(begin)
    return max(took // timedelta(microseconds=1), 0)


def minutes_of(microseconds: int | None) -> float | None:
    """A stored duration as reports count it."""
    return None if microseconds is None else microseconds / 10**6 / 60


def received(entry: HistoryEntry) -> datetime:
    """When the bridge learned it, by our clock. Moments that older versions stored have their own time alone."""
    return entry.received_at or entry.at


def _minutes(took: timedelta) -> float:
    return max(took.total_seconds() / 60, 0.0)


def record_of(link: Link, default_service: str | None = None) -> Record:
    """What statistics keep of this link. ``default_service`` stands where the decision names none."""
    decision, made_at, seen_at = link.decision, link.alert.created_at, link.first_seen_at
    return Record(
        alert_id=link.alert.alert_id,
        raised_at=made_at if made_at and EARLIEST <= made_at < seen_at else seen_at,
        severity=(link.alert.severity or UNKNOWN).lower(),
        rule=decision.rule if decision else UNKNOWN,
        reason=decision.reason if decision else None,
        urgency=decision.urgency.value if decision and decision.urgency else None,
        service_id=(decision.service_id if decision else None) or default_service or UNKNOWN,
        verdict=link.verdict,
        flaps=link.flaps,
        entries=timed(link.history, seen_at),
        incomplete=link.history_dropped > 0,
    )


def timed(entries: Iterable[HistoryEntry], seen_at: datetime) -> tuple[HistoryEntry, ...]:
    """The moments at times that can be true: older versions stored what clocks told that were never set. ``seen_at``:
    when the bridge first saw the alert."""
    return tuple(_timed(entry, seen_at) for entry in entries)


def _timed(entry: HistoryEntry, seen_at: datetime) -> HistoryEntry:
    if entry.received_at is not None:
        at = usable(entry.at, entry.received_at) or entry.received_at
    else:
        at = entry.at if entry.at >= EARLIEST else seen_at
    return entry if at == entry.at else replace(entry, at=at)


def state_at(record: Record, as_of: datetime) -> IncidentState | None:
    """The incident as it stood at ``as_of`` (included); None if it had not been triggered by then."""
    trigger = record.trigger
    if trigger is None or not _happened(trigger, as_of):
        return None
    state = IncidentState(trigger)
    for entry in in_order(entry for entry in record.entries if _happened(entry, as_of)):
        state = _after(state, entry)
    return state


def final_state(record: Record) -> tuple[IncidentState, datetime] | None:
    """The incident after all that is known of it, and the instant from which on it stood so: as of then or later
    ``state_at`` gives the same. None where no incident was ever opened."""
    if record.trigger is None:
        return None
    state = state_at(record, _LATEST)
    return None if state is None else (state, max(min(entry.at, received(entry)) for entry in record.entries))


def _happened(entry: HistoryEntry, as_of: datetime) -> bool:
    """By then, as its side tells; what the bridge knew by then had happened, however far ahead that side's clock is."""
    return entry.at <= as_of or received(entry) <= as_of


def in_order(entries: Iterable[HistoryEntry]) -> Iterable[HistoryEntry]:
    """The moments as they happened: those of one clock by its own times, and between clocks by when each was known.

    Each was known when it was received, or a later one of its clock: a webhook may come late.
    """
    clocks = defaultdict[str, list[HistoryEntry]](list)
    for entry in entries:
        # An escalation is the one moment that the bridge itself makes, and times by its own clock.
        clocks["" if entry.what == "escalated" else entry.side.value].append(entry)
    streams = (_known_from(clock, clocks[clock]) for clock in sorted(clocks))
    return (entry for _, entry in merge(*streams, key=lambda known: known[0]))


def _known_from(
    clock: str, entries: Iterable[HistoryEntry]
) -> Iterable[tuple[tuple[datetime, int, str], HistoryEntry]]:
    """The moments of one clock in their order, each with its place among those of the others."""
    ordered = sorted(entries, key=lambda one: (one.at, _rank(one)))
    receipts = [received(one) if clock else one.at for one in ordered]
    known = list(accumulate(reversed(receipts), min))[::-1]
    return [((at, _rank(one), clock), one) for at, one in zip(known, ordered, strict=True)]


def _rank(entry: HistoryEntry) -> int:
    return _ORDER.get(entry.what, _OTHERS)


def _after(state: IncidentState, entry: HistoryEntry) -> IncidentState:
    """Only what changes something counts: a second resolve of what is resolved is none, nor is a late acknowledge."""
    is_open = state.status != IncidentStatus.RESOLVED
    match entry.what:
        case "acknowledged" if is_open:
            helped = state.acknowledged_after_escalation or state.escalated > 0
            seen = replace(state, status=IncidentStatus.ACKNOWLEDGED, acknowledged_after_escalation=helped)
            return seen if seen.acknowledge else replace(seen, acknowledge=entry)
        case "unacknowledged" if is_open:
            return replace(state, status=IncidentStatus.TRIGGERED)
        case "resolved" if is_open:
            return replace(state, status=IncidentStatus.RESOLVED, resolve=entry)
        case "reopened" if not is_open:
            return replace(state, status=IncidentStatus.TRIGGERED, resolve=None, reopened=state.reopened + 1)
        case "escalated":
            return replace(state, escalated=state.escalated + 1)
        case "merged":
            return replace(state, merged=True)
    return state


def spread(minutes: Iterable[float]) -> Spread:
    """Mean, median and percentiles of these times."""
    ordered = sorted(minutes)
    if not ordered:
        return {"count": 0, "mean": None, "median": None, "p90": None, "p95": None}
    mean = sum(ordered) / len(ordered)
    mean = min(max(mean, ordered[0]), ordered[-1])  # a sum of fractions may round to a hair outside
    median, p90, p95 = (percentile(ordered, share) for share in (0.5, 0.9, 0.95))
    return {"count": len(ordered), "mean": mean, "median": median, "p90": p90, "p95": p95}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share (0..1) lies, between the two nearest ranks in proportion.

    The same as PERCENTILE.INC of spreadsheets, ``percentile_cont`` of SQL and NumPy's default. ``ordered`` is sorted
    and not empty.
    """
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def slope(values: Sequence[float]) -> float:
    """How much the values, at least two, rise from one to the next, by least squares."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    rise = sum((place - middle) * (value - mean) for place, value in enumerate(values))
    return rise / sum((place - middle) ** 2 for place in range(count))
