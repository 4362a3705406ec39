"""A bridge on SQLite moves to PostgreSQL while alerts come: no page is lost, none is doubled, and keys stay valid."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.system.bridge import Bridge
from tests.system.conftest import StartWorld
from tests.system.processes import PYTHON, Tree
from tests.system.test_access import Browser
from tests.system.test_operators import command
from tests.system.waiting import until
from tests.system.world import World

PAUSE_SECONDS = 0.25
OPENED = ("POST", "/incidents", 201)
SOON_SECONDS = 10.0
"""What is owed is asked about after five minutes otherwise."""


class Traffic:
    """Alerts that come one after the other, until as many are there as are wanted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._wanted = 0
        self.alerts: list[str] = []

    @contextmanager
    def flowing(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._flow, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _flow(self, stop: threading.Event) -> None:
        while not stop.wait(PAUSE_SECONDS):
            if len(self.alerts) < self._wanted:
                self.raise_one()

    def more(self, count: int) -> int:
        """Let so many more come; how many there are then."""
        self._wanted = len(self.alerts) + count
        return self._wanted

    def raise_one(self) -> str:
        alert_id = self._world.new_alert_id()
        self._world.sandbox.raise_alert(alert_id)
        self.alerts.append(alert_id)
        return alert_id


class Beside(Protocol):
    def __call__(self, bridge: Bridge, *words: str) -> Tree: ...


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    """Starts commands of ``truthvouch`` in the bridge's environment."""
    with ExitStack() as ending:

        def start(bridge: Bridge, *words: str) -> Tree:
            environment = {name: value for name, value in bridge.environment.items() if value}
            log = tmp_path / f"{uuid.uuid4().hex}.log"
            tree = Tree([PYTHON, "-m", "app.cli", *words], environment, log)
            ending.callback(tree.destroy)
            return tree

        yield start


def asks_to_stop(copy: Tree) -> None:
    until(lambda: "Stop the bridge now" in copy.output(), "it asks for the bridge's end", 20, copy.output)


def test_a_move_to_postgresql_loses_and_doubles_nothing(postgres_url: str, start_world: StartWorld, beside: Beside):
    world = start_world(BRIDGE_SECRET_KEY="")
    bridge, traffic = world.bridge, Traffic(world)
    _, token = command(bridge, "tokens", "add", "ci", "--role", "admin")
    browser = Browser(bridge)
    assert 303 == browser.send_form(f"{bridge.url}/console/login", token=token["token"])
    with traffic.flowing():
        traffic.more(9)
        assert 0 == command(bridge, "store", "backup", str(bridge.folder / "backup"))[0]
        refused = beside(bridge, "store", "restore", str(bridge.folder / "backup"), "--yes")
        killed = beside(bridge, "store", "copy", "--to", postgres_url)
        asks_to_stop(killed)
        killed.destroy()
        wanted = traffic.more(3)
        until(lambda: len(traffic.alerts) >= wanted, "more comes while nobody copies")
        traffic.more(9)
        copy = beside(bridge, "store", "copy", "--to", postgres_url)
        asks_to_stop(copy)
        assert 2 == refused.process.wait(20), "nothing is restored while the bridge runs"
    world.until_both_are(traffic.alerts[0], "open", "triggered")
    world.sandbox.at_pagerduty(traffic.alerts[0], "acknowledge")
    world.sandbox.fault(partner="pagerduty", method="POST", path_regex=r"/incidents$", status=503, times=10_000)
    owed = [traffic.raise_one() for _ in range(3)]
    until(lambda: world.sandbox.hits() >= len(owed), "these pages are tried in vain", evidence=world.evidence)
    world.sandbox.webhooks("hold")
    after_stop = traffic.raise_one()
    assert 0 == bridge.tree.terminate(), bridge.tail()
    stopped_at = time.monotonic()
    assert 0 == copy.process.wait(20), copy.output()
    assert time.monotonic() - stopped_at < 10, "the rest is little"
    refused = beside(bridge, "migrate")
    assert 2 == refused.process.wait(20)
    assert "DATABASE_URL" in refused.output(), "nobody starts on the old store"

    bridge.environment["DATABASE_URL"] = postgres_url
    world.sandbox.heal()
    bridge.start()
    for alert_id in owed:
        world.until_both_are(alert_id, "open", "triggered", SOON_SECONDS)
    world.sandbox.webhooks("send")
    world.sandbox.flush()
    world.until_both_are(after_stop, "open", "triggered")
    world.until_both_are(traffic.alerts[0], "acknowledged", "acknowledged")
    assert {200} == browser.statuses()
    assert 200 == bridge.get("/api/v1/links", headers={"Authorization": f"Bearer {token['token']}"}).status_code
    for alert_id in traffic.alerts[1:]:
        world.until_both_are(alert_id, "open", "triggered")
    calls = [call for call in world.sandbox.calls() if (call["method"], call["path"], call["status"]) == OPENED]
    keys = [call["body"]["incident"]["incident_key"] for call in calls]
    assert len(set(keys)) == len(keys) == len(traffic.alerts)
