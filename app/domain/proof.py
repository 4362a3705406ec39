"""Is a body signed with one of our secrets? HMAC-SHA256, the one construction both vendors use."""

import hmac
import re
from collections.abc import Iterable, Sequence
from itertools import islice

MAX_SIGNATURES = 32
"""How many signatures of one header are looked at: rotation needs two, an attacker would like a million."""

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
