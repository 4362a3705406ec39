"""PagerDuty's REST API: opening, moving, refusing."""

import pytest

from tests.sandbox.conftest import Rig, code_of, service


def test_an_incident_is_opened_triggered_and_can_be_read_by_id_and_by_number(rig: Rig) -> None:
    made = rig.incident(incident_key="k", urgency="low", body={"type": "incident_body", "details": "claim"})

    assert ("triggered", "k", "low") == (made["status"], made["incident_key"], made["urgency"])
    by_number = rig.rest("GET", f"/incidents/{made['incident_number']}").json
    assert made["id"] == by_number["incident"]["id"]
    with_body = rig.rest("GET", f"/incidents/{made['id']}?include[]=body").json
    assert "claim" == with_body["incident"]["body"]["details"]


def test_an_incident_without_a_key_is_given_one(rig: Rig) -> None:
    assert rig.incident()["incident_key"]


def test_a_second_open_incident_with_the_key_is_refused_in_the_documented_words(rig: Rig) -> None:
    rig.incident(incident_key="k")

    refused = rig.rest(
        "POST",
        "/incidents",
        {"incident": {"type": "incident", "title": "t", "service": service(), "incident_key": "k"}},
    )

    assert (400, 2002) == code_of(refused)
    assert "Arguments Caused Error" == refused.json["error"]["message"]
    assert ["Open incident with matching dedup key already exists on this service"] == refused.json["error"]["errors"]


def test_the_key_is_free_again_after_a_resolve_and_on_another_service(rig: Rig) -> None:
    first = rig.incident(incident_key="k")
    rig.incident(incident_key="k", service=service("PSBXSV2"))
    rig.put(first["id"], status="resolved")

    assert first["id"] != rig.incident(incident_key="k")["id"]


@pytest.mark.parametrize(
    ("header", "expected"), [("", (400, 2016)), ("nobody", (400, 1028)), ("stranger@example.com", (400, 1008))]
)
def test_whoever_writes_must_be_known(rig: Rig, header: str, expected: tuple[int, int]) -> None:
    requested = {"incident": {"type": "incident", "title": "t", "service": service()}}

    assert expected == code_of(rig.rest("POST", "/incidents", requested, From=header))


@pytest.mark.parametrize("authorization", ["", "Token token=wrong", "Token token=", "Basic x"])
def test_a_wrong_key_is_refused(rig: Rig, authorization: str) -> None:
    assert (401, 2006) == code_of(rig.rest("GET", "/incidents", Authorization=authorization))


@pytest.mark.parametrize(
    "fields",
    [
        {"title": ""},
        {"service": service("PNOBODY")},
        {"service": "PSANDBX"},
        {"urgency": "severe"},
        {"body": {"type": "incident_body", "details": {"alert_id": "a"}}},
        {"incident_key": ""},
        {"client": "x"},
        {"type": "incident_reference"},
        {
            "assignments": [{"assignee": {"id": "PSBXUS1", "type": "user_reference"}}],
            "escalation_policy": {"id": "PSBXEP1", "type": "escalation_policy_reference"},
        },
    ],
)
def test_a_body_that_breaks_a_documented_rule_opens_nothing(rig: Rig, fields: dict[str, object]) -> None:
    requested = {"type": "incident", "title": "t", "service": service(), **fields}

    assert (400, 2001) == code_of(rig.rest("POST", "/incidents", {"incident": requested}))
    assert [] == rig.incidents()


def test_an_unknown_policy_and_priority_have_codes_of_their_own(rig: Rig) -> None:
    requested = {"type": "incident", "title": "t", "service": service()}
    policy = {"escalation_policy": {"id": "PNONE", "type": "escalation_policy_reference"}}
    priority = {"priority": {"id": "PNONE", "type": "priority_reference"}}

    assert (400, 1014) == code_of(rig.rest("POST", "/incidents", {"incident": requested | policy}))
    assert (400, 1020) == code_of(rig.rest("POST", "/incidents", {"incident": requested | priority}))


@pytest.mark.parametrize(
    ("start", "to", "status", "events"),
    [
        ([], "acknowledged", "acknowledged", ["incident.acknowledged"]),
        ([], "resolved", "resolved", ["incident.resolved"]),
        ([], "triggered", "triggered", []),
        (["acknowledged"], "triggered", "triggered", ["incident.unacknowledged"]),
        (["acknowledged"], "resolved", "resolved", ["incident.resolved"]),
        (["resolved"], "triggered", "triggered", ["incident.reopened"]),
        (["resolved"], "acknowledged", "acknowledged", ["incident.reopened", "incident.acknowledged"]),
    ],
)
def test_every_permitted_change_is_reported(
    rig: Rig, start: list[str], to: str, status: str, events: list[str]
) -> None:
    ident = rig.incident()["id"]
    for word in start:
        rig.put(ident, status=word)
    before = len(rig.events())

    assert status == rig.put(ident, status=to).json["incident"]["status"]
    assert events == rig.events()[before:]


@pytest.mark.parametrize(
    ("start", "to", "code"),
    [(["acknowledged"], "acknowledged", 1002), (["resolved"], "resolved", 1001), ([], "closed", 1003)],
)
def test_a_change_to_where_it_is_already_is_refused_and_not_told(
    rig: Rig, start: list[str], to: str, code: int
) -> None:
    ident = rig.incident()["id"]
    for word in start:
        rig.put(ident, status=word)
    before = rig.events()

    assert (400, code) == code_of(rig.put(ident, status=to))
    assert before == rig.events()


def test_acknowledging_assigns_whoever_did_it(rig: Rig) -> None:
    ident = rig.incident()["id"]

    answer = rig.rest(
        "PUT",
        f"/incidents/{ident}",
        {"incident": {"type": "incident", "status": "acknowledged"}},
        From="manager@example.com",
    )

    assert ["Manager Example"] == [a["assignee"]["summary"] for a in answer.json["incident"]["assignments"]]


def test_escalating_raises_the_level_and_pages_the_next_person(rig: Rig) -> None:
    ident = rig.incident()["id"]

    moved = rig.put(ident, escalation_level=2).json["incident"]
    assert ["PSBXUS2"] == [a["assignee"]["id"] for a in moved["assignments"]]
    assert 2 == rig.order(f"/pagerduty/incidents/{ident}", method="GET")["incident"]["escalation_level"]
    assert "incident.escalated" == rig.events()[-1]


@pytest.mark.parametrize(("urgency", "level"), [("low", 2), ("high", 3)])
def test_what_cannot_be_escalated_says_1006(rig: Rig, urgency: str, level: int) -> None:
    assert (400, 1006) == code_of(rig.put(rig.incident(urgency=urgency)["id"], escalation_level=level))


def test_another_policy_starts_at_its_first_level_and_is_reported_as_delegated(rig: Rig) -> None:
    ident = rig.incident()["id"]
    rig.put(ident, escalation_level=2)

    moved = rig.put(ident, escalation_policy={"id": "PSBXEP2", "type": "escalation_policy_reference"})

    assert "PSBXEP2" == moved.json["incident"]["escalation_policy"]["id"]
    assert 1 == rig.order(f"/pagerduty/incidents/{ident}", method="GET")["incident"]["escalation_level"]
    assert "incident.delegated" == rig.events()[-1]


def test_a_merge_moves_the_alerts_and_looks_like_a_resolve(rig: Rig) -> None:
    target = rig.incident()["id"]
    rig.enqueue("trigger", "d")
    [source] = [i for i in rig.incidents() if i["id"] != target]

    sources = {"source_incidents": [{"id": source["id"], "type": "incident_reference"}]}
    assert 200 == rig.rest("PUT", f"/incidents/{target}/merge", sources).status_code

    answer = rig.webhooks_sent()[-1]["event"]
    assert ("incident.resolved", source["id"]) == (answer["event_type"], answer["data"]["id"])
    assert ("merge_resolve_reason", target) == (
        answer["data"]["resolve_reason"]["type"],
        answer["data"]["resolve_reason"]["incident"]["id"],
    )
    assert ["d"] == [a["alert_key"] for a in rig.rest("GET", f"/incidents/{target}/alerts").json["alerts"]]
    assert [target] == [i["id"] for i in rig.incidents(incident_key="d")]
    assert (400, 1019) == code_of(rig.put(source["id"], status="triggered"))


def test_notes_are_kept_told_and_read_newest_first(rig: Rig) -> None:
    ident = rig.incident()["id"]
    for words in ("one", "two ✓"):
        assert 200 == rig.rest("POST", f"/incidents/{ident}/notes", {"note": {"content": words}}).status_code

    assert ["two ✓", "one"] == [n["content"] for n in rig.rest("GET", f"/incidents/{ident}/notes").json["notes"]]
    assert ["incident.annotated"] * 2 == rig.events()[1:]
    assert "two ✓" == rig.webhooks_sent()[-1]["event"]["data"]["content"]


def test_an_empty_note_is_refused(rig: Rig) -> None:
    ident = rig.incident()["id"]

    assert (400, 2001) == code_of(rig.rest("POST", f"/incidents/{ident}/notes", {"note": {"content": " "}}))


def test_a_long_note_is_cut_in_the_webhook_only(rig: Rig) -> None:
    ident = rig.incident()["id"]
    rig.rest("POST", f"/incidents/{ident}/notes", {"note": {"content": "x" * 3000}})

    answer = rig.webhooks_sent()[-1]["event"]["data"]
    assert (True, 2000) == (answer["trimmed"], len(answer["content"]))
    assert 3000 == len(rig.rest("GET", f"/incidents/{ident}/notes").json["notes"][0]["content"])


def test_the_resolution_stands_in_the_log_and_is_no_note(rig: Rig) -> None:
    ident = rig.incident()["id"]
    rig.put(ident, status="resolved", resolution="corrected")

    entry = rig.rest("GET", f"/incidents/{ident}/log_entries").json["log_entries"][0]
    assert ("resolve_log_entry", "corrected") == (entry["type"], entry["channel"]["summary"])
    assert [] == rig.rest("GET", f"/incidents/{ident}/notes").json["notes"]


def test_what_is_not_there_is_404_with_2100(rig: Rig) -> None:
    assert (404, 2100) == code_of(rig.rest("GET", "/incidents/QNONE"))
    assert (404, 2100) == code_of(rig.rest("GET", "/nonsense"))


def test_responders_are_asked_and_the_bridge_receives_it(rig: Rig) -> None:
    ident = rig.incident()["id"]
    target = {"responder_request_target": {"id": "PSBXUS2", "type": "user_reference"}}
    requested = {"requester_id": "PSBXUS1", "message": "please look", "responder_request_targets": [target]}

    assert 200 == rig.rest("POST", f"/incidents/{ident}/responder_requests", requested).status_code
    assert "incident.responder.added" == rig.events()[-1]


def test_only_an_acknowledged_incident_can_be_snoozed(rig: Rig) -> None:
    ident = rig.incident()["id"]
    assert (400, 1012) == code_of(rig.rest("POST", f"/incidents/{ident}/snooze", {"duration": 60}))

    rig.put(ident, status="acknowledged")
    assert 201 == rig.rest("POST", f"/incidents/{ident}/snooze", {"duration": 60}).status_code
    assert (400, 1013) == code_of(rig.rest("POST", f"/incidents/{ident}/snooze", {"duration": 0}))


def test_custom_fields_are_kept_and_the_webhook_carries_the_old_ones(rig: Rig) -> None:
    ident = rig.incident()["id"]
    rig.rest("PUT", f"/incidents/{ident}/custom_fields/values", {"custom_fields": [{"name": "kind", "value": "a"}]})
    rig.rest("PUT", f"/incidents/{ident}/custom_fields/values", {"custom_fields": [{"name": "kind", "value": "b"}]})

    answer = rig.webhooks_sent()[-1]["event"]["data"]
    assert ["b"] == [f["value"] for f in answer["custom_fields"]]
    assert ["a"] == [f["value"] for f in answer["changed_custom_fields"]]
