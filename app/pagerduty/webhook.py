"""One webhook event as a word. Total: every JSON object has an answer.

Shapes: https://developer.pagerduty.com/docs/webhooks/webhooks-overview/ , and the older shape that TruthVouch's own
page shows (``{"type": "incident.acknowledged", "data": {"incident": {...}}}``).
"""

from collections.abc import Mapping
from typing import Any

from app.domain.names import IncidentId, IncidentKey, first_instant
from app.domain.payload import MAX_EXACT_INT, MAX_ID_CHARS, id_of, table_of, text_of
from app.domain.words import Ignored, IncidentVerb, IncidentWord, Reading, Unreadable

MAX_EVENT_CHARS = 100
MAX_NAME_CHARS = 200
MAX_URL_CHARS = 2_000
RESOLUTION_NOTE_PREFIX = "Resolution Note: "
"""What PagerDuty's web UI puts before a note typed while resolving; seen in deliveries, documented nowhere."""

VERBS: Mapping[str, IncidentVerb] = {
    "incident.triggered": IncidentVerb.TRIGGERED,
    "incident.acknowledged": IncidentVerb.ACKNOWLEDGED,
    "incident.unacknowledged": IncidentVerb.UNACKNOWLEDGED,
    "incident.resolved": IncidentVerb.RESOLVED,
    "incident.reopened": IncidentVerb.REOPENED,
    "incident.annotated": IncidentVerb.ANNOTATED,
}
"""Every other ``incident.*`` event, future ones too, is MENTIONED."""


def event_of(body: Mapping[str, object]) -> Mapping[str, object]:
    """The event inside a delivery: ``event`` in version 3, the body itself in the older shape."""
    return table_of(body["event"]) if isinstance(body.get("event"), dict) else body


def event_type(event: Mapping[str, object]) -> str:
    """The event type, ``event_type`` in version 3, ``type`` in the older shape; empty where there is none."""
    told = text_of(event.get("event_type"), MAX_EVENT_CHARS) or text_of(event.get("type"), MAX_EVENT_CHARS)
    return told.strip() if told else ""


def incident_id(event: Mapping[str, object]) -> str | None:
    """The incident an event is about; None where it names none, or one with an impossible id."""
    return _usable_id(_incident(event).get("id"))


def reading(event: Mapping[str, object]) -> Reading:
    """What an event says, as a word."""
    kind = event_type(event)
    if not kind:
        return Unreadable("no_event_type")
    if not kind.startswith("incident."):
        return Ignored("ping" if kind.endswith(".ping") else "not_an_incident")
    subject = incident_id(event)
    return _word(kind, IncidentId(subject), event) if subject else Unreadable("no_incident_id", kind)


def _word(kind: str, subject: IncidentId, event: Mapping[str, object]) -> IncidentWord:
    incident, agent = _incident(event), table_of(event.get("agent"))
    verb = VERBS.get(kind, IncidentVerb.MENTIONED)
    is_note = verb is IncidentVerb.ANNOTATED
    at, time_unread = first_instant(event.get("occurred_at"), event.get("timestamp"))
    is_merge = verb is IncidentVerb.RESOLVED and is_merged(incident)
    return IncidentWord(
        verb=IncidentVerb.MERGED if is_merge else verb,
        incident_id=subject,
        event=kind,
        at=at,
        incident_key=_key(incident.get("incident_key")),
        merged_into=merge_target(incident) if is_merge else None,
        number=number_of(incident.get("number")),
        html_url=text_of(incident.get("html_url"), MAX_URL_CHARS),
        urgency=text_of(incident.get("urgency"), MAX_NAME_CHARS),
        author=_person(agent),
        author_kind=text_of(agent.get("type"), MAX_NAME_CHARS),
        note=_note(event) if is_note else None,
        alert_id_hint=_alert_id_hint(incident),
        note_id=_note_id(event) if is_note else None,
        trimmed=is_note and table_of(event.get("data")).get("trimmed") is True,
        time_unread=time_unread,
    )


def _incident(event: Mapping[str, object]) -> Mapping[str, Any]:
    """``data`` itself, ``data.incident``, or the incident named inside ``data``'s lists (``role.assigned``)."""
    data = table_of(event.get("data"))
    if isinstance(data.get("incident"), dict):
        return table_of(data["incident"])
    if data.get("type", "incident") in ("incident", "incident_reference"):
        return data
    return next(_listed_incidents(data), {})


def _listed_incidents(data: Mapping[str, object]) -> Any:
    lists = (value for value in data.values() if isinstance(value, list))
    entries = (table_of(entry).get("incident") for entries in lists for entry in entries[:10])
    return (entry for entry in entries if isinstance(entry, dict))


def merge_target(incident: Mapping[str, object]) -> IncidentId | None:
    """The incident this one was merged into, as webhooks and REST tell it in ``resolve_reason``."""
    target = _usable_id(table_of(table_of(incident.get("resolve_reason")).get("incident")).get("id"))
    return IncidentId(target) if target and is_merged(incident) else None


def is_merged(incident: Mapping[str, object]) -> bool:
    """Was this incident resolved by merging it into another?"""
    return table_of(incident.get("resolve_reason")).get("type") == "merge_resolve_reason"


def number_of(value: object) -> int | None:
    """An incident number; None for anything that is not one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_EXACT_INT else None


def _key(value: object) -> IncidentKey | None:
    key = text_of(value)
    return IncidentKey(key) if key and len(key) <= MAX_ID_CHARS else None


def _person(agent: Mapping[str, object]) -> str | None:
    return text_of(agent.get("summary"), MAX_NAME_CHARS) if agent.get("type") == "user_reference" else None


def _note(event: Mapping[str, object]) -> str | None:
    content = text_of(table_of(event.get("data")).get("content"))
    return content.removeprefix(RESOLUTION_NOTE_PREFIX) if content else None


def _note_id(event: Mapping[str, object]) -> str | None:
    """The note's own id: where ``data`` is the incident itself, its ``id`` is the incident's."""
    data = table_of(event.get("data"))
    return _usable_id(data.get("id")) if isinstance(data.get("incident"), dict) else None


def _alert_id_hint(incident: Mapping[str, object]) -> str | None:
    hint = id_of(table_of(table_of(incident.get("body")).get("details")).get("alert_id"))
    return hint if hint and len(hint) <= MAX_ID_CHARS else None


def _usable_id(value: object) -> str | None:
    """An id that fits the store and means itself in a URL's path, which ``..`` does not."""
    found = id_of(value)
    return found if found and len(found) <= MAX_ID_CHARS and any(map(str.isalnum, found)) else None
