"""PagerDuty's account around the incidents, by its REST API: is the key good, how do the services stand.

https://developer.pagerduty.com/api-reference/ (abilities, services)
"""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from app.domain.account import OnCall, PolicyFacts, PolicyLevel, UserFacts
from app.domain.names import instant
from app.domain.outcome import Done, Refused, Reply, Retry
from app.domain.payload import id_of, table_of, text_of
from app.domain.service import ServiceFacts
from app.pagerduty.subscriptions import Ask

T = TypeVar("T")

PAGE_SIZE = 100
NO_PRIORITIES = frozenset({402, 404})
"""The plan does not include them, or they are not switched on."""


class AccountApi:
    """Implements ``ports.Account``."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def accepts_key(self) -> Reply[None]:
        """``GET /abilities``: small, and open to every kind of key."""
        reply = self._ask("GET", "/abilities")
        return reply.with_value(None) if isinstance(reply, Done) else reply

    def service(self, service_id: str) -> Reply[ServiceFacts]:
        """``GET /services/{id}``."""
        return self._one(f"/services/{quote(service_id, safe='')}", "service", _service)

    def policy(self, policy_id: str) -> Reply[PolicyFacts]:
        """``GET /escalation_policies/{id}``."""
        return self._one(f"/escalation_policies/{quote(policy_id, safe='')}", "escalation_policy", _policy)

    def on_call(self, policy_id: str) -> Reply[tuple[OnCall, ...]]:
        """``GET /oncalls`` of one policy, now: one entry for each person and level, the first level first.

        Raises ``ValueError`` without a policy, for then PagerDuty answers with everybody's.
        """
        if not policy_id.strip():
            raise ValueError("without a policy every on-call of the account is meant")
        reply = self._ask("GET", "/oncalls", {"escalation_policy_ids[]": [policy_id], "limit": str(PAGE_SIZE)})
        if not isinstance(reply, Done):
            return reply
        told = table_of(reply.value).get("oncalls")
        if not isinstance(told, list):
            return Retry("unreadable_answer")
        entries = [entry for entry in map(_on_call, told) if entry and entry.policy_id == policy_id]
        return reply.with_value(tuple(sorted(entries, key=lambda entry: entry.level)))

    def user(self, user_id: str) -> Reply[UserFacts]:
        """``GET /users/{id}``."""
        return self._one(f"/users/{quote(user_id, safe='')}", "user", _user)

    def user_called(self, email: str) -> Reply[UserFacts | None]:
        """The user with this e-mail address, in whatever case it is written; None when there is none."""
        reply = self._ask("GET", "/users", {"query": email, "limit": str(PAGE_SIZE)})
        if not isinstance(reply, Done):
            return reply
        told = table_of(reply.value).get("users")
        if not isinstance(told, list):
            return Retry("unreadable_answer")
        users = filter(None, map(_user, told))
        return reply.with_value(next((user for user in users if user.email.casefold() == email.casefold()), None))

    def abilities(self) -> Reply[frozenset[str]]:
        """``GET /abilities``: what the account's plan includes, ``coordinated_responding`` for example."""
        reply = self._ask("GET", "/abilities")
        if not isinstance(reply, Done):
            return reply
        told = table_of(reply.value).get("abilities")
        return reply.with_value(frozenset(map(str, told))) if isinstance(told, list) else Retry("unreadable_answer")

    def priorities(self) -> Reply[tuple[str, ...]]:
        """``GET /priorities``: their names, the highest first; an account without priorities has none."""
        reply = self._ask("GET", "/priorities")
        if isinstance(reply, Refused) and reply.status in NO_PRIORITIES:
            return Done(())
        if not isinstance(reply, Done):
            return reply
        told = table_of(reply.value).get("priorities")
        if not isinstance(told, list):
            return Retry("unreadable_answer")
        return reply.with_value(tuple(text_of(table_of(one).get("name"), 200) or "" for one in told))

    def _one(self, path: str, name: str, read: Callable[[object], T | None]) -> Reply[T]:
        reply = self._ask("GET", path)
        if not isinstance(reply, Done):
            return reply
        facts = read(table_of(reply.value).get(name))
        return Retry("unreadable_answer") if facts is None else reply.with_value(facts)


def _policy(told: object) -> PolicyFacts | None:
    shown = table_of(told)
    ident, rules = id_of(shown.get("id")), shown.get("escalation_rules")
    if not ident:
        return None
    loops = shown.get("num_loops")
    return PolicyFacts(
        policy_id=ident,
        name=text_of(shown.get("name"), 200) or "",
        levels=tuple(map(_level, rules)) if isinstance(rules, list) else (),
        loops=loops if isinstance(loops, int) else 0,
    )


def _level(told: object) -> PolicyLevel:
    rule = table_of(told)
    minutes, targets = rule.get("escalation_delay_in_minutes"), rule.get("targets")
    named = (text_of(table_of(target).get("summary"), 200) for target in targets) if isinstance(targets, list) else ()
    return PolicyLevel(float(minutes) if isinstance(minutes, int | float) else 0.0, tuple(filter(None, named)))


def _on_call(told: object) -> OnCall | None:
    entry = table_of(told)
    policy, user = table_of(entry.get("escalation_policy")), table_of(entry.get("user"))
    policy_id, user_id, level = id_of(policy.get("id")), id_of(user.get("id")), entry.get("escalation_level")
    if not policy_id or not user_id or not isinstance(level, int) or isinstance(level, bool):
        return None
    name = text_of(user.get("name"), 200) or text_of(user.get("summary"), 200) or ""
    return OnCall(policy_id, level, user_id, name, instant(entry.get("end")))


def _user(told: object) -> UserFacts | None:
    shown = table_of(told)
    ident = id_of(shown.get("id"))
    if not ident:
        return None
    name = text_of(shown.get("name"), 200) or text_of(shown.get("summary"), 200) or ""
    return UserFacts(ident, name, text_of(shown.get("email"), 320) or "")


def _service(told: object) -> ServiceFacts | None:
    shown = table_of(told)
    ident = id_of(shown.get("id"))
    if not ident:
        return None
    rule = table_of(shown.get("incident_urgency_rule"))
    return ServiceFacts(
        service_id=ident,
        name=text_of(shown.get("name"), 200) or "",
        status=text_of(shown.get("status"), 50) or "",
        acknowledgement_timeout=_seconds(shown.get("acknowledgement_timeout")),
        auto_resolve_timeout=_seconds(shown.get("auto_resolve_timeout")),
        urgency=text_of(rule.get("urgency"), 50) if rule.get("type") == "constant" else None,
        policy_id=id_of(table_of(shown.get("escalation_policy")).get("id")) or None,
    )


def _seconds(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
