"""An incident as PagerDuty's REST API writes it, for callers who were promised that shape. Pure.

https://developer.pagerduty.com/api-reference/ (incidents)
"""

from datetime import datetime
from typing import Any

from app.domain.incident import IncidentFacts
from app.pagerduty.wire import STATUS_WORDS


def incident(facts: IncidentFacts) -> dict[str, Any]:
    """The fields of ``incident`` that the bridge reads, under PagerDuty's names; None where PagerDuty told nothing."""
    return {
        "id": facts.incident_id or None,
        "type": "incident",
        "incident_number": facts.number,
        "title": facts.title,
        "status": STATUS_WORDS[facts.status],
        "urgency": facts.urgency,
        "html_url": facts.html_url,
        "incident_key": facts.incident_key,
        "created_at": _instant(facts.created_at),
        "last_status_change_at": _instant(facts.status_changed_at),
        "service": _reference("service", facts.service_id),
        "escalation_policy": _reference("escalation_policy", facts.escalation_policy_id),
        "assignments": [{"assignee": _reference("user", ident)} for ident in facts.assignee_ids],
    }


def _reference(kind: str, ident: str | None) -> dict[str, str] | None:
    return {"id": ident, "type": f"{kind}_reference"} if ident else None


def _instant(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None
