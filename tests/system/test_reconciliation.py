"""Webhooks that never came: reading both sides on a timer finds what they would have said."""

import pytest

from tests.system.conftest import StartWorld


def test_an_alert_nobody_told_us_about_pages_somebody(start_world: StartWorld):
    world = start_world(BRIDGE_RECONCILE_SECONDS="1")
    world.sandbox.webhooks("drop")
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    assert ["opened"] == world.writes(alert_id)


@pytest.mark.parametrize("side", ["at_truthvouch", "at_pagerduty"])
def test_a_resolve_nobody_told_us_about_reaches_the_other_side(start_world: StartWorld, side: str):
    world = start_world(BRIDGE_RECONCILE_SECONDS="1")
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.webhooks("drop")
    getattr(world.sandbox, side)(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")
    assert 1 == world.writes(alert_id).count("opened")
