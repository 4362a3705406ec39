"""Holds and silences on the whole bridge: through a killed worker, and with a file that is edited while it runs."""

import time
from datetime import UTC, datetime, timedelta

from tests.system.conftest import StartWorld
from tests.system.waiting import until

HOLD_SECONDS = 8.0
RULES = f"""rules:
  - name: flapping
    trigger: severity == critical
    action: {{type: create_incident, hold_resolve_minutes: {HOLD_SECONDS / 60}}}
  - name: the rest
    trigger: "true"
    action: {{type: create_incident, urgency: low}}
"""


def silence() -> str:
    until_when = (datetime.now(UTC) + timedelta(hours=12)).isoformat()
    return (
        "silences:\n"
        f"  - {{name: release, match: severity == high, owner: dana, reason: a release, until: '{until_when}'}}\n"
    )


def test_a_hold_outlives_its_worker_and_a_silence_that_is_taken_out_lets_go(start_world: StartWorld):
    world = start_world("rest")
    world.bridge.config.write_text(f"pagerduty:\n  via: rest\n{RULES}{silence()}", "utf-8")
    until(lambda: world.bridge.events("rulebook.reloaded"), "the rules are in force", evidence=world.evidence)
    flapping, silenced = world.new_alert_id(), world.new_alert_id()
    world.sandbox.raise_alert(flapping)
    world.sandbox.raise_alert(silenced, "high")
    world.until_both_are(flapping, "open", "triggered")

    resolved_at = time.monotonic()
    world.sandbox.at_truthvouch(flapping, "resolve")
    until(lambda: world.sandbox.undelivered() == 0, "the resolve is told", evidence=world.evidence)
    world.bridge.kill_worker()
    until(
        lambda: world.statuses(flapping) == ("resolved", ["resolved"]),
        "the resolve goes out when the time is up",
        45,
        world.evidence,
    )
    assert time.monotonic() - resolved_at >= HOLD_SECONDS - 2, "it was held back"
    assert ["opened", "incident resolved"] == world.writes(flapping)

    assert [] == world.sandbox.incidents(silenced)
    world.bridge.config.write_text(f"pagerduty:\n  via: rest\n{RULES}", "utf-8")
    world.until_both_are(silenced, "open", "triggered", 45)
    assert ["opened"] == world.writes(silenced)
