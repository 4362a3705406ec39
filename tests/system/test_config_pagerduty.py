"""A bridge whose keys are in ``bridge.yaml`` alone, and the connection test on it, ping and all."""

import json
import subprocess
from typing import Any

from tests.system.bridge import API_KEY, INTEGRATION_KEY, SECRETS, TRUTHVOUCH_KEY
from tests.system.conftest import StartWorld
from tests.system.processes import PYTHON, ROOT
from tests.system.signing import PAGERDUTY_SECRET, TRUTHVOUCH_SECRET
from tests.system.world import World

KEYS = f"""\
  service_id: PSANDBX
  integration_key: {INTEGRATION_KEY}
  api_key: {API_KEY}
  from_email: oncall@example.com
  webhook_secrets: [{PAGERDUTY_SECRET}]
truthvouch:
  api_key: {TRUTHVOUCH_KEY}
  webhook_secrets:
    - {TRUTHVOUCH_SECRET}
"""
IN_THE_FILE = (
    "PAGERDUTY_API_KEY",
    "PAGERDUTY_FROM_EMAIL",
    "PAGERDUTY_INTEGRATION_KEY",
    "PAGERDUTY_SERVICE_ID",
    "PAGERDUTY_WEBHOOK_SECRETS",
    "TRUTHVOUCH_API_KEY",
    "TRUTHVOUCH_WEBHOOK_SECRETS",
)


def checks(world: World) -> dict[str, str]:
    """The connection test in the environment of that bridge: the last code of each check."""
    settings = {**world.bridge.environment, "BRIDGE_PUBLIC_URL": world.bridge.url}
    environment = {name: value for name, value in settings.items() if value}
    command = [str(PYTHON), "-m", "app.cli", "config", "pagerduty", "--test", "--json"]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)
    assert [] == [secret for secret in SECRETS if secret in answer.stdout + answer.stderr]
    found: dict[str, Any] = json.loads(answer.stdout)
    return {check["check"]: check["code"] for check in found["checks"]}


def test_a_bridge_with_its_keys_in_the_file_works_and_passes_the_test(start_world: StartWorld):
    world = start_world(config=KEYS, **dict.fromkeys(IN_THE_FILE, ""))
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.until_both_are(alert_id, "acknowledged", "acknowledged")
    assert {"ok"} == set(checks(world).values())
    world.sandbox.webhooks("drop")
    assert "ping_lost" == checks(world)["webhook_ping"]
    world.sandbox.webhooks("send")
