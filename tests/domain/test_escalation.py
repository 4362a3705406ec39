"""The tables of a climb: every word, every look, every answer; due times increase, and no level has its turn twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.account import OnCall
from app.domain.escalation import (
    LOOK_AGAIN,
    REGISTERS,
    Climb,
    Course,
    Move,
    Rung,
    State,
    armed,
    course_of,
    finished,
    flapped,
    followed,
    heard,
    level_at,
)
from app.domain.escalation_answer import asked_again, moved, set_back, skipped
from app.domain.escalation_plan import plan, who
from app.domain.escalation_step import Go, Skip, has_arrived, is_low, looked, next_move, standing_at
from app.domain.incident import IncidentFacts
from app.domain.link import Clock
from app.domain.names import AlertId, IncidentId, LinkId, Status
from app.domain.outcome import BUDGET_SPENT, Held, Refused, Retry
from app.domain.rulebook import Escalation, EscalationLevel
from app.domain.words import IncidentVerb, IncidentWord

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
COURSE = Course("PMGMT", (Rung(900), Rung(1800)))
Q1 = IncidentId("Q1")
LINKED = armed(Climb(Q1, COURSE, START, LinkId(1), AlertId("a1")))
NOW = START + timedelta(hours=2)
ON_CALL = (OnCall("PMGMT", 1, "CLEO", "Cleo"), OnCall("PMGMT", 2, "DAN", "Dan"), OnCall("PMGMT", 3, "EVE"))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def word(verb: IncidentVerb, minutes: float = 1, status: Status | None = None) -> IncidentWord:
    return IncidentWord(verb, Q1, f"incident.{verb}", at(minutes), status=status)


def facts(status: Status = Status.OPEN, policy: str = "PTEAM", assigned: tuple[str, ...] = ("ANN",)) -> IncidentFacts:
    return IncidentFacts(
        Q1, status, urgency="high", escalation_policy_id=policy, assignee_ids=assigned, status_changed_at=START
    )


# ------------------------------------------------------------------------------------------------------- words


def test_the_table_of_words_is_total() -> None:
    assert set(IncidentVerb) == set(REGISTERS)


@pytest.mark.parametrize(
    ("verb", "state", "reason", "due"),
    [
        (IncidentVerb.TRIGGERED, State.RUNNING, "", at(15)),
        (IncidentVerb.ACKNOWLEDGED, State.PAUSED, "acknowledged", None),
        (IncidentVerb.UNACKNOWLEDGED, State.RUNNING, "", at(15)),
        (IncidentVerb.RESOLVED, State.FINISHED, "resolved", None),
        (IncidentVerb.REOPENED, State.RUNNING, "", at(15)),
        (IncidentVerb.MERGED, State.FINISHED, "merged", None),
        (IncidentVerb.ANNOTATED, State.RUNNING, "", at(15)),
        (IncidentVerb.READ, State.RUNNING, "", at(15)),
        (IncidentVerb.MENTIONED, State.RUNNING, "", at(15)),
    ],
)
def test_what_a_word_makes_of_a_running_climb(
    verb: IncidentVerb, state: State, reason: str, due: datetime | None
) -> None:
    after = heard(LINKED, word(verb), NOW)
    assert (state, reason, due) == (after.state, after.reason, after.due_at)
    assert after == heard(after, word(verb), NOW)


PAUSED = heard(replace(LINKED, fired=1, placed=True), word(IncidentVerb.ACKNOWLEDGED, 20), NOW)
OVER = heard(LINKED, word(IncidentVerb.RESOLVED, 20), NOW)


@pytest.mark.parametrize(
    ("climb", "said", "state", "due", "fired"),
    [
        (PAUSED, word(IncidentVerb.UNACKNOWLEDGED, 21), State.RUNNING, at(51), 1),
        (PAUSED, word(IncidentVerb.UNACKNOWLEDGED, 19), State.PAUSED, None, 1),
        (PAUSED, word(IncidentVerb.READ, 21, Status.OPEN), State.RUNNING, at(51), 1),
        (PAUSED, word(IncidentVerb.READ, 19, Status.OPEN), State.PAUSED, None, 1),
        (PAUSED, word(IncidentVerb.READ, 21, Status.RESOLVED), State.FINISHED, None, 1),
        (PAUSED, word(IncidentVerb.REOPENED, 21), State.RUNNING, at(51), 1),
        (OVER, word(IncidentVerb.REOPENED, 21), State.RUNNING, at(36), 0),
        (OVER, word(IncidentVerb.REOPENED, 20), State.FINISHED, None, 0),
        (OVER, word(IncidentVerb.READ, 30, Status.OPEN), State.RUNNING, at(45), 0),
        (OVER, word(IncidentVerb.UNACKNOWLEDGED, 30), State.FINISHED, None, 0),
        (finished(LINKED, "cancelled"), word(IncidentVerb.UNACKNOWLEDGED, 30), State.FINISHED, None, 0),
        (finished(LINKED, "low_urgency"), word(IncidentVerb.REOPENED, 30), State.FINISHED, None, 0),
        (finished(OVER, "low_urgency"), word(IncidentVerb.REOPENED, 30), State.RUNNING, at(45), 0),
    ],
)
def test_what_starts_the_clock_again(
    climb: Climb, said: IncidentWord, state: State, due: datetime | None, fired: int
) -> None:
    after = heard(climb, said, NOW)
    assert (state, due, fired) == (after.state, after.due_at, after.fired)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_order_in_which_words_arrive_does_not_matter_to_where_it_stands(order: tuple[int, ...]) -> None:
    words = [
        word(IncidentVerb.ACKNOWLEDGED, 1),
        word(IncidentVerb.UNACKNOWLEDGED, 2),
        word(IncidentVerb.RESOLVED, 3),
        word(IncidentVerb.REOPENED, 4),
    ]
    climb = LINKED
    for place in order:
        climb = heard(climb, words[place], NOW)
    assert (State.RUNNING, at(19), 0) == (climb.state, climb.due_at, climb.fired)


AGAIN = heard(OVER, word(IncidentVerb.REOPENED, 21), NOW)


@pytest.mark.parametrize(
    "said", [word(IncidentVerb.REOPENED, 30), word(IncidentVerb.RESOLVED, 20.5), word(IncidentVerb.REOPENED, 21)]
)
def test_what_is_told_of_an_old_resolve_and_its_reopen_begins_nothing_anew(said: IncidentWord) -> None:
    climb = moved(AGAIN, Move(1, "PMGMT", 1, at(36)), at(36))
    after = heard(climb, said, NOW)
    assert (1, at(66), State.RUNNING) == (after.fired, after.due_at, after.state)


def test_a_resolve_that_is_told_after_its_reopen_begins_anew() -> None:
    climb = moved(AGAIN, Move(1, "PMGMT", 1, at(36)), at(36))
    climb = heard(heard(climb, word(IncidentVerb.REOPENED, 50), NOW), word(IncidentVerb.RESOLVED, 40), NOW)
    assert (0, at(65), State.RUNNING) == (climb.fired, climb.due_at, climb.state)


def test_a_climb_of_an_older_version_knows_by_its_clock_what_is_history() -> None:
    old = replace(AGAIN, begun_at=None)
    assert AGAIN.due_at == heard(old, word(IncidentVerb.REOPENED, 30), NOW).due_at
    after = heard(heard(old, word(IncidentVerb.RESOLVED, 40), NOW), word(IncidentVerb.REOPENED, 50), NOW)
    assert at(65) == after.due_at


FLAP = Clock(resolved_at=at(14), reopened_at=at(17))


@pytest.mark.parametrize(
    ("climb", "due", "fired"),
    [
        (LINKED, at(15), 0),
        (replace(LINKED, due_at=at(19)), at(15), 0),  # it waited for the end of the hold
        (replace(LINKED, fired=1, clock_at=at(15), due_at=at(45)), at(45), 1),
        (replace(LINKED, fired=1, skipped=1, due_at=at(19)), START, 1),
    ],
)
def test_a_flap_leaves_it_where_it_was(climb: Climb, due: datetime, fired: int) -> None:
    after = flapped(climb, FLAP)
    assert (due, fired, State.RUNNING) == (after.due_at, after.fired, after.state)
    assert after == followed(after, FLAP)
    assert State.PAUSED is flapped(PAUSED, replace(FLAP, acknowledged_at=at(20))).state
    assert "cancelled" == flapped(finished(LINKED, "cancelled"), FLAP).reason


def test_a_reopened_matter_takes_todays_levels_and_a_wish_its_own() -> None:
    today = Course("PNEW", (Rung(60),))
    assert today == heard(OVER, word(IncidentVerb.REOPENED, 21), NOW, today).course
    assert COURSE == heard(replace(OVER, by="dana"), word(IncidentVerb.REOPENED, 21), NOW, today).course


def test_only_a_strange_incident_is_looked_at_while_somebody_has_it_in_hand() -> None:
    stranger = armed(Climb(Q1, COURSE, START))
    assert at(1) + LOOK_AGAIN == heard(stranger, word(IncidentVerb.ACKNOWLEDGED), NOW).due_at


def test_the_rulebooks_levels_in_seconds() -> None:
    levels = (EscalationLevel(1, 0.02, "soon"), EscalationLevel(2, 30))
    assert Course("P1", (Rung(1.2, "soon"), Rung(1800)), True) == course_of(Escalation("P1", levels, True))
    assert None is course_of(Escalation("P1"))


# ------------------------------------------------------------------------------------------------------- looks


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("ours", [None, *Status])
def test_it_runs_only_while_nobody_at_either_side_has_it_in_hand(status: Status, ours: Status | None) -> None:
    said = {
        None: None,
        Status.OPEN: Clock(),
        Status.ACKNOWLEDGED: Clock(acknowledged_at=at(3)),
        Status.RESOLVED: Clock(resolved_at=at(3)),
    }[ours]
    after = looked(LINKED, facts(status), said, at(15))
    furthest = max(status, ours or Status.OPEN, key=lambda one: one.rung)
    expected = {
        Status.OPEN: (State.RUNNING, ""),
        Status.ACKNOWLEDGED: (State.PAUSED, "acknowledged"),
        Status.RESOLVED: (State.FINISHED, "resolved"),
    }
    assert expected[furthest] == (after.state, after.reason)


def test_what_pagerduty_shows_counts_even_against_a_newer_word() -> None:
    climb = heard(OVER, word(IncidentVerb.REOPENED, 30), NOW)
    assert State.FINISHED is looked(climb, facts(Status.RESOLVED), None, NOW).state


def test_low_urgency_matters_only_to_a_climb_that_runs() -> None:
    low = replace(facts(), urgency="low")
    assert is_low(LINKED, low)
    assert not is_low(PAUSED, low)


@pytest.mark.parametrize(
    ("climb", "shown", "expected"),
    [
        (LINKED, facts(), Go(Move(1, "PMGMT", 1, NOW, puts=True))),
        (LINKED, facts(policy="PMGMT", assigned=("CLEO",)), Go(Move(1, "PMGMT", 2, NOW))),
        (LINKED, facts(policy="PMGMT", assigned=("DAN",)), Go(Move(1, "PMGMT", 3, NOW))),
        (LINKED, facts(policy="PMGMT", assigned=("EVE",)), Skip(Move(1, "PMGMT", 4, NOW))),
        (LINKED, facts(policy="PMGMT", assigned=()), Go(Move(1, "PMGMT", 2, NOW))),
        (
            replace(LINKED, course=Course(None, COURSE.rungs)),
            facts(policy="PMGMT", assigned=("CLEO",)),
            Go(Move(1, "PMGMT", 2, NOW)),
        ),
        (replace(LINKED, fired=1, skipped=1), facts(), Go(Move(2, "PMGMT", 2, NOW, puts=True))),
        (
            replace(LINKED, fired=1, placed=True, at_policy="PMGMT"),
            facts(policy="PMGMT", assigned=("CLEO",)),
            Go(Move(2, "PMGMT", 2, NOW)),
        ),
    ],
)
def test_where_the_next_move_leads(climb: Climb, shown: IncidentFacts, expected: Go | Skip) -> None:
    assert expected == next_move(climb, shown, ON_CALL, NOW)


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
    climb = replace(LINKED, at_level=counted, at_policy="PMGMT")
    assert expected == standing_at(climb, facts(policy="PMGMT", assigned=assigned), on_call)


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
    climb = armed(Climb(Q1, Course("P", tuple(map(Rung, waits))), START))
    levels, times = [], []
    for late in lateness:
        if climb.due_at is None or climb.next_level is None:
            break
        times.append(climb.due_at)
        levels.append(climb.next_level)
        climb = moved(climb, Move(climb.next_level, "P", climb.next_level, NOW), climb.due_at + timedelta(seconds=late))
    assert list(range(1, len(waits) + 1)) == levels
    assert sorted(times) == times
    assert len(set(times)) == len(times)
    assert (State.FINISHED, None) == (climb.state, climb.due_at)


def test_a_move_that_was_on_time_counts_from_its_own_time() -> None:
    move = Move(1, "PMGMT", 1, at(15))
    assert at(45) == moved(LINKED, move, at(15) + timedelta(seconds=4)).due_at
    assert at(50) == moved(LINKED, move, at(20)).due_at


def test_what_was_done_while_somebody_acknowledged_counts_and_stays_paused() -> None:
    acked = heard(replace(LINKED, move=Move(1, "PMGMT", 1, at(15))), word(IncidentVerb.ACKNOWLEDGED, 15), NOW)
    after = moved(acked, Move(1, "PMGMT", 1, at(15)), at(15))
    assert (State.PAUSED, 1, None) == (after.state, after.fired, after.due_at)


def test_a_skipped_level_makes_the_next_one_due_now() -> None:
    after = skipped(LINKED, Move(1, "PMGMT", 1, at(15)), at(15), "nobody_on_call")
    assert (State.RUNNING, 1, at(15)) == (after.state, after.fired, after.due_at)
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
    assert NOW + timedelta(seconds=seconds) == result.climb.due_at
    assert level_at(LINKED) == level_at(result.climb)


def test_no_failure_brings_a_level_forward() -> None:
    soon = at(1)
    assert level_at(LINKED) == set_back(LINKED, Retry("http_503"), soon, 0.5).climb.due_at
    skipping = replace(LINKED, fired=1, skipped=1, due_at=soon)
    assert soon + timedelta(seconds=1) == set_back(skipping, Retry("http_503"), soon, 0.5).climb.due_at


@pytest.mark.parametrize("reply", [Retry("http_503"), Held("unauthorized"), Refused("not_found", 404)])
def test_what_may_have_been_asked_is_not_forgotten(reply: Retry | Held | Refused) -> None:
    move = Move(1, "PMGMT", 1, NOW, puts=True)
    assert move == set_back(replace(LINKED, move=move), reply, NOW, 0.5).climb.move


def test_a_final_no_ends_it_until_a_person_decides() -> None:
    result = set_back(LINKED, Refused("policy_not_found", 404, 1014, "Not Found"), NOW, 0.5)
    assert ("refused", "policy_not_found", "Not Found") == (result.outcome, result.reason, result.detail)
    assert State.FINISHED is result.climb.state
    again = asked_again(result.climb, NOW)
    assert (State.RUNNING, NOW) == (again.state, again.due_at)


# ------------------------------------------------------------------------------------------------------- the plan


def test_the_plan_is_what_happens_if_nobody_acknowledges() -> None:
    first, second = plan(LINKED, "PTEAM")
    assert (1, at(15), "PMGMT", 1, True) == (first.level, first.at, first.policy_id, first.to_level, first.puts)
    assert (2, at(45), "PMGMT", 2, False) == (second.level, second.at, second.policy_id, second.to_level, second.puts)
    assert [("Cleo",), ("Dan",)] == [who(first, ON_CALL), who(second, ON_CALL)]


def test_the_plan_of_an_incident_that_is_on_the_policy_already() -> None:
    assert [2, 3] == [step.to_level for step in plan(LINKED, "PMGMT")]
    assert [("Dan",), ("EVE",)] == [who(step, ON_CALL) for step in plan(LINKED, "PMGMT")]
