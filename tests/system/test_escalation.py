"""Levels of seconds: at their time, once, through a kill -9; and the drill that shows it to people."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import a_world
from tests.system.processes import PYTHON, ROOT
from tests.system.test_operators import command
from tests.system.waiting import steady, until
from tests.system.world import World

FIRST, SECOND = 1.5, 6.0
"""Seconds. The second is as long as a worker needs to come back."""
CONFIG = f"""
escalation:
  policy_id: PSBXEP2
  levels:
    - {{level: 1, timeout_minutes: {FIRST / 60}}}
    - {{level: 2, timeout_minutes: {SECOND / 60}, description: the director}}
"""
PUNCTUAL_SECONDS = 2.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("escalation"), config=CONFIG) as made:
        yield made


def moves(world: World, incident_id: str) -> list[str]:
    """What was asked of the incident's place: ``PSBXEP2``, ``level 2``."""
    calls = world.sandbox.calls(partner="pagerduty", method="PUT")
    changes = [call["body"]["incident"] for call in calls if call["path"].endswith(f"/incidents/{incident_id}")]
    answer = [(change.get("escalation_policy") or {}).get("id") or change.get("escalation_level") for change in changes]
    return [f"level {one}" if isinstance(one, int) else one for one in answer if one]


def opened(world: World) -> tuple[str, str]:
    """An alert and its incident, which is being escalated."""
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    until(lambda: world.sandbox.incidents(alert_id), "an incident", evidence=world.evidence)
    return alert_id, str(world.sandbox.incident(alert_id)["id"])


def lines(world: World, subject: str, event: str) -> list[dict[str, Any]]:
    code, answer = command(world.bridge, "timeline", subject)
    assert 0 == code
    return [line for line in answer if line["event"] == event and "level" in line["facts"]]  # PagerDuty's own have none


def test_each_level_moves_once_at_its_time_through_a_kill(world: World) -> None:
    alert_id, incident_id = opened(world)
    _, calm = opened(world)
    world.sandbox.post(f"pagerduty/incidents/{calm}/acknowledge", {"by": "oncall@example.com"})
    until(lambda: moves(world, incident_id) == ["PSBXEP2"], "level 1", 10, world.evidence)
    world.bridge.kill_worker()
    until(lambda: len(moves(world, incident_id)) == 2, "level 2", 20, world.evidence)
    assert ["PSBXEP2", "level 2"] == steady(lambda: moves(world, incident_id), "its moves", 1.0)
    assert [] == moves(world, calm)

    assert 2 == world.sandbox.incident(alert_id)["escalation_level"]
    first, second = until(
        lambda: lines(world, alert_id, "incident.escalated"), "both are told", evidence=world.evidence
    )
    assert [1, 2] == [first["facts"]["level"], second["facts"]["level"]]
    (armed,) = lines(world, alert_id, "escalation.armed")
    due = [datetime.fromisoformat(armed["facts"]["due_at"]).timestamp()]
    due.append(due[0] + SECOND)
    levels_done = [datetime.fromisoformat(line["at"]).timestamp() for line in (first, second)]
    assert all(0 <= at - wanted < PUNCTUAL_SECONDS for at, wanted in zip(levels_done, due, strict=True)), (
        levels_done,
        due,
    )


def test_a_level_with_nobody_on_call_is_skipped_at_once(world: World) -> None:
    world.sandbox.post("pagerduty/policies/PSBXEP2", {"empty_levels": [1]})
    try:
        alert_id, incident_id = opened(world)
        until(lambda: moves(world, incident_id), "a move", 10, world.evidence)
    finally:
        world.sandbox.post("pagerduty/policies/PSBXEP2", {"empty_levels": []})
    assert ["PSBXEP2"] == moves(world, incident_id)
    assert 2 == world.sandbox.incident(alert_id)["escalation_level"]
    (skipped,) = until(lambda: lines(world, alert_id, "escalation.skipped"), "it is told", evidence=world.evidence)
    assert "nobody_on_call" == skipped["facts"]["because"]


def drills(world: World) -> list[dict[str, Any]]:
    return [one for one in world.sandbox.state()["incidents"] if one["title"].startswith("[DRILL]")]


def test_a_drill_goes_up_and_is_resolved(world: World) -> None:
    words = ("--policy", "PSBXEP1", "--minutes-per-level", "0.02", "--levels", "1", "--yes")
    code, answer = command(world.bridge, "escalation", "drill", *words)
    assert (0, "exhausted") == (code, answer["outcome"]), answer
    assert {"opened", "escalation.armed", "incident.escalated"} <= {step["event"] for step in answer["steps"]}
    (incident,) = drills(world)
    assert ("resolved", 2) == (incident["status"], incident["escalation_level"])


def test_a_drill_that_is_interrupted_leaves_nothing_open(world: World) -> None:
    before = len(drills(world))
    environment = {"PATH": os.environ["PATH"], "HOME": str(world.bridge.folder), **world.bridge.environment}
    words = ["escalation", "drill", "--minutes-per-level", "10", "--yes"]
    program = [str(PYTHON), "-m", "app.cli", *words]
    with subprocess.Popen(program, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as drill:
        assert drill.stdout is not None
        said = iter(drill.stdout)
        until(lambda: "escalation.armed" in next(said, "escalation.armed"), "it is armed", evidence=world.evidence)
        drill.send_signal(signal.SIGINT)
        assert 1 == drill.wait(20)
    assert before + 1 == len(drills(world))
    assert {"resolved"} == {incident["status"] for incident in drills(world)}


def test_the_plan_of_an_alert_that_has_not_happened(world: World, tmp_path: Path) -> None:
    alert = tmp_path / "alert.json"
    alert.write_text(json.dumps({"alertId": "virtual", "severity": "critical"}), "utf-8")
    code, plan = command(world.bridge, "escalation", "plan", str(alert))
    assert (0, [FIRST, FIRST + SECOND]) == (code, [round(level["after_seconds"], 3) for level in plan["levels"]])
    assert [["Manager Example"], ["Director Example"]] == [level["on_call"] for level in plan["levels"]]
    alert.write_text(json.dumps({"alertId": "virtual", "severity": "high"}), "utf-8")
    code, plan = command(world.bridge, "escalation", "plan", str(alert))
    assert (1, "low_urgency", []) == (code, plan["because"], plan["levels"])
