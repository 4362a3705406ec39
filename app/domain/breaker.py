"""The circuit breaker of one door: whether a partner answers at all. Pure; ``now`` is given.

=========  ==========================  =======================================================
state      what happens                next state
=========  ==========================  =======================================================
closed     an answer                   closed, failures forgotten
closed     a failure                   closed; open with the fifth in a row, of two links or more
open       something asks              probing, if a probe is due; else it waits
open       an answer                   closed
open       a failure                   open, the next probe later
probing    something asks              it waits: one probe at a time
probing    an answer                   closed
probing    a failure                   open, the next probe later
probing    nothing learned             open, the next probe now
=========  ==========================  =======================================================

One link that fails alone proves nothing about its partner: it may be poisonous, and holds back only itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from app.domain.outcome import BUDGET_SPENT, TARGET_DOWN, TARGET_HELD, UNSENDABLE, Done, Held, Refused, Reply, Retry

OPENS_AFTER = 5
PROBE_DELAYS: Sequence[float] = (5, 10, 15, 20, 30)
"""Seconds until the next probe, after so many that failed."""
PROBE_LASTS = 30.0
"""Seconds after which a probe that was never heard of again counts as lost; every call is bounded by less."""


class Verdict(Enum):
    """What a reply says about the partner itself."""

    ANSWERS = "answers"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Breaker:
    """Closed until ``opened_at`` is set."""

    failures: int = 0
    first_link: int | None = None
    """Whose failure began the row."""
    others: bool = False
    """Whether another link failed in the same row."""
    opened_at: datetime | None = None
    probes: int = 0
    """That failed since it opened."""
    probe_at: datetime | None = None
    prober: int | None = None
    """The link whose call is the probe under way."""
    probing_until: datetime | None = None


def verdict(reply: Reply[object]) -> Verdict:
    """A refusal is an answer; what we did not send, or broke ourselves, tells nothing."""
    match reply:
        case Done() | Refused():
            return Verdict.ANSWERS
        case Held(reason):
            ours = reason in (BUDGET_SPENT, TARGET_DOWN, TARGET_HELD, UNSENDABLE) or reason.startswith("no_")
            return Verdict.UNKNOWN if ours else Verdict.ANSWERS
        case Retry(reason):
            return _of_a_retry(reason)


def asked(breaker: Breaker, link: int, now: datetime) -> tuple[Breaker, float]:
    """Whether a call that can wait may go: 0, or the seconds until it may ask again. The one let go is the probe."""
    if breaker.opened_at is None or breaker.probe_at is None:
        return breaker, 0.0
    if breaker.probing_until is not None and now < breaker.probing_until:
        return breaker, probe_delay(breaker)
    if now < breaker.probe_at:
        return breaker, (breaker.probe_at - now).total_seconds()
    return replace(breaker, prober=link, probing_until=now + timedelta(seconds=PROBE_LASTS)), 0.0


def heard(breaker: Breaker, reply: Reply[object], link: int, now: datetime) -> Breaker:
    """The breaker after a reply to a call for that link."""
    match verdict(reply):
        case Verdict.ANSWERS:
            return Breaker()
        case Verdict.FAILS:
            return _failed(breaker, link, now)
        case Verdict.UNKNOWN:
            return replace(breaker, prober=None, probing_until=None) if breaker.prober == link else breaker


def probe_delay(breaker: Breaker) -> float:
    """Seconds between the newest probe and the next."""
    return PROBE_DELAYS[min(breaker.probes, len(PROBE_DELAYS) - 1)]


def _failed(breaker: Breaker, link: int, now: datetime) -> Breaker:
    first = link if breaker.first_link is None else breaker.first_link
    others = breaker.others or link != first
    failed = replace(breaker, failures=breaker.failures + 1, first_link=first, others=others)
    if breaker.opened_at is None:
        opens = failed.failures >= OPENS_AFTER and others
        return _probing_later(replace(failed, opened_at=now), now) if opens else failed
    if breaker.prober != link:
        return failed  # an urgent call, which asks all the same: the probes keep their own pace
    return _probing_later(replace(failed, probes=breaker.probes + 1), now)


def _probing_later(breaker: Breaker, now: datetime) -> Breaker:
    after = timedelta(seconds=probe_delay(breaker))
    return replace(breaker, probe_at=now + after, prober=None, probing_until=None)


def _of_a_retry(reason: str) -> Verdict:
    """5xx, 407, 408, 421 and transport failures say that nobody is at home; 429 and the like say that somebody is."""
    if reason.startswith("http_"):
        nobody = reason in ("http_407", "http_408", "http_421") or reason >= "http_5"
        return Verdict.FAILS if nobody else Verdict.ANSWERS
    return Verdict.FAILS if reason in TRANSPORT_FAILURES else Verdict.UNKNOWN


TRANSPORT_FAILURES = frozenset(
    {
        "answer_too_large",
        "connect_failed",
        "connect_timeout",
        "connection_broken",
        "proxy_unreachable",
        "read_timeout",
        "tls_failed",
    }
)
"""The reason words of ``app.transport``; a test holds the two against each other."""
