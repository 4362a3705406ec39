"""How long a page took: from accepting the alert to PagerDuty's incident, once for each incident."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEventType
from app.domain.model.outcome import Refused, Retry
from app.domain.model.types import Urgency, Via
from tests.fakes import SilentMeter
from tests.rig import Rig


class Timed(SilentMeter):
    """Keeps what it is told of pages."""

    def __init__(self) -> None:
        self.pages: list[tuple[Urgency, float]] = []

    def paged(self, urgency: Urgency, seconds: float) -> None:
        self.pages.append((urgency, round(seconds, 3)))


def timed(rig: Rig) -> Timed:
    rig.deliver.meter = made = Timed()
    return made


def alert_after(rig: Rig, seconds: float, **fields: Any) -> None:
    """An alert is taken in, and delivered so many seconds later."""
    rig.alert(AlertEventType.CREATED, **fields)
    rig.clock.move(seconds)
    rig.run()


def test_by_rest_it_ends_with_the_incident(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    meter = timed(rig)
    alert_after(rig, 1.5)
    alert_after(rig, 0.25, alert_id="a2", severity="high")
    assert [(Urgency.HIGH, 1.5), (Urgency.LOW, 0.25)] == meter.pages
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    assert 2 == len(meter.pages)


@pytest.mark.parametrize("has_api_key", [True, False])
def test_by_event_it_ends_when_the_incident_is_known_or_when_the_event_is_taken_where_it_never_is(
    tmp_path: Path, has_api_key: bool
) -> None:
    rig = Rig(tmp_path, Via.EVENTS, has_api_key)
    meter = timed(rig)
    alert_after(rig, 2)
    assert has_api_key is (rig.link().incident_id is not None)
    ((urgency, seconds),) = meter.pages
    assert (Urgency.HIGH, True) == (urgency, seconds >= 2)


def test_it_counts_from_the_alert_however_often_it_was_tried(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    meter = timed(rig)
    rig.pagerduty.open = lambda *_: Retry("http_503")  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    del rig.pagerduty.open
    rig.clock.move(40)
    rig.run()
    assert [(Urgency.HIGH, 40)] == meter.pages


def test_what_pages_nobody_has_no_latency(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    meter = timed(rig)
    alert_after(rig, 1, severity="low")
    rig.pagerduty.open = lambda *_: Refused("http_400", 400)  # type: ignore[method-assign]
    alert_after(rig, 1, alert_id="a2")
    assert [] == meter.pages
