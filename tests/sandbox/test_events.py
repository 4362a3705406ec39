"""PagerDuty's Events API: 202 first, the effect later, nothing for what nobody knows."""

import pytest

from tests.sandbox.conftest import KEY, Rig

PAYLOAD = {"summary": "s", "source": "bot", "severity": "critical"}


def test_the_incident_exists_only_some_time_after_the_202(rig: Rig) -> None:
    answer = rig.enqueue("trigger", "d", wait=0.049)
    assert (202, "d") == (answer.status_code, answer.json["dedup_key"])
    assert [] == rig.incidents()

    rig.pass_time(0.001)
    [made] = rig.incidents()
    assert (None, "high") == (made["incident_key"], made["urgency"])


@pytest.mark.parametrize(
    ("severity", "urgency"), [("critical", "high"), ("error", "high"), ("warning", "low"), ("info", "low")]
)
def test_severity_decides_the_urgency(rig: Rig, severity: str, urgency: str) -> None:
    rig.enqueue("trigger", "d", payload=PAYLOAD | {"severity": severity})

    assert urgency == rig.incidents()[0]["urgency"]


def test_a_second_trigger_is_only_a_log_entry(rig: Rig) -> None:
    rig.enqueue("trigger", "d")
    before = rig.events()
    rig.enqueue("trigger", "d")

    [incident] = rig.incidents()
    entries = rig.rest("GET", f"/incidents/{incident['id']}/log_entries").json["log_entries"]
    assert ["trigger_log_entry"] * 2 == [e["type"] for e in entries]
    assert before == rig.events()


def test_acknowledge_and_resolve_follow_the_key_and_a_new_trigger_opens_anew(rig: Rig) -> None:
    for action in ("trigger", "acknowledge", "resolve", "trigger"):
        rig.enqueue(action, "d")

    assert ["resolved", "triggered"] == [i["status"] for i in rig.incidents()]
    assert ["triggered", "acknowledged", "resolved", "triggered"] == [e.partition(".")[2] for e in rig.events()]


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_an_action_on_nothing_is_accepted_and_does_nothing(rig: Rig, action: str) -> None:
    assert 202 == rig.enqueue(action, "unknown").status_code
    assert ([], []) == (rig.incidents(), rig.events())


def test_the_same_key_on_another_service_is_another_alert(rig: Rig) -> None:
    rig.enqueue("trigger", "d")
    rig.enqueue("resolve", "d", routing_key="sandboxsandboxsandboxsandbox0002")

    assert ["triggered"] == [i["status"] for i in rig.incidents()]


def test_resolving_the_incident_resolves_its_alert_so_that_the_key_opens_a_new_one(rig: Rig) -> None:
    rig.enqueue("trigger", "d")
    rig.put(rig.incidents()[0]["id"], status="resolved")
    rig.enqueue("trigger", "d")

    assert 2 == len(rig.incidents())


def test_an_event_incident_can_be_found_acknowledged_and_resolved_after_a_merge(rig: Rig) -> None:
    for key in ("a", "b"):
        rig.enqueue("trigger", key)
    first, second = (i["id"] for i in rig.incidents())
    rig.order(f"/pagerduty/incidents/{first}/merge", {"into": second})

    rig.enqueue("resolve", "a")
    assert "triggered" == rig.rest("GET", f"/incidents/{second}").json["incident"]["status"]
    rig.enqueue("resolve", "b")
    assert "resolved" == rig.rest("GET", f"/incidents/{second}").json["incident"]["status"]


@pytest.mark.parametrize(
    "event",
    [
        [],
        {"routing_key": "short", "event_action": "trigger", "payload": PAYLOAD},
        {"routing_key": "x" * 32, "event_action": "trigger", "payload": PAYLOAD},
        {"routing_key": KEY, "event_action": "open", "payload": PAYLOAD},
        {"routing_key": KEY, "event_action": "trigger"},
        {"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD | {"summary": "x" * 1025}},
        {"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD | {"severity": "Critical"}},
        {"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD | {"custom_details": "text"}},
        {"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD, "dedup_key": "x" * 256},
        {"routing_key": KEY, "event_action": "resolve"},
    ],
)
def test_an_invalid_event_is_refused_with_its_errors(rig: Rig, event: object) -> None:
    answer = rig.client.post("/v2/enqueue", json=event)

    assert (400, "invalid event") == (answer.status_code, answer.json["status"])
    assert answer.json["errors"]


def test_an_event_over_512_kilobytes_is_refused(rig: Rig) -> None:
    payload = PAYLOAD | {"custom_details": {"text": "x" * 512 * 1024}}

    assert 413 == rig.enqueue("trigger", "d", payload=payload).status_code
    assert [] == rig.incidents()


def test_a_trigger_without_a_key_is_given_one(rig: Rig) -> None:
    answer = rig.client.post("/v2/enqueue", json={"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD})

    assert answer.json["dedup_key"]


# ------------------------------------------------------------------------------------------------ maintenance windows


@pytest.mark.parametrize("status", ["maintenance", "disabled"])
def test_events_for_a_service_that_takes_none_are_accepted_and_dropped(rig: Rig, status: str) -> None:
    rig.order("/pagerduty/services/PSANDBX", {"status": status})
    assert 202 == rig.enqueue("trigger", "k1").status_code
    assert [] == rig.incidents(incident_key="k1")


def test_a_resolve_in_a_maintenance_window_has_no_effect_even_afterwards(rig: Rig) -> None:
    rig.enqueue("trigger", "k1")
    rig.order("/pagerduty/services/PSANDBX", {"status": "maintenance"})
    for action in ("acknowledge", "resolve"):
        assert 202 == rig.enqueue(action, "k1").status_code
    rig.order("/pagerduty/services/PSANDBX", {"status": "active"})
    rig.pass_time(60)
    assert ["triggered"] == [incident["status"] for incident in rig.incidents(incident_key="k1")]
    rig.enqueue("resolve", "k1")
    assert ["resolved"] == [i["status"] for i in rig.incidents(incident_key="k1", **{"statuses[]": "resolved"})]


def test_in_a_maintenance_window_rest_works_and_other_services_take_events(rig: Rig) -> None:
    rig.order("/pagerduty/services/PSANDBX", {"status": "maintenance"})
    assert 200 == rig.put(rig.incident()["id"], status="acknowledged").status_code
    rig.enqueue("trigger", "k2", routing_key="sandboxsandboxsandboxsandbox0002")
    assert 1 == len(rig.incidents(incident_key="k2"))
