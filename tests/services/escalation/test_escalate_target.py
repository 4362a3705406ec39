"""An incident is escalated under its id alone, and only what PagerDuty knows is."""

from dataclasses import dataclass, field

import pytest

from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.pagerduty_account import OnCall, PolicyFacts
from app.domain.model.types import IncidentId, Status
from app.services.escalation.target import NO_KEY, FindTarget, Target

UNKNOWN = Refused("not_found", 404, 2100)


@dataclass
class PagerDuty:
    """Knows Q16, whose number is 16, and the policy PMGMT."""

    fault: Reply[IncidentFacts] | None = None
    policy_fault: Reply[PolicyFacts] | None = None
    asked: list[str] = field(default_factory=list)

    def get(self, incident_id: IncidentId) -> Reply[IncidentFacts]:
        self.asked.append(incident_id)
        if self.fault is not None:
            return self.fault
        known = incident_id in ("16", "Q16")
        return Done(IncidentFacts(IncidentId("Q16"), Status.OPEN, 16)) if known else UNKNOWN

    def policy(self, policy_id: str) -> Reply[PolicyFacts]:
        if self.policy_fault is not None:
            return self.policy_fault
        return Done(PolicyFacts(policy_id)) if policy_id == "PMGMT" else UNKNOWN

    def on_call(self, policy_id: str) -> Reply[tuple[OnCall, ...]]:
        raise AssertionError("nobody has to know")


def find(pagerduty: PagerDuty, named: str, policy_id: str | None = None) -> Done[Target] | Refused:
    return FindTarget(pagerduty, pagerduty)(named, policy_id)


@pytest.mark.parametrize("named", ["Q16", "16", "#16"])
def test_an_id_and_a_number_are_one_incident_asked_for_once(named: str) -> None:
    pagerduty = PagerDuty()
    assert Done(Target(IncidentId("Q16"))) == find(pagerduty, named, "PMGMT")
    assert [named.removeprefix("#")] == pagerduty.asked


@pytest.mark.parametrize(
    ("named", "policy_id", "reason"),
    [
        ("nosuch", None, "not_found"),
        ("17", None, "not_found"),
        ("nosuch", "PMGMT", "not_found"),
        ("Q16", "PNOPE", "policy_not_found"),
    ],
)
def test_what_pagerduty_does_not_know_is_refused(named: str, policy_id: str | None, reason: str) -> None:
    assert Refused(reason, 404) == find(PagerDuty(), named, policy_id)


def test_without_a_key_an_id_is_taken_on_trust_and_a_number_is_not() -> None:
    blind = FindTarget(None, None)
    assert Done(Target(IncidentId("Q16"), NO_KEY)) == blind("Q16", "PMGMT")
    assert [Refused("number_only", 0)] * 2 == [blind("16"), blind("#16")]


@pytest.mark.parametrize("fault", [Retry("http_503"), Held("unauthorized"), Refused("payment_required", 402)])
def test_a_silent_pagerduty_stops_no_id_but_a_number(fault: Retry | Held | Refused) -> None:
    assert Done(Target(IncidentId("Q16"), fault.reason)) == find(PagerDuty(fault), "Q16", "PMGMT")
    assert Refused("number_only", 0) == find(PagerDuty(fault), "16")
    assert Done(Target(IncidentId("Q16"), fault.reason)) == find(PagerDuty(policy_fault=fault), "Q16", "PMGMT")
