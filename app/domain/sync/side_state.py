"""What is known of one side of a link: its newest status, by its own clock, and what we wrote there.

Times of one side are compared with that side's own only. The two partners' clocks differ, and so does ours: a time of
the other side, or of ours, says nothing about the order in which two things happened here.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum

from app.domain.model.types import Status

MAX_AHEAD = timedelta(minutes=15)
"""A time further ahead of its receipt than this is no time. One that is nearer is believed: it is compared with no
other clock than its own."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""What lies before is no time: the years 0001 and 1970 are how programs write "none"."""

AT_ONCE = timedelta(seconds=1)
"""A call that changed something is answered within the same second or the next, by the partner's own clock."""

SETTLING = timedelta(seconds=5)
"""A partner may show the old state for moments after it took a change."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who made a change, and why."""

    author: str | None = None
    """None: nobody was named, as automation is not."""
    reason: str | None = None
    text: str | None = None


class Order(Enum):
    """How one time of a side stands to another one of the same side."""

    OLDER = "older"
    SAME = "same"
    """The same second where one of them tells no more than seconds, else the very same instant."""
    NEWER = "newer"
    UNKNOWN = "unknown"
    """One of them is not known."""


class Applied(StrEnum):
    """What an event or an observation did to what is known of its side."""

    TAKEN = "taken"
    SAME = "already_so"
    STALE = "stale"
    """From before what is known."""
    CONFLICT = "conflict"
    """From before our own write and further along: that write was decided without knowing of it."""
    HINT = "to_be_read"
    """Nobody can tell whether it is newer: a read decides."""
    WRITE_LOST = "write_lost"
    """The side said yes to our write and does not show it."""
    UNDER_WAY = "under_way"
    """A read while a call of ours is, or may have been, under way there."""


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """A write of ours that may have been made and is not recorded: the call is under way, or its answer was lost."""

    status: Status
    decided_at: datetime
    """By our clock."""
    answers: bool = True
    """The other side stood there when it was decided: once it is made, both sides agree on it."""
    before: Status | None = None
    """What was known of the side then."""
    before_at: datetime | None = None
    accepted_at: datetime | None = None
    """PagerDuty's Events API took it (202), which says nothing of its effect."""
    answered_at: datetime | None = None
    """When that was, by the side's own clock: its effect, if it has any, is later."""
    unreadable: bool = False
    """The side could not be read to find out."""
    furthest: Status | None = None
    """The furthest that the side itself said it was since then; None = it said nothing."""
    furthest_at: datetime | None = None
    reopened_at: datetime | None = None
    """When it said, after that, that it was reopened."""
    shown_at: datetime | None = None
    """When it said that it stands where we write it: to the millisecond, where the answer tells seconds."""
    went_back: bool = False
    """It said since that it went back from what we write: so it had been there."""
    untimed: Status | None = None
    """What it said last since then, where it told no time."""
    earlier: tuple[Status, ...] = ()
    """What we asked for before, and nobody has seen: where the side says that, it is our doing."""
    repeated: bool = False
    """The very same was asked for before, and may have been made."""
    wanted: bool = True
    """Both sides of this link were to stand there: it is no step on the way to that, nor for another link on the same
    incident, which count as no change."""


@dataclass(frozen=True, slots=True)
class SideState:
    """The newest of one side. A value: every change makes a new one."""

    status: Status | None = None
    """None: there is nothing there yet."""
    at: datetime | None = None
    """Since when, by the side's own clock; whole seconds where it tells no more."""
    received_at: datetime | None = None
    """When we learned it, by our clock."""
    by_us: bool = False
    """Our own write put it there."""
    confirmed: bool = False
    """The side itself has shown our write since."""
    restored: bool = False
    """Our write put back what people there had reached."""
    previous: Status | None = None
    """What stood there before our write."""
    previous_at: datetime | None = None
    inherited: bool = False
    """It stands so for a reason that is not this link's (another alert on the same incident, a merge), so it counts as
    unchanged until the side says otherwise."""
    write_lost: bool = False
    """It stands so because our write was not kept: the same."""
    conflict: Status | None = None
    """What people there had reached when our write, decided without knowing of it, put the side back."""
    must_read: bool = False
    """An event came whose place in the order nobody knows."""
    hint: Status | None = None
    """What it said."""
    hint_by: Attribution | None = None
    """Who said it."""
    read_at: datetime | None = None
    """When we last began to read it, by our clock."""
    found_after: datetime | None = None
    """A read found it so, and the change was later than this, by its own clock. None: it said so itself."""
    unconfirmed_count: int = 0
    """How often a write of ours had no effect, counted anew whenever something else is wanted."""
    written: tuple[Status, ...] = ()
    """What we have ever written there."""
    unseen: tuple[Status, ...] = ()
    """What we asked for before our write, and nobody has seen: where the side still tells of that, it is our doing."""
    acknowledged_at: datetime | None = None
    """When we last acknowledged it, by its own clock."""
    pending: PendingWrite | None = None

    @property
    def wants(self) -> Status | None:
        """What the people there last reached."""
        return self.conflict or self.status

    def differs_from(self, agreed: Status) -> bool:
        """Whether this side has changed since both sides agreed."""
        unchanged = self.status is None or self.inherited or self.write_lost
        return not unchanged and self.wants is not agreed


def usable(at: datetime | None, received_at: datetime) -> datetime | None:
    """The time as the side told it, None if it cannot be true. It is never changed to ours: that would compare."""
    return None if at is None or at < EARLIEST or at > received_at + MAX_AHEAD else at


A_MOMENT = timedelta(microseconds=1)


def born(at: datetime | None, received_at: datetime) -> SideState:
    """A side at its beginning, which is open. Whatever else is told of it is later, also within that second."""
    began = usable(at, received_at)
    return SideState(Status.OPEN, began - A_MOMENT if began else None, received_at)


def as_it_began(state: SideState, status: Status, at: datetime | None) -> bool:
    """Whether a read tells no more than that the side is there: it is its beginning."""
    return status is state.status and at is not None and state.at is not None and at - state.at == A_MOMENT


def compare(at: datetime | None, known: datetime | None) -> Order:
    """Where ``at`` stands to ``known``, both told by one side, at the coarser precision of the two: PagerDuty's REST
    API and HTTP tell whole seconds."""
    if at is None or known is None:
        return Order.UNKNOWN
    if not at.microsecond or not known.microsecond:
        at, known = at.replace(microsecond=0), known.replace(microsecond=0)
    return Order.SAME if at == known else Order.OLDER if at < known else Order.NEWER


def _same_second(at: datetime | None, other: datetime | None) -> bool:
    return bool(at and other) and at.replace(microsecond=0) == other.replace(microsecond=0)  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Said:
    """One thing a side said about itself."""

    status: Status
    at: datetime | None
    """By its own clock, as it told it."""
    received_at: datetime
    """By ours."""
    goes_back: bool = False
    """The event itself says so: *reopened*, *unacknowledged*."""
    by: Attribution = field(default_factory=Attribution)
    back_from: tuple[Status, ...] = ()
    """What an event that goes back can have gone back from."""

    def takes_back(self, write: "PendingWrite") -> bool:
        """Whether it goes back from what we write: so that had been there."""
        return self.goes_back and self.status.rank < write.status.rank and write.status in self.back_from


def said(state: SideState, event: Said, *, readable: bool) -> tuple[SideState, Applied]:
    """Lay an event over what is known. ``readable``: whether the side can be read where that is needed to decide.

    Applying one twice changes nothing.
    """
    at = usable(event.at, event.received_at)
    if state.pending is not None and at is None:
        state = replace(state, pending=replace(state.pending, untimed=event.status))
    if state.status is None:
        return replace(state, status=event.status, at=at, received_at=event.received_at), Applied.TAKEN
    order = compare(at, state.at)
    if event.status is state.status and order is not Order.OLDER:
        if (state.write_lost or state.inherited) and order is Order.NEWER:  # later than that: somebody's doing
            return _taken(state, event, at), Applied.TAKEN
        again = _again(state, at, event.received_at)
        if event.goes_back and order is Order.NEWER:  # from where our own write had put it
            again = _noting(again, event, at)
        return again, Applied.SAME
    further = event.status.rank > state.status.rank
    if order is Order.OLDER or (order is Order.SAME and state.by_us and further):
        return _from_before(state, event, at)
    if at is not None and at == state.at and at.microsecond:  # one change told in two: the furthest along is its end
        return (_taken(state, event, at), Applied.TAKEN) if further else (_noting(state, event, at), Applied.STALE)
    if order is Order.NEWER and _opened_by_us(state, event):
        return _noting(state, event, at), Applied.STALE
    if order is Order.NEWER:
        return _taken(state, event, at), Applied.TAKEN
    return _without_order(state, event, at, readable)


def _without_order(state: SideState, event: Said, at: datetime | None, readable: bool) -> tuple[SideState, Applied]:
    """What cannot be placed is left to a read. Where there is none, it counts if it goes forward and is not ours."""
    assert state.status is not None
    if readable and _is_from_our_write_before(state, event, at):
        return replace(state, must_read=True), Applied.HINT
    if readable:
        confirmed = state.confirmed or event.goes_back
        hinted = replace(state, must_read=True, hint=event.status, hint_by=event.by, confirmed=confirmed)
        return _noting(hinted, event, at), Applied.HINT
    if event.status.rank > state.status.rank and event.status not in state.written:
        return _taken(state, event, at), Applied.TAKEN
    return state, Applied.STALE


def _is_from_our_write_before(state: SideState, event: Said, at: datetime | None) -> bool:
    """Whether it may be the echo of what we wrote there within the same second as the write that stands: then it proves
    nothing, and a read that shows the same does not make it a person's doing."""
    is_previous = state.by_us and event.status is state.previous and event.status in state.written
    return is_previous and compare(at, state.previous_at) is Order.SAME


def _again(state: SideState, at: datetime | None, received_at: datetime) -> SideState:
    """The same status again is no news, whoever caused it; but it proves our write, and may be timed better. Said of a
    later second, it is not our write any more that it tells of."""
    again = replace(state, received_at=received_at, confirmed=state.confirmed or state.by_us)
    if at is None or (state.at is not None and at <= state.at):
        return again
    pending = state.pending
    if pending is not None and pending.before is state.status and compare(at, pending.before_at) is Order.SAME:
        again = replace(again, pending=replace(pending, before_at=at))
    if compare(at, state.at) is Order.NEWER:  # whatever our write put back there, somebody went on from
        again = replace(again, by_us=False, previous=None, previous_at=None, conflict=None)
    return replace(again, at=at)


def shown(state: SideState, now: datetime) -> SideState:
    """The side after it said that it stands where an event of ours was to put it: its 202 had its effect. What stood so
    before that 202 is the effect of an earlier one, or somebody's doing."""
    pending = state.pending
    if pending is None or pending.accepted_at is None or state.status is not pending.status:
        return state
    if compare(state.at, pending.answered_at) is Order.OLDER:
        return state
    return written(state, pending.status, state.at, now, pending.answered_at)


def put_back(state: SideState, event: Said) -> SideState:
    """A side that says it is acknowledged after it was resolved: TruthVouch's *resolved* never goes back to that. In
    the second of our own acknowledge it was that, decided without knowing of the resolve: both are to be resolved."""
    at = usable(event.at, event.received_at)
    if compare(at, state.at) is not Order.NEWER or compare(at, state.acknowledged_at) is not Order.SAME:
        return state
    moved = replace(state, status=event.status, at=at, received_at=event.received_at, conflict=state.wants)
    return replace(moved, found_after=None)


def _from_before(state: SideState, event: Said, at: datetime | None) -> tuple[SideState, Applied]:
    """Said before what is known. What stood there when our write arrived, and was further along, is a conflict."""
    assert state.status is not None
    overwritten = state.by_us and event.status.rank > (state.wants or state.status).rank
    if not overwritten or not _is_later(event.status, at, state.previous, state.previous_at):
        return _said_late(state, event, at), Applied.STALE
    if event.status in state.unseen:  # that was our doing, too
        return state, Applied.STALE
    conflict = replace(state, conflict=event.status, inherited=False, write_lost=False)
    return _noting(conflict, replace(event, goes_back=False), at), Applied.CONFLICT


def _said_late(state: SideState, event: Said, at: datetime | None) -> SideState:
    """The side after it told what changes nothing: it may say what stood there before our write, and better since when,
    or what stood there when that arrived whose answer is not here yet."""
    if event.status is state.previous and compare(at, state.previous_at) is Order.SAME:
        return replace(state, previous_at=_finer(at, state.previous_at))
    unknown = state.by_us and state.conflict is None and at is not None
    if unknown and _is_later(event.status, at, state.previous, state.previous_at):
        state = replace(state, previous=event.status, previous_at=at)
    pending = state.pending
    if pending is None or not _is_later(event.status, at, pending.before, pending.before_at):
        return state
    return _noting(state, event, at)


def _finer(at: datetime | None, other: datetime | None) -> datetime | None:
    """Of two times within one second the one that tells more."""
    return max(filter(None, (at, other)), default=None)


def _is_later(status: Status, at: datetime | None, previous: Status | None, previous_at: datetime | None) -> bool:
    """Whether we did not know it when our write was decided: a late repeat of what stood before says nothing new."""
    order = compare(at, previous_at)
    if order is Order.SAME and previous is not None:  # of what happened within one second the furthest along was last
        return status.rank > previous.rank
    return order is Order.NEWER or (order is not Order.OLDER and status is not previous)


def _opened_by_us(state: SideState, event: Said) -> bool:
    """Whether *reopened* may be the first half of our own acknowledge: PagerDuty opens what is resolved for it, and
    says both. The answer, or a read, tells."""
    acknowledging = state.pending is not None and state.pending.status is Status.ACKNOWLEDGED
    return acknowledging and state.status is Status.RESOLVED and event.goes_back


def _taken(state: SideState, event: Said, at: datetime | None) -> SideState:
    taken = SideState(
        status=event.status,
        at=at,
        received_at=event.received_at,
        read_at=state.read_at,
        written=state.written,
        acknowledged_at=state.acknowledged_at,
        pending=state.pending,
        inherited=state.pending is not None and _is_ours(state.pending, event.status),
    )
    if state.pending is not None and event.status is state.pending.status:
        taken = replace(taken, conflict=_overwritten(state.pending, at))
    return _noting(taken, event, at)


def _is_ours(pending: PendingWrite, status: Status) -> bool:
    """Whether that is what we asked for, and no person did: earlier, or not for the sake of this link."""
    return status in pending.earlier or (status is pending.status and not pending.wanted)


def _noting(state: SideState, event: Said, at: datetime | None) -> SideState:
    """What the side says while a write of ours may be under way there, for whoever has to tell the two apart."""
    pending, status = state.pending, event.status
    if pending is None:
        return state
    if at is None and status in state.written and status.rank > pending.status.rank:
        return state  # the echo of an earlier write, however late, says the same
    older = compare(at, pending.furthest_at) is Order.OLDER
    further = pending.furthest is None or status.rank > pending.furthest.rank
    if further or (status is pending.furthest and not older):
        taken_back = compare(at, pending.reopened_at) is Order.OLDER
        reopened_at = pending.reopened_at if taken_back else None
        pending = replace(pending, furthest=status, furthest_at=at, reopened_at=reopened_at)
    if status is Status.OPEN and event.goes_back and pending.reopened_at is None and not older:
        pending = replace(pending, reopened_at=at)
    if status is pending.status and at is not None:
        pending = replace(pending, shown_at=at)
    # In the second of the write before, it may have gone back from what that one met.
    since = compare(at, pending.before_at) not in (Order.OLDER, Order.SAME)
    went_back = pending.went_back or (since and event.takes_back(pending))
    return replace(state, pending=replace(pending, went_back=went_back))


# ------------------------------------------------------------------------------------------------------- our writes


def writing(state: SideState, status: Status, now: datetime, answers: bool, wanted: bool = True) -> SideState:
    """The side before our call: what is about to be asked is written down before it is asked."""
    last = state.pending
    unseen = last.earlier if last is not None else ()
    if last is not None and last.status is not status:
        unseen = (*unseen, last.status)
    repeated = last is not None and last.status is status and not last.unreadable
    write = PendingWrite(status, now, answers, state.status, state.at, earlier=unseen, repeated=repeated, wanted=wanted)
    return replace(state, pending=write)


def not_written(state: SideState) -> SideState:
    """The side after a call that surely had no effect: whatever it said meanwhile was not our doing."""
    pending = state.pending
    if pending is not None and pending.earlier:  # what was asked for before may still have its effect
        *rest, last = pending.earlier
        unseen = replace(pending, status=last, accepted_at=pending.decided_at, earlier=tuple(rest))
        return replace(state, pending=unseen)
    if pending is not None and pending.repeated:
        return state
    waits = pending is not None and pending.reopened_at is not None and state.status is Status.RESOLVED
    return replace(state, pending=None, must_read=state.must_read or waits)


def accepted(state: SideState, status: Status, at: datetime | None, now: datetime) -> SideState:
    """The side after PagerDuty's Events API took an event: as a lost answer, until the side shows its effect. ``at``:
    when it was taken, by PagerDuty's clock."""
    pending = state.pending or PendingWrite(status, now)
    return replace(state, pending=replace(pending, accepted_at=now, answered_at=at))


def written(
    state: SideState, status: Status, at: datetime | None, now: datetime, answered_at: datetime | None = None
) -> SideState:
    """The side after our write was made there: the newer, by its own clock, of that and what it said meanwhile.

    ``at``: since when it stands so, by the side's own clock; ``answered_at``: when it answered, by that same clock.
    What had been so for longer than the call took was there before us.
    """
    at = usable(at, now)
    there_before = at is not None and answered_at is not None and answered_at - at > AT_ONCE
    pending = state.pending or PendingWrite(status, now, before=state.status, before_at=state.at)
    made = SideState(
        status=status,
        at=at,
        received_at=now,
        by_us=True,
        restored=state.conflict is status,
        previous=pending.before,
        previous_at=pending.before_at,
        read_at=now,
        unconfirmed_count=state.unconfirmed_count,
        written=state.written if status in state.written else (*state.written, status),
        unseen=pending.earlier,
        acknowledged_at=at if status is Status.ACKNOWLEDGED else state.acknowledged_at,
    )
    if there_before:
        made = replace(made, by_us=False, confirmed=True, previous=None, previous_at=None)
    if pending.untimed not in (None, status):  # before our write, or after it
        made = replace(made, must_read=True, hint=pending.untimed)
    if status in (pending.furthest, state.hint):
        made = replace(made, confirmed=True)
    if pending.furthest is None:
        return made
    if compare(pending.shown_at, at) is Order.SAME:
        at = pending.shown_at
        made = replace(made, at=at)
    order = compare(state.at, at)
    if state.status is status:
        known = state.at if order is not Order.OLDER and state.at is not None else at
        made = replace(made, at=known, confirmed=True)
    elif order is Order.NEWER or (order is not Order.OLDER and _follows(pending)):
        return replace(
            state,
            pending=None,
            written=made.written,
            must_read=False,
            hint=None,
            hint_by=None,
            inherited=False,
            write_lost=False,
        )
    elif order is not Order.OLDER:
        made = replace(made, must_read=True, confirmed=pending.went_back)
    return made if there_before else replace(made, conflict=_overwritten(pending, at))


def _follows(pending: PendingWrite) -> bool:
    """*Unacknowledged* follows an acknowledge: where no time tells, the event does."""
    return pending.went_back and pending.status is Status.ACKNOWLEDGED and pending.furthest is not Status.RESOLVED


def _overwritten(pending: PendingWrite, at: datetime | None) -> Status | None:
    """What the side had reached when our write put it back. A resolve that a person took back is none; our own
    acknowledge of something resolved opens it in the same second: https://support.pagerduty.com/main/docs/incidents"""
    furthest = pending.furthest
    if furthest is None or furthest.rank <= pending.status.rank or furthest in pending.earlier:
        return None
    if compare(pending.furthest_at, at) is Order.NEWER:
        return None
    taken_back = pending.reopened_at is not None and not _same_second(pending.reopened_at, at)
    return None if taken_back and at is not None else furthest
