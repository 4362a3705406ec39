"""What a partner answered, and what that means: one judgement for both partners.

Success is an allow-list; everything else says whether trying again may help.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.domain.names import instant
from app.domain.outcome import REDIRECTED, Done, Held, Refused, Reply, Retry
from app.domain.payload import Fault, clean, decode, table_of

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
    """What came of a call. ``Done`` holds the answer's JSON, None where it had none, and the partner's own clock.

    401/403 are held, and so is a redirect: its address is another one, which is never followed. Whom that holds besides
    is for ``refusals`` to say. 407, 408, 421, 423, 425, 429, 5xx and transport failures are tried again after what the
    partner asked for (``Retry-After``, at 429 also ``ratelimit-reset``; 0 to 3,600 seconds); everything else is final.
    ``hide`` are texts (keys, addresses) that never appear in a refusal's detail.
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
    told = decode(answer.body)
    return Done(None if isinstance(told, Fault) else told, _answered_at(answer))


def _answered_at(answer: Answer) -> datetime | None:
    """The ``Date`` header. https://www.rfc-editor.org/rfc/rfc9110#field.date"""
    at = instant(answer.headers.get("date"))
    return at.replace(microsecond=0) if at else None


def _refused(answer: Answer, hide: Iterable[str]) -> Refused:
    told = table_of(decode(answer.body))
    error = table_of(told.get("error")) or told
    code = error.get("code")
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    return Refused(_reason(answer.status, code), answer.status, number, _detail(error, hide))


def _reason(status: int, code: object) -> str:
    """TruthVouch names its errors; PagerDuty numbers them, so there the status must do."""
    if isinstance(code, str) and _CODE_WORD.fullmatch(code):
        return code.lower()
    return _REFUSALS.get(status, f"http_{status}")


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
    asked = _after(answer.headers.get("retry-after"), answer.received_at)
    if asked is None and answer.status == TOO_MANY:
        for name in ("ratelimit-reset", "x-ratelimit-reset"):
            asked = _after(answer.headers.get(name), answer.received_at) if asked is None else asked
    return asked


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
