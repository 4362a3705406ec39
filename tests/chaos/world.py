"""The processes of a run: the simulated partners, the bridge, and whoever starts its dead again."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import requests

from tests.chaos.looks import Looks
from tests.system.bridge import Bridge
from tests.system.processes import PYTHON, ROOT, Tree, free_port, kill
from tests.system.sandbox import Sandbox

COMMAND = (PYTHON, "-m", "app.cli")
"""The ``truthvouch`` command."""
WORKERS = 3
RESTART_SECONDS = 0.4
"""How soon a supervisor would notice that a process has ended."""
READ_ALL = "truthvouch: {reconcile_calls_per_hour: 100000}\n"
"""What a lost webhook would have told must be found within the run."""
HOLDERS = """
SELECT a.application_name, count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND a.datname = current_database()
GROUP BY a.application_name, l.pid
"""
"""A worker's session holds one lock for its lease; the one that leads holds another. Its name tells its process id."""


class ChaosWorld:
    """On SQLite the one command that starts everything; on PostgreSQL web processes, and three workers apart."""

    def __init__(
        self, folder: Path, database_url: str, reconcile_seconds: int = 2, via: str = "rest",
        settings: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.store, self.via = "postgres" if database_url else "sqlite", via
        port = free_port()
        self.sandbox = Sandbox(folder, f"http://127.0.0.1:{port}")
        apart = {"DATABASE_URL": database_url, "BRIDGE_ROLE": "web"} if database_url else {}
        seconds = {"BRIDGE_RECONCILE_SECONDS": str(reconcile_seconds)}
        self.bridge = Bridge(folder, self.sandbox.url, port=port, **seconds, **apart)
        self.bridge.config.write_text(f"pagerduty: {{via: {via}}}\n{READ_ALL}", "utf-8")
        self.looks = Looks(self.bridge.log)
        self._database_url = database_url
        self._settings = dict(settings or {})
        self._workers: dict[str, Tree] = {}
        self._dead: set[int] = set()
        self._read_at = 0.0

    def start(self) -> None:
        """Everything, and wait until it can do its work."""
        self.sandbox.post("settings", self._settings)
        self.bridge.start(ready=False)
        for number in range(WORKERS if self._database_url else 0):
            self._start_worker(f"chaos-worker-{number}")
        self.bridge.wait_ready(60)

    def _start_worker(self, name: str) -> None:
        self._workers[name] = Tree([*COMMAND, "worker"], self.bridge.environment, self.bridge.log)

    def keep_alive(self) -> None:
        """Start again what has ended, as a supervisor would."""
        now = time.monotonic()
        if now - self._read_at < RESTART_SECONDS:
            return
        self._read_at = now
        if self.bridge.tree.process.poll() is not None:
            self.bridge.start(ready=False)
        for name, tree in self._workers.items():
            if tree.process.poll() is not None:
                self._start_worker(name)

    def strike(self, whom: str, luck: float, number: int = signal.SIGKILL) -> int | None:
        """Send a signal to one process of this kind; its pid, None where there is none at the moment."""
        pids = sorted(set(self._candidates(whom)) - self._dead)
        if not pids:
            return None
        victim = pids[int(luck * len(pids))]
        kill(victim, number)
        if number == signal.SIGKILL:
            self._dead.add(victim)
        return victim

    def _candidates(self, whom: str) -> list[int]:
        if whom == "master":
            return [self.bridge.tree.pid] if self.bridge.tree.process.poll() is None else []
        if whom == "web":
            others = {self.bridge.tree.pid, *self.bridge.worker_pids()}
            # What the master runs before it listens is no web process; killed each time, nothing would ever start.
            return [pid for pid, name in self.bridge.tree.members().items() if pid not in others and "gunicorn" in name]
        if not self._database_url:
            return self.bridge.worker_pids()
        alive = {tree.pid for tree in self._workers.values() if tree.process.poll() is None}
        return sorted(alive & self._leases(2 if whom == "leader" else 1))

    def _leases(self, locks: int) -> set[int]:
        """Process ids of those who hold so many locks at least: one that is still starting holds none."""
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            names = [str(name) for name, count in connection.execute(HOLDERS.encode()) if count >= locks]
        return {int(number) for name in names for number in re.findall(r"\b\d+\b", name)}

    def waiting(self) -> int | None:
        """Deliveries the bridge still owes by its own account; None while it cannot tell."""
        try:
            checks = self.bridge.readyz()["checks"]
        except (requests.RequestException, ValueError, KeyError):
            return None
        waiting = checks.get("oldest_waiting", {}).get("waiting")
        return None if waiting is None else int(waiting)

    def timeline(self, alert_id: str) -> list[dict[str, Any]]:
        """What the bridge itself tells about an alert."""
        return self._command("timeline", alert_id)

    def dead_letters(self) -> list[dict[str, Any]]:
        """What the bridge gave up, by its own account."""
        return self._command("dead-letters", "list")

    def _command(self, *words: str) -> list[dict[str, Any]]:
        """The answer of ``truthvouch ... --json``."""
        environment = {name: value for name, value in self.bridge.environment.items() if value}
        command = [*map(str, COMMAND), *words, "--json"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        lines: list[dict[str, Any]] = json.loads(done.stdout or "[]")
        return lines

    def close(self) -> None:
        """End whatever is left."""
        for tree in self._workers.values():
            tree.destroy()
        self.bridge.close()
        self.sandbox.close()


@contextmanager
def chaos_world(
    folder: Path,
    database_url: str = "",
    reconcile_seconds: int = 2,
    via: str = "rest",
    settings: Mapping[str, Any] | None = None,
) -> Iterator[ChaosWorld]:
    """A running world in this folder; nothing of it is left afterwards but the files."""
    world = ChaosWorld(folder, database_url, reconcile_seconds, via, settings)
    try:
        world.start()
        yield world
    finally:
        world.close()
