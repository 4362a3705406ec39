"""What was seen in a run, as values: the judge knows nothing else.

Every instant is of the machine's clock, in epoch seconds, unless it says otherwise: the partners' own are off.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from tests.system.signing import key_of

OPEN, ACKNOWLEDGED, RESOLVED = "open", "acknowledged", "resolved"
PLAIN = {"triggered": OPEN, "investigating": ACKNOWLEDGED, "dismissed": RESOLVED}
"""Both partners' statuses in three words; those not named are one of them already."""
BY_EVENT = {"trigger": OPEN, "acknowledge": ACKNOWLEDGED, "resolve": RESOLVED}
"""The Events API's actions in the same words."""
BY_LOG = {"unacknowledge": OPEN, "reopen": OPEN, "acknowledge": ACKNOWLEDGED, "resolve": RESOLVED}
"""What the log of an incident says of its status."""
TRUTHVOUCH, PAGERDUTY = "truthvouch", "pagerduty"
WANTS_INCIDENT = ("critical", "high")


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did about an alert, on either side."""

    at: float
    """Just before the partner did it."""
    alert_id: str
    side: str
    action: str


@dataclass(frozen=True, slots=True)
class AlertSeen:
    """An alert as TruthVouch has it in the end."""

    alert_id: str
    severity: str
    status: str
    """``open``, ``acknowledged`` or ``resolved``."""
    raised_at: float

    @property
    def key(self) -> str:
        """Under which its incident is known."""
        return key_of(self.alert_id)


@dataclass(frozen=True, slots=True)
class IncidentSeen:
    """An incident as PagerDuty has it in the end."""

    incident_id: str
    key: str
    status: str
    merged_into: str | None = None
    notes: tuple[str, ...] = ()
    opened_at: float = 0.0
    """By PagerDuty's clock, in whole seconds."""
    past: tuple[tuple[float, str], ...] = ()
    """Since when it had which status, by the same clock; a merge is a resolve."""


@dataclass(frozen=True, slots=True)
class Write:
    """One call of the bridge that changes something at a partner."""

    at: float
    side: str
    subject: str
    """An alert id, an incident id, or an incident key."""
    says: str
    """``open``, ``acknowledged``, ``resolved``, or ``note``."""
    status: int | None
    took: bool
    """Whether the partner did it, whatever became of its answer."""
    creates: bool = False
    by_event: bool = False
    ended_at: float = 0.0
    """When it was answered; the partner did it between ``at`` and then."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook, whatever became of it."""

    at: float
    """When the partner made it."""
    side: str
    event: str
    subject: str
    """An alert id or an incident id."""
    outcome: str
    """``sent``, ``dropped`` ..."""


@dataclass(frozen=True, slots=True)
class Look:
    """A search of the bridge for the incidents of a key that brought no answer."""

    at: float
    key: str


@dataclass(frozen=True, slots=True)
class Kill:
    """One signal, so many seconds after the beginning."""

    at: float
    whom: str


@dataclass(slots=True)
class Evidence:
    """Everything of one run."""

    alerts: list[AlertSeen] = field(default_factory=list)
    incidents: list[IncidentSeen] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    sent: list[Webhook] = field(default_factory=list)
    """Every webhook of the partners, lost ones included."""
    failed_looks: list[Look] = field(default_factory=list)
    calls: int = 0
    """Of the bridge to the partners, reads included."""
    kills: list[Kill] = field(default_factory=list)
    faults: int = 0
    webhooks: Mapping[str, int] = field(default_factory=dict)
    """``sent``, ``retried``, ``failed``, ``queued``, ``held``, ``dropped``."""
    found: int = 0
    """What reconciliation found that no webhook had told, by the bridge's own account."""
    seconds: float = 0.0
    seconds_to_quiet: float | None = None
    """None: it never became quiet in the time given."""
    left_waiting: int | None = 0
    """Deliveries the bridge then still owed, by its own account."""
    log_faults: list[str] = field(default_factory=list)
    by_hand: frozenset[str] = frozenset()
    """Incidents that people opened themselves."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the partners were like."""
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    """(alert id, reason) of what the bridge gave up and says so."""


def plain(status: str) -> str:
    """A status of either partner in the three words."""
    return PLAIN.get(status, status)


def alerts_in(state: Mapping[str, Any], raised: Mapping[str, float]) -> list[AlertSeen]:
    """The alerts of a run in the sandbox's state; ``raised`` says when each was raised."""
    return [
        AlertSeen(alert["id"], alert["severity"], plain(alert["status"]), raised[alert["id"]])
        for alert in state["alerts"]
        if alert["id"] in raised
    ]


def key_in(incident: Mapping[str, Any]) -> str:
    """Under which key it was opened, as long as it was not merged: a merge moves what an event has opened."""
    return str(incident["incident_key"] or next(iter(incident["alert_keys"]), ""))


def incidents_in(state: Mapping[str, Any], keys: Mapping[str, str] | None = None) -> list[IncidentSeen]:
    """Every incident in the sandbox's state, oldest first; ``keys`` says what the key of each was before anybody
    merged it."""
    return [
        IncidentSeen(
            incident["id"],
            (keys or {}).get(incident["id"]) or key_in(incident),
            plain(incident["status"]),
            incident["merged_into"],
            tuple(note["content"] for note in incident["notes"]),
            _epoch(incident["created_at"]),
            _past(incident["log"]),
        )
        for incident in reversed(state["incidents"])
    ]


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _past(log: Iterable[Mapping[str, str]]) -> tuple[tuple[float, str], ...]:
    entries = ((entry["at"], BY_LOG.get(entry["summary"].partition(" ")[0])) for entry in log)
    return tuple((_epoch(at), status) for at, status in entries if status)


def writes_in(calls: Iterable[Mapping[str, Any]]) -> list[Write]:
    """The calls that change something, in the order of their arrival."""
    found = (_write(call) for call in calls if call["method"] != "GET")
    return sorted((write for write in found if write), key=lambda write: write.at)


def webhooks_in(log: Iterable[Mapping[str, Any]]) -> list[Webhook]:
    """The webhooks in the sandbox's log."""
    return [Webhook(w["created_at"], w["partner"], w["event"], w["subject"], w["outcome"]) for w in log]


def failed_looks_in(calls: Iterable[Mapping[str, Any]]) -> list[Look]:
    """Where the bridge could not look whether an incident is there already."""
    searches = (call for call in calls if call["method"] == "GET" and call["path"] == "/incidents")
    failed = (call for call in searches if call["status"] is None or call["status"] >= 300)
    return [Look(call["at"], key) for call in failed for key in call.get("query", {}).get("incident_key", [])]


def _write(call: Mapping[str, Any]) -> Write | None:
    """None for what changes nothing, or was cut off because its sender was killed."""
    meant = _meant(str(call["partner"]), str(call["path"]), call["body"] if isinstance(call["body"], dict) else {})
    if meant is None:
        return None
    subject, says, how = meant
    took = call["fault"] == "reset_after" or (call["status"] is not None and 200 <= call["status"] < 300)
    ended_at = call["at"] + call.get("milliseconds", 0.0) / 1000
    return Write(call["at"], str(call["partner"]), subject, says, call["status"], took, **how, ended_at=ended_at)


def _meant(side: str, path: str, body: Mapping[str, Any]) -> tuple[str, str, dict[str, bool]] | None:
    """What a call is about, what it says, and how."""
    incident = body.get("incident", {})
    if side == TRUTHVOUCH and "status" in body:
        return unquote(path.rpartition("/")[2]), plain(body["status"]), {}
    if path == "/v2/enqueue" and body.get("event_action") in BY_EVENT:
        says = BY_EVENT[body["event_action"]]
        return body.get("dedup_key", ""), says, {"creates": says == OPEN, "by_event": True}
    if path == "/incidents" and "incident_key" in incident:
        return incident["incident_key"], OPEN, {"creates": True}
    if found := re.fullmatch(r"/incidents/(\w+)/notes", path):
        return found[1], "note", {}
    found = re.fullmatch(r"/incidents/(\w+)", path)
    return (found[1], plain(incident["status"]), {}) if found and "status" in incident else None
