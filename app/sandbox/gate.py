"""The one way in: marks every answer as simulated, remembers every call to a partner, and lets faults strike.

A partner's answers carry the date of its own clock.
"""

import errno
import io
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.http import http_date

from app.sandbox.calls import Call
from app.sandbox.faults import Fault
from app.sandbox.world import World

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]
MAX_BODY_BYTES = 4 * 1024 * 1024
SIMULATION = ("X-Sandbox", "simulation")


def partner_of(path: str) -> str | None:
    """Whose surface a path is; None for the sandbox's own."""
    if path.startswith("/api/v1"):
        return "truthvouch"
    return None if path in ("/", "/favicon.ico") or path.startswith("/sandbox") else "pagerduty"


class Gate:
    """A WSGI middleware around the partners' routes."""

    def __init__(self, inner: Wsgi, world: World) -> None:
        self._inner, self._world = inner, world

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        statuses: list[int] = []
        partner = partner_of(environ.get("PATH_INFO", "/"))

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            statuses.append(int(status[:3]))
            marked = Headers([*headers, SIMULATION])
            if partner is not None:
                marked.setdefault("Date", http_date(self._world.clocks[partner]()))
            return start_response(status, marked.to_wsgi_list(), *rest)

        if partner is None:
            return self._inner(environ, start)
        return self._as_partner(partner, environ, start, statuses)

    def _as_partner(self, partner: str, environ: Environ, start: StartResponse, statuses: list[int]) -> Iterable[bytes]:
        at, body = self._world.clock(), _take_body(environ)
        fault = self._world.faults.strike(partner, environ["REQUEST_METHOD"], environ["PATH_INFO"])
        try:
            return self._answer(fault, partner, environ, start)
        finally:
            hung_up = fault is not None and fault.kind in ("reset_before", "reset_after", "refuse")
            self._world.calls.add(Call(
                at, partner, environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""), body,
                None if hung_up or not statuses else statuses[-1], self._world.clock() - at,
                environ.get("HTTP_FROM", ""), fault.kind if fault else "",
            ))  # fmt: skip

    def _answer(self, fault: Fault | None, partner: str, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if fault is None:
            return self._inner(environ, start)
        if fault.kind == "status":
            return _say(fault, partner, start)
        if fault.kind == "slow":
            time.sleep(fault.seconds)
            return self._inner(environ, start)
        if fault.kind == "reset_after":
            list(self._inner(environ, start))
        _hang_up(environ, with_reset=fault.kind != "refuse")
        raise OSError(errno.ECONNRESET, f"fault {fault.fault_id}: {fault.kind}")


def _take_body(environ: Environ) -> bytes:
    """The body's bytes, put back for whoever reads next."""
    stream = environ.get("wsgi.input")
    length = environ.get("CONTENT_LENGTH")
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if stream is None or not (length or chunked):
        return b""
    body: bytes = stream.read(MAX_BODY_BYTES if chunked else min(int(length or 0), MAX_BODY_BYTES))
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    return body


def _say(fault: Fault, partner: str, start: StartResponse) -> Iterable[bytes]:
    """The ordered status in the partner's own envelope."""
    message = "Ordered by /sandbox/faults"
    error = {"message": message, "code": fault.status}
    if partner == "truthvouch":
        error = {"code": "INTERNAL_ERROR", "message": message, "statusCode": fault.status}
    body = json.dumps({"error": error}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **fault.headers}
    start(f"{fault.status} Simulated", list(headers.items()))
    return [body]


def _hang_up(environ: Environ, with_reset: bool) -> None:
    """Cut the connection now: with RST, or with an orderly end that comes instead of an answer.

    gunicorn would end every connection in good order. So its descriptor is given a dead socket to end, and the
    kernel closes the real one: at once, and with RST where lingering is forbidden.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return
    if with_reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    near, far = socket.socketpair()
    os.dup2(near.fileno(), connection.fileno())
    near.close()
    far.close()
