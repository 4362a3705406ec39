"""What somebody kept and sends again after its id was swept is judged by its time and by what is known."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.types import Side, Status
from tests.services.rigs import DatedRig

LATER = timedelta(days=40).total_seconds()
"""Retention is over long ago: no inbox row knows these deliveries."""


@pytest.fixture
def rig(tmp_path: Path) -> DatedRig:
    return DatedRig(tmp_path)


def happened(rig: DatedRig, *event_types: AlertEventType) -> list[AlertEvent]:
    """One after the other, a minute apart; and then nothing for a long time."""
    events = []
    for event_type in event_types:
        events.append(rig.alert(event_type))
        rig.run()
        rig.clock.move(60)
    rig.clock.move(LATER)
    rig.pagerduty.calls.clear()
    rig.truthvouch.calls.clear()
    return events


def replayed(rig: DatedRig, event: AlertEvent) -> None:
    rig.say(Side.TRUTHVOUCH, event)
    rig.run()
    rig.clock.move(60)


OVER = (AlertEventType.CREATED, AlertEventType.ACKNOWLEDGED, AlertEventType.REOPENED, AlertEventType.RESOLVED)
OPEN_AGAIN = (AlertEventType.CREATED, AlertEventType.ACKNOWLEDGED, AlertEventType.RESOLVED, AlertEventType.REOPENED)


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("event_types", [OVER, OPEN_AGAIN])
def test_a_captured_event_moves_nothing_after_its_id_was_swept(
    rig: DatedRig, event_types: tuple[AlertEventType, ...], timed: bool
) -> None:
    events = happened(rig, *event_types)
    stood = rig.link().status
    assert (Status.RESOLVED if event_types is OVER else Status.OPEN) is stood
    for event in events:
        replayed(rig, event if timed else replace(event, at=None))
        assert stood is rig.link().status, event.type
        assert {stood} == {facts.status for facts in rig.pagerduty.incidents.values()}, event.type
    assert [] == rig.truthvouch.calls
    assert [] == [call for call in rig.pagerduty.calls if not call.startswith(("get", "find", "notes"))]


def test_without_a_time_and_where_no_alert_can_be_read_one_that_goes_forward_counts(rig: DatedRig) -> None:
    """What docs/configuration.md says of ``replay_window_seconds``."""
    events = happened(rig, *OPEN_AGAIN)
    rig.truthvouch.shows_single = False
    for event in events:
        replayed(rig, replace(event, at=None))
    assert Status.RESOLVED is rig.link().status
