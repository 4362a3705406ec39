"""What an escalation does when its time is up, by what PagerDuty shows at that moment, and what comes of it.

The time line of an escalation on a virtual clock: what will happen if nobody acknowledges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.escalation import state
from app.domain.escalation.state import Escalation, Move, State
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import BUDGET_SPENT, NOT_ASKED, Held, Refused, Retry
from app.domain.model.pagerduty_account import OnCall
from app.domain.model.types import Status, Urgency
from app.domain.sync.effects import OpenIncident
from app.domain.sync.retry import KEEP_TRYING, PAUSE_PROBE_DELAY, next_try, turned_away
from app.domain.sync.side_state import SideState, usable


@dataclass(frozen=True, slots=True)
class Skip:
    """Nobody is on call there: the next level has its turn at once."""

    move: Move


def after_read(escalation: Escalation, facts: IncidentFacts, ours: Status | None, now: datetime) -> Escalation:
    """The escalation after its incident was read. That decides, unless what its links say (``ours``; None = as last) is
    further along: an acknowledge from TruthVouch that is still on its way to PagerDuty counts already."""
    if facts.merged_into:
        return state.finished(escalation, "merged")
    side = SideState(facts.status, usable(facts.status_changed_at, now), now)
    shown = replace(escalation, links_status=ours or escalation.links_status, incident_side=side)
    after = state.applied(escalation, shown, now)
    if after.state is State.RUNNING:
        return after
    return state.paused(after, now) if after.state is State.PAUSED else state.finished(after, after.reason)


def is_low(escalation: Escalation, facts: IncidentFacts) -> bool:
    """Whether PagerDuty would escalate nothing:
    https://support.pagerduty.com/main/docs/configurable-service-settings"""
    return escalation.state is State.RUNNING and facts.urgency == Urgency.LOW.value


def policy_of(escalation: Escalation, facts: IncidentFacts) -> str:
    """The policy whose people the next move is about; empty where there is none."""
    policy_id = facts.escalation_policy_id
    return (policy_id if _stays(escalation, policy_id) else escalation.plan.policy_id) or ""


def next_move(escalation: Escalation, facts: IncidentFacts, on_call: Sequence[OnCall], now: datetime) -> Move | Skip:
    """The move of the next level, or that nobody is on call where it would lead. ``on_call``: of ``policy_of``.

    Needs an escalation that has a next level. Levels that were skipped just before count: the way up does not end with
    them.
    """
    stays = _stays(escalation, facts.escalation_policy_id)
    to_level = (standing_at(escalation, facts, on_call) if stays else 0) + 1 + escalation.skipped
    move = Move(escalation.levels_done + 1, policy_of(escalation, facts), to_level, now, puts=not stays)
    return move if _people(on_call, move.to_level) else Skip(move)


def _stays(escalation: Escalation, on_policy: str | None) -> bool:
    return escalation.policy_assigned or escalation.plan.policy_id in (None, on_policy)


def standing_at(escalation: Escalation, facts: IncidentFacts, on_call: Sequence[OnCall]) -> int:
    """The policy's level at which the incident is. PagerDuty does not say, so the assigned people have to.

    Somebody may be on call at several levels: the level to which we moved it counts, if its people are assigned;
    else the lowest above it, for PagerDuty itself only goes up; else the highest.
    """
    assigned = set(facts.assignee_ids)
    counted = escalation.at_level if escalation.at_policy == facts.escalation_policy_id else 1
    levels = sorted({entry.level for entry in on_call if entry.user_id in assigned})
    if not levels or counted in levels:
        return counted
    return next((level for level in levels if level > counted), levels[-1])


def has_arrived(move: Move, facts: IncidentFacts, on_call: Sequence[OnCall]) -> bool:
    """Whether a move that may have been made has had its effect, by what PagerDuty shows now.

    It has if somebody of its level is assigned who is not of the level below (one of several is, where a policy takes
    turns), or just its people are and those below are others. The same people on both prove nothing, and asking for the
    level once more harms nobody. ``on_call``: of the policy the move leads to.
    """
    if move.policy_id != facts.escalation_policy_id:
        return False
    if move.puts and move.to_level == 1:
        return True
    assigned, wanted = set(facts.assignee_ids), _people(on_call, move.to_level)
    # Empty levels were skipped: it came from the next one below that has people.
    came_from = max((entry.level for entry in on_call if entry.level < move.to_level), default=0)
    below = _people(on_call, came_from)
    return bool((wanted - below) & assigned) or (bool(wanted) and assigned == wanted != below)


def _people(on_call: Sequence[OnCall], level: int) -> set[str]:
    return {entry.user_id for entry in on_call if entry.level == level}


PUNCTUAL = timedelta(seconds=5)
"""A level that was no later than this counts from its own time, so that fractions of seconds do not add up; one that
was later counts from when it was done, for whoever was paged has a right to the whole time."""


class Failure(StrEnum):
    """What a call was that did not do what was asked."""

    RETRY = "retry"
    HELD = "held"
    WAITED = "waited"
    """Nobody was asked."""
    REFUSED = "refused"
    """Given up until a person decides."""


@dataclass(frozen=True, slots=True)
class Setback:
    """The escalation after such a call."""

    escalation: Escalation
    outcome: Failure
    reason: str
    detail: str = ""


def moved(escalation: Escalation, move: Move, at: datetime) -> Escalation:
    """The escalation after this move was made at that time. While somebody has the incident in hand it stays paused."""
    due = state.level_at(escalation)
    on_time = due is not None and not escalation.skipped and at - due <= PUNCTUAL
    after = replace(
        state.untried(escalation),
        move=None,
        levels_done=move.level,
        skipped=0,
        policy_assigned=True,
        at_level=move.to_level,
        at_policy=move.policy_id,
        moves=escalation.moves + 1,
        clock_at=max(escalation.clock_at, due if on_time and due else at),
    )
    return state.running(after) if after.state is State.RUNNING else after


def skipped(escalation: Escalation, move: Move, at: datetime, reason: str) -> Escalation:
    """The escalation after a level with nobody on call: the next one is due now."""
    after = replace(
        state.untried(escalation), move=None, levels_done=move.level, skipped=escalation.skipped + 1, due_at=at
    )
    return after if after.next_level is not None else state.finished(after, reason)


def set_back(escalation: Escalation, reply: Retry | Held | Refused, now: datetime, jitter: float) -> Setback:
    """The escalation after a call that failed. ``jitter`` uniform in 0..1. An escalation is a page: it is tried as
    steeply, for a day; refused credentials are probed every 15 seconds and never given up. What was about to be asked
    stays written down: it may have been done, whatever a later call says."""
    match reply:
        case Refused(reason, detail=detail):
            return Setback(state.finished(escalation, reason), Failure.REFUSED, reason, detail)
        case Held(reason, after_seconds) if reason in NOT_ASKED:
            after = after_seconds or 0.0
            after = turned_away(after, jitter) if reason == BUDGET_SPENT else after
            return Setback(_later(escalation, now, after), Failure.WAITED, reason)
        case Held(reason, after_seconds):
            after = PAUSE_PROBE_DELAY if after_seconds is None else min(after_seconds, PAUSE_PROBE_DELAY)
            held = replace(escalation, attempt=escalation.attempt + 1, failing=reason, failing_since=None)
            return Setback(_later(held, now, after), Failure.HELD, reason)
        case Retry(reason, after_seconds):
            since = escalation.failing_since or now
            if now - since > KEEP_TRYING:
                reason = f"gave_up:{reason}"
                return Setback(state.finished(escalation, reason), Failure.REFUSED, reason)
            after = next_try(OpenIncident(look_first=True), escalation.attempt + 1, after_seconds, jitter)
            failing = replace(escalation, attempt=escalation.attempt + 1, failing=reason, failing_since=since)
            return Setback(_later(failing, now, after), Failure.RETRY, reason)


def asked_again(escalation: Escalation, now: datetime) -> Escalation:
    """The escalation after an operator replayed its dead letter: it goes on at once, if nobody has the incident in
    hand."""
    again = state.armed(replace(escalation, dead_letter_id=None))
    return replace(again, due_at=now) if again.state is State.RUNNING else again


def _later(escalation: Escalation, now: datetime, after: float) -> Escalation:
    """Never before the level's own time, unless it has its turn early because others were skipped."""
    own = state.level_at(escalation) if escalation.state is State.RUNNING and not escalation.skipped else None
    return replace(escalation, due_at=max(filter(None, (now + timedelta(seconds=after), own))))


@dataclass(frozen=True, slots=True)
class UpcomingLevel:
    """One level to come: a ``Move``, if nobody else moves the incident."""

    level: int
    at: datetime
    """At the earliest: a level whose predecessor is late is as late."""
    policy_id: str | None
    """None: whatever policy the incident is on."""
    to_level: int
    puts: bool
    description: str = ""


def upcoming_levels(escalation: Escalation, on_policy: str | None = None) -> tuple[UpcomingLevel, ...]:
    """The levels to come, from the next one on. ``on_policy``: where the incident is now, None if nobody knows."""
    stays, done, at = _stays(escalation, on_policy), escalation.levels_done, escalation.clock_at
    below = (escalation.at_level if stays else 0) + escalation.skipped
    policy_id = on_policy if escalation.policy_assigned and on_policy else escalation.plan.policy_id or on_policy
    planned = []
    for place, level in enumerate(escalation.plan.levels[done:], start=1):
        at += timedelta(seconds=level.timeout_seconds)
        puts = not stays and place == 1
        planned.append(UpcomingLevel(done + place, at, policy_id, below + place, puts, level.description))
    return tuple(planned)


def who(planned: UpcomingLevel, on_call: Sequence[OnCall]) -> tuple[str, ...]:
    """The names of whoever is on call there now; empty: nobody, so the level would be skipped."""
    there = [entry for entry in on_call if (entry.policy_id, entry.level) == (planned.policy_id, planned.to_level)]
    return tuple(dict.fromkeys(entry.user_name or entry.user_id for entry in there))
