"""How the two partners sign a webhook: HMAC-SHA256 over the raw bytes, in four spellings."""

import hashlib
import hmac


def _hex(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def pagerduty_headers(secret: str, body: bytes) -> dict[str, str]:
    """``v1=`` and the hex digest. https://developer.pagerduty.com/docs/webhooks/webhook-signatures/"""
    return {"X-PagerDuty-Signature": f"v1={_hex(secret, body)}"}


def truthvouch_headers(variant: str, secret: str, body: bytes, at: float) -> dict[str, str]:
    """One of TruthVouch's three documented variants: ``s1``, ``s2`` or ``s3``.

    ``at`` is the time of the *event* in epoch seconds: a retry repeats it, however late it comes.
    https://docs.truthvouch.ai/developers/webhooks/signatures/ (s1),
    https://truthvouch-doc.pages.dev/developers/webhooks/signatures (s2) and .../webhooks/overview (s3).
    """
    if variant == "s2":
        stamp = str(int(at))
        return {"X-TruthVouch-Signature": f"t={stamp},v1={_hex(secret, stamp.encode() + b'.' + body)}"}
    if variant == "s3":
        return {"X-Signature": f"hmac-sha256={_hex(secret, body)}"}
    return {"X-TruthVouch-Signature": f"sha256={_hex(secret, body)}"}
