"""A PagerDuty that records, and drafts to send it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from app.domain.model.incident import IncidentDraft
from app.domain.model.types import AlertId, Urgency, incident_key
from app.remote.transport import Transport
from tests.far_side import FarSide, far_side

KEY = incident_key(AlertId("alert_123"))
REST_KEY = "rest-key-not-to-be-seen"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def pagerduty() -> Iterator[FarSide]:
    """PagerDuty's far side."""
    with far_side() as here:
        yield here


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport that gives up within a test's time."""
    transport = Transport(read_seconds=2)
    yield transport
    transport.close()


@pytest.fixture
def draft() -> IncidentDraft:
    """A draft with everything in it."""
    return IncidentDraft(
        incident_key=KEY,
        title="CRITICAL: Hallucination detected",
        urgency=Urgency.HIGH,
        severity="critical",
        source="gpt-4",
        details={"alert_id": "alert_123", "claim": "The Earth is flat — café ✓"},
        dashboard_url="https://dash.truthvouch.com/alerts/alert_123",
        service_id="PTVSVC1",
        escalation_policy_id="PTVEP01",
        category="Science",
        occurred_at=datetime(2026, 1, 15, 10, 0, tzinfo=UTC),
    )


def incident(**changes: object) -> dict[str, object]:
    """One incident as REST shows it."""
    shown: dict[str, object] = {
        "id": "Q0TVINC0000001",
        "type": "incident",
        "incident_number": 4711,
        "title": "CRITICAL: Hallucination detected",
        "status": "triggered",
        "incident_key": KEY,
        "urgency": "high",
        "created_at": "2026-01-15T10:00:01Z",
        "last_status_change_at": "2026-01-15T10:00:02Z",
        "service": {"id": "PTVSVC1", "type": "service_reference"},
        "escalation_policy": {"id": "PTVEP01", "type": "escalation_policy_reference"},
        "html_url": "https://example.pagerduty.com/incidents/Q0TVINC0000001",
    }
    return shown | changes


def error(code: int, message: str = "Arguments Caused Error", *errors: str) -> dict[str, object]:
    """A REST error envelope."""
    return {"error": {"code": code, "message": message, "errors": list(errors)}}
