"""Every documented kind of PagerDuty delivery is answered 202, taken in, and parked never."""

from pathlib import Path

import pytest

from tests.system.conftest import in_worlds
from tests.system.signing import from_pagerduty
from tests.system.waiting import until
from tests.system.world import World

PAYLOADS = sorted((Path(__file__).parents[1] / "contract" / "payloads").glob("*.json"))
APPLIED = ("incident.event_applied", "event.ignored")

pytestmark = in_worlds("rest")


assert len(PAYLOADS) == 16


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_a_documented_delivery_is_accepted_and_understood(world: World, path: Path):
    bridge, body = world.bridge, path.read_bytes()
    answer = bridge.deliver("pagerduty", body, from_pagerduty(body))
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "accepted"
    mine = answer.json()["request_id"]
    received = until(
        lambda: [line for line in bridge.events() if line.get("request_id") == mine and line["event"] in APPLIED],
        "the worker has processed it",
        10,
        bridge.tail,
    )
    assert [line["event"] for line in received] == ["event.ignored"]
    assert not [line for line in bridge.events("event.parked") if line.get("request_id") == mine]
