"""Our own writes coming back as words.

An echo is no news, so it must not move the clock: its time is later than the word it repeats, and would beat what a
person says in between. It may arrive after we have written something else: a late "reopened" of ours that was taken for
a person's would page somebody for a matter that is over. So the link remembers its newest writes, not only the last.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.doubts import reopened_by, taking_back, without_reopens_of
from app.domain.link import Known, Link, Write
from app.domain.names import Side, Status

TOLERANCE = timedelta(seconds=30)
"""How far apart the time of our write and the time of its word may be: a slow call, an event that waits in PagerDuty's
queue, two vendors' clocks."""

EXACT_TOLERANCE = timedelta(seconds=5)
"""The same where the answer to our write told when it happened: one vendor, one clock."""

COARSE = timedelta(seconds=1)
"""PagerDuty's REST API tells whole seconds."""

REMEMBERED = 8
"""Writes of one link: more than can be under way within the tolerance."""


def wrote(
    link: Link,
    side: Side,
    status: Status,
    at: datetime,
    *,
    exact: bool = False,
    kept: bool = False,
    began: datetime | None = None,
) -> Link:
    """The link after that side said yes to our own write. ``exact``: the side itself told ``at``; ``began``: when the
    call was made, by our clock."""
    link, echo_at = taking_back(link, Write(side, status, at, was=_known(link, side).status, exact=exact), began)
    link = _remembering(link, Write(side, status, at, _known(link, side).status, exact, echo_at))
    return _knowing(link, side, _known(link, side).written(status, at, kept=kept))


def may_have_written(link: Link, side: Side, status: Status, at: datetime, began: datetime | None = None) -> Link:
    """The link after a write of ours whose answer was lost. Its echo may come all the same; if it came already, the
    write was made."""
    link, echo_at = taking_back(link, Write(side, status, at, was=_known(link, side).status), began)
    known = _known(link, side)
    link = _remembering(link, Write(side, status, at, known.status, echo_at=echo_at, unclear=True))
    if echo_at is None:
        return link
    return _knowing(link, side, Known(status, echo_at, ours=True, kept=True, was=known.status))


def _remembering(link: Link, write: Write) -> Link:
    """Another try of what may have been done already has the echo of the first: there is one for both."""
    last = next((one for one in reversed(link.writes) if one.side is write.side), None)
    if last is not None and last.unclear and last.status is write.status:
        write = replace(write, echo_at=write.echo_at or last.echo_at)
        link = replace(link, writes=tuple(one for one in link.writes if one is not last))
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
    link = without_reopens_of(link, write, at) if write.status is says else link
    known = _known(link, side)
    if known.ours and known.status is says:
        return _knowing(link, side, replace(known.told(says, at), ours=True, kept=True, was=known.was))
    return _proven(link, write, at) if write.status is says else link


def _proven(link: Link, write: Write, at: datetime) -> Link:
    """The link after an echo that is newer than all we know of that side: our newest write there stands now, though its
    answer was lost, or somebody spoke the moment before it."""
    known = _known(link, write.side)
    newest = next(one for one in reversed(link.writes) if one.side is write.side)
    if (newest.at, newest.status) != (write.at, write.status) or (known.at is not None and at <= known.at):
        return link
    return _knowing(link, write.side, Known(write.status, at, ours=True, kept=True, was=known.status))


def _is_outdated(write: Write, known: Known, at: datetime) -> bool:
    """Whether somebody there has spoken since that write, and this word came after them: it is theirs, too."""
    if known.ours or known.at is None:
        return False
    return known.at > write.at + (COARSE if write.exact else timedelta(0)) and at > known.at


def _fits(write: Write, says: Status, at: datetime, *, reopens: bool) -> bool:
    """Each write has one echo, however often that is delivered."""
    if abs(write.at - at) > (EXACT_TOLERANCE if write.exact else TOLERANCE):
        return False
    return (reopens and reopened_by(write, at)) or (write.status is says and write.echo_at in (None, at))


def _known(link: Link, side: Side) -> Known:
    return link.alert_side if side is Side.TRUTHVOUCH else link.incident_side


def _knowing(link: Link, side: Side, known: Known) -> Link:
    return replace(link, alert_side=known) if side is Side.TRUTHVOUCH else replace(link, incident_side=known)
