"""Laws of the state machine, for every order and repetition of events and reads."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.events import AlertEvent, AlertEventType, Event, IncidentEvent, IncidentEventType
from app.domain.model.incident import AlertFacts, IncidentFacts
from app.domain.model.outcome import Done
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.delivery import intending, record
from app.domain.sync.effects import Circumstances, Effect, SetAlert, SetIncident, next_effect
from app.domain.sync.link import Link
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import ALERT_MOVES, INCIDENT_MOVES, Outcome, advance
from tests.fakes import START

PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
ALERT = Alert(AlertId("a1"), severity="critical")
BEGAN = START - timedelta(microseconds=1)
FRESH = Link(ALERT, incident_key(AlertId("a1")), START)
OPEN = replace(
    FRESH, decision=PAGE, alert_side=SideState(Status.OPEN, BEGAN, START),
    incident_side=SideState(Status.OPEN, BEGAN, START), incident_id=IncidentId("Q1"), open_tried=True,
)  # fmt: skip
LATER = START + timedelta(minutes=2)
MOVING = (
    IncidentEventType.ACKNOWLEDGED, IncidentEventType.UNACKNOWLEDGED,
    IncidentEventType.RESOLVED, IncidentEventType.REOPENED,
)  # fmt: skip


def standing(status: Status) -> Link:
    """A link whose sides agree."""
    side = SideState(status, START, START)
    return replace(OPEN, agreed=status, alert_side=side, incident_side=side)


def moment(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


times = st.integers(1, 40_000).map(moment)
alert_events: st.SearchStrategy[Event] = st.builds(
    lambda event_type, at: AlertEvent(event_type, ALERT, f"alert.{event_type}", at),
    st.sampled_from([event_type for event_type in AlertEventType if event_type is not AlertEventType.READ]),
    times | st.none(),
)
incident_events: st.SearchStrategy[Event] = st.builds(
    lambda event_type, at: IncidentEvent(event_type, IncidentId("Q1"), f"incident.{event_type}", at),
    st.sampled_from(
        [
            event_type
            for event_type in IncidentEventType
            if event_type not in (IncidentEventType.MERGED, IncidentEventType.READ)
        ]
    ),
    times | st.none(),
)
began = st.integers(1, 90_000).map(moment)
reads: st.SearchStrategy[Event] = st.builds(
    lambda status, at: AlertEvent(AlertEventType.READ, ALERT, "alert.read", at, status=status, read_at=at),
    st.sampled_from(list(Status)),
    began,
) | st.builds(
    lambda status, changed, at: IncidentEvent(
        IncidentEventType.READ, IncidentId("Q1"), "incident.read", changed, status=status, read_at=max(changed, at)
    ),
    st.sampled_from(list(Status)),
    times,
    began,
)
events = alert_events | incident_events
anything = events | reads


def write(side: Side, status: Status, at: datetime) -> Callable[[Link], Link]:
    effect: Effect = SetAlert(status, None) if side is Side.TRUTHVOUCH else SetIncident(status)
    facts = None if side is Side.TRUTHVOUCH else IncidentFacts(IncidentId("Q1"), status, status_changed_at=at)
    return lambda link: record(intending(link, side, effect, at), side, effect, Done(facts, at), at, 0.5).link


writes = st.builds(write, st.sampled_from(list(Side)), st.sampled_from(list(Status)), times)


def applied(link: Link, said: list[Event]) -> Link:
    for event in said:
        link = advance(link, event, LATER, PAGE).link
    return link


def upcoming(link: Link, side: Side) -> Effect | None:
    return next_effect(link, side, Circumstances(LATER))


def test_every_event_type_has_its_row() -> None:
    assert set(AlertEventType) == set(ALERT_MOVES)
    assert set(IncidentEventType) == set(INCIDENT_MOVES)


@pytest.mark.parametrize("status", list(Status))
def test_every_status_answers_every_event(status: Status) -> None:
    for event_type in AlertEventType:
        assert isinstance(advance(standing(status), AlertEvent(event_type, ALERT, "x"), LATER, PAGE).outcome, Outcome)
    for incident_event_type in IncidentEventType:
        event = IncidentEvent(incident_event_type, IncidentId("Q1"), "x", merged_into=IncidentId("Q2"))
        assert isinstance(advance(standing(status), event, LATER).outcome, Outcome)


@pytest.mark.parametrize(("agreed", "alert", "incident"), list(product(Status, repeat=3)))
def test_the_table(agreed: Status, alert: Status, incident: Status) -> None:
    link = replace(OPEN, agreed=agreed, alert_side=SideState(alert, START), incident_side=SideState(incident, START))
    changed = {status for status in (alert, incident) if status is not agreed}
    wanted = max(changed, key=lambda status: status.rank, default=agreed)
    assert wanted is link.status


@given(st.lists(st.tuples(st.sampled_from(MOVING), st.integers(1, 40_000)), max_size=4, unique_by=lambda one: one[1]))
def test_in_whatever_order_a_side_is_received_it_stands_where_its_newest_event_says(
    said: list[tuple[IncidentEventType, int]],
) -> None:
    answer = [
        IncidentEvent(event_type, IncidentId("Q1"), f"incident.{event_type}", moment(at)) for event_type, at in said
    ]
    ends = {applied(OPEN, list(order)).incident_side.status for order in permutations(answer)}
    newest = max(said, key=lambda one: one[1], default=None)
    coarse = any(not at % 1000 for _, at in said)  # a time in whole seconds is compared as one
    assert coarse or ends == {INCIDENT_MOVES[newest[0]].status if newest else Status.OPEN}


@given(st.lists(anything, max_size=6), st.lists(writes, max_size=3), anything)
def test_hearing_it_twice_equals_hearing_it_once(before: list[Event], ours: list[Any], event: Event) -> None:
    link = applied(OPEN, before)
    for made in ours:
        link = made(link)
    once = applied(link, [event])
    assert once == applied(once, [event])


@given(st.lists(anything, max_size=10))
def test_a_frozen_link_is_only_ever_resolved(said: list[Event]) -> None:
    link = replace(OPEN, frozen_at=START)
    for event in said:
        link = applied(link, [event])
        for effect in (upcoming(link, side) for side in Side):
            assert not isinstance(effect, SetIncident | SetAlert) or effect.status is Status.RESOLVED
        assert START == link.frozen_at


@given(st.lists(anything, max_size=10), st.lists(writes, max_size=3), anything)
def test_nothing_leaves_a_side_unknown(said: list[Event], ours: list[Any], event: Event) -> None:
    link = applied(OPEN, said)
    for made in ours:
        link = made(link)
    after = applied(link, [event])
    assert after.alert_side.status is not None
    assert after.incident_side.status is not None


@given(st.lists(events, max_size=6), events)
def test_nothing_is_written_to_the_side_that_moved_the_link(before: list[Event], event: Event) -> None:
    link = applied(OPEN, before)
    origin = Side.TRUTHVOUCH if isinstance(event, AlertEvent) else Side.PAGERDUTY
    step = advance(link, event, LATER, PAGE)
    says = ALERT_MOVES[event.type].status if isinstance(event, AlertEvent) else INCIDENT_MOVES[event.type].status
    if step.outcome is Outcome.MOVED and step.link.status is says:
        assert not isinstance(upcoming(step.link, origin), SetAlert | SetIncident)


@given(st.lists(events, max_size=8), events)
def test_what_is_older_than_all_a_side_has_told_moves_nothing(said: list[Event], old: Event) -> None:
    link = applied(OPEN, said)
    ancient = replace(old, at=START - timedelta(days=1))
    answer = [link.alert_side.at, link.incident_side.at]
    after = applied(link, [ancient])
    assert None in answer or (link.status, link.agreed) == (after.status, after.agreed)


@given(st.lists(anything, max_size=8))
def test_what_is_missing_once_done_is_missing_no_more(said: list[Event]) -> None:
    for side in Side:
        link = applied(OPEN, said)
        for _ in range(6):
            effect = upcoming(link, side)
            if effect is None:
                break
            facts: Any = AlertFacts("a1", link.alert_side.status or Status.OPEN)
            if side is Side.PAGERDUTY:
                status = effect.status if isinstance(effect, SetIncident) else link.incident_side.status
                facts = IncidentFacts(IncidentId("Q1"), status or Status.OPEN, status_changed_at=LATER)
            link = intending(link, side, effect, LATER)
            link = record(link, side, effect, Done(facts, LATER), LATER + timedelta(seconds=9), 0.5).link
        assert not isinstance(upcoming(link, side), SetAlert | SetIncident)


@given(st.text(max_size=400))
def test_the_incident_key_is_stable_never_empty_and_fits(alert_id: str) -> None:
    key = incident_key(AlertId(alert_id))
    assert key == incident_key(AlertId(alert_id))
    assert 75 == len(key)
