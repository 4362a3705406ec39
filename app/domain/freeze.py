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


def flipped(link: Link, side: Side, now: datetime, own_at: datetime | None) -> Link:
    """The link after that side changed what both should be; frozen if this was one flip too many.

    ``now``: when it was received; ``own_at``: when it happened, by that side's own clock. A backlog of old events that
    arrives in one moment is no ping-pong, and neither are old ones that are told late.
    """
    flips = (*link.flips, Flip(now, side, own_at))[-FLIPS:]
    return replace(link, flips=flips, frozen_at=link.frozen_at or (now if _is_ping_pong(flips) else None))


def thawed(link: Link) -> Link:
    """The link with its freeze ended and its count begun anew. Both sides are read; then the one that spoke last, by
    our receipt, is carried over."""
    alert, incident = link.alert_side, link.incident_side
    if alert.status and incident.status and alert.received_at and incident.received_at:
        earlier = incident if alert.received_at > incident.received_at else alert
        link = replace(link, agreed=earlier.wants or link.agreed)
    return replace(
        link,
        flips=(),
        frozen_at=None,
        alert_side=replace(alert, must_read=alert.status is not None),
        incident_side=replace(incident, must_read=incident.status is not None),
    )


def _is_ping_pong(flips: tuple[Flip, ...]) -> bool:
    alternating = all(before.side is not after.side for before, after in pairwise(flips))
    if len(flips) < FLIPS or not alternating or not _within([flip.at for flip in flips]):
        return False
    return all(_within([flip.own_at for flip in flips if flip.side is side and flip.own_at]) for side in Side)


def _within(times: list[datetime]) -> bool:
    return not times or max(times) - min(times) <= WINDOW
