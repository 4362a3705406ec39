"""Use case: what will be escalated when, if nobody acknowledges. Looks, and changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.alert import Alert
from app.domain.escalation import Climb, State, armed, course_of
from app.domain.escalation_plan import Planned, plan
from app.domain.names import IncidentId, Urgency
from app.domain.outcome import Done
from app.domain.rulebook import Rulebook
from app.domain.rules import decide
from app.ports.escalations import Standing
from app.services.overview import Overview

VIRTUAL = IncidentId("virtual")


@dataclass(frozen=True, slots=True)
class Outlook:
    """The levels to come, or why there are none."""

    words: str
    """For people."""
    facts: Mapping[str, Any]
    """For machines: ``alert_id``, ``incident_id``, ``escalated``, ``because``."""
    start: datetime
    steps: tuple[Planned, ...] = ()
    real: bool = False
    """The clock runs; otherwise it starts when PagerDuty confirms the incident."""


def of_alert(rulebook: Rulebook, alert: Alert, now: datetime) -> Outlook:
    """Of an alert that has not happened, by the rulebook in force."""
    decision = decide(rulebook, alert, now)
    urgency = decision.urgency.value if decision.urgency else "none"
    found = f"{decision.rule} gives it urgency {urgency}"
    if decision.urgency is None:
        return _nothing(now, f"No incident: {found}.", "no_incident", alert_id=alert.alert_id)
    return _virtual(rulebook, urgency, decision.escalation_policy_id, now, f"{found}. ", alert_id=alert.alert_id)


def of_matter(rulebook: Rulebook, overview: Overview, target: str, incidents: Standing | None) -> Outlook | None:
    """Of an alert or incident that the bridge knows; None when it knows neither."""
    link = overview.matter(target)
    incident_id = link["incident"]["id"] if link else target
    climb = overview.escalation(incident_id) if incident_id else None
    if climb is not None:
        return _of_climb(climb, _policy_now(climb, incidents))
    if link is None:
        return None
    start, alert_id = link["first_seen_at"], link["alert_id"]
    if not link["paged"]:
        return _nothing(start, "The rulebook gives this alert no incident.", "no_incident", alert_id=alert_id)
    if incident_id:
        words = "Its incident was confirmed when no levels were in force; `truthvouch escalation arm` escalates it."
        return _nothing(start, words, "not_armed", alert_id=alert_id, incident_id=incident_id)
    return _virtual(rulebook, link["urgency"], rulebook.escalation_policy_id, start, "", alert_id=alert_id)


def _of_climb(climb: Climb, on_policy: str | None) -> Outlook:
    facts = {"alert_id": climb.alert_id, "incident_id": climb.incident_id}
    if climb.state is State.RUNNING:
        words = f"Incident {climb.incident_id}, unless somebody acknowledges it:"
        return Outlook(words, _facts(True, "", **facts), climb.clock_at, plan(climb, on_policy), real=True)
    again = {
        "acknowledged": "An un-acknowledge starts the clock again.",
        "merged": "The surviving incident goes its own way.",
    }.get(climb.reason, "A reopen begins anew at level 1.")
    words = f"Incident {climb.incident_id} is not escalated now: {climb.reason}. {again}"
    return _nothing(climb.clock_at, words, climb.reason, **facts)


def _policy_now(climb: Climb, incidents: Standing | None) -> str | None:
    """The policy the incident is on, as PagerDuty shows it now."""
    seen = incidents.get(climb.incident_id) if incidents is not None else None
    return seen.value.escalation_policy_id if isinstance(seen, Done) else None


def _virtual(
    rulebook: Rulebook, urgency: str | None, on_policy: str | None, start: datetime, found: str, **facts: Any
) -> Outlook:
    course = course_of(rulebook.escalation)
    if course is None:
        return _nothing(start, f"{found}bridge.yaml has no escalation.levels.", "no_levels", **facts)
    if urgency == Urgency.LOW.value and not course.raise_urgency:
        words = f"{found}Low urgency is not escalated; escalation.raise_urgency: true would raise it."
        return _nothing(start, words, "low_urgency", **facts)
    climb = armed(Climb(VIRTUAL, course, start))
    words = f"{found}T is when PagerDuty confirms the incident; unless somebody acknowledges it:"
    return Outlook(words, _facts(True, "", **facts), start, plan(climb, on_policy))


def _nothing(start: datetime, words: str, because: str, **facts: Any) -> Outlook:
    return Outlook(words, _facts(False, because, **facts), start)


def _facts(escalated: bool, because: str, **facts: Any) -> Mapping[str, Any]:
    named = {"alert_id": None, "incident_id": None, **facts}
    return named | {"escalated": escalated, "because": because or None}
