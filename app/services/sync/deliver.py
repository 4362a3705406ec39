"""The only code that calls a partner for a link: read the link, do the next missing thing, record, repeat.

Nothing sleeps here: what must be tried later goes back to the queue with a delay, and the delivery stays outstanding.

A delivery that raises every time becomes a dead letter: a person has to look, and nobody else has to wait.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import BUDGET_SPENT, NOT_ASKED, Done, Held, Reply, Retry
from app.domain.model.types import LinkId, Side, Status, replace
from app.domain.sync.delivery import (
    Facts,
    Result,
    attached,
    intending,
    may_have_happened,
    read_for,
    record,
    without_call,
    without_outstanding,
)
from app.domain.sync.effects import (
    Effect,
    EffectOutcome,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    SetAlert,
    SetIncident,
    is_held,
    target_of,
)
from app.domain.sync.link import Link, recorded_for
from app.domain.sync.retry import CONFIRM_DELAY, named, overtakes, turned_away
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import REPEATS
from app.ports import Clock, DeadLetter, Escalator, Links, Meter, StoreUnavailable, Transactions, Tx, utc_now
from app.remote.trace import current
from app.services.sync.execute_effect import TargetHealth
from app.services.sync.link_writer import LinkWriter, line, survivor_of, took_ms, untried, with_unmatched_events

# ------------------------------------------------------------------------------------------------------------- deliver

log = structlog.get_logger()

STEPS_PER_DELIVERY = 8
"""Effects done in one go before others get their turn."""
MAX_SAID_CHARS = 200
"""Of a partner's own words in the log and the time line; the dead letter has them all."""

WAITS = frozenset({EffectOutcome.RETRY, EffectOutcome.HELD})
"""It failed, and is tried again."""

Perform = Callable[[Link, Effect], Reply[Facts]]


@dataclass
class Deliver:
    """Brings one link's one side up to date."""

    transactions: Transactions
    links: Links
    target_health: TargetHealth
    writer: LinkWriter
    perform: Perform
    meter: Meter
    escalations: Escalator | None = None
    clock: Clock = utc_now
    jitter: Callable[[], float] = random.random

    def __call__(self, link_id: LinkId, side: Side, seq: int, first_run: bool = True) -> EffectOutcome:
        """Deliver. Safe to run again after any crash.

        ``first_run`` False: this delivery was started before and may have made its call.
        """
        step = self._begin(link_id, side, seq, first_run)
        with current(step[0].trace if step else None):
            return self._deliver(link_id, side, seq, step)

    def _deliver(self, link_id: LinkId, side: Side, seq: int, step: tuple[Link, Effect] | None) -> EffectOutcome:
        for _ in range(STEPS_PER_DELIVERY):
            if step is None:
                return EffectOutcome.DONE
            link, effect = step
            reply: Reply[Facts] | None = self.target_health.admit(
                target_of(link, effect), link.link_id, effect, self.jitter()
            )
            if reply is None:
                step = self._intend(link_id, side, seq, link, effect)
                if step is None or step[1] != effect:
                    continue
                link = step[0]
            began = self.clock()
            reply = reply or self._call(link, side, effect)
            tried = link.open_tried or (isinstance(effect, OpenIncident) and may_have_happened(reply))
            step, outcome = self._record(link_id, side, seq, effect, reply, tried, began)
            if outcome:
                return outcome
        return self._yield_turn(link_id, side, seq)

    def _begin(self, link_id: LinkId, side: Side, seq: int, first_run: bool) -> tuple[Link, Effect] | None:
        """What to do first. The engine's durable claim is the record that a try begins, so none is written here."""
        with self.transactions.read() as tx:
            link = self.links.peek(tx, link_id)
            if not _is_due(link, side, seq):
                return None
            link = replace(link, open_tried=link.open_tried or not first_run)
            effect, held = self.writer.next_effect(tx, link, side)
        is_pending = effect is not None and not (held and is_held(effect))
        return (link, effect) if effect is not None and is_pending else self._nothing_to_do(link_id, side, seq)

    def _nothing_to_do(self, link_id: LinkId, side: Side, seq: int) -> tuple[Link, Effect] | None:
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            return self._next(tx, link, side, self.clock()) if _is_due(link, side, seq) else None

    def _next(
        self, tx: Tx, link: Link, side: Side, since: datetime, pending: tuple[Effect | None, float] | None = None
    ) -> tuple[Link, Effect] | None:
        """Save the link, settled where nothing is missing; what to do next where something is. A resolve that is held
        back is put off until its time. ``pending``: the writer's answer about this link, where it was asked before."""
        effect, held = pending or self.writer.next_effect(tx, link, side)
        if effect is not None and held and is_held(effect):
            self._again(tx, link, side, effect, held, held, since)
            return None
        saved = self.writer.save(tx, link if effect is not None else without_outstanding(link, side), since)
        return None if effect is None else (saved, effect)

    def _intend(self, link_id: LinkId, side: Side, seq: int, link: Link, effect: Effect) -> tuple[Link, Effect] | None:
        """Write down that a status is about to be written, before it is: whoever reads that side or receives its events
        knows then that the call may have been made. The answer is what to do now, which is something else if the link
        says so.

        A page has no such record of its own: the engine's durable claim is one, and nothing may delay it.
        """
        if not isinstance(effect, SetIncident | SetAlert):
            return link, effect
        with self.transactions.begin() as tx:
            current = self.links.get(tx, link_id)
            if not _is_due(current, side, seq):
                return None
            current = replace(current, open_tried=current.open_tried or link.open_tried)
            pending = self.writer.next_effect(tx, current, side)
            if pending[0] != effect:
                return self._next(tx, current, side, self.clock(), pending)
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
    ) -> tuple[tuple[Link, Effect] | None, EffectOutcome | None]:
        """Write an answer down. ``tried``: a create may have reached PagerDuty, now or in an earlier run; ``began``:
        when the call was made."""
        now = self.clock()
        with self.transactions.begin() as tx:
            before = self.links.get(tx, link_id)
            target = target_of(before, effect)
            for name, text in self.target_health.record_reply(target, link_id, effect, reply).items():
                self.target_health.write_value(tx, name, text)
            if not _is_due(before, side, seq):
                self._opened_late(tx, before, effect, reply, now)
                return None, EffectOutcome.OVERTAKEN
            before = replace(before, open_tried=before.open_tried or tried)
            result = self._result(before, side, effect, reply, target, now, began, self._survivor(tx, reply))
            since = before.delivery(side).since or now
            self._write_down(tx, result, side, result.given_up or effect, now, took_ms(began, now))
            link = self._with_consequences(tx, before, result, side, effect, reply, began or now, now)
            step, put_off = self._go_on(tx, link, side, effect, result, since)
        self._report(result, side, result.given_up or effect, since, now)
        self._count_page(before, result, effect, (now - since).total_seconds())
        return step, result.outcome if put_off else None

    def _with_consequences(
        self,
        tx: Tx,
        before: Link,
        result: Result,
        side: Side,
        effect: Effect,
        reply: Reply[Facts],
        began: datetime,
        now: datetime,
    ) -> Link:
        """The link after an answer, with all that follows from it elsewhere."""
        link, is_done = result.link, result.outcome is EffectOutcome.DONE
        troubled = before.delivery(side).dead and before.side(side).unconfirmed_count <= REPEATS
        if is_done and troubled:  # what an operator was to decide about has come about
            link = self.writer.close_dead_letters_of(tx, link, side, effect)
        if is_done and link.shares and link.incident_id == before.incident_id:
            self._share(tx, before, link, effect, reply, began, now)
        link = self._with_its_incident(tx, before, link, now)
        if self.escalations is not None:
            self.links.write_timeline(tx, self.escalations.followed(tx, before, link, now))
        return link

    def _go_on(
        self, tx: Tx, link: Link, side: Side, effect: Effect, result: Result, since: datetime
    ) -> tuple[tuple[Link, Effect] | None, bool]:
        """What is to be done at once, if anything; and whether the rest is put off."""
        pending, held = self.writer.next_effect(tx, link, side)
        later, failed = _again_after(result, effect, pending), result.outcome in WAITS
        # What was not kept is what waits.
        waits = pending if result.outcome is EffectOutcome.WRITE_LOST and pending else effect
        if later is None:
            return self._next(tx, link, side, since, (pending, held)), False
        if pending is not None and overtakes(pending, named(waits)):
            return self._next(tx, link.with_delivery(side, untried(link.delivery(side))), side, since), False
        self._again(tx, link, side, effect if failed else pending or effect, later, held, since)
        return None, True

    def _with_its_incident(self, tx: Tx, before: Link, link: Link, now: datetime) -> Link:
        """The link after an answer, which may have told which incident is its own: its escalation begins then."""
        has_api_key = self.writer.has_api_key()
        link = with_unmatched_events(self.links, tx, before, link, now, has_api_key)
        if self.escalations is not None and has_api_key:
            self.escalations.attached(tx, before, link, now)
        return link

    def _survivor(self, tx: Tx, reply: Reply[Facts]) -> SideState | None:
        """What is known of the incident that, by this answer, the link's own was merged into."""
        facts = reply.value if isinstance(reply, Done) else None
        merged_into = facts.merged_into if isinstance(facts, IncidentFacts) else None
        return survivor_of(self.links, tx, merged_into) if merged_into else None

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
                self.writer.save(tx, after, now)

    def _opened_late(self, tx: Tx, link: Link, effect: Effect, reply: Reply[Facts], now: datetime) -> None:
        """A create whose delivery another took over may have opened the incident: then its resolve is pending as
        well."""
        if not isinstance(effect, OpenIncident) or not may_have_happened(reply):
            return
        late = replace(link, open_tried=True)
        if link.incident_id is None:
            opened = SideState(Status.OPEN, received_at=now) if isinstance(reply, Done) else SideState()
            late = replace(late, incident_side=opened)
            facts = reply.value if isinstance(reply, Done) else None
            late = attached(late, facts) if isinstance(facts, IncidentFacts) else late
        self.writer.save(tx, self._with_its_incident(tx, link, late, now), now)
        entry = line(late, "incident.opened_late", now, {"side": Side.PAGERDUTY.value})
        self.links.write_timeline(tx, [entry])

    def _result(
        self,
        link: Link,
        side: Side,
        effect: Effect,
        reply: Reply[Facts],
        target: str,
        now: datetime,
        began: datetime | None,
        survivor: SideState | None,
    ) -> Result:
        """What the reply means. Where nobody was asked, nothing was tried: the link stays as it is."""
        if isinstance(reply, Held) and reply.reason in NOT_ASKED:
            after = reply.after_seconds or 0.0
            after = turned_away(after, self.jitter()) if reply.reason == BUDGET_SPENT else after
            return Result(without_call(link, side, effect), EffectOutcome.HELD, "delivery.waited", after, reply.reason)
        result = record(link, side, effect, reply, now, self.jitter(), began, self.writer.has_api_key(), survivor)
        soon = self.target_health.retry_soon(target, effect, reply, self.jitter())
        if soon is not None and result.again_after is not None:
            result = replace(result, again_after=min(result.again_after, soon))
        return result

    def _again(
        self, tx: Tx, link: Link, side: Side, effect: Effect, after: float, held: float, since: datetime
    ) -> None:
        """Later, unless something more urgent is pending by then, or already now; but never beyond the end of a hold
        (``held``: in so many seconds)."""
        after = min(after, held) if held else after
        delivery = replace(link.delivery(side), seq=link.delivery(side).seq + 1)
        due_at = self.clock() + timedelta(seconds=after)
        delivery = replace(delivery, waits_for=named(effect), due_at=due_at)
        delivery = self.writer.holding(delivery, after) if held and is_held(effect) else delivery
        link = self.writer.save(tx, link.with_delivery(side, delivery), since)
        if link.delivery(side).seq == delivery.seq:
            self.writer.submit(tx, [self.writer.order(link, side, delivery.seq, effect, after)])

    def _yield_turn(self, link_id: LinkId, side: Side, seq: int) -> EffectOutcome:
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            since = link.delivery(side).since or self.clock()
            if _is_due(link, side, seq):
                effect, held = self.writer.next_effect(tx, link, side)
                if effect is not None:
                    self._again(tx, link, side, effect, 0.0, held, since)
                else:
                    self._next(tx, link, side, since, (effect, held))
        return EffectOutcome.YIELDED

    def _write_down(self, tx: Tx, result: Result, side: Side, effect: Effect, now: datetime, took: int) -> None:
        if result.reason in NOT_ASKED:
            return
        delivery = result.link.delivery(side)
        facts: dict[str, Any] = {"side": side.value, "outcome": result.outcome, "attempt": delivery.attempt}
        if took:
            facts["took_ms"] = took
        if result.reason:
            facts["reason"] = result.reason
        facts |= _said(result)
        if result.outcome not in WAITS or delivery.attempt == 1:
            self.links.write_timeline(tx, [line(result.link, result.event, now, facts)])
        if result.dead:
            self.links.add_dead_letter(tx, _dead_letter(result, side, effect, now))

    def _report(self, result: Result, side: Side, effect: Effect, since: datetime, now: datetime) -> None:
        target = self.writer.target(result.link, side)
        reason = result.reason.partition(":")[0]
        dead_letter = _dead_letter(result, side, effect, now) if result.dead else None
        self.meter.called(target, reason or result.outcome)
        if dead_letter:
            self.meter.parked(dead_letter.counted_as, reason)
        if result.outcome is EffectOutcome.DONE:
            self.meter.delivered(target, (now - since).total_seconds())
        self._log(result, side, effect, page=dead_letter is not None and dead_letter.is_page)

    def _count_page(self, before: Link, result: Result, effect: Effect, seconds: float) -> None:
        """An incident counts once: when its id is known, or, where no id is ever known, when the event was taken."""
        decision = result.link.decision
        if decision is None or decision.urgency is None:
            return
        is_known = before.incident_id is None and result.link.incident_id is not None
        is_sent = isinstance(effect, OpenIncident) and result.outcome is EffectOutcome.DONE
        if is_known or (is_sent and not self.writer.has_api_key()):
            self.meter.paged(decision.urgency, seconds)

    def _log(self, result: Result, side: Side, effect: Effect, page: bool) -> None:
        """A page that will not go out is as loud as it gets; waiting for our turn is nothing to wake anybody for."""
        say = {EffectOutcome.DONE: log.info, EffectOutcome.RETRY: log.warning}.get(result.outcome, log.error)
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


def _again_after(result: Result, effect: Effect, pending: Effect | None) -> float | None:
    """Seconds; None = at once. After what went well only what is read again has to wait."""
    if result.outcome is not EffectOutcome.DONE:
        return result.again_after
    if not isinstance(pending, ReadIncident | ReadAlert | LookForIncident):
        return None
    confirms = isinstance(pending, ReadIncident) and isinstance(effect, SetIncident)
    return CONFIRM_DELAY if confirms else result.again_after


def _said(result: Result) -> dict[str, str]:
    """The first line of the partner's own words about a final no."""
    return {"said": result.detail.splitlines()[0][:MAX_SAID_CHARS]} if result.detail.strip() else {}


def _dead_letter(result: Result, side: Side, effect: Effect, now: datetime) -> DeadLetter:
    attempts, link_id = result.link.delivery(side).attempt, result.link.link_id
    return DeadLetter(0, "effect", result.reason, now, attempts, result.detail, link_id, side, effect=named(effect))


def _is_due(link: Link, side: Side, seq: int) -> bool:
    """Whether this is the delivery that is outstanding; any other has been done or overtaken."""
    delivery = link.delivery(side)
    return delivery.outstanding and delivery.seq == seq


# ----------------------------------------------------------------------------------------------------- failed delivery

# Nothing is judged here and no partner is called: whatever broke the delivery must not break this.

REASON = "delivery_broke"
UNREADABLE = "the link itself cannot be read"


@dataclass(frozen=True)
class DeadLetterFailedDelivery:
    """Writes the dead letter and ends the delivery, together or not at all."""

    transactions: Transactions
    links: Links
    meter: Meter
    clock: Clock = utc_now

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

    def _write(self, tx: Tx, link_id: LinkId, side: Side, seq: int, reason: str) -> DeadLetter | None:
        """The dead letter about what was given up; None if nothing was. Whether it is a page cannot be known: it names
        no effect."""
        now = self.clock()
        dead_letter = DeadLetter(0, "effect", reason, now, 0, "", link_id, side)
        try:
            link = self.links.get(tx, link_id)
        except (KeyError, ValueError):  # gone, or unreadable: worth a dead letter though no delivery can be ended
            dead_letter = replace(dead_letter, detail=UNREADABLE)
        else:
            delivery = link.delivery(side)
            if not (delivery.outstanding and delivery.seq == seq):
                return None
            dead_letter = replace(dead_letter, attempts=delivery.attempt)
            self._close(tx, link, side, reason, now)
        self.links.add_dead_letter(tx, dead_letter)
        return dead_letter

    def _close(self, tx: Tx, link: Link, side: Side, reason: str, now: datetime) -> None:
        delivery = link.delivery(side)
        dead = replace(delivery, dead=reason, attempt=0, failing="", failing_since=None)
        link = without_outstanding(link.with_delivery(side, dead), side)
        if side is Side.PAGERDUTY:  # its call may have been made: whoever goes on looks first
            link = replace(link, open_tried=True)
        self.links.save(tx, link)
        self.links.write_timeline(tx, [line(link, "delivery.dead", now, {"side": side.value, "reason": reason})])
