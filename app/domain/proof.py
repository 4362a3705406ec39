"""Is a body signed with one of our secrets? HMAC-SHA256, the one construction both vendors use.

And what is known of the deliveries that were not: a wrong secret must not look like a partner that is silent.
"""

import hmac
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from app.domain.names import instant

MAX_SIGNATURES = 32
"""How many signatures of one header are looked at: rotation needs two, an attacker would like a million."""

SAME_SERIES = timedelta(hours=1)
"""Refused deliveries that lie further apart than this are counted anew."""

UNSIGNED = frozenset({"signature_missing", "signature_malformed"})
"""Why a delivery was refused that no secret ever touched."""
UNSIGNED_IN_NUMBER = 3
"""So many of those, and never a good one: commonly the sender has no secret."""

_HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def entries(header: str) -> list[str]:
    """The comma-separated entries of a signature header, trimmed; at most ``MAX_SIGNATURES``."""
    return [entry.strip() for entry in header.split(",", MAX_SIGNATURES)[:MAX_SIGNATURES]]


def digests(candidates: Iterable[str]) -> list[bytes]:
    """Those candidates that are a SHA-256 in hexadecimal, as bytes."""
    return [bytes.fromhex(text) for text in islice(candidates, MAX_SIGNATURES) if _HEX_SHA256.fullmatch(text)]


def usable(secrets: Sequence[str]) -> bool:
    """Is there a secret at all? The empty one proves nothing: everybody knows it."""
    return any(secrets)


def matching_secret(message: bytes, signatures: Sequence[bytes], secrets: Sequence[str]) -> int | None:
    """The index of the first secret that made one of these signatures over ``message``, compared in constant time.

    Secrets are used whole, as UTF-8, prefix and all. An empty secret never matches.
    """
    for index, secret in enumerate(secrets):
        if not secret:
            continue
        expected = hmac.digest(secret.encode("utf-8", "surrogatepass"), message, "sha256")
        if any(hmac.compare_digest(expected, signature) for signature in signatures):
            return index
    return None


@dataclass(frozen=True, slots=True)
class RefusedDeliveries:
    """Deliveries to one hook whose signature proved nothing, for one reason: how many, since when, and the newest."""

    count: int
    reason: str
    """``signature_mismatch``, ``signature_missing``, ``signature_malformed``, ``signature_stale``."""
    since: datetime
    at: datetime

    def followed_by(self, later: "RefusedDeliveries") -> "RefusedDeliveries":
        """One series where they lie close together, else the later ones alone. Both are of one hook and one reason."""
        if later.since - self.at > SAME_SERIES:
            return later
        return RefusedDeliveries(
            self.count + later.count, self.reason, min(self.since, later.since), max(self.at, later.at)
        )

    def is_wrong(self, heard_at: datetime | None) -> bool:
        """Whether they are taken for webhooks of the partner's that we miss, with the last good one at ``heard_at``.

        Anybody can send what carries no signature: beside a partner that was ever heard it says nothing of the secret,
        and without one only in number.
        """
        if heard_at is not None:
            return self.at >= heard_at and self.reason not in UNSIGNED
        return self.reason not in UNSIGNED or self.count >= UNSIGNED_IN_NUMBER

    def as_text(self) -> str:
        """How it is stored."""
        return json.dumps([self.count, self.reason, self.since.isoformat(), self.at.isoformat()])

    @classmethod
    def from_text(cls, text: str | None) -> "RefusedDeliveries | None":
        """What ``as_text`` wrote; None for anything else."""
        try:
            count, reason, since, at = json.loads(text or "null")
        except (TypeError, ValueError):
            return None
        first, last = instant(since), instant(at)
        return cls(int(count), str(reason), first, last) if first and last else None
