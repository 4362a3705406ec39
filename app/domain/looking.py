"""What a look at one side means for a link: reconciliation's half of the state machine.

A look is news only if it differs from what we last knew of that side, and only if nothing of ours was on its way
there. What a person did there while we did not hear it is heard now; what a partner took and did not keep is asked
for again. Absence is no news: whoever found nothing has no word to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.link import Known, Link
from app.domain.names import Side, Status

CHANGES: Mapping[tuple[Status, Status], tuple[str, ...]] = {
    (Status.OPEN, Status.ACKNOWLEDGED): ("acknowledged_at",),
    (Status.OPEN, Status.RESOLVED): ("resolved_at",),
    (Status.ACKNOWLEDGED, Status.OPEN): ("unacknowledged_at",),
    (Status.ACKNOWLEDGED, Status.RESOLVED): ("resolved_at",),
    (Status.RESOLVED, Status.OPEN): ("reopened_at",),
    (Status.RESOLVED, Status.ACKNOWLEDGED): ("reopened_at", "acknowledged_at"),
}
"""(what we knew, what we see) -> the words that must have been said meanwhile."""

SETTLING = timedelta(seconds=5)
"""A partner may show the old state for moments after it took a change."""

COARSE = timedelta(seconds=1)
"""PagerDuty's REST API tells whole seconds."""

ASK_AGAIN = 3
"""How often a status that TruthVouch does not keep is told again, counted anew whenever something else is wanted: some
of its statuses are undocumented."""


@dataclass(frozen=True, slots=True)
class Look:
    """The link after a look, and in one word what the look did.

    ``moved``, ``not_kept``, or why it was ignored: ``already_so``, ``under_way``, ``older_word``, ``no_incident``.
    """

    link: Link
    outcome: str


def looked(link: Link, side: Side, status: Status, at: datetime, read_at: datetime) -> Look:
    """Lay a look over the link. ``at``: when that side last changed (TruthVouch does not say: the look's beginning);
    ``read_at``: when the look began."""
    known = link.alert_side if side is Side.TRUTHVOUCH else link.incident_side
    if link.lane(side).outstanding:
        return Look(link, "under_way")
    if known.at is not None and read_at <= known.at + (COARSE if _tells_seconds(known, side) else timedelta(0)):
        return Look(link, "older_word")
    if status is known.status:
        return Look(_knowing(link, side, replace(known, kept=True)), "already_so")
    if _shows_what_our_write_replaced(known, side, status, at):
        settling = known.at is not None and read_at - known.at < SETTLING
        return Look(link, "older_word") if settling else _not_kept(link, side, status, read_at)
    if known.at is not None and at <= known.at:
        return Look(link, "older_word")
    return _heard(link, side, known.status or Status.OPEN, status, at)


def _tells_seconds(known: Known, side: Side) -> bool:
    """Whether what we know is the answer to our own write, which PagerDuty dates by the second it began in."""
    return known.ours and side is Side.PAGERDUTY


def _heard(link: Link, side: Side, before: Status, status: Status, at: datetime) -> Look:
    """What somebody must have said meanwhile. A side of which nothing was known began open, as everything does."""
    clock = link.clock
    for register in CHANGES.get((before, status), ()):
        clock = clock.hearing(register, at)
    heard = _knowing(replace(link, clock=clock), side, Known(status, at, kept=True))
    return Look(heard, "already_so" if before is status else "moved")


def _shows_what_our_write_replaced(known: Known, side: Side, status: Status, at: datetime) -> bool:
    """Whether the side took our write and does not show it, though nobody can have changed it since.

    PagerDuty tells when it last changed. TruthVouch does not; there it may be so only while it never showed our write,
    and only if it shows what stood there before: anything else is somebody's doing.
    """
    if not known.ours or known.at is None:
        return False
    return at <= known.at if side is Side.PAGERDUTY else not known.kept and status is known.was


def _not_kept(link: Link, side: Side, status: Status, read_at: datetime) -> Look:
    lane = link.lane(side)
    if lane.refused is link.status:
        return Look(link, "already_so")  # told often enough
    lane = replace(lane, unkept=lane.unkept + 1)
    if side is Side.TRUTHVOUCH and lane.unkept > ASK_AGAIN:
        return Look(link.with_lane(side, replace(lane, refused=link.status)), "not_kept")
    return Look(_knowing(link.with_lane(side, lane), side, Known(status, read_at)), "not_kept")


def _knowing(link: Link, side: Side, known: Known) -> Link:
    if side is Side.TRUTHVOUCH:
        return replace(link, alert_side=known)
    return replace(link, incident_side=known, resolve_unseen=False)
