"""Use case: what will be escalated when, if nobody acknowledges. Looks, and changes nothing.

Use case: a drill. A real incident that says it is none goes up the real levels, and is closed whatever happens.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.escalation.state import Escalation, State, armed, plan_of
from app.domain.escalation.steps import UpcomingLevel, upcoming_levels
from app.domain.model.events import CommandOutcome, CommandType
from app.domain.model.incident import IncidentDraft, IncidentFacts
from app.domain.model.outcome import Done, Refused, Retry
from app.domain.model.types import Alert, IncidentId, IncidentKey, Status, Urgency
from app.domain.rules.decide import decide
from app.domain.rules.rulebook import Rulebook
from app.ports import Clock, Incidents, Page, Row, utc_now
from app.ports.partners import Policies, Standing
from app.services.escalation.target import CANCELLING, arming
from app.services.operator.operator import Operate
from app.services.operator.overview import Overview

VIRTUAL = IncidentId("virtual")
AGAIN = {
    "acknowledged": "An un-acknowledge starts the clock again.",
    "merged": "The surviving incident goes its own way.",
}
"""What may come after an escalation that ended for this reason; else a reopen."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The levels to come, or why there are none."""

    message: str
    """For people."""
    start: datetime
    alert_id: str | None
    incident_id: str | None = None
    because: str | None = None
    """Why nothing is escalated; None where something is."""
    steps: tuple[UpcomingLevel, ...] = ()
    real: bool = False
    """The clock runs; otherwise it starts when PagerDuty confirms the incident."""

    @property
    def facts(self) -> dict[str, object]:
        """For machines."""
        about = {"alert_id": self.alert_id, "incident_id": self.incident_id}
        return about | {"escalated": self.because is None, "because": self.because or None}


def of_alert(rulebook: Rulebook, alert: Alert, now: datetime) -> Outlook:
    """Of an alert that has not happened, by the rulebook in force."""
    decision = decide(rulebook, alert, now)
    urgency = decision.urgency.value if decision.urgency else "none"
    found = f"{decision.rule} gives it urgency {urgency}"
    if decision.urgency is None:
        return Outlook(f"No incident: {found}.", now, alert.alert_id, because="no_incident")
    return _virtual(rulebook, urgency, decision.escalation_policy_id, now, f"{found}. ", alert.alert_id)


def of_alert_or_incident(
    rulebook: Rulebook, overview: Overview, target: str, incidents: Standing | None
) -> Outlook | None:
    """Of an alert or incident that the bridge knows; None when it knows neither."""
    link = overview.link_of(target)
    incident_id = link["incident"]["id"] if link else target
    escalation = overview.escalation(incident_id) if incident_id else None
    if escalation is not None:
        return _of_escalation(escalation, incidents)
    if link is None:
        return None
    start, alert_id = link["first_seen_at"], link["alert_id"]
    if not link["paged"]:
        return Outlook("The rulebook gives this alert no incident.", start, alert_id, because="no_incident")
    if incident_id:
        message = "Its incident was confirmed when no levels were in force; `truthvouch escalation arm` escalates it."
        return Outlook(message, start, alert_id, incident_id, CommandOutcome.NOT_ARMED)
    return _virtual(rulebook, link["urgency"], rulebook.escalation_policy_id, start, "", alert_id)


def _of_escalation(escalation: Escalation, incidents: Standing | None) -> Outlook:
    start, alert_id, incident_id = escalation.clock_at, escalation.alert_id, escalation.incident_id
    if escalation.state is not State.RUNNING:
        again = AGAIN.get(escalation.reason, "A reopen begins anew at level 1.")
        message = f"Incident {incident_id} is not escalated now: {escalation.reason}. {again}"
        return Outlook(message, start, alert_id, incident_id, escalation.reason)
    seen = incidents.get(incident_id) if incidents is not None else None
    levels = upcoming_levels(escalation, seen.value.escalation_policy_id if isinstance(seen, Done) else None)
    message = f"Incident {incident_id}, unless somebody acknowledges it:"
    return Outlook(message, start, alert_id, incident_id, steps=levels, real=True)


def _virtual(
    rulebook: Rulebook, urgency: str | None, on_policy: str | None, start: datetime, found: str, alert_id: str
) -> Outlook:
    plan = plan_of(rulebook.escalation)
    if plan is None:
        return Outlook(f"{found}bridge.yaml has no escalation.levels.", start, alert_id, because="no_levels")
    if urgency == Urgency.LOW.value and not plan.raise_urgency:
        message = f"{found}Low urgency is not escalated; escalation.raise_urgency: true would raise it."
        return Outlook(message, start, alert_id, because="low_urgency")
    message = f"{found}T is when PagerDuty confirms the incident; unless somebody acknowledges it:"
    return Outlook(message, start, alert_id, steps=upcoming_levels(armed(Escalation(VIRTUAL, plan, start)), on_policy))


TITLE = "[DRILL] TruthVouch escalation drill: nothing has happened"
POLL_SECONDS = 0.5
READS_FOR_IT, BETWEEN_READS_SECONDS = 8, 1.0
"""After an unclear create: PagerDuty lists an incident moments after it opened it."""
GRACE = timedelta(seconds=60)
"""After the last level's time: the drill is late by more, so something is wrong."""
TRIES = 5
"""To close the incident again. After so many a person is asked to."""
PASSED = frozenset({"exhausted", "acknowledged"})
"""Outcomes of a drill that went well: every level was moved, or somebody took it."""
PAGE = 100


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be played."""

    key: IncidentKey
    service_id: str
    policy_id: str | None
    minutes: tuple[float, ...]
    """To wait before each level."""
    by: str = ""


class NotOpened(Exception):
    """PagerDuty would not open the incident; the reason word says why. Nobody was paged."""


class NoPolicy(NotOpened):
    """PagerDuty knows no such policy, so nothing was opened; the text is its id."""


class NotClosed(Exception):
    """The drill's incident is still open; the text says which."""


class NotFound(NotClosed):
    """Nobody knows whether the drill's incident was opened, so it may be open; the text is its key."""


@dataclass(frozen=True)
class Drill:
    """Opens, arms, watches, closes. Everything it sees is told as it happens."""

    incidents: Incidents
    operate: Operate
    overview: Overview
    clock: Clock = utc_now
    pause: Callable[[float], None] = time.sleep
    policies: Policies | None = None
    """To look whether the policy exists; None: nobody looks before the incident is open."""

    def __call__(self, scene: Scene, report: Callable[[str, Row], None]) -> str:
        """Play it; the answer is how it ended: ``exhausted``, ``acknowledged``, ``nobody_on_call``, ``late``, ...

        Raises ``NotOpened``, ``NoPolicy``; ``NotClosed`` if the incident could not be resolved in the end, or
        (``NotFound``) nobody knows whether there is one.
        """
        known = self.policies.policy(scene.policy_id) if self.policies is not None and scene.policy_id else None
        if isinstance(known, Refused) and known.status == 404:  # whatever else it answers, the drill itself shows
            raise NoPolicy(scene.policy_id)
        with self._incident(scene) as facts:
            report("opened", {"incident_id": facts.incident_id, "url": facts.html_url})
            detail = arming(scene.policy_id, scene.minutes, drill=True)
            if self.operate(CommandType.ESCALATE, facts.incident_id, detail=detail).outcome != "armed":
                return CommandOutcome.NOT_ARMED
            return self._watch(facts.incident_id, scene, report)

    @contextmanager
    def _incident(self, scene: Scene) -> Iterator[IncidentFacts]:
        """The incident, open inside the block and resolved after it, also when somebody interrupts, be it the create:
        it may have opened the incident before its answer came."""
        facts: IncidentFacts | None = None
        has_to_close = True
        try:
            facts = self._opened(scene)
            yield facts
        except (NotOpened, NotFound):
            has_to_close = False
            raise
        finally:
            if has_to_close:
                self._close((self._sought(scene) if facts is None else facts).incident_id)

    def _opened(self, scene: Scene) -> IncidentFacts:
        details = {
            "what": "A test of the escalation to you. Acknowledge it and the drill ends; it is resolved by itself.",
            "asked by": scene.by or "an operator",
        }
        source = "TruthVouch bridge"
        draft = IncidentDraft(scene.key, TITLE, Urgency.HIGH, "info", source, details, service_id=scene.service_id)
        reply = self.incidents.open(draft)
        if isinstance(reply, Done):
            return reply.value
        if isinstance(reply, Retry) and reply.unclear:
            return self._sought(scene)
        raise NotOpened(reply.reason)

    def _sought(self, scene: Scene) -> IncidentFacts:
        """The incident that may be open, and must not stay so. Raises ``NotFound``."""
        for attempt in range(READS_FOR_IT):
            if attempt:
                self.pause(BETWEEN_READS_SECONDS)
            found = self.incidents.find(scene.key)
            if isinstance(found, Done) and found.value:
                return found.value[0]
        raise NotFound(scene.key)

    def _close(self, incident_id: IncidentId) -> None:
        for _ in range(TRIES):
            if isinstance(self.incidents.set_status(incident_id, Status.RESOLVED, "The drill is over."), Done):
                break
            self.pause(1.0)
        else:
            raise NotClosed(incident_id)
        self.operate(CommandType.ESCALATE, incident_id, detail=CANCELLING)
        escalation = self.overview.escalation(incident_id)
        if escalation is not None and escalation.dead_letter_id is not None:  # nobody replays a drill
            self.operate(CommandType.DISCARD, str(escalation.dead_letter_id))

    def _watch(self, incident_id: IncidentId, scene: Scene, report: Callable[[str, Row], None]) -> str:
        last, until = 0, self.clock() + timedelta(minutes=sum(scene.minutes)) + GRACE
        while True:
            escalation = self.overview.escalation(incident_id)
            for row in self.overview.timeline(incident_id, Page(PAGE, last)):
                last = row["id"]
                report(row["event"], {"at": row["at"], **row["facts"]})
            if escalation is not None and escalation.state is not State.RUNNING:
                return escalation.reason
            if self.clock() > until:
                return "late"
            self.pause(POLL_SECONDS)
