"""PagerDuty's webhooks v3: prove the bytes, read the envelope, read the event. No I/O.

https://developer.pagerduty.com/docs/webhooks/webhooks-overview/
https://developer.pagerduty.com/docs/webhooks/webhook-signatures/

What an event says is total: every JSON object has an answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.model.events import Envelope, Ignored, IncidentEvent, IncidentEventType, Reading, Unreadable
from app.domain.model.types import IncidentId, IncidentKey, first_instant
from app.ports import Refusal
from app.remote.payload import (
    MAX_EXACT_INT,
    MAX_ID_CHARS,
    Fault,
    delivery_id,
    digests,
    entries,
    id_of,
    matching_secret,
    read_object,
    table_of,
    text_of,
    usable,
)

# Shapes: https://developer.pagerduty.com/docs/webhooks/webhooks-overview/ , and the older shape that TruthVouch's own
# page shows (``{"type": "incident.acknowledged", "data": {"incident": {...}}}``).

MAX_EVENT_CHARS = 100
MAX_NAME_CHARS = 200
MAX_URL_CHARS = 2_000
RESOLUTION_NOTE_PREFIX = "Resolution Note: "
"""What PagerDuty's web UI puts before a note typed while resolving; seen in deliveries, documented nowhere."""

EVENT_TYPES: Mapping[str, IncidentEventType] = {
    "incident.triggered": IncidentEventType.TRIGGERED,
    "incident.acknowledged": IncidentEventType.ACKNOWLEDGED,
    "incident.unacknowledged": IncidentEventType.UNACKNOWLEDGED,
    "incident.resolved": IncidentEventType.RESOLVED,
    "incident.reopened": IncidentEventType.REOPENED,
    "incident.annotated": IncidentEventType.ANNOTATED,
}
"""Every other ``incident.*`` event, future ones too, is MENTIONED."""


def event_of(body: Mapping[str, object]) -> Mapping[str, object]:
    """The event inside a delivery: ``event`` in version 3, the body itself in the older shape."""
    return table_of(body["event"]) if isinstance(body.get("event"), dict) else body


def event_type(event: Mapping[str, object]) -> str:
    """The event type, ``event_type`` in version 3, ``type`` in the older shape; empty where there is none."""
    content = text_of(event.get("event_type"), MAX_EVENT_CHARS) or text_of(event.get("type"), MAX_EVENT_CHARS)
    return content.strip() if content else ""


def incident_id(event: Mapping[str, object]) -> str | None:
    """The incident an event is about; None where it names none, or one with an impossible id."""
    return _usable_id(_incident(event).get("id"))


def reading(event: Mapping[str, object]) -> Reading:
    """What an event says, as one of ours."""
    kind = event_type(event)
    if not kind:
        return Unreadable("no_event_type")
    if not kind.startswith("incident."):
        return Ignored("ping" if kind.endswith(".ping") else "not_an_incident")
    subject = incident_id(event)
    return _event(kind, IncidentId(subject), event) if subject else Unreadable("no_incident_id", kind)


def _event(kind: str, subject: IncidentId, event: Mapping[str, object]) -> IncidentEvent:
    incident, agent, data = _incident(event), table_of(event.get("agent")), table_of(event.get("data"))
    key = _short(text_of(incident.get("incident_key")))
    our_type = EVENT_TYPES.get(kind, IncidentEventType.MENTIONED)
    is_note = our_type is IncidentEventType.ANNOTATED
    content = text_of(data.get("content")) if is_note else None
    at, time_unread = first_instant(event.get("occurred_at"), event.get("timestamp"))
    is_merge = our_type is IncidentEventType.RESOLVED and is_merged(incident)
    return IncidentEvent(
        type=IncidentEventType.MERGED if is_merge else our_type,
        incident_id=subject,
        name=kind,
        at=at,
        incident_key=IncidentKey(key) if key else None,
        merged_into=merge_target(incident) if is_merge else None,
        number=number_of(incident.get("number")),
        html_url=text_of(incident.get("html_url"), MAX_URL_CHARS),
        urgency=text_of(incident.get("urgency"), MAX_NAME_CHARS),
        author=text_of(agent.get("summary"), MAX_NAME_CHARS) if agent.get("type") == "user_reference" else None,
        author_kind=text_of(agent.get("type"), MAX_NAME_CHARS),
        note=content.removeprefix(RESOLUTION_NOTE_PREFIX) if content else None,
        alert_id_hint=_short(id_of(table_of(table_of(incident.get("body")).get("details")).get("alert_id"))),
        # The note's own id: where ``data`` is the incident itself, its ``id`` is the incident's.
        note_id=_usable_id(data.get("id")) if is_note and isinstance(data.get("incident"), dict) else None,
        trimmed=is_note and data.get("trimmed") is True,
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


def _short(text: str | None) -> str | None:
    """One that fits the store."""
    return text if text and len(text) <= MAX_ID_CHARS else None


def _usable_id(value: object) -> str | None:
    """An id that fits the store and means itself in a URL's path, which ``..`` does not."""
    found = _short(id_of(value))
    return found if found and any(map(str.isalnum, found)) else None


SIGNATURE_HEADER = "X-PagerDuty-Signature"
SCHEME = "v1"


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Envelope:
    """Prove that PagerDuty signed ``body``, then read its envelope.

    ``v1=`` entries are HMAC-SHA256 over the raw body; any one of several may match, as during a change of secret.
    Raises ``Refusal`` (``no_secret``, ``signature_missing``, ``signature_malformed``, ``signature_mismatch``) and
    nothing else. ``now`` is not used: PagerDuty signs no time and retries for 48 hours, so the guard against
    replay is the signed ``event.id``.
    """
    if not usable(secrets):
        raise Refusal("no_secret")
    secret_index = matching_secret(body, _signatures(headers.get(SIGNATURE_HEADER)), secrets)
    if secret_index is None:
        raise Refusal("signature_mismatch")
    return _envelope(body, headers.get("Content-Encoding"), secret_index)


def read(body: bytes, content_encoding: str | None) -> tuple[Reading, ...]:
    """The one event in an authentic body. Never raises."""
    content = read_object(body, content_encoding)
    return (Unreadable(content.reason),) if isinstance(content, Fault) else (reading(event_of(content)),)


def _signatures(header: str | None) -> list[bytes]:
    if not header or not header.strip():
        raise Refusal("signature_missing")
    prefix = SCHEME + "="
    values = [entry.removeprefix(prefix) for entry in entries(header) if entry.startswith(prefix)]
    signatures = digests(values)
    if not signatures:
        raise Refusal("signature_malformed")
    return signatures


def _envelope(body: bytes, content_encoding: str | None, secret_index: int) -> Envelope:
    content = read_object(body, content_encoding)
    if isinstance(content, Fault):
        return Envelope(delivery_id(None, body), secret_index=secret_index, scheme=SCHEME, fault=content.reason)
    event = event_of(content)
    kind = (text_of(event.get("event_type")) or event_type(event))[:MAX_EVENT_CHARS]
    subject = incident_id(event) or ""
    return Envelope(
        delivery_id=delivery_id(event.get("id"), body, kind, subject),
        event=kind,
        subject=subject,
        secret_index=secret_index,
        scheme=SCHEME,
        fault="" if kind else "no_event_type",
    )
