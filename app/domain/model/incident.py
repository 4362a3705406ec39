"""What we send to open an incident, and what PagerDuty tells back about one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.model.types import IncidentId, IncidentKey, Status, Urgency


@dataclass(frozen=True, slots=True)
class IncidentDraft:
    """Everything a woken person needs, already redacted and cut to size; no wire shape yet."""

    incident_key: IncidentKey
    title: str
    """At most 1,024 characters, never empty."""
    urgency: Urgency
    severity: str
    """One of PagerDuty's Events severities: critical, error, warning, info."""
    source: str
    """What the alert is about, for the Events API's required ``source``."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Ordered, most important first: alert id, dashboard link, severity, claim, truth, ..."""
    dashboard_url: str | None = None
    evidence_url: str | None = None
    """A page about it that needs no login."""
    service_id: str | None = None
    escalation_policy_id: str | None = None
    category: str | None = None
    occurred_at: datetime | None = None
    priority_id: str | None = None
    client: str = "TruthVouch"
    """Who raised it, where the API has a place for that (Events)."""


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    """One incident as PagerDuty's REST API shows it."""

    incident_id: IncidentId
    status: Status
    number: int | None = None
    html_url: str | None = None
    incident_key: IncidentKey | None = None
    urgency: str | None = None
    title: str | None = None
    service_id: str | None = None
    escalation_policy_id: str | None = None
    created_at: datetime | None = None
    status_changed_at: datetime | None = None
    merged_into: IncidentId | None = None
    assignee_ids: tuple[str, ...] = ()
    """Users whom PagerDuty has assigned; empty once it is resolved."""


def open_or_newest(found: Sequence[IncidentFacts]) -> IncidentFacts | None:
    """The newest that is open, else the newest there was. ``found``: newest first."""
    still_open = (facts for facts in found if facts.status is not Status.RESOLVED)
    return next(still_open, found[0] if found else None)


@dataclass(frozen=True, slots=True)
class NoteFacts:
    """One note on an incident."""

    note_id: str
    content: str
    author: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """One alert's standing as TruthVouch's API shows it."""

    alert_id: str
    status: Status
