"""The only code that calls a partner for a link: read the link, do the next missing thing, record, repeat.

Nothing sleeps here: what must be tried later goes back to the queue with a delay, and the lane stays outstanding.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog

from app.domain.delivery import Result, may_have_happened, record, settled
from app.domain.effects import Effect, OpenIncident, door, is_urgent, missing
from app.domain.incident import IncidentFacts
from app.domain.link import Link
from app.domain.names import LinkId, Side
from app.domain.outcome import Held, Reply, Retry
from app.ports import Letter, Links, Marks, Meter, Transactions, Tx
from app.services.settle import Settle, line

log = structlog.get_logger()

STEPS_PER_DELIVERY = 8
"""Effects done in one go before others get their turn."""

HOLD_MARK = "hold."
TARGET_HELD = "target_held"
"""Not asked, because another delivery was just refused for our credentials."""

Perform = Callable[[Link, Effect], Reply[IncidentFacts | None]]


@dataclass
class Deliver:
    """Brings one link's one side up to date."""

    transactions: Transactions
    links: Links
    marks: Marks
    settle: Settle
    perform: Perform
    meter: Meter
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    dice: Callable[[], float] = random.random
    _held_until: dict[str, datetime] = field(default_factory=dict)

    def __call__(self, link_id: LinkId, side: Side, seq: int, first_run: bool = True) -> str:
        """Deliver; the answer is the outcome word. Safe to run again after any crash.

        ``first_run`` False: this delivery was started before and may have made its call.
        """
        step = self._begin(link_id, side, seq, first_run)
        for _ in range(STEPS_PER_DELIVERY):
            if step is None:
                return "done"
            link, effect = step
            reply = self._guarded(link, side, effect)
            tried = link.open_tried or (isinstance(effect, OpenIncident) and may_have_happened(reply))
            step, word = self._record(link_id, side, seq, effect, reply, tried)
            if word:
                return word
        return self._yield_turn(link_id, side, seq)

    def _begin(self, link_id: LinkId, side: Side, seq: int, first_run: bool) -> tuple[Link, Effect] | None:
        """What to do first. The engine's durable claim is the record that a try begins, so none is written here."""
        with self.transactions.read() as tx:
            link = self.links.peek(tx, link_id)
            if not _is_due(link, side, seq):
                return None
            link = replace(link, open_tried=link.open_tried or not first_run)
            effect = self._missing(tx, link, side)
        return (link, effect) if effect is not None else self._nothing_to_do(link_id, side, seq)

    def _nothing_to_do(self, link_id: LinkId, side: Side, seq: int) -> tuple[Link, Effect] | None:
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            step = self._next(tx, link, side, self.clock()) if _is_due(link, side, seq) else None
        self.settle.engine.wake()
        return step

    def _missing(self, tx: Tx, link: Link, side: Side) -> Effect | None:
        return missing(link, side, self.settle.shared(tx, link, side), rest=self.settle.rest())

    def _next(self, tx: Tx, link: Link, side: Side, since: datetime) -> tuple[Link, Effect] | None:
        """Save the link, settled where nothing is missing; what to do next where something is."""
        effect = self._missing(tx, link, side)
        saved = self.settle.save(tx, link if effect is not None else settled(link, side), since)
        return None if effect is None else (saved, effect)

    def _guarded(self, link: Link, side: Side, effect: Effect) -> Reply[IncidentFacts | None]:
        held_until = self._held_until.get(door(link, effect))
        if held_until is not None and self.clock() < held_until and not is_urgent(effect):
            return Held(TARGET_HELD)
        try:
            return self.perform(link, effect)
        except Exception as fault:
            log.exception("delivery.broke", link_id=link.link_id, side=side.value)
            return Retry(f"bug:{type(fault).__name__}", unclear=True)

    def _record(
        self, link_id: LinkId, side: Side, seq: int, effect: Effect, reply: Reply[IncidentFacts | None], tried: bool
    ) -> tuple[tuple[Link, Effect] | None, str]:
        """Write an answer down. ``tried``: a create may have reached PagerDuty, now or in an earlier run."""
        now = self.clock()
        with self.transactions.begin() as tx:
            before = self.links.get(tx, link_id)
            lane = before.lane(side)
            if not _is_due(before, side, seq):
                return None, "overtaken"
            before = replace(before, open_tried=before.open_tried or tried)
            through = door(before, effect)
            result = record(before, side, effect, reply, now, self.dice())
            since = lane.since or now
            self._write_down(tx, result, side, through, now)
            link = self.settle.attached(tx, before, result.link, now)
            if result.again_after is not None:
                step = None
                self._again(tx, link, side, result, since)
            else:
                step = self._next(tx, link, side, since)
        self.settle.engine.wake()
        self._tell(result, side, effect, through, since, now)
        return step, result.outcome if result.again_after is not None else ""

    def _again(self, tx: Tx, link: Link, side: Side, result: Result, since: datetime) -> None:
        lane = link.lane(side)
        lane = replace(lane, seq=lane.seq + 1)
        link = self.settle.save(tx, link.with_lane(side, lane), since)
        self.settle.engine.submit(tx, [self.settle.order(link, side, lane.seq, result.again_after)])

    def _yield_turn(self, link_id: LinkId, side: Side, seq: int) -> str:
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            lane = link.lane(side)
            if _is_due(link, side, seq):
                self._again(tx, link, side, Result(link, "done", "", again_after=0.0), lane.since or self.clock())
        self.settle.engine.wake()
        return "yielded"

    def _write_down(self, tx: Tx, result: Result, side: Side, through: str, now: datetime) -> None:
        lane = result.link.lane(side)
        facts = {"side": side.value, "outcome": result.outcome, "attempt": lane.attempt}
        if result.reason:
            facts["reason"] = result.reason
        if result.outcome not in ("retry", "held") or lane.attempt == 1:
            self.links.write_timeline(tx, [line(result.link, result.event, now, facts)])
        if result.dead:
            letter = Letter(0, "effect", result.reason, now, lane.attempt, link_id=result.link.link_id, side=side)
            self.links.add_letter(tx, letter)
        if _holds_the_door(result):
            self.marks.put(tx, HOLD_MARK + through, result.reason)
        elif result.outcome == "done" and through in self._held_until:
            self.marks.clear(tx, HOLD_MARK + through)

    def _tell(self, result: Result, side: Side, effect: Effect, through: str, since: datetime, now: datetime) -> None:
        if _holds_the_door(result):
            self._held_until[through] = now + timedelta(seconds=result.again_after or 0)
        elif result.outcome == "done":
            self._held_until.pop(through, None)
        link = result.link
        target = self.settle.target(link, side)
        self.meter.called(target, result.reason.partition(":")[0] or result.outcome)
        if result.dead:
            self.meter.parked("effect", result.reason.partition(":")[0])
        if result.outcome == "done":
            self.meter.delivered(target, (now - since).total_seconds())
        say = {"done": log.info, "retry": log.warning}.get(result.outcome, log.error)
        say(
            result.event,
            link_id=link.link_id,
            alert_id=link.alert.alert_id,
            incident_id=link.incident_id,
            side=side.value,
            effect=type(effect).__name__,
            **({"reason": result.reason, "again_after": result.again_after} if result.reason else {}),
        )


def _holds_the_door(result: Result) -> bool:
    """Whether the partner refused our credentials; what we ourselves lack (``no_...``) holds only what needs it."""
    return result.outcome == "held" and result.reason != TARGET_HELD and not result.reason.startswith("no_")


def _is_due(link: Link, side: Side, seq: int) -> bool:
    """Whether this is the delivery that the lane waits for; any other has been done or overtaken."""
    lane = link.lane(side)
    return lane.outstanding and lane.seq == seq
