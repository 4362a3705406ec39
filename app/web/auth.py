"""Who may come in: what operators use is opened by one token, ``BRIDGE_ADMIN_TOKEN``.

Whoever guesses is slowed down by address; each web process counts for itself, and no request waits in a thread.
"""

import hashlib
import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network

import structlog
from flask import Response, request

from app import metrics
from app.web import answers
from app.web.proxies import plain_address

log = structlog.get_logger()

NO_TOKEN = "Nobody can come in, because no token is configured: set BRIDGE_ADMIN_TOKEN (or BRIDGE_ADMIN_TOKEN_FILE)."
MISSING = "Send the token as `Authorization: Bearer TOKEN`."
WRONG = "This is not the token in BRIDGE_ADMIN_TOKEN."
TOO_MANY = "Too many wrong tokens came from your address: wait {seconds} s, and see that no script has an old token."

MAX_WRONG = 100
"""So many wrong tokens an address may send at once; then one in ``SECONDS_EACH``."""
SECONDS_EACH = 1.0
MAX_ADDRESSES = 10_000

Hook = Callable[[], Response | None]


class Guesses:
    """How many wrong tokens came from each address, forgotten one a second. For many threads.

    One IPv6 client commonly has a whole /64 to send from (RFC 4291, 2.5.4), so all of that counts as one address. The
    oldest addresses go when there are too many: memory is bounded, whoever sends from wherever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_until: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the next token of this address is looked at; 0 = now."""
        with self._lock:
            paid_until = self._paid_until.get(_source(address), 0.0)
        return max(0.0, paid_until - self._clock() - (MAX_WRONG - 1) * SECONDS_EACH)

    def count(self, address: str) -> None:
        """One was wrong."""
        with self._lock:
            now, source = self._clock(), _source(address)
            self._paid_until[source] = max(now, self._paid_until.pop(source, now)) + SECONDS_EACH
            if len(self._paid_until) > MAX_ADDRESSES:
                self._paid_until.popitem(last=False)


def _source(address: str) -> str:
    """Of an IPv6 address its /64; any other text stays as it is."""
    plain = plain_address(address)
    return str(IPv6Network((int(plain), 64), strict=False)) if isinstance(plain, IPv6Address) else address


def bearer(token: str | None, guesses: Guesses | None = None) -> Hook:
    """A ``before_request`` hook that lets nobody in without the token, and nobody at all where none is configured."""
    guesses = guesses or Guesses()

    def authenticate() -> Response | None:
        if not token:
            return _refused("no_admin_token", NO_TOKEN, HTTPStatus.SERVICE_UNAVAILABLE)
        given, address = _given(), request.remote_addr or ""
        if not given:
            return _challenged("token_missing", MISSING)
        if wait := guesses.wait(address):
            return _slowed_down(math.ceil(wait))
        if _same(given, token):
            return None
        guesses.count(address)
        if guesses.wait(address):
            log.error("operator.guessing", client=address)
        return _challenged("token_wrong", WRONG)

    authenticate.__authenticates__ = True  # type: ignore[attr-defined]
    return authenticate


def _given() -> bytes:
    """The token of this request, as the bytes that came."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip().encode("latin-1", "replace") if scheme.casefold() == "bearer" else b""


def _same(given: bytes, token: str) -> bool:
    """Of hashes, so that the time it takes tells neither a letter nor the length."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(token.encode()).digest())


def _challenged(reason: str, message: str) -> Response:
    """https://www.rfc-editor.org/rfc/rfc6750#section-3"""
    response = _refused(reason, message, HTTPStatus.UNAUTHORIZED)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _slowed_down(seconds: int) -> Response:
    """Counted and not logged: a flood of guesses is no flood of lines."""
    metrics.meter().operator_refused("too_many_wrong")
    response = answers.refusal("too_many_wrong", TOO_MANY.format(seconds=seconds), HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(seconds)
    return response


def _refused(reason: str, message: str, status: HTTPStatus) -> Response:
    metrics.meter().operator_refused(reason)
    log.warning("operator.refused", reason=reason, client=request.remote_addr)
    return answers.refusal(reason, message, status)
