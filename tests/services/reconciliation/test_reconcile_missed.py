"""An alert whose create was lost, of which other words came: one look is enough to make up for everything."""

from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType
from app.domain.model.types import AlertId, Status
from tests.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.reconcile()  # the store is born
    rig.clock.move(10)
    rig.truthvouch.created_at["a1"] = rig.clock()
    return rig


def shows(rig: Rig, status: Status) -> None:
    rig.clock.move(60)
    rig.truthvouch.status["a1"] = status
    rig.reconcile()
    rig.run()


def test_resolved_was_received_and_the_reopen_was_lost(rig: Rig) -> None:
    rig.alert(AlertEventType.RESOLVED)
    shows(rig, Status.OPEN)
    assert Status.OPEN is rig.link().status
    assert [Status.OPEN] == [facts.status for facts in rig.pagerduty.incidents.values()]


def test_acknowledged_was_received_and_what_took_it_back_was_lost(rig: Rig) -> None:
    rig.alert(AlertEventType.ACKNOWLEDGED)
    shows(rig, Status.OPEN)
    assert Status.OPEN is rig.link().status
    assert [Status.OPEN] == [facts.status for facts in rig.pagerduty.incidents.values()]


def test_what_is_over_and_shows_it_opens_nothing(rig: Rig) -> None:
    rig.alert(AlertEventType.RESOLVED)
    shows(rig, Status.RESOLVED)
    assert {} == rig.pagerduty.incidents
    assert [] == rig.truthvouch.calls


@pytest.mark.parametrize("status", [Status.ACKNOWLEDGED, Status.RESOLVED])
def test_an_alert_that_was_only_mentioned_is_not_put_back(rig: Rig, status: Status) -> None:
    rig.alert(AlertEventType.MENTIONED)
    shows(rig, status)
    assert status is rig.link().status
    assert [] == [call for call in rig.truthvouch.calls if call[0] == AlertId("a1")]
