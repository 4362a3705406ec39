"""``/webhook_subscriptions``: create, read, change, delete, enable, ping."""

from typing import Any

from flask import Blueprint, Response, request

from app.sandbox.answers import answer, read_json
from app.sandbox.pagerduty import requests_read as read
from app.sandbox.pagerduty.account import Account
from app.sandbox.pagerduty.hooks import MAX_SUBSCRIPTIONS, Subscription
from app.sandbox.pagerduty.refusal import Refusal, invalid, not_found
from app.sandbox.pagerduty.rest import guarded
from app.sandbox.pagerduty.search import page

SCOPES = ("account_reference", "service_reference", "team_reference")


def subscription_routes(account: Account) -> Blueprint:
    """The calls on webhook subscriptions. The secret is in the answer to the creation and nowhere else."""
    calls = Subscriptions(account)
    return guarded("pagerduty_subscriptions", account, [
        ("GET", "/webhook_subscriptions", calls.list_subscriptions),
        ("POST", "/webhook_subscriptions", calls.create_subscription),
        ("GET", "/webhook_subscriptions/<ident>", calls.get_subscription),
        ("PUT", "/webhook_subscriptions/<ident>", calls.update_subscription),
        ("DELETE", "/webhook_subscriptions/<ident>", calls.delete_subscription),
        ("POST", "/webhook_subscriptions/<ident>/enable", calls.enable_subscription),
        ("POST", "/webhook_subscriptions/<ident>/ping", calls.ping_subscription),
    ])  # fmt: skip


class Subscriptions:
    """One method for one route of ``subscription_routes``."""

    def __init__(self, account: Account) -> None:
        self.lock, self.hooks = account.lock, account.hooks

    def list_subscriptions(self) -> Response:
        chosen, around = page([s.as_json() for s in self.hooks.subscriptions.values() if _in_scope(s)], request.args)
        return answer({"webhook_subscriptions": chosen, **around})

    def create_subscription(self) -> Response:
        wish = read.section(read_json(), "webhook_subscription")
        events, scope, method = _events(wish), _scope(wish), _http_method(wish)
        if len(self.hooks.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise Refusal(2019)
        made = self.hooks.create(
            method["url"], events, scope, description=str(wish.get("description") or ""),
            active=wish.get("active", True) is not False, custom_headers=_custom_headers(method),
        )  # fmt: skip
        return answer({"webhook_subscription": made.as_json(show_secret=True)}, 201)

    def get_subscription(self, ident: str) -> Response:
        return answer({"webhook_subscription": self._known(ident).as_json()})

    def update_subscription(self, ident: str) -> Response:
        subscription, wish = self._known(ident), read.section(read_json(), "webhook_subscription")
        if "delivery_method" in wish:
            raise invalid("delivery_method cannot be changed")
        subscription.events = _events(wish) if "events" in wish else subscription.events
        subscription.filter = _scope(wish) if "filter" in wish else subscription.filter
        subscription.active = bool(wish.get("active", subscription.active))
        subscription.description = str(wish.get("description", subscription.description))
        return answer({"webhook_subscription": subscription.as_json()})

    def delete_subscription(self, ident: str) -> Response:
        with self.lock:
            self.hooks.delete(self._known(ident))
        return Response(status=204)

    def enable_subscription(self, ident: str) -> Response:
        subscription = self._known(ident)
        self.hooks.enable(subscription)
        return answer({"webhook_subscription": subscription.as_json()})

    def ping_subscription(self, ident: str) -> Response:
        self.hooks.ping(self._known(ident))
        return answer({}, 202)

    def _known(self, ident: str) -> Subscription:
        if ident not in self.hooks.subscriptions:
            raise not_found()
        return self.hooks.subscriptions[ident]


def _in_scope(subscription: Subscription) -> bool:
    kind, ident = request.args.get("filter_type"), request.args.get("filter_id")
    scope = subscription.filter
    return (not kind or scope["type"] == f"{kind}_reference") and (not ident or scope.get("id") == ident)


def _http_method(wish: dict[str, Any]) -> dict[str, Any]:
    method = wish.get("delivery_method")
    if not isinstance(method, dict) or method.get("type") != "http_delivery_method":
        raise invalid("delivery_method must have type http_delivery_method")
    if not str(method.get("url", "")).startswith(("http://", "https://")):
        raise invalid("delivery_method.url must be an http or https address")
    return method


def _events(wish: dict[str, Any]) -> list[str]:
    events = wish.get("events")
    if not isinstance(events, list) or not events or not all(isinstance(event, str) for event in events):
        raise invalid("events must be a list with at least one entry")
    if len(set(events)) != len(events):
        raise invalid("events must be unique")
    return events


def _scope(wish: dict[str, Any]) -> dict[str, Any]:
    scope = wish.get("filter")
    if not isinstance(scope, dict) or scope.get("type") not in SCOPES:
        raise invalid(f"filter.type must be one of {', '.join(SCOPES)}")
    if scope["type"] != "account_reference" and not scope.get("id"):
        raise invalid("filter.id is required")
    return scope


def _custom_headers(method: dict[str, Any]) -> list[dict[str, str]]:
    entries = method.get("custom_headers") or []
    if not isinstance(entries, list) or not all(isinstance(e, dict) and e.get("name") for e in entries):
        raise invalid("custom_headers must be a list of {name, value}")
    return [{"name": str(entry["name"]), "value": str(entry.get("value", ""))} for entry in entries]
