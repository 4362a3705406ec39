"""A trace goes from the webhook through inbox and link to every call that follows from it, and into the incident."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.domain.model.events import AlertEvent, AlertEventType, IncidentEvent, IncidentEventType
from app.domain.model.incident import IncidentDraft, IncidentFacts
from app.domain.model.outcome import Reply
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Status
from app.remote import trace
from tests.fakes import FakePagerDuty, FakeTruthVouch
from tests.rig import Rig

ONE, OTHER = "a" * 32 + "-01", "b" * 32 + "-00"


class PagerDuty(FakePagerDuty):
    """Keeps the draft, and the trace of the call."""

    def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
        self.draft, self.traces = draft, [*getattr(self, "traces", []), carried()]
        return super().open(draft)


class TruthVouch(FakeTruthVouch):
    """Keeps the traces of the calls."""

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        self.traces = [*getattr(self, "traces", []), carried()]
        return super().set_status(alert_id, status, resolution)


def carried() -> str:
    """The trace that a call made now goes on with."""
    header = trace.call_headers().get("traceparent")
    return trace.of_request(header) if header else ""


class TracedRig(Rig):
    def far_sides(self) -> tuple[PagerDuty, TruthVouch]:
        return PagerDuty(self.clock), TruthVouch()

    def created(self, traced: str | None, alert_id: str = "a1") -> None:
        alert = Alert(AlertId(alert_id), severity="critical")
        event = AlertEvent(AlertEventType.CREATED, alert, "alert.created", self.clock())
        self.say(Side.TRUTHVOUCH, event, trace=traced)

    def acknowledged(self, traced: str | None) -> None:
        self.pagerduty.put("Q1", Status.ACKNOWLEDGED)
        event = IncidentEvent(IncidentEventType.ACKNOWLEDGED, IncidentId("Q1"), "incident.acknowledged", self.clock())
        self.say(Side.PAGERDUTY, event, trace=traced)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TracedRig]:
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
    made = TracedRig(tmp_path, url=url)
    yield made
    made.database.engine.dispose()
    made._inbox.dispose()


def test_the_trace_of_the_webhook_is_that_of_the_call_and_stands_in_the_incident(rig: TracedRig):
    with capture_logs() as lines:
        rig.created(ONE)
        rig.run()
    assert isinstance(rig.pagerduty, PagerDuty)
    assert [ONE] == rig.pagerduty.traces
    assert "a" * 32 == rig.pagerduty.draft.details["trace_id"]
    assert ["a" * 32] == [line.get("trace_id") for line in lines if line["event"] == "alert.event_applied"]


def test_each_delivery_goes_on_with_the_trace_of_the_webhook_that_caused_it(rig: TracedRig):
    rig.created(ONE)
    rig.run()
    rig.clock.move(60)
    rig.acknowledged(OTHER)
    rig.run()
    assert isinstance(rig.truthvouch, TruthVouch)
    assert [OTHER] == rig.truthvouch.traces


def test_a_webhook_that_causes_nothing_changes_no_trace(rig: TracedRig):
    rig.created(ONE)
    rig.run()
    before = rig.link()
    rig.created(OTHER)
    assert before.trace == rig.link().trace == ONE


def test_what_no_webhook_brought_has_no_trace(rig: TracedRig):
    rig.created(None)
    rig.run()
    assert isinstance(rig.pagerduty, PagerDuty)
    assert [""] == rig.pagerduty.traces
    assert "trace_id" not in rig.pagerduty.draft.details
