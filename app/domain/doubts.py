"""Words that may turn out to be our own: what a side says while a write of ours is on its way there.

A webhook can be faster than the answer of the call that caused it. Such a word is heard as anybody's would be, for
nobody can tell yet; when the answer comes and shows that it was our own doing, the word is taken back.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.link import Doubt, Known, Link, Write
from app.domain.names import Side, Status

SAME_WRITE = timedelta(seconds=2)
"""How far apart the words of one write and the time its answer tells may be: REST tells whole seconds."""

CLOCKS = timedelta(seconds=1)
"""How far the clocks of our own machines may be apart."""

KEPT = 8
"""Words of one link that may come during one call."""


def doubting(before: Link, heard: Link, side: Side, what: str, register: str, says: Status, at: datetime,
             heard_at: datetime) -> Link:  # fmt: skip
    """``heard``, able to take back the word that led there from ``before``. ``heard_at``: by our own clock."""
    known = any((doubt.side, doubt.register, doubt.at) == (side, register, at) for doubt in heard.doubts)
    if known or not before.lane(side).outstanding:
        return heard
    doubt = Doubt(side, what, register, says, at, heard_at, _known(before, side), getattr(before.clock, register))
    return replace(heard, doubts=(*heard.doubts, doubt)[-KEPT:])


def taking_back(link: Link, write: Write, began: datetime | None) -> tuple[Link, datetime | None]:
    """The link without the words that this write turns out to have caused, and the time of its echo among them.

    ``began``: when the call was made; what was heard before is somebody's. Nothing of that side is in doubt after it.
    """
    echo_at = None
    for doubt in reversed(link.doubts):
        if doubt.side is write.side and _caused(doubt, write, began):
            link = _without(link, doubt)
            echo_at = doubt.at if doubt.says is write.status else echo_at
    return beyond_doubt(link, write.side), echo_at


def beyond_doubt(link: Link, side: Side) -> Link:
    """The link after that side answered: what it said before, it said of its own."""
    return replace(link, doubts=tuple(doubt for doubt in link.doubts if doubt.side is not side))


def reopened_by(write: Write, at: datetime) -> bool:
    """Whether our acknowledge met something resolved: as we knew, or because a person resolved it the moment before.
    What that person did must not be undone by our own reopen."""
    if write.status is not Status.ACKNOWLEDGED:
        return False
    done_at = write.at if write.exact else write.echo_at
    return write.was is Status.RESOLVED or (done_at is not None and abs(done_at - at) <= SAME_WRITE)


def without_reopens_of(link: Link, write: Write, at: datetime) -> Link:
    """The link without the reopen that belongs to this acknowledge, whose echo says ``at``: of the two words of one
    call either may come first."""
    for doubt in reversed(link.doubts):
        its_own = doubt.side is write.side and doubt.register == "reopened_at" and abs(doubt.at - at) <= SAME_WRITE
        if its_own and write.status is Status.ACKNOWLEDGED:
            link = _without(link, doubt)
    return link


def _caused(doubt: Doubt, write: Write, began: datetime | None) -> bool:
    if began is not None and doubt.heard_at < began - CLOCKS:
        return False
    if write.exact and abs(doubt.at - write.at) > SAME_WRITE:
        return False
    return doubt.says is write.status or (doubt.register == "reopened_at" and reopened_by(write, doubt.at))


def _without(link: Link, doubt: Doubt) -> Link:
    """As if it had not been said; what was said since stands."""
    if getattr(link.clock, doubt.register) == doubt.at:
        link = replace(link, clock=replace(link.clock, **{doubt.register: doubt.before}))
    if _known(link, doubt.side) == Known(doubt.says, doubt.at):
        link = _knowing(link, doubt.side, doubt.was)
    told = (doubt.at, doubt.what, doubt.side)
    history = tuple(moment for moment in link.history if (moment.at, moment.what, moment.side) != told)
    flips = tuple(flip for flip in link.flips if (flip.at, flip.side) != (doubt.at, doubt.side))
    return replace(link, history=history, flips=flips)


def _known(link: Link, side: Side) -> Known:
    return link.alert_side if side is Side.TRUTHVOUCH else link.incident_side


def _knowing(link: Link, side: Side, known: Known) -> Link:
    return replace(link, alert_side=known) if side is Side.TRUTHVOUCH else replace(link, incident_side=known)
