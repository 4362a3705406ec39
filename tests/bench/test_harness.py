"""That the benchmark measures: a small run of some parts. What the figures are is nobody's business here."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import history, profile
from bench.__main__ import main, measure
from bench.alerts import AlertMill
from bench.figures import Figure, Report
from bench.processes import SECRET, BenchFault
from bench.rig import Plan, Setup

SMALL = Plan(pairs=1, rounds=1, seconds=0.4, connections=4, backlog=20, burst=20, idle_seconds=0.5, events=40)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    said: list[str] = []
    return Setup(SMALL, AlertMill(1, SECRET, "2026-01-15T10:00:00Z"), tmp_path, "", said.append)


def by_name(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


@pytest.mark.system
def test_a_small_run_measures_what_each_part_promises(setup: Setup):
    found = by_name(measure(setup, ("calls", "idle")))
    costs = [found[f"processor time per alert, {at}/s"].value for at in (20, 50, 100)]
    assert all(0 < cost < 1000 for cost in costs), costs
    assert 0 <= found["idle, everything"].value < 100
    assert 0 < found["alert to call at 50/s, p50"].value <= found["alert to call at 50/s, p99"].value


@pytest.mark.system
def test_a_bridge_is_weighed_before_and_after_every_page_was_opened(setup: Setup):
    found = by_name(measure(setup, ("memory",)))
    before, after = found["memory"].value, found["memory, then every page opened in every web process"].value
    assert 50 < before < after < 1000


def test_a_part_that_is_not_there_is_refused_with_those_that_are():
    answer = CliRunner().invoke(main, ["--only", "calls", "--only", "nothing"])
    assert 2 == answer.exit_code
    assert "nothing; known: accept, calls, " in answer.output


def test_several_workers_need_a_store_for_several():
    answer = CliRunner().invoke(main, ["--only", "workers"])
    assert 2 == answer.exit_code
    assert "--postgres" in answer.output


def test_whoever_wants_a_flame_graph_without_the_tool_learns_how_to_get_it(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(BenchFault, match="pip install py-spy"):
        profile.profiling(setup, tmp_path / "flames")


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
