"""What comes between: failures that are another escalation's, resolves that are held back, reopens that are told
again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.escalation.state import State
from app.domain.model.events import AlertEventType, CommandType, IncidentEventType
from app.domain.model.outcome import Done, Held, Reply, Retry
from app.domain.model.types import IncidentId, Status
from app.domain.rules.rulebook import EscalationLevel, EscalationRules, Rule, RuleAction, Rulebook
from app.services.escalation.target import arming
from tests.escalation_rig import ESCALATION, EscalationRig, Killed

FIRST = ["Q1 PMGMT/1"]
LOOKS = [
    Retry("connect_failed"),
    Retry("http_429", 1.0),
    Retry("http_503", unclear=True),
    Held("budget_spent", 0.5),
    Held("unauthorized"),
]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EscalationRig]:
    made = EscalationRig(tmp_path)
    yield made
    made.database.engine.dispose()
    made._inbox.dispose()


def holding(rig: EscalationRig, minutes: float) -> None:
    """A rule that holds resolves back."""
    rule = Rule("flappy", "true", RuleAction.CREATE_INCIDENT, hold_resolve_minutes=minutes)
    rig.rulebook.rulebook = Rulebook(rules=(rule,), escalation=ESCALATION)


# ------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("end", ["unclear", "kill"])
def test_a_failed_look_forgets_no_move(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch, look: Retry | Held, end: str
) -> None:
    rig.page()
    move = rig.pd.escalate

    def unanswered(*args: Any, **named: Any) -> Any:
        move(*args, **named)
        if end == "kill":
            raise Killed
        return Retry("read_timeout", unclear=True)

    with monkeypatch.context() as lost:
        lost.setattr(rig.pd, "escalate", unanswered)
        try:
            rig.minutes(15.01)
        except Killed:
            assert "kill" == end
    with monkeypatch.context() as broken:
        broken.setattr(rig.pd, "get", lambda _id: look)
        rig.clock.move(5)
        assert rig.fire()
    rig.clock.move(20)
    assert ["moved"] == rig.fire()
    assert FIRST == rig.moves


def test_a_clear_no_to_the_move_itself_means_that_it_was_not_made(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.page()
    with monkeypatch.context() as busy:
        busy.setattr(rig.pd, "escalate", lambda *_args, **_named: Retry("http_429", 1.0))
        assert ["retry"] == rig.minutes(15.01)
    assert None is rig.escalation().move


def test_a_failure_is_not_laid_over_an_escalation_that_began_anew(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.page()
    get, asked = rig.pd.get, list[str]()

    def slow(incident_id: IncidentId) -> Reply[Any]:
        asked.append(incident_id)
        if len(asked) > 1:
            return get(incident_id)
        rig.clock.move(2)
        rig.incident(IncidentEventType.RESOLVED)
        rig.clock.move(2)
        rig.incident(IncidentEventType.REOPENED)
        return Retry("read_timeout", unclear=True)

    monkeypatch.setattr(rig.pd, "get", slow)
    rig.minutes(15.01)
    assert (0, "") == (rig.escalation().attempt, rig.escalation().failing)
    assert [] == rig.minutes(14.9)
    assert [] == rig.moves
    assert ["moved"] == rig.minutes(0.2)


def test_a_final_no_does_not_end_what_was_armed_anew(rig: EscalationRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.page()
    rig.command(CommandType.ESCALATE, "Q1", arming("PWRONG", 1))
    ask = rig.pd.policy

    def armed_meanwhile(policy_id: str) -> Any:
        rig.command(CommandType.ESCALATE, "Q1", arming("PMGMT", 10))
        return ask(policy_id)

    monkeypatch.setattr(rig.pd, "policy", armed_meanwhile)
    rig.minutes(1.1)
    assert (State.RUNNING, "PMGMT") == (rig.escalation().state, rig.escalation().plan.policy_id)
    assert [] == rig.dead()
    assert ["moved"] == rig.minutes(10)


def test_the_same_person_on_both_levels_is_asked_again_after_a_kill(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.rulebook.rulebook = Rulebook(escalation=EscalationRules(None, (EscalationLevel(1, 5),)))
    rig.pd.policies["PTEAM"] = (("ANN",), ("ANN",), ("BEN",))
    rig.page()

    def killed(*_args: Any, **_named: Any) -> Any:
        raise Killed

    with monkeypatch.context() as end:
        end.setattr(rig.pd, "escalate", killed)
        with pytest.raises(Killed):
            rig.minutes(5.1)
    assert ["moved"] == rig.minutes(0.1)
    assert ["Q1 PTEAM/2"] == rig.moves


# ------------------------------------------------------------------------------------------------- reopens


def test_the_late_echo_of_our_own_reopen_begins_nothing_anew(rig: EscalationRig) -> None:
    rig.page()
    rig.clock.move(30)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    rig.clock.move(30)
    rig.alert(AlertEventType.REOPENED)
    rig.clock.move(1)
    rig.run()
    reopened_at = rig.clock()
    assert ["moved"] == rig.minutes(15.1)
    rig.incident(IncidentEventType.REOPENED, at=reopened_at)
    assert [] == rig.minutes(20)
    assert ["moved"] == rig.minutes(10)
    assert ["Q1 PMGMT/1", "Q1 PMGMT/2"] == rig.moves


def test_a_reopen_said_again_and_again_does_not_keep_it_from_rising(rig: EscalationRig) -> None:
    rig.page()
    for event_type in (AlertEventType.RESOLVED, AlertEventType.REOPENED):
        rig.clock.move(30)
        rig.alert(event_type)
        rig.run()
    for _ in range(6):
        rig.minutes(10)
        rig.alert(AlertEventType.REOPENED)
        rig.run()
    assert ["Q1 PMGMT/1", "Q1 PMGMT/2"] == rig.moves
    assert 1 == rig.events().count("escalation.restarted")


# ------------------------------------------------------------------------------------------------- held resolves


def test_a_flapping_alert_is_escalated(rig: EscalationRig) -> None:
    holding(rig, 5)
    rig.page()
    for _ in range(5):
        rig.minutes(10)
        rig.alert(AlertEventType.RESOLVED)
        rig.minutes(2)
        rig.alert(AlertEventType.REOPENED)
    assert Status.OPEN is rig.pd.incidents["Q1"].status
    assert ["Q1 PMGMT/1", "Q1 PMGMT/2"] == rig.moves
    assert ["escalation.armed", "incident.escalated", "incident.escalated"] == rig.events()


def test_while_a_resolve_is_held_back_nobody_is_moved_and_after_a_flap_at_once(rig: EscalationRig) -> None:
    holding(rig, 10)
    rig.page()
    rig.minutes(14)
    rig.alert(AlertEventType.RESOLVED)
    assert ["waits"] == rig.minutes(2)
    rig.pagerduty.calls.clear()
    assert [] == rig.minutes(2)
    rig.alert(AlertEventType.REOPENED)
    assert ["moved"] == rig.fire()
    assert FIRST == rig.moves


def test_a_resolve_whose_hold_is_over_ends_it(rig: EscalationRig) -> None:
    holding(rig, 10)
    rig.page()
    rig.minutes(14)
    rig.alert(AlertEventType.RESOLVED)
    assert ["waits"] == rig.minutes(2)
    assert ["resolved"] == rig.minutes(8.1)
    assert [] == rig.moves


def test_a_person_at_pagerduty_still_stops_it_while_a_resolve_is_held_back(rig: EscalationRig) -> None:
    holding(rig, 10)
    rig.page()
    rig.minutes(14)
    rig.alert(AlertEventType.RESOLVED)
    rig.pagerduty.put("Q1", Status.ACKNOWLEDGED)
    assert ["acknowledged"] == rig.minutes(2)


def test_a_flap_of_an_acknowledged_alert_leaves_it_paused_until_somebody_unacknowledges(rig: EscalationRig) -> None:
    holding(rig, 10)
    rig.page()
    rig.minutes(15.1)
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    for event_type in (AlertEventType.RESOLVED, AlertEventType.REOPENED):
        rig.clock.move(60)
        rig.alert(event_type)
        rig.run()
    assert [] == rig.minutes(60)
    rig.incident(IncidentEventType.UNACKNOWLEDGED)
    assert [] == rig.minutes(29.9)
    assert ["moved"] == rig.minutes(0.2)
    assert ["Q1 PMGMT/1", "Q1 PMGMT/2"] == rig.moves


# ------------------------------------------------------------------------------------------------- urgency


def low(rig: EscalationRig, monkeypatch: pytest.MonkeyPatch, shows: str) -> list[str]:
    """An incident whose urgency is not kept; ``shows``: what the answer to raising it says. The raises."""
    rig.rulebook.rulebook = Rulebook(escalation=replace(ESCALATION, raise_urgency=True))
    rig.page(severity="high")
    raises: list[str] = []

    def raised(incident_id: str, **_named: Any) -> Any:
        raises.append(incident_id)
        return Done(replace(rig.pd.incidents[incident_id], urgency=shows))

    monkeypatch.setattr(rig.pd, "escalate", raised)
    return raises


@pytest.mark.parametrize("shows", ["low", "high"])
def test_an_urgency_that_is_not_kept_is_raised_once_in_a_go(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch, shows: str
) -> None:
    raises = low(rig, monkeypatch, shows)
    assert ["retry"] == rig.minutes(15.1)
    assert 1 == len(raises)
    for _ in range(5):
        rig.minutes(1)
    assert 6 == len(raises)
    assert "urgency_not_kept" == rig.escalation().failing
    assert (shows == "high") == ("escalation.urgency_raised" in rig.events())
    assert ["refused"] == rig.minutes(60 * 24 + 1)
    assert ["gave_up:urgency_not_kept"] == [dead_letter.reason for dead_letter in rig.dead()]


def test_a_raised_urgency_is_in_the_time_line(rig: EscalationRig) -> None:
    rig.rulebook.rulebook = Rulebook(escalation=replace(ESCALATION, raise_urgency=True))
    rig.page(severity="high")
    assert ["moved"] == rig.minutes(15.1)
    assert ["escalation.armed", "escalation.urgency_raised", "incident.escalated"] == rig.events()
