"""PagerDuty's webhooks: signature, shape, agents, order, retries, disabling."""

import hashlib
import hmac
from typing import Any

import pytest

from tests.sandbox.conftest import PAGERDUTY_SECRET, Rig, webhook_schema


def _act(rig: Rig, ident: str, *actions: str, **words: Any) -> None:
    for action in actions:
        rig.order(f"/pagerduty/incidents/{ident}/{action}", words)


def test_every_webhook_is_signed_over_its_raw_bytes_and_carries_its_headers(rig: Rig) -> None:
    rig.incident(title="Größe ✓")
    rig.webhooks_sent()

    [sent] = rig.bridge.deliveries
    digest = hmac.new(PAGERDUTY_SECRET.encode(), sent.body, hashlib.sha256).hexdigest()
    assert f"v1={digest}" == sent.headers["X-PagerDuty-Signature"]
    assert ("PSBXWH1", "PagerDuty-Webhook/V3.0") == (sent.headers["X-Webhook-Subscription"], sent.headers["User-Agent"])
    assert ("http://bridge.test/pagerduty/webhook", 5.0) == (sent.url, sent.timeout)
    assert "simulation" == sent.headers["X-Sandbox"]


def test_every_event_the_sandbox_sends_has_the_documented_shape(rig: Rig) -> None:
    ident, other = rig.incident()["id"], rig.incident()["id"]
    rig.enqueue("trigger", "d", client="TruthVouch", client_url="https://dash.example/alerts/1")
    _act(rig, ident, "acknowledge", "unacknowledge", "escalate", "resolve", "reopen", note="why")
    _act(rig, ident, "escalate", policy="PSBXEP2")
    _act(rig, ident, "merge", into=other)
    rig.put(
        other,
        priority={"id": "PSBXPR1", "type": "priority_reference"},
        assignments=[{"assignee": {"id": "PSBXUS2", "type": "user_reference"}}],
    )
    target = {"responder_request_target": {"id": "PSBXEP2", "type": "escalation_policy_reference"}}
    rig.rest(
        "POST",
        f"/incidents/{other}/responder_requests",
        {"requester_id": "PSBXUS1", "message": "m", "responder_request_targets": [target]},
    )
    rig.rest("POST", f"/incidents/{other}/status_updates", {"message": "m"})
    rig.rest("PUT", f"/incidents/{other}/custom_fields/values", {"custom_fields": [{"name": "k", "value": "v"}]})
    rig.rest("POST", "/webhook_subscriptions/PSBXWH1/ping")

    answer = rig.webhooks_sent()
    assert [] == [error.message for body in answer for error in webhook_schema().iter_errors(body)]
    assert {
        "incident.triggered",
        "incident.acknowledged",
        "incident.unacknowledged",
        "incident.escalated",
        "incident.resolved",
        "incident.reopened",
        "incident.delegated",
        "incident.annotated",
        "incident.priority_updated",
        "incident.reassigned",
        "incident.responder.added",
        "incident.status_update_published",
        "incident.custom_field_values.updated",
        "pagey.ping",
    } == {body["event"]["event_type"] for body in answer}


def test_the_agent_is_the_person_the_integration_or_nobody(rig: Rig) -> None:
    rig.incident()
    rig.enqueue("trigger", "d", client="TruthVouch")
    _act(rig, rig.incidents()[0]["id"], "resolve", by=None)
    _act(rig, rig.incidents()[1]["id"], "acknowledge", by="Dana Example")

    agents = [body["event"]["agent"] for body in rig.webhooks_sent()]
    assert ["user_reference", "inbound_integration_reference", None, "user_reference"] == [
        agent and agent["type"] for agent in agents
    ]
    assert ("Oncall Example", "Dana Example") == (agents[0]["summary"], agents[3]["summary"])
    assert "TruthVouch" == rig.webhooks_sent()[1]["event"]["client"]["name"]


def test_a_note_given_with_a_resolve_comes_first_and_says_what_it_is(rig: Rig) -> None:
    _act(rig, rig.incident()["id"], "resolve", note="rolled back")

    assert ["incident.triggered", "incident.annotated", "incident.resolved"] == rig.events()
    assert "Resolution Note: rolled back" == rig.webhooks_sent()[1]["event"]["data"]["content"]


@pytest.mark.parametrize("answer", [500, 503, 429, ConnectionRefusedError(), TimeoutError()])
def test_a_failed_delivery_is_repeated_with_the_same_bytes_and_id(rig: Rig, answer: Any) -> None:
    rig.bridge.answers = [answer, answer]
    rig.incident()
    for seconds in (0.0, 0.2, 0.5):
        rig.pass_time(seconds)

    assert 3 == len(rig.bridge.deliveries)
    assert 1 == len({(d.body, d.headers["X-Webhook-Id"]) for d in rig.bridge.deliveries})
    assert (1, 0, 2) == tuple(rig.world.webhook_queue.as_json()[name] for name in ("sent", "queued", "retried"))


def test_what_comes_later_waits_behind_a_failing_delivery_of_the_same_incident_only(rig: Rig) -> None:
    first, second = rig.incident()["id"], rig.incident()["id"]
    rig.webhooks_sent()
    rig.bridge.answers = [503]
    _act(rig, first, "acknowledge", "resolve")
    _act(rig, second, "resolve")
    rig.webhooks_sent()
    assert ["acknowledged", "resolved"] == [b["event"]["data"]["status"] for b in rig.webhooks_sent()[2:]]
    assert [first, second] == [b["event"]["data"]["id"] for b in rig.webhooks_sent()[2:]]

    rig.pass_time(0.2)
    assert ["acknowledged", "resolved"] == [b["event"]["data"]["status"] for b in rig.webhooks_sent()[4:]]


def test_a_refused_delivery_is_dropped_and_three_in_a_row_disable_the_subscription(rig: Rig) -> None:
    rig.bridge.answers = [401, 401, 401]
    for _ in range(3):
        rig.incident()
        rig.webhooks_sent()
    rig.incident()
    assert 3 == len(rig.webhooks_sent())
    method = rig.rest("GET", "/webhook_subscriptions/PSBXWH1").json["webhook_subscription"]["delivery_method"]
    assert method["temporarily_disabled"]

    assert 200 == rig.rest("POST", "/webhook_subscriptions/PSBXWH1/enable").status_code
    rig.incident()
    assert 4 == len(rig.webhooks_sent())


def test_a_success_between_two_drops_keeps_the_subscription_alive(rig: Rig) -> None:
    rig.bridge.answers = [401, 401, 202, 401, 401]
    for _ in range(6):
        rig.incident()
        rig.webhooks_sent()

    assert 6 == len(rig.bridge.deliveries)


def test_after_48_hours_a_delivery_is_given_up(rig: Rig) -> None:
    rig.bridge.answers = [503, 503]
    rig.incident()
    rig.webhooks_sent()
    rig.pass_time(48 * 3600)
    rig.pass_time(60)

    assert (2, 1) == (len(rig.bridge.deliveries), rig.world.webhook_queue.as_json()["failed"])
