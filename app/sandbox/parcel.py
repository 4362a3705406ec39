"""One webhook on its way, and what its partner makes of an answer."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

RETRY_AFTER_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Both partners wait minutes and hours; a sandbox must not, unless its settings say so."""
ORDERS = ("same", "reverse", "shuffled")


@dataclass(slots=True, eq=False)
class Parcel:
    """One webhook: the very bytes and headers that every attempt repeats."""

    partner: str
    event: str
    subject: str
    """Alert or incident id."""
    url: Callable[[], str]
    """Asked at every attempt, because the bridge may have moved."""
    headers: dict[str, str]
    body: bytes
    lane: str
    """Parcels of one lane go one after the other."""
    created_at: float
    timeout: float
    lives_for: float
    """Seconds after which the partner gives up."""
    ordered: bool
    """True: while this one fails, the lane waits (PagerDuty). False: the rest overtakes it (TruthVouch)."""
    final_4xx: bool
    """True: any 4xx but 429 is final (PagerDuty). False: tried again (TruthVouch)."""
    on_settled: Callable[[bool], None] = lambda delivered: None
    attempts: int = 0
    last_status: int | None = None
    outcome: str = "queued"
    """queued, held, sent, failed (given up) or dropped (by order)."""

    def as_json(self) -> dict[str, Any]:
        """One line of the log of webhooks; ``status`` is null while nobody has answered."""
        return {
            "partner": self.partner,
            "event": self.event,
            "subject": self.subject,
            "created_at": self.created_at,
            "attempts": self.attempts,
            "status": self.last_status,
            "outcome": self.outcome,
        }

    def twin(self) -> "Parcel":
        """The same webhook once more, with its own count of attempts."""
        return replace(self, attempts=0, last_status=None)


def judge(parcel: Parcel, status: int | None, now: float) -> str:
    """``sent``, ``failed`` or ``again``. Retryable: no answer, 5xx, 429 and, at TruthVouch, any other 4xx too.

    https://developer.pagerduty.com/docs/webhooks/webhooks-overview/ ("webhook behavior") and
    https://truthvouch-doc.pages.dev/developers/webhooks/retries
    """
    if status is not None and 200 <= status < 300:
        return "sent"
    refused = status is not None and 300 <= status < 500 and status != 429
    if (refused and parcel.final_4xx) or now - parcel.created_at >= parcel.lives_for:
        return "failed"
    return "again"


def retry_after(attempts: int, schedule: Sequence[float]) -> float:
    """Seconds to wait after this many attempts, 1 or more. The last step repeats until the parcel's time is up."""
    return schedule[min(attempts, len(schedule)) - 1]


def arrange(parcels: Iterable[Parcel], order: str, seed: int) -> list[Parcel]:
    """The parcels as they were made, backwards, or shuffled by ``seed``. Raises ``ValueError`` on another word."""
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}")
    arranged = list(parcels)
    if order == "reverse":
        arranged.reverse()
    if order == "shuffled":
        random.Random(seed).shuffle(arranged)  # noqa: S311 - repeatable, not secret
    return arranged
