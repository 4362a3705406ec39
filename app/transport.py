"""The one door out: every call to a partner goes through here, and through one requests session.

LAW: only this file imports requests. No retries (the engine owns them), no redirects, a timeout on every call,
and a bounded answer. What came of a call is a value; ``app.domain.answer`` says what it means.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from urllib.parse import urlsplit

import requests
import structlog
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError

from app.domain.answer import Answer, Failure
from app.domain.payload import encode

log = structlog.get_logger()

CONNECT_SECONDS = 3.05
READ_SECONDS = 10.0
"""Longest silence between two packets of an answer."""
TOTAL_SECONDS = 20.0
"""Longest an answer may drip in, however lively."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
USER_AGENT = "truthvouch-pagerduty-bridge"
READING_METHODS = frozenset({"GET", "HEAD"})
_PACKET_BYTES = 64 * 1024


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
    ) -> None:
        self._timeout = (connect_seconds, read_seconds)
        self._total_seconds = total_seconds
        self._max_answer_bytes = max_answer_bytes
        self._session = _session(pool_size)

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
        try:
            outcome = self._attempt(method, url, dict(headers or {}), params, json)
        except (OSError, ValueError, HTTPError) as error:  # requests' own errors are OSErrors
            outcome = _failure(error, writes)
        log.debug(
            "partner.called",
            target=target,
            method=method,
            path=_path(url),
            status=outcome.status if isinstance(outcome, Answer) else outcome.reason,
            ms=round((time.monotonic() - started) * 1000),
        )
        return outcome

    def close(self) -> None:
        """Close every pooled connection."""
        self._session.close()

    def _attempt(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        params: Mapping[str, str | list[str]] | None,
        json: object,
    ) -> Answer | Failure:
        if json is not None:
            headers["Content-Type"] = "application/json"
        response = self._session.request(
            method,
            url,
            headers=headers,
            params=params,
            data=None if json is None else encode(json),
            timeout=self._timeout,
            proxies=dict(_NO_PROXIES) if _is_loopback(url) else None,
            allow_redirects=False,
            stream=True,
        )
        with closing(response):
            return self._answer(response, writes=method not in READING_METHODS)

    def _answer(self, response: requests.Response, writes: bool) -> Answer | Failure:
        body = self._bounded_body(response)
        if body is None:
            return Failure("answer_too_large_or_slow", unclear=writes)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, body, datetime.now(UTC), writes)

    def _bounded_body(self, response: requests.Response) -> bytes | None:
        """The body, read packet by packet so that the clock is seen between any two; None when it is too much."""
        until, body = time.monotonic() + self._total_seconds, bytearray()
        while packet := response.raw.read1(_PACKET_BYTES, decode_content=True):
            body += packet
            if len(body) > self._max_answer_bytes or time.monotonic() > until:
                return None
        return bytes(body)


# An explicit empty proxy is the only way to tell requests "none here" while the environment names one.
_NO_PROXIES = {"http": "", "https": ""}


def _session(pool_size: int) -> requests.Session:
    session = requests.Session()
    # Proxies and certificate bundles of the environment are what users behind a company proxy expect ...
    session.trust_env = True
    # ... but requests would also let ~/.netrc overwrite our Authorization header, unless somebody else signs.
    session.auth = _leave_headers_alone
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = USER_AGENT
    adapter = HTTPAdapter(pool_connections=8, pool_maxsize=pool_size, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _leave_headers_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _failure(error: Exception, writes: bool) -> Failure:
    if _unwritable(error):
        return Failure("unsendable", hopeless=True)
    for kind, reason in _NEVER_SENT.items():
        if isinstance(error, kind):
            return Failure(reason)
    if isinstance(error, requests.ConnectionError) and _never_connected(error):
        return Failure("connect_failed")
    for kind, reason in _MAYBE_SENT.items():
        if isinstance(error, kind):
            return Failure(reason, unclear=writes)
    return Failure("connection_broken", unclear=writes)


_MAYBE_SENT: Mapping[type[Exception], str] = {
    requests.ReadTimeout: "read_timeout",
    requests.exceptions.SSLError: "tls_failed",
}
_NEVER_SENT: Mapping[type[Exception], str] = {
    requests.ConnectTimeout: "connect_timeout",
    requests.exceptions.ProxyError: "proxy_unreachable",
}


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
