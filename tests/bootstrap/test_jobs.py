"""What does the work of each kind of job, on a real store."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.bootstrap import diagnostics
from app.bootstrap.container import Container
from app.bootstrap.jobs import run_job
from app.bootstrap.rules import shadow_of
from app.config.settings import Settings
from app.domain.model.events import AlertEventType, Unreadable, Way
from app.domain.model.types import Side, Source
from app.ports.console import AuditFilter, LinkFilter
from app.ports.jobs import (
    KINDS,
    BacktestWanted,
    ConnectionTestWanted,
    EraseWanted,
    Job,
    JobCancelled,
    JobKind,
    JobRefused,
    JobResult,
    JobState,
    JobWanted,
    ReconcileWanted,
    RepairWanted,
    ReplayWanted,
)
from app.ports.rules import StoredDraft
from app.services.diagnostics.connection_test import LEFT_OPEN
from app.services.diagnostics.doctor import Finding, State
from app.services.reconciliation.context import Findings
from tests.fakes import START
from tests.rig import Rig
from tests.services.operator.test_operate import OperatorRig

CALM = "rules: [{name: calm, trigger: 'true', action: {type: create_incident, urgency: low}}]\n"


def job(wanted: JobWanted, kind: JobKind) -> Job:
    return Job(7, "k7", kind, wanted, JobState.RUNNING, START, "dana", Way.CONSOLE.value)


def no_report(*_: object) -> JobResult:
    raise AssertionError("nobody wants a report")


@pytest.fixture
def operator(tmp_path: Path) -> OperatorRig:
    return OperatorRig(Rig(tmp_path), tmp_path)


def asked_of_each(operator: OperatorRig, wanted: JobWanted, seen: list[tuple[int, int]]) -> Any:
    """The result of the runner over that store, whose worker works while somebody waits."""
    asked: list[tuple[str, Way | None]] = []

    def operate_as(by: str, _timeout: float, way: Way | None) -> Any:
        asked.append((by, way))
        return replace(operator.operate, by=by, way=way)

    made = SimpleNamespace(database=operator.rig.database, overview=operator.overview, operate_as=operate_as)
    kind = KINDS[type(wanted)]
    runner = run_job(cast(Container, made), no_report).runners[kind]
    result = runner(job(wanted, kind), lambda done, total: seen.append((done, total)))
    assert [("dana", Way.CONSOLE)] == asked
    return json.loads(result.body)


def test_many_dead_letters_are_replayed_twenty_at_a_time_in_the_name_of_whoever_asked(operator: OperatorRig):
    for number in range(45):
        operator.rig.say(Source.TRUTHVOUCH if number else Source.PAGERDUTY, Unreadable(f"unknown_{number % 2}"))
    seen: list[tuple[int, int]] = []
    result = asked_of_each(operator, ReplayWanted(reason="unknown_0", side=Side.TRUTHVOUCH), seen)
    assert (22, {"still_unreadable": 22}) == (result["dead_letters"], result["outcomes"])
    assert [(0, 22), (20, 22), (22, 22)] == seen
    before = len(operator.stored())
    again = asked_of_each(operator, ReplayWanted(reason="unknown_0", side=Side.TRUTHVOUCH), seen)
    assert result == again
    assert before == len(operator.stored()), "asking again asks nothing twice"


def test_dead_letters_are_replayed_by_number(operator: OperatorRig):
    for number in range(3):
        operator.rig.say(Source.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
    result = asked_of_each(operator, ReplayWanted((2, 99)), [])
    assert {"still_unreadable": 1, "no_such_dead_letter": 1} == result["outcomes"]
    assert {"2": "still_unreadable", "99": "no_such_dead_letter"} == result["not_replayed"]


@pytest.mark.parametrize(
    "wanted", [EraseWanted(("a1", "a3", "nobody")), EraseWanted(chosen=LinkFilter(severity="low", before=4))]
)
def test_many_alerts_are_erased_by_name_or_as_they_are_found(operator: OperatorRig, wanted: EraseWanted):
    for number, severity in enumerate(("low", "high", "low", "low"), start=1):
        operator.rig.alert(AlertEventType.CREATED, alert_id=f"a{number}", severity=severity)
    operator.beat()
    seen: list[tuple[int, int]] = []
    result = asked_of_each(operator, wanted, seen)
    assert ({"erasing": 2}, seen[-1][1]) == (
        {word: number for word, number in result["outcomes"].items() if word != "no_such_link"}, result["alerts"],
    )  # fmt: skip
    erased = [f"a{number}" for number in range(1, 5) if operator.rig.link(f"a{number}").erased_at]
    assert ["a1", "a3"] == erased
    assert {} == {one: word for one, word in result["not_erased"].items() if one != "nobody"}


def test_an_erasing_that_names_nothing_is_refused(operator: OperatorRig):
    operator.rig.alert(AlertEventType.CREATED)
    made = cast(Container, SimpleNamespace(database=operator.rig.database))
    with pytest.raises(JobRefused, match="neither which alerts"):
        run_job(made, no_report).runners[JobKind.ERASE](job(EraseWanted(), JobKind.ERASE), lambda _d, _t: None)


# -------------------------------------------------------------------------------------------- at the partners' side

SECRET = "a-key-that-nobody-may-see"


class Examiner:
    """A doctor without a partner; says what it was asked."""

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    def __enter__(self) -> "Examiner":
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.append("closed")

    def repair(self) -> SimpleNamespace:
        self.asked.append("repair")
        return SimpleNamespace(mended=("subscription_inactive",))

    def examine(self) -> tuple[Finding, ...]:
        return (Finding("pagerduty_key", State.WRONG, "refused", f"It quotes {SECRET}.", "Copy it anew."),)

    def ping(self) -> tuple[Finding, ...]:
        return (Finding("webhook_ping", State.FINE, "ok", "It came back."),)

    def test(self, begin: Callable[[str], None], pause: Callable[[float], None], nonce: str) -> Iterator[Finding]:
        begin("test_event")
        self.asked.append(nonce)
        pause(0.0)
        yield Finding("test_event", State.FINE, "ok", "It was opened and resolved.")


@pytest.fixture
def at_the_partners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Container, list[str]]]:
    """An installation with an API key, and what was asked of the partners' side."""
    asked: list[str] = []
    monkeypatch.setattr(diagnostics, "Doctor", lambda *_: Examiner(asked))
    Rig(tmp_path)
    environ = {"BRIDGE_DATA_DIR": str(tmp_path), "PAGERDUTY_API_KEY": SECRET, "BRIDGE_CONFIG": str(tmp_path / "none")}
    with Container(Settings.from_env(environ)) as made:
        yield made, asked


def actions(made: Container) -> list[tuple[str, str, str]]:
    return [(line.action, line.subject, line.actor) for line in made.audit_log.find(AuditFilter())]


def test_what_can_be_mended_is_mended_and_what_was_found_quotes_no_secret(at_the_partners: tuple[Container, list[str]]):
    made, asked = at_the_partners
    result = run_job(made, no_report).runners[JobKind.REPAIR](job(RepairWanted(), JobKind.REPAIR), lambda _d, _t: None)
    shown = json.loads(result.body)
    assert (["subscription_inactive"], False) == (shown["mended"], shown["well"])
    assert ["pagerduty_key", "webhook_ping"] == [check["check"] for check in shown["checks"]]
    assert SECRET not in result.body.decode()
    assert (["repair", "closed"], [("repair_subscription", "subscription", "dana")]) == (asked, actions(made))


def test_a_connection_test_is_one_incident_however_often_it_is_begun(at_the_partners: tuple[Container, list[str]]):
    made, asked = at_the_partners
    wanted = job(ConnectionTestWanted(), JobKind.CONNECTION_TEST)
    result = run_job(made, no_report).runners[JobKind.CONNECTION_TEST](wanted, lambda _d, _t: None)
    assert json.loads(result.body)["well"]
    assert (["k7", "closed"], [("test_connection", "pagerduty", "dana")]) == (asked, actions(made))


def test_a_cancelled_connection_test_says_what_stayed_open(
    at_the_partners: tuple[Container, list[str]], monkeypatch: pytest.MonkeyPatch
):
    def test(_self: Examiner, begin: Callable[[str], None], *_: object) -> Iterator[Finding]:
        yield Finding("test_event", State.WRONG, LEFT_OPEN, "Incident Q1 may still be open.", "Resolve it by hand.")
        begin("deliveries")

    def progress(_done: int, _total: int) -> None:
        raise JobCancelled

    monkeypatch.setattr(Examiner, "test", test)
    wanted, runners = (
        job(ConnectionTestWanted(), JobKind.CONNECTION_TEST),
        run_job(at_the_partners[0], no_report).runners,
    )
    with pytest.raises(JobCancelled, match=r"^Incident Q1 may still be open\. Resolve it by hand\.$"):
        runners[JobKind.CONNECTION_TEST](wanted, progress)


def test_a_reconciliation_tells_how_far_it_is_and_can_be_cancelled(
    at_the_partners: tuple[Container, list[str]], monkeypatch: pytest.MonkeyPatch
):
    made, _ = at_the_partners
    asked: list[tuple[Any, bool]] = []

    def reconcile(since: Any, dry_run: bool, progress: Callable[..., None]) -> Findings:
        asked.append((since, dry_run))
        progress(Side.PAGERDUTY, 2, 3)
        return Findings(links=3, reads=1)

    monkeypatch.setattr(Container, "reconcile", property(lambda _: reconcile))
    runner, seen = run_job(made, no_report).runners[JobKind.RECONCILE], []
    wanted = job(ReconcileWanted(True, START), JobKind.RECONCILE)
    result = json.loads(runner(wanted, lambda *far: seen.append(far)).body)
    assert (3, True, True, None) == tuple(result[name] for name in ("links", "dry_run", "readable", "status"))
    assert ([(START, True)], [(2, 3)], []) == (asked, seen, actions(made)), "who only looks leaves no line"
    runner(job(ReconcileWanted(), JobKind.RECONCILE), lambda *_: None)
    assert [("reconcile", "", "dana")] == actions(made)

    def cancelled(*_: int) -> None:
        raise JobCancelled

    with pytest.raises(JobCancelled):
        runner(wanted, cancelled)


def test_without_an_api_key_nothing_can_be_mended(tmp_path: Path):
    made = Container(Settings.from_env({"BRIDGE_DATA_DIR": str(tmp_path)}))
    with pytest.raises(JobRefused, match="PAGERDUTY_API_KEY"):
        run_job(made, no_report).runners[JobKind.REPAIR](job(RepairWanted(), JobKind.REPAIR), lambda _d, _t: None)


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
