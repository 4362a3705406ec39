"""That the benchmark measures: a small run of some parts. What the figures are is nobody's business here."""

import json
from pathlib import Path

import pytest

from bench import history
from bench.__main__ import measure
from bench.alerts import AlertMill
from bench.figures import Figure, Report
from bench.processes import SECRET
from bench.rig import Plan, Setup

pytestmark = pytest.mark.system

SMALL = Plan(pairs=1, rounds=1, seconds=0.4, connections=4, backlog=20, burst=20, idle_seconds=0.5, events=40)


def figures_of(folder: Path, *parts: str, postgres: str = "") -> dict[str, Figure]:
    mill = AlertMill(1, SECRET, "2026-01-15T10:00:00Z")
    said: list[str] = []
    return {one.name: one for one in measure(Setup(SMALL, mill, folder, postgres, said.append), parts)}


def test_a_small_run_measures_what_each_part_promises(tmp_path: Path):
    found = figures_of(tmp_path, "calls", "idle")
    costs = [found[f"processor time per alert, {at}/s"].value for at in (20, 50, 100)]
    assert all(0 < cost < 1000 for cost in costs), costs
    assert 0 <= found["idle, everything"].value < 100
    assert 0 < found["alert to call at 50/s, p50"].value <= found["alert to call at 50/s, p99"].value


def test_a_bridge_is_weighed_before_and_after_every_page_was_opened(tmp_path: Path):
    found = figures_of(tmp_path, "memory")
    before, after = found["memory"].value, found["memory, then every page opened in every web process"].value
    assert 50 < before < after < 1000


@pytest.fixture
def report() -> Report:
    setting = {"machine": "one", "store": "SQLite"}
    return Report(setting, [Figure("processor time per alert, 50/s", "ms", (3.0, 5.0, 4.0), 4.0)])


def test_a_run_is_appended_to_the_history_and_drawn(tmp_path: Path, report: Report):
    lines = tmp_path / "history.jsonl"
    history.record(report, lines)
    history.record(report, lines)
    first, second = map(json.loads, lines.read_text("utf-8").splitlines())
    assert first == second
    assert {"processor time per alert, 50/s": 4.0} == first["figures"]
    (drawn,) = history.draw(lines, tmp_path)
    assert "processor time per alert, 50/s" in drawn.read_text("utf-8")


def test_the_same_history_is_drawn_the_same(tmp_path: Path, report: Report):
    lines = tmp_path / "history.jsonl"
    history.record(report, lines)
    (drawn,) = history.draw(lines, tmp_path)
    before = drawn.read_text("utf-8")
    history.draw(lines, tmp_path)
    assert before == drawn.read_text("utf-8")


def test_a_chart_shows_runs_of_one_machine_alone(tmp_path: Path, report: Report):
    lines = tmp_path / "history.jsonl"
    history.record(Report({**report.setting, "machine": "another"}, [Figure("idle, everything", "%", (1.0,))]), lines)
    history.record(report, lines)
    assert ["performance-processor.svg"] == [path.name for path in history.draw(lines, tmp_path)]
