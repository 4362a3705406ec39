"""Where an alert stands, why it was paged or not, and what happens next and when, in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from app.domain.escalation.state import Escalation, State, level_at
from app.domain.model.types import Side, Status
from app.domain.rules.decide import SEVERITY_MAP
from app.domain.sync.effects import (
    AddNote,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    ReadNote,
    SetAlert,
    SetIncident,
)
from app.domain.sync.link import Link
from app.ui.shapes import ago
from app.ui.story import PARTNERS, written

VERBS: Mapping[Status, str] = {Status.OPEN: "reopen", Status.ACKNOWLEDGED: "acknowledge", Status.RESOLVED: "resolve"}


GIVEN_UP: Mapping[str, str] = {
    "OpenIncident": "Open the incident",
    "LookForIncident": "Look for the incident",
    "SetIncident open": "Reopen the incident",
    "SetIncident acknowledged": "Acknowledge the incident",
    "SetIncident resolved": "Resolve the incident",
    "ReadIncident": "Read where the incident stands",
    "ReadAlert": "Read where the alert stands",
    "ReadNote": "Read a note in full",
    "AddNote": "Write a note to the incident",
    "SetAlert open": "Reopen the alert",
    "SetAlert acknowledged": "Acknowledge the alert",
    "SetAlert resolved": "Resolve the alert",
}
"""What a dead letter's effect was to do."""
KINDS: Mapping[str, str] = {
    "event": "A webhook that could not be read",
    "escalation": "A move of an escalation",
    "effect": "A delivery that broke",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence, and how it is shown: ``bad``, ``warn``, ``good`` or nothing."""

    text: str
    tone: str = ""


def why(rule: str, urgency: str, has_incident: bool) -> str:
    """Why an alert was paged, or was not, in a line."""
    if not rule:
        return "Nothing is decided about it yet."
    by = "the severity map" if rule == SEVERITY_MAP else f"“{rule}”"
    if urgency:
        return (
            f"Paged with {urgency} urgency, by {by}."
            if has_incident
            else f"To be paged with {urgency} urgency, by {by}."
        )
    return (
        f"No rule pages it ({by}), but an incident was opened all the same." if has_incident else f"Not paged, by {by}."
    )


def key_name(key: str, part: str = "") -> str:
    """What the budget of a key is called, as ``truthvouch_bridge_budget_left`` names it; ``part``: some calls alone."""
    api, _, digest = key.partition(":")
    name = {"pagerduty-rest": "PagerDuty, REST", "pagerduty-events": "PagerDuty, events"}.get(api)
    name = name or {"truthvouch-reads": "TruthVouch, reads this hour"}.get(api, api)
    return " ".join(filter(None, (name, f"(key {digest[:6]})" if digest else "", f"· {part}" if part else "")))


def named(effect: Effect) -> str:
    """What an effect does, after *will* or *to*."""
    match effect:
        case OpenIncident():
            return "open the incident"
        case LookForIncident():
            return "look for the incident"
        case SetIncident(status):
            return f"{VERBS[status]} the incident"
        case SetAlert(status, _):
            return f"{VERBS[status]} the alert"
        case ReadIncident():
            return "read where the incident stands"
        case ReadAlert():
            return "read where the alert stands"
        case ReadNote(_):
            return "read a note in full"
        case AddNote():
            return "write a note to the incident"


def given_up(kind: str, effect: str) -> str:
    """What a dead letter is about."""
    return GIVEN_UP.get(effect, effect) or KINDS.get(kind, kind)


def upcoming(
    link: Link,
    next_effects: Mapping[Side, Effect | None],
    waits: Mapping[Side, Effect | None],
    escalation: Escalation | None,
    now: datetime,
    zone: tzinfo = UTC,
) -> list[Remark]:
    """What happens next, and when; what keeps it from happening."""
    remarks = [remark for side in Side for remark in _at_side(link, side, next_effects, waits, now, zone)]
    if link.frozen_at:
        since = written(link.frozen_at, zone)
        text = f"Frozen since {since}: the two sides kept undoing each other's changes. Only a resolve is carried."
        remarks.append(Remark(text, "warn"))
    if link.hold_until and link.hold_until > now and link.status is Status.RESOLVED:
        until = f"{written(link.hold_until, zone)} ({ago(link.hold_until, now)})"
        remarks.append(Remark(f"The resolve is held back until {until}, in case the alert reopens.", "warn"))
    if escalation is not None:
        remarks += escalating(escalation, now, zone)
    if not remarks:
        remarks.append(Remark(f"Nothing is pending. Both sides are to be {link.status}, and are.", "good"))
    return remarks


def _at_side(
    link: Link,
    side: Side,
    next_effects: Mapping[Side, Effect | None],
    waits: Mapping[Side, Effect | None],
    now: datetime,
    zone: tzinfo,
) -> list[Remark]:
    delivery, partner = link.delivery(side), PARTNERS[side.value]
    remarks, effect, waiting = [], next_effects.get(side), waits.get(side)
    if delivery.dead:
        rest = f" Still to do: {named(waiting)}." if waiting else ""
        remarks.append(Remark(f"{partner}: stopped at a dead letter ({delivery.dead}).{rest}", "bad"))
    elif delivery.refused:
        text = f"{partner} refused for good to be {delivery.refused}; it is not asked again until something changes."
        remarks.append(Remark(text, "bad"))
    if effect is not None:
        due = delivery.due_at
        when = f" {ago(due, now)} ({written(due, zone)})" if due is not None and due > now else " now"
        failed = f" {delivery.attempt} tries failed so far ({delivery.failing})." if delivery.failing else ""
        tone = "warn" if failed else ""
        remarks.append(Remark(f"{partner}: the bridge is to {named(effect)}{when}.{failed}", tone))
    return remarks


def escalating(escalation: Escalation, now: datetime, zone: tzinfo = UTC) -> list[Remark]:
    """How an escalation goes on."""
    of = len(escalation.plan.levels)
    due = level_at(escalation)
    match escalation.state:
        case State.RUNNING if due is not None:
            level, at = f"level {escalation.next_level} of {of}", written(due, zone)
            text = f"Unless somebody acknowledges, {level} comes {ago(due, now)} ({at})."
            if due <= now:
                text = f"Nobody acknowledged: {level} has been due since {at}, and is reached next."
            failed = f" {escalation.attempt} tries failed so far ({escalation.failing})." if escalation.failing else ""
            return [Remark(text + failed, "warn")]
        case State.PAUSED:
            return [Remark(f"Escalation rests after {escalation.levels_done} of {of} levels: {_because(escalation)}.")]
        case _:
            return []


def next_level(escalation: Escalation | None, now: datetime, zone: tzinfo = UTC) -> str:
    """What an escalation at once does, in a sentence."""
    due = level_at(escalation) if escalation is not None else None
    if escalation is None or escalation.next_level is None:
        return "The incident rises one level on the escalation policy that it is on."
    level = f"Level {escalation.next_level} of {len(escalation.plan.levels)}"
    if escalation.state is not State.RUNNING or due is None:
        return f"{level} comes now."
    return f"{level} comes now, instead of {ago(due, now)} ({written(due, zone)}); those after it keep their time."


def _because(escalation: Escalation) -> str:
    return escalation.reason.replace("_", " ") or "somebody has the incident in hand"
