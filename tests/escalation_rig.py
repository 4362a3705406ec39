"""PagerDuty's people and policies, in memory, on a rig; and the escalation over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.domain.escalation.state import Escalation, EscalationOutcome
from app.domain.model.events import AlertEventType
from app.domain.model.incident import IncidentDraft, IncidentFacts
from app.domain.model.outcome import Done, Refused, Reply
from app.domain.model.pagerduty_account import OnCall, PolicyFacts, PolicyLevel
from app.domain.model.types import IncidentId, Status, Urgency
from app.domain.rules.rulebook import EscalationLevel, EscalationRules, Rulebook
from app.services.escalation.advance import Escalate, PagerDutyPorts
from app.services.escalation.record import ArmMissed
from app.store.escalations import StoredEscalations
from app.store.schema import dead_letters, timeline
from tests.fakes import FakePagerDuty, FakeTruthVouch, SilentMeter
from tests.rig import Rig

ESCALATION = EscalationRules("PMGMT", (EscalationLevel(1, 15, "the team"), EscalationLevel(2, 30, "the manager")))
POLICIES = {"PTEAM": (("ANN",), ("BEN",)), "PMGMT": (("CLEO",), ("DAN",), ("EVE",))}


class Killed(BaseException):
    """kill -9 between two steps: nothing may catch it."""


class PagerDutyWithLevels(FakePagerDuty):
    """Incidents that stand on a level of a policy. ``policies``: id -> the people on call at each level."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.policies: dict[str, tuple[tuple[str, ...], ...]] = dict(POLICIES)
        self.levels: dict[str, int] = {}
        self.moves: list[str] = []
        """What was changed, as it is afterwards: ``Q1 PMGMT/1``."""

    def _new(self, draft: IncidentDraft) -> IncidentFacts:
        made = super()._new(draft)
        return self.stands(made.incident_id, draft.escalation_policy_id or "PTEAM", 1)

    def stands(self, incident_id: str, policy_id: str, level: int) -> IncidentFacts:
        """Put it there, whoever does it."""
        self.levels[incident_id] = level
        people = self.policies[policy_id][level - 1]
        changed = replace(self.incidents[incident_id], escalation_policy_id=policy_id, assignee_ids=people)
        self.incidents[incident_id] = changed
        return changed

    def change(self, incident_id: str, **facts: Any) -> None:
        self.incidents[incident_id] = replace(self.incidents[incident_id], **facts)

    # ------------------------------------------------------------ the responders' port

    def escalate(
        self,
        incident_id: IncidentId,
        *,
        policy_id: str | None = None,
        level: int | None = None,
        urgency: Urgency | None = None,
    ) -> Reply[IncidentFacts]:
        def act() -> Reply[IncidentFacts]:
            facts = self.incidents[incident_id]
            if facts.status is Status.RESOLVED:
                return Refused("already_resolved", 400, 1001)
            if urgency:
                self.change(incident_id, urgency=urgency.value)
                self.moves.append(f"{incident_id} urgency {urgency}")
                return Done(self.incidents[incident_id])
            if policy_id and policy_id not in self.policies:
                return Refused("policy_not_found", 400, 1014)
            if facts.urgency == "low":
                return Refused("cannot_escalate", 400, 1006)
            on, to = policy_id or facts.escalation_policy_id or "", level or 1
            if to > len(self.policies[on]) or not self.policies[on][to - 1]:
                return Refused("nobody_on_call", 400, 1015)
            self.moves.append(f"{incident_id} {on}/{to}")
            return Done(self.stands(incident_id, on, to))

        return self._call("escalate", act)

    # ------------------------------------------------------------ the account's port

    def on_call(self, policy_id: str) -> Reply[tuple[OnCall, ...]]:
        by_level = enumerate(self.policies.get(policy_id, ()), start=1)
        answer = tuple(OnCall(policy_id, level, user, user.title()) for level, people in by_level for user in people)
        return self._call("oncalls", lambda: Done(answer))

    def policy(self, policy_id: str) -> Reply[PolicyFacts]:
        by_level = self.policies.get(policy_id)
        if by_level is None:
            return self._call("policy", lambda: Refused("not_found", 404, 2100))
        levels = tuple(PolicyLevel(30, people) for people in by_level)
        return self._call("policy", lambda: Done(PolicyFacts(policy_id, policy_id, levels)))


@dataclass
class Counted(SilentMeter):
    """Counts escalations."""

    outcomes: list[str] = field(default_factory=list)

    def escalated(self, outcome: str) -> None:
        self.outcomes.append(EscalationOutcome(outcome).value)  # it is one of those that are there from the start


class EscalationRig(Rig):
    """A rig with levels in its rulebook; ``fire`` does what is due."""

    def __init__(self, data_dir: Path, url: str | None = None, escalation: EscalationRules = ESCALATION) -> None:
        super().__init__(data_dir, url=url)
        self.rulebook.rulebook = Rulebook(escalation=escalation)
        self.escalation_store, self.meter = StoredEscalations(), Counted()
        assert isinstance(self.pagerduty, PagerDutyWithLevels)
        self.pd: PagerDutyWithLevels = self.pagerduty
        ports = PagerDutyPorts(self.pd, self.pd, self.pd)
        self.arm_missed = ArmMissed(self.database, self.escalation_store, self.escalations, self.clock)
        self.escalate = Escalate(
            self.database, self.escalation_store, self.links, ports, self.meter, self.clock, jitter=lambda: 0.5
        )

    def far_sides(self) -> tuple[PagerDutyWithLevels, FakeTruthVouch]:
        return PagerDutyWithLevels(self.clock), FakeTruthVouch()

    @property
    def moves(self) -> list[str]:
        return self.pd.moves

    def page(self, alert_id: str = "a1", severity: str = "critical") -> None:
        """An alert, and its incident."""
        self.alert(AlertEventType.CREATED, alert_id=alert_id, severity=severity)
        self.run()
        self.pagerduty.calls.clear()

    def fire(self) -> list[str]:
        """Everything that is due, and what nobody armed; the outcome words."""
        self.arm_missed()
        with self.database.read() as tx:
            due = self.escalation_store.due(tx, self.clock(), 100)
        return [self.escalate(incident_id) for incident_id in due]

    def minutes(self, minutes: float) -> list[str]:
        """So much later: what is done then."""
        self.clock.move(minutes * 60)
        return self.fire()

    def escalation(self, incident_id: str = "Q1") -> Escalation:
        with self.database.read() as tx:
            found = self.escalation_store.peek(tx, IncidentId(incident_id))
        assert found is not None
        return found

    def entries(self, name: str = "") -> list[tuple[str, Mapping[str, Any]]]:
        """The time line's lines about escalation, or of one event."""
        import json

        with self.database.engine.connect() as connection:
            rows = connection.execute(sa.select(timeline.c.event, timeline.c.facts).order_by(timeline.c.id)).all()
        lines = [(row.event, json.loads(row.facts)) for row in rows]
        return [one for one in lines if (one[0] == name if name else "escalat" in one[0])]

    def events(self) -> list[str]:
        return [event for event, _ in self.entries()]

    def dead(self) -> Sequence[Any]:
        """The open dead letters."""
        with self.database.engine.connect() as connection:
            return connection.execute(sa.select(dead_letters).where(dead_letters.c.closed_at.is_(None))).all()
