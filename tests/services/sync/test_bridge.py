"""One alert across and back, through intake and delivery, on a real store."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Done, Held, Refused, Retry
from app.domain.model.types import AlertId, Status, Urgency, Via, incident_key
from app.domain.rules.rulebook import Redaction, Rulebook
from app.remote.replies import Answer, judge
from app.services.sync.execute_effect import READS_FOR_A_TAKEN_KEY
from tests.fakes import PartnerClock
from tests.rig import Rig
from tests.shapes import health_of


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def opened(rig: Rig) -> Rig:
    rig.alert(AlertEventType.CREATED)
    rig.run()
    rig.pagerduty.calls.clear()
    rig.clock.move(10)
    return rig


def test_a_critical_alert_opens_one_incident_of_high_urgency(rig: Rig) -> None:
    rig.alert(AlertEventType.CREATED)
    assert rig.run() == ["done"]
    assert ["open"] == rig.pagerduty.calls
    assert [("high", Status.OPEN)] == [(i.urgency, i.status) for i in rig.pagerduty.incidents.values()]
    assert "Q1" == rig.link().incident_id


def test_a_medium_alert_opens_nothing(rig: Rig) -> None:
    rig.alert(AlertEventType.CREATED, severity="medium")
    assert [] == rig.run()
    assert [] == rig.pagerduty.calls


def test_acknowledge_and_resolve_by_a_person_reach_truthvouch_once_each(rig: Rig) -> None:
    opened(rig)
    for event_type in (IncidentEventType.ACKNOWLEDGED, IncidentEventType.RESOLVED):
        for _ in range(3):
            rig.incident(event_type, author="Dana Example")
        rig.run()
        rig.clock.move(60)
    expected = [("a1", Status.ACKNOWLEDGED, None), ("a1", Status.RESOLVED, "Resolved in PagerDuty by Dana Example.")]
    assert expected == rig.truthvouch.calls
    assert [] == rig.pagerduty.calls


def test_the_persons_note_becomes_the_resolution(rig: Rig) -> None:
    opened(rig)
    rig.incident(IncidentEventType.RESOLVED, author="Dana Example")
    rig.incident(IncidentEventType.ANNOTATED, note="prompt rolled back")
    rig.run()
    assert [("a1", Status.RESOLVED, "prompt rolled back")] == rig.truthvouch.calls


def test_an_alert_resolved_with_a_reason_resolves_the_incident_and_leaves_one_note(rig: Rig) -> None:
    opened(rig)
    for _ in range(2):
        rig.alert(AlertEventType.RESOLVED, reason="false_positive", text="a paraphrase", author="qa@example.com")
    rig.run()
    assert Status.RESOLVED is rig.pagerduty.incidents["Q1"].status
    assert ["put resolved", "notes", "note"] == rig.pagerduty.calls
    (note,) = rig.pagerduty.notes_on["Q1"]
    assert note.content.startswith("[TruthVouch] resolved by somebody: false_positive. a paraphrase (ref ")
    assert [] == rig.truthvouch.calls


def test_who_resolved_an_alert_is_reported_only_where_people_may_be_sent(rig: Rig) -> None:
    rig.rulebook.rulebook = Rulebook(redaction=Redaction(send_people=True))
    opened(rig)
    rig.alert(AlertEventType.RESOLVED, text="ask qa@example.com", author="qa@example.com")
    rig.run()
    (note,) = rig.pagerduty.notes_on["Q1"]
    assert note.content.startswith("[TruthVouch] resolved by qa@example.com: ask qa@example.com (ref ")


def test_our_own_echoes_cause_no_calls(rig: Rig) -> None:
    opened(rig)
    rig.incident(IncidentEventType.TRIGGERED)
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.run()
    rig.clock.move(0.4)
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    rig.clock.move(9)
    rig.incident(IncidentEventType.RESOLVED, author="Dana Example")
    rig.run()
    rig.clock.move(0.4)
    rig.alert(AlertEventType.RESOLVED, reason="Resolved in PagerDuty by Dana Example.")
    rig.run()
    assert ["put acknowledged"] == rig.pagerduty.calls
    assert [Status.RESOLVED] == [call[1] for call in rig.truthvouch.calls]


def test_a_resolve_before_the_create_is_remembered_and_nothing_is_opened(rig: Rig) -> None:
    created_at = rig.clock()
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED, reason="false_positive")
    rig.alert(AlertEventType.CREATED, at=created_at)
    assert [] == rig.run()
    assert {} == rig.pagerduty.incidents


def test_events_in_the_wrong_order_leave_the_same_state(rig: Rig) -> None:
    opened(rig)
    early, late = rig.clock.move(10), rig.clock.move(20)
    rig.incident(IncidentEventType.RESOLVED, at=late, author="Dana Example")
    rig.run()
    rig.incident(IncidentEventType.ACKNOWLEDGED, at=early)
    rig.run()
    assert Status.RESOLVED is rig.link().status
    assert [Status.RESOLVED] == [call[1] for call in rig.truthvouch.calls]


def test_a_lost_answer_to_a_create_is_looked_up_not_repeated(rig: Rig) -> None:
    rig.pagerduty.faults.queue.append("reset")
    rig.alert(AlertEventType.CREATED)
    assert ["retry", "done"] == rig.run()
    assert ["open", "find"] == rig.pagerduty.calls
    assert 1 == len(rig.pagerduty.incidents)


def test_a_lost_answer_is_looked_up_where_the_clock_of_pagerduty_is_hours_behind(rig: Rig) -> None:
    rig.pagerduty.clock = PartnerClock(rig.clock, timedelta(hours=-23))
    rig.pagerduty.faults.queue.append("reset")
    rig.alert(AlertEventType.CREATED)
    rig.run()
    assert ["open", "find"] == rig.pagerduty.calls


def test_an_incident_resolved_by_a_person_while_the_create_was_unclear_is_not_opened_again(rig: Rig) -> None:
    rig.pagerduty.faults.queue.append("reset")
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.clock.move(30)
    rig.pagerduty.put("Q1", Status.RESOLVED)
    rig.run()
    assert 1 == len(rig.pagerduty.incidents)
    assert Status.RESOLVED is rig.pagerduty.incidents["Q1"].status
    assert Status.RESOLVED is rig.truthvouch.status["a1"]


def test_an_unclear_create_of_an_alert_resolved_meanwhile_is_found_and_closed(rig: Rig) -> None:
    rig.pagerduty.faults.queue.append("reset")
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.clock.move(30)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    assert [Status.RESOLVED] == [i.status for i in rig.pagerduty.incidents.values()]


def test_an_event_about_an_incident_not_yet_known_is_kept_and_applied_later(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=0)
    rig.pagerduty._new(draft_of(rig))
    rig.clock.move(3)
    rig.incident(IncidentEventType.ACKNOWLEDGED, "Q1", author="Dana Example")
    assert [] == rig.truthvouch.calls
    rig.run()
    assert [("a1", Status.ACKNOWLEDGED, None)] == rig.truthvouch.calls


def test_by_event_the_incident_is_triggered_found_acknowledged_and_resolved(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.alert(AlertEventType.CREATED)
    rig.run()
    rig.clock.move(5)
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.run()
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    seen = "get"  # no webhook came: it is looked whether the event had its effect
    assert ["trigger", "find", "event acknowledge", seen, "event resolve", seen] == rig.pagerduty.calls


def test_by_event_without_an_api_key_the_three_actions_go_out(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS, has_api_key=False)
    for event_type in (AlertEventType.CREATED, AlertEventType.ACKNOWLEDGED, AlertEventType.RESOLVED):
        rig.alert(event_type)
        rig.run()
        rig.clock.move(5)
    assert ["trigger", "event acknowledge", "event resolve"] == rig.pagerduty.calls


def test_a_reopen_that_truthvouch_refuses_is_reported_once_and_the_incident_stays_open(rig: Rig) -> None:
    opened(rig)
    rig.truthvouch.status["a1"] = Status.OPEN
    rig.incident(IncidentEventType.RESOLVED, author="Dana Example")
    rig.run()
    rig.clock.move(60)
    rig.incident(IncidentEventType.REOPENED)
    rig.run()
    assert [Status.RESOLVED, Status.OPEN] == [call[1] for call in rig.truthvouch.calls]
    assert Status.OPEN is rig.pagerduty.incidents["Q1"].status
    assert 1 == len(rig.pagerduty.notes_on["Q1"])
    rig.run()
    assert 2 == len(rig.truthvouch.calls)


def test_a_merge_moves_the_link_and_resolves_nothing(rig: Rig) -> None:
    opened(rig)
    rig.alert(AlertEventType.CREATED, alert_id="a2")
    rig.run()
    rig.pagerduty.calls.clear()
    rig.clock.move(5)
    rig.incident(IncidentEventType.MERGED, "Q1", merged_into="Q2")
    rig.run()
    assert [] == rig.truthvouch.calls
    assert "Q2" == rig.link("a1").incident_id
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED, alert_id="a1", reason="fixed")
    rig.run()
    assert [Status.OPEN] == [rig.pagerduty.incidents["Q2"].status]
    assert 1 == len(rig.pagerduty.notes_on["Q2"])
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED, alert_id="a2")
    rig.run()
    assert [Status.RESOLVED] == [rig.pagerduty.incidents["Q2"].status]


def test_a_stale_read_of_an_incident_just_resolved_by_event_is_no_news(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.alert(AlertEventType.CREATED)
    found = rig.pagerduty.find
    rig.engine.run(rig.deliver, at_most=0)
    rig.pagerduty.find = lambda key, since=None: Done(())  # type: ignore[method-assign]
    rig.engine.run(rig.deliver, at_most=1)
    stale = found(rig.link().incident_key)
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED)
    rig.pagerduty.find = lambda key, since=None: stale  # type: ignore[method-assign]
    rig.run()
    assert 1 == rig.pagerduty.calls.count("event resolve")


def test_refused_credentials_pause_one_target_only(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.pagerduty.notes = lambda incident_id: Held("from_missing")  # type: ignore[method-assign]
    opened(rig)
    rig.alert(AlertEventType.RESOLVED, reason="false_positive")
    rig.engine.run(rig.deliver, at_most=1)
    assert "from_missing" == rig.link().pagerduty.failing
    rig.pagerduty.calls.clear()
    rig.alert(AlertEventType.CREATED, alert_id="a2")
    rig.engine.run(rig.deliver, at_most=2)
    assert "trigger" in rig.pagerduty.calls


def test_pages_are_their_own_probes_and_go_out_when_the_credentials_are_mended(rig: Rig) -> None:
    open_it = rig.pagerduty.open
    rig.pagerduty.open = lambda draft: Held("http_401")  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.alert(AlertEventType.CREATED, alert_id="a2")
    rig.engine.run(rig.deliver, at_most=2)
    assert ["http_401"] * 2 == [rig.link(alert_id).pagerduty.failing for alert_id in ("a1", "a2")]
    rig.pagerduty.open = open_it  # type: ignore[method-assign]
    rig.run()
    assert ["open", "open"] == rig.pagerduty.calls


def test_what_wakes_nobody_waits_for_a_paused_target_without_asking(rig: Rig) -> None:
    opened(rig)
    rig.alert(AlertEventType.CREATED, alert_id="a2")
    rig.run()
    rig.pagerduty.calls.clear()
    put = rig.pagerduty.set_status
    rig.pagerduty.set_status = lambda *_: Held("http_401")  # type: ignore[method-assign]
    rig.clock.move(5)
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.pagerduty.set_status = put  # type: ignore[method-assign]
    rig.alert(AlertEventType.ACKNOWLEDGED, alert_id="a2")
    rig.engine.run(rig.deliver, at_most=2)
    assert [] == rig.pagerduty.calls
    rig.clock.move(16)
    rig.run()
    read = "get"  # decided long ago: somebody may have resolved it since
    assert [read, "put acknowledged"] * 2 == rig.pagerduty.calls


def test_an_alert_reopened_after_an_unclear_create_came_to_nothing_pages_anew(rig: Rig) -> None:
    rig.pagerduty.open = lambda draft: Retry("timeout", unclear=True)  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    del rig.pagerduty.open
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    assert {} == rig.pagerduty.incidents
    rig.clock.move(60)
    rig.alert(AlertEventType.REOPENED)
    rig.run()
    assert [Status.OPEN] == [incident.status for incident in rig.pagerduty.incidents.values()]


def test_a_create_that_appears_late_is_still_closed(rig: Rig) -> None:
    rig.pagerduty.open = lambda draft: Retry("timeout", unclear=True)  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    del rig.pagerduty.open
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    rig.pagerduty._new(draft_of(rig))
    rig.incident(IncidentEventType.TRIGGERED, "Q1", at=rig.clock(), incident_key=rig.link().incident_key)
    rig.run()
    assert Status.RESOLVED is rig.pagerduty.incidents["Q1"].status


def draft_of(rig: Rig) -> IncidentDraft:
    return IncidentDraft(rig.link().incident_key, "late", Urgency.HIGH, "critical", "truthvouch")


def test_a_taken_key_whose_incident_cannot_be_seen_yet_is_no_dead_letter(rig: Rig) -> None:
    rig.pagerduty._new(IncidentDraft(incident_key(AlertId("a1")), "ours", Urgency.HIGH, "critical", "truthvouch"))
    find = rig.pagerduty.find
    rig.pagerduty.find = lambda key, since=None: Done(())  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    assert ["retry", "retry"] == rig.engine.run(rig.deliver, at_most=2)
    rig.pagerduty.find = find  # type: ignore[method-assign]
    rig.run()
    assert ("Q1", 1) == (rig.link().incident_id, len(rig.pagerduty.incidents))


@pytest.mark.parametrize(
    ("status", "reply"), [(301, "held"), (308, "held"), (407, "retry"), (421, "retry"), (423, "retry"), (425, "retry")]
)
def test_a_page_is_not_given_up_for_what_stands_between(rig: Rig, status: int, reply: str) -> None:
    answered = judge(Answer(status, {}, b"", rig.clock(), writes=True))
    rig.pagerduty.open = lambda draft: answered  # type: ignore[method-assign, assignment, return-value]
    rig.alert(AlertEventType.CREATED)
    assert [reply] * 3 == rig.engine.run(rig.deliver, at_most=3)
    assert None is rig.dead_letter()
    del rig.pagerduty.open
    rig.run()
    assert "Q1" == rig.link().incident_id


def test_since_when_a_page_waits_is_known_until_it_is_out(rig: Rig) -> None:
    health_source, since = health_of(rig.database, rig._inbox), rig.clock()
    assert None is health_source.read().oldest_page_at
    rig.pagerduty.open = lambda draft: Retry("http_423")  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.clock.move(90)
    rig.engine.run(rig.deliver, at_most=2)
    assert since == health_source.read().oldest_page_at
    del rig.pagerduty.open
    rig.run()
    assert None is health_source.read().oldest_page_at
    rig.pagerduty.set_status = lambda *_: Retry("http_500")  # type: ignore[method-assign]
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.engine.run(rig.deliver, at_most=2)
    assert (True, None) == (health_source.read().oldest_waiting_at is not None, health_source.read().oldest_page_at)


OTHER_ARGUMENT = Refused("arguments_refused", 400, 2002, "Arguments Caused Error; Escalation policy must be assigned")


def test_a_create_refused_for_another_argument_is_a_dead_letter_after_one_look(rig: Rig) -> None:
    rig.pagerduty.open = lambda draft: OTHER_ARGUMENT  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.run()
    assert 1 == rig.pagerduty.calls.count("find")
    assert ("arguments_refused", OTHER_ARGUMENT.detail) == rig.dead_letter()
    assert not rig.link().pagerduty.outstanding


def test_a_create_refused_for_another_argument_attaches_what_the_one_look_finds(rig: Rig) -> None:
    rig.pagerduty._new(IncidentDraft(incident_key(AlertId("a1")), "ours", Urgency.HIGH, "critical", "truthvouch"))
    rig.pagerduty.open = lambda draft: OTHER_ARGUMENT  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.run()
    assert "Q1" == rig.link().incident_id


@pytest.mark.parametrize("unclear_before", [False, True])
def test_a_taken_key_whose_incident_is_never_seen_is_a_dead_letter_in_the_end(rig: Rig, unclear_before: bool) -> None:
    said = OTHER_ARGUMENT if unclear_before else Refused("key_taken", 400, 2002, "matching dedup key")
    rig.alert(AlertEventType.CREATED)
    if unclear_before:
        rig.pagerduty.open = lambda draft: Retry("timeout", unclear=True)  # type: ignore[method-assign]
        assert ["retry"] == rig.engine.run(rig.deliver, at_most=1)
    rig.pagerduty.open = lambda draft: said  # type: ignore[method-assign]
    assert ["retry"] * (READS_FOR_A_TAKEN_KEY - 1) == rig.engine.run(rig.deliver, at_most=READS_FOR_A_TAKEN_KEY - 1)
    assert None is rig.dead_letter()
    rig.run()
    assert (said.reason, said.detail) == rig.dead_letter()


def test_a_note_kept_for_an_unknown_incident_is_received_when_a_read_shows_whose_it_is(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.pagerduty.open = lambda draft: Retry("timeout", unclear=True)  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.incident(IncidentEventType.ANNOTATED, "Q1", note="looking into it")
    rig.incident(IncidentEventType.TRIGGERED, "Q1", incident_key=rig.link().incident_key)
    assert (None, None) == (rig.link().incident_id, rig.link().last_note), "a webhook is no proof"
    rig.pagerduty._new(draft_of(rig))
    rig.run()
    assert ("Q1", "looking into it") == (rig.link().incident_id, rig.link().last_note)
    assert "open" not in rig.pagerduty.calls


def test_a_look_that_cannot_be_made_is_not_given_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    find = rig.pagerduty.find
    rig.pagerduty.find = lambda key, since=None: Retry("connection_refused")  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=40)
    assert rig.link().pagerduty.outstanding
    rig.pagerduty.find = find  # type: ignore[method-assign]
    rig.run()
    assert "Q1" == rig.link().incident_id


def test_an_incident_that_never_appears_is_not_looked_for_for_ever(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.pagerduty.find = lambda key, since=None: Done(())  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    assert 16 == rig.run().count("retry")
    delivery = rig.link().pagerduty
    assert ("trigger_had_no_effect", False) == (delivery.dead, delivery.outstanding)
