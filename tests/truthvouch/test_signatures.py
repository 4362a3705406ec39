"""The three documented signatures of TruthVouch, and everything that is none of them."""

import hashlib
import hmac
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from app.domain.rules.rulebook import Rulebook
from app.ports import Refusal
from app.truthvouch import wire
from tests.rig import FixedRulebook

SECRET = "whsec_test_secret"
BODY = b'{"event_id":"evt-0001","event_type":"alert.detected","alert_id":"alert-xyz789"}'
T = 1705314600
PLAIN = "40f53ff99bb9d1e550ffe0d035486f163bb145865cd9dd6e321794c6aad5d069"
TIMED = "926f9aec794df9f34bb276b15131f4a9601ef6530293014ff287f4638cabda6d"
MAIN, OVERVIEW = "X-TruthVouch-Signature", "X-Signature"
NIL = "0" * 64


def verify(headers: dict[str, str], body: bytes = BODY, secrets=(SECRET,), now: float = T, window: float = 0):
    sent: Any = Headers(headers)
    return wire.verify(sent, body, secrets, now, replay_window_seconds=window)


def refused(headers: dict[str, str], **more) -> str:
    with pytest.raises(Refusal) as refusal:
        verify(headers, **more)
    return refusal.value.reason


def sign(message: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({MAIN: f"sha256={PLAIN}"}, "sha256-body"),
        ({MAIN: PLAIN}, "sha256-body"),
        ({MAIN: PLAIN.upper()}, "sha256-body"),
        ({MAIN: f" sha256={NIL}, sha256={PLAIN} "}, "sha256-body"),
        ({MAIN: f"t={T},v1={TIMED}"}, "t-v1"),
        ({MAIN: f"v1={TIMED}, t={T}"}, "t-v1"),
        ({MAIN: f"t={T},v1={NIL},v1={TIMED},v0={NIL}"}, "t-v1"),
        ({OVERVIEW: f"hmac-sha256={PLAIN}"}, "x-signature"),
        ({OVERVIEW: PLAIN}, "x-signature"),
        ({OVERVIEW: f"hmac-sha256={PLAIN}", MAIN: " "}, "x-signature"),
    ],
)
def test_each_documented_variant_verifies_with_its_vector(headers, scheme):
    envelope = verify(headers)
    assert ("alert.detected", "alert-xyz789") == (envelope.event, envelope.subject)
    assert "evt-0001:alert.detected:alert-xyz789" == envelope.delivery_id
    assert (scheme, 0, "") == (envelope.scheme, envelope.secret_index, envelope.fault)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "signature_missing"),
        ({MAIN: ""}, "signature_missing"),
        ({"X-PagerDuty-Signature": f"v1={PLAIN}"}, "signature_missing"),
        ({MAIN: "sha256="}, "signature_malformed"),
        ({MAIN: f"sha1={PLAIN}"}, "signature_malformed"),
        ({MAIN: f"sha256={PLAIN}00"}, "signature_malformed"),
        ({MAIN: "sha256=" + "é" * 64}, "signature_malformed"),
        ({MAIN: f"v1={TIMED}"}, "signature_malformed"),
        ({MAIN: f"t={T}"}, "signature_malformed"),
        ({MAIN: f"t=,v1={TIMED}"}, "signature_malformed"),
        ({MAIN: f"t=-{T},v1={TIMED}"}, "signature_malformed"),
        ({MAIN: f"t={'9' * 5000},v1={TIMED}"}, "signature_malformed"),
        ({MAIN: f"t={T},t={T + 1},v1={TIMED}"}, "signature_malformed"),
        ({MAIN: f"t={T + 1},v1={TIMED}"}, "signature_mismatch"),
        ({MAIN: f"t={T},v1={PLAIN}"}, "signature_mismatch"),
        ({MAIN: f"t={T},sha256={PLAIN},v1={NIL}"}, "signature_mismatch"),
        ({MAIN: f"sha256={TIMED}"}, "signature_mismatch"),
        ({MAIN: f"sha256={NIL}", OVERVIEW: f"hmac-sha256={PLAIN}"}, "signature_mismatch"),
        ({MAIN: f"hmac-sha256={PLAIN}"}, "signature_malformed"),
        ({MAIN: ",".join([f"sha256={NIL}"] * 5_000)}, "signature_mismatch"),
    ],
)
def test_everything_else_is_refused_and_nothing_falls_back_to_another_variant(headers, reason):
    assert reason == refused(headers)


def test_a_body_changed_by_one_space_is_refused():
    assert "signature_mismatch" == refused({MAIN: f"sha256={PLAIN}"}, body=BODY + b" ")


def test_a_timed_signature_cannot_be_passed_off_as_an_untimed_one():
    recut = str(T).encode() + b"." + BODY
    assert "signature_mismatch" == refused({MAIN: f"sha256={TIMED}"}, body=recut)
    assert "signature_mismatch" == refused({OVERVIEW: TIMED}, body=recut)


def test_a_number_is_a_strange_body_but_an_authentic_one():
    assert "not_an_object" == verify({MAIN: sign(b"1705314600.5")}, body=b"1705314600.5").fault


@pytest.mark.parametrize("drift", [-300, -299, 0, 299, 300])
def test_within_the_replay_window_either_way_is_fresh(drift):
    assert "t-v1" == verify({MAIN: f"t={T},v1={TIMED}"}, now=T + drift, window=300).scheme


@pytest.mark.parametrize("drift", [-301, 301, -(10**9), 10**9])
def test_outside_the_replay_window_either_way_is_stale(drift):
    assert "signature_stale" == refused({MAIN: f"t={T},v1={TIMED}"}, now=T + drift, window=300)


def test_without_a_window_a_retry_of_last_month_still_counts():
    assert "t-v1" == verify({MAIN: f"t={T},v1={TIMED}"}, now=T + 30 * 86_400).scheme


def test_the_window_is_that_of_the_rulebook_in_force():
    headers: Any = Headers({MAIN: f"t={T},v1={TIMED}"})
    rulebook = FixedRulebook(Rulebook(replay_window_seconds=300))
    with pytest.raises(Refusal, match="signature_stale"):
        wire.verify_by(rulebook, headers, BODY, (SECRET,), T + 301)
    rulebook.rulebook = Rulebook()
    assert "t-v1" == wire.verify_by(rulebook, headers, BODY, (SECRET,), T + 301).scheme


def test_a_forged_time_is_a_mismatch_before_it_is_stale():
    assert "signature_mismatch" == refused({MAIN: f"t=1,v1={TIMED}"}, window=300)


def test_the_window_cannot_judge_schemes_that_sign_no_time():
    assert "sha256-body" == verify({MAIN: f"sha256={PLAIN}"}, now=T + 10**9, window=300).scheme


def test_any_configured_secret_may_match_and_is_named():
    assert 2 == verify({MAIN: f"sha256={PLAIN}"}, secrets=("new", "", SECRET)).secret_index


def test_the_secret_is_used_whole_with_its_prefix():
    assert "signature_mismatch" == refused({MAIN: f"sha256={PLAIN}"}, secrets=("test_secret",))


@pytest.mark.parametrize("secrets", [(), ("",)])
def test_without_a_secret_nothing_is_authentic_not_even_what_the_empty_secret_signed(secrets):
    assert "no_secret" == refused({MAIN: sign(BODY, "")}, secrets=secrets)
