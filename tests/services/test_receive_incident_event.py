"""A delivery from PagerDuty goes through the same door under its own name."""

from structlog.testing import capture_logs

from app.domain.names import Source
from app.services.receiving import Arrival, Outcome
from tests.conftest import FakeClock
from tests.doors import Doors, sign

BODY = b"01EVENT\nPINCIDENT"


def test_it_is_pagerdutys_and_about_an_incident(clock: FakeClock):
    doors = Doors(clock)
    with capture_logs() as (lines):
        assert doors.receive_incident_event(Arrival(sign(BODY), BODY)).outcome is Outcome.ACCEPTED
    assert Source.PAGERDUTY == doors.inbox.only.source
    assert [("incident_event.accepted", "PINCIDENT")] == [(line["event"], line["incident_id"]) for line in lines]


def test_the_same_id_from_the_other_partner_is_another_delivery(clock: FakeClock):
    doors = Doors(clock)
    for receive in (doors.receive_alert, doors.receive_incident_event):
        assert receive(Arrival(sign(BODY), BODY)).outcome is Outcome.ACCEPTED
