"""Whose word a webhook is: the signature, the envelope, and bodies that are no events."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from app.domain.model.events import Unreadable
from app.pagerduty import inbound
from app.ports import Refusal
from tests.contract.pagerduty import PAYLOADS

SECRET = "pd-secret"
BODY = PAYLOADS["acknowledged-by_user"]


def sign(body: bytes, secret: str = SECRET) -> str:
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify(header: str | None, body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,), **more: str):
    headers: Any = Headers(more)
    if header is not None:
        headers["X-PagerDuty-Signature"] = header
    return inbound.verify(headers, body, secrets, 0.0)


def refused(header: str | None, **more) -> str:
    with pytest.raises(Refusal) as refusal:
        verify(header, **more)
    return refusal.value.reason


def test_a_signed_delivery_is_known_by_its_event_id():
    envelope = verify(sign(BODY))
    known_by = "01GKTVA0000000000000000004:incident.acknowledged:Q0TVINC0000001"
    assert (known_by, "incident.acknowledged") == (envelope.delivery_id, envelope.event)
    assert ("Q0TVINC0000001", 0, "v1", "") == (envelope.subject, envelope.secret_index, envelope.scheme, envelope.fault)


def test_the_answer_names_which_secret_matched():
    assert 1 == verify(sign(BODY, "old"), secrets=("new", "old")).secret_index


@pytest.mark.parametrize("separator", [",", ", ", " , "])
def test_one_good_signature_among_several_is_enough(separator):
    assert verify(separator.join([sign(BODY, "other"), "v2=abc", sign(BODY)])).delivery_id


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "signature_missing"),
        ("", "signature_missing"),
        ("  ", "signature_missing"),
        ("v1=", "signature_malformed"),
        ("v1=zz", "signature_malformed"),
        ("v1=" + "é" * 64, "signature_malformed"),
        ("v1=" + "٣" * 64, "signature_malformed"),
        ("v0=" + "0" * 64, "signature_malformed"),
        (sign(BODY).removeprefix("v1="), "signature_malformed"),
        ("v1=" + "0" * 64, "signature_mismatch"),
        (sign(BODY, "wrong"), "signature_mismatch"),
        (sign(BODY + b" "), "signature_mismatch"),
        (",".join(["v1=" + "0" * 64] * 5_000), "signature_mismatch"),
        ("v1=" + "0" * 1_000_000, "signature_malformed"),
    ],
)
def test_anything_else_is_refused_with_a_reason(header, reason):
    assert reason == refused(header)


def test_only_the_first_signatures_of_a_flood_are_looked_at():
    assert "signature_mismatch" == refused(",".join(["v1=" + "0" * 64] * 32 + [sign(BODY)]))


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_without_a_secret_nothing_is_authentic_not_even_what_the_empty_secret_signed(secrets):
    assert "no_secret" == refused(sign(BODY, ""), secrets=secrets)


def test_an_empty_secret_beside_a_real_one_opens_nothing():
    assert "signature_mismatch" == refused(sign(BODY, ""), secrets=("", SECRET))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff\xfe", "not_utf8"),
        (b"{", "not_json"),
        (b"{} {}", "not_json"),
        (b"[1]", "not_an_object"),
        (b'"x"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b"{}", "no_event_type"),
        (b'{"event": {}}', "no_event_type"),
        (b'{"event": {"event_type": 5}}', "no_event_type"),
    ],
)
def test_an_authentic_body_that_is_no_event_is_known_by_its_hash_and_parked(body, fault):
    envelope = verify(sign(body), body=body)
    assert (hashlib.sha256(body).hexdigest(), fault) == (envelope.delivery_id, envelope.fault)
    assert (Unreadable(fault),) == inbound.read(body, None)


def test_an_encoded_body_is_authentic_but_never_decoded():
    more = {"Content-Encoding": "gzip"}
    assert "content_encoding" == verify(sign(BODY), **more).fault
    assert (Unreadable("content_encoding"),) == inbound.read(BODY, "gzip")
    assert "" == verify(sign(BODY), **{"Content-Encoding": "identity"}).fault


def event(**fields) -> bytes:
    return json.dumps({"event": {"event_type": "incident.triggered", "data": {"id": "Q1"}} | fields}).encode()


@pytest.mark.parametrize("event_id", [7, "", " ", None, ["x"], True, {"a": 1}])
def test_an_event_id_that_is_no_text_gives_way_to_the_bodys_hash(event_id):
    body = event(id=event_id)
    assert hashlib.sha256(body).hexdigest() == verify(sign(body), body=body).delivery_id


@pytest.mark.parametrize("event_id", ["x" * 201, "nul\0", "\ud800", "caf\u00e9" * 60])
def test_an_event_id_too_long_or_odd_to_store_is_hashed_the_same_way_every_time(event_id):
    first, second = event(id=event_id), event(id=event_id, occurred_at="2026-01-01T00:00:00Z")
    known_by = verify(sign(first), body=first).delivery_id
    assert (64, known_by) == (len(known_by), verify(sign(second), body=second).delivery_id)


def test_of_duplicate_keys_the_last_counts_and_nan_is_nothing():
    body = b'{"event": {"id": "a", "id": "b", "event_type": "incident.triggered", "data": {"id": "Q1", "number": NaN}}}'
    assert "b:incident.triggered:Q1" == verify(sign(body), body=body).delivery_id
    assert inbound.read(body, None)[0].number is None


def test_a_byte_order_mark_is_no_obstacle():
    assert "Q0TVINC0000001" == verify(sign(b"\xef\xbb\xbf" + BODY), body=b"\xef\xbb\xbf" + BODY).subject
