"""Use case: a worker says which configuration it runs with, so that people can see whether all run with the same.

The worker's heart calls it with each beat. It compares two values then, and writes when they differ, and every
``REPEATED`` as a sign of life.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.ports import Tx
from app.ports.console import RunsWith, WorkerConfiguration, WorkerConfigurations

REPEATED = timedelta(seconds=10)
DEAD_AFTER = timedelta(seconds=30)
"""A worker that has published nothing for so long is gone: its row counts no more, and the next worker removes it."""


@dataclass
class PublishConfiguration:
    """Publishes what one worker runs with."""

    configurations: WorkerConfigurations
    worker: str
    host: str
    read: Callable[[], RunsWith]
    """Asked with each beat: cheap, and never waits for the store."""
    _published: WorkerConfiguration | None = None

    def __call__(self, tx: Tx, now: datetime) -> None:
        """Write it, where it has changed or was not written for a while."""
        runs_with, before = self.read(), self._published
        is_same = before is not None and before.runs_with == runs_with
        if before is not None and is_same and now - before.seen_at < REPEATED:
            return
        since = before.since if before is not None and is_same else now
        self._published = WorkerConfiguration(self.worker, self.host, since, now, runs_with)
        self.configurations.publish(tx, self._published, now - DEAD_AFTER)
