"""The state machine of a link: two total tables, one per side, and the pure function that applies them.

A word moves one register of the link's clock, or none; ``Clock.status`` says what follows.
The picture is in docs/architecture.md and must change with these tables.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.damping import damped
from app.domain.doubts import doubting
from app.domain.echo import echoed
from app.domain.effects import NO_EFFECT
from app.domain.freeze import flipped
from app.domain.link import Known, Link, Note, remembering
from app.domain.looking import looked
from app.domain.names import Side, Status
from app.domain.rulebook import Decision
from app.domain.verdict import verdict_of
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word


@dataclass(frozen=True, slots=True)
class Move:
    """What a verb does: which register it moves, and what it tells of its own side. None = nothing."""

    register: str | None
    says: Status | None


ALERT_MOVES: Mapping[AlertVerb, Move] = {
    AlertVerb.CREATED: Move(None, Status.OPEN),
    AlertVerb.ACKNOWLEDGED: Move("acknowledged_at", Status.ACKNOWLEDGED),
    AlertVerb.RESOLVED: Move("resolved_at", Status.RESOLVED),
    AlertVerb.REOPENED: Move("reopened_at", Status.OPEN),
    AlertVerb.READ: Move(None, None),
    AlertVerb.MENTIONED: Move(None, None),
}
INCIDENT_MOVES: Mapping[IncidentVerb, Move] = {
    IncidentVerb.TRIGGERED: Move(None, Status.OPEN),
    IncidentVerb.ACKNOWLEDGED: Move("acknowledged_at", Status.ACKNOWLEDGED),
    IncidentVerb.UNACKNOWLEDGED: Move("unacknowledged_at", Status.OPEN),
    IncidentVerb.RESOLVED: Move("resolved_at", Status.RESOLVED),
    IncidentVerb.REOPENED: Move("reopened_at", Status.OPEN),
    IncidentVerb.MERGED: Move(None, None),
    IncidentVerb.ANNOTATED: Move(None, None),
    IncidentVerb.READ: Move(None, None),
    IncidentVerb.MENTIONED: Move(None, None),
}

SAID_BY_A_LOOK: Mapping[Status, str] = {
    Status.OPEN: AlertVerb.REOPENED.value,
    Status.ACKNOWLEDGED: AlertVerb.ACKNOWLEDGED.value,
    Status.RESOLVED: AlertVerb.RESOLVED.value,
}
"""What happened, where nobody told and a look found it so."""

CLOCK_TOLERANCE = timedelta(minutes=5)
"""A word from further in the future than this counts as said now: a wrong clock must not win for ever."""

OUR_NOTE = "[TruthVouch] "
"""Notes that begin so are ours; they never travel back."""


@dataclass(frozen=True, slots=True)
class Step:
    """The link after a word, and in one word what the word did."""

    link: Link
    outcome: str
    """``moved``, ``frozen`` (moved once too often), ``opened``, ``merged``, ``noted``, ``not_kept``, or why it was
    ignored: ``already_so``, ``own_echo``, ``older_word``, ``absorbed``, ``timeline_only``, ``no_incident_deserved``,
    ``under_way``."""


def advance(
    link: Link, word: Word, now: datetime, decision: Decision | None = None, survivor: Known | None = None
) -> Step:
    """Judge one word about this link.

    ``decision`` is the rulebook's, needed for a CREATED word; ``survivor`` what is known of the incident that a
    MERGED word names. Applying a word twice equals applying it once.
    """
    at = said_at(word, now)
    if isinstance(word, AlertWord):
        link = replace(link, alert=link.alert.updated_by(word.alert))
        if word.verb is AlertVerb.CREATED:
            return _created(link, at, decision)
        if word.verb is AlertVerb.READ:
            return _looked(link, Side.TRUTHVOUCH, word, word.read_at or at, now)
        return _moved(link, Side.TRUTHVOUCH, ALERT_MOVES[word.verb], word, at, now)
    link = _knowing_incident(link, word)
    if word.verb is IncidentVerb.MERGED:
        return _merged(link, word, survivor)
    if word.verb is IncidentVerb.READ:
        return _looked(link, Side.PAGERDUTY, word, at, now)
    if word.verb is IncidentVerb.ANNOTATED:
        return _annotated(link, word)
    return _moved(link, Side.PAGERDUTY, INCIDENT_MOVES[word.verb], word, at, now)


def said_at(word: Word, now: datetime) -> datetime:
    """When it was said: the event's own time, unless it has none or lies beyond belief in the future."""
    return now if word.at is None or word.at > now + CLOCK_TOLERANCE else word.at


def _created(link: Link, at: datetime, decision: Decision | None) -> Step:
    known = link.alert_side if link.alert_side.status else Known(Status.OPEN, at)
    seen = replace(link, alert_side=known)
    if link.paged:
        return Step(seen, "already_so")
    if link.decision is not None and link.status is Status.RESOLVED:
        return Step(seen, "absorbed")
    decided = replace(seen, decision=decision)
    if not decided.paged:
        return Step(decided, "no_incident_deserved")
    return Step(decided, "absorbed" if link.status is Status.RESOLVED else "opened")


def _looked(link: Link, side: Side, word: Word, at: datetime, now: datetime) -> Step:
    if word.status is None:
        return Step(link, "timeline_only")
    look = looked(link, side, word.status, at, word.read_at or now)
    if look.link.status is link.status:
        return Step(look.link, look.outcome)
    said = SAID_BY_A_LOOK[look.link.status]
    return _changed(link, remembering(look.link, said, side, at), side, word, at)


def _moved(link: Link, side: Side, move: Move, word: Word, at: datetime, now: datetime) -> Step:
    if move.says is None:
        return Step(link, "timeline_only")
    echo = echoed(link, side, move.says, at, reopens=move.register == "reopened_at")
    if echo is not None:
        return Step(_seen(echo, side, move.says), "own_echo")
    heard = _seen(_with_known(link, side, _known(link, side).told(move.says, at)), side, move.says)
    if move.register is not None or word.verb is IncidentVerb.TRIGGERED:
        heard = remembering(heard, word.verb.value, side, at, word.author)
    if move.register is None:
        return Step(heard, "already_so")
    moved = replace(heard, clock=link.clock.hearing(move.register, at))
    moved = doubting(link, moved, side, word.verb.value, move.register, move.says, at, now)
    if moved.status is not link.status:
        return _changed(link, moved, side, word, at)
    if moved.clock == link.clock:
        return Step(moved, "older_word")
    return Step(moved, "already_so" if move.says is link.status else "absorbed")


def _changed(before: Link, link: Link, side: Side, word: Word, at: datetime) -> Step:
    """What both sides should be has changed, and ``side`` changed it."""
    link = damped(before, flipped(_asking_anew(link), side, at), side, at)
    link = replace(
        link, verdict=verdict_of(word.reason if isinstance(word, AlertWord) else None, _text(word)) or link.verdict
    )
    outcome = "frozen" if link.frozen_at and not before.frozen_at else "moved"
    return Step(_closing(link, word) if link.status is Status.RESOLVED else link, outcome)


def _text(word: Word) -> str | None:
    return word.text if isinstance(word, AlertWord) else word.note


def _seen(link: Link, side: Side, says: Status) -> Link:
    """Whatever the incident says of a resolve of ours, its effect has been seen."""
    return replace(link, resolve_unseen=False) if side is Side.PAGERDUTY and says is Status.RESOLVED else link


def _asking_anew(link: Link) -> Link:
    """A partner's final no, and what it did not keep, held for what was wanted then."""
    return replace(
        link,
        truthvouch=replace(link.truthvouch, refused=None, unkept=0),
        pagerduty=replace(link.pagerduty, refused=None, unkept=0),
    )


def _known(link: Link, side: Side) -> Known:
    return link.alert_side if side is Side.TRUTHVOUCH else link.incident_side


def _with_known(link: Link, side: Side, known: Known) -> Link:
    return replace(link, alert_side=known) if side is Side.TRUTHVOUCH else replace(link, incident_side=known)


def _knowing_incident(link: Link, word: IncidentWord) -> Link:
    if link.incident_id not in (None, word.incident_id):
        return link
    if link.pagerduty.dead == NO_EFFECT:  # it came after all
        link = replace(link, pagerduty=replace(link.pagerduty, dead="", refused=None))
    return replace(
        link,
        incident_id=word.incident_id,
        incident_number=word.number if word.number is not None else link.incident_number,
        incident_url=word.html_url or link.incident_url,
    )


def _merged(link: Link, word: IncidentWord, survivor: Known | None) -> Step:
    """https://support.pagerduty.com/main/docs/merge-incidents: a merge resolves the source, but is no resolve."""
    if word.merged_into is None or link.incident_id == word.merged_into:
        return Step(link, "already_so")
    moved = replace(
        link,
        incident_id=word.merged_into,
        incident_number=None,
        incident_url=None,
        incident_side=survivor or Known(Status.OPEN),  # since when is unknown: it may stand so since long before
        merged=True,
    )
    at = word.at or link.first_seen_at
    return Step(remembering(moved, "merged", Side.PAGERDUTY, at, word.author), "merged")


def _annotated(link: Link, word: IncidentWord) -> Step:
    if not word.note or word.note.startswith(OUR_NOTE):
        return Step(link, "own_echo" if word.note else "timeline_only")
    return Step(replace(link, last_note=word.note, verdict=verdict_of(None, word.note) or link.verdict), "noted")


def _closing(link: Link, word: Word) -> Link:
    """Remember who closed it; a TruthVouch reason or text, or a merged incident, is owed one note."""
    if isinstance(word, IncidentWord):
        return replace(link, closed_by=word.author)
    closed = replace(link, closed_by=word.author, closing_text=word.text or word.reason)
    owed = closed.paged and (closed.incident_side.status is not None or closed.open_tried)
    if not owed or not (word.reason or word.text or closed.merged):
        return closed
    return with_note(closed, "resolved", word.author, word.reason, word.text, closed.hold_until)


def with_note(
    link: Link,
    verb: str,
    author: str | None,
    reason: str | None,
    text: str | None,
    held_until: datetime | None = None,
) -> Link:
    """This link owing one more note, unless it owes or has had that very one. ``held_until``: see ``Note``."""
    parts = ". ".join(part for part in (reason, text) if part)
    said = f"{OUR_NOTE}{verb} by {author or 'somebody'}" + (f": {parts}" if parts else "")
    stamp = f"{link.incident_key}|{link.clock.resolved_at}|{link.clock.reopened_at}|{said}"
    ref = hashlib.sha256(stamp.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    if any(note.ref == ref for note in link.notes):
        return link
    return replace(link, notes=(*link.notes, Note(ref, f"{said[:60_000]} (ref {ref})", held_until=held_until)))
