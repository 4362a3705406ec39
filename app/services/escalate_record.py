"""Writes down what came of a climb's turn: the climb, its links' history, the time line, the log, the counters.

Whatever was read before is compared with what stands there now; if a word came in between, nothing is written and the
climb is looked at once more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from app.domain.escalation import Climb, Move, finished, level_at
from app.domain.escalation_answer import Setback, moved, set_back, skipped
from app.domain.link import Moment, remembering
from app.domain.names import IncidentId, Side
from app.domain.outcome import Held, Refused, Retry
from app.ports import Climbs, Letter, Links, Meter, Transactions, Tx
from app.services.escalations import coming, line

log = structlog.get_logger()

OVERTAKEN, RAISED = "overtaken", "urgency_raised"
SAY = {"retry": log.warning, "held": log.error, "waited": log.debug}


@dataclass(frozen=True)
class Record:
    """One transaction a method; each answers an outcome word."""

    transactions: Transactions
    climbs: Climbs
    links: Links
    meter: Meter

    def stopped(self, before: Climb, after: Climb, now: datetime) -> str:
        """Nothing is moved, and the climb says why; or it waits for another moment."""
        stops = after.reason not in ("", before.reason)
        if not self._swap(before, after, now, "escalation.stopped" if stops else "", coming(after)):
            return OVERTAKEN
        if stops:
            self.meter.escalated(after.reason)
            log.info("escalation.stopped", **_about(after), because=after.reason)
        return after.reason or "waits"

    def skipped(self, before: Climb, climb: Climb, move: Move, now: datetime, reason: str) -> str:
        """Nobody is on call there: the next level is due now."""
        after = skipped(climb, move, now, reason)
        facts = {"because": reason, **_where(move)}
        if not self._swap(before, after, now, "escalation.skipped", facts):
            return OVERTAKEN
        self.meter.escalated(reason)
        log.warning("escalation.skipped", **_about(after), **facts)
        return "skipped"

    def ended(self, before: Climb, climb: Climb, reason: str, move: Move, now: datetime) -> str:
        """The policy goes no higher."""
        facts = {"because": reason, **_where(move)}
        if not self._swap(before, finished(replace(climb, move=None), reason), now, "escalation.stopped", facts):
            return OVERTAKEN
        self.meter.escalated(reason)
        log.warning("escalation.stopped", **_about(before), **facts)
        return reason

    def intent(self, before: Climb, climb: Climb, move: Move, now: datetime) -> Climb | None:
        """Commit what is about to be asked, before it is asked; None when somebody was faster."""
        after = replace(climb, move=move)
        return after if self._swap(before, after, now) else None

    def moved(self, incident_id: IncidentId, move: Move, at: datetime, now: datetime, found: bool = False) -> str:
        """It was moved ``at`` that time. A word that came meanwhile stays: what was done was done."""
        with self.transactions.begin() as tx:
            links = self.links.by_incident(tx, incident_id)
            before = self.climbs.find(tx, incident_id)
            if before is None or before.move != move:
                return OVERTAKEN
            after = moved(before, move, at)
            self.climbs.save(tx, after, now)
            done = Moment(at, "escalated", Side.PAGERDUTY, received_at=now)
            for link in links:
                self.links.save(tx, remembering(link, done))
            facts = _where(move) | {"late_seconds": _late(before, at)} | ({"found": True} if found else {})
            self.links.write_timeline(tx, [line(after, "incident.escalated", at, facts)])
        self.meter.escalated("moved")
        log.info("incident.escalated", **_about(after), **facts)
        return "moved"

    def raised(self, climb: Climb, now: datetime) -> str:
        """Its urgency is high now. Nothing about the climb changes: the next look shows it."""
        with self.transactions.begin() as tx:
            facts = {"urgency": "high", "level": climb.next_level}
            self.links.write_timeline(tx, [line(climb, "escalation.urgency_raised", now, facts)])
        log.info("escalation.urgency_raised", **_about(climb))
        return RAISED

    def set_back(
        self, read: Climb, reply: Retry | Held | Refused, now: datetime, dice: float, answered: bool = False
    ) -> str:
        """A call failed: later, or a dead letter. ``read``: the climb it was made for; one that began anew or was armed
        anew meanwhile knows nothing of it. ``answered``: the reply says clearly that the move written down was not
        made; whatever any other call says, it may have been."""
        with self.transactions.begin() as tx:
            before = self.climbs.find(tx, read.incident_id)
            if before is None or before.due_at is None or _turn(before) != _turn(read):
                return OVERTAKEN
            if answered and before.move == read.move:
                before = replace(before, move=None)
            result = set_back(before, reply, now, dice)
            self.climbs.save(tx, self._written(tx, before, result, now), now)
        self._tell_setback(result)
        return result.outcome

    def _written(self, tx: Tx, before: Climb, result: Setback, now: datetime) -> Climb:
        facts = {"level": before.next_level, "outcome": result.outcome, "reason": result.reason}
        if result.outcome == "refused":
            effect = f"Escalate level {before.next_level} of {before.incident_id}"
            letter = Letter(
                0, "escalation", result.reason, now, before.attempt, result.detail, before.link_id, effect=effect
            )
            self.links.write_timeline(tx, [line(before, "escalation.refused", now, facts)])
            return replace(result.climb, letter_id=self.links.add_letter(tx, letter))
        if result.climb.attempt == 1 and result.outcome != "waited":
            self.links.write_timeline(tx, [line(before, "escalation.retried", now, facts)])
        return result.climb

    def _tell_setback(self, result: Setback) -> None:
        """A move that will not be made is as loud as a page that will not go out."""
        refused = result.outcome == "refused"
        if refused:
            self.meter.escalated("refused")
            self.meter.parked("escalation", result.reason.partition(":")[0])
        say = log.critical if refused else SAY[result.outcome]
        event = "escalation.refused" if refused else "escalation.retried"
        say(event, **_about(result.climb), reason=result.reason, due_at=result.climb.due_at)

    def _swap(
        self, before: Climb, after: Climb, now: datetime, event: str = "", facts: Mapping[str, Any] | None = None
    ) -> bool:
        with self.transactions.begin() as tx:
            if self.climbs.find(tx, before.incident_id) != before:
                return False
            self.climbs.save(tx, after, now)
            if event:
                self.links.write_timeline(tx, [line(after, event, now, facts or {})])
        return True


def _turn(climb: Climb) -> tuple[object, ...]:
    """Which level of which climb, since when: what a failure is about."""
    return climb.state, climb.course, climb.clock_at, climb.fired


def _where(move: Move) -> dict[str, Any]:
    return {"level": move.level, "policy": move.policy_id, "policy_level": move.to_level}


def _late(climb: Climb, at: datetime) -> float:
    due = level_at(climb)
    return round(max(0.0, (at - due).total_seconds()), 3) if due else 0.0


def _about(climb: Climb) -> dict[str, Any]:
    return {"incident_id": climb.incident_id, "link_id": climb.link_id, "alert_id": climb.alert_id}
