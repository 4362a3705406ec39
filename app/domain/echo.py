"""Our own writes coming back as words.

An echo is no news, so it must not move the clock: its time is later than the word it repeats, and would beat what a
person says in between. It may arrive after we have written something else: a late "reopened" of ours that was taken for
a person's would page somebody for a matter that is over. So the link remembers its newest writes, not only the last.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.link import Known, Link, Write
from app.domain.names import Side, Status

TOLERANCE = timedelta(seconds=30)
"""How far apart the time of our write and the time of its word may be: a slow call, an event that waits in PagerDuty's
queue, two vendors' clocks."""

EXACT_TOLERANCE = timedelta(seconds=5)
"""The same where the answer to our write told when it happened: one vendor, one clock."""

SAME_WRITE = timedelta(seconds=2)
"""How far apart the words of one write and the time its answer tells may be: REST tells whole seconds."""

COARSE = timedelta(seconds=1)
"""PagerDuty's REST API tells whole seconds."""

REMEMBERED = 8
"""Writes of one link: more than can be under way within the tolerance."""


def wrote(link: Link, side: Side, status: Status, at: datetime, *, exact: bool = False, kept: bool = False) -> Link:
    """The link after that side said yes to our own write. ``exact``: the side itself told ``at``."""
    link = _taking_back(link, Write(side, status, at, exact=exact))
    link = may_have_written(link, side, status, at, exact=exact)
    return _knowing(link, side, _known(link, side).written(status, at, kept=kept))


def _taking_back(link: Link, write: Write) -> Link:
    """The link without the reopen that this acknowledge turns out to have caused: its word was faster than the answer.

    A person had resolved the incident while the acknowledge was on its way, and that stands.
    """
    heard = link.reopening
    if heard is None or write.side is not Side.PAGERDUTY or not _reopened_by(write, heard.at):
        return link
    clock = replace(link.clock, reopened_at=heard.reopened_at)
    return replace(link, clock=clock, incident_side=heard.was, reopening=None)


def may_have_written(link: Link, side: Side, status: Status, at: datetime, *, exact: bool = False) -> Link:
    """The link after a write of ours whose answer was lost, perhaps: its echo may come all the same."""
    write = Write(side, status, at, was=_known(link, side).status, exact=exact)
    return replace(link, writes=(*link.writes, write)[-REMEMBERED:])


def echoed(link: Link, side: Side, says: Status, at: datetime, *, reopens: bool) -> Link | None:
    """The link after a word that is our own write coming back; None if it is somebody's word.

    ``reopens``: acknowledging what is resolved reopens it first, and PagerDuty says both.
    """
    known = _known(link, side)
    ours = [write for write in link.writes if write.side is side and not _is_outdated(write, known, at)]
    fitting = [write for write in ours if _fits(write, says, at, reopens=reopens)]
    if not fitting:
        return None
    write = min(fitting, key=lambda write: abs(write.at - at))
    heard = replace(write, echo_at=at) if write.status is says else write
    link = replace(link, writes=tuple(heard if one is write else one for one in link.writes))
    if not known.ours or known.status is not says:
        return link
    return _knowing(link, side, replace(known.told(says, at), ours=True, kept=True, was=known.was))


def _is_outdated(write: Write, known: Known, at: datetime) -> bool:
    """Whether somebody there has spoken since that write, and this word came after them: it is theirs, too."""
    if known.ours or known.at is None:
        return False
    return known.at > write.at + (COARSE if write.exact else timedelta(0)) and at > known.at


def _fits(write: Write, says: Status, at: datetime, *, reopens: bool) -> bool:
    """Each write has one echo, however often that is delivered."""
    if abs(write.at - at) > (EXACT_TOLERANCE if write.exact else TOLERANCE):
        return False
    return (reopens and _reopened_by(write, at)) or (write.status is says and write.echo_at in (None, at))


def _reopened_by(write: Write, at: datetime) -> bool:
    """Whether our acknowledge met something resolved: as we knew, or because a person resolved it the moment before.
    What that person did must not be undone by our own reopen."""
    if write.status is not Status.ACKNOWLEDGED:
        return False
    return write.was is Status.RESOLVED or (write.exact and abs(write.at - at) <= SAME_WRITE)


def _known(link: Link, side: Side) -> Known:
    return link.alert_side if side is Side.TRUTHVOUCH else link.incident_side


def _knowing(link: Link, side: Side, known: Known) -> Link:
    return replace(link, alert_side=known) if side is Side.TRUTHVOUCH else replace(link, incident_side=known)
