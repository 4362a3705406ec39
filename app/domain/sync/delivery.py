"""What a partner's answer means for the link: pure, so that a crash before it is written changes nothing."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.model.events import IncidentEvent, IncidentEventType
from app.domain.model.incident import AlertFacts, IncidentFacts, NoteFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.types import Side, Status, replace
from app.domain.sync.effects import (
    KEY_TAKEN_UNSEEN,
    NO_EFFECT,
    NOT_THERE_YET,
    READS_FOR_AN_ID,
    AddNote,
    Effect,
    EffectOutcome,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    ReadNote,
    SetAlert,
    SetIncident,
)
from app.domain.sync.link import DeliveryState, HistoryEntry, Link, remembering, with_note
from app.domain.sync.observations import Observation, resolved_by_read
from app.domain.sync.retry import CONFIRM_DELAY, PAUSE_PROBE_DELAY, SLOW_READS, give_up_after, next_try
from app.domain.sync.side_state import (
    Order,
    PendingWrite,
    SideState,
    accepted,
    born,
    compare,
    not_written,
    writing,
    written,
)
from app.domain.sync.transitions import (
    FOUND,
    REPEATS,
    Outcome,
    advance,
    assumed,
    attributed,
    followed,
    given_up,
    is_later,
    seen,
)

Facts = IncidentFacts | AlertFacts | NoteFacts | None
"""What an answer may tell."""

WRITE_LOST = EffectOutcome.WRITE_LOST.value
"""The reason word of a write that a partner took and does not show."""

_FOUND_NOTHING = frozenset({NOT_THERE_YET, KEY_TAKEN_UNSEEN})

NOT_READABLE = frozenset({0, 404, 405})
"""Answers that say that a side cannot be read (0: the quota of reads is spent): TruthVouch documents no call for one
alert."""


@dataclass(frozen=True, slots=True)
class Result:
    """The link after an answer; what to call it; when to go on (None = at once); what became a dead letter."""

    link: Link
    outcome: EffectOutcome
    event: str
    """For the time line and the log: ``incident.triggered``, ``delivery.retried``, ..."""
    again_after: float | None = None
    reason: str = ""
    dead: bool = False
    detail: str = ""
    """The partner's own words about a final no."""
    given_up: Effect | None = None
    """What a dead letter is about, where that is not what was tried last."""


def intending(link: Link, side: Side, effect: Effect, now: datetime) -> Link:
    """The link before the call that an effect makes: what is about to be written is recorded before it is asked, so
    that after a crash everybody knows that it may have been made."""
    if not isinstance(effect, SetIncident | SetAlert):
        return link
    other = link.side(_other(side)).wants
    answers, wanted = other in (None, effect.status), effect.status is link.status
    return link.with_side(side, writing(link.side(side), effect.status, now, answers, wanted))


def _other(side: Side) -> Side:
    return Side.PAGERDUTY if side is Side.TRUTHVOUCH else Side.TRUTHVOUCH


def record(
    link: Link, side: Side, effect: Effect, reply: Reply[Facts], now: datetime, jitter: float,
    began: datetime | None = None, has_api_key: bool = True, survivor: SideState | None = None,
) -> Result:  # fmt: skip
    """Lay a partner's answer over the link. ``jitter`` uniform in 0..1; ``began``: when the call was made,
    None = now; ``rest``: whether a PagerDuty API key is at hand, so that the effect of an event can be seen;
    ``survivor``: what is known of the incident that, by the answer, this one was merged into."""
    match reply:
        case Done(value, at):
            link = link.with_delivery(side, replace(link.delivery(side), attempt=0, failing="", failing_since=None))
            if isinstance(value, IncidentFacts) and value.merged_into:
                return _merged_away(link, effect, value, at, now, survivor)
            return _achieved(link, side, effect, value, at, now, began or now, jitter, has_api_key)
        case Retry():
            if not reply.unclear:
                link = without_call(link, side, effect)
            return _retry(link, side, effect, reply, now, jitter)
        case Held(reason, after_seconds):
            link = without_call(link, side, effect)
            delivery = replace(
                link.delivery(side), attempt=link.delivery(side).attempt + 1, failing=reason, failing_since=None
            )
            after = PAUSE_PROBE_DELAY if after_seconds is None else after_seconds
            return Result(link.with_delivery(side, delivery), EffectOutcome.HELD, "delivery.held", after, reason)
        case Refused():
            return _refused(without_call(link, side, effect), side, effect, reply, now, jitter)


def without_call(link: Link, side: Side, effect: Effect) -> Link:
    """The link after a call that surely changed nothing."""
    return link.with_side(side, not_written(link.side(side))) if isinstance(effect, SetIncident | SetAlert) else link


def may_have_happened(reply: Reply[Facts]) -> bool:
    """Whether the partner may have done what was asked: then it is looked for before it is asked again."""
    return isinstance(reply, Done) or (isinstance(reply, Retry) and reply.unclear)


def done_event(effect: Effect) -> str:
    """The name of what was just achieved."""
    match effect:
        case OpenIncident():
            return "incident.triggered"
        case LookForIncident():
            return "incident.found"
        case SetIncident(status):
            return f"incident.{'reopened' if status is Status.OPEN else status}"
        case ReadIncident():
            return "incident.read"
        case ReadNote(_):
            return "incident.note_read"
        case AddNote():
            return "incident.annotated"
        case SetAlert(status, _):
            return f"alert.{'reopened' if status is Status.OPEN else status}"
        case ReadAlert():
            return "alert.read"


def _done(link: Link, effect: Effect) -> Result:
    return Result(link, EffectOutcome.DONE, done_event(effect))


def _achieved(
    link: Link, side: Side, effect: Effect, facts: Facts, at: datetime | None, now: datetime, began: datetime,
    jitter: float, has_api_key: bool,
) -> Result:  # fmt: skip
    match effect:
        case OpenIncident() | LookForIncident():
            assert facts is None or isinstance(facts, IncidentFacts)
            return _found(link, side, effect, facts, at, now, began, jitter)
        case SetIncident(status):
            assert facts is None or isinstance(facts, IncidentFacts)
            return _set_incident(link, effect, status, facts, at, now, began, has_api_key)
        case SetAlert(status, _):
            return _done(_wrote(link, side, status, at, now), effect)
        case ReadIncident() | ReadAlert():
            assert isinstance(facts, IncidentFacts | AlertFacts)
            return _read(link, side, effect, facts, at, now, began, jitter)
        case ReadNote(note_id):
            text = facts.content if isinstance(facts, NoteFacts) else f"{link.last_note}…"
            current = link.note_to_read == note_id
            return Result(
                replace(link, note_to_read=None, last_note=text) if current else link,
                EffectOutcome.DONE,
                done_event(effect),
            )
        case AddNote(ref, _):
            notes = tuple(replace(note, done=True, content="") if note.ref == ref else note for note in link.notes)
            return _done(replace(link, notes=notes), effect)


def _wrote(
    link: Link, side: Side, status: Status, at: datetime | None, now: datetime, answered_at: datetime | None = None
) -> Link:
    """The link after our write was made. Both sides agree on it, if the other one stood there when it was decided.
    Where one was not kept before, it is looked whether this one is."""
    state = link.side(side)
    answers = state.pending.answers if state.pending else link.side(_other(side)).wants in (None, status)
    made = written(state, status, at, now, answered_at)
    if made.by_us and state.pending is not None and not state.pending.wanted:
        made = replace(made, inherited=True)
    unconfirmed = made.by_us and not made.confirmed and made.unconfirmed_count > 0
    wrote = link.with_side(side, replace(made, must_read=True) if unconfirmed else made)
    return followed(link, _agreeing(wrote, side, status) if answers else wrote, now)


def _agreeing(link: Link, side: Side, status: Status) -> Link:
    """The link after our write made both sides agree. What may have been made on the other side was decided before, and
    agrees with nothing any more."""
    other = link.side(_other(side))
    if other.pending is not None:
        link = link.with_side(_other(side), replace(other, pending=replace(other.pending, answers=False)))
    return replace(link, agreed=status)


def _found(
    link: Link, side: Side, effect: Effect, facts: IncidentFacts | None, at: datetime | None, now: datetime,
    began: datetime, jitter: float,
) -> Result:  # fmt: skip
    """The incident was opened, or looked for."""
    if facts is None:  # queued by the Events API, or looked for and not there
        state = link.incident_side
        if isinstance(effect, LookForIncident):
            gone = SideState(Status.RESOLVED, received_at=now, by_us=True, previous=Status.RESOLVED)
            hint = replace(link, incident_hint=None)
            nothing = hint if state.status is not None or not link.paged else replace(hint, incident_side=gone)
            return _done(followed(link, nothing, now), effect)
        link = _triggered(link, at or now, now)
        if state.status not in (None, Status.RESOLVED):
            return _done(link, effect)
        fresh = replace(born(at, now), read_at=now, written=state.written)
        return _done(replace(link, incident_side=fresh, agreed=Status.OPEN), effect)
    known = link.incident_side
    attached_link = attached(_triggered(link, facts.created_at or at or now, now), facts)
    is_new = _is_of_our_trigger(known.pending, facts)
    if known.pending is not None and known.status is not None and not is_new:
        return _read(attached_link, side, effect, facts, at, now, began, jitter)
    ended = known.by_us and known.previous is not Status.RESOLVED and facts.status is Status.RESOLVED
    closed = known.status is Status.RESOLVED and link.incident_id is None and not ended
    if known.status is None or is_new or closed:
        # What it has become since its beginning is somebody's doing.
        fresh = replace(born(facts.created_at or facts.status_changed_at, began), read_at=now)
        if known.by_us and known.previous is Status.OPEN and known.received_at is not None and not is_new:
            # Our resolve of an unclear create was taken (202), and may still have its effect.
            taken = known.received_at
            closing = PendingWrite(Status.RESOLVED, taken, True, Status.OPEN, fresh.at, taken, known.at)
            fresh = replace(fresh, pending=closing)
        attached_link = replace(attached_link, incident_side=fresh, agreed=Status.OPEN)
        if facts.status is Status.OPEN and not is_later(facts.status_changed_at, facts.created_at):
            return _done(followed(link, attached_link, now), effect)
    result = _read(attached_link, side, effect, facts, at, now, began, jitter)
    opened = isinstance(effect, OpenIncident) and facts.status is Status.OPEN
    return replace(result, event=done_event(effect), outcome=EffectOutcome.DONE, again_after=None) if opened else result


def _is_of_our_trigger(pending: PendingWrite | None, facts: IncidentFacts) -> bool:
    """Whether the incident is the one that a trigger made which was to open a closed one again. Both times are
    PagerDuty's."""
    if pending is None or pending.status is not Status.OPEN:
        return False
    return compare(facts.created_at, pending.answered_at) in (Order.SAME, Order.NEWER)


def _triggered(link: Link, at: datetime, now: datetime) -> Link:
    return remembering(link, HistoryEntry(at, "triggered", Side.PAGERDUTY, None, now))


def attached(link: Link, facts: IncidentFacts) -> Link:
    """The link knowing its incident."""
    return replace(
        link,
        incident_id=facts.incident_id,
        incident_number=facts.number,
        incident_url=facts.html_url,
        incident_hint=None,
    )


def _set_incident(
    link: Link, effect: Effect, status: Status, facts: IncidentFacts | None, at: datetime | None, now: datetime,
    began: datetime, has_api_key: bool,
) -> Result:  # fmt: skip
    side, state = Side.PAGERDUTY, link.incident_side
    # Nothing closed was there to open again: PagerDuty took a trigger, and what comes of it is another incident.
    triggers = facts is None and status is Status.OPEN
    done = Result(link, EffectOutcome.DONE, "incident.triggered" if triggers else done_event(effect))
    if facts is not None:
        if facts.status is not status:
            cleared = link.with_side(side, replace(not_written(state), received_at=None))
            observation = Observation(facts.status, facts.status_changed_at or at, began)
            return replace(done, link=seen(cleared, side, observation, now).link)
        return replace(done, link=_wrote(link, side, status, facts.status_changed_at or at, now, at))
    if state.status is None:
        # Nobody knows whether the incident that this ends was ever made: if it is there, it was open.
        before = PendingWrite(status, now, before=Status.OPEN)
        return replace(done, link=_wrote(link.with_side(side, replace(state, pending=before)), side, status, at, now))
    shown = state.pending is not None and state.pending.furthest is not None and state.status is status
    if not has_api_key or shown:  # what it showed says better since when it stands so than the answer
        return replace(done, link=_wrote(link, side, status, state.at if shown else at, now))
    return replace(done, link=link.with_side(side, accepted(state, status, at, now)))


def _read(
    link: Link, side: Side, effect: Effect, facts: IncidentFacts | AlertFacts, at: datetime | None, now: datetime,
    began: datetime, jitter: float,
) -> Result:  # fmt: skip
    """A read by the delivery itself: nothing else of ours is under way there."""
    done = _done(link, effect)
    status_at = facts.status_changed_at or at if isinstance(facts, IncidentFacts) else at
    seen_there = Observation(facts.status, status_at, began, shows_change=isinstance(facts, IncidentFacts))
    state = link.side(side)
    if state.pending is None:
        step = seen(link, side, seen_there, now)
        if step.outcome is Outcome.WRITE_LOST:
            return _write_lost(step.link, side, now, jitter)
        again = CONFIRM_DELAY if step.outcome is Outcome.STALE else None
        return replace(done, link=_just_read(step.link, side, now), again_after=again)
    after, made = resolved_by_read(state, seen_there)
    if made is None:
        return replace(done, again_after=CONFIRM_DELAY)
    after = replace(after, read_at=now)
    return _proven(link, side, after, made, effect, now, jitter)


def _just_read(link: Link, side: Side, now: datetime) -> Link:
    """A read that took long is no reason to read again."""
    return link.with_side(side, replace(link.side(side), read_at=now))


def _proven(
    link: Link, side: Side, after: SideState, made: bool, effect: Effect, now: datetime, jitter: float
) -> Result:
    """A read told whether our write was made."""
    pending, before = link.side(side).pending, link
    assert pending is not None
    link = link.with_side(side, after)
    if made and pending.answers:
        link = replace(link, agreed=pending.status)
    known = before.side(side)
    by = known.hint_by if known.hint is after.status else None
    news = after.status is not known.status and not after.by_us and not after.write_lost
    if news and after.status is not None:
        at, author = after.at or now, by.author if by else None
        link = remembering(link, HistoryEntry(at, FOUND[after.status], side, author, now))
    link = followed(before, link, now)
    if link.status is not before.status:
        link = attributed(link, side, by)
    lost = pending.accepted_at is not None or after.write_lost
    if not made and lost and after.status is not pending.status:
        return _write_lost(given_up(link, side), side, now, jitter)
    return _done(link, effect)


def _write_lost(link: Link, side: Side, now: datetime, jitter: float) -> Result:
    """What was taken and is not shown is written again; a resolve ever more slowly."""
    state = link.side(side)
    dead_letter = not_kept_dead_letter(link, side)
    result = Result(
        link,
        EffectOutcome.WRITE_LOST,
        f"{'alert' if side is Side.TRUTHVOUCH else 'incident'}.write_lost",
        None,
        WRITE_LOST,
    )
    result = replace(result, dead=dead_letter is not None, given_up=dead_letter)
    if link.status is not Status.RESOLVED or state.unconfirmed_count <= 1:
        return result
    delivery = replace(link.delivery(side), failing=WRITE_LOST)
    after = next_try(SetIncident(Status.RESOLVED), state.unconfirmed_count, None, jitter)
    return replace(result, link=link.with_delivery(side, delivery), again_after=after)


def not_kept_dead_letter(link: Link, side: Side) -> Effect | None:
    """What a dead letter is about after a write was not kept too often; None while it was not, or is told already."""
    if link.side(side).unconfirmed_count != REPEATS + 1:
        return None
    return SetAlert(link.status, None) if side is Side.TRUTHVOUCH else SetIncident(link.status)


def _merged_away(
    link: Link, effect: Effect, facts: IncidentFacts, at: datetime | None, now: datetime, survivor: SideState | None
) -> Result:
    """Whatever was asked of it, the incident is not there any more: a merge that nobody has told us of."""
    if isinstance(effect, OpenIncident | LookForIncident):
        link = attached(_triggered(link, facts.created_at or at or now, now), facts)
    merged = IncidentEvent(
        IncidentEventType.MERGED, facts.incident_id, "incident.read", facts.status_changed_at or at,
        merged_into=facts.merged_into,
    )  # fmt: skip
    link = link.with_side(Side.PAGERDUTY, not_written(link.incident_side))
    return _done(advance(link, merged, now, survivor=survivor).link, effect)


def _retry(link: Link, side: Side, effect: Effect, reply: Retry, now: datetime, jitter: float) -> Result:
    delivery = link.delivery(side)
    since = delivery.failing_since or now
    if now - since > give_up_after(effect):
        return _dead(link, side, effect, f"gave_up:{reply.reason}")
    # Reads that found nothing are counted by themselves: a read that could not be made is no read.
    counted_apart = delivery.failing != reply.reason and not _FOUND_NOTHING.isdisjoint((delivery.failing, reply.reason))
    attempt = 1 if counted_apart else delivery.attempt + 1
    if isinstance(effect, LookForIncident) and _no_incident_came(link, attempt, reply.reason):
        # Replayed, it is looked for once more and then triggered anew.
        link = replace(link, incident_side=SideState())
        dead = _dead(link, side, OpenIncident(look_first=True), NO_EFFECT)
        return replace(dead, link=replace(dead.link, open_tried=True), given_up=OpenIncident(look_first=True))
    delivery = replace(delivery, attempt=attempt, failing=reply.reason, failing_since=since)
    if isinstance(effect, LookForIncident) and reply.reason == NOT_THERE_YET and attempt >= READS_FOR_AN_ID:
        link = _as_if_seen(link, now)
    after = next_try(effect, delivery.attempt, reply.after_seconds, jitter)
    return Result(link.with_delivery(side, delivery), EffectOutcome.RETRY, "delivery.retried", after, reply.reason)


def _as_if_seen(link: Link, now: datetime) -> Link:
    """Nothing shows what an event did to a matter that is over: its 202 has to do."""
    pending = link.incident_side.pending
    if pending is None or link.status is not Status.RESOLVED or pending.status is not Status.RESOLVED:
        return link
    return _wrote(link, Side.PAGERDUTY, Status.RESOLVED, None, now)


def _no_incident_came(link: Link, attempt: int, reason: str) -> bool:
    """Whether the Events API took a trigger and every look says that it did nothing with it."""
    waits = link.status is not Status.RESOLVED and link.incident_side.status is not None
    return reason == NOT_THERE_YET and waits and attempt > READS_FOR_AN_ID + len(SLOW_READS)


def _refused(link: Link, side: Side, effect: Effect, reply: Refused, now: datetime, jitter: float) -> Result:
    """Going back at TruthVouch may be refused for good: *resolved* is terminal there. Any other no is a dead letter."""
    if isinstance(effect, SetAlert) and effect.status is not Status.RESOLVED:
        was_resolved = link.alert_side.status is Status.RESOLVED
        link = _giving_up(link, side, effect)
        if was_resolved and link.status is not Status.RESOLVED:
            link = with_note(link, "cannot reopen the alert, left resolved,", "TruthVouch", reply.reason, None)
        return Result(link, EffectOutcome.REFUSED, "alert.refused", None, reply.reason)
    if isinstance(effect, ReadAlert | ReadIncident) and reply.status in NOT_READABLE:
        return Result(_unreadable(link, side, now), EffectOutcome.REFUSED, "delivery.unreadable", None, reply.reason)
    if isinstance(effect, LookForIncident | ReadIncident | ReadAlert):  # a read that is refused tells nothing
        return _retry(link, side, effect, Retry(reply.reason), now, jitter)
    return _dead(link, side, effect, reply.reason, reply.detail)


def _unreadable(link: Link, side: Side, now: datetime) -> Link:
    """The link where a side cannot be read: what may have been written is written again, and what came out of order is
    left to the next read that can be made."""
    pending = link.side(side).pending
    if pending is not None:
        link = link.with_side(side, replace(link.side(side), pending=replace(pending, unreadable=True)))
    return assumed(link, side, now)


def _dead(link: Link, side: Side, effect: Effect, reason: str, detail: str = "") -> Result:
    link = _giving_up(link, side, effect)
    if not isinstance(effect, AddNote | ReadNote):  # nothing waits for a note
        link = link.with_delivery(side, replace(link.delivery(side), dead=reason))
    return Result(link, EffectOutcome.DEAD, "delivery.dead", None, reason, dead=True, detail=detail)


def _giving_up(link: Link, side: Side, effect: Effect) -> Link:
    delivery = replace(link.delivery(side), attempt=0, failing="", failing_since=None)
    match effect:
        case SetAlert(status, _) | SetIncident(status):
            delivery = replace(delivery, refused=status)
            link = without_call(link, side, effect)
        case OpenIncident():
            delivery = replace(delivery, refused=Status.OPEN)
        case LookForIncident():
            link = replace(link, open_tried=False, incident_hint=None)
        case ReadIncident() | ReadAlert():
            state = link.side(side)
            link = link.with_side(side, replace(state, must_read=False, pending=None))
        case ReadNote(_):
            link = replace(link, note_to_read=None)
        case AddNote(ref, _):
            gone = [replace(note, done=True, given_up=True) if note.ref == ref else note for note in link.notes]
            link = replace(link, notes=tuple(gone))
    return link.with_delivery(side, delivery)


def read_for(other: Link, facts: IncidentFacts, at: datetime | None, began: datetime, now: datetime) -> Link:
    """Another link on the same incident after a delivery read that: what people made of it is news for all of them."""
    if other.incident_side.pending is not None:
        return other
    return seen(other, Side.PAGERDUTY, Observation(facts.status, facts.status_changed_at or at, began), now).link


def enqueued(link: Link, side: Side, at: datetime) -> tuple[Link, DeliveryState]:
    """The link with one more delivery outstanding towards that side, and its state."""
    known = link.delivery(side)
    delivery = DeliveryState(True, known.seq + 1, since=at, refused=known.refused, dead=known.dead)
    return link.with_delivery(side, delivery), delivery


def without_outstanding(link: Link, side: Side) -> Link:
    """The link with nothing outstanding towards that side."""
    delivery = replace(link.delivery(side), outstanding=False, since=None, waits_for="", due_at=None)
    return link.with_delivery(side, delivery)
