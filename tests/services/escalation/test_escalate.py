"""Each level moves once, at its time, and nothing moves after an acknowledge or a resolve; on both stores."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.escalation.state import State
from app.domain.model.events import AlertEventType, CommandType, IncidentEventType
from app.domain.model.outcome import Held, Retry
from app.domain.model.types import IncidentId, Status
from app.domain.rules.rulebook import EscalationLevel, EscalationRules
from app.services.escalation.target import CANCELLING, arming
from tests.escalation_rig import ESCALATION, EscalationRig, Killed

ACK, UNACK, RESOLVED, REOPENED = (
    IncidentEventType.ACKNOWLEDGED, IncidentEventType.UNACKNOWLEDGED,
    IncidentEventType.RESOLVED, IncidentEventType.REOPENED,
)  # fmt: skip
BOTH = ["Q1 PMGMT/1", "Q1 PMGMT/2"]


on_both_stores = pytest.mark.parametrize(
    "rig", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EscalationRig]:
    on_postgres = getattr(request, "param", "sqlite") == "postgresql"
    url = request.getfixturevalue("migrated_postgres_url") if on_postgres else None
    made = EscalationRig(tmp_path, url)
    yield made
    made.database.engine.dispose()
    made._inbox.dispose()


# ------------------------------------------------------------------------------------------------- the way up


@on_both_stores
def test_each_level_moves_once(rig: EscalationRig) -> None:
    rig.page()
    for _ in range(100):
        rig.minutes(1)
        rig.fire()
    assert BOTH == rig.moves
    assert (State.FINISHED, "exhausted", 2) == (
        rig.escalation().state,
        rig.escalation().reason,
        rig.escalation().levels_done,
    )


def test_levels_fire_at_their_times_counted_from_the_level_before(rig: EscalationRig) -> None:
    rig.page()
    assert [] == rig.minutes(14.99)
    assert ["moved"] == rig.minutes(0.02)
    assert BOTH[:1] == rig.moves
    assert [] == rig.minutes(29.97)  # fractions of the first level's lateness do not add up
    assert ["moved"] == rig.minutes(0.02)
    assert BOTH == rig.moves
    assert [1, 2] == [facts["level"] for _, facts in rig.entries("incident.escalated")]
    assert ["moved", "moved"] == rig.meter.outcomes


def test_a_level_that_was_late_gives_the_next_its_whole_time(rig: EscalationRig) -> None:
    rig.page()
    assert ["moved"] == rig.minutes(60)
    assert [] == rig.minutes(29.9)
    assert ["moved"] == rig.minutes(0.2)


@on_both_stores
def test_the_link_remembers_it(rig: EscalationRig) -> None:
    rig.page()
    rig.minutes(15)
    assert ["triggered", "escalated"] == [moment.what for moment in rig.link().history]
    assert rig.clock() == rig.link().history[-1].at


def test_without_levels_nothing_is_armed(tmp_path: Path) -> None:
    rig = EscalationRig(tmp_path, escalation=EscalationRules("PMGMT"))
    rig.page()
    assert [] == rig.minutes(500)
    assert [] == rig.entries()


def test_already_on_the_policy_level_1_raises_the_level(rig: EscalationRig) -> None:
    rig.page()
    rig.pd.stands("Q1", "PMGMT", 1)
    rig.minutes(15)
    rig.minutes(30)
    assert ["Q1 PMGMT/2", "Q1 PMGMT/3"] == rig.moves


def test_it_rises_from_where_pagerduty_itself_has_put_it(rig: EscalationRig) -> None:
    rig.page()
    rig.minutes(15)
    rig.pd.stands("Q1", "PMGMT", 2)
    rig.minutes(30)
    assert ["Q1 PMGMT/1", "Q1 PMGMT/3"] == rig.moves


def test_somebody_on_call_at_two_levels_hides_no_level(rig: EscalationRig) -> None:
    rig.pd.policies["PMGMT"] = (("CLEO",), ("DAN",), ("CLEO",))
    rig.page()
    rig.minutes(15)
    rig.minutes(30)
    assert BOTH == rig.moves


def test_once_placed_it_rises_wherever_a_person_takes_it(rig: EscalationRig) -> None:
    rig.page()
    rig.minutes(15)
    rig.pd.stands("Q1", "PTEAM", 1)
    rig.minutes(30)
    assert ["Q1 PMGMT/1", "Q1 PTEAM/2"] == rig.moves


def test_a_policy_without_a_higher_level_ends_it(rig: EscalationRig) -> None:
    rig.pd.policies["PMGMT"] = (("CLEO",),)
    rig.page()
    rig.minutes(15)
    assert ["no_such_level"] == rig.minutes(30)
    assert ("finished", "no_such_level") == (rig.escalation().state, rig.escalation().reason)
    assert ["Q1 PMGMT/1"] == rig.moves


# ------------------------------------------------------------------------------------------------- what stops it


@pytest.mark.parametrize("event_type", [ACK, RESOLVED])
def test_nothing_moves_after_an_acknowledge_or_a_resolve(rig: EscalationRig, event_type: IncidentEventType) -> None:
    rig.page()
    rig.clock.move(60)
    rig.incident(event_type, author="Dana Example")
    assert [] == rig.minutes(500)
    assert [] == rig.moves
    assert "escalation.stopped" in rig.events()


@pytest.mark.parametrize("status", [Status.ACKNOWLEDGED, Status.RESOLVED])
def test_nor_when_its_webhook_was_lost(rig: EscalationRig, status: Status) -> None:
    rig.page()
    rig.pagerduty.put("Q1", status)
    assert [status.value] == rig.minutes(15)
    assert [] == rig.minutes(500)
    assert [] == rig.moves


@pytest.mark.parametrize("event_type", [AlertEventType.ACKNOWLEDGED, AlertEventType.RESOLVED])
def test_nor_when_it_was_said_at_truthvouch_and_is_still_on_its_way(
    rig: EscalationRig, event_type: AlertEventType
) -> None:
    rig.page()
    rig.clock.move(60)
    rig.alert(event_type)  # and nothing is delivered
    assert Status.OPEN is rig.pagerduty.incidents["Q1"].status
    assert [] == rig.minutes(500)
    assert [] == rig.moves


@on_both_stores
def test_an_incident_of_several_alerts_stops_with_the_first_acknowledge(rig: EscalationRig) -> None:
    rig.page("a1")
    rig.page("a2")
    rig.incident(IncidentEventType.MERGED, "Q1", merged_into="Q2")
    rig.clock.move(60)
    rig.alert(AlertEventType.ACKNOWLEDGED, alert_id="a1")  # and nothing is delivered
    assert State.RUNNING is rig.escalation("Q2").state
    assert ["acknowledged"] == rig.minutes(15)
    assert [] == rig.moves


def test_and_ends_with_the_last_resolve(rig: EscalationRig) -> None:
    rig.page("a1")
    rig.page("a2")
    rig.incident(IncidentEventType.MERGED, "Q1", merged_into="Q2")
    rig.clock.move(60)
    rig.alert(AlertEventType.RESOLVED, alert_id="a2")
    assert ["moved"] == rig.minutes(15)
    rig.alert(AlertEventType.RESOLVED, alert_id="a1")
    assert ["resolved"] == rig.minutes(30)


def test_an_acknowledge_at_truthvouch_stops_the_clock_at_once(rig: EscalationRig) -> None:
    rig.page()
    rig.clock.move(60)
    rig.alert(AlertEventType.ACKNOWLEDGED, author="lead")
    assert ("paused", "acknowledged") == (rig.escalation().state, rig.escalation().reason)
    assert ["escalation.armed", "escalation.stopped"] == rig.events()


def test_a_resolve_taken_back_before_pagerduty_was_told_begins_anew(rig: EscalationRig) -> None:
    rig.page()
    rig.clock.move(60)
    rig.alert(AlertEventType.RESOLVED)
    rig.clock.move(60)
    rig.alert(AlertEventType.REOPENED)  # PagerDuty has heard of neither, so it will tell of neither
    assert [] == rig.minutes(14.9)
    assert ["moved"] == rig.minutes(0.2)


def test_an_alert_acknowledged_before_its_incident_is_known_is_not_escalated(rig: EscalationRig) -> None:
    rig.alert(AlertEventType.CREATED)
    rig.clock.move(1)
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.run()
    assert State.PAUSED is rig.escalation().state
    assert [] == rig.minutes(500)


@on_both_stores
def test_an_unacknowledge_starts_the_clock_again_for_the_next_level(rig: EscalationRig) -> None:
    rig.page()
    rig.minutes(15)
    rig.clock.move(60)
    rig.incident(ACK, author="Cleo")
    rig.clock.move(3600)
    rig.incident(UNACK)
    assert [] == rig.minutes(29.9)
    assert ["moved"] == rig.minutes(0.2)
    assert BOTH == rig.moves
    assert "escalation.resumed" in rig.events()


def test_events_in_the_wrong_order_and_twice_change_nothing(rig: EscalationRig) -> None:
    rig.page()
    start = rig.clock()
    acked, unacked = start + timedelta(minutes=1), start + timedelta(minutes=2)
    rig.clock.move(180)
    rig.incident(UNACK, at=unacked)
    rig.incident(ACK, at=acked)
    rig.pagerduty.put("Q1", Status.OPEN)
    rig.incident(UNACK, at=unacked)
    assert State.RUNNING is rig.escalation().state
    assert ["moved"] == rig.minutes(17)


def test_a_reopen_begins_anew_at_level_1(rig: EscalationRig) -> None:
    rig.page()
    rig.minutes(15)
    rig.minutes(30)
    rig.incident(RESOLVED)
    rig.clock.move(3600)
    rig.incident(REOPENED)
    assert "escalation.restarted" in rig.events()
    rig.pd.stands("Q1", "PTEAM", 1)
    assert [] == rig.minutes(14.9)
    rig.minutes(0.2)
    rig.minutes(30)
    assert [*BOTH, *BOTH] == rig.moves


@on_both_stores
def test_a_merge_ends_it_and_the_survivor_gets_none(rig: EscalationRig) -> None:
    rig.page()
    rig.incident(IncidentEventType.MERGED, merged_into="QOTHER")
    assert ("finished", "merged") == (rig.escalation().state, rig.escalation().reason)
    with rig.database.read() as tx:
        assert None is rig.escalation_store.peek(tx, IncidentId("QOTHER"))
    assert [] == rig.minutes(500)


def test_a_merge_that_nobody_told_ends_it(rig: EscalationRig) -> None:
    rig.page()
    rig.pd.change("Q1", status=Status.RESOLVED, merged_into="QOTHER")
    assert ["merged"] == rig.minutes(15)
    assert [] == rig.moves


# ------------------------------------------------------------------------------------------------- low urgency


def test_low_urgency_is_not_escalated_and_says_so(rig: EscalationRig) -> None:
    rig.page(severity="high")
    assert ["low_urgency"] == rig.minutes(15)
    assert [] == rig.minutes(500)
    assert [] == rig.moves
    assert [("escalation.stopped", "low_urgency")] == [
        (event, facts["because"]) for event, facts in rig.entries("escalation.stopped")
    ]


def test_with_raise_urgency_that_is_raised_first(tmp_path: Path) -> None:
    rig = EscalationRig(tmp_path, escalation=replace(ESCALATION, raise_urgency=True))
    rig.page(severity="high")
    rig.minutes(15)
    rig.minutes(30)
    assert ["Q1 urgency high", *BOTH] == rig.moves


# ------------------------------------------------------------------------------------------------- nobody on call


@on_both_stores
def test_a_level_with_nobody_on_call_is_skipped_at_once_and_said(rig: EscalationRig) -> None:
    rig.pd.policies["PMGMT"] = ((), ("DAN",), ("EVE",))
    rig.page()
    assert ["moved"] == rig.minutes(15)
    assert ["Q1 PMGMT/2"] == rig.moves
    ((_, skipped),) = rig.entries("escalation.skipped")
    assert ("nobody_on_call", 1) == (skipped["because"], skipped["level"])
    assert [] == rig.minutes(500)


def test_with_nobody_on_call_anywhere_it_ends_and_says_so(rig: EscalationRig) -> None:
    rig.pd.policies["PMGMT"] = ((), (), ())
    rig.page()
    assert ["skipped"] == rig.minutes(15)
    assert ("finished", "nobody_on_call") == (rig.escalation().state, rig.escalation().reason)
    assert 2 == len(rig.entries("escalation.skipped"))
    assert [] == rig.minutes(500)
    assert [] == rig.moves


def test_a_second_level_with_nobody_on_call_does_not_wait(rig: EscalationRig) -> None:
    three = (*ESCALATION.levels, EscalationLevel(3, 10))
    rig.rulebook.rulebook = replace(rig.rulebook.rulebook, escalation=EscalationRules("PMGMT", three))
    rig.pd.policies["PMGMT"] = (("CLEO",), (), ("EVE",))
    rig.page()
    rig.minutes(15)
    assert ["moved"] == rig.minutes(30)
    assert ["Q1 PMGMT/1", "Q1 PMGMT/3"] == rig.moves


# ------------------------------------------------------------------------------------------------- when calls fail


@pytest.mark.parametrize("fault", ["refused", "429", "reset"])
@pytest.mark.parametrize("calls_before", [0, 1, 2])
def test_a_call_that_fails_is_made_again_and_the_level_moves_once(
    rig: EscalationRig, fault: str, calls_before: int
) -> None:
    rig.page()
    rig.pagerduty.faults.queue.extend([*[""] * calls_before, fault])
    assert ["retry"] == rig.minutes(15)
    rig.clock.move(10)
    assert ["moved"] == rig.fire()
    assert BOTH[:1] == rig.moves
    rig.minutes(31)
    assert BOTH == rig.moves


@on_both_stores
def test_an_unclear_answer_is_read_before_it_is_asked_again(rig: EscalationRig) -> None:
    rig.page()
    rig.minutes(15)
    rig.pagerduty.faults.queue.extend(["", "", "reset"])
    rig.minutes(30)
    rig.pagerduty.calls.clear()
    rig.clock.move(10)
    assert ["moved"] == rig.fire()
    assert ["get", "oncalls"] == rig.pagerduty.calls
    assert BOTH == rig.moves


def test_the_partners_request_to_wait_is_obeyed(rig: EscalationRig) -> None:
    rig.page()
    rig.pagerduty.faults.queue.append("429")
    assert ["retry"] == rig.minutes(15)
    rig.clock.move(6.9)
    assert [] == rig.fire()
    rig.clock.move(0.2)
    assert ["moved"] == rig.fire()


def test_refused_credentials_are_probed_every_15_seconds_and_never_given_up(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.page()
    with monkeypatch.context() as broken:
        broken.setattr(rig.pagerduty, "get", lambda _id: Held("unauthorized"))
        assert ["held"] == rig.minutes(15)
        for _ in range(3):
            rig.clock.move(15)
            assert ["held"] == rig.fire()
        assert ["held"] == rig.minutes(60 * 24 * 9)
    rig.clock.move(15)
    assert ["moved"] == rig.fire()
    assert [] == rig.dead()
    assert 1 == len(rig.entries("escalation.retried"))


def test_what_cannot_be_reached_for_a_day_becomes_a_dead_letter(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.page()
    monkeypatch.setattr(rig.pagerduty, "get", lambda _id: Retry("http_503"))
    rig.minutes(15)
    assert ["refused"] == rig.minutes(60 * 24 + 1)
    assert ["gave_up:http_503"] == [dead_letter.reason for dead_letter in rig.dead()]


def test_a_bug_is_a_failure_like_another(rig: EscalationRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.page()
    with monkeypatch.context() as broken:
        broken.setattr(rig.pagerduty, "on_call", lambda _id: 1 / 0)
        assert ["retry"] == rig.minutes(15)
    rig.clock.move(10)
    assert ["moved"] == rig.fire()


def test_a_resolve_between_the_look_and_the_move_stops_it(rig: EscalationRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.page()
    ask = rig.pd.on_call

    def resolved_meanwhile(policy_id: str) -> Any:
        rig.pagerduty.put("Q1", Status.RESOLVED)
        return ask(policy_id)

    monkeypatch.setattr(rig.pagerduty, "on_call", resolved_meanwhile)
    assert ["resolved"] == rig.minutes(15)
    assert [] == rig.moves
    assert [] == rig.dead()


def test_an_acknowledge_that_arrives_during_the_look_stops_the_move(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.page()
    ask = rig.pd.on_call

    def acknowledged_meanwhile(policy_id: str) -> Any:
        rig.incident(ACK)
        return ask(policy_id)

    monkeypatch.setattr(rig.pagerduty, "on_call", acknowledged_meanwhile)
    assert ["overtaken"] == rig.minutes(15)
    assert [] == rig.moves


# ------------------------------------------------------------------------------------------------- dead letters


def refused(rig: EscalationRig) -> int:
    """The policy is not there; the number of the letter."""
    del rig.pd.policies["PMGMT"]
    rig.page()
    assert ["refused"] == rig.minutes(15)
    (dead_letter,) = rig.dead()
    assert ("escalation", "policy_not_found", "Escalate level 1 of Q1") == (
        dead_letter.kind,
        dead_letter.reason,
        dead_letter.effect,
    )
    rig.pd.policies["PMGMT"] = (("CLEO",), ("DAN",))
    assert [] == rig.minutes(60)
    return int(dead_letter.id)


@on_both_stores
def test_a_final_no_is_a_dead_letter_and_its_replay_goes_on_at_once(rig: EscalationRig) -> None:
    number = refused(rig)
    rig.command(CommandType.REPLAY, number)
    assert ["moved"] == rig.fire()
    assert BOTH[:1] == rig.moves
    assert [] == rig.dead()
    assert ["moved"] == rig.minutes(30)


def test_a_discard_ends_it(rig: EscalationRig) -> None:
    number = refused(rig)
    rig.command(CommandType.DISCARD, number)
    assert [] == rig.dead()
    assert [] == rig.minutes(500)
    assert None is rig.escalation().dead_letter_id


def test_a_replay_after_an_acknowledge_moves_nothing(rig: EscalationRig) -> None:
    number = refused(rig)
    rig.incident(ACK)
    rig.command(CommandType.REPLAY, number)
    assert [] == rig.minutes(1)
    assert [] == rig.moves
    assert State.PAUSED is rig.escalation().state


# ------------------------------------------------------------------------------------------------- commands


@on_both_stores
def test_any_incident_can_be_armed(rig: EscalationRig) -> None:
    rig.page()
    rig.pd.incidents["QHAND"] = replace(rig.pd.incidents["Q1"], incident_id=IncidentId("QHAND"))
    rig.clock.move(60)
    rig.command(CommandType.ESCALATE, "QHAND", arming("PMGMT", 30))
    rig.incident(RESOLVED)
    assert [] == rig.minutes(29.9)
    assert ["moved"] == rig.minutes(0.2)
    assert ["QHAND PMGMT/1"] == rig.moves


def test_events_about_an_incident_no_link_knows_stop_its_escalation(rig: EscalationRig) -> None:
    rig.page()
    rig.pd.incidents["QHAND"] = replace(rig.pd.incidents["Q1"], incident_id=IncidentId("QHAND"))
    rig.command(CommandType.ESCALATE, "QHAND", arming("PMGMT", 30))
    rig.clock.move(60)
    rig.incident(ACK, incident_id="QHAND")
    assert State.PAUSED is rig.escalation("QHAND").state


def test_an_unacknowledge_of_a_strange_incident_is_found_without_a_webhook(rig: EscalationRig) -> None:
    rig.page()
    rig.clock.move(60)
    rig.incident(RESOLVED)
    rig.pd.incidents["QHAND"] = replace(
        rig.pd.incidents["Q1"], incident_id=IncidentId("QHAND"), status=Status.OPEN, status_changed_at=rig.clock()
    )
    rig.command(CommandType.ESCALATE, "QHAND", arming("PMGMT", 10))
    rig.pagerduty.put("QHAND", Status.ACKNOWLEDGED)
    assert ["acknowledged"] == rig.minutes(10)
    assert ["acknowledged"] == rig.minutes(5)
    rig.clock.move(60)
    rig.pagerduty.put("QHAND", Status.OPEN)
    assert ["waits"] == rig.minutes(5)
    assert [] == rig.minutes(9.9)
    assert ["moved"] == rig.minutes(0.2)
    assert ["QHAND PMGMT/1"] == rig.moves


def test_a_cancelled_escalation_moves_nothing(rig: EscalationRig) -> None:
    rig.page()
    rig.command(CommandType.ESCALATE, "Q1", CANCELLING)
    assert [] == rig.minutes(500)
    assert ("finished", "cancelled") == (rig.escalation().state, rig.escalation().reason)


@pytest.mark.parametrize("detail", ["", "{}", "[]", '{"timeout_minutes": 0}', '{"timeout_minutes": "30"}', "nonsense"])
def test_a_command_that_makes_no_sense_changes_nothing(rig: EscalationRig, detail: str) -> None:
    rig.page()
    before = rig.escalation()
    rig.command(CommandType.ESCALATE, "Q1", detail)
    assert before == rig.escalation()


# ------------------------------------------------------------------------------------------------- kill -9


class Killer:
    """Ends the process before its ``step``-th transaction or call."""

    def __init__(self, rig: EscalationRig) -> None:
        self.count, self.step = 0, 0
        for name in ("get", "on_call", "escalate", "policy"):
            setattr(rig.pagerduty, name, self._counted(getattr(rig.pagerduty, name)))
        rig.escalate.transactions = self
        self.begin, self.read = self._counted(rig.database.begin), self._counted(rig.database.read)
        self.after_commit = rig.database.after_commit

    def aim(self, step: int) -> None:
        self.count, self.step = 0, step

    def _counted(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            self.count += 1
            if self.count == self.step:
                raise Killed
            return act(*args, **named)

        return wrapped


@on_both_stores
def test_a_kill_between_any_two_steps_neither_loses_a_move_nor_makes_one_twice(rig: EscalationRig) -> None:
    killer, kills = Killer(rig), 0
    for step in range(1, 20):
        rig.page(f"a{step}")
        rig.moves.clear()
        killer.aim(step)
        for _ in range(4):
            try:
                rig.minutes(15)
            except Killed:
                kills += 1
                rig.fire()  # the next process
        assert [f"Q{step} PMGMT/1", f"Q{step} PMGMT/2"] == rig.moves
        assert 2 * step == len(rig.entries("incident.escalated"))
    assert 14 == kills  # seven steps a level: read, get, on-calls, intent, move, record, read


def test_a_move_that_stood_still_too_long_is_looked_at_again(
    rig: EscalationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.page()
    record = type(rig.escalate.record).intent

    def stopped(self: Any, *args: Any) -> Any:
        asked = record(self, *args)
        rig.clock.move(60)
        rig.pagerduty.put("Q1", Status.ACKNOWLEDGED)
        return asked

    monkeypatch.setattr(type(rig.escalate.record), "intent", stopped)
    assert ["acknowledged"] == rig.minutes(15)
    assert [] == rig.moves


def test_a_reopen_during_the_call_begins_anew_all_the_same(rig: EscalationRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.page()
    ask = rig.pd.escalate

    def reopened_meanwhile(*args: Any, **named: Any) -> Any:
        reply = ask(*args, **named)
        rig.incident(RESOLVED)
        rig.clock.move(1)
        rig.incident(REOPENED)
        return reply

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(rig.pd, "escalate", reopened_meanwhile)
        rig.minutes(15)
    assert (0, 1) == (rig.escalation().levels_done, rig.escalation().next_level)
    assert [] == rig.minutes(14.9)
    assert ["moved"] == rig.minutes(0.2)


def test_without_an_api_key_it_waits_until_there_is_one(rig: EscalationRig) -> None:
    rig.page()
    pagerduty, rig.escalate.pagerduty = rig.escalate.pagerduty, None
    assert ["held"] == rig.minutes(15)
    rig.escalate.pagerduty = pagerduty
    rig.clock.move(15)
    assert ["moved"] == rig.fire()
