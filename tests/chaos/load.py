"""Traffic: alerts are raised, and people on both sides do what their scripts say, one thing after the other.

Nothing is dated here: the partners date it, by their own clocks. What the judge is told is by the machine's.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.evidence import Act, key_in
from tests.chaos.partners import Json, Partners
from tests.system.sandbox import FINDINGS
from tests.system.signing import key_of

INCIDENTS_LOOK_SECONDS = 0.7
POSTPONED_SECONDS = 0.5
"""A person who finds no incident yet looks again so much later."""
OLDER = 12
"""Among so many of the newest incidents somebody looks for an older one to merge into."""
PAGED = ("critical", "high")
LEGAL = {
    ("truthvouch", "acknowledge"): ("open",),
    ("truthvouch", "investigate"): ("open",),
    ("truthvouch", "resolve"): ("open", "acknowledged", "investigating"),
    ("truthvouch", "dismiss"): ("open", "acknowledged", "investigating"),
    ("truthvouch", "reopen"): ("resolved", "dismissed"),
    ("pagerduty", "acknowledge"): ("triggered",),
    ("pagerduty", "unacknowledge"): ("acknowledged",),
    ("pagerduty", "resolve"): ("triggered", "acknowledged"),
    ("pagerduty", "reopen"): ("resolved",),
    ("pagerduty", "note"): ("triggered", "acknowledged", "resolved"),
    ("pagerduty", "merge"): ("triggered", "acknowledged"),
    ("pagerduty", "merge_back"): ("triggered", "acknowledged"),
    ("pagerduty", "merge_by_hand"): ("triggered", "acknowledged"),
}
"""In which statuses the partners' screens offer this to a person."""
MERGES = {"merge": "merge", "merge_back": "merge", "merge_by_hand": "merge"}
"""The actions of a script that merge, and what a person clicks."""


@dataclass(slots=True)
class Scenario:
    """One alert and what is still to be done about it."""

    alert_id: str
    due: float
    steps: list[tuple[str, str, float]]
    """(side, action, seconds of thinking before it)."""


@dataclass
class Load:
    """Plays the people. ``tick`` does what is due; ``clock`` is the machine's, in epoch seconds."""

    partners: Partners
    clock: Callable[[], float] = time.time
    raised: dict[str, float] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    _scenarios: list[Scenario] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    """Incident id -> the key it was opened under. People merge only what is in here."""
    _incidents: dict[str, str] = field(default_factory=dict)
    """Key -> the newest incident of that key."""
    _open: list[str] = field(default_factory=list)
    """Those that were open when they were last looked at, newest first."""
    by_hand: set[str] = field(default_factory=set)
    """Incidents that people opened themselves."""
    _read_at: float = 0.0

    def raise_alert(self, facts: dict[str, Any]) -> None:
        """A new alert, and the scenario that goes with it."""
        alert_id, now = facts["alert_id"], self.clock()
        about = {**FINDINGS, "type": "hallucination", "severity": facts["severity"], "deliver": facts["deliver"]}
        self.partners.order("truthvouch/alerts", {"alert_id": alert_id, **about})
        self.raised[alert_id] = now
        steps = facts["steps"]
        if facts["severity"] not in PAGED:
            steps = [step for step in steps if step[0] == "truthvouch"]
        if steps:
            self._scenarios.append(Scenario(alert_id, now + steps[0][2], list(steps)))

    def tick(self) -> None:
        """Let everybody whose time has come do their next thing."""
        now = self.clock()
        if now - self._read_at > INCIDENTS_LOOK_SECONDS:
            self._read_at = now
            self._look_around()
        for scenario in self._scenarios:
            if scenario.due <= now:
                self._go_on(scenario, now)
        self._scenarios = [scenario for scenario in self._scenarios if scenario.steps]

    def _look_around(self) -> None:
        found = self.partners.look("state", limit=150)["incidents"]
        for seen in reversed(found):
            if seen["id"] not in self.keys:
                self.keys[seen["id"]] = key_in(seen)
                self._incidents[key_in(seen)] = seen["id"]
        self._open = [seen["id"] for seen in found if seen["status"] != "resolved"]

    def _go_on(self, scenario: Scenario, now: float) -> None:
        side, action, _ = scenario.steps[0]
        subject = self._subject(scenario.alert_id, side)
        if subject is None:
            scenario.due = now + POSTPONED_SECONDS
            return
        partner = "truthvouch" if side == "truthvouch" else "pagerduty"
        at = self._do(scenario.alert_id, partner, action, subject)
        if at is not None:
            self.acts.append(Act(at, scenario.alert_id, partner, action))
        scenario.steps.pop(0)
        scenario.due = now + (scenario.steps[0][2] if scenario.steps else 0.0)

    def _subject(self, alert_id: str, side: str) -> str | None:
        """The alert, or its incident; None while there is none."""
        if side == "truthvouch":
            return alert_id
        incident_id = self._incidents.get(key_of(alert_id))
        while incident_id and side == "survivor":
            into = self.partners.incident(incident_id)["merged_into"]
            if into is None:
                break
            incident_id = into
        return incident_id

    def _do(self, alert_id: str, side: str, action: str, subject: str) -> float | None:
        """When it was done; None where it could not be: somebody, or the bridge, was first."""
        seen = self.partners.alert(subject) if side == "truthvouch" else self.partners.incident(subject)
        if seen["status"] not in LEGAL[side, action] or seen.get("merged_into"):
            return None
        said = self._said(alert_id, side, action, subject)
        at = self.clock()
        return at if said is not None and self.partners.order(_path(side, subject, action), said) is not None else None

    def _said(self, alert_id: str, side: str, action: str, subject: str) -> Json | None:
        if side == "truthvouch":
            why = {"reason": "fixed", "text": f"Corrected ({alert_id})"} if action in ("resolve", "dismiss") else {}
            return {"by": "lead@example.com", **why}
        said: Json = {"by": "manager@example.com"}
        if action in MERGES:
            into = self._made_by_hand() if action == "merge_by_hand" else self._to_merge_into(subject, action)
            return None if into is None else {**said, "into": into}
        return {**said, "note": f"Seen by a person ({alert_id})"} if action == "note" else said

    def _to_merge_into(self, subject: str, action: str) -> str | None:
        others = [incident_id for incident_id in self._open[:OLDER] if incident_id != subject]
        return next(reversed(others) if action == "merge_back" else iter(others), None)

    def _made_by_hand(self) -> str | None:
        made = self.partners.order("pagerduty/incidents", {"title": "By hand", "by": "manager@example.com"})
        incident_id = str(made["incident"]["id"]) if made else None
        self.by_hand |= {incident_id} if incident_id else set()
        return incident_id


def _path(side: str, subject: str, action: str) -> str:
    if side == "truthvouch":
        return f"truthvouch/alerts/{subject}/{action}"
    return f"pagerduty/incidents/{subject}/{MERGES.get(action, action)}"
