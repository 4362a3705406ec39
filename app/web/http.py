"""What every request passes before a view reads it, and the JSON that every view answers with.

- A request has an id and a trace, which are on every log line about it, and a line that says how it was answered.
- A Host header that is none is left out: nothing here depends on it, and Flask would answer it with a 400.
- Everything that goes wrong outside a service is the same JSON: no stack and no detail leaves the process.
"""

import logging
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog
from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from app import logs
from app.remote import spans, trace

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

HEADER = "X-Request-ID"
PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
MAX_PATH_CHARS = 200
QUIET_ROOM = "health"
"""Asked every few seconds by machines: worth a line only to somebody who is looking for it."""


@dataclass(slots=True)
class Call:
    """One request under way, as log lines and spans know it."""

    environ: "WSGIEnvironment"
    request_id: str
    trace: str
    span: spans.Span | None
    began: float

    @classmethod
    def begin(cls, environ: "WSGIEnvironment", path: str, route: str, has_span: bool = True) -> "Call":
        """From now on the log lines of this thread are about it. ``path``: decoded; ``route``: empty for none."""
        began = perf_counter()
        given, state = environ.get("HTTP_TRACEPARENT", ""), environ.get("HTTP_TRACESTATE", "")
        span = None
        if spans.tracer and has_span:
            method, scheme = environ["REQUEST_METHOD"], environ["wsgi.url_scheme"]
            span = spans.of_request(method, logged_path(path), route, scheme, given, state)
        kept = str(span.context) if span else trace.of_request(given, state)
        call = cls(environ, _request_id(environ.get("HTTP_X_REQUEST_ID", "")), kept, span, began)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=call.request_id, trace_id=trace.trace_id(kept))
        return call

    def answered(self, path: str, status: int, is_quiet: bool) -> None:
        """Say how. ``is_quiet``: only to somebody who is looking for it."""
        if self.span:
            spans.answered(self.span, status, fails_from=500)
        if is_quiet and not log.is_enabled_for(logging.DEBUG):
            return
        say = log.debug if is_quiet else log.info
        say(
            "request.answered",
            method=self.environ["REQUEST_METHOD"][:20],
            path=logged_path(path),
            status=int(status),
            ms=round((perf_counter() - self.began) * 1000, 1),
            client=self.environ.get("REMOTE_ADDR"),
        )

    @staticmethod
    def failed(path: str, error: Exception) -> None:
        """Say that something broke on our side."""
        log.error("request.failed", path=logged_path(path), exc_info=error)

    @staticmethod
    def forget() -> None:
        """The log lines of this thread are about nothing."""
        structlog.contextvars.clear_contextvars()


def install_tracing(app: Flask) -> None:
    """Trace every request that Flask answers, the ones it has no view for included."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(lambda _error: Call.forget())


def _begin() -> None:
    route = request.url_rule.rule if request.url_rule else ""
    g.call = Call.begin(request.environ, request.path, route, request.blueprint != QUIET_ROOM)


def _request_id(given: str) -> str:
    """The caller's id if it is short and plain, so that it cannot forge a log line; else one of ours."""
    return given if PLAIN.fullmatch(given) else uuid.uuid4().hex


def _end(response: Response) -> Response:
    response.headers[HEADER] = g.call.request_id
    g.call.answered(request.path, response.status_code, is_quiet=request.blueprint == QUIET_ROOM)
    return response


def logged_path(path: str) -> str:
    """A path without the secret that some links are."""
    return logs.SECRET_PATH.sub(r"\1…", path)[:MAX_PATH_CHARS]


# --------------------------------------------------------------------------------------------------------------- hosts

_PLAUSIBLE = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
"""https://www.rfc-editor.org/rfc/rfc9110#section-7.2"""


def install_host_check(app: Flask) -> None:
    """Look at every request before Flask does."""
    app.wsgi_app = PlausibleHost(app.wsgi_app)  # type: ignore[method-assign]


class PlausibleHost:
    """Takes the server's own name for a Host header that cannot be a host."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer the request."""
        if not _is_host(environ.get("HTTP_HOST", "")):
            environ.pop("HTTP_HOST", None)
        return self._app(environ, start_response)


def _is_host(text: str) -> bool:
    found = _PLAUSIBLE.fullmatch(text)
    try:
        # What the router and whoever builds a URL do to it.
        return found is not None and bool(found.group(1).encode("idna").decode("idna"))
    except UnicodeError:
        return False


# ------------------------------------------------------------------------------------------------------------- answers

API_ROOT = "/api/"
PROBLEM_TYPE = "application/problem+json"
PROBLEMS = "urn:truthvouch-bridge:problem:"


UNEXPECTED = "Something broke on our side; the log knows more by this id."


def error_content(code: str, message: str) -> dict[str, Any]:
    """An error as everybody but the API's callers reads it."""
    return {"error": {"code": code, "message": message}}


def refusal(code: str, message: str, status: int) -> Response:
    """An error: ``code`` for machines, ``message`` for people.

    The API answers by RFC 9457 (https://www.rfc-editor.org/rfc/rfc9457); the two webhooks, whose senders read nothing,
    and everything else keep the shape they had.
    """
    if not request.path.startswith(API_ROOT):
        return json_response(error_content(code, message), status)
    title = HTTPStatus(status).phrase
    said = {"type": f"{PROBLEMS}{code}", "title": title, "status": status, "detail": message, "code": code}
    response = json_response(said, status)
    response.content_type = PROBLEM_TYPE
    return response


def json_response(content: dict[str, Any], status: int = HTTPStatus.OK) -> Response:
    """JSON with the id that finds the request in the log."""
    response = jsonify({**content, "request_id": g.call.request_id if "call" in g else ""})
    response.status_code = status
    return response


# -------------------------------------------------------------------------------------------------------------- errors


def install_errors(app: Flask) -> None:
    """Answer every error of this application."""
    app.register_error_handler(HTTPException, _expected)
    app.register_error_handler(Exception, _unexpected)


def _expected(error: HTTPException) -> Response:
    name = error.name or "error"
    response = refusal(name.lower().replace(" ", "_"), name + ".", error.code or 500)
    for header in ("Allow", "Location", "Retry-After"):
        if header in (headers := dict(error.get_headers())):
            response.headers[header] = headers[header]
    return response


def _unexpected(error: Exception) -> Response:
    Call.failed(request.path, error)
    return refusal("internal_error", UNEXPECTED, HTTPStatus.INTERNAL_SERVER_ERROR)
