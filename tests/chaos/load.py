"""Traffic: alerts are raised, and people on both sides do what their scripts say, one thing after the other."""

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
}
"""In which statuses the partners' screens offer this to a person."""


@dataclass(slots=True)
class Story:
    """One alert and what is still to be done about it."""

    alert_id: str
    due: float
    steps: list[tuple[str, str, float]]
    """(side, verb, seconds of thinking before it)."""


@dataclass
class Load:
    """Plays the people. ``tick`` does what is due; ``clock`` is in epoch seconds, as the partners' own."""

    partners: Partners
    clock: Callable[[], float] = time.time
    raised: dict[str, float] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    _stories: list[Story] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    """Incident id -> the key it was opened under. People merge only what is in here."""
    _incidents: dict[str, str] = field(default_factory=dict)
    _looked_at: float = 0.0

    def raise_alert(self, facts: dict[str, Any]) -> None:
        """A new alert, and the story that goes with it."""
        alert_id, now = facts["alert_id"], self.clock()
        about = {**FINDINGS, "type": "hallucination", "severity": facts["severity"], "deliver": facts["deliver"]}
        self.partners.order("truthvouch/alerts", {"alert_id": alert_id, "at": now, **about})
        self.raised[alert_id] = now
        steps = facts["steps"]
        if facts["severity"] not in PAGED:
            steps = [step for step in steps if step[0] == "truthvouch"]
        if steps:
            self._stories.append(Story(alert_id, now + steps[0][2], list(steps)))

    def tick(self) -> None:
        """Let everybody whose time has come do their next thing."""
        now = self.clock()
        if now - self._looked_at > INCIDENTS_LOOK_SECONDS:
            self._looked_at = now
            self._look_around()
        for story in self._stories:
            if story.due <= now:
                self._go_on(story, now)
        self._stories = [story for story in self._stories if story.steps]

    def _look_around(self) -> None:
        for seen in self.partners.look("state", limit=150)["incidents"]:
            if seen["id"] not in self.keys:
                self.keys[seen["id"]] = key_in(seen)
                self._incidents[key_in(seen)] = seen["id"]

    def _go_on(self, story: Story, now: float) -> None:
        side, verb, _ = story.steps[0]
        subject = story.alert_id if side == "truthvouch" else self._incidents.get(key_of(story.alert_id))
        if subject is None:
            story.due = now + POSTPONED_SECONDS
            return
        if self._do(story.alert_id, side, verb, subject):
            self.acts.append(Act(now, story.alert_id, side, verb))
        story.steps.pop(0)
        story.due = now + (story.steps[0][2] if story.steps else 0.0)

    def _do(self, alert_id: str, side: str, verb: str, subject: str) -> bool:
        """Whether it could be done: somebody, or the bridge, may have been first."""
        seen = self.partners.alert(subject) if side == "truthvouch" else self.partners.incident(subject)
        if seen["status"] not in LEGAL[side, verb] or seen.get("merged_into"):
            return False
        said = self._said(alert_id, side, verb)
        return said is not None and self.partners.order(_path(side, subject, verb), said) is not None

    def _said(self, alert_id: str, side: str, verb: str) -> Json | None:
        at = {"at": self.clock()}
        if side == "truthvouch":
            why = {"reason": "fixed", "text": f"Corrected ({alert_id})"} if verb in ("resolve", "dismiss") else {}
            return {"by": "lead@example.com", **at, **why}
        said: Json = {"by": "manager@example.com", **at}
        if verb == "merge":
            into = next((i for key, i in reversed(self._incidents.items()) if key != key_of(alert_id)), None)
            return None if into is None else {**said, "into": into}
        return {**said, "note": f"Seen by a person ({alert_id})"} if verb == "note" else said


def _path(side: str, subject: str, verb: str) -> str:
    return f"truthvouch/alerts/{subject}/{verb}" if side == "truthvouch" else f"pagerduty/incidents/{subject}/{verb}"
