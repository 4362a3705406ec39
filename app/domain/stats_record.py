"""What statistics keep of one link, and where its matter stood at an instant.

The clocks of the two sides are never compared, with each other or with ours. Moments of one side are ordered and
measured by the times of that side; where two sides meet, by when the bridge received each. The period in which a moment
counts is that of its own time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge
from itertools import accumulate

from app.domain.link import Link, Moment
from app.domain.names import EARLIEST
from app.domain.side_state import usable

UNKNOWN = "unknown"
"""A severity, rule or service that nobody told."""
NOBODY_NAMED = "nobody named"
"""Who acknowledged, where the acknowledge names nobody: an automation, or a look that found it so."""

TRIGGERED, ACKNOWLEDGED, RESOLVED = "triggered", "acknowledged", "resolved"
"""Where an incident stands, in PagerDuty's words."""
ESCALATED = "escalated"
"""The one moment that the bridge itself makes, and times by its own clock."""

_ORDER: Mapping[str, int] = {"triggered": 0, "reopened": 1, "unacknowledged": 2, "acknowledged": 4, "resolved": 5}
_OTHERS = 3
"""In the same moment the furthest along comes last, so it wins, as it does for the link."""


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
    """None: it deserves no incident."""
    service_id: str = UNKNOWN
    verdict: str | None = None
    flaps: int = 0
    moments: tuple[Moment, ...] = ()
    incomplete: bool = False
    """Its oldest moments but the trigger had to make room for newer ones."""

    @property
    def trigger(self) -> Moment | None:
        """When its incident was opened; None: it has none."""
        return next((moment for moment in self.moments if moment.what == TRIGGERED), None)


@dataclass(frozen=True, slots=True)
class Course:
    """An incident as it stood at one instant, with all that had happened until then."""

    trigger: Moment
    status: str = TRIGGERED
    acknowledge: Moment | None = None
    """The first acknowledge by either side while the matter was open."""
    resolve: Moment | None = None
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
    def acknowledged_at(self) -> datetime | None:
        """None: nobody had acknowledged."""
        return self.acknowledge.at if self.acknowledge else None

    @property
    def acknowledged_by(self) -> str | None:
        """None: nobody had acknowledged, or nobody was named."""
        return self.acknowledge.author if self.acknowledge else None

    @property
    def resolved_at(self) -> datetime | None:
        """None: it was open."""
        return self.resolve.at if self.resolve else None

    @property
    def minutes_to_acknowledge(self) -> float | None:
        """None: nobody had acknowledged. Never negative."""
        return minutes_between(self.trigger, self.acknowledge) if self.acknowledge else None

    @property
    def minutes_to_resolve(self) -> float | None:
        """None: it was open. Never negative."""
        return minutes_between(self.trigger, self.resolve) if self.resolve else None

    def minutes_until(self, now: datetime) -> float:
        """How long it had been there at ``now``, which is by our clock. Never negative."""
        return _minutes(now - received(self.trigger))


def minutes_between(begin: Moment, end: Moment) -> float:
    """By the times of their side; by our receipts where they lie on two sides. Never negative."""
    same_side = begin.side is end.side
    return _minutes(end.at - begin.at if same_side else received(end) - received(begin))


def received(moment: Moment) -> datetime:
    """When the bridge learned it, by our clock. Moments that older versions stored have their own time alone."""
    return moment.received_at or moment.at


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
        moments=tuple(_timed(moment, seen_at) for moment in link.history),
        incomplete=link.history_dropped > 0,
    )


def _timed(moment: Moment, seen_at: datetime) -> Moment:
    """The moment at a time that can be true: older versions stored what clocks told that were never set."""
    if moment.received_at is not None:
        at = usable(moment.at, moment.received_at) or moment.received_at
    else:
        at = moment.at if moment.at >= EARLIEST else seen_at
    return moment if at == moment.at else replace(moment, at=at)


def course(record: Record, as_of: datetime) -> Course | None:
    """The incident as it stood at ``as_of`` (included); None if it had not been triggered by then."""
    trigger = record.trigger
    if trigger is None or not _happened(trigger, as_of):
        return None
    stood = Course(trigger)
    for moment in in_order(moment for moment in record.moments if _happened(moment, as_of)):
        stood = _after(stood, moment)
    return stood


def _happened(moment: Moment, as_of: datetime) -> bool:
    """By then, as its side tells; what the bridge knew by then had happened, however far ahead that side's clock is."""
    return moment.at <= as_of or received(moment) <= as_of


def in_order(moments: Iterable[Moment]) -> Iterable[Moment]:
    """The moments as they happened: those of one clock by its own times, and between clocks by when each was known.

    Each was known when it was received, or a later one of its clock: a webhook may come late.
    """
    clocks = defaultdict[str, list[Moment]](list)
    for moment in moments:
        clocks["" if moment.what == ESCALATED else moment.side.value].append(moment)
    streams = (_known_from(clock, clocks[clock]) for clock in sorted(clocks))
    return (moment for _, moment in merge(*streams, key=lambda known: known[0]))


def _known_from(clock: str, moments: Iterable[Moment]) -> Iterable[tuple[tuple[datetime, int, str], Moment]]:
    """The moments of one clock in their order, each with its place among those of the others."""
    ordered = sorted(moments, key=lambda one: (one.at, _rank(one)))
    receipts = [received(one) if clock else one.at for one in ordered]
    known = list(accumulate(reversed(receipts), min))[::-1]
    return [((at, _rank(one), clock), one) for at, one in zip(known, ordered, strict=True)]


def _rank(moment: Moment) -> int:
    return _ORDER.get(moment.what, _OTHERS)


def _after(stood: Course, moment: Moment) -> Course:
    """Only what changes something counts: a second resolve of what is resolved is none, nor is a late acknowledge."""
    is_open = stood.status != RESOLVED
    match moment.what:
        case "acknowledged" if is_open:
            helped = stood.acknowledged_after_escalation or stood.escalated > 0
            seen = replace(stood, status=ACKNOWLEDGED, acknowledged_after_escalation=helped)
            return seen if seen.acknowledge else replace(seen, acknowledge=moment)
        case "unacknowledged" if is_open:
            return replace(stood, status=TRIGGERED)
        case "resolved" if is_open:
            return replace(stood, status=RESOLVED, resolve=moment)
        case "reopened" if not is_open:
            return replace(stood, status=TRIGGERED, resolve=None, reopened=stood.reopened + 1)
        case "escalated":
            return replace(stood, escalated=stood.escalated + 1)
        case "merged":
            return replace(stood, merged=True)
    return stood
