"""What a partner's answer means for the link, and when a failed call is tried again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.alert import Alert
from app.domain.delivery import owing, record, settled
from app.domain.effects import (
    AddNote,
    ConfirmResolve,
    Effect,
    LookForIncident,
    OpenIncident,
    SetAlert,
    SetIncident,
    missing,
)
from app.domain.incident import IncidentFacts
from app.domain.link import Clock, Known, Link
from app.domain.names import AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.domain.retry import MAX_ASKED_DELAY, MIN_DELAY, next_try, patience
from app.domain.rulebook import Decision
from tests.fakes import START

PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
LINK = Link(
    Alert(AlertId("a1")), incident_key(AlertId("a1")), START, alert_side=Known(Status.OPEN, START), decision=PAGE
)
LATER = START + timedelta(minutes=1)
EFFECTS: list[Effect] = [
    OpenIncident(look_first=False),
    LookForIncident(),
    SetIncident(Status.RESOLVED),
    ConfirmResolve(),
    AddNote("deadbeef", "x"),
    SetAlert(Status.ACKNOWLEDGED, None),
]


def facts(status: Status) -> IncidentFacts:
    return IncidentFacts(IncidentId("Q1"), status, 7, "https://pd.test/7", created_at=START, status_changed_at=LATER)


def test_an_opened_incident_is_known_and_nothing_is_missing() -> None:
    result = record(LINK, Side.PAGERDUTY, OpenIncident(False), Done(facts(Status.OPEN)), LATER, 0.5)
    assert ("Q1", 7, Status.OPEN) == (
        result.link.incident_id,
        result.link.incident_number,
        result.link.incident_side.status,
    )
    assert ("done", "incident.triggered", None) == (result.outcome, result.event, missing(result.link, Side.PAGERDUTY))


def test_an_incident_found_resolved_is_a_word_not_a_reason_to_reopen_it() -> None:
    result = record(LINK, Side.PAGERDUTY, OpenIncident(True), Done(facts(Status.RESOLVED)), LATER, 0.5)
    assert Status.RESOLVED is result.link.status
    assert None is missing(result.link, Side.PAGERDUTY)
    assert SetAlert(Status.RESOLVED, missing_text()) == missing(result.link, Side.TRUTHVOUCH)


def missing_text() -> str:
    return "Resolved in PagerDuty automatically (timeout or integration); this is no verdict on the alert."


def test_a_merged_incident_moves_the_link() -> None:
    opened = replace(LINK, incident_id=IncidentId("Q1"), incident_side=Known(Status.OPEN, START))
    closing = replace(opened, clock=Clock(resolved_at=LATER))
    merged = replace(facts(Status.RESOLVED), merged_into=IncidentId("Q9"))
    result = record(closing, Side.PAGERDUTY, SetIncident(Status.ACKNOWLEDGED), Done(merged), LATER, 0.5)
    assert ("Q9", True) == (result.link.incident_id, result.link.merged)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
@pytest.mark.parametrize("side", list(Side))
def test_every_answer_to_every_effect_means_something(effect: Effect, side: Side) -> None:
    link, _ = owing(LINK, side, START)
    answers: list[Reply[IncidentFacts | None]] = [
        Done(None),
        Retry("timeout", unclear=True),
        Held("http_401"),
        Refused("no", 400),
    ]
    outcomes = [record(link, side, effect, answer, LATER, 0.5).outcome for answer in answers]
    assert ["done", "retry", "held"] == outcomes[:3]
    looks = isinstance(effect, LookForIncident | ConfirmResolve)
    assert outcomes[3] == "retry" if looks else outcomes[3] in ("refused", "dead")


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_what_is_retried_too_long_becomes_a_dead_letter(effect: Effect) -> None:
    link, lane = owing(LINK, Side.PAGERDUTY, START - timedelta(days=30))
    link = link.with_lane(Side.PAGERDUTY, replace(lane, failing_since=START))  # held before: that does not count
    within = record(link, Side.PAGERDUTY, effect, Retry("http_503"), START + patience(effect), 0.5)
    beyond = record(
        link, Side.PAGERDUTY, effect, Retry("http_503"), START + patience(effect) + timedelta(seconds=1), 0.5
    )
    assert ("retry", "dead", "gave_up:http_503") == (within.outcome, beyond.outcome, beyond.reason)


def test_refused_credentials_never_expire() -> None:
    link, _ = owing(LINK, Side.PAGERDUTY, START)
    result = record(link, Side.PAGERDUTY, OpenIncident(False), Held("http_401"), START + timedelta(days=90), 0.5)
    assert ("held", 15.0, False) == (result.outcome, result.again_after, result.dead)


def test_a_page_is_tried_within_seconds_and_never_rests_longer_than_a_minute() -> None:
    delays = [next_try(OpenIncident(False), attempt, None, 0.5) for attempt in range(1, 12)]
    assert [1, 2, 4, 8, 15, 30, 60, 60, 60, 60, 60] == delays


@pytest.mark.parametrize(("asked", "expected"), [(0.0, 1.0), (30.0, 30.0), (86_400.0, MAX_ASKED_DELAY), (-5.0, 1.0)])
def test_a_partners_wish_is_obeyed_within_bounds(asked: float, expected: float) -> None:
    assert expected == next_try(OpenIncident(False), 1, asked, 0.5)


def test_jitter_stays_within_a_fifth_and_above_the_minimum() -> None:
    delays = [next_try(SetAlert(Status.OPEN, None), 3, None, dice / 10) for dice in range(11)]
    assert (4.0, 6.0) == (min(delays), max(delays))
    assert MIN_DELAY <= next_try(SetAlert(Status.OPEN, None), 1, None, 0.0)


def test_a_settled_lane_owes_nothing_and_the_next_delivery_has_a_number_of_its_own() -> None:
    first, lane = owing(LINK, Side.PAGERDUTY, START)
    second, next_lane = owing(settled(first, Side.PAGERDUTY), Side.PAGERDUTY, LATER)
    assert (1, 2, LATER) == (lane.seq, next_lane.seq, second.pagerduty.since)
    assert not settled(second, Side.PAGERDUTY).pagerduty.outstanding
