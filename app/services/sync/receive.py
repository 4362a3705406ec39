"""Taking in one webhook delivery: prove it, store it durably, and only then say that it was accepted.

The two webhooks, TruthVouch's for alerts and PagerDuty's for incidents, differ only in who signs and in the words.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from time import monotonic
from typing import Any

import structlog

from app.domain.model.events import Envelope
from app.domain.model.types import Side, Source
from app.ports import Clock, Delivery, Inbox, Meter, Refusal, StoreUnavailable, Verify, Wakeup, utc_now
from app.remote.payload import RefusedDeliveries

log = structlog.get_logger()

NO_SECRET = "no_secret"
STORE_UNAVAILABLE = "store_unavailable"
SIGNATURE = "signature_"
"""How the reasons begin that say that a delivery was not signed as it has to be."""
NOUNS = {Side.TRUTHVOUCH: ("alert", "alert_id"), Side.PAGERDUTY: ("incident_event", "incident_id")}
"""What the log calls a delivery (``alert.accepted``), and the id of what it is about."""
MAX_ENCODING_CHARS = 100
WRITE_AFTER_SECONDS = 1.0
"""A flood of forged deliveries costs one write a second, and none in a request."""


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
class WebhookRequest:
    """One request as it came in."""

    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes
    request_id: str = ""
    too_large: bool = False
    """``body`` is only the beginning of more than we take."""
    flaw: str = ""
    """Why the body did not come whole (``body_incomplete``); empty when it did."""
    trace: str = ""
    """The trace it belongs to, as ``remote.trace`` keeps it."""


@dataclass(frozen=True, slots=True)
class ReceiveResult:
    """What became of a delivery, and why it was not stored: one snake_case word."""

    outcome: Outcome
    reason: str = ""


def _in_a_while(act: Callable[[], None]) -> None:
    timer = threading.Timer(WRITE_AFTER_SECONDS, act)
    timer.daemon = True
    timer.start()


class RefusedTally:
    """Counts deliveries whose signature proved nothing, and writes the counts down for ``readyz`` and the doctor.

    Safe to call from many threads. ``write`` may raise ``StoreUnavailable``: then it is tried with the next one.
    """

    def __init__(
        self,
        write: Callable[[Side, RefusedDeliveries], None],
        in_a_while: Callable[[Callable[[], None]], None] = _in_a_while,
    ) -> None:
        self._write, self._in_a_while = write, in_a_while
        self._lock = threading.Lock()
        self._counted: dict[tuple[Side, str], RefusedDeliveries] = {}
        self._is_due = False

    def __call__(self, side: Side, reason: str, at: datetime) -> None:
        """Count one."""
        with self._lock:
            self._count(side, RefusedDeliveries(1, reason, at, at))
            start, self._is_due = not self._is_due, True
        if start:
            try:
                self._in_a_while(self.write_down)
            except RuntimeError:  # no thread can be started now: the next one tries again
                self._is_due = False

    def write_down(self) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            counted, self._counted, self._is_due = self._counted, {}, False
        for (side, _), refused in counted.items():
            try:
                self._write(side, refused)
            except StoreUnavailable as fault:
                log.warning("refusals.not_stored", side=side.value, reason=str(fault)[:200])
                with self._lock:
                    newer = self._counted.pop((side, refused.reason), None)
                    self._counted[side, refused.reason] = refused.followed_by(newer) if newer else refused

    def _count(self, side: Side, refused: RefusedDeliveries) -> None:
        known = self._counted.get((side, refused.reason))
        self._counted[side, refused.reason] = known.followed_by(refused) if known else refused


@dataclass(frozen=True)
class Receive:
    """One webhook. Never raises for anything a sender can do."""

    source: Side
    verify: Verify
    secrets: Sequence[str]
    """Newest first; any may match. Without any, no delivery is accepted."""
    inbox: Inbox
    wakeup: Wakeup
    meter: Meter
    clock: Clock = utc_now
    remember: Callable[[Side, str, datetime], None] = lambda _side, _reason, _at: None
    """Told of each delivery whose signature proved nothing; never waits and never raises."""

    def __call__(self, request: WebhookRequest) -> ReceiveResult:
        """Prove and store. ``ACCEPTED``, ``DUPLICATE`` and ``PARKED`` are durable before this returns."""
        if request.too_large:
            return self._turn_away(Outcome.TOO_LARGE, "body_too_large", request)
        if not self.secrets:
            return self._turn_away(Outcome.UNAVAILABLE, NO_SECRET, request)
        if request.flaw:
            return self._turn_away(Outcome.REFUSED, request.flaw, request)
        try:
            return self._take(request, self.clock())
        except Refusal as refusal:
            outcome = Outcome.UNAVAILABLE if refusal.reason == NO_SECRET else Outcome.REFUSED
            return self._turn_away(outcome, refusal.reason, request)
        except StoreUnavailable as fault:
            return self._turn_away(Outcome.UNAVAILABLE, STORE_UNAVAILABLE, request, detail=str(fault)[:200])

    def _take(self, request: WebhookRequest, now: datetime) -> ReceiveResult:
        began = monotonic()
        envelope = self.verify(request.headers, request.body, self.secrets, now.timestamp())
        delivery = self._delivery(request, envelope, now)
        if self.inbox.add(delivery) or (envelope.series and self._add_again(delivery, envelope.series)):
            self._notify()
            self.meter.accepted(self.source, monotonic() - began)
            outcome = Outcome.PARKED if envelope.fault else Outcome.ACCEPTED
        else:
            self.meter.duplicated(self.source)
            outcome = Outcome.DUPLICATE
        self.meter.matched(self.source, envelope.secret_index)
        log.info(f"{NOUNS[self.source][0]}.{outcome}", **self._facts(envelope), bytes=len(request.body))
        return ReceiveResult(outcome, envelope.fault)

    def _add_again(self, delivery: Delivery, series: str) -> bool:
        """Store a body that was received before, unless it is the newest of its series: the same words after others are
        news. Its id then names the one before it, so that its own repeat is a duplicate."""
        newest = self.inbox.newest_of(delivery.source, series)
        if newest is None or newest[1].startswith(delivery.delivery_id):
            return False
        return self.inbox.add(replace(delivery, delivery_id=f"{delivery.delivery_id}after{newest[0]}"))

    def _delivery(self, request: WebhookRequest, envelope: Envelope, now: datetime) -> Delivery:
        encoding = request.headers.get("Content-Encoding", "")[:MAX_ENCODING_CHARS]
        return Delivery(
            source=Source(self.source.value),
            delivery_id=envelope.delivery_id,
            received_at=now,
            body=request.body,
            request_id=request.request_id,
            content_encoding=encoding or None,
            secret_index=envelope.secret_index,
            trace=request.trace or None,
        )

    def _notify(self) -> None:
        try:
            self.wakeup.notify()
        except Exception:
            # The delivery is stored: whatever is wrong with the wake-up costs one poll interval, not a refusal.
            log.warning("wakeup.failed", exc_info=True)

    def _facts(self, envelope: Envelope) -> dict[str, Any]:
        facts = {
            "delivery_id": envelope.delivery_id,
            "event_type": envelope.event,
            NOUNS[self.source][1]: envelope.subject,
            "secret_index": envelope.secret_index,
            "reason": envelope.fault,
        }
        return {name: value for name, value in facts.items() if value}

    def _turn_away(self, outcome: Outcome, reason: str, request: WebhookRequest, **facts: Any) -> ReceiveResult:
        self.meter.refused(self.source, reason)
        if reason.startswith(SIGNATURE):
            self.remember(self.source, reason, self.clock())
        say = log.error if outcome is Outcome.UNAVAILABLE else log.warning
        say(f"{NOUNS[self.source][0]}.refused", reason=reason, bytes=len(request.body), **facts)
        return ReceiveResult(outcome, reason)
