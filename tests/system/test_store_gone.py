"""A PostgreSQL that cannot be reached for a while: it is said, nothing is lost or doubled, and everything goes on."""

from pathlib import Path

import psycopg
import pytest

from tests.system.tcp_proxy import TcpProxy
from tests.system.test_distributed import said, start_worker, web_alone
from tests.system.waiting import until


@pytest.mark.postgres
@pytest.mark.parametrize("role", ["web", "all"])
def test_a_store_that_is_gone_for_a_while_loses_and_doubles_nothing(tmp_path: Path, postgres_url: str, role: str):
    server = psycopg.conninfo.conninfo_to_dict(postgres_url)
    with TcpProxy(str(server["host"]), int(server.get("port") or 5432)) as wire:
        address = postgres_url.replace(f"@{server['host']}:{server.get('port')}", f"@127.0.0.1:{wire.port}")
        assert address != postgres_url
        with web_alone(tmp_path, address, role) as world:
            worker = start_worker(world.bridge, "worker") if role == "web" else world.bridge.tree
            world.bridge.wait_ready()
            before, meanwhile, after = ([world.new_alert_id() for _ in range(5)] for _ in range(3))
            world.sandbox.fault(partner="pagerduty", method="POST", kind="slow", seconds=0.5, times=3)
            for alert_id in before:
                world.sandbox.raise_alert(alert_id)
            until(world.sandbox.hits, "calls are in hand", evidence=world.evidence)
            wire.cut()
            for alert_id in meanwhile:
                world.sandbox.raise_alert(alert_id)
            until(lambda: world.bridge.status("/readyz") == 503, "it says so", evidence=world.evidence)
            assert 503 == world.bridge.send_webhook("truthvouch", {"event": "alert.created"}).status_code
            until(lambda: said(worker, "store.unavailable"), "the worker came back and waits", 30, worker.output)
            wire.let_through()
            world.bridge.wait_ready()
            for alert_id in after:
                world.sandbox.raise_alert(alert_id)
            for alert_id in (*before, *meanwhile, *after):
                world.until_both_are(alert_id, "open", "triggered", 60)
            for alert_id in (*before, *meanwhile, *after):
                world.sandbox.at_pagerduty(alert_id, "resolve")
            for alert_id in (*before, *meanwhile, *after):
                world.until_both_are(alert_id, "resolved", "resolved", 30)
                assert 1 == len(world.sandbox.incidents(alert_id))
            assert worker.process.poll() is None
