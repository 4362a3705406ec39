"""Signed TruthVouch alerts as ready HTTP requests: distinct, 1.6 KB, the same for the same seed.

Only the end of a body differs from alert to alert, so the HMAC of the long front part is computed once and copied;
a request costs the generator a few microseconds and leaves the two cores to the bridge.
"""

import hashlib
import hmac
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

BODY_BYTES = 1_600
"""About the size of a PagerDuty webhook and of an alert with claim, evidence and metadata."""

_WORDS = ("refund", "policy", "warranty", "invoice", "region", "contract", "clause", "dosage", "deadline", "eligible")


@dataclass(frozen=True, slots=True)
class AlertMill:
    """Makes the ``n``-th alert of a seed. ``series`` keeps the rounds of one run apart."""

    seed: int
    secret: str
    occurred_at: str
    """ISO 8601, the event's own time; part of the signed body."""
    path: str = "/truthvouch/alerts"
    severity: str = "critical"

    def series(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Endless (alert id, HTTP request); the ids never repeat while ``name`` differs."""
        front = self._front()
        mac = hmac.new(self.secret.encode(), front, hashlib.sha256)
        length = len(front) + len(self._tail(name, 0))
        head = self._head(length)
        n = 0
        while True:
            tail = self._tail(name, n)
            signed = mac.copy()
            signed.update(tail)
            yield (
                f"al-{self.seed}-{name}-{n:08d}",
                b"".join((head, signed.hexdigest().encode(), b"\r\n\r\n", front, tail)),
            )
            n += 1

    def _head(self, length: int) -> bytes:
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: bridge.example\r\nUser-Agent: TruthVouch-Webhooks/1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\nX-TruthVouch-Signature: sha256="
        ).encode()

    def _front(self) -> bytes:
        words = random.Random(self.seed)
        text = " ".join(words.choice(_WORDS) for _ in range(400))
        alert = {
            "severity": self.severity,
            "type": "hallucination",
            "category": "Contradiction",
            "message": "The answer contradicts the verified source",
            "confidence": 0.31,
            "claim": text[:420],
            "truth": text[420:840],
        }
        envelope = {"type": "alert.created", "timestamp": self.occurred_at, "data": alert}
        padding = BODY_BYTES - len(json.dumps(envelope)) - 90
        alert["metadata"] = text[840 : 840 + padding]
        return json.dumps(envelope)[:-2].encode()

    def _tail(self, name: str, n: int) -> bytes:
        return f', "alertId": "al-{self.seed}-{name}-{n:08d}"}}, "id": "evt-{self.seed}-{name}-{n:08d}"}}'.encode()
