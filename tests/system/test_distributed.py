"""Many machines, one PostgreSQL: web processes and workers apart, each of them mortal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.bridge import Bridge
from tests.system.processes import PYTHON, Tree, free_port, kill
from tests.system.sandbox import Sandbox
from tests.system.waiting import until
from tests.system.world import World

TRUTHVOUCH_COMMAND = (PYTHON, "-m", "app.cli")
"""What the ``truthvouch`` command starts; spelt so because another Python may have no such command installed."""


def start_worker(bridge: Bridge, name: str) -> Tree:
    """``truthvouch worker``, with a log of its own."""
    tree = Tree([*TRUTHVOUCH_COMMAND, "worker"], bridge.environment, bridge.folder / f"{name}.log")
    bridge.trees.insert(0, tree)
    return tree


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    port = free_port()
    sandbox = Sandbox(tmp_path, f"http://127.0.0.1:{port}")
    bridge = Bridge(tmp_path, sandbox.url, port=port, DATABASE_URL=postgres_url, BRIDGE_ROLE="web")
    try:
        yield World(bridge.start(ready=False), sandbox)
    finally:
        bridge.close()
        sandbox.close()


@pytest.mark.postgres
def test_two_workers_share_the_work_and_double_nothing(world: World):
    workers = [start_worker(world.bridge, f"worker-{n}") for n in range(2)]
    world.bridge.wait_ready()
    alerts = [world.new_alert_id() for _ in range(12)]
    for alert_id in alerts:
        world.sandbox.raise_alert(alert_id, deliver=2)
    for alert_id in alerts:
        world.until_both_are(alert_id, "open", "triggered", 30)
        assert ["opened"] == world.sandbox.writes(alert_id)
    for worker in workers:
        assert 0 == worker.terminate(20)


@pytest.mark.postgres
def test_what_a_dead_worker_left_is_finished_by_another(world: World):
    first = start_worker(world.bridge, "worker-first")
    world.bridge.wait_ready()
    world.sandbox.fault(partner="pagerduty", method="POST", kind="slow", seconds=30, times=1)
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    until(world.sandbox.hits, "the call", told=world.evidence)
    kill(first.pid)
    start_worker(world.bridge, "worker-second")
    until(lambda: world.sandbox.incidents(alert_id), "the incident", 60, world.evidence)
    assert 1 == len(world.sandbox.incidents(alert_id))
