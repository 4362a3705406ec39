"""A storm under PagerDuty's limit: two workers on one PostgreSQL keep the pace together, and the limit is never met."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.bridge import Bridge
from tests.system.processes import free_port
from tests.system.sandbox import Sandbox
from tests.system.test_distributed import start_worker
from tests.system.waiting import until
from tests.system.world import World

PER_MINUTE = 600
WINDOW_SECONDS = 5
LIMIT = 70
"""What our own pace leaves: 600 a minute are 50 in five seconds, and a burst of 16; the rest is for the journey."""
ALERTS = 70


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    port = free_port()
    sandbox = Sandbox(tmp_path, f"http://127.0.0.1:{port}")
    settings = {"DATABASE_URL": postgres_url, "BRIDGE_ROLE": "web", "PAGERDUTY_REST_PER_MINUTE": str(PER_MINUTE)}
    bridge = Bridge(tmp_path, sandbox.url, port=port, **settings)
    try:
        yield World(bridge.start(ready=False), sandbox)
    finally:
        bridge.close()
        sandbox.close()


def calls_to_rest(world: World) -> list[dict[str, Any]]:
    return [call for call in world.sandbox.calls(partner="pagerduty") if call["path"].startswith("/incidents")]


def most_within(moments: list[float], seconds: float) -> int:
    return max(sum(1 for other in moments if at <= other < at + seconds) for at in moments)


@pytest.mark.postgres
def test_two_workers_never_provoke_a_429(world: World):
    limits = {"pagerduty_rest": {"calls": LIMIT, "seconds": WINDOW_SECONDS}}
    world.sandbox.post("settings", {"limits": limits})
    until(lambda: world.bridge.status("/healthz") == 200, "the web processes answer", evidence=world.bridge.tail)
    alerts = [world.new_alert_id() for _ in range(ALERTS)]
    for alert_id in alerts:
        world.sandbox.raise_alert(alert_id, severity="critical")
        world.sandbox.at_truthvouch(alert_id, "acknowledge")
    until(lambda: world.sandbox.undelivered() == 0, "everything waits in the inbox", 60, world.evidence)
    workers = [start_worker(world.bridge, f"worker-{number}") for number in range(2)]

    def all_done() -> bool:
        return sum(1 for call in calls_to_rest(world) if call["status"] in (200, 201)) >= 2 * ALERTS

    until(all_done, "every incident is opened and acknowledged", 90, world.evidence)
    calls = calls_to_rest(world)
    assert [] == [call for call in calls if call["status"] == 429]
    assert most_within([call["at"] for call in calls], WINDOW_SECONDS) <= LIMIT
    for worker in workers:
        assert 0 == worker.terminate(20)
