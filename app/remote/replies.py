"""What a partner answered, and what that means: one judgement for both partners.

Success is an allow-list; everything else says whether trying again may help.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.domain.model.outcome import REDIRECTED, Done, Held, Refused, Reply, Retry
from app.domain.model.types import instant
from app.remote.payload import Fault, clean, decode, table_of

SUCCESS = frozenset({200, 201, 202})
CREDENTIALS_REFUSED = {401: "unauthorized", 403: "forbidden"}
TOO_MANY = 429
NOT_DONE = frozenset({407, 421, 423, 425, TOO_MANY})
"""Not now, and nothing was done: a proxy wants its own credential, another connection, a lock, an early retry.
https://www.rfc-editor.org/rfc/rfc9110#section-15.5 https://www.rfc-editor.org/rfc/rfc8470#section-5.2"""
TRY_AGAIN = NOT_DONE | {408}
MAX_WAIT_SECONDS = 3_600.0
MAX_REST_SECONDS = 300.0
MAX_WINDOW_SECONDS = 60.0
"""PagerDuty's limits are of a minute. https://developer.pagerduty.com/docs/rest-api-rate-limits"""
MAX_DETAIL_CHARS = 500

_REFUSALS: Mapping[int, str] = {
    400: "bad_request",
    402: "not_in_plan",
    404: "not_found",
    405: "not_supported",
    409: "conflict",
    422: "invalid",
}
_CODE_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,49}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. The names in ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    writes: bool = False
    """The call was meant to change something."""


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer. ``unclear`` says that a changing call may have been received all the same."""

    reason: str
    unclear: bool = False
    hopeless: bool = False
    """The request could not even be written (address, header): no call to this target can, until a person mends it."""


def judge(answer: Answer | Failure, ok: Collection[int] = SUCCESS, hide: Iterable[str] = ()) -> Reply[object]:
    """What came of a call. ``Done`` holds the answer's JSON, None where it had none, and the partner's own clock:
    https://www.rfc-editor.org/rfc/rfc9110#field.date

    401/403 are held, and so is a redirect: its address is another one, which is never followed. Whom that holds besides
    is for the permission breaker to say. 407, 408, 421, 423, 425, 429, 5xx and transport failures are tried again after
    what the partner asked for (``Retry-After``, at 429 also ``ratelimit-reset``; 0 to 3,600 seconds); everything else
    is final. ``hide`` are texts (keys, addresses) that never appear in a refusal's detail.
    """
    if isinstance(answer, Failure):
        return Held(answer.reason) if answer.hopeless else Retry(answer.reason, unclear=answer.unclear)
    if answer.status in ok:
        return _accepted(answer)
    if answer.status in CREDENTIALS_REFUSED:
        return Held(CREDENTIALS_REFUSED[answer.status])
    if 300 <= answer.status < 400:
        return Held(REDIRECTED)
    if answer.status in TRY_AGAIN or answer.status >= 500:
        unclear = answer.writes and answer.status not in NOT_DONE
        return Retry(f"http_{answer.status}", after_seconds=_wait_seconds(answer), unclear=unclear)
    return _refused(answer, hide)


def _accepted(answer: Answer) -> Reply[object]:
    """A web page is no yes: that is how login portals and single-page applications answer every path."""
    if "html" in answer.headers.get("content-type", ""):
        return Retry("unreadable_answer", unclear=answer.writes)
    content, at = decode(answer.body), instant(answer.headers.get("date"))
    return Done(None if isinstance(content, Fault) else content, at.replace(microsecond=0) if at else None)


def without_value(reply: Reply[object]) -> Reply[None]:
    """The reply to a call of which only the outcome counts."""
    return Done(None, reply.at) if isinstance(reply, Done) else reply


def _refused(answer: Answer, hide: Iterable[str]) -> Refused:
    content = table_of(decode(answer.body))
    error = table_of(content.get("error")) or content
    code = error.get("code")
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    # TruthVouch names its errors; PagerDuty numbers them, so there the status must do.
    named = isinstance(code, str) and _CODE_WORD.fullmatch(code)
    reason = named[0].lower() if named else _REFUSALS.get(answer.status, f"http_{answer.status}")
    return Refused(reason, answer.status, number, _detail(error, hide))


def _detail(error: Mapping[str, object], hide: Iterable[str]) -> str:
    """The partner's own words, wherever it puts them."""
    first = error.get("message") or error.get("detail") or error.get("error")
    said = [first, *_list(error.get("errors")), *_list(error.get("details"))]
    words = "; ".join(filter(None, map(_words, said)))
    for secret in filter(None, hide):
        words = words.replace(secret, "***")
    return words[:MAX_DETAIL_CHARS]


def _words(said: object) -> str:
    if isinstance(said, dict):
        return ": ".join(filter(None, (_words(said.get("field")), _words(said.get("message")))))
    return clean(said).strip() if isinstance(said, str) else ""


def _list(value: object) -> list[object]:
    return value[:10] if isinstance(value, list) else [value]


def rest_asked(answer: Answer) -> float:
    """Seconds that the partner wants this key to rest, 0 when it says nothing: a 429 with ``Retry-After`` or
    ``ratelimit-reset`` (at most 300), or a good answer that was the last of its window (at most 60)."""
    if answer.status == TOO_MANY:
        return min(_wait_seconds(answer) or 0.0, MAX_REST_SECONDS)
    if answer.status in SUCCESS and (answer.headers.get("ratelimit-remaining") or "").strip() == "0":
        asked = _after(answer.headers.get("ratelimit-reset"), answer.received_at)
        return min(asked or 0.0, MAX_WINDOW_SECONDS)
    return 0.0


def _wait_seconds(answer: Answer) -> float | None:
    """``Retry-After`` counts everywhere; the rate headers ride on every answer and mean "wait" only at 429."""
    limits = ("ratelimit-reset", "x-ratelimit-reset") if answer.status == TOO_MANY else ()
    asked = (_after(answer.headers.get(name), answer.received_at) for name in ("retry-after", *limits))
    return next((seconds for seconds in asked if seconds is not None), None)


def _after(asked: str | None, now: datetime) -> float | None:
    """Seconds from ``now``: a number of them, an epoch (a number too large to be a wait), or an HTTP date."""
    if not asked:
        return None
    try:
        seconds = float(asked)
    except ValueError:
        return _until(asked, now)
    if math.isnan(seconds):
        return None
    return _sane(seconds - now.timestamp() if seconds > 1e9 else seconds)


def _until(date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(date)
        return _sane(((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
    except (ValueError, OverflowError):
        return None


def _sane(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_WAIT_SECONDS)


# Our own pace of calls to one key, and what the partner says about it: GCRA, one instant per key, no counting.
#
# ``spent_until`` is when all calls made so far are paid for at the steady rate. A call may go while that instant is no
# further ahead than a burst. All times are whole microseconds since some beginning that never jumps; ``now`` is given.
# https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm

MICROSECONDS = 1_000_000

MAX_BURST = 16
"""Calls that may go at once after a quiet time. It is part of the minute's budget, not on top of it."""

LOW_RESERVE = 0.25
"""The share of the burst that pages of low urgency, notes and the like leave for what is more urgent."""

MAX_WAIT = MICROSECONDS
"""The longest a call waits for its turn in its thread; longer and it goes back to its queue."""

LONGEST_PAUSE = 300 * MICROSECONDS
"""No partner can park a key for longer, and no clock set back either."""

UNSAID_PAUSES: Sequence[float] = (1, 2, 4, 8, 15, 30, 60)
"""Seconds the key rests after so many 429s in a row that do not say how long. The Events API never says:
https://developer.pagerduty.com/docs/events-api-v2/overview/"""


@dataclass(frozen=True, slots=True)
class Pace:
    """So many microseconds between calls in the long run, so many calls at once after a quiet time."""

    interval: int
    burst: int

    def tolerance(self, reserve: float = 0.0) -> int:
        """How far ahead the calls may be paid for; whoever leaves a share of the burst to others stops earlier."""
        return max(self.interval, int((1 - reserve) * self.burst * self.interval))

    def max_wait(self, reserve: float = 0.0) -> int:
        """How long a call may wait in its thread. Whoever leaves a reserve never waits so deep that it is used up."""
        if not reserve:
            return MAX_WAIT
        kept = (self.burst - 1) * self.interval - self.tolerance(reserve)
        return min(MAX_WAIT, max(0, kept))


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of one key."""

    spent_until: int = 0
    paused_until: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """Granted: wait so long and make the call. Else nothing is taken, and it is worth asking again then."""

    granted: bool
    wait: int
    account: Account


def pace(per_minute: int) -> Pace | None:
    """The pace that keeps any sixty seconds within ``per_minute`` calls, the burst and one second of drift included:
    calls are counted where they arrive, and they do not all travel equally long. None: no budget of our own."""
    if per_minute <= 0:
        return None
    burst = max(1, min(MAX_BURST, per_minute // 15))
    steadily = per_minute - (burst - 1) - per_minute // 60
    return Pace(60 * MICROSECONDS // steadily, burst)


def ask(pace: Pace | None, account: Account, now: int, reserve: float = 0.0) -> Turn:
    """Ask for one call. ``reserve`` (0..1): the share of the burst left to others."""
    earliest = max(now, min(account.paused_until, now + LONGEST_PAUSE))
    spent, start, max_wait = account.spent_until, earliest, MAX_WAIT
    if pace is not None:
        # Nothing is ever paid for further ahead than this: an instant beyond it is a clock that was set back.
        ahead = now + horizon(pace)
        spent = max(min(spent, ahead), earliest) + pace.interval
        start = max(earliest, spent - pace.tolerance(reserve))
        max_wait = pace.max_wait(reserve)
    wait = start - now
    granted = wait <= max_wait
    return Turn(granted, wait, replace(account, spent_until=spent) if granted else account)


def calls_left(pace: Pace | None, account: Account) -> int | None:
    """How many calls could go at once, 0 to the burst. ``account``: counted from now. None: no budget of our own."""
    if pace is None:
        return None
    return min(pace.burst, max(0, pace.burst * pace.interval - account.spent_until) // pace.interval)


def horizon(pace: Pace) -> int:
    """The furthest that calls can be paid for ahead of now."""
    return pace.burst * pace.interval + MAX_WAIT


def used_up(pace: Pace | None, now: int) -> Account:
    """What to begin with when nobody knows what was called just before: as if the burst had just been spent."""
    return Account(now + (0 if pace is None else pace.burst * pace.interval))


def paused(account: Account, now: int, seconds: float) -> Account:
    """The account after the partner asked for a rest. A shorter word never ends a longer one."""
    until = now + min(max(0, int(seconds * MICROSECONDS)), LONGEST_PAUSE)
    return replace(account, paused_until=max(min(account.paused_until, now + LONGEST_PAUSE), until))


def unsaid_pause(refusals: int) -> float:
    """Seconds to rest after so many 429s in a row (from 1) without a word about how long."""
    return UNSAID_PAUSES[min(max(refusals, 1), len(UNSAID_PAUSES)) - 1]
