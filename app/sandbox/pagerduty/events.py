"""The Events API v2: 202 first, the incident a little later, and nothing at all for what nobody knows.

https://developer.pagerduty.com/docs/events-api-v2/overview/
"""

from collections.abc import Mapping
from typing import Any

from app.sandbox.later import Later
from app.sandbox.pagerduty.desk import Desk
from app.sandbox.pagerduty.directory import BY_ROUTING_KEY, Service
from app.sandbox.pagerduty.incident import ChildAlert, Incident
from app.sandbox.pagerduty.refusal import Refusal

MAX_EVENT_BYTES = 512 * 1024
MAX_SUMMARY_CHARS = 1024
MAX_DEDUP_KEY_CHARS = 255
MAX_TRIGGER_LOG_ENTRIES = 100
URGENCIES = {"critical": "high", "error": "high", "warning": "low", "info": "low"}
"""What a service with dynamic notifications makes of a severity.
https://support.pagerduty.com/main/docs/dynamic-notifications"""
Event = Mapping[str, Any]


def faults_of(event: Any) -> list[str]:
    """Everything that makes PagerDuty answer 400 "invalid event"; empty for a good one."""
    if not isinstance(event, dict):
        return ["Event object is invalid"]
    faults = _key_faults(event)
    action = event.get("event_action")
    if action not in ("trigger", "acknowledge", "resolve"):
        faults.append("'event_action' is invalid (must be one of 'trigger', 'acknowledge', 'resolve')")
    if action == "trigger":
        faults += _payload_faults(event.get("payload"))
    elif not event.get("dedup_key"):
        faults.append("'dedup_key' is missing or blank")
    return faults


def _key_faults(event: Event) -> list[str]:
    routing_key, dedup_key = event.get("routing_key"), event.get("dedup_key", "")
    faults = []
    if not isinstance(routing_key, str) or len(routing_key) != 32:
        faults.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    elif routing_key not in BY_ROUTING_KEY:
        faults.append("Invalid routing key")
    if not isinstance(dedup_key, str) or len(dedup_key) > MAX_DEDUP_KEY_CHARS:
        faults.append("'dedup_key' must be a string of at most 255 characters")
    return faults


def _payload_faults(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    faults = [f"'payload.{name}' is missing or blank" for name in ("summary", "source", "severity")
              if not isinstance(payload.get(name), str) or not payload[name]]  # fmt: skip
    if len(str(payload.get("summary") or "")) > MAX_SUMMARY_CHARS:
        faults.append("'payload.summary' is too long (at most 1024 characters)")
    if payload.get("severity") and payload["severity"] not in URGENCIES:
        faults.append("'payload.severity' is invalid (must be one of 'critical', 'warning', 'error', 'info')")
    if not isinstance(payload.get("custom_details", {}), dict):
        faults.append("'payload.custom_details' must be an object")
    return faults


class EventQueue:
    """What happens after the 202."""

    def __init__(self, desk: Desk, later: Later) -> None:
        self._desk, self._later = desk, later
        self.delay_seconds = 0.05
        self.reset()

    def reset(self) -> None:
        """Forget every alert."""
        self._alerts: dict[tuple[str, str], ChildAlert] = {}

    def accept(self, event: Event) -> str:
        """Queue a faultless event; its ``dedup_key``, made up where a trigger has none.

        What comes while its service is in maintenance or disabled is accepted like any other and dropped.
        """
        dedup_key = event.get("dedup_key") or self._desk.names.ulid(self._desk.clock()).lower()
        if not self._desk.standings[BY_ROUTING_KEY[event["routing_key"]].service_id].drops_events:
            self._later.after(self.delay_seconds, lambda: self.happen(event, dedup_key))
        return str(dedup_key)

    def happen(self, event: Event, dedup_key: str) -> None:
        """Now it takes effect. Correlation is per routing key."""
        service = BY_ROUTING_KEY[event["routing_key"]]
        with self._desk.lock:
            known = self._alerts.get((service.integration_key, dedup_key))
            alert = known if known is not None and not known.resolved else None
            if event["event_action"] == "trigger":
                self._trigger(event, dedup_key, service, alert)
            elif alert is not None:
                self._follow_up(event["event_action"], alert, service)

    def _trigger(self, event: Event, dedup_key: str, service: Service, alert: ChildAlert | None) -> None:
        if alert is None:
            self._open(event, dedup_key, service)
            return
        alert.body = _body(event)
        triggers = sum(entry["type"] == "trigger_log_entry" for entry in alert.incident.log)
        if triggers < MAX_TRIGGER_LOG_ENTRIES:
            agent = self._desk.refs.integration(service)
            self._desk.write_log(alert.incident, "trigger", agent, self._desk.clock(), _body(event))

    def _open(self, event: Event, dedup_key: str, service: Service) -> None:
        payload, agent = event["payload"], self._desk.refs.integration(service)
        client = {"name": event["client"], "url": event.get("client_url")} if event.get("client") else None
        incident = self._desk.open(
            payload["summary"], service.service_id, URGENCIES[payload["severity"]], agent, client=client
        )
        alert = ChildAlert(
            self._desk.names.next("Q"), dedup_key, service.integration_key, payload["severity"],
            payload["summary"], _body(event), incident.created_at, incident,
        )  # fmt: skip
        incident.alerts.append(alert)
        self._alerts[service.integration_key, dedup_key] = alert
        self._desk.index(dedup_key, incident)

    def _follow_up(self, action: str, alert: ChildAlert, service: Service) -> None:
        agent, incident = self._desk.refs.integration(service), alert.incident
        if action == "acknowledge":
            self._move(incident, "acknowledged", agent)
            return
        alert.resolved = True
        if all(sibling.resolved for sibling in incident.alerts):
            self._move(incident, "resolved", agent)

    def _move(self, incident: Incident, status: str, agent: dict[str, Any]) -> None:
        """What changes nothing is dropped silently."""
        try:
            self._desk.set_status(incident, status, agent)
        except Refusal:
            return


def _body(event: Event) -> dict[str, Any]:
    payload = event["payload"]
    return {"type": "alert_body", "details": payload.get("custom_details", {}), "cef_details": dict(payload),
            "contexts": event.get("links", [])}  # fmt: skip
