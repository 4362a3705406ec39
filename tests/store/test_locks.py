"""Who may work: one on SQLite, one a lease on PostgreSQL, one leader."""

from pathlib import Path

from app.store.database import open_bridge
from app.store.worker_leases import FileLease, PostgresLease
from tests.system.waiting import until


def test_one_worker_holds_the_lease_of_a_data_directory(tmp_path: Path) -> None:
    first, second = FileLease(tmp_path), FileLease(tmp_path)
    assert "main" == first.acquire()
    assert None is second.acquire()
    first.release()
    assert "main" == second.acquire()
    second.release()


def test_workers_on_postgresql_have_leases_of_their_own_and_one_leads(
    tmp_path: Path, migrated_postgres_url: str
) -> None:
    engine = open_bridge(tmp_path, migrated_postgres_url)
    first, second, third = PostgresLease(engine), PostgresLease(engine), PostgresLease(engine)
    assert ["worker-0", "worker-1"] == [first.acquire(), second.acquire()]
    assert [True, False, True] == [first.leads(), second.leads(), first.leads()]
    first.release()
    until(second.leads, "the server has ended the session that led", 5)
    assert "worker-0" == third.acquire()
    for lease in (second, third):
        lease.release()
    engine.dispose()
