"""What each worker runs with, as it says itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.ports import Tx
from app.ports.console import RunsWith, Setting, WorkerConfiguration
from app.store.database import connection, upsert
from app.store.schema import worker_configurations

_workers = worker_configurations.c


class StoredConfigurations:
    """Implements ``ports.console.WorkerConfigurations``. There are as many rows as workers, at most one for a lease."""

    def publish(self, tx: Tx, one: WorkerConfiguration, dead_before: datetime) -> None:
        connection(tx).execute(sa.delete(worker_configurations).where(_workers.seen_at < dead_before))
        values = {"host": one.host, "rules": one.runs_with.rules, "since": one.since, "seen_at": one.seen_at}
        upsert(
            connection(tx), worker_configurations, {"worker": one.worker},
            values | {"content": json.dumps(asdict(one.runs_with))},
        )  # fmt: skip

    def remove(self, tx: Tx, worker: str) -> None:
        connection(tx).execute(sa.delete(worker_configurations).where(_workers.worker == worker))

    def all(self, tx: Tx, since: datetime) -> Sequence[WorkerConfiguration]:
        query = sa.select(worker_configurations).where(_workers.seen_at >= since).order_by(_workers.worker)
        return [
            WorkerConfiguration(row.worker, row.host, row.since, row.seen_at, _runs_with(json.loads(row.content)))
            for row in connection(tx).execute(query)
        ]


def _runs_with(content: Mapping[str, Any]) -> RunsWith:
    """As far as this version knows it: a newer worker may say more."""
    settings = tuple(Setting(one["name"], one["value"], one.get("meaning", "")) for one in content.get("settings", ()))
    return RunsWith(content.get("rules", ""), content.get("program", ""), settings, tuple(content.get("faults", ())))
