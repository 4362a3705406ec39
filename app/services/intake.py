"""Takes the inbox in, in order: each word moves its link, and what the link then owes is enqueued.

One transaction holds the links, the time line, the enqueued deliveries and the place in the inbox, so a crash at any
instant either did all of it or none, and a row is taken exactly once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from app.domain.names import Source
from app.domain.words import Ignored, Reading, Unreadable, Wish
from app.ports import Arrivals, InboxRow, Letter, Links, Meter, Read, StoreUnavailable, Transactions, Tx
from app.services.hear import IGNORED, Gathered, Hear
from app.services.settle import Settle
from app.services.wishes import Grant

log = structlog.get_logger()

BATCH_ROWS = 32
"""Rows per transaction: enough to share a commit, few enough not to hold the store's lock long."""

BROKEN_BATCHES = 3
"""After so many failures in a row the rows are taken one by one, and the one that fails is parked."""

PARKED = "event.parked"

TIME_UNREAD = "time_not_understood"
"""The reason word of an event whose time is there and cannot be read: it counts as told without one."""

Clock = Callable[[], datetime]


@dataclass
class Intake:
    """Reads, judges and records; calls no partner."""

    transactions: Transactions
    arrivals: Arrivals
    links: Links
    settle: Settle
    hear: Hear
    grant: Grant
    readers: Mapping[Source, Read]
    meter: Meter
    clock: Clock = lambda: datetime.now(UTC)
    _broken: int = field(default=0, init=False)

    def take(self) -> int:
        """Take in one batch; the answer is how many rows, 0 when the inbox is empty.

        A row that breaks its batch is parked under its reason, and the rest goes on.
        """
        try:
            taken = self._take(BATCH_ROWS)
        except _Poison as poison:
            return self._park(poison.row, poison.reason)
        except StoreUnavailable:
            raise
        except Exception as fault:
            self._broken += 1
            if self._broken < BROKEN_BATCHES:
                raise
            return self._one_by_one(f"poison:{type(fault).__name__}")
        self._broken = 0
        return taken

    def _one_by_one(self, reason: str) -> int:
        """The store itself refuses something in this batch: take what it does not refuse."""
        try:
            return self._take(1)
        except StoreUnavailable:
            raise
        except Exception:
            with self.transactions.begin() as tx:
                rows = self.arrivals.next_rows(tx, 1)
            return self._park(rows[0], reason) if rows else 0

    def _take(self, limit: int) -> int:
        lines: list[dict[str, Any]] = []
        gathered = Gathered()
        with self.transactions.begin() as tx:
            rows = self.arrivals.next_rows(tx, limit)
            if rows:
                with self.links.batch(tx):
                    for row in rows:
                        lines += self._apply_row(tx, row, gathered)
                self._write_down(tx, gathered)
                self.arrivals.mark_taken(tx, rows, self.clock())
        for said in lines:
            self._tell(said)
        if rows:
            self.settle.engine.wake()
        return len(rows)

    def _write_down(self, tx: Tx, gathered: Gathered) -> None:
        self.links.write_timeline(tx, gathered.entries)
        self.settle.engine.submit(tx, gathered.orders)

    def _tell(self, said: dict[str, Any]) -> None:
        parked = said["event"] == PARKED
        (_loud(said["kind"], log.warning) if parked else log.info)(**said)
        if parked:
            self.meter.parked(said["kind"], said["reason"])
        elif said["event"] == IGNORED:
            self.meter.dropped(Source(said["source"]), said["reason"])
        if TIME_UNREAD in said:
            self.meter.dropped(Source(said[TIME_UNREAD]), TIME_UNREAD)

    def _apply_row(self, tx: Tx, row: InboxRow, gathered: Gathered) -> list[dict[str, Any]]:
        delivery = row.delivery
        try:
            readings = self.readers[delivery.source](delivery.body, delivery.content_encoding)
            return [
                self._apply(tx, row, reading, gathered) | {"request_id": delivery.request_id} for reading in readings
            ]
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as fault:
            raise _Poison(row, f"poison:{type(fault).__name__}") from fault

    def _apply(self, tx: Tx, row: InboxRow, reading: Reading, gathered: Gathered) -> dict[str, Any]:
        source, received_at = row.delivery.source.value, row.delivery.received_at
        if isinstance(reading, Unreadable):
            letter = self._letter(row, reading.reason, reading.detail)
            self.links.add_letter(tx, letter)
            return {"event": PARKED, "kind": letter.counted_as, "reason": reading.reason, "source": source}
        if isinstance(reading, Ignored):
            return {"event": IGNORED, "reason": reading.reason, "source": source}
        if isinstance(reading, Wish):
            return self.grant(tx, reading, received_at, gathered)
        said = self.hear(tx, reading, received_at, row.inbox_id, gathered)
        return said | {TIME_UNREAD: source} if reading.time_unread else said

    def _letter(self, row: InboxRow, reason: str, detail: str = "") -> Letter:
        # A wish or a finding of ours has no side.
        side = None if row.delivery.source is Source.BRIDGE else row.delivery.source.side
        return Letter(0, "event", reason, self.clock(), detail=detail, side=side, inbox_id=row.inbox_id)

    def _park(self, poison_row: InboxRow, reason: str) -> int:
        """Take in what stood before the poisonous row one by one, then park it."""
        letter = self._letter(poison_row, reason)
        say = _loud(letter.counted_as, log.error)
        say(PARKED, inbox_id=poison_row.inbox_id, kind=letter.counted_as, reason=reason)
        self.meter.parked(letter.counted_as, "poison")
        self._broken = 0
        while True:
            gathered = Gathered()
            with self.transactions.begin() as tx:
                row = self.arrivals.next_rows(tx, 1)[0]
                if row.inbox_id == poison_row.inbox_id:
                    self.links.add_letter(tx, letter)
                else:
                    self._apply_row(tx, row, gathered)
                self._write_down(tx, gathered)
                self.arrivals.mark_taken(tx, [row], self.clock())
            if row.inbox_id == poison_row.inbox_id:
                self.settle.engine.wake()
                return 1


def _loud(kind: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """What may be a page that nobody gets is as loud as one that was refused."""
    return log.critical if kind == "page" else otherwise


class _Poison(Exception):
    """A row whose taking-in fails every time. Rolls its batch back."""

    def __init__(self, row: InboxRow, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.reason = reason
