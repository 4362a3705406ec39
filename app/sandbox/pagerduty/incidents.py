"""The life of incidents: every permitted change, its refusal, its log entry and its webhook.

And the two shapes in which PagerDuty shows one.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.sandbox.kit.support import Ids, iso
from app.sandbox.pagerduty.directory import POLICIES, SERVICES, USERS, Ref, References, Standing, User
from app.sandbox.pagerduty.hooks import Hooks
from app.sandbox.pagerduty.refusals import Refusal, invalid, refuse_if
from app.sandbox.pagerduty.requests import Changes, NewIncident


@dataclass(slots=True, eq=False)
class ChildAlert:
    """PagerDuty's own alert inside an incident: what an Events API trigger makes."""

    alert_id: str
    alert_key: str
    severity: str
    summary: str
    body: dict[str, Any]
    created_at: float
    incident: "Incident"
    resolved: bool = False


@dataclass(slots=True, eq=False)
class Incident:
    """One incident, as the incident service keeps it."""

    incident_id: str
    number: int
    title: str
    urgency: str
    service_id: str
    policy_id: str
    created_at: float
    incident_key: str | None
    """None for incidents opened through the Events API."""
    body: str | None
    priority_id: str | None
    client: Ref | None
    changed_at: float
    changed_by: Ref | None
    status: str = "triggered"
    escalation_level: int = 1
    reopened_at: float | None = None
    resolved_at: float | None = None
    merged_into: "Incident | None" = None
    assignees: list[User] = field(default_factory=list)
    acknowledgements: list[Ref] = field(default_factory=list)
    alerts: list[ChildAlert] = field(default_factory=list)
    notes: list[Ref] = field(default_factory=list)
    """As the REST API shows them, the oldest first."""
    log: list[Ref] = field(default_factory=list)
    custom_fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.status != "resolved"


def reference(incident: Incident, refs: References) -> Ref:
    """The reference by which other things name the incident."""
    return refs.ref("incident", incident.incident_id, "incidents", incident.title)


def _common(incident: Incident, refs: References) -> Ref:
    # Only a merge is a reason. https://support.pagerduty.com/main/docs/merge-incidents
    survivor = incident.merged_into
    reason = {"type": "merge_resolve_reason", "incident": reference(survivor, refs)} if survivor else None
    return {
        **reference(incident, refs),
        "type": "incident",
        "status": incident.status,
        "incident_key": incident.incident_key,
        "created_at": iso(incident.created_at),
        "title": incident.title,
        "incident_type": {"name": "incident_default"},
        "service": refs.service(incident.service_id),
        "escalation_policy": refs.policy(incident.policy_id),
        "teams": [],
        "priority": refs.priority(incident.priority_id) if incident.priority_id else None,
        "urgency": incident.urgency,
        "conference_bridge": None,
        "resolve_reason": reason,
    }


def in_webhook(incident: Incident, refs: References) -> Ref:
    """``event.data`` of a webhook: never a body, details, alerts or a resolution."""
    data = _common(incident, refs)
    del data["summary"]
    return data | {
        "number": incident.number,
        "reopened_at": iso(incident.reopened_at) if incident.reopened_at else None,
        "assignees": [refs.user(user) for user in incident.assignees] if incident.is_open else [],
    }


def in_rest(incident: Incident, refs: References, with_body: bool = False) -> Ref:
    """``incident`` of the REST API. The level of escalation reached is not in it, as it is not in PagerDuty's."""
    since, alerts = iso(incident.changed_at), len(incident.alerts)
    resolved = sum(alert.resolved for alert in incident.alerts)
    body = {"body": {"type": "incident_body", "details": incident.body}} if with_body and incident.body else {}
    return {
        **_common(incident, refs),
        "summary": f"[#{incident.number}] {incident.title}",
        "incident_number": incident.number,
        "description": incident.title,
        "updated_at": since,
        "last_status_change_at": since,
        "last_status_change_by": incident.changed_by,
        "resolved_at": iso(incident.resolved_at) if incident.resolved_at else None,
        "assignments": [{"at": since, "assignee": refs.user(user)} for user in incident.assignees],
        "acknowledgements": incident.acknowledgements,
        "alert_counts": {"all": alerts, "triggered": alerts - resolved, "resolved": resolved},
        "is_mergeable": incident.is_open,
        **body,
    }


def alert_in_rest(alert: ChildAlert, refs: References) -> Ref:
    """``alert`` of the REST API."""
    return {
        "id": alert.alert_id,
        "type": "alert",
        "summary": alert.summary,
        "self": f"{refs.base_url}/incidents/{alert.incident.incident_id}/alerts/{alert.alert_id}",
        "created_at": iso(alert.created_at),
        "status": "resolved" if alert.resolved else "triggered",
        "alert_key": alert.alert_key,
        "severity": alert.severity,
        "suppressed": False,
        "service": refs.service(alert.incident.service_id),
        "incident": reference(alert.incident, refs),
        "body": alert.body,
    }


MAX_NOTES = 2000
MAX_WEBHOOK_NOTE_CHARS = 2000
"""Where a note in a webhook is cut and says ``trimmed``. PagerDuty does not publish its own limit."""
KEY_IN_USE = "Open incident with matching dedup key already exists on this service"


class Act(NamedTuple):
    """Who changes something, and when."""

    agent: Ref | None
    """As webhooks name them; None for automation."""
    at: float
    """Epoch seconds by PagerDuty's clock."""


class IncidentService:
    """Keeps the incidents. Refused changes raise ``Refusal``."""

    def __init__(
        self, lock: threading.RLock, clock: Callable[[], float], ids: Ids, refs: References, hooks: Hooks
    ) -> None:
        self.lock, self.clock, self.ids, self.refs, self.hooks = lock, clock, ids, refs, hooks
        self.alerts_reopen_with_incident = True
        self.reset()

    def reset(self) -> None:
        """No incident, numbers from one."""
        self.by_id: dict[str, Incident] = {}
        self.by_number: dict[int, Incident] = {}
        self.by_key: dict[str, dict[str, Incident]] = {}
        self.standings = {service_id: Standing() for service_id in SERVICES}
        self.empty_levels: dict[str, frozenset[int]] = dict.fromkeys(POLICIES, frozenset())
        """Policy id -> levels at which nobody is on call just now."""

    def get(self, ident: str) -> Incident | None:
        """By id or by number."""
        return self.by_id.get(ident) or (self.by_number.get(int(ident)) if ident.isdecimal() else None)

    def with_key(self, key: str) -> list[Incident]:
        """Incidents of any status with this ``incident_key`` or with an alert of this ``alert_key``."""
        found = self.by_key.get(key, {}).values()
        return [i for i in found if key == i.incident_key or any(key == alert.alert_key for alert in i.alerts)]

    def index(self, key: str, incident: Incident) -> None:
        """Let ``with_key`` find the incident by ``key``."""
        self.by_key.setdefault(key, {})[incident.incident_id] = incident

    def open(self, new: NewIncident, act: Act) -> Incident:
        """A new incident. 2002 when an open one of the service has this ``incident_key`` already."""
        key = new.incident_key
        others = [i for i in self.with_key(key or "") if i.is_open and i.service_id == new.service_id]
        refuse_if(key and any(other.incident_key == key for other in others), 2002, KEY_IN_USE)
        made = Incident(
            self.ids.next("Q"), len(self.by_id) + 1, new.title, new.urgency, new.service_id,
            new.policy_id or SERVICES[new.service_id].policy_id, act.at, key, new.body, new.priority_id, new.client,
            changed_at=act.at, changed_by=act.agent,
        )  # fmt: skip
        self._page_level(made)
        self.by_id[made.incident_id] = self.by_number[made.number] = made
        if key:
            self.index(key, made)
        self._emit("incident.triggered", made, act, "trigger")
        return made

    def set_status(self, incident: Incident, status: str, act: Act, resolution: str | None = None) -> None:
        """Any status to any other. 1001, 1002: it is there already; 1003: no such status; 1019: it was merged away."""
        refuse_if(incident.merged_into is not None, 1019)
        if status == "resolved":
            self._resolve(incident, act, resolution)
        elif status == "acknowledged":
            self._acknowledge(incident, act)
        elif status == "triggered":
            self._trigger_again(incident, act)
        else:
            raise Refusal(1003)

    def _resolve(self, incident: Incident, act: Act, resolution: str | None) -> None:
        refuse_if(not incident.is_open, 1001)
        self._close(incident, act)
        for alert in incident.alerts:
            alert.resolved = True
        self._emit("incident.resolved", incident, act, "resolve", resolution)

    def _acknowledge(self, incident: Incident, act: Act) -> None:
        """On a resolved incident it reopens first (documented 2025-09-18)."""
        refuse_if(incident.status == "acknowledged", 1002)
        if not incident.is_open:
            self._trigger_again(incident, act)
        self._mark(incident, "acknowledged", act)
        incident.acknowledgements = [{"at": iso(act.at), "acknowledger": act.agent}]
        if act.agent and act.agent["id"] in USERS:
            incident.assignees = [USERS[act.agent["id"]]]
        self._emit("incident.acknowledged", incident, act, "acknowledge")

    def _trigger_again(self, incident: Incident, act: Act) -> None:
        """Reopens what is resolved, un-acknowledges what is acknowledged, leaves alone what is triggered."""
        if incident.status == "triggered":
            return
        reopens = not incident.is_open
        self._mark(incident, "triggered", act)
        incident.acknowledgements = []
        if reopens:
            incident.reopened_at, incident.resolved_at = act.at, None
            for alert in incident.alerts:
                alert.resolved = alert.resolved and not self.alerts_reopen_with_incident
            self._page_level(incident)
            self._emit("incident.reopened", incident, act, "reopen")
        else:
            self._emit("incident.unacknowledged", incident, act, "unacknowledge")

    def merge(self, target: Incident, sources: Sequence[Incident], act: Act) -> None:
        """The sources' alerts move to the target; each source looks resolved, with a merge reason."""
        refuse_if(not target.is_open, 1001)
        for source in sources:
            if source is target or source.merged_into is not None or not source.is_open:
                raise Refusal(1019 if source.merged_into else 2001, f"{source.incident_id} cannot be merged")
        for source in sources:
            source.merged_into = target
            for alert in source.alerts:
                alert.incident = target
                self.index(alert.alert_key, target)
            target.alerts, source.alerts = target.alerts + source.alerts, []
            self._close(source, act)
            self.write_log(target, "merge", act, f"merged from {source.incident_id}")
            self._emit("incident.resolved", source, act, "resolve", f"merged into {target.incident_id}")

    def update(self, incident: Incident, changes: Changes, act: Act) -> None:
        """Everything one ``PUT /incidents/{id}`` asks for, status first."""
        if changes.status is not None:
            self.set_status(incident, changes.status, act, changes.resolution)
        incident.title = changes.title or incident.title
        incident.urgency = changes.urgency or incident.urgency
        if changes.policy_id is not None:
            self.delegate(incident, changes.policy_id, act)
        if changes.escalation_level is not None:
            self.escalate(incident, changes.escalation_level, act)
        if changes.assignees:
            incident.assignees = changes.assignees
            self._emit("incident.reassigned", incident, act, "assign")
        if changes.priority_id is not None:
            incident.priority_id = changes.priority_id
            self._emit("incident.priority_updated", incident, act, "priority_change")

    def escalate(self, incident: Incident, level: int, act: Act) -> None:
        """To a level of its policy. 1001: resolved; 1006: low urgency, no such level; 1015: nobody is on call there."""
        refuse_if(not incident.is_open, 1001)
        refuse_if(incident.urgency == "low" or not 1 <= level <= len(POLICIES[incident.policy_id].user_ids), 1006)
        refuse_if(level in self.empty_levels[incident.policy_id], 1015)
        incident.escalation_level = level
        self._page_level(incident)
        self._emit("incident.escalated", incident, act, "escalate", f"level {level}")

    def delegate(self, incident: Incident, policy_id: str, act: Act) -> None:
        """To the first level of another policy that has somebody on call. 1014: no such policy; 1015: nobody has."""
        refuse_if(policy_id not in POLICIES, 1014)
        levels = range(1, len(POLICIES[policy_id].user_ids) + 1)
        first = next((level for level in levels if level not in self.empty_levels[policy_id]), None)
        if first is None:
            raise Refusal(1015)
        incident.policy_id, incident.escalation_level = policy_id, first
        self._page_level(incident)
        self._emit("incident.delegated", incident, act, "delegate")

    def annotate(self, incident: Incident, content: str, act: Act) -> Ref:
        """A note. 2001 when it is empty or longer than 65,535 characters, 2019 beyond 2,000 notes."""
        if not content.strip() or len(content) > 65_535:
            raise invalid("Content must have between 1 and 65535 characters")
        refuse_if(len(incident.notes) >= MAX_NOTES, 2019)
        note = {"id": self.ids.next("P"), "content": content, "created_at": iso(act.at), "user": act.agent}
        incident.notes.append(note)
        cut = content[:MAX_WEBHOOK_NOTE_CHARS]
        data = {"type": "incident_note", "id": note["id"], "content": cut, "trimmed": cut != content}
        self.emit_part("incident.annotated", incident, act, data)
        self.write_log(incident, "annotate", act, content)
        return note

    def emit_part(self, event_type: str, incident: Incident, act: Act, data: dict[str, Any]) -> None:
        """A webhook whose ``data`` is not the incident but something on it."""
        data = {**data, "incident": reference(incident, self.refs)}
        self.hooks.emit(event_type, incident.incident_id, incident.service_id, data, act.agent, None, act.at)

    def write_log(
        self, incident: Incident, entry: str, act: Act, text: str | None = None, channel: Ref | None = None
    ) -> None:
        """One line of the incident's history; ``entry`` without its ``_log_entry``."""
        incident.log.append({
            "id": self.ids.next("R", 26),
            "type": f"{entry}_log_entry",
            "summary": f"{entry} by {act.agent['summary'] if act.agent else 'automation'}",
            "created_at": iso(act.at),
            "agent": act.agent,
            "channel": channel or {"type": "api", "summary": text},
            "incident": reference(incident, self.refs),
        })  # fmt: skip

    def _mark(self, incident: Incident, status: str, act: Act) -> None:
        incident.status, incident.changed_at, incident.changed_by = status, act.at, act.agent

    def _close(self, incident: Incident, act: Act) -> None:
        self._mark(incident, "resolved", act)
        incident.resolved_at, incident.assignees = act.at, []

    def _page_level(self, incident: Incident) -> None:
        empty = incident.escalation_level in self.empty_levels[incident.policy_id]
        user_id = POLICIES[incident.policy_id].user_ids[incident.escalation_level - 1]
        incident.assignees = [] if empty else [USERS[user_id]]

    def _emit(self, event_type: str, incident: Incident, act: Act, entry: str, text: str | None = None) -> None:
        self.write_log(incident, entry, act, text)
        data = in_webhook(incident, self.refs)
        self.hooks.emit(event_type, incident.incident_id, incident.service_id, data, act.agent, incident.client, act.at)
