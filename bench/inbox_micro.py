"""``python -m bench.inbox_micro``: the SQLite inbox alone, beside the shapes it could have had.

A tiny Flask application under gunicorn verifies and stores each alert through one of the storages below, in alternating
rounds. Processor time and thread switches for each request are printed too: on a shared machine they are steadier than
rates. Linux only (it reads ``/proc``).
"""

import hashlib
import hmac
import json
import os
import queue
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import click
from flask import Flask, request

from app.domain.model.types import Source
from app.ports import Delivery
from app.store.database import open_inbox
from app.store.inbox_sqlite import SqliteInbox, WriteLock, insert_statement, row_of
from app.store.schema import inbox_metadata
from bench.alerts import AlertMill
from bench.figures import percentile
from bench.load import Generator, Load
from bench.processes import SECRET, Process, free_port

ONE = insert_statement(1, "?")


class Storage(Protocol):
    """What the little application stores through."""

    def add(self, delivery: Delivery) -> bool:
        """Store it durably."""
        ...


class ConnectionPerThread:
    """Each request thread commits for itself and SQLite's busy handler keeps the peace."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = threading.local()

    def add(self, delivery: Delivery) -> bool:
        """One row, one commit."""
        if not hasattr(self._mine, "connection"):
            self._mine.connection = _connect(self._path)
        return bool(self._mine.connection.execute(ONE, row_of(delivery)).fetchall())


class WriterThread:
    """One thread of the process commits what all the others hand it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handed: queue.SimpleQueue[tuple[Delivery, Future[bool]]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, delivery: Delivery) -> bool:
        """Hand it over and wait."""
        with self._starting:  # after the fork
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, daemon=True)
                self._thread.start()
        answer: Future[bool] = Future()
        self._handed.put((delivery, answer))
        return answer.result()

    def _write(self) -> None:
        connection, write_lock = _connect(self._path), WriteLock(self._path, 1.0)
        while True:
            batch = [self._handed.get()]
            with write_lock:
                while not self._handed.empty() and len(batch) < 32:
                    batch.append(self._handed.get())
                values = [value for delivery, _ in batch for value in row_of(delivery)]
                new = set(connection.execute(insert_statement(len(batch), "?"), values).fetchall())
            for delivery, answer in batch:
                answer.set_result((delivery.source, delivery.delivery_id) in new)


class NoStorage:
    """Verified and forgotten: what the rest of the request costs."""

    def add(self, delivery: Delivery) -> bool:
        """Nothing."""
        return True


STORAGES: dict[str, Callable[[Path], Storage]] = {
    "verified only": lambda _path: NoStorage(),
    "group commit": SqliteInbox,
    "writer thread": WriterThread,
    "connection per thread": ConnectionPerThread,
}


def create_app() -> Flask:
    """What gunicorn serves; ``BENCH_STORAGE`` and ``BENCH_INBOX`` say through which storage, to which file."""
    app = Flask("inbox_micro")
    storage = STORAGES[os.environ["BENCH_STORAGE"]](Path(os.environ["BENCH_INBOX"]))

    @app.post("/truthvouch/alerts")
    def accept() -> tuple[dict[str, str], int]:
        body = request.get_data(cache=False)
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, request.headers.get("X-TruthVouch-Signature", "")):
            return {"status": "refused"}, 401
        storage.add(Delivery(Source.TRUTHVOUCH, json.loads(body)["id"], datetime.now(UTC), body))
        return {"status": "accepted"}, 202

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


class Server(Process):
    """The little application, or the bare endpoint, under gunicorn."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        self.address = ("127.0.0.1", free_port())
        home = folder / name.replace(" ", "-")
        home.mkdir()
        engine = open_inbox(home, None)
        inbox_metadata.create_all(engine)
        engine.dispose()
        target = "bench.bare:app" if name == "bare" else "bench.inbox_micro:create_app()"
        command = [sys.executable, "-m", "gunicorn", "-c", "/dev/null", "-w", "2", "-k", "gthread"]
        command += ["--threads", str(threads), "-b", f"127.0.0.1:{self.address[1]}", "--no-control-socket", target]
        super().__init__(name, command, home, {"BENCH_STORAGE": name, "BENCH_INBOX": str(home / "inbox.db")})
        self.wait_for(f"http://127.0.0.1:{self.address[1]}/healthz")

    def spent(self) -> tuple[float, int]:
        """Processor microseconds and thread switches of its worker processes so far."""
        microseconds, switches = 0.0, 0
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            microseconds += (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")
            for thread in Path(f"/proc/{pid}/task").iterdir():
                lines = (thread / "status").read_text().splitlines()
                switches += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        return microseconds, switches


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Of each round.")
@click.option("--threads", default=8, show_default=True, help="Of each of the two processes.")
@click.option("--connections", default=16, show_default=True)
def main(rounds: int, seconds: float, threads: int, connections: int) -> None:
    """Compare the storages."""
    mill = AlertMill(1, SECRET, "2026-01-15T10:00:00Z")
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as folder:
        try:
            servers += [Server(name, Path(folder), threads) for name in ("bare", *STORAGES)]
            for n in range(rounds):
                for server in servers:
                    print(_line(server, *_round(server, mill, n, seconds, connections)), flush=True)
        finally:
            for server in servers:
                server.stop()


def _round(server: Server, mill: AlertMill, n: int, seconds: float, connections: int) -> tuple[Load, float, float]:
    microseconds, switches = server.spent()
    with Generator(server.address, connections) as generator:
        load = generator.saturate(mill.series(f"{server.name}{n}"), seconds)
    later, more = server.spent()
    return load, (later - microseconds) / len(load.accepted), (more - switches) / len(load.accepted)


def _line(server: Server, load: Load, microseconds: float, switches: float) -> str:
    p50, p99 = (percentile(load.latencies_ms, percent) for percent in (50, 99))
    return (
        f"{server.name:22} {load.rate:6,.0f}/s  p50 {p50:5.1f} ms  p99 {p99:6.1f} ms  "
        f"{microseconds:5.0f} us and {switches:4.1f} switches a request"
    )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


if __name__ == "__main__":
    main()
