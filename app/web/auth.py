"""Who may come in: what operators use is opened by one token, ``BRIDGE_ADMIN_TOKEN``."""

import hashlib
import hmac
from collections.abc import Callable
from http import HTTPStatus

import structlog
from flask import Response, request

from app.web import answers

log = structlog.get_logger()

NO_TOKEN = "Nobody can come in, because no token is configured: set BRIDGE_ADMIN_TOKEN (or BRIDGE_ADMIN_TOKEN_FILE)."
MISSING = "Send the token as `Authorization: Bearer TOKEN`."
WRONG = "This is not the token in BRIDGE_ADMIN_TOKEN."

Hook = Callable[[], Response | None]


def bearer(token: str | None) -> Hook:
    """A ``before_request`` hook that lets nobody in without the token, and nobody at all where none is configured."""

    def authenticate() -> Response | None:
        if not token:
            return _refused("no_admin_token", NO_TOKEN, HTTPStatus.SERVICE_UNAVAILABLE)
        given = _given()
        if not given:
            return _challenged("token_missing", MISSING)
        return None if _same(given, token) else _challenged("token_wrong", WRONG)

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


def _refused(reason: str, message: str, status: HTTPStatus) -> Response:
    log.warning("operator.refused", reason=reason, client=request.remote_addr)
    return answers.refusal(reason, message, status)
