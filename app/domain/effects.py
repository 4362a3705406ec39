"""What is still missing to get both sides where the link says they should be.

The same question is asked by the first delivery, by its repeat after a crash and by reconciliation;
so a crash anywhere is harmless, and a storm of words becomes the one call that is left to make.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.link import Link, joint_status
from app.domain.names import Side, Status, Urgency, Via


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
class ConfirmResolve:
    """See whether a resolve by event had its effect, and repeat it if not: in a maintenance window it has none."""


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


Effect = OpenIncident | LookForIncident | SetIncident | ConfirmResolve | AddNote | SetAlert

URGENT, SOON, LATER = 1, 3, 6
"""Queue priorities: pages of high urgency, then what ends or calms a page, then the rest."""


def missing(
    link: Link, side: Side, shared: Sequence[Link] = (), *, rest: bool = True, held: bool = False
) -> Effect | None:
    """The next thing to do on that side, None when nothing is.

    ``shared``: every link on the same incident, this one included. ``rest``: a PagerDuty API key is at hand.
    ``held``: the incident's resolve is held back (``damping``), so everything else goes before it.
    """
    effect = wanting(link, side, shared, rest=rest, held=held)
    return None if effect is not None and _waits(link, side, effect) else effect


def wanting(
    link: Link, side: Side, shared: Sequence[Link] = (), *, rest: bool = True, held: bool = False
) -> Effect | None:
    """As ``missing``, but also what waits behind a dead letter."""
    if side is Side.TRUTHVOUCH:
        return _missing_at_truthvouch(link)
    return _missing_at_pagerduty(link, list(shared) or [link], rest, held)


def _waits(link: Link, side: Side, effect: Effect) -> bool:
    """The rest of a lane waits behind its dead letter, but neither what wakes somebody nor what ends a matter: every
    trigger is owed a resolve, and no page waits for a note."""
    return bool(link.lane(side).dead) and not (is_urgent(effect) or _ends(link, effect))


def _ends(link: Link, effect: Effect) -> bool:
    if isinstance(effect, SetIncident | SetAlert):
        return effect.status is Status.RESOLVED
    return link.status is Status.RESOLVED and isinstance(effect, LookForIncident | ConfirmResolve)


def _missing_at_truthvouch(link: Link) -> Effect | None:
    wanted = link.status
    if link.frozen_at and wanted is not Status.RESOLVED:
        return None
    if link.alert_side.status in (None, wanted) or link.truthvouch.refused is wanted:
        return None
    return SetAlert(wanted, resolution(link) if wanted is Status.RESOLVED else None)


def _missing_at_pagerduty(link: Link, shared: Sequence[Link], rest: bool, held: bool) -> Effect | None:
    if not link.paged:
        return None
    if link.incident_side.status is None:
        return _missing_incident(link)
    if link.via is Via.REST and link.incident_id is None and link.status is not Status.RESOLVED:
        return OpenIncident(look_first=True)  # nothing was there to close; now there has to be something
    change = _missing_change(link, shared)
    # Behind a dead letter nothing but the resolve may go: then it is all there is to wait for.
    held = held and change == SetIncident(Status.RESOLVED) and not link.pagerduty.dead
    return change if change and not held else _missing_besides(link, rest, held) or change


def _missing_change(link: Link, shared: Sequence[Link]) -> SetIncident | None:
    wanted = _next_step(link, _wanted_incident_status(link, shared))
    if wanted in (None, link.incident_side.status, link.pagerduty.refused) or _is_frozen(shared, wanted):
        return None
    return SetIncident(wanted)


def _missing_besides(link: Link, rest: bool, held: bool) -> Effect | None:
    """The incident's id and its notes. A note about a resolve that is held back waits with it."""
    if rest and link.incident_id is None and link.via is Via.EVENTS and not _given_up_looking(link):
        return LookForIncident()
    if rest and link.incident_id is not None:
        held_until = link.hold_until if held else None
        owed = (note for note in link.notes if not note.done and not (held_until and note.held_until == held_until))
        note = next((AddNote(note.ref, note.content) for note in owed), None)
        unseen = link.resolve_unseen and link.incident_side.status is Status.RESOLVED
        return note or (ConfirmResolve() if unseen else None)
    return None


def _missing_incident(link: Link) -> Effect | None:
    if link.status is Status.RESOLVED:
        return _what_closes_an_unclear_create(link)
    return None if link.pagerduty.refused is Status.OPEN else OpenIncident(look_first=link.open_tried)


def _what_closes_an_unclear_create(link: Link) -> Effect | None:
    """Every trigger is owed a resolve, also one of which we do not know whether it arrived."""
    if not link.open_tried:
        return None
    return SetIncident(Status.RESOLVED) if link.via is Via.EVENTS else LookForIncident()


def _wanted_incident_status(link: Link, shared: Sequence[Link]) -> Status | None:
    """None: an incident a person made by hand, which we only annotate."""
    if link.merged and all(other.merged for other in shared):
        return None
    return joint_status(shared)


def _next_step(link: Link, wanted: Status | None) -> Status | None:
    """An event cannot acknowledge what is resolved (PagerDuty takes it and does nothing): that is opened first."""
    closed = link.incident_side.status is Status.RESOLVED
    return Status.OPEN if link.by_event and closed and wanted is Status.ACKNOWLEDGED else wanted


def _is_frozen(shared: Sequence[Link], wanted: Status | None) -> bool:
    return wanted is not Status.RESOLVED and any(link.frozen_at for link in shared)


LOOKS_FOR_AN_ID = 12
"""How often an Events incident is looked for before its id counts as unknown (creation after 202 takes moments)."""


NO_EFFECT = "trigger_had_no_effect"
"""The reason word of a page by event that was taken and of which no incident came."""

NOT_THERE_YET = "not_there_yet"
"""The reason word of a look that found nothing; a look that could not be made is no look."""


def _given_up_looking(link: Link) -> bool:
    """For the id of a matter that is over it is not worth looking longer."""
    if link.status is not Status.RESOLVED:
        return False
    return link.pagerduty.attempt >= LOOKS_FOR_AN_ID and link.pagerduty.failing == NOT_THERE_YET


def is_urgent(effect: Effect) -> bool:
    """Whether somebody is to be woken, or left to sleep: such an effect is its own probe and waits behind no hold."""
    return isinstance(effect, OpenIncident) or (
        isinstance(effect, SetIncident) and effect.status is not Status.ACKNOWLEDGED
    )


def door(link: Link, effect: Effect) -> str:
    """Which of the partners' doors, each with its own credential, an effect goes through."""
    if isinstance(effect, SetAlert):
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
    """The text TruthVouch gets with a resolve: the person's own note, else who closed it and what that is worth."""
    if link.last_note:
        return link.last_note
    if link.closed_by:
        return f"Resolved in PagerDuty by {link.closed_by}."
    return "Resolved in PagerDuty automatically (timeout or integration); this is no verdict on the alert."
