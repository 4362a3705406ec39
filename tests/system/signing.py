"""Signing webhooks as the two vendors document it, written independently of the bridge's own reading.

https://docs.truthvouch.ai/developers/webhooks/signatures/ and
https://developer.pagerduty.com/docs/webhooks/webhook-signatures/
"""

import hashlib
import hmac

TRUTHVOUCH_SECRET = "whsec_sandbox_truthvouch"
PAGERDUTY_SECRET = "sandbox-pagerduty-secret"


def digest(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def from_truthvouch(body: bytes, secret: str = TRUTHVOUCH_SECRET) -> dict[str, str]:
    """Headers of the newest documented variant."""
    return {"Content-Type": "application/json", "X-TruthVouch-Signature": f"sha256={digest(secret, body)}"}


def from_pagerduty(body: bytes, secret: str = PAGERDUTY_SECRET) -> dict[str, str]:
    return {"Content-Type": "application/json", "X-PagerDuty-Signature": f"v1={digest(secret, body)}"}


def key_of(alert_id: str) -> str:
    """The ``incident_key`` and ``dedup_key`` of an alert."""
    return "truthvouch-" + hashlib.sha256(alert_id.encode()).hexdigest()
