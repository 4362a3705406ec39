"""Scripts come in with a token: the admin token or a named one, as ``Authorization: Bearer``.

Whoever guesses is slowed down by address (``services/access/tokens.py``); no request waits in a thread.
"""

from collections.abc import Callable
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network

import structlog
from flask import Response, g, request

from app import metrics
from app.domain.model.events import Way
from app.ports.access import Role
from app.services.access.tokens import TokenOutcome, TokenResult, Tokens
from app.web import http
from app.web.access import Access
from app.web.proxies import plain_address

log = structlog.get_logger()

WAY_IN = "api"
"""How the time line names it: ``api:NAME``."""
NO_TOKEN = (
    "Nobody can come in, because no token is configured: set BRIDGE_ADMIN_TOKEN (or BRIDGE_ADMIN_TOKEN_FILE), or make "
    "one with `truthvouch tokens add`."
)
MISSING = "Send the token as `Authorization: Bearer TOKEN`."
WRONG = "This is neither the token in BRIDGE_ADMIN_TOKEN nor one of `truthvouch tokens list`."
TOO_MANY = "Wrong tokens came from your address: wait {seconds} s, and see that no script has an old token."
READ_ONLY = "This token may look and not act: its role is read-only."


def source_of(address: str) -> str:
    """As what an address is counted: one IPv6 client commonly has a whole /64 to send from (RFC 4291, 2.5.4), so all of
    that is one. Text that is no address stays as it is."""
    plain = plain_address(address)
    if isinstance(plain, IPv6Address):
        return str(IPv6Network((int(plain), 64), strict=False))
    return address if plain is None else str(plain)


def bearer(tokens: Tokens) -> Callable[[Access], Response | None]:
    """Lets in whoever sends a token, where the route asks for no more than its role may; sets ``g.actor``."""

    def authenticate(access: Access) -> Response | None:
        given = _given()
        if not given:
            return _refused(MISSING, "token_missing") if tokens.is_configured else _no_token()
        result = tokens.check(given, source_of(request.remote_addr or ""), Way.API)
        if result.identity is None:
            return _not_accepted(result)
        if access is Access.ADMIN and result.identity.role is not Role.ADMIN:
            return _refused(READ_ONLY, "read_only", HTTPStatus.FORBIDDEN)
        g.actor = result.identity.actor(WAY_IN)
        return None

    return authenticate


def _given() -> str:
    """The token of this request; bytes that are no UTF-8 stay apart from every text."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.casefold() != "bearer":
        return ""
    return token.strip().encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def _not_accepted(result: TokenResult) -> Response:
    match result.outcome:
        case TokenOutcome.TOO_MANY:
            return _slowed_down(result.wait_seconds)
        case TokenOutcome.NO_TOKEN:
            return _no_token()
        case _:
            return _refused(WRONG, "token_wrong")


def _no_token() -> Response:
    return _refused(NO_TOKEN, "no_admin_token", HTTPStatus.SERVICE_UNAVAILABLE)


def _slowed_down(seconds: int) -> Response:
    """Counted and not logged: a flood of guesses is no flood of lines."""
    metrics.meter().operator_refused("too_many_wrong")
    response = http.refusal("too_many_wrong", TOO_MANY.format(seconds=seconds), HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(seconds)
    return response


def _refused(message: str, reason: str, status: HTTPStatus = HTTPStatus.UNAUTHORIZED) -> Response:
    """A 401 says how to come in: https://www.rfc-editor.org/rfc/rfc6750#section-3"""
    note_refused(reason)
    response = http.refusal(reason, message, status)
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def note_refused(reason: str) -> None:
    """Count and log that somebody was not let in."""
    metrics.meter().operator_refused(reason)
    log.warning("operator.refused", reason=reason, client=request.remote_addr)
