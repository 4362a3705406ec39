"""Takes the inbox in, in order: each word moves its link, and what the link then owes is enqueued.

One transaction holds the links, the time line, the enqueued deliveries and the place in the inbox, so a crash at any
instant either did all of it or none, and a row is taken exactly once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from app.domain.lifecycle import Step, advance
from app.domain.link import Known, Link
from app.domain.names import AlertId, Side, Via, incident_key
from app.domain.redaction import fit_to_leave
from app.domain.rules import decide
from app.domain.words import AlertVerb, AlertWord, Ignored, IncidentVerb, IncidentWord, Reading, Unreadable, Word
from app.ports import (
    Arrivals,
    InboxRow,
    Letter,
    Links,
    Meter,
    Order,
    Read,
    RulebookSource,
    TimelineEntry,
    Transactions,
    Tx,
)
from app.services.settle import Settle, line

log = structlog.get_logger()

BATCH_ROWS = 32
"""Rows per transaction: enough to share a commit, few enough not to hold the store's lock long."""

PARKED, IGNORED = "event.parked", "event.ignored"

Clock = Callable[[], datetime]


@dataclass
class Gathered:
    """What a batch of rows leaves to be written at its end, all at once."""

    entries: list[TimelineEntry] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)


@dataclass(frozen=True)
class Intake:
    """Reads, judges and records; calls no partner."""

    transactions: Transactions
    arrivals: Arrivals
    links: Links
    settle: Settle
    readers: Mapping[Side, Read]
    rulebook: RulebookSource
    via: Callable[[], Via]
    meter: Meter
    clock: Clock = lambda: datetime.now(UTC)

    def take(self) -> int:
        """Take in one batch; the answer is how many rows, 0 when the inbox is empty.

        A row that breaks its batch is parked under its reason, and the rest goes on.
        """
        try:
            return self._take(BATCH_ROWS)
        except _Poison as poison:
            log.error(PARKED, inbox_id=poison.row.inbox_id, reason=poison.reason)
            self.meter.parked("event", "poison")
            return self._park(poison.row, poison.reason)

    def _take(self, limit: int) -> int:
        lines: list[dict[str, Any]] = []
        gathered = Gathered()
        with self.transactions.begin() as tx:
            rows = self.arrivals.next_rows(tx, limit)
            for row in rows:
                lines += self._apply_row(tx, row, gathered)
            if rows:
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
        log.info(**said)
        if said["event"] == PARKED:
            self.meter.parked("event", said["reason"])
        elif said["event"] == IGNORED:
            self.meter.dropped(Side(said["source"]), said["reason"])

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
        if isinstance(reading, Unreadable):
            self._letter(tx, row, reading.reason, reading.detail)
            return {"event": PARKED, "reason": reading.reason, "source": row.delivery.source.value}
        if isinstance(reading, Ignored):
            return {"event": IGNORED, "reason": reading.reason, "source": row.delivery.source.value}
        found = self._links_of(tx, reading, row.delivery.received_at)
        if not found and isinstance(reading, IncidentWord):
            return self._unmatched(tx, row, reading)
        at = row.delivery.received_at
        steps = [self._judge(tx, link, reading, at, gathered) for link in found]
        gathered.entries += [
            line(step.link, reading.event, at, _facts(step, reading), reading.author) for step in steps
        ]
        return _told(steps[0], reading)

    def _judge(self, tx: Tx, link: Link, word: Word, received_at: datetime, gathered: Gathered) -> Step:
        decision = None
        if isinstance(word, AlertWord) and word.verb is AlertVerb.CREATED:
            decision = decide(self.rulebook.current(), link.alert.updated_by(word.alert))
        heard = fit_to_leave(word, self.rulebook.current().redaction)
        step = advance(link, heard, received_at, decision, self._survivor(tx, word))
        judged = self.settle.attached(tx, link, step.link, received_at)
        saved, orders = self.settle.write(tx, judged, received_at)
        gathered.orders += orders
        return Step(saved, step.outcome)

    def _links_of(self, tx: Tx, word: Word, received_at: datetime) -> Sequence[Link]:
        if isinstance(word, AlertWord):
            return [self.links.by_alert(tx, word.alert.alert_id) or self._new_link(word, received_at)]
        known = self.links.by_incident(tx, word.incident_id)
        if known:
            return known
        by_key = self.links.by_key(tx, word.incident_key) if word.incident_key else None
        if by_key is None and word.alert_id_hint:
            by_key = self.links.by_key(tx, incident_key(AlertId(word.alert_id_hint)))
        return [by_key] if by_key is not None and not _another_incident(by_key, word) else []

    def _new_link(self, word: AlertWord, received_at: datetime) -> Link:
        alert = word.alert
        return Link(alert, incident_key(alert.alert_id), first_seen_at=received_at, via=self.via())

    def _survivor(self, tx: Tx, word: Word) -> Known | None:
        """What is known of the incident that another was merged into, which from now on has guests."""
        if not isinstance(word, IncidentWord) or word.merged_into is None:
            return None
        ours = self.links.by_incident(tx, word.merged_into)
        for link in ours:
            self.links.save(tx, replace(link, guests=True))
        return ours[0].incident_side if ours else None

    def _unmatched(self, tx: Tx, row: InboxRow, word: IncidentWord) -> dict[str, Any]:
        said = {"event": IGNORED, "incident_id": word.incident_id, "source": "pagerduty"}
        if word.verb is IncidentVerb.MENTIONED:
            return said | {"reason": "unknown_incident"}
        self.links.keep_stray(tx, word, row.inbox_id, row.delivery.received_at)
        return said | {"reason": "unknown_incident_kept"}

    def _letter(self, tx: Tx, row: InboxRow, reason: str, detail: str) -> None:
        letter = Letter(
            0, "event", reason, self.clock(), detail=detail, side=row.delivery.source, inbox_id=row.inbox_id
        )
        self.links.add_letter(tx, letter)

    def _park(self, poison_row: InboxRow, reason: str) -> int:
        """Take in what stood before the poisonous row one by one, then park it."""
        while True:
            gathered = Gathered()
            with self.transactions.begin() as tx:
                row = self.arrivals.next_rows(tx, 1)[0]
                if row.inbox_id == poison_row.inbox_id:
                    self._letter(tx, row, reason, "")
                else:
                    self._apply_row(tx, row, gathered)
                self._write_down(tx, gathered)
                self.arrivals.mark_taken(tx, [row], self.clock())
            if row.inbox_id == poison_row.inbox_id:
                self.settle.engine.wake()
                return 1


class _Poison(Exception):
    """A row whose taking-in fails every time. Rolls its batch back."""

    def __init__(self, row: InboxRow, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.reason = reason


def _another_incident(link: Link, word: IncidentWord) -> bool:
    """An incident that carries our key but is not the one we opened: after a resolve the key is free again."""
    return link.incident_id is not None and link.incident_id != word.incident_id


def _facts(step: Step, word: Word) -> dict[str, Any]:
    facts: dict[str, Any] = {"outcome": step.outcome, "status": step.link.status.value}
    decision = step.link.decision
    if isinstance(word, AlertWord) and word.verb is AlertVerb.CREATED and decision is not None:
        facts |= {"rule": decision.rule, "rulebook": decision.version, "reason": decision.reason}
        facts["urgency"] = decision.urgency.value if decision.urgency else "none"
    return facts


def _told(step: Step, word: Word) -> dict[str, Any]:
    side = "alert" if isinstance(word, AlertWord) else "incident"
    link = step.link
    said = {"event": f"{side}.judged", "word": word.event, "outcome": step.outcome, "link_id": link.link_id}
    return said | {"alert_id": link.alert.alert_id, "incident_id": link.incident_id, "status": link.status.value}
