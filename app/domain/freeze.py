"""The loop breaker: two systems that undo each other's changes again and again are pulled apart.

Ten flips within a minute, the two sides taking turns, freeze the link: acknowledges and reopens are not carried any
more until a person says ``truthvouch links thaw``. A resolve always is.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from app.domain.link import Flip, Link
from app.domain.names import Side

FLIPS = 10
WINDOW = timedelta(seconds=60)


def flipped(link: Link, side: Side, at: datetime) -> Link:
    """The link after that side changed what both should be; frozen if this was one flip too many.

    ``at`` is the event's own time: a backlog of old words that arrives in one moment is no ping-pong.
    """
    flips = (*link.flips, Flip(at, side))[-FLIPS:]
    frozen_at = link.frozen_at or (at if _is_ping_pong(flips) else None)
    return replace(link, flips=flips, frozen_at=frozen_at)


def thawed(link: Link) -> Link:
    """The link with its freeze ended and its count begun anew."""
    return replace(link, flips=(), frozen_at=None)


def _is_ping_pong(flips: tuple[Flip, ...]) -> bool:
    times = [flip.at for flip in flips]
    alternating = all(before.side is not after.side for before, after in pairwise(flips))
    return len(flips) == FLIPS and alternating and max(times) - min(times) <= WINDOW
