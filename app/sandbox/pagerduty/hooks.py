"""Webhook subscriptions, and the signed v3 deliveries that go to them."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.sandbox.kit.support import Ids, PartnerClock, iso
from app.sandbox.kit.webhook_sender import WebhookQueue, WebhookRequest, pagerduty_headers
from app.sandbox.pagerduty.directory import Ref

TIMEOUT_SECONDS = 5.0
GIVES_UP_AFTER_SECONDS = 48 * 3600.0
MAX_CONSECUTIVE_DROPS = 3
MAX_SUBSCRIPTIONS = 10
SEEDED_ID = "PSBXWH1"
PING = {"type": "ping", "message": "Hello from your friend Pagey!"}
EVENTS = (
    "incident.acknowledged", "incident.annotated", "incident.custom_field_values.updated", "incident.delegated",
    "incident.escalated", "incident.priority_updated", "incident.reassigned", "incident.reopened",
    "incident.resolved", "incident.responder.added", "incident.status_update_published", "incident.triggered",
    "incident.unacknowledged",
)  # fmt: skip
"""What this simulation can send; the partner knows thirty."""


@dataclass(slots=True)
class Subscription:
    """Where webhooks go, and the secret they are signed with."""

    subscription_id: str
    url: Callable[[], str]
    secret: str
    events: list[str]
    filter: dict[str, Any]
    description: str = ""
    active: bool = True
    temporarily_disabled: bool = False
    """True after ``MAX_CONSECUTIVE_DROPS``: nothing more is queued until it is enabled."""
    custom_headers: list[dict[str, str]] = field(default_factory=list)
    drops: int = 0

    def wants(self, event_type: str, service_id: str | None) -> bool:
        subscribed = event_type == "pagey.ping" or event_type in self.events
        in_scope = self.filter["type"] == "account_reference" or self.filter.get("id") == service_id
        return self.active and not self.temporarily_disabled and subscribed and in_scope

    def as_json(self, show_secret: bool = False) -> dict[str, Any]:
        """The secret is shown once, to whoever creates the subscription; header values never again."""
        return {
            "id": self.subscription_id,
            "type": "webhook_subscription",
            "active": self.active,
            "description": self.description,
            "events": self.events,
            "filter": self.filter,
            "delivery_method": {
                "id": f"D{self.subscription_id[1:]}",
                "type": "http_delivery_method",
                "url": self.url(),
                "secret": self.secret if show_secret else None,
                "temporarily_disabled": self.temporarily_disabled,
                "custom_headers": [{"name": h["name"], "value": "<redacted>"} for h in self.custom_headers],
            },
        }


class Hooks:
    """The subscriptions of the account. One exists from the start and follows the bridge's address."""

    def __init__(
        self, webhook_queue: WebhookQueue, clock: PartnerClock, ids: Ids, secret: str, bridge_url: Callable[[], str]
    ) -> None:
        self._webhook_queue, self._clock, self._ids = webhook_queue, clock, ids
        self._secret, self._bridge_url = secret, bridge_url
        self.reset()

    def reset(self) -> None:
        """Back to the one subscription of the start."""
        seeded = Subscription(
            SEEDED_ID, lambda: f"{self._bridge_url()}/pagerduty/webhook", self._secret, list(EVENTS),
            {"type": "account_reference"}, "Sandbox: the bridge",
        )  # fmt: skip
        self.subscriptions = {SEEDED_ID: seeded}

    def create(self, url: str, events: list[str], scope: dict[str, Any], **rest: Any) -> Subscription:
        """A new subscription with a secret of its own."""
        made = Subscription(self._ids.next("P", 7), lambda: url, secrets.token_urlsafe(32), events, scope, **rest)
        self.subscriptions[made.subscription_id] = made
        return made

    def delete(self, subscription: Subscription) -> None:
        """No more deliveries; what waits is thrown away."""
        del self.subscriptions[subscription.subscription_id]
        self._webhook_queue.discard(f"{subscription.subscription_id}/")

    def disable(self, subscription: Subscription) -> None:
        """What PagerDuty does after too many drops: nothing more is queued, what waits is thrown away."""
        subscription.temporarily_disabled = True
        self._webhook_queue.discard(f"{subscription.subscription_id}/")

    def ping(self, subscription: Subscription) -> None:
        """The test event of the ping call and of the "Send test event" button."""
        body = self._body("pagey.ping", PING, None, None, self._clock())
        if subscription.wants("pagey.ping", subscription.filter.get("id")):
            self._send(subscription, "pagey.ping", "ping", body)

    def emit(
        self,
        event_type: str,
        subject: str,
        service_id: str,
        data: Ref,
        agent: Ref | None,
        client: Ref | None,
        at: float,
    ) -> None:
        """One event to every subscription that wants it: the same ``event.id``, each its own ``X-Webhook-Id``."""
        if matching := [s for s in self.subscriptions.values() if s.wants(event_type, service_id)]:
            body = self._body(event_type, data, agent, client, at)
            for subscription in matching:
                self._send(subscription, event_type, subject, body)

    def _body(self, event_type: str, data: Ref, agent: Ref | None, client: Ref | None, at: float) -> bytes:
        event = {
            "id": self._ids.ulid(self._clock()),
            "event_type": event_type,
            "resource_type": event_type.partition(".")[0],
            "occurred_at": iso(at, milliseconds=True),
            "agent": agent,
            "client": client,
            "data": data,
        }
        return json.dumps({"event": event}, ensure_ascii=False).encode()

    def _send(self, subscription: Subscription, event_type: str, subject: str, body: bytes) -> None:
        headers = {
            **{header["name"]: header["value"] for header in subscription.custom_headers},
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "PagerDuty-Webhook/V3.0",
            "X-Webhook-Id": self._ids.next("W", 26),
            "X-Webhook-Subscription": subscription.subscription_id,
            "X-Sandbox": "simulation",
            **pagerduty_headers(subscription.secret, body),
        }
        self._webhook_queue.put(WebhookRequest(
            "pagerduty", event_type, subject, subscription.url, headers, body,
            queue=f"{subscription.subscription_id}/{subject}", created_at=self._clock.real(), timeout=TIMEOUT_SECONDS,
            lives_for=GIVES_UP_AFTER_SECONDS, ordered=True, final_4xx=True,
            on_finished=lambda delivered: self._count_drops(subscription, delivered),
        ))  # fmt: skip

    def _count_drops(self, subscription: Subscription, delivered: bool) -> None:
        subscription.drops = 0 if delivered else subscription.drops + 1
        if subscription.drops >= MAX_CONSECUTIVE_DROPS:
            self.disable(subscription)
