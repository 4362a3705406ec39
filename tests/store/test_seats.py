"""The seats of all workers: who sits there, who is gone, and how one that hangs is made to go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.ports import SeatLost
from app.store.database import Database, open_bridge, open_inbox
from app.store.locks import PostgresSeat
from app.store.migrate import migrate
from app.store.seats import PostgresSeats
from tests.system.waiting import until

pytestmark = pytest.mark.postgres


class Process:
    """What one worker process holds of the store."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.seat = PostgresSeat(engine)

    def end(self) -> None:
        self.seat.leave()
        self.engine.dispose()


@pytest.fixture
def processes(tmp_path: Path, postgres_url: str) -> Iterator[list[Process]]:
    made = [Process(open_bridge(tmp_path, postgres_url)) for _ in range(2)]
    inbox = open_inbox(tmp_path, postgres_url)
    migrate(made[0].engine, inbox, tmp_path)
    inbox.dispose()
    yield made
    for process in made:
        process.end()


def test_a_taken_seat_is_not_vacant_and_one_that_was_left_is(processes: list[Process]) -> None:
    first, second = processes
    assert "worker-0" == first.seat.take()
    seats = PostgresSeats(second.engine)
    with seats.vacant("worker-0") as vacant:
        assert not vacant
    first.seat.leave()
    until(lambda: not seats.holders(), "its session has ended")
    with seats.vacant("worker-0") as vacant:
        assert vacant


def test_nobody_sits_down_on_a_seat_whose_work_is_being_taken_over(processes: list[Process]) -> None:
    first, second = processes
    seats = PostgresSeats(second.engine)
    with seats.vacant("worker-0") as vacant:
        assert vacant
        assert "worker-1" == first.seat.take()
    until(lambda: "worker-0" not in seats.holders(), "the lock is gone with the block")


@pytest.mark.parametrize("name", ["main", "worker-", "worker-x", "local"])
def test_what_is_no_seat_is_never_vacant(processes: list[Process], name: str) -> None:
    with PostgresSeats(processes[0].engine).vacant(name) as vacant:
        assert not vacant


def test_a_holder_shows_its_sign_of_life(processes: list[Process]) -> None:
    first, second = processes
    first.seat.take()
    seats = PostgresSeats(second.engine)
    [(pid, seen)] = seats.holders().values()
    assert None is seen
    first.seat.beat()
    assert {"worker-0"} == set(seats.holders())
    again, seen = seats.holders()["worker-0"]
    assert pid == again
    assert seen
    seats.forget("worker-0")
    assert (pid, None) == seats.holders()["worker-0"]


def test_whoever_is_ended_loses_its_seat_and_every_lock_it_held(processes: list[Process]) -> None:
    hanging, healthy = processes
    hanging.seat.take()
    hanging.seat.beat()
    assert "worker-1" == healthy.seat.take()
    healthy.seat.beat()
    seats = PostgresSeats(healthy.engine)
    pid, _ = seats.holders()["worker-0"]
    in_hand = hanging.engine.connect()
    in_hand.execute(sa.text("SELECT * FROM marks FOR UPDATE"))
    assert 2 <= seats.end("worker-0", pid)
    until(lambda: "worker-0" not in seats.holders(), "its seat is free")
    with Database(healthy.engine).begin() as tx:
        assert isinstance(tx, sa.Connection)
        tx.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
        tx.execute(sa.text("SELECT * FROM marks FOR UPDATE"))
    with pytest.raises(SeatLost):
        hanging.seat.leads()
    assert healthy.seat.leads()
    with pytest.raises(sa.exc.OperationalError):
        in_hand.execute(sa.text("SELECT 1"))
    in_hand.invalidate()
    in_hand.close()


def test_whoever_holds_that_seat_no_more_is_left_alone(processes: list[Process]) -> None:
    first, second = processes
    first.seat.take()
    second.seat.take()
    seats = PostgresSeats(second.engine)
    pid, _ = seats.holders()["worker-0"]
    assert 0 == seats.end("worker-1", pid)
    assert first.seat.leads()
