"""Use case: a level's time is up. Read where the incident stands, decide, write down what is about to be asked, ask.

A kill may fall between any two steps. Before the move is written down nothing has happened; after it, the next read
tells whether the move was made (``has_arrived``), and only what was not made is made. The level asked for is a number,
not "one more", so even a move that is made twice raises nobody twice.

What is due is done, several incidents at a time: a slow one delays no other.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from app.domain.escalation.state import Escalation, Move, State, finished
from app.domain.escalation.steps import Skip, after_read, has_arrived, is_low, next_move, policy_of
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.pagerduty_account import OnCall
from app.domain.model.types import IncidentId, Side, Status, Urgency
from app.domain.sync.effects import held_seconds
from app.ports import Clock, EscalationStore, Links, Meter, PeriodicTask, StoreUnavailable, Transactions, utc_now
from app.ports.partners import Moves, Policies, Standing
from app.services.escalation.on_event import status_of
from app.services.escalation.record import LOOK_AGAIN, Record, Turn

log = structlog.get_logger()
T = TypeVar("T")

TARGET = "pagerduty-rest"
STEPS = 30
"""Looks in one go: one for each level that is skipped, and some for events that come in between."""
STALE = timedelta(seconds=10)
"""A move that was written down longer ago is not made: this process may have been stopped, and another gone on."""
NOBODY = "nobody_on_call"
URGENCY_NOT_KEPT = "urgency_not_kept"
"""PagerDuty said yes to a high urgency and shows a low one."""


@dataclass(frozen=True)
class PagerDutyPorts:
    """The ways to PagerDuty. None without an API key: what needs one is held until a person sets it."""

    incidents: Standing
    account: Policies
    responders: Moves


@dataclass
class Escalate:
    """Does what is due for one incident."""

    transactions: Transactions
    escalation_store: EscalationStore
    links: Links
    pagerduty: PagerDutyPorts | None
    meter: Meter
    clock: Clock = utc_now
    jitter: Callable[[], float] = random.random

    def __call__(self, incident_id: IncidentId) -> str:
        """The outcome word. Safe to run again after any crash. Raises ``StoreUnavailable``."""
        outcome, raised = "not_due", False
        for _ in range(STEPS):
            found = self._due(incident_id)
            if found is None:
                break
            try:
                outcome = self._read_and_move(*found, raised)
            except StoreUnavailable:
                raise
            except Exception as fault:
                log.exception("escalation.broke", incident_id=incident_id)
                outcome = self._set_back(found[0], Retry(f"bug:{type(fault).__name__}", unclear=True))
            raised = raised or outcome == Turn.RAISED
            if outcome not in LOOK_AGAIN:
                break
        return outcome

    @property
    def record(self) -> Record:
        """What writes down."""
        return Record(self.transactions, self.escalation_store, self.links, self.meter)

    def _due(self, incident_id: IncidentId) -> tuple[Escalation, Status | None, float] | None:
        """The escalation, what its links say, and for how many seconds their resolve is still held back."""
        with self.transactions.read() as tx:
            escalation, now = self.escalation_store.peek(tx, incident_id), self.clock()
            if escalation is None or escalation.due_at is None or escalation.due_at > now:
                return None
            links = self.links.by_incident(tx, incident_id)
            held = held_seconds(links[0], Side.PAGERDUTY, links, now) if links else 0.0
            return escalation, status_of(links) if links and not held else None, held

    def _read_and_move(self, escalation: Escalation, ours: Status | None, held: float, raised: bool) -> str:
        """One read, and at most one move. While the alert's resolve is held back nobody is moved, and nothing is over:
        it may come back."""
        if self.pagerduty is None:
            return self._set_back(escalation, Held("no_pagerduty_api_key"))
        reply = self._called(self.pagerduty.incidents.get(escalation.incident_id))
        if not isinstance(reply, Done):
            return self._set_back(escalation, reply)
        facts = reply.value
        if escalation.move is not None:
            arrived = self._has_arrived(self.pagerduty, escalation.move, facts)
            if not isinstance(arrived, Done):
                return self._set_back(escalation, arrived)
            if arrived.value:
                return self.record.moved(escalation.incident_id, escalation.move, self.clock(), found=True)
        now = self.clock()
        after = after_read(escalation, facts, ours, now)
        if after.state is not State.RUNNING or after.due_at is None or after.due_at > now:
            return self.record.stopped(escalation, after, now)
        if held:
            return self.record.stopped(escalation, replace(after, due_at=now + timedelta(seconds=held)), now)
        if is_low(after, facts):
            return self._low(self.pagerduty, escalation, after, now, raised)
        return self._move_up(self.pagerduty, escalation, after, facts)

    def _low(
        self, pagerduty: PagerDutyPorts, before: Escalation, escalation: Escalation, now: datetime, raised: bool
    ) -> str:
        """PagerDuty escalates nothing of low urgency. Raised once in a go: what it does not keep is tried later."""
        if not escalation.plan.raise_urgency:
            return self.record.stopped(before, finished(escalation, "low_urgency"), now)
        if raised:
            return self._set_back(before, Retry(URGENCY_NOT_KEPT))
        reply = self._called(pagerduty.responders.escalate(escalation.incident_id, urgency=Urgency.HIGH))
        if not isinstance(reply, Done):
            return self._set_back(before, reply)
        if reply.value.urgency != Urgency.HIGH.value:
            return self._set_back(before, Retry(URGENCY_NOT_KEPT))
        return Turn.RAISED if before.failing == URGENCY_NOT_KEPT else self.record.raised(before, self.clock())

    def _move_up(
        self, pagerduty: PagerDutyPorts, before: Escalation, escalation: Escalation, facts: IncidentFacts
    ) -> str:
        policy_id = policy_of(escalation, facts)
        if not policy_id:
            return self._set_back(before, Refused("no_policy", 0))
        on_call = self._called(pagerduty.account.on_call(policy_id))
        if not isinstance(on_call, Done):
            return self._set_back(before, on_call)
        now = self.clock()
        step = next_move(escalation, facts, on_call.value, now)
        if isinstance(step, Skip):
            return self._skip(pagerduty, before, escalation, step.move)
        asked = self.record.intent(before, escalation, step, now)
        return Turn.OVERTAKEN if asked is None else self._go(pagerduty, asked, step)

    def _skip(self, pagerduty: PagerDutyPorts, before: Escalation, escalation: Escalation, move: Move) -> str:
        """Nobody is on call there, unless there is no such level or no such policy at all."""
        policy = self._called(pagerduty.account.policy(move.policy_id))
        if isinstance(policy, Refused):
            reason = "policy_not_found" if policy.status == 404 else policy.reason
            return self._set_back(before, Refused(reason, policy.status, policy.code, policy.detail))
        if not isinstance(policy, Done):
            return self._set_back(before, policy)
        now = self.clock()
        if move.to_level > len(policy.value.levels):
            return self.record.ended(before, escalation, "no_such_level", move, now)
        return self.record.skipped(before, escalation, move, now, NOBODY)

    def _go(self, pagerduty: PagerDutyPorts, escalation: Escalation, move: Move) -> str:
        if self.clock() - move.begun_at > STALE:
            return Turn.OVERTAKEN
        level = None if move.puts and move.to_level == 1 else move.to_level
        put = move.policy_id if move.puts else None
        began = self.clock()
        reply = self._called(pagerduty.responders.escalate(escalation.incident_id, policy_id=put, level=level))
        match reply:
            case Done():
                return self.record.moved(escalation.incident_id, move, self.clock(), began=began)
            case Refused(reason) if reason == NOBODY:
                return self.record.skipped(escalation, escalation, move, self.clock(), NOBODY)
            case Refused():
                return self._refused(pagerduty, escalation, move, reply)
            case _:
                return self._set_back(escalation, reply, answered=not (isinstance(reply, Retry) and reply.unclear))

    def _refused(self, pagerduty: PagerDutyPorts, escalation: Escalation, move: Move, no: Refused) -> str:
        """A no may only say that the incident is not what it was when it was read: then that is what counts."""
        reply = self._called(pagerduty.incidents.get(escalation.incident_id))
        if isinstance(reply, Retry | Held):
            return self._set_back(escalation, reply)
        if isinstance(reply, Refused):
            return self._set_back(escalation, no, answered=True)
        arrived = self._has_arrived(pagerduty, move, reply.value)
        if isinstance(arrived, Done) and arrived.value:
            return self.record.moved(escalation.incident_id, move, self.clock(), found=True)
        now = self.clock()
        after = after_read(escalation, reply.value, None, now)
        if after.state is not State.RUNNING:
            return self.record.stopped(escalation, after, now)
        return self._set_back(escalation, no, answered=True)

    def _has_arrived(self, pagerduty: PagerDutyPorts, move: Move, facts: IncidentFacts) -> Reply[bool]:
        people: Reply[tuple[OnCall, ...]] = Done(())
        if move.policy_id == facts.escalation_policy_id and not (move.puts and move.to_level == 1):
            people = self._called(pagerduty.account.on_call(move.policy_id))
        return Done(has_arrived(move, facts, people.value)) if isinstance(people, Done) else people

    def _set_back(self, escalation: Escalation, reply: Retry | Held | Refused, answered: bool = False) -> str:
        return self.record.set_back(escalation, reply, self.clock(), self.jitter(), answered)

    def _called(self, reply: Reply[T]) -> Reply[T]:
        self.meter.called(TARGET, "done" if isinstance(reply, Done) else reply.reason.partition(":")[0])
        return reply


EVERY_SECONDS = 0.3
AT_ONCE = 4
"""Incidents in hand at a time."""
REST_SECONDS = 15.0
"""Until one that broke is tried again: it is due all the while, and must not take the turn of the others."""
CALM = timedelta(seconds=1)
"""Where nothing is due within it, nobody looks before it is over."""
DUE_AT_ONCE = 50
"""Due incidents looked up at a time; those in hand are among them."""


@dataclass
class EscalationTask:
    """Starts whatever is due and not in hand. Never waits for it."""

    transactions: Transactions
    escalation_store: EscalationStore
    escalate: Callable[[IncidentId], str]
    clock: Clock = utc_now
    _in_hand: set[IncidentId] = field(default_factory=set)
    _resting: dict[IncidentId, datetime] = field(default_factory=dict)
    """Those that broke, and until when they are left alone."""
    _calm_since: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> None:
        """One check. Raises ``StoreUnavailable``."""
        now = self.clock()
        if self._calm_since is not None and self._calm_since <= now < self._calm_since + CALM:
            return
        with self._lock:
            self._resting = {resting: until for resting, until in self._resting.items() if now < until}
            at_most = DUE_AT_ONCE + len(self._resting)
        with self.transactions.read() as tx:
            soon = self.escalation_store.due(tx, now + CALM, at_most)
            due = self.escalation_store.due(tx, now, at_most) if soon else ()
        self._calm_since = None if soon else now
        # Not a pool's threads: the end of the process does not wait for these, and what they leave is done again.
        for incident_id in filter(self._take, due):
            threading.Thread(target=self._run, args=[incident_id], name=f"escalate-{incident_id}", daemon=True).start()

    def _take(self, incident_id: IncidentId) -> bool:
        with self._lock:
            if incident_id in self._in_hand or incident_id in self._resting or len(self._in_hand) >= AT_ONCE:
                return False
            self._in_hand.add(incident_id)
            return True

    def _run(self, incident_id: IncidentId) -> None:
        try:
            self.escalate(incident_id)
        except StoreUnavailable as fault:
            log.error("store.unavailable", reason=str(fault)[:200])
        except Exception:
            log.exception("escalation.broke", incident_id=incident_id)
            with self._lock:
                self._resting[incident_id] = self.clock() + timedelta(seconds=REST_SECONDS)
        finally:
            with self._lock:
                self._in_hand.discard(incident_id)


def escalation_task(start_due: Callable[[], None]) -> PeriodicTask:
    """The read as a periodic task of the leader."""
    return PeriodicTask("escalation", EVERY_SECONDS, start_due)
