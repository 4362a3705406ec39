"""TruthVouch: the alert API, the webhooks in all variants, the retries."""

import hashlib
import hmac
from typing import Any

import pytest

from tests.sandbox.conftest import START, TRUTHVOUCH_SECRET, Rig


def _mac(message: bytes) -> str:
    return hmac.new(TRUTHVOUCH_SECRET.encode(), message, hashlib.sha256).hexdigest()


def _code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["error"]["code"]


# ---------------------------------------------------------------- API


def test_the_list_pages_newest_first_with_meta(rig: Rig) -> None:
    idents = [rig.alert()["id"] for _ in range(3)]
    first = rig.tv("GET", "/alerts?pageSize=2").json
    second = rig.tv("GET", "/alerts?pageSize=2&page=2").json

    assert idents[::-1] == [a["id"] for a in first["data"] + second["data"]]
    assert {"page": 1, "pageSize": 2, "total": 3, "totalPages": 2} == first["meta"]
    assert [] == rig.tv("GET", "/alerts?page=9").json["data"]


def test_the_list_filters_by_severity_and_status(rig: Rig) -> None:
    rig.alert(severity="low")
    high = rig.alert(severity="high")["id"]

    assert [high] == [a["id"] for a in rig.tv("GET", "/alerts?severity=high&status=open").json["data"]]
    assert [] == rig.tv("GET", "/alerts?status=resolved").json["data"]


def test_an_alert_shows_the_documented_fields_and_no_others(rig: Rig) -> None:
    ident = rig.alert(message="m", fact="f", actualFact="t", confidenceScore=0.92, confidence=0.05, model="x")["id"]

    assert {
        "id": ident,
        "severity": "critical",
        "type": "hallucination",
        "message": "m",
        "fact": "f",
        "actualFact": "t",
        "confidenceScore": 0.92,
        "status": "open",
        "createdAt": "2027-01-15T08:00:00Z",
    } == rig.tv("GET", f"/alerts/{ident}").json["data"]


@pytest.mark.parametrize(
    ("start", "status", "expected", "fields"),
    [
        (None, "acknowledged", 200, ["alert.acknowledged"]),
        (None, "resolved", 200, ["alert.resolved"]),
        (None, "open", 200, []),
        ("acknowledge", "acknowledged", 200, []),
        ("acknowledge", "open", 200, ["alert.reopened"]),
        ("resolve", "resolved", 200, []),
        ("resolve", "open", 409, []),
        ("resolve", "acknowledged", 409, []),
        ("dismiss", "resolved", 409, []),
    ],
)
def test_a_patch_moves_what_may_move_and_is_echoed(
    rig: Rig, start: str | None, status: str, expected: int, fields: list[str]
) -> None:
    ident = rig.alert()["id"]
    if start:
        rig.order(f"/truthvouch/alerts/{ident}/{start}")
    before = len(rig.events())

    assert expected == rig.tv("PATCH", f"/alerts/{ident}", {"status": status}).status_code
    assert fields == rig.events()[before:]


def test_reopening_can_be_allowed(rig: Rig) -> None:
    rig.order("/settings", {"truthvouch_refuses_reopen": False})
    ident = rig.alert()["id"]
    rig.tv("PATCH", f"/alerts/{ident}", {"status": "resolved"})

    assert "open" == rig.tv("PATCH", f"/alerts/{ident}", {"status": "open"}).json["data"]["status"]


def test_the_resolution_is_kept_and_told(rig: Rig) -> None:
    ident = rig.alert()["id"]
    rig.tv("PATCH", f"/alerts/{ident}", {"status": "resolved", "resolution": "corrected"})

    assert "corrected" == rig.order(f"/truthvouch/alerts/{ident}", method="GET")["alert"]["resolution"]
    assert "corrected" == rig.webhooks_sent()[-1]["data"]["resolutionNotes"]


def test_errors_have_truthvouchs_envelope(rig: Rig) -> None:
    ident = rig.alert()["id"]

    assert (401, "INVALID_API_KEY") == _code(rig.tv("GET", "/alerts", key="Bearer wrong"))
    assert (401, "INVALID_API_KEY") == _code(rig.tv("GET", "/alerts", key=""))
    assert (404, "RESOURCE_NOT_FOUND") == _code(rig.tv("GET", "/alerts/none"))
    assert (422, "VALIDATION_ERROR") == _code(rig.tv("PATCH", f"/alerts/{ident}", {"status": "gone"}))
    assert (400, "INVALID_REQUEST") == _code(rig.tv("PATCH", f"/alerts/{ident}", []))


def test_an_id_may_hold_anything_a_url_can_carry(rig: Rig) -> None:
    rig.alert(alert_id="team/alert 1?")

    assert "team/alert 1?" == rig.tv("GET", "/alerts/team%2Falert%201%3F").json["data"]["id"]
    assert 200 == rig.client.post("/sandbox/truthvouch/alerts/team%2Falert%201%3F/resolve", json={}).status_code


# ---------------------------------------------------------------- webhooks


@pytest.mark.parametrize(
    ("variant", "header", "value"),
    [
        ("s1", "X-TruthVouch-Signature", lambda body: f"sha256={_mac(body)}"),
        ("s2", "X-TruthVouch-Signature", lambda body: f"t={START:.0f},v1={_mac(f'{START:.0f}.'.encode() + body)}"),
        ("s3", "X-Signature", lambda body: f"hmac-sha256={_mac(body)}"),
    ],
)
def test_each_signature_variant_can_be_chosen(rig: Rig, variant: str, header: str, value: Any) -> None:
    rig.alert(signature=variant)
    rig.webhooks_sent()

    [sent] = rig.bridge.deliveries
    assert value(sent.body) == sent.headers[header]
    assert ("http://bridge.test/truthvouch/alerts", 30.0) == (sent.url, sent.timeout)


def test_the_nested_envelope_carries_the_alert_in_camel_case(rig: Rig) -> None:
    ident = rig.alert(message="m", actualFact="t", confidence=0.05)["id"]

    [answer] = rig.webhooks_sent()
    assert ("alert.created", "2027-01-15T08:00:00.000Z") == (answer["type"], answer["timestamp"])
    assert answer["id"].startswith("evt_")
    assert {
        "alertId": ident,
        "severity": "critical",
        "type": "hallucination",
        "message": "m",
        "actualFact": "t",
        "confidence": 0.05,
        "status": "open",
    } == answer["data"]


@pytest.mark.parametrize(("envelope", "has_id"), [("flat", False), ("flat_with_id", True)])
def test_the_flat_envelopes_carry_everything_on_top_and_later_events_little(
    rig: Rig, envelope: str, has_id: bool
) -> None:
    ident = rig.alert(envelope=envelope, message="m", actualFact="t")["id"]
    rig.order(f"/truthvouch/alerts/{ident}/dismiss", {"by": "a@example.com", "reason": "false_positive", "text": "ok"})

    created, dismissed = rig.webhooks_sent()
    assert has_id == ("event_id" in created)
    assert ("alert.detected", ident, "t") == (created["event_type"], created["alert_id"], created["actual_fact"])
    assert ("alert.dismissed", "a@example.com", "false_positive", "ok") == (
        dismissed["event_type"],
        dismissed["resolved_by"],
        dismissed["resolution_reason"],
        dismissed["resolution_notes"],
    )
    assert "severity" not in dismissed


def test_the_gateways_certainty_stands_under_details_in_the_flat_envelope(rig: Rig) -> None:
    rig.alert(envelope="flat", type="pii", confidenceScore=0.95, model="gpt")

    [answer] = rig.webhooks_sent()
    assert ("pii", {"model": "gpt", "confidence": 0.95}) == (answer["detection_type"], answer["details"])


def test_the_process_wide_variants_apply_where_an_alert_says_nothing(rig: Rig) -> None:
    rig.order("/settings", {"signature": "s3", "envelope": "flat"})
    rig.alert()

    assert "alert.detected" == rig.webhooks_sent()[0]["event_type"]
    assert "X-Signature" in rig.bridge.deliveries[0].headers


def test_everything_a_person_does_is_reported(rig: Rig) -> None:
    ident = rig.alert()["id"]
    for action in ("acknowledge", "investigate", "escalate", "resolve", "reopen", "dismiss"):
        rig.order(f"/truthvouch/alerts/{ident}/{action}")

    assert ["created", "acknowledged", "investigating", "escalated", "resolved", "reopened", "dismissed"] == [
        name.removeprefix("alert.") for name in rig.events()
    ]


def test_a_retry_repeats_the_original_time_even_after_a_refusal(rig: Rig) -> None:
    rig.bridge.answers = [401, 503]
    rig.alert(signature="s2")
    for seconds in (0.0, 0.2, 600.0):
        rig.pass_time(seconds)

    assert 3 == len(rig.bridge.deliveries)
    assert 1 == len({d.headers["X-TruthVouch-Signature"] for d in rig.bridge.deliveries})


def test_a_failing_webhook_is_overtaken_by_the_next(rig: Rig) -> None:
    rig.bridge.answers = [503]
    ident = rig.alert()["id"]
    rig.order(f"/truthvouch/alerts/{ident}/resolve")
    rig.webhooks_sent()
    rig.pass_time(0.2)

    assert ["alert.created", "alert.resolved", "alert.created"] == rig.events()


def test_the_same_webhook_can_be_sent_several_times_or_not_at_all(rig: Rig) -> None:
    rig.alert(deliver=3)
    rig.alert(deliver=0)

    assert 3 == len(rig.webhooks_sent())
    assert 1 == len({delivery.body for delivery in rig.bridge.deliveries})


def test_a_held_webhook_waits_for_the_flush(rig: Rig) -> None:
    rig.alert(hold=True)
    assert [] == rig.webhooks_sent()

    rig.order("/webhooks/flush")
    assert 1 == len(rig.webhooks_sent())


def test_an_event_can_be_dated(rig: Rig) -> None:
    ident = rig.alert(at="2027-01-15T07:00:00Z")["id"]
    rig.order(f"/truthvouch/alerts/{ident}/acknowledge", {"at": START - 60})

    assert ["2027-01-15T07:00:00.000Z", "2027-01-15T07:59:00.000Z"] == [b["timestamp"] for b in rig.webhooks_sent()]
