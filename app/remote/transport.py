"""The only way out: every call to a partner goes through here, and through one requests session.

LAW: only this file imports requests. No retries (the engine owns them), no redirects, a timeout on every call,
and a bounded answer. What came of a call is a value; ``app.remote.replies`` says what it means.
"""

import io
import logging
import math
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import lru_cache, partial
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import structlog
from requests.adapters import HTTPAdapter
from requests.hooks import default_hooks
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError, ReadTimeoutError

from app.domain.model.outcome import UNSENDABLE
from app.remote import spans
from app.remote.payload import encode
from app.remote.replies import SUCCESS, Answer, Failure
from app.remote.trace import call_headers, headers_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = structlog.get_logger()

CONNECT_SECONDS = 3.05
READ_SECONDS = 10.0
"""Longest silence between two packets of an answer."""
TOTAL_SECONDS = 20.0
"""Longest an answer may drip in, its headers included, however lively."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
USER_AGENT = "truthvouch-pagerduty-bridge"
READING_METHODS = frozenset({"GET", "HEAD"})
_PACKET_BYTES = 64 * 1024
SERVERS = 8
"""Whose connections are kept."""


def leave_log_to_caller() -> None:
    """For scripts: where nobody configured structlog, our events become records of ``logging``, from INFO on.

    What is seen of them, and where, is then the script's to say; by default warnings, on standard error.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.stdlib.add_log_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )


class Transport:
    """A pool of connections to the partners, for any number of threads. Times in seconds."""

    def __init__(
        self,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        pool_size: int = 32,
        hides_paths: bool = False,
    ) -> None:
        """``hides_paths``: the addresses that are called are secrets, and no part of them is logged."""
        self._timeout = (connect_seconds, read_seconds)
        self._max_answer_bytes = max_answer_bytes
        self._session = _session(pool_size, total_seconds)
        self._hides_paths = hides_paths
        self.successes = 0
        """How many calls were answered with success: a sign that the way to the partners is open."""

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | list[str]] | None = None,
        json: object = None,
        target: str = "",
    ) -> Answer | Failure:
        """Make one call. Never raises for anything the network or the partner does.

        ``json`` None sends no body. ``target`` names the partner in the log, which never holds bodies, headers
        or query strings.
        """
        started = time.monotonic()
        method = method.upper()
        writes = method not in READING_METHODS
        span = spans.of_call(method, url, target, self._hides_paths) if spans.tracer else None
        carried = headers_of(span.context, span.context.span) if span else call_headers()
        try:
            outcome = self._attempt(method, url, {**carried, **(headers or {})}, params, json)
        except (OSError, ValueError, HTTPError) as error:  # requests' own errors are OSErrors
            outcome = _failure(error, writes)
        if span is not None:
            _end(span, outcome)
        if isinstance(outcome, Answer) and outcome.status in SUCCESS:
            self.successes += 1
        log.debug(
            "partner.called",
            target=target,
            method=method,
            path="" if self._hides_paths else _path(url),
            status=outcome.status if isinstance(outcome, Answer) else outcome.reason,
            ms=round((time.monotonic() - started) * 1000),
        )
        return outcome

    def close(self) -> None:
        """Close every pooled connection."""
        self._session.close()

    def _attempt(
        self, method: str, url: str, headers: dict[str, str], params: Mapping[str, str | list[str]] | None, json: object
    ) -> Answer | Failure:
        if json is not None:
            headers["Content-Type"] = "application/json"
        request = self._session.prepared(method, url, headers, params, None if json is None else encode(json))
        with closing(self._session.sent(request, self._timeout)) as response:
            return self._answer(response, writes=method not in READING_METHODS)

    def _answer(self, response: requests.Response, writes: bool) -> Answer | Failure:
        body = bytearray()
        while packet := response.raw.read1(_PACKET_BYTES, decode_content=True):
            body += packet
            if len(body) > self._max_answer_bytes:
                return Failure("answer_too_large", unclear=writes)
        headers = {name.lower(): value for name, value in response.raw.headers.itermerged()}
        return Answer(response.status_code, headers, bytes(body), datetime.now(UTC), writes)


class _UntilDeadline(io.RawIOBase):
    """What comes from a socket until a moment (monotonic seconds), however it is read; then ``TimeoutError``.

    A timeout of the socket is for one read, and whoever sends a byte now and then never lets it run out.
    """

    def __init__(self, sock: socket.socket, reader: io.RawIOBase, until: float) -> None:
        self._sock, self._reader, self._until = sock, reader, until
        self._silence = sock.gettimeout() or math.inf

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(min(left, self._silence))
        return self._reader.readinto(buffer)

    def close(self) -> None:
        self._reader.close()
        super().close()


class _Response(HTTPResponse):
    """An answer whose deadline begins before its first byte. A proxy's answer to CONNECT is one, too."""

    def __init__(self, sock: socket.socket, *args: Any, total_seconds: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        reader = _UntilDeadline(sock, self.fp.detach(), time.monotonic() + total_seconds)
        self.fp = io.BufferedReader(reader)


class _Connection(HTTPConnection):
    """Sends the head and the body of a request at once: one call of the system, and one packet for the partner."""

    _parts: list[bytes] | None = None

    def request(self, *args: Any, **options: Any) -> None:
        """Nothing is sent, and no connection made, of what cannot be written whole."""
        parts = self._parts = []
        try:
            super().request(*args, **options)
        finally:
            self._parts = None
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        if self._parts is None:
            super().send(data)
        else:
            self._parts.append(data)


class _Adapter(HTTPAdapter):
    """Gives every connection, through a proxy or not, that kind of answer, and finds a server's pool by its name."""

    def __init__(self, total_seconds: float, **options: Any) -> None:
        self._response_class = staticmethod(partial(_Response, total_seconds=total_seconds))
        self._pools: dict[tuple[str, str], Any] = {}
        super().__init__(**options)

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """The pool for a request. Each server has one: what it is called with does not change."""
        parts = urlsplit(str(request.url))
        key = (parts.scheme, parts.netloc)
        if known := self._pools.get(key):
            return known
        if len(self._pools) >= SERVERS:
            self._pools.clear()
        pool: Any = super().get_connection_with_tls_context(request, *args, **kwargs)
        kind = pool.ConnectionCls
        if vars(kind).get("response_class") is not self._response_class:
            pool.ConnectionCls = type(kind.__name__, (_Connection, kind), {"response_class": self._response_class})
        self._pools[key] = pool
        return pool

    def close(self) -> None:
        """Close every connection: a pool is closed when nobody refers to it."""
        self._pools.clear()
        super().close()

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """What ``Transport`` reads of it. No cookie is taken out, no encoding guessed."""
        response = requests.Response()
        response.status_code, response.raw, response.request = resp.status, resp, req
        return response


# An explicit empty proxy is the only way to tell requests "none here" while the environment names one.
_NO_PROXIES = {"http": "", "https": ""}


class _Session(requests.Session):
    """Does once what does not change from call to call: that is a third of a call's work."""

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[tuple[str, str], Mapping[str, Any]] = {}

    def prepared(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        params: Mapping[str, str | list[str]] | None,
        body: bytes | None,
    ) -> requests.PreparedRequest:
        """The request as it is sent. Nobody's ~/.netrc and no cookie is asked about: who signs is in the headers."""
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.url = _prepared_url(url)
        if params:
            request.prepare_url(request.url, params)
        request.prepare_headers({**self.headers, **headers})
        request.prepare_body(body, None)
        request.hooks = default_hooks()
        return request

    def sent(self, request: requests.PreparedRequest, timeout: tuple[float, float]) -> requests.Response:
        """The answer, its body unread. By the adapter itself: no redirect is followed, no hook run, no cookie kept."""
        url = str(request.url)
        return self.get_adapter(url).send(request, stream=True, timeout=timeout, **self._settings_for(url))

    def _settings_for(self, url: str) -> Mapping[str, Any]:
        """What to send a request to this server with: proxies and certificates of the environment, which does not
        change under a process."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        if key not in self._settings:
            proxies = dict(_NO_PROXIES) if _is_loopback(url) else {}
            found = self.merge_environment_settings(url, proxies, True, None, None)
            self._settings[key] = {name: found[name] for name in ("verify", "cert", "proxies")}
        return self._settings[key]


@lru_cache(maxsize=256)
def _prepared_url(url: str) -> str:
    """Raises what ``requests`` raises for an impossible one."""
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    assert request.url is not None
    return request.url


def _session(pool_size: int, total_seconds: float) -> _Session:
    session = _Session()
    session.trust_env = True  # users behind a company proxy expect its proxies and certificate bundles
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = USER_AGENT
    adapter = _Adapter(total_seconds, pool_connections=SERVERS, pool_maxsize=pool_size, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _end(span: spans.Span, outcome: Answer | Failure) -> None:
    if isinstance(outcome, Answer):
        spans.answered(span, outcome.status, fails_from=400)
    else:
        span.end({}, outcome.reason)


def _failure(error: Exception, writes: bool) -> Failure:
    if _unwritable(error):
        return Failure(UNSENDABLE, hopeless=True)
    if isinstance(error, requests.ConnectTimeout):
        return Failure("connect_timeout")
    if isinstance(error, requests.exceptions.ProxyError):
        return Failure("proxy_unreachable")
    if isinstance(error, requests.ConnectionError) and _never_connected(error):
        return Failure("connect_failed")
    if isinstance(error, requests.ReadTimeout | ReadTimeoutError):  # the latter within the body
        return Failure("read_timeout", unclear=writes)
    reason = "tls_failed" if isinstance(error, requests.exceptions.SSLError) else "connection_broken"
    return Failure(reason, unclear=writes)


def _unwritable(error: Exception) -> bool:
    """Was the address or a header impossible? A wrong header in the *answer* comes as the same class."""
    if isinstance(error, requests.exceptions.InvalidHeader):
        return not (error.args and isinstance(error.args[0], HTTPError))
    return isinstance(error, LocationValueError) or (isinstance(error, ValueError) and not isinstance(error, HTTPError))


def _never_connected(error: BaseException) -> bool:
    """Did the connection (name look-up included) fail before one byte of the request could leave?"""
    return bool(error.args) and isinstance(getattr(error.args[0], "reason", None), ConnectTimeoutError)


def _is_loopback(url: str) -> bool:
    """Is this our own machine? No proxy could reach it (the sandbox, a simulated partner)."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
