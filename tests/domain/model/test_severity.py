"""What a severity means at PagerDuty."""

import pytest

from app.domain.model.types import Urgency, events_severity, urgency_of
from app.domain.rules.rulebook import DEFAULT_SEVERITY_MAP


@pytest.mark.parametrize(
    ("severity", "urgency"),
    [
        ("critical", Urgency.HIGH),
        ("CRITICAL", Urgency.HIGH),
        ("high", Urgency.LOW),
        ("medium", None),
        ("low", None),
        ("warning", Urgency.LOW),
        (None, Urgency.LOW),
        ("", Urgency.LOW),
    ],
)
def test_the_default_map_and_the_unknown_that_counts_as_high(severity: str | None, urgency: Urgency | None):
    assert urgency == urgency_of(severity, DEFAULT_SEVERITY_MAP)


def test_a_severity_of_the_operators_own_is_known():
    assert urgency_of("Warning", {**DEFAULT_SEVERITY_MAP, "warning": Urgency.HIGH}) is Urgency.HIGH


@pytest.mark.parametrize(
    ("severity", "events"),
    [
        ("critical", "critical"),
        ("high", "error"),
        ("medium", "warning"),
        ("low", "info"),
        ("Low", "info"),
        ("warning", "error"),
        (None, "error"),
    ],
)
def test_the_events_api_severity(severity: str | None, events: str):
    assert events == events_severity(severity)


def test_a_rule_that_asks_for_high_urgency_pages_through_the_events_api_too():
    assert events_severity("low", Urgency.HIGH) == "error"
    assert events_severity("critical", Urgency.HIGH) == "critical"


@pytest.mark.parametrize(
    ("severity", "events"),
    [
        ("critical", "warning"),
        ("high", "warning"),
        ("medium", "warning"),
        ("low", "info"),
        ("own", "warning"),
        (None, "warning"),
    ],
)
def test_low_urgency_wakes_nobody_through_the_events_api_either(severity: str | None, events: str):
    assert events == events_severity(severity, Urgency.LOW)
