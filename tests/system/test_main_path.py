"""The main path, over HTTP: a person is paged, what they do happens to the alert, and the other way round.

The same scenario through both of PagerDuty's APIs and on both stores.
"""

from itertools import product

import pytest

from tests.system.conftest import WORLDS, in_worlds
from tests.system.waiting import until
from tests.system.world import World

pytestmark = in_worlds(*WORLDS)


def test_a_critical_alert_opens_one_urgent_incident(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id, "critical")
    world.until_both_are(alert_id, "open", "triggered")
    assert "high" == world.sandbox.incident(alert_id)["urgency"]
    assert ["opened"] == world.writes(alert_id)


@pytest.mark.parametrize("severity", ["medium", "low"])
def test_a_lesser_alert_wakes_nobody(world: World, severity: str):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id, severity)
    assert [] == world.writes(alert_id)
    assert [] == world.sandbox.incidents(alert_id)


def test_what_the_person_does_happens_to_the_alert_once_each(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.until_both_are(alert_id, "acknowledged", "acknowledged")
    world.sandbox.at_pagerduty(alert_id, "note", note="Answer corrected in the prompt")
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")
    assert ["opened", "alert acknowledged", "alert resolved"] == world.writes(alert_id)
    assert "Answer corrected in the prompt" in world.sandbox.alert(alert_id)["resolution"]


def test_what_is_done_at_truthvouch_happens_to_the_incident(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_truthvouch(alert_id, "acknowledge")
    world.until_both_are(alert_id, "acknowledged", "acknowledged")
    world.sandbox.at_truthvouch(alert_id, "resolve", reason="false_positive", text="The source was outdated")
    world.until_both_are(alert_id, "resolved", "resolved")
    until(lambda: world.sandbox.incident(alert_id)["notes"], "the reason as a note", evidence=world.evidence)
    assert ["incident acknowledged", "incident resolved", "noted", "opened"] == sorted(world.writes(alert_id))
    (note,) = world.sandbox.incident(alert_id)["notes"]
    # Who it was stays in: redaction.send_people is off unless somebody turns it on.
    assert note["content"].startswith("[TruthVouch] resolved by somebody: false_positive. The source was outdated")


def test_a_dismissal_resolves_the_incident(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_truthvouch(alert_id, "dismiss", reason="paraphrase_ok")
    world.until_both_are(alert_id, "dismissed", "resolved")
    assert ["incident resolved", "noted", "opened"] == sorted(world.writes(alert_id))


def test_letting_go_of_an_incident_reopens_the_alert(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.until_both_are(alert_id, "acknowledged", "acknowledged")
    world.sandbox.at_pagerduty(alert_id, "unacknowledge")
    world.until_both_are(alert_id, "open", "triggered")
    assert ["opened", "alert acknowledged", "alert open"] == world.writes(alert_id)


def test_a_reopened_alert_reopens_the_same_incident(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_truthvouch(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")
    world.sandbox.at_truthvouch(alert_id, "reopen")
    world.until_both_are(alert_id, "open", "triggered")


def test_a_merge_moves_the_alerts_to_the_surviving_incident_and_resolves_none(world: World):
    moved, survivor = world.new_alert_id(), world.new_alert_id()
    for alert_id in (moved, survivor):
        world.sandbox.raise_alert(alert_id)
        world.until_both_are(alert_id, "open", "triggered")
    into = world.sandbox.incident(survivor)["id"]
    world.sandbox.at_pagerduty(moved, "merge", into=into)
    assert "alert resolved" not in world.writes(moved)
    assert "open" == world.sandbox.alert(moved)["status"]
    world.sandbox.at_pagerduty(survivor, "resolve")
    both = [world.sandbox.alert(alert_id) for alert_id in (moved, survivor)]
    until(
        lambda: all(world.sandbox.alert(a["id"])["status"] == "resolved" for a in both), "both", evidence=world.evidence
    )


def test_every_documented_kind_of_webhook_is_understood(world: World):
    kinds = product(["s1", "s2", "s3"], ["nested", "flat", "flat_with_id"])
    alerts = {world.new_alert_id(): kind for kind in kinds}
    for alert_id, (signature, envelope) in alerts.items():
        world.sandbox.raise_alert(alert_id, signature=signature, envelope=envelope)
    for alert_id in alerts:
        world.until_both_are(alert_id, "open", "triggered")


def test_ready_and_measured(world: World):
    assert 200 == world.bridge.get("/healthz").status_code
    assert 200 == world.bridge.get("/readyz").status_code
    assert "# TYPE" in world.bridge.get("/metrics").text
