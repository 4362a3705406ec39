"""The simulated PagerDuty account, and its Events API v2: 202 first, the incident a little later.

https://developer.pagerduty.com/docs/events-api-v2/overview/
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from app.sandbox.kit.support import Ids, Limit, PartnerClock, Scheduler
from app.sandbox.kit.webhook_sender import WebhookQueue
from app.sandbox.pagerduty.directory import BY_ROUTING_KEY, POLICIES, References, Service
from app.sandbox.pagerduty.hooks import Hooks
from app.sandbox.pagerduty.incidents import Act, ChildAlert, Incident, IncidentService, in_rest
from app.sandbox.pagerduty.refusals import Refusal
from app.sandbox.pagerduty.requests import NewIncident

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
    faults = []
    routing_key, dedup_key, action = event.get("routing_key"), event.get("dedup_key", ""), event.get("event_action")
    if not isinstance(routing_key, str) or len(routing_key) != 32:
        faults.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    elif routing_key not in BY_ROUTING_KEY:
        faults.append("Invalid routing key")
    if not isinstance(dedup_key, str) or len(dedup_key) > MAX_DEDUP_KEY_CHARS:
        faults.append("'dedup_key' must be a string of at most 255 characters")
    if action not in ("trigger", "acknowledge", "resolve"):
        faults.append("'event_action' is invalid (must be one of 'trigger', 'acknowledge', 'resolve')")
    if action == "trigger":
        faults += _payload_faults(event.get("payload"))
    elif not event.get("dedup_key"):
        faults.append("'dedup_key' is missing or blank")
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

    def __init__(self, incidents: IncidentService, scheduler: Scheduler) -> None:
        self._incidents, self._scheduler = incidents, scheduler
        self.delay_seconds = 0.05
        self.reset()

    def reset(self) -> None:
        """Forget every alert."""
        self._alerts: dict[tuple[str, str], ChildAlert] = {}

    def accept(self, event: Event) -> str:
        """Queue a faultless event; its ``dedup_key``, made up where a trigger has none.

        What comes while its service is in maintenance or disabled is accepted like any other and dropped.
        https://support.pagerduty.com/main/docs/maintenance-windows
        """
        dedup_key = str(event.get("dedup_key") or self._incidents.ids.ulid(self._incidents.clock()).lower())
        standing = self._incidents.standings[BY_ROUTING_KEY[event["routing_key"]].service_id]
        if standing.status not in ("maintenance", "disabled"):
            self._scheduler.after(self.delay_seconds, lambda: self._happen(event, dedup_key))
        return dedup_key

    def _happen(self, event: Event, dedup_key: str) -> None:
        """Now it takes effect. Correlation is per routing key; what changes nothing is dropped silently."""
        service, action = BY_ROUTING_KEY[event["routing_key"]], event["event_action"]
        with self._incidents.lock, suppress(Refusal):
            act = Act(self._incidents.refs.integration(service), self._incidents.clock())
            alert = self._alerts.get((service.integration_key, dedup_key))
            if alert is not None and alert.resolved:
                alert = None
            if action == "trigger":
                self._trigger(event, dedup_key, service, alert, act)
            elif alert is not None and action == "acknowledge":
                self._incidents.set_status(alert.incident, "acknowledged", act)
            elif alert is not None:
                alert.resolved = True
                if all(sibling.resolved for sibling in alert.incident.alerts):
                    self._incidents.set_status(alert.incident, "resolved", act)

    def _trigger(self, event: Event, dedup_key: str, service: Service, alert: ChildAlert | None, act: Act) -> None:
        payload = event["payload"]
        body = {"type": "alert_body", "details": payload.get("custom_details", {}), "cef_details": dict(payload),
                "contexts": event.get("links", [])}  # fmt: skip
        if alert is not None:
            alert.body = body
            if sum(entry["type"] == "trigger_log_entry" for entry in alert.incident.log) < MAX_TRIGGER_LOG_ENTRIES:
                self._incidents.write_log(alert.incident, "trigger", act, channel=body)
            return
        client = {"name": event["client"], "url": event.get("client_url")} if event.get("client") else None
        urgency = URGENCIES[payload["severity"]]
        new = NewIncident(payload["summary"], service.service_id, urgency, client=client)
        incident = self._incidents.open(new, act)
        alert_id = self._incidents.ids.next("Q")
        alert = ChildAlert(alert_id, dedup_key, payload["severity"], payload["summary"], body, act.at, incident)
        incident.alerts.append(alert)
        self._alerts[service.integration_key, dedup_key] = alert
        self._incidents.index(dedup_key, incident)


class Account:
    """Incidents, events, subscriptions and limits of one account."""

    def __init__(
        self, lock: threading.RLock, clock: PartnerClock, ids: Ids, webhook_queue: WebhookQueue, scheduler: Scheduler,
        secret: str, bridge_url: Callable[[], str],
    ) -> None:  # fmt: skip
        self.lock, self.clock = lock, clock
        self.refs = References("http://127.0.0.1")
        self.hooks = Hooks(webhook_queue, clock, ids, secret, bridge_url)
        self.incidents = IncidentService(lock, clock, ids, self.refs, self.hooks)
        self.events = EventQueue(self.incidents, scheduler)
        self.rest_limit, self.events_limit = Limit(clock.real), Limit(clock.real)

    def reset(self) -> None:
        """Back to an empty account with its one subscription and no limits."""
        for part in (self.hooks, self.incidents, self.events):
            part.reset()
        self.rest_limit.set()
        self.events_limit.set()

    def in_state(self, incident: Incident) -> dict[str, Any]:
        """One incident with everything PagerDuty keeps to itself, for the control API."""
        merged = incident.merged_into
        return {
            **in_rest(incident, self.refs),
            "escalation_level": incident.escalation_level,
            "escalation_levels": len(POLICIES[incident.policy_id].user_ids),
            "body": incident.body,
            "alert_keys": sorted(alert.alert_key for alert in incident.alerts),
            "merged_into": merged.incident_id if merged else None,
            "custom_fields": incident.custom_fields,
            "notes": incident.notes,
            "log": [{"at": entry["created_at"], "summary": entry["summary"]} for entry in incident.log],
        }
