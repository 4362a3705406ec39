"""The REST client: what it sends is what PagerDuty documents, what it is told becomes facts or an outcome word."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.domain.model.outcome import Held, Refused, Retry
from app.domain.model.types import IncidentId, IncidentKey, Status
from app.pagerduty.rest_api import RestApi
from tests.contract.pagerduty import REST_HOST, check_request
from tests.pagerduty.conftest import KEY, REST_KEY, error, incident

ID = IncidentId("Q0TVINC0000001")


@pytest.fixture
def rest_api(transport, pagerduty):
    return RestApi(transport, pagerduty.url + "/", REST_KEY, "bridge@example.com", service_id="PDEFAULT")


def test_opening_sends_a_documented_request(rest_api, pagerduty, draft):
    pagerduty.will_answer(201, {"incident": incident()})
    rest_api.open(draft)
    sent = pagerduty.only_request
    check_request(sent, REST_HOST)
    assert {
        "incident": {
            "type": "incident",
            "title": "CRITICAL: Hallucination detected",
            "service": {"id": "PTVSVC1", "type": "service_reference"},
            "urgency": "high",
            "incident_key": KEY,
            "body": {"type": "incident_body", "details": sent.json["incident"]["body"]["details"]},
            "escalation_policy": {"id": "PTVEP01", "type": "escalation_policy_reference"},
        }
    } == sent.json
    assert "The Earth is flat — café ✓" in sent.json["incident"]["body"]["details"]


def test_every_call_carries_key_media_type_and_writes_carry_from(rest_api, pagerduty):
    pagerduty.will_answer(200, {"incident": incident()})
    pagerduty.will_answer(200, {"note": {"id": "PNOTE1", "content": "x"}})
    rest_api.get(ID)
    rest_api.add_note(ID, "x")
    read, written = pagerduty.requests
    assert [f"Token token={REST_KEY}"] * 2 == [sent.headers["Authorization"] for sent in (read, written)]
    assert ["application/vnd.pagerduty+json;version=2"] * 2 == [sent.headers["Accept"] for sent in (read, written)]
    assert ["application/json"] * 2 == [sent.headers["Content-Type"] for sent in (read, written)]
    assert (None, "bridge@example.com") == (read.headers["From"], written.headers["From"])
    assert "truthvouch-pagerduty-bridge" == read.headers["User-Agent"]


def test_an_opened_incident_comes_back_as_facts(rest_api, pagerduty, draft):
    pagerduty.will_answer(201, {"incident": incident()})
    facts = rest_api.open(draft).value
    assert (ID, Status.OPEN, 4711, KEY) == (facts.incident_id, facts.status, facts.number, facts.incident_key)
    assert datetime(2026, 1, 15, 10, 0, 2, tzinfo=UTC) == facts.status_changed_at
    assert ("PTVSVC1", "PTVEP01") == (facts.service_id, facts.escalation_policy_id)


def test_a_draft_without_service_goes_to_the_configured_one(rest_api, pagerduty, draft):
    pagerduty.will_answer(201, {"incident": incident()})
    rest_api.open(replace(draft, service_id=None, escalation_policy_id=None))
    check_request(pagerduty.only_request, REST_HOST)
    sent = pagerduty.only_request.json["incident"]
    assert ("PDEFAULT", False) == (sent["service"]["id"], "escalation_policy" in sent)


def test_without_any_service_nothing_is_sent_and_a_person_is_asked(transport, pagerduty, draft):
    reply = RestApi(transport, pagerduty.url, REST_KEY, "bridge@example.com").open(replace(draft, service_id=None))
    assert (Held("no_service_id"), []) == (reply, pagerduty.requests)


@pytest.mark.parametrize(("key", "sender", "reason"), [("", "a@example.com", "no_api_key"), ("k", "", "no_from_email")])
def test_without_credentials_nothing_is_sent_and_a_person_is_asked(transport, pagerduty, draft, key, sender, reason):
    assert Held(reason) == RestApi(transport, pagerduty.url, key, sender).open(draft)
    assert [] == pagerduty.requests


def test_an_open_incident_with_the_same_key_is_a_refusal_with_its_code(rest_api, pagerduty, draft):
    answer = "Open incident with matching dedup key already exists on this service"
    pagerduty.will_answer(400, error(2002, "Arguments Caused Error", answer))
    assert Refused("key_taken", 400, 2002, f"Arguments Caused Error; {answer}") == rest_api.open(draft)


def test_the_same_number_about_another_argument_is_another_refusal(rest_api, pagerduty, draft):
    answer = "Escalation policy must be assigned"
    pagerduty.will_answer(400, error(2002, "Arguments Caused Error", answer))
    assert Refused("arguments_refused", 400, 2002, f"Arguments Caused Error; {answer}") == rest_api.open(draft)


def test_a_yes_without_an_incident_in_it_is_unclear(rest_api, pagerduty, draft):
    pagerduty.will_answer(201, {"hello": "portal"})
    assert Retry("unreadable_answer", unclear=True) == rest_api.open(draft)


def test_finding_asks_for_all_time_and_every_status(rest_api, pagerduty):
    pagerduty.will_answer(200, {"incidents": []})
    assert () == rest_api.find(KEY).value
    sent = pagerduty.only_request
    check_request(sent, REST_HOST)
    assert {
        "incident_key": [KEY],
        "date_range": ["all"],
        "statuses[]": ["triggered", "acknowledged", "resolved"],
        "sort_by": ["created_at:desc"],
        "limit": ["100"],
    } == sent.params


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_is_never_asked_for(rest_api, pagerduty, key):
    with pytest.raises(ValueError, match="every open incident"):
        rest_api.find(IncidentKey(key))
    assert [] == pagerduty.requests


def test_finding_keeps_only_incidents_with_this_key_or_none_newest_first(rest_api, pagerduty):
    pagerduty.will_answer(
        200,
        {
            "incidents": [
                incident(id="QOLD", created_at="2026-01-01T00:00:00Z", status="resolved"),
                incident(id="QSTRANGER", incident_key="somebody-else"),
                incident(id="QEVENTS", incident_key=None, created_at="2026-01-10T00:00:00Z"),
                {"nonsense": True},
            ]
        },
    )
    assert ["QEVENTS", "QOLD"] == [found.incident_id for found in rest_api.find(KEY).value]


def test_finding_since_leaves_out_what_was_created_before(rest_api, pagerduty):
    old, new = incident(id="QOLD", created_at="2026-01-01T00:00:00Z"), incident(id="QNEW")
    pagerduty.will_answer(200, {"incidents": [old, new]})
    assert ["QNEW"] == [found.incident_id for found in rest_api.find(KEY, datetime(2026, 1, 2, tzinfo=UTC)).value]


@pytest.mark.parametrize(
    ("status", "word"),
    [(Status.OPEN, "triggered"), (Status.ACKNOWLEDGED, "acknowledged"), (Status.RESOLVED, "resolved")],
)
def test_each_status_is_sent_in_pagerdutys_word(rest_api, pagerduty, status, word):
    pagerduty.will_answer(200, {"incident": incident(status=word)})
    assert status == rest_api.set_status(ID, status, "why").value.status
    sent = pagerduty.only_request
    check_request(sent, REST_HOST)
    expected = {"type": "incident_reference", "status": word} | ({"resolution": "why"} if word == "resolved" else {})
    assert expected == sent.json["incident"]


@pytest.mark.parametrize(
    ("code", "wanted", "stands", "merged"),
    [
        (1001, Status.RESOLVED, "resolved", None),
        (1002, Status.ACKNOWLEDGED, "acknowledged", None),
        (1001, Status.ACKNOWLEDGED, "resolved", None),
        (1005, Status.RESOLVED, "resolved", None),
        (1019, Status.ACKNOWLEDGED, "resolved", "QSURVIVOR"),
    ],
)
def test_being_there_already_is_done_and_tells_where_the_incident_stands(
    rest_api, pagerduty, code, wanted, stands, merged
):
    reason = {"type": "merge_resolve_reason", "incident": {"id": merged}} if merged else None
    pagerduty.will_answer(400, error(code))
    pagerduty.will_answer(200, {"incident": incident(status=stands, resolve_reason=reason)})
    facts = rest_api.set_status(ID, wanted).value
    assert (stands, merged) == (facts.status.value, facts.merged_into)
    assert ["PUT", "GET"] == [sent.method for sent in pagerduty.requests]


def test_a_refused_change_that_did_not_happen_stays_refused(rest_api, pagerduty):
    pagerduty.will_answer(400, error(1005))
    pagerduty.will_answer(200, {"incident": incident(status="triggered")})
    assert 1005 == rest_api.set_status(ID, Status.RESOLVED).code


def test_when_the_second_look_fails_the_look_decides(rest_api, pagerduty):
    pagerduty.will_answer(400, error(1001))
    pagerduty.will_answer(503)
    assert Retry("http_503") == rest_api.set_status(ID, Status.RESOLVED)


def test_other_refusals_are_final_and_looked_at_no_further(rest_api, pagerduty):
    pagerduty.will_answer(404, error(2100, "Not Found"))
    assert Refused("not_found", 404, 2100, "Not Found") == rest_api.set_status(ID, Status.RESOLVED)
    assert 1 == len(pagerduty.requests)


@pytest.mark.parametrize("code", [1008, 1028, 2016])
def test_a_refused_from_address_pauses_the_target_like_a_refused_key(rest_api, pagerduty, draft, code):
    pagerduty.will_answer(400, error(code, "Requester User Not Found"))
    assert isinstance(rest_api.open(draft), Held)


def test_refusals_do_not_repeat_our_key_or_address(rest_api, pagerduty):
    pagerduty.will_answer(400, error(2001, f"bad token {REST_KEY} of bridge@example.com"))
    assert "bad token *** of ***" == rest_api.set_status(ID, Status.RESOLVED).detail


def test_a_note_is_sent_and_comes_back_as_facts(rest_api, pagerduty):
    answer = {
        "id": "PNOTE1",
        "content": "hello",
        "user": {"summary": "Dana Example"},
        "created_at": "2026-01-15T10:00:00Z",
    }
    pagerduty.will_answer(200, {"note": answer})
    note = rest_api.add_note(ID, "hello").value
    check_request(pagerduty.only_request, REST_HOST)
    assert ("PNOTE1", "hello", "Dana Example") == (note.note_id, note.content, note.author)


def test_an_overlong_note_keeps_its_beginning_and_its_end(rest_api, pagerduty):
    pagerduty.will_answer(200, {"note": {"id": "PNOTE1", "content": "x"}})
    rest_api.add_note(ID, "[TruthVouch] resolved: " + "é" * 70_000 + " (ref 0123abcd)")
    check_request(pagerduty.only_request, REST_HOST)
    sent = pagerduty.only_request.json["note"]["content"]
    assert (65_535, True, True) == (len(sent), sent.startswith("[TruthVouch] "), sent.endswith(" (ref 0123abcd)"))


def test_a_blank_note_is_a_mistake_of_the_caller(rest_api):
    with pytest.raises(ValueError, match="text"):
        rest_api.add_note(ID, " ")


def test_notes_are_read_in_order_and_odd_ones_left_out(rest_api, pagerduty):
    pagerduty.will_answer(200, {"notes": [{"id": "P1", "content": "a"}, "odd", {"id": "P2", "content": "b"}]})
    assert ["a", "b"] == [note.content for note in rest_api.notes(ID).value]
    check_request(pagerduty.only_request, REST_HOST)


def test_an_incident_in_an_unknown_status_is_not_guessed_at(rest_api, pagerduty):
    pagerduty.will_answer(200, {"incident": incident(status="hibernating")})
    assert Retry("unreadable_answer") == rest_api.get(ID)
    check_request(pagerduty.only_request, REST_HOST)


def test_too_many_requests_says_when_to_come_back_and_is_not_unclear(rest_api, pagerduty, draft):
    pagerduty.will_answer(429, error(2020, "Rate Limit Exceeded"), ratelimit_reset="17")
    assert Retry("http_429", after_seconds=17.0) == rest_api.open(draft)


def test_a_server_fault_after_a_create_is_unclear(rest_api, pagerduty, draft):
    pagerduty.will_answer(502)
    assert Retry("http_502", unclear=True) == rest_api.open(draft)
