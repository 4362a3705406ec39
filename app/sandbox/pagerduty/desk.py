"""The life of incidents: every permitted change, its refusal, its log entry and its webhook."""

import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from app.sandbox.pagerduty.directory import POLICIES, SERVICES, USERS, References, Standing, User
from app.sandbox.pagerduty.hooks import Hooks
from app.sandbox.pagerduty.incident import Incident, Note, Ref, in_webhook, reference
from app.sandbox.pagerduty.refusal import Refusal, invalid
from app.sandbox.pagerduty.requests_read import Changes
from app.sandbox.stamps import Names, iso

MAX_NOTES = 2000
MAX_WEBHOOK_NOTE_CHARS = 2000
"""Where a note in a webhook is cut and says ``trimmed``. PagerDuty does not publish its own limit."""
KEY_IN_USE = "Open incident with matching dedup key already exists on this service"


class Desk:
    """Keeps the incidents. ``agent`` is who did it, as webhooks name them; None for automation.

    ``at`` is the instant of a change in epoch seconds, now by default. Refused changes raise ``Refusal``.
    """

    def __init__(
        self, lock: threading.RLock, clock: Callable[[], float], names: Names, refs: References, hooks: Hooks
    ) -> None:
        self.lock, self.clock, self.names, self.refs, self.hooks = lock, clock, names, refs, hooks
        self.alerts_reopen_with_incident = True
        self.reset()

    def reset(self) -> None:
        """No incident, numbers from one."""
        self.by_id: dict[str, Incident] = {}
        self.by_number: dict[int, Incident] = {}
        self.by_key: dict[str, list[Incident]] = {}
        self.standings = {service_id: Standing() for service_id in SERVICES}
        self.empty_levels: dict[str, frozenset[int]] = dict.fromkeys(POLICIES, frozenset())
        """Policy id -> levels at which nobody is on call just now."""

    # ------------------------------------------------------------ finding

    def get(self, ident: str) -> Incident | None:
        """By id or by number."""
        return self.by_id.get(ident) or (self.by_number.get(int(ident)) if ident.isdecimal() else None)

    def with_key(self, key: str) -> list[Incident]:
        """Incidents of any status with this ``incident_key`` or with an alert of this ``alert_key``."""
        return self.by_key.get(key, [])

    def index(self, key: str, incident: Incident) -> None:
        """Let ``with_key`` find the incident by ``key``."""
        known = self.by_key.setdefault(key, [])
        if incident not in known:
            known.append(incident)

    def fresh_key(self) -> str:
        """The ``incident_key`` PagerDuty makes up for an incident opened without one."""
        return uuid.uuid4().hex

    # ------------------------------------------------------------ opening

    def open(
        self, title: str, service_id: str, urgency: str, agent: Ref | None, at: float | None = None,
        incident_key: str | None = None, policy_id: str | None = None, **rest: Any,
    ) -> Incident:  # fmt: skip
        """A new incident. 2002 when an open one of the service has this ``incident_key`` already."""
        at = self.clock() if at is None else at
        if incident_key and any(i.is_open and i.service_id == service_id and i.incident_key == incident_key
                                for i in self.with_key(incident_key)):  # fmt: skip
            raise Refusal(2002, KEY_IN_USE)
        made = Incident(
            self.names.next("Q"), len(self.by_id) + 1, title, urgency, service_id,
            policy_id or SERVICES[service_id].policy_id, at, incident_key, changed_at=at, changed_by=agent, **rest,
        )  # fmt: skip
        self._page_level(made)
        self.by_id[made.incident_id] = self.by_number[made.number] = made
        for key in made.known_keys():
            self.index(key, made)
        self._tell("incident.triggered", made, agent, at, "trigger")
        return made

    # ------------------------------------------------------------ moving

    def set_status(self, incident: Incident, status: str, agent: Ref | None, at: float | None = None,
                   resolution: str | None = None) -> None:  # fmt: skip
        """Any status to any other. 1001, 1002: it is there already; 1003: no such status; 1019: it was merged away."""
        at = self.clock() if at is None else at
        if incident.merged_into is not None:
            raise Refusal(1019)
        if status == "resolved":
            self._resolve(incident, agent, at, resolution)
        elif status == "acknowledged":
            self._acknowledge(incident, agent, at)
        elif status == "triggered":
            self._trigger_again(incident, agent, at)
        else:
            raise Refusal(1003)

    def _resolve(self, incident: Incident, agent: Ref | None, at: float, resolution: str | None) -> None:
        if not incident.is_open:
            raise Refusal(1001)
        self._close(incident, agent, at)
        for alert in incident.alerts:
            alert.resolved = True
        self._tell("incident.resolved", incident, agent, at, "resolve", resolution)

    def _acknowledge(self, incident: Incident, agent: Ref | None, at: float) -> None:
        """On a resolved incident it reopens first (documented 2025-09-18)."""
        if incident.status == "acknowledged":
            raise Refusal(1002)
        if not incident.is_open:
            self._trigger_again(incident, agent, at)
        self._mark(incident, "acknowledged", agent, at)
        incident.acknowledgements = [{"at": iso(at), "acknowledger": agent}]
        if agent and agent["id"] in USERS:
            incident.assignees = [USERS[agent["id"]]]
        self._tell("incident.acknowledged", incident, agent, at, "acknowledge")

    def _trigger_again(self, incident: Incident, agent: Ref | None, at: float) -> None:
        """Reopens what is resolved, un-acknowledges what is acknowledged, leaves alone what is triggered."""
        if incident.status == "triggered":
            return
        reopens = not incident.is_open
        self._mark(incident, "triggered", agent, at)
        incident.acknowledgements = []
        if reopens:
            incident.reopened_at, incident.resolved_at = at, None
            for alert in incident.alerts:
                alert.resolved = alert.resolved and not self.alerts_reopen_with_incident
            self._page_level(incident)
        event, entry = ("reopened", "reopen") if reopens else ("unacknowledged", "unacknowledge")
        self._tell(f"incident.{event}", incident, agent, at, entry)

    def merge(self, target: Incident, sources: Iterable[Incident], agent: Ref | None, at: float | None = None) -> None:
        """The sources' alerts move to the target; each source looks resolved, with a merge reason."""
        at = self.clock() if at is None else at
        sources = list(sources)
        if not target.is_open:
            raise Refusal(1001)
        for source in sources:
            if source is target or source.merged_into is not None or not source.is_open:
                raise Refusal(1019 if source.merged_into else 2001, f"{source.incident_id} cannot be merged")
        for source in sources:
            self._merge_away(source, target, agent, at)

    def _merge_away(self, source: Incident, target: Incident, agent: Ref | None, at: float) -> None:
        source.merged_into = target
        for alert in source.alerts:
            alert.incident = target
            self.index(alert.alert_key, target)
        target.alerts, source.alerts = target.alerts + source.alerts, []
        self._close(source, agent, at)
        self._write_log(target, "merge", agent, at, f"merged from {source.incident_id}")
        self._tell("incident.resolved", source, agent, at, "resolve", f"merged into {target.incident_id}")

    # ------------------------------------------------------------ everything else

    def update(self, incident: Incident, changes: Changes, agent: Ref | None) -> None:
        """Everything one ``PUT /incidents/{id}`` asks for, status first."""
        if changes.status is not None:
            self.set_status(incident, changes.status, agent, resolution=changes.resolution)
        incident.title = changes.title or incident.title
        incident.urgency = changes.urgency or incident.urgency
        if changes.policy_id is not None:
            self.delegate(incident, changes.policy_id, agent)
        if changes.escalation_level is not None:
            self.escalate(incident, changes.escalation_level, agent)
        if changes.assignees:
            self.reassign(incident, changes.assignees, agent)
        if changes.priority_id is not None:
            self.prioritise(incident, changes.priority_id, agent)

    def escalate(self, incident: Incident, level: int, agent: Ref | None, at: float | None = None) -> None:
        """To a level of its policy. 1006: low urgency, no such level; 1001: resolved."""
        if not incident.is_open:
            raise Refusal(1001)
        if incident.urgency == "low" or not 1 <= level <= len(POLICIES[incident.policy_id].user_ids):
            raise Refusal(1006)
        if level in self.empty_levels[incident.policy_id]:
            raise Refusal(1015)
        incident.escalation_level = level
        self._page_level(incident)
        self._tell("incident.escalated", incident, agent, at, "escalate", f"level {level}")

    def delegate(self, incident: Incident, policy_id: str, agent: Ref | None, at: float | None = None) -> None:
        """To the first level of another policy that has somebody on call. 1014: no such policy; 1015: nobody has."""
        if policy_id not in POLICIES:
            raise Refusal(1014)
        incident.policy_id, incident.escalation_level = policy_id, self._first_level(policy_id)
        self._page_level(incident)
        self._tell("incident.delegated", incident, agent, at, "delegate")

    def reassign(self, incident: Incident, users: list[User], agent: Ref | None) -> None:
        """To these people."""
        incident.assignees = users
        self._tell("incident.reassigned", incident, agent, None, "assign")

    def prioritise(self, incident: Incident, priority_id: str | None, agent: Ref | None) -> None:
        """To a priority of the directory, or to none."""
        incident.priority_id = priority_id
        self._tell("incident.priority_updated", incident, agent, None, "priority_change")

    def annotate(self, incident: Incident, content: str, agent: Ref | None, at: float | None = None) -> Note:
        """A note. 2001 when it is empty or longer than 65,535 characters, 2019 beyond 2,000 notes."""
        if not content.strip() or len(content) > 65_535:
            raise invalid("Content must have between 1 and 65535 characters")
        if len(incident.notes) >= MAX_NOTES:
            raise Refusal(2019)
        at = self.clock() if at is None else at
        note = Note(self.names.next("P"), content, at, agent)
        incident.notes.append(note)
        cut = content[:MAX_WEBHOOK_NOTE_CHARS]
        self.tell_part(
            "incident.annotated",
            incident,
            agent,
            at,
            {"type": "incident_note", "id": note.note_id, "content": cut, "trimmed": cut != content},
        )
        self._write_log(incident, "annotate", agent, at, content)
        return note

    def tell_part(
        self, event_type: str, incident: Incident, agent: Ref | None, at: float | None, data: dict[str, Any]
    ) -> None:
        """A webhook whose ``data`` is not the incident but something on it."""
        data = {**data, "incident": reference(incident, self.refs)}
        self.hooks.emit(event_type, incident.incident_id, incident.service_id, data, agent, None,
                        self.clock() if at is None else at)  # fmt: skip

    # ------------------------------------------------------------ the small print

    def _mark(self, incident: Incident, status: str, agent: Ref | None, at: float) -> None:
        incident.status, incident.changed_at, incident.changed_by = status, at, agent

    def _close(self, incident: Incident, agent: Ref | None, at: float) -> None:
        self._mark(incident, "resolved", agent, at)
        incident.resolved_at, incident.assignees = at, []

    def _first_level(self, policy_id: str) -> int:
        levels = range(1, len(POLICIES[policy_id].user_ids) + 1)
        staffed = [level for level in levels if level not in self.empty_levels[policy_id]]
        if not staffed:
            raise Refusal(1015)
        return staffed[0]

    def _page_level(self, incident: Incident) -> None:
        empty = incident.escalation_level in self.empty_levels[incident.policy_id]
        user_id = POLICIES[incident.policy_id].user_ids[incident.escalation_level - 1]
        incident.assignees = [] if empty else [USERS[user_id]]

    def _tell(self, event_type: str, incident: Incident, agent: Ref | None, at: float | None, entry: str,
              text: str | None = None) -> None:  # fmt: skip
        at = self.clock() if at is None else at
        self._write_log(incident, entry, agent, at, text)
        self.hooks.emit(event_type, incident.incident_id, incident.service_id, in_webhook(incident, self.refs),
                        agent, incident.client, at)  # fmt: skip

    def _write_log(self, incident: Incident, entry: str, agent: Ref | None, at: float, text: str | None) -> None:
        self.write_log(incident, entry, agent, at, {"type": "api", "summary": text})

    def write_log(self, incident: Incident, entry: str, agent: Ref | None, at: float, channel: Ref) -> None:
        """One line of the incident's history; ``entry`` without its ``_log_entry``."""
        incident.log.append({
            "id": self.names.next("R", 26),
            "type": f"{entry}_log_entry",
            "summary": f"{entry} by {agent['summary'] if agent else 'automation'}",
            "created_at": iso(at),
            "agent": agent,
            "channel": channel,
            "incident": reference(incident, self.refs),
        })  # fmt: skip
