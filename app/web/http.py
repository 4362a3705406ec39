"""What every request passes before a view reads it, and the JSON that every view answers with.

- A request has an id and a trace, which are on every log line about it, and a line that says how it was answered.
- A webhook's path with one slash too many is the path without: a partner counts a redirect, or a 404, as a failure.
- A Host header that is none is left out: nothing here depends on it, and Flask would answer it with a 400.
- A body is read as raw bytes up to the limit. Whatever goes wrong while reading is a property of the request, no error
  of ours: a partner's broken connection must neither look like a broken bridge nor leave a stack in the log.
- Everything that goes wrong outside a service is the same JSON: no stack and no detail leaves the process.
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import structlog
from flask import Flask, Request, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from app import logs
from app.remote import spans, trace
from app.services.sync.receive import Outcome, ReceiveResult, WebhookRequest
from app.web.incoming import MAX_BODY_BYTES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

HEADER = "X-Request-ID"
PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
MAX_PATH_CHARS = 200
QUIET_ROOM = "health"
"""Asked every few seconds by machines: worth a line only to somebody who is looking for it."""
WEBHOOKS = frozenset({"outbound", "inbound"})
"""A delivery that they accept has its own line in the log already; and a fault of ours behind them is answered with the
one status that makes both partners try again."""


def install_tracing(app: Flask) -> None:
    """Trace every request of this application, the ones nobody answers included."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def _begin() -> None:
    g.began = perf_counter()
    g.request_id = _request_id(request.headers.get(HEADER, ""))
    structlog.contextvars.clear_contextvars()
    given, state = request.headers.get(trace.HEADER, ""), request.headers.get(trace.STATE_HEADER, "")
    g.span = _span(given, state) if spans.tracer and request.blueprint != QUIET_ROOM else None
    g.trace = str(g.span.context) if g.span else trace.of_request(given, state)
    structlog.contextvars.bind_contextvars(request_id=g.request_id, trace_id=trace.trace_id(g.trace))


def _span(given: str, state: str) -> spans.Span | None:
    route = request.url_rule.rule if request.url_rule else ""
    return spans.of_request(request.method, logged_path(request.path), route, request.scheme, given, state)


def _request_id(given: str) -> str:
    """The caller's id if it is short and plain, so that it cannot forge a log line; else one of ours."""
    return given if PLAIN.fullmatch(given) else uuid.uuid4().hex


def _end(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    if g.span:
        spans.answered(g.span, response.status_code, fails_from=500)
    say = log.debug if _is_logged_elsewhere(response) else log.info
    say(
        "request.answered",
        method=request.method[:20],
        path=logged_path(request.path),
        status=response.status_code,
        ms=round((perf_counter() - g.began) * 1000, 1),
        client=request.remote_addr,
    )
    return response


def logged_path(path: str) -> str:
    """A path without the secret that some links are."""
    return logs.SECRET_PATH.sub(r"\1…", path)[:MAX_PATH_CHARS]


def _is_logged_elsewhere(response: Response) -> bool:
    accepted = response.status_code == 202 and request.blueprint in WEBHOOKS
    return accepted or request.blueprint == QUIET_ROOM


def _forget(_error: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()


# --------------------------------------------------------------------------------------------------------------- paths


def install_hook_paths(app: Flask) -> None:
    """Look at every request before Flask does, which redirects nobody to a path with fewer slashes any more."""
    app.url_map.merge_slashes = False
    app.wsgi_app = HookPaths(app.wsgi_app, _hook_paths(app))  # type: ignore[method-assign]


def _hook_paths(app: Flask) -> frozenset[str]:
    """Call it when every route is there."""
    return frozenset(rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.partition(".")[0] in WEBHOOKS)


class HookPaths:
    """``//pagerduty//webhook/`` is ``/pagerduty/webhook``; every other path stays as it is."""

    def __init__(self, app: "WSGIApplication", paths: frozenset[str]) -> None:
        self._app, self._paths = app, paths

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer the request."""
        plain = "/" + "/".join(filter(None, environ.get("PATH_INFO", "").split("/")))
        if plain in self._paths:
            environ["PATH_INFO"] = plain
        return self._app(environ, start_response)


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


# ----------------------------------------------------------------------------------------------------------------- body

STEP_BYTES = 64 * 1024
INCOMPLETE = "body_incomplete"


def webhook_request(request: Request) -> WebhookRequest:
    """The delivery in this request. Reads at most one byte more than the limit, and nothing of what says it has more.

    The server takes in what it has to before it closes the connection of a refused request.
    """
    declared = request.content_length or 0
    body, broken = _read_body(request) if declared <= MAX_BODY_BYTES else (b"", False)
    too_large = max(declared, len(body)) > MAX_BODY_BYTES
    # Case-insensitive, and a mapping in all but its base class.
    headers = cast(Mapping[str, str], request.headers)
    flaw = INCOMPLETE if broken or len(body) < declared else ""
    return WebhookRequest(headers, body, g.request_id, too_large, flaw, g.trace)


def _read_body(request: Request) -> tuple[bytes, bool]:
    """What came, and whether reading ended in an error."""
    body = bytearray()
    try:
        while len(body) <= MAX_BODY_BYTES:
            piece = request.stream.read(min(STEP_BYTES, MAX_BODY_BYTES + 1 - len(body)))
            if not piece:
                break
            body += piece
    except Exception:
        # A dropped connection, a malformed chunk, a reset: servers raise errors of their own for each.
        return bytes(body), True
    return bytes(body), False


# ------------------------------------------------------------------------------------------------------------- answers

STATUSES = {
    Outcome.ACCEPTED: HTTPStatus.ACCEPTED,
    Outcome.DUPLICATE: HTTPStatus.ACCEPTED,
    Outcome.PARKED: HTTPStatus.ACCEPTED,
    Outcome.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Outcome.REFUSED: HTTPStatus.UNAUTHORIZED,
    Outcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""PagerDuty drops what gets a 4xx and switches a webhook off after three of them; a 503 is tried again for 48 hours."""

MESSAGES = {
    Outcome.TOO_LARGE: "The body is larger than 1 MiB.",
    Outcome.REFUSED: "The signature is missing or does not match the body.",
    Outcome.UNAVAILABLE: "Nothing can be taken in at the moment; try again later.",
}


def receive_response(result: ReceiveResult) -> Response:
    """What the sender of a delivery reads."""
    status = STATUSES[result.outcome]
    if status is HTTPStatus.ACCEPTED:
        return json_response({"status": result.outcome}, status)
    response = refusal(result.reason, MESSAGES[result.outcome], status)
    if result.outcome is Outcome.TOO_LARGE:
        # What was not read is still on its way: the connection cannot be used for another request.
        response.headers["Connection"] = "close"
    return response


API_ROOT = "/api/"
PROBLEM_TYPE = "application/problem+json"
PROBLEMS = "urn:truthvouch-bridge:problem:"


def refusal(code: str, message: str, status: int) -> Response:
    """An error: ``code`` for machines, ``message`` for people.

    The API answers by RFC 9457 (https://www.rfc-editor.org/rfc/rfc9457); the two webhooks, whose senders read nothing,
    and everything else keep the shape they had.
    """
    if not request.path.startswith(API_ROOT):
        return json_response({"error": {"code": code, "message": message}}, status)
    title = HTTPStatus(status).phrase
    said = {"type": f"{PROBLEMS}{code}", "title": title, "status": status, "detail": message, "code": code}
    response = json_response(said, status)
    response.content_type = PROBLEM_TYPE
    return response


def json_response(content: dict[str, Any], status: int = HTTPStatus.OK) -> Response:
    """JSON with the id that finds the request in the log."""
    response = jsonify({**content, "request_id": g.get("request_id", "")})
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
    log.error("request.failed", path=logged_path(request.path), exc_info=error)
    status = 503 if request.blueprint in WEBHOOKS else 500
    return refusal("internal_error", "Something broke on our side; the log knows more by this id.", status)
