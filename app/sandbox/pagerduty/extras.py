"""The rarer calls: responders, status updates, snooze, custom fields, an incident's alerts; statistics by service."""

from collections.abc import Iterable
from typing import Any

from flask import Response

from app.sandbox.kit.support import answer, epoch, iso, read_json, route
from app.sandbox.pagerduty import requests as read
from app.sandbox.pagerduty.directory import POLICIES, SERVICES, USERS
from app.sandbox.pagerduty.incidents import Act, Incident, alert_in_rest, in_rest, reference
from app.sandbox.pagerduty.refusals import invalid, not_found, refuse_if
from app.sandbox.pagerduty.rest_api import RestCalls

MAX_SNOOZE_SECONDS = 604_800
MAX_FIELD_CHARS = 255


class Extras(RestCalls):
    """Everything below ``/incidents/{id}`` that a bridge needs now and then."""

    @route("POST", "/incidents/<ident>/responder_requests")
    def request_responders(self, ident: str) -> Response:
        requester, message, targets = _responder_request(read_json())
        incident, act = self.known(ident), self.act(USERS[requester])
        for target in targets:
            is_user = target["type"] == "user_reference"
            self.incidents.emit_part("incident.responder.added", incident, act, {
                "type": "incident_responder",
                "user": self.refs.user(USERS[target["id"]]) if is_user else None,
                "escalation_policy": None if is_user else self.refs.policy(target["id"]),
                "message": message,
                "state": "pending",
            })  # fmt: skip
        self.incidents.write_log(incident, "responder_request", act, message)
        return answer({"responder_request": {
            "requester": act.agent, "message": message, "requested_at": iso(act.at),
            "incident": reference(incident, self.refs),
            "responder_request_targets": [{"responder_request_target": target} for target in targets],
        }})  # fmt: skip

    @route("POST", "/incidents/<ident>/status_updates")
    def publish_status(self, ident: str) -> Response:
        act, body = self.act(), read_json()
        message = read.text(body, "message") if isinstance(body, dict) else None
        refuse_if(message is None, 2001, "message is required")
        data = {"id": self.incidents.ids.next("P"), "message": message, "trimmed": False}
        incident, kind = self.known(ident), {"type": "incident_status_update"}
        self.incidents.emit_part("incident.status_update_published", incident, act, data | kind)
        self.incidents.write_log(incident, "status_update", act, message)
        return answer({"status_update": {**data, "created_at": iso(act.at), "sender": act.agent}})

    @route("POST", "/incidents/<ident>/snooze")
    def snooze(self, ident: str) -> Response:
        self.act()  # nobody is told who snoozed, yet PagerDuty insists on a valid From
        duration = (read_json() or {}).get("duration")
        incident = self.known(ident)
        refuse_if(incident.status != "acknowledged", 1012)
        refuse_if(not isinstance(duration, int) or not 1 <= duration <= MAX_SNOOZE_SECONDS, 1013)
        return answer({"incident": in_rest(incident, self.refs)}, 201)

    @route("GET", "/incidents/<ident>/custom_fields/values")
    def list_fields(self, ident: str) -> Response:
        return answer({"custom_fields": _fields(self.known(ident))})

    @route("PUT", "/incidents/<ident>/custom_fields/values")
    def set_fields(self, ident: str) -> Response:
        values, incident = _field_values(read_json()), self.known(ident)
        old = _fields(incident)
        incident.custom_fields |= values
        new = _fields(incident)
        data = {"type": "incident_field_values", "custom_fields": new, "changed_custom_fields": old}
        nobody = Act(None, self.incidents.clock())
        self.incidents.emit_part("incident.custom_field_values.updated", incident, nobody, data)
        return answer({"custom_fields": new}, 201)

    @route("PUT", "/incidents/<ident>/alerts/<alert_id>")
    def update_alert(self, ident: str, alert_id: str) -> Response:
        act, sent = self.act(), read.section(read_json(), "alert")
        incident = self.known(ident)
        alert = next((alert for alert in incident.alerts if alert.alert_id == alert_id), None)
        if alert is None:
            raise not_found()
        refuse_if(sent.get("status") not in ("triggered", "resolved"), 1003)
        alert.resolved = sent["status"] == "resolved"
        if incident.is_open and all(sibling.resolved for sibling in incident.alerts):
            self.incidents.set_status(incident, "resolved", act)
        return answer({"alert": alert_in_rest(alert, self.refs)})


def _responder_request(body: Any) -> tuple[str, str, list[dict[str, str]]]:
    """The requester's id, the message, and who is wanted."""
    given: dict[str, Any] = body if isinstance(body, dict) else {}
    entries: Any = given.get("responder_request_targets")
    message = read.text(given, "message")
    refuse_if(message is None or given.get("requester_id") not in USERS, 2001, "requester_id and message are required")
    refuse_if(not isinstance(entries, list) or not entries, 2001, "responder_request_targets is required")
    return given["requester_id"], str(message), [_target(entry) for entry in entries]


def _target(entry: Any) -> dict[str, str]:
    """The documents' example nests a target, their schema does not: both are read."""
    target = entry.get("responder_request_target", entry) if isinstance(entry, dict) else {}
    ident, kind = str(target.get("id")), str(target.get("type"))
    is_known = {"user_reference": ident in USERS, "escalation_policy_reference": ident in POLICIES}
    refuse_if(not is_known.get(kind), 2001, "responder_request_targets name somebody unknown")
    return {"id": ident, "type": kind}


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


LONGEST_SECONDS = 366 * 86_400.0


class Analytics(RestCalls):
    """What has been counted. PagerDuty's numbers may lag by 24 hours; these do not, which it does not exclude.

    https://developer.pagerduty.com/api-reference/ (analytics, aggregated service data)
    """

    @route("POST", "/analytics/metrics/incidents/services")
    def of_services(self) -> Response:
        """Only of services that have data."""
        sent = read.section(read_json(), "filters")
        since, until = _time(sent, "created_at_start"), _time(sent, "created_at_end")
        if until - since > LONGEST_SECONDS:
            raise invalid("the time between created_at_start and created_at_end is a year at most")
        chosen = [one for one in self.incidents.by_id.values() if since <= one.created_at <= until]
        wanted = sent.get("service_ids") or list(SERVICES)
        rows = [_row(ident, [one for one in chosen if one.service_id == ident]) for ident in wanted]
        counted = [row for row in rows if row["total_incident_count"]]
        return answer({"data": counted, "filters": sent, "aggregate_unit": None, "time_zone": "Etc/UTC"})


def _time(sent: dict[str, Any], name: str) -> float:
    at = epoch(sent.get(name))
    if at is None:
        raise invalid(f"{name} must be an ISO 8601 time")
    return at


def _row(service_id: str, incidents: list[Incident]) -> dict[str, Any]:
    acknowledges = [times[0] - one.created_at for one in incidents if (times := _times(one, "acknowledge"))]
    resolves = [one.resolved_at - one.created_at for one in incidents if one.resolved_at is not None]
    escalations = [len(_times(one, "escalate")) for one in incidents]
    return {
        "service_id": service_id,
        "service_name": SERVICES[service_id].name if service_id in SERVICES else None,
        "total_incident_count": len(incidents),
        "total_incidents_acknowledged": len(acknowledges),
        "total_escalation_count": sum(escalations),
        "total_incidents_manual_escalated": sum(1 for count in escalations if count),
        "mean_seconds_to_first_ack": _mean(acknowledges),
        "mean_seconds_to_resolve": _mean(resolves),
    }


def _times(incident: Incident, entry: str) -> list[float]:
    """When there were entries of this kind."""
    return [epoch(line["created_at"]) or 0.0 for line in incident.log if line["type"] == f"{entry}_log_entry"]


def _mean(seconds: Iterable[float]) -> int | None:
    """Whole seconds; null where nothing qualified."""
    known = [max(value, 0.0) for value in seconds]
    return round(sum(known) / len(known)) if known else None
