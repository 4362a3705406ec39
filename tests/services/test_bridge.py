"""One alert across and back, through intake and delivery, on a real store."""

from pathlib import Path

import pytest

from app.domain.answer import Answer, judge
from app.domain.incident import IncidentDraft
from app.domain.names import AlertId, Status, Urgency, Via, incident_key
from app.domain.outcome import Done, Held, Refused, Retry
from app.domain.rulebook import Redaction, Rulebook
from app.domain.words import AlertVerb, IncidentVerb
from app.services.perform import LOOKS_FOR_A_TAKEN_KEY
from app.store.vitals import StoredVitals
from tests.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def opened(rig: Rig) -> Rig:
    rig.alert(AlertVerb.CREATED)
    rig.run()
    rig.pagerduty.calls.clear()
    rig.clock.move(10)
    return rig


def test_a_critical_alert_opens_one_incident_of_high_urgency(rig: Rig) -> None:
    rig.alert(AlertVerb.CREATED)
    assert rig.run() == ["done"]
    assert ["open"] == rig.pagerduty.calls
    assert [("high", Status.OPEN)] == [(i.urgency, i.status) for i in rig.pagerduty.incidents.values()]
    assert "Q1" == rig.link().incident_id


def test_a_medium_alert_opens_nothing(rig: Rig) -> None:
    rig.alert(AlertVerb.CREATED, severity="medium")
    assert [] == rig.run()
    assert [] == rig.pagerduty.calls


def test_acknowledge_and_resolve_by_a_person_reach_truthvouch_once_each(rig: Rig) -> None:
    opened(rig)
    for verb in (IncidentVerb.ACKNOWLEDGED, IncidentVerb.RESOLVED):
        for _ in range(3):
            rig.incident(verb, author="Dana Example")
        rig.run()
        rig.clock.move(60)
    expected = [("a1", Status.ACKNOWLEDGED, None), ("a1", Status.RESOLVED, "Resolved in PagerDuty by Dana Example.")]
    assert expected == rig.truthvouch.calls
    assert [] == rig.pagerduty.calls


def test_the_persons_note_becomes_the_resolution(rig: Rig) -> None:
    opened(rig)
    rig.incident(IncidentVerb.RESOLVED, author="Dana Example")
    rig.incident(IncidentVerb.ANNOTATED, note="prompt rolled back")
    rig.run()
    assert [("a1", Status.RESOLVED, "prompt rolled back")] == rig.truthvouch.calls


def test_an_alert_resolved_with_a_reason_resolves_the_incident_and_leaves_one_note(rig: Rig) -> None:
    opened(rig)
    for _ in range(2):
        rig.alert(AlertVerb.RESOLVED, reason="false_positive", text="a paraphrase", author="qa@example.com")
    rig.run()
    assert Status.RESOLVED is rig.pagerduty.incidents["Q1"].status
    assert ["put resolved", "notes", "note"] == rig.pagerduty.calls
    (note,) = rig.pagerduty.notes_on["Q1"]
    assert note.content.startswith("[TruthVouch] resolved by somebody: false_positive. a paraphrase (ref ")
    assert [] == rig.truthvouch.calls


def test_who_resolved_an_alert_is_told_only_where_people_may_be_sent(rig: Rig) -> None:
    rig.rulebook.rulebook = Rulebook(redaction=Redaction(send_people=True))
    opened(rig)
    rig.alert(AlertVerb.RESOLVED, text="ask qa@example.com", author="qa@example.com")
    rig.run()
    (note,) = rig.pagerduty.notes_on["Q1"]
    assert note.content.startswith("[TruthVouch] resolved by qa@example.com: ask qa@example.com (ref ")


def test_our_own_echoes_cause_no_calls(rig: Rig) -> None:
    opened(rig)
    rig.incident(IncidentVerb.TRIGGERED)
    rig.alert(AlertVerb.ACKNOWLEDGED)
    rig.run()
    rig.clock.move(0.4)
    rig.incident(IncidentVerb.ACKNOWLEDGED)
    rig.clock.move(9)
    rig.incident(IncidentVerb.RESOLVED, author="Dana Example")
    rig.run()
    rig.clock.move(0.4)
    rig.alert(AlertVerb.RESOLVED, reason="Resolved in PagerDuty by Dana Example.")
    rig.run()
    assert ["put acknowledged"] == rig.pagerduty.calls
    assert [Status.RESOLVED] == [call[1] for call in rig.truthvouch.calls]


def test_a_resolve_before_the_create_is_remembered_and_nothing_is_opened(rig: Rig) -> None:
    created_at = rig.clock()
    rig.clock.move(5)
    rig.alert(AlertVerb.RESOLVED, reason="false_positive")
    rig.alert(AlertVerb.CREATED, at=created_at)
    assert [] == rig.run()
    assert {} == rig.pagerduty.incidents


def test_words_in_the_wrong_order_leave_the_same_state(rig: Rig) -> None:
    opened(rig)
    early, late = rig.clock.move(10), rig.clock.move(20)
    rig.incident(IncidentVerb.RESOLVED, at=late, author="Dana Example")
    rig.run()
    rig.incident(IncidentVerb.ACKNOWLEDGED, at=early)
    rig.run()
    assert Status.RESOLVED is rig.link().status
    assert [Status.RESOLVED] == [call[1] for call in rig.truthvouch.calls]


def test_a_lost_answer_to_a_create_is_looked_up_not_repeated(rig: Rig) -> None:
    rig.pagerduty.faults.queue.append("reset")
    rig.alert(AlertVerb.CREATED)
    assert ["retry", "done"] == rig.run()
    assert ["open", "find"] == rig.pagerduty.calls
    assert 1 == len(rig.pagerduty.incidents)


def test_an_incident_resolved_by_a_person_while_the_create_was_unclear_is_not_opened_again(rig: Rig) -> None:
    rig.pagerduty.faults.queue.append("reset")
    rig.alert(AlertVerb.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.clock.move(30)
    rig.pagerduty.put("Q1", Status.RESOLVED)
    rig.run()
    assert 1 == len(rig.pagerduty.incidents)
    assert Status.RESOLVED is rig.pagerduty.incidents["Q1"].status
    assert Status.RESOLVED is rig.truthvouch.status["a1"]


def test_an_unclear_create_of_an_alert_resolved_meanwhile_is_found_and_closed(rig: Rig) -> None:
    rig.pagerduty.faults.queue.append("reset")
    rig.alert(AlertVerb.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.clock.move(30)
    rig.alert(AlertVerb.RESOLVED)
    rig.run()
    assert [Status.RESOLVED] == [i.status for i in rig.pagerduty.incidents.values()]


def test_a_word_about_an_incident_not_yet_known_is_kept_and_heard_later(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.alert(AlertVerb.CREATED)
    rig.engine.run(rig.deliver, at_most=0)
    rig.pagerduty._new(draft_of(rig))
    rig.clock.move(3)
    rig.incident(IncidentVerb.ACKNOWLEDGED, "Q1", author="Dana Example")
    assert [] == rig.truthvouch.calls
    rig.run()
    assert [("a1", Status.ACKNOWLEDGED, None)] == rig.truthvouch.calls


def test_by_event_the_incident_is_triggered_found_acknowledged_and_resolved(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.alert(AlertVerb.CREATED)
    rig.run()
    rig.clock.move(5)
    rig.alert(AlertVerb.ACKNOWLEDGED)
    rig.run()
    rig.clock.move(5)
    rig.alert(AlertVerb.RESOLVED)
    rig.run()
    seen = "get"  # no webhook came: it is looked whether the event had its effect
    assert ["trigger", "find", "event acknowledge", seen, "event resolve", seen] == rig.pagerduty.calls


def test_by_event_without_an_api_key_the_three_actions_go_out(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS, rest=False)
    for verb in (AlertVerb.CREATED, AlertVerb.ACKNOWLEDGED, AlertVerb.RESOLVED):
        rig.alert(verb)
        rig.run()
        rig.clock.move(5)
    assert ["trigger", "event acknowledge", "event resolve"] == rig.pagerduty.calls


def test_a_reopen_that_truthvouch_refuses_is_told_once_and_the_incident_stays_open(rig: Rig) -> None:
    opened(rig)
    rig.truthvouch.status["a1"] = Status.OPEN
    rig.incident(IncidentVerb.RESOLVED, author="Dana Example")
    rig.run()
    rig.clock.move(60)
    rig.incident(IncidentVerb.REOPENED)
    rig.run()
    assert [Status.RESOLVED, Status.OPEN] == [call[1] for call in rig.truthvouch.calls]
    assert Status.OPEN is rig.pagerduty.incidents["Q1"].status
    assert 1 == len(rig.pagerduty.notes_on["Q1"])
    rig.run()
    assert 2 == len(rig.truthvouch.calls)


def test_a_merge_moves_the_link_and_resolves_nothing(rig: Rig) -> None:
    opened(rig)
    rig.alert(AlertVerb.CREATED, alert_id="a2")
    rig.run()
    rig.pagerduty.calls.clear()
    rig.clock.move(5)
    rig.incident(IncidentVerb.MERGED, "Q1", merged_into="Q2")
    rig.run()
    assert [] == rig.truthvouch.calls
    assert "Q2" == rig.link("a1").incident_id
    rig.clock.move(5)
    rig.alert(AlertVerb.RESOLVED, alert_id="a1", reason="fixed")
    rig.run()
    assert [Status.OPEN] == [rig.pagerduty.incidents["Q2"].status]
    assert 1 == len(rig.pagerduty.notes_on["Q2"])
    rig.clock.move(5)
    rig.alert(AlertVerb.RESOLVED, alert_id="a2")
    rig.run()
    assert [Status.RESOLVED] == [rig.pagerduty.incidents["Q2"].status]


def test_a_stale_read_of_an_incident_just_resolved_by_event_is_no_news(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.alert(AlertVerb.CREATED)
    found = rig.pagerduty.find
    rig.engine.run(rig.deliver, at_most=0)
    rig.pagerduty.find = lambda key, since=None: Done(())  # type: ignore[method-assign]
    rig.engine.run(rig.deliver, at_most=1)
    stale = found(rig.link().incident_key)
    rig.clock.move(5)
    rig.alert(AlertVerb.RESOLVED)
    rig.pagerduty.find = lambda key, since=None: stale  # type: ignore[method-assign]
    rig.run()
    assert 1 == rig.pagerduty.calls.count("event resolve")


def test_refused_credentials_hold_one_door_only(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.pagerduty.notes = lambda incident_id: Held("from_missing")  # type: ignore[method-assign]
    opened(rig)
    rig.alert(AlertVerb.RESOLVED, reason="false_positive")
    rig.engine.run(rig.deliver, at_most=1)
    assert "from_missing" == rig.link().pagerduty.failing
    rig.pagerduty.calls.clear()
    rig.alert(AlertVerb.CREATED, alert_id="a2")
    rig.engine.run(rig.deliver, at_most=2)
    assert "trigger" in rig.pagerduty.calls


def test_pages_are_their_own_probes_and_go_out_when_the_credentials_are_mended(rig: Rig) -> None:
    open_it = rig.pagerduty.open
    rig.pagerduty.open = lambda draft: Held("http_401")  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    rig.alert(AlertVerb.CREATED, alert_id="a2")
    rig.engine.run(rig.deliver, at_most=2)
    assert ["http_401"] * 2 == [rig.link(alert_id).pagerduty.failing for alert_id in ("a1", "a2")]
    rig.pagerduty.open = open_it  # type: ignore[method-assign]
    rig.run()
    assert ["open", "open"] == rig.pagerduty.calls


def test_what_wakes_nobody_waits_behind_a_hold_without_asking(rig: Rig) -> None:
    opened(rig)
    rig.alert(AlertVerb.CREATED, alert_id="a2")
    rig.run()
    rig.pagerduty.calls.clear()
    put = rig.pagerduty.set_status
    rig.pagerduty.set_status = lambda *_: Held("http_401")  # type: ignore[method-assign]
    rig.clock.move(5)
    rig.alert(AlertVerb.ACKNOWLEDGED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.pagerduty.set_status = put  # type: ignore[method-assign]
    rig.alert(AlertVerb.ACKNOWLEDGED, alert_id="a2")
    rig.engine.run(rig.deliver, at_most=2)
    assert [] == rig.pagerduty.calls
    rig.clock.move(16)
    rig.run()
    read = "get"  # decided long ago: somebody may have resolved it since
    assert [read, "put acknowledged"] * 2 == rig.pagerduty.calls


def test_an_alert_reopened_after_an_unclear_create_came_to_nothing_pages_anew(rig: Rig) -> None:
    rig.pagerduty.open = lambda draft: Retry("timeout", unclear=True)  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    del rig.pagerduty.open
    rig.clock.move(5)
    rig.alert(AlertVerb.RESOLVED)
    rig.run()
    assert {} == rig.pagerduty.incidents
    rig.clock.move(60)
    rig.alert(AlertVerb.REOPENED)
    rig.run()
    assert [Status.OPEN] == [incident.status for incident in rig.pagerduty.incidents.values()]


def test_a_create_that_appears_late_is_still_closed(rig: Rig) -> None:
    rig.pagerduty.open = lambda draft: Retry("timeout", unclear=True)  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    del rig.pagerduty.open
    rig.clock.move(5)
    rig.alert(AlertVerb.RESOLVED)
    rig.run()
    rig.pagerduty._new(draft_of(rig))
    rig.incident(IncidentVerb.TRIGGERED, "Q1", at=rig.clock(), incident_key=rig.link().incident_key)
    rig.run()
    assert Status.RESOLVED is rig.pagerduty.incidents["Q1"].status


def draft_of(rig: Rig) -> IncidentDraft:
    return IncidentDraft(rig.link().incident_key, "late", Urgency.HIGH, "critical", "truthvouch")


def test_a_taken_key_whose_incident_cannot_be_seen_yet_is_no_dead_letter(rig: Rig) -> None:
    rig.pagerduty._new(IncidentDraft(incident_key(AlertId("a1")), "ours", Urgency.HIGH, "critical", "truthvouch"))
    find = rig.pagerduty.find
    rig.pagerduty.find = lambda key, since=None: Done(())  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    assert ["retry", "retry"] == rig.engine.run(rig.deliver, at_most=2)
    rig.pagerduty.find = find  # type: ignore[method-assign]
    rig.run()
    assert ("Q1", 1) == (rig.link().incident_id, len(rig.pagerduty.incidents))


@pytest.mark.parametrize(
    ("status", "reply"),
    [(301, "held"), (308, "held"), (407, "retry"), (421, "retry"), (423, "retry"), (425, "retry")],
)
def test_a_page_is_not_given_up_for_what_stands_between(rig: Rig, status: int, reply: str) -> None:
    answered = judge(Answer(status, {}, b"", rig.clock(), writes=True))
    rig.pagerduty.open = lambda draft: answered  # type: ignore[method-assign, assignment, return-value]
    rig.alert(AlertVerb.CREATED)
    assert [reply] * 3 == rig.engine.run(rig.deliver, at_most=3)
    assert None is rig.letter()
    del rig.pagerduty.open
    rig.run()
    assert "Q1" == rig.link().incident_id


def test_since_when_a_page_waits_is_known_until_it_is_out(rig: Rig) -> None:
    vitals, since = StoredVitals(rig.database, rig._inbox), rig.clock()
    assert None is vitals.read().oldest_page_at
    rig.pagerduty.open = lambda draft: Retry("http_423")  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    rig.clock.move(90)
    rig.engine.run(rig.deliver, at_most=2)
    assert since == vitals.read().oldest_page_at
    del rig.pagerduty.open
    rig.run()
    assert None is vitals.read().oldest_page_at
    rig.pagerduty.set_status = lambda *_: Retry("http_500")  # type: ignore[method-assign]
    rig.alert(AlertVerb.ACKNOWLEDGED)
    rig.engine.run(rig.deliver, at_most=2)
    assert (True, None) == (vitals.read().oldest_waiting_at is not None, vitals.read().oldest_page_at)


OTHER_ARGUMENT = Refused("arguments_refused", 400, 2002, "Arguments Caused Error; Escalation policy must be assigned")


def test_a_create_refused_for_another_argument_is_a_dead_letter_after_one_look(rig: Rig) -> None:
    rig.pagerduty.open = lambda draft: OTHER_ARGUMENT  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    rig.run()
    assert 1 == rig.pagerduty.calls.count("find")
    assert ("arguments_refused", OTHER_ARGUMENT.detail) == rig.letter()
    assert not rig.link().pagerduty.outstanding


def test_a_create_refused_for_another_argument_attaches_what_the_one_look_finds(rig: Rig) -> None:
    rig.pagerduty._new(IncidentDraft(incident_key(AlertId("a1")), "ours", Urgency.HIGH, "critical", "truthvouch"))
    rig.pagerduty.open = lambda draft: OTHER_ARGUMENT  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    rig.run()
    assert "Q1" == rig.link().incident_id


@pytest.mark.parametrize("unclear_before", [False, True])
def test_a_taken_key_whose_incident_is_never_seen_is_a_dead_letter_in_the_end(rig: Rig, unclear_before: bool) -> None:
    said = OTHER_ARGUMENT if unclear_before else Refused("key_taken", 400, 2002, "matching dedup key")
    rig.alert(AlertVerb.CREATED)
    if unclear_before:
        rig.pagerduty.open = lambda draft: Retry("timeout", unclear=True)  # type: ignore[method-assign]
        assert ["retry"] == rig.engine.run(rig.deliver, at_most=1)
    rig.pagerduty.open = lambda draft: said  # type: ignore[method-assign]
    assert ["retry"] * (LOOKS_FOR_A_TAKEN_KEY - 1) == rig.engine.run(rig.deliver, at_most=LOOKS_FOR_A_TAKEN_KEY - 1)
    assert None is rig.letter()
    rig.run()
    assert (said.reason, said.detail) == rig.letter()


def test_a_note_kept_for_an_unknown_incident_is_heard_when_a_read_shows_whose_it_is(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.pagerduty.open = lambda draft: Retry("timeout", unclear=True)  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.incident(IncidentVerb.ANNOTATED, "Q1", note="looking into it")
    rig.incident(IncidentVerb.TRIGGERED, "Q1", incident_key=rig.link().incident_key)
    assert (None, None) == (rig.link().incident_id, rig.link().last_note), "a webhook is no proof"
    rig.pagerduty._new(draft_of(rig))
    rig.run()
    assert ("Q1", "looking into it") == (rig.link().incident_id, rig.link().last_note)
    assert "open" not in rig.pagerduty.calls


def test_a_look_that_cannot_be_made_is_not_given_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    find = rig.pagerduty.find
    rig.pagerduty.find = lambda key, since=None: Retry("connection_refused")  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    rig.engine.run(rig.deliver, at_most=40)
    assert rig.link().pagerduty.outstanding
    rig.pagerduty.find = find  # type: ignore[method-assign]
    rig.run()
    assert "Q1" == rig.link().incident_id


def test_an_incident_that_never_appears_is_not_looked_for_for_ever(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.pagerduty.find = lambda key, since=None: Done(())  # type: ignore[method-assign]
    rig.alert(AlertVerb.CREATED)
    assert 16 == rig.run().count("retry")
    lane = rig.link().pagerduty
    assert ("trigger_had_no_effect", False) == (lane.dead, lane.outstanding)
