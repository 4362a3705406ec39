"""A delivery from TruthVouch: proved, stored, and only then accepted. The other webhook is the same code."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain.model.types import Side, Source
from app.ports import StoreUnavailable
from app.remote.payload import RefusedDeliveries
from app.services.sync.receive import Outcome, ReceiveResult, RefusedTally, WebhookRequest
from app.truthvouch import wire
from tests.conftest import FakeClock
from tests.web_fakes import FakeBridge, sign

BODY = b"evt-1\nalert-7\nprompt of a person"


@pytest.fixture
def bridge(clock: FakeClock) -> FakeBridge:
    return FakeBridge(clock)


def webhook_request(body: bytes = BODY, **facts: Any) -> WebhookRequest:
    return WebhookRequest(headers={**sign(body), **facts.pop("headers", {})}, body=body, request_id="req-1", **facts)


def test_an_authentic_delivery_is_stored_as_it_came(bridge: FakeBridge, clock: FakeClock):
    assert ReceiveResult(Outcome.ACCEPTED) == bridge.receive_alert(
        webhook_request(headers={"Content-Encoding": "gzip"})
    )
    stored = bridge.inbox.only
    assert (Source.TRUTHVOUCH, "evt-1", BODY) == (stored.source, stored.delivery_id, stored.body)
    assert (clock(), "req-1", "gzip") == (stored.received_at, stored.request_id, stored.content_encoding)


def test_the_worker_is_notified_after_the_delivery_is_stored_and_only_for_a_new_one(bridge: FakeBridge):
    bridge.receive_alert(webhook_request())
    assert ReceiveResult(Outcome.DUPLICATE) == bridge.receive_alert(webhook_request())
    assert 1 == bridge.wakeup.notifications


def test_a_broken_wakeup_refuses_nothing(bridge: FakeBridge):
    bridge.wakeup.broken = True
    assert ReceiveResult(Outcome.ACCEPTED) == bridge.receive_alert(webhook_request())


def test_an_unreadable_delivery_is_stored_and_parked(bridge: FakeBridge):
    assert ReceiveResult(Outcome.PARKED, "not_json") == bridge.receive_alert(webhook_request(b"\nnonsense"))
    assert 1 == len(bridge.inbox.deliveries)
    assert 1 == bridge.wakeup.notifications


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"headers": {"X-Signature": ""}}, ReceiveResult(Outcome.REFUSED, "signature_missing")),
        ({"headers": {"X-Signature": "0"}}, ReceiveResult(Outcome.REFUSED, "signature_mismatch")),
        ({"flaw": "body_incomplete"}, ReceiveResult(Outcome.REFUSED, "body_incomplete")),
        ({"too_large": True}, ReceiveResult(Outcome.TOO_LARGE, "body_too_large")),
    ],
)
def test_what_is_not_proved_whole_is_not_stored(bridge: FakeBridge, given: dict[str, Any], expected: ReceiveResult):
    assert expected == bridge.receive_alert(webhook_request(**given))
    assert {} == bridge.inbox.deliveries
    assert 1 == bridge.meter.counts["refused", Side.TRUTHVOUCH, expected.reason]


@pytest.mark.parametrize("headers", [sign(BODY), sign(BODY, ""), {"X-Signature": ""}])
def test_without_a_secret_the_webhook_is_unavailable(clock: FakeClock, headers: dict[str, str]):
    bridge = FakeBridge(clock, secrets=())
    assert ReceiveResult(Outcome.UNAVAILABLE, "no_secret") == bridge.receive_alert(webhook_request(headers=headers))
    assert {} == bridge.inbox.deliveries


def test_a_store_that_cannot_be_written_makes_the_sender_try_again(bridge: FakeBridge):
    bridge.inbox.broken = StoreUnavailable("disk full")
    assert ReceiveResult(Outcome.UNAVAILABLE, "store_unavailable") == bridge.receive_alert(webhook_request())
    bridge.inbox.broken = None
    assert ReceiveResult(Outcome.ACCEPTED) == bridge.receive_alert(webhook_request())


def test_each_outcome_is_counted(bridge: FakeBridge):
    bridge.receive_alert(webhook_request())
    bridge.receive_alert(webhook_request())
    bridge.receive_alert(WebhookRequest(sign(b"evt-2", "older-secret"), b"evt-2"))
    counts = bridge.meter.counts
    assert 2 == counts["accepted", Side.TRUTHVOUCH]
    assert 1 == counts["duplicated", Side.TRUTHVOUCH]
    assert (2, 1) == (counts["matched", Side.TRUTHVOUCH, 0], counts["matched", Side.TRUTHVOUCH, 1])


def test_one_line_names_the_delivery_and_nothing_of_its_content(bridge: FakeBridge):
    with capture_logs() as lines:
        bridge.receive_alert(WebhookRequest(sign(BODY, "older-secret"), BODY))
    expected = {
        "event": "alert.accepted", "log_level": "info", "delivery_id": "evt-1", "event_type": "alert.moved",
        "alert_id": "alert-7", "secret_index": 1, "bytes": len(BODY),
    }  # fmt: skip
    assert [expected] == lines


def test_a_refusal_is_one_line_with_its_reason(bridge: FakeBridge):
    with capture_logs() as lines:
        bridge.receive_alert(WebhookRequest({}, BODY))
    assert [
        {"event": "alert.refused", "log_level": "warning", "reason": "signature_missing", "bytes": len(BODY)}
    ] == lines


class Refused:
    """Where refused deliveries are written down, and when."""

    def __init__(self) -> None:
        self.written: list[tuple[Side, RefusedDeliveries]] = []
        self.due: list[Callable[[], None]] = []
        self.broken = False
        self.tally = RefusedTally(self.write, self.due.append)

    def write(self, side: Side, refused: RefusedDeliveries) -> None:
        if self.broken:
            raise StoreUnavailable("disk full")
        self.written.append((side, refused))


def test_a_flood_of_refused_deliveries_is_written_down_once_and_in_no_request(bridge: FakeBridge, clock: FakeClock):
    refused, began = Refused(), clock()
    receive = replace(bridge.receive_alert, remember=refused.tally)
    for headers in (sign(BODY, "rotated"), {}, sign(BODY, "rotated")):
        receive(WebhookRequest(headers, BODY))
        clock.advance(1)
    assert (0, 1) == (len(refused.written), len(refused.due))
    refused.due.pop()()
    last = began + timedelta(seconds=2)
    unsigned_at = began + timedelta(seconds=1)
    assert [
        (Side.TRUTHVOUCH, RefusedDeliveries(2, "signature_mismatch", began, last)),
        (Side.TRUTHVOUCH, RefusedDeliveries(1, "signature_missing", unsigned_at, unsigned_at)),
    ] == refused.written
    receive(WebhookRequest({}, BODY))
    assert 1 == len(refused.due)


def test_only_what_was_not_signed_rightly_counts_as_refused(bridge: FakeBridge):
    refused = Refused()
    receive = replace(bridge.receive_alert, remember=refused.tally)
    receive(webhook_request())
    receive(webhook_request(too_large=True))
    receive(webhook_request(flaw="body_incomplete"))
    assert [] == refused.due


def test_a_count_that_cannot_be_put_off_refuses_nothing_and_is_not_lost(bridge: FakeBridge, clock: FakeClock):
    refused, began = Refused(), clock()
    ways = [refused.due.append, out_of_threads]
    tally = RefusedTally(refused.write, lambda act: ways.pop()(act))
    receive = replace(bridge.receive_alert, remember=tally)
    for _ in range(2):
        assert Outcome.REFUSED is receive(WebhookRequest({}, BODY)).outcome
    refused.due.pop()()
    assert [(Side.TRUTHVOUCH, RefusedDeliveries(2, "signature_missing", began, began))] == refused.written


def out_of_threads(_act: Callable[[], None]) -> None:
    raise RuntimeError("can't start new thread")


def test_refused_deliveries_are_kept_until_the_store_takes_them(bridge: FakeBridge, clock: FakeClock):
    refused, began = Refused(), clock()
    receive = replace(bridge.receive_alert, remember=refused.tally)
    receive(WebhookRequest({}, BODY))
    refused.broken = True
    refused.due.pop()()
    refused.broken = False
    receive(WebhookRequest({}, BODY))
    refused.due.pop()()
    assert [(Side.TRUTHVOUCH, RefusedDeliveries(2, "signature_missing", began, began))] == refused.written


def signed(fields: dict[str, str]) -> WebhookRequest:
    """A delivery as TruthVouch signs it."""
    body = json.dumps(fields).encode()
    return WebhookRequest({"X-Signature": sign(body)["X-Signature"]}, body)


def test_the_same_words_after_others_are_news_and_their_repeat_is_none(bridge: FakeBridge):
    """Events without an id and without a time: a second resolve has the bytes of the first."""
    receive = replace(bridge.receive_alert, verify=wire.verify)
    resolve, reopen = (
        {"event_type": f"alert.{event_type}", "alert_id": "a"} for event_type in ("resolved", "reopened")
    )
    other = {"event_type": "alert.resolved", "alert_id": "b"}
    answer = [resolve, resolve, other, resolve, reopen, resolve, resolve, reopen, reopen, resolve]
    outcomes = [receive(signed(one)).outcome for one in answer]
    new, again = Outcome.ACCEPTED, Outcome.DUPLICATE
    assert [new, again, new, again, new, new, again, new, again, new] == outcomes
    assert [resolve, other, reopen, resolve, reopen, resolve] == [
        json.loads(delivery.body) for delivery in bridge.inbox.deliveries.values()
    ]


def test_two_events_with_one_id_are_two_and_a_repeat_of_either_is_none(bridge: FakeBridge):
    receive = replace(bridge.receive_alert, verify=wire.verify)
    answer = [
        {"event_id": "corr-7", "event_type": f"alert.{event_type}", "alert_id": "a"}
        for event_type in ("detected", "resolved")
    ]
    outcomes = [receive(signed(one)).outcome for one in (*answer, *answer)]
    assert [Outcome.ACCEPTED] * 2 + [Outcome.DUPLICATE] * 2 == outcomes
