"""A *climb*: one incident on its way up our own escalation, and what happens to it when the incident changes.

Its timers run on our receipt. Where the incident stands is what its links say: their state machine has settled order,
echoes and clocks. What no link knows is kept here, by PagerDuty's own clock. What a move is and when it is made stands
in ``escalation_step``, what an answer means in ``escalation_answer``. The picture is in docs/escalation.md and changes
with these files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.names import AlertId, IncidentId, LinkId, Status
from app.domain.observations import observed
from app.domain.rulebook import Escalation
from app.domain.side_state import SETTLING, Applied, Order, Said, SideState, compare, said, usable
from app.domain.transitions import INCIDENT_MOVES, observation_of
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
    links_status: Status = Status.OPEN
    """What its links said last (``joint_status``); *open* where none knows the incident."""
    life: int = 0
    """Which life of its link it belongs to: a later one was reopened after a resolve."""
    incident_side: SideState = field(default_factory=SideState)
    """What the incident itself showed and no link knows of."""
    begun_at: datetime | None = None
    """When it was armed or last began anew, by our clock."""
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
    def status(self) -> Status:
        """Where the incident stands: what its links say, or what it showed itself if that is further along."""
        return max(self.links_status, self.incident_side.status or Status.OPEN, key=lambda status: status.rung)

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
    return _standing(replace(climb, begun_at=climb.begun_at or climb.clock_at), climb.clock_at)


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
    return untried(replace(climb, state=State.PAUSED, reason="acknowledged", due_at=look_at))


def finished(climb: Climb, reason: str) -> Climb:
    """The climb at its end."""
    return untried(replace(climb, state=State.FINISHED, reason=reason, due_at=None))


def untried(climb: Climb) -> Climb:
    """The climb after something went well."""
    return replace(climb, attempt=0, failing="", failing_since=None)


def _standing(climb: Climb, now: datetime) -> Climb:
    match climb.status:
        case Status.RESOLVED:
            return finished(climb, "resolved")
        case Status.ACKNOWLEDGED:
            return paused(climb, now)
        case Status.OPEN:
            return running(climb)


# ------------------------------------------------------------------------------------------------------- events

STILL = frozenset({IncidentVerb.TRIGGERED, IncidentVerb.ANNOTATED, IncidentVerb.MENTIONED})
"""The events of an incident that move no climb."""

STATES: Mapping[Status, State] = {
    Status.OPEN: State.RUNNING,
    Status.ACKNOWLEDGED: State.PAUSED,
    Status.RESOLVED: State.FINISHED,
}
"""How a climb stands that is not over for another reason."""


def heard(climb: Climb, word: IncidentWord, now: datetime, course: Course | None = None) -> Climb:
    """The climb after an event or a read of its incident of which no link knows. ``course``: the rulebook's of today,
    for a climb that begins anew. What cannot be put in order is read soon; until then it counts if it goes forward."""
    if word.verb is IncidentVerb.MERGED:
        return finished(climb, "merged") if climb.state is not State.FINISHED else climb
    if word.verb in STILL:
        return climb
    known, move = climb.incident_side, INCIDENT_MOVES[word.verb]
    if move.status is not None:
        side, outcome = said(known, Said(move.status, word.at, now, move.goes_back), readable=True)
        side = replace(side, status=move.status) if outcome is Applied.HINT and not move.goes_back else side
    else:
        side, _ = observed(known, observation_of(word, now)) if word.status else (known, None)
    after = applied(climb, replace(climb, incident_side=side), now, course, anew=implies_a_resolve(known, word, now))
    return replace(after, due_at=now + SETTLING) if side.must_read and after.status is not Status.OPEN else after


def by_itself(climb: Climb) -> Climb:
    """The climb of an incident for which its links do not speak, or do not any more: it stands as they said last."""
    if climb.incident_side.status is not None or climb.links_status is Status.OPEN:
        return climb
    return replace(climb, links_status=Status.OPEN, incident_side=SideState(climb.links_status))


def implies_a_resolve(known: SideState, word: IncidentWord, now: datetime) -> bool:
    """Whether this is a reopen of what was not resolved as far as is ``known``, and is later: a resolve came between of
    which nobody told. The echo of our own reopen is none."""
    if word.verb is not IncidentVerb.REOPENED or known.status in (None, Status.RESOLVED):
        return False
    our_own = known.by_us and not known.confirmed and known.previous is Status.RESOLVED
    return not our_own and compare(usable(word.at, now), known.at) is Order.NEWER


def followed(
    climb: Climb, status: Status, life: int, now: datetime, course: Course | None = None, anew: bool = False
) -> Climb:
    """The climb after its links may have moved: what they say now, and the life of its own link. What is said at
    TruthVouch counts before PagerDuty has been told, and may be taken back before that."""
    after = replace(climb, links_status=status, life=life)
    return applied(climb, after, now, course, anew or life > climb.life)


def flapped(climb: Climb, status: Status, life: int, now: datetime, course: Course | None = None) -> Climb:
    """The climb after its alert was reopened while the resolve before was still held back: nobody at PagerDuty has seen
    either, so it goes on where it was. A level whose time came meanwhile is due now."""
    after = followed(replace(climb, life=life), status, life, now, course)
    due = after.clock_at if after.skipped else level_at(after)
    if after.state is not State.RUNNING or after.due_at is None or due is None:
        return after
    return replace(after, due_at=min(after.due_at, due))


def applied(before: Climb, after: Climb, now: datetime, course: Course | None = None, anew: bool = False) -> Climb:
    """``before`` with the news that ``after`` has. A reopen that undoes a resolve begins anew at level 1, whatever
    ended the climb before; an un-acknowledge starts the clock again for the next level that has not had its turn. What
    is over for another reason stays over."""
    if after.link_id is not None and (after.incident_side.status or Status.OPEN).rung <= after.links_status.rung:
        after = replace(after, incident_side=SideState())
    if after.status is not Status.RESOLVED and (anew or before.status is Status.RESOLVED):
        return _anew(after, now, course)
    if after.state in (State.FINISHED, STATES[after.status]):
        return after
    return _standing(replace(after, clock_at=now) if after.status is Status.OPEN else after, now)


def _anew(climb: Climb, now: datetime, course: Course | None) -> Climb:
    course = course if course and not climb.by else climb.course
    known = replace(climb, course=course, clock_at=now, begun_at=now, move=None, letter_id=None)
    fresh = replace(known, fired=0, skipped=0, placed=False, at_level=1, at_policy=None)
    return _standing(untried(replace(fresh, state=State.RUNNING, reason="", due_at=None)), now)
