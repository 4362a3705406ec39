"""The alerts client: configurable calls, addressable ids, a second look where a change was refused, paging."""

from dataclasses import replace
from urllib.parse import unquote

import pytest

from app.domain.model.events import AlertEventType, Unreadable
from app.domain.model.outcome import Done, Held, Refused, Retry
from app.domain.model.types import AlertId, Status
from app.domain.rules.rulebook import Call, TruthVouchCalls
from app.ports import AlertPage
from app.remote.transport import Transport
from app.truthvouch.api import AlertsApi
from tests.answering import FIRST, SECOND, Answering
from tests.far_side import far_side

ID = AlertId("alert_123")
API_KEY = "tv_live_not_to_be_seen"


@pytest.fixture
def truthvouch():
    with far_side() as here:
        yield here


@pytest.fixture
def transport():
    transport = Transport(read_seconds=2)
    yield transport
    transport.close()


@pytest.fixture
def alerts(transport, truthvouch):
    return AlertsApi(transport, truthvouch.url + "/api/v1/", API_KEY, TruthVouchCalls)


def shown(**changes: object) -> dict[str, object]:
    return {"data": {"id": "alert_123", "severity": "high", "status": "open"} | changes}


def refusal(code: str = "RESOURCE_ALREADY_EXISTS", message: str = "no") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "statusCode": 409, "requestId": "r"}}


# ------------------------------------------------------------------------------------------------ changes


@pytest.mark.parametrize(
    ("status", "resolution", "body"),
    [
        (Status.ACKNOWLEDGED, None, {"status": "acknowledged"}),
        (Status.OPEN, None, {"status": "open"}),
        (Status.RESOLVED, "rolled back — café ✓", {"status": "resolved", "resolution": "rolled back — café ✓"}),
        (Status.RESOLVED, None, {"status": "resolved"}),
    ],
)
def test_each_status_is_reported_as_documented_or_by_its_analogy(alerts, truthvouch, status, resolution, body):
    truthvouch.will_answer(200, shown())
    assert isinstance(alerts.set_status(ID, status, resolution), Done)
    sent = truthvouch.only_request
    assert ("PATCH", "/api/v1/alerts/alert_123", body) == (sent.method, sent.path, sent.json)
    assert (f"Bearer {API_KEY}", "application/json") == (sent.headers["Authorization"], sent.headers["Content-Type"])


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_these_answers_are_success(alerts, truthvouch, status):
    truthvouch.will_answer(status)
    assert isinstance(alerts.set_status(ID, Status.RESOLVED), Done)


@pytest.mark.parametrize("odd", ["a/b", "a b", "a?b#c", "../../admin", "é✓", "%2e%2e", "a\\b", ";x=1"])
def test_whatever_an_alert_id_is_it_stays_one_segment_of_the_path(alerts, truthvouch, odd):
    truthvouch.will_answer(200)
    alerts.set_status(AlertId(odd), Status.RESOLVED)
    prefix, _, last = truthvouch.only_request.path.rpartition("/")
    assert ("/api/v1/alerts", odd) == (prefix, unquote(last))


@pytest.mark.parametrize("odd", [".", ".."])
def test_an_id_that_would_mean_another_place_is_never_sent(alerts, truthvouch, odd):
    assert Refused("alert_id_unaddressable", 0) == alerts.set_status(AlertId(odd), Status.RESOLVED)
    assert [] == truthvouch.requests


def test_calls_are_the_operators_to_change_and_change_at_once(transport, truthvouch):
    configured = [TruthVouchCalls()]
    alerts = AlertsApi(transport, truthvouch.url, API_KEY, lambda: configured[0])
    body = {
        "by": "PagerDuty: {resolution}",
        "deep": {"id": "{alert_id}", "gone": "{resolution}"},
        "n": 1,
        "l": ["{alert_id}"],
    }
    configured[0] = replace(configured[0], resolve=Call("post", "alerts/{alert_id}/resolve", body))
    truthvouch.will_answer(200)
    truthvouch.will_answer(200)
    alerts.set_status(ID, Status.RESOLVED, "see {alert_id}")
    alerts.set_status(ID, Status.RESOLVED)
    first, second = truthvouch.requests
    assert ("POST", "/alerts/alert_123/resolve") == (first.method, first.path)
    assert {
        "by": "PagerDuty: see {alert_id}",
        "deep": {"id": "alert_123", "gone": "see {alert_id}"},
        "n": 1,
        "l": ["alert_123"],
    } == first.json
    assert {"deep": {"id": "alert_123"}, "n": 1, "l": ["alert_123"]} == second.json


@pytest.mark.parametrize("code", [409, 422])
@pytest.mark.parametrize("word", ["resolved", "dismissed", "Resolved"])
def test_a_refused_change_to_where_the_alert_is_already_is_done(alerts, truthvouch, code, word):
    truthvouch.will_answer(code, refusal())
    truthvouch.will_answer(200, shown(status=word))
    assert isinstance(alerts.set_status(ID, Status.RESOLVED), Done)
    assert ["PATCH", "GET"] == [sent.method for sent in truthvouch.requests]


def test_a_refused_change_to_elsewhere_stays_refused(alerts, truthvouch):
    truthvouch.will_answer(422, refusal("VALIDATION_ERROR"))
    truthvouch.will_answer(200, shown(status="resolved"))
    assert Refused("validation_error", 422, None, "no") == alerts.set_status(ID, Status.OPEN)


@pytest.mark.parametrize("code", [400, 404, 405])
def test_where_one_alert_cannot_be_read_the_refusal_stands(alerts, truthvouch, code):
    truthvouch.will_answer(409, refusal())
    truthvouch.will_answer(code)
    assert Refused("resource_already_exists", 409, None, "no") == alerts.set_status(ID, Status.RESOLVED)


def test_when_the_second_look_fails_for_now_the_whole_is_tried_again(alerts, truthvouch):
    truthvouch.will_answer(409, refusal())
    truthvouch.will_answer(503)
    assert Retry("http_503") == alerts.set_status(ID, Status.RESOLVED)


@pytest.mark.parametrize("code", [400, 404, 405, 410])
def test_other_refusals_are_final_at_once(alerts, truthvouch, code):
    truthvouch.will_answer(code, {"detail": f"no {API_KEY}"})
    reply = alerts.set_status(ID, Status.RESOLVED)
    assert (Refused, code, "no ***") == (type(reply), reply.status, reply.detail)
    assert 1 == len(truthvouch.requests)


def test_refused_credentials_pause_and_missing_ones_send_nothing(alerts, transport, truthvouch):
    truthvouch.will_answer(401, refusal("INVALID_API_KEY"))
    assert Held("unauthorized") == alerts.set_status(ID, Status.RESOLVED)
    assert Held("no_api_key") == AlertsApi(transport, truthvouch.url, "", TruthVouchCalls).page(1)
    assert 1 == len(truthvouch.requests)


@pytest.mark.parametrize("status", [200, 204])
def test_an_accepted_change_has_truthvouchs_time_where_it_tells_one(status):
    for dated in (True, False):
        alerts = AlertsApi(Answering((status, None), dated=dated), "https://tv.example", API_KEY, TruthVouchCalls)
        assert Done(None, FIRST if dated else None) == alerts.set_status(ID, Status.RESOLVED)


def test_where_a_change_was_refused_the_time_is_that_of_the_read_that_followed():
    transport = Answering((409, refusal()), (200, shown(status="resolved")))
    reply = AlertsApi(transport, "https://tv.example", API_KEY, TruthVouchCalls).set_status(ID, Status.RESOLVED)
    assert Done(None, SECOND) == reply


@pytest.mark.parametrize(
    ("fields", "ask"),
    [
        (shown(), lambda api: api.get(ID)),
        (shown(), lambda api: api.shown(ID)),
        ({"data": []}, lambda api: api.page(1)),
        ({"data": []}, lambda api: api.listed(1)),
    ],
)
def test_whatever_is_read_has_truthvouchs_time(fields, ask):
    assert FIRST == ask(AlertsApi(Answering((200, fields)), "https://tv.example", API_KEY, TruthVouchCalls)).at


# ------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("open", Status.OPEN),
        ("new", Status.OPEN),
        ("acknowledged", Status.ACKNOWLEDGED),
        ("investigating", Status.ACKNOWLEDGED),
        ("resolved", Status.RESOLVED),
        ("dismissed", Status.RESOLVED),
    ],
)
def test_reading_one_alert_says_where_it_stands(alerts, truthvouch, word, status):
    truthvouch.will_answer(200, shown(status=word))
    assert (ID, status) == ((facts := alerts.get(ID).value).alert_id, facts.status)
    assert "/api/v1/alerts/alert_123" == truthvouch.only_request.path


@pytest.mark.parametrize("fields", [shown(status="hibernating"), {"data": []}, [], None, {"data": {"id": "x"}}])
def test_an_answer_without_a_known_status_is_not_guessed_at(alerts, truthvouch, fields):
    truthvouch.will_answer(200, fields)
    assert Retry("unreadable_answer") == alerts.get(ID)


def test_a_page_of_alerts_comes_as_events_by_status(alerts, truthvouch):
    one = {"severity": "high", "type": "hallucination", "fact": "flat", "createdAt": "2026-01-15T10:00:00Z"}
    answer = [
        one | {"id": "a1", "status": "open"},
        one | {"id": "a2", "status": "investigating"},
        one | {"id": "a3", "status": "dismissed", "resolution": "paraphrase"},
        one | {"id": "a4", "status": "hibernating"},
        "odd",
    ]
    truthvouch.will_answer(200, {"data": answer, "meta": {"page": 2, "pageSize": 5, "total": 11}})
    found = alerts.page(2, "open").value
    events = found.readings
    assert {"page": ["2"], "status": ["open"]} == truthvouch.only_request.params
    assert (True, 3) == (found.has_next, found.last_page)
    assert [("a1", AlertEventType.CREATED), ("a2", AlertEventType.ACKNOWLEDGED), ("a3", AlertEventType.RESOLVED)] == [
        (event.alert.alert_id, event.type) for event in events[:3]
    ]
    assert ("alert.listed", None, "paraphrase") == (events[2].name, events[2].at, events[2].text)
    assert ("hallucination", "flat", {}) == (events[0].alert.kind, events[0].alert.claim, events[0].alert.extra)
    assert (Unreadable("unknown_status", "alert.listed"), Unreadable("no_alert_id", "alert.listed")) == events[3:]


@pytest.mark.parametrize(
    ("meta", "found", "page", "more", "last"),
    [
        ({"page": 1, "pageSize": 25, "total": 26}, 25, 1, True, 2),
        ({"page": 2, "pageSize": 25, "total": 26}, 1, 2, False, 2),
        ({"page": 1, "pageSize": 25, "total": 25}, 25, 1, False, 1),
        ({"page": 1, "pageSize": 25, "total": 51}, 25, 1, True, 3),
        ({"totalPages": 3, "total": 1}, 1, 2, True, 3),
        ({"totalPages": 3}, 1, 3, False, 3),
        ({"totalPages": 0}, 0, 1, False, 1),
        ({"total": 3}, 2, 1, True, 2),
        ({"total": 4}, 2, 2, False, 2),
        ({"total": 5}, 1, 3, True, None),
        ({"total": "many", "pageSize": -1, "totalPages": True}, 1, 1, True, None),
        ({"page": 1, "pageSize": 25, "total": 99}, 0, 1, False, 4),
        (None, 1, 1, True, None),
        (None, 0, 1, False, None),
        ("odd", 1, 1, True, None),
    ],
)
def test_whether_there_is_a_next_page_and_which_is_the_last(alerts, truthvouch, meta, found, page, more, last):
    truthvouch.will_answer(200, {"data": [{"id": str(n), "status": "open"} for n in range(found)], "meta": meta})
    answer = alerts.page(page).value
    assert (found, more, last) == (len(answer.readings), answer.has_next, answer.last_page)


@pytest.mark.parametrize("fields", [[], {"alerts": []}, {"data": []}])
def test_a_bare_list_is_a_list_too(alerts, truthvouch, fields):
    truthvouch.will_answer(200, fields)
    assert AlertPage((), False) == alerts.page(1).value


@pytest.mark.parametrize("fields", [{"data": {}}, {}, None, "x"])
def test_an_answer_that_is_no_list_is_no_empty_list(alerts, truthvouch, fields):
    truthvouch.will_answer(200, fields)
    assert Retry("unreadable_answer") == alerts.page(1)
