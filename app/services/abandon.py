"""A delivery that raises every time becomes a dead letter: a person has to look, and nobody else has to wait.

Nothing is judged here and no partner is called: whatever broke the delivery must not break this.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from app.domain.delivery import settled
from app.domain.link import Link
from app.domain.names import LinkId, Side
from app.ports import Letter, Links, Meter, Transactions, Tx
from app.services.settle import line

log = structlog.get_logger()

REASON = "delivery_broke"
UNREADABLE = "the link itself cannot be read"


@dataclass(frozen=True)
class Abandon:
    """Writes the letter and closes the lane behind it, together or not at all."""

    transactions: Transactions
    links: Links
    meter: Meter
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self, link_id: LinkId, side: Side, seq: int, fault: str) -> None:
        """Give this delivery up. One that was done or overtaken meanwhile is left alone.

        Raises ``StoreUnavailable``: then nothing is written, and it has to be asked again.
        """
        reason = f"{REASON}:{fault}"
        with self.transactions.begin() as tx:
            given_up = self._write(tx, link_id, side, seq, reason)
        if given_up:
            page = given_up == "page"  # nobody was paged, and a person has to know
            self.meter.parked(given_up, REASON)
            say, event = (log.critical, "page.refused") if page else (log.error, "delivery.dead")
            say(event, link_id=link_id, side=side.value, seq=seq, reason=reason)

    def _write(self, tx: Tx, link_id: LinkId, side: Side, seq: int, reason: str) -> str:
        """What was given up: ``page`` where no incident is known to be open, else ``effect``; empty if nothing."""
        now = self.clock()
        try:
            link = self.links.get(tx, link_id)
        except ValueError:  # what it says is worth a letter all the more, though no lane can be closed
            self.links.add_letter(tx, Letter(0, "effect", reason, now, 0, UNREADABLE, link_id, side))
            return "page" if side is Side.PAGERDUTY else "effect"
        lane = link.lane(side)
        if not (lane.outstanding and lane.seq == seq):
            return ""
        self._close(tx, link, side, reason, now)
        unpaged = side is Side.PAGERDUTY and link.deserves and link.incident_side.status is None
        return "page" if unpaged else "effect"

    def _close(self, tx: Tx, link: Link, side: Side, reason: str, now: datetime) -> None:
        lane = link.lane(side)
        dead = replace(lane, dead=reason, attempt=0, failing="", failing_since=None)
        link = settled(link.with_lane(side, dead), side)
        if side is Side.PAGERDUTY:  # its call may have been made: whoever goes on looks first
            link = replace(link, open_tried=True)
        self.links.save(tx, link)
        self.links.write_timeline(tx, [line(link, "delivery.dead", now, {"side": side.value, "reason": reason})])
        self.links.add_letter(tx, Letter(0, "effect", reason, now, lane.attempt, "", link.link_id, side))
