"""A *climb*: one incident on its way up our own escalation, and what every word does to it.

The clock of a climb runs while nobody acknowledged; the words that stop and start it are the registers of
``link.Clock``, so neither their order nor hearing one twice matters. What a move is and when it is made stands in
``escalation_step``, what an answer means in ``escalation_answer``. The picture is in docs/escalation.md and changes
with these files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.lifecycle import said_at
from app.domain.link import Clock
from app.domain.names import AlertId, IncidentId, LinkId, Status
from app.domain.rulebook import Escalation
from app.domain.words import IncidentVerb, IncidentWord

LOOK_AGAIN = timedelta(minutes=5)
"""How often an acknowledged incident that is no alert's is looked at: perhaps no webhook of its service comes here, and
then nobody tells of an un-acknowledge. The others are looked at by reconciliation."""


class State(StrEnum):
    """How a climb stands."""

    RUNNING = "running"
    PAUSED = "paused"
    """Somebody acknowledged."""
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Rung:
    """One of our levels: how long to wait before it, counted from the level before."""

    timeout_seconds: float
    description: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a climb goes."""

    policy_id: str | None
    """None: stay on the policy that the incident is on."""
    rungs: tuple[Rung, ...]
    raise_urgency: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What is about to be asked of PagerDuty, written down before it is asked."""

    level: int
    """Which of our levels, from 1."""
    policy_id: str
    """The policy on which the incident is to be."""
    to_level: int
    """The level of that policy."""
    begun_at: datetime
    puts: bool = False
    """It is on another policy before."""


@dataclass(frozen=True, slots=True)
class Climb:
    """One incident, linked to an alert or not. A value: every change makes a new one."""

    incident_id: IncidentId
    course: Course
    clock_at: datetime
    """Since when the next level's time counts."""
    link_id: LinkId | None = None
    alert_id: AlertId | None = None
    by: str = ""
    """Who asked for it; empty: the rulebook."""
    drill: bool = False
    heard: Clock = field(default_factory=Clock)
    """The newest words about the incident, or its alert."""
    begun_at: datetime | None = None
    """When it was armed or last began anew: what was resolved and reopened before is history."""
    state: State = State.RUNNING
    reason: str = ""
    """Why it does not run: ``acknowledged``, ``resolved``, ``exhausted``, ``low_urgency``, ``nobody_on_call``, ..."""
    fired: int = 0
    """Levels that are over, moved or skipped."""
    skipped: int = 0
    """How many of them were skipped since the last move."""
    placed: bool = False
    """It was put on its policy: wherever somebody takes it now, it only rises."""
    at_level: int = 1
    """To which level it was last moved; where it stands is read before every move."""
    at_policy: str | None = None
    """Of which policy."""
    due_at: datetime | None = None
    """When somebody has to look next; None: nobody has to."""
    move: Move | None = None
    """What was about to be asked, and may have been."""
    attempt: int = 0
    """Failed tries since something last went well."""
    failing: str = ""
    failing_since: datetime | None = None
    letter_id: int | None = None
    """The open dead letter that this climb became."""

    @property
    def next_level(self) -> int | None:
        """The level that has its turn next, from 1; None after the last."""
        return self.fired + 1 if self.fired < len(self.course.rungs) else None


def course_of(escalation: Escalation) -> Course | None:
    """The rulebook's; None where it has no levels."""
    rungs = tuple(Rung(level.timeout_minutes * 60, level.description) for level in escalation.levels)
    return Course(escalation.policy_id, rungs, escalation.raise_urgency) if rungs else None


def armed(climb: Climb) -> Climb:
    """A fresh climb as what is already known of its incident wants it: running, paused or over."""
    return _standing(replace(climb, begun_at=climb.begun_at or climb.clock_at))


def level_at(climb: Climb) -> datetime | None:
    """When the next level's time is up while the clock runs."""
    if climb.next_level is None:
        return None
    return climb.clock_at + timedelta(seconds=climb.course.rungs[climb.fired].timeout_seconds)


def running(climb: Climb) -> Climb:
    """The climb waiting for its next level, or done with all of them."""
    if climb.next_level is None:
        return finished(climb, "exhausted")
    return replace(climb, state=State.RUNNING, reason="", due_at=level_at(climb))


def paused(climb: Climb, since: datetime) -> Climb:
    """The climb while somebody has the incident in hand."""
    look_at = since + LOOK_AGAIN if climb.link_id is None else None
    return _untried(replace(climb, state=State.PAUSED, reason="acknowledged", due_at=look_at))


def finished(climb: Climb, reason: str) -> Climb:
    """The climb at its end."""
    return _untried(replace(climb, state=State.FINISHED, reason=reason, due_at=None))


def _untried(climb: Climb) -> Climb:
    return replace(climb, attempt=0, failing="", failing_since=None)


def _standing(climb: Climb) -> Climb:
    match climb.heard.status:
        case Status.RESOLVED:
            return finished(climb, "resolved")
        case Status.ACKNOWLEDGED:
            return paused(climb, climb.heard.acknowledged_at or climb.clock_at)
        case Status.OPEN:
            return running(climb)


# ------------------------------------------------------------------------------------------------------- words

REGISTERS: Mapping[IncidentVerb, str | None] = {
    IncidentVerb.TRIGGERED: None,
    IncidentVerb.ACKNOWLEDGED: "acknowledged_at",
    IncidentVerb.UNACKNOWLEDGED: "unacknowledged_at",
    IncidentVerb.RESOLVED: "resolved_at",
    IncidentVerb.REOPENED: "reopened_at",
    IncidentVerb.MERGED: None,
    IncidentVerb.ANNOTATED: None,
    IncidentVerb.READ: None,
    IncidentVerb.MENTIONED: None,
}
"""What a word moves. A look moves what it shows to be new (``_shown``); a merge ends the climb."""


def heard(climb: Climb, word: IncidentWord, now: datetime, course: Course | None = None) -> Climb:
    """The climb after a word about its incident. ``course``: the rulebook's of today, for a climb that begins anew."""
    if word.verb is IncidentVerb.MERGED:
        return finished(climb, "merged") if climb.state is not State.FINISHED else climb
    register = _shown(climb.heard, word.status) if word.verb is IncidentVerb.READ else REGISTERS[word.verb]
    return climb if register is None else told(climb, climb.heard.hearing(register, said_at(word, now)), course)


def _shown(known: Clock, status: Status | None) -> str | None:
    if status is None or status is known.status:
        return None
    if status is Status.OPEN:
        return "reopened_at" if known.status is Status.RESOLVED else "unacknowledged_at"
    return "acknowledged_at" if status is Status.ACKNOWLEDGED else "resolved_at"


def told(climb: Climb, clock: Clock, course: Course | None = None) -> Climb:
    """The climb after its incident's clock moved to ``clock``; the same clock changes nothing.

    A reopen that undoes a resolve begins anew at level 1, whatever ended the climb before; another one (its own echo,
    or said again) does not. An un-acknowledge starts the clock again for the next level that has not had its turn. What
    is over for another reason stays over.
    """
    before, climb = climb, replace(climb, heard=clock)
    if _begins_anew(before, clock):
        return _anew(climb, course)
    if clock.status is before.heard.status or before.state is State.FINISHED:
        return climb
    opened = max(filter(None, (clock.unacknowledged_at, clock.reopened_at)), default=None)
    since = opened if clock.status is Status.OPEN else None
    return _standing(replace(climb, clock_at=since or climb.clock_at))


def _begins_anew(climb: Climb, clock: Clock) -> bool:
    """Whether the incident was resolved and reopened since this climb began, in whatever order the two were told."""
    if clock.status is Status.RESOLVED:
        return False
    resolved, begun = clock.resolved_at, climb.begun_at or climb.clock_at
    return climb.heard.status is Status.RESOLVED or (resolved is not None and resolved > begun)


def followed(climb: Climb, clock: Clock, course: Course | None = None) -> Climb:
    """The climb after its alert moved: ``clock`` is the link's, which knows what both sides said. What is said at
    TruthVouch counts before PagerDuty has been told, and may be taken back before that."""
    known = climb.heard
    for register in fields(clock):
        at: datetime | None = getattr(clock, register.name)
        known = known.hearing(register.name, at) if at else known
    return told(climb, known, course)


def flapped(climb: Climb, clock: Clock, course: Course | None = None) -> Climb:
    """The climb after its alert was reopened while the resolve before was still held back: nobody at PagerDuty has seen
    either, so it goes on where it was. A level whose time came meanwhile is due now."""
    after = followed(replace(climb, begun_at=clock.reopened_at or climb.begun_at), clock, course)
    due = after.clock_at if after.skipped else level_at(after)
    if after.state is not State.RUNNING or after.due_at is None or due is None:
        return after
    return replace(after, due_at=min(after.due_at, due))


def _anew(climb: Climb, course: Course | None) -> Climb:
    since = climb.heard.reopened_at or climb.clock_at
    if climb.heard.unacknowledged_at and climb.heard.unacknowledged_at > since:
        since = climb.heard.unacknowledged_at
    return _standing(
        Climb(
            climb.incident_id,
            course if course and not climb.by else climb.course,
            since,
            climb.link_id,
            climb.alert_id,
            climb.by,
            climb.drill,
            climb.heard,
            since,
        )
    )
