"""PagerDuty's account around the incidents, by its REST API: keys, people, services, statistics; and what moves people
on one incident.

https://developer.pagerduty.com/api-reference/ (abilities, services, incidents, responder requests, status updates, log
entries, analytics)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done, Refused, Reply
from app.domain.model.pagerduty_account import LogFacts, OnCall, PolicyFacts, PolicyLevel, ServiceFacts, UserFacts
from app.domain.model.types import IncidentId, Urgency, instant
from app.domain.reports.compare import ServiceMetrics
from app.pagerduty import wire
from app.pagerduty.subscriptions import Ask
from app.pagerduty.wire import PAGE_SIZE, reference
from app.remote.payload import id_of, table_of, text_of
from app.remote.replies import without_value

T = TypeVar("T")

NO_PRIORITIES = frozenset({402, 404})
"""The plan does not include them, or they are not switched on."""


@dataclass(eq=False)
class AccountApi:
    """Implements ``ports.Account``."""

    ask: Ask

    def accepts_key(self) -> Reply[None]:
        return without_value(self.ask("GET", "/abilities"))  # small, and open to every kind of key

    def service(self, service_id: str) -> Reply[ServiceFacts]:
        return self._one("/services", service_id, "service", _service)

    def policy(self, policy_id: str) -> Reply[PolicyFacts]:
        return self._one("/escalation_policies", policy_id, "escalation_policy", _policy)

    def on_call(self, policy_id: str) -> Reply[tuple[OnCall, ...]]:
        if not policy_id.strip():
            raise ValueError("without a policy every on-call of the account is meant")
        reply = self._list("oncalls", _on_call, {"escalation_policy_ids[]": [policy_id], "limit": str(PAGE_SIZE)})
        if not isinstance(reply, Done):
            return reply
        entries = [entry for entry in reply.value if entry.policy_id == policy_id]
        return Done(tuple(sorted(entries, key=lambda entry: entry.level)), reply.at)

    def user(self, user_id: str) -> Reply[UserFacts]:
        return self._one("/users", user_id, "user", _user)

    def user_called(self, email: str) -> Reply[UserFacts | None]:
        reply = self._list("users", _user, {"query": email, "limit": str(PAGE_SIZE)})
        if not isinstance(reply, Done):
            return reply
        return Done(next((user for user in reply.value if user.email.casefold() == email.casefold()), None), reply.at)

    def abilities(self) -> Reply[frozenset[str]]:
        reply = self._list("abilities", str)
        return Done(frozenset(reply.value), reply.at) if isinstance(reply, Done) else reply

    def priorities(self) -> Reply[tuple[str, ...]]:
        reply = self._list("priorities", lambda one: _name(table_of(one)))
        return Done(()) if isinstance(reply, Refused) and reply.status in NO_PRIORITIES else reply

    def _one(self, path: str, ident: str, name: str, read: Callable[[object], T | None]) -> Reply[T]:
        return wire.part(self.ask("GET", f"{path}/{quote(ident, safe='')}"), name, read)

    def _list(
        self, name: str, read: Callable[[object], T | None], params: Mapping[str, str | list[str]] | None = None
    ) -> Reply[tuple[T, ...]]:
        return wire.part(self.ask("GET", f"/{name}", params), name, wire.each(read))


def _name(shown: Mapping[str, object], *others: str) -> str:
    return next(filter(None, (text_of(shown.get(name), 200) for name in ("name", *others))), "")


def _policy(content: object) -> PolicyFacts | None:
    shown = table_of(content)
    ident, rules = id_of(shown.get("id")), shown.get("escalation_rules")
    if not ident:
        return None
    loops = shown.get("num_loops")
    return PolicyFacts(
        policy_id=ident,
        name=_name(shown),
        levels=tuple(map(_level, rules)) if isinstance(rules, list) else (),
        loops=loops if isinstance(loops, int) else 0,
    )


def _level(content: object) -> PolicyLevel:
    rule = table_of(content)
    minutes, targets = rule.get("escalation_delay_in_minutes"), rule.get("targets")
    named = (text_of(table_of(target).get("summary"), 200) for target in targets) if isinstance(targets, list) else ()
    return PolicyLevel(float(minutes) if isinstance(minutes, int | float) else 0.0, tuple(filter(None, named)))


def _on_call(content: object) -> OnCall | None:
    entry = table_of(content)
    policy, user = table_of(entry.get("escalation_policy")), table_of(entry.get("user"))
    policy_id, user_id, level = id_of(policy.get("id")), id_of(user.get("id")), entry.get("escalation_level")
    if not policy_id or not user_id or not isinstance(level, int) or isinstance(level, bool):
        return None
    return OnCall(policy_id, level, user_id, _name(user, "summary"), instant(entry.get("end")))


def _user(content: object) -> UserFacts | None:
    shown = table_of(content)
    ident = id_of(shown.get("id"))
    if not ident:
        return None
    return UserFacts(ident, _name(shown, "summary"), text_of(shown.get("email"), 320) or "")


def _service(content: object) -> ServiceFacts | None:
    shown = table_of(content)
    ident = id_of(shown.get("id"))
    if not ident:
        return None
    rule = table_of(shown.get("incident_urgency_rule"))
    return ServiceFacts(
        service_id=ident,
        name=_name(shown),
        status=text_of(shown.get("status"), 50) or "",
        acknowledgement_timeout=_seconds(shown.get("acknowledgement_timeout")),
        auto_resolve_timeout=_seconds(shown.get("auto_resolve_timeout")),
        urgency=text_of(rule.get("urgency"), 50) if rule.get("type") == "constant" else None,
        policy_id=id_of(table_of(shown.get("escalation_policy")).get("id")) or None,
    )


def _seconds(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


class Change(Protocol):
    """A changing call in a user's name; ``sender`` None = the configured one."""

    def __call__(self, method: str, path: str, body: object, sender: str | None = None) -> Reply[object]: ...


@dataclass(eq=False)
class RespondersApi:
    """Implements ``ports.Responders``."""

    ask: Ask
    change: Change

    def escalate(
        self,
        incident_id: IncidentId,
        *,
        policy_id: str | None = None,
        level: int | None = None,
        urgency: Urgency | None = None,
    ) -> Reply[IncidentFacts]:
        fields: dict[str, Any] = {"type": "incident_reference"}  # 1006, 1014 and 1015 are final
        if policy_id:
            fields["escalation_policy"] = reference("escalation_policy", policy_id)
        if level:
            fields["escalation_level"] = level
        if urgency:
            fields["urgency"] = urgency.value
        reply = self.change("PUT", wire.incident_path(incident_id), {"incident": fields})
        return wire.part(reply, "incident", wire.incident_facts, unclear=True)

    def request(
        self,
        incident_id: IncidentId,
        requester_id: str,
        message: str,
        user_ids: Sequence[str],
        policy_ids: Sequence[str],
    ) -> Reply[None]:
        users = [reference("user", ident) for ident in user_ids]
        policies = [reference("escalation_policy", ident) for ident in policy_ids]
        body = {
            "requester_id": requester_id,
            "message": message,
            "responder_request_targets": [{"responder_request_target": target} for target in (*users, *policies)],
        }
        return self._write("POST", incident_id, "responder_requests", body)

    def publish(self, incident_id: IncidentId, message: str) -> Reply[None]:
        return self._write("POST", incident_id, "status_updates", {"message": message})

    def set_fields(self, incident_id: IncidentId, values: Mapping[str, str]) -> Reply[None]:
        body = {"custom_fields": [{"name": name, "value": value} for name, value in values.items()]}
        return self._write("PUT", incident_id, "custom_fields/values", body)

    def log(self, incident_id: IncidentId) -> Reply[tuple[LogFacts, ...]]:
        params: dict[str, str | list[str]] = {"limit": str(PAGE_SIZE), "include[]": ["channels"]}
        reply = self.ask("GET", f"{wire.incident_path(incident_id)}/log_entries", params)
        return wire.part(reply, "log_entries", wire.each(_log))

    def _write(self, method: str, incident_id: IncidentId, path: str, body: object) -> Reply[None]:
        return without_value(self.change(method, f"{wire.incident_path(incident_id)}/{path}", body))


def _log(content: object) -> LogFacts:
    entry = table_of(content)
    channel = table_of(entry.get("channel"))
    words = (entry.get("summary"), entry.get("message"), channel.get("summary"), channel.get("details"))
    kind = (text_of(entry.get("type")) or "").removesuffix("_log_entry")
    return LogFacts(kind, " ".join(filter(None, map(text_of, words))), instant(entry.get("created_at")))


@dataclass(eq=False)
class AnalyticsApi:
    """Implements ``ports.Analytics``. https://support.pagerduty.com/main/docs/insights"""

    ask: Ask

    def of_services(
        self, service_ids: Sequence[str], since: datetime, until: datetime
    ) -> Reply[tuple[ServiceMetrics, ...]]:
        if not service_ids:
            raise ValueError("without services every service of the account is meant")
        fields = {
            "created_at_start": since.isoformat(timespec="seconds"),
            "created_at_end": until.isoformat(timespec="seconds"),
            "service_ids": list(service_ids),
        }
        body = {"filters": fields, "time_zone": "Etc/UTC"}
        reply = self.ask("POST", "/analytics/metrics/incidents/services", None, body)
        return wire.part(reply, "data", wire.each(_metrics))


def _metrics(content: object) -> ServiceMetrics | None:
    row = table_of(content)
    ident = id_of(row.get("service_id"))
    if not ident:
        return None
    return ServiceMetrics(
        ident,
        int(_number(row, "total_incident_count") or 0),
        int(_number(row, "total_incidents_acknowledged") or 0),
        int(_number(row, "total_escalation_count") or 0),
        _number(row, "mean_seconds_to_first_ack"),
        _number(row, "mean_seconds_to_resolve"),
    )


def _number(row: Mapping[str, object], name: str) -> float | None:
    """Null where nothing qualified."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
