"""``readyz`` is red exactly when the bridge cannot do its work, and says why in words."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.bridge import HOOKS, UNSPOKEN, Bridge
from tests.system.conftest import in_worlds
from tests.system.processes import kill
from tests.system.waiting import until
from tests.system.world import World

EVENT = b'{"id": "evt-%d", "type": "moon.rose"}'


def is_red(bridge: Bridge) -> bool:
    return bridge.status("/readyz") == 503


@pytest.mark.parametrize("source", HOOKS)
def test_a_webhook_without_its_secret_is_unavailable_and_the_other_works(
    new_bridge: Callable[..., Bridge], source: str
):
    missing = f"{source.upper()}_WEBHOOK_SECRETS"
    bridge = new_bridge(**{missing: ""}).start(ready=False)
    until(lambda: bridge.status("/healthz") == 200, "it answers", 30, bridge.tail)
    assert is_red(bridge)
    assert missing in bridge.get("/readyz").text
    expected = {hook: 503 if hook == source else 202 for hook in HOOKS}
    assert expected == {hook: bridge.deliver(hook, EVENT % 1).status_code for hook in HOOKS}


def test_every_missing_credential_is_named(new_bridge: Callable[..., Bridge]):
    missing = ("TRUTHVOUCH_API_KEY", "PAGERDUTY_FROM_EMAIL")
    bridge = new_bridge(**dict.fromkeys(missing, "")).start(ready=False)
    until(lambda: bridge.status("/healthz") == 200, "it answers", 30, bridge.tail)
    assert is_red(bridge)
    assert [] == [name for name in missing if name not in bridge.get("/readyz").text]
    said = [line["message"].partition(":")[0] for line in bridge.events("setting.missing")]
    assert sorted(missing) == sorted(said), "the log says it too, once"
    assert {202} == {bridge.deliver(hook, EVENT % 1).status_code for hook in HOOKS}


def test_without_any_pagerduty_key_nobody_can_be_paged(new_bridge: Callable[..., Bridge]):
    bridge = new_bridge(PAGERDUTY_API_KEY="", PAGERDUTY_INTEGRATION_KEY="").start(ready=False)
    until(lambda: bridge.status("/healthz") == 200, "it answers", 30, bridge.tail)
    assert is_red(bridge)
    assert "PAGERDUTY_" in bridge.get("/readyz").text


def test_the_quick_start_of_the_page_is_degraded_but_ready(new_bridge: Callable[..., Bridge]):
    bridge = new_bridge(PAGERDUTY_API_KEY="", PAGERDUTY_FROM_EMAIL="")
    bridge.config.write_text("pagerduty:\n  via: events\n", "utf-8")
    bridge.start()
    assert "degraded" in bridge.get("/readyz").text


def test_web_processes_without_a_worker_are_not_ready(new_bridge: Callable[..., Bridge]):
    bridge = new_bridge(BRIDGE_ROLE="web").start(ready=False)
    until(lambda: bridge.status("/healthz") == 200, "it answers", 30, bridge.tail)
    assert [] == bridge.worker_pids()
    assert is_red(bridge)
    assert "worker" in bridge.get("/readyz").text
    assert 202 == bridge.deliver("truthvouch", EVENT % 2).status_code


@in_worlds("rest")
def test_a_worker_that_hangs_is_noticed(world: World):
    (worker,) = world.bridge.worker_pids()
    kill(worker, signal.SIGSTOP)
    until(lambda: is_red(world.bridge), "red", 20, lambda: world.bridge.get("/readyz").text)
    assert "worker" in world.bridge.get("/readyz").text
    kill(worker, signal.SIGCONT)
    world.bridge.wait_ready()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight mebibytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096) == 4096:
                pass
        except OSError:
            return ballast
    return ballast


def test_a_full_disk_is_said_and_nothing_is_accepted_that_could_be_lost(
    new_bridge: Callable[..., Bridge], small_disk: Path
):
    bridge = new_bridge(BRIDGE_DATA_DIR=str(small_disk / "data")).start()
    ballast = fill(small_disk)
    until(lambda: is_red(bridge), "red", 20, lambda: bridge.get("/readyz").text)
    assert "store" in bridge.get("/readyz").text
    statuses = {
        bridge.deliver("truthvouch", b'{"id": "evt-full-%d", "pad": "%s"}' % (n, b"x" * 20_000)).status_code
        for n in range(30)
    }
    assert 503 in statuses
    assert statuses <= {202, 503}
    ballast.unlink()
    bridge.wait_ready()
    assert 202 == bridge.deliver("truthvouch", EVENT % 3).status_code


@in_worlds("rest")
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_nothing_secret_stands_in_the_open_pages(world: World, path: str):
    text = world.bridge.get(path).text
    assert [] == [word for word in UNSPOKEN if word in text]
