"""What a person's decision about a dead letter means for its lane.

Each letter is decided on by itself: a decision about one brings nothing back that another is about, and the lane stays
closed until its last letter is.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.domain.effects import NO_EFFECT
from app.domain.link import Lane, Link
from app.domain.names import Side, Status

GIVEN_UP_AS_OPEN = "OpenIncident"
NOTE = "AddNote"
LOOK = "LookForIncident"


def asked_again(link: Link, side: Side, effect: str = "", others: Sequence[str] = ()) -> Link:
    """The link after an operator replayed a dead letter of that lane: what was given up there is owed again.

    ``effect`` is what the letter is about, as ``retry.named`` says it; empty where nobody knows: then everything given
    up. ``others``: the reasons of the lane's other open letters, oldest first, behind which the rest still waits.
    """
    notes = effect in ("", NOTE) and side is Side.PAGERDUTY
    link = _with_notes(link, done=False) if notes else link
    lane = link.lane(side)
    if not effect or lane.refused is _status_of(effect):
        lane = replace(lane, refused=None)
        link = link.with_side(side, replace(link.side(side), unconfirmed_count=0))
    link = link.with_lane(side, lane)
    return _behind(_looking_again(link, effect) if side is Side.PAGERDUTY else link, side, others)


def let_go(link: Link, side: Side, effect: str = "", others: Sequence[str] = ()) -> Link:
    """The link after an operator discarded a dead letter of that lane: the rest goes on without what was given up."""
    notes = effect == NOTE and side is Side.PAGERDUTY
    return _behind(_with_notes(link, done=True) if notes else link, side, others)


def _looking_again(link: Link, effect: str) -> Link:
    """A look that was given up is owed again: nobody knows yet whether there is an incident that has to be closed."""
    return replace(link, open_tried=link.open_tried or effect in ("", LOOK))


def _with_notes(link: Link, done: bool) -> Link:
    """The notes that were given up are decided on: owed again, or done with for good."""
    notes = tuple(replace(note, done=done, given_up=False) if note.given_up else note for note in link.notes)
    return replace(link, notes=notes)


def _behind(link: Link, side: Side, others: Sequence[str]) -> Link:
    """The lane behind its newest letter that is left. One that is open is never closed again."""
    left = [reason for reason in others if not (reason == NO_EFFECT and link.incident_id)]  # it came after all
    lane: Lane = link.lane(side)
    return link.with_lane(side, replace(lane, dead=left[-1] if left and lane.dead else ""))


def _status_of(effect: str) -> Status | None:
    """The status whose refusal such a letter is about; None for a look or a note."""
    if effect == GIVEN_UP_AS_OPEN:
        return Status.OPEN
    _, _, status = effect.partition(" ")
    return Status(status) if status in {known.value for known in Status} else None
