"""What a read of one side means: reconciliation's, and that of a delivery which has to know whether its write was made.

Absence is no news: whoever found nothing has nothing to observe.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app.domain.model.types import Status
from app.domain.sync.side_state import (
    AT_ONCE,
    SETTLING,
    Applied,
    Order,
    Said,
    SideState,
    as_it_began,
    compare,
    usable,
    written,
)


class FindingOutcome(StrEnum):
    """What a difference is that reconciliation found; how it is written down."""

    MOVED = "moved"
    WRITE_LOST = "write_lost"
    ADOPTED = "adopted"
    MERGED = "merged"
    MISSED = "missed"
    UNKNOWN_INCIDENT = "unknown_incident"
    CONFIRMED = "confirmed"
    """No difference: a write of ours is seen for the first time."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a read showed."""

    status: Status
    at: datetime | None
    """Since when it stands so, by the side's own clock; where it tells no such time, when it answered."""
    began_at: datetime
    """When the read began, by our clock."""
    shows_change: bool = True
    """``at`` is the time of the last change (PagerDuty), not of the answer (TruthVouch)."""


def observed(state: SideState, seen: Observation) -> tuple[SideState, Applied]:
    """Lay a read over what is known, with no call of ours under way there.

    A read that began after the newest receipt is that side's status, whatever its time.
    """
    at = usable(seen.at, seen.began_at)
    if state.received_at is not None and seen.began_at < state.received_at:
        return state, Applied.STALE
    if state.read_at == state.received_at == seen.began_at and seen.status is state.status and state.confirmed:
        return state, Applied.SAME  # that very read, once more
    read = replace(state, must_read=False, hint=None, hint_by=None, read_at=seen.began_at)
    if state.status is None:
        return replace(read, status=seen.status, at=at, received_at=seen.began_at), Applied.TAKEN
    newer = seen.shows_change and compare(at, state.at) is Order.NEWER
    by_somebody = state.inherited and newer and not as_it_began(state, seen.status, at)
    if seen.status is state.status and not by_somebody:
        known = state.at if compare(at, state.at) is Order.SAME or at is None else at
        again = replace(read, at=known, received_at=seen.began_at, confirmed=True)
        if newer:  # it was elsewhere in between
            again = replace(again, by_us=False, previous=None, previous_at=None, conflict=None)
            if state.found_after is not None:
                again = replace(again, found_after=_found_after(state, seen, at))
        if _overruled(state, seen):
            return replace(again, conflict=state.hint), Applied.CONFLICT
        return again, Applied.SAME
    if _shows_what_was_before(state, seen, at):
        return _write_lost(read, seen)
    kept = SideState(
        status=seen.status, at=at, received_at=seen.began_at, confirmed=True, read_at=seen.began_at,
        written=state.written, acknowledged_at=state.acknowledged_at, found_after=_found_after(state, seen, at),
    )  # fmt: skip
    return kept, Applied.TAKEN


# ------------------------------------------------------------------------------------------------------- who and why

# A read tells neither who made a change nor why: its webhook does, which may come later. It is one of the same status,
# from after what was known of the side before the read: what is older is about an earlier time at which it stood so.


def _found_after(state: SideState, seen: Observation, at: datetime | None) -> datetime | None:
    """What the change that a read found is surely later than, by the side's own clock. None: nobody knows, or who made
    it is known already, or it may be the late effect of a write of ours."""
    told = state.hint is seen.status and state.hint_by is not None
    if told or (state.write_lost and seen.status in state.written):
        return None
    changed = at - AT_ONCE if at is not None and seen.shows_change else None
    return max(filter(None, (state.at, changed)), default=None)


def explains(state: SideState, event: Said) -> bool:
    """Whether an event is about the change that a read found. An echo is not: our writes that were made are known, and
    one that may have been made since is later than the read."""
    at, pending = usable(event.at, event.received_at), state.pending
    if event.status is not state.status or compare(at, state.found_after) is not Order.NEWER:
        return False
    ours = pending is not None and event.status in (pending.status, *pending.earlier)
    return not ours or compare(at, state.at) is Order.OLDER


def narrowed(state: SideState, event: Said) -> SideState:
    """The side after an event about the time between what was known and what the read found: what that found is later
    than it. What comes again, or from before it, tells nothing more."""
    at = usable(event.at, event.received_at)
    if compare(at, state.found_after) is not Order.NEWER:
        return state
    if compare(at, state.at) is Order.OLDER:
        return replace(state, found_after=at)
    return replace(state, found_after=None) if explains(state, event) else state


def _overruled(state: SideState, seen: Observation) -> bool:
    """Whether our write went over what the side said about then without a time, and no write of ours had said: it was
    decided without knowing of that, and the furthest along of the two stands."""
    hint, lately = state.hint, state.received_at is not None and seen.began_at - state.received_at < 2 * SETTLING
    if not state.by_us or not lately or hint is None or hint in (state.previous, *state.written, *state.unseen):
        return False
    return hint.rank > seen.status.rank


def _shows_what_was_before(state: SideState, seen: Observation, at: datetime | None) -> bool:
    """Whether the side took our write and does not show it, though nobody can have changed it since."""
    if not state.by_us or state.confirmed or seen.status is not state.previous or seen.status is state.hint:
        return False
    return not seen.shows_change or compare(at, state.at) is not Order.NEWER


def _write_lost(state: SideState, seen: Observation) -> tuple[SideState, Applied]:
    """It never counts as a person's change. Moments after our write it says nothing yet."""
    if state.received_at is not None and seen.began_at - state.received_at < SETTLING:
        return replace(state, must_read=True), Applied.STALE
    lost = replace(
        state, status=seen.status, received_at=seen.began_at, by_us=False, write_lost=True, previous=None,
        previous_at=None, unconfirmed_count=state.unconfirmed_count + 1, confirmed=True,
    )  # fmt: skip
    return lost, Applied.WRITE_LOST


def resolved_by_read(state: SideState, seen: Observation) -> tuple[SideState, bool | None]:
    """The side after a read by the delivery whose write is pending, and whether that write was made; None = it has to
    be read again, for the side spoke meanwhile, or an event was taken so lately that it may still have its effect.

    A side that went back from what we wrote had been there.
    """
    pending = state.pending
    assert pending is not None
    if state.received_at is not None and seen.began_at < state.received_at:
        return state, None
    at = usable(seen.at, seen.began_at)
    fresh = pending.accepted_at is not None and seen.began_at - pending.accepted_at < SETTLING
    if fresh and seen.status is not pending.status:
        return state, None
    if seen.status is pending.status:
        return replace(written(state, pending.status, at, seen.began_at, pending.answered_at), confirmed=True), True
    if not pending.went_back and _shows_what_was_before(state, seen, at):  # neither this write nor the one before it
        lost, applied = _write_lost(replace(state, pending=None, must_read=False, read_at=seen.began_at), seen)
        return (lost, False) if applied is Applied.WRITE_LOST else (state, None)
    back = seen.status.rank < pending.status.rank
    again = seen.status is state.status and seen.shows_change and not as_it_began(state, seen.status, at)
    newer = again and compare(at, state.at) is Order.NEWER
    further_back = state.status is not None and seen.status.rank < state.status.rank
    # It stands there since later than before our write, which took it from there: somebody has put it there again.
    returned = seen.shows_change and seen.status is pending.before and seen.status.rank > pending.status.rank
    returned = returned and compare(at, pending.before_at) is Order.NEWER
    made = pending.went_back or returned or (back and (newer or further_back))
    if not made and seen.status is state.status:
        count = state.unconfirmed_count + (pending.accepted_at is not None)
        cleared = replace(state, pending=None, unconfirmed_count=count)
    else:
        cleared = SideState(written=state.written)
    ours = seen.status in pending.earlier  # an earlier write had its effect: nobody there asked for that
    after = replace(observed(cleared, seen)[0], read_at=seen.began_at, pending=None, inherited=ours)
    found_after = state.found_after if seen.status is state.status else _found_after(state, seen, at)
    return replace(after, found_after=None if ours else found_after), made
