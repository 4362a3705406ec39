"""What a worker process is made of, and what it does again and again."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from app import metrics
from app.bootstrap.configuration import publisher, runs_with
from app.bootstrap.container import LEFT_TO_DELIVERIES, READERS, Container
from app.bootstrap.installation import made_once
from app.bootstrap.rules import shadow_of
from app.bootstrap.self_page import heartbeat
from app.bootstrap.spans import export_spans
from app.config.settings import Settings
from app.domain.sync.effects import TARGETS
from app.engine.durable import DurableEngine
from app.pagerduty.directory import AccountApi, RespondersApi
from app.ports import Asked, InboxReader, Meter, PeriodicTask, StoreUnavailable
from app.ports.jobs import Job
from app.services.diagnostics.configuration import PublishConfiguration
from app.services.diagnostics.heartbeat import heartbeat_task
from app.services.escalation.advance import Escalate, EscalationTask, PagerDutyPorts, escalation_task
from app.services.escalation.on_event import Escalations
from app.services.escalation.record import ArmMissed, missed_task
from app.services.jobs.run import Child, RunWaitingJobs, jobs_task
from app.services.operator.retention import (
    EraseBodies,
    EraseOldEvidence,
    Retention,
    Sweep,
    evidence_task,
    retention_task,
)
from app.services.reconciliation.context import CallQuota
from app.services.reconciliation.run import born_at
from app.services.sync.commands import ExecuteCommand
from app.services.sync.deliver import DeadLetterFailedDelivery, Deliver
from app.services.sync.erasure import EraseEvidence
from app.services.sync.execute_effect import Perform, TargetHealth
from app.services.sync.intake import Intake, ProcessEvent
from app.services.sync.link_writer import CHANGES, LinkWriter
from app.services.sync.recovery import AllLeftovers, OrphanedDeliveries, RecoverDeadWorkers, recovery_task
from app.services.sync.silence_watch import WatchSilences, silences_task
from app.store import codec
from app.store.claims import StoredClaims
from app.store.database import KEY_VALUES, Database, check
from app.store.escalations import StoredEscalations
from app.store.evidence import StoredBodies, StoredEvidence
from app.store.health import RECONCILED, SWEPT, WORKER_SEEN, StoredHealth
from app.store.history import StoredSilenced
from app.store.inbox_reader import CursorInboxReader, FlagInboxReader
from app.store.jobs import StoredAudit, StoredJobs
from app.store.links import StoredDeadLetters, StoredOverdue
from app.store.rate_limits import Budgets
from app.store.retention import BATCH_ROWS, StoredRetention
from app.store.worker_leases import FileLease, PostgresLease, PostgresLeases

INBOX_TIMEOUT = timedelta(seconds=5)
"""While deliveries wait longer than this to be taken in, nothing is read back."""
WATCH_SECONDS = 900.0
"""How often PagerDuty's subscriptions are looked at. What was lost while one was off is what reconciliation finds."""


class WorkerBridge(Container):
    """Everything that takes in and delivers. Opens no engine before the worker has its lease."""

    def __init__(self, settings: Settings) -> None:
        """Raises ``ConfigFault`` when ``bridge.yaml`` is broken."""
        super().__init__(settings)
        export_spans(settings)
        self.rulebook.current()
        sql, self._asked, self._jobs_asked = self.database.engine, Asked(), Asked()
        self._engine: DurableEngine | None = None
        on_postgres = settings.database_url is not None
        self.lease: FileLease | PostgresLease = PostgresLease(sql) if on_postgres else FileLease(settings.data_dir)
        """The right to work, which only one process can hold."""
        self._publish: PublishConfiguration | None = None
        self.tasks: Sequence[PeriodicTask] = ()
        """What it does again and again besides; there are none before it is launched."""

    def check_schema(self) -> None:
        """Raises ``StoreRefused`` where this program must not work on the store."""
        check(self.database.engine, "bridge")

    def metrics_text(self) -> bytes:
        """What a worker on its own tells Prometheus."""
        return metrics.text(StoredHealth(self.plain_bridge, self.plain_inbox), self.budgets_left)

    def beat(self, now: datetime) -> None:
        """Write the worker's sign of life, and what it runs with."""
        # Before the transaction: it may read bridge.yaml, and nobody should wait for that to write.
        found = runs_with(self) if self._publish is not None else None
        with self.database.begin() as tx:
            KEY_VALUES.put(tx, WORKER_SEEN, now.isoformat())
            self.budgets.publish(tx)
            if self._publish is not None and found is not None:
                self._publish(tx, now, found)

    def launch(self, executor_id: str) -> Callable[[], int]:
        """Start the engine as this executor; the answer takes in one inbox batch and says how many rows."""
        _ = self.inbox, self.wakeup, self.command_status  # made by this thread, before others ask for them
        claims = StoredClaims()
        engine = DurableEngine(self.database, executor_id, queue_budgets(self.settings), claims=claims)
        self._engine, intake = engine, self._intake(engine)
        self._publish = publisher(executor_id)
        far, may_read = self.partners(self.budgets), CallQuota(self.database, self.hourly_quota).take
        perform = Perform(far.incidents, far.events, far.alerts, self.rulebook, may_read, self.evidence_url)
        target_health = TargetHealth(KEY_VALUES, executor_id)
        deliver: Deliver = Deliver(
            self.database, intake.links, target_health, intake.writer, perform, intake.meter, self._escalations
        )
        with self.database.begin() as tx:
            target_health.clear(tx, TARGETS)
            born_at(tx, KEY_VALUES, datetime.now(UTC))
            if not self.settings.reconcile_seconds:  # an old success would look like one that is overdue
                KEY_VALUES.clear(tx, RECONCILED)
        codec.prepare()
        give_up = DeadLetterFailedDelivery(self.database, self.links, intake.meter)
        engine.launch(deliver, give_up)
        assert engine.direct is not None
        leftovers = AllLeftovers(
            engine.leftovers, engine.direct, self.database, claims, intake.links, intake.writer, give_up,
            engine.look_everywhere,
        )  # fmt: skip
        leftovers.submit_lost()  # what an earlier run of this worker had in hand
        leases = PostgresLeases(self.database.engine) if self.settings.database_url else None
        self.tasks = (
            recovery(self.database, leases, leftovers, executor_id, intake.writer, intake.meter),
            self._retention(engine),
            evidence_task(self._erase_bodies),
            self._silences(intake),
            *self._escalation_tasks(),
            *self._reading_tasks(),
            *self._heartbeat(),
        )
        return intake.take

    def close(self, timeout_seconds: int) -> None:
        """Let deliveries in hand end for so many seconds, and let go of the store."""
        if self._engine is not None:
            self._engine.close(timeout_seconds)
        publish, self._publish = self._publish, None  # first: no beat writes it again
        if publish is not None:
            with suppress(StoreUnavailable), self.database.begin() as tx:  # else its row ages
                publish.withdraw(tx)

    @made_once
    def budgets(self) -> Budgets:
        """What the keys may call."""
        return Budgets(self.database.engine)

    @made_once
    def _escalations(self) -> Escalations:
        return Escalations(StoredEscalations(), self.links, self.rulebook, StoredDeadLetters())

    def _intake(self, engine: DurableEngine) -> Intake:
        links, rulebook, meter, escalations = self.links, self.rulebook, metrics.meter(), self._escalations
        writer = LinkWriter(links, engine, self.overview.has_api_key)
        inbox_reader = self._inbox_reader()
        shadow = shadow_of(self.settings, rulebook, meter.shadowed, self.text_of_draft)
        process_event = ProcessEvent(links, writer, rulebook, rulebook.via, escalations, shadow)
        execute_command = ExecuteCommand(
            links, StoredDeadLetters(), inbox_reader, writer, process_event, READERS, self._asked.ask, escalations,
            EraseEvidence(links, StoredEvidence()), StoredAudit(), self.command_handlers(self._jobs_asked.ask),
            self.stored_rules,
        )  # fmt: skip
        intake = Intake(self.database, inbox_reader, links, writer, process_event, execute_command, READERS, meter)
        intake.erase_bodies = self._erase_bodies.soon
        return intake

    def _inbox_reader(self) -> InboxReader:
        if self.settings.database_url:
            return FlagInboxReader(self.database)
        return CursorInboxReader(Database(self.inbox_engine))

    @made_once
    def _erase_bodies(self) -> EraseBodies:
        return EraseBodies(StoredBodies(self.database, self.inbox_engine, self.settings.data_dir))

    def _retention(self, engine: DurableEngine) -> PeriodicTask:
        def sweep_deliveries(before: datetime) -> Iterator[int]:
            while removed := engine.leftovers.sweep(before, BATCH_ROWS):
                yield removed

        stored = StoredRetention(self.database, self.inbox_engine, self.settings.data_dir)
        sweeps: dict[str, Sweep] = {
            **stored.sweeps(),
            "deliveries": sweep_deliveries,
            "pages": lambda _: stored.give_back(),
        }
        old_evidence = EraseOldEvidence(self.database, self.links, StoredEvidence())
        evidence: dict[str, Sweep] = {"evidence": old_evidence, "bodies": stored.sweep_bodies}
        erase_bodies = self._erase_bodies.soon
        retention = Retention(
            sweeps, self.rulebook, evidence=evidence, erase_bodies=erase_bodies,
            own_days={"audit": lambda rulebook: rulebook.audit_days},
        )  # fmt: skip

        def run() -> None:
            if retention():
                self._remember(SWEPT)

        return retention_task(run)

    def jobs_task(self, start: Callable[[Job, str], Child]) -> PeriodicTask:
        """Runs jobs; ``start`` starts the process of one."""
        return jobs_task(RunWaitingJobs(self.database, StoredJobs(), start), self._jobs_asked)

    def _silences(self, intake: Intake) -> PeriodicTask:
        stores = (self.database, KEY_VALUES, StoredSilenced(), intake.links)
        return silences_task(WatchSilences(*stores, intake.writer, intake.process_event, self.rulebook))

    @made_once
    def _escalate(self) -> Escalate:
        api = self.partners(self.budgets).incidents
        ports = PagerDutyPorts(api, AccountApi(api.ask), RespondersApi(api.ask, api.change)) if api else None
        return Escalate(self.database, StoredEscalations(), self.links, ports, metrics.meter())

    def _escalation_tasks(self) -> Iterator[PeriodicTask]:
        """The leading worker's: over everything that is due, and over what an older worker, or nobody, armed."""
        # Made for the first that is due: most bridges start without.
        start_due = EscalationTask(self.database, StoredEscalations(), lambda incident_id: self._escalate(incident_id))
        yield escalation_task(start_due)
        if self.settings.pagerduty.api_key:
            yield missed_task(ArmMissed(self.database, StoredEscalations(), self._escalations))

    def _reading_tasks(self) -> Iterator[PeriodicTask]:
        """The leading worker's, where the partners can be read.

        Reconciliation: at its start, then every so many seconds, and whenever somebody asked; with
        ``BRIDGE_RECONCILE_SECONDS=0`` only then. Besides, unless that is 0, the watch over PagerDuty's subscriptions.
        """
        seconds, has_api_key = self.settings.reconcile_seconds, self.settings.pagerduty.api_key
        if has_api_key or self.settings.truthvouch.api_key:
            every, first = seconds or math.inf, 0.0 if seconds else math.inf
            yield PeriodicTask("reconcile", every, self._reconcile_unless_behind, first, asked=self._asked)
        if seconds and has_api_key:
            yield PeriodicTask("subscriptions", WATCH_SECONDS, self._watch)

    def _heartbeat(self) -> Iterator[PeriodicTask]:
        if self.settings.heartbeat_url:
            yield heartbeat_task(heartbeat(self.settings.heartbeat_url, self.transport, self._probe))

    def _probe(self) -> None:
        """Ask whichever partner can be asked for the least it can be asked for."""
        far = self.partners(self.budgets, LEFT_TO_DELIVERIES)
        if far.incidents:
            AccountApi(far.incidents.ask).accepts_key()
        elif far.alerts and CallQuota(self.database, self.hourly_quota).take():
            far.alerts.page(1)

    def _watch(self) -> None:
        self.watch_subscriptions()

    def _reconcile_unless_behind(self) -> None:
        if self.command_status.is_behind(datetime.now(UTC) - INBOX_TIMEOUT):
            self._asked.ask()  # what waits in the inbox is not lost: to find it once more would make more to take in
        elif not self.reconcile().failed and self.settings.reconcile_seconds:
            self._remember(RECONCILED)

    def _remember(self, name: str) -> None:
        """Write down that this went well just now, for ``/metrics``."""
        with self.database.begin() as tx:
            KEY_VALUES.put(tx, name, datetime.now(UTC).isoformat())


def queue_budgets(settings: Settings) -> Mapping[str, int]:
    """Every queue and its starts a minute, 0 = no limit.

    The budget of each key is kept where the calls are made. These limits only see to it that little is in hand when
    something urgent comes; and that status changes, which have queues of their own, never take more than half of
    what pages may.
    """
    pagerduty = settings.pagerduty
    keys = {pagerduty.integration_key, *pagerduty.service_keys.values()} - {None}
    rest, events = pagerduty.rest_per_minute, pagerduty.events_per_minute * max(1, len(keys))
    return {
        "truthvouch": 0,
        "pagerduty-rest": rest,
        "pagerduty-events": events,
        f"pagerduty-rest{CHANGES}": (rest + 1) // 2,
        f"pagerduty-events{CHANGES}": (events + 1) // 2,
    }


def recovery(
    database: Database,
    leases: PostgresLeases | None,
    leftovers: AllLeftovers,
    executor_id: str,
    writer: LinkWriter,
    meter: Meter,
) -> PeriodicTask:
    """Recovery of dead workers, then of what is pending and in no queue."""
    recover = RecoverDeadWorkers(leases, leftovers, executor_id)
    stored = (database, StoredOverdue(), leftovers, writer.links)
    submit_again = OrphanedDeliveries(*stored, writer, meter, key_values=KEY_VALUES)

    def run() -> None:
        try:
            recover()
        finally:
            submit_again()

    return recovery_task(run, at_once=submit_again.is_copy())
