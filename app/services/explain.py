"""Use case: what the rulebook does with one alert, and why, rule by rule, down to the incident that would be opened."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.alert import Alert
from app.domain.draft import draft
from app.domain.names import AlertId
from app.domain.rulebook import Decision, Rulebook
from app.domain.rules import SEVERITY_MAP, Tried, decide, explain
from app.domain.silences import SILENCED
from app.ports import Records, Transactions


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that was asked about one alert, and the answer."""

    alert_id: str
    tried: tuple[Tried, ...]
    """Silences, then rules, in order and up to the first match; the severity map last when none matched."""
    decision: Decision
    words: str
    title: str | None
    """The incident's, as it would be sent; None where there would be none."""
    details: dict[str, str]
    """What PagerDuty would see, with everything left out that may not leave."""

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        told = self.decision
        decision = {
            "rule": told.rule,
            "reason": told.reason,
            "urgency": told.urgency.value if told.urgency else "none",
            "service_id": told.service_id,
            "escalation_policy_id": told.escalation_policy_id,
            "hold_resolve_minutes": told.hold_resolve_minutes,
            "rulebook": told.version,
        }
        tried = [{"kind": one.kind, "name": one.rule, "matched": one.matched, "why": one.why} for one in self.tried]
        incident = {"title": self.title, "details": self.details} if self.title is not None else None
        return {
            "alert_id": self.alert_id,
            "tried": tried,
            "decision": decision,
            "words": self.words,
            "incident": incident,
        }


def explained(rulebook: Rulebook, alert: Alert, now: datetime) -> Explanation:
    """What this rulebook does with this alert, were it created now."""
    decision = decide(rulebook, alert, now)
    made = draft(alert, decision, rulebook) if decision.urgency else None
    details = dict(made.details) if made else {}
    tried, title = explain(rulebook, alert, now), made.title if made else None
    return Explanation(alert.alert_id, tried, decision, in_words(decision), title, details)


def in_words(decision: Decision) -> str:
    """The decision as a sentence."""
    by = "the severity map" if decision.rule == SEVERITY_MAP else f"the rule {decision.rule!r}"
    if decision.urgency is None:
        if decision.reason == SILENCED:
            return f"No incident: the silence {decision.rule!r} is in force."
        return f"No incident: {by} says so."
    where = f"service {decision.service_id}" if decision.service_id else "the integration key's own service"
    policy = f"policy {decision.escalation_policy_id}" if decision.escalation_policy_id else "the service's own policy"
    minutes = decision.hold_resolve_minutes
    held = f" A resolve from TruthVouch is held back for {minutes:g} minutes." if minutes else ""
    return f"An incident of {decision.urgency} urgency on {where}, {policy}: {by} says so.{held}"


@dataclass(frozen=True)
class StoredAlerts:
    """Alerts the bridge knows, for an explanation."""

    transactions: Transactions
    records: Records

    def __call__(self, alert_id: str) -> tuple[Alert, Decision | None] | None:
        """The alert as it is known now and what was decided when it came; None when the bridge does not know it."""
        with self.transactions.read() as tx:
            link = self.records.link(tx, AlertId(alert_id))
        return None if link is None else (link.alert, link.decision)
