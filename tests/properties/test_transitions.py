"""Laws of the state machine, for every order and repetition of events and reads."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.alert import Alert
from app.domain.delivery import intending, record
from app.domain.effects import Circumstances, Effect, SetAlert, SetIncident, next_effect
from app.domain.incident import AlertFacts, IncidentFacts
from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.outcome import Done
from app.domain.rulebook import Decision
from app.domain.side_state import SideState
from app.domain.transitions import ALERT_MOVES, INCIDENT_MOVES, Outcome, advance
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word
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
    IncidentVerb.ACKNOWLEDGED, IncidentVerb.UNACKNOWLEDGED, IncidentVerb.RESOLVED, IncidentVerb.REOPENED,
)  # fmt: skip


def standing(status: Status) -> Link:
    """A link whose sides agree."""
    side = SideState(status, START, START)
    return replace(OPEN, agreed=status, alert_side=side, incident_side=side)


def moment(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


times = st.integers(1, 40_000).map(moment)
alert_events: st.SearchStrategy[Word] = st.builds(
    lambda verb, at: AlertWord(verb, ALERT, f"alert.{verb}", at),
    st.sampled_from([verb for verb in AlertVerb if verb is not AlertVerb.READ]),
    times | st.none(),
)
incident_events: st.SearchStrategy[Word] = st.builds(
    lambda verb, at: IncidentWord(verb, IncidentId("Q1"), f"incident.{verb}", at),
    st.sampled_from([verb for verb in IncidentVerb if verb not in (IncidentVerb.MERGED, IncidentVerb.READ)]),
    times | st.none(),
)
began = st.integers(1, 90_000).map(moment)
reads: st.SearchStrategy[Word] = st.builds(
    lambda status, at: AlertWord(AlertVerb.READ, ALERT, "alert.read", at, status=status, read_at=at),
    st.sampled_from(list(Status)),
    began,
) | st.builds(
    lambda status, changed, at: IncidentWord(
        IncidentVerb.READ, IncidentId("Q1"), "incident.read", changed, status=status, read_at=max(changed, at)
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


def applied(link: Link, said: list[Word]) -> Link:
    for event in said:
        link = advance(link, event, LATER, PAGE).link
    return link


def missing(link: Link, side: Side) -> Effect | None:
    return next_effect(link, side, Circumstances(LATER))


def test_every_event_type_has_its_row() -> None:
    assert set(AlertVerb) == set(ALERT_MOVES)
    assert set(IncidentVerb) == set(INCIDENT_MOVES)


@pytest.mark.parametrize("status", list(Status))
def test_every_status_answers_every_event(status: Status) -> None:
    for verb in AlertVerb:
        assert isinstance(advance(standing(status), AlertWord(verb, ALERT, "x"), LATER, PAGE).outcome, Outcome)
    for incident_verb in IncidentVerb:
        event = IncidentWord(incident_verb, IncidentId("Q1"), "x", merged_into=IncidentId("Q2"))
        assert isinstance(advance(standing(status), event, LATER).outcome, Outcome)


@pytest.mark.parametrize(("agreed", "alert", "incident"), list(product(Status, repeat=3)))
def test_the_table(agreed: Status, alert: Status, incident: Status) -> None:
    link = replace(OPEN, agreed=agreed, alert_side=SideState(alert, START), incident_side=SideState(incident, START))
    changed = {status for status in (alert, incident) if status is not agreed}
    wanted = max(changed, key=lambda status: status.rung, default=agreed)
    assert wanted is link.status


@given(st.lists(st.tuples(st.sampled_from(MOVING), st.integers(1, 40_000)), max_size=4, unique_by=lambda one: one[1]))
def test_in_whatever_order_a_side_is_heard_it_stands_where_its_newest_event_says(
    said: list[tuple[IncidentVerb, int]],
) -> None:
    told = [IncidentWord(verb, IncidentId("Q1"), f"incident.{verb}", moment(at)) for verb, at in said]
    ends = {applied(OPEN, list(order)).incident_side.status for order in permutations(told)}
    newest = max(said, key=lambda one: one[1], default=None)
    coarse = any(not at % 1000 for _, at in said)  # a time in whole seconds is compared as one
    assert coarse or ends == {INCIDENT_MOVES[newest[0]].status if newest else Status.OPEN}


@given(st.lists(anything, max_size=6), st.lists(writes, max_size=3), anything)
def test_hearing_it_twice_equals_hearing_it_once(before: list[Word], ours: list[Any], event: Word) -> None:
    link = applied(OPEN, before)
    for made in ours:
        link = made(link)
    once = applied(link, [event])
    assert once == applied(once, [event])


@given(st.lists(anything, max_size=10))
def test_a_frozen_link_is_only_ever_resolved(said: list[Word]) -> None:
    link = replace(OPEN, frozen_at=START)
    for event in said:
        link = applied(link, [event])
        for effect in (missing(link, side) for side in Side):
            assert not isinstance(effect, SetIncident | SetAlert) or effect.status is Status.RESOLVED
        assert START == link.frozen_at


@given(st.lists(anything, max_size=10), st.lists(writes, max_size=3), anything)
def test_nothing_leaves_a_side_unknown(said: list[Word], ours: list[Any], event: Word) -> None:
    link = applied(OPEN, said)
    for made in ours:
        link = made(link)
    after = applied(link, [event])
    assert after.alert_side.status is not None
    assert after.incident_side.status is not None


@given(st.lists(events, max_size=6), events)
def test_nothing_is_written_to_the_side_that_moved_the_link(before: list[Word], event: Word) -> None:
    link = applied(OPEN, before)
    origin = Side.TRUTHVOUCH if isinstance(event, AlertWord) else Side.PAGERDUTY
    step = advance(link, event, LATER, PAGE)
    says = ALERT_MOVES[event.verb].status if isinstance(event, AlertWord) else INCIDENT_MOVES[event.verb].status
    if step.outcome is Outcome.MOVED and step.link.status is says:
        assert not isinstance(missing(step.link, origin), SetAlert | SetIncident)


@given(st.lists(events, max_size=8), events)
def test_what_is_older_than_all_a_side_has_told_moves_nothing(said: list[Word], old: Word) -> None:
    link = applied(OPEN, said)
    ancient = replace(old, at=START - timedelta(days=1))
    told = [link.alert_side.at, link.incident_side.at]
    after = applied(link, [ancient])
    assert None in told or (link.status, link.agreed) == (after.status, after.agreed)


@given(st.lists(anything, max_size=8))
def test_what_is_missing_once_done_is_missing_no_more(said: list[Word]) -> None:
    for side in Side:
        link = applied(OPEN, said)
        for _ in range(6):
            effect = missing(link, side)
            if effect is None:
                break
            facts: Any = AlertFacts("a1", link.alert_side.status or Status.OPEN)
            if side is Side.PAGERDUTY:
                status = effect.status if isinstance(effect, SetIncident) else link.incident_side.status
                facts = IncidentFacts(IncidentId("Q1"), status or Status.OPEN, status_changed_at=LATER)
            link = intending(link, side, effect, LATER)
            link = record(link, side, effect, Done(facts, LATER), LATER + timedelta(seconds=9), 0.5).link
        assert not isinstance(missing(link, side), SetAlert | SetIncident)


@given(st.text(max_size=400))
def test_the_incident_key_is_stable_never_empty_and_fits(alert_id: str) -> None:
    key = incident_key(AlertId(alert_id))
    assert key == incident_key(AlertId(alert_id))
    assert 75 == len(key)
