"""What is asked of the store costs the same however much lies in it: twice the history, not a row more to look at.

The statements are those that are really executed: a worker and a web application between two simulated partners, every
timer and every endpoint once. What each costs is counted where the store counts it, before and after the history
doubles: the steps of SQLite's virtual machine, and the rows that PostgreSQL looks at.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from app import create_app
from app.bootstrap import WebBridge
from app.bootstrap.container import Container
from app.bootstrap.diagnostics import Doctor
from app.bootstrap.worker import WorkerBridge
from app.config.settings import Settings
from app.domain.model.events import Way
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision, Rulebook
from app.domain.sync.link import DeliveryState, Link
from app.domain.sync.side_state import SideState
from app.ports import Page
from app.ports.console import AuditFilter
from app.store.database import Database, StoredKeyValues, open_bridge, open_inbox
from app.store.inbox_postgres import PostgresDriver
from app.store.inbox_sqlite import CURSOR
from app.store.jobs import StoredJobs
from app.store.links import _names, _standing
from app.store.migrate import migrate
from app.store.operator_records import StoredRecords
from app.store.plain import SqliteDriver
from app.store.schema import (
    EPOCH,
    audit,
    dead_letters,
    escalations,
    evidence,
    inbox,
    jobs,
    kept_bodies,
    links,
    timeline,
)
from tests.system.bridge import ADMIN_TOKEN, Bridge
from tests.system.processes import free_port
from tests.system.sandbox import Sandbox
from tests.system.signing import from_pagerduty
from tests.system.waiting import until

ROWS = 1_000
"""In each part of a history. More than any statement asks for at once, so that a page that fills up is no growth."""
AGE = timedelta(days=20)
"""Old enough for nobody to ask after it, and too young to go."""
SLACK = ROWS // 2
"""Steps or rows: a statement that looks at every row of one part needs ``ROWS`` more at least."""

ALLOWED: Mapping[str, str] = {}
"""Words of a statement -> why it may cost more the more there is."""


# --------------------------------------------------------------------------------------------- a history


@dataclass
class History:
    """What a store holds of alerts that are over, and of some that nobody will ever resolve."""

    bridge: sa.Engine
    inbox: sa.Engine
    times: int = 0

    def grow(self) -> None:
        """As many rows again. Their numbers lie between those that are there: what comes later stays the newest."""
        numbers = range(1 + self.times, 1 + self.times + 2 * ROWS, 2)
        self.times += 1
        at = datetime.now(UTC) - AGE
        made = [link for number in numbers for link in _links(number, at)]
        with self.bridge.begin() as connection:
            connection.execute(sa.insert(links), made)
            connection.execute(sa.insert(evidence), [{"link_id": row["id"], "texts": "{}"} for row in made])
            connection.execute(sa.insert(timeline), [_line(row, at) for row in made])
            connection.execute(sa.insert(dead_letters), [_dead_letter(number, at) for number in numbers])
            connection.execute(sa.insert(escalations), [_escalation(number, at) for number in numbers])
            connection.execute(sa.insert(audit), [_act(number, at) for number in numbers])
            connection.execute(sa.insert(jobs), [_job(number, at) for number in numbers])
        rows = [row for number in numbers for row in _inbox_reader(number, at)]
        with self.inbox.begin() as connection:
            connection.execute(sa.insert(inbox), rows)
        with self.bridge.begin() as connection:
            about = [{"inbox_id": row["id"], "subject": row["delivery_id"]} for row in rows]
            connection.execute(sa.insert(kept_bodies), about)

    def grow_deliveries(self) -> None:
        """The same for what the engine keeps of them; one in three was several in one."""
        schema = "dbos" if self.bridge.dialect.name == "postgresql" else None
        at = int((datetime.now(UTC) - AGE - EPOCH).total_seconds() * 1000)
        names = [f"old-{self.times}-{number}{'+' * (number % 3 == 0)}" for number in range(ROWS)]
        columns = ("status", "name", "queue_name", "created_at", "completed_at", "application_version", "executor_id")
        values = dict(zip(columns, ("SUCCESS", "deliver", "truthvouch", at, at, "1", "main"), strict=True))
        values |= {"application_name": "bridge"}
        status = sa.table("workflow_status", *map(sa.column, ("workflow_uuid", *values)), schema=schema)
        given = sa.table("workflow_input", sa.column("workflow_uuid"), sa.column("inputs"), schema=schema)
        with self.bridge.begin() as connection:
            connection.execute(sa.insert(status), [{"workflow_uuid": name, **values} for name in names])
            too_old = {"workflow_uuid": f"gone-{self.times}", **values, "completed_at": at // 2}
            connection.execute(sa.insert(status), too_old)
            connection.execute(sa.insert(given), [{"workflow_uuid": name, "inputs": "{}"} for name in names])


LAST = 9 * ROWS
"""No row of a history has a higher number."""


def _links(number: int, at: datetime) -> Iterator[dict[str, Any]]:
    """One that was paged and is over, one that was not and is, and one that nobody will ever resolve."""
    for kind in range(3):
        row_id = 3 * number + kind
        alert = Alert(AlertId(f"old-{row_id}"), severity="low" if kind else "critical")
        decision = Decision(None if kind else Urgency.HIGH, "severity_map", "1", "severity_map")
        side = SideState(Status.OPEN if kind == 2 else Status.RESOLVED, at)
        link = Link(alert, incident_key(alert.alert_id), at, decision=decision, alert_side=side)
        if not kind:
            incident_id, incident_number = IncidentId(f"QOLD{row_id}"), 10_000 + row_id
            link = replace(link, agreed=Status.RESOLVED, incident_side=side, incident_id=incident_id)
            link = replace(link, incident_number=incident_number)
        yield {"id": row_id} | _names(link) | _standing(link)


def _pending(at: datetime) -> dict[str, Any]:
    """One whose delivery got lost an hour ago."""
    alert = Alert(AlertId("old-owed"), severity="low")
    delivery = DeliveryState(outstanding=True, seq=1, since=at - timedelta(hours=1))
    link = Link(alert, incident_key(alert.alert_id), at, alert_side=SideState(Status.OPEN, at), truthvouch=delivery)
    return {"id": LAST} | _names(link) | _standing(link)


def _line(row: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    about = {name: row[name] for name in ("alert_id", "incident_id")}
    return {"id": row["id"], "at": at, "event": "alert.created", "link_id": row["id"], "facts": "{}", **about}


def _dead_letter(number: int, at: datetime) -> dict[str, Any]:
    what = {"kind": "effect", "reason": "http_400", "attempts": 1, "detail": "", "effect": "SetIncident"}
    return {"id": number, "link_id": 3 * number, "side": "pagerduty", "at": at, "closed_at": at, **what}


def _act(number: int, at: datetime) -> dict[str, Any]:
    what = {"actor": "api:old", "way": "api", "action": "thaw", "subject_kind": "alert", "outcome": "thawed"}
    return {"id": number, "at": at, "subject": f"old-{number % 2}", **what}


def _job(number: int, at: datetime) -> dict[str, Any]:
    what = {"kind": "replay", "parameters": "{}", "asked_by": "dana", "state": "done"}
    return {"id": number, "key": f"old-{number}", "asked_at": at, "finished_at": at, **what}


def _escalation(number: int, at: datetime) -> dict[str, Any]:
    return {
        "incident_id": f"QOLD{3 * number}",
        "link_id": 3 * number,
        "finished": True,
        "changed_at": at,
        "state": "{}",
    }


def _inbox_reader(number: int, at: datetime) -> Iterator[dict[str, Any]]:
    for which, side in enumerate(Side):
        row = {"source": side.value, "delivery_id": f"old-{number}", "received_at": at, "taken_at": at}
        yield {"id": 2 * number + which, "body": b"{}", "secret_index": number // 2 % 2, **row}


# --------------------------------------------------------------------------------------------- a life


class Ended:
    """The process of a job, which died at once."""

    def poll(self) -> int:
        return 1

    def kill(self) -> None: ...


@dataclass
class Life:
    """The whole bridge in this process, on such a store."""

    settings: Settings
    sandbox: Sandbox
    web: FlaskClient
    worker: WorkerBridge
    take: Callable[[], int]

    def work(self) -> None:
        """Take in what has come."""
        while self.take():
            pass

    def until(self, happened: Callable[[], Any], what: str) -> Any:
        """Work until it has."""

        def working() -> Any:
            self.work()
            return happened()

        return until(working, what, evidence=self.sandbox.evidence)

    def opened(self, alert_id: str) -> str:
        """An alert and its incident."""
        self.sandbox.raise_alert(alert_id)
        self.until(lambda: self.sandbox.incidents(alert_id), "an incident")
        return str(self.sandbox.incident(alert_id)["id"])

    def live(self) -> None:
        """Everything once: every way through the intake and the deliveries, every timer, every endpoint."""
        first, second = self.opened("new-1"), self.opened("new-2")
        self.sandbox.raise_alert("new-quiet", severity="low")
        self.sandbox.at_pagerduty("new-1", "acknowledge")
        self.sandbox.at_truthvouch("new-2", "acknowledge")
        self._of_a_stranger()
        self.until(lambda: self.statuses("new-1", "new-2") == {"acknowledged"}, "both sides are equal")
        self.refused("new-3")
        self.run_tasks()
        self.ask_everything(first, second)
        self.sandbox.at_pagerduty("new-1", "resolve")
        self.sandbox.at_truthvouch("new-2", "resolve", reason="verified")
        self.until(lambda: self.statuses("new-1", "new-2") == {"resolved"}, "both are over")
        self.run_tasks()
        self.worker.jobs_task(lambda _job, _run_id: Ended()).run()

    def statuses(self, *alerts: str) -> set[str]:
        both = [(self.sandbox.alert(one)["status"], self.sandbox.incident(one)["status"]) for one in alerts]
        return {status for two in both for status in two}

    def refused(self, alert_id: str) -> None:
        """A page that is refused, and replayed."""
        self.sandbox.fault(partner="pagerduty", method="POST", path_regex="/incidents", kind="status", status=400)
        self.sandbox.raise_alert(alert_id)
        dead_letter = self.until(lambda: self.get("/dead-letters")["dead_letters"], "a dead letter")[0]["id"]
        self.get(f"/dead-letters/{dead_letter}")
        self.sandbox.heal()
        self.post(f"/dead-letters/{dead_letter}/replay")
        self.until(lambda: self.sandbox.incidents(alert_id), "the incident after all")

    def _of_a_stranger(self) -> None:
        """PagerDuty says something about an incident that is nobody's."""
        incident = {"id": "QSTRANGER", "type": "incident", "status": "triggered", "incident_key": "of somebody else"}
        event = {"id": "01STRANGER", "event_type": "incident.triggered", "occurred_at": "2026-05-04T09:00:00Z"}
        body = json.dumps({"event": event | {"data": incident}}).encode()
        assert 202 == self.web.post("/pagerduty/webhook", data=body, headers=from_pagerduty(body)).status_code

    def run_tasks(self) -> None:
        """What the worker does by the clock."""
        self.worker.beat(datetime.now(UTC))
        self.worker.lease.beat()
        for one in self.worker.tasks:
            one.run()
        self.work()

    def ask_everything(self, *incidents: str) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert self.web.get(path).status_code in (200, 503)
        lists = (
            "/links",
            "/links?open=true",
            "/links?open=false",
            "/links?frozen=true",
            "/links?frozen=false&limit=500",
        )
        dead_letters_of = ("/dead-letters", "/dead-letters?closed=true")
        named = ("new-1", incidents[0], "%2310003", "10003")
        for path in ("/health", *lists, *dead_letters_of, "/links/new-1", *(f"/timeline/{one}" for one in named)):
            self.get(path)
        for path in ("/rules", "/silences", "/jobs", "/jobs?after=9", "/audit", "/audit?after=9"):
            self.get(path)
        self.post("/jobs/replay", {"dead_letters": [1]})
        self.post("/silences/preview", {"match": "severity == low"})
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        self.post("/silences", {"name": "drill", "match": "false", "reason": "drill", "until": until})
        self.work()
        self.post("/silences/drill/end")
        self.work()
        self.post("/jobs/1/cancel")
        self.work()
        for path in ("/jobs/1", "/audit?actor=nobody&subject=drill"):
            self.get(path)
        for path in ("/jobs/1/result", "/links/nobody", "/timeline/nobody", "/timeline/999999", "/dead-letters/999999"):
            self.get(path, 404)
        self.post("/reconciliations")
        self.post("/links/new-1/thaw")
        self.post("/links/new-1/note", {"note": "rolled back"})
        self.post("/links/new-1/false-alert")
        self.post(f"/escalations/{incidents[0]}/now", {})
        self.post("/links/new-2/erase")
        with Container.existing(self.settings) as operator:
            for wanted in ("new-1", incidents[1], "#10003", "nobody"):
                operator.overview.link_of(wanted)
                operator.overview.escalation(wanted)
            operator.overview.escalations(100)
            self.look_at_work(operator)
            self._look_at_evidence(operator)
        with Doctor(self.settings, Rulebook()) as examined:
            examined.examine()

    def look_at_work(self, operator: Container) -> None:
        """As the console's pages of jobs, drafts, shadow results, silences, people and workers do."""
        since = datetime.now(UTC) - timedelta(days=7)
        for after in (0, LAST):
            operator.jobs_overview.listed(Page(50, after))
        assert operator.jobs_overview.of_key("nobody's") is None
        assert operator.jobs_overview.result(LAST) is None
        assert operator.jobs_overview.job(LAST) is not None
        with operator.database.begin() as tx:
            assert StoredJobs().is_any_pending(tx)
            claimed = StoredJobs().claim(tx, "a-run", since)
            assert claimed is not None
            assert StoredJobs().beat(tx, claimed.job_id, "a-run", 1, 2, since)
            StoredJobs().give_back(tx, claimed.job_id, "a-run", counted=False)
        for begin, actor, subject, before in product((None, since), ("", "api:old"), ("", "old-1"), (None, LAST)):
            operator.audit_log.find(AuditFilter(begin, actor, subject, before))
        operator.stored_rules_overview.drafts()
        operator.stored_rules_overview.silences()
        operator.backtests.shadow(since, datetime.now(UTC))
        operator.backtests.silenced_by("severity == low", since, datetime.now(UTC))

    def _look_at_evidence(self, operator: Container) -> None:
        """By a link, until it is revoked."""
        with operator.database.read() as tx:
            (link,) = StoredRecords().about(tx, "new-1")
        path = f"/e/{operator.evidence_tokens.make(link.link_id, link.incident_key)}"
        assert 200 == self.web.get(path).status_code
        operator.revoke_evidence("new-1", "root", Way.CLI)
        assert 410 == self.web.get(path).status_code

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.web.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        assert status == answer.status_code, answer.text
        return answer.json

    def post(self, path: str, body: Any = None) -> None:
        answer = self.web.post(f"/api/v1{path}", json=body, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        assert answer.status_code in (200, 202), answer.text


CONFIG = """
escalation:
  policy_id: PSBXEP2
  levels: [{level: 1, timeout_minutes: 0.001}]
rules:
  - {name: misspelt, trigger: 'confidnce < 0.5', action: {type: suppress}}
console: {evidence_links: true}
"""


@contextmanager
def a_life(folder: Path, url: str | None) -> Iterator[tuple[Life, History]]:
    port = free_port()
    with ExitStack() as ending:
        sandbox = Sandbox(folder, f"http://127.0.0.1:{port}")
        ending.callback(sandbox.close)
        environ = {**Bridge(folder, sandbox.url, port=port).environment, "BRIDGE_RECONCILE_SECONDS": "300"}
        environ |= {"DATABASE_URL": url} if url else {}
        for side in Side:  # the doctor asks which of several secrets is still in use
            environ[f"{side.upper()}_WEBHOOK_SECRETS"] = f"newest,{environ[f'{side.upper()}_WEBHOOK_SECRETS']}"
        (folder / "bridge.yaml").write_text(CONFIG, "utf-8")
        settings = Settings.from_env(environ)
        bridge, inboxes = open_bridge(settings.data_dir, url), open_inbox(settings.data_dir, url)
        migrate(bridge, inboxes, settings.data_dir)
        history = History(bridge, inboxes)
        history.grow()
        _place_behind(bridge, inboxes)
        worker = WorkerBridge(settings)
        ending.callback(worker.close, 1)
        ending.callback(worker.lease.release)
        executor_id = worker.lease.acquire()
        assert executor_id
        worker.check_schema()
        take = worker.launch(executor_id)
        assert worker.lease.leads()
        history.grow_deliveries()
        web = WebBridge(settings)
        web.operate = replace(web.operate, timeout_seconds=0.1)  # the worker of this test works between requests
        app = create_app(settings, web)
        server = make_server("127.0.0.1", port, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ending.callback(server.shutdown)
        yield Life(settings, sandbox, app.test_client(), worker, take), history


def _place_behind(bridge: sa.Engine, inboxes: sa.Engine) -> None:
    """Whatever comes has a higher number than any history, whose webhooks are taken. A row of each is too old."""
    with Database(bridge).begin() as tx:
        StoredKeyValues().put(tx, CURSOR, str(LAST))
    at, too_old = datetime.now(UTC), datetime.now(UTC) - 2 * AGE
    last = {links: [_pending(at)], escalations: [_escalation(LAST, too_old)]}
    last |= {audit: [_act(LAST, at)], jobs: [_job(LAST, at)]}
    last[timeline] = [
        {**_line(_pending(at), at), "id": number, "at": when} for number, when in ((LAST - 1, too_old), (LAST, at))
    ]
    last[dead_letters] = [_dead_letter(LAST - 1, too_old), _dead_letter(LAST, at)]
    last[inbox] = [{**next(_inbox_reader(n, when)), "id": n} for n, when in ((LAST - 1, too_old), (LAST, at))]
    for table, made in last.items():
        engine = inboxes if table is inbox else bridge
        with engine.begin() as connection:
            connection.execute(sa.insert(table), made)
            if table is not escalations and engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT setval('{table.name}_id_seq', {LAST})")


# --------------------------------------------------------------------------------------------- what it asks


@dataclass
class Executed:
    """Every statement that anybody executed, once, with the parameters it first had."""

    statements: dict[tuple[str, str], Any] = field(default_factory=dict)
    engines: set[sa.Engine] = field(default_factory=set)

    def __call__(self, connection: Any, _cursor: Any, statement: str, given: Any, _context: Any, many: bool) -> None:
        self.engines.add(connection.engine)
        self.note(str(connection.engine.url.database).rpartition("/")[2], statement, given[0] if many else given)

    def note(self, name: str, statement: str, given: Any) -> None:
        asks = statement.lstrip().split(None, 1)[0].upper() in ("SELECT", "UPDATE", "DELETE", "WITH")
        if asks and "pg_catalog" not in statement and "pg_" not in statement and "sqlite_" not in statement:
            self.statements.setdefault((name, statement), given)


@contextmanager
def by_the_driver(note: Callable[[str, str, Any], None]) -> Iterator[None]:
    """Notes what is asked without SQLAlchemy: of which database, the statement and its values."""
    ask_sqlite, ask_postgres = SqliteDriver.ask, PostgresDriver.ask

    def noting_sqlite(self: SqliteDriver, connection: Any, statement: str, values: Any) -> Any:
        note(self.path.name, statement, tuple(values))
        return ask_sqlite(self, connection, statement, values)

    def noting_postgres(self: PostgresDriver, connection: Any, statement: str, values: Any) -> Any:
        note(connection.info.dbname, statement.replace("?", "%s"), tuple(values))
        return ask_postgres(self, connection, statement, values)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SqliteDriver, "ask", noting_sqlite)
        patched.setattr(PostgresDriver, "ask", noting_postgres)
        yield


def steps(engine: sa.Engine, statement: str, given: Any) -> int:
    """Of SQLite's virtual machine. What the statement changes is taken back."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        counted = [0]

        def count() -> int:
            counted[0] += 1
            return 0

        connection.exec_driver_sql("BEGIN IMMEDIATE")
        driver.set_progress_handler(count, 1)
        try:
            driver.execute(statement, given).fetchall()
        finally:
            driver.set_progress_handler(None, 0)
            driver.rollback()
        return counted[0]


def rows(engine: sa.Engine, statement: str, given: Any) -> int:
    """That PostgreSQL looks at where it has to use an index if there is one."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explained = connection.exec_driver_sql(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + statement, given or None
        ).scalar_one()
        connection.rollback()
    return _read_at(explained[0]["Plan"])


def _read_at(plan: Mapping[str, Any]) -> int:
    seen = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    own = sum(plan.get(name, 0) for name in seen) * plan.get("Actual Loops", 1)
    return int(own) + sum(_read_at(one) for one in plan.get("Plans", ()))


def plan(engine: sa.Engine, statement: str, given: Any) -> str:
    """For whoever reads that a test failed."""
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN ANALYZE "
    with engine.connect() as connection:
        return " / ".join(str(row[-1]) for row in connection.exec_driver_sql(explain + statement, given or None))


def cost(engines: Mapping[str, sa.Engine], executed: Executed) -> dict[tuple[str, str], int]:
    """Of every statement, as the store is now."""
    for engine in engines.values():
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("ANALYZE")
    counted = {}
    for (name, statement), given in executed.statements.items():
        engine = engines[name]
        counted[name, statement] = (steps if engine.dialect.name == "sqlite" else rows)(engine, statement, given)
    return counted


Key = tuple[str, str]
"""A database's name, and a statement."""
OF_THEM = (
    "FROM inbox WHERE source = ", "min(pagerduty_since) FROM links", "FROM letters WHERE closed_at IS NULL",
    "FROM budgets ORDER BY name", "FROM stored_silences ORDER BY name", "min(received_at) FROM inbox WHERE",
    "inbox WHERE secret_index > 0", "UPDATE links",
    "escalations.due_at <=", "links.incident_number =", "UNION ALL SELECT i.inputs", "AND delay_until_epoch_ms <=",
    "UPDATE jobs SET seen_at", "UPDATE jobs SET state", "FROM jobs WHERE state = 'running'",
    "completed_at <=", "FROM links WHERE (silenced", "DELETE FROM inbox", "DELETE FROM timeline", "DELETE FROM letters",
    "DELETE FROM escalations", "AS texts FROM links ORDER BY links.id DESC",
    "FROM evidence JOIN links", "DISTINCT kept_bodies.inbox_id",
    "FROM jobs WHERE jobs.id <", "audit.subject =", "DELETE FROM worker_configurations",
    "seen_at FROM worker_configurations",
    "revoked_evidence.link_id IN", "DELETE FROM revoked_evidence",
)  # fmt: skip
"""Without these it recorded less than it believes."""


def record(folder: Path, url: str | None) -> tuple[Executed, History]:
    """Live, and what was executed meanwhile."""
    executed = Executed()
    with a_life(folder, url) as (life, history):
        sa.event.listen(sa.Engine, "before_cursor_execute", executed)
        try:
            with by_the_driver(executed.note):
                life.live()
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", executed)
    for engine in executed.engines:
        engine.dispose()
    asked = [" ".join(statement.split()) for _, statement in executed.statements]
    assert [] == [words for words in OF_THEM if not any(words in statement for statement in asked)]
    return executed, history


@pytest.fixture
def closed_after_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker process keeps its connections until it ends; this one goes on."""
    made: list[psycopg.Connection[Any]] = []
    connect = psycopg.connect

    def connecting(*given: Any, **more: Any) -> Any:
        made.append(connect(*given, **more))
        return made[-1]

    monkeypatch.setattr(psycopg, "connect", connecting)
    monkeypatch.setattr(psycopg.Connection, "connect", connecting)
    yield
    for one in made:
        one.close()


@pytest.mark.usefixtures("closed_after_all")
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_twice_the_history_is_no_more_to_look_at(request: pytest.FixtureRequest, tmp_path: Path, store: str) -> None:
    url = request.getfixturevalue("postgres_url") if store == "postgresql" else None
    executed, history = record(tmp_path, url)
    engines = {str(engine.url.database).rpartition("/")[2]: engine for engine in (history.inbox, history.bridge)}
    before = cost(engines, executed)
    history.grow()
    history.grow_deliveries()
    after = cost(engines, executed)
    grown = [key for key in before if after[key] - before[key] >= SLACK and not any(one in key[1] for one in ALLOWED)]
    described = [f"{before[key]} -> {after[key]}: {_describe(engines, key, executed)}" for key in grown]
    for engine in engines.values():
        engine.dispose()
    assert [] == grown, "\n".join(described)


def test_a_look_at_readyz_asks_no_more_often(tmp_path: Path) -> None:
    """A statement that takes a page at a time costs the same each time; how often it is asked may not."""
    (tmp_path / "bridge.yaml").write_text(CONFIG, "utf-8")
    settings = Settings.from_env(Bridge(tmp_path, "http://127.0.0.1:1", port=1).environment)
    bridge, inboxes = open_bridge(settings.data_dir, None), open_inbox(settings.data_dir, None)
    migrate(bridge, inboxes, settings.data_dir)
    history, asked = History(bridge, inboxes), []
    for _ in range(2):
        history.grow()
        asked.append(_asked_by_readyz(settings))
    bridge.dispose()
    inboxes.dispose()
    assert asked[0] == asked[1]
    assert any("links.state" in statement for statement in asked[0])


def _asked_by_readyz(settings: Settings) -> list[str]:
    """Every statement of the first look of a web process."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        asked.append(statement)

    client = create_app(settings, WebBridge(settings)).test_client()
    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        with by_the_driver(lambda _name, statement, _given: asked.append(statement)):
            client.get("/readyz")
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return asked


def _describe(engines: Mapping[str, sa.Engine], key: Key, executed: Executed) -> str:
    name, statement = key
    return f"{' '.join(statement.split())}\n    {plan(engines[name], statement, executed.statements[key])}"
