"""The doctor's looks at people: policies and who is on call, the user in whose name we write, the plan."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.pagerduty_account import OnCall, PolicyFacts, PolicyLevel, ServiceFacts, UserFacts
from app.services.diagnostics.doctor import Finding, State
from app.services.diagnostics.partners import abilities, policies, sender, with_services

MISSING = Refused("not_found", 404)
ROOT = Path(__file__).parents[3]


@dataclass
class FakeAccount:
    """An account as these replies describe it; whoever is not in them is missing."""

    services: Mapping[str, Reply[ServiceFacts]] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)
    """Policy id -> number of levels."""
    on_duty: Mapping[str, Iterable[int]] = field(default_factory=dict)
    emails: Iterable[str] = ()
    plan: Reply[frozenset[str]] = field(default_factory=lambda: Done(frozenset({"coordinated_responding"})))
    ranks: Reply[tuple[str, ...]] = field(default_factory=lambda: Done(("P1", "P2")))
    broken: Reply[None] | None = None
    """What every call says instead."""

    def accepts_key(self) -> Reply[None]:
        return Done(None)

    def service(self, service_id: str) -> Reply[ServiceFacts]:
        return self.services.get(service_id, MISSING)

    def policy(self, policy_id: str) -> Reply[PolicyFacts]:
        if isinstance(self.broken, Retry | Held):
            return self.broken
        if policy_id not in self.levels:
            return MISSING
        return Done(PolicyFacts(policy_id, "Night", (PolicyLevel(30.0),) * self.levels[policy_id]))

    def on_call(self, policy_id: str) -> Reply[tuple[OnCall, ...]]:
        levels = self.on_duty.get(policy_id, ())
        return Done(tuple(OnCall(policy_id, level, f"U{level}", f"Person {level}") for level in levels))

    def user(self, user_id: str) -> Reply[UserFacts]:
        return MISSING

    def user_called(self, email: str) -> Reply[UserFacts | None]:
        if isinstance(self.broken, Retry | Held):
            return self.broken
        return Done(UserFacts("U1", email=email) if email in self.emails else None)

    def abilities(self) -> Reply[frozenset[str]]:
        return self.plan

    def priorities(self) -> Reply[tuple[str, ...]]:
        return self.ranks


def codes(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    found = list(findings)
    assert all(finding.remedy for finding in found if finding.state is not State.FINE)
    return [(finding.code, finding.state.value) for finding in found]


@pytest.mark.parametrize(
    ("levels", "on_duty", "expected"),
    [
        (2, (1, 2), ("ok", "fine")),
        (2, (1,), ("level_empty", "wrong")),
        (2, (2,), ("level_empty", "wrong")),
        (2, (), ("nobody_on_call", "wrong")),
        (0, (), ("nobody_on_call", "wrong")),
        (2, (1, 1, 2, 3), ("ok", "fine")),
    ],
)
def test_each_level_needs_somebody(levels: int, on_duty: tuple[int, ...], expected: tuple[str, str]) -> None:
    account = FakeAccount(levels={"P1": levels}, on_duty={"P1": on_duty})
    assert [expected] == codes(policies({"P1": ["rule Noise"]}, (), account)())


def test_the_empty_level_is_named_and_so_is_who_uses_the_policy() -> None:
    account = FakeAccount(levels={"P1": 3}, on_duty={"P1": (1, 3)})
    (found,) = policies({"P1": ["rule Critical", "escalation.policy_id"]}, (), account)()
    assert "level 2:" in found.message
    assert "rule Critical, escalation.policy_id" in found.message


def test_the_services_own_policies_are_looked_at_too() -> None:
    account = FakeAccount(
        services={"S1": Done(ServiceFacts("S1", policy_id="P1")), "S2": Done(ServiceFacts("S2", policy_id="P2"))},
        levels={"P1": 1, "P2": 1},
        on_duty={"P1": (1,)},
    )
    assert {"P1": ("escalation.policy_id", "service S1"), "P2": ("service S2",)} == with_services(
        {"P1": ["escalation.policy_id"]}, ["S1", "S2", "S3"], account
    )
    found = codes(policies({"P1": ["escalation.policy_id"]}, ["S1", "S2", "S3"], account)())
    assert [("ok", "fine"), ("nobody_on_call", "wrong")] == found


def test_a_policy_that_cannot_be_looked_at_hides_no_other() -> None:
    assert [("policy_missing", "wrong"), ("ok", "fine")] == codes(
        policies({"P1": ["a"], "P2": ["b"]}, (), FakeAccount(levels={"P2": 1}, on_duty={"P2": (1,)}))()
    )
    assert [("policy_not_read", "unknown")] == codes(
        policies({"P1": ["a"]}, (), FakeAccount(broken=Retry("read_timeout")))()
    )
    assert [("policy_not_known", "warning")] == codes(policies({}, (), FakeAccount())())
    (unset,) = policies({}, (), FakeAccount())()
    (unread,) = policies({}, ("P1",), FakeAccount(broken=Retry("read_timeout")))()
    assert ("PAGERDUTY_SERVICE_ID" in unset.remedy, "PAGERDUTY_SERVICE_ID" in unread.remedy) == (True, False)
    assert "`pagerduty_service`" in unread.remedy


def test_the_user_of_from_must_exist() -> None:
    account = FakeAccount(emails=["bridge@example.com"])
    assert [("ok", "fine")] == codes(sender("bridge@example.com", account)())
    assert [("from_unknown", "wrong")] == codes(sender("nobody@example.com", account)())
    assert [("from_not_set", "warning")] == codes(sender(None, account)())
    assert [("from_not_read", "unknown")] == codes(sender("x@example.com", FakeAccount(broken=Held("forbidden")))())


def test_the_plan_is_reported_for_information() -> None:
    (found,) = abilities(FakeAccount())()
    assert "responder requests: yes, custom fields: no, priorities: P1, P2" in found.message
    assert [("ok", "fine")] == codes(abilities(FakeAccount(ranks=Retry("read_timeout")))())
    assert [("abilities_not_read", "unknown")] == codes(abilities(FakeAccount(plan=Retry("read_timeout")))())


def test_without_a_key_nobody_is_asked() -> None:
    for look in (policies({"P1": ["a"]}, (), None), sender("a@example.com", None), abilities(None)):
        assert [("key_not_set", "warning")] == codes(look())


@pytest.mark.parametrize("page", ["doctor", "connection-test"])
def test_the_documents_name_every_code(page: str) -> None:
    sources = {"doctor": ("doctor", "partners"), "connection-test": ("connection_test",)}
    folder = ROOT / "app" / "services" / "diagnostics"
    texts = [(folder / f"{name}.py").read_text("utf-8") for name in sources[page]]
    codes = {code for text in texts for code in re.findall(r'State\.[A-Z]+, "([a-z_]+)"', text)}
    codes -= {"ok"}
    assert len(codes) > 5
    answer = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    assert set() == {code for code in codes if f"`{code}`" not in answer}
