"""The two webhooks, answered before Flask's dispatch: reading a delivery, and what its sender is told.

A delivery needs no route, no session and no login, and Flask spends more on looking for them than everything else here
costs together. So POST to a hook's path is answered by ``Hook``, a WSGI application of its own; whatever else is asked
of these paths (another method) goes to Flask, like every other request.

- A path with one slash too many is the path without: a partner counts a redirect, or a 404, as a failure.
- A body is read as raw bytes up to the limit. Whatever goes wrong while reading is a property of the request, no error
  of ours: a partner's broken connection must neither look like a broken bridge nor leave a stack in the log.
- A delivery that is accepted has its own line in the log already (``services.sync.receive``).
- A fault of ours is answered with the one status that makes both partners try again.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import structlog
from flask import Flask
from werkzeug.datastructures import EnvironHeaders
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.wsgi import get_content_length, get_input_stream

from app.services.sync.receive import Outcome, ReceiveResult, WebhookRequest
from app.web.access import Access
from app.web.http import HEADER, UNEXPECTED, Call, error_content
from app.web.incoming import MAX_BODY_BYTES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

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
_LINES = {status: f"{status.value} {HTTP_STATUS_CODES[status].upper()}" for status in STATUSES.values()}
_BROKEN = error_content("internal_error", UNEXPECTED)
_render = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""As Flask renders JSON."""

STEP_BYTES = 64 * 1024
INCOMPLETE = "body_incomplete"


def install(app: Flask) -> None:
    """Answer before Flask does. Call it when every route is there.

    Flask redirects nobody to a path with fewer slashes any more.
    """
    app.url_map.merge_slashes = False
    views = _views(app)
    app.extensions["hooks"] = frozenset(views)  # for the server
    app.wsgi_app = Hooks(app.wsgi_app, views)  # type: ignore[method-assign]


def _views(app: Flask) -> "dict[str, Callable[[], WSGIApplication]]":
    """The views of the hooks, by their paths: whatever a partner signs."""
    rules = [(rule.rule, cast(Any, app.view_functions[rule.endpoint])) for rule in app.url_map.iter_rules()]
    return {path: view for path, view in rules if getattr(view, "__access__", None) is Access.SIGNED}


class Hooks:
    """Answers POST to the hooks' paths by their views, and leaves every other request to the application.

    ``//pagerduty//webhook/`` is ``/pagerduty/webhook``; every other path stays as it is.
    """

    def __init__(self, app: "WSGIApplication", views: "Mapping[str, Callable[[], WSGIApplication]]") -> None:
        self._app, self._views = app, views

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer the request."""
        view = self._views.get(path := environ.get("PATH_INFO", ""))
        if view is None and (view := self._views.get(plain := _plain(path))):
            environ["PATH_INFO"] = plain
        if view is None or environ["REQUEST_METHOD"] != "POST":
            return self._app(environ, start_response)
        return view()(environ, start_response)


def _plain(path: str) -> str:
    return "/" + "/".join(filter(None, path.split("/")))


class Hook:
    """Takes in one delivery, as a WSGI application."""

    __slots__ = ("_receive",)

    def __init__(self, receive: Callable[[WebhookRequest], ReceiveResult]) -> None:
        self._receive = receive

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer the request."""
        path = environ["PATH_INFO"]
        call = Call.begin(environ, path, path)
        try:
            status, content = _answer(self._receive(webhook_request(environ, call)))
        except Exception as error:
            call.failed(path, error)
            status, content = HTTPStatus.SERVICE_UNAVAILABLE, _BROKEN
        body = f"{_render({**content, 'request_id': call.request_id})}\n".encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), (HEADER, call.request_id)]
        if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            # What was not read is still on its way: the connection cannot be used for another request.
            headers.append(("Connection", "close"))
        call.answered(path, status, is_quiet=status is HTTPStatus.ACCEPTED)
        call.forget()
        start_response(_LINES[status], headers)
        return [body]


def webhook_request(environ: "WSGIEnvironment", call: Call) -> WebhookRequest:
    """The delivery in this request. Reads at most one byte more than the limit, and nothing of what says it has more.

    The server takes in what it has to before it closes the connection of a refused request.
    """
    declared = get_content_length(environ) or 0
    body, broken = _read_body(environ) if declared <= MAX_BODY_BYTES else (b"", False)
    too_large = max(declared, len(body)) > MAX_BODY_BYTES
    # Case-insensitive, and a mapping in all but its base class.
    headers = cast(Mapping[str, str], EnvironHeaders(environ))
    flaw = INCOMPLETE if broken or len(body) < declared else ""
    return WebhookRequest(headers, body, call.request_id, too_large, flaw, call.trace)


def _read_body(environ: "WSGIEnvironment") -> tuple[bytes, bool]:
    """What came, and whether reading ended in an error."""
    body = bytearray()
    try:
        stream = get_input_stream(environ)
        while len(body) <= MAX_BODY_BYTES:
            piece = stream.read(min(STEP_BYTES, MAX_BODY_BYTES + 1 - len(body)))
            if not piece:
                break
            body += piece
    except Exception:
        # A dropped connection, a malformed chunk, a reset: servers raise errors of their own for each.
        return bytes(body), True
    return bytes(body), False


def _answer(result: ReceiveResult) -> tuple[HTTPStatus, Mapping[str, Any]]:
    """What the sender of a delivery reads."""
    status = STATUSES[result.outcome]
    if status is HTTPStatus.ACCEPTED:
        return status, {"status": result.outcome}
    return status, error_content(result.reason, MESSAGES[result.outcome])
