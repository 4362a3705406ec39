"""A partner that is down, slow, throttling or locking us out: what is owed waits, and goes out when it can."""

import pytest

from tests.system.conftest import in_worlds
from tests.system.signing import key_of
from tests.system.waiting import until
from tests.system.world import World

pytestmark = in_worlds("rest")


def tries(world: World, alert_id: str) -> list[float]:
    """When the bridge asked PagerDuty to open the alert's incident, by the sandbox's clock."""
    calls = world.sandbox.calls(partner="pagerduty", method="POST", path="/incidents")
    return [call["at"] for call in calls if key_of(alert_id) in str(call["body"])]


@pytest.mark.parametrize("kind", ["refuse", "reset_before", "status"])
def test_a_dead_pagerduty_is_paged_when_it_is_back(world: World, kind: str):
    world.sandbox.fault(partner="pagerduty", kind=kind)
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    until(lambda: world.sandbox.hits() >= 2, "a second try", evidence=world.evidence)
    assert 200 == world.bridge.get("/readyz").status_code
    world.sandbox.heal()
    world.until_both_are(alert_id, "open", "triggered", 30)
    assert 1 == len(world.sandbox.incidents(alert_id))


def test_a_dead_truthvouch_is_reported_when_it_is_back(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.fault(partner="truthvouch", method="PATCH", kind="status", status=503)
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.sandbox.at_pagerduty(alert_id, "resolve")
    until(world.sandbox.hits, "a try", evidence=world.evidence)
    world.sandbox.heal()
    world.until_both_are(alert_id, "resolved", "resolved", 30)


def test_retry_after_is_obeyed(world: World):
    world.sandbox.fault(
        partner="pagerduty",
        method="POST",
        path_regex="/incidents$",
        kind="status",
        status=429,
        headers={"Retry-After": "2"},
        times=1,
    )
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    first, second = tries(world, alert_id)
    assert second - first >= 1.9


def test_refused_credentials_pause_the_target_and_lose_nothing(world: World):
    world.sandbox.fault(partner="pagerduty", kind="status", status=401)
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    until(world.sandbox.hits, "the refused try", evidence=world.evidence)
    world.sandbox.heal()
    world.until_both_are(alert_id, "open", "triggered", 25)


def test_an_answer_lost_after_the_incident_was_made_does_not_make_another(world: World):
    world.sandbox.fault(partner="pagerduty", method="POST", path_regex="/incidents$", kind="reset_after", times=1)
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")
    assert 1 == len(world.sandbox.incidents(alert_id))


def test_one_poisonous_alert_holds_back_no_other(world: World):
    world.sandbox.fault(partner="truthvouch", path_regex="/alerts/alert-poison", kind="status", status=500)
    world.sandbox.raise_alert("alert-poison")
    world.until_both_are("alert-poison", "open", "triggered")
    world.sandbox.at_pagerduty("alert-poison", "resolve")
    until(world.sandbox.hits, "the poison works", evidence=world.evidence)
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")
    assert "open" == world.sandbox.alert("alert-poison")["status"]
