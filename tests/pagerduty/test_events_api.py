"""The Events client: documented requests, the right key, inside the limits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Done, Held, Refused, Retry
from app.domain.model.types import IncidentKey, Urgency
from app.pagerduty import wire as event_wire
from app.pagerduty.events_api import EventsApi
from app.remote.payload import encode
from tests.contract.pagerduty import EVENTS_HOST, check_request
from tests.pagerduty.conftest import KEY, ROUTING_KEY

OTHER_KEY = "fedcba9876543210fedcba9876543210"
SUCCESS = {"status": "success", "message": "Event processed", "dedup_key": KEY}


@pytest.fixture
def events_api(transport, pagerduty):
    return EventsApi(transport, pagerduty.url, ROUTING_KEY, {"POTHER1": OTHER_KEY})


def test_a_trigger_is_a_documented_request_with_everything_in_it(events_api, pagerduty, draft):
    pagerduty.will_answer(202, SUCCESS)
    assert isinstance(events_api.trigger(draft), Done)
    sent = pagerduty.only_request
    check_request(sent, EVENTS_HOST)
    assert {
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": KEY,
        "client": "TruthVouch",
        "client_url": "https://dash.truthvouch.com/alerts/alert_123",
        "links": [{"href": "https://dash.truthvouch.com/alerts/alert_123", "text": "Open in TruthVouch"}],
        "payload": {
            "summary": "CRITICAL: Hallucination detected",
            "source": "gpt-4",
            "severity": "critical",
            "custom_details": {"alert_id": "alert_123", "claim": "The Earth is flat — café ✓"},
            "timestamp": "2026-01-15T10:00:00+00:00",
            "class": "Science",
        },
    } == sent.json


def test_an_evidence_link_is_among_the_links_and_stays_where_details_are_shortened(events_api, pagerduty, draft):
    url = "https://bridge.example.com/e/" + "x" * 200
    details = {"evidence_link": url, **{f"field {n}": "\x00" * 20_000 for n in range(60)}}
    for one in (draft, replace(draft, dashboard_url=None), replace(draft, details=details)):
        pagerduty.will_answer(202, SUCCESS)
        events_api.trigger(replace(one, evidence_url=url))
        sent = pagerduty.requests[-1]
        check_request(sent, EVENTS_HOST)
        assert {"href": url, "text": "Evidence and buttons, without login"} == sent.json["links"][-1]
        assert len(encode(sent.json)) <= event_wire.MAX_EVENT_BYTES
    assert url == sent.json["payload"]["custom_details"]["evidence_link"]


def test_a_bare_draft_is_a_documented_request_too(events_api, pagerduty):
    pagerduty.will_answer(202, SUCCESS)
    events_api.trigger(IncidentDraft(KEY, "title", Urgency.LOW, "info", "source"))
    check_request(pagerduty.only_request, EVENTS_HOST)


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_following_up_sends_the_key_and_nothing_else(events_api, pagerduty, action):
    pagerduty.will_answer(202, SUCCESS)
    assert isinstance(getattr(events_api, action)(KEY), Done)
    check_request(pagerduty.only_request, EVENTS_HOST)
    assert {"routing_key": ROUTING_KEY, "event_action": action, "dedup_key": KEY} == pagerduty.only_request.json


def test_a_service_with_its_own_key_is_paged_and_resolved_through_it(events_api, pagerduty, draft):
    pagerduty.will_answer(202, SUCCESS)
    pagerduty.will_answer(202, SUCCESS)
    events_api.trigger(replace(draft, service_id="POTHER1"))
    events_api.resolve(KEY, "POTHER1")
    assert [OTHER_KEY, OTHER_KEY] == [sent.json["routing_key"] for sent in pagerduty.requests]


def test_without_any_key_nothing_is_sent_and_a_person_is_asked(transport, pagerduty, draft):
    events_api = EventsApi(transport, pagerduty.url)
    assert [Held("no_integration_key")] * 2 == [events_api.trigger(draft), events_api.resolve(KEY)]
    assert [] == pagerduty.requests


def test_an_empty_dedup_key_is_a_mistake_of_the_caller(events_api):
    with pytest.raises(ValueError, match="dedup_key"):
        events_api.resolve(IncidentKey(""))


def test_only_202_is_success(events_api, pagerduty):
    pagerduty.will_answer(200, SUCCESS)
    assert isinstance(events_api.resolve(KEY), Refused)


def test_an_invalid_event_is_final_and_says_why_without_the_key(events_api, pagerduty):
    answer = {"status": "invalid event", "message": "Event object is invalid", "errors": [f"no such key {ROUTING_KEY}"]}
    pagerduty.will_answer(400, answer)
    assert Refused("bad_request", 400, None, "Event object is invalid; no such key ***") == events_api.resolve(KEY)


def test_being_throttled_without_headers_is_a_retry_without_a_time(events_api, pagerduty):
    pagerduty.will_answer(429)
    assert Retry("http_429") == events_api.resolve(KEY)


WILD = st.text(st.characters(codec="utf-8", categories=("Cc", "Lo", "So", "Lu")), max_size=3_000)


@given(summary=WILD.filter(bool), parts=st.lists(WILD, max_size=60), size=st.integers(1, 400))
def test_no_event_is_ever_over_the_limits(summary, parts, size):
    details = {f"name{number}": part * size for number, part in enumerate(parts)}
    draft = IncidentDraft(
        KEY, summary * 2, Urgency.HIGH, "critical", summary, details, "https://x.example/" + "é" * 3_000
    )
    event = event_wire.trigger(draft, ROUTING_KEY)
    assert len(encode(event)) <= 512_000
    assert 1 <= len(event["payload"]["summary"]) <= 1_024


def test_details_that_were_shortened_say_so(draft):
    event = event_wire.trigger(replace(draft, details={"alert_id": "a", "claim": "x" * 600_000}), ROUTING_KEY)
    assert ("a", "x" * 1_500) == (
        event["payload"]["custom_details"]["alert_id"],
        event["payload"]["custom_details"]["claim"],
    )
    assert event["payload"]["custom_details"]["note"].startswith("Shortened")
