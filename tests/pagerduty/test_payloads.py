"""Every body PagerDuty is known to send, and a few it is not, as events."""

import json
from datetime import UTC, datetime

import pytest

from app.domain.model.events import Ignored, IncidentEvent, IncidentEventType, Unreadable
from app.pagerduty import inbound
from tests.contract.pagerduty import PAYLOADS, webhook_schema


def read(body: object):
    [reading] = inbound.read(body if isinstance(body, bytes) else json.dumps(body).encode(), None)
    return reading


AT = datetime(2026, 5, 4, 9, 20, tzinfo=UTC)

EXPECTED = {
    "acknowledged-by_user": IncidentEventType.ACKNOWLEDGED,
    "acknowledged-rest_created": IncidentEventType.ACKNOWLEDGED,
    "action_invocation_created": IncidentEventType.MENTIONED,
    "annotated-resolution_note": IncidentEventType.ANNOTATED,
    "annotated-trimmed": IncidentEventType.ANNOTATED,
    "custom_field_values_updated": IncidentEventType.MENTIONED,
    "incident_type_changed": IncidentEventType.MENTIONED,
    "resolved-by_events_api": IncidentEventType.RESOLVED,
    "resolved-by_merge": IncidentEventType.MERGED,
    "role_assigned": IncidentEventType.MENTIONED,
    "service_custom_field_values_updated": None,
    "service_updated": None,
    "task_created": IncidentEventType.MENTIONED,
    "triggered-by_events_api": IncidentEventType.TRIGGERED,
    "triggered-no_agent_with_client": IncidentEventType.TRIGGERED,
    "unacknowledged-ack_timeout": IncidentEventType.UNACKNOWLEDGED,
}


def test_every_payload_is_expected():
    assert set(EXPECTED) == set(PAYLOADS)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_payload_is_one_pagerduty_could_send(name):
    webhook_schema().validate(json.loads(PAYLOADS[name]))


@pytest.mark.parametrize(("name", "event_type"), EXPECTED.items())
def test_every_payload_reads_as_its_type(name, event_type):
    reading = read(PAYLOADS[name])
    if event_type is None:
        assert Ignored("not_an_incident") == reading
    else:
        assert isinstance(reading, IncidentEvent)
        assert (event_type, "Q0TVINC000000") == (reading.type, reading.incident_id[:-1])


def test_an_acknowledgement_says_who_when_and_which():
    event = read(PAYLOADS["acknowledged-by_user"])
    assert ("Dana Example", "user_reference") == (event.author, event.author_kind)
    assert datetime(2026, 5, 4, 9, 20, tzinfo=UTC) == event.at
    assert (4711, "high", "incident.acknowledged", None) == (
        event.number,
        event.urgency,
        event.name,
        event.incident_key,
    )


def test_only_people_are_authors():
    by_integration, by_nobody = (
        read(PAYLOADS["resolved-by_events_api"]),
        read(PAYLOADS["triggered-no_agent_with_client"]),
    )
    assert (None, "inbound_integration_reference") == (by_integration.author, by_integration.author_kind)
    assert (None, None) == (by_nobody.author, by_nobody.author_kind)


def test_an_incident_opened_through_rest_says_its_key():
    assert "tv-alert:7f3c9a52-1f7e-4a3e-9c53-0d1b7f2a6c11" == read(PAYLOADS["acknowledged-rest_created"]).incident_key


def test_a_merge_is_no_resolve_and_names_the_survivor():
    assert "Q0TVINC0000009" == read(PAYLOADS["resolved-by_merge"]).merged_into


def test_a_merge_without_a_survivor_is_still_no_resolve():
    body = json.loads(PAYLOADS["resolved-by_merge"])
    body["event"]["data"]["resolve_reason"].pop("incident")
    assert (IncidentEventType.MERGED, None) == (read(body).type, read(body).merged_into)


def test_a_note_comes_without_pagerdutys_prefix_and_otherwise_untouched():
    assert "prompt template rolled back — café ✓" == read(PAYLOADS["annotated-resolution_note"]).note


def test_a_note_says_which_it_is_and_whether_it_is_whole():
    whole, trimmed = read(PAYLOADS["annotated-resolution_note"]), read(PAYLOADS["annotated-trimmed"])
    assert [("PNOTE01", False), ("PNOTE02", True)] == [(event.note_id, event.trimmed) for event in (whole, trimmed)]


@pytest.mark.parametrize(
    ("data", "note_id", "trimmed"),
    [
        ({"incident": {"id": "Q1"}, "content": "x"}, None, False),
        ({"incident": {"id": "Q1"}, "id": 17, "trimmed": True}, "17", True),
        ({"incident": {"id": "Q1"}, "id": "..", "trimmed": "true"}, None, False),
        ({"incident": {"id": "Q1"}, "id": {"x": 1}, "trimmed": 1}, None, False),
        ({"id": "Q1", "type": "incident"}, None, False),
    ],
)
def test_of_a_note_only_what_is_reported_is_known(data, note_id, trimmed):
    event = read({"event": {"event_type": "incident.annotated", "data": data}})
    assert (IncidentEventType.ANNOTATED, "Q1", note_id, trimmed) == (
        event.type, event.incident_id, event.note_id, event.trimmed,
    )  # fmt: skip


def test_what_is_no_note_has_no_note_id():
    data = {"incident": {"id": "Q1"}, "id": "PX", "trimmed": True}
    event = read({"event": {"event_type": "incident.status_update_published", "data": data}})
    assert (None, False) == (event.note_id, event.trimmed)


@pytest.mark.parametrize(
    ("fields", "at", "unread"),
    [
        ({"occurred_at": "2026-05-04T09:20:00.000Z"}, AT, False),
        ({"occurred_at": "2026-05-04t09:20:00z"}, AT, False),
        ({"occurred_at": 1777886400}, AT, False),
        ({"occurred_at": 1777886400000}, AT, False),
        ({"timestamp": "Mon, 04 May 2026 09:20:00 GMT"}, AT, False),
        ({"occurred_at": "soon", "timestamp": 1777886400}, AT, False),
        ({"occurred_at": "soon"}, None, True),
        ({"occurred_at": None, "timestamp": ""}, None, True),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, None, True),
        ({"occurred_at": None}, None, False),
        ({}, None, False),
    ],
)
def test_the_time_of_an_event_in_whatever_spelling_and_whether_one_was_not_understood(fields, at, unread):
    event = read({"event": {"event_type": "incident.resolved", "data": {"id": "Q1"}} | fields})
    assert (at, unread) == (event.at, event.time_unread)


@pytest.mark.parametrize("shape", ["type", "event_type"])
def test_the_older_shape_of_truthvouchs_page_reads_with_its_alert_id(shape):
    incident = {"id": "Q02JTUPZWHSN7Q", "body": {"type": "incident_body", "details": {"alert_id": "alert_123"}}}
    event = read({shape: "incident.acknowledged", "data": {"incident": incident}})
    assert (
        IncidentEvent(
            IncidentEventType.ACKNOWLEDGED, "Q02JTUPZWHSN7Q", "incident.acknowledged", alert_id_hint="alert_123"
        )
        == event
    )


@pytest.mark.parametrize("details", ["a text", None, [], {"alert_id": ""}, {"alert_id": {"x": 1}}])
def test_other_details_hint_at_nothing(details):
    event = read({"type": "incident.resolved", "data": {"incident": {"id": "Q1", "body": {"details": details}}}})
    assert (IncidentEventType.RESOLVED, None) == (event.type, event.alert_id_hint)


def test_pageys_ping_is_understood_and_owes_nothing():
    body = {"event": {"id": "1", "event_type": "pagey.ping", "resource_type": "pagey", "data": {"type": "ping"}}}
    assert Ignored("ping") == read(body)


def test_an_event_type_nobody_knows_yet_is_mentioned():
    body = {"event": {"event_type": "incident.levitated", "data": {"type": "incident", "id": "Q1"}}}
    assert (IncidentEventType.MENTIONED, "incident.levitated") == (read(body).type, read(body).name)


@pytest.mark.parametrize(
    "data", [None, [], "Q1", {}, {"id": ""}, {"id": ".."}, {"id": "x" * 600}, {"id": "T1", "type": "incident_task"}]
)
def test_an_incident_event_without_a_usable_incident_is_unreadable(data):
    body = {"event": {"event_type": "incident.resolved", "data": data}}
    assert Unreadable("no_incident_id", "incident.resolved") == read(body)
