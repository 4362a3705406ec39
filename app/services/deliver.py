"""The only code that calls a partner for a link: read the link, do the next missing thing, record, repeat.

Nothing sleeps here: what must be tried later goes back to the queue with a delay, and the lane stays outstanding.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from app.domain.damping import is_held
from app.domain.delivery import (
    NOT_KEPT,
    Facts,
    Result,
    attached,
    intending,
    may_have_happened,
    read_for,
    record,
    settled,
    without_call,
)
from app.domain.effects import (
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    SetAlert,
    SetIncident,
    door,
)
from app.domain.incident import IncidentFacts
from app.domain.link import Link
from app.domain.names import LinkId, Side, Status
from app.domain.outcome import BUDGET_SPENT, NOT_ASKED, Done, Held, Reply, Retry
from app.domain.retry import CONFIRM_DELAY, named, overtakes, turned_away
from app.domain.shared_incident import recorded_for
from app.domain.side_state import SideState
from app.domain.transitions import REPEATS
from app.ports import Letter, Links, Meter, StoreUnavailable, Transactions, Tx
from app.services.doors import Doors
from app.services.settle import Settle, line, untried

log = structlog.get_logger()

STEPS_PER_DELIVERY = 8
"""Effects done in one go before others get their turn."""
MAX_SAID_CHARS = 200
"""Of a partner's own words in the log and the time line; the dead letter has them all."""

Perform = Callable[[Link, Effect], Reply[Facts]]


@dataclass
class Deliver:
    """Brings one link's one side up to date."""

    transactions: Transactions
    links: Links
    doors: Doors
    settle: Settle
    perform: Perform
    meter: Meter
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    dice: Callable[[], float] = random.random

    def __call__(self, link_id: LinkId, side: Side, seq: int, first_run: bool = True) -> str:
        """Deliver; the answer is the outcome word. Safe to run again after any crash.

        ``first_run`` False: this delivery was started before and may have made its call.
        """
        step = self._begin(link_id, side, seq, first_run)
        for _ in range(STEPS_PER_DELIVERY):
            if step is None:
                return "done"
            link, effect = step
            reply: Reply[Facts] | None = self.doors.ask(door(link, effect), link.link_id, effect, self.dice())
            if reply is None:
                step = self._intend(link_id, side, seq, link, effect)
                if step is None or step[1] != effect:
                    continue
                link = step[0]
            began = self.clock()
            reply = reply or self._call(link, side, effect)
            tried = link.open_tried or (isinstance(effect, OpenIncident) and may_have_happened(reply))
            step, word = self._record(link_id, side, seq, effect, reply, tried, began)
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
            effect, held = self.settle.missing(tx, link, side)
        is_owed = effect is not None and not (held and is_held(effect))
        return (link, effect) if effect is not None and is_owed else self._nothing_to_do(link_id, side, seq)

    def _nothing_to_do(self, link_id: LinkId, side: Side, seq: int) -> tuple[Link, Effect] | None:
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            step = self._next(tx, link, side, self.clock()) if _is_due(link, side, seq) else None
        self.settle.engine.wake()
        return step

    def _missing(self, tx: Tx, link: Link, side: Side) -> Effect | None:
        return self.settle.missing(tx, link, side)[0]

    def _next(self, tx: Tx, link: Link, side: Side, since: datetime) -> tuple[Link, Effect] | None:
        """Save the link, settled where nothing is missing; what to do next where something is. A resolve that is held
        back is put off until its time."""
        effect, held = self.settle.missing(tx, link, side)
        if effect is not None and held and is_held(effect):
            self._again(tx, link, side, effect, held, since)
            return None
        saved = self.settle.save(tx, link if effect is not None else settled(link, side), since)
        return None if effect is None else (saved, effect)

    def _intend(self, link_id: LinkId, side: Side, seq: int, link: Link, effect: Effect) -> tuple[Link, Effect] | None:
        """Write down that a status is about to be written, before it is: whoever reads or hears of that side knows then
        that the call may have been made. The answer is what to do now, which is something else if the link says so.

        A page has no such record of its own: the engine's durable claim is one, and nothing may delay it.
        """
        if not isinstance(effect, SetIncident | SetAlert):
            return link, effect
        with self.transactions.begin() as tx:
            current = self.links.get(tx, link_id)
            if not _is_due(current, side, seq):
                return None
            current = replace(current, open_tried=current.open_tried or link.open_tried)
            if self.settle.missing(tx, current, side)[0] != effect:
                return self._next(tx, current, side, self.clock())
            intended = intending(current, side, effect, self.clock())
            self.links.save(tx, intended)
        return intended, effect

    def _call(self, link: Link, side: Side, effect: Effect) -> Reply[Facts]:
        try:
            return self.perform(link, effect)
        except StoreUnavailable:  # nobody was called, and nothing could be written down either
            raise
        except Exception as fault:
            log.exception("delivery.broke", link_id=link.link_id, side=side.value)
            return Retry(f"bug:{type(fault).__name__}", unclear=True)

    def _record(
        self,
        link_id: LinkId,
        side: Side,
        seq: int,
        effect: Effect,
        reply: Reply[Facts],
        tried: bool,
        began: datetime | None = None,
    ) -> tuple[tuple[Link, Effect] | None, str]:
        """Write an answer down. ``tried``: a create may have reached PagerDuty, now or in an earlier run; ``began``:
        when the call was made."""
        now = self.clock()
        with self.transactions.begin() as tx:
            before = self.links.get(tx, link_id)
            lane = before.lane(side)
            through = door(before, effect)
            for name, text in self.doors.hear(through, link_id, effect, reply).items():
                self.doors.write(tx, name, text)
            if not _is_due(before, side, seq):
                self._opened_late(tx, before, effect, reply, now)
                return None, "overtaken"
            before = replace(before, open_tried=before.open_tried or tried)
            result = self._result(before, side, effect, reply, through, now, began, self._survivor(tx, reply))
            since = lane.since or now
            self._write_down(tx, result, side, result.given_up or effect, now)
            link = self._without_letters(tx, before, result, side, effect, now)
            if result.outcome == "done" and link.shares and link.incident_id == before.incident_id:
                self._share(tx, before, link, effect, reply, began or now, now)
            link = self.settle.attached(tx, before, link, now)
            self.settle.followed(tx, before, link, now)
            owed = self._missing(tx, link, side)
            reads = isinstance(owed, ReadIncident | ReadAlert | LookForIncident)
            if result.outcome == "done" and not reads:
                result = replace(result, again_after=None)  # only what is read again has to wait
            elif isinstance(owed, ReadIncident) and isinstance(effect, SetIncident) and result.outcome == "done":
                result = replace(result, again_after=CONFIRM_DELAY)
            later, failed = result.again_after, result.outcome in ("retry", "held")
            waits = owed if result.outcome == NOT_KEPT and owed else effect  # what was not kept is what waits
            if later is not None and owed is not None and overtakes(owed, named(waits)):
                link, later = link.with_lane(side, untried(link.lane(side))), None
            if later is None:
                step = self._next(tx, link, side, since)
            else:
                step = None
                self._again(tx, link, side, effect if failed else owed or effect, later, since)
        self.settle.engine.wake()
        self._tell(result, side, result.given_up or effect, since, now)
        return step, result.outcome if later is not None else ""

    def _survivor(self, tx: Tx, reply: Reply[Facts]) -> SideState | None:
        """What is known of the incident that, by this answer, the link's own was merged into."""
        facts = reply.value if isinstance(reply, Done) else None
        merged_into = facts.merged_into if isinstance(facts, IncidentFacts) else None
        return self.settle.survivor(tx, merged_into) if merged_into else None

    def _without_letters(self, tx: Tx, before: Link, result: Result, side: Side, effect: Effect, now: datetime) -> Link:
        """What an operator was to decide about, and has come about, is no dead letter any more."""
        link, done = result.link, result.outcome == "done"
        troubled = before.lane(side).dead and before.side(side).unconfirmed_count <= REPEATS
        if done and troubled:
            link = self.settle.came_about(tx, link, side, effect)
        return link

    def _share(
        self, tx: Tx, before: Link, link: Link, effect: Effect, reply: Reply[Facts], began: datetime, now: datetime
    ) -> None:
        """A write to an incident that several links are on, or a read of it, is recorded in all of them."""
        if not isinstance(effect, SetIncident | ReadIncident) or link.incident_id is None:
            return
        proven = before.incident_side.pending is not None and link.incident_side.pending is None
        wrote = isinstance(effect, SetIncident) or (proven and link.incident_side.by_us)
        for other in self.links.by_incident(tx, link.incident_id):
            if other.link_id == link.link_id:
                continue
            after = other
            if wrote:
                after = recorded_for(link, other)
            elif isinstance(reply, Done) and isinstance(reply.value, IncidentFacts):
                after = read_for(other, reply.value, reply.at, began, now)
            if after != other:
                self.settle.save(tx, after, now)

    def _opened_late(self, tx: Tx, link: Link, effect: Effect, reply: Reply[Facts], now: datetime) -> None:
        """A create whose delivery another took over may have opened the incident: then its resolve is owed as well."""
        if not isinstance(effect, OpenIncident) or not may_have_happened(reply):
            return
        late = replace(link, open_tried=True)
        if link.incident_id is None:
            opened = SideState(Status.OPEN, received_at=now) if isinstance(reply, Done) else SideState()
            late = replace(late, incident_side=opened)
            facts = reply.value if isinstance(reply, Done) else None
            late = attached(late, facts) if isinstance(facts, IncidentFacts) else late
        self.settle.save(tx, self.settle.attached(tx, link, late, now), now)
        told = line(late, "incident.opened_late", now, {"side": Side.PAGERDUTY.value})
        self.links.write_timeline(tx, [told])

    def _result(
        self,
        link: Link,
        side: Side,
        effect: Effect,
        reply: Reply[Facts],
        through: str,
        now: datetime,
        began: datetime | None,
        survivor: SideState | None,
    ) -> Result:
        """What the reply means. Where nobody was asked, nothing was tried: the link stays as it is."""
        if isinstance(reply, Held) and reply.reason in NOT_ASKED:
            after = reply.after_seconds or 0.0
            after = turned_away(after, self.dice()) if reply.reason == BUDGET_SPENT else after
            return Result(without_call(link, side, effect), "held", "delivery.waited", after, reply.reason)
        result = record(link, side, effect, reply, now, self.dice(), began, self.settle.rest(), survivor)
        soon = self.doors.soon(through, effect, reply, self.dice())
        if soon is not None and result.again_after is not None:
            result = replace(result, again_after=min(result.again_after, soon))
        return result

    def _again(self, tx: Tx, link: Link, side: Side, effect: Effect, after: float, since: datetime) -> None:
        """Later, unless something more urgent is owed by then, or already now; but never beyond the end of a hold."""
        held = self.settle.missing(tx, link, side)[1]
        after = min(after, held) if held else after
        lane = replace(link.lane(side), seq=link.lane(side).seq + 1)
        due_at = self.clock() + timedelta(seconds=after)
        lane = replace(lane, waits_for=named(effect), due_at=due_at)
        lane = self.settle.holding(lane, after) if held and is_held(effect) else lane
        link = self.settle.save(tx, link.with_lane(side, lane), since)
        if link.lane(side).seq == lane.seq:
            self.settle.engine.submit(tx, [self.settle.order(link, side, lane.seq, effect, after)])

    def _yield_turn(self, link_id: LinkId, side: Side, seq: int) -> str:
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            since = link.lane(side).since or self.clock()
            effect = self._missing(tx, link, side) if _is_due(link, side, seq) else None
            if effect is not None:
                self._again(tx, link, side, effect, 0.0, since)
            elif _is_due(link, side, seq):
                self._next(tx, link, side, since)
        self.settle.engine.wake()
        return "yielded"

    def _write_down(self, tx: Tx, result: Result, side: Side, effect: Effect, now: datetime) -> None:
        if result.reason in NOT_ASKED:
            return
        lane = result.link.lane(side)
        facts = {"side": side.value, "outcome": result.outcome, "attempt": lane.attempt}
        if result.reason:
            facts["reason"] = result.reason
        facts |= _said(result)
        if result.outcome not in ("retry", "held") or lane.attempt == 1:
            self.links.write_timeline(tx, [line(result.link, result.event, now, facts)])
        if result.dead:
            self.links.add_letter(tx, _letter(result, side, effect, now))

    def _tell(self, result: Result, side: Side, effect: Effect, since: datetime, now: datetime) -> None:
        target = self.settle.target(result.link, side)
        reason = result.reason.partition(":")[0]
        letter = _letter(result, side, effect, now) if result.dead else None
        self.meter.called(target, reason or result.outcome)
        if letter:
            self.meter.parked(letter.counted_as, reason)
        if result.outcome == "done":
            self.meter.delivered(target, (now - since).total_seconds())
        self._log(result, side, effect, page=letter is not None and letter.is_page)

    def _log(self, result: Result, side: Side, effect: Effect, page: bool) -> None:
        """A page that will not go out is as loud as it gets; waiting for our turn is nothing to wake anybody for."""
        say = {"done": log.info, "retry": log.warning}.get(result.outcome, log.error)
        say = log.critical if page else log.debug if result.reason in NOT_ASKED else say
        link = result.link
        say(
            "page.refused" if page else result.event,
            link_id=link.link_id,
            alert_id=link.alert.alert_id,
            incident_id=link.incident_id,
            side=side.value,
            effect=type(effect).__name__,
            **({"reason": result.reason, "again_after": result.again_after} if result.reason else {}),
            **_said(result),
        )


def _said(result: Result) -> dict[str, str]:
    """The first line of the partner's own words about a final no."""
    return {"said": result.detail.splitlines()[0][:MAX_SAID_CHARS]} if result.detail.strip() else {}


def _letter(result: Result, side: Side, effect: Effect, now: datetime) -> Letter:
    attempts, link_id = result.link.lane(side).attempt, result.link.link_id
    return Letter(0, "effect", result.reason, now, attempts, result.detail, link_id, side, effect=named(effect))


def _is_due(link: Link, side: Side, seq: int) -> bool:
    """Whether this is the delivery that the lane waits for; any other has been done or overtaken."""
    lane = link.lane(side)
    return lane.outstanding and lane.seq == seq
