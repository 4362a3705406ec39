"""The bridge pages about itself: what is broken opens one incident, and what is mended resolves it."""

import signal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.far_side import far_side
from tests.system.conftest import StartWorld
from tests.system.processes import kill
from tests.system.tcp_proxy import TcpProxy
from tests.system.test_distributed import web_alone
from tests.system.waiting import until
from tests.system.world import World

SELF_KEY = "sandboxsandboxsandboxsandbox0002"
"""Of another service than the alerts'."""
TOKEN = "heartbeat-token-marker"
WATCHED = {"BRIDGE_SELF_INTEGRATION_KEY": SELF_KEY, "BRIDGE_PUBLIC_URL": "https://bridge.example.com"}


def own_incidents(world: World) -> dict[str, list[str]]:
    """By fault: what became of the incidents that the bridge opened about itself."""
    found: dict[str, list[str]] = {}
    for incident in world.sandbox.state()["incidents"]:
        for key in {incident["incident_key"], *incident["alert_keys"]}:
            if (key or "").startswith("truthvouch-bridge-"):
                found.setdefault(key.rpartition("-")[2], []).append(incident["status"])
    return found


def own_events(world: World) -> list[tuple[str, str]]:
    """What the bridge sent about itself, oldest first: (fault, action)."""
    bodies: list[dict[str, Any]] = [call["body"] for call in world.sandbox.calls() if "enqueue" in call["path"]]
    own = [body for body in bodies if body["routing_key"] == SELF_KEY]
    return [(body["dedup_key"].rpartition("-")[2], body["event_action"]) for body in own]


def until_own_are(world: World, expected: dict[str, list[str]], seconds: float) -> None:
    until(
        lambda: own_incidents(world) == expected,
        f"{expected}",
        seconds,
        lambda: f"{own_incidents(world)} {own_events(world)}\n{world.evidence()}",
    )


def test_a_worker_that_hangs_pages_once_and_beats_no_more_and_a_kill_in_between_doubles_nothing(
    start_world: StartWorld,
):
    with far_side() as service:
        for _ in range(20):
            service.will_answer(200)
        address = f"{service.url}/ping/{TOKEN}"
        world = start_world(LOG_LEVEL="DEBUG", **WATCHED, BRIDGE_HEARTBEAT_URL=address)
        until(lambda: service.requests, "an idle bridge beats", 30, world.bridge.tail)
        (worker,) = world.bridge.worker_pids()
        kill(worker, signal.SIGSTOP)
        until_own_are(world, {"worker_silent": ["triggered"]}, 90)
        assert 503 == world.bridge.status("/readyz")
        beats = len(service.requests)
        looks = until(lambda: _looks(world), "a look is under way", 30, world.bridge.tail)
        for pid in looks:
            kill(pid)
        assert {"worker_silent": ["triggered"]} == own_incidents(world)
        kill(worker)
        until_own_are(world, {"worker_silent": ["resolved"]}, 90)
        assert 1 == own_events(world).count(("worker_silent", "trigger"))
        until(lambda: len(service.requests) > beats, "it beats again", 30, world.bridge.tail)
        assert [] == [line for line in world.bridge.lines() if TOKEN in line or SELF_KEY in line]


def _looks(world: World) -> list[int]:
    """The children of the master that look at the bridge now."""
    return [pid for pid, command in world.bridge.tree.members().items() if "app.process.watch" in command]


@pytest.mark.postgres
def test_a_store_that_goes_away_pages_from_memory_and_is_resolved_when_it_is_back(tmp_path: Path, postgres_url: str):
    server = psycopg.conninfo.conninfo_to_dict(postgres_url)
    with TcpProxy(str(server["host"]), int(server.get("port") or 5432)) as wire:
        address = postgres_url.replace(f"@{server['host']}:{server.get('port')}", f"@127.0.0.1:{wire.port}")
        with web_alone(tmp_path, address, "all", **WATCHED) as world:
            world.bridge.wait_ready()
            until(lambda: own_events(world), "the first look", 60, world.bridge.tail)
            wire.cut()
            until_own_are(world, {"store_gone": ["triggered"]}, 120)
            world.bridge.kill_worker()
            wire.let_through()
            world.bridge.wait_ready()
            until_own_are(world, {"store_gone": ["resolved"]}, 120)
            assert 1 == own_events(world).count(("store_gone", "trigger"))
