"""The tables of an escalation: every event, every look, every answer; due times increase, and no level has its turn
twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.escalation.state import (
    READ_AGAIN,
    STATES,
    STILL,
    Escalation,
    EscalationPlan,
    Move,
    PlanLevel,
    State,
    armed,
    by_itself,
    event_applied,
    finished,
    flapped,
    followed,
    implies_a_resolve,
    level_at,
    plan_of,
)
from app.domain.escalation.steps import (
    Skip,
    after_read,
    asked_again,
    has_arrived,
    is_low,
    moved,
    next_move,
    set_back,
    skipped,
    standing_at,
    upcoming_levels,
    who,
)
from app.domain.model.events import IncidentEvent, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import BUDGET_SPENT, Held, Refused, Retry
from app.domain.model.pagerduty_account import OnCall
from app.domain.model.types import AlertId, IncidentId, LinkId, Status
from app.domain.rules.rulebook import EscalationLevel, EscalationRules
from app.domain.sync.side_state import SETTLING, SideState
from app.domain.sync.transitions import INCIDENT_MOVES

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
PLAN = EscalationPlan("PMGMT", (PlanLevel(900), PlanLevel(1800)))
Q1 = IncidentId("Q1")
LINKED = armed(Escalation(Q1, PLAN, START, LinkId(1), AlertId("a1")))
STRANGE = armed(Escalation(Q1, PLAN, START))
"""No link knows its incident."""
NOW = START + timedelta(hours=2)
ON_CALL = (OnCall("PMGMT", 1, "CLEO", "Cleo"), OnCall("PMGMT", 2, "DAN", "Dan"), OnCall("PMGMT", 3, "EVE"))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def event(event_type: IncidentEventType, minutes: float = 1, status: Status | None = None) -> IncidentEvent:
    return IncidentEvent(event_type, Q1, f"incident.{event_type}", at(minutes), status=status)


def facts(status: Status = Status.OPEN, policy: str = "PTEAM", assigned: tuple[str, ...] = ("ANN",)) -> IncidentFacts:
    return IncidentFacts(
        Q1, status, urgency="high", escalation_policy_id=policy, assignee_ids=assigned, status_changed_at=START
    )


# ------------------------------------------------------------------------------------------------------- events


def later(minutes: float) -> datetime:
    """So long after everything was received."""
    return NOW + timedelta(minutes=minutes)


def test_the_table_of_events_says_which_can_move_it() -> None:
    said_or_seen = {event_type for event_type, move in INCIDENT_MOVES.items() if move.status and not move.first_only}
    assert set(IncidentEventType) - STILL == said_or_seen | {IncidentEventType.MERGED, IncidentEventType.READ}
    assert set(Status) == set(STATES)


@pytest.mark.parametrize(
    ("event_type", "state", "reason", "due"),
    [
        (IncidentEventType.TRIGGERED, State.RUNNING, "", at(15)),
        (IncidentEventType.ACKNOWLEDGED, State.PAUSED, "acknowledged", NOW + READ_AGAIN),
        (IncidentEventType.UNACKNOWLEDGED, State.RUNNING, "", at(15)),
        (IncidentEventType.RESOLVED, State.FINISHED, "resolved", None),
        (IncidentEventType.REOPENED, State.RUNNING, "", at(15)),
        (IncidentEventType.MERGED, State.FINISHED, "merged", None),
        (IncidentEventType.ANNOTATED, State.RUNNING, "", at(15)),
        (IncidentEventType.READ, State.RUNNING, "", at(15)),
        (IncidentEventType.MENTIONED, State.RUNNING, "", at(15)),
    ],
)
def test_what_an_event_makes_of_a_running_escalation(
    event_type: IncidentEventType, state: State, reason: str, due: datetime | None
) -> None:
    after = event_applied(STRANGE, event(event_type), NOW)
    assert (state, reason, due) == (after.state, after.reason, after.due_at)
    again = event_applied(after, event(event_type), NOW)
    assert after == replace(again, incident_side=after.incident_side)
    assert after.incident_side.status is again.incident_side.status


PAUSED = event_applied(
    replace(STRANGE, levels_done=1, policy_assigned=True), event(IncidentEventType.ACKNOWLEDGED, 20), at(20)
)
OVER = event_applied(STRANGE, event(IncidentEventType.RESOLVED, 20), at(20))


@pytest.mark.parametrize(
    ("escalation", "said", "state", "due", "levels_done"),
    [
        (PAUSED, event(IncidentEventType.UNACKNOWLEDGED, 21), State.RUNNING, later(30), 1),
        (PAUSED, event(IncidentEventType.UNACKNOWLEDGED, 19), State.PAUSED, at(25), 1),
        (PAUSED, event(IncidentEventType.READ, 21, Status.OPEN), State.RUNNING, later(30), 1),
        (PAUSED, replace(event(IncidentEventType.READ, 21, Status.OPEN), read_at=at(19)), State.PAUSED, at(25), 1),
        (PAUSED, event(IncidentEventType.READ, 21, Status.RESOLVED), State.FINISHED, None, 1),
        (PAUSED, event(IncidentEventType.REOPENED, 20), State.PAUSED, NOW + SETTLING, 1),
        (OVER, event(IncidentEventType.REOPENED, 21), State.RUNNING, later(15), 0),
        (OVER, event(IncidentEventType.REOPENED, 19), State.FINISHED, None, 0),
        (OVER, event(IncidentEventType.REOPENED, 20), State.FINISHED, NOW + SETTLING, 0),
        (OVER, replace(event(IncidentEventType.REOPENED), at=None), State.FINISHED, NOW + SETTLING, 0),
        (OVER, event(IncidentEventType.READ, 30, Status.OPEN), State.RUNNING, later(15), 0),
        (finished(STRANGE, "cancelled"), event(IncidentEventType.UNACKNOWLEDGED, 30), State.FINISHED, None, 0),
        (finished(STRANGE, "low_urgency"), event(IncidentEventType.REOPENED, 30), State.FINISHED, None, 0),
        (finished(OVER, "low_urgency"), event(IncidentEventType.REOPENED, 30), State.RUNNING, later(15), 0),
    ],
)
def test_what_starts_the_clock_again(
    escalation: Escalation, said: IncidentEvent, state: State, due: datetime | None, levels_done: int
) -> None:
    after = event_applied(escalation, said, NOW)
    assert (state, due, levels_done) == (after.state, after.due_at, after.levels_done)


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize("ahead", [-10, 0, 10])
def test_the_order_in_which_events_arrive_does_not_matter_to_where_it_stands(
    order: tuple[int, ...], ahead: float
) -> None:
    events = [
        event(IncidentEventType.ACKNOWLEDGED, ahead + 1),
        event(IncidentEventType.UNACKNOWLEDGED, ahead + 2),
        event(IncidentEventType.RESOLVED, ahead + 3),
        event(IncidentEventType.REOPENED, ahead + 4),
    ]
    escalation = STRANGE
    for place in order:
        escalation = event_applied(escalation, events[place], at(5 + place))
    assert (State.RUNNING, 0) == (escalation.state, escalation.levels_done)
    assert escalation.clock_at in (START, *(at(5 + place) for place in order))
    assert escalation.due_at == level_at(escalation)


AGAIN = event_applied(OVER, event(IncidentEventType.REOPENED, 21), at(21))


@pytest.mark.parametrize("said", [event(IncidentEventType.RESOLVED, 20.5), event(IncidentEventType.REOPENED, 21)])
def test_what_is_reported_of_an_old_resolve_and_its_reopen_begins_nothing_anew(said: IncidentEvent) -> None:
    escalation = moved(AGAIN, Move(1, "PMGMT", 1, at(36)), at(36))
    after = event_applied(escalation, said, NOW)
    assert (1, at(66), State.RUNNING) == (after.levels_done, after.due_at, after.state)


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_resolve_that_is_reported_after_its_reopen_or_never_begins_anew(acknowledged: bool) -> None:
    escalation = moved(AGAIN, Move(1, "PMGMT", 1, at(36)), at(36))
    if acknowledged:
        escalation = event_applied(escalation, event(IncidentEventType.ACKNOWLEDGED, 39), at(39))
    escalation = event_applied(escalation, event(IncidentEventType.REOPENED, 50), NOW)
    assert (0, later(15), State.RUNNING) == (escalation.levels_done, escalation.due_at, escalation.state)
    assert escalation == event_applied(escalation, event(IncidentEventType.RESOLVED, 40), later(1))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (SideState(Status.OPEN, at(40)), True),
        (SideState(Status.ACKNOWLEDGED, at(40)), True),
        (SideState(Status.RESOLVED, at(40)), False),
        (SideState(), False),
        (SideState(Status.OPEN, at(50)), False),
        (SideState(Status.OPEN), False),
        # Our own create; our own reopen, before and after it was seen.
        (SideState(Status.OPEN, at(40), by_us=True), True),
        (SideState(Status.OPEN, at(40), by_us=True, previous=Status.RESOLVED), False),
        (SideState(Status.OPEN, at(40), by_us=True, previous=Status.RESOLVED, confirmed=True), True),
    ],
)
def test_a_later_reopen_of_what_is_not_resolved_implies_a_resolve(known: SideState, expected: bool) -> None:
    assert expected is implies_a_resolve(known, event(IncidentEventType.REOPENED, 50), NOW)
    assert not implies_a_resolve(known, event(IncidentEventType.UNACKNOWLEDGED, 50), NOW)


ACKED = followed(replace(LINKED, levels_done=1, policy_assigned=True), Status.ACKNOWLEDGED, 0, at(20))
CLOSED = followed(LINKED, Status.RESOLVED, 0, at(20))


@pytest.mark.parametrize(
    ("escalation", "status", "life", "state", "due", "levels_done"),
    [
        (LINKED, Status.OPEN, 0, State.RUNNING, at(15), 0),
        (LINKED, Status.ACKNOWLEDGED, 0, State.PAUSED, None, 0),
        (LINKED, Status.RESOLVED, 0, State.FINISHED, None, 0),
        (ACKED, Status.ACKNOWLEDGED, 0, State.PAUSED, None, 1),
        (ACKED, Status.OPEN, 0, State.RUNNING, later(30), 1),
        (ACKED, Status.RESOLVED, 0, State.FINISHED, None, 1),
        (ACKED, Status.OPEN, 1, State.RUNNING, later(15), 0),
        (ACKED, Status.ACKNOWLEDGED, 1, State.PAUSED, None, 0),
        (ACKED, Status.RESOLVED, 1, State.FINISHED, None, 1),
        (CLOSED, Status.OPEN, 1, State.RUNNING, later(15), 0),
        (CLOSED, Status.ACKNOWLEDGED, 1, State.PAUSED, None, 0),
        (CLOSED, Status.RESOLVED, 1, State.FINISHED, None, 0),
        (replace(LINKED, levels_done=1, clock_at=at(15), due_at=at(45)), Status.OPEN, 1, State.RUNNING, later(15), 0),
        (finished(LINKED, "cancelled"), Status.ACKNOWLEDGED, 0, State.FINISHED, None, 0),
        (finished(ACKED, "cancelled"), Status.OPEN, 0, State.FINISHED, None, 1),
        (finished(CLOSED, "low_urgency"), Status.OPEN, 1, State.RUNNING, later(15), 0),
    ],
)
def test_it_follows_its_links_and_counts_from_our_receipt(
    escalation: Escalation, status: Status, life: int, state: State, due: datetime | None, levels_done: int
) -> None:
    after = followed(escalation, status, life, NOW)
    assert (state, due, levels_done, life) == (after.state, after.due_at, after.levels_done, after.life)
    assert after == followed(after, status, life, later(1))


@given(st.lists(st.tuples(st.sampled_from(Status), st.booleans(), st.booleans()), max_size=12))
def test_after_whatever_its_links_say_it_stands_as_they_do(fields: list[tuple[Status, bool, bool]]) -> None:
    escalation, now = LINKED, START
    for status, reopened, acts in fields:
        now += timedelta(minutes=16)
        escalation = followed(escalation, status, escalation.life + reopened, now)
        assert STATES[status] is escalation.state
        assert escalation.clock_at <= now
        if acts and escalation.next_level and escalation.due_at:
            escalation = replace(
                escalation, plan=EscalationPlan("PMGMT", (PlanLevel(900),) * (escalation.levels_done + 2))
            )
            escalation = moved(escalation, Move(escalation.levels_done + 1, "PMGMT", 1, now), now)


@pytest.mark.parametrize(
    ("escalation", "due", "levels_done"),
    [
        (LINKED, at(15), 0),
        (replace(LINKED, due_at=at(19)), at(15), 0),  # it waited for the end of the hold
        (replace(LINKED, levels_done=1, clock_at=at(15), due_at=at(45)), at(45), 1),
        (replace(LINKED, levels_done=1, skipped=1, due_at=at(19)), START, 1),
    ],
)
def test_a_flap_leaves_it_where_it_was(escalation: Escalation, due: datetime, levels_done: int) -> None:
    after = flapped(escalation, Status.OPEN, 1, at(17))
    assert (due, levels_done, State.RUNNING) == (after.due_at, after.levels_done, after.state)
    assert after == followed(after, Status.OPEN, 1, NOW)
    assert replace(ACKED, life=1) == flapped(ACKED, Status.ACKNOWLEDGED, 1, at(17))
    assert "cancelled" == flapped(finished(LINKED, "cancelled"), Status.OPEN, 1, at(17)).reason


def test_a_reopened_matter_takes_todays_levels_and_a_command_its_own() -> None:
    today = EscalationPlan("PNEW", (PlanLevel(60),))
    assert today == event_applied(OVER, event(IncidentEventType.REOPENED, 21), NOW, today).plan
    assert today == followed(CLOSED, Status.OPEN, 1, NOW, today).plan
    assert PLAN == event_applied(replace(OVER, by="dana"), event(IncidentEventType.REOPENED, 21), NOW, today).plan


def test_only_a_strange_incident_is_looked_at_while_somebody_has_it_in_hand() -> None:
    assert NOW + READ_AGAIN == event_applied(STRANGE, event(IncidentEventType.ACKNOWLEDGED), NOW).due_at
    assert None is followed(LINKED, Status.ACKNOWLEDGED, 0, NOW).due_at


def test_the_rulebooks_levels_in_seconds() -> None:
    levels = (EscalationLevel(1, 0.02, "soon"), EscalationLevel(2, 30))
    assert EscalationPlan("P1", (PlanLevel(1.2, "soon"), PlanLevel(1800)), True) == plan_of(
        EscalationRules("P1", levels, True)
    )
    assert None is plan_of(EscalationRules("P1"))


# ------------------------------------------------------------------------------------------------------- looks


@pytest.mark.parametrize("escalation", [LINKED, STRANGE])
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("ours", [None, *Status])
def test_it_runs_only_while_nobody_at_either_side_has_it_in_hand(
    escalation: Escalation, status: Status, ours: Status | None
) -> None:
    after = after_read(escalation, facts(status), ours, at(15))
    furthest = max(status, ours or Status.OPEN, key=lambda one: one.rank)
    expected = {
        Status.OPEN: (State.RUNNING, ""),
        Status.ACKNOWLEDGED: (State.PAUSED, "acknowledged"),
        Status.RESOLVED: (State.FINISHED, "resolved"),
    }
    assert expected[furthest] == (after.state, after.reason)


def test_what_pagerduty_shows_counts_even_against_a_newer_event() -> None:
    escalation = event_applied(OVER, event(IncidentEventType.REOPENED, 30), NOW)
    assert State.FINISHED is after_read(escalation, facts(Status.RESOLVED), None, NOW).state
    assert (
        State.FINISHED
        is after_read(followed(CLOSED, Status.OPEN, 1, NOW), facts(Status.RESOLVED), Status.OPEN, NOW).state
    )


@pytest.mark.parametrize("ours", [None, Status.ACKNOWLEDGED])
def test_a_read_that_shows_it_open_takes_back_nothing_that_its_links_say(ours: Status | None) -> None:
    assert ACKED == after_read(ACKED, facts(), ours, NOW)


@pytest.mark.parametrize(
    ("shown", "said", "state", "levels_done"),
    [
        (Status.ACKNOWLEDGED, event(IncidentEventType.UNACKNOWLEDGED, 21), State.RUNNING, 1),
        (Status.ACKNOWLEDGED, event(IncidentEventType.UNACKNOWLEDGED, -1), State.PAUSED, 1),
        (Status.RESOLVED, event(IncidentEventType.REOPENED, 21), State.RUNNING, 0),
        (Status.RESOLVED, event(IncidentEventType.READ, 30, Status.OPEN), State.RUNNING, 0),
    ],
)
def test_what_a_read_showed_and_no_link_knows_is_taken_back_by_the_incident_alone(
    shown: Status, said: IncidentEvent, state: State, levels_done: int
) -> None:
    escalation = after_read(replace(LINKED, levels_done=1), facts(shown), Status.OPEN, at(20))
    assert escalation == followed(escalation, Status.OPEN, 0, NOW)
    after = event_applied(escalation, said, NOW)
    assert (state, levels_done) == (after.state, after.levels_done)


@pytest.mark.parametrize("shown", [Status.ACKNOWLEDGED, Status.RESOLVED])
def test_what_its_links_have_learned_too_is_theirs_to_take_back(shown: Status) -> None:
    escalation = followed(after_read(LINKED, facts(shown), Status.OPEN, at(20)), shown, 0, at(21))
    assert (STATES[shown], None) == (escalation.state, escalation.incident_side.status)
    assert State.RUNNING is followed(escalation, Status.OPEN, 0, NOW).state


SEEN = after_read(STRANGE, replace(facts(), status_changed_at=None), None, at(10))


@pytest.mark.parametrize("fields", [IncidentEventType.ACKNOWLEDGED, IncidentEventType.RESOLVED])
def test_what_goes_forward_counts_until_a_read_says_otherwise(fields: IncidentEventType) -> None:
    hinted = event_applied(SEEN, event(fields, 12), at(12))
    assert (at(12) + SETTLING, True) == (hinted.due_at, hinted.state is not State.RUNNING)
    shown = Status(fields.value)
    assert hinted.state is after_read(hinted, facts(shown), None, at(13)).state
    assert (State.RUNNING, at(28)) == ((back := after_read(hinted, facts(), None, at(13))).state, back.due_at)


def test_what_its_links_do_not_speak_for_any_more_is_read() -> None:
    closed, acked = by_itself(CLOSED), by_itself(ACKED)
    for escalation, answer in ((closed, IncidentEventType.REOPENED), (acked, IncidentEventType.UNACKNOWLEDGED)):
        hinted = event_applied(escalation, event(answer, 30), NOW)
        assert (escalation.state, NOW + SETTLING) == (hinted.state, hinted.due_at)
        assert State.RUNNING is after_read(hinted, facts(), None, later(1)).state
    assert LINKED is by_itself(LINKED)


def test_a_look_at_what_is_over_leaves_it_so() -> None:
    hinted = event_applied(OVER, event(IncidentEventType.REOPENED, 20), NOW)
    over, anew = (after_read(hinted, facts(status), None, later(1)) for status in (Status.RESOLVED, Status.OPEN))
    assert ("resolved", None) == (over.reason, over.due_at)
    assert (State.RUNNING, later(16)) == (anew.state, anew.due_at)


def test_low_urgency_matters_only_to_an_escalation_that_runs() -> None:
    low = replace(facts(), urgency="low")
    assert is_low(LINKED, low)
    assert not is_low(PAUSED, low)


@pytest.mark.parametrize(
    ("escalation", "shown", "expected"),
    [
        (LINKED, facts(), Move(1, "PMGMT", 1, NOW, puts=True)),
        (LINKED, facts(policy="PMGMT", assigned=("CLEO",)), Move(1, "PMGMT", 2, NOW)),
        (LINKED, facts(policy="PMGMT", assigned=("DAN",)), Move(1, "PMGMT", 3, NOW)),
        (LINKED, facts(policy="PMGMT", assigned=("EVE",)), Skip(Move(1, "PMGMT", 4, NOW))),
        (LINKED, facts(policy="PMGMT", assigned=()), Move(1, "PMGMT", 2, NOW)),
        (
            replace(LINKED, plan=EscalationPlan(None, PLAN.levels)),
            facts(policy="PMGMT", assigned=("CLEO",)),
            Move(1, "PMGMT", 2, NOW),
        ),
        (replace(LINKED, levels_done=1, skipped=1), facts(), Move(2, "PMGMT", 2, NOW, puts=True)),
        (
            replace(LINKED, levels_done=1, policy_assigned=True, at_policy="PMGMT"),
            facts(policy="PMGMT", assigned=("CLEO",)),
            Move(2, "PMGMT", 2, NOW),
        ),
    ],
)
def test_where_the_next_move_leads(escalation: Escalation, shown: IncidentFacts, expected: Move | Skip) -> None:
    assert expected == next_move(escalation, shown, ON_CALL, NOW)


@pytest.mark.parametrize(
    ("counted", "assigned", "expected"),
    [
        (1, ("CLEO",), 1),
        (1, ("DAN",), 2),
        (2, (), 2),
        (2, ("STRANGER",), 2),
        (3, ("DAN",), 2),
        (1, ("BOTH",), 1),
        (2, ("BOTH",), 3),
        (3, ("BOTH",), 3),
    ],
)
def test_the_assigned_people_say_where_it_stands(counted: int, assigned: tuple[str, ...], expected: int) -> None:
    on_call = (*ON_CALL, OnCall("PMGMT", 1, "BOTH"), OnCall("PMGMT", 3, "BOTH"))
    escalation = replace(LINKED, at_level=counted, at_policy="PMGMT")
    assert expected == standing_at(escalation, facts(policy="PMGMT", assigned=assigned), on_call)


TURNS = (OnCall("P", 1, "A"), OnCall("P", 2, "A"), OnCall("P", 2, "B"), OnCall("P", 2, "C"), OnCall("P", 3, "A"))


@pytest.mark.parametrize(
    ("move", "policy", "assigned", "expected"),
    [
        (Move(1, "P", 1, NOW, puts=True), "P", (), True),
        (Move(1, "P", 1, NOW, puts=True), "PTEAM", ("A",), False),
        (Move(2, "P", 2, NOW), "P", ("A",), False),
        (Move(2, "P", 2, NOW), "P", ("A", "B", "C"), True),
        (Move(2, "P", 2, NOW), "P", ("B",), True),
        (Move(2, "P", 2, NOW), "P", (), False),
        (Move(2, "P", 2, NOW), "OTHER", ("B",), False),
        (Move(3, "P", 3, NOW), "P", ("A",), True),
        (Move(3, "P", 3, NOW), "P", ("A", "B", "C"), False),
        (Move(4, "P", 4, NOW), "P", ("A",), False),
    ],
)
def test_whether_a_move_has_arrived(move: Move, policy: str, assigned: tuple[str, ...], expected: bool) -> None:
    assert expected is has_arrived(move, facts(policy=policy, assigned=assigned), TURNS)


@pytest.mark.parametrize("levels", [(1, 2), (1, 3)])
def test_the_same_people_on_both_levels_prove_nothing(levels: tuple[int, int]) -> None:
    on_call = tuple(OnCall("P", level, "A") for level in levels)
    assert not has_arrived(Move(1, "P", levels[1], NOW), facts(policy="P", assigned=("A",)), on_call)


# ------------------------------------------------------------------------------------------------------- answers


@given(st.lists(st.floats(0.1, 10_000), min_size=1, max_size=6), st.lists(st.floats(0, 20), min_size=6, max_size=6))
def test_due_times_increase_and_no_level_has_its_turn_twice(waits: list[float], lateness: list[float]) -> None:
    escalation = armed(Escalation(Q1, EscalationPlan("P", tuple(map(PlanLevel, waits))), START))
    levels, times = [], []
    for late in lateness:
        if escalation.due_at is None or escalation.next_level is None:
            break
        times.append(escalation.due_at)
        levels.append(escalation.next_level)
        escalation = moved(
            escalation,
            Move(escalation.next_level, "P", escalation.next_level, NOW),
            escalation.due_at + timedelta(seconds=late),
        )
    assert list(range(1, len(waits) + 1)) == levels
    assert sorted(times) == times
    assert len(set(times)) == len(times)
    assert (State.FINISHED, None) == (escalation.state, escalation.due_at)


def test_a_move_that_was_on_time_counts_from_its_own_time() -> None:
    move = Move(1, "PMGMT", 1, at(15))
    assert at(45) == moved(LINKED, move, at(15) + timedelta(seconds=4)).due_at
    assert at(50) == moved(LINKED, move, at(20)).due_at


def test_what_was_done_while_somebody_acknowledged_counts_and_stays_paused() -> None:
    acked = followed(replace(LINKED, move=Move(1, "PMGMT", 1, at(15))), Status.ACKNOWLEDGED, 0, NOW)
    after = moved(acked, Move(1, "PMGMT", 1, at(15)), at(15))
    assert (State.PAUSED, 1, None) == (after.state, after.levels_done, after.due_at)


def test_a_skipped_level_makes_the_next_one_due_now() -> None:
    after = skipped(LINKED, Move(1, "PMGMT", 1, at(15)), at(15), "nobody_on_call")
    assert (State.RUNNING, 1, at(15)) == (after.state, after.levels_done, after.due_at)
    last = skipped(after, Move(2, "PMGMT", 2, at(15)), at(15), "nobody_on_call")
    assert (State.FINISHED, "nobody_on_call") == (last.state, last.reason)


@pytest.mark.parametrize(
    ("reply", "outcome", "seconds"),
    [
        (Retry("http_503"), "retry", 1.0),
        (Retry("http_429", 42), "retry", 42.0),
        (Retry("http_429", float("nan")), "retry", 1.0),
        (Retry("http_429", 1e9), "retry", 300.0),
        (Held("unauthorized"), "held", 15.0),
        (Held("forbidden", 3600), "held", 15.0),
        (Held(BUDGET_SPENT, 2), "waited", 2.25),
    ],
)
def test_how_long_a_failure_waits(reply: Retry | Held, outcome: str, seconds: float) -> None:
    result = set_back(LINKED, reply, NOW, 0.5)
    assert result.outcome == outcome
    assert NOW + timedelta(seconds=seconds) == result.escalation.due_at
    assert level_at(LINKED) == level_at(result.escalation)


def test_no_failure_brings_a_level_forward() -> None:
    soon = at(1)
    assert level_at(LINKED) == set_back(LINKED, Retry("http_503"), soon, 0.5).escalation.due_at
    skipping = replace(LINKED, levels_done=1, skipped=1, due_at=soon)
    assert soon + timedelta(seconds=1) == set_back(skipping, Retry("http_503"), soon, 0.5).escalation.due_at


@pytest.mark.parametrize("reply", [Retry("http_503"), Held("unauthorized"), Refused("not_found", 404)])
def test_what_may_have_been_asked_is_not_forgotten(reply: Retry | Held | Refused) -> None:
    move = Move(1, "PMGMT", 1, NOW, puts=True)
    assert move == set_back(replace(LINKED, move=move), reply, NOW, 0.5).escalation.move


def test_a_final_no_ends_it_until_a_person_decides() -> None:
    result = set_back(LINKED, Refused("policy_not_found", 404, 1014, "Not Found"), NOW, 0.5)
    assert ("refused", "policy_not_found", "Not Found") == (result.outcome, result.reason, result.detail)
    assert State.FINISHED is result.escalation.state
    again = asked_again(result.escalation, NOW)
    assert (State.RUNNING, NOW) == (again.state, again.due_at)


# ------------------------------------------------------------------------------------------------------- the plan


def test_the_plan_is_what_happens_if_nobody_acknowledges() -> None:
    first, second = upcoming_levels(LINKED, "PTEAM")
    assert (1, at(15), "PMGMT", 1, True) == (first.level, first.at, first.policy_id, first.to_level, first.puts)
    assert (2, at(45), "PMGMT", 2, False) == (second.level, second.at, second.policy_id, second.to_level, second.puts)
    assert [("Cleo",), ("Dan",)] == [who(first, ON_CALL), who(second, ON_CALL)]


def test_the_plan_of_an_incident_that_is_on_the_policy_already() -> None:
    assert [2, 3] == [step.to_level for step in upcoming_levels(LINKED, "PMGMT")]
    assert [("Dan",), ("EVE",)] == [who(step, ON_CALL) for step in upcoming_levels(LINKED, "PMGMT")]
