"""What the manifests start from our image, started as plain processes: the same commands and environments, asked by the
same health checks and probes, and ended.

Paths, ports, the database and the partners are those of the test; everything else is as it stands in the files. No
container was started: what the image itself does is for whoever builds it.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.deploy.manifests import Started, of_compose, of_kubernetes
from tests.system.bridge import API_KEY, INTEGRATION_KEY, TRUTHVOUCH_KEY
from tests.system.processes import PYTHON, Tree, free_port
from tests.system.signing import PAGERDUTY_SECRET, TRUTHVOUCH_SECRET, from_truthvouch
from tests.system.waiting import until

NOBODY = "http://127.0.0.1:9"
OF_THE_TEST = {
    "WEB_CONCURRENCY": "1",
    "TRUTHVOUCH_API_URL": NOBODY,
    "PAGERDUTY_API_URL": NOBODY,
    "PAGERDUTY_EVENTS_URL": NOBODY,
    "BRIDGE_RECONCILE_SECONDS": "0",
}
SECRETS = {
    "TRUTHVOUCH_API_KEY": TRUTHVOUCH_KEY,
    "TRUTHVOUCH_WEBHOOK_SECRETS": TRUTHVOUCH_SECRET,
    "PAGERDUTY_API_KEY": API_KEY,
    "PAGERDUTY_INTEGRATION_KEY": INTEGRATION_KEY,
    "PAGERDUTY_WEBHOOK_SECRETS": PAGERDUTY_SECRET,
}


class Container:
    """One started copy of it, with folders and a port of its own."""

    def __init__(self, one: Started, folder: Path, database_url: str) -> None:
        self.one, self.port = one, free_port()
        self.secrets = {**SECRETS, "DATABASE_URL": database_url}
        self.folders = {
            "/data": folder / "data",
            "/config": folder / "config",
            "/run/secrets/bridge": folder / "secrets",
        }
        for path in self.folders.values():
            path.mkdir(parents=True)
        for mounted, text in one.files.items():
            Path(self._here("", mounted)).write_text(text, "utf-8")
        given = {name: self._here(name, value) for name, value in one.environment.items() if name != "PATH"}
        self.environment = given | OF_THE_TEST
        self.tree = Tree(self._command(one.command), self.environment, folder / "log")

    def _here(self, name: str, value: str) -> str:
        """A variable's value with the folders and the port of this copy, and a secret where there is a place for it."""
        if name in self.secrets:
            return self.secrets[name]
        for place, folder in self.folders.items():
            if (value + "/").startswith(place + "/"):
                path = folder / value.removeprefix(place).removeprefix("/")
                if name.endswith("_FILE"):
                    path.write_text(self.secrets.get(path.name, "") + "\n")
                return str(path)
        return value.replace(str(self.one.port), str(self.port))

    def _command(self, command: list[str]) -> list[str]:
        match command[0]:
            case "gunicorn":
                return [str(PYTHON.parent / "gunicorn"), *command[1:]]
            case "truthvouch":
                return [str(PYTHON), "-m", "app.cli", *command[1:]]
            case _:
                return [str(PYTHON), *(part.replace(f":{self.one.port}/", f":{self.port}/") for part in command[1:])]

    def asked(self, path: str) -> int | None:
        """The status of a GET; None while nobody answers."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=4).status_code
        except requests.RequestException:
            return None

    def is_healthy(self) -> bool:
        """Whether everything that its orchestrator would ask is answered as it should be."""
        if not all(self.asked(path) == 200 for path, _ in self.one.asked):
            return False
        if self.one.check is None:
            return True
        assert "python" == self.one.check[0]
        check = self._command(self.one.check)
        done = subprocess.run(check, env=self.environment, timeout=20, capture_output=True, check=False)
        return done.returncode == 0


Start = Callable[[Started], Container]


@pytest.fixture
def start(tmp_path: Path, migrated_postgres_url: str) -> Iterator[Start]:
    with ExitStack() as ending:

        def started(one: Started) -> Container:
            container = Container(one, tmp_path / one.name, migrated_postgres_url)
            ending.callback(container.tree.destroy)
            return container

        yield started


def of_orchestrator(name: str) -> Mapping[str, Started]:
    return of_compose("compose.postgres.yaml") if name == "compose" else of_kubernetes()


@pytest.mark.system
@pytest.mark.postgres
@pytest.mark.parametrize("orchestrator", ["compose", "kubernetes"])
def test_what_a_manifest_starts_is_healthy_does_its_work_and_ends_in_time(orchestrator: str, start: Start):
    ours = of_orchestrator(orchestrator)
    web = start(ours["web"])
    until(web.is_healthy, "the web is healthy", 30, web.tree.output)
    # Healthy without a worker, and it takes webhooks: so no probe may ask for /readyz.
    assert 503 == web.asked("/readyz")
    body = b'{"id": "evt-1", "type": "moon.rose"}'
    address = f"http://127.0.0.1:{web.port}/truthvouch/alerts"
    assert 202 == requests.post(address, data=body, headers=from_truthvouch(body), timeout=10).status_code
    worker = start(ours["worker"])
    until(worker.is_healthy, "the worker is healthy", 30, worker.tree.output)
    until(lambda: web.asked("/readyz") == 200, "both work", 30, worker.tree.output)
    for one in (web, worker):
        one.tree.process.terminate()
    assert [0, 0] == [one.tree.process.wait(20) for one in (web, worker)]
    assert [{}, {}] == [one.tree.members() for one in (web, worker)]
