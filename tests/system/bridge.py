"""The whole bridge, started with the one command users start it with, and spoken to over HTTP only."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from tests.system.journal import Journal
from tests.system.processes import PYTHON, Tree, free_port, kill
from tests.system.signing import PAGERDUTY_SECRET, TRUTHVOUCH_SECRET, from_pagerduty, from_truthvouch
from tests.system.waiting import until

Json = dict[str, Any]

API_KEY = "sandbox-rest-key-marker"
TRUTHVOUCH_KEY = "tv_test_key_marker"
INTEGRATION_KEY = "sandboxsandboxsandboxsandbox0000"
ADMIN_TOKEN = "admin-token-marker"
SECRET_KEY = "session-secret-marker"
SECRETS = (API_KEY, TRUTHVOUCH_KEY, INTEGRATION_KEY, ADMIN_TOKEN, SECRET_KEY, TRUTHVOUCH_SECRET, PAGERDUTY_SECRET)
UNSPOKEN = (*SECRETS, "MARKER-")
"""What no log line may hold: secrets, and anything an alert says about prompts and answers."""

HOOKS = {"truthvouch": "/truthvouch/alerts", "pagerduty": "/pagerduty/webhook"}


class Bridge:
    """``gunicorn -c gunicorn.conf.py wsgi:app`` with a data directory and a port of its own."""

    def __init__(
        self, folder: Path, partners_url: str = "http://127.0.0.1:9", port: int | None = None, **settings: str
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "bridge.yaml"
        self.log = folder / "bridge.log"
        self.environment = {
            "PORT": str(self.port),
            "BRIDGE_DATA_DIR": str(folder / "data"),
            "BRIDGE_CONFIG": str(self.config),
            "BRIDGE_ADMIN_TOKEN": ADMIN_TOKEN,
            "BRIDGE_SECRET_KEY": SECRET_KEY,
            "BRIDGE_RECONCILE_SECONDS": "0",
            "LOG_FORMAT": "json",
            "TRUTHVOUCH_API_URL": f"{partners_url}/api/v1",
            "TRUTHVOUCH_API_KEY": TRUTHVOUCH_KEY,
            "TRUTHVOUCH_WEBHOOK_SECRETS": TRUTHVOUCH_SECRET,
            "PAGERDUTY_API_URL": partners_url,
            "PAGERDUTY_EVENTS_URL": partners_url,
            "PAGERDUTY_API_KEY": API_KEY,
            "PAGERDUTY_FROM_EMAIL": "oncall@example.com",
            "PAGERDUTY_INTEGRATION_KEY": INTEGRATION_KEY,
            "PAGERDUTY_SERVICE_ID": "PSANDBX",
            "PAGERDUTY_WEBHOOK_SECRETS": PAGERDUTY_SECRET,
            "PAGERDUTY_REST_PER_MINUTE": "0",
            "PAGERDUTY_EVENTS_PER_MINUTE": "0",
            **settings,
        }
        self.trees: list[Tree] = []
        self._journal, self._lines = Journal(self.log), list[Json]()
        self._session = requests.Session()

    # ------------------------------------------------------------ life and death

    def start(self, *, ready: bool = True) -> "Bridge":
        """Start the command; by default wait until it says that it can do its work."""
        command = [PYTHON.parent / "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
        environment = {name: value for name, value in self.environment.items() if value}
        self.trees.append(Tree(command, environment, self.log))
        if ready:
            self.wait_ready()
        return self

    @property
    def tree(self) -> Tree:
        return self.trees[-1]

    def wait_ready(self, seconds: float = 30.0) -> None:
        until(self._ready_or_ended, "the bridge is ready", seconds, self.tail)
        assert self.tree.process.poll() is None, self.tail()

    def _ready_or_ended(self) -> bool:
        return self.status("/readyz") == 200 or self.tree.process.poll() is not None

    def worker_pids(self) -> list[int]:
        """The engine's process: there must be exactly one."""
        return [pid for pid, command in self.tree.members().items() if re.search(r"\bworker\b", command)]

    def kill_worker(self) -> int:
        """kill -9; the pid it had."""
        (pid,) = until(self.worker_pids, "a worker is running", evidence=self.tail)
        kill(pid)
        return pid

    def hang_up(self) -> None:
        """Let go of the kept-alive connection."""
        self._session.close()

    def close(self) -> None:
        self.hang_up()
        for tree in self.trees:
            tree.destroy()

    # ------------------------------------------------------------ talking

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._session.get(self.url + path, timeout=10, **options)

    def status(self, path: str) -> int | None:
        """The status of a GET; None while nobody answers."""
        try:
            return self.get(path).status_code
        except (requests.ConnectionError, requests.Timeout):
            return None

    def readyz(self) -> Json:
        answer: Json = self.get("/readyz").json()
        return answer

    def deliver(
        self, source: str, body: bytes, headers: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
    ) -> requests.Response:
        """POST a webhook; signed unless ``headers`` say otherwise; ``more`` are laid over them."""
        sign = from_truthvouch if source == "truthvouch" else from_pagerduty
        signed = sign(body) if headers is None else headers
        return self._session.post(self.url + HOOKS[source], data=body, headers={**signed, **(more or {})}, timeout=15)

    def send_webhook(self, source: str, event: Json) -> requests.Response:
        return self.deliver(source, json.dumps(event).encode())

    # ------------------------------------------------------------ reading

    def lines(self) -> list[str]:
        return self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []

    def events(self, name: str = "") -> list[Json]:
        """The log's events, all or those of one name."""
        self._lines += self._journal.news()
        return [line for line in self._lines if name in ("", line.get("event"))]

    def tail(self) -> str:
        """The end of the log, for the message of a failed test."""
        return "\n".join(["newest log lines:", *(line[:600] for line in self.lines()[-40:])])


def assert_log_is_fit_to_keep(bridge: Bridge) -> None:
    """Every line is JSON, and none holds a secret, a prompt or a stack of somebody's error."""
    for line in bridge.lines():
        assert isinstance(json.loads(line), dict), line
        assert not [word for word in UNSPOKEN if word in line], line
        assert "Traceback (most recent call last)" not in line, line
