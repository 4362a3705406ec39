"""A worker is killed at every step of an alert's way, on both stores; its successor finishes, and nothing is doubled.

The steps are in ``mortal_worker.POINTS``. Each worker finishes what the one before left and then dies of the next.
"""

import json
import multiprocessing
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from app.config.settings import Settings
from app.domain.model.types import AlertId, Side, Source, Status
from app.ports import Delivery
from app.store.claims import StoredClaims
from app.store.database import Database, open_bridge, open_inbox
from app.store.inbox import inbox_for
from app.store.inbox_postgres import PostgresWakeup
from app.store.links import StoredLinks
from app.store.wakeup import SocketWakeup
from tests.process.mortal_worker import POINTS, work
from tests.shapes import shape
from tests.system.bridge import Bridge
from tests.system.sandbox import Sandbox
from tests.system.waiting import until

CREATE = tuple(name for name in POINTS if not name.startswith("resolve"))
RESOLVE = tuple(name for name in POINTS if name.startswith("resolve"))
IN_RECOVERY = {
    "committed, not begun": "claim released, not committed",
    "before the create": "link saved, not claimed",
    "created, answer not recorded": "claimed, not committed",
    "answer recorded, not committed": "committed, not begun",
}
"""Where the successor dies as well, while it submits anew what the first one had claimed."""

PROCESSES = multiprocessing.get_context("forkserver")


class Place:
    """A store with its worker, and the partners."""

    def __init__(self, folder: Path, sandbox: Sandbox, url: str | None) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.environ = Bridge(folder, sandbox.url).environment | ({"DATABASE_URL": url} if url else {})
        settings = Settings.from_env(self.environ)
        bridge, inbox = open_bridge(settings.data_dir, url), open_inbox(settings.data_dir, url)
        shape(bridge, inbox, settings.data_dir)
        inbox.dispose()
        self.database, self.inbox = Database(bridge), inbox_for(settings)
        self.wakeup = PostgresWakeup(url) if url else SocketWakeup(settings.data_dir)
        self.armed = folder / "armed"
        self.worker: BaseProcess | None = None

    def arm(self, point: str) -> None:
        part = self.folder / "armed.part"
        part.write_text(point, "utf-8")
        part.rename(self.armed)

    def start(self) -> None:
        self.worker = PROCESSES.Process(target=work, args=(self.environ, self.folder), daemon=True)
        self.worker.start()

    def dies(self, point: str) -> None:
        """The worker dies at the point that is armed; nothing is armed then."""
        assert self.worker is not None
        self.worker.join(20)
        assert -signal.SIGKILL == self.worker.exitcode, f"{point}: {self.evidence()}"
        self.armed.unlink()

    def send(self, alert_id: str, event: str) -> None:
        said = {"event_type": f"alert.{event}", "event_id": f"{alert_id}-{event}", "alert_id": alert_id}
        said |= {"severity": "critical", "timestamp": datetime.now(UTC).isoformat()}
        delivery = Delivery(
            Source.TRUTHVOUCH, f"{alert_id}-{event}", datetime.now(UTC), json.dumps(said).encode(), request_id="r"
        )
        assert self.inbox.add(delivery)
        self.wakeup.notify()

    def is_whole(self, alert_id: str, status: Status) -> bool:
        """Both sides agree, nothing is owed, nobody claims anything."""
        with self.database.read() as tx:
            link = StoredLinks().by_alert(tx, AlertId(alert_id))
            claimants = StoredClaims().claimants(tx)
        if link is None or claimants or any(link.delivery(side).outstanding for side in Side):
            return False
        return link.incident_id is not None and link.incident_side.status is status

    def until_whole(self, alert_id: str, status: Status, what: str) -> None:
        until(lambda: self.is_whole(alert_id, status), what, 20, self.evidence)

    def incident_of(self, alert_id: str) -> str | None:
        with self.database.read() as tx:
            link = StoredLinks().by_alert(tx, AlertId(alert_id))
        return link.incident_id if link else None

    def evidence(self) -> str:
        log = self.folder / "worker.log"
        return (log.read_text("utf-8")[-3000:] if log.exists() else "no log") + self.sandbox.evidence()

    def end(self) -> None:
        if self.worker is not None and self.worker.is_alive():
            self.worker.kill()
            self.worker.join(20)
        self.inbox.close()
        self.wakeup.close()
        self.database.engine.dispose()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path_factory.mktemp("partners"), "http://127.0.0.1:9")
    made.webhooks("drop")
    PROCESSES.set_forkserver_preload(["tests.process.mortal_worker"])
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Iterator[Place]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    made = Place(tmp_path, sandbox, url)
    made.start()
    yield made
    made.end()


def test_at_every_step_of_a_page_and_of_its_recovery(place: Place) -> None:
    for number, point in enumerate(CREATE):
        alert_id = f"page-{number}-{place.folder.name}"
        place.sandbox.raise_alert(alert_id)
        place.arm(point)
        place.send(alert_id, "created")
        place.dies(point)
        if point in IN_RECOVERY:
            place.arm(IN_RECOVERY[point])
            place.start()
            place.dies(IN_RECOVERY[point])
        place.start()
        place.until_whole(alert_id, Status.OPEN, f"whole after {point}")
        (incident,) = place.sandbox.incidents(alert_id)
        assert incident["id"] == place.incident_of(alert_id), point
        assert ["opened"] == place.sandbox.writes(alert_id), point


def test_at_every_step_of_a_resolve(place: Place) -> None:
    for number, point in enumerate(RESOLVE):
        alert_id = f"over-{number}-{place.folder.name}"
        place.sandbox.raise_alert(alert_id)
        place.send(alert_id, "created")
        place.until_whole(alert_id, Status.OPEN, "it is open")
        place.arm(point)
        place.send(alert_id, "resolved")
        place.dies(point)
        place.start()
        place.until_whole(alert_id, Status.RESOLVED, f"over after {point}")
        (incident,) = place.sandbox.incidents(alert_id)
        assert "resolved" == incident["status"]
        assert ["opened", "incident resolved"] == place.sandbox.writes(alert_id), point
