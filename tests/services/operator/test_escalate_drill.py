"""A drill pages real people, so it closes what it opened, whatever happens."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import Command, IncidentEventType
from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Done, Held, Retry
from app.domain.model.types import IncidentKey, Status
from app.ports import Row
from app.services.operator.escalation_check import TITLE, Drill, NoPolicy, NotClosed, NotFound, NotOpened, Scene
from app.services.operator.operator import Operate
from app.services.operator.overview import Overview
from app.store import inbox as internal_events
from app.store.command_status import StoredCommandStatus
from app.store.database import StoredKeyValues
from app.store.health import WORKER_SEEN
from app.store.inbox_sqlite import SqliteInbox
from app.store.link_search import StoredLinkSearch
from app.store.operator_records import StoredRecords
from tests.escalation_rig import EscalationRig
from tests.web_fakes import FakeWakeup

SCENE = Scene(IncidentKey("drill-1"), "PMAIN", "PMGMT", (1.0, 2.0))


class Stage:
    """A rig whose worker works while the drill waits."""

    def __init__(self, data_dir: Path) -> None:
        self.rig = EscalationRig(data_dir)
        self.inbox = SqliteInbox(data_dir / "inbox.db")
        self.works, self.steps = True, [""][:0]
        self.beat()
        records, database = StoredRecords(), self.rig.database
        command_status = StoredCommandStatus(database, self.rig._inbox)
        operate = Operate(
            self.inbox, FakeWakeup(), command_status, database, records, self._encode, 2.0, "dana",
            clock=self.rig.clock, monotonic=lambda: self.rig.clock().timestamp(), pause=self.wait,
        )  # fmt: skip
        overview = Overview(database, records, lambda: True, StoredLinkSearch())
        self.drill = Drill(self.rig.pagerduty, operate, overview, self.rig.clock, self.wait)

    def beat(self) -> None:
        with self.rig.database.begin() as tx:
            StoredKeyValues().put(tx, WORKER_SEEN, self.rig.clock().isoformat())

    def _encode(self, command: Command) -> bytes:
        body = internal_events.encode_command(command)
        self.rig.said[body] = internal_events.read(body, None)
        return body

    def wait(self, seconds: float) -> None:
        self.rig.clock.move(max(seconds, 0.5))
        self.beat()
        if self.works:
            self.rig.intake.take()
            self.rig.fire()

    def play(self, scene: Scene = SCENE) -> str:
        def show(event: str, facts: Row) -> None:
            self.steps.append(event)

        return self.drill(scene, show)

    @property
    def incident(self) -> Any:
        return self.rig.pagerduty.incidents["Q1"]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.inbox.close()


def test_it_goes_up_every_level_tells_each_and_is_resolved(stage: Stage) -> None:
    assert "exhausted" == stage.play()
    assert ["Q1 PMGMT/1", "Q1 PMGMT/2"] == stage.rig.moves
    assert ["opened", "escalation.armed", "incident.escalated", "incident.escalated"] == stage.steps
    assert (TITLE, Status.RESOLVED) == (stage.incident.title, stage.incident.status)
    assert "[DRILL]" in TITLE
    assert stage.rig.escalation().drill


def test_an_acknowledge_ends_it_well(stage: Stage) -> None:
    def and_somebody_acknowledges(seconds: float) -> None:
        waits(seconds)
        if stage.rig.moves and stage.incident.status is Status.OPEN:
            stage.rig.incident(IncidentEventType.ACKNOWLEDGED)

    waits = stage.wait
    object.__setattr__(stage.drill, "pause", and_somebody_acknowledges)
    assert "acknowledged" == stage.play()
    assert ["Q1 PMGMT/1"] == stage.rig.moves
    assert Status.RESOLVED is stage.incident.status


def test_an_interrupt_resolves_it(stage: Stage) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    object.__setattr__(stage.drill, "pause", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stage.play()
    assert Status.RESOLVED is stage.incident.status
    assert "cancelled" == stage.rig.escalation().reason


def test_a_worker_that_does_nothing_is_reported(stage: Stage) -> None:
    stage.works = False
    assert "not_armed" == stage.play()
    assert Status.RESOLVED is stage.incident.status


def test_a_level_that_does_not_come_is_late(stage: Stage) -> None:
    stage.rig.fire = lambda: []  # type: ignore[method-assign]
    assert "late" == stage.play()
    assert Status.RESOLVED is stage.incident.status


def test_what_was_not_opened_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.rig.pagerduty, "open", lambda _draft: Held("unauthorized"))
    with pytest.raises(NotOpened, match="unauthorized"):
        stage.play()
    assert {} == stage.rig.pagerduty.incidents


def test_an_unclear_open_is_found_and_closed(stage: Stage) -> None:
    stage.rig.pagerduty.faults.queue.append("reset")
    assert "exhausted" == stage.play()
    assert ["Q1"] == list(stage.rig.pagerduty.incidents)
    assert Status.RESOLVED is stage.incident.status


def test_an_unclear_open_that_pagerduty_lists_late_is_found_and_closed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.rig.pagerduty.faults.queue.append("reset")
    looks, find = iter(range(3)), stage.rig.pagerduty.find
    monkeypatch.setattr(stage.rig.pagerduty, "find", lambda key: find(key) if next(looks, None) is None else Done(()))
    assert "exhausted" == stage.play()
    assert Status.RESOLVED is stage.incident.status


def test_an_unclear_open_that_nobody_finds_is_not_called_unopened(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.rig.pagerduty.faults.queue.append("reset")
    monkeypatch.setattr(stage.rig.pagerduty, "find", lambda _key: Done(()))
    with pytest.raises(NotFound, match="drill-1"):
        stage.play()


def test_an_interrupt_during_the_create_resolves_what_it_opened(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    create = stage.rig.pagerduty.open

    def interrupted(draft: IncidentDraft) -> Any:
        create(draft)
        raise KeyboardInterrupt

    monkeypatch.setattr(stage.rig.pagerduty, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.play()
    assert Status.RESOLVED is stage.incident.status


def test_what_cannot_be_closed_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.rig.pagerduty, "set_status", lambda *_shown: Retry("http_503"))
    with pytest.raises(NotClosed, match="Q1"):
        stage.play()


def test_a_policy_that_is_none_opens_nothing(stage: Stage) -> None:
    object.__setattr__(stage.drill, "policies", stage.rig.pd)
    with pytest.raises(NoPolicy, match="PNOPE"):
        stage.play(replace(SCENE, policy_id="PNOPE"))
    assert {} == stage.rig.pagerduty.incidents
    assert "exhausted" == stage.play()


def test_a_move_that_was_refused_leaves_no_dead_letter(stage: Stage) -> None:
    def and_the_policy_goes(seconds: float) -> None:
        stage.rig.pd.policies.pop("PMGMT", None)
        waits(seconds)

    waits = stage.wait
    object.__setattr__(stage.drill, "pause", and_the_policy_goes)
    assert "policy_not_found" == stage.play()
    assert Status.RESOLVED is stage.incident.status
    assert [] == list(stage.rig.dead())
    assert None is stage.rig.escalation().dead_letter_id
