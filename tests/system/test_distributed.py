"""Many machines, one PostgreSQL: web processes and workers apart, each of them mortal."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.system.bridge import Bridge
from tests.system.processes import PYTHON, Tree, free_port, kill
from tests.system.sandbox import Sandbox
from tests.system.waiting import until
from tests.system.world import World

PAGES = "truthvouch_bridge_accept_to_page_seconds_count"
ACCEPTED = "truthvouch_bridge_deliveries_accepted_total"

TRUTHVOUCH_COMMAND = (PYTHON, "-m", "app.cli")
"""What the ``truthvouch`` command starts; spelt so because another Python may have no such command installed."""

DELIVERIES_AT_ONCE = 8
"""Of one worker, to one target."""


def start_worker(bridge: Bridge, name: str) -> Tree:
    """``truthvouch worker``, with a log of its own."""
    tree = Tree([*TRUTHVOUCH_COMMAND, "worker"], bridge.environment, bridge.folder / f"{name}.log")
    bridge.trees.insert(0, tree)
    return tree


@contextmanager
def web_alone(folder: Path, database_url: str, role: str = "web", **settings: str) -> Iterator[World]:
    """Web processes and partners; workers are the test's own to start."""
    port = free_port()
    sandbox = Sandbox(folder, f"http://127.0.0.1:{port}")
    bridge = Bridge(folder, sandbox.url, port=port, DATABASE_URL=database_url, BRIDGE_ROLE=role, **settings)
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


def executor_id_of(worker: Tree) -> str:
    """The executor id of a worker that works, waited for."""
    leases = until(lambda: said(worker, "worker.started"), "the worker has a lease", evidence=worker.output)
    return str(leases[-1]["executor_id"])


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
def test_what_a_dead_worker_left_is_finished_by_another_with_a_lease_of_its_own(world: World):
    first = start_worker(world.bridge, "worker-first")
    executor_id_of(first)
    second = start_worker(world.bridge, "worker-second")
    assert "worker-1" == executor_id_of(second)
    world.bridge.wait_ready()
    alerts = raise_until_both_call(world)
    kill(first.pid)
    world.sandbox.heal()
    for alert_id in alerts:
        until(partial(world.sandbox.incidents, alert_id), "the incident", 60, world.evidence)
    assert dict.fromkeys(alerts, 1) == {alert_id: len(world.sandbox.incidents(alert_id)) for alert_id in alerts}
    taken = said(second, "deliveries.recovered")
    assert {("worker-0", "worker-1")} == {(line["executor_id"], line["by"]) for line in taken}, second.output()


def raise_until_both_call(world: World) -> list[str]:
    """Raise alerts whose calls hang until more of them do than one worker makes at once; the answer is the alerts.

    Who delivers a single alert is left to chance: the worker that took it in is nearly always first.
    """
    world.sandbox.fault(partner="pagerduty", method="POST", kind="slow", seconds=30, times=100)
    alerts: list[str] = []

    def one_more() -> bool:
        alerts.append(world.new_alert_id())
        world.sandbox.raise_alert(alerts[-1])
        return world.sandbox.hits() >= 2 * DELIVERIES_AT_ONCE

    until(one_more, "both have calls in hand", 30, world.evidence)
    return alerts


@pytest.mark.postgres
def test_another_takes_the_inbox_in_within_seconds_of_the_leaders_death(world: World):
    leader = start_worker(world.bridge, "worker-leader")
    executor_id_of(leader)
    second = start_worker(world.bridge, "worker-second")
    executor_id_of(second)
    world.bridge.wait_ready()
    kill(leader.pid)
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered", 6)


# ------------------------------------------------------------------------------------------------- metrics


def counted(port: int) -> dict[str, float]:
    """What is counted there, labels left aside."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


@pytest.mark.postgres
def test_a_worker_on_its_own_serves_what_it_counts_and_nobody_else_tells_it_again(world: World):
    """Web and worker have one data directory here, as on one machine."""
    port = free_port()
    world.bridge.environment["BRIDGE_METRICS_PORT"] = str(port)
    worker = start_worker(world.bridge, "worker")
    executor_id_of(worker)
    second = start_worker(world.bridge, "worker-second")
    executor_id_of(second)
    ((taken,),) = [said(second, "metrics.not_served")]
    assert "BRIDGE_METRICS_PORT" in taken["remedy"]
    world.bridge.wait_ready()
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered", 30)
    assert {"status": "ok"} == requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).json()

    def told() -> list[dict[str, float]]:
        """PagerDuty has the incident a moment before the worker has its answer, and counts it."""
        both = [counted(port), counted(world.bridge.port)]
        return both if sum(one[PAGES] for one in both) else []

    # The second shares the web's files. Whoever of the two delivered: the page is told in one place.
    both = until(told, "the page is counted", 15, world.evidence)
    assert 1 == sum(one[PAGES] for one in both)
    assert (0, True) == (both[0][ACCEPTED], both[1][ACCEPTED] >= 1)
    for name in ("store_up", "waiting", "worker_heartbeat_age_seconds", "build_info"):
        assert all(f"truthvouch_bridge_{name}" in one for one in both)
    assert 0 == worker.terminate(20)
    assert 0 == second.terminate(20)


def test_the_worker_that_gunicorn_starts_serves_nothing_of_its_own(tmp_path: Path):
    port = free_port()
    sandbox = Sandbox(tmp_path, "http://127.0.0.1:9")
    bridge = Bridge(tmp_path, sandbox.url, BRIDGE_METRICS_PORT=str(port))
    try:
        bridge.start()
        with pytest.raises(requests.ConnectionError):
            counted(port)
        assert {"truthvouch_bridge_worker_heartbeat_age_seconds", PAGES} <= counted(bridge.port).keys()
    finally:
        bridge.close()
        sandbox.close()
