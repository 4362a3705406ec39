"""Everything that goes wrong outside a service, as the same JSON: no stack and no detail leaves the process."""

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from app.web import answers

log = structlog.get_logger()

HOOKS = frozenset({"outbound", "inbound"})
"""A fault of ours behind these doors is answered with the one status that makes both partners try again."""


def install(app: Flask) -> None:
    """Answer every error of this application."""
    app.register_error_handler(HTTPException, _expected)
    app.register_error_handler(Exception, _unexpected)


def _expected(error: HTTPException) -> Response:
    name = error.name or "error"
    response = answers.refusal(name.lower().replace(" ", "_"), name + ".", error.code or 500)
    for header in ("Allow", "Location", "Retry-After"):
        if header in (headers := dict(error.get_headers())):
            response.headers[header] = headers[header]
    return response


def _unexpected(error: Exception) -> Response:
    log.error("request.failed", path=request.path[:200], exc_info=error)
    status = 503 if request.blueprint in HOOKS else 500
    return answers.refusal("internal_error", "Something broke on our side; the log knows more by this id.", status)
