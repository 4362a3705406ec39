"""Links on one incident, after a merge: what of that incident is news of each of their alerts, and who has to leave."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.domain.link import Link
from app.domain.names import Status
from app.domain.side_state import AT_ONCE, Order, PendingWrite, SideState, compare

MAX_FORMER_INCIDENTS = 8


def written_for_another(link: Link, shared: Sequence[Link], at: datetime | None) -> PendingWrite | None:
    """What may be under way to its incident for another link on it: what that brings about is no person's doing. What
    happened there (``at``) before PagerDuty took it is."""
    writes = (other.incident_side.pending for other in shared if other.link_id != link.link_id)
    write = next(filter(None, writes), None)
    if write is None or (at and write.answered_at and write.answered_at - at > AT_ONCE):
        return None
    return PendingWrite(write.status, write.decided_at, answers=False, earlier=write.earlier, wanted=False)


def is_about_others(link: Link, state: SideState) -> bool:
    """Whether what becomes of an incident that stays open is no news of this alert, which is over: it came there with a
    merge, and only who opens the incident again opens it."""
    before = link.incident_side
    came_over = before.inherited and link.agreed is Status.RESOLVED
    return came_over and Status.RESOLVED not in (before.status, state.status)


def recorded_for(link: Link, other: Link) -> Link:
    """Another link on the same incident after the write for ``link`` was recorded: the incident stands there for it,
    too, but for a reason that is not its own."""
    state = replace(link.incident_side, pending=None, conflict=None)
    known = other.incident_side
    if state == replace(known, pending=None, conflict=None) or state.status is None:
        return other
    all_over = state.status is Status.RESOLVED and other.status is Status.RESOLVED
    there = other.alert_side.wants is state.status
    for_another = (state.by_us and not state.restored) or is_about_others(other, state)
    after = replace(other, incident_side=replace(state, inherited=for_another and not (there or all_over)))
    return replace(after, agreed=state.status) if there else after


def reached_by_people(survivor: SideState | None, merged_at: datetime | None) -> Status | None:
    """What people had made of the incident that another was merged into: where it stands, or where it stood before what
    we did there for another alert, after the merge."""
    if survivor is None:
        return None
    if not survivor.by_us or survivor.restored or survivor.conflict is not None:
        return survivor.wants
    since = compare(survivor.at, merged_at) in (Order.SAME, Order.NEWER)
    return survivor.previous if since and survivor.previous not in survivor.written else None


def needs_own_incident(link: Link, shared: Sequence[Link]) -> bool:
    """Whether an alert that is not over was merged into an incident that is, and that it cannot open again: one that a
    person made by hand, or one that we resolved because TruthVouch closed another alert."""
    state = link.incident_side
    if not link.merged or state.status is not Status.RESOLVED or link.status is Status.RESOLVED:
        return False
    return not state.must_read and (state.inherited or all(other.merged for other in shared))


def with_own_incident(link: Link) -> Link:
    """The link without the incident it was merged into: it gets one of its own."""
    former = (*link.former_incidents, *((link.incident_id,) if link.incident_id else ()))
    alert = link.alert_side
    if alert.inherited:  # it was to follow its first incident, and still is
        alert = replace(alert, inherited=False, conflict=link.status)
    return replace(
        link,
        alert_side=alert,
        incident_id=None,
        incident_number=None,
        incident_url=None,
        former_incidents=former[-MAX_FORMER_INCIDENTS:],
        incident_side=SideState(),
        agreed=Status.OPEN,
        merged=False,
        guests=False,
        open_tried=False,
        notes=tuple(note for note in link.notes if note.done),
        pagerduty=replace(link.pagerduty, refused=None, dead=""),
    )
