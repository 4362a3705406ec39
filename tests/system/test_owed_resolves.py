"""Every trigger is owed a resolve, on the whole bridge: through maintenance windows, edited rules and restarts."""

from tests.system.conftest import StartWorld
from tests.system.signing import key_of
from tests.system.waiting import until
from tests.system.world import World

SERVICE = "pagerduty/services/PSANDBX"
NO_RULE_PAGES = """severity_map: {critical: none, high: none, medium: none, low: none}
rules:
  - name: hush
    trigger: severity in [low, medium, high, critical]
    action: {type: suppress}
"""


def opened(world: World) -> str:
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    until(lambda: world.bridge.events("incident.found"), "the bridge knows its incident", evidence=world.evidence)
    return alert_id


def resolve_events(world: World, alert_id: str) -> int:
    calls = world.sandbox.calls(partner="pagerduty", method="POST", path="/v2/enqueue")
    return len(
        [c for c in calls if c["body"]["event_action"] == "resolve" and c["body"]["dedup_key"] == key_of(alert_id)]
    )


def test_a_resolve_swallowed_by_a_maintenance_window_takes_effect_when_it_is_over(start_world: StartWorld):
    world = start_world("events")
    alert_id = opened(world)
    world.sandbox.post(SERVICE, {"status": "maintenance"})
    world.sandbox.at_truthvouch(alert_id, "resolve")
    until(lambda: resolve_events(world, alert_id) >= 2, "the resolve is repeated", 30, world.evidence)
    assert ("resolved", ["triggered"]) == world.statuses(alert_id)
    world.sandbox.post(SERVICE, {"status": "active"})
    world.until_both_are(alert_id, "resolved", "resolved", 45)  # the next repeat is at most half a minute away
    until(lambda: world.bridge.events("incident.resolve_seen") or world.sandbox.undelivered() == 0, "it is seen")
    answer = resolve_events(world, alert_id)
    assert world.writes(alert_id).count("incident resolved") == answer


def test_rules_that_would_not_page_any_more_and_a_restart_strand_nothing(start_world: StartWorld):
    world = start_world("events")
    alert_id = opened(world)
    world.bridge.config.write_text(f"pagerduty:\n  via: rest\n{NO_RULE_PAGES}", "utf-8")
    world.bridge.tree.terminate()
    world.bridge.start()
    hushed = world.new_alert_id()
    world.sandbox.raise_alert(hushed)
    world.sandbox.at_truthvouch(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved", 30)
    assert ["opened", "incident resolved"] == world.writes(alert_id)
    assert 1 == resolve_events(world, alert_id), "to the API it was opened by"
    assert [] == world.sandbox.incidents(hushed)


def test_a_broken_file_strands_nothing(start_world: StartWorld):
    world = start_world("rest")
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.bridge.config.write_text("pagerduty:\n  via: carrier pigeon\nrules: 7\n", "utf-8")
    until(lambda: "broken" in world.bridge.get("/readyz").text, "the broken file is noticed", evidence=world.evidence)
    world.sandbox.at_truthvouch(alert_id, "resolve", reason="false_positive")
    world.until_both_are(alert_id, "resolved", "resolved")
    again = world.new_alert_id()
    world.sandbox.raise_alert(again)
    world.until_both_are(again, "open", "triggered")
