"""Webhook subscriptions by PagerDuty's REST API. One call a method, no retries.

https://developer.pagerduty.com/api-reference/ (webhook subscriptions)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from app.domain.outcome import Done, Reply, Retry
from app.domain.payload import id_of, table_of, text_of
from app.domain.subscription import DESCRIPTION, Scope, Subscription
from app.pagerduty.webhook import VERBS
from app.ports.subscriptions import Created

PATH = "/webhook_subscriptions"
PAGE_SIZE = 100
MAX_PAGES = 20
"""PagerDuty allows ten for each service and team: more pages than this are an answer gone wrong."""

NEEDED_EVENTS = tuple(VERBS)
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


class SubscriptionsApi:
    """Implements ``ports.Subscriptions``."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def list(self) -> Reply[tuple[Subscription, ...]]:
        """``GET /webhook_subscriptions``, every page."""
        found: tuple[Subscription, ...] = ()
        for page in range(MAX_PAGES):
            reply = self._ask("GET", PATH, {"limit": str(PAGE_SIZE), "offset": str(page * PAGE_SIZE)})
            if not isinstance(reply, Done):
                return reply
            told = table_of(reply.value)
            shown = told.get("webhook_subscriptions")
            if not isinstance(shown, list):
                return Retry("unreadable_answer")
            found += tuple(filter(None, map(_subscription, shown)))
            if told.get("more") is not True:
                return reply.with_value(found)
        return Retry("unreadable_answer")

    def create(self, url: str, events: Sequence[str], scope: Scope) -> Reply[Created]:
        """``POST /webhook_subscriptions``. An answer without a secret is a ``Retry``: nothing could be verified."""
        body: dict[str, Any] = {
            "type": "webhook_subscription",
            "delivery_method": {"type": "http_delivery_method", "url": url},
            "events": list(events),
            "filter": _filter(scope),
            "description": DESCRIPTION,
        }
        reply = self._ask("POST", PATH, body={"webhook_subscription": body})
        if not isinstance(reply, Done):
            return reply
        told = table_of(reply.value).get("webhook_subscription")
        made, secret = _subscription(told), text_of(table_of(table_of(told).get("delivery_method")).get("secret"))
        if not made or not secret:
            return Retry("unreadable_answer", unclear=True)
        return reply.with_value(Created(made, secret))

    def update(self, subscription_id: str, events: Sequence[str]) -> Reply[Subscription]:
        """``PUT /webhook_subscriptions/{id}``."""
        body = {"active": True, "events": list(events)}
        reply = self._ask("PUT", _path(subscription_id), body={"webhook_subscription": body})
        if not isinstance(reply, Done):
            return reply
        made = _subscription(table_of(reply.value).get("webhook_subscription"))
        return Retry("unreadable_answer", unclear=True) if made is None else reply.with_value(made)

    def enable(self, subscription_id: str) -> Reply[None]:
        """``POST /webhook_subscriptions/{id}/enable``."""
        return self._do(subscription_id, "enable")

    def ping(self, subscription_id: str) -> Reply[None]:
        """``POST /webhook_subscriptions/{id}/ping``."""
        return self._do(subscription_id, "ping")

    def _do(self, subscription_id: str, action: str) -> Reply[None]:
        reply = self._ask("POST", f"{_path(subscription_id)}/{action}")
        return reply.with_value(None) if isinstance(reply, Done) else reply


def _path(subscription_id: str) -> str:
    return f"{PATH}/{quote(subscription_id, safe='')}"


def _filter(scope: Scope) -> dict[str, str]:
    return {"type": f"{scope.kind}_reference"} | ({"id": scope.id} if scope.id else {})


def _subscription(told: object) -> Subscription | None:
    """One of a REST answer; None if it has no id or no address."""
    shown = table_of(told)
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
