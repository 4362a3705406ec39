"""The sandbox as a process: gunicorn with one worker, because the whole world is in that worker's memory."""

import json
import os
import sys
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.http import wsgi  # type: ignore[import-untyped]

from app.sandbox.site import create_app
from app.sandbox.world import Setup, World

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
