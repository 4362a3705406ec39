"""The loop breaker: ten flips within a minute, the two sides taking turns, and what a freeze stops."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from app.domain.model.events import AlertEvent, AlertEventType, Event, IncidentEvent, IncidentEventType
from app.domain.model.outcome import Done
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Status, Urgency, Via, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.delivery import record
from app.domain.sync.effects import (
    AddNote,
    Circumstances,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    SetIncident,
    next_effect,
)
from app.domain.sync.link import FLIPS, WINDOW, Link, Note, flipped, thawed
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import Outcome, advance
from tests.fakes import START

ALERT = Alert(AlertId("a1"), severity="critical")
PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
LINK = Link(
    ALERT, incident_key(AlertId("a1")), START, decision=PAGE, incident_id=IncidentId("Q1"), open_tried=True,
    alert_side=SideState(Status.OPEN, START, START), incident_side=SideState(Status.OPEN, START, START),
)  # fmt: skip
T, P = Side.TRUTHVOUCH, Side.PAGERDUTY


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def turns(authors: Sequence[Side], every: float, own: float | None = None) -> Link:
    """Flips received every so many seconds, which happened every ``own`` seconds by their side's clock."""
    link = LINK
    for n, side in enumerate(authors):
        link = flipped(link, side, at(n * every), at(n * (every if own is None else own)))
    return link


def upcoming(link: Link, side: Side, shared: Sequence[Link] = ()) -> Effect | None:
    return next_effect(link, side, Circumstances(at(6), shared))


def resolve(when: datetime) -> AlertEvent:
    return AlertEvent(AlertEventType.RESOLVED, ALERT, "alert.resolved", when)


def reopen(when: datetime) -> IncidentEvent:
    return IncidentEvent(IncidentEventType.REOPENED, IncidentId("Q1"), "incident.reopened", when)


def fight(flips: int, every: float, now: datetime | None = None) -> tuple[Link, list[Outcome]]:
    """TruthVouch resolves, PagerDuty reopens, and so on; both sides follow at once."""
    link, outcomes = LINK, list[Outcome]()
    for n in range(flips):
        when = at(1 + n * every)
        step = advance(link, resolve(when) if n % 2 == 0 else reopen(when), now or when)
        outcomes.append(step.outcome)
        both = SideState(step.link.status, when, now or when)
        link = replace(step.link, agreed=step.link.status, alert_side=both, incident_side=both)
    return link, outcomes


def test_ten_flips_with_the_sides_taking_turns_freeze() -> None:
    link, outcomes = fight(FLIPS, 6)
    assert 10 == FLIPS
    assert [*["moved"] * 9, "frozen"] == outcomes
    assert at(1 + 54) == link.frozen_at


def test_nine_do_not() -> None:
    assert None is fight(FLIPS - 1, 1)[0].frozen_at


def test_the_link_freezes_once_and_stays_frozen() -> None:
    link, outcomes = fight(FLIPS + 5, 1)
    assert 1 == outcomes.count(Outcome.FROZEN)
    assert at(10) == link.frozen_at


@pytest.mark.parametrize(("every", "freezes"), [(WINDOW.total_seconds() / 9, True), (7, False), (3_600, False)])
def test_ten_flips_count_only_within_a_minute(every: float, freezes: bool) -> None:
    assert freezes is (turns([T, P] * 5, every).frozen_at is not None)


@pytest.mark.parametrize(("every", "own", "freezes"), [(1, 1, True), (1, 600, False), (600, 1, False)])
def test_they_count_only_within_a_minute_of_receipt_and_of_each_sides_own_time(
    every: float, own: float, freezes: bool
) -> None:
    assert freezes is (turns([T, P] * 5, every, own).frozen_at is not None)


def test_the_two_sides_clocks_are_not_compared() -> None:
    link = LINK
    for n in range(FLIPS):
        side = [T, P][n % 2]
        link = flipped(link, side, at(n), at(n + (3_000 if side is P else 0)))
    assert link.frozen_at is not None


@pytest.mark.parametrize("authors", [[T] * 20, [P] * 20, [T, P, P] * 7, [T, T, P, P] * 5])
def test_one_side_that_changes_its_mind_is_no_ping_pong(authors: list[Side]) -> None:
    assert None is turns(authors, 0.5).frozen_at


def test_a_turn_taken_twice_begins_the_count_anew() -> None:
    assert None is turns([*[T, P] * 4, T, T, *[P, T] * 4], 0.5).frozen_at
    assert None is not turns([*[T, P] * 4, T, T, *[P, T] * 4, P], 0.5).frozen_at


def test_a_backlog_of_old_events_that_arrives_in_one_moment_does_not_freeze() -> None:
    link, outcomes = fight(30, 600, now=at(100_000))
    assert None is link.frozen_at
    assert ["moved"] * 30 == outcomes


def test_our_own_writes_coming_back_are_no_flips() -> None:
    link = LINK
    for n in range(20):
        when = at(1 + n)
        link = record(link, T, SetIncident(Status.ACKNOWLEDGED), Done(None, when), when, 0.5).link
        link = advance(link, AlertEvent(AlertEventType.CREATED, ALERT, "alert.created", when), when).link
    assert ((), None) == (link.flips, link.frozen_at)


def test_events_applied_again_are_no_flips() -> None:
    link = LINK
    link = replace(link, alert_side=SideState(Status.RESOLVED, at(0), at(0)), agreed=Status.RESOLVED)
    link = replace(link, incident_side=SideState(Status.RESOLVED, at(0), at(0)))
    for _ in range(20):
        link = advance(link, reopen(at(2)), at(3)).link
    assert 1 == len(link.flips)


# ------------------------------------------------------------------------------------------------- what it stops

FROZEN = replace(LINK, frozen_at=START)


@pytest.mark.parametrize(
    ("said", "stopped"),
    [
        (IncidentEvent(IncidentEventType.ACKNOWLEDGED, IncidentId("Q1"), "incident.acknowledged", at(5)), True),
        (AlertEvent(AlertEventType.ACKNOWLEDGED, ALERT, "alert.acknowledged", at(5)), True),
        (IncidentEvent(IncidentEventType.RESOLVED, IncidentId("Q1"), "incident.resolved", at(5)), False),
        (AlertEvent(AlertEventType.RESOLVED, ALERT, "alert.resolved", at(5)), False),
    ],
    ids=lambda said: said.name if not isinstance(said, bool) else "",
)
def test_a_freeze_stops_an_acknowledge_and_never_a_resolve(said: Event, stopped: bool) -> None:
    link = advance(FROZEN, said, at(6)).link
    effects = [upcoming(link, side) for side in Side]
    assert stopped is (effects == [None, None])
    carried_on = [upcoming(advance(thawed(FROZEN), said, at(6)).link, side) for side in Side]
    assert [None, None] != carried_on


@pytest.mark.parametrize("said", [reopen(at(5)), AlertEvent(AlertEventType.REOPENED, ALERT, "alert.reopened", at(5))])
def test_a_freeze_stops_a_reopen_on_both_sides(said: Event) -> None:
    resolved = SideState(Status.RESOLVED, at(1), at(1))
    closed = replace(FROZEN, agreed=Status.RESOLVED, alert_side=resolved, incident_side=resolved)
    link = advance(closed, said, at(6)).link
    assert Status.OPEN is link.status
    assert [None, None] == [upcoming(link, side) for side in Side]
    assert [ReadAlert(), ReadIncident()] == [upcoming(thawed(link), side) for side in Side]


@pytest.mark.parametrize(("first", "second"), [(T, P), (P, T)])
def test_after_a_thaw_the_side_that_spoke_last_by_our_receipt_is_carried_over(first: Side, second: Side) -> None:
    acknowledged, opened = SideState(Status.ACKNOWLEDGED, at(900), at(1)), SideState(Status.OPEN, at(-900), at(2))
    link = FROZEN.with_side(first, acknowledged).with_side(second, opened)
    assert Status.OPEN is thawed(link).status
    assert Status.ACKNOWLEDGED is thawed(FROZEN.with_side(first, opened).with_side(second, replace(
        acknowledged, received_at=at(3)))).status  # fmt: skip


def test_a_freeze_never_stops_a_create_a_look_or_a_note() -> None:
    fresh = replace(FROZEN, incident_id=None, incident_side=SideState(), open_tried=False)
    assert OpenIncident(look_first=False) == upcoming(fresh, P)
    unknown = replace(FROZEN, via=Via.EVENTS, incident_id=None)
    assert LookForIncident() == upcoming(unknown, P)
    noted = replace(FROZEN, notes=(Note("deadbeef", "x"),))
    assert AddNote("deadbeef", "x") == upcoming(noted, P)


def test_one_frozen_link_stops_what_the_shared_incident_would_do() -> None:
    other = replace(LINK, alert_side=SideState(Status.ACKNOWLEDGED, at(1), at(1)), merged=True)
    assert SetIncident(Status.ACKNOWLEDGED) == upcoming(other, P, [other, LINK])
    assert None is upcoming(other, P, [other, FROZEN])


def test_a_thawed_link_begins_its_count_anew() -> None:
    link = thawed(fight(FLIPS, 1)[0])
    assert ((), None) == (link.flips, link.frozen_at)
    for n in range(FLIPS - 1):
        link = flipped(link, [T, P][n % 2], at(20 + n), None)
    assert None is link.frozen_at
    assert None is not flipped(link, P, at(30), None).frozen_at
