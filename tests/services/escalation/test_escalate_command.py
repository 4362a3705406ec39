"""The command *escalate* as text: it says what it said, and no text breaks its reader."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.escalation.state import EscalationPlan, PlanLevel, State, is_asked_for
from app.domain.model.events import Command, CommandType, IncidentEventType
from app.domain.rules.rulebook import Rulebook
from app.services.escalation.target import CANCELLING, arming, hurrying, read
from app.services.sync.intake import Gathered
from tests.escalation_rig import EscalationRig
from tests.services.escalation.test_escalate import refused


def test_a_command_says_what_it_said() -> None:
    written = json.loads(arming("PMGMT", [15, 0.5], raise_urgency=True, drill=True))
    written["levels"][0]["description"] = "team"  # which is understood, too
    asked = read(json.dumps(written))
    assert asked is not None
    assert (EscalationPlan("PMGMT", (PlanLevel(900, "team"), PlanLevel(30)), True), True) == (asked.plan, asked.drill)
    ended = read(CANCELLING)
    assert ended is not None
    assert None is ended.plan


def test_one_time_alone_is_one_level() -> None:
    asked = read('{"timeout_minutes": 30, "policy_id": "PMGMT"}')
    assert asked is not None
    assert EscalationPlan("PMGMT", (PlanLevel(1800),)) == asked.plan


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), 60 * 24 * 32, [], [15, 0], [1] * 21])
def test_a_time_that_is_none_is_refused(minutes: float | list[float]) -> None:
    with pytest.raises(ValueError, match="minutes"):
        arming("PMGMT", minutes)


@pytest.mark.parametrize("policy_id", ["", "P X", "P\n", "P" * 65])
def test_a_policy_that_is_none_is_refused(policy_id: str) -> None:
    with pytest.raises(ValueError, match="policy"):
        arming(policy_id, 15)


@given(st.text() | st.from_regex(r'\{"(levels|timeout_minutes|policy_id|cancel)": .{0,20}\}'))
def test_no_text_breaks_the_reader(detail: str) -> None:
    asked = read(detail)
    assert asked is None or asked.plan is None or asked.plan.levels


# ------------------------------------------------------------------------------------------------ at once


@pytest.fixture
def rig(tmp_path: Path) -> EscalationRig:
    return EscalationRig(tmp_path)


def hurry(rig: EscalationRig, raise_urgency: bool = False) -> list[str]:
    """Somebody asks for the next level now."""
    rig.command(CommandType.ESCALATE, "Q1", hurrying(raise_urgency))
    return rig.fire()


def test_the_next_level_comes_at_once_and_the_one_after_it_in_its_own_time(rig: EscalationRig) -> None:
    rig.page()
    rig.minutes(1)
    assert "moved" in hurry(rig)
    assert ["Q1 PMGMT/1"] == rig.moves
    assert [] == rig.minutes(29)
    rig.minutes(2)
    assert ["Q1 PMGMT/1", "Q1 PMGMT/2"] == rig.moves


def test_after_the_last_level_it_rises_once_more_on_the_policy_it_is_on(rig: EscalationRig) -> None:
    rig.page()
    rig.minutes(16)
    rig.minutes(31)
    hurry(rig)
    hurry(rig)
    assert ["Q1 PMGMT/1", "Q1 PMGMT/2", "Q1 PMGMT/3"] == rig.moves


def test_an_incident_that_nobody_escalates_rises_on_its_own_policy(rig: EscalationRig) -> None:
    rig.rulebook.rulebook = Rulebook()
    rig.page()
    hurry(rig)
    assert ["Q1 PTEAM/2"] == rig.moves


def again(rig: EscalationRig) -> None:
    """The incident is resolved, and opened again."""
    for event in (IncidentEventType.RESOLVED, IncidentEventType.REOPENED):
        rig.incident(event)
        rig.run()


def test_what_was_asked_for_now_is_not_asked_for_again_when_the_incident_is_reopened(rig: EscalationRig) -> None:
    rig.rulebook.rulebook = Rulebook()
    rig.page()
    hurry(rig)
    again(rig)
    assert [] == rig.minutes(60)
    assert ["Q1 PTEAM/2"] == rig.moves
    assert State.FINISHED is rig.escalation().state


def test_a_reopened_incident_has_the_plan_it_had_before_somebody_asked_for_more(rig: EscalationRig) -> None:
    rig.rulebook.rulebook = Rulebook()
    rig.page()
    rig.command(CommandType.ESCALATE, "Q1", arming("PMGMT", 30))
    rig.minutes(31)
    hurry(rig, raise_urgency=True)
    usual = rig.moves.copy()
    again(rig)
    assert [] == rig.fire()
    assert not rig.escalation().plan.raise_urgency
    rig.minutes(31)
    assert [*usual, "Q1 PMGMT/3"] == rig.moves, "it is on that policy still, and rises"


def test_a_level_at_once_closes_the_dead_letter_that_the_escalation_became(rig: EscalationRig) -> None:
    number = refused(rig)
    assert "moved" in hurry(rig)
    assert [] == rig.dead()
    rig.command(CommandType.REPLAY, number)
    assert [] == rig.fire()


def test_a_clock_that_is_ahead_elsewhere_delays_no_level_that_is_asked_for_now(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.page()
    rig.minutes(1)
    with monkeypatch.context() as not_yet:
        not_yet.setattr(rig.intake, "take", lambda: 0)
        rig.clock.move(90)
        rig.command(CommandType.ESCALATE, "Q1", hurrying())
        rig.clock.move(-90)
    rig.intake.take()
    assert "moved" in rig.fire()


def test_what_somebody_has_in_hand_is_not_escalated(rig: EscalationRig) -> None:
    rig.page()
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    rig.run()
    assert [] == hurry(rig)
    rig.command(CommandType.ESCALATE, "nobody", hurrying())
    assert [] == rig.fire() == rig.moves


def test_a_low_urgency_is_raised_only_if_asked(rig: EscalationRig) -> None:
    rig.page(severity="high")
    hurry(rig)
    assert [] == rig.moves
    hurry(rig, raise_urgency=True)
    assert ["Q1 urgency high", "Q1 PMGMT/1"] == rig.moves


# ------------------------------------------------------------------------------------------------ two at once


def ask(rig: EscalationRig, by: str, saw: int | None = None, raise_urgency: bool = False) -> str:
    """Somebody asks for the next level now; what becomes of it. Nothing is moved yet."""
    command = Command(CommandType.ESCALATE, "Q1", by, hurrying(raise_urgency, saw))
    with rig.database.begin() as tx:
        return rig.intake.execute_command(tx, command, rig.clock(), Gathered()).facts["outcome"]


def test_two_who_ask_before_the_level_has_come_ask_for_one(rig: EscalationRig) -> None:
    rig.page()
    assert ["hurried", "already_asked", "already_asked"] == [ask(rig, "ada"), ask(rig, "bob"), ask(rig, "eve", 0)]
    rig.fire()
    assert ["Q1 PMGMT/1"] == rig.moves
    last = rig.escalation().hurried
    assert last is not None
    assert "ada" == last.by


def test_whoever_saw_the_same_level_asks_for_no_other(rig: EscalationRig) -> None:
    rig.page()
    saw = rig.escalation().moves
    assert "hurried" == ask(rig, "ada", saw)
    rig.fire()
    rig.clock.move(50)
    assert "already_asked" == ask(rig, "bob", saw)
    assert [] == rig.fire()
    assert "hurried" == ask(rig, "bob", rig.escalation().moves)
    rig.fire()
    assert ["Q1 PMGMT/1", "Q1 PMGMT/2"] == rig.moves


def test_after_the_last_level_two_who_saw_the_same_ask_for_one(rig: EscalationRig) -> None:
    rig.rulebook.rulebook = Rulebook()
    rig.pd.policies["PTEAM"] += (("EVE",),)
    rig.page()
    for _ in range(2):
        saw = rig.escalation().moves if rig.moves else 0
        assert "hurried" == ask(rig, "ada", saw)
        rig.fire()
        assert "already_asked" == ask(rig, "bob", saw)
        assert [] == rig.fire()
    assert ["Q1 PTEAM/2", "Q1 PTEAM/3"] == rig.moves


def test_a_level_that_came_by_itself_since_somebody_looked_is_not_followed_by_the_next(rig: EscalationRig) -> None:
    rig.page()
    saw = rig.escalation().moves
    rig.minutes(16)
    assert "already_so" == ask(rig, "ada", saw)
    assert [] == rig.fire()


def test_a_level_that_came_long_ago_and_that_they_did_not_see_is_followed_by_the_next(rig: EscalationRig) -> None:
    """Nobody reacted to it: a page that was open all the while asks for more."""
    rig.page()
    saw = rig.escalation().moves
    rig.minutes(16)
    rig.clock.move(61)
    assert "hurried" == ask(rig, "ada", saw)
    rig.fire()
    rig.clock.move(61)
    assert "hurried" == ask(rig, "bob", saw)


def test_whoever_asks_again_does_not_wait_for_the_next_try(rig: EscalationRig) -> None:
    rig.page()
    assert "hurried" == ask(rig, "ada", 0)
    escalation = rig.escalation()
    later = rig.clock() + timedelta(minutes=5)
    failing = replace(escalation, failing="http_503", attempt=3, due_at=later)
    assert not is_asked_for(failing, 0, False, rig.clock())
    assert is_asked_for(replace(failing, due_at=rig.clock()), 0, False, rig.clock())


def test_a_request_of_a_machine_whose_clock_is_behind_is_no_same_moment(rig: EscalationRig) -> None:
    rig.page()
    assert "hurried" == ask(rig, "ada")
    rig.fire()
    escalation = rig.escalation()
    assert is_asked_for(escalation, None, False, rig.clock())
    assert not is_asked_for(escalation, None, False, rig.clock() - timedelta(hours=1))
    assert not is_asked_for(escalation, None, True, rig.clock())


def test_without_a_word_about_what_they_saw_seconds_are_the_same_moment(rig: EscalationRig) -> None:
    rig.page()
    assert "hurried" == ask(rig, "ada")
    rig.fire()
    rig.clock.move(9)
    assert "already_asked" == ask(rig, "bob")
    rig.clock.move(2)
    assert "hurried" == ask(rig, "bob")


def test_what_came_to_nothing_may_be_asked_for_again_by_whoever_saw_the_same(rig: EscalationRig) -> None:
    rig.page(severity="high")
    assert "hurried" == ask(rig, "ada", 0)
    assert "hurried" == ask(rig, "bob", 0, raise_urgency=True), "it asks for more"
    rig.fire()
    assert ["Q1 urgency high", "Q1 PMGMT/1"] == rig.moves


def test_a_low_urgency_that_ended_it_does_not_count_as_asked(rig: EscalationRig) -> None:
    rig.page(severity="high")
    assert "hurried" == ask(rig, "ada", 0)
    rig.fire()
    assert [] == rig.moves
    assert "hurried" == ask(rig, "bob", 0, raise_urgency=True)
    rig.fire()
    assert ["Q1 urgency high", "Q1 PMGMT/1"] == rig.moves


def test_after_an_acknowledge_that_was_taken_back_the_level_is_asked_for_anew(rig: EscalationRig) -> None:
    rig.page()
    assert "hurried" == ask(rig, "ada", 0)
    for event in (IncidentEventType.ACKNOWLEDGED, IncidentEventType.UNACKNOWLEDGED):
        rig.incident(event)
        rig.run()
    assert [] == rig.moves
    assert "hurried" == ask(rig, "bob", 0)
    rig.fire()
    assert ["Q1 PMGMT/1"] == rig.moves


def test_a_reopened_incident_remembers_nobody_who_asked_in_the_life_before(rig: EscalationRig) -> None:
    rig.page()
    assert "hurried" == ask(rig, "ada")
    rig.fire()
    again(rig)
    assert "hurried" == ask(rig, "bob")
