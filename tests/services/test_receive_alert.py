"""A delivery from TruthVouch: proved, stored, and only then accepted. The other door is the same code."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain.names import Side, Source
from app.domain.proof import RefusedDeliveries
from app.ports import StoreUnavailable
from app.services.receiving import Arrival, Outcome, Receipt, RefusedTally
from app.truthvouch import inbound
from tests.conftest import FakeClock
from tests.doors import Doors, sign

BODY = b"evt-1\nalert-7\nprompt of a person"


@pytest.fixture
def doors(clock: FakeClock) -> Doors:
    return Doors(clock)


def arrival(body: bytes = BODY, **facts: Any) -> Arrival:
    return Arrival(headers={**sign(body), **facts.pop("headers", {})}, body=body, request_id="req-1", **facts)


def test_an_authentic_delivery_is_stored_as_it_came(doors: Doors, clock: FakeClock):
    assert Receipt(Outcome.ACCEPTED) == doors.receive_alert(arrival(headers={"Content-Encoding": "gzip"}))
    stored = doors.inbox.only
    assert (Source.TRUTHVOUCH, "evt-1", BODY) == (stored.source, stored.delivery_id, stored.body)
    assert (clock(), "req-1", "gzip") == (stored.received_at, stored.request_id, stored.content_encoding)


def test_the_bell_rings_after_the_delivery_is_stored_and_only_for_a_new_one(doors: Doors):
    doors.receive_alert(arrival())
    assert Receipt(Outcome.DUPLICATE) == doors.receive_alert(arrival())
    assert 1 == doors.bell.rings


def test_a_broken_bell_refuses_nothing(doors: Doors):
    doors.bell.broken = True
    assert Receipt(Outcome.ACCEPTED) == doors.receive_alert(arrival())


def test_an_unreadable_delivery_is_stored_and_parked(doors: Doors):
    assert Receipt(Outcome.PARKED, "not_json") == doors.receive_alert(arrival(b"\nnonsense"))
    assert 1 == len(doors.inbox.deliveries)
    assert 1 == doors.bell.rings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"headers": {"X-Signature": ""}}, Receipt(Outcome.REFUSED, "signature_missing")),
        ({"headers": {"X-Signature": "0"}}, Receipt(Outcome.REFUSED, "signature_mismatch")),
        ({"flaw": "body_incomplete"}, Receipt(Outcome.REFUSED, "body_incomplete")),
        ({"too_large": True}, Receipt(Outcome.TOO_LARGE, "body_too_large")),
    ],
)
def test_what_is_not_proved_whole_is_not_stored(doors: Doors, given: dict[str, Any], expected: Receipt):
    assert expected == doors.receive_alert(arrival(**given))
    assert {} == doors.inbox.deliveries
    assert 1 == doors.meter.counts["refused", Side.TRUTHVOUCH, expected.reason]


@pytest.mark.parametrize("headers", [sign(BODY), sign(BODY, ""), {"X-Signature": ""}])
def test_without_a_secret_the_door_is_shut(clock: FakeClock, headers: dict[str, str]):
    doors = Doors(clock, secrets=())
    assert Receipt(Outcome.UNAVAILABLE, "no_secret") == doors.receive_alert(arrival(headers=headers))
    assert {} == doors.inbox.deliveries


def test_a_store_that_cannot_be_written_makes_the_sender_try_again(doors: Doors):
    doors.inbox.broken = StoreUnavailable("disk full")
    assert Receipt(Outcome.UNAVAILABLE, "store_unavailable") == doors.receive_alert(arrival())
    doors.inbox.broken = None
    assert Receipt(Outcome.ACCEPTED) == doors.receive_alert(arrival())


def test_each_outcome_is_counted(doors: Doors):
    doors.receive_alert(arrival())
    doors.receive_alert(arrival())
    doors.receive_alert(Arrival(sign(b"evt-2", "older-secret"), b"evt-2"))
    counts = doors.meter.counts
    assert 2 == counts["accepted", Side.TRUTHVOUCH]
    assert 1 == counts["duplicated", Side.TRUTHVOUCH]
    assert (2, 1) == (counts["matched", Side.TRUTHVOUCH, 0], counts["matched", Side.TRUTHVOUCH, 1])


def test_one_line_names_the_delivery_and_nothing_of_its_content(doors: Doors):
    with capture_logs() as lines:
        doors.receive_alert(Arrival(sign(BODY, "older-secret"), BODY))
    expected = {
        "event": "alert.accepted", "log_level": "info", "delivery_id": "evt-1", "event_type": "matter.moved",
        "alert_id": "alert-7", "secret_index": 1, "bytes": len(BODY),
    }  # fmt: skip
    assert [expected] == lines


def test_a_refusal_is_one_line_with_its_reason(doors: Doors):
    with capture_logs() as lines:
        doors.receive_alert(Arrival({}, BODY))
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


def test_a_flood_of_refused_deliveries_is_written_down_once_and_in_no_request(doors: Doors, clock: FakeClock):
    refused, began = Refused(), clock()
    receive = replace(doors.receive_alert, remember=refused.tally)
    for headers in (sign(BODY, "rotated"), {}, sign(BODY, "rotated")):
        receive(Arrival(headers, BODY))
        clock.advance(1)
    assert (0, 1) == (len(refused.written), len(refused.due))
    refused.due.pop()()
    last = began + timedelta(seconds=2)
    unsigned_at = began + timedelta(seconds=1)
    assert [
        (Side.TRUTHVOUCH, RefusedDeliveries(2, "signature_mismatch", began, last)),
        (Side.TRUTHVOUCH, RefusedDeliveries(1, "signature_missing", unsigned_at, unsigned_at)),
    ] == refused.written
    receive(Arrival({}, BODY))
    assert 1 == len(refused.due)


def test_only_what_was_not_signed_rightly_counts_as_refused(doors: Doors):
    refused = Refused()
    receive = replace(doors.receive_alert, remember=refused.tally)
    receive(arrival())
    receive(arrival(too_large=True))
    receive(arrival(flaw="body_incomplete"))
    assert [] == refused.due


def test_a_count_that_cannot_be_put_off_refuses_nothing_and_is_not_lost(doors: Doors, clock: FakeClock):
    refused, began = Refused(), clock()
    ways = [refused.due.append, out_of_threads]
    tally = RefusedTally(refused.write, lambda act: ways.pop()(act))
    receive = replace(doors.receive_alert, remember=tally)
    for _ in range(2):
        assert Outcome.REFUSED is receive(Arrival({}, BODY)).outcome
    refused.due.pop()()
    assert [(Side.TRUTHVOUCH, RefusedDeliveries(2, "signature_missing", began, began))] == refused.written


def out_of_threads(_act: Callable[[], None]) -> None:
    raise RuntimeError("can't start new thread")


def test_refused_deliveries_are_kept_until_the_store_takes_them(doors: Doors, clock: FakeClock):
    refused, began = Refused(), clock()
    receive = replace(doors.receive_alert, remember=refused.tally)
    receive(Arrival({}, BODY))
    refused.broken = True
    refused.due.pop()()
    refused.broken = False
    receive(Arrival({}, BODY))
    refused.due.pop()()
    assert [(Side.TRUTHVOUCH, RefusedDeliveries(2, "signature_missing", began, began))] == refused.written


def signed(told: dict[str, str]) -> Arrival:
    """A delivery as TruthVouch signs it."""
    body = json.dumps(told).encode()
    return Arrival({"X-Signature": sign(body)["X-Signature"]}, body)


def test_the_same_words_after_others_are_news_and_their_repeat_is_none(doors: Doors):
    """Events without an id and without a time: a second resolve has the bytes of the first."""
    receive = replace(doors.receive_alert, verify=inbound.verify)
    resolve, reopen = ({"event_type": f"alert.{verb}", "alert_id": "a"} for verb in ("resolved", "reopened"))
    other = {"event_type": "alert.resolved", "alert_id": "b"}
    told = [resolve, resolve, other, resolve, reopen, resolve, resolve, reopen, reopen, resolve]
    outcomes = [receive(signed(one)).outcome for one in told]
    new, again = Outcome.ACCEPTED, Outcome.DUPLICATE
    assert [new, again, new, again, new, new, again, new, again, new] == outcomes
    assert [resolve, other, reopen, resolve, reopen, resolve] == [
        json.loads(delivery.body) for delivery in doors.inbox.deliveries.values()
    ]


def test_two_events_with_one_id_are_two_and_a_repeat_of_either_is_none(doors: Doors):
    receive = replace(doors.receive_alert, verify=inbound.verify)
    told = [{"event_id": "corr-7", "event_type": f"alert.{verb}", "alert_id": "a"} for verb in ("detected", "resolved")]
    outcomes = [receive(signed(one)).outcome for one in (*told, *told)]
    assert [Outcome.ACCEPTED] * 2 + [Outcome.DUPLICATE] * 2 == outcomes
