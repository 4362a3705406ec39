"""Who may come in: one hook of the application looks at every request before its view does.

It goes by what the view says (``access.needs``), and turns everybody away from a view that says nothing. Scripts come
to ``/api/v1`` with a token (``bearer``), operators to the console with a session (``console.guard``); neither opens the
other's routes.

The session's cookie and the headers of the console's pages are here too, since Flask asks for both with every request:
a webhook is not to pass more modules for them.
"""

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from http import HTTPStatus

import structlog
from flask import Flask, Request, Response, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from app.ports import StoreUnavailable
from app.web import http
from app.web.access import Access

log = structlog.get_logger()

UNMARKED = "This route does not say who may use it, or belongs neither to the console nor to the API: so nobody may."
CONSOLE = "/console"
EVIDENCE = "/e"
API = "api"
"""The blueprint whose callers have a token."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE = "__Host-truthvouch"
"""Over HTTPS. Browsers keep a cookie of this prefix only when it is ours alone: Secure, Path=/ and without a domain.
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes"""
LOOPBACK_COOKIE = "truthvouch"
"""Over plain HTTP on a loopback address, where not every browser keeps a Secure cookie."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: a form that is sent over HTTPS has to say that it came from one of our pages.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
EVIDENCE_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    # The address lets in whoever knows it: nobody it leads to is told, and no search engine keeps it.
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}
"""Of pages that need no login but an evidence link."""
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")


Guard = Callable[[Access], Response | None]
"""Finds out who calls and sets ``g.actor``, or refuses."""


def install(app: Flask, signing_keys: Callable[[], tuple[str, ...]], by_token: Guard, by_session: Guard) -> None:
    """Look at every request of this application. ``signing_keys``: newest first, asked for with the first request of
    the console; may raise ``StoreUnavailable``."""
    app.session_interface = ConsoleCookie(signing_keys)
    app.after_request(add_headers)

    def enforce() -> Response | None:
        if request.endpoint is None:
            return None  # no view is asked: 404 or 405
        access = getattr(current_app.view_functions[request.endpoint], "__access__", None)
        match access:
            case Access.SIGNED | Access.LINK:
                return None
            case Access.OPEN if request.method in SAFE:
                return None
            case Access() if request.blueprint == API:
                return by_token(access)
            case Access() if is_console(request.path):
                return by_session(access)
        log.error("route.unmarked", endpoint=request.endpoint)
        return http.refusal("forbidden", UNMARKED, HTTPStatus.FORBIDDEN)

    app.before_request(enforce)


def add_headers(response: Response) -> Response:
    """Nothing from elsewhere is loaded into a page, nobody frames one, and no cache keeps one."""
    headers: Mapping[str, str] = {}
    if request.path == "/" or is_console(request.path):
        headers = HEADERS
    elif is_evidence(request.path):
        headers = EVIDENCE_HEADERS
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response


def is_console(path: str) -> bool:
    """Whether a path is the console's."""
    return path == CONSOLE or path.startswith(f"{CONSOLE}/")


def is_evidence(path: str) -> bool:
    """Whether a path is that of an evidence link."""
    return path.startswith(f"{EVIDENCE}/")


def is_private(given: Request) -> bool:
    """Whether what is sent stays between browser and bridge: over HTTPS, or by a loopback address without a proxy.

    A trusted proxy's word about the scheme has been put in its place by now; where another one forwards, nobody knows
    how the browser came to it.
    """
    if given.is_secure:
        return True
    return _is_loopback(given.host) and not any(name in given.headers for name in FORWARDED)


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"


class ConsoleCookie(SecureCookieSessionInterface):
    """Flask's signed cookie, for the console's paths, and to look at evidence with the rights of a login. A webhook or
    a script never gets as far as the keys."""

    salt = "truthvouch-console"
    digest_method = staticmethod(hashlib.sha256)

    def __init__(self, signing_keys: Callable[[], tuple[str, ...]]) -> None:
        self._signing_keys = signing_keys

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """None, which cannot be written to, where no cookie may be set or the store has to be asked and is gone."""
        looks_at_evidence = is_evidence(request.path) and request.method in SAFE
        if not (is_console(request.path) or looks_at_evidence) or not is_private(request):
            return None
        if app.secret_key is None:
            try:
                self._take_keys(app)
            except StoreUnavailable:
                return None
        return super().open_session(app, request)

    def _take_keys(self, app: Flask) -> None:
        """Itsdangerous signs with the last key of a list and reads with any; our lists begin with the newest."""
        oldest_first = [*reversed(self._signing_keys())]
        app.config["WTF_CSRF_SECRET_KEY"] = oldest_first
        app.config["SECRET_KEY_FALLBACKS"] = oldest_first[:-1]
        app.secret_key = oldest_first[-1]

    def get_cookie_name(self, app: Flask) -> str:
        return COOKIE if request.is_secure else LOOPBACK_COOKIE

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure
