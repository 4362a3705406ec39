"""Whether a target answers (circuit breaker) and lets us in (permission breaker). Pure; ``now`` is given.

The circuit breaker:

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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import TypeGuard

from app.domain.model.outcome import (
    BUDGET_SPENT,
    NOT_ASKED,
    REDIRECTED,
    TARGET_DOWN,
    TARGET_PAUSED,
    UNSENDABLE,
    Done,
    Held,
    Refused,
    Reply,
    Retry,
)
from app.domain.model.types import instant
from app.domain.sync.effects import Effect, LookForIncident, OpenIncident, ReadAlert, ReadIncident, ReadNote
from app.domain.sync.retry import PAUSE_PROBE_DELAY

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

    def admit(self, link: int, now: datetime) -> tuple["Breaker", float]:
        """Whether a call that can wait may go: 0, or the seconds until it may ask again. The one let go is the
        probe."""
        if self.opened_at is None or self.probe_at is None:
            return self, 0.0
        if self.probing_until is not None and now < self.probing_until:
            return self, self.probe_delay()
        if now < self.probe_at:
            return self, (self.probe_at - now).total_seconds()
        return replace(self, prober=link, probing_until=now + timedelta(seconds=PROBE_LASTS)), 0.0

    def after_reply(self, reply: Reply[object], link: int, now: datetime) -> "Breaker":
        """The breaker after a reply to a call for that link."""
        match verdict(reply):
            case Verdict.ANSWERS:
                return Breaker()
            case Verdict.FAILS:
                return _failed(self, link, now)
            case Verdict.UNKNOWN:
                return replace(self, prober=None, probing_until=None) if self.prober == link else self

    def probe_delay(self) -> float:
        """Seconds between the newest probe and the next."""
        return PROBE_DELAYS[min(self.probes, len(PROBE_DELAYS) - 1)]


def verdict(reply: Reply[object]) -> Verdict:
    """A refusal is an answer; what we did not send, or broke ourselves, tells nothing."""
    match reply:
        case Done() | Refused():
            return Verdict.ANSWERS
        case Held(reason):
            ours = reason in (BUDGET_SPENT, TARGET_DOWN, TARGET_PAUSED, UNSENDABLE) or reason.startswith("no_")
            return Verdict.UNKNOWN if ours else Verdict.ANSWERS
        case Retry(reason):
            return _of_a_retry(reason)


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
    after = timedelta(seconds=breaker.probe_delay())
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
"""The reason words of ``app.remote.transport``; a test holds the two against each other."""


# ------------------------------------------------------------------------------------------------- permission breaker

# A partner refuses everything, for our credential, or one alert alone. A 401 is about the credential and pauses the
# whole target. A 403 may be about one alert that we must not touch, and a redirect about one path, so it is its own
# delivery alone that waits, until another alert's meets one too with no success between: then it is about the
# credential, or the address.
#
# ==========================================  =======================================================================
# answer of the partner                       who waits now
# ==========================================  =======================================================================
# 401                                         everybody, fifteen seconds
# 403, a redirect to one alert                that delivery alone
# the same to a second, no success between    everybody, fifteen seconds
# the same again, to one of these             these, fifteen seconds: who has not met it yet is the next probe
# a write succeeds                            nobody; who met it before is known to be alone: it pauses nobody else
# ==========================================  =======================================================================
#
# How a worker's knowledge of a paused target is stored and read: one value per target and worker, with its time.

FORBIDDEN = "forbidden"
"""The reason word of a 403."""
PERHAPS_ALONE = frozenset({FORBIDDEN, REDIRECTED})
"""The reason words of what may be about one alert; whoever gets such an answer *meets* it."""
TO_SOME = "_to_some"
"""Ends the reason of a target that is paused only for those who met it: ``forbidden_to_some``."""

REMEMBERED = timedelta(minutes=5)
"""How long a success proves that it is somebody's own, and how long who met it is remembered if not heard of."""
ONE_AT_A_TIME = timedelta(seconds=1)
"""Between calls of those who are known to be alone: were they many, they would use up what others need."""
PROBE = timedelta(seconds=PAUSE_PROBE_DELAY)

Who = tuple[int, str]
"""A link and a kind of effect: a note may be forbidden where a status is not."""


@dataclass(frozen=True, slots=True)
class PermissionBreaker:
    """What is known of one target."""

    reason: str = ""
    """Why the credential itself is refused; empty while it is not."""
    all_until: datetime | None = None
    """Until when everybody waits."""
    met_until: datetime | None = None
    """Until when those wait who met it."""
    met: Mapping[Who, tuple[datetime, datetime]] = field(default_factory=dict)
    """Who met it, first and last."""
    met_reason: str = ""
    """The newest reason word that any of them got."""
    proven_at: datetime | None = None
    """When a write last succeeded."""
    alone_at: datetime | None = None
    """When the next one of those who are alone may ask."""

    def admit(self, link: int, effect: Effect, now: datetime) -> tuple["PermissionBreaker", float]:
        """Whether a call that can wait may go: 0, or the seconds until it may ask again."""
        who = _who(link, effect)
        shut = [self.all_until, self.met_until if who in self.met else None]
        left = max((until - now for until in shut if until), default=timedelta())
        if left > timedelta():
            return self, left.total_seconds()
        if not _is_alone(self, who, now):
            return self, 0.0
        if self.alone_at is not None and now < self.alone_at:
            return self, (self.alone_at - now).total_seconds()
        return replace(self, alone_at=now + ONE_AT_A_TIME), 0.0

    def after_reply(self, link: int, effect: Effect, reply: Reply[object], now: datetime) -> "PermissionBreaker":
        """The breaker after a reply to that call."""
        breaker = replace(self, met={who: seen for who, seen in self.met.items() if now - seen[1] < REMEMBERED})
        if isinstance(reply, Done | Refused):
            return _answered(breaker, _who(link, effect), effect, reply, now)
        if not is_denied(reply):
            return breaker
        if reply.reason in PERHAPS_ALONE:
            return _met(replace(breaker, met_reason=reply.reason), _who(link, effect), now)
        return replace(breaker, reason=reply.reason, all_until=now + PROBE)

    def pause_reason(self, now: datetime) -> str:
        """The reason word for people; empty where nobody is refused."""
        if self.reason:
            return self.reason
        if _is_everybody(self, now):
            return self.met_reason
        return self.met_reason + TO_SOME if self.met else ""


def is_denied(reply: Reply[object]) -> TypeGuard[Held]:
    """Whether the partner refused us; what we ourselves lack (``no_...``) pauses only what needs it."""
    return isinstance(reply, Held) and reply.reason not in NOT_ASKED and not reply.reason.startswith("no_")


def _answered(
    breaker: PermissionBreaker, who: Who, effect: Effect, reply: Done[object] | Refused, now: datetime
) -> PermissionBreaker:
    """The credential is good for something. That it may write is proven only by a write."""
    if breaker.reason:
        breaker = replace(breaker, reason="", all_until=None)
    if isinstance(reply, Refused):
        return breaker
    breaker = replace(breaker, met={other: seen for other, seen in breaker.met.items() if other != who})
    return replace(breaker, proven_at=now, all_until=None, met_until=None) if _writes(effect) else breaker


def _met(breaker: PermissionBreaker, who: Who, now: datetime) -> PermissionBreaker:
    is_new = who not in breaker.met
    first, _ = breaker.met.get(who, (now, now))
    before = replace(breaker, reason="", all_until=None) if breaker.reason else breaker
    breaker = replace(before, met={**before.met, who: (first, now)})
    if _is_alone(breaker, who, now) or not _is_everybody(breaker, now):
        return breaker
    breaker = replace(breaker, met_until=now + PROBE)
    return replace(breaker, all_until=now + PROBE) if is_new else breaker


def _is_everybody(breaker: PermissionBreaker, now: datetime) -> bool:
    """Whether two links met it of which nothing says that it is their own."""
    return len({who[0] for who in breaker.met if not _is_alone(breaker, who, now)}) > 1


def _is_alone(breaker: PermissionBreaker, who: Who, now: datetime) -> bool:
    """Whether others could write after this one met it, not long ago."""
    if breaker.proven_at is None or who not in breaker.met or now - breaker.proven_at >= REMEMBERED:
        return False
    return breaker.met[who][0] <= breaker.proven_at


def _who(link: int, effect: Effect) -> Who:
    return link, type(effect).__name__


def _writes(effect: Effect) -> bool:
    """Whether a yes to it is a yes to a write; one that looks first may have found it done."""
    if isinstance(effect, OpenIncident):
        return not effect.look_first
    return not isinstance(effect, LookForIncident | ReadIncident | ReadAlert | ReadNote)


# ----------------------------------------------------------------------------------------------------- paused targets

# A value that nobody has renewed for a while says nothing any more: its worker is gone, or nothing is owed there.

PAUSED, DOWN = "hold.", "down."
"""We are refused; the target does not answer. Stored names: they stay."""


class BreakerKind(StrEnum):
    """Which of a target's two breakers."""

    CIRCUIT = "circuit"
    PERMISSION = "permission"


KINDS = {PAUSED: BreakerKind.PERMISSION, DOWN: BreakerKind.CIRCUIT}

FRESH = timedelta(seconds=90)
"""Three of the longest times between probes: a target that is still paused has been tried again by then."""


def pause_key(kind: str, target: str, worker: str) -> str:
    """Its key: ``hold.pagerduty-rest@worker-0``."""
    return f"{kind}{target}@{worker}"


def pause_value(reason: str, at: datetime) -> str:
    """What it says: the reason word, and when it was last seen to be so."""
    return f"{reason} {at.isoformat()}"


def paused_targets(values: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The targets that any worker finds paused, with every worker's reason once."""
    found: dict[str, set[str]] = {}
    for _, target, reason in _fresh(values, now):
        found.setdefault(target, set()).add(reason)
    return {target: ", ".join(sorted(reasons)) for target, reasons in found.items()}


def open_breakers(values: Mapping[str, str], now: datetime) -> frozenset[tuple[str, BreakerKind]]:
    """The targets of which any worker finds a breaker open, and which; also one that is open for some alerts alone."""
    return frozenset((target, kind) for kind, target, _ in _fresh(values, now))


def _fresh(values: Mapping[str, str], now: datetime) -> Iterator[tuple[BreakerKind, str, str]]:
    """Kind, target and reason of what workers found lately."""
    for name, text in values.items():
        prefix = next((prefix for prefix in KINDS if name.startswith(prefix)), None)
        reason, _, at = text.partition(" ")
        seen_at = instant(at)
        if prefix and seen_at and now - seen_at < FRESH:
            yield KINDS[prefix], name.removeprefix(prefix).partition("@")[0], reason
