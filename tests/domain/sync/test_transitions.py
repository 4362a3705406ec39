"""The two tables of the state machine row by row, and what follows for both sides from what one of them says."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from app.domain.model.events import AlertEvent, AlertEventType, IncidentEvent, IncidentEventType
from app.domain.model.outcome import Done, Refused
from app.domain.model.types import IncidentId, Side, Status, Via, incident_key
from app.domain.sync.delivery import record, without_call, without_outstanding
from app.domain.sync.effects import (
    AddNote,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    SetAlert,
    SetIncident,
    resolution,
)
from app.domain.sync.link import (
    HISTORY_LIMIT,
    MAX_NOTE_CHARS,
    DeliveryState,
    HistoryEntry,
    Link,
    needs_own_incident,
    remembering,
    with_note,
    with_own_incident,
)
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import ALERT_MOVES, INCIDENT_MOVES, REPEATS, Move, Outcome, advance, hinted
from app.store.codec import LINK
from tests.domain.one_link import (
    ACKNOWLEDGED,
    AHEAD,
    ALERT,
    INCIDENT,
    OPEN,
    PAGE,
    RESOLVED,
    P,
    T,
    alert_event,
    alert_says,
    alert_shows,
    answered,
    at,
    calling,
    incident_event,
    incident_says,
    incident_shows,
    known,
    link_at,
    other,
    read,
    setting,
    shows,
    there,
    unanswered,
    wanted,
    without_times,
    wrote,
)
from tests.fakes import START

sides = pytest.mark.parametrize("side", list(Side))
NEW = Link(ALERT, incident_key(ALERT.alert_id), START)
PAIRS = list(product(Status, Status))


def statuses(link: Link) -> tuple[Status | None, Status | None, Status]:
    """Where the alert stands, where the incident does, and where both should."""
    return link.alert_side.status, link.incident_side.status, link.status


# ------------------------------------------------------------------------------------------------- the tables

ALERT_ROWS = {
    AlertEventType.CREATED: Move(OPEN, first_only=True),
    AlertEventType.ACKNOWLEDGED: Move(ACKNOWLEDGED),
    AlertEventType.RESOLVED: Move(RESOLVED),
    AlertEventType.REOPENED: Move(OPEN, goes_back=True, back_from=(ACKNOWLEDGED, RESOLVED)),
    AlertEventType.READ: Move(None),
    AlertEventType.MENTIONED: Move(None),
}
INCIDENT_ROWS = {
    IncidentEventType.TRIGGERED: Move(OPEN, first_only=True),
    IncidentEventType.ACKNOWLEDGED: Move(ACKNOWLEDGED),
    IncidentEventType.UNACKNOWLEDGED: Move(OPEN, goes_back=True, back_from=(ACKNOWLEDGED,)),
    IncidentEventType.RESOLVED: Move(RESOLVED),
    IncidentEventType.REOPENED: Move(OPEN, goes_back=True, back_from=(RESOLVED,)),
    IncidentEventType.MERGED: Move(None),
    IncidentEventType.ANNOTATED: Move(None),
    IncidentEventType.READ: Move(None),
    IncidentEventType.MENTIONED: Move(None),
}


def test_both_tables_are_total_and_say_this():
    assert (set(AlertEventType), set(IncidentEventType)) == (set(ALERT_MOVES), set(INCIDENT_MOVES))
    assert (ALERT_ROWS, INCIDENT_ROWS) == (ALERT_MOVES, INCIDENT_MOVES)


@pytest.mark.parametrize(("event_type", "was"), list(product(AlertEventType, Status)))
def test_what_each_row_does_to_the_alert_side(event_type: AlertEventType, was: Status):
    """*Created* says nothing of an alert that is known, and from *resolved* TruthVouch never goes back to
    *acknowledged*."""
    move = ALERT_MOVES[event_type]
    ignored = move.status is None or move.first_only or (was is RESOLVED and move.status is ACKNOWLEDGED)
    becomes = was if ignored else move.status
    step = alert_says(link_at(was), event_type, 10)
    assert (becomes, was, becomes) == statuses(step.link)
    assert step.link.alert_side.at == (there(T, 0.5) if ignored else there(T, 10))
    assert was is step.link.agreed
    assert step.link == alert_says(step.link, event_type, 10).link


@pytest.mark.parametrize(("event_type", "was"), list(product(IncidentEventType, Status)))
def test_what_each_row_does_to_the_incident_side(event_type: IncidentEventType, was: Status):
    """*Triggered* says nothing of an incident that is known."""
    move = INCIDENT_MOVES[event_type]
    ignored = move.status is None or move.first_only
    becomes = was if ignored else move.status
    step = incident_says(link_at(was), event_type, 10)
    assert (was, becomes, becomes) == statuses(step.link)
    assert step.link.incident_side.at == (there(P, 0.5) if ignored else there(P, 10))
    assert was is step.link.agreed
    assert step.link == incident_says(step.link, event_type, 10).link


@pytest.mark.parametrize("event_type", list(AlertEventType))
def test_what_each_row_says_of_an_alert_of_which_nothing_is_known(event_type: AlertEventType):
    step = alert_says(NEW, event_type, 10)
    assert ALERT_MOVES[event_type].status is step.link.alert_side.status
    assert (event_type is AlertEventType.CREATED) is (step.link.decision is not None), (
        "nothing else may open an incident"
    )


@pytest.mark.parametrize("event_type", list(IncidentEventType))
def test_what_each_row_says_of_an_incident_of_which_nothing_is_known(event_type: IncidentEventType):
    unknown = replace(link_at(), incident_side=SideState())
    assert INCIDENT_MOVES[event_type].status is incident_says(unknown, event_type, 10).link.incident_side.status


@pytest.mark.parametrize(
    ("link", "step", "outcome"),
    [
        (NEW, AlertEventType.CREATED, Outcome.OPENED),
        (link_at(), AlertEventType.CREATED, Outcome.ALREADY_SO),
        (link_at(RESOLVED), AlertEventType.CREATED, Outcome.ALREADY_SO),
        (link_at(), AlertEventType.MENTIONED, Outcome.TIMELINE_ONLY),
        (link_at(), AlertEventType.READ, Outcome.TIMELINE_ONLY),
        (link_at(), AlertEventType.ACKNOWLEDGED, Outcome.MOVED),
        (link_at(RESOLVED), AlertEventType.ACKNOWLEDGED, Outcome.ABSORBED),
        (link_at(RESOLVED), AlertEventType.RESOLVED, Outcome.ALREADY_SO),
        (link_at(), IncidentEventType.TRIGGERED, Outcome.ALREADY_SO),
        (link_at(), IncidentEventType.RESOLVED, Outcome.MOVED),
        (link_at(RESOLVED), IncidentEventType.REOPENED, Outcome.MOVED),
        (link_at(), IncidentEventType.UNACKNOWLEDGED, Outcome.ALREADY_SO),
        (link_at(), IncidentEventType.MENTIONED, Outcome.TIMELINE_ONLY),
        (link_at(), IncidentEventType.ANNOTATED, Outcome.TIMELINE_ONLY),
        (link_at(), IncidentEventType.MERGED, Outcome.ALREADY_SO),
    ],
)
def test_what_an_event_did_has_a_name(link: Link, step: AlertEventType | IncidentEventType, outcome: Outcome):
    says = alert_says(link, step, 10) if isinstance(step, AlertEventType) else incident_says(link, step, 10)
    assert outcome is says.outcome


def test_a_create_after_the_resolve_changes_nothing_and_opens_nothing():
    """Late, or detected again: it says *open* only of an alert of which nothing is known."""
    resolved = alert_says(NEW, AlertEventType.RESOLVED, 5).link
    step = alert_says(resolved, AlertEventType.CREATED, 9)
    assert (Outcome.ABSORBED, (RESOLVED, None, RESOLVED)) == (step.outcome, statuses(step.link))
    assert None is wanted(step.link, P, 9)


def test_an_alert_that_nobody_is_to_be_woken_for_opens_nothing():
    quiet = replace(PAGE, urgency=None)
    step = advance(NEW, alert_event(AlertEventType.CREATED, 1), at(1), quiet)
    assert (Outcome.NO_INCIDENT_WANTED, None) == (step.outcome, wanted(step.link, P, 1))


# ------------------------------------------------------------------------------------------------- both sides

TABLE = [
    (OPEN, OPEN, OPEN, None, None),
    (ACKNOWLEDGED, OPEN, ACKNOWLEDGED, None, ACKNOWLEDGED),
    (RESOLVED, OPEN, RESOLVED, None, RESOLVED),
    (OPEN, ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED, None),
    (OPEN, RESOLVED, RESOLVED, RESOLVED, None),
    (ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED, None, None),
    (RESOLVED, RESOLVED, RESOLVED, None, None),
    (ACKNOWLEDGED, RESOLVED, RESOLVED, RESOLVED, None),
    (RESOLVED, ACKNOWLEDGED, RESOLVED, None, RESOLVED),
]
FROM_RESOLVED = [
    (OPEN, RESOLVED, OPEN, None, OPEN),
    (RESOLVED, OPEN, OPEN, OPEN, None),
    (OPEN, ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED, None),
    (ACKNOWLEDGED, OPEN, ACKNOWLEDGED, None, ACKNOWLEDGED),
    (OPEN, OPEN, OPEN, None, None),
]


@pytest.mark.parametrize(
    ("agreed", "alert", "incident", "both", "at_truthvouch", "at_pagerduty"),
    [*((OPEN, *row) for row in TABLE), *((RESOLVED, *row) for row in FROM_RESOLVED)],
)
def test_the_side_that_has_changed_since_both_agreed_is_carried_and_if_both_have_the_furthest_along_is(
    agreed: Status, alert: Status, incident: Status, both: Status, at_truthvouch: Status | None,
    at_pagerduty: Status | None,
):  # fmt: skip
    link = replace(link_at(agreed), alert_side=known(T, alert, 5), incident_side=known(P, incident, 4))
    assert both is link.status
    effects = wanted(link, T, 5), wanted(link, P, 5)
    assert at_truthvouch is (effects[0].status if isinstance(effects[0], SetAlert) else None)
    assert at_pagerduty is (effects[1].status if isinstance(effects[1], SetIncident) else None)


def test_absent_and_inherited_and_lost_count_as_unchanged():
    link = replace(link_at(ACKNOWLEDGED), incident_side=SideState())
    assert ACKNOWLEDGED is link.status
    for unchanged in (replace(known(P, RESOLVED), inherited=True), replace(known(P, RESOLVED), write_lost=True)):
        assert ACKNOWLEDGED is replace(link, incident_side=unchanged).status


@sides
@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_a_change_that_only_a_read_tells_of_is_that_change(side: Side, was: Status, now: Status):
    step = shows(link_at(was), side, now, 60, 50)
    assert (Outcome.ALREADY_SO if was is now else Outcome.MOVED) is step.outcome
    assert now is step.link.status is step.link.side(side).status
    assert None is wanted(step.link, side, 60)
    assert (was is now) is (wanted(step.link, other(side), 60) is None)


@sides
@pytest.mark.parametrize("now", list(Status))
def test_what_a_side_of_which_nothing_was_known_shows_is_news(side: Side, now: Status):
    """An alert that was only ever mentioned: whoever acknowledged or resolved it must not be overruled."""
    step = shows(link_at().with_side(side, SideState()), side, now, 60, 50)
    assert now is step.link.status is step.link.side(side).status
    assert None is wanted(step.link, side, 60)


@sides
@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_a_read_while_a_call_is_under_way_there_tells_nothing(side: Side, was: Status, now: Status):
    """It may show what was before the call or what came of it."""
    link = calling(link_at(was), side, ACKNOWLEDGED, 59)
    assert (Outcome.UNDER_WAY, link) == ((step := shows(link, side, now, 60)).outcome, step.link)
    assert Outcome.UNDER_WAY is not shows(link, other(side), now, 60).outcome
    lost = unanswered(link, side, ACKNOWLEDGED, 61)
    assert Outcome.UNDER_WAY is shows(lost, side, now, 90).outcome, "nor while one may have been made"


@sides
@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_a_delivery_that_only_waits_is_no_reason_to_drop_a_read(side: Side, was: Status, now: Status):
    link = link_at(was).with_delivery(side, DeliveryState(outstanding=True, waits_for="AddNote"))
    assert now is shows(link, side, now, 60, 50).link.side(side).status


def test_a_read_without_a_status_tells_nothing():
    event = AlertEvent(AlertEventType.READ, ALERT, "alert.read", read_at=at(60))
    assert Outcome.TIMELINE_ONLY is advance(link_at(), event, at(61)).outcome


# ------------------------------------------------------------------------------------------------- our own echoes


@sides
def test_an_echo_is_no_news_however_often_it_comes(side: Side):
    link = acknowledged_and_carried(other(side))
    for _ in range(3):
        step = says(link, side, ACKNOWLEDGED, 2.2)
        assert (Outcome.ALREADY_SO, ACKNOWLEDGED) == (step.outcome, step.link.status)
        link = step.link
    assert (None, None) == (wanted(link, T, 3), wanted(link, P, 3))


def says(link: Link, side: Side, status: Status, seconds: float | None, received: float | None = None):
    """That side tells of that status: going back as it says that."""
    if side is T:
        alert = {
            OPEN: AlertEventType.REOPENED,
            ACKNOWLEDGED: AlertEventType.ACKNOWLEDGED,
            RESOLVED: AlertEventType.RESOLVED,
        }
        return alert_says(link, alert[status], seconds, received)
    back = IncidentEventType.REOPENED if link.incident_side.status is RESOLVED else IncidentEventType.UNACKNOWLEDGED
    incident = {OPEN: back, ACKNOWLEDGED: IncidentEventType.ACKNOWLEDGED, RESOLVED: IncidentEventType.RESOLVED}
    return incident_says(link, incident[status], seconds, received)


def acknowledged_and_carried(side: Side) -> Link:
    """A person acknowledged there, and we did on the other side."""
    return wrote(says(link_at(), side, ACKNOWLEDGED, 1).link, other(side), ACKNOWLEDGED, 2.2)


@sides
def test_whoever_goes_on_from_there_is_received(side: Side):
    link = says(acknowledged_and_carried(other(side)), side, ACKNOWLEDGED, 2.2).link
    step = says(link, side, OPEN, 4)
    assert (Outcome.MOVED, OPEN) == (step.outcome, step.link.status)
    again = says(step.link, side, ACKNOWLEDGED, 5)
    assert ACKNOWLEDGED is again.link.status


@sides
def test_a_side_that_never_tells_of_our_writes_is_received_as_well(side: Side):
    """Our resolve had no echo, our reopen had none either: who resolves after that is no echo of the first one."""
    link = wrote(says(link_at(), other(side), RESOLVED, 1).link, side, RESOLVED, 2.2)
    link = wrote(says(link, other(side), OPEN, 5).link, side, OPEN, 6.2)
    step = says(link, side, RESOLVED, 12)
    assert (Outcome.MOVED, RESOLVED) == (step.outcome, step.link.status)


def reopened_and_over_again() -> Link:
    """Resolved, reopened and resolved again at TruthVouch, each carried before any webhook of PagerDuty came back."""
    link = wrote(alert_says(link_at(), AlertEventType.RESOLVED, 1).link, P, RESOLVED, 2.2)
    link = wrote(alert_says(link, AlertEventType.REOPENED, 5).link, P, OPEN, 12.2)
    return wrote(alert_says(link, AlertEventType.RESOLVED, 6).link, P, RESOLVED, 13.2)


def test_a_late_echo_of_our_reopen_pages_nobody_for_what_is_over():
    step = incident_says(reopened_and_over_again(), IncidentEventType.REOPENED, 12.2, received=20)
    assert (Outcome.STALE, RESOLVED) == (step.outcome, step.link.status)
    assert (None, None) == (wanted(step.link, T, 20), wanted(step.link, P, 20))


def test_whoever_reopens_it_after_that_is_no_echo():
    link = incident_says(reopened_and_over_again(), IncidentEventType.REOPENED, 12.2, received=20).link
    step = incident_says(link, IncidentEventType.REOPENED, 14.4, received=21)
    assert (Outcome.MOVED, OPEN) == (step.outcome, step.link.status)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_acknowledging_what_is_resolved_comes_back_as_two_events_and_neither_is_news(order: tuple[int, int]):
    """PagerDuty opens it for that."""
    link = wrote(alert_says(link_at(), AlertEventType.RESOLVED, 1).link, P, RESOLVED, 2.2)
    link = alert_says(alert_says(link, AlertEventType.REOPENED, 5).link, AlertEventType.ACKNOWLEDGED, 6).link
    link = wrote(link, P, ACKNOWLEDGED, 12.3)
    event_types = [IncidentEventType.REOPENED, IncidentEventType.ACKNOWLEDGED]
    for n in order:
        link = incident_says(link, event_types[n], 12.3).link
        assert ACKNOWLEDGED is link.status
    if link.incident_side.must_read:  # both are of one second
        link = read(link, P, ACKNOWLEDGED, 14, changed=12.3).link
    assert (ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED) == statuses(link)
    assert (None, None) == (wanted(link, T, 15), wanted(link, P, 15))


# ------------------------------------------------------------------------------------- faster than the answer


@sides
def test_a_fast_echo_does_not_beat_what_a_person_said_before_it(side: Side):
    """Resolved and at once reopened on the other side, while the resolve is carried: its echo is nobody's."""
    link = says(link_at(), other(side), RESOLVED, 1).link
    link = calling(link, side, RESOLVED, 1.5)
    link = says(link, other(side), OPEN, 2.02).link
    link = answered(says(link, side, RESOLVED, 2.03).link, side, RESOLVED, 2.04).link
    assert OPEN is link.status
    assert setting(side, OPEN) == wanted(link, side, 2.05)
    assert [] == [moment for moment in link.history if moment.side is side]


@sides
def test_a_persons_resolve_after_a_fast_echo_is_received(side: Side):
    """Resolved and reopened on the other side, then resolved here: the echo of our resolve came before its answer."""
    link = calling(says(link_at(), other(side), RESOLVED, 1).link, side, RESOLVED, 1.1)
    link = answered(says(link, side, RESOLVED, 1.2).link, side, RESOLVED, 1.3).link
    link = calling(says(link, other(side), OPEN, 3).link, side, OPEN, 3.1)
    link = answered(says(link, side, OPEN, 3.2).link, side, OPEN, 3.3).link
    step = says(link, side, RESOLVED, 4.4)
    assert (Outcome.MOVED, RESOLVED) == (step.outcome, step.link.status)


@sides
def test_a_persons_going_back_received_before_the_answer_is_carried(side: Side):
    """It is newer than the acknowledge that it follows, and differs from what both sides have agreed on since."""
    link = calling(says(link_at(), other(side), ACKNOWLEDGED, 1).link, side, ACKNOWLEDGED, 1.1)
    link = says(says(link, side, ACKNOWLEDGED, 2.2).link, side, OPEN, 3.3).link
    link = answered(link, side, ACKNOWLEDGED, 2.4).link
    assert (ACKNOWLEDGED, OPEN) == (link.agreed, link.status)
    assert setting(other(side), OPEN) == wanted(link, other(side), 3.4)
    assert None is wanted(link, side, 3.4)


@sides
def test_a_persons_resolve_during_the_call_of_an_acknowledge_stands(side: Side):
    link = calling(says(link_at(), other(side), ACKNOWLEDGED, 1).link, side, ACKNOWLEDGED, 1.1)
    link = says(link, side, RESOLVED, 3.5).link
    link = answered(link, side, ACKNOWLEDGED, 1.6).link
    assert RESOLVED is link.status
    assert isinstance(wanted(link, other(side), 3.6), SetAlert | SetIncident)


@sides
@pytest.mark.parametrize("received_first", [True, False])
def test_an_acknowledge_that_landed_on_a_resolve_is_undone(side: Side, received_first: bool):
    """It was decided without knowing of the resolve: the furthest along is for both."""
    link = calling(says(link_at(), other(side), ACKNOWLEDGED, 1).link, side, ACKNOWLEDGED, 1.1)
    if received_first:
        link = says(link, side, RESOLVED, 1.5, received=2.2).link
        link = answered(link, side, ACKNOWLEDGED, 2.3).link
    else:
        link = answered(link, side, ACKNOWLEDGED, 2.3).link
        link = says(link, side, RESOLVED, 1.5, received=2.6).link
    assert RESOLVED is link.status
    assert {setting(side, RESOLVED).__class__} == {type(wanted(link, side, 2.7))}
    assert isinstance(wanted(link, other(side), 2.7), SetAlert | SetIncident)
    link = wrote(wrote(link, side, RESOLVED, 4.2), other(side), RESOLVED, 4.4)
    assert (RESOLVED, RESOLVED, RESOLVED) == statuses(link)
    assert (None, None) == (wanted(link, T, 5), wanted(link, P, 5))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("lost", [False, True])
def test_the_same_when_pagerduty_says_that_it_reopened(order: tuple[int, int], lost: bool):
    link = calling(alert_says(link_at(), AlertEventType.ACKNOWLEDGED, 1).link, P, ACKNOWLEDGED, 1.1)
    event_types = [IncidentEventType.REOPENED, IncidentEventType.ACKNOWLEDGED]
    link = incident_says(link, IncidentEventType.RESOLVED, 1.5, received=2.4).link
    for n in order:
        link = incident_says(link, event_types[n], 2.3, received=2.5).link
    if lost:
        link = unanswered(link, P, ACKNOWLEDGED, 2.6)
        link = read(link, P, ACKNOWLEDGED, 5, changed=2.3).link
    else:
        link = answered(link, P, ACKNOWLEDGED, 2.6).link
    assert RESOLVED is link.status
    assert SetIncident(RESOLVED) == wanted(link, P, 5.5)


def test_a_conflict_that_was_carried_and_went_on_leaves_nothing_behind():
    """Our reopen landed on a resolve; that is carried to PagerDuty, where somebody reopens it before TruthVouch is
    resolved again. Then both stand open, and who resolves the alert next is heard."""
    link = incident_says(link_at(ACKNOWLEDGED), IncidentEventType.UNACKNOWLEDGED, 1).link
    link = wrote(link, T, OPEN, 4.2)
    link = alert_says(link, AlertEventType.RESOLVED, 2.5, received=4.6).link
    link = wrote(link, P, RESOLVED, 6.2)
    link = incident_says(link, IncidentEventType.REOPENED, 8).link
    assert ((OPEN, OPEN, OPEN), OPEN) == (statuses(link), link.agreed)
    step = alert_says(link, AlertEventType.RESOLVED, 20)
    assert (Outcome.MOVED, SetIncident(RESOLVED)) == (step.outcome, wanted(step.link, P, 20))


def test_two_writes_that_cross_end_where_somebody_got_furthest():
    """Resolved at TruthVouch and acknowledged at PagerDuty at once: each is carried while the other is, and both of our
    writes are seen before they are answered."""
    link = incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 3.5, received=3.7).link
    link = calling(link, T, ACKNOWLEDGED, 3.8)
    link = alert_says(link, AlertEventType.RESOLVED, 3.0, received=4.1).link
    link = calling(link, P, RESOLVED, 4.12)
    link = alert_says(link, AlertEventType.ACKNOWLEDGED, 4.17, received=4.3).link
    link = incident_says(link, IncidentEventType.RESOLVED, 4.19, received=4.31).link
    assert RESOLVED is link.status
    link = answered(answered(link, T, ACKNOWLEDGED, 4.6).link, P, RESOLVED, 4.8).link
    assert (RESOLVED, RESOLVED) == (link.status, link.incident_side.status)
    assert isinstance(wanted(link, T, 4.9), SetAlert)


# ------------------------------------------------------------------------------------- lost answers


@sides
def test_what_was_asked_and_not_answered_is_read_before_it_is_asked_again(side: Side):
    link = says(link_at(), other(side), ACKNOWLEDGED, 1).link
    link = unanswered(calling(link, side, ACKNOWLEDGED, 1.5), side, ACKNOWLEDGED, 2)
    assert isinstance(wanted(link, side, 2.5), ReadAlert | ReadIncident)
    made = read(link, side, ACKNOWLEDGED, 3, changed=1.8).link
    assert (ACKNOWLEDGED, None) == (made.agreed, wanted(made, side, 3.2))
    not_made = read(link, side, OPEN, 3).link
    assert setting(side, ACKNOWLEDGED) == wanted(not_made, side, 3.2)


@sides
def test_a_resolve_may_be_said_at_any_time_and_needs_no_read(side: Side):
    """An acknowledge may have been made; then the other side resolves."""
    link = says(link_at(), other(side), ACKNOWLEDGED, 1).link
    link = unanswered(calling(link, side, ACKNOWLEDGED, 1.5), side, ACKNOWLEDGED, 2)
    link = says(link, other(side), RESOLVED, 2.4).link
    assert isinstance(wanted(link, side, 2.5), SetAlert | SetIncident)


@sides
def test_a_call_that_surely_changed_nothing_is_simply_made_again(side: Side):
    link = calling(says(link_at(), other(side), ACKNOWLEDGED, 1).link, side, ACKNOWLEDGED, 1.5)
    assert setting(side, ACKNOWLEDGED) == wanted(without_call(link, side, setting(side, ACKNOWLEDGED)), side, 2)


@sides
@pytest.mark.parametrize("before_the_answer", [True, False])
def test_the_echo_of_a_write_whose_answer_was_lost_shows_that_it_was_made(side: Side, before_the_answer: bool):
    link = calling(says(link_at(), other(side), RESOLVED, 1).link, side, RESOLVED, 1.5)
    if before_the_answer:
        link = unanswered(says(link, side, RESOLVED, 1.9).link, side, RESOLVED, 2)
    else:
        link = says(unanswered(link, side, RESOLVED, 2), side, RESOLVED, 1.9, received=2.2).link
    assert RESOLVED is link.agreed
    link = says(link, other(side), OPEN, 5).link
    assert OPEN is link.status
    link = read(link, side, RESOLVED, 6, changed=1.9).link
    assert setting(side, OPEN) == wanted(link, side, 6.2)


@sides
def test_one_that_comes_after_the_other_side_has_moved_on_overrules_nobody(side: Side):
    """It may be a person's all the same; then both sides still have to end alike."""
    link = unanswered(calling(says(link_at(), other(side), RESOLVED, 1).link, side, RESOLVED, 1.5), side, RESOLVED, 2)
    link = says(says(link, other(side), OPEN, 3).link, side, RESOLVED, 1.9, received=6).link
    assert OPEN is link.status
    link = read(link, side, RESOLVED, 7, changed=1.9).link
    assert setting(side, OPEN) == wanted(link, side, 7.2)


@sides
def test_an_unacknowledge_received_while_our_acknowledge_is_unknown_proves_it_and_is_carried(side: Side):
    link = says(link_at(), other(side), ACKNOWLEDGED, 1).link
    link = unanswered(calling(link, side, ACKNOWLEDGED, 1.5), side, ACKNOWLEDGED, 2)
    link = says(link, side, OPEN, 4.4).link
    link = read(link, side, OPEN, 6, changed=4.4).link
    assert (ACKNOWLEDGED, OPEN) == (link.agreed, link.status)
    assert setting(other(side), OPEN) == wanted(link, other(side), 6.2)


# ------------------------------------------------------------------------------------- not kept


def forgetful(rounds: int) -> tuple[list[str], Link, int]:
    """A TruthVouch that says yes to an acknowledge and goes on showing the alert open."""
    link = incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 1).link
    outcomes, writes = [], 0
    for n in range(rounds):
        if isinstance(effect := wanted(link, T, 60 * n + 10), SetAlert):
            link, writes = wrote(link, T, effect.status, 60 * n + 10), writes + 1
            looks = ReadAlert() == wanted(link, T, 60 * n + 11)
            assert looks is (writes > 1), "it looks whether what was not kept before is kept now"
        step = alert_shows(link, OPEN, 60 * n + 40)
        outcomes.append(step.outcome.value)
        link = step.link
        assert ACKNOWLEDGED is link.status, "what a person did at PagerDuty stands"
        assert None is wanted(link, P, 60 * n + 41)
    return outcomes, link, writes


def test_what_truthvouch_does_not_keep_is_written_again_three_times_and_then_left_alone():
    outcomes, link, writes = forgetful(10)
    assert 1 + REPEATS == 4 == writes
    assert ["write_lost"] * 4 + ["already_so"] * 6 == outcomes
    assert ACKNOWLEDGED is link.truthvouch.refused


def test_being_left_alone_holds_for_what_was_wanted_then():
    _, link, _ = forgetful(6)
    link = incident_says(link, IncidentEventType.RESOLVED, 1_000).link
    for n in range(3 * REPEATS):  # a resolve is repeated for as long as it takes
        assert isinstance(effect := wanted(link, T, 1_010 + 60 * n), SetAlert)
        assert RESOLVED is effect.status
        link = alert_shows(wrote(link, T, RESOLVED, 1_010 + 60 * n), OPEN, 1_040 + 60 * n).link
    assert RESOLVED is link.status


def test_an_acknowledge_that_is_forgotten_after_it_was_shown_was_taken_back_by_somebody():
    link = wrote(incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 1).link, T, ACKNOWLEDGED, 2.2)
    shown = alert_shows(link, ACKNOWLEDGED, 20).link
    assert (Outcome.MOVED, OPEN) == ((step := alert_shows(shown, OPEN, 90)).outcome, step.link.status)


@pytest.mark.parametrize(
    ("now", "outcome", "carried"),
    [
        (OPEN, Outcome.WRITE_LOST, None),
        (ACKNOWLEDGED, Outcome.ALREADY_SO, None),
        (RESOLVED, Outcome.MOVED, SetIncident(RESOLVED)),
    ],
)
def test_only_what_stood_before_our_write_can_be_a_write_that_was_not_kept(
    now: Status, outcome: Outcome, carried: SetIncident | None
):
    """Somebody resolved the alert after our acknowledge and nobody told: no acknowledge may undo that."""
    link = wrote(incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 1).link, T, ACKNOWLEDGED, 2.2)
    step = alert_shows(link, now, 60)
    assert (outcome, carried) == (step.outcome, wanted(step.link, P, 60))


def test_a_reopen_that_was_not_kept_resolves_nobodys_incident():
    link = wrote(incident_says(link_at(RESOLVED), IncidentEventType.REOPENED, 1).link, T, OPEN, 2.2)
    step = alert_shows(link, RESOLVED, 60)
    assert (Outcome.WRITE_LOST, OPEN, None) == (step.outcome, step.link.status, wanted(step.link, P, 60))


def test_an_incident_that_did_not_change_since_our_write_did_not_keep_it_and_one_that_did_was_changed():
    """An event in a maintenance window is taken and has no effect; its read tells since when the incident is open."""
    link = wrote(alert_says(link_at(), AlertEventType.RESOLVED, 1).link, P, RESOLVED, 2.2)
    lost = incident_shows(link, OPEN, 60, changed=0.5)
    assert (Outcome.WRITE_LOST, RESOLVED, SetIncident(RESOLVED)) == (
        lost.outcome, lost.link.status, wanted(lost.link, P, 60),
    )  # fmt: skip
    changed = incident_shows(link, OPEN, 60, changed=30)
    assert (Outcome.MOVED, OPEN) == (changed.outcome, changed.link.status)


# ------------------------------------------------------------------------------------- times told badly, or not


@pytest.mark.parametrize("ahead", [60, 200, 290, -60, -200, -3600, 899])
def test_a_persons_last_word_stands_whatever_the_other_partners_clock_says(
    monkeypatch: pytest.MonkeyPatch, ahead: float
):
    """Resolved and reopened, acknowledged and handed back, on either side."""
    monkeypatch.setitem(AHEAD, T, timedelta(seconds=ahead))
    for first, second in product(Side, Side):
        for status in (RESOLVED, ACKNOWLEDGED):
            link = wrote(says(link_at(), first, status, 1).link, other(first), status, 2.2)
            link = says(link, other(first), status, 2.2, received=2.9).link
            link = says(link, second, OPEN, 3.7).link
            assert OPEN is link.status, (first, second, status)
            link = wrote(link, other(second), OPEN, 4.9)
            assert ((OPEN, OPEN, OPEN), OPEN) == (statuses(link), link.agreed)


def test_an_event_stamped_minutes_ahead_loses_nothing_that_a_read_does_not_bring_back():
    """What its people do until then looks older than it; the next reconciliation sees where the incident stands."""
    link = incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 290, received=10).link
    link = incident_says(link, IncidentEventType.RESOLVED, 30).link
    step = incident_shows(link, RESOLVED, 480, changed=30)
    assert (Outcome.MOVED, RESOLVED) == (step.outcome, step.link.status)
    assert isinstance(wanted(step.link, T, 481), SetAlert)


@sides
def test_an_event_without_a_time_is_settled_by_one_read(side: Side):
    link = says(link_at(), side, ACKNOWLEDGED, None, received=5).link
    assert (OPEN, True) == (link.status, isinstance(wanted(link, side, 5), ReadAlert | ReadIncident))
    settled = read(link, side, ACKNOWLEDGED, 6, changed=4).link
    assert setting(other(side), ACKNOWLEDGED) == wanted(settled, other(side), 6.2)
    assert None is wanted(settled, side, 6.2)


def test_where_truthvouch_shows_no_single_alert_it_counts_if_it_goes_forward():
    for readable in (True, False):
        event = alert_event(AlertEventType.RESOLVED, None)
        link = advance(without_times(link_at()), event, at(5), readable=readable).link
        if readable:
            assert ReadAlert() == wanted(link, T, 5)
            link = record(link, T, ReadAlert(), Refused("not_found", 404), at(6), 0.5, at(5.5)).link
        assert (RESOLVED, None) == (link.status, wanted(link, T, 6.2))
        assert SetIncident(RESOLVED) == wanted(link, P, 6.2)
        back = advance(link, alert_event(AlertEventType.REOPENED, None), at(9), readable=False)
        assert RESOLVED is back.link.status, "nobody can tell a reopen from the echo of one"


def test_an_acknowledge_that_truthvouch_tells_after_a_resolve_is_late():
    link = alert_says(link_at(), AlertEventType.RESOLVED, 5).link
    for seconds in (4.0, 9.0):
        step = alert_says(link, AlertEventType.ACKNOWLEDGED, seconds)
        assert (Outcome.ABSORBED, (RESOLVED, OPEN, RESOLVED)) == (step.outcome, statuses(step.link))


def test_but_not_where_it_is_our_own_that_landed_on_the_resolve():
    """It is told after the resolve, in the second of our acknowledge: the alert stands acknowledged."""
    link = wrote(incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 1).link, T, ACKNOWLEDGED, 5.2)
    link = alert_says(link, AlertEventType.RESOLVED, 4.4, received=5.6).link
    link = alert_says(link, AlertEventType.ACKNOWLEDGED, 5.2, received=5.7).link
    assert (ACKNOWLEDGED, RESOLVED) == (link.alert_side.status, link.status)
    assert isinstance(wanted(link, T, 6), SetAlert)


def test_a_read_from_before_our_write_is_no_news_though_its_answer_tells_whole_seconds():
    link = wrote(alert_says(link_at(), AlertEventType.ACKNOWLEDGED, 1).link, P, ACKNOWLEDGED, 5.4)
    assert ACKNOWLEDGED is incident_shows(link, OPEN, 5.2, changed=0.5).link.status


# ------------------------------------------------------------------------------------- what comes to rest


@sides
def test_events_received_again_move_nothing(side: Side):
    link = says(says(link_at(), side, RESOLVED, 1).link, side, OPEN, 2).link
    for _ in range(20):
        for status, seconds in ((RESOLVED, 1), (OPEN, 2)):
            link = says(link, side, status, seconds, received=30).link
    assert (OPEN, 2) == (link.status, len(link.flips))


def test_a_hook_that_names_an_incident_is_a_hint_and_no_proof():
    """Whoever holds the webhook secret may name any; what is to be opened is looked for first, and is opened."""
    link = alert_says(NEW, AlertEventType.CREATED, 1).link
    named = hinted(link, IncidentId("PEVIL02"))
    assert (None, IncidentId("PEVIL02")) == (named.incident_id, named.incident_hint)
    assert OpenIncident(look_first=True) == wanted(named, P, 1)
    assert OpenIncident(look_first=False) == wanted(link, P, 1)
    assert link_at() == hinted(link_at(), IncidentId("PEVIL02"))


@pytest.mark.parametrize("event_type", [AlertEventType.ACKNOWLEDGED, AlertEventType.REOPENED])
def test_a_page_that_was_refused_is_neither_made_nor_made_again_by_an_acknowledge(event_type: AlertEventType):
    """Only another life, or an operator, asks again: nobody is woken because somebody has it in hand."""
    link = alert_says(NEW, AlertEventType.CREATED, 1).link
    link = record(link, P, OpenIncident(False), Refused("bad_request", 400), at(2), 0.5).link
    link = alert_says(link, event_type, 5).link
    assert (None, None) == (wanted(link, P, 5), wanted(link, T, 5))
    resolved = alert_says(link, AlertEventType.RESOLVED, 9).link
    again = alert_says(resolved, AlertEventType.REOPENED, 12).link
    assert isinstance(wanted(again, P, 12), OpenIncident)


def test_an_alert_that_was_acknowledged_before_its_page_opens_it_and_is_acknowledged_there():
    link = alert_says(alert_says(NEW, AlertEventType.CREATED, 1).link, AlertEventType.ACKNOWLEDGED, 2).link
    assert ((ACKNOWLEDGED, None, ACKNOWLEDGED), OpenIncident(False)) == (statuses(link), wanted(link, P, 2))


def test_while_truthvouch_shows_resolved_and_refused_to_open_it_neither_open_nor_acknowledged_is_tried():
    link = incident_says(link_at(RESOLVED), IncidentEventType.REOPENED, 5).link
    refused = record(calling(link, T, OPEN, 5.5), T, SetAlert(OPEN, None), Refused("conflict", 409), at(6), 0.5)
    link = without_outstanding(refused.link, T)
    assert ("refused", (RESOLVED, OPEN, OPEN)) == (refused.outcome, statuses(link))
    assert (None, False) == (wanted(link, T, 6.2), link.is_over)
    assert ["cannot reopen the alert"] == [note.content[13:36] for note in link.notes]
    link = incident_says(link, IncidentEventType.ACKNOWLEDGED, 9).link
    assert (None, 1) == (wanted(link, T, 9), len(link.notes))
    resolved = incident_says(link, IncidentEventType.RESOLVED, 12).link
    assert ((RESOLVED, RESOLVED, RESOLVED), True) == (statuses(resolved), resolved.is_over)
    reopened = alert_says(link, AlertEventType.REOPENED, 14).link
    assert SetAlert(ACKNOWLEDGED, None) == wanted(reopened, T, 14), "its people opened it: then it can be acknowledged"


# ------------------------------------------------------------------------------------- who closed it, and notes


def test_an_automatic_resolve_never_speaks_with_an_older_note():
    """A person's words stand for the person's resolve; a timeout is no verdict."""
    noted = advance(
        link_at(),
        IncidentEvent(IncidentEventType.ANNOTATED, INCIDENT, "incident.annotated", there(P, 3), note="looking into it"),
        at(4),
    ).link
    by_hand = advance(noted, incident_event(IncidentEventType.RESOLVED, 9, "Dana Example"), at(10)).link
    by_timeout = advance(noted, incident_event(IncidentEventType.RESOLVED, 9), at(10)).link
    assert "looking into it" == resolution(by_hand)
    assert "no verdict" in resolution(by_timeout)
    assert "no verdict" in resolution(incident_shows(noted, RESOLVED, 20, changed=9).link)


def test_a_note_belongs_to_one_life():
    """Resolved as a false positive, reopened, and resolved by a timeout: that says nothing of the first time."""
    said = IncidentEvent(
        IncidentEventType.ANNOTATED, INCIDENT, "incident.annotated", there(P, 3), note="false positive: x"
    )
    link = advance(
        advance(link_at(), said, at(4)).link, incident_event(IncidentEventType.RESOLVED, 5, "Dana"), at(6)
    ).link
    assert "false positive: x" == resolution(link)
    link = incident_says(wrote(link, T, RESOLVED, 6.2), IncidentEventType.REOPENED, 9).link
    assert (None, 1) == (link.last_note, link.life)
    again = advance(link, incident_event(IncidentEventType.RESOLVED, 12, "Dana"), at(13)).link
    assert "Resolved in PagerDuty by Dana." == resolution(again)


def test_the_same_words_are_a_note_again_in_another_life_and_only_then():
    resolve = replace(alert_event(AlertEventType.RESOLVED, 5), author="qa", reason="dismissed")
    link = advance(link_at(), resolve, at(5)).link
    assert 1 == len(link.notes)
    assert 1 == len(advance(link, resolve, at(6)).link.notes)
    link = wrote(link, P, RESOLVED, 7.2)
    link = alert_says(link, AlertEventType.REOPENED, 9).link
    link = advance(link, replace(resolve, at=there(T, 12)), at(12)).link
    assert (2, 2) == (len(link.notes), len({note.ref for note in link.notes}))


# ------------------------------------------------------------------------------------- merges

Q2 = IncidentId("Q2")
MERGE = IncidentEvent(IncidentEventType.MERGED, INCIDENT, "incident.resolved", there(P, 10), merged_into=Q2)


def merged(link: Link, survivor: SideState | None, received: float = 11) -> Link:
    step = advance(link, MERGE, at(received), survivor=survivor)
    assert (Outcome.MERGED, Q2) == (step.outcome, step.link.incident_id)
    return step.link


@pytest.mark.parametrize(
    ("mine", "survivors", "becomes"),
    [
        (OPEN, OPEN, OPEN),
        (OPEN, ACKNOWLEDGED, ACKNOWLEDGED),
        (OPEN, RESOLVED, RESOLVED),
        (ACKNOWLEDGED, OPEN, ACKNOWLEDGED),
        (ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED),
        (ACKNOWLEDGED, RESOLVED, RESOLVED),
    ],
)
@pytest.mark.parametrize("received", [11, 600])
def test_what_people_reached_on_the_survivor_counts_where_it_is_further_along(
    mine: Status, survivors: Status, becomes: Status, received: float
):
    """Whenever the merge is heard: PagerDuty keeps order per incident only. Nothing is ever written to the survivor."""
    link = merged(link_at(mine), known(P, survivors, 12), received)
    assert becomes is link.status
    assert None is wanted(link, P, received)
    effect = wanted(link, T, received)
    assert becomes is (effect.status if isinstance(effect, SetAlert) else mine)


def test_a_survivor_that_we_resolved_for_another_alert_says_nothing_of_this_one():
    link = merged(link_at(), replace(known(P, RESOLVED, 12), by_us=True))
    assert OPEN is link.status
    assert needs_own_incident(link, [link])
    own = with_own_incident(link)
    assert OpenIncident(look_first=False) == wanted(own, P, 12)
    assert ((INCIDENT, Q2), False) == (own.former_incidents, own.merged)


def test_a_survivor_of_which_nothing_is_known_is_read_first():
    link = merged(link_at(), None)
    assert (OPEN, ReadIncident()) == (link.status, wanted(link, P, 11))
    assert not needs_own_incident(link, [link])
    seen = IncidentEvent(
        IncidentEventType.READ, Q2, "incident.read", there(P, 12, whole=True), status=RESOLVED, read_at=at(60)
    )
    step = advance(link, seen, at(61))
    assert (Outcome.MOVED, RESOLVED) == (step.outcome, step.link.status)


def test_a_read_of_a_survivor_that_is_less_far_moves_nothing():
    link = merged(link_at(ACKNOWLEDGED), None)
    seen = IncidentEvent(
        IncidentEventType.READ, Q2, "incident.read", there(P, 3, whole=True), status=OPEN, read_at=at(60)
    )
    step = advance(link, seen, at(61))
    assert (ACKNOWLEDGED, None) == (step.link.status, wanted(step.link, T, 61))


def test_what_is_over_on_both_sides_does_not_follow():
    assert Outcome.NO_INCIDENT is advance(link_at(RESOLVED), MERGE, at(11)).outcome


def test_a_merge_of_an_incident_that_this_link_has_left_is_none():
    link = merged(link_at(), known(P, OPEN, 5))
    assert (link, Outcome.ALREADY_SO) == ((step := advance(link, MERGE, at(12))).link, step.outcome)


def test_who_acts_on_the_survivor_afterwards_acts_for_every_alert_on_it():
    link = merged(link_at(ACKNOWLEDGED), known(P, OPEN, 5))
    resolve = IncidentEvent(IncidentEventType.RESOLVED, Q2, "incident.resolved", there(P, 20), author="Dana Example")
    step = advance(link, resolve, at(21))
    assert (Outcome.MOVED, RESOLVED) == (step.outcome, step.link.status)


def test_an_alert_that_comes_back_after_its_hand_made_incident_was_closed_gets_one_of_its_own():
    link = merged(link_at(), known(P, OPEN, 5))
    resolve = IncidentEvent(IncidentEventType.RESOLVED, Q2, "incident.resolved", there(P, 20), author="Dana Example")
    link = wrote(advance(link, resolve, at(21)).link, T, RESOLVED, 22.2)
    assert not needs_own_incident(link, [link])
    link = alert_says(link, AlertEventType.REOPENED, 40).link
    assert needs_own_incident(link, [link])
    assert OpenIncident(look_first=False) == wanted(with_own_incident(link), P, 41)


# ------------------------------------------------------------------------------------- unclear creates


def test_the_resolve_of_an_alert_whose_create_is_unclear_looks_for_what_may_have_been_made():
    link = replace(alert_says(NEW, AlertEventType.CREATED, 1).link, open_tried=True)
    link = alert_says(link, AlertEventType.RESOLVED, 5).link
    assert LookForIncident() == wanted(link, P, 5)
    assert SetIncident(RESOLVED) == wanted(replace(link, via=Via.EVENTS), P, 5)
    gone = record(link, P, LookForIncident(), Done(None), at(6), 0.5).link
    assert (None, RESOLVED) == (wanted(gone, P, 7), gone.status)
    assert None is wanted(replace(link, open_tried=False), P, 5)


def test_notes_go_out_after_the_status():
    resolve = replace(alert_event(AlertEventType.RESOLVED, 5), author="qa", reason="dismissed")
    link = advance(link_at(), resolve, at(5)).link
    assert SetIncident(RESOLVED) == wanted(link, P, 5)
    assert isinstance(wanted(wrote(link, P, RESOLVED, 6.2), P, 7), AddNote)


# ------------------------------------------------------------------------------------------------- bounds


def test_an_alert_that_opens_and_closes_a_thousand_times_stays_small_and_says_what_it_dropped():
    link = remembering(link_at(), HistoryEntry(at(0.5), "triggered", P, None, at(0.5)))
    for n in range(1_500):
        closing = AlertEvent(
            AlertEventType.RESOLVED,
            link.alert,
            "alert.resolved",
            at(2 * n + 1),
            reason="fixed",
            text=f"{n} {'x' * 9_000}",
        )
        link = advance(link, closing, at(2 * n + 1)).link
        opening = AlertEvent(AlertEventType.REOPENED, link.alert, "alert.reopened", at(2 * n + 2))
        link = advance(link, opening, at(2 * n + 2)).link
    assert len(LINK.dump(link)) < 300_000
    assert (HISTORY_LIMIT, "triggered") == (len(link.history), link.history[0].what)
    assert 3_001 == len(link.history) + link.history_dropped
    assert "reopened" == link.history[-1].what
    assert sum(len(note.content) for note in link.notes) <= MAX_NOTE_CHARS
    assert 1_500 == len(link.notes) + link.notes_dropped


def test_of_a_note_that_is_written_the_reference_stays_so_that_it_is_written_once():
    link = with_note(link_at(), "resolved", "Dana Example", "fixed", None)
    (note,) = link.notes
    written = record(link, P, AddNote(note.ref, note.content), Done(None), at(2), 0.5).link
    assert [(note.ref, "", True)] == [(one.ref, one.content, one.done) for one in written.notes]
    assert written == with_note(written, "resolved", "Dana Example", "fixed", None)
