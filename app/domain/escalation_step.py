"""What a climb does when its time is up: a pure function of what PagerDuty shows at that moment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.account import OnCall, PolicyFacts
from app.domain.escalation import Climb, Move, State, applied, finished, paused
from app.domain.incident import IncidentFacts
from app.domain.names import Status, Urgency
from app.domain.side_state import SideState, usable


@dataclass(frozen=True, slots=True)
class Go:
    """Make this move."""

    move: Move


@dataclass(frozen=True, slots=True)
class Skip:
    """Nobody is on call there: the next level has its turn at once."""

    move: Move


def looked(climb: Climb, facts: IncidentFacts, ours: Status | None, now: datetime) -> Climb:
    """The climb after its incident was read. That decides, unless what its links say (``ours``; None = as last) is
    further along: an acknowledge from TruthVouch that is still on its way to PagerDuty counts already."""
    if facts.merged_into:
        return finished(climb, "merged")
    side = SideState(facts.status, usable(facts.status_changed_at, now), now)
    after = applied(climb, replace(climb, links_status=ours or climb.links_status, incident_side=side), now)
    if after.state is State.RUNNING:
        return after
    return paused(after, now) if after.state is State.PAUSED else finished(after, after.reason)


def is_low(climb: Climb, facts: IncidentFacts) -> bool:
    """Whether PagerDuty would escalate nothing: https://support.pagerduty.com/main/docs/configurable-service-settings"""
    return climb.state is State.RUNNING and facts.urgency == Urgency.LOW.value


# ------------------------------------------------------------------------------------------------------- moves


def policy_of(climb: Climb, facts: IncidentFacts) -> str:
    """The policy whose people the next move is about; empty where there is none."""
    return (facts.escalation_policy_id if _stays(climb, facts) else climb.course.policy_id) or ""


def next_move(climb: Climb, facts: IncidentFacts, on_call: Sequence[OnCall], now: datetime) -> Go | Skip:
    """The move of the next level, or that nobody is on call where it would lead. ``on_call``: of ``policy_of``.

    Needs a climb that has a next level. Levels that were skipped just before count: the way up does not end with them.
    """
    stays = _stays(climb, facts)
    below = standing_at(climb, facts, on_call) if stays else 0
    move = Move(climb.fired + 1, policy_of(climb, facts), below + 1 + climb.skipped, now, puts=not stays)
    return Go(move) if _people(on_call, move.to_level) else Skip(move)


def is_beyond(move: Move, policy: PolicyFacts) -> bool:
    """Whether the policy has no such level at all."""
    return move.to_level > len(policy.levels)


def _stays(climb: Climb, facts: IncidentFacts) -> bool:
    return climb.placed or climb.course.policy_id in (None, facts.escalation_policy_id)


def standing_at(climb: Climb, facts: IncidentFacts, on_call: Sequence[OnCall]) -> int:
    """The policy's level at which the incident is. PagerDuty does not say, so the assigned people have to.

    Somebody may be on call at several levels: the level to which we moved it counts, if its people are assigned;
    else the lowest above it, for PagerDuty itself only goes up; else the highest.
    """
    assigned = set(facts.assignee_ids)
    counted = climb.at_level if climb.at_policy == facts.escalation_policy_id else 1
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
