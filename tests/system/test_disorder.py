"""Webhooks come twice, late, in the wrong order or before their cause; both sides end up the same, no extra calls."""

import pytest

from tests.system.waiting import until
from tests.system.world import World


def test_the_same_webhook_ten_times_opens_one_incident(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id, deliver=10)
    world.until_both_are(alert_id, "open", "triggered")
    assert ["opened"] == world.writes(alert_id)


def test_ten_copies_of_every_webhook_change_nothing(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.webhooks("hold")
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.sandbox.webhooks("send")
    world.sandbox.flush(copies=10)
    world.until_both_are(alert_id, "resolved", "resolved")
    writes = world.writes(alert_id)
    assert "alert resolved" == writes[-1]
    assert len(writes) == len(set(writes))


@pytest.mark.parametrize("ids", [{"event_id": "corr-7"}, {"id": "case"}, {}])
def test_a_resolve_under_the_id_of_its_create_or_without_one_is_received_each_time(world: World, ids: dict[str, str]):
    """An id that stands over several events, the alert's own id, none at all: nothing of it may swallow a resolve."""
    alert_id = world.new_alert_id()
    ids = {name: alert_id if value == "case" else f"{value}-{alert_id}" for name, value in ids.items()}
    about = {"alert_id": alert_id, "severity": "critical", "message": "m", **ids}
    world.bridge.send_webhook("truthvouch", about | {"event_type": "alert.detected"})
    until(lambda: world.sandbox.incidents(alert_id), "it is open", evidence=world.evidence)
    resolve = about | {"event_type": "alert.resolved"}
    assert "accepted" == world.bridge.send_webhook("truthvouch", resolve).json()["status"]
    assert "duplicate" == world.bridge.send_webhook("truthvouch", resolve).json()["status"]
    until(lambda: "resolved" == world.sandbox.incident(alert_id)["status"], "it is resolved", evidence=world.evidence)


def test_a_resolve_that_overtakes_the_create_opens_nothing(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.webhooks("hold", partner="truthvouch")
    world.sandbox.raise_alert(alert_id)
    world.sandbox.at_truthvouch(alert_id, "resolve", reason="false_positive")
    world.sandbox.webhooks("send", partner="truthvouch")
    world.sandbox.flush(order="reverse")
    assert [] == world.writes(alert_id)
    assert ("resolved", []) == world.statuses(alert_id)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_any_number_of_copies_ends_the_same(world: World, seed: int):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.webhooks("hold")
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.sandbox.at_pagerduty(alert_id, "unacknowledge")
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.sandbox.webhooks("send")
    world.sandbox.flush(order="shuffled", seed=seed, copies=3)
    world.until_both_are(alert_id, "resolved", "resolved")
    writes = world.writes(alert_id)
    assert 1 == writes.count("opened")
    assert 1 == writes.count("alert resolved")
    assert not {"incident resolved", "incident acknowledged", "incident triggered"} & set(writes)


def test_echoes_of_our_own_changes_cause_no_calls(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_truthvouch(alert_id, "acknowledge")
    world.until_both_are(alert_id, "acknowledged", "acknowledged")
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")
    assert ["opened", "incident acknowledged", "alert resolved"] == world.writes(alert_id)


def test_people_on_both_sides_at_once_end_agreed(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.webhooks("hold")
    world.sandbox.at_truthvouch(alert_id, "resolve", reason="fixed")
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.sandbox.webhooks("send")
    world.sandbox.flush(order="reverse")
    until(
        lambda: world.statuses(alert_id)[0] == "resolved" and world.statuses(alert_id)[1] == ["resolved"],
        "both resolved",
        evidence=world.evidence,
    )
    assert len(world.writes(alert_id)) <= 4
