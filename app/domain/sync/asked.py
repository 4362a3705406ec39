"""What an operator says of an alert at the bridge itself: acknowledged, resolved, a false alert, a note.

It is neither side's event. Both sides get there, as when people of a side reached it while a write of ours, decided
without knowing of it, put that side back.
"""

from dataclasses import replace
from datetime import datetime

from app.domain.model.types import FALSE_ALERT, Side, Status
from app.domain.sync.link import HistoryEntry, Link, remembering
from app.domain.sync.side_state import Attribution
from app.domain.sync.transitions import Outcome, Step, concluded, with_note

MAX_WORDS_CHARS = 10_000
"""Of what a person writes with a resolve, or as a note; the rest is cut off."""


def asked_for(link: Link, status: Status, by: str, now: datetime, text: str = "") -> Step:
    """The link after somebody asked for this status, which is further along than the one both sides should have.

    ``ALREADY_SO`` otherwise: nothing goes back by asking. ``text`` goes to both sides with a resolve. A resolve that a
    person asks for is never held back.
    """
    text = text[:MAX_WORDS_CHARS]
    if status.rank <= link.status.rank:
        return Step(link, Outcome.ALREADY_SO)
    side = Side.TRUTHVOUCH if link.alert_side.status is not None else Side.PAGERDUTY
    state = replace(link.side(side), conflict=status, inherited=False, write_lost=False)
    remembered = remembering(link.with_side(side, state), HistoryEntry(now, status.value, Side.PAGERDUTY, by, now))
    step = concluded(link, remembered, Side.PAGERDUTY, Attribution(by, None, text or None), now, Outcome.CONFLICT)
    if status is not Status.RESOLVED:
        return step
    closed = replace(step.link, last_note=text or f"Resolved at the bridge by {by}.", note_to_read=None)
    has_incident = has_own_incident(closed)
    return replace(step, link=with_note(closed, "resolved", by, None, text or None) if has_incident else closed)


def has_own_incident(link: Link) -> bool:
    """Whether there is an incident to write to, or may be one after an unclear create."""
    return link.paged and (link.incident_side.status is not None or link.open_tried)


def noted(link: Link, by: str, text: str) -> Link:
    """The link with a note for its incident; itself where it has that very note of that person's already."""
    return with_note(link, "note", by, None, text[:MAX_WORDS_CHARS])


def judged_false(link: Link) -> Link:
    """The link with the verdict that its alert was none."""
    return replace(link, verdict=FALSE_ALERT)
