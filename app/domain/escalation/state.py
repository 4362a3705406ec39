"""An *escalation*: one incident on its way up our own escalation, and what happens to it when the incident changes.

Its timers run on our receipt. Where the incident stands is what its links say: their state machine has settled order,
echoes and clocks. What no link knows is kept here, by PagerDuty's own clock. What a move is and when it is made stands
in ``steps``, and what an answer means, too. The picture is in docs/escalation.md and changes
with these files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.model.events import IncidentEvent, IncidentEventType
from app.domain.model.types import AlertId, IncidentId, LinkId, Status
from app.domain.rules.rulebook import EscalationRules
from app.domain.sync.observations import observed
from app.domain.sync.side_state import SETTLING, Applied, Order, Said, SideState, compare, said, usable
from app.domain.sync.transitions import INCIDENT_MOVES, observation_of

READ_AGAIN = timedelta(minutes=5)
"""How often an acknowledged incident that is no alert's is looked at: perhaps no webhook of its service comes here, and
then nobody tells of an un-acknowledge. The others are looked at by reconciliation."""


class State(StrEnum):
    """How an escalation stands."""

    RUNNING = "running"
    PAUSED = "paused"
    """Somebody acknowledged."""
    FINISHED = "finished"


class EscalationOutcome(StrEnum):
    """What comes of a level that had its turn: what is counted."""

    MOVED = "moved"
    REFUSED = "refused"
    """PagerDuty's final no: a dead letter."""
    NOBODY_ON_CALL = "nobody_on_call"
    NO_SUCH_LEVEL = "no_such_level"
    """The policy goes no higher."""
    LOW_URGENCY = "low_urgency"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    MERGED = "merged"
    EXHAUSTED = "exhausted"
    """All levels are done."""


@dataclass(frozen=True, slots=True)
class PlanLevel:
    """One of our levels: how long to wait before it, counted from the level before."""

    timeout_seconds: float
    description: str = ""


@dataclass(frozen=True, slots=True)
class EscalationPlan:
    """Where an escalation goes."""

    policy_id: str | None
    """None: stay on the policy that the incident is on."""
    levels: tuple[PlanLevel, ...]
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
class Hurry:
    """That somebody asked for the next level at once."""

    by: str
    at: datetime
    moves: int
    """How often the incident had been moved by then."""
    ask: str = ""
    """Tells this request from others."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """One incident, linked to an alert or not. A value: every change makes a new one."""

    incident_id: IncidentId
    plan: EscalationPlan
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
    levels_done: int = 0
    """Moved or skipped."""
    skipped: int = 0
    """How many of them were skipped since the last move."""
    policy_assigned: bool = False
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
    dead_letter_id: int | None = None
    """The open dead letter that this escalation became."""
    moves: int = 0
    """How often it was moved, over every life: tells one look at it from a later one."""
    hurried: Hurry | None = None
    """The last request for a level at once, in this life."""
    usual_plan: EscalationPlan | None = None
    """What ``plan`` was before somebody asked for a level at once, where that changed it: a later life has it again."""

    @property
    def status(self) -> Status:
        """Where the incident stands: what its links say, or what it showed itself if that is further along."""
        return max(self.links_status, self.incident_side.status or Status.OPEN, key=lambda status: status.rank)

    @property
    def next_level(self) -> int | None:
        """The level that has its turn next, from 1; None after the last."""
        return self.levels_done + 1 if self.levels_done < len(self.plan.levels) else None


def plan_of(escalation: EscalationRules) -> EscalationPlan | None:
    """The rulebook's; None where it has no levels."""
    levels = tuple(PlanLevel(level.timeout_minutes * 60, level.description) for level in escalation.levels)
    return EscalationPlan(escalation.policy_id, levels, escalation.raise_urgency) if levels else None


def armed(escalation: Escalation) -> Escalation:
    """A fresh escalation as what is already known of its incident wants it: running, paused or over."""
    return _standing(replace(escalation, begun_at=escalation.begun_at or escalation.clock_at), escalation.clock_at)


def level_at(escalation: Escalation) -> datetime | None:
    """When the next level's time is up while the clock runs."""
    if escalation.next_level is None:
        return None
    return escalation.clock_at + timedelta(seconds=escalation.plan.levels[escalation.levels_done].timeout_seconds)


def running(escalation: Escalation) -> Escalation:
    """Waiting for its next level, or done with all of them."""
    if escalation.next_level is None:
        return finished(escalation, EscalationOutcome.EXHAUSTED.value)
    return replace(escalation, state=State.RUNNING, reason="", due_at=level_at(escalation))


def hurried(escalation: Escalation, hurry: Hurry, raise_urgency: bool = False) -> Escalation:
    """The escalation with its next level due at once, also of one that ended before it. After the last level the
    incident rises once more on the policy that it is on. What is asked for so holds for this life of the incident
    alone."""
    escalation = replace(escalation, hurried=hurry)
    if escalation.state is State.FINISHED:
        escalation = replace(escalation, skipped=0, move=None, dead_letter_id=None)
    plan, done = escalation.plan, escalation.levels_done
    if escalation.next_level is None:
        plan, done = EscalationPlan(None, (PlanLevel(0.0),), plan.raise_urgency), 0
    if raise_urgency:
        plan = replace(plan, raise_urgency=True)
    if plan != escalation.plan:
        usual = escalation.usual_plan or escalation.plan
        escalation = replace(escalation, plan=plan, levels_done=done, usual_plan=usual)
    else:
        escalation = replace(escalation, levels_done=done)
    timeout = timedelta(seconds=plan.levels[done].timeout_seconds)
    return running(untried(replace(escalation, clock_at=hurry.at - timeout)))


SAME_MOMENT = timedelta(seconds=10)
"""Whoever asks for a level at once and does not say what they saw, may have seen what was so long ago."""
SAME_LEVEL = timedelta(minutes=1)
"""So long after a level came, whoever asks and has not seen it may mean that one; later they mean the next, for nobody
has reacted to that."""


def is_asked_for(escalation: Escalation, saw: int | None, raise_urgency: bool, now: datetime) -> bool:
    """Whether somebody asked before for the level at once that is asked for now. ``saw``: the ``moves`` that whoever
    asks has seen; None where nobody says. What came to nothing may be asked for again."""
    last = escalation.hurried
    if last is None or (raise_urgency and not escalation.plan.raise_urgency):
        return False
    if escalation.moves > last.moves:
        same = saw == last.moves and is_level_fresh(escalation, now)
        return same or (saw is None and abs(now - last.at) < SAME_MOMENT)
    due = min(filter(None, (escalation.due_at, level_at(escalation))), default=None)
    waits_to_try_again = escalation.failing and escalation.due_at is not None and escalation.due_at > now
    return escalation.state is State.RUNNING and due is not None and due <= now and not waits_to_try_again


def is_level_fresh(escalation: Escalation, now: datetime) -> bool:
    """Whether the last level came so short a time ago that somebody who asks may not have seen it."""
    return abs(now - escalation.clock_at) < SAME_LEVEL


def paused(escalation: Escalation, since: datetime) -> Escalation:
    """The escalation while somebody has the incident in hand."""
    read_at = since + READ_AGAIN if escalation.link_id is None else None
    return untried(replace(escalation, state=State.PAUSED, reason="acknowledged", due_at=read_at))


def finished(escalation: Escalation, reason: str) -> Escalation:
    """The escalation at its end."""
    return untried(replace(escalation, state=State.FINISHED, reason=reason, due_at=None))


def untried(escalation: Escalation) -> Escalation:
    """The escalation after something went well."""
    return replace(escalation, attempt=0, failing="", failing_since=None)


def _standing(escalation: Escalation, now: datetime) -> Escalation:
    match escalation.status:
        case Status.RESOLVED:
            return finished(escalation, "resolved")
        case Status.ACKNOWLEDGED:
            return paused(escalation, now)
        case Status.OPEN:
            return running(escalation)


STILL = frozenset({IncidentEventType.TRIGGERED, IncidentEventType.ANNOTATED, IncidentEventType.MENTIONED})
"""The events of an incident that move no escalation."""

STATES: Mapping[Status, State] = {
    Status.OPEN: State.RUNNING,
    Status.ACKNOWLEDGED: State.PAUSED,
    Status.RESOLVED: State.FINISHED,
}
"""How an escalation stands that is not over for another reason."""


def event_applied(
    escalation: Escalation, event: IncidentEvent, now: datetime, plan: EscalationPlan | None = None
) -> Escalation:
    """The escalation after an event or a read of its incident of which no link knows. ``plan``: the rulebook's of
    today, for an escalation that begins anew. What cannot be put in order is read soon; until then it counts if it goes
    forward."""
    if event.type is IncidentEventType.MERGED:
        return finished(escalation, "merged") if escalation.state is not State.FINISHED else escalation
    if event.type in STILL:
        return escalation
    known, move = escalation.incident_side, INCIDENT_MOVES[event.type]
    if move.status is not None:
        side, outcome = said(known, Said(move.status, event.at, now, move.goes_back), readable=True)
        side = replace(side, status=move.status) if outcome is Applied.HINT and not move.goes_back else side
    else:
        side, _ = observed(known, observation_of(event, now)) if event.status else (known, None)
    after = applied(
        escalation, replace(escalation, incident_side=side), now, plan, anew=implies_a_resolve(known, event, now)
    )
    return replace(after, due_at=now + SETTLING) if side.must_read and after.status is not Status.OPEN else after


def by_itself(escalation: Escalation) -> Escalation:
    """The escalation of an incident for which its links do not speak, or do not any more: it stands as they said
    last."""
    if escalation.incident_side.status is not None or escalation.links_status is Status.OPEN:
        return escalation
    return replace(escalation, links_status=Status.OPEN, incident_side=SideState(escalation.links_status))


def implies_a_resolve(known: SideState, event: IncidentEvent, now: datetime) -> bool:
    """Whether this is a reopen of what was not resolved as far as is ``known``, and is later: a resolve came between of
    which nobody told. The echo of our own reopen is none."""
    if event.type is not IncidentEventType.REOPENED or known.status in (None, Status.RESOLVED):
        return False
    our_own = known.by_us and not known.confirmed and known.previous is Status.RESOLVED
    return not our_own and compare(usable(event.at, now), known.at) is Order.NEWER


def followed(
    escalation: Escalation,
    status: Status,
    life: int,
    now: datetime,
    plan: EscalationPlan | None = None,
    anew: bool = False,
) -> Escalation:
    """The escalation after its links may have moved: what they say now, and the life of its own link. What is said at
    TruthVouch counts before PagerDuty has been told, and may be taken back before that."""
    after = replace(escalation, links_status=status, life=life)
    return applied(escalation, after, now, plan, anew or life > escalation.life)


def flapped(
    escalation: Escalation, status: Status, life: int, now: datetime, plan: EscalationPlan | None = None
) -> Escalation:
    """The escalation after its alert was reopened while the resolve before was still held back: nobody at PagerDuty has
    seen either, so it goes on where it was. A level whose time came meanwhile is due now."""
    after = followed(replace(escalation, life=life), status, life, now, plan)
    due = after.clock_at if after.skipped else level_at(after)
    if after.state is not State.RUNNING or after.due_at is None or due is None:
        return after
    return replace(after, due_at=min(after.due_at, due))


def applied(
    before: Escalation, after: Escalation, now: datetime, plan: EscalationPlan | None = None, anew: bool = False
) -> Escalation:
    """``before`` with the news that ``after`` has. A reopen that undoes a resolve begins anew at level 1, whatever
    ended the escalation before; an un-acknowledge starts the clock again for the next level that has not had its turn.
    What is over for another reason stays over."""
    if after.link_id is not None and (after.incident_side.status or Status.OPEN).rank <= after.links_status.rank:
        after = replace(after, incident_side=SideState())
    if after.status is not Status.RESOLVED and (anew or before.status is Status.RESOLVED):
        return _anew(after, now, plan)
    if after.state in (State.FINISHED, STATES[after.status]):
        return after
    return _standing(replace(after, clock_at=now) if after.status is Status.OPEN else after, now)


def _anew(escalation: Escalation, now: datetime, plan: EscalationPlan | None) -> Escalation:
    plan = plan if plan and not escalation.by else escalation.usual_plan or escalation.plan
    known = replace(escalation, plan=plan, usual_plan=None, clock_at=now, begun_at=now, move=None, dead_letter_id=None)
    fresh = replace(known, hurried=None, levels_done=0, skipped=0, policy_assigned=False, at_level=1, at_policy=None)
    return _standing(untried(replace(fresh, state=State.RUNNING, reason="", due_at=None)), now)
