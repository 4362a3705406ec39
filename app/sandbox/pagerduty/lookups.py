"""Reading the account: services, users, policies, who is on call, abilities, priorities, every log entry."""

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Blueprint, Response, request

from app.sandbox.answers import answer
from app.sandbox.pagerduty.account import Account
from app.sandbox.pagerduty.directory import ABILITIES, POLICIES, PRIORITIES, SERVICES, USERS, Ref, Service
from app.sandbox.pagerduty.refusal import Refusal, not_found
from app.sandbox.pagerduty.rest import guarded
from app.sandbox.pagerduty.search import page

T = TypeVar("T")


def lookup_routes(account: Account) -> Blueprint:
    """Everything that only reads."""
    calls = Lookups(account)
    return guarded("pagerduty_lookups", account, [
        ("GET", "/services", calls.list_services),
        ("GET", "/services/<ident>", calls.get_service),
        ("GET", "/users", calls.list_users),
        ("GET", "/users/me", calls.get_me),
        ("GET", "/users/<ident>", calls.get_user),
        ("GET", "/escalation_policies", calls.list_policies),
        ("GET", "/escalation_policies/<ident>", calls.get_policy),
        ("GET", "/oncalls", calls.list_oncalls),
        ("GET", "/priorities", calls.list_priorities),
        ("GET", "/log_entries", calls.list_all_log),
        ("GET", "/abilities", list_abilities),
        ("GET", "/abilities/<name>", test_ability),
    ])  # fmt: skip


class Lookups:
    """One method for one route of ``lookup_routes``."""

    def __init__(self, account: Account) -> None:
        self.lock, self.desk, self.refs = account.lock, account.desk, account.refs

    def list_services(self) -> Response:
        return _listing("services", [self._service(service, False) for service in SERVICES.values()])

    def get_service(self, ident: str) -> Response:
        with_key = "integrations" in request.args.getlist("include[]")
        return answer({"service": self._service(_known(SERVICES, ident), with_key)})

    def _service(self, service: Service, with_key: bool) -> Ref:
        return self.refs.service_in_full(service, with_key, self.desk.standings[service.service_id])

    def list_users(self) -> Response:
        query = request.args.get("query", "").casefold()
        found = [user for user in USERS.values() if query in user.email or query in user.name.casefold()]
        return _listing("users", [self.refs.user_in_full(user) for user in found])

    def get_me(self) -> Response:
        return answer({"user": self.refs.user_in_full(USERS["PSBXUS1"])})

    def get_user(self, ident: str) -> Response:
        return answer({"user": self.refs.user_in_full(_known(USERS, ident))})

    def list_policies(self) -> Response:
        return _listing("escalation_policies", [self.refs.policy_in_full(policy) for policy in POLICIES.values()])

    def get_policy(self, ident: str) -> Response:
        return answer({"escalation_policy": self.refs.policy_in_full(_known(POLICIES, ident))})

    def list_oncalls(self) -> Response:
        wanted = request.args.getlist("escalation_policy_ids[]") or list(POLICIES)
        chosen = [POLICIES[ident] for ident in wanted if ident in POLICIES]
        return _listing("oncalls", [
            {"escalation_policy": self.refs.policy(policy.policy_id), "escalation_level": level,
             "user": self.refs.user(USERS[user_id]), "schedule": None, "start": None, "end": None}
            for policy in chosen for level, user_id in enumerate(policy.user_ids, 1)
            if level not in self.desk.empty_levels.get(policy.policy_id, ())
        ])  # fmt: skip

    def list_priorities(self) -> Response:
        return _listing("priorities", [
            {**self.refs.priority(ident), "type": "priority", "name": name} for ident, name in PRIORITIES.items()
        ])  # fmt: skip

    def list_all_log(self) -> Response:
        with self.lock:
            entries = [entry for incident in self.desk.by_id.values() for entry in incident.log]
            return _listing("log_entries", sorted(entries, key=lambda e: str(e["created_at"]), reverse=True))


def list_abilities() -> Response:
    """What this account's plan includes."""
    return answer({"abilities": list(ABILITIES)})


def test_ability(name: str) -> Response:
    """204 for what the plan includes, 402 for the rest."""
    if name not in ABILITIES:
        raise Refusal(2014, status=402)
    return Response(status=204)


def _listing(name: str, entries: list[Any]) -> Response:
    chosen, around = page(entries, request.args)
    return answer({name: chosen, **around})


def _known(directory: Mapping[str, T], ident: str) -> T:
    if ident not in directory:
        raise not_found()
    return directory[ident]
