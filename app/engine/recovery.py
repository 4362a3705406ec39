"""Deliveries that DBOS counts as begun and that nobody runs: their worker died, or the store's answer got lost.

DBOS takes up only what its own executor left at its own start; the rest is its paid product. What is needed of its
inside is in this file, and a test of each function notices should a later DBOS change it.
"""

import json
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from dbos import DBOS, DBOSClient
from dbos._dbos import _get_dbos_instance
from dbos._utils import INTERNAL_QUEUE_NAME

from app.domain.model.types import TOGETHER, LinkId, Side, delivery_name
from app.ports import DeliveryRef, Tx

QUEUED, DELAYED = ("ENQUEUED", "PENDING"), "DELAYED"
UNFINISHED = (*QUEUED, DELAYED)
FINISHED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


def _listed(words: Collection[str]) -> str:
    """For SQL, in DBOS's order: SQLite uses a partial index only for its very words."""
    return ", ".join(f"'{word}'" for word in words)


_UNDER_WAY = f"status IN ({_listed(QUEUED)})"
MOST_DELAYED = 1_000
IDS_AT_ONCE = 200
"""Names in one question."""


class Leftovers:
    """What is begun and not ended, by who began it. For a launched engine."""

    def __init__(self, client: DBOSClient, executor_id: str, version: str) -> None:
        self._client, self._executor_id, self._version = client, executor_id, version
        self._lost: frozenset[str] = frozenset()

    def owners(self) -> frozenset[str]:
        return frozenset(executor_id for _, executor_id in self._begun())

    def recover_dead_worker(self, executor_id: str) -> int:
        """Give what that executor had in hand back to the queues, for whoever comes; the answer is how many.

        Only for one that is gone. What it began counts as begun: whoever goes on looks before it calls again.
        """
        return len(DBOS._recover_pending_workflows([executor_id]))

    def pick_up(self) -> int:
        """Give back to the queues what this executor owns and does not run, seen so twice in a row.

        That happens when the commit of a claim succeeds and its answer is lost with the connection.
        """
        running = _get_dbos_instance()
        own = {workflow_id for workflow_id, executor_id in self._begun() if executor_id == self._executor_id}
        lost = own - set(running._active_workflows_set.activeList())
        again, self._lost = lost & self._lost, frozenset(lost)
        return sum(
            running._sys_db.reenqueue_for_recovery(workflow_id, [self._executor_id], INTERNAL_QUEUE_NAME)
            for workflow_id in sorted(again)
        )

    def unfinished(self, deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        """Which of these deliveries are queued, delayed or begun: sooner or later they end."""
        names = {delivery_name(side, link_id, seq): (link_id, side, seq) for link_id, side, seq in deliveries}
        found = {names[name] for name in self._unfinished_names(sorted(names))}
        return frozenset(found | (set(self._in_company()) & set(deliveries) if len(found) < len(names) else set()))

    def is_queued(self, tx: Tx, queue: str) -> bool:
        """Whether something in that queue could start and has not. Asked on the transaction's own connection."""
        query = (
            f"SELECT 1 FROM {self._table(self._client._sys_db.tables.workflow_status)} "  # noqa: S608 - our own words only
            f"WHERE queue_name = '{queue}' AND status = 'ENQUEUED' AND {_UNDER_WAY} LIMIT 1"
        )
        connection: Any = tx
        return connection.exec_driver_sql(query).first() is not None

    def startable(self, queues: Sequence[str]) -> tuple[frozenset[str], bool]:
        """Which of these queues have something to start; and whether something delayed is due."""
        store = self._client._sys_db
        status = self._table(store.tables.workflow_status)
        query = " UNION ALL ".join(
            f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {status} WHERE {which})"  # noqa: S608 - our own words only
            for name, which in [
                *((queue, f"queue_name = '{queue}' AND status = 'ENQUEUED' AND {_UNDER_WAY}") for queue in queues),
                ("", f"status = '{DELAYED}' AND delay_until_epoch_ms <= {int(time.time() * 1000)}"),
            ]
        )
        with store.engine.connect() as connection:
            found = frozenset(connection.exec_driver_sql(query).scalars())
        return found - {""}, "" in found

    def delayed(self) -> list[tuple[str, float]]:
        """What is delayed by now: its queue, and in how many seconds it is due. The first ``MOST_DELAYED`` of them."""
        store = self._client._sys_db
        query = (
            f"SELECT queue_name, delay_until_epoch_ms FROM {self._table(store.tables.workflow_status)} "  # noqa: S608
            f"WHERE status = '{DELAYED}' ORDER BY delay_until_epoch_ms LIMIT {MOST_DELAYED}"
        )
        with store.engine.connect() as connection:
            now = time.time()
            return [(row[0], max(0.0, row[1] / 1000 - now)) for row in connection.exec_driver_sql(query)]

    def sweep(self, before: datetime, limit: int) -> int:
        """Forget at most so many deliveries that ended before this instant; the answer is how many.

        ``list_workflows`` would look for them in the order of their beginning: with few of them it reads all.
        """
        store = self._client._sys_db
        query = (
            f"SELECT workflow_uuid FROM {self._table(store.tables.workflow_status)} "  # noqa: S608 - our own words only
            f"WHERE completed_at <= {int(before.timestamp() * 1000)} AND status IN ({_listed(FINISHED)}) "
            f"ORDER BY completed_at LIMIT {int(limit)}"
        )
        with store.engine.connect() as connection:
            old = [row[0] for row in connection.exec_driver_sql(query)]
        if old:
            self._client.delete_workflows(old)
        return len(old)

    def _unfinished_names(self, names: list[str]) -> Iterator[str]:
        for start in range(0, len(names), IDS_AT_ONCE):
            found = self._client.list_workflows(
                workflow_ids=names[start : start + IDS_AT_ONCE],
                status=list(UNFINISHED),
                app_version=self._version,
                load_input=False,
                load_output=False,
            )
            yield from (workflow.workflow_id for workflow in found)

    def _in_company(self) -> Iterator[DeliveryRef]:
        """Every unfinished delivery that shares its workflow with others: only its inputs tell."""
        store = self._client._sys_db
        status, given = self._table(store.tables.workflow_status), self._table(store.tables.workflow_input)
        # Two questions: DBOS has an index for what is queued or begun, another for what is delayed, and none for all.
        query = " UNION ALL ".join(
            f"SELECT i.inputs FROM {status} s JOIN {given} i ON i.workflow_uuid = s.workflow_uuid "  # noqa: S608
            f"WHERE s.status {which} AND s.application_version = '{self._version}' "
            f"AND replace(s.workflow_uuid, '{TOGETHER}', '') <> s.workflow_uuid"
            for which in (f"IN ({_listed(QUEUED)})", f"= '{DELAYED}'")
        )
        with store.engine.connect() as connection:
            for row in connection.exec_driver_sql(query):
                _queue, _priority, deliveries = json.loads(row[0])["positionalArgs"]
                yield from ((LinkId(link_id), Side(side), seq) for link_id, side, seq in deliveries)

    def _table(self, table: Any) -> str:
        return ".".join(filter(None, (self._client._sys_db.schema, table.name)))

    def _begun(self) -> list[tuple[str, str]]:
        """Every delivery that is begun and not ended, and by whom.

        ``list_workflows`` would ask with parameters, for which SQLite uses no partial index: every few seconds it would
        read a month of finished deliveries to find a handful of others.
        """
        store = self._client._sys_db
        query = (
            f"SELECT workflow_uuid, executor_id FROM {self._table(store.tables.workflow_status)} "  # noqa: S608 - our own words only
            f"WHERE status = 'PENDING' AND application_version = '{self._version}' AND executor_id IS NOT NULL"
        )
        with store.engine.connect() as connection:
            return [(row[0], row[1]) for row in connection.exec_driver_sql(query)]


# DBOS would do the same, but it sleeps for a whole second before it first looks.

POLL_SECONDS = 0.05
CALM_POLLS = 3
"""So often in a row nothing may be in hand: what a queue has claimed just now shows a moment later."""


def let_end(timeout_seconds: float) -> None:
    """Let nothing more begin, and wait so long at most for what has begun."""
    running = _get_dbos_instance()
    for event in running.background_thread_stop_events:
        event.set()
    calm, deadline = 0, time.monotonic() + timeout_seconds
    while calm < CALM_POLLS and time.monotonic() < deadline:
        calm = 0 if running._active_workflows_set.activeList() else calm + 1
        time.sleep(POLL_SECONDS)
