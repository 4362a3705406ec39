"""What does the work of each kind of job, on a real store."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.bootstrap.container import Container
from app.bootstrap.jobs import run_job
from app.bootstrap.rules import shadow_of
from app.config.settings import Settings
from app.domain.model.events import Unreadable, Way
from app.domain.model.types import Side, Source
from app.ports.jobs import BacktestWanted, Job, JobKind, JobRefused, JobResult, JobState, ReplayWanted, ReportWanted
from app.ports.rules import StoredDraft
from tests.fakes import START
from tests.rig import Rig
from tests.services.operator.test_operate import OperatorRig

CALM = "rules: [{name: calm, trigger: 'true', action: {type: create_incident, urgency: low}}]\n"


def job(wanted: BacktestWanted | ReportWanted | ReplayWanted, kind: JobKind) -> Job:
    return Job(7, "k7", kind, wanted, JobState.RUNNING, START, "dana", Way.CONSOLE.value)


def no_report(*_: object) -> JobResult:
    raise AssertionError("nobody wants a report")


@pytest.fixture
def operator(tmp_path: Path) -> OperatorRig:
    return OperatorRig(Rig(tmp_path), tmp_path)


def replayed(operator: OperatorRig, wanted: ReplayWanted, seen: list[tuple[int, int]]) -> Any:
    """The result of the runner over that store, whose worker works while somebody waits."""
    asked: list[tuple[str, Way | None]] = []

    def operate_as(by: str, _timeout: float, way: Way | None) -> Any:
        asked.append((by, way))
        return replace(operator.operate, by=by, way=way)

    made = SimpleNamespace(database=operator.rig.database, overview=operator.overview, operate_as=operate_as)
    runner = run_job(cast(Container, made), no_report).runners[JobKind.REPLAY]
    result = runner(job(wanted, JobKind.REPLAY), lambda done, total: seen.append((done, total)))
    assert [("dana", Way.CONSOLE)] == asked
    return json.loads(result.body)


def test_many_dead_letters_are_replayed_twenty_at_a_time_in_the_name_of_whoever_asked(operator: OperatorRig):
    for number in range(45):
        operator.rig.say(Source.TRUTHVOUCH if number else Source.PAGERDUTY, Unreadable(f"unknown_{number % 2}"))
    seen: list[tuple[int, int]] = []
    result = replayed(operator, ReplayWanted(reason="unknown_0", side=Side.TRUTHVOUCH), seen)
    assert (22, {"still_unreadable": 22}) == (result["dead_letters"], result["outcomes"])
    assert [(0, 22), (20, 22), (22, 22)] == seen
    before = len(operator.stored())
    again = replayed(operator, ReplayWanted(reason="unknown_0", side=Side.TRUTHVOUCH), seen)
    assert result == again
    assert before == len(operator.stored()), "asking again asks nothing twice"


def test_dead_letters_are_replayed_by_number(operator: OperatorRig):
    for number in range(3):
        operator.rig.say(Source.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
    result = replayed(operator, ReplayWanted((2, 99)), [])
    assert {"still_unreadable": 1, "no_such_dead_letter": 1} == result["outcomes"]
    assert {"2": "still_unreadable", "99": "no_such_dead_letter"} == result["not_replayed"]


# ------------------------------------------------------------------------------------------------ drafts of the store


def made_with_a_draft(tmp_path: Path, text: str) -> Container:
    Rig(tmp_path / "data")
    made = Container(
        Settings.from_env({"BRIDGE_DATA_DIR": str(tmp_path / "data"), "BRIDGE_CONFIG": str(tmp_path / "bridge.yaml")})
    )
    with made.database.begin() as tx:
        made.stored_rules.put_draft(tx, StoredDraft("calm", text, "dana", START))
        made.stored_rules.put_shadow(tx, "calm")
    return made


def backtest(made: Container, wanted: BacktestWanted) -> JobResult:
    return run_job(made, no_report).runners[JobKind.BACKTEST](job(wanted, JobKind.BACKTEST), lambda _d, _t: None)


def test_a_draft_of_the_store_is_tested_and_asked_beside_the_rules(tmp_path: Path):
    with made_with_a_draft(tmp_path, CALM) as made:
        shown = json.loads(backtest(made, BacktestWanted(START, START.replace(year=2027), "calm")).body)
        assert ("calm", 0) == (shown["draft"]["file"], shown["alerts"])
        shadow = shadow_of(made.settings, made.rulebook, stored=made.text_of_draft)
        draft = shadow.current()
        assert draft is not None
        assert ["calm"] == [rule.name for rule in draft.rules]


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        (CALM, "none", "There is no draft 'none' in the store any more."),
        ("rules: 7", "calm", "The draft is refused: calm"),
    ],
)
def test_a_draft_that_cannot_be_tested_is_refused_in_a_sentence(tmp_path: Path, text: str, name: str, sentence: str):
    with made_with_a_draft(tmp_path, text) as made, pytest.raises(JobRefused) as refused:
        backtest(made, BacktestWanted(START, START.replace(year=2027), name))
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)
