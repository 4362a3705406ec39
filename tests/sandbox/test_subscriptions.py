"""Webhook subscriptions: the secret once, filters, two at a time."""

import hashlib
import hmac
from typing import Any

import pytest

from tests.sandbox.conftest import Rig, code_of, service


def _requested(**fields: Any) -> dict[str, Any]:
    method = {"type": "http_delivery_method", "url": "https://other.example/hook"}
    return {
        "webhook_subscription": {
            "type": "webhook_subscription",
            "delivery_method": method,
            "events": ["incident.resolved"],
            "filter": {"type": "account_reference"},
            **fields,
        }
    }


def _create(rig: Rig, **fields: Any) -> Any:
    answer = rig.rest("POST", "/webhook_subscriptions", _requested(**fields))
    assert 201 == answer.status_code, answer.text
    return answer.json["webhook_subscription"]


def test_the_secret_is_shown_once(rig: Rig) -> None:
    made = _create(rig)

    assert made["delivery_method"]["secret"]
    listed = rig.rest("GET", "/webhook_subscriptions").json["webhook_subscriptions"]
    assert [None, None] == [s["delivery_method"]["secret"] for s in listed]


def test_two_subscriptions_share_the_event_and_differ_in_id_and_signature(rig: Rig) -> None:
    made = _create(rig, events=["incident.triggered"])
    rig.incident()
    rig.webhooks_sent()
    first, second = rig.bridge.deliveries

    assert first.body == second.body
    assert first.headers["X-Webhook-Id"] != second.headers["X-Webhook-Id"]
    key = made["delivery_method"]["secret"].encode()
    assert f"v1={hmac.new(key, second.body, hashlib.sha256).hexdigest()}" == second.headers["X-PagerDuty-Signature"]


def test_only_wanted_events_of_the_wanted_service_are_sent(rig: Rig) -> None:
    _create(rig, filter={"type": "service_reference", "id": "PSBXSV2"})
    for ident in ("PSANDBX", "PSBXSV2"):
        rig.put(rig.incident(service=service(ident))["id"], status="resolved")
    rig.webhooks_sent()

    elsewhere = [d for d in rig.bridge.deliveries if d.url == "https://other.example/hook"]
    assert ["incident.resolved"] == [d.json["event"]["event_type"] for d in elsewhere]
    assert "PSBXSV2" == elsewhere[0].json["event"]["data"]["service"]["id"]


def test_a_deleted_or_inactive_subscription_gets_nothing(rig: Rig) -> None:
    gone, asleep = _create(rig, events=["incident.triggered"])["id"], _create(rig, events=["incident.triggered"])["id"]
    rig.rest("DELETE", f"/webhook_subscriptions/{gone}")
    rig.rest("PUT", f"/webhook_subscriptions/{asleep}", {"webhook_subscription": {"active": False}})
    rig.incident()

    assert 1 == len(rig.webhooks_sent())
    assert (404, 2100) == code_of(rig.rest("GET", f"/webhook_subscriptions/{gone}"))


def test_a_ping_arrives_in_its_own_words(rig: Rig) -> None:
    assert 202 == rig.rest("POST", "/webhook_subscriptions/PSBXWH1/ping").status_code

    [answer] = rig.webhooks_sent()
    assert ("pagey.ping", "ping") == (answer["event"]["event_type"], answer["event"]["data"]["type"])


@pytest.mark.parametrize(
    "fields",
    [
        {"events": []},
        {"events": ["a.b", "a.b"]},
        {"filter": {"type": "service_reference"}},
        {"delivery_method": {"type": "http_delivery_method", "url": "ftp://x"}},
    ],
)
def test_a_senseless_subscription_is_refused(rig: Rig, fields: dict[str, Any]) -> None:
    assert (400, 2001) == code_of(rig.rest("POST", "/webhook_subscriptions", _requested(**fields)))


def test_there_is_room_for_ten(rig: Rig) -> None:
    for _ in range(9):
        _create(rig)

    assert (400, 2019) == code_of(rig.rest("POST", "/webhook_subscriptions", _requested()))


def test_an_order_switches_it_off_as_pagerduty_does(rig: Rig) -> None:
    rig.order("/pagerduty/subscriptions/PSBXWH1", {"temporarily_disabled": True})
    rig.incident()
    assert [] == rig.webhooks_sent()
    assert 200 == rig.rest("POST", "/webhook_subscriptions/PSBXWH1/enable").status_code
    rig.incident()
    assert ["incident.triggered"] == rig.events()


def test_an_order_changes_what_only_a_page_can_change(rig: Rig) -> None:
    changes = {"url": "http://elsewhere.test/hook", "events": ["incident.resolved"], "active": False}
    rig.order("/pagerduty/subscriptions/PSBXWH1", changes)
    shown = rig.rest("GET", "/webhook_subscriptions/PSBXWH1").json["webhook_subscription"]
    assert changes == {"url": shown["delivery_method"]["url"], "events": shown["events"], "active": shown["active"]}
    rig.order("/pagerduty/subscriptions/PSBXWH1", method="DELETE")
    assert [] == rig.rest("GET", "/webhook_subscriptions").json["webhook_subscriptions"]
    assert 404 == rig.client.post("/sandbox/pagerduty/subscriptions/PSBXWH1", json={}).status_code
