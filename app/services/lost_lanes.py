"""A delivery that is owed and that nobody will make is submitted again. It should never happen; then it is said.

An owed delivery and its place in the queue are written together, so one without the other is a store that was restored
by halves, or a fault of ours. Asking costs little: what is owed for minutes is looked up by its age, some at a time,
and the engine is asked whether it knows of it.

A delivery that ends between the two questions is not made again: it has changed its link by then, which is read once
more, locked. And one that is begun all the same finds its number outdated.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from app.domain.delivery import settled
from app.domain.link import Link
from app.domain.names import LinkId, Side
from app.ports import Links, Meter, Transactions, Tx
from app.services.settle import Settle, line

log = structlog.get_logger()

OVERDUE = timedelta(minutes=5)
"""Owed for so long before anybody asks: a fresh one is being made."""
EVERY = timedelta(minutes=1)
"""Between looks that find nothing."""
AT_ONCE = 500
"""Deliveries towards one side in one look; the next look goes on after them."""

Place = tuple[datetime, LinkId]
Lane = tuple[LinkId, Side, int]


class Overdue(Protocol):
    """What has been owed for long."""

    def overdue(
        self, tx: Tx, side: Side, before: datetime, after: Place | None, limit: int
    ) -> list[tuple[datetime, LinkId, int | None]]:
        """Owed towards that side since before that instant, the oldest first: since when, of which link, and the
        delivery's number; None where the link cannot be read."""
        ...


class Unfinished(Protocol):
    """What the engine knows of."""

    def unfinished(self, lanes: Collection[Lane]) -> frozenset[Lane]:
        """Which of these deliveries are queued, delayed or begun."""
        ...


@dataclass
class LostLanes:
    """One look at what has been owed for long."""

    transactions: Transactions
    owed: Overdue
    engine: Unfinished
    links: Links
    settle: Settle
    meter: Meter
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _places: dict[Side, Place] = field(default_factory=dict)
    """Where the next look begins."""
    _next_at: datetime | None = None

    def __call__(self) -> int:
        """Look, unless it is too early; the answer is how many were submitted again. Raises what the store raises."""
        now = self.clock()
        if self._next_at is not None and now < self._next_at:
            return 0
        found = sum(self._again(lane) for side in Side for lane in self._lost(side, now))
        self._next_at = now if found else now + EVERY
        self.settle.engine.wake()
        return found

    def _lost(self, side: Side, now: datetime) -> list[Lane]:
        """First what is owed, then what the engine knows: it knows of each before it is owed."""
        with self.transactions.read() as tx:
            rows = self.owed.overdue(tx, side, now - OVERDUE, self._places.get(side), AT_ONCE)
        if len(rows) < AT_ONCE:
            self._places.pop(side, None)
        else:
            self._places[side] = rows[-1][:2]
        lanes = [(link_id, side, seq) for _, link_id, seq in rows if seq is not None]
        known = self.engine.unfinished(lanes) if lanes else frozenset()
        return [lane for lane in lanes if lane not in known]

    def _again(self, wanted: Lane) -> bool:
        link_id, side, seq = wanted
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            lane = link.lane(side)
            if not lane.outstanding or lane.seq != seq:
                return False
            now = self.clock()
            saved = self.settle.save(tx, _forgotten(link, side), lane.since or now)
            self.links.write_timeline(tx, [line(saved, "lane.resubmitted", now, {"side": side.value, "seq": seq})])
        self.meter.resubmitted(side)
        log.error(
            "lane.resubmitted",
            link_id=link_id,
            alert_id=link.alert.alert_id,
            side=side.value,
            seq=seq,
            owed_since=None if lane.since is None else lane.since.isoformat(),
        )
        return True


def _forgotten(link: Link, side: Side) -> Link:
    """The link without that delivery, so that it is decided anew what is owed. Its call may have been made: whoever
    goes on looks first."""
    link = settled(link, side)
    return replace(link, open_tried=True) if side is Side.PAGERDUTY else link
