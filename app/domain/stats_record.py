"""What statistics keep of one link, and where its matter stood at an instant."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.link import Link, Moment

UNKNOWN = "unknown"
"""A severity, rule or service that nobody told."""
NOBODY_NAMED = "nobody named"
"""Who acknowledged, where the acknowledge names nobody: an automation, or a look that found it so."""

TRIGGERED, ACKNOWLEDGED, RESOLVED = "triggered", "acknowledged", "resolved"
"""Where an incident stands, in PagerDuty's words."""

_ORDER: Mapping[str, int] = {"triggered": 0, "reopened": 1, "unacknowledged": 2, "acknowledged": 4, "resolved": 5}
_OTHERS = 3
"""In the same moment the furthest along comes last, so it wins, as it does in the link's own clock."""


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

    @property
    def triggered_at(self) -> datetime | None:
        """When its incident was opened; None: it has none."""
        return next((moment.at for moment in self.moments if moment.what == TRIGGERED), None)


@dataclass(frozen=True, slots=True)
class Course:
    """An incident as it stood at one instant, with all that had happened until then."""

    triggered_at: datetime
    status: str = TRIGGERED
    acknowledged_at: datetime | None = None
    """The first acknowledge by either side while the matter was open."""
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    """The resolve that ended the matter for good, as far as one could know then; None: it was open."""
    reopened: int = 0
    escalated: int = 0
    acknowledged_after_escalation: bool = False
    """Somebody acknowledged when it had been escalated; not whoever had before."""
    merged: bool = False

    @property
    def minutes_to_acknowledge(self) -> float | None:
        """None: nobody had acknowledged. Never negative: the clocks of two sides differ."""
        return self._minutes(self.acknowledged_at)

    @property
    def minutes_to_resolve(self) -> float | None:
        """None: it was open. Never negative."""
        return self._minutes(self.resolved_at)

    def _minutes(self, at: datetime | None) -> float | None:
        return None if at is None else max((at - self.triggered_at).total_seconds() / 60, 0.0)


def record_of(link: Link, default_service: str | None = None) -> Record:
    """What statistics keep of this link. ``default_service`` stands where the decision names none."""
    decision, told = link.decision, link.alert.created_at
    return Record(
        alert_id=link.alert.alert_id,
        raised_at=told if told and told < link.first_seen_at else link.first_seen_at,
        severity=(link.alert.severity or UNKNOWN).lower(),
        rule=decision.rule if decision else UNKNOWN,
        reason=decision.reason if decision else None,
        urgency=decision.urgency.value if decision and decision.urgency else None,
        service_id=(decision.service_id if decision else None) or default_service or UNKNOWN,
        verdict=link.verdict,
        flaps=link.flaps,
        moments=link.history,
    )


def course(record: Record, as_of: datetime) -> Course | None:
    """The incident as it stood at ``as_of`` (included); None if it had not been triggered by then."""
    triggered_at = record.triggered_at
    if triggered_at is None or triggered_at > as_of:
        return None
    stood = Course(triggered_at)
    for moment in sorted(record.moments, key=lambda one: (one.at, _ORDER.get(one.what, _OTHERS))):
        if moment.at <= as_of:
            stood = _after(stood, moment)
    return stood


def _after(stood: Course, moment: Moment) -> Course:
    """Only what changes something counts: a second resolve of what is resolved is none, nor is a late acknowledge."""
    is_open = stood.status != RESOLVED
    match moment.what:
        case "acknowledged" if is_open:
            helped = stood.acknowledged_after_escalation or stood.escalated > 0
            seen = replace(stood, status=ACKNOWLEDGED, acknowledged_after_escalation=helped)
            first = stood.acknowledged_at is None
            return replace(seen, acknowledged_at=moment.at, acknowledged_by=moment.author) if first else seen
        case "unacknowledged" if is_open:
            return replace(stood, status=TRIGGERED)
        case "resolved" if is_open:
            return replace(stood, status=RESOLVED, resolved_at=moment.at)
        case "reopened" if not is_open:
            return replace(stood, status=TRIGGERED, resolved_at=None, reopened=stood.reopened + 1)
        case "escalated":
            return replace(stood, escalated=stood.escalated + 1)
        case "merged":
            return replace(stood, merged=True)
    return stood
