"""TruthVouch's three documented signatures. The header says which one applies; none stands in for another.

=============  ========================  ==========================  ======================
scheme         header                    value                       what is signed
=============  ========================  ==========================  ======================
sha256-body    X-TruthVouch-Signature    ``sha256=<hex>``, ``<hex>``   the body
t-v1           X-TruthVouch-Signature    ``t=<seconds>,v1=<hex>``      ``<t>.`` and the body
x-signature    X-Signature               ``hmac-sha256=<hex>``         the body
=============  ========================  ==========================  ======================

https://docs.truthvouch.ai/developers/webhooks/signatures/
https://truthvouch-doc.pages.dev/developers/webhooks/signatures
https://truthvouch-doc.pages.dev/developers/webhooks/overview
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain import proof
from app.ports import Refusal

SIGNATURE_HEADER = "X-TruthVouch-Signature"
OVERVIEW_HEADER = "X-Signature"
BODY_SCHEME = "sha256-body"
TIMED_SCHEME = "t-v1"
OVERVIEW_SCHEME = "x-signature"

_SECONDS = re.compile(r"[0-9]{1,15}")
_TIMED_MESSAGE = re.compile(rb"[0-9]{1,15}\.\s*\{")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a header claims: these signatures, made this way, at ``signed_at`` (epoch seconds) if it says so."""

    scheme: str
    signatures: Sequence[bytes]
    signed_at: str | None = None

    def message(self, body: bytes) -> bytes:
        """The bytes the claim is about."""
        return body if self.signed_at is None else self.signed_at.encode() + b"." + body


def claimed(headers: Mapping[str, str]) -> Claim:
    """Read the claim. Raises ``Refusal``: ``signature_missing``, ``signature_malformed``."""
    header = (headers.get(SIGNATURE_HEADER) or "").strip()
    if header:
        entries = proof.entries(header)
        timed = any(entry.startswith(("t=", "v1=")) for entry in entries)
        return _timed(entries) if timed else _plain(entries, BODY_SCHEME, "sha256=")
    overview = (headers.get(OVERVIEW_HEADER) or "").strip()
    if not overview:
        raise Refusal("signature_missing")
    return _plain(proof.entries(overview), OVERVIEW_SCHEME, "hmac-sha256=")


def prove(claim: Claim, body: bytes, secrets: Sequence[str], now: float, replay_window_seconds: float) -> int:
    """Which secret proves the claim. Raises ``Refusal``: ``signature_mismatch``, ``signature_stale``.

    ``replay_window_seconds`` is the greatest distance between ``signed_at`` and ``now``, either way; 0 means any,
    because TruthVouch's retries, hours later, may carry the first attempt's time.
    """
    # A timed signature proves "<t>.<body>". Those bytes must not pass as an untimed body: it would shed its time.
    recut = claim.signed_at is None and _TIMED_MESSAGE.match(body)
    index = None if recut else proof.matching_secret(claim.message(body), claim.signatures, secrets)
    if index is None:
        raise Refusal("signature_mismatch")
    if replay_window_seconds > 0 and claim.signed_at and abs(now - int(claim.signed_at)) > replay_window_seconds:
        raise Refusal("signature_stale")
    return index


def _plain(entries: Sequence[str], scheme: str, prefix: str) -> Claim:
    return Claim(scheme, _some([entry.removeprefix(prefix) for entry in entries]))


def _timed(entries: Sequence[str]) -> Claim:
    times = {entry.removeprefix("t=") for entry in entries if entry.startswith("t=")}
    if len(times) != 1 or not _SECONDS.fullmatch(signed_at := times.pop()):
        raise Refusal("signature_malformed")
    values = [entry.removeprefix("v1=") for entry in entries if entry.startswith("v1=")]
    return Claim(TIMED_SCHEME, _some(values), signed_at)


def _some(values: Sequence[str]) -> Sequence[bytes]:
    signatures = proof.digests(values)
    if not signatures:
        raise Refusal("signature_malformed")
    return signatures
