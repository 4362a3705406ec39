"""What a move, a skipped level or a failure makes of a climb."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.effects import OpenIncident
from app.domain.escalation import Climb, Move, State, armed, finished, level_at, running, untried
from app.domain.outcome import BUDGET_SPENT, NOT_ASKED, Held, Refused, Retry
from app.domain.retry import HOLD_PROBE_DELAY, KEEP_TRYING, next_try, turned_away

PUNCTUAL = timedelta(seconds=5)
"""A level that was no later than this counts from its own time, so that fractions of seconds do not add up; one that
was later counts from when it was done, for whoever was paged has a right to the whole time."""


@dataclass(frozen=True, slots=True)
class Setback:
    """The climb after a call that did not do what was asked."""

    climb: Climb
    outcome: str
    """``retry``, ``held``, ``waited`` (nobody was asked) or ``refused``: given up until a person decides."""
    reason: str
    detail: str = ""


def moved(climb: Climb, move: Move, at: datetime) -> Climb:
    """The climb after this move was made at that time. While somebody has the incident in hand it stays paused."""
    due = level_at(climb)
    on_time = due is not None and not climb.skipped and at - due <= PUNCTUAL
    after = replace(
        untried(climb),
        move=None,
        fired=move.level,
        skipped=0,
        placed=True,
        at_level=move.to_level,
        at_policy=move.policy_id,
        clock_at=max(climb.clock_at, due if on_time and due else at),
    )
    return running(after) if after.state is State.RUNNING else after


def skipped(climb: Climb, move: Move, at: datetime, reason: str) -> Climb:
    """The climb after a level with nobody on call: the next one is due now."""
    after = replace(untried(climb), move=None, fired=move.level, skipped=climb.skipped + 1, due_at=at)
    return after if after.next_level is not None else finished(after, reason)


def set_back(climb: Climb, reply: Retry | Held | Refused, now: datetime, dice: float) -> Setback:
    """The climb after a call that failed. ``dice`` uniform in 0..1, for jitter. An escalation is a page: it is tried as
    steeply, for a day; refused credentials are probed every 15 seconds and never given up. What was about to be asked
    stays written down: it may have been done, whatever a later call says."""
    match reply:
        case Refused(reason, detail=detail):
            return _given_up(climb, reason, detail)
        case Held(reason, after_seconds) if reason in NOT_ASKED:
            after = after_seconds or 0.0
            after = turned_away(after, dice) if reason == BUDGET_SPENT else after
            return Setback(_later(climb, now, after), "waited", reason)
        case Held(reason, after_seconds):
            after = HOLD_PROBE_DELAY if after_seconds is None else min(after_seconds, HOLD_PROBE_DELAY)
            held = replace(climb, attempt=climb.attempt + 1, failing=reason, failing_since=None)
            return Setback(_later(held, now, after), "held", reason)
        case Retry(reason, after_seconds):
            since = climb.failing_since or now
            if now - since > KEEP_TRYING:
                return _given_up(climb, f"gave_up:{reason}", "")
            after = next_try(OpenIncident(look_first=True), climb.attempt + 1, after_seconds, dice)
            failing = replace(climb, attempt=climb.attempt + 1, failing=reason, failing_since=since)
            return Setback(_later(failing, now, after), "retry", reason)


def asked_again(climb: Climb, now: datetime) -> Climb:
    """The climb after an operator replayed its dead letter: it goes on at once, if nobody has the incident in hand."""
    again = armed(replace(climb, letter_id=None))
    return replace(again, due_at=now) if again.state is State.RUNNING else again


def _later(climb: Climb, now: datetime, after: float) -> Climb:
    """Never before the level's own time, unless it has its turn early because others were skipped."""
    own = level_at(climb) if climb.state is State.RUNNING and not climb.skipped else None
    return replace(climb, due_at=max(filter(None, (now + timedelta(seconds=after), own))))


def _given_up(climb: Climb, reason: str, detail: str) -> Setback:
    return Setback(finished(climb, reason), "refused", reason, detail)
