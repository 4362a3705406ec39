"""The leases of all workers: who holds one, who is gone, and how one that hangs is made to go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.ports import LeaseLost
from app.store.database import Database, open_bridge
from app.store.worker_leases import PostgresLease, PostgresLeases
from tests.system.waiting import until

pytestmark = pytest.mark.postgres


class Process:
    """What one worker process has of the store."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.lease = PostgresLease(engine)

    def end(self) -> None:
        self.lease.release()
        self.engine.dispose()


@pytest.fixture
def processes(tmp_path: Path, migrated_postgres_url: str) -> Iterator[list[Process]]:
    made = [Process(open_bridge(tmp_path, migrated_postgres_url)) for _ in range(2)]
    yield made
    for process in made:
        process.end()


def test_a_taken_lease_is_not_vacant_and_one_that_was_left_is(processes: list[Process]) -> None:
    first, second = processes
    assert "worker-0" == first.lease.acquire()
    leases = PostgresLeases(second.engine)
    with leases.vacant("worker-0") as vacant:
        assert not vacant
    first.lease.release()
    until(lambda: not leases.holders(), "its session has ended")
    with leases.vacant("worker-0") as vacant:
        assert vacant


def test_nobody_acquires_a_lease_whose_work_is_being_recovered(processes: list[Process]) -> None:
    first, second = processes
    leases = PostgresLeases(second.engine)
    with leases.vacant("worker-0") as vacant:
        assert vacant
        assert "worker-1" == first.lease.acquire()
    until(lambda: "worker-0" not in leases.holders(), "the lock is gone with the block")


@pytest.mark.parametrize("name", ["main", "worker-", "worker-x", "local"])
def test_what_is_no_lease_is_never_vacant(processes: list[Process], name: str) -> None:
    with PostgresLeases(processes[0].engine).vacant(name) as vacant:
        assert not vacant


def test_a_holder_shows_its_sign_of_life(processes: list[Process]) -> None:
    first, second = processes
    first.lease.acquire()
    leases = PostgresLeases(second.engine)
    [(pid, seen)] = leases.holders().values()
    assert None is seen
    first.lease.beat()
    assert {"worker-0"} == set(leases.holders())
    again, seen = leases.holders()["worker-0"]
    assert pid == again
    assert seen
    leases.forget("worker-0")
    assert (pid, None) == leases.holders()["worker-0"]


def test_whoever_is_ended_loses_its_lease_and_every_lock_it_held(processes: list[Process]) -> None:
    hanging, healthy = processes
    hanging.lease.acquire()
    hanging.lease.beat()
    assert "worker-1" == healthy.lease.acquire()
    healthy.lease.beat()
    leases = PostgresLeases(healthy.engine)
    pid, _ = leases.holders()["worker-0"]
    in_hand = hanging.engine.connect()
    in_hand.execute(sa.text("SELECT * FROM marks FOR UPDATE"))
    assert 2 <= leases.end("worker-0", pid)
    until(lambda: "worker-0" not in leases.holders(), "its lease is free")
    with Database(healthy.engine).begin() as tx:
        assert isinstance(tx, sa.Connection)
        tx.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
        tx.execute(sa.text("SELECT * FROM marks FOR UPDATE"))
    with pytest.raises(LeaseLost):
        hanging.lease.leads()
    assert healthy.lease.leads()
    with pytest.raises(sa.exc.OperationalError):
        in_hand.execute(sa.text("SELECT 1"))
    in_hand.invalidate()
    in_hand.close()


def test_a_session_that_lives_is_asked_about_once_a_second_and_one_that_ended_is_noticed_at_once(
    processes: list[Process],
) -> None:
    first, second = processes
    first.lease.acquire()
    assert first.lease.leads()
    asked: list[str] = []
    sa.event.listen(first.engine, "before_cursor_execute", lambda *fields: asked.append(fields[2]))
    assert all(first.lease.leads() for _ in range(50))
    assert len(asked) < 5
    pid, _ = PostgresLeases(second.engine).holders()["worker-0"]
    with second.engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
    with pytest.raises(LeaseLost):
        first.lease.leads()


def test_whoever_holds_that_lease_no_more_is_left_alone(processes: list[Process]) -> None:
    first, second = processes
    first.lease.acquire()
    second.lease.acquire()
    leases = PostgresLeases(second.engine)
    pid, _ = leases.holders()["worker-0"]
    assert 0 == leases.end("worker-1", pid)
    assert first.lease.leads()
