"""A real gunicorn with the real ``gunicorn.conf.py`` before an application made of fakes, with a worker that does
nothing."""

import json
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from tests.system.processes import ROOT, Tree, free_port
from tests.system.waiting import until

CONF = """
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

source = Path({conf!r})
exec(compile(source.read_text("utf-8"), str(source), "exec"))
PREPARE = [sys.executable, "-c", {prepare!r}]
WORKER = [sys.executable, {worker!r}]
worker_class = "short_timeouts.{worker_class}"
pythonpath = {folder!r}
{more_conf}
"""

SHORT_TIMEOUTS = """
from app.web.server import Worker


class ShortTimeouts(Worker):
    receive_seconds = 1.0
    answer_seconds = 1.0
"""

APPLICATION = """
import time
from pathlib import Path

from app.metrics import meter
from app.services.sync.receive import utc_now
from tests.web_fakes import FakeBridge


class Counted(FakeBridge):
    def metrics_text(self):
        while hold.exists():
            time.sleep(0.01)
        return b"x" * 8_000_000


hold = Path({hold!r})
app = Counted(utc_now, meter=meter()).app()
"""

WORKER = """
import os, select, signal, sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
select.select([int(os.environ["BRIDGE_PARENT_FD"])], [], [])
"""


class Server:
    """One running gunicorn and everything it started."""

    def __init__(
        self, folder: Path, prepare: str = "", worker_class: str = "Worker", more_conf: str = "", **environ: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.hold = folder / "hold"
        """While this file is there, whoever asks for ``/metrics`` keeps a thread."""
        (folder / "short_timeouts.py").write_text(SHORT_TIMEOUTS, "utf-8")
        (folder / "served.py").write_text(APPLICATION.format(hold=str(folder / "hold")), "utf-8")
        (folder / "nothing_to_do.py").write_text(WORKER, "utf-8")
        conf = CONF.format(
            conf=str(ROOT / "gunicorn.conf.py"), prepare=prepare or "pass", worker=str(folder / "nothing_to_do.py"),
            worker_class=worker_class, folder=str(folder), more_conf=more_conf,
        )  # fmt: skip
        (folder / "conf.py").write_text(conf, "utf-8")
        environment = {
            "PORT": str(self.port), "WEB_CONCURRENCY": "1", "BRIDGE_DATA_DIR": str(folder / "data"),
            "LOG_FORMAT": "json", "PYTHONPATH": str(ROOT), **environ,
        }  # fmt: skip
        command = [sys.executable, "-m", "gunicorn", "-c", str(folder / "conf.py"), "served:app"]
        self.tree = Tree(command, environment, self.log)

    def wait_up(self) -> "Server":
        until(self.answers, "it answers", 20, self.tree.output)
        return self

    def answers(self) -> bool:
        try:
            return requests.get(self.url + "/healthz", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def workers(self) -> list[int]:
        """The pids of the worker processes: there must be one."""
        return [pid for pid, command in self.tree.members().items() if "nothing_to_do" in command]

    def web_processes(self) -> list[int]:
        return [pid for pid in self.tree.members() if pid != self.tree.pid and pid not in self.workers()]

    def lines(self) -> list[dict[str, Any]]:
        """Every line of the log; a line that is no JSON fails here."""
        return [json.loads(line) for line in self.tree.output().splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == name]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    @contextmanager
    def crowd(self, size: int, words: bytes) -> Iterator[list[socket.socket]]:
        """So many clients who say this; the server may cut some of them meanwhile."""
        with ExitStack() as stack:
            clients = [stack.enter_context(self.connect()) for _ in range(size)]
            for client in clients:
                with suppress(OSError):
                    client.sendall(words)
            yield clients

    def say(self, words: bytes) -> bytes:
        """What comes back for these bytes until the server closes or says no more."""
        with self.connect() as connection:
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            return everything(connection)


def everything(connection: socket.socket) -> bytes:
    """Read until the other side has closed."""
    said = b""
    while part := connection.recv(65_536):
        said += part
    return said


def statuses(said: bytes) -> list[int]:
    """The status of each answer in these bytes."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]
