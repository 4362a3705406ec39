"""What a partner's answer means for the link: pure, so that a crash before it is written changes nothing."""

from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.effects import AddNote, Effect, LookForIncident, OpenIncident, SetAlert, SetIncident
from app.domain.incident import IncidentFacts
from app.domain.lifecycle import advance, with_note
from app.domain.link import Known, Lane, Link
from app.domain.names import IncidentId, Side, Status
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.domain.retry import HOLD_PROBE_DELAY, next_try, patience
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


def record(
    link: Link, side: Side, effect: Effect, reply: Reply[IncidentFacts | None], now: datetime, dice: float
) -> Result:
    """Lay a partner's answer over the link. ``dice`` uniform in 0..1, for jitter."""
    match reply:
        case Done(value):
            link = link.with_lane(side, replace(link.lane(side), attempt=0, failing=""))
            return Result(_achieved(link, effect, value, now), "done", done_event(effect))
        case Retry():
            return _retry(link, side, effect, reply, now, dice)
        case Held(reason):
            lane = replace(link.lane(side), attempt=link.lane(side).attempt + 1, failing=reason)
            return Result(link.with_lane(side, lane), "held", "delivery.held", HOLD_PROBE_DELAY, reason)
        case Refused():
            return _refused(link, side, effect, reply)


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
        case AddNote():
            return "incident.annotated"
        case SetAlert(status, _):
            return f"alert.{'reopened' if status is Status.OPEN else status}"


def _achieved(link: Link, effect: Effect, facts: IncidentFacts | None, now: datetime) -> Link:
    match effect:
        case OpenIncident() | LookForIncident():
            return _opened(link, effect, facts, now)
        case SetIncident(status):
            return _set_incident(link, status, facts, now)
        case AddNote(ref, _):
            notes = tuple(replace(note, done=True) if note.ref == ref else note for note in link.notes)
            return replace(link, notes=notes)
        case SetAlert(status, _):
            return replace(link, alert_side=Known(status, now, ours=True))


def _opened(link: Link, effect: Effect, facts: IncidentFacts | None, now: datetime) -> Link:
    if facts is None:  # queued by the Events API, or looked for and not there
        nothing_to_close = isinstance(effect, LookForIncident) and link.incident_side.status is None
        if nothing_to_close:  # dated so early that any later word of PagerDuty's counts
            return replace(link, incident_side=Known(Status.RESOLVED, link.first_seen_at))
        return replace(link, incident_side=Known(link.incident_side.status or Status.OPEN, now))
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


def _set_incident(link: Link, status: Status, facts: IncidentFacts | None, now: datetime) -> Link:
    if facts is None or facts.status is status:
        at = (facts.status_changed_at if facts else None) or now
        return replace(link, incident_side=Known(status, at, ours=True))
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


def _retry(link: Link, side: Side, effect: Effect, reply: Retry, now: datetime, dice: float) -> Result:
    lane = link.lane(side)
    if now - (lane.since or now) > patience(effect):
        return _dead(link, side, effect, f"gave_up:{reply.reason}")
    lane = replace(lane, attempt=lane.attempt + 1, failing=reply.reason)
    after = next_try(effect, lane.attempt, reply.after_seconds, dice)
    return Result(link.with_lane(side, lane), "retry", "delivery.retried", after, reply.reason)


def _refused(link: Link, side: Side, effect: Effect, reply: Refused) -> Result:
    """Going back at TruthVouch may be refused for good: *resolved* is terminal there. Any other no is a dead letter."""
    if isinstance(effect, SetAlert) and effect.status is not Status.RESOLVED:
        was_resolved = link.alert_side.status is Status.RESOLVED
        link = _giving_up(link, side, effect)
        if was_resolved and effect.status is Status.OPEN:
            link = with_note(link, "cannot reopen the alert, left resolved,", "TruthVouch", reply.reason, None)
        return Result(link, "refused", "alert.refused", None, reply.reason)
    return _dead(link, side, effect, reply.reason)


def _dead(link: Link, side: Side, effect: Effect, reason: str) -> Result:
    return Result(_giving_up(link, side, effect), "dead", "delivery.dead", None, reason, dead=True)


def _giving_up(link: Link, side: Side, effect: Effect) -> Link:
    lane = replace(link.lane(side), attempt=0, failing="")
    match effect:
        case SetAlert(status, _) | SetIncident(status):
            lane = replace(lane, refused=status)
        case OpenIncident():
            lane = replace(lane, refused=Status.OPEN)
        case LookForIncident():
            link = replace(link, open_tried=False)
        case AddNote(ref, _):
            notes = tuple(replace(note, done=True) if note.ref == ref else note for note in link.notes)
            link = replace(link, notes=notes)
    return link.with_lane(side, lane)


def owing(link: Link, side: Side, at: datetime) -> tuple[Link, Lane]:
    """The link with one more delivery outstanding towards that side, and its lane."""
    lane = link.lane(side)
    lane = replace(lane, outstanding=True, seq=lane.seq + 1, attempt=0, failing="", since=at)
    return link.with_lane(side, lane), lane


def settled(link: Link, side: Side) -> Link:
    """The link with nothing outstanding towards that side."""
    return link.with_lane(side, replace(link.lane(side), outstanding=False, since=None))
