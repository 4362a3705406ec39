"""Use case: a worker says which configuration it runs with, so that people can see whether all run with the same.

The worker's heart calls it with each beat. It compares two values then, and writes when they differ, and every
``REPEATED`` as a sign of life.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.ports import Tx
from app.ports.console import RunsWith, WorkerConfiguration, WorkerConfigurations

REPEATED = timedelta(seconds=10)
DEAD_AFTER = timedelta(minutes=5)
"""A worker whose row is older is gone, and counts no more. Its own clock dates the row and another one judges it, so
this is far more than ``REPEATED``: clocks may be some minutes apart. A worker that ends in order removes its own."""
REMOVED_AFTER = timedelta(minutes=10)
"""The next worker removes a row that is older than this by its own clock."""


@dataclass
class PublishConfiguration:
    """Publishes what one worker runs with."""

    configurations: WorkerConfigurations
    worker: str
    host: str
    _published: WorkerConfiguration | None = None

    def __call__(self, tx: Tx, now: datetime, runs_with: RunsWith) -> None:
        """Write it, where it has changed or was not written for a while."""
        before = self._published
        is_same = before is not None and before.runs_with == runs_with
        if before is not None and is_same and now - before.seen_at < REPEATED:
            return
        since = before.since if before is not None and is_same else now
        self._published = WorkerConfiguration(self.worker, self.host, since, now, runs_with)
        self.configurations.publish(tx, self._published, now - REMOVED_AFTER)

    def withdraw(self, tx: Tx) -> None:
        """The worker ends: what it ran with counts no more."""
        self.configurations.remove(tx, self.worker)
