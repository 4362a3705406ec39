"""Webhooks on their way to the bridge: in order where the partner keeps order, again and again until they arrive."""

import hashlib
import hmac
import http.client
import random
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from app.sandbox.kit.support import PARTNERS, Timetable, check_choice

RETRY_AFTER_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Both partners wait minutes and hours; a sandbox must not, unless its settings say so."""
ORDERS = ("same", "reverse", "shuffled")
MODES = ("send", "hold", "drop")
SENDERS = 8
MAX_RECENT = 500


class Outcome(StrEnum):
    """What has become of a webhook."""

    QUEUED = "queued"
    """Waiting, under way, or to be repeated."""
    HELD = "held"
    SENT = "sent"
    FAILED = "failed"
    """Given up."""
    DROPPED = "dropped"
    """By order."""
    RETRIED = "retried"
    """Of one attempt, never of the webhook."""


@dataclass(slots=True, eq=False)
class WebhookRequest:
    """One webhook: the very bytes and headers that every attempt repeats, unless a fault spoils the signature."""

    partner: str
    event: str
    subject: str
    """Alert or incident id."""
    url: Callable[[], str]
    """Asked at every attempt, because the bridge may have moved."""
    headers: dict[str, str]
    body: bytes
    queue: str
    """Webhooks of one queue go one after the other."""
    created_at: float
    timeout: float
    lives_for: float
    """Seconds after which the partner gives up."""
    ordered: bool
    """True: while this one fails, the queue waits (PagerDuty). False: the rest overtakes it (TruthVouch)."""
    final_4xx: bool
    """True: any 4xx but 429 is final (PagerDuty). False: tried again (TruthVouch)."""
    on_finished: Callable[[bool], None] = lambda delivered: None
    attempts: int = 0
    status: int | None = None
    outcome: Outcome = Outcome.QUEUED

    def as_json(self) -> dict[str, Any]:
        """One line of the log of webhooks; ``status`` is null while nobody has answered."""
        names = ("partner", "event", "subject", "created_at", "attempts", "status", "outcome")
        return {name: getattr(self, name) for name in names}

    def judge(self, now: float) -> Outcome:
        """Of the last attempt. Retryable: no answer, 5xx, 429 and, at TruthVouch, any other 4xx too.

        https://developer.pagerduty.com/docs/webhooks/webhooks-overview/ ("webhook behavior") and
        https://truthvouch-doc.pages.dev/developers/webhooks/retries
        """
        if self.status is not None and 200 <= self.status < 300:
            return Outcome.SENT
        refused = self.status is not None and 300 <= self.status < 500 and self.status != 429
        if (refused and self.final_4xx) or now - self.created_at >= self.lives_for:
            return Outcome.FAILED
        return Outcome.RETRIED


Post = Callable[[str, Mapping[str, str], bytes, float], int]
"""``post(url, headers, body, timeout)`` -> HTTP status. Raises ``OSError`` when no answer came."""
Origin = tuple[str, str]


class WebhookSender(threading.local):
    """Keeps one connection per thread and receiver."""

    def __init__(self) -> None:
        self._connections: dict[Origin, http.client.HTTPConnection] = {}

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        """The status of the answer. A dead kept-alive connection is replaced once: delivery is at least once anyway."""
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc.rpartition("@")[2])
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        reused = origin in self._connections
        try:
            return self._send(origin, path, headers, body, timeout)
        except OSError as fault:
            if not reused or isinstance(fault, TimeoutError):
                raise
        return self._send(origin, path, headers, body, timeout)

    def _send(self, origin: Origin, path: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        connection = self._connection(origin, timeout)
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException) as fault:
            connection.close()
            self._connections.pop(origin, None)
            raise fault if isinstance(fault, OSError) else ConnectionError(repr(fault)) from fault

    def _connection(self, origin: Origin, timeout: float) -> http.client.HTTPConnection:
        if origin not in self._connections:
            scheme, host = origin
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            self._connections[origin] = kind(host)
        connection = self._connections[origin]
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection


@dataclass(slots=True, eq=False)
class Queue:
    """Webhooks that go one after the other; at most one is under way."""

    name: str
    waiting: deque[WebhookRequest] = field(default_factory=deque)


class WebhookQueue:
    """Takes webhooks, keeps them in queues and sends them. ``start`` gives it threads; without, ``send_due`` works."""

    def __init__(
        self, post: Post, clock: Callable[[], float], signs_wrongly: Callable[[str], bool] = lambda partner: False
    ) -> None:
        """``signs_wrongly`` is asked at every attempt: a webhook that was refused arrives once the fault is over."""
        self._post, self._clock, self._signs_wrongly = post, clock, signs_wrongly
        self._due = Timetable(clock, self._attempt)
        self._lock = self._due.lock
        self._serial = count()
        self.retry_seconds: dict[str, Sequence[float]] = dict.fromkeys(PARTNERS, RETRY_AFTER_SECONDS)
        """How long to wait after the first attempt, the second, ...; the last step repeats."""
        self.forget()

    def forget(self) -> None:
        """Start over: nothing waiting, nothing held, everything is sent."""
        with self._lock:
            self._due.clear()
            self._queues: dict[str, Queue] = {}
            self._held: list[WebhookRequest] = []
            self._modes = dict.fromkeys(PARTNERS, "send")
            self._counts = {partner: Counter[Outcome]() for partner in PARTNERS}
            self.recent: deque[WebhookRequest] = deque(maxlen=MAX_RECENT)

    def put(self, webhook: WebhookRequest, hold: bool = False) -> None:
        """Send, hold or drop a webhook, as this partner's mode (or ``hold``) says."""
        with self._lock:
            self.recent.append(webhook)
            mode = "hold" if hold else self._modes[webhook.partner]
            if mode == "drop":
                self._finish(webhook, Outcome.DROPPED)
            elif mode == "hold":
                self._finish(webhook, Outcome.HELD)
                self._held.append(webhook)
            else:
                self._enter(webhook)

    def set_mode(self, mode: str, partner: str | None = None) -> None:
        """What happens to webhooks from now on. Raises ``ValueError`` on an unknown mode or partner."""
        check_choice("mode", mode, MODES)
        if partner is not None:
            check_choice("partner", partner, PARTNERS)
        with self._lock:
            self._modes.update(dict.fromkeys(PARTNERS if partner is None else [partner], mode))

    def flush(self, order: str = "same", seed: int = 0, copies: int = 1, partner: str | None = None) -> int:
        """Send what is held, one after the other in this order, each ``copies`` times; how many are on their way.

        ``shuffled`` is by ``seed``. Raises ``ValueError`` on an unknown order.
        """
        check_choice("order", order, ORDERS)
        with self._lock:
            chosen = [webhook for webhook in self._held if partner in (None, webhook.partner)]
            self._held = [webhook for webhook in self._held if partner not in (None, webhook.partner)]
            batch = [w if n == 0 else replace(w, attempts=0, status=None) for w in chosen for n in range(copies)]
            if order == "reverse":
                batch.reverse()
            if order == "shuffled":
                random.Random(seed).shuffle(batch)  # noqa: S311 - repeatable, not secret
            queue = f"flush-{next(self._serial)}"
            for webhook in chosen:
                self._counts[webhook.partner][Outcome.HELD] -= 1
            for webhook in batch:
                webhook.queue, webhook.ordered, webhook.outcome = queue, False, Outcome.QUEUED
                self._enter(webhook)
            return len(batch)

    def discard(self, queue_prefix: str) -> None:
        """Throw away what waits in the queues with this prefix, as PagerDuty does for a disabled subscription."""
        with self._lock:
            for name in [name for name in self._queues if name.startswith(queue_prefix)]:
                for webhook in self._queues.pop(name).waiting:
                    self._counts[webhook.partner][Outcome.QUEUED] -= 1
                    self._finish(webhook, Outcome.FAILED)

    def start(self) -> None:
        """Send in background threads for the rest of the process."""
        self._due.start("sender", SENDERS)

    def send_due(self) -> int:
        """Make every attempt whose time has come; how many were made."""
        return self._due.run_due()

    def as_json(self) -> dict[str, Any]:
        """Counts of both partners together and of each, by ``Outcome``; ``retried`` counts attempts."""
        with self._lock:
            partners: dict[str, dict[str, Any]] = {
                name: {"mode": mode} | {outcome: self._counts[name][outcome] for outcome in Outcome}
                for name, mode in self._modes.items()
            }
        return {outcome: sum(one[outcome] for one in partners.values()) for outcome in Outcome} | {"partners": partners}

    def _attempt(self, queue: Queue) -> None:
        with self._lock:
            if not self._is_current(queue):
                return
            webhook = queue.waiting[0]
        webhook.attempts += 1
        headers = webhook.headers
        if self._signs_wrongly(webhook.partner):
            headers = with_wrong_signature(headers, webhook.body)
        try:
            webhook.status = self._post(webhook.url(), headers, webhook.body, webhook.timeout)
        except (OSError, ValueError):
            webhook.status = None
        with self._lock:
            outcome = self._conclude(queue, webhook) if self._is_current(queue) else None
        if outcome in (Outcome.SENT, Outcome.FAILED):
            webhook.on_finished(outcome is Outcome.SENT)

    # ------------------------------------------------------------ bookkeeping, under the lock

    def _is_current(self, queue: Queue) -> bool:
        """False once the queue was forgotten or discarded while it was waiting or under way."""
        return self._queues.get(queue.name) is queue

    def _conclude(self, queue: Queue, webhook: WebhookRequest) -> Outcome:
        outcome = webhook.judge(self._clock())
        steps = self.retry_seconds[webhook.partner]
        wait = steps[min(webhook.attempts, len(steps)) - 1]
        if outcome is not Outcome.RETRIED:
            self._leave(queue, webhook)
            self._finish(webhook, outcome)
            return outcome
        self._counts[webhook.partner][Outcome.RETRIED] += 1
        if webhook.ordered:
            self._due.after(wait, queue)
        else:
            self._leave(queue, webhook)
            webhook.queue = f"retry-{next(self._serial)}"
            self._enter(webhook, wait)
        return outcome

    def _enter(self, webhook: WebhookRequest, wait: float = 0.0) -> None:
        self._counts[webhook.partner][Outcome.QUEUED] += 1
        queue = self._queues.setdefault(webhook.queue, Queue(webhook.queue))
        queue.waiting.append(webhook)
        if len(queue.waiting) == 1:
            self._due.after(wait, queue)

    def _leave(self, queue: Queue, webhook: WebhookRequest) -> None:
        self._counts[webhook.partner][Outcome.QUEUED] -= 1
        queue.waiting.popleft()
        if queue.waiting:
            self._due.after(0.0, queue)
        else:
            del self._queues[queue.name]

    def _finish(self, webhook: WebhookRequest, outcome: Outcome) -> None:
        webhook.outcome = outcome
        self._counts[webhook.partner][outcome] += 1


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


def with_wrong_signature(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The same headers, as whoever has another secret would sign."""
    wrong = _hex("not the secret that the bridge has", body)
    return {
        name: re.sub("[0-9a-f]{64}", wrong, value) if name.endswith("Signature") else value
        for name, value in headers.items()
    }
