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
            self.meter.parked(given_up.counted_as, REASON)
            say, event = (log.critical, "page.refused") if given_up.is_page else (log.error, "delivery.dead")
            say(event, link_id=link_id, side=side.value, seq=seq, reason=reason)

    def _write(self, tx: Tx, link_id: LinkId, side: Side, seq: int, reason: str) -> Letter | None:
        """The letter about what was given up; None if nothing was. Whether it is a page cannot be known: it names no
        effect."""
        now = self.clock()
        letter = Letter(0, "effect", reason, now, 0, "", link_id, side)
        try:
            link = self.links.get(tx, link_id)
        except ValueError:  # what it says is worth a letter all the more, though no lane can be closed
            letter = replace(letter, detail=UNREADABLE)
        else:
            lane = link.lane(side)
            if not (lane.outstanding and lane.seq == seq):
                return None
            letter = replace(letter, attempts=lane.attempt)
            self._close(tx, link, side, reason, now)
        self.links.add_letter(tx, letter)
        return letter

    def _close(self, tx: Tx, link: Link, side: Side, reason: str, now: datetime) -> None:
        lane = link.lane(side)
        dead = replace(lane, dead=reason, attempt=0, failing="", failing_since=None)
        link = settled(link.with_lane(side, dead), side)
        if side is Side.PAGERDUTY:  # its call may have been made: whoever goes on looks first
            link = replace(link, open_tried=True)
        self.links.save(tx, link)
        self.links.write_timeline(tx, [line(link, "delivery.dead", now, {"side": side.value, "reason": reason})])
