"""An incident that somebody opened for an alert which the rules kept quiet is kept in step like any other."""

from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.types import AlertId, IncidentId, Status, Via, incident_key
from tests.rig import Rig

KEY = incident_key(AlertId("a1"))


@pytest.fixture(params=list(Via))
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Rig:
    """A quiet alert, and its incident opened by hand through the REST API."""
    rig = Rig(tmp_path, request.param)
    rig.alert(AlertEventType.CREATED, severity="medium")
    assert [] == rig.run()
    rig.clock.move(5)
    opened = IncidentFacts(IncidentId("Q9"), Status.OPEN, 9, incident_key=KEY, created_at=rig.clock())
    rig.pagerduty.incidents[IncidentId("Q9")] = opened
    rig.incident(IncidentEventType.TRIGGERED, "Q9", incident_key=KEY)
    return rig


def test_the_alerts_resolve_closes_it(rig: Rig) -> None:
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED, severity="medium")
    rig.run()
    assert (Status.RESOLVED, {"Q9"}) == (rig.pagerduty.incidents[IncidentId("Q9")].status, set(rig.pagerduty.incidents))


def test_what_people_do_there_happens_to_the_alert(rig: Rig) -> None:
    rig.truthvouch.status[AlertId("a1")] = Status.OPEN
    for event_type, status in (
        (IncidentEventType.ACKNOWLEDGED, Status.ACKNOWLEDGED),
        (IncidentEventType.RESOLVED, Status.RESOLVED),
    ):
        rig.clock.move(5)
        rig.incident(event_type, "Q9")
        rig.run()
        assert status is rig.truthvouch.status[AlertId("a1")]


def test_nothing_opens_a_second_one(rig: Rig) -> None:
    for event_type in (
        AlertEventType.CREATED,
        AlertEventType.ACKNOWLEDGED,
        AlertEventType.RESOLVED,
        AlertEventType.REOPENED,
    ):
        rig.clock.move(40)
        rig.alert(event_type, severity="medium")
        rig.run()
    assert {"Q9"} == set(rig.pagerduty.incidents)
    assert Status.OPEN is rig.pagerduty.incidents[IncidentId("Q9")].status


def test_a_mere_mention_of_an_incident_opens_none(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.alert(AlertEventType.CREATED, severity="medium")
    rig.clock.move(5)
    rig.incident(IncidentEventType.MENTIONED, "Q9", incident_key=KEY)
    rig.run()
    assert {} == rig.pagerduty.incidents
