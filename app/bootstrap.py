"""The composition root: the only place that names real adapters.

``build_web`` makes what a web process needs and never imports the engine; ``build_worker`` makes the rest.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from app import configfile
from app.domain.names import Side
from app.domain.rulebook import Rulebook
from app.domain.words import Envelope
from app.errors import ConfigFault
from app.pagerduty import inbound as pagerduty_inbound
from app.ports import Bell, Engine, Read, StoreUnavailable, Tx
from app.services.health import Health
from app.services.receive_alert import receive_alert
from app.services.receive_incident_event import receive_incident_event
from app.services.receiving import Receive
from app.services.rulebook import LiveRulebook
from app.settings import Settings
from app.store.arrivals import CursorArrivals, MarkedArrivals
from app.store.database import Database, open_bridge, open_inbox
from app.store.inbox import open_door
from app.store.marks import StoredMarks
from app.store.vitals import HOLD, WORKER_SEEN, StoredVitals
from app.truthvouch import inbound as truthvouch_inbound

if TYPE_CHECKING:
    from app.services.intake import Intake
    from app.services.perform import Perform
    from app.store.records import StoredRecords

Records = Sequence[Mapping[str, Any]]

READERS: Mapping[Side, Read] = {
    Side.TRUTHVOUCH: truthvouch_inbound.read,
    Side.PAGERDUTY: pagerduty_inbound.read,
}


def live_rulebook(settings: Settings) -> LiveRulebook:
    """``bridge.yaml``, hot-reloaded. Raises ``ConfigFault`` when the file is broken at the start."""

    def load() -> Rulebook:
        return settings.over(configfile.load(settings.config_path))

    return LiveRulebook(load, partial(_fingerprint, settings.config_path), ConfigFault)


def _fingerprint(path: Path) -> Hashable:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status.st_size else None


@dataclass(frozen=True)
class WebBridge:
    """What a web process is made of. It stores and answers; it imports no engine and calls nobody."""

    receive_alert: Receive
    receive_incident_event: Receive
    health: Health
    metrics_text: Callable[[], bytes]
    close: Callable[[], None]


def build_web(settings: Settings) -> WebBridge:
    """The two doors and the health checks. Opens nothing before the first request, so a fork is safe.

    Raises ``ConfigFault`` when ``bridge.yaml`` is broken.
    """
    from app import metrics

    rulebook, inbox, meter, ring = live_rulebook(settings), open_door(settings), metrics.meter(), bell(settings)
    vitals = StoredVitals(
        Database(open_bridge(settings.data_dir, settings.database_url)),
        open_inbox(settings.data_dir, settings.database_url),
    )

    def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Envelope:
        window = rulebook.current().replay_window_seconds
        return truthvouch_inbound.verify(headers, body, secrets, now, replay_window_seconds=window)

    def notes() -> tuple[str, ...]:
        refused = (f"bridge.yaml is broken, the last good one is in force: {rulebook.fault}",) if rulebook.fault else ()
        return (*settings.degraded(rulebook.current()), *refused)

    return WebBridge(
        receive_alert(verify, settings.truthvouch.webhook_secrets, inbox, ring, meter),
        receive_incident_event(pagerduty_inbound.verify, settings.pagerduty.webhook_secrets, inbox, ring, meter),
        Health(inbox, vitals, lambda: settings.missing(rulebook.current()), notes),
        lambda: metrics.text(vitals),
        inbox.close,
    )


def migrate_stores(settings: Settings) -> None:
    """Bring both stores to this version's shape. Safe when several processes start at once."""
    from app.store.migrate import migrate

    bridge = open_bridge(settings.data_dir, settings.database_url)
    inbox = open_inbox(settings.data_dir, settings.database_url)
    try:
        migrate(bridge, inbox, settings.data_dir)
    finally:
        bridge.dispose()
        inbox.dispose()


def timeline(settings: Settings, wanted: str) -> Records:
    """What happened to an alert or incident, oldest first; empty when the bridge knows neither."""
    return _look(settings, lambda records, tx: records.timeline(tx, wanted))


def dead_letters(settings: Settings) -> Records:
    """What waits for a person's decision, oldest first."""
    return _look(settings, lambda records, tx: records.dead_letters(tx))


def _look(settings: Settings, look: Callable[["StoredRecords", Tx], Records]) -> Records:
    from app.store.records import StoredRecords

    if not settings.database_url and not (settings.data_dir / "bridge.db").exists():
        raise StoreUnavailable(f"there is no bridge.db in {settings.data_dir}")
    bridge = open_bridge(settings.data_dir, settings.database_url)
    try:
        with Database(bridge).read() as tx:
            return look(StoredRecords(), tx)
    finally:
        bridge.dispose()


class Seat(Protocol):
    """A place to work that only one process can hold."""

    def take(self) -> str | None:
        """The executor id of the seat taken; None while every seat is taken."""
        ...

    def leads(self) -> bool:
        """Whether this worker is the one that takes the inbox in."""
        ...

    def leave(self) -> None: ...


@dataclass(frozen=True)
class WorkerBridge:
    """What a worker process is made of."""

    seat: Seat
    launch: Callable[[str], Callable[[], int]]
    """Starts the engine as this executor; the answer takes in one inbox batch and says how many rows."""
    beat: Callable[[datetime], None]
    """Writes the worker's sign of life."""
    bell: Bell
    close: Callable[[int], None]
    """Lets deliveries in hand end for so many seconds, and lets go of the store."""


def build_worker(settings: Settings) -> WorkerBridge:
    """Everything that takes in and delivers. Opens no engine before the worker has its seat."""
    from app.engine.durable import DurableEngine
    from app.services.deliver import Deliver
    from app.store.links import StoredLinks
    from app.store.locks import FileSeat, PostgresSeat

    rulebook = live_rulebook(settings)
    sql = open_bridge(settings.data_dir, settings.database_url)
    database, marks = Database(sql), StoredMarks()
    engines: list[DurableEngine] = []

    def launch(executor_id: str) -> "Intake":
        engine = DurableEngine(sql, executor_id, _budgets(settings))
        engines.append(engine)
        intake = _intake(settings, rulebook, database, engine)
        perform = _perform(settings, rulebook)
        deliver: Deliver = Deliver(database, StoredLinks(), marks, intake.settle, perform, intake.meter)
        with database.begin() as tx:
            for door in _budgets(settings):
                marks.clear(tx, HOLD + door)
        engine.launch(deliver)
        return intake

    def beat(now: datetime) -> None:
        with database.begin() as tx:
            marks.put(tx, WORKER_SEEN, now.isoformat())

    def close(patience_seconds: int) -> None:
        for engine in engines:
            engine.close(patience_seconds)

    seat = PostgresSeat(sql) if settings.database_url else FileSeat(settings.data_dir)
    return WorkerBridge(seat, lambda executor_id: launch(executor_id).take, beat, bell(settings), close)


def bell(settings: Settings) -> Bell:
    """What wakes the intake."""
    from app.store import bell as bells

    if settings.database_url:
        return bells.PostgresBell(settings.database_url)
    return bells.SocketBell(settings.data_dir)


def _budgets(settings: Settings) -> Mapping[str, int]:
    """Every queue and its starts a minute, 0 = no budget of our own."""
    return {
        "truthvouch": 0,
        "pagerduty-rest": settings.pagerduty.rest_per_minute,
        "pagerduty-events": settings.pagerduty.events_per_minute,
    }


def _intake(settings: Settings, rulebook: LiveRulebook, database: Database, engine: Engine) -> "Intake":
    from app import metrics
    from app.services.intake import Intake
    from app.services.settle import Settle
    from app.store.links import StoredLinks

    links = StoredLinks()
    settle = Settle(links, engine, lambda: bool(settings.pagerduty.api_key))
    arrivals = MarkedArrivals() if settings.database_url else CursorArrivals(open_inbox(settings.data_dir, None))
    return Intake(
        database, arrivals, links, settle, READERS, rulebook, lambda: settings.via(rulebook.current()), metrics.meter()
    )


def _perform(settings: Settings, rulebook: LiveRulebook) -> "Perform":
    from app.pagerduty.events_api import EventsApi
    from app.pagerduty.rest_api import RestApi
    from app.services.perform import Perform
    from app.transport import Transport
    from app.truthvouch.api import AlertsApi

    settings = settings.with_rulebook(rulebook.current())
    pagerduty, truthvouch, transport = settings.pagerduty, settings.truthvouch, Transport()
    incidents = events = alerts = None
    if pagerduty.api_key:
        incidents = RestApi(
            transport, pagerduty.api_url, pagerduty.api_key, pagerduty.from_email or "", pagerduty.service_id
        )
    if pagerduty.integration_key or pagerduty.service_keys:
        events = EventsApi(transport, pagerduty.events_url, pagerduty.integration_key, pagerduty.service_keys)
    if truthvouch.api_key:
        alerts = AlertsApi(transport, truthvouch.api_url, truthvouch.api_key, lambda: rulebook.current().calls)
    return Perform(incidents, events, alerts, rulebook)
