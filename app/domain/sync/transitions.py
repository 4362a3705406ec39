"""The state machine of a link: two total tables, one per side, and the pure functions that apply them.

An event or a read changes what is known of its own side (``side_state``); ``Link.status`` says what follows for both.
The picture is in docs/architecture.md and must change with these tables.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.model.events import AlertEvent, AlertEventType, Event, IncidentEvent, IncidentEventType
from app.domain.model.types import IncidentId, Side, Status, replace, verdict_of
from app.domain.rules.rulebook import Decision
from app.domain.sync.effects import NO_EFFECT, damped, is_flap
from app.domain.sync.link import (
    MAX_FORMER_INCIDENTS,
    OUR_NOTE,
    HistoryEntry,
    Link,
    flipped,
    is_about_others,
    reached_by_people,
    remembering,
    with_better_author,
    with_note,
    written_for_another,
)
from app.domain.sync.observations import Observation, explains, narrowed, observed
from app.domain.sync.side_state import (
    Applied,
    Attribution,
    Order,
    Said,
    SideState,
    born,
    compare,
    put_back,
    said,
    shown,
    usable,
)


@dataclass(frozen=True, slots=True)
class Move:
    """What an event says of its own side; None = nothing."""

    status: Status | None
    goes_back: bool = False
    """It says that the side went back: a mere *open* does not."""
    first_only: bool = False
    """It says so only of a side of which nothing is known: it may be repeated, or late, at any time."""
    back_from: tuple[Status, ...] = ()
    """What it says that the side went back from."""


ALERT_MOVES: Mapping[AlertEventType, Move] = {
    AlertEventType.CREATED: Move(Status.OPEN, first_only=True),
    AlertEventType.ACKNOWLEDGED: Move(Status.ACKNOWLEDGED),
    AlertEventType.RESOLVED: Move(Status.RESOLVED),
    AlertEventType.REOPENED: Move(Status.OPEN, goes_back=True, back_from=(Status.ACKNOWLEDGED, Status.RESOLVED)),
    AlertEventType.READ: Move(None),
    AlertEventType.MENTIONED: Move(None),
}
INCIDENT_MOVES: Mapping[IncidentEventType, Move] = {
    IncidentEventType.TRIGGERED: Move(Status.OPEN, first_only=True),
    IncidentEventType.ACKNOWLEDGED: Move(Status.ACKNOWLEDGED),
    IncidentEventType.UNACKNOWLEDGED: Move(Status.OPEN, goes_back=True, back_from=(Status.ACKNOWLEDGED,)),
    IncidentEventType.RESOLVED: Move(Status.RESOLVED),
    IncidentEventType.REOPENED: Move(Status.OPEN, goes_back=True, back_from=(Status.RESOLVED,)),
    IncidentEventType.MERGED: Move(None),
    IncidentEventType.ANNOTATED: Move(None),
    IncidentEventType.READ: Move(None),
    IncidentEventType.MENTIONED: Move(None),
}

FOUND: Mapping[Status, str] = {
    Status.OPEN: AlertEventType.REOPENED.value,
    Status.ACKNOWLEDGED: AlertEventType.ACKNOWLEDGED.value,
    Status.RESOLVED: AlertEventType.RESOLVED.value,
}
"""What happened, where nobody said so and a read found it."""

_REFERENCE = re.compile(r"\(ref [0-9a-f]{8}\)\s*\Z")

REPEATS = 3
"""So often a write that is not kept is made again. Then it becomes a dead letter: nothing goes without effect for ever
and says nothing."""

A_MOMENT = timedelta(microseconds=1)


class Outcome(StrEnum):
    """What an event did to its link."""

    OPENED = "opened"
    """A create that wants an incident."""
    NO_INCIDENT_WANTED = "no_incident_wanted"
    MOVED = "moved"
    """Both sides should now be something else."""
    FROZEN = "frozen"
    """The same, once too often."""
    CONFLICT = Applied.CONFLICT.value
    """From before our own write and further along: both sides get there again."""
    ALREADY_SO = Applied.SAME.value
    """No news, whoever caused it: a duplicate, the echo of our own write, or what both sides should be anyway."""
    EXPLAINED = "explained"
    """The webhook of a change that a read had found: it tells who made it, and why."""
    STALE = Applied.STALE.value
    TO_BE_READ = Applied.HINT.value
    WRITE_LOST = Applied.WRITE_LOST.value
    UNDER_WAY = Applied.UNDER_WAY.value
    ABSORBED = "absorbed"
    """Resolved stays resolved."""
    MERGED = "merged"
    NOTED = "noted"
    OWN_NOTE = "own_note"
    TIMELINE_ONLY = "timeline_only"
    NO_INCIDENT = "no_incident"
    """A merge of an incident that this link has left, or that is over."""


@dataclass(frozen=True, slots=True)
class Step:
    """The link after an event, and what the event did."""

    link: Link
    outcome: Outcome


def advance(
    link: Link,
    event: Event,
    now: datetime,
    decision: Decision | None = None,
    survivor: SideState | None = None,
    readable: bool = True,
    shared: Sequence[Link] = (),
) -> Step:
    """Apply one event or read to this link.

    ``now``: when it was received; ``decision`` is the rulebook's, needed for CREATED; ``survivor`` what is known of the
    incident that a MERGED names; ``readable``: whether the side that speaks can be read; ``shared``: the links on the
    same incident, before any of them knew of this. Applying it twice equals applying it once.
    """
    if isinstance(event, AlertEvent):
        link = replace(link, alert=link.alert.updated_by(event.alert))
        if event.type is AlertEventType.CREATED:
            return _created(link, event, now, decision)
        if event.type is AlertEventType.READ:
            return _read(link, Side.TRUTHVOUCH, event, now)
        return _moved(link, Side.TRUTHVOUCH, ALERT_MOVES[event.type], event, now, readable)
    link = _describing(link, event)
    if event.type is IncidentEventType.MERGED:
        return _merged(link, event, now, survivor)
    if event.type is IncidentEventType.ANNOTATED:
        return _annotated(link, event)
    return _about_the_incident(link, event, now, readable, shared)


def _about_the_incident(
    link: Link, event: IncidentEvent, now: datetime, readable: bool, shared: Sequence[Link]
) -> Step:
    """What is under way there for another link is under way for this one, too: it brings about no person's doing."""
    state = link.incident_side
    for_another = written_for_another(link, shared, event.at) if state.pending is None else None
    if for_another is not None:
        link = link.with_side(Side.PAGERDUTY, replace(state, pending=for_another))
    if event.type is IncidentEventType.READ:
        step = _read(link, Side.PAGERDUTY, event, now)
    else:
        step = _moved(link, Side.PAGERDUTY, INCIDENT_MOVES[event.type], event, now, readable)
    if for_another is None:
        return step
    return replace(step, link=step.link.with_side(Side.PAGERDUTY, replace(step.link.incident_side, pending=None)))


def _created(link: Link, event: AlertEvent, now: datetime, decision: Decision | None) -> Step:
    state = link.alert_side
    if state.status is None:
        # A read that found it saw more than that it was created, and comes right behind.
        state = born(event.at, event.read_at - A_MOMENT if event.read_at else now)
    seen = replace(link, alert_side=state)
    if link.paged:
        return Step(seen, Outcome.ALREADY_SO)
    if link.decision is not None and link.status is Status.RESOLVED:
        return Step(seen, Outcome.ABSORBED)
    decided = replace(seen, decision=decision)
    if not decided.paged:
        return Step(decided, Outcome.NO_INCIDENT_WANTED)
    return Step(decided, Outcome.ABSORBED if link.status is Status.RESOLVED else Outcome.OPENED)


def _moved(link: Link, side: Side, move: Move, event: Event, now: datetime, readable: bool) -> Step:
    state = link.side(side)
    if move.status is None:
        return Step(link, Outcome.TIMELINE_ONLY)
    if move.first_only and state.status is not None:
        return Step(_remembered(link, side, event, now), Outcome.ALREADY_SO)
    change = Said(move.status, event.at, now, move.goes_back, attribution_of(event), move.back_from)
    acknowledged = side is Side.TRUTHVOUCH and move.status is Status.ACKNOWLEDGED and state.pending is None
    if acknowledged and state.status is Status.RESOLVED:
        return Step(link.with_side(side, put_back(state, change)), Outcome.ABSORBED)
    found = state
    state, applied = said(state, change, readable=readable)
    late = found.found_after is not None and applied in (Applied.SAME, Applied.STALE)
    if late:
        state = narrowed(state, change)
    if side is Side.PAGERDUTY and Status.RESOLVED not in move.back_from and is_about_others(link, state):
        state = replace(state, inherited=True)
    pending = link.side(side).pending
    ours = pending is not None and move.status in (pending.status, *pending.earlier)
    expected = ours or (link.delivery(side).outstanding and link.status is move.status)
    updated = link.with_side(side, state)
    if state.pending and state.pending.answers and state.status is state.pending.status and applied is Applied.TAKEN:
        # What we write there, whoever did it: both sides stood there.
        updated = replace(updated, agreed=move.status).with_side(side, shown(state, now))
    if applied in (Applied.TAKEN, Applied.CONFLICT) and not expected:
        updated = _remembered(updated, side, event, now)
    by = None if ours else change.by  # our own words are no news, whatever became of our write
    step = concluded(link, updated, side, by, now, Outcome(applied) if applied is not Applied.TAKEN else None)
    if late and explains(found, change):
        return Step(_explained(step.link, side, event, found, now), Outcome.EXPLAINED)
    return step


def _explained(link: Link, side: Side, event: Event, found: SideState, now: datetime) -> Link:
    """The link after the webhook of what a read ``found``: as if it had come first, so a reason makes one note."""
    assert found.status is not None
    at, by = usable(event.at, now) or now, attribution_of(event)
    entry = HistoryEntry(at, event.type.value, side, by.author, now)
    link = with_better_author(link, entry, FOUND[found.status], found.found_after)
    if found.status is not Status.RESOLVED:
        return _judged(link, by) if link.status is found.status else link
    if link.closed_from is not side:  # the other side was first
        return link
    unnamed = f"{OUR_NOTE}resolved by somebody (ref "
    notes = tuple(note for note in link.notes if note.done or not note.content.startswith(unnamed))
    return _closing(_judged(replace(link, notes=notes), by), side, by)


def attribution_of(event: Event) -> Attribution:
    """Who made the change, and why."""
    if isinstance(event, AlertEvent):
        return Attribution(event.author, event.reason, event.text)
    return Attribution(event.author, None, event.note)


def _remembered(link: Link, side: Side, event: Event, now: datetime, what: str = "") -> Link:
    at = usable(event.at, now) or now
    return remembering(link, HistoryEntry(at, what or event.type.value, side, event.author, now))


def _read(link: Link, side: Side, event: Event, now: datetime) -> Step:
    if event.status is None:
        return Step(link, Outcome.TIMELINE_ONLY)
    if isinstance(event, IncidentEvent) and link.incident_id is None:
        link = adopting(link, event.incident_id)
    if link.side(side).pending is not None:
        return Step(link, Outcome.UNDER_WAY)
    return seen(link, side, observation_of(event, now), now)


def observation_of(event: Event, now: datetime) -> Observation:
    """The read that this event tells of."""
    assert event.status is not None
    return Observation(event.status, event.at, event.read_at or now, shows_change=isinstance(event, IncidentEvent))


def seen(link: Link, side: Side, observation: Observation, now: datetime) -> Step:
    """Apply a read of a side where no call of ours is under way."""
    before = link.side(side)
    state, applied = observed(before, observation)
    first_read = before.must_read and before.inherited  # of the survivor of a merge
    others = side is Side.PAGERDUTY and is_about_others(link, state)
    if others or (first_read and (state.wants or Status.OPEN).rank <= link.status.rank):
        state = replace(state, inherited=True)
    after = link.with_side(side, state)
    if applied is Applied.WRITE_LOST:
        after = given_up(after, side)
    by = before.hint_by if before.hint in (observation.status, state.conflict) else None
    if applied is Applied.TAKEN and before.status is not None:
        at, author = usable(observation.at, now) or now, by.author if by else None
        after = remembering(after, HistoryEntry(at, FOUND[observation.status], side, author, now))
    return concluded(link, after, side, by, now, Outcome(applied) if applied is not Applied.TAKEN else None)


def assumed(link: Link, side: Side, now: datetime) -> Link:
    """The link where a side cannot be read to place an event: it counts if it goes forward, and if no earlier write of
    ours said the same. What does not count is kept for the next read that can be made."""
    state = link.side(side)
    hint, unread = state.hint, replace(state, must_read=False, read_at=now)
    if hint is None or state.status is None or hint.rank <= state.status.rank or hint in state.written:
        return link.with_side(side, unread)
    read = replace(unread, hint=None, hint_by=None, found_after=None)
    taken = replace(read, status=hint, received_at=now, by_us=False, inherited=False, write_lost=False, conflict=None)
    return concluded(link, link.with_side(side, taken), side, state.hint_by, now, None).link


def given_up(link: Link, side: Side) -> Link:
    """The link after a write was not kept once more: after three repeats the difference is final for what is wanted
    now. A resolve is repeated as long as it takes."""
    count, wanted = link.side(side).unconfirmed_count, link.status
    if count <= REPEATS or wanted is Status.RESOLVED:
        return link
    return link.with_delivery(side, replace(link.delivery(side), refused=wanted))


def concluded(
    before: Link, link: Link, side: Side, by: Attribution | None, now: datetime, outcome: Outcome | None
) -> Step:
    """Name what a side's news did, and draw what follows from it."""
    news = outcome in (None, Outcome.CONFLICT)
    if news and side is Side.TRUTHVOUCH and is_flap(before, link, now):
        return Step(followed(before, damped(before, link, side, now), now), Outcome.MOVED)
    link = followed(before, link, now)
    if link.status is before.status:
        absorbed = news and link.status is Status.RESOLVED and link.side(side).status is not Status.RESOLVED
        return Step(link, outcome or (Outcome.ABSORBED if absorbed else Outcome.ALREADY_SO))
    own_at = link.side(side).at
    link = flipped(damped(before, link, side, now), side, now, own_at)
    link = attributed(link, side, by)
    if link.frozen_at and not before.frozen_at:
        return Step(link, Outcome.FROZEN)
    return Step(link, outcome or Outcome.MOVED)


def followed(before: Link, link: Link, now: datetime) -> Link:
    """The link after something was learned: agreed where both sides stand alike, and asked anew where something else is
    wanted now."""
    alert, incident = link.alert_side, link.incident_side
    # Standing alike is no agreement while both are to be elsewhere: a conflict, or what was reached before a merge.
    if alert.status is not None and alert.status is incident.status is link.status:
        link = replace(link, agreed=alert.status or link.agreed)
        for side in Side:
            state = link.side(side)
            if state.inherited or state.write_lost or state.conflict:
                link = link.with_side(side, replace(state, inherited=False, write_lost=False, conflict=None))
    if link.status is before.status:
        return _opened_there(before, link)
    if before.status is Status.RESOLVED:
        link = replace(link, life=link.life + 1, last_note=None, note_to_read=None)
    return _asking_anew(before, link)


def _opened_there(before: Link, link: Link) -> Link:
    """TruthVouch opens nothing again, but its people have: then it can be asked again for what is wanted."""
    opened = before.alert_side.status is Status.RESOLVED is not link.alert_side.status
    if not opened or link.truthvouch.refused is None or link.alert_side.by_us or link.alert_side.write_lost:
        return link
    return replace(link, truthvouch=replace(link.truthvouch, refused=None))


def _asking_anew(before: Link, link: Link) -> Link:
    """A partner's final no, and what it did not keep, held for what was wanted then. A refused create is asked again
    only in another life or by an operator; and what TruthVouch has closed and does not open again stays closed."""
    over = Status.RESOLVED in (link.status, before.status)
    new_alert = link.alert_side.status is not before.alert_side.status
    closed_for_good = link.alert_side.status is Status.RESOLVED and link.truthvouch.refused is not None
    if not closed_for_good or new_alert or link.status is Status.RESOLVED:
        link = replace(
            link,
            truthvouch=replace(link.truthvouch, refused=None),
            alert_side=replace(link.alert_side, unconfirmed_count=0),
        )
    if link.incident_side.status is not None or over:
        link = replace(
            link,
            pagerduty=replace(link.pagerduty, refused=None),
            incident_side=replace(link.incident_side, unconfirmed_count=0),
        )
    return link


# ------------------------------------------------------------------------------------------------------- incidents


def _describing(link: Link, event: IncidentEvent) -> Link:
    """The number and the address of its incident, wherever they are told."""
    if link.incident_id != event.incident_id:
        return link
    return replace(
        link,
        incident_number=event.number if event.number is not None else link.incident_number,
        incident_url=event.html_url or link.incident_url,
    )


def adopting(link: Link, incident_id: IncidentId) -> Link:
    """The link with an incident that is its own; a page that was given up came after all."""
    delivery = link.pagerduty
    if delivery.dead == NO_EFFECT:
        delivery = replace(delivery, dead="", refused=None)
    return replace(link, incident_id=incident_id, incident_hint=None, pagerduty=delivery)


def _merged(link: Link, event: IncidentEvent, now: datetime, survivor: SideState | None) -> Step:
    """A merge resolves its source and is no resolve: https://support.pagerduty.com/main/docs/merge-incidents

    It is the last thing that happens to an incident, so it counts whenever it arrives. What the survivor's people have
    reached counts for this alert too, where it is further along; where it is not, nothing changes. One that we resolved
    or acknowledged for another alert says nothing of this one. A survivor of which nothing is known is read first.
    """
    if event.merged_into is None or link.incident_id not in (None, event.incident_id):
        return Step(link, Outcome.ALREADY_SO)
    if link.is_over and link.incident_side.status is not None:
        return Step(link, Outcome.NO_INCIDENT)
    there = survivor or SideState(Status.OPEN, must_read=True)
    alert, mine = link.alert_side, link.status
    reached = reached_by_people(survivor, usable(event.at, now)) or mine
    further = reached.rank > mine.rank
    counts = further and reached is there.wants
    if further and not counts:  # it does not stand there any more, for the sake of another alert
        mine = reached
    if not counts and alert.status is not None and alert.wants is not mine:
        alert = replace(alert, inherited=True, conflict=None)  # it was to follow its incident, and still is
    moved = replace(
        link,
        incident_id=event.merged_into,
        incident_hint=None,
        incident_number=None,
        incident_url=None,
        former_incidents=(*link.former_incidents, event.incident_id)[-MAX_FORMER_INCIDENTS:],
        alert_side=alert,
        incident_side=replace(there, inherited=not counts, pending=None, unconfirmed_count=0),
        agreed=link.agreed if counts else mine,
        merged=True,
    )
    moved = _remembered(moved, Side.PAGERDUTY, event, now, "merged")
    moved = followed(link, moved, now)
    if moved.status is Status.RESOLVED and link.status is not Status.RESOLVED:
        moved = _closing(moved, Side.PAGERDUTY, attribution_of(event))
    return Step(moved, Outcome.MERGED)


def acknowledged_before_leaving(link: Link, event: IncidentEvent, survivor: SideState, now: datetime) -> Step:
    """What an acknowledge means for an alert that had to leave that incident, because we resolved it for another alert
    (``survivor`` is how it stands there): one from before that resolve was meant for this alert, too."""
    before = survivor.status is Status.RESOLVED and compare(usable(event.at, now), survivor.at) is Order.OLDER
    by_a_person = Status.ACKNOWLEDGED not in survivor.written
    if not (before and by_a_person) or link.status is not Status.OPEN:
        return Step(link, Outcome.STALE)
    alert = replace(link.alert_side, conflict=Status.ACKNOWLEDGED)
    after = _remembered(replace(link, alert_side=alert), Side.PAGERDUTY, event, now)
    return concluded(link, after, Side.PAGERDUTY, attribution_of(event), now, Outcome.CONFLICT)


def hinted(link: Link, incident_id: IncidentId) -> Link:
    """The link after a webhook named its incident: a hint, for a webhook is no proof. What is to be opened is looked
    for first, and what is found is ours."""
    if link.incident_id is not None or incident_id in link.former_incidents:
        return link
    return replace(link, incident_hint=incident_id, open_tried=True)


# ------------------------------------------------------------------------------------------------------- notes


def _annotated(link: Link, event: IncidentEvent) -> Step:
    if not event.note or _is_ours(event.note, event.trimmed):
        return Step(link, Outcome.OWN_NOTE if event.note else Outcome.TIMELINE_ONLY)
    verdict = verdict_of(None, event.note) or link.verdict
    part = event.note_id if event.trimmed else None
    return Step(replace(link, last_note=event.note, note_to_read=part, verdict=verdict), Outcome.NOTED)


def _is_ours(note: str, is_trimmed: bool) -> bool:
    """Of one that PagerDuty cut short nobody can tell how it ended."""
    return note.startswith(OUR_NOTE) and (is_trimmed or _REFERENCE.search(note) is not None)


def attributed(link: Link, side: Side, by: Attribution | None) -> Link:
    """The link after ``side`` changed what both should be: whose doing it was, and why. ``by``: None where a read found
    it so."""
    link = _judged(link, by)
    return _closing(link, side, by) if link.status is Status.RESOLVED else link


def _judged(link: Link, by: Attribution | None) -> Link:
    return replace(link, verdict=verdict_of(by.reason, by.text) or link.verdict) if by is not None else link


def _closing(link: Link, side: Side, by: Attribution | None) -> Link:
    """Remember who closed it; a TruthVouch reason or text, or a merged incident, gets one note."""
    link = replace(link, closed_from=side)
    author, reason, text = (by.author, by.reason, by.text) if by is not None else (None, None, None)
    if side is Side.PAGERDUTY:
        return replace(link, closed_by=author, closed_unseen=by is None, closing_text=None)
    closed = replace(link, closed_by=author, closed_unseen=False, closing_text=text or reason)
    pending = closed.paged and (closed.incident_side.status is not None or closed.open_tried)
    if not pending or not (reason or text or closed.merged):
        return closed
    return with_note(closed, "resolved", author, reason, text, closed.hold_until)


def is_later(at: datetime | None, known: datetime | None) -> bool:
    """Whether a time of a side is surely later than another one of the same side."""
    return compare(at, known) is Order.NEWER
