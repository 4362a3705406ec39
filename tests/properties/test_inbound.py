"""Laws of both inbound readers: a signed body verifies; any changed byte, header or secret does not; one good signature
among many is enough; no input raises anything but ``Refusal``; reading never raises and always answers."""

import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app.domain.model.events import Envelope
from app.pagerduty import inbound as pagerduty
from app.ports import Refusal
from app.truthvouch import wire as truthvouch
from tests.contract.pagerduty import PAYLOADS

Signer = Callable[[bytes, str], dict[str, str]]


def mac(message: bytes, secret: str) -> str:
    """What any language's standard library makes of it."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def v3(body: bytes, secret: str) -> dict[str, str]:
    """PagerDuty's."""
    return {"X-PagerDuty-Signature": "v1=" + mac(body, secret)}


def sha256_body(body: bytes, secret: str) -> dict[str, str]:
    """TruthVouch's newest."""
    return {"X-TruthVouch-Signature": "sha256=" + mac(body, secret)}


def bare(body: bytes, secret: str) -> dict[str, str]:
    """The same without a prefix."""
    return {"X-TruthVouch-Signature": mac(body, secret)}


def t_v1(body: bytes, secret: str) -> dict[str, str]:
    """TruthVouch's timed one."""
    return {"X-TruthVouch-Signature": "t=1705314600,v1=" + mac(b"1705314600." + body, secret)}


def x_signature(body: bytes, secret: str) -> dict[str, str]:
    """TruthVouch's overview page's."""
    return {"X-Signature": "hmac-sha256=" + mac(body, secret)}


WAYS = pytest.mark.parametrize(
    ("verify", "sign"),
    [
        (pagerduty.verify, v3),
        (truthvouch.verify, sha256_body),
        (truthvouch.verify, bare),
        (truthvouch.verify, t_v1),
        (truthvouch.verify, x_signature),
    ],
    ids=lambda way: way.__name__ if way.__name__ != "verify" else way.__module__.split(".")[1],
)
BOTH = pytest.mark.parametrize("room", [pagerduty, truthvouch], ids=["pagerduty", "truthvouch"])

SECRETS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
NAMES = (
    st.sampled_from(
        ["event", "id", "event_id", "event_type", "type", "data", "alert", "incident", "alertId", "alert_id"]
    )
    | st.sampled_from(
        ["details", "source", "agent", "content", "confidence", "severity", "resolve_reason", "timestamp"]
    )
    | st.sampled_from(["occurred_at", "body", "number", "createdAt", "resolved_by", "incident_role_assignments"])
)
KINDS = st.sampled_from(
    [
        "alert.created",
        "alert.resolved",
        "incident.resolved",
        "incident.annotated",
        "incident.role.assigned",
        "merge_resolve_reason",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | KINDS | st.just("9" * 700),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6),
    max_leaves=25,
)
EVENTS = st.dictionaries(NAMES, JSON, max_size=8).map(
    lambda fields: {"type": "alert.created", "alert_id": "a"} | fields
)
INCIDENT_EVENTS = st.dictionaries(NAMES, JSON, max_size=8).map(
    lambda fields: {"event": {"event_type": "incident.resolved", "data": {"id": "Q1"}} | fields}
)
BODIES = st.binary(max_size=300) | (JSON | EVENTS | INCIDENT_EVENTS).map(json.dumps).map(str.encode)


def refusal(verify, headers: dict[str, str], body: bytes, secrets) -> str:
    with pytest.raises(Refusal) as refused:
        verify(Headers(headers), body, secrets, 1705314600.0)
    return refused.value.reason


@WAYS
@given(body=BODIES, secret=SECRETS)
def test_a_signed_body_verifies(verify, sign, body, secret):
    assert isinstance(verify(Headers(sign(body, secret)), body, [secret], 1705314600.0), Envelope)


@WAYS
@given(body=BODIES, secret=SECRETS, other=st.lists(SECRETS | st.just(""), max_size=3), place=st.integers(0, 3))
def test_any_of_several_secrets_may_match_and_the_first_is_named(verify, sign, body, secret, other, place):
    secrets = [*other[:place], secret, *other[place:]]
    assert secrets.index(secret) == verify(Headers(sign(body, secret)), body, secrets, 0.0).secret_index


@WAYS
@given(body=BODIES.filter(bool), secret=SECRETS, data=st.data())
def test_a_body_with_any_byte_changed_does_not_verify(verify, sign, body, secret, data):
    place, flip = data.draw(st.integers(0, len(body) - 1)), data.draw(st.integers(1, 255))
    changed = body[:place] + bytes([body[place] ^ flip]) + body[place + 1 :]
    assert "signature_mismatch" == refusal(verify, sign(body, secret), changed, [secret])


@WAYS
@given(body=BODIES, secret=SECRETS, more=st.binary(min_size=1, max_size=5))
def test_a_body_made_longer_does_not_verify(verify, sign, body, secret, more):
    assert "signature_mismatch" == refusal(verify, sign(body, secret), body + more, [secret])


@WAYS
@given(body=BODIES, secret=SECRETS, data=st.data())
def test_a_header_with_any_digit_changed_does_not_verify(verify, sign, body, secret, data):
    [(name, value)] = sign(body, secret).items()
    place = data.draw(st.integers(len(value) - 64, len(value) - 1))
    digit = data.draw(st.sampled_from("0123456789abcdef"))
    assume(digit != value[place])
    assert "signature_mismatch" == refusal(verify, {name: value[:place] + digit + value[place + 1 :]}, body, [secret])


@WAYS
@given(body=BODIES, secret=SECRETS, other=SECRETS)
def test_another_secret_does_not_verify(verify, sign, body, secret, other):
    # HMAC pads keys with zero bytes, so these two would be one key
    assume(secret.rstrip("\0") != other.rstrip("\0"))
    assert "signature_mismatch" == refusal(verify, sign(body, secret), body, [other])


@WAYS
@given(body=BODIES, secret=SECRETS, wrong=st.lists(SECRETS, max_size=12), place=st.integers(0, 12))
def test_one_good_signature_among_many_is_enough(verify, sign, body, secret, wrong, place):
    [(name, good)] = sign(body, secret).items()
    time, _, good = good.rpartition(",")
    entries = [next(iter(sign(body, other).values())).rpartition(",")[2] for other in wrong]
    header = ", ".join(filter(None, [time, *entries[:place], good, *entries[place:]]))
    assert isinstance(verify(Headers({name: header}), body, [secret], 0.0), Envelope)


HEADERS = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=200) | st.lists(
    st.sampled_from(
        ["t=1", "t=", "v1=", "v1=" + "0" * 64, "sha256=" + "f" * 64, "hmac-sha256=", "0" * 64, "=", " ", "é"]
    ),
    max_size=60,
).map(",".join)


@BOTH
@given(
    header=HEADERS,
    name=st.sampled_from(["X-PagerDuty-Signature", "X-TruthVouch-Signature", "X-Signature"]),
    encoding=st.none() | HEADERS,
    body=BODIES,
    secrets=st.lists(st.text(max_size=5), max_size=3),
    now=st.floats(),
)
def test_nothing_that_can_be_sent_raises_anything_but_a_refusal(room, header, name, encoding, body, secrets, now):
    headers = Headers({name: header})
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    with suppress(Refusal):
        assert isinstance(room.verify(headers, body, secrets, now), Envelope)


@BOTH
@given(body=BODIES, encoding=st.none() | st.sampled_from(["gzip", "identity", "", "é"]))
def test_reading_never_raises_always_answers_and_what_it_says_can_be_stored(room, body, encoding):
    [reading] = room.read(body, encoding)
    stored = json.dumps(asdict(reading), ensure_ascii=False, allow_nan=False, default=str)
    assert "\\u0000" not in stored.replace("\\\\u0000", "")
    stored.encode()


@BOTH
@given(depth=st.integers(1, 3_000), name=NAMES)
def test_no_depth_is_too_deep_to_answer(room, depth, name):
    body = b'{"event_type": "alert.created", "alert_id": "a", "%s": ' % name.encode()
    assert 1 == len(room.read(body + b'{"%s":' % name.encode() * depth + b"1" + b"}" * depth + b"}", None))


@BOTH
@given(body=BODIES, secret=SECRETS)
def test_the_envelope_promises_what_the_reading_keeps(room, body, secret):
    """A faulty envelope is parked under the same reason by the reading, and a delivery id always fits its column."""
    sign = v3 if room is pagerduty else sha256_body
    envelope = room.verify(Headers(sign(body, secret)), body, [secret], 0.0)
    [reading] = room.read(body, None)
    assert 1 <= len(envelope.delivery_id.encode()) <= 200
    envelope.subject.encode()
    if envelope.fault:
        assert envelope.fault == reading.reason


@given(name=st.sampled_from(sorted(PAYLOADS)), cut=st.integers(0, 2_000))
def test_a_delivery_cut_short_anywhere_still_has_an_answer(name, cut):
    assert 1 == len(pagerduty.read(PAYLOADS[name][:cut], None))
