"""The simulated TruthVouch organisation: its alerts, what may happen to them, and the webhooks that tell of it."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.sandbox.kit.support import Ids, Limit, PartnerClock, iso
from app.sandbox.kit.webhook_sender import WebhookQueue, WebhookRequest, truthvouch_headers

ORGANIZATION_ID = "org-sandbox"
ENVELOPES = ("nested", "flat", "flat_with_id")
SIGNATURES = ("s1", "s2", "s3")
LIST_ORDERS = ("newest_first", "oldest_first")
CLOSED = ("resolved", "dismissed")
API_USER = "api-key:bridge"
DOCUMENTED_FIELDS = ("severity", "type", "message", "fact", "actualFact", "confidenceScore")
DETECTION_FIELDS = ("excerpt", "model", "direction", "pii_type", "scan_duration_ms")
"""Those that the flat envelope keeps under ``details`` when the Governance Gateway is the sender."""
CONTROL_FIELDS = {"alert_id", "signature", "envelope", "deliver", "hold", "at", "by"}
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
        documented = {name: self.facts[name] for name in DOCUMENTED_FIELDS if name in self.facts}
        return {"id": self.alert_id, **documented, "status": self.status, "createdAt": iso(self.created_at)}

    def in_state(self) -> dict[str, Any]:
        """Everything, for the control API."""
        return {"id": self.alert_id, **self.facts, "status": self.status, "createdAt": iso(self.created_at),
                "resolution": self.resolution, "changedBy": self.changed_by, "history": self.history}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an alert."""

    event_id: str
    event_type: str
    """created, acknowledged, investigating, resolved, dismissed, reopened, escalated."""
    at: float
    by: str | None = None
    reason: str | None = None
    text: str | None = None

    def name(self, envelope: str) -> str:
        """The newest alert is ``alert.created`` in the nested envelope and ``alert.detected`` in the flat one."""
        event_type = "detected" if self.event_type == "created" and envelope != "nested" else self.event_type
        return f"alert.{event_type}"


def webhook(alert: Alert, event: Event, envelope: str) -> dict[str, Any]:
    """The body in one of the three documented envelopes.

    https://truthvouch-doc.pages.dev/developers/webhooks/overview (nested) and .../webhooks/events (flat): there later
    events do not repeat the alert.
    """
    name, timestamp = event.name(envelope), iso(event.at, milliseconds=True)
    if event.event_type in CLOSED:
        actor = {"resolvedBy": event.by, "resolutionReason": event.reason, "resolutionNotes": event.text}
    else:
        actor = {f"{event.event_type}By": event.by, "reason": event.reason, "notes": event.text}
    actor = {name: value for name, value in actor.items() if value is not None}
    if envelope == "nested":
        data = {"alertId": alert.alert_id, **alert.facts, "status": alert.status, **actor}
        return {"id": event.event_id, "type": name, "timestamp": timestamp, "data": data}
    details = {_snake(name): value for name, value in actor.items()}
    return {
        **({"event_id": event.event_id} if envelope == "flat_with_id" else {}),
        "event_type": name,
        "timestamp": timestamp,
        "organization_id": ORGANIZATION_ID,
        "alert_id": alert.alert_id,
        **(_flat_detection(alert) if event.event_type == "created" else details),
    }


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


TIMEOUT_SECONDS = 30.0
GIVES_UP_AFTER_SECONDS = 14.6 * 3600
"""After its last retry an event goes to the dead letters.
https://truthvouch-doc.pages.dev/developers/webhooks/retries"""
DEFAULT_LIMIT = 1000
ACTIONS = {
    "acknowledge": ("acknowledged", "acknowledged"),
    "investigate": ("investigating", "investigating"),
    "resolve": ("resolved", "resolved"),
    "dismiss": ("dismissed", "dismissed"),
    "reopen": ("reopened", "open"),
    "escalate": ("escalated", None),
}
"""What a person does in the dashboard: the event type of the webhook, and the status after it (None = unchanged)."""


class Conflict(Exception):
    """A change of status that the alert's state does not allow: 409."""


class Sending(NamedTuple):
    """How often one event's webhook is sent, and whether it waits for a flush instead."""

    deliver: int = 1
    hold: bool = False


class Organization:
    """Keeps the alerts; ``lock`` is held by whoever changes them."""

    def __init__(
        self, lock: threading.RLock, clock: PartnerClock, ids: Ids, webhook_queue: WebhookQueue, secret: str,
        bridge_url: Callable[[], str],
    ) -> None:  # fmt: skip
        self.lock, self.clock, self.ids = lock, clock, ids
        self._webhook_queue, self._secret, self._bridge_url = webhook_queue, secret, bridge_url
        self.signature, self.envelope = "s1", "nested"
        self.reopen_is_refused = True
        self.reports_api_changes = self.keeps_acknowledges = True
        self.list_order = "newest_first"
        self.limit = Limit(clock.real, DEFAULT_LIMIT)
        self.reset()

    def reset(self) -> None:
        """No alert, no limit; the chosen variants stay."""
        self.alerts: dict[str, Alert] = {}
        self.limit.set()

    def raise_alert(self, sent: Mapping[str, Any], at: float, sending: Sending) -> Alert:
        """A new alert and its webhook. Raises ``Conflict`` when the id is taken."""
        alert_id = str(sent.get("alert_id") or self.ids.next("alert-", 16).lower())
        if alert_id in self.alerts:
            raise Conflict(f"{alert_id} exists")
        facts = {name: value for name, value in sent.items() if name not in CONTROL_FIELDS and value is not None}
        alert = Alert(alert_id, facts, at, signature=sent.get("signature"), envelope=sent.get("envelope"))
        self.alerts[alert_id] = alert
        self._emit(alert, Event(self._event_id(), "created", at), sending)
        return alert

    def act(
        self, alert: Alert, action: str, at: float, by: str | None, reason: str | None, text: str | None,
        sending: Sending,
    ) -> None:  # fmt: skip
        """A person's click in the dashboard; a ``KeyError`` for an unknown action."""
        event_type, status = ACTIONS[action]
        self._move(alert, status or alert.status, Event(self._event_id(), event_type, at, by, reason, text), sending)

    def patch(self, alert: Alert, status: str, resolution: str | None) -> None:
        """``PATCH /alerts/{id}``: what the API key's owner says. Being there already changes and tells nothing.

        Raises ``Conflict`` for an alert that is resolved or dismissed: TruthVouch calls that state terminal.
        """
        if status == alert.status:
            return
        if alert.is_closed and (status != "open" or self.reopen_is_refused):
            raise Conflict(f"the alert is {alert.status}, which is terminal")
        if status in ("acknowledged", "investigating") and not self.keeps_acknowledges:
            return
        event_type = "reopened" if status == "open" else status
        event = Event(self._event_id(), event_type, self.clock(), API_USER, None, resolution)
        self._move(alert, status, event, Sending(deliver=int(self.reports_api_changes)))

    def _event_id(self) -> str:
        return self.ids.next("evt_", 20)

    def _move(self, alert: Alert, status: str, event: Event, sending: Sending) -> None:
        alert.status, alert.changed_by = status, event.by
        alert.resolution = event.text if alert.is_closed else None
        self._emit(alert, event, sending)

    def _emit(self, alert: Alert, event: Event, sending: Sending) -> None:
        alert.history.append({
            "at": iso(event.at, milliseconds=True), "event_type": event.event_type, "by": event.by,
            "reason": event.reason, "text": event.text,
        })  # fmt: skip
        for _ in range(sending.deliver):
            self._webhook_queue.put(self._request(alert, event), sending.hold)

    def _request(self, alert: Alert, event: Event) -> WebhookRequest:
        envelope = alert.envelope or self.envelope
        body = json.dumps(webhook(alert, event, envelope), ensure_ascii=False).encode()
        signature = truthvouch_headers(alert.signature or self.signature, self._secret, body, event.at)
        headers = {"Content-Type": "application/json", "X-Sandbox": "simulation", **signature}
        return WebhookRequest(
            "truthvouch", event.name(envelope), alert.alert_id,
            lambda: f"{self._bridge_url()}/truthvouch/alerts", headers, body, queue=f"truthvouch/{alert.alert_id}",
            created_at=self.clock.real(), timeout=TIMEOUT_SECONDS, lives_for=GIVES_UP_AFTER_SECONDS,
            ordered=False, final_4xx=False,
        )  # fmt: skip
