"""A delivery from PagerDuty goes through the same code under its own name."""

from structlog.testing import capture_logs

from app.domain.model.types import Source
from app.services.sync.receive import Outcome, WebhookRequest
from tests.conftest import FakeClock
from tests.web_fakes import FakeBridge, sign

BODY = b"01EVENT\nPINCIDENT"


def test_it_is_pagerdutys_and_about_an_incident(clock: FakeClock):
    bridge = FakeBridge(clock)
    with capture_logs() as (lines):
        assert bridge.receive_incident_event(WebhookRequest(sign(BODY), BODY)).outcome is Outcome.ACCEPTED
    assert Source.PAGERDUTY == bridge.inbox.only.source
    assert [("incident_event.accepted", "PINCIDENT")] == [(line["event"], line["incident_id"]) for line in lines]


def test_the_same_id_from_the_other_partner_is_another_delivery(clock: FakeClock):
    bridge = FakeBridge(clock)
    for receive in (bridge.receive_alert, bridge.receive_incident_event):
        assert receive(WebhookRequest(sign(BODY), BODY)).outcome is Outcome.ACCEPTED
