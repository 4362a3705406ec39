"""Gives every request an id, binds it to every log line of the request, and says how the request was answered."""

import re
import uuid
from time import perf_counter

import structlog
from flask import Flask, Response, g, request

log = structlog.get_logger()

HEADER = "X-Request-ID"
PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
MAX_PATH_CHARS = 200
QUIET_ROOM = "health"
"""Asked every few seconds by machines: worth a line only to somebody who is looking for it."""
DOORS = ("outbound", "inbound")
"""A delivery they accept has its own line already."""


def install(app: Flask) -> None:
    """Trace every request of this application, the ones nobody answers included."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def _begin() -> None:
    g.began = perf_counter()
    g.request_id = _request_id(request.headers.get(HEADER, ""))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _request_id(given: str) -> str:
    """The caller's id if it is short and plain, so that it cannot forge a log line; else one of ours."""
    return given if PLAIN.fullmatch(given) else uuid.uuid4().hex


def _end(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    say = log.debug if _is_told_elsewhere(response) else log.info
    say(
        "request.answered",
        method=request.method[:20],
        path=request.path[:MAX_PATH_CHARS],
        status=response.status_code,
        ms=round((perf_counter() - g.began) * 1000, 1),
        client=request.remote_addr,
    )
    return response


def _is_told_elsewhere(response: Response) -> bool:
    accepted = response.status_code == 202 and request.blueprint in DOORS
    return accepted or request.blueprint == QUIET_ROOM


def _forget(_error: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()
