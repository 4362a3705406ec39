"""The engine: queues per target, one workflow per delivery, nothing that sleeps in a thread."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Any, Protocol

import structlog
from dbos import DBOS, DBOSClient, DBOSConfig
from dbos._dbos import _get_dbos_instance
from dbos._serialization import DBOSPortableJSON, DefaultSerializer

from app.domain.model.types import TOGETHER, LinkId, Side, delivery_name
from app.engine.direct import DirectDeliveries, PriorityPool
from app.engine.recovery import Leftovers, let_end
from app.engine.wakeup import POLL_SECONDS, Due, QueueWakeup
from app.ports import Claims, DeliveryRef, Order, StoreUnavailable, Transactions, Tx

BROKEN_DELAYS = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds between tries of a delivery that raised, which none should."""

BROKEN_TRIES = 6
"""So often it may raise before it is given up; tries that only the store spoiled do not count."""

Deliver = Callable[[LinkId, Side, int, bool], str]
"""Link, side, sequence, and whether this is the delivery's first run: a later one may find its call made."""

GivenUp = Callable[[LinkId, Side, int, str], None]
"""Takes note of a delivery that raises every time, and why: the name of what it raised. It may raise, and then the
delivery is tried on."""


@dataclass(eq=False)
class Persistent:
    """Runs one delivery until it ends, whatever it raises: the outcome word, or ``given_up``.

    Marked as failed by DBOS it would be pending for ever and never run. While the store is the reason it is tried for
    ever; one that raises by itself (a bug) is handed over after a while, so that it neither repeats every minute for
    ever nor takes a place from others.
    """

    deliver: Deliver
    stopping: threading.Event
    """Ends the waiting."""
    given_up: GivenUp | None = None
    delays: Sequence[float] = BROKEN_DELAYS
    """Seconds after each failed try; the last one repeats."""

    def __call__(self, delivery: DeliveryRef, first_run: bool) -> str:
        """Deliver. Raises ``SystemExit`` when told to stop: it stays pending, and the next start takes it up."""
        link_id, side, seq = delivery
        broke = 0
        for wait in chain(self.delays, repeat(self.delays[-1])):
            try:
                return self.deliver(link_id, side, seq, first_run)
            except Exception as fault:
                first_run = False  # its call may have been made
                log.exception("delivery.broke", link_id=link_id, side=side.value, seq=seq, again_after=wait)
                broke += not isinstance(fault, StoreUnavailable)
                if broke >= BROKEN_TRIES and self._is_given_up(delivery, fault):
                    return "given_up"
                if self.stopping.wait(wait):
                    break
        raise SystemExit("stopped before this delivery could end")

    def _is_given_up(self, delivery: DeliveryRef, fault: Exception) -> bool:
        """Whether somebody took note, durably."""
        if self.given_up is None or isinstance(fault, StoreUnavailable):
            return False
        link_id, side, seq = delivery
        try:
            self.given_up(link_id, side, seq, type(fault).__name__)
        except Exception:
            log.exception("delivery.not_given_up", link_id=link_id, side=side.value, seq=seq)
            return False
        return True


def workflow_name(orders: Sequence[Order]) -> str:
    """No two groups of orders share one, whatever order they have in common."""
    first = orders[0]
    name = delivery_name(first.side, first.link_id, first.seq)
    if len(orders) == 1:
        return name
    rest = ",".join(f"{order.side}-{order.link_id}-{order.seq}" for order in orders[1:])
    return f"{name}{TOGETHER}{hashlib.sha256(rest.encode()).hexdigest()[:16]}"


log = structlog.get_logger()

APPLICATION_VERSION = "1"
"""A constant of ours: DBOS only touches work of its own version, and its default, a hash of the source, would strand
running deliveries at every upgrade. Raise it only when a delivery's arguments change their meaning."""

APPLICATION_NAME = "bridge"
WORKFLOW = "deliver"
FIRST_POLL_SECONDS = 0.02
"""Until the queue threads can be notified, which is right after they start."""

DELIVERIES_AT_ONCE = 8
"""Per queue and worker: enough to hide a partner's latency, few enough to be gentle."""

ORDERS_PER_WORKFLOW = 8
"""Of a queue without a budget of our own. With one it is one: DBOS's limit counts workflows."""

ROOM_ALONE = 256
"""So many deliveries of a queue may wait in the only worker's memory: after a crash each of them looks before it calls.
Where there may be others none waits: another worker's thread may be free."""

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


class EngineStore(Transactions, Protocol):
    """The store's transactions, and the SQLAlchemy engine under them, hooks included."""

    @property
    def engine(self) -> Any: ...


class DurableEngine:
    """Runs what is submitted at least once, through any crash. One per process: DBOS is a process-wide singleton."""

    def __init__(
        self,
        store: EngineStore,
        executor_id: str,
        per_minute: Mapping[str, int],
        poll_seconds: float | None = None,
        broken_delays: Sequence[float] = BROKEN_DELAYS,
        claims: Claims | None = None,
    ) -> None:
        """``per_minute`` names every queue and its budget; ``poll_seconds``: between two looks at idle queues.
        ``claims``: where it is written down which deliveries are made at once, past the queues; None: none is.
        """
        self._store, self._executor_id, self._per_minute = store, executor_id, dict(per_minute)
        self._sql = store.engine
        self._poll_seconds = POLL_SECONDS if poll_seconds is None else poll_seconds
        self._broken_delays = broken_delays
        self._client: DBOSClient | None = None
        self._persistent: Persistent | None = None
        self._wakeup: QueueWakeup | None = None
        self._due: Due | None = None
        self._stopping = threading.Event()
        self._pools = {queue: PriorityPool(DELIVERIES_AT_ONCE, queue) for queue in per_minute}
        self._alone = self._sql.dialect.name == "sqlite"
        self.direct: DirectDeliveries | None = None
        """What is made at once, past the queues."""
        if claims is not None:
            room = ROOM_ALONE if self._alone else 0
            limits = {queue: limiter(budget) for queue, budget in per_minute.items()}
            self.direct = DirectDeliveries(store, claims, executor_id, self._pools, limits, room)
        self._fresh: set[str] = set()
        self._fresh_lock = threading.Lock()

    def launch(self, deliver: Deliver, given_up: GivenUp | None = None) -> None:
        """Create or upgrade DBOS's tables, take up what a crash left, and start delivering.

        ``given_up`` is told of a delivery that raises every time; without it such a one is tried for ever.
        """
        _refuse_pickles()
        self._persistent = Persistent(deliver, self._stopping, given_up, self._broken_delays)
        self._client = DBOSClient(
            system_database_engine=self._sql, serializer=DBOSPortableJSON, application_name=APPLICATION_NAME
        )
        # Queues that are there at the launch are polled at once; later ones are noticed within a second.
        self._client._sys_db.run_migrations()
        self._register_queues(FIRST_POLL_SECONDS)
        DBOS(config=self._config())
        self._register()
        DBOS.launch()
        running = _get_dbos_instance()
        _take_this_version_for_the_latest(running._sys_db)
        if self.direct is not None:
            self.direct.launch(self._persistent, self.leftovers.is_queued)
        running._background_jobs_stop_event.set()  # its two questions a second: we give no deadlines, and ``Due`` looks
        self._wakeup = QueueWakeup(running.background_thread_stop_events, self._per_minute)
        startable = partial(self.leftovers.startable, list(self._per_minute))
        self._due = Due(partial(_enqueue_due, running._sys_db), self._notify, startable, self._poll_seconds)
        for queue, seconds in self.leftovers.delayed():
            self._due.at(seconds + DUE_MARGIN_SECONDS, queue)
        self._register_queues(self._poll_seconds)

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
        def run(queue: str, priority: int, refs: list[list[Any]]) -> str:
            first_run = self._is_first_run()
            try:
                deliveries = [(LinkId(link), Side(side), seq) for link, side, seq in refs]
                return self._run_all(queue, priority, deliveries, first_run)
            finally:
                if self._wakeup is not None:
                    self._wakeup.soon(queue)

        # No limit of runs: every crash of the process counts against every delivery in hand, and one that the engine
        # gave up would be pending for ever and never run.
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(run)

    def _run_all(self, queue: str, priority: int, deliveries: Sequence[DeliveryRef], first_run: bool) -> str:
        """Every delivery for itself: a slow one keeps only this workflow open, a broken one is tried until it ends."""
        assert self._persistent is not None
        calls = [partial(self._persistent, delivery, first_run) for delivery in deliveries]
        if len(calls) == 1:
            return calls[0]()
        ends = [self._pools[queue].submit(priority, call) for call in calls]
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

    def _register_queues(self, poll_seconds: float) -> None:
        assert self._client is not None
        for queue, per_minute in self._per_minute.items():
            self._client.register_queue(
                queue,
                worker_concurrency=DELIVERIES_AT_ONCE,
                limiter=limiter(per_minute),  # type: ignore[arg-type]
                polling_interval_sec=poll_seconds,
            )

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        """See that these deliveries are made once the caller's transaction has committed: at once by this worker, as
        far as it has room; the rest by way of the queues.

        Orders that may start together share one workflow, so that a backlog costs the engine an eighth.
        """
        if self.direct is not None:
            orders = self.direct.submit(tx, orders)
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
        self._store.after_commit(tx, partial(self._wake, first.queue, delay or 0.0))
        refs = [[int(order.link_id), str(order.side), order.seq] for order in orders]
        self._client.enqueue_in_transaction(tx, options, first.queue, priority, refs)  # type: ignore[arg-type]

    def _wake(self, queue: str, delay: float) -> None:
        if not delay:
            self._notify(queue)
        elif self._due is not None:
            self._due.at(delay + DUE_MARGIN_SECONDS, queue)

    def close(self, timeout_seconds: int) -> None:
        """Stop taking work, let what is in hand end for so long, and let go; the rest is repeated at the next start."""
        self._stopping.set()
        if self._due is not None:
            self._due.stop()
        deadline = time.monotonic() + timeout_seconds
        if self.direct is not None:
            self.direct.stop()
        if self._wakeup is not None:
            let_end(timeout_seconds)
        if self.direct is not None:
            self.direct.let_end(deadline - time.monotonic())
        DBOS.destroy(workflow_completion_timeout_sec=0, destroy_registry=True)
        if self._client is not None:
            self._client.destroy()

    def look_everywhere(self) -> None:
        """Have every queue looked at now: something was put into one by nobody who notifies."""
        for queue in self._per_minute:
            self._notify(queue)

    def _notify(self, queue: str) -> None:
        if self._wakeup is not None:
            self._wakeup.notify(queue)


def _refuse_pickles() -> None:
    """What lies in a table is data. We write JSON, but DBOS lets each row name its reader, and one of them is pickle:
    whoever can write a row could run anything in the worker. DBOS fails such a delivery; ``recovery`` finds what it
    owed."""

    def refuse(_serializer: DefaultSerializer, _text: str) -> Any:
        raise TypeError("a pickle is not read: the bridge writes none")

    DefaultSerializer.deserialize = refuse  # type: ignore[method-assign, assignment]


def _take_this_version_for_the_latest(system_database: Any) -> None:
    """DBOS asks at every poll of every queue, two thirds of what idling costs; it matters only for work without a
    version, and we submit none."""
    system_database._is_latest_version = lambda _version, _connection=None: True


def _enqueue_due(system_database: Any) -> None:
    """DBOS's own job: what was delayed and is due may start. https://docs.dbos.dev/python/tutorials/queue-tutorial"""
    try:
        system_database.transition_delayed_workflows()
    except Exception as fault:
        log.warning("engine.due_later", reason=type(fault).__name__)
