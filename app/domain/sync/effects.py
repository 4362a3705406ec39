"""What is still missing to get both sides where the link says they should be.

The same question is asked by the first delivery, by its repeat after a crash and by reconciliation;
so a crash anywhere is harmless, and a storm of events becomes the one call that is left to make.

Flap damping: a resolve from TruthVouch is held back from PagerDuty for a while, in case the alert comes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.model.types import Side, Status, Urgency, Via
from app.domain.sync.link import Link, joint_status
from app.domain.sync.side_state import SideState

# ------------------------------------------------------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """Create the incident. ``look_first``: an earlier try may have made it already."""

    look_first: bool


@dataclass(frozen=True, slots=True)
class LookForIncident:
    """Learn the incident's id (after an Events trigger), or whether an unclear create made one that must be closed."""


@dataclass(frozen=True, slots=True)
class SetIncident:
    """Put the incident into this status."""

    status: Status


@dataclass(frozen=True, slots=True)
class ReadIncident:
    """See where the incident stands: what we wrote there may have been made, or an event came out of order."""


@dataclass(frozen=True, slots=True)
class ReadAlert:
    """See where the alert stands, for the same reasons."""


@dataclass(frozen=True, slots=True)
class ReadNote:
    """Fetch the whole of a note of which a webhook brought a part."""

    note_id: str


@dataclass(frozen=True, slots=True)
class AddNote:
    """Write one note, once."""

    ref: str
    content: str


@dataclass(frozen=True, slots=True)
class SetAlert:
    """Put the alert into this status; a resolve carries the person's words."""

    status: Status
    resolution: str | None


Effect = OpenIncident | LookForIncident | SetIncident | ReadIncident | AddNote | ReadNote | SetAlert | ReadAlert


class EffectOutcome(StrEnum):
    """What became of one try of an effect, or of a whole delivery."""

    DONE = "done"
    RETRY = "retry"
    HELD = "held"
    """Nothing is wrong with what was asked, only with its way out."""
    REFUSED = "refused"
    """A final no that nobody has to decide about."""
    DEAD = "dead"
    """Given up: a dead letter."""
    WRITE_LOST = "write_lost"
    """The partner took it and does not show it."""
    OVERTAKEN = "overtaken"
    """Another delivery of the same link and side has taken over."""
    YIELDED = "yielded"
    """More is to be done, after others had their turn."""


URGENT, SOON, LATER = 1, 3, 6
"""Queue priorities: pages of high urgency, then what ends or calms a page, then the rest."""


FRESH = timedelta(seconds=2)
"""A write that goes back, or an acknowledge, that was decided longer ago than this reads its side first: somebody may
have done something there meanwhile, and PagerDuty takes an acknowledge of something resolved for a reopen."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a delivery has to know besides its link."""

    now: datetime
    shared: Sequence[Link] = ()
    """Every link on the same incident, this one included."""
    has_api_key: bool = True
    """Whether a PagerDuty API key is at hand."""
    held: bool = False
    """The incident's resolve is held back (``damping``), so everything else goes before it."""


def next_effect(link: Link, side: Side, at: Circumstances) -> Effect | None:
    """The next thing to do on that side, None when nothing is."""
    effect = desired_effect(link, side, at)
    return None if effect is not None and _waits(link, side, effect) else effect


def desired_effect(link: Link, side: Side, at: Circumstances) -> Effect | None:
    """As ``next_effect``, but also what waits behind a dead letter."""
    if side is Side.TRUTHVOUCH:
        return _at_truthvouch(link, at)
    return _at_pagerduty(link, at)


def _waits(link: Link, side: Side, effect: Effect) -> bool:
    """Acknowledges and notes wait behind a dead letter, but neither what wakes somebody nor what ends a matter: every
    trigger is owed a resolve, and no page waits. Nor does a read wait, which may be all that those wait for. (A refused
    note is none: nothing waits behind it.)"""
    passes = isinstance(effect, ReadIncident | ReadAlert) or is_urgent(effect) or _ends(link, effect)
    return bool(link.delivery(side).dead) and not passes


def _ends(link: Link, effect: Effect) -> bool:
    if isinstance(effect, SetIncident | SetAlert):
        return effect.status is Status.RESOLVED
    return link.status is Status.RESOLVED and isinstance(effect, LookForIncident)


def _at_truthvouch(link: Link, at: Circumstances) -> Effect | None:
    wanted, state = link.status, link.alert_side
    if state.status is None:
        return None
    if _is_to_be_read(state, wanted):
        return ReadAlert()
    if state.status is wanted and state.pending is None:
        return None
    if _is_refused(link, Side.TRUTHVOUCH, wanted) or (link.frozen_at and wanted is not Status.RESOLVED):
        return None
    if _is_stale(link, Side.TRUTHVOUCH, wanted, at.now):
        return ReadAlert()
    return SetAlert(wanted, resolution(link) if wanted is Status.RESOLVED else None)


def _is_to_be_read(state: SideState, wanted: Status) -> bool:
    """Whether a write of ours may have been made, or an event came whose place nobody knows. What is furthest along
    needs no read: it may be said at any time."""
    pending = state.pending
    if pending is None:
        return state.must_read
    to_resolve = wanted is Status.RESOLVED and Status.RESOLVED not in (pending.status, state.status)
    return not pending.unreadable and not to_resolve


def _is_refused(link: Link, side: Side, wanted: Status) -> bool:
    """A final no to this status. While TruthVouch shows *resolved* and refused to open it, neither is tried there."""
    refused = link.delivery(side).refused
    closed = side is Side.TRUTHVOUCH and link.alert_side.status is Status.RESOLVED
    return refused is wanted or (closed and refused is not None and wanted is not Status.RESOLVED)


def _is_stale(link: Link, side: Side, wanted: Status, now: datetime) -> bool:
    """What no delivery is owed for yet is decided now."""
    since, unreadable = link.delivery(side).since, link.side(side).pending is not None
    if wanted is Status.RESOLVED or unreadable or since is None:
        return False
    return now - max(since, link.side(side).read_at or since) > FRESH


def _at_pagerduty(link: Link, at: Circumstances) -> Effect | None:
    if not link.paged:
        return (
            LookForIncident() if link.incident_hint and at.has_api_key and link.incident_side.status is None else None
        )
    if link.incident_side.status is None:
        return _next_for_missing_incident(link, at.has_api_key)
    if link.via is Via.REST and link.incident_id is None and link.status is not Status.RESOLVED:
        return OpenIncident(look_first=True)  # nothing was there to close; now there has to be something
    shared = list(at.shared) or [link]
    if link.incident_hint and link.incident_id is None and at.has_api_key:
        return LookForIncident()
    change = _incident_change(link, shared, at)
    if isinstance(change, ReadIncident) and link.incident_side.pending and link.incident_side.pending.accepted_at:
        return (
            _besides(link, at.has_api_key, at.held) or change
        )  # its webhook usually tells before there is anything to read
    # Behind a dead letter nothing but the resolve may go: then it is all there is to wait for.
    held = at.held and change == SetIncident(Status.RESOLVED) and not link.pagerduty.dead
    return change if change and not held else _besides(link, at.has_api_key, held) or change


def _incident_change(link: Link, shared: Sequence[Link], at: Circumstances) -> Effect | None:
    state, readable = link.incident_side, at.has_api_key and link.incident_id is not None
    wanted = wanted_incident_status(link, shared, at.has_api_key)
    if readable and _is_to_be_read(state, wanted or Status.OPEN):
        return ReadIncident()
    if wanted is None:
        return None
    pending = state.pending
    if (
        pending is not None
        and pending.accepted_at
        and pending.status is wanted
        and link.incident_id is None
        and at.has_api_key
    ):
        return LookForIncident()  # its effect is to be seen, and what it had it on is not known yet
    if state.status is wanted and state.pending is None:
        return None
    step = _next_step(link, wanted)
    if any(_is_refused(link, Side.PAGERDUTY, one) for one in (wanted, step)) or _is_frozen(shared, wanted):
        return None
    if readable and _is_stale(link, Side.PAGERDUTY, wanted, at.now):
        return ReadIncident()
    return SetIncident(step)


def _besides(link: Link, has_api_key: bool, held: bool) -> Effect | None:
    """The incident's id and its notes. A note about a resolve that is held back waits with it."""
    if has_api_key and link.incident_id is None and link.via is Via.EVENTS and not _given_up_finding(link):
        return LookForIncident()
    if has_api_key and link.incident_id is not None:
        if link.note_to_read:
            return ReadNote(link.note_to_read)
        held_until = link.hold_until if held else None
        pending = (note for note in link.notes if not note.done and not (held_until and note.held_until == held_until))
        return next((AddNote(note.ref, note.content) for note in pending), None)
    return None


def _next_for_missing_incident(link: Link, has_api_key: bool) -> Effect | None:
    if link.status is Status.RESOLVED:
        return _what_closes_an_unclear_create(link)
    if link.pagerduty.refused is Status.OPEN:
        return LookForIncident() if link.incident_hint and has_api_key else None
    return OpenIncident(look_first=link.open_tried)


def _what_closes_an_unclear_create(link: Link) -> Effect | None:
    """Every trigger gets a resolve, also one of which we do not know whether it arrived."""
    if not link.open_tried:
        return None
    return SetIncident(Status.RESOLVED) if link.via is Via.EVENTS else LookForIncident()


def wanted_incident_status(link: Link, shared: Sequence[Link], has_api_key: bool) -> Status | None:
    """None: an incident a person made by hand, which we only annotate; or one of which another link has yet to read
    what people made of it, and does what follows then."""
    if link.merged and all(other.merged for other in shared):
        return None
    if not link.shares:
        return link.status
    others = [other for other in shared if other.link_id != link.link_id]
    wanted = joint_status([link, *others])  # where nobody asks for anything, it stands as this link knows it
    unread = has_api_key and any(other.incident_side.must_read and not other.pagerduty.dead for other in others)
    return None if unread and wanted is not Status.RESOLVED else wanted


def _next_step(link: Link, wanted: Status) -> Status:
    """An event cannot acknowledge what is resolved (PagerDuty takes it and does nothing): that is opened first."""
    closed = link.incident_side.status is Status.RESOLVED
    return Status.OPEN if link.by_event and closed and wanted is Status.ACKNOWLEDGED else wanted


def _is_frozen(shared: Sequence[Link], wanted: Status) -> bool:
    return wanted is not Status.RESOLVED and any(link.frozen_at for link in shared)


READS_FOR_AN_ID = 12
"""How often an Events incident is looked for before its id counts as unknown (creation after 202 takes moments)."""


NO_EFFECT = "trigger_had_no_effect"
"""The reason word of a page by event that was taken and of which no incident came."""

NOT_THERE_YET = "not_there_yet"
"""The reason word of a read that found nothing; a read that could not be made is no read."""

KEY_TAKEN_UNSEEN = "key_taken_not_found"
"""The reason word of a create that is refused for an open incident with our key, which no read shows."""


def _given_up_finding(link: Link) -> bool:
    """For the id of a matter that is over it is not worth looking longer."""
    if link.status is not Status.RESOLVED:
        return False
    return link.pagerduty.attempt >= READS_FOR_AN_ID and link.pagerduty.failing == NOT_THERE_YET


def is_urgent(effect: Effect) -> bool:
    """Whether somebody is to be woken, or left to sleep: such an effect is its own probe and never waits for a paused
    target."""
    return isinstance(effect, OpenIncident) or (
        isinstance(effect, SetIncident) and effect.status is not Status.ACKNOWLEDGED
    )


TARGETS = (Side.TRUTHVOUCH.value, f"{Side.PAGERDUTY}-{Via.REST}", f"{Side.PAGERDUTY}-{Via.EVENTS}")
"""The ways out, each with its own credential and its own health."""


def target_of(link: Link, effect: Effect) -> str:
    """The API that an effect goes to; each has its own credential."""
    if isinstance(effect, SetAlert | ReadAlert):
        return Side.TRUTHVOUCH.value
    by_event = isinstance(effect, OpenIncident | SetIncident) and link.by_event
    return f"{Side.PAGERDUTY}-{Via.EVENTS if by_event else Via.REST}"


def priority(link: Link, side: Side) -> int:
    """Where this delivery stands in its queue: 1 first. A page never waits behind noise."""
    if side is Side.TRUTHVOUCH:
        return SOON
    if link.incident_side.status is not None:
        return SOON
    urgent = link.decision is not None and link.decision.urgency is Urgency.HIGH
    return URGENT if urgent else LATER


def resolution(link: Link) -> str:
    """The text TruthVouch gets with a resolve: the note of the person who resolved it, else who closed it and what that
    is worth. Nobody's older note speaks for a timeout."""
    if link.closed_by:
        return link.last_note or f"Resolved in PagerDuty by {link.closed_by}."
    if link.closed_unseen:
        return "Resolved in PagerDuty; who did it was not told, so this is no verdict on the alert."
    return "Resolved in PagerDuty automatically (timeout or integration); this is no verdict on the alert."


# ------------------------------------------------------------------------------------------------------------- damping

# The rule that opened the incident says for how long (``hold_resolve_minutes``), and the link keeps that for itself: a
# rule that is changed or deleted meanwhile strands nothing. What a person does at PagerDuty is never held back.

HELD_RESOLVE = "held resolve"
"""What a delivery waits for while it holds a resolve back: anything else may go before it."""


def damped(before: Link, link: Link, side: Side, now: datetime) -> Link:
    """The link after ``side`` changed what both should be: a resolve begins its hold, a reopen within it is a flap."""
    if link.status is not Status.RESOLVED:
        return _flapped(before, link) if side is Side.TRUTHVOUCH and is_flap(before, link, now) else _not_held(link)
    minutes = link.decision.hold_resolve_minutes if link.decision else 0.0
    held = side is Side.TRUTHVOUCH and minutes > 0
    return replace(link, hold_until=now + timedelta(minutes=minutes) if held else None)


def is_flap(before: Link, link: Link, now: datetime) -> bool:
    """Whether the alert came back while its resolve was still held back from an incident that shows nothing of it."""
    held = before.status is Status.RESOLVED and before.hold_until is not None and now < before.hold_until
    unseen = before.incident_side.status not in (None, Status.RESOLVED)
    return held and unseen and link.alert_side.status is not Status.RESOLVED


def _not_held(link: Link) -> Link:
    return link if link.hold_until is None else replace(link, hold_until=None)


def _flapped(before: Link, link: Link) -> Link:
    """Nobody at PagerDuty has seen the resolve, so they are told neither of it nor of its end, and who has the incident
    in hand has it still. TruthVouch, whose alert is open again, is told of that."""
    notes = tuple(note for note in link.notes if note.done or note.held_until != before.hold_until)
    alert = replace(link.alert_side, inherited=True)
    return replace(link, alert_side=alert, hold_until=None, flaps=link.flaps + 1, notes=notes)


def held_seconds(link: Link, side: Side, shared: Sequence[Link], now: datetime) -> float:
    """For how much longer the incident's resolve is held back; 0 = it is not, or there is none.

    ``shared``: every link on the same incident, this one included. It is resolved with the last of them, and held
    back as long as any of them asks for.
    """
    links = list(shared) or [link]
    if side is Side.TRUTHVOUCH or not link.paged or link.incident_side.status is Status.RESOLVED:
        return 0.0
    if joint_status(links) is not Status.RESOLVED:
        return 0.0
    until = max((other.hold_until for other in links if other.hold_until), default=now)
    return max(0.0, (until - now).total_seconds())


def is_held(effect: Effect | None) -> bool:
    """Whether this is the effect that a hold is about."""
    return isinstance(effect, SetIncident) and effect.status is Status.RESOLVED
