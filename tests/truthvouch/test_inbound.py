"""Envelopes and events of TruthVouch's two documented shapes and their cousins."""

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from app.domain.model.events import AlertEvent, AlertEventType, Ignored, Unreadable
from app.truthvouch import wire

SECRET = "whsec_test_secret"

NESTED = {
    "id": "evt_1",
    "type": "alert.created",
    "timestamp": "2026-01-15T10:30:00Z",
    "data": {"alertId": "alert_123", "severity": "high", "type": "hallucination", "message": "False claim"},
}
FLAT = {
    "event_type": "alert.detected",
    "timestamp": "2026-01-15T10:30:00Z",
    "organization_id": "org-abc123",
    "alert_id": "alert-xyz789",
    "severity": "high",
    "detection_type": "pii",
    "details": {
        "pii_type": "ssn",
        "confidence": 0.95,
        "excerpt": "[redacted]",
        "scan_duration_ms": 45,
        "model": "gpt-4",
        "direction": "response",
    },
    "source": {"ip_address": "192.0.2.1", "user_id": "user-1", "api_key_id": "key-1"},
    "action_taken": "blocked",
    "message": "A social security number was found",
}
AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def read(body: object):
    [reading] = wire.read(body if isinstance(body, bytes) else json.dumps(body).encode(), None)
    return reading


def nested(**data: object):
    return read(NESTED | {"data": {"alertId": "a"} | data})


def envelope(fields: object, **more: str):
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers: Any = Headers({"X-TruthVouch-Signature": signature} | more)
    return wire.verify(headers, body, (SECRET,), 0.0)


# ------------------------------------------------------------------------------------------------ events


def test_the_nested_envelope_reads_whole():
    event = read(NESTED)
    assert (AlertEventType.CREATED, "alert.created", AT) == (event.type, event.name, event.at)
    alert = event.alert
    assert ("alert_123", "high", "hallucination") == (alert.alert_id, alert.severity, alert.kind)
    assert ("False claim", {}, {}) == (alert.message, alert.people, alert.extra)


def test_the_flat_envelope_reads_whole_with_people_apart():
    event = read(FLAT)
    alert = event.alert
    assert (AlertEventType.CREATED, "alert.detected", AT) == (event.type, event.name, event.at)
    assert ("alert-xyz789", "high", "pii", "gpt-4") == (alert.alert_id, alert.severity, alert.kind, alert.model)
    assert {
        "ip_address": "192.0.2.1",
        "user_id": "user-1",
        "api_key_id": "key-1",
        "excerpt": "[redacted]",
    } == alert.people
    assert {
        "pii_type": "ssn",
        "scan_duration_ms": 45,
        "direction": "response",
        "organization_id": "org-abc123",
        "action_taken": "blocked",
    } == alert.extra


@pytest.mark.parametrize(
    ("event", "event_type"),
    [
        ("alert.created", AlertEventType.CREATED),
        ("alert.detected", AlertEventType.CREATED),
        ("alert.acknowledged", AlertEventType.ACKNOWLEDGED),
        ("alert.investigating", AlertEventType.ACKNOWLEDGED),
        ("alert.resolved", AlertEventType.RESOLVED),
        ("alert.dismissed", AlertEventType.RESOLVED),
        ("alert.reopened", AlertEventType.REOPENED),
        ("alert.escalated", AlertEventType.MENTIONED),
        ("alert.updated", AlertEventType.MENTIONED),
        ("correction.deployed", AlertEventType.MENTIONED),
        ("certification.issued", AlertEventType.MENTIONED),
        ("something.new", AlertEventType.MENTIONED),
    ],
)
def test_every_event_type_has_its_type_in_both_envelopes(event, event_type):
    assert event_type == read({"event_type": event, "alert_id": "a"}).type
    assert event_type == read({"type": event, "data": {"alertId": "a"}}).type


@pytest.mark.parametrize(
    "body",
    [
        {"type": "alert.created", "data": {"alertId": "a"}},
        {"type": "alert.created", "data": {"alert_id": "a"}},
        {"type": "alert.created", "data": {"id": "a"}},
        {"type": "alert.created", "data": {"alert": {"id": "a"}}},
        {"type": "alert.created", "id": "evt", "alert": {"id": "a"}},
        {"event_type": "alert.created", "alert_id": "a", "id": "evt"},
        {"eventType": "alert.created", "alertId": "a"},
        {"event_type": "alert.created", "alert_id": "a", "data": None},
    ],
)
def test_the_alert_id_is_found_wherever_it_stands_and_is_never_the_events(body):
    assert "a" == read(body).alert.alert_id


@pytest.mark.parametrize(
    ("time", "at", "unread"),
    [
        ("2026-01-15T10:30:00Z", AT, False),
        ("2026-01-15t10:30:00z", AT, False),
        ("Thu, 15 Jan 2026 10:30:00 GMT", AT, False),
        (1768473000, AT, False),
        (1768473000.0, AT, False),
        (1768473000000, AT, False),
        ("1768473000000", AT, False),
        (None, None, False),
        ("", None, True),
        ("soon", None, True),
        (True, None, True),
        ({"seconds": 1}, None, True),
        (0, None, True),
        ("0001-01-01T00:00:00Z", None, True),
    ],
)
def test_the_time_of_an_event_in_whatever_spelling_and_whether_one_was_not_understood(time, at, unread):
    for answer in (NESTED, FLAT):
        event = read(answer | {"timestamp": time})
        assert (at, unread) == (event.at, event.time_unread)
        assert "timestamp" not in event.alert.extra


@pytest.mark.parametrize("time", ["2026-01-15T10:30:00Z", 1768473000, "1768473000000"])
def test_the_time_at_which_an_alert_was_raised_may_be_a_number_too(time):
    assert AT == nested(createdAt=time).alert.created_at


def test_an_event_without_a_time_has_none_that_was_not_understood():
    event = read({"event_type": "alert.created", "alert_id": "a"})
    assert (None, False) == (event.at, event.time_unread)


@pytest.mark.parametrize(
    ("number", "alert_id"),
    [
        ("42", "42"),
        ("0", "0"),
        ("-7", "-7"),
        ("18446744073709551615", "18446744073709551615"),
        ("123.0", "123"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("1.5", "1.5"),
        ("1.50", "1.5"),
        ("123456789012345678.0", "123456789012345678"),
        ("1.23456789012345678e17", "123456789012345678"),
        ("123456789012345678.5", "123456789012345678.5"),
        ("1e23", "1" + "0" * 23),
        ("1e-9999999999999999999", "1e-9999999999999999999"),
        ("1e-999999999", "1e-999999999"),
        ("9" * 300, "9" * 300),
    ],
)
def test_a_numeric_alert_id_is_an_id(number, alert_id):
    body = b'{"event_type": "alert.created", "alert_id": %s}' % number.encode()
    assert [alert_id] == [event.alert.alert_id for event in wire.read(body, None)]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "true", "null", "{}"])
def test_what_is_no_number_is_no_id(number):
    body = b'{"event_type": "alert.created", "alert_id": %s}' % number.encode()
    assert (Unreadable("no_alert_id", "alert.created"),) == wire.read(body, None)


@pytest.mark.parametrize("field", ["confidence", "tokens", "timestamp", "severity", "message", "userId", "id"])
@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, "9" * 601])
def test_a_number_of_thousands_of_digits_keeps_no_alert_from_being_read(field, number):
    body = b'{"event_type": "alert.created", "alert_id": "a", "%s": %s}' % (field.encode(), number.encode())
    assert ["a"] == [event.alert.alert_id for event in wire.read(body, None)]
    assert "a" == envelope(body).subject


def test_a_resolve_says_who_why_and_what():
    event = read(
        FLAT
        | {
            "event_type": "alert.resolved",
            "resolved_by": "dana@example.com",
            "resolution_reason": "false_positive",
            "resolution_notes": "Paraphrase is fine",
        }
    )
    assert ("dana@example.com", "false_positive", "Paraphrase is fine") == (event.author, event.reason, event.text)
    assert "dana@example.com" == event.alert.people["resolved_by"]
    assert not {"resolved_by", "resolution_reason", "resolution_notes"} & set(event.alert.extra)


def test_an_escalation_keeps_its_people_apart_and_its_numbers_as_extra():
    event = read(
        {
            "event_type": "alert.escalated",
            "alert_id": "a",
            "escalation_level": 2,
            "escalated_to": ["dana@example.com", "kim@example.com"],
            "escalation_reason": "multiple_violations",
            "severity_score": 0.85,
        }
    )
    assert {"escalated_to": "dana@example.com, kim@example.com"} == event.alert.people
    assert ({"escalation_level": 2, "severity_score": 0.85}, "multiple_violations") == (event.alert.extra, event.reason)


def test_a_person_wrapped_in_an_object_is_still_a_person():
    event = nested(resolvedBy={"id": "u1", "email": "dana@example.com"}, assignee={"name": "Kim Example"})
    assert {"resolved_by": "dana@example.com", "assignee": "Kim Example"} == event.alert.people


def test_all_fields_of_the_api_object_may_come_by_webhook():
    alert = nested(
        fact="The Earth is flat",
        actualFact="The Earth is round",
        confidenceScore=0.92,
        trustScore="15/100",
        query="Is it flat?",
        response="Yes",
        category="Science",
        dashboardUrl="https://dash.truthvouch.com/alert/123",
        createdAt="2026-01-15T10:29:59Z",
        model="gpt-4",
    ).alert
    assert ("The Earth is flat", "The Earth is round") == (alert.claim, alert.truth)
    assert (None, 0.92, 0.15) == (alert.confidence, alert.detection_confidence, alert.trust_score)
    assert ("Is it flat?", "Yes", "Science", "gpt-4") == (alert.query, alert.response, alert.category, alert.model)
    assert "https://dash.truthvouch.com/alert/123" == alert.dashboard_url
    assert (datetime(2026, 1, 15, 10, 29, 59, tzinfo=UTC), {}) == (alert.created_at, alert.extra)


def test_how_true_the_answer_is_and_how_sure_the_detection_is_never_mix():
    alert = nested(confidence="5%", details={"confidence": 0.95}).alert
    assert (0.05, "5%", 0.95) == (alert.confidence, alert.confidence_text, alert.detection_confidence)
    only_detection = nested(details={"confidence": 0.95}).alert
    assert (None, None, 0.95) == (
        only_detection.confidence,
        only_detection.confidence_text,
        only_detection.detection_confidence,
    )


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"1e999", b"null", b"[]", b'""', b"true"])
def test_a_confidence_that_is_no_number_was_never_told(literal):
    body = b'{"event_type": "alert.created", "alert_id": "a", "confidence": ' + literal + b"}"
    assert (None, None) == (read(body).alert.confidence, read(body).alert.confidence_text)


def test_severity_is_lower_case_and_unknown_ones_stay_what_they_are():
    assert ("critical", "warning", None) == tuple(
        nested(severity=s).alert.severity for s in (" Critical", "Warning", "")
    )


def test_the_nearest_layer_wins_and_null_tells_nothing():
    answer = {
        "type": "alert.created",
        "severity": "low",
        "message": "outer",
        "data": {"alertId": "a", "severity": None},
    }
    alert = read(answer | {"data": answer["data"] | {"message": "inner"}}).alert
    assert ("low", "inner") == (alert.severity, alert.message)


def test_a_link_that_is_no_web_address_is_not_a_link():
    assert None is nested(dashboardUrl="javascript:alert(1)").alert.dashboard_url


@pytest.mark.parametrize("name", ["url", "link", "alert_url", "href"])
def test_only_what_is_called_the_dashboards_link_is_one(name):
    """Details of an alert quote what a model said."""
    for alert in (
        nested(details={name: "https://evil.example/login"}).alert,
        nested(**{name: "https://evil.example"}).alert,
    ):
        assert None is alert.dashboard_url
        assert name in alert.extra
    assert "https://dash.example/1" == nested(details={"dashboard_link": "https://dash.example/1"}).alert.dashboard_url


def test_what_cannot_be_stored_is_written_out_and_what_is_endless_is_cut():
    alert = nested(message="\ud800nul\0", fact="x" * 50_000, **{f"f{n}": n for n in range(500)}).alert
    assert ("\\ud800nul\\u0000", 10_000, 50) == (alert.message, len(alert.claim), len(alert.extra))


def test_the_upper_type_is_never_the_alerts_kind():
    assert (None, {}) == ((alert := nested().alert).kind, alert.extra)


def test_numbers_that_json_does_not_have_are_left_out_of_the_extras():
    body = b'{"event_type": "alert.created", "alert_id": "a", "x": NaN, "y": 1e999, "z": -Infinity, "kept": 1}'
    assert {"kept": 1} == read(body).alert.extra


def test_huge_numbers_and_deep_things_are_left_out_of_the_extras():
    assert {"kept": 1} == nested(kept=1, huge=10**30, listed=[1], deep={"a": {"b": 1}}).alert.extra


def test_spelling_does_not_matter_to_the_names_rules_use():
    extra = nested(**{"riskScore": 1, "Trust-Level": 2, "HTTPStatus": 3, "": 4, "é": 5}).alert.extra
    assert {"risk_score": 1, "trust_level": 2, "http_status": 3} == extra


@pytest.mark.parametrize("event", ["webhook.test", "ping", "webhook.ping"])
def test_a_test_delivery_is_understood_and_owes_nothing(event):
    assert Ignored("ping") == read({"type": event, "data": {}})


def test_an_event_about_no_alert_is_understood_and_owes_nothing():
    assert Ignored("not_an_alert") == read({"event_type": "certification.issued", "certification_id": "c"})


@pytest.mark.parametrize("event", ["alert.created", "alert.resolved", "alert.unheard_of"])
def test_an_alert_event_without_an_alert_is_unreadable(event):
    assert Unreadable("no_alert_id", event) == read({"type": event, "id": "evt", "data": {"alertId": " "}})


def test_an_alert_id_too_long_to_be_one_is_unreadable():
    assert Unreadable("alert_id_too_long", "alert.created") == nested(alertId="x" * 513)


def test_two_odd_alert_ids_stay_two():
    first, second = nested(alertId="\ud800"), nested(alertId="\ud801")
    assert isinstance(first, AlertEvent)
    assert first.alert.alert_id != second.alert.alert_id


# ------------------------------------------------------------------------------------------------ envelopes


CREATED = {"event_type": "alert.created", "alert_id": "a"}


@pytest.mark.parametrize(
    ("fields", "known_by"),
    [
        ({"id": "evt_1", "event_id": "evt-2", "type": "alert.created"}, "evt-2:alert.created:"),
        ({"id": "evt_1", "type": "alert.created", "data": {"alertId": "a"}}, "evt_1:alert.created:a"),
        (CREATED | {"event_id": "evt-2"}, "evt-2:alert.created:a"),
        (CREATED | {"eventId": "evt-2"}, "evt-2:alert.created:a"),
        (CREATED | {"id": "", "event_id": "evt-2"}, "evt-2:alert.created:a"),
        (CREATED | {"id": 7, "event_id": "evt-2"}, "evt-2:alert.created:a"),
        (CREATED | {"id": "a", "event_id": "evt-2"}, "evt-2:alert.created:a"),
        (CREATED | {"id": "evt-2", "event_id": "a"}, "evt-2:alert.created:a"),
    ],
)
def test_a_delivery_is_known_by_its_id_with_its_type_and_its_alert(fields, known_by):
    found = envelope(fields)
    assert (known_by, "", "") == (found.delivery_id, found.fault, found.series)


def test_one_id_over_two_events_or_two_alerts_makes_two_deliveries():
    answer = [
        CREATED | {"event_id": "corr-7"},
        CREATED | {"event_id": "corr-7", "event_type": "alert.resolved"},
        CREATED | {"event_id": "corr-7", "alert_id": "b"},
        {"event_id": "x:alert.created", "event_type": "a", "alert_id": "b"},
        {"event_id": "x", "event_type": "alert.created:a", "alert_id": "b"},
    ]
    assert 5 == len({envelope(one).delivery_id for one in answer})
    assert envelope(answer[0]).delivery_id == envelope(answer[0] | {"message": "again"}).delivery_id


@pytest.mark.parametrize(
    "fields",
    [CREATED, CREATED | {"id": 7}, CREATED | {"id": " "}, CREATED | {"id": "a"}, CREATED | {"event_id": "a"}, FLAT],
)
def test_a_delivery_without_an_id_is_known_by_its_body_in_the_series_of_its_alert(fields):
    found = envelope(fields)
    body = hashlib.sha256(json.dumps(fields).encode()).hexdigest()
    assert (found.series + body, "") == (found.delivery_id, found.fault)
    assert re.fullmatch("body[0-9a-f]{32}", found.series)
    assert found.series == envelope(fields | {"event_type": "alert.resolved"}).series
    assert found.series != envelope(fields | {"alert_id": "b"}).series


def test_a_delivery_about_no_alert_and_without_an_id_is_known_by_its_body_alone():
    answer = {"event_type": "certification.issued"}
    found = envelope(answer)
    assert (hashlib.sha256(json.dumps(answer).encode()).hexdigest(), "") == (found.delivery_id, found.series)


def test_the_envelope_and_the_event_agree_about_the_subject():
    for answer in (NESTED, FLAT):
        assert envelope(answer).subject == read(answer).alert.alert_id


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "empty"),
        (b"\xff", "not_utf8"),
        (b"nope", "not_json"),
        (b'{"id": ' + b"9" * 5_000 + b"}", "no_event_type"),
        (b"[]", "not_an_object"),
        (b'{"a":' * 100_000, "too_deep"),
        (b'{"id": "evt_1"}', "no_event_type"),
    ],
)
def test_an_authentic_body_that_is_no_event_is_parked_under_one_reason(body, fault):
    assert (fault, (Unreadable(fault),)) == (envelope(body).fault, wire.read(body, None))


def test_an_encoded_body_is_authentic_but_never_decoded():
    assert "content_encoding" == envelope(NESTED, **{"Content-Encoding": "gzip"}).fault
    assert (Unreadable("content_encoding"),) == wire.read(json.dumps(NESTED).encode(), " GZIP ")


def test_details_nested_in_details_for_ever_are_read_one_deep():
    body = b'{"event_type": "alert.created", "alert_id": "a", "x": ' + b'{"details":' * 400 + b"1" + b"}" * 401
    deep = b'{"event_type": "alert.created", "alert_id": "a", ' + b'"details": {' * 400 + b'"kept": 1' + b"}" * 401
    assert ["a", "a"] == [read(answer).alert.alert_id for answer in (body, deep)]
