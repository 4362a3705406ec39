"""One incident and what hangs on it, and the two shapes in which PagerDuty shows it."""

from dataclasses import dataclass, field
from typing import Any

from app.sandbox.pagerduty.directory import References, User
from app.sandbox.stamps import iso

Ref = dict[str, Any]


@dataclass(slots=True, eq=False)
class ChildAlert:
    """PagerDuty's own alert inside an incident: what an Events API trigger makes."""

    alert_id: str
    alert_key: str
    routing_key: str
    severity: str
    summary: str
    body: dict[str, Any]
    created_at: float
    incident: "Incident"
    resolved: bool = False


@dataclass(slots=True)
class Note:
    """What somebody wrote on an incident."""

    note_id: str
    content: str
    created_at: float
    user: Ref | None


@dataclass(slots=True, eq=False)
class Incident:
    """One incident, as the desk keeps it."""

    incident_id: str
    number: int
    title: str
    urgency: str
    service_id: str
    policy_id: str
    created_at: float
    incident_key: str | None = None
    """None for incidents opened through the Events API."""
    status: str = "triggered"
    escalation_level: int = 1
    body: str | None = None
    priority_id: str | None = None
    client: Ref | None = None
    """``{name, url}`` of the trigger event."""
    changed_at: float = 0.0
    changed_by: Ref | None = None
    reopened_at: float | None = None
    resolved_at: float | None = None
    merged_into: "Incident | None" = None
    assignees: list[User] = field(default_factory=list)
    acknowledgements: list[Ref] = field(default_factory=list)
    alerts: list[ChildAlert] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    log: list[Ref] = field(default_factory=list)
    custom_fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.status != "resolved"

    def known_keys(self) -> set[str]:
        """Everything the ``incident_key`` filter finds it by."""
        return {alert.alert_key for alert in self.alerts} | ({self.incident_key} if self.incident_key else set())


def reference(incident: Incident, refs: References) -> Ref:
    """The reference by which other things name the incident."""
    return refs.ref("incident", incident.incident_id, "incidents", incident.title)


def resolve_reason(incident: Incident, refs: References) -> Ref | None:
    """Only a merge has one. https://support.pagerduty.com/main/docs/merge-incidents"""
    if incident.merged_into is None:
        return None
    return {"type": "merge_resolve_reason", "incident": reference(incident.merged_into, refs)}


def _common(incident: Incident, refs: References) -> Ref:
    return {
        **reference(incident, refs),
        "type": "incident",
        "status": incident.status,
        "incident_key": incident.incident_key,
        "created_at": iso(incident.created_at),
        "title": incident.title,
        "incident_type": {"name": "incident_default"},
        "service": refs.service(incident.service_id),
        "escalation_policy": refs.policy(incident.policy_id),
        "teams": [],
        "priority": refs.priority(incident.priority_id) if incident.priority_id else None,
        "urgency": incident.urgency,
        "conference_bridge": None,
        "resolve_reason": resolve_reason(incident, refs),
    }


def in_webhook(incident: Incident, refs: References) -> Ref:
    """``event.data`` of a webhook: never a body, details, alerts or a resolution."""
    data = _common(incident, refs)
    del data["summary"]
    return data | {
        "number": incident.number,
        "reopened_at": iso(incident.reopened_at) if incident.reopened_at else None,
        "assignees": [refs.user(user) for user in incident.assignees] if incident.is_open else [],
    }


def in_rest(incident: Incident, refs: References, with_body: bool = False) -> Ref:
    """``incident`` of the REST API. The level of escalation reached is not in it, as it is not in PagerDuty's."""
    since = iso(incident.changed_at)
    body = {"body": {"type": "incident_body", "details": incident.body}} if with_body and incident.body else {}
    return {
        **_common(incident, refs),
        "summary": f"[#{incident.number}] {incident.title}",
        "incident_number": incident.number,
        "description": incident.title,
        "updated_at": since,
        "last_status_change_at": since,
        "last_status_change_by": incident.changed_by,
        "resolved_at": iso(incident.resolved_at) if incident.resolved_at else None,
        "assignments": [{"at": since, "assignee": refs.user(user)} for user in incident.assignees],
        "acknowledgements": incident.acknowledgements,
        "alert_counts": _alert_counts(incident),
        "is_mergeable": incident.is_open,
        **body,
    }


def _alert_counts(incident: Incident) -> dict[str, int]:
    resolved = sum(alert.resolved for alert in incident.alerts)
    return {"all": len(incident.alerts), "triggered": len(incident.alerts) - resolved, "resolved": resolved}


def alert_in_rest(alert: ChildAlert, refs: References) -> Ref:
    """``alert`` of the REST API."""
    return {
        "id": alert.alert_id,
        "type": "alert",
        "summary": alert.summary,
        "self": f"{refs.base_url}/incidents/{alert.incident.incident_id}/alerts/{alert.alert_id}",
        "created_at": iso(alert.created_at),
        "status": "resolved" if alert.resolved else "triggered",
        "alert_key": alert.alert_key,
        "severity": alert.severity,
        "suppressed": False,
        "service": refs.service(alert.incident.service_id),
        "incident": reference(alert.incident, refs),
        "body": alert.body,
    }


def note_in_rest(note: Note) -> Ref:
    """``note`` of the REST API."""
    return {"id": note.note_id, "content": note.content, "created_at": iso(note.created_at), "user": note.user}
