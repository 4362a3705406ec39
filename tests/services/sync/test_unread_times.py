"""An event whose time cannot be read is taken as one without a time, and counted."""

from pathlib import Path

from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.types import Alert, AlertId, Side, Source
from tests.rig import Rig


def test_a_time_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    rig, counted = Rig(tmp_path), list[tuple[Source, str]]()
    rig.intake.meter.dropped = lambda source, reason: counted.append((source, reason))  # type: ignore[method-assign]
    alert = Alert(AlertId("a1"), severity="critical")
    rig.say(Side.TRUTHVOUCH, AlertEvent(AlertEventType.CREATED, alert, "alert.created", None, time_unread=True))
    rig.run()
    assert 1 == len(rig.pagerduty.incidents)
    assert [(Source.TRUTHVOUCH, "time_not_understood")] == counted
    rig.say(Side.TRUTHVOUCH, AlertEvent(AlertEventType.CREATED, alert, "alert.created", rig.clock()))
    assert 1 == len(counted)
