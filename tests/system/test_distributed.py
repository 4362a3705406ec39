"""Many machines, one PostgreSQL: web processes and workers apart, each of them mortal."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

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


@contextmanager
def web_alone(folder: Path, database_url: str, role: str = "web") -> Iterator[World]:
    """Web processes and partners; workers are the test's own to start."""
    port = free_port()
    sandbox = Sandbox(folder, f"http://127.0.0.1:{port}")
    bridge = Bridge(folder, sandbox.url, port=port, DATABASE_URL=database_url, BRIDGE_ROLE=role)
    try:
        yield World(bridge.start(ready=False), sandbox)
    finally:
        bridge.close()
        sandbox.close()


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    with web_alone(tmp_path, postgres_url) as made:
        yield made


def said(worker: Tree, event: str) -> list[dict[str, Any]]:
    """What this worker logged under that name."""
    lines = (json.loads(line) for line in worker.output().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


def seat_of(worker: Tree) -> str:
    """The executor id of a worker that sits, waited for."""
    seats = until(lambda: said(worker, "worker.started"), "the worker has a seat", told=worker.output)
    return str(seats[-1]["executor_id"])


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
def test_what_a_dead_worker_left_is_finished_by_another_on_a_seat_of_its_own(world: World):
    first = start_worker(world.bridge, "worker-first")
    seat_of(first)
    second = start_worker(world.bridge, "worker-second")
    assert "worker-1" == seat_of(second)
    world.bridge.wait_ready()
    until_both_share(world, first, second)
    world.sandbox.fault(partner="pagerduty", method="POST", kind="slow", seconds=30, times=20)
    alerts = [world.new_alert_id() for _ in range(20)]
    for alert_id in alerts:
        world.sandbox.raise_alert(alert_id)
    until(lambda: world.sandbox.hits() >= 9, "both have calls in hand", told=world.evidence)
    kill(first.pid)
    world.sandbox.heal()
    for alert_id in alerts:
        until(partial(world.sandbox.incidents, alert_id), "the incident", 60, world.evidence)
    assert [1] * 20 == [len(world.sandbox.incidents(alert_id)) for alert_id in alerts]
    taken = said(second, "deliveries.taken_over")
    assert {("worker-0", "worker-1")} == {(line["executor_id"], line["by"]) for line in taken}, second.output()


def until_both_share(world: World, *workers: Tree) -> None:
    """Each has delivered something: their queues are being polled."""

    def one_more() -> bool:
        alert_id = world.new_alert_id()
        world.sandbox.raise_alert(alert_id)
        world.until_both_are(alert_id, "open", "triggered", 30)
        return all(said(worker, "incident.triggered") for worker in workers)

    until(one_more, "both deliver", 30, world.evidence)


@pytest.mark.postgres
def test_another_takes_the_inbox_in_within_seconds_of_the_leaders_death(world: World):
    leader = start_worker(world.bridge, "worker-leader")
    seat_of(leader)
    second = start_worker(world.bridge, "worker-second")
    seat_of(second)
    world.bridge.wait_ready()
    kill(leader.pid)
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered", 6)
