"""The control API's administrators: whoever changes a service or a webhook subscription in PagerDuty's settings."""

from typing import Any

from flask import Blueprint, Response

from app.sandbox.answers import answer
from app.sandbox.control import BadOrder, speak_json, words
from app.sandbox.pagerduty.directory import POLICIES, SERVICES, Standing
from app.sandbox.pagerduty.hooks import Subscription
from app.sandbox.world import World

STATUSES = ("active", "warning", "critical", "maintenance", "disabled")


def administrator_routes(world: World) -> Blueprint:
    """What an administrator can do, below ``/sandbox/pagerduty``."""
    routes = Blueprint("administrators", __name__, url_prefix="/sandbox/pagerduty")
    speak_json(routes)
    account = world.pagerduty

    @routes.post("/services/<ident>")
    def change_service(ident: str) -> Response:
        if ident not in SERVICES:
            raise BadOrder(f"no service {ident}", 404)
        wish = words("status", "acknowledgement_timeout", "auto_resolve_timeout")
        with world.lock:
            _change_service(account.desk.standings[ident], wish)
            shown = account.refs.service_in_full(SERVICES[ident], False, account.desk.standings[ident])
            return answer({"service": shown})

    @routes.post("/policies/<ident>")
    def change_policy(ident: str) -> Response:
        if ident not in POLICIES:
            raise BadOrder(f"no escalation policy {ident}", 404)
        wish = words("empty_levels")
        with world.lock:
            account.desk.empty_levels[ident] = frozenset(map(int, wish.get("empty_levels", ())))
            return answer({"policy": ident, "empty_levels": sorted(account.desk.empty_levels[ident])})

    @routes.post("/subscriptions/<ident>")
    def change_subscription(ident: str) -> Response:
        subscription = account.hooks.subscriptions.get(ident)
        if subscription is None:
            raise BadOrder(f"no subscription {ident}", 404)
        wish = words("temporarily_disabled", "active", "events", "filter", "url")
        with world.lock:
            _change_subscription(subscription, wish)
            if wish.get("temporarily_disabled"):
                account.hooks.disable(subscription)
            return answer({"subscription": subscription.as_json()})

    @routes.delete("/subscriptions/<ident>")
    def delete_subscription(ident: str) -> Response:
        subscription = account.hooks.subscriptions.get(ident)
        if subscription is None:
            raise BadOrder(f"no subscription {ident}", 404)
        with world.lock:
            account.hooks.delete(subscription)
        return answer({"deleted": ident})

    return routes


def _change_service(standing: Standing, wish: dict[str, Any]) -> None:
    status = wish.get("status", standing.status)
    if status not in STATUSES:
        raise BadOrder(f"status must be one of {', '.join(STATUSES)}")
    standing.status = status
    for name in ("acknowledgement_timeout", "auto_resolve_timeout"):
        if name in wish:
            setattr(standing, name, None if wish[name] is None else int(wish[name]))


def _change_subscription(subscription: Subscription, wish: dict[str, Any]) -> None:
    """What PagerDuty's own page can change; the address too, which its API cannot."""
    subscription.active = bool(wish.get("active", subscription.active))
    subscription.events = list(wish.get("events", subscription.events))
    subscription.filter = dict(wish.get("filter", subscription.filter))
    if "url" in wish:
        url = str(wish["url"])
        subscription.url = lambda: url
