"""A draft beside the rules: asked about every alert that is created, and never in the way of one."""

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap.rules import notes, shadow_of
from app.config.settings import Settings
from app.domain.model.events import AlertEventType
from app.domain.model.types import Urgency
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook, Silence
from app.ports import SHADOW_DIFFERS
from app.services.rules.rulebook import Shadow
from app.store.schema import timeline
from tests.conftest import FakeClock
from tests.fakes import START
from tests.rig import FixedRulebook, Rig

LOW = "rules: [{name: calm, trigger: 'true', action: {type: create_incident, urgency: low}}]\n"
QUIET = "rules: [{name: quiet, trigger: 'true', action: {type: suppress}}]\n"


class Beside(Rig):
    """A bridge with a draft in a file beside ``bridge.yaml``."""

    def __init__(self, folder: Path, text: str | None = LOW) -> None:
        super().__init__(folder / "data")
        self.draft, self.counted, self.seconds = folder / "draft.yaml", Counter[str](), 0.0
        if text is not None:
            self.write(text)
        self.rulebook.rulebook = Rulebook(shadow="draft.yaml")
        settings = Settings.from_env({"BRIDGE_CONFIG": str(folder / "bridge.yaml")})
        self.shadow = shadow_of(settings, self.rulebook, lambda kind: self.counted.update([kind]))
        self.shadow.clock = lambda: self.seconds
        self.intake.process_event = replace(self.intake.process_event, shadow=self.shadow)

    def write(self, text: str) -> None:
        """Another text, at another time."""
        self.draft.write_text(text)
        os.utime(self.draft, ns=(10**18, 10**18 + len(text)))

    def differences(self) -> list[Any]:
        with self.database.engine.connect() as connection:
            rows = connection.execute(
                timeline.select().where(timeline.c.event == SHADOW_DIFFERS).order_by(timeline.c.id)
            )
            return [json.loads(row.facts) for row in rows]


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


def test_what_the_draft_says_otherwise_is_in_the_time_line_and_decides_nothing(beside: Beside):
    beside.alert(AlertEventType.CREATED)
    beside.run()
    [facts] = beside.differences()
    assert ("moved", ["urgency"]) == (facts["change"], facts["moved"])
    assert ("high", "low", "calm") == (facts["live"]["urgency"], facts["draft"]["urgency"], facts["draft"]["rule"])
    assert "high" == beside.pagerduty.incidents["Q1"].urgency
    assert {"moved": 1} == beside.counted


def test_an_alert_is_compared_once_however_often_it_is_reported(beside: Beside):
    event = beside.alert(AlertEventType.CREATED)
    beside.alert(AlertEventType.CREATED)
    beside.alert(AlertEventType.ACKNOWLEDGED)
    assert (1, AlertEventType.CREATED) == (len(beside.differences()), event.type)


def test_where_both_agree_nothing_is_written_and_it_is_counted(beside: Beside):
    beside.alert(AlertEventType.CREATED, severity="high")
    beside.alert(AlertEventType.CREATED, alert_id="a2", severity="medium")
    assert (1, {"same": 1, "gained": 1}) == (len(beside.differences()), beside.counted)


def test_a_changed_draft_is_picked_up(beside: Beside):
    beside.alert(AlertEventType.CREATED)
    beside.write(QUIET)
    beside.seconds += 2
    beside.alert(AlertEventType.CREATED, alert_id="a2")
    assert ["moved", "lost"] == [facts["change"] for facts in beside.differences()]


@pytest.mark.parametrize("text", [None, "", "rules: [", "rules: [{name: x}]", "\0", "a" * 300_000])
def test_a_broken_or_missing_draft_is_said_and_touches_nothing(tmp_path: Path, text: str | None):
    beside = Beside(tmp_path, text)
    beside.alert(AlertEventType.CREATED)
    beside.run()
    assert ["Q1"] == list(beside.pagerduty.incidents)
    assert [] == beside.differences()
    [note] = notes(beside.rulebook.current(), beside.shadow, START)
    assert note.startswith("the draft draft.yaml (shadow:) is not asked: ")
    beside.write(LOW)
    beside.seconds += 2
    assert () == notes(beside.rulebook.current(), beside.shadow, START)


def test_a_draft_that_breaks_while_it_is_asked_touches_nothing(beside: Beside):
    beside.shadow.load = lambda _name: 1 / 0  # type: ignore[assignment, return-value]
    beside.alert(AlertEventType.CREATED)
    beside.shadow._draft = object()  # type: ignore[assignment]
    beside.alert(AlertEventType.CREATED, alert_id="a2")
    beside.run()
    assert 2 == len(beside.pagerduty.incidents)


def test_when_the_file_names_no_draft_any_more_none_is_asked(beside: Beside):
    beside.alert(AlertEventType.CREATED)
    beside.rulebook.rulebook = Rulebook()
    beside.seconds += 2
    beside.alert(AlertEventType.CREATED, alert_id="a2")
    assert (1, "") == (len(beside.differences()), beside.shadow.fault)


def test_a_silenced_alert_is_not_asked_about(beside: Beside):
    silence = Silence("all", "true", "dana", "drill", START.replace(year=2027))
    beside.rulebook.rulebook = Rulebook(shadow="draft.yaml", silences=(silence,))
    beside.alert(AlertEventType.CREATED)
    assert ([], {}) == (beside.differences(), beside.counted)


def test_the_draft_is_looked_at_once_a_second_at_most():
    clock, looks = FakeClock(), []

    def load(_name: str) -> Rulebook:
        return Rulebook(rules=(Rule("r", "true", RuleAction.CREATE_INCIDENT, urgency=Urgency.LOW),))

    def fingerprint(name: str) -> int:
        looks.append(name)
        return 1

    shadow = Shadow(FixedRulebook(Rulebook(shadow="d")), load, fingerprint, clock=lambda: clock().timestamp())
    for _ in range(5):
        shadow.current()
    clock.advance(1.1)
    shadow.current()
    assert ["d", "d"] == looks


def test_a_single_look_needs_no_running_bridge(tmp_path: Path):
    (tmp_path / "draft.yaml").write_text(LOW)
    settings = Settings.from_env({"BRIDGE_CONFIG": str(tmp_path / "bridge.yaml"), "PAGERDUTY_SERVICE_ID": "PENV"})
    draft = shadow_of(settings, FixedRulebook(Rulebook(shadow="draft.yaml"))).current()
    assert draft is not None
    assert "PENV" == draft.service_id


def test_a_draft_that_says_nothing_of_pagerduty_has_what_is_in_force_also_when_that_changes(beside: Beside):
    beside.write("rules: [{name: quiet, trigger: 'true', action: {type: create_incident, urgency: high}}]\n")
    beside.rulebook.rulebook = Rulebook(shadow="draft.yaml", service_id="P1", escalation_policy_id="PP", version="v1")
    first = beside.shadow.current()
    beside.rulebook.rulebook = replace(beside.rulebook.rulebook, service_id="P2", version="v2")
    beside.seconds += 2
    then = beside.shadow.current()
    assert first is not None
    assert then is not None
    assert [("P1", "PP"), ("P2", "PP")] == [(one.service_id, one.escalation_policy_id) for one in (first, then)]


def test_a_draft_of_the_store_is_asked_as_one_in_a_file(tmp_path: Path):
    beside, texts, seconds = Beside(tmp_path, None), {"calm": LOW}, [0.0]
    settings = Settings.from_env({"BRIDGE_CONFIG": str(tmp_path / "bridge.yaml")})
    beside.rulebook.rulebook = Rulebook(shadow="store:calm", version="file+one")
    shadow = shadow_of(settings, beside.rulebook, stored=texts.get)
    shadow.clock = lambda: seconds[0]
    beside.intake.process_event = replace(beside.intake.process_event, shadow=shadow)
    beside.alert(AlertEventType.CREATED)
    assert ["calm"] == [one["draft"]["rule"] for one in beside.differences()]
    texts["calm"] = QUIET
    beside.rulebook.rulebook = replace(beside.rulebook.rulebook, version="file+two")
    seconds[0] += 1
    beside.alert(AlertEventType.CREATED, alert_id="a2")
    assert ["calm", "quiet"] == [one["draft"]["rule"] for one in beside.differences()]
    del texts["calm"]
    beside.rulebook.rulebook = replace(beside.rulebook.rulebook, version="file+three")
    seconds[0] += 1
    assert "the store has no such draft" == shadow.fault
