"""What a partner's answer means for the link: pure, so that a crash before it is written changes nothing."""

from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.doubts import beyond_doubt
from app.domain.echo import may_have_written, wrote
from app.domain.effects import (
    LOOKS_FOR_AN_ID,
    NO_EFFECT,
    NOT_THERE_YET,
    AddNote,
    ConfirmResolve,
    Effect,
    LookForIncident,
    OpenIncident,
    SetAlert,
    SetIncident,
)
from app.domain.incident import IncidentFacts
from app.domain.lifecycle import advance, with_note
from app.domain.link import Known, Lane, Link, remembering
from app.domain.names import IncidentId, Side, Status, Via
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.domain.retry import HOLD_PROBE_DELAY, SLOW_LOOKS, next_try, patience
from app.domain.words import IncidentVerb, IncidentWord

VERB_OF_STATUS = {
    Status.OPEN: IncidentVerb.TRIGGERED,
    Status.ACKNOWLEDGED: IncidentVerb.ACKNOWLEDGED,
    Status.RESOLVED: IncidentVerb.RESOLVED,
}


@dataclass(frozen=True, slots=True)
class Result:
    """The link after an answer; what to call it; when to go on (None = at once); what became a dead letter."""

    link: Link
    outcome: str
    """``done``, ``retry``, ``held``, ``refused``, ``dead``."""
    event: str
    """For the time line and the log: ``incident.triggered``, ``delivery.retried``, ..."""
    again_after: float | None = None
    reason: str = ""
    dead: bool = False
    detail: str = ""
    """The partner's own words about a final no."""
    given_up: Effect | None = None
    """What a dead letter is about, where that is not what was tried last."""


def record(
    link: Link,
    side: Side,
    effect: Effect,
    reply: Reply[IncidentFacts | None],
    now: datetime,
    dice: float,
    began: datetime | None = None,
) -> Result:
    """Lay a partner's answer over the link. ``dice`` uniform in 0..1, for jitter; ``began``: when the call was made,
    None = long enough ago that whatever was heard may have been caused by it."""
    result = _recorded(link, side, effect, reply, now, dice, began)
    return replace(result, link=beyond_doubt(result.link, side))


def _recorded(
    link: Link,
    side: Side,
    effect: Effect,
    reply: Reply[IncidentFacts | None],
    now: datetime,
    dice: float,
    began: datetime | None,
) -> Result:
    match reply:
        case Done(value):
            link = link.with_lane(side, replace(link.lane(side), attempt=0, failing="", failing_since=None))
            return Result(_achieved(link, effect, value, now, began), "done", done_event(effect))
        case Retry():
            return _retry(link, side, effect, reply, now, dice, began)
        case Held(reason, after_seconds):
            lane = replace(link.lane(side), attempt=link.lane(side).attempt + 1, failing=reason, failing_since=None)
            after = HOLD_PROBE_DELAY if after_seconds is None else after_seconds
            return Result(link.with_lane(side, lane), "held", "delivery.held", after, reason)
        case Refused():
            return _refused(link, side, effect, reply, now, dice)


def may_have_happened(reply: Reply[IncidentFacts | None]) -> bool:
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
        case ConfirmResolve():
            return "incident.resolve_seen"
        case AddNote():
            return "incident.annotated"
        case SetAlert(status, _):
            return f"alert.{'reopened' if status is Status.OPEN else status}"


def _achieved(link: Link, effect: Effect, facts: IncidentFacts | None, now: datetime, began: datetime | None) -> Link:
    match effect:
        case OpenIncident() | LookForIncident():
            return _opened(link, effect, facts, now)
        case SetIncident(status):
            return _set_incident(link, status, facts, now, began)
        case ConfirmResolve():
            link = replace(link, resolve_unseen=False)
            return link if facts is None else told_by_reading(link, facts, now)
        case AddNote(ref, _):
            notes = tuple(replace(note, done=True) if note.ref == ref else note for note in link.notes)
            return replace(link, notes=notes)
        case SetAlert(status, _):
            return wrote(link, Side.TRUTHVOUCH, status, now, began=began)


def _opened(link: Link, effect: Effect, facts: IncidentFacts | None, now: datetime) -> Link:
    if facts is None:  # queued by the Events API, or looked for and not there
        nothing_to_close = isinstance(effect, LookForIncident) and link.incident_side.status is None
        if nothing_to_close:  # dated so early that any later word of PagerDuty's counts
            return replace(link, incident_side=Known(Status.RESOLVED, link.first_seen_at))
        link = remembering(link, "triggered", Side.PAGERDUTY, now) if isinstance(effect, OpenIncident) else link
        return replace(link, incident_side=Known(link.incident_side.status or Status.OPEN, now))
    link = remembering(link, "triggered", Side.PAGERDUTY, facts.created_at or now)
    known = link.incident_side if link.incident_side.status else Known(Status.OPEN, facts.created_at or now)
    return told_by_reading(replace(attached(link, facts), incident_side=known), facts, now)


def attached(link: Link, facts: IncidentFacts) -> Link:
    """The link knowing its incident."""
    return replace(
        link,
        incident_id=facts.incident_id,
        incident_number=facts.number,
        incident_url=facts.html_url,
    )


def _set_incident(
    link: Link, status: Status, facts: IncidentFacts | None, now: datetime, began: datetime | None
) -> Link:
    if facts is None or facts.status is status:
        told_at, kept = facts.status_changed_at if facts else None, facts is not None
        unseen = facts is None and status is Status.RESOLVED and link.via is Via.EVENTS
        link = replace(link, resolve_unseen=unseen)
        exact = told_at is not None
        return wrote(link, Side.PAGERDUTY, status, told_at or now, exact=exact, kept=kept, began=began)
    return told_by_reading(link, facts, now)


def told_by_reading(link: Link, facts: IncidentFacts, now: datetime) -> Link:
    """A read that says something new is a word like any other, said when the incident last changed."""
    at = facts.status_changed_at or now
    if facts.merged_into:
        merged = IncidentWord(
            IncidentVerb.MERGED, facts.incident_id, "incident.read", at, merged_into=facts.merged_into
        )
        return advance(link, merged, now).link
    if facts.status is link.incident_side.status:
        return link
    if facts.status is Status.OPEN:
        return replace(link, incident_side=link.incident_side.told(Status.OPEN, at))
    word = IncidentWord(VERB_OF_STATUS[facts.status], IncidentId(facts.incident_id), "incident.read", at)
    return advance(link, word, now).link


def _retry(
    link: Link,
    side: Side,
    effect: Effect,
    reply: Retry,
    now: datetime,
    dice: float,
    began: datetime | None = None,
) -> Result:
    lane = link.lane(side)
    since = lane.failing_since or now
    if now - since > patience(effect):
        return _dead(link, side, effect, f"gave_up:{reply.reason}")
    # Looks that found nothing are counted by themselves: a look that could not be made is no look.
    counted_apart = lane.failing != reply.reason and NOT_THERE_YET in (lane.failing, reply.reason)
    attempt = 1 if counted_apart else lane.attempt + 1
    if isinstance(effect, LookForIncident) and _no_incident_came(link, attempt, reply.reason):
        # Replayed, it is looked for once more and then triggered anew.
        link = replace(link, incident_side=Known())
        dead = _dead(link, side, OpenIncident(look_first=True), NO_EFFECT)
        return replace(dead, link=replace(dead.link, open_tried=True), given_up=OpenIncident(look_first=True))
    lane = replace(lane, attempt=attempt, failing=reply.reason, failing_since=since)
    after = next_try(effect, lane.attempt, reply.after_seconds, dice)
    if reply.unclear and isinstance(effect, SetIncident | SetAlert):
        link = may_have_written(link, side, effect.status, now, began)
    return Result(link.with_lane(side, lane), "retry", "delivery.retried", after, reply.reason)


def _no_incident_came(link: Link, attempt: int, reason: str) -> bool:
    """Whether the Events API took a trigger and every look says that it did nothing with it."""
    waits = link.status is not Status.RESOLVED and link.incident_side.status is not None
    return reason == NOT_THERE_YET and waits and attempt > LOOKS_FOR_AN_ID + len(SLOW_LOOKS)


def _refused(link: Link, side: Side, effect: Effect, reply: Refused, now: datetime, dice: float) -> Result:
    """Going back at TruthVouch may be refused for good: *resolved* is terminal there. Any other no is a dead letter."""
    if isinstance(effect, SetAlert) and effect.status is not Status.RESOLVED:
        was_resolved = link.alert_side.status is Status.RESOLVED
        link = _giving_up(link, side, effect)
        if was_resolved and effect.status is Status.OPEN:
            link = with_note(link, "cannot reopen the alert, left resolved,", "TruthVouch", reply.reason, None)
        return Result(link, "refused", "alert.refused", None, reply.reason)
    if isinstance(effect, LookForIncident | ConfirmResolve):  # a look that is refused tells nothing
        return _retry(link, side, effect, Retry(reply.reason), now, dice)
    return _dead(link, side, effect, reply.reason, reply.detail)


def _dead(link: Link, side: Side, effect: Effect, reason: str, detail: str = "") -> Result:
    link = _giving_up(link, side, effect)
    link = link.with_lane(side, replace(link.lane(side), dead=reason))
    return Result(link, "dead", "delivery.dead", None, reason, dead=True, detail=detail)


def _giving_up(link: Link, side: Side, effect: Effect) -> Link:
    lane = replace(link.lane(side), attempt=0, failing="", failing_since=None)
    match effect:
        case SetAlert(status, _) | SetIncident(status):
            lane = replace(lane, refused=status)
        case OpenIncident():
            lane = replace(lane, refused=Status.OPEN)
        case LookForIncident():
            link = replace(link, open_tried=False)
        case ConfirmResolve():
            link = replace(link, resolve_unseen=False)
        case AddNote(ref, _):
            gone = [replace(note, done=True, given_up=True) if note.ref == ref else note for note in link.notes]
            link = replace(link, notes=tuple(gone))
    return link.with_lane(side, lane)


def owing(link: Link, side: Side, at: datetime) -> tuple[Link, Lane]:
    """The link with one more delivery outstanding towards that side, and its lane."""
    lane = link.lane(side)
    lane = replace(
        lane,
        outstanding=True,
        seq=lane.seq + 1,
        attempt=0,
        failing="",
        failing_since=None,
        since=at,
        waits_for="",
        due_at=None,
    )
    return link.with_lane(side, lane), lane


def settled(link: Link, side: Side) -> Link:
    """The link with nothing outstanding towards that side."""
    lane = replace(link.lane(side), outstanding=False, since=None, waits_for="", due_at=None)
    return link.with_lane(side, lane)
