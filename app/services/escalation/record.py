"""Writes down what came of an escalation's turn: the escalation, its links' history, the time line, the log, the
counters.

Whatever was read before is compared with what stands there now; if an event came in between, nothing is written and the
escalation is looked at once more.

Use case: an open incident that nobody armed is armed: an older worker opened it, or it was there before the levels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog

from app.domain.escalation.state import Escalation, Move, finished, level_at
from app.domain.escalation.steps import Failure, Setback, moved, set_back, skipped
from app.domain.model.outcome import Held, Refused, Retry
from app.domain.model.types import IncidentId, Side
from app.domain.sync.link import HistoryEntry, remembering
from app.ports import Clock, DeadLetter, EscalationStore, Links, Meter, PeriodicTask, Transactions, Tx, utc_now
from app.services.escalation.on_event import Escalations, coming, line, wants_escalation
from app.services.sync.link_writer import took_ms

log = structlog.get_logger()


class Turn(StrEnum):
    """What came of an escalation's turn; else it is the reason why it stopped, or a ``Failure``."""

    MOVED = "moved"
    SKIPPED = "skipped"
    RAISED = "urgency_raised"
    OVERTAKEN = "overtaken"
    """Somebody was faster, and nothing was written."""
    WAITS = "waits"


LEVELS = {Failure.RETRY: "warning", Failure.HELD: "error", Failure.WAITED: "debug", Failure.REFUSED: "critical"}
"""Names, not methods: a method taken from the logger at import keeps the configuration of before the start."""
LOOK_AGAIN = frozenset({Turn.MOVED, Turn.SKIPPED, Turn.RAISED, Turn.OVERTAKEN})


@dataclass(frozen=True)
class Record:
    """One transaction a method; each answers what came of the turn."""

    transactions: Transactions
    escalation_store: EscalationStore
    links: Links
    meter: Meter

    def stopped(self, before: Escalation, after: Escalation, now: datetime) -> str:
        """Nothing is moved, and the escalation says why; or it waits for another moment."""
        stops = after.reason not in ("", before.reason)
        if not self._swap(before, after, now, "escalation.stopped" if stops else "", coming(after)):
            return Turn.OVERTAKEN
        if stops:
            self.meter.escalated(after.reason)
            log.info("escalation.stopped", **_about(after), because=after.reason)
        return after.reason or Turn.WAITS

    def skipped(self, before: Escalation, escalation: Escalation, move: Move, now: datetime, reason: str) -> str:
        """Nobody is on call there: the next level is due now."""
        after, facts = skipped(escalation, move, now, reason), {"because": reason, **_where(move)}
        if not self._swap(before, after, now, "escalation.skipped", facts):
            return Turn.OVERTAKEN
        self.meter.escalated(reason)
        log.warning("escalation.skipped", **_about(after), **facts)
        return Turn.SKIPPED

    def ended(self, before: Escalation, escalation: Escalation, reason: str, move: Move, now: datetime) -> str:
        """The policy goes no higher."""
        after, facts = finished(replace(escalation, move=None), reason), {"because": reason, **_where(move)}
        if not self._swap(before, after, now, "escalation.stopped", facts):
            return Turn.OVERTAKEN
        self.meter.escalated(reason)
        log.warning("escalation.stopped", **_about(before), **facts)
        return reason

    def intent(self, before: Escalation, escalation: Escalation, move: Move, now: datetime) -> Escalation | None:
        """Commit what is about to be asked, before it is asked; None when somebody was faster."""
        after = replace(escalation, move=move)
        return after if self._swap(before, after, now) else None

    def moved(
        self, incident_id: IncidentId, move: Move, now: datetime, found: bool = False, began: datetime | None = None
    ) -> str:
        """It was moved now, by a call that ``began`` then, or (``found`` by a read) when it was asked. An event that
        came meanwhile stays: what was done was done."""
        at = move.begun_at if found else now
        with self.transactions.begin() as tx:
            links = self.links.by_incident(tx, incident_id)
            before = self.escalation_store.find(tx, incident_id)
            if before is None or before.move != move:
                return Turn.OVERTAKEN
            after = moved(before, move, at)
            self.escalation_store.save(tx, after, now)
            done = HistoryEntry(at, "escalated", Side.PAGERDUTY, received_at=now)
            for link in links:
                self.links.save(tx, remembering(link, done))
            due = level_at(before)
            late = round(max(0.0, (at - due).total_seconds()), 3) if due else 0.0
            facts = _where(move) | {"late_seconds": late} | ({"found": True} if found else {})
            if took := took_ms(began, now):
                facts["took_ms"] = took
            self.links.write_timeline(tx, [line(after, "incident.escalated", at, facts)])
        self.meter.escalated("moved")
        log.info("incident.escalated", **_about(after), **facts)
        return Turn.MOVED

    def raised(self, escalation: Escalation, now: datetime) -> str:
        """Its urgency is high now. Nothing about the escalation changes: the next read shows it."""
        with self.transactions.begin() as tx:
            facts = {"urgency": "high", "level": escalation.next_level}
            self.links.write_timeline(tx, [line(escalation, "escalation.urgency_raised", now, facts)])
        log.info("escalation.urgency_raised", **_about(escalation))
        return Turn.RAISED

    def set_back(
        self, read: Escalation, reply: Retry | Held | Refused, now: datetime, jitter: float, answered: bool = False
    ) -> str:
        """A call failed: later, or a dead letter. ``read``: the escalation it was made for; one that began anew or was
        armed anew meanwhile knows nothing of it. ``answered``: the reply says clearly that the move written down was
        not made; whatever any other call says, it may have been."""
        with self.transactions.begin() as tx:
            before = self.escalation_store.find(tx, read.incident_id)
            if before is None or before.due_at is None or _turn(before) != _turn(read):
                return Turn.OVERTAKEN
            if answered and before.move == read.move:
                before = replace(before, move=None)
            result = set_back(before, reply, now, jitter)
            self.escalation_store.save(tx, self._written(tx, before, result, now), now)
        self._report_setback(result)
        return result.outcome

    def _written(self, tx: Tx, before: Escalation, result: Setback, now: datetime) -> Escalation:
        facts = {"level": before.next_level, "outcome": result.outcome, "reason": result.reason}
        if result.outcome is Failure.REFUSED:
            effect = f"Escalate level {before.next_level} of {before.incident_id}"
            dead_letter = DeadLetter(
                0, "escalation", result.reason, now, before.attempt, result.detail, before.link_id, effect=effect
            )
            self.links.write_timeline(tx, [line(before, "escalation.refused", now, facts)])
            return replace(result.escalation, dead_letter_id=self.links.add_dead_letter(tx, dead_letter))
        if result.escalation.attempt == 1 and result.outcome is not Failure.WAITED:
            self.links.write_timeline(tx, [line(before, "escalation.retried", now, facts)])
        return result.escalation

    def _report_setback(self, result: Setback) -> None:
        """A move that will not be made is as loud as a page that will not go out."""
        event = "escalation.retried"
        if result.outcome is Failure.REFUSED:
            event = "escalation.refused"
            self.meter.escalated("refused")
            self.meter.parked("escalation", result.reason.partition(":")[0])
        due_at = result.escalation.due_at
        getattr(log, LEVELS[result.outcome])(event, **_about(result.escalation), reason=result.reason, due_at=due_at)

    def _swap(
        self,
        before: Escalation,
        after: Escalation,
        now: datetime,
        event: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> bool:
        with self.transactions.begin() as tx:
            if self.escalation_store.find(tx, before.incident_id) != before:
                return False
            self.escalation_store.save(tx, after, now)
            if event:
                self.links.write_timeline(tx, [line(after, event, now, facts or {})])
        return True


def _turn(escalation: Escalation) -> tuple[object, ...]:
    """Which level of which escalation, since when: what a failure is about."""
    return escalation.state, escalation.plan, escalation.clock_at, escalation.levels_done


def _where(move: Move) -> dict[str, Any]:
    return {"level": move.level, "policy": move.policy_id, "policy_level": move.to_level}


def _about(escalation: Escalation) -> dict[str, Any]:
    return {"incident_id": escalation.incident_id, "link_id": escalation.link_id, "alert_id": escalation.alert_id}


# Whoever learns of an incident arms it in the same transaction (``on_event``); a worker that knows nothing of levels
# does not. The leader checks without waiting for an event: what needs an escalation most, nobody talks of.

EVERY_SECONDS = 60.0
YOUNG = timedelta(days=1)
"""Alerts first seen longer ago are left alone: whoever adds levels wakes nobody for old matters. It is less than a
finished escalation is kept (three days at least), so none that has been is armed again."""


@dataclass(frozen=True)
class ArmMissed:
    """Arms what is open and has no escalation."""

    transactions: Transactions
    escalation_store: EscalationStore
    escalations: Escalations
    clock: Clock = utc_now

    def __call__(self) -> int:
        """How many were armed. Safe to run again after any crash. Raises ``StoreUnavailable``."""
        if not self.escalations.has_levels():
            return 0
        with self.transactions.read() as tx:
            links = self.escalation_store.without_escalation(tx, self.clock() - YOUNG)
        wanted = dict.fromkeys(link.incident_id for link in links if link.incident_id and wants_escalation(link))
        armed = 0
        for incident_id in wanted:
            with self.transactions.begin() as tx:
                armed += self.escalations.found(tx, incident_id, self.clock())
        if armed:
            log.info("escalations.found", armed=armed)
        return armed


def missed_task(arm: Callable[[], object]) -> PeriodicTask:
    """The read as a periodic task of the leader."""
    return PeriodicTask("escalation-missed", EVERY_SECONDS, arm)
