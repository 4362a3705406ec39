"""The sandbox as a process: gunicorn with one worker, because the whole world is in that worker's memory.

All routes and the one page, behind a middleware that marks every answer as simulated, remembers every call to a
partner, and lets faults strike.
"""

import errno
import io
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Flask, Response
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.http import wsgi  # type: ignore[import-untyped]
from werkzeug.datastructures import Headers
from werkzeug.http import http_date

from app.sandbox.control import Control
from app.sandbox.kit.faults import Call, Fault, FaultKind
from app.sandbox.kit.support import answer
from app.sandbox.pagerduty.extras import Analytics, Extras
from app.sandbox.pagerduty.lookups import Lookups, Subscriptions
from app.sandbox.pagerduty.refusals import not_found
from app.sandbox.pagerduty.rest_api import Incidents, event_routes
from app.sandbox.people import People
from app.sandbox.truthvouch.api import Alerts
from app.sandbox.world import Setup, World
from app.ui import pages

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


class PartnerMiddleware:
    """A WSGI middleware around all routes. A partner's answers carry the date of its own clock."""

    def __init__(self, inner: Wsgi, world: World) -> None:
        self._inner, self._world = inner, world

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        statuses: list[int] = []
        path, method = environ.get("PATH_INFO", "/"), environ["REQUEST_METHOD"]
        partner = partner_of(path)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            statuses.append(int(status[:3]))
            marked = Headers([*headers, SIMULATION])
            if partner is not None:
                marked.setdefault("Date", http_date(self._world.clocks[partner]()))
            return start_response(status, marked.to_wsgi_list(), *rest)

        if partner is None:
            return self._inner(environ, start)
        at, body = self._world.clock(), _take_body(environ)
        fault = self._world.faults.strike(partner, method, path)
        try:
            return self._answer(fault, partner, environ, start)
        finally:
            self._world.calls.append(Call(
                at, partner, method, path, environ.get("QUERY_STRING", ""), body,
                statuses[-1] if statuses and not (fault and fault.hangs_up) else None, self._world.clock() - at,
                environ.get("HTTP_FROM", ""), fault.kind if fault else None,
            ))  # fmt: skip

    def _answer(self, fault: Fault | None, partner: str, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if fault is not None and fault.kind is FaultKind.STATUS:
            return _say(fault, partner, start)
        if fault is not None and fault.kind is FaultKind.SLOW:
            time.sleep(fault.seconds)
        if fault is None or not fault.hangs_up:
            return self._inner(environ, start)
        if fault.kind is FaultKind.RESET_AFTER:
            list(self._inner(environ, start))
        _hang_up(environ, with_reset=fault.kind is not FaultKind.REFUSE)
        raise OSError(errno.ECONNRESET, f"fault {fault.id}: {fault.kind}")


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


CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


SHARED_STYLE = "/* the style that all pages share */"
SHARED_ICON = "<!-- the icon that all pages share -->"
"""Where they go in ``page.html``."""


def page() -> str:
    """The one screen: it loads nothing, and looks like the bridge's own pages."""
    html, icon = Path(__file__).with_name("page.html").read_text("utf-8"), pages.text("icon.svg")
    html = html.replace(f"data:,{SHARED_ICON}", f"data:image/svg+xml,{quote(icon)}")
    return html.replace(SHARED_ICON, icon).replace(SHARED_STYLE, pages.text("style.css"))


def create_app(world: World) -> PartnerMiddleware:
    """The whole sandbox as one WSGI application, with its one screen."""
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(event_routes(world.pagerduty))
    for calls in (Incidents, Extras, Lookups, Subscriptions, Analytics):
        app.register_blueprint(calls(world.pagerduty).routes())
    app.register_blueprint(Alerts(world.truthvouch).routes())
    for orders in (Control, People):
        app.register_blueprint(orders(world).routes())
    html = page()
    policy = {"Content-Security-Policy": CONTENT_POLICY}
    app.add_url_rule("/", "page", lambda: Response(html, mimetype="text/html", headers=policy))
    for status in (404, 405):
        app.register_error_handler(status, lambda fault: answer(not_found().as_json(), fault.code))
    return PartnerMiddleware(app.wsgi_app, world)


THREADS = 24


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is untyped
    """One world behind one socket."""

    def __init__(self, setup: Setup, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._world = World(setup)
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "worker_connections": 1000,
            "keepalive": 75,
            "timeout": 0,
            "graceful_timeout": 1,
            "control_socket_disable": True,
            "loglevel": "warning",
            "proc_name": "truthvouch-sandbox",
            "post_worker_init": self._start_world,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Called in the worker, where the world lives from then on."""
        return create_app(self._world)

    def run(self) -> None:
        """Serve until SIGTERM or until the process that started this one is gone."""
        Warden(self).run()

    def _start_world(self, worker: Any) -> None:
        wsgi.Response = DatedResponse
        host, port = worker.sockets[0].getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._world.start(url)
        sys.stdout.write(json.dumps({"sandbox": url}) + "\n")
        sys.stdout.flush()


class DatedResponse(wsgi.Response):  # type: ignore[misc]  # gunicorn is untyped
    """gunicorn dates every answer by the machine's clock; a ``Date`` of the application goes before it."""

    _dates: tuple[str, ...] = ()

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Keep the application's ``Date``, which gunicorn would leave out."""
        super().process_headers(headers)
        self._dates = tuple(f"Date: {value}\r\n" for name, value in headers if name.lower() == "date")

    def default_headers(self) -> list[str]:
        """The status line and gunicorn's own headers."""
        lines: list[str] = super().default_headers()
        return [line for line in lines if not (self._dates and line.startswith("Date:"))] + [*self._dates]


class Warden(Arbiter):  # type: ignore[misc]  # gunicorn is untyped
    """A gunicorn master that does not outlive whoever started it."""

    def __init__(self, app: Server) -> None:
        self._parent = os.getppid()
        super().__init__(app)

    def manage_workers(self) -> None:
        """Called about once a second."""
        if os.getppid() != self._parent:
            sys.stderr.write("The process that started the sandbox is gone, so the sandbox ends.\n")
            raise StopIteration
        super().manage_workers()


def serve(setup: Setup, host: str, port: int) -> None:
    """Run the sandbox in this process. Prints ``{"sandbox": url}`` on standard output when it answers."""
    sys.argv = sys.argv[:1]
    Server(setup, host, port).run()
