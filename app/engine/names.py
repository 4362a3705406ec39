"""What a delivery's workflow is called, for ever: that is how one is found again, and why none is enqueued twice."""

import hashlib
from collections.abc import Sequence

from app.domain.names import LinkId, Side
from app.ports import Order

TOGETHER = "+"
"""In the name of a workflow with more than one delivery; only the first of them can be read from it."""


def lane_name(side: Side, link_id: LinkId, seq: int) -> str:
    """The name of one delivery. It is zero-padded, so that DBOS's tie-break by id is the order of submission."""
    return f"{side}-{link_id:019d}-{seq:010d}"


def workflow_name(orders: Sequence[Order]) -> str:
    """No two groups of orders share one, whatever order they have in common."""
    first = orders[0]
    name = lane_name(first.side, first.link_id, first.seq)
    if len(orders) == 1:
        return name
    rest = ",".join(f"{order.side}-{order.link_id}-{order.seq}" for order in orders[1:])
    return f"{name}{TOGETHER}{hashlib.sha256(rest.encode()).hexdigest()[:16]}"
