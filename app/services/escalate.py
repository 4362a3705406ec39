"""Use case: a level's time is up. Read where the incident stands, decide, write down what is about to be asked, ask.

A kill may fall between any two steps. Before the move is written down nothing has happened; after it, the next look
tells whether the move was made (``has_arrived``), and only what was not made is made. The level asked for is a number,
not "one more", so even a move that is made twice raises nobody twice.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog

from app.domain.account import OnCall
from app.domain.damping import held_seconds
from app.domain.escalation import Climb, Move, State, finished
from app.domain.escalation_step import Skip, has_arrived, is_beyond, is_low, looked, next_move, policy_of
from app.domain.incident import IncidentFacts
from app.domain.names import IncidentId, Side, Status, Urgency
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.ports import Climbs, Links, Meter, StoreUnavailable, Transactions
from app.ports.escalations import Moves, Policies, Standing
from app.services.escalate_record import OVERTAKEN, RAISED, Record
from app.services.escalations import status_of

log = structlog.get_logger()
T = TypeVar("T")

TARGET = "pagerduty-rest"
STEPS = 30
"""Looks in one go: one for each level that is skipped, and some for words that come in between."""
STALE = timedelta(seconds=10)
"""A move that was written down longer ago is not made: this process may have been stopped, and another gone on."""
NOBODY = "nobody_on_call"
NOT_KEPT = "urgency_not_kept"
"""PagerDuty said yes to a high urgency and shows a low one."""


@dataclass(frozen=True)
class Desk:
    """The ways to PagerDuty. None without an API key: what needs one is held until a person sets it."""

    incidents: Standing
    account: Policies
    responders: Moves


@dataclass
class Escalate:
    """Does what is due for one incident."""

    transactions: Transactions
    climbs: Climbs
    links: Links
    desk: Desk | None
    meter: Meter
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    dice: Callable[[], float] = random.random

    def __call__(self, incident_id: IncidentId) -> str:
        """The outcome word. Safe to run again after any crash. Raises ``StoreUnavailable``."""
        outcome, raised = "not_due", False
        for _ in range(STEPS):
            found = self._due(incident_id)
            if found is None:
                return outcome
            outcome = self._turn(*found, raised)
            raised = raised or outcome == RAISED
            if outcome not in (OVERTAKEN, "skipped", "moved", RAISED):
                return outcome
        return outcome

    def _turn(self, climb: Climb, ours: Status | None, held: float, raised: bool) -> str:
        try:
            return self._look(climb, ours, held, raised)
        except StoreUnavailable:
            raise
        except Exception as fault:
            log.exception("escalation.broke", incident_id=climb.incident_id)
            return self._set_back(climb, Retry(f"bug:{type(fault).__name__}", unclear=True))

    @property
    def record(self) -> Record:
        """What writes down."""
        return Record(self.transactions, self.climbs, self.links, self.meter)

    def _due(self, incident_id: IncidentId) -> tuple[Climb, Status | None, float] | None:
        """The climb, what its links say, and for how many seconds their resolve is still held back."""
        with self.transactions.read() as tx:
            climb, now = self.climbs.peek(tx, incident_id), self.clock()
            if climb is None or climb.due_at is None or climb.due_at > now:
                return None
            links = self.links.by_incident(tx, incident_id)
            held = held_seconds(links[0], Side.PAGERDUTY, links, now) if links else 0.0
            return climb, status_of(links) if links and not held else None, held

    def _look(self, climb: Climb, ours: Status | None, held: float, raised: bool) -> str:
        """One look, and at most one move. While the alert's resolve is held back nobody is moved, and nothing is over:
        it may come back."""
        if self.desk is None:
            return self._set_back(climb, Held("no_pagerduty_api_key"))
        reply = self._called(self.desk.incidents.get(climb.incident_id))
        if not isinstance(reply, Done):
            return self._set_back(climb, reply)
        facts = reply.value
        if climb.move is not None:
            arrived = self._has_arrived(self.desk, climb.move, facts)
            if not isinstance(arrived, Done):
                return self._set_back(climb, arrived)
            if arrived.value:
                return self.record.moved(climb.incident_id, climb.move, climb.move.begun_at, self.clock(), found=True)
        now = self.clock()
        after = looked(climb, facts, ours, now)
        if after.state is not State.RUNNING or after.due_at is None or after.due_at > now:
            return self.record.stopped(climb, after, now)
        if held:
            return self.record.stopped(climb, replace(after, due_at=now + timedelta(seconds=held)), now)
        if is_low(after, facts):
            return self._low(self.desk, climb, after, now, raised)
        return self._climb(self.desk, climb, after, facts)

    def _low(self, desk: Desk, before: Climb, climb: Climb, now: datetime, raised: bool) -> str:
        """PagerDuty escalates nothing of low urgency. Raised once in a go: what it does not keep is tried later."""
        if not climb.course.raise_urgency:
            return self.record.stopped(before, finished(climb, "low_urgency"), now)
        if raised:
            return self._set_back(before, Retry(NOT_KEPT))
        reply = self._called(desk.responders.escalate(climb.incident_id, urgency=Urgency.HIGH))
        if not isinstance(reply, Done):
            return self._set_back(before, reply)
        if reply.value.urgency != Urgency.HIGH.value:
            return self._set_back(before, Retry(NOT_KEPT))
        return RAISED if before.failing == NOT_KEPT else self.record.raised(before, self.clock())

    def _climb(self, desk: Desk, before: Climb, climb: Climb, facts: IncidentFacts) -> str:
        policy_id = policy_of(climb, facts)
        if not policy_id:
            return self._set_back(before, Refused("no_policy", 0))
        on_call = self._called(desk.account.on_call(policy_id))
        if not isinstance(on_call, Done):
            return self._set_back(before, on_call)
        now = self.clock()
        step = next_move(climb, facts, on_call.value, now)
        if isinstance(step, Skip):
            return self._skip(desk, before, climb, step.move)
        asked = self.record.intent(before, climb, step.move, now)
        return OVERTAKEN if asked is None else self._go(desk, asked, step.move)

    def _skip(self, desk: Desk, before: Climb, climb: Climb, move: Move) -> str:
        """Nobody is on call there, unless there is no such level or no such policy at all."""
        policy = self._called(desk.account.policy(move.policy_id))
        if isinstance(policy, Refused):
            reason = "policy_not_found" if policy.status == 404 else policy.reason
            return self._set_back(before, Refused(reason, policy.status, policy.code, policy.detail))
        if not isinstance(policy, Done):
            return self._set_back(before, policy)
        now = self.clock()
        if is_beyond(move, policy.value):
            return self.record.ended(before, climb, "no_such_level", move, now)
        return self.record.skipped(before, climb, move, now, NOBODY)

    def _go(self, desk: Desk, climb: Climb, move: Move) -> str:
        if self.clock() - move.begun_at > STALE:
            return OVERTAKEN
        level = None if move.puts and move.to_level == 1 else move.to_level
        put = move.policy_id if move.puts else None
        reply = self._called(desk.responders.escalate(climb.incident_id, policy_id=put, level=level))
        match reply:
            case Done():
                now = self.clock()
                return self.record.moved(climb.incident_id, move, now, now)
            case Refused(reason) if reason == NOBODY:
                return self.record.skipped(climb, climb, move, self.clock(), NOBODY)
            case Refused():
                return self._refused(desk, climb, move, reply)
            case _:
                return self._set_back(climb, reply, answered=not (isinstance(reply, Retry) and reply.unclear))

    def _refused(self, desk: Desk, climb: Climb, move: Move, no: Refused) -> str:
        """A no may only say that the incident is not what it was when it was read: then that is what counts."""
        reply = self._called(desk.incidents.get(climb.incident_id))
        if isinstance(reply, Retry | Held):
            return self._set_back(climb, reply)
        if isinstance(reply, Refused):
            return self._set_back(climb, no, answered=True)
        arrived = self._has_arrived(desk, move, reply.value)
        if isinstance(arrived, Done) and arrived.value:
            return self.record.moved(climb.incident_id, move, move.begun_at, self.clock(), found=True)
        now = self.clock()
        after = looked(climb, reply.value, None, now)
        if after.state is not State.RUNNING:
            return self.record.stopped(climb, after, now)
        return self._set_back(climb, no, answered=True)

    def _has_arrived(self, desk: Desk, move: Move, facts: IncidentFacts) -> Reply[bool]:
        people: Reply[tuple[OnCall, ...]] = Done(())
        if move.policy_id == facts.escalation_policy_id and not (move.puts and move.to_level == 1):
            people = self._called(desk.account.on_call(move.policy_id))
        return Done(has_arrived(move, facts, people.value)) if isinstance(people, Done) else people

    def _set_back(self, climb: Climb, reply: Retry | Held | Refused, answered: bool = False) -> str:
        return self.record.set_back(climb, reply, self.clock(), self.dice(), answered)

    def _called(self, reply: Reply[T]) -> Reply[T]:
        self.meter.called(TARGET, "done" if isinstance(reply, Done) else reply.reason.partition(":")[0])
        return reply
