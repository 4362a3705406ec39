"""Starting and stopping, as an operator does: in order, in a hurry, twice at once, wrongly."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.system.bridge import Bridge
from tests.system.conftest import STOP_SECONDS, StartWorld, end_in_order, in_worlds
from tests.system.waiting import until
from tests.system.world import World


@in_worlds("rest")
def test_stopping_in_the_middle_of_a_call_is_quick_and_the_call_is_repeated(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.fault(partner="pagerduty", kind="slow", seconds=60, times=1)
    world.sandbox.raise_alert(alert_id)
    until(world.sandbox.hits, "the call", evidence=world.evidence)
    assert 0 == world.bridge.tree.terminate(STOP_SECONDS)
    assert {} == world.bridge.tree.members()
    world.sandbox.heal()
    world.bridge.start()
    world.until_both_are(alert_id, "open", "triggered", 30)


def test_an_interrupted_bridge_ends_at_once(new_bridge: Callable[..., Bridge]):
    bridge = new_bridge().start()
    bridge.tree.process.send_signal(signal.SIGINT)
    assert 0 == bridge.tree.process.wait(STOP_SECONDS)
    assert {} == bridge.tree.members()


def test_a_bridge_stopped_before_it_is_ready_ends_too(new_bridge: Callable[..., Bridge]):
    bridge = new_bridge().start(ready=False)
    until(lambda: len(bridge.tree.members()) > 1, "something was started", evidence=bridge.tail)
    assert 0 == bridge.tree.terminate(STOP_SECONDS)
    assert {} == bridge.tree.members()


def test_two_bridges_started_at_once_on_an_empty_directory_share_it(new_bridge: Callable[..., Bridge], tmp_path: Path):
    shared = str(tmp_path / "shared")
    bridges = [new_bridge(BRIDGE_DATA_DIR=shared).start(ready=False) for _ in range(2)]
    for bridge in bridges:
        bridge.wait_ready()
    for bridge in bridges:
        end_in_order(bridge)


def test_every_fault_of_the_settings_is_named_at_once_and_nothing_starts(new_bridge: Callable[..., Bridge]):
    bridge = new_bridge(PORT="eighty", BRIDGE_RECONCILE_SECONDS="soon", PAGERDUTY_REGION="moon").start(ready=False)
    assert 0 != bridge.tree.process.wait(STOP_SECONDS)
    assert {} == bridge.tree.members()
    said = bridge.tree.output()
    assert [] == [name for name in ("PORT", "BRIDGE_RECONCILE_SECONDS", "PAGERDUTY_REGION") if name not in said]
    assert "Traceback" not in said


def test_a_broken_bridge_yaml_is_refused_at_start_by_name(new_bridge: Callable[..., Bridge]):
    bridge = new_bridge()
    bridge.config.write_text("severity_map:\n  critical: loud\nno_such_key: 1\n", "utf-8")
    bridge.start(ready=False)
    assert 0 != bridge.tree.process.wait(STOP_SECONDS)
    said = bridge.tree.output()
    assert [] == [name for name in ("severity_map", "no_such_key") if name not in said]
    assert "Traceback" not in said


def test_a_changed_bridge_yaml_is_taken_up_and_a_broken_one_is_not(start_world: StartWorld):
    world = start_world()
    suppress = "rules:\n  - name: Quiet\n    trigger: severity == 'critical'\n    action: {type: suppress}\n"
    world.bridge.config.write_text("pagerduty:\n  via: rest\n" + suppress, "utf-8")
    quiet = until(lambda: _opens_nothing(world), "the new rule is in force", 20, world.evidence)
    assert quiet
    world.bridge.config.write_text("rules: [", "utf-8")
    assert _opens_nothing(world)


def _opens_nothing(world: World) -> bool:
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    return world.writes(alert_id) == []


def test_a_second_bridge_on_a_taken_port_ends_with_a_clear_word(new_bridge: Callable[..., Bridge]):
    first = new_bridge().start(ready=False)
    until(lambda: first.status("/healthz") == 200, "it listens", 30, first.tail)
    second = new_bridge(PORT=str(first.port)).start(ready=False)
    assert 1 == second.tree.process.wait(STOP_SECONDS)
    _starting, line = second.tree.output().splitlines()
    assert "start.refused" in line
    assert f"Port {first.port} is in use: stop what listens there, or set PORT to another one." in line
    assert {} == second.tree.members()


def test_the_most_talkative_log_is_json_and_nothing_is_written_beside_the_data(new_bridge: Callable[..., Bridge]):
    command = ["git", "status", "--porcelain", "--ignored", "--", "data", ".gunicorn"]
    before = subprocess.run(command, capture_output=True, text=True).stdout
    bridge = new_bridge(LOG_LEVEL="DEBUG").start()
    bridge.get("/no-such-page")
    end_in_order(bridge)
    assert [] == [line for line in bridge.lines() if "event" not in json.loads(line)]
    assert before == subprocess.run(command, capture_output=True, text=True).stdout
