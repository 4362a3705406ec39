"""Deliveries that DBOS counts as begun and that nobody runs: their worker died, or the store's answer got lost.

DBOS takes up only what its own executor left at its own start; the rest is its paid product. What is needed of its
inside is in this file, and a test of each function notices should a later DBOS change it.
"""

from datetime import datetime

from dbos import DBOS, DBOSClient
from dbos._dbos import _get_dbos_instance
from dbos._utils import INTERNAL_QUEUE_NAME

FINISHED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


class Leftovers:
    """What is begun and not ended, by who began it. For a launched engine."""

    def __init__(self, client: DBOSClient, executor_id: str, version: str) -> None:
        self._client, self._executor_id, self._version = client, executor_id, version
        self._lost: frozenset[str] = frozenset()

    def owners(self) -> frozenset[str]:
        """Every executor that has something in hand, the living ones included."""
        return frozenset(executor_id for _, executor_id in self._begun())

    def take_over(self, executor_id: str) -> int:
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
        given_back = [
            running._sys_db.reenqueue_for_recovery(workflow_id, [self._executor_id], INTERNAL_QUEUE_NAME)
            for workflow_id in sorted(again)
        ]
        return sum(given_back)

    def sweep(self, before: datetime, limit: int) -> int:
        """Forget at most so many deliveries that ended before this instant; the answer is how many."""
        old = self._client.list_workflows(
            status=list(FINISHED),
            completed_before=before.isoformat(),
            limit=limit,
            load_input=False,
            load_output=False,
        )
        if old:
            self._client.delete_workflows([workflow.workflow_id for workflow in old])
        return len(old)

    def _begun(self) -> list[tuple[str, str]]:
        """Every delivery that is begun and not ended, and by whom.

        ``list_workflows`` would ask with parameters, for which SQLite uses no partial index: every few seconds it would
        read a month of finished deliveries to find a handful of others.
        """
        store = self._client._sys_db
        table = ".".join(filter(None, (store.schema, store.tables.workflow_status.name)))
        query = (
            f"SELECT workflow_uuid, executor_id FROM {table} "  # noqa: S608 - our own words only
            f"WHERE status = 'PENDING' AND application_version = '{self._version}' AND executor_id IS NOT NULL"
        )
        with store.engine.connect() as connection:
            return [(row[0], row[1]) for row in connection.exec_driver_sql(query)]
