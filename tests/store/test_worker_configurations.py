"""What each worker runs with, as rows of either store, and what follows from them."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.ports import Tx, WorkerRules
from app.ports.console import RunsWith, Setting, WorkerConfiguration
from app.services.diagnostics.configuration import DEAD_AFTER, REMOVED_AFTER, REPEATED, PublishConfiguration
from app.store.database import Database, connection
from app.store.schema import worker_configurations
from app.store.worker_configurations import StoredConfigurations
from tests.conftest import FakeClock
from tests.shapes import health_of
from tests.store.conftest import Stores

OLD = RunsWith("v1", "1.0", (Setting("PAGERDUTY_API_KEY", "set", "for REST"),), ("notes are off",))
NEW = replace(OLD, rules="v2")
STORE = StoredConfigurations()


@pytest.fixture
def database(stores: Stores) -> Database:
    return stores.bridge


class Worker:
    """One that publishes with each beat of its heart."""

    def __init__(self, database: Database, clock: FakeClock, name: str, runs_with: RunsWith = OLD) -> None:
        self.database, self.clock, self.runs_with = database, clock, runs_with
        self.publish = PublishConfiguration(STORE, name, "a-host")

    def beat(self) -> None:
        with self.database.begin() as tx:
            self.publish(tx, self.clock(), self.runs_with)

    def end(self) -> None:
        with self.database.begin() as tx:
            self.publish.withdraw(tx)


def living(database: Database, clock: FakeClock) -> list[WorkerConfiguration]:
    with database.read() as tx:
        return list(STORE.all(tx, clock() - DEAD_AFTER))


def rows(database: Database) -> int:
    with database.read() as tx:
        return int(connection(tx).execute(sa.select(sa.func.count()).select_from(worker_configurations)).scalar_one())


def test_what_is_published_is_read_as_it_was(database: Database, clock: FakeClock) -> None:
    Worker(database, clock, "worker-2").beat()
    Worker(database, clock, "worker-1", NEW).beat()
    assert [("worker-1", NEW), ("worker-2", OLD)] == [(one.worker, one.runs_with) for one in living(database, clock)]


def test_it_is_written_when_it_changes_and_as_a_sign_of_life(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[WorkerConfiguration] = []
    publish = StoredConfigurations.publish

    def noting(self: StoredConfigurations, tx: Tx, one: WorkerConfiguration, dead_before: object) -> None:
        written.append(one)
        publish(self, tx, one, dead_before)  # type: ignore[arg-type]

    monkeypatch.setattr(StoredConfigurations, "publish", noting)
    worker, began = Worker(database, clock, "main"), clock()
    for _ in range(int(REPEATED.total_seconds()) + 1):
        worker.beat()
        clock.advance(1)
    assert [began, began] == [one.since for one in written], "once at the start, once as a sign of life"
    worker.runs_with = NEW
    worker.beat()
    assert ("v2", clock()) == (written[-1].runs_with.rules, written[-1].since)


def test_the_row_of_a_worker_that_is_gone_counts_no_more_and_goes(database: Database, clock: FakeClock) -> None:
    stays, gone = Worker(database, clock, "worker-1"), Worker(database, clock, "worker-2", NEW)
    gone.beat()
    clock.advance(DEAD_AFTER.total_seconds() + 1)
    assert [] == living(database, clock)
    clock.advance(REMOVED_AFTER.total_seconds() - DEAD_AFTER.total_seconds())
    stays.beat()
    assert (1, ["worker-1"]) == (rows(database), [one.worker for one in living(database, clock)])


@pytest.mark.parametrize("seconds", [40, 240])
def test_workers_whose_clocks_differ_by_minutes_count_all(database: Database, clock: FakeClock, seconds: int) -> None:
    behind = FakeClock()
    clock.advance(seconds)
    for _ in range(2):
        Worker(database, behind, "worker-1").beat()
        Worker(database, clock, "worker-2", NEW).beat()
        for web in (behind, clock):
            assert ["worker-1", "worker-2"] == [one.worker for one in living(database, web)]
        behind.advance(REPEATED.total_seconds())
        clock.advance(REPEATED.total_seconds())


def test_a_worker_that_ends_in_order_leaves_no_row(database: Database, clock: FakeClock) -> None:
    ends, stays = Worker(database, clock, "worker-1"), Worker(database, clock, "worker-2", NEW)
    ends.beat()
    stays.beat()
    ends.end()
    assert ["worker-2"] == [one.worker for one in living(database, clock)]


def test_health_reads_by_what_rules_each_decides(stores: Stores, database: Database, clock: FakeClock) -> None:
    began = clock()
    Worker(database, clock, "worker-1").beat()
    clock.advance(5)
    Worker(database, clock, "worker-2", NEW).beat()
    found = {WorkerRules("v1", began, began), WorkerRules("v2", clock(), clock())}
    assert found == set(health_of(database, stores.inbox).read().workers)
