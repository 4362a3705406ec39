"""Events API v2 bodies, always inside its limits. Pure.

https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from typing import Any

from app.domain.incident import IncidentDraft
from app.domain.names import IncidentKey
from app.domain.payload import encode

MAX_SUMMARY_CHARS = 1_024
"""One character more and the event is refused. https://github.com/prometheus/alertmanager/issues/1840"""
MAX_EVENT_BYTES = 512_000
"""The whole request, cut off below 512 KB. https://github.com/prometheus/alertmanager/issues/2178"""
MAX_NAME_CHARS = 255
MAX_URL_CHARS = 4_000
MAX_SHORT_DETAILS = 40
MAX_SHORT_DETAIL_CHARS = 1_500
"""What is left of details that were too large: even with every character escaped the event then fits."""
SHORTENED = "Shortened: PagerDuty takes at most 512 KB. The dashboard has the full text."


def follow_up(action: str, key: IncidentKey, routing_key: str) -> dict[str, Any]:
    """An ``acknowledge`` or ``resolve``: the key says it all. An empty key is a ``ValueError``."""
    if not key:
        raise ValueError("an event needs a dedup_key")
    return {"routing_key": routing_key, "event_action": action, "dedup_key": key}


def trigger(draft: IncidentDraft, routing_key: str) -> dict[str, Any]:
    """A ``trigger`` of at most ``MAX_EVENT_BYTES`` as JSON."""
    event = _trigger(draft, routing_key, dict(draft.details))
    return event if len(encode(event)) <= MAX_EVENT_BYTES else _trigger(draft, routing_key, _shortened(draft))


def _trigger(draft: IncidentDraft, routing_key: str, details: dict[str, str]) -> dict[str, Any]:
    event = follow_up("trigger", draft.incident_key, routing_key)
    event |= {"client": draft.client[:MAX_NAME_CHARS], "payload": _payload(draft, details)}
    if draft.dashboard_url and len(draft.dashboard_url) <= MAX_URL_CHARS:
        event["client_url"] = draft.dashboard_url
        event["links"] = [{"href": draft.dashboard_url, "text": "Open in TruthVouch"}]
    return event


def _payload(draft: IncidentDraft, details: dict[str, str]) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "summary": draft.title[:MAX_SUMMARY_CHARS],
        "source": draft.source[:MAX_NAME_CHARS],
        "severity": draft.severity,
        "custom_details": details,
    }
    if draft.occurred_at:
        payload["timestamp"] = draft.occurred_at.isoformat()
    if draft.category:
        payload["class"] = draft.category[:MAX_NAME_CHARS]
    return payload


def _shortened(draft: IncidentDraft) -> dict[str, str]:
    first = list(draft.details.items())[:MAX_SHORT_DETAILS]
    return {name[:MAX_NAME_CHARS]: text[:MAX_SHORT_DETAIL_CHARS] for name, text in first} | {"note": SHORTENED}
