"""What moves people on one incident, by PagerDuty's REST API: escalation, responders, status updates, its own history.

https://developer.pagerduty.com/api-reference/ (incidents, responder requests, status updates, log entries)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from app.domain.account import LogFacts
from app.domain.incident import IncidentFacts
from app.domain.names import IncidentId, Urgency, instant
from app.domain.outcome import Done, Reply, Retry
from app.domain.payload import table_of, text_of
from app.pagerduty import wire
from app.pagerduty.subscriptions import Ask

PAGE_SIZE = 100
_LOG = "_log_entry"


class Change(Protocol):
    """A changing call in a user's name; ``sender`` None = the configured one."""

    def __call__(self, method: str, path: str, body: object, sender: str | None = None) -> Reply[object]: ...


class RespondersApi:
    """Implements ``ports.Responders``."""

    def __init__(self, ask: Ask, change: Change) -> None:
        self._ask = ask
        self._change = change

    def escalate(
        self,
        incident_id: IncidentId,
        *,
        policy_id: str | None = None,
        level: int | None = None,
        urgency: Urgency | None = None,
    ) -> Reply[IncidentFacts]:
        """``PUT /incidents/{id}`` with a policy, a level (from 1) or an urgency. 1006, 1014 and 1015 are final."""
        wish: dict[str, Any] = {"type": "incident_reference"}
        if policy_id:
            wish["escalation_policy"] = {"id": policy_id, "type": "escalation_policy_reference"}
        if level:
            wish["escalation_level"] = level
        if urgency:
            wish["urgency"] = urgency.value
        reply = self._change("PUT", _path(incident_id), {"incident": wish})
        if not isinstance(reply, Done):
            return reply
        facts = wire.incident_facts(table_of(reply.value).get("incident"))
        return Retry("unreadable_answer", unclear=True) if facts is None else reply.with_value(facts)

    def request(
        self,
        incident_id: IncidentId,
        requester_id: str,
        message: str,
        user_ids: Sequence[str],
        policy_ids: Sequence[str],
    ) -> Reply[None]:
        """``POST .../responder_requests``: page these too. Needs the ability ``coordinated_responding``."""
        users = [{"id": ident, "type": "user_reference"} for ident in user_ids]
        policies = [{"id": ident, "type": "escalation_policy_reference"} for ident in policy_ids]
        body = {
            "requester_id": requester_id,
            "message": message,
            "responder_request_targets": [{"responder_request_target": target} for target in (*users, *policies)],
        }
        return _nothing(self._change("POST", f"{_path(incident_id)}/responder_requests", body))

    def publish(self, incident_id: IncidentId, message: str) -> Reply[None]:
        """``POST .../status_updates``: tell whoever follows the incident."""
        return _nothing(self._change("POST", f"{_path(incident_id)}/status_updates", {"message": message}))

    def set_fields(self, incident_id: IncidentId, values: Mapping[str, str]) -> Reply[None]:
        """``PUT .../custom_fields/values`` by name. Needs the ability ``incident_custom_fields``."""
        body = {"custom_fields": [{"name": name, "value": value} for name, value in values.items()]}
        return _nothing(self._change("PUT", f"{_path(incident_id)}/custom_fields/values", body))

    def log(self, incident_id: IncidentId) -> Reply[tuple[LogFacts, ...]]:
        """``GET .../log_entries``: the newest hundred, newest first."""
        params: dict[str, str | list[str]] = {"limit": str(PAGE_SIZE), "include[]": ["channels"]}
        reply = self._ask("GET", f"{_path(incident_id)}/log_entries", params)
        if not isinstance(reply, Done):
            return reply
        entries = table_of(reply.value).get("log_entries")
        if not isinstance(entries, list):
            return Retry("unreadable_answer")
        return reply.with_value(tuple(map(_log, entries)))


def _log(told: object) -> LogFacts:
    entry = table_of(told)
    channel = table_of(entry.get("channel"))
    words = (entry.get("summary"), entry.get("message"), channel.get("summary"), channel.get("details"))
    text = " ".join(filter(None, map(text_of, words)))
    return LogFacts((text_of(entry.get("type")) or "").removesuffix(_LOG), text, instant(entry.get("created_at")))


def _nothing(reply: Reply[object]) -> Reply[None]:
    return reply.with_value(None) if isinstance(reply, Done) else reply


def _path(incident_id: IncidentId) -> str:
    return f"/incidents/{quote(incident_id, safe='')}"
