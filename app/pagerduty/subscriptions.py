"""Webhook subscriptions by PagerDuty's REST API. One call a method, no retries.

https://developer.pagerduty.com/api-reference/ (webhook subscriptions)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from app.domain.model.outcome import Done, Reply, Retry
from app.domain.model.subscription import DESCRIPTION, Scope, Subscription
from app.pagerduty import wire
from app.pagerduty.inbound import EVENT_TYPES
from app.pagerduty.wire import PAGE_SIZE
from app.ports import Created
from app.remote.payload import id_of, table_of, text_of
from app.remote.replies import without_value

PATH = "/webhook_subscriptions"
MAX_PAGES = 20
"""PagerDuty allows ten for each service and team: more pages than this are an answer gone wrong."""

NEEDED_EVENTS = tuple(EVENT_TYPES)
"""What the bridge acts on."""
CREATED_EVENTS = (
    *NEEDED_EVENTS,
    "incident.delegated",
    "incident.escalated",
    "incident.priority_updated",
    "incident.reassigned",
)
"""What a subscription of our making sends: the rest is for the time line."""


class Ask(Protocol):
    """One REST call: ``RestApi.ask``."""

    def __call__(
        self, method: str, path: str, params: Mapping[str, str | list[str]] | None = None, body: object = None
    ) -> Reply[object]: ...


@dataclass(eq=False)
class SubscriptionsApi:
    """Implements ``ports.Subscriptions``."""

    ask: Ask

    def list(self) -> Reply[tuple[Subscription, ...]]:
        found: tuple[Subscription, ...] = ()
        for page in range(MAX_PAGES):
            reply = self.ask("GET", PATH, {"limit": str(PAGE_SIZE), "offset": str(page * PAGE_SIZE)})
            shown = wire.part(reply, "webhook_subscriptions", wire.each(_subscription))
            if not isinstance(shown, Done):
                return shown
            found += shown.value
            if not wire.has_more(reply):
                return Done(found, shown.at)
        return Retry("unreadable_answer")

    def create(self, url: str, events: Sequence[str], scope: Scope) -> Reply[Created]:
        body: dict[str, Any] = {
            "type": "webhook_subscription",
            "delivery_method": {"type": "http_delivery_method", "url": url},
            "events": list(events),
            "filter": {"type": f"{scope.kind}_reference"} | ({"id": scope.id} if scope.id else {}),
            "description": DESCRIPTION,
        }
        reply = self.ask("POST", PATH, body={"webhook_subscription": body})
        return wire.part(reply, "webhook_subscription", _created, unclear=True)

    def update(self, subscription_id: str, events: Sequence[str]) -> Reply[Subscription]:
        body = {"active": True, "events": list(events)}
        reply = self.ask("PUT", _path(subscription_id), body={"webhook_subscription": body})
        return wire.part(reply, "webhook_subscription", _subscription, unclear=True)

    def enable(self, subscription_id: str) -> Reply[None]:
        return without_value(self.ask("POST", f"{_path(subscription_id)}/enable"))

    def ping(self, subscription_id: str) -> Reply[None]:
        return without_value(self.ask("POST", f"{_path(subscription_id)}/ping"))


def _path(subscription_id: str) -> str:
    return f"{PATH}/{quote(subscription_id, safe='')}"


def _created(content: object) -> Created | None:
    made, secret = _subscription(content), text_of(table_of(table_of(content).get("delivery_method")).get("secret"))
    return Created(made, secret) if made and secret else None


def _subscription(content: object) -> Subscription | None:
    """One of a REST answer; None if it has no id or no address."""
    shown = table_of(content)
    method, scope, events = table_of(shown.get("delivery_method")), table_of(shown.get("filter")), shown.get("events")
    ident, url = id_of(shown.get("id")), text_of(method.get("url"))
    if not ident or not url:
        return None
    return Subscription(
        subscription_id=ident,
        url=url,
        events=tuple(filter(None, map(text_of, events))) if isinstance(events, list) else (),
        scope=Scope((text_of(scope.get("type")) or "").removesuffix("_reference"), id_of(scope.get("id"))),
        active=shown.get("active") is not False,
        temporarily_disabled=method.get("temporarily_disabled") is True,
        description=text_of(shown.get("description")) or "",
    )
