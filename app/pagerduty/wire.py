"""PagerDuty's REST objects: ours to theirs and theirs to ours. Pure.

https://developer.pagerduty.com/api-reference/ (incidents, notes)
"""

from collections.abc import Mapping
from typing import Any

from app.domain.draft import body_text
from app.domain.incident import IncidentDraft, IncidentFacts, NoteFacts
from app.domain.names import IncidentId, IncidentKey, Status, instant
from app.domain.payload import id_of, table_of, text_of
from app.pagerduty.webhook import merge_target, number_of

MAX_TITLE_CHARS = 1_024
MAX_RESOLUTION_CHARS = 1_024
"""REST documents no limit for ``title`` and ``resolution``; the Events API's limit on ``summary`` is a safe one."""
MAX_NOTE_CHARS = 65_535
NOTE_TAIL_CHARS = 1_000
"""How much of an overlong note's end is kept: our reference stands there."""

STATUS_WORDS: Mapping[Status, str] = {
    Status.OPEN: "triggered",
    Status.ACKNOWLEDGED: "acknowledged",
    Status.RESOLVED: "resolved",
}
_STATUSES = {word: status for status, word in STATUS_WORDS.items()}


def incident_body(draft: IncidentDraft, service_id: str) -> dict[str, Any]:
    """The body of ``POST /incidents``."""
    incident: dict[str, Any] = {
        "type": "incident",
        "title": draft.title[:MAX_TITLE_CHARS],
        "service": {"id": service_id, "type": "service_reference"},
        "urgency": draft.urgency.value,
        "incident_key": draft.incident_key,
        "body": {"type": "incident_body", "details": body_text(draft)},
    }
    if draft.escalation_policy_id:
        incident["escalation_policy"] = {"id": draft.escalation_policy_id, "type": "escalation_policy_reference"}
    if draft.priority_id:
        incident["priority"] = {"id": draft.priority_id, "type": "priority_reference"}
    return {"incident": incident}


def status_body(status: Status, resolution: str | None) -> dict[str, Any]:
    """The body of ``PUT /incidents/{id}``; ``resolution`` is for resolving only."""
    incident = {"type": "incident_reference", "status": STATUS_WORDS[status]}
    if resolution and status is Status.RESOLVED:
        incident["resolution"] = resolution[:MAX_RESOLUTION_CHARS]
    return {"incident": incident}


def note_body(content: str) -> dict[str, Any]:
    """The body of ``POST /incidents/{id}/notes``; raises ``ValueError`` for a blank note.

    An overlong note is cut in its middle: its first and its last words say whose it is.
    """
    if not content.strip():
        raise ValueError("a note needs some text")
    if len(content) > MAX_NOTE_CHARS:
        tail = content[-NOTE_TAIL_CHARS:]
        content = content[: MAX_NOTE_CHARS - len(tail) - 3] + "..." + tail
    return {"note": {"content": content}}


def incident_facts(told: object) -> IncidentFacts | None:
    """One incident of a REST answer; None if it has no id or an unknown status."""
    incident = table_of(told)
    incident_id, status = id_of(incident.get("id")), _STATUSES.get(str(incident.get("status")))
    if not incident_id or status is None:
        return None
    key = text_of(incident.get("incident_key"))
    return IncidentFacts(
        incident_id=IncidentId(incident_id),
        status=status,
        number=number_of(incident.get("incident_number")),
        html_url=text_of(incident.get("html_url")),
        incident_key=IncidentKey(key) if key else None,
        urgency=text_of(incident.get("urgency")),
        title=text_of(incident.get("title")),
        service_id=id_of(table_of(incident.get("service")).get("id")),
        escalation_policy_id=id_of(table_of(incident.get("escalation_policy")).get("id")),
        created_at=instant(incident.get("created_at")),
        status_changed_at=instant(incident.get("last_status_change_at")),
        merged_into=merge_target(incident),
        assignee_ids=_assignees(incident.get("assignments")),
    )


def _assignees(told: object) -> tuple[str, ...]:
    entries = told if isinstance(told, list) else []
    idents = (id_of(table_of(table_of(entry).get("assignee")).get("id")) for entry in entries)
    return tuple(filter(None, idents))


def note_facts(told: object) -> NoteFacts | None:
    """One note of a REST answer; None if it has no id."""
    note = table_of(told)
    note_id = id_of(note.get("id"))
    if not note_id:
        return None
    return NoteFacts(
        note_id=note_id,
        content=text_of(note.get("content")) or "",
        author=text_of(table_of(note.get("user")).get("summary")),
        created_at=instant(note.get("created_at")),
    )
