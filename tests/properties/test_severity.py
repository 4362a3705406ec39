"""The maps from severity answer for every text."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.types import Urgency, events_severity, is_known, urgency_of
from tests.properties.strategies import severities, severity_maps


@given(severities, severity_maps)
def test_the_severity_map_answers_for_every_severity(severity: str | None, mapped: Mapping[str, Urgency | None]):
    assert urgency_of(severity, mapped) in (None, *Urgency)


@given(severities, severity_maps)
def test_an_unknown_severity_counts_as_high(severity: str | None, mapped: Mapping[str, Urgency | None]):
    if not is_known(severity, mapped):
        assert mapped["high"] == urgency_of(severity, mapped)


@given(severities, st.one_of(st.none(), st.sampled_from(Urgency)))
def test_every_severity_has_a_word_the_events_api_takes(severity: str | None, urgency: Urgency | None):
    assert events_severity(severity, urgency) in {"critical", "error", "warning", "info"}


@given(severities)
def test_high_urgency_always_has_a_severity_that_pages(severity: str | None):
    assert events_severity(severity, Urgency.HIGH) in {"critical", "error"}


@given(severities)
def test_low_urgency_never_has_a_severity_that_pages(severity: str | None):
    assert events_severity(severity, Urgency.LOW) in {"warning", "info"}
