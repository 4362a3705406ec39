"""Worlds to test in. Every world ends the same way: SIGTERM, exit 0 in time, nothing left, a log fit to keep."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import fresh_postgres
from tests.shapes import shaped
from tests.system.bridge import Bridge, assert_log_is_fit_to_keep
from tests.system.processes import free_port
from tests.system.sandbox import Sandbox
from tests.system.world import World

STOP_SECONDS = 20.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a system test."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.system)


@contextmanager
def a_world(folder: Path, via: str = "rest", config: str = "", **settings: str) -> Iterator[World]:
    """A running world in this folder, ended in order. ``{port}`` in a setting is the bridge's own."""
    port = free_port()
    settings = {name: value.replace("{port}", str(port)) for name, value in settings.items()}
    sandbox = Sandbox(folder, f"http://127.0.0.1:{port}")
    bridge = Bridge(folder, sandbox.url, port=port, **settings)
    bridge.config.write_text(f"pagerduty:\n  via: {via}\n{config}", "utf-8")
    if "DATABASE_URL" not in settings and not (folder / "data").exists():
        shaped(folder / "data")
    try:
        yield World(bridge.start(), sandbox)
        # Its connections are kept alive, and every web process would grant each of them two seconds more.
        sandbox.close()
        bridge.hang_up()
        end_in_order(bridge)
    finally:
        bridge.close()
        sandbox.close()


def end_in_order(bridge: Bridge) -> None:
    """SIGTERM ends everything within 20 seconds, exit 0, no process left."""
    began = time.monotonic()
    assert bridge.tree.terminate() == 0, bridge.tail()
    assert time.monotonic() - began < STOP_SECONDS
    assert bridge.tree.members() == {}
    assert_log_is_fit_to_keep(bridge)


WORLDS = {"rest": ("rest", False), "events": ("events", False), "rest-postgres": ("rest", True)}
"""Name -> (PagerDuty's API, whether on PostgreSQL): the worlds that tests share, each on alerts of its own."""


@pytest.fixture(scope="package")
def shared_worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], World]]:
    """Worlds by name, started when first asked for and ended after the last test here: an idle one costs the others."""
    running: dict[str, World] = {}
    with ExitStack() as ending:

        def world(name: str) -> World:
            if name not in running:
                via, on_postgres = WORLDS[name]
                settings = {"DATABASE_URL": ending.enter_context(fresh_postgres())} if on_postgres else {}
                running[name] = ending.enter_context(a_world(tmp_path_factory.mktemp(name), via, **settings))
            return running[name]

        yield world


@pytest.fixture(params=["rest", "events"])
def world(request: pytest.FixtureRequest, shared_worlds: Callable[[str], World]) -> Iterator[World]:
    """A shared world in which the partners behave and webhooks flow, whatever the test before did to them.

    A module that wants other worlds than these two parametrizes the fixture: ``in_worlds("rest", ...)``.
    """
    world = shared_worlds(request.param)
    yield world
    world.sandbox.heal()
    world.sandbox.webhooks("send")
    world.bridge.wait_ready()


def in_worlds(*names: str) -> pytest.MarkDecorator:
    """Run the test in these shared worlds."""
    return pytest.mark.parametrize("world", names, indirect=True)


class StartWorld(Protocol):
    def __call__(self, via: str = "rest", config: str = "", **settings: str) -> World: ...


@pytest.fixture
def start_world(tmp_path: Path) -> Iterator[StartWorld]:
    """A world for one test, with the settings it needs. One web process is enough here."""
    with ExitStack() as worlds:

        def start(via: str = "rest", config: str = "", **settings: str) -> World:
            return worlds.enter_context(a_world(tmp_path, via, config, **{"WEB_CONCURRENCY": "1", **settings}))

        yield start


@pytest.fixture
def new_bridge(tmp_path: Path) -> Iterator[Callable[..., Bridge]]:
    """A bridge without partners, not yet started; whatever is left of it is ended. One web process is enough here."""
    made: list[Bridge] = []

    def make(**settings: str) -> Bridge:
        folder = tmp_path / f"bridge-{len(made)}"
        folder.mkdir()
        made.append(Bridge(folder, "http://127.0.0.1:9", None, **{"WEB_CONCURRENCY": "1", **settings}))
        return made[-1]

    yield make
    for bridge in made:
        bridge.close()
