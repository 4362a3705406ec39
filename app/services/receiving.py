"""Taking in one webhook delivery: prove it, store it durably, and only then say that it was accepted.

The two doors differ only in who signs and what their matters are called; ``receive_alert`` and
``receive_incident_event`` say so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import structlog

from app.domain.names import Side, Source
from app.domain.words import Envelope
from app.ports import Bell, Delivery, Inbox, Meter, Refusal, StoreUnavailable, Verify

log = structlog.get_logger()

NO_SECRET = "no_secret"
STORE_UNAVAILABLE = "store_unavailable"
MAX_ENCODING_CHARS = 100


class Outcome(StrEnum):
    """What became of a delivery; the words are the ``status`` the sender reads."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    """Stored by an earlier delivery."""
    PARKED = "parked"
    """Stored, and not readable as an event: a person will find it among the dead letters."""
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    """Nothing could be stored, or nothing can be proved: the sender must try again."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it came in."""

    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes
    request_id: str = ""
    too_large: bool = False
    """``body`` is only the beginning of more than we take."""
    flaw: str = ""
    """Why the body did not come whole (``body_incomplete``); empty when it did."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a delivery, and why it was not stored: one snake_case word."""

    outcome: Outcome
    reason: str = ""


def utc_now() -> datetime:
    """This instant."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Receive:
    """One door. Never raises for anything a sender can do."""

    source: Side
    noun: str
    """What the log calls a delivery: ``alert.accepted``."""
    subject: str
    """What the log calls the subject's id: ``alert_id``."""
    verify: Verify
    secrets: Sequence[str]
    inbox: Inbox
    bell: Bell
    meter: Meter
    clock: Callable[[], datetime] = utc_now

    def __call__(self, arrival: Arrival) -> Receipt:
        """Prove and store. ``ACCEPTED``, ``DUPLICATE`` and ``PARKED`` are durable before this returns."""
        if arrival.too_large:
            return self._turn_away(Outcome.TOO_LARGE, "body_too_large", arrival)
        if not self.secrets:
            return self._turn_away(Outcome.UNAVAILABLE, NO_SECRET, arrival)
        if arrival.flaw:
            return self._turn_away(Outcome.REFUSED, arrival.flaw, arrival)
        try:
            return self._take(arrival, self.clock())
        except Refusal as refusal:
            outcome = Outcome.UNAVAILABLE if refusal.reason == NO_SECRET else Outcome.REFUSED
            return self._turn_away(outcome, refusal.reason, arrival)
        except StoreUnavailable as fault:
            return self._turn_away(Outcome.UNAVAILABLE, STORE_UNAVAILABLE, arrival, detail=str(fault)[:200])

    def _take(self, arrival: Arrival, now: datetime) -> Receipt:
        envelope = self.verify(arrival.headers, arrival.body, self.secrets, now.timestamp())
        if self.inbox.add(self._delivery(arrival, envelope, now)):
            self._ring()
            self.meter.accepted(self.source)
            outcome = Outcome.PARKED if envelope.fault else Outcome.ACCEPTED
        else:
            self.meter.duplicated(self.source)
            outcome = Outcome.DUPLICATE
        self.meter.matched(self.source, envelope.secret_index)
        log.info(f"{self.noun}.{outcome}", **self._facts(envelope), bytes=len(arrival.body))
        return Receipt(outcome, envelope.fault)

    def _delivery(self, arrival: Arrival, envelope: Envelope, now: datetime) -> Delivery:
        encoding = arrival.headers.get("Content-Encoding", "")[:MAX_ENCODING_CHARS]
        return Delivery(
            source=Source(self.source.value),
            delivery_id=envelope.delivery_id,
            received_at=now,
            body=arrival.body,
            request_id=arrival.request_id,
            content_encoding=encoding or None,
            secret_index=envelope.secret_index,
        )

    def _ring(self) -> None:
        try:
            self.bell.ring()
        except Exception:
            # The delivery is stored: whatever is wrong with the bell costs one poll interval, not a refusal.
            log.warning("bell.failed", exc_info=True)

    def _facts(self, envelope: Envelope) -> dict[str, Any]:
        facts = {
            "delivery_id": envelope.delivery_id,
            "event_type": envelope.event,
            self.subject: envelope.subject,
            "secret_index": envelope.secret_index,
            "reason": envelope.fault,
        }
        return {name: value for name, value in facts.items() if value}

    def _turn_away(self, outcome: Outcome, reason: str, arrival: Arrival, **facts: Any) -> Receipt:
        self.meter.refused(self.source, reason)
        say = log.error if outcome is Outcome.UNAVAILABLE else log.warning
        say(f"{self.noun}.refused", reason=reason, bytes=len(arrival.body), **facts)
        return Receipt(outcome, reason)
