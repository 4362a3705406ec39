"""Who may work: one on SQLite, one a seat on PostgreSQL, one leader."""

from pathlib import Path

from app.store.database import open_bridge
from app.store.locks import FileSeat, PostgresSeat
from tests.system.waiting import until


def test_one_worker_holds_the_seat_of_a_data_directory(tmp_path: Path) -> None:
    first, second = FileSeat(tmp_path), FileSeat(tmp_path)
    assert "main" == first.take()
    assert None is second.take()
    first.leave()
    assert "main" == second.take()
    second.leave()


def test_workers_on_postgresql_have_seats_of_their_own_and_one_leads(tmp_path: Path, postgres_url: str) -> None:
    engine = open_bridge(tmp_path, postgres_url)
    first, second, third = PostgresSeat(engine), PostgresSeat(engine), PostgresSeat(engine)
    assert ["worker-0", "worker-1"] == [first.take(), second.take()]
    assert [True, False, True] == [first.leads(), second.leads(), first.leads()]
    first.leave()
    until(second.leads, "the server has ended the session that led", 5)
    assert "worker-0" == third.take()
    for seat in (second, third):
        seat.leave()
    engine.dispose()
