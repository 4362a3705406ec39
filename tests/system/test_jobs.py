"""Long work beside the deliveries, and silences that live in the store: the real processes, both stores."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.system.conftest import in_worlds
from tests.system.processes import PYTHON, ROOT
from tests.system.test_operators import api, command
from tests.system.waiting import until
from tests.system.world import World

on_both_stores = in_worlds("rest", "rest-postgres")


def job(world: World, number: int) -> dict[str, Any]:
    code, answer = command(world.bridge, "jobs", "show", str(number))
    assert 0 == code
    return dict(answer)


def started(world: World, *words: str) -> int:
    code, answer = command(world.bridge, "jobs", "start", *words)
    assert (0, "queued") == (code, answer["outcome"]), world.evidence()
    return int(answer["job_id"])


def over(world: World, number: int) -> dict[str, Any]:
    states = ("done", "failed", "cancelled")
    until(lambda: job(world, number)["state"] in states, "the job is over", 40, world.evidence)
    return job(world, number)


def result(world: World, number: int, path: Path) -> bytes:
    bridge = world.bridge
    environment = {"PATH": os.environ["PATH"], "HOME": str(bridge.folder), **bridge.environment}
    words = [str(PYTHON), "-m", "app.cli", "jobs", "show", str(number), "-o", str(path)]
    subprocess.run(words, cwd=ROOT, env=environment, check=True, timeout=60, capture_output=True)
    return path.read_bytes()


def job_pids(world: World, number: int) -> list[int]:
    wanted = f"jobs run {number} "
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if wanted in line]


@on_both_stores
def test_a_backtest_and_a_report_are_made_beside_the_deliveries(world: World, tmp_path: Path):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    draft = tmp_path / "draft.yaml"
    draft.write_text("severity_map: {critical: none, high: none}\n", "utf-8")
    tested, reported = started(world, "backtest", "--config", str(draft)), started(world, "report", "--format", "html")
    assert "done" == over(world, tested)["state"], world.evidence()
    found = json.loads(result(world, tested, tmp_path / "backtest.json"))
    assert found["differences"]["lost"]["count"] >= 1
    assert found["pages"]["draft"] == 0
    assert "done" == over(world, reported)["state"], world.evidence()
    assert b"<html" in result(world, reported, tmp_path / "report.html")


@on_both_stores
def test_a_job_whose_worker_is_killed_is_begun_again(world: World):
    number = started(world, "backtest")
    until(lambda: job(world, number)["state"] != "waiting", "the job is begun", 20, world.evidence)
    world.bridge.kill_worker()
    assert "done" == over(world, number)["state"], world.evidence()
    until(lambda: not job_pids(world, number), "no process of it is left", 10, world.evidence)


@on_both_stores
def test_a_job_that_does_not_listen_is_ended_all_the_same(world: World):
    """It waits for a partner when it is stopped, so that it cannot have ended by then."""
    for partner in ("pagerduty", "truthvouch"):
        world.sandbox.fault(partner=partner, method="GET", kind="slow", seconds=30, times=100)
    answer = api(world.bridge, "POST", "/jobs/reconcile")
    assert "queued" == answer.json()["outcome"], answer.text
    number = int(answer.json()["job_id"])
    (pid,) = until(lambda: job_pids(world, number), "its process runs", 20, world.evidence)
    until(world.sandbox.hits, "it has called somebody", 20, world.evidence)
    os.kill(pid, signal.SIGSTOP)
    code, answers = command(world.bridge, "jobs", "cancel", str(number))
    assert (0, "cancel_asked") == (code, answers[0]["outcome"])
    assert "cancelled" == over(world, number)["state"], world.evidence()
    assert [] == job_pids(world, number)
    world.sandbox.heal()


@on_both_stores
def test_a_silence_of_the_store_keeps_alerts_quiet_until_it_is_ended(world: World):
    name, alert_id = f"quiet {world.new_alert_id()}", world.new_alert_id()
    words = ("--match", f'alert_id == "{alert_id}"', "--for", "1h", "--reason", "a drill", "--name", name, "--store")
    assert 0 == command(world.bridge, "silences", "add", *words, "--yes")[0]
    code, listed = command(world.bridge, "silences", "list")
    assert [(0, "store")] == [(code, one["origin"]) for one in listed if one["name"] == name]
    until(lambda: "rulebook.stored_part_read" in world.bridge.tail(), "the worker has read it", 10, world.evidence)
    world.sandbox.raise_alert(alert_id)
    until(lambda: command(world.bridge, "timeline", alert_id)[1], "it is known", 20, world.evidence)
    assert [] == world.writes(alert_id)
    (line,) = [one for one in command(world.bridge, "timeline", alert_id)[1] if one["event"] == "alert.created"]
    assert ("silenced", name) == (line["facts"]["reason"], line["facts"]["rule"])
    assert "+" in line["facts"]["rulebook"]
    assert 0 == command(world.bridge, "silences", "end", name)[0]
    world.until_both_are(alert_id, "open", "triggered", 30)
    acts = [(one["action"], one["way"], one["outcome"]) for one in command(world.bridge, "audit", "list")[1]]
    assert {("silence", "cli", "silenced"), ("end_silence", "cli", "ended")} <= set(acts)
