"""One alert, and the shapes in which TruthVouch shows it: API object, nested and flat webhook."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.sandbox.stamps import iso

ORGANIZATION_ID = "org-sandbox"
ENVELOPES = ("nested", "flat", "flat_with_id")
SIGNATURES = ("s1", "s2", "s3")
LIST_ORDERS = ("newest_first", "oldest_first")
CLOSED = ("resolved", "dismissed")
DOCUMENTED_FIELDS = ("severity", "type", "message", "fact", "actualFact", "confidenceScore")
DETECTION_FIELDS = ("excerpt", "model", "direction", "pii_type", "scan_duration_ms")
"""Those that the flat envelope keeps under ``details`` when the Governance Gateway is the sender."""
CONTROL_WORDS = {"alert_id", "signature", "envelope", "deliver", "hold", "at", "by"}
"""Those of a control request that are not the alert's own."""


@dataclass(slots=True, eq=False)
class Alert:
    """One alert, as the simulated TruthVouch keeps it."""

    alert_id: str
    facts: dict[str, Any]
    """Every field of the alert by its camelCase name, without id, status and creation."""
    created_at: float
    status: str = "open"
    resolution: str | None = None
    changed_by: str | None = None
    signature: str | None = None
    """This alert's own variant; None = the process's."""
    envelope: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_closed(self) -> bool:
        return self.status in CLOSED

    def in_api(self) -> dict[str, Any]:
        """The alert object of the API, with the fields that TruthVouch documents and no other.

        https://docs.truthvouch.ai/developers/api/shield
        """
        told = {name: self.facts[name] for name in DOCUMENTED_FIELDS if name in self.facts}
        return {"id": self.alert_id, **told, "status": self.status, "createdAt": iso(self.created_at)}

    def in_state(self) -> dict[str, Any]:
        """Everything, for the control API."""
        return {"id": self.alert_id, **self.facts, "status": self.status, "createdAt": iso(self.created_at),
                "resolution": self.resolution, "changedBy": self.changed_by, "history": self.history}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an alert."""

    event_id: str
    verb: str
    """created, acknowledged, investigating, resolved, dismissed, reopened, escalated."""
    at: float
    by: str | None = None
    reason: str | None = None
    text: str | None = None


def webhook(alert: Alert, event: Event, envelope: str) -> dict[str, Any]:
    """The body in one of the three documented envelopes."""
    if envelope == "nested":
        return _nested(alert, event)
    flat = _flat(alert, event)
    return {"event_id": event.event_id, **flat} if envelope == "flat_with_id" else flat


def event_name(event: Event, envelope: str) -> str:
    """The newest alert is ``alert.created`` in the nested envelope and ``alert.detected`` in the flat one."""
    verb = "detected" if event.verb == "created" and envelope != "nested" else event.verb
    return f"alert.{verb}"


def _nested(alert: Alert, event: Event) -> dict[str, Any]:
    """https://truthvouch-doc.pages.dev/developers/webhooks/overview"""
    data = {"alertId": alert.alert_id, **alert.facts, "status": alert.status}
    actor = {"resolvedBy": event.by, "resolutionReason": event.reason, "resolutionNotes": event.text}
    if event.verb not in CLOSED:
        actor = {f"{event.verb}By": event.by, "reason": event.reason, "notes": event.text}
    data |= {name: value for name, value in actor.items() if value is not None}
    return {"id": event.event_id, "type": event_name(event, "nested"), "timestamp": iso(event.at, True), "data": data}


def _flat(alert: Alert, event: Event) -> dict[str, Any]:
    """https://truthvouch-doc.pages.dev/developers/webhooks/events: later events do not repeat the alert."""
    common = {
        "event_type": event_name(event, "flat"),
        "timestamp": iso(event.at, True),
        "organization_id": ORGANIZATION_ID,
        "alert_id": alert.alert_id,
    }
    if event.verb == "created":
        return common | _flat_detection(alert)
    actor = {"resolved_by": event.by, "resolution_reason": event.reason, "resolution_notes": event.text}
    if event.verb not in CLOSED:
        actor = {f"{event.verb}_by": event.by, "reason": event.reason, "notes": event.text}
    return common | {name: value for name, value in actor.items() if value is not None}


def _flat_detection(alert: Alert) -> dict[str, Any]:
    """A hallucination keeps its fields at the top; what the gateway found has its certainty under ``details``."""
    facts = {_snake(name): value for name, value in alert.facts.items()}
    kind = facts.pop("type", None)
    if kind in (None, "hallucination"):
        return facts | ({"detection_type": kind} if kind else {})
    details = {name: facts.pop(name) for name in DETECTION_FIELDS if name in facts}
    if "confidence_score" in facts:
        details["confidence"] = facts.pop("confidence_score")
    return facts | {"detection_type": kind, "details": details | dict(facts.pop("details", None) or {})}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def facts_from(wish: Mapping[str, Any]) -> dict[str, Any]:
    """The alert's own fields among the words of a control request."""
    return {name: value for name, value in wish.items() if name not in CONTROL_WORDS and value is not None}
