"""Who holds the secret of PagerDuty's webhook, and knows an alert's id, can make no page not happen: an incident known
from a webhook alone is a hint, and our own answer or read attaches it."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.types import IncidentId, IncidentKey, Status, Via
from tests.services.rigs import TimedRig

FORGED = "PEVIL02"
OPENING = {Via.REST: "open", Via.EVENTS: "trigger"}
BOTH = pytest.mark.parametrize("via", list(Via))


class Bridge(TimedRig):
    """``forged``: an authentic *triggered* that names our key."""

    def key(self) -> IncidentKey:
        return self.link().incident_key

    def forged(self, event_type: IncidentEventType = IncidentEventType.TRIGGERED, incident_id: str = FORGED) -> None:
        made_up: dict[str, Any] = {"number": 666, "html_url": "https://evil.example/666"}
        answer = made_up if incident_id == FORGED else {}
        self.incident(event_type, incident_id, incident_key=self.key(), **answer)

    def opened(self) -> int:
        return self.pagerduty.calls.count(OPENING[self.link().via])


@BOTH
def test_the_page_goes_out_although_a_webhook_says_there_is_one(tmp_path: Path, via: Via) -> None:
    bridge = Bridge(tmp_path, via)
    bridge.alert(AlertEventType.CREATED)
    bridge.forged()
    assert None is bridge.link().incident_id
    bridge.wait(60)
    link = bridge.link()
    assert ("Q1", 1, "https://pd.test/1") == (link.incident_id, link.incident_number, link.incident_url)
    assert (1, Status.OPEN) == (bridge.opened(), bridge.pagerduty.incidents["Q1"].status)


@BOTH
def test_it_is_looked_for_first_for_the_webhook_may_be_right(tmp_path: Path, via: Via) -> None:
    bridge = Bridge(tmp_path, via)
    bridge.alert(AlertEventType.CREATED)
    now = bridge.clock()
    bridge.pagerduty.incidents["Q7"] = IncidentFacts(
        IncidentId("Q7"), Status.OPEN, 7, "https://pd.test/7", bridge.key(), created_at=now, status_changed_at=now
    )
    bridge.forged(incident_id="Q7")
    bridge.wait(60)
    link = bridge.link()
    assert ("Q7", 7, "https://pd.test/7") == (link.incident_id, link.incident_number, link.incident_url)
    assert ("find", 0) == (bridge.pagerduty.calls[0], bridge.opened())


@BOTH
@pytest.mark.parametrize("event_type", [IncidentEventType.ACKNOWLEDGED, IncidentEventType.RESOLVED])
def test_what_it_says_of_that_incident_moves_no_alert(tmp_path: Path, via: Via, event_type: IncidentEventType) -> None:
    bridge = Bridge(tmp_path, via)
    bridge.alert(AlertEventType.CREATED)
    bridge.forged()
    bridge.forged(event_type)
    bridge.wait(60)
    assert (Status.OPEN, [], "Q1") == (bridge.link().status, bridge.truthvouch.calls, bridge.link().incident_id)
    bridge.forged(event_type)
    bridge.wait(60)
    assert (Status.OPEN, []) == (bridge.link().status, bridge.truthvouch.calls)


@BOTH
def test_a_webhook_before_the_alert_takes_nothing_from_it_either(tmp_path: Path, via: Via) -> None:
    scout = Bridge(tmp_path / "elsewhere", via)
    scout.alert(AlertEventType.CREATED)
    bridge = Bridge(tmp_path, via)
    bridge.incident(IncidentEventType.TRIGGERED, FORGED, incident_key=scout.key())
    bridge.alert(AlertEventType.CREATED)
    bridge.wait(60)
    assert ("Q1", 1) == (bridge.link().incident_id, bridge.opened())


def test_for_an_alert_that_pages_nobody_an_incident_is_believed_once_it_was_read(tmp_path: Path) -> None:
    """A person opened it for this alert, with its key."""
    bridge = Bridge(tmp_path)
    bridge.alert(AlertEventType.CREATED, severity="low")
    bridge.wait(5)
    bridge.forged()
    bridge.wait(30)
    assert (None, 0) == (bridge.link().incident_id, bridge.opened()), "it is not there"
    now = bridge.clock()
    bridge.pagerduty.incidents["Q7"] = IncidentFacts(
        IncidentId("Q7"), Status.OPEN, 7, incident_key=bridge.key(), created_at=now, status_changed_at=now
    )
    bridge.forged(incident_id="Q7")
    bridge.wait(30)
    assert "Q7" == bridge.link().incident_id
    bridge.clock.move(10)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(10)
    assert Status.RESOLVED is bridge.pagerduty.incidents["Q7"].status


def test_without_an_api_key_nothing_can_be_looked_for_and_the_page_goes_out(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, Via.EVENTS, has_api_key=False)
    bridge.alert(AlertEventType.CREATED)
    bridge.forged()
    bridge.wait(30)
    assert (1, None) == (bridge.opened(), bridge.link().incident_id)
    bridge.clock.move(10)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(30)
    assert [Status.RESOLVED] == [facts.status for facts in bridge.pagerduty.incidents.values()]
