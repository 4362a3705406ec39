"""The rarer calls on one incident: responders, status updates, snooze, custom fields, its alerts."""

from typing import Any

from flask import Blueprint, Response

from app.sandbox.answers import answer, read_json
from app.sandbox.pagerduty import requests_read as read
from app.sandbox.pagerduty.account import Account
from app.sandbox.pagerduty.directory import POLICIES, USERS
from app.sandbox.pagerduty.incident import ChildAlert, Incident, Ref, alert_in_rest, in_rest, reference
from app.sandbox.pagerduty.refusal import Refusal, invalid, not_found
from app.sandbox.pagerduty.rest import IncidentCalls, guarded
from app.sandbox.stamps import iso

MAX_SNOOZE_SECONDS = 604_800
MAX_FIELD_CHARS = 255


def extra_routes(account: Account) -> Blueprint:
    """Everything below ``/incidents/{id}`` that a bridge needs now and then."""
    calls = Extras(account)
    return guarded("pagerduty_extras", account, [
        ("POST", "/incidents/<ident>/responder_requests", calls.request_responders),
        ("POST", "/incidents/<ident>/status_updates", calls.publish_status),
        ("POST", "/incidents/<ident>/snooze", calls.snooze),
        ("GET", "/incidents/<ident>/custom_fields/values", calls.list_fields),
        ("PUT", "/incidents/<ident>/custom_fields/values", calls.set_fields),
        ("PUT", "/incidents/<ident>/alerts/<alert_id>", calls.update_alert),
    ])  # fmt: skip


class Extras(IncidentCalls):
    """One method for one route of ``extra_routes``."""

    def request_responders(self, ident: str) -> Response:
        wish = _responder_wish(read_json())
        targets, message, requester = wish["targets"], wish["message"], self.refs.user(USERS[wish["requester_id"]])
        with self.lock:
            incident = self.known(ident)
            for target in targets:
                self._tell_responder(incident, target, message, requester)
            self.desk.write_log(incident, "responder_request", requester, self.desk.clock(),
                                {"type": "api", "summary": message})  # fmt: skip
            return answer({"responder_request": {
                "requester": requester, "message": message, "requested_at": iso(self.desk.clock()),
                "incident": reference(incident, self.refs),
                "responder_request_targets": [{"responder_request_target": target} for target in targets],
            }})  # fmt: skip

    def _tell_responder(self, incident: Incident, target: dict[str, str], message: str, agent: Ref) -> None:
        is_user = target["type"] == "user_reference"
        self.desk.tell_part("incident.responder.added", incident, agent, None, {
            "type": "incident_responder",
            "user": self.refs.user(USERS[target["id"]]) if is_user else None,
            "escalation_policy": None if is_user else self.refs.policy(target["id"]),
            "message": message,
            "state": "pending",
        })  # fmt: skip

    def publish_status(self, ident: str) -> Response:
        agent, message = self.actor(), _message(read_json())
        with self.lock:
            data = {"id": self.desk.names.next("P"), "message": message, "trimmed": False}
            incident = self.known(ident)
            self.desk.tell_part("incident.status_update_published", incident, agent, None,
                                {**data, "type": "incident_status_update"})  # fmt: skip
            self.desk.write_log(incident, "status_update", agent, self.desk.clock(),
                                {"type": "api", "summary": message})  # fmt: skip
            return answer({"status_update": {**data, "created_at": iso(self.desk.clock()), "sender": agent}})

    def snooze(self, ident: str) -> Response:
        self.actor()  # nobody is told who snoozed, yet PagerDuty insists on a valid From
        duration = (read_json() or {}).get("duration")
        with self.lock:
            incident = self.known(ident)
            if incident.status != "acknowledged":
                raise Refusal(1012)
            if not isinstance(duration, int) or not 1 <= duration <= MAX_SNOOZE_SECONDS:
                raise Refusal(1013)
            return answer({"incident": in_rest(incident, self.refs)}, 201)

    def list_fields(self, ident: str) -> Response:
        with self.lock:
            return answer({"custom_fields": _fields(self.known(ident))})

    def set_fields(self, ident: str) -> Response:
        values = _field_values(read_json())
        with self.lock:
            incident = self.known(ident)
            old = _fields(incident)
            incident.custom_fields |= values
            new = _fields(incident)
            self.desk.tell_part("incident.custom_field_values.updated", incident, None, None, {
                "type": "incident_field_values", "custom_fields": new, "changed_custom_fields": old,
            })  # fmt: skip
            return answer({"custom_fields": new}, 201)

    def update_alert(self, ident: str, alert_id: str) -> Response:
        agent, wish = self.actor(), read.section(read_json(), "alert")
        with self.lock:
            incident = self.known(ident)
            alert = _alert_of(incident, alert_id)
            if wish.get("status") not in ("triggered", "resolved"):
                raise Refusal(1003)
            alert.resolved = wish["status"] == "resolved"
            if incident.is_open and all(sibling.resolved for sibling in incident.alerts):
                self.desk.set_status(incident, "resolved", agent)
            return answer({"alert": alert_in_rest(alert, self.refs)})


def _alert_of(incident: Incident, alert_id: str) -> ChildAlert:
    for alert in incident.alerts:
        if alert.alert_id == alert_id:
            return alert
    raise not_found()


def _responder_wish(body: Any) -> dict[str, Any]:
    given = body if isinstance(body, dict) else {}
    entries, message = given.get("responder_request_targets"), read.text(given, "message")
    if message is None or given.get("requester_id") not in USERS:
        raise invalid("requester_id and message are required")
    if not isinstance(entries, list) or not entries:
        raise invalid("responder_request_targets is required")
    return {"requester_id": given["requester_id"], "message": message, "targets": [_target(e) for e in entries]}


def _target(entry: Any) -> dict[str, str]:
    """The documents' example nests a target, their schema does not: both are read."""
    target = entry.get("responder_request_target", entry) if isinstance(entry, dict) else {}
    ident, kind = str(target.get("id")), str(target.get("type"))
    is_known = {"user_reference": ident in USERS, "escalation_policy_reference": ident in POLICIES}
    if not is_known.get(kind):
        raise invalid("responder_request_targets name somebody unknown")
    return {"id": ident, "type": kind}


def _message(body: Any) -> str:
    message = read.text(body, "message") if isinstance(body, dict) else None
    if message is None:
        raise invalid("message is required")
    return message


def _field_values(body: Any) -> dict[str, Any]:
    entries = (body or {}).get("custom_fields")
    if not isinstance(entries, list) or not all(_is_field(entry) for entry in entries):
        raise invalid("custom_fields must be a list of {id or name, value}")
    return {str(entry.get("name") or entry.get("id")): entry["value"] for entry in entries}


def _is_field(entry: Any) -> bool:
    named = isinstance(entry, dict) and "value" in entry and (entry.get("name") or entry.get("id"))
    return bool(named) and len(str(entry["value"])) <= MAX_FIELD_CHARS


def _fields(incident: Incident) -> list[dict[str, Any]]:
    return [
        {"id": f"F{name}", "name": name, "type": "field_value", "namespace": "incidents", "value": value,
         "data_type": "string", "field_type": "single_value"}
        for name, value in incident.custom_fields.items()
    ]  # fmt: skip
