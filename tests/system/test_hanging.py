"""A worker that neither works nor ends: another one notices, ends it, and does its work."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.processes import kill
from tests.system.test_distributed import executor_id_of, said, start_worker, web_alone
from tests.system.waiting import until
from tests.system.world import World


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    with web_alone(tmp_path, postgres_url) as made:
        yield made


@pytest.mark.postgres
def test_a_worker_that_hangs_is_ended_and_its_work_recovered(world: World):
    hanging = start_worker(world.bridge, "worker-hanging")
    executor_id_of(hanging)
    healthy = start_worker(world.bridge, "worker-healthy")
    executor_id_of(healthy)
    world.bridge.wait_ready()
    world.sandbox.fault(partner="pagerduty", method="POST", kind="slow", seconds=3, times=30)
    alerts = [world.new_alert_id() for _ in range(20)]
    for alert_id in alerts:
        world.sandbox.raise_alert(alert_id)
    until(lambda: world.sandbox.hits() >= 9, "both have calls in hand", evidence=world.evidence)
    kill(hanging.pid, signal.SIGSTOP)
    world.sandbox.heal()
    until(lambda: said(healthy, "worker.fenced"), "it is ended", 60, healthy.output)
    for alert_id in alerts:
        world.until_both_are(alert_id, "open", "triggered", 30)
    kill(hanging.pid, signal.SIGCONT)
    until(lambda: said(hanging, "lease.lost"), "it notices", 10, hanging.output)
    until(lambda: len(said(hanging, "worker.started")) == 2, "it is back with a new lease", 20, hanging.output)
    assert [1] * 20 == [len(world.sandbox.incidents(alert_id)) for alert_id in alerts]
    assert ["worker-0"] == [line["executor_id"] for line in said(healthy, "worker.fenced")]
    assert 0 == hanging.terminate(20)
