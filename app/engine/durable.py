"""The engine: queues per target, one workflow per delivery, nothing that sleeps in a thread."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from dbos import DBOS, DBOSClient, DBOSConfig
from dbos._dbos import _get_dbos_instance
from dbos._serialization import DBOSPortableJSON, DefaultSerializer

from app.domain.names import LinkId, Side
from app.engine.ending import let_end
from app.engine.lanes import Lanes
from app.engine.leftovers import Leftovers
from app.engine.names import workflow_name
from app.engine.persistent import BROKEN_DELAYS, Deliver, Delivery, GivenUp, Persistent
from app.engine.wakeup import Due, Wakeup
from app.ports import Order, Tx

log = structlog.get_logger()

APPLICATION_VERSION = "1"
"""A constant of ours: DBOS only touches work of its own version, and its default, a hash of the source, would strand
running deliveries at every upgrade. Raise it only when a delivery's arguments change their meaning."""

APPLICATION_NAME = "bridge"
WORKFLOW = "deliver"
POLL_SECONDS = 0.25
"""How late a delivery starts when its ring is lost, or when another machine submitted it."""

FIRST_POLL_SECONDS = 0.02
"""Until the queue threads can be rung, which is right after they start."""

DELIVERIES_AT_ONCE = 8
"""Per queue and worker: enough to hide a partner's latency, few enough to be gentle."""

ORDERS_PER_WORKFLOW = 8
"""Of a queue without a budget of our own. With one it is one: DBOS's limit counts workflows."""

DUE_MARGIN_SECONDS = 0.01
"""DBOS counts delays in whole milliseconds of the wall clock."""


def limiter(per_minute: int) -> dict[str, float] | None:
    """DBOS's limit for so many starts a minute, in a short window, so that a burst of noise cannot use up a minute.

    0 = no limit of our own.
    """
    if per_minute <= 0:
        return None
    period = 1.0 if per_minute >= 300 else 5.0
    return {"limit": max(1, int(per_minute * period / 60)), "period": period}


class DurableEngine:
    """Runs what is submitted at least once, through any crash. One per process: DBOS is a process-wide singleton."""

    def __init__(
        self,
        sql_engine: Any,
        executor_id: str,
        per_minute: Mapping[str, int],
        poll_seconds: float = POLL_SECONDS,
        broken_delays: Sequence[float] = BROKEN_DELAYS,
    ) -> None:
        """``sql_engine`` is the store's, hooks included; ``per_minute`` names every queue and its budget."""
        self._broken_delays = broken_delays
        self._poll_seconds = poll_seconds
        self._sql = sql_engine
        self._per_minute = dict(per_minute)
        self._executor_id = executor_id
        self._client: DBOSClient | None = None
        self._persistent: Persistent | None = None
        self._wakeup: Wakeup | None = None
        self._due: Due | None = None
        self._stopping = threading.Event()
        self._submitted = threading.local()
        self._lanes = {queue: Lanes(DELIVERIES_AT_ONCE, queue) for queue in per_minute}
        self._alone = sql_engine.dialect.name == "sqlite"
        self._fresh: set[str] = set()
        self._fresh_lock = threading.Lock()

    def launch(self, deliver: Deliver, given_up: GivenUp | None = None) -> None:
        """Create or upgrade DBOS's tables, take up what a crash left, and start delivering.

        ``given_up`` is told of a delivery that raises every time; without it such a one is tried for ever.
        """
        _refuse_pickles()
        self._persistent = Persistent(deliver, self._stopping, given_up, self._broken_delays)
        self._client = DBOSClient(
            system_database_engine=self._sql,
            serializer=DBOSPortableJSON,
            application_name=APPLICATION_NAME,
        )
        # Queues that are there at the launch are polled at once; later ones are noticed within a second.
        self._client._sys_db.run_migrations()
        self._register_queues(self._client, FIRST_POLL_SECONDS)
        DBOS(config=self._config())
        self._register()
        DBOS.launch()
        running = _get_dbos_instance()
        self._wakeup = Wakeup(running.background_thread_stop_events)
        self._due = Due(partial(_enqueue_due, running._sys_db), self._ring)
        self._register_queues(self._client, self._poll_seconds)

    def _config(self) -> DBOSConfig:
        url = "sqlite:///bridge.db" if self._sql.dialect.name == "sqlite" else "postgresql://bridge/bridge"
        return {
            "name": APPLICATION_NAME,
            "system_database_url": url,
            "system_database_engine": self._sql,
            "application_version": APPLICATION_VERSION,
            "executor_id": self._executor_id,
            "serializer": DBOSPortableJSON,
            "max_executor_threads": 8 + DELIVERIES_AT_ONCE * len(self._per_minute),
            "use_listen_notify": False,
            "scheduler_polling_interval_sec": 3600.0,
            "log_level": "WARNING",
        }

    @property
    def leftovers(self) -> Leftovers:
        """What is begun and run by nobody. Only after the launch."""
        assert self._client is not None
        return Leftovers(self._client, self._executor_id, APPLICATION_VERSION)

    def _register(self) -> None:
        def run(queue: str, priority: int, lanes: list[list[Any]]) -> str:
            first_run = self._is_first_run()
            try:
                deliveries = [(LinkId(link), Side(side), seq) for link, side, seq in lanes]
                return self._run_all(queue, priority, deliveries, first_run)
            finally:
                if self._wakeup is not None:
                    self._wakeup.soon(queue)

        # No limit of runs: every crash of the process counts against every delivery in hand, and one that the engine
        # gave up would be owed for ever and never run.
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(run)

    def _run_all(self, queue: str, priority: int, deliveries: Sequence[Delivery], first_run: bool) -> str:
        """Every lane for itself: a slow one keeps only this workflow open, a broken one is tried until it ends."""
        assert self._persistent is not None
        calls = [partial(self._persistent, delivery, first_run) for delivery in deliveries]
        if len(calls) == 1:
            return calls[0]()
        ends = [self._lanes[queue].submit(priority, call) for call in calls]
        return " ".join(end.result() for end in ends)

    def _is_first_run(self) -> bool:
        """Whether nobody ran this delivery before; in doubt it is not, and then it looks first.

        What the only worker of a store submitted itself it also starts first; of anything else DBOS's claim, counted
        before each run, knows.
        """
        workflow_id = DBOS.workflow_id
        assert workflow_id is not None
        with self._fresh_lock:
            if workflow_id in self._fresh:
                self._fresh.discard(workflow_id)
                return True
        try:
            assert self._client is not None
            status = self._client.retrieve_workflow(workflow_id).get_status()
            return (status.recovery_attempts or 0) <= 1
        except Exception:
            log.warning("engine.first_run_unknown", workflow_id=workflow_id, exc_info=True)
            return False

    def _register_queues(self, client: DBOSClient, poll_seconds: float) -> None:
        for queue, per_minute in self._per_minute.items():
            client.register_queue(
                queue,
                worker_concurrency=DELIVERIES_AT_ONCE,
                limiter=limiter(per_minute),  # type: ignore[arg-type]
                polling_interval_sec=poll_seconds,
            )

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        """Enqueue deliveries in the caller's transaction.

        Orders that may start together share one workflow, so that a backlog costs the engine an eighth.
        """
        together: dict[tuple[str, int, float | None], list[Order]] = {}
        for order in orders:
            together.setdefault((order.queue, order.priority, order.delay_seconds), []).append(order)
        for (queue, priority, delay), same in together.items():
            size = 1 if self._per_minute[queue] else ORDERS_PER_WORKFLOW
            for start in range(0, len(same), size):
                self._enqueue(tx, same[start : start + size], priority, delay)

    def _enqueue(self, tx: Tx, orders: Sequence[Order], priority: int, delay: float | None) -> None:
        assert self._client is not None
        first = orders[0]
        workflow_id = workflow_name(orders)
        if self._alone:
            with self._fresh_lock:
                self._fresh.add(workflow_id)
        options: Any = {
            "workflow_name": WORKFLOW,
            "queue_name": first.queue,
            "workflow_id": workflow_id,
            "app_version": APPLICATION_VERSION,
            "priority": priority,
        }
        if delay:
            options["delay_seconds"] = delay
        self._pending().append((first.queue, delay or 0.0))
        lanes = [[int(order.link_id), str(order.side), order.seq] for order in orders]
        self._client.enqueue_in_transaction(tx, options, first.queue, priority, lanes)  # type: ignore[arg-type]

    def wake(self) -> None:
        """Start what this thread submitted and has since committed."""
        pending = self._pending()
        for queue in {queue for queue, delay in pending if not delay}:
            self._ring(queue)
        for queue, delay in pending:
            if delay and self._due is not None:
                self._due.at(delay + DUE_MARGIN_SECONDS, queue)
        pending.clear()

    def close(self, patience_seconds: int) -> None:
        """Stop taking work, let what is in hand end for so long, and let go; the rest is repeated at the next start."""
        self._stopping.set()
        if self._due is not None:
            self._due.stop()
        if self._wakeup is not None:
            let_end(patience_seconds)
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
        if self._client is not None:
            self._client.destroy()

    def _pending(self) -> list[tuple[str, float]]:
        if not hasattr(self._submitted, "pending"):
            self._submitted.pending = []
        pending: list[tuple[str, float]] = self._submitted.pending
        return pending

    def _ring(self, queue: str) -> None:
        if self._wakeup is not None:
            self._wakeup.ring(queue)


def _refuse_pickles() -> None:
    """What lies in a table is data. We write JSON, but DBOS lets each row name its reader, and one of them is pickle:
    whoever can write a row could run anything in the worker. DBOS fails such a delivery; ``lost_lanes`` finds what it
    owed."""

    def refuse(_serializer: DefaultSerializer, _text: str) -> Any:
        raise TypeError("a pickle is not read: the bridge writes none")

    DefaultSerializer.deserialize = refuse  # type: ignore[method-assign, assignment]


def _enqueue_due(system_database: Any) -> None:
    """DBOS's own once-a-second job, done now. https://docs.dbos.dev/python/tutorials/queue-tutorial"""
    try:
        system_database.transition_delayed_workflows()
    except Exception as fault:
        log.warning("engine.due_later", reason=type(fault).__name__)
