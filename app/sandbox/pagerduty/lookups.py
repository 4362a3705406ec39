"""Reading the account: services, users, policies, who is on call, abilities, priorities, every log entry.

And ``/webhook_subscriptions``: create, read, change, delete, enable, ping.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Response, request

from app.sandbox.kit.support import answer, read_json, route
from app.sandbox.pagerduty import directory
from app.sandbox.pagerduty import requests as read
from app.sandbox.pagerduty.directory import POLICIES, SERVICES, USERS, Ref, Service
from app.sandbox.pagerduty.hooks import MAX_SUBSCRIPTIONS, Subscription
from app.sandbox.pagerduty.refusals import invalid, refuse_if
from app.sandbox.pagerduty.rest_api import RestCalls

T = TypeVar("T")
SCOPES = ("account_reference", "service_reference", "team_reference")


class Lookups(RestCalls):
    """Everything that only reads."""

    @route("GET", "/services")
    def list_services(self) -> Response:
        return answer(read.page("services", [*SERVICES.values()], request.args, self._service))

    @route("GET", "/services/<ident>")
    def get_service(self, ident: str) -> Response:
        with_key = "integrations" in request.args.getlist("include[]")
        return answer({"service": self._service(_known(SERVICES, ident), with_key)})

    def _service(self, service: Service, with_key: bool = False) -> Ref:
        return self.refs.service_in_full(service, with_key, self.incidents.standings[service.service_id])

    @route("GET", "/users")
    def list_users(self) -> Response:
        query = request.args.get("query", "").casefold()
        found = [user for user in USERS.values() if query in user.email or query in user.name.casefold()]
        return answer(read.page("users", found, request.args, self.refs.user_in_full))

    @route("GET", "/users/me")
    def get_me(self) -> Response:
        return self.get_user("PSBXUS1")

    @route("GET", "/users/<ident>")
    def get_user(self, ident: str) -> Response:
        return answer({"user": self.refs.user_in_full(_known(USERS, ident))})

    @route("GET", "/escalation_policies")
    def list_policies(self) -> Response:
        found = [*POLICIES.values()]
        return answer(read.page("escalation_policies", found, request.args, self.refs.policy_in_full))

    @route("GET", "/escalation_policies/<ident>")
    def get_policy(self, ident: str) -> Response:
        return answer({"escalation_policy": self.refs.policy_in_full(_known(POLICIES, ident))})

    @route("GET", "/oncalls")
    def list_oncalls(self) -> Response:
        wanted = request.args.getlist("escalation_policy_ids[]") or list(POLICIES)
        found = [
            {"escalation_policy": self.refs.policy(policy_id), "escalation_level": level,
             "user": self.refs.user(USERS[user_id]), "schedule": None, "start": None, "end": None}
            for policy_id in wanted if policy_id in POLICIES
            for level, user_id in enumerate(POLICIES[policy_id].user_ids, 1)
            if level not in self.incidents.empty_levels[policy_id]
        ]  # fmt: skip
        return answer(read.page("oncalls", found, request.args))

    @route("GET", "/priorities")
    def list_priorities(self) -> Response:
        found = [
            {**self.refs.priority(ident), "type": "priority", "name": name}
            for ident, name in directory.PRIORITIES.items()
        ]
        return answer(read.page("priorities", found, request.args))

    @route("GET", "/log_entries")
    def list_all_log(self) -> Response:
        entries = [entry for incident in self.incidents.by_id.values() for entry in incident.log]
        found = sorted(entries, key=lambda entry: str(entry["created_at"]), reverse=True)
        return answer(read.page("log_entries", found, request.args))

    @route("GET", "/abilities")
    def list_abilities(self) -> Response:
        return answer({"abilities": list(directory.ABILITIES)})

    @route("GET", "/abilities/<name>")
    def test_ability(self, name: str) -> Response:
        """204 for what the plan includes, 402 for the rest."""
        refuse_if(name not in directory.ABILITIES, 2014, status=402)
        return Response(status=204)


def _known(things: Mapping[str, T], ident: str) -> T:
    refuse_if(ident not in things, 2100, status=404)
    return things[ident]


class Subscriptions(RestCalls):
    """The calls on webhook subscriptions. The secret is in the answer to the creation and nowhere else."""

    @route("GET", "/webhook_subscriptions")
    def list_subscriptions(self) -> Response:
        found = [one for one in self.account.hooks.subscriptions.values() if _in_scope(one)]
        return answer(read.page("webhook_subscriptions", found, request.args, Subscription.as_json))

    @route("POST", "/webhook_subscriptions")
    def create_subscription(self) -> Response:
        sent = read.section(read_json(), "webhook_subscription")
        events, scope, method = _events(sent), _scope(sent), _http_method(sent)
        refuse_if(len(self.account.hooks.subscriptions) >= MAX_SUBSCRIPTIONS, 2019)
        made = self.account.hooks.create(
            method["url"], events, scope, description=str(sent.get("description") or ""),
            active=sent.get("active", True) is not False, custom_headers=_custom_headers(method),
        )  # fmt: skip
        return answer({"webhook_subscription": made.as_json(show_secret=True)}, 201)

    @route("GET", "/webhook_subscriptions/<ident>")
    def get_subscription(self, ident: str) -> Response:
        return answer({"webhook_subscription": self._known(ident).as_json()})

    @route("PUT", "/webhook_subscriptions/<ident>")
    def update_subscription(self, ident: str) -> Response:
        subscription, sent = self._known(ident), read.section(read_json(), "webhook_subscription")
        refuse_if("delivery_method" in sent, 2001, "delivery_method cannot be changed")
        subscription.events = _events(sent) if "events" in sent else subscription.events
        subscription.filter = _scope(sent) if "filter" in sent else subscription.filter
        subscription.active = bool(sent.get("active", subscription.active))
        subscription.description = str(sent.get("description", subscription.description))
        return answer({"webhook_subscription": subscription.as_json()})

    @route("DELETE", "/webhook_subscriptions/<ident>")
    def delete_subscription(self, ident: str) -> Response:
        self.account.hooks.delete(self._known(ident))
        return Response(status=204)

    @route("POST", "/webhook_subscriptions/<ident>/enable")
    def enable_subscription(self, ident: str) -> Response:
        subscription = self._known(ident)
        subscription.temporarily_disabled, subscription.drops = False, 0
        return answer({"webhook_subscription": subscription.as_json()})

    @route("POST", "/webhook_subscriptions/<ident>/ping")
    def ping_subscription(self, ident: str) -> Response:
        self.account.hooks.ping(self._known(ident))
        return answer({}, 202)

    def _known(self, ident: str) -> Subscription:
        return _known(self.account.hooks.subscriptions, ident)


def _in_scope(subscription: Subscription) -> bool:
    kind, ident = request.args.get("filter_type"), request.args.get("filter_id")
    scope = subscription.filter
    return (not kind or scope["type"] == f"{kind}_reference") and (not ident or scope.get("id") == ident)


def _http_method(sent: dict[str, Any]) -> dict[str, Any]:
    method = sent.get("delivery_method")
    if not isinstance(method, dict) or method.get("type") != "http_delivery_method":
        raise invalid("delivery_method must have type http_delivery_method")
    if not str(method.get("url", "")).startswith(("http://", "https://")):
        raise invalid("delivery_method.url must be an http or https address")
    return method


def _events(sent: dict[str, Any]) -> list[str]:
    events = sent.get("events")
    if not isinstance(events, list) or not events or not all(isinstance(event, str) for event in events):
        raise invalid("events must be a list with at least one entry")
    refuse_if(len(set(events)) != len(events), 2001, "events must be unique")
    return events


def _scope(sent: dict[str, Any]) -> dict[str, Any]:
    scope = sent.get("filter")
    if not isinstance(scope, dict) or scope.get("type") not in SCOPES:
        raise invalid(f"filter.type must be one of {', '.join(SCOPES)}")
    refuse_if(scope["type"] != "account_reference" and not scope.get("id"), 2001, "filter.id is required")
    return scope


def _custom_headers(method: dict[str, Any]) -> list[dict[str, str]]:
    entries = method.get("custom_headers") or []
    if not isinstance(entries, list) or not all(isinstance(e, dict) and e.get("name") for e in entries):
        raise invalid("custom_headers must be a list of {name, value}")
    return [{"name": str(entry["name"]), "value": str(entry.get("value", ""))} for entry in entries]
