"""Starts and stops what is measured, as a user would start it, and weighs it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
OURS = ("PAGERDUTY_", "TRUTHVOUCH_", "BRIDGE_", "DATABASE_URL", "WEB_CONCURRENCY", "LOG_", "PORT")
START_SECONDS = 60
STOP_SECONDS = 25
LOOK_SECONDS = 0.02
"""Between two looks whether a process answers."""
SECRET = "whsec_benchmark"
ADMIN_TOKEN = "benchmark-admin-token"


class BenchFault(Exception):
    """The benchmark itself could not be run; the text says why."""


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, body: Mapping[str, Any] | None = None) -> Any:
    """JSON from a loopback URL, a POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL server where we may create one; dropped afterwards. "" for ""."""
    if not server_url:
        yield ""
        return
    import psycopg

    name = f"bridge_bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield server_url.rpartition("/")[0] + "/" + name
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


class Process:
    """One command in a session of its own, its output in a file."""

    def __init__(self, name: str, command: list[str], folder: Path, settings: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = folder / f"{name}.log"
        self._began = time.monotonic()
        clean = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{clean.get('PATH', '')}"
        with self.log.open("wb") as output:
            self._running = subprocess.Popen(
                command, cwd=ROOT, env={**clean, "PATH": path, **settings}, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self._running.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_for(self, url: str) -> float:
        """Until the URL answers 200; how many seconds after the start that was. Raises ``BenchFault``, with the end of
        the output, when it never does."""
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self._running.poll() is None:
            with suppress(OSError, ValueError):
                ask(url)
                return time.monotonic() - self._began
            time.sleep(LOOK_SECONDS)
        self.stop()
        raise BenchFault(f"{self.name} did not start ({url}):\n{self.tail()}")

    def tail(self) -> str:
        """The last lines it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """SIGTERM, and the whole session once that has taken too long."""
        if self._running.poll() is None:
            self._running.terminate()
        try:
            self._running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()


class Sandbox(Process):
    """The simulated partners."""

    def __init__(self, folder: Path, bridge_port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "app.sandbox", "--port", str(self.port)]
        command += ["--bridge-url", f"http://127.0.0.1:{bridge_port}"]
        super().__init__("sandbox", command, folder, {"TRUTHVOUCH_WEBHOOK_SECRETS": SECRET})
        self.wait_for(f"{self.url}/sandbox/health")

    def begin(self, echoes: bool) -> None:
        """Forget everything, then answer the bridge's own writes with webhooks or not. In this order: forgetting
        brings the webhooks back."""
        ask(f"{self.url}/sandbox/reset", {})
        mode = "send" if echoes else "drop"
        mode_now = ask(f"{self.url}/sandbox/webhooks", {"mode": mode})["partners"]["pagerduty"]["mode"]
        if mode_now != mode:
            raise BenchFault(f"the sandbox's webhooks are on {mode_now!r}, not {mode!r}")

    def echoes(self) -> tuple[int, int]:
        """Webhooks sent, and webhooks still to be sent, since ``begin``."""
        counts = ask(f"{self.url}/sandbox/webhooks")
        return int(counts["sent"]), int(counts["queued"])

    def incidents(self) -> int:
        """How many the bridge has opened."""
        return int(ask(f"{self.url}/sandbox/state?limit=1")["counts"]["incidents"])

    def opened_at(self) -> dict[str, float]:
        """Incident key -> epoch seconds at which the call that opens it arrived, the first one of each."""
        arrived: dict[str, float] = {}
        for call in ask(f"{self.url}/sandbox/calls?partner=pagerduty&method=POST&path=/incidents")["calls"]:
            key = (
                ((call["body"] or {}).get("incident") or {}).get("incident_key")
                if call["path"] == "/incidents"
                else None
            )
            if key:
                arrived.setdefault(key, call["at"])
        return arrived


class Bridge(Process):
    """The whole bridge, or with ``role="web"`` its web processes alone."""

    def __init__(
        self,
        folder: Path,
        port: int,
        partners: str,
        role: str = "all",
        database_url: str = "",
        more_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.address = ("127.0.0.1", port)
        self.data = folder / f"data-{role}"
        self.database_url = database_url
        self._given = (folder, port, partners, role, database_url, more_settings)
        settings = {
            "PORT": str(port), "BRIDGE_ROLE": role, "BRIDGE_DATA_DIR": str(self.data),
            "BRIDGE_CONFIG": str(folder / "bridge.yaml"), "BRIDGE_RECONCILE_SECONDS": "0",
            "TRUTHVOUCH_WEBHOOK_SECRETS": SECRET, "PAGERDUTY_WEBHOOK_SECRETS": "sandbox-pagerduty-secret",
            "TRUTHVOUCH_API_URL": f"{partners}/api/v1", "TRUTHVOUCH_API_KEY": "bench",
            "PAGERDUTY_API_URL": partners, "PAGERDUTY_EVENTS_URL": partners, "PAGERDUTY_API_KEY": "bench",
            "PAGERDUTY_FROM_EMAIL": "oncall@example.com", "PAGERDUTY_SERVICE_ID": "PSANDBX",
            "PAGERDUTY_INTEGRATION_KEY": "sandboxsandboxsandboxsandbox0000",
            "BRIDGE_ADMIN_TOKEN": ADMIN_TOKEN, "PAGERDUTY_REST_PER_MINUTE": "0", "PAGERDUTY_EVENTS_PER_MINUTE": "0",
        }  # fmt: skip
        if database_url:
            settings["DATABASE_URL"] = database_url
        self.settings = {**settings, **(more_settings or {})}
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
        super().__init__(f"bridge-{role}", command, folder, self.settings)
        self.ready_after = self.wait_for(f"http://127.0.0.1:{port}/{'readyz' if role == 'all' else 'healthz'}")

    def again(self) -> "Bridge":
        """The same once more, after its end."""
        return Bridge(*self._given)

    def wait_ready(self) -> None:
        """Until a worker works: one was started on its own."""
        self.wait_for(f"http://127.0.0.1:{self.address[1]}/readyz")

    def waiting(self) -> int:
        """Deliveries taken in and not yet worked off, echoes included; up to a second old."""
        checks = ask(f"http://127.0.0.1:{self.address[1]}/readyz")["checks"]
        return int(checks["oldest_waiting"]["waiting"])


class Worker(Process):
    """One more worker for a bridge, on its own."""

    def __init__(self, folder: Path, bridge: Bridge, name: str) -> None:
        super().__init__(name, [sys.executable, "-m", "app.cli", "worker"], folder, bridge.settings)


class Bare(Process):
    """The yardstick under the bridge's own gunicorn settings."""

    def __init__(self, folder: Path) -> None:
        self.address = ("127.0.0.1", free_port())
        command = [sys.executable, "-m", "gunicorn", "-c", "bench/bare_gunicorn.py", "bench.bare:app"]
        super().__init__("bare", command, folder, {"PORT": str(self.address[1])})
        self.wait_for(f"http://127.0.0.1:{self.address[1]}/healthz")
