"""What is made at once, past the queues: claimed with its submission, released when it has ended, never lost."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.domain.model.types import LinkId, Side
from app.engine.direct import DirectDeliveries, PriorityPool
from app.engine.durable import ROOM_ALONE, DurableEngine
from app.ports import DeliveryRef, Order
from app.store.claims import StoredClaims
from app.store.database import Database, open_bridge
from app.store.schema import claims
from tests.system.waiting import until

QUEUE = "pagerduty-rest"
URGENT, LATER = 1, 6


class Running:
    """An engine whose deliveries wait for ``let_go``."""

    def __init__(self, data_dir: Path, per_minute: int = 0) -> None:
        self.database, self.claims = Database(open_bridge(data_dir, None)), StoredClaims()
        claims.create(self.database.engine)
        self.engine = DurableEngine(
            self.database, "main", {QUEUE: per_minute, "truthvouch": 0}, poll_seconds=600, claims=self.claims
        )
        self.begun: list[int] = []
        self.ran: list[int] = []
        self.held = threading.Event()
        self.held.set()

    def launch(self) -> None:
        self.engine.launch(self._deliver)

    def _deliver(self, _link_id: LinkId, _side: Side, seq: int, _first_run: bool) -> str:
        self.begun.append(seq)
        self.held.wait(20)
        self.ran.append(seq)
        return "done"

    def submit(self, *seqs: int, priority: int = LATER, delay: float | None = None) -> None:
        with self.database.begin() as tx:
            self.engine.submit(tx, [order(seq, priority, delay) for seq in seqs])

    def claimed(self, executor_id: str = "main") -> list[int]:
        with self.database.read() as tx:
            return [seq for _, _, seq in self.claims.of(tx, executor_id)]

    def queued(self) -> int:
        with self.database.engine.connect() as reader:
            return int(reader.exec_driver_sql("SELECT count(*) FROM workflow_status").scalar_one())

    @property
    def direct_lost(self) -> Callable[[], list[DeliveryRef]]:
        assert self.engine.direct is not None
        return self.engine.direct.lost


def order(seq: int, priority: int = LATER, delay: float | None = None) -> Order:
    return Order(QUEUE, LinkId(1), Side.PAGERDUTY, seq, priority, delay)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    made.launch()
    yield made
    made.held.set()
    made.engine.close(5)
    made.database.engine.dispose()


def test_it_is_made_at_once_and_no_queue_hears_of_it(running: Running) -> None:
    running.submit(1, 2)
    until(lambda: sorted(running.ran) == [1, 2], "both are made")
    assert 0 == running.queued()


def test_its_claim_stands_while_it_is_made_and_goes_with_the_next_look(running: Running) -> None:
    running.held.clear()
    running.submit(1)
    assert [1] == running.claimed()
    assert [] == running.direct_lost() + running.direct_lost()
    running.held.set()
    until(lambda: running.ran == [1], "it is made")
    until(lambda: not running.direct_lost() and not running.claimed(), "its claim is released")


def test_the_next_claim_releases_what_has_ended(running: Running) -> None:
    running.submit(1)
    assert running.engine.direct is not None
    until(lambda: not running.engine.direct.in_hand(), "it has ended")  # type: ignore[union-attr]
    running.held.clear()
    running.submit(2)
    assert [2] == running.claimed()


def test_a_submission_that_is_rolled_back_is_neither_claimed_nor_made(running: Running) -> None:
    def submit_and_break() -> None:
        with running.database.begin() as tx:
            running.engine.submit(tx, [order(1)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        submit_and_break()
    running.submit(2)
    until(lambda: running.ran == [2], "only the other is made")
    assert 1 not in running.claimed()


def test_a_delayed_one_goes_through_the_queue(running: Running) -> None:
    running.submit(1, delay=0.05)
    assert 1 == running.queued()
    until(lambda: running.ran == [1], "it is made when it is due")


def test_the_urgent_go_first_among_those_that_wait(running: Running) -> None:
    running.held.clear()
    running.submit(*range(1, 9))  # one for each thread
    until(lambda: len(running.claimed()) == 8, "all threads are taken")
    running.submit(20)
    running.submit(21, priority=URGENT)
    running.held.set()
    until(lambda: len(running.ran) == 10, "all are made")
    assert running.ran.index(21) < running.ran.index(20)


def test_what_has_no_room_goes_through_the_queue_and_later_ones_behind_it(running: Running) -> None:
    running.held.clear()
    running.submit(*range(1, 9))
    running.submit(*range(10, 10 + ROOM_ALONE))
    assert 0 == running.queued()
    running.submit(1000, 1001)
    queued = running.queued()
    assert queued
    running.submit(1002)
    assert running.queued() > queued
    running.submit(1003, priority=URGENT)
    assert 1003 in running.claimed()
    running.held.set()
    until(lambda: {1000, 1001, 1002, 1003} <= set(running.ran), "all are made", 20)

    def goes_direct_again() -> bool:
        before = running.queued()
        running.submit(2000 + before + len(running.ran))
        return running.queued() == before

    until(goes_direct_again, "once the queue is empty they are made at once again")


def test_where_others_may_help_only_free_threads_are_room(tmp_path: Path) -> None:
    pool = PriorityPool(2, "pool")
    database = Database(open_bridge(tmp_path, None))
    claims.create(database.engine)
    direct = DirectDeliveries(database, StoredClaims(), "worker-0", {QUEUE: pool}, {QUEUE: None}, room=0)
    hold = threading.Event()

    def run(_delivery: DeliveryRef, _first_run: bool) -> str:
        return "done" if hold.wait(10) else ""

    direct.launch(run, lambda _tx, _queue: False)
    with database.begin() as tx:
        assert [2, 3] == [one.seq for one in direct.submit(tx, [order(1), order(2), order(3), order(4, URGENT)])]
    hold.set()
    until(lambda: pool.free == 2, "both have ended")

    def takes_again() -> bool:
        with database.begin() as tx:
            return not direct.submit(tx, [order(5)])

    until(takes_again, "the queue that took the others is found empty")
    until(lambda: pool.free == 2 and not direct.in_hand(), "it has ended")
    database.engine.dispose()


def test_a_queue_with_a_budget_makes_no_more_at_once_than_that(tmp_path: Path) -> None:
    running = Running(tmp_path, per_minute=60)  # five in five seconds
    running.launch()
    try:
        running.held.clear()
        running.submit(*range(1, 11))
        assert [1, 2, 3, 4, 5] == running.claimed()
        running.submit(11, priority=URGENT)
        assert 11 in running.claimed()
    finally:
        running.held.set()
        running.engine.close(5)
        running.database.engine.dispose()


def test_what_an_earlier_run_had_claimed_is_lost_at_the_first_look(tmp_path: Path) -> None:
    running = Running(tmp_path)
    with running.database.begin() as tx:
        running.claims.claim(tx, "main", [order(8), order(7, URGENT)])
        running.claims.claim(tx, "worker-1", [order(9)])
    running.launch()
    try:
        running.held.clear()
        running.submit(1)
        assert [7, 8] == [seq for _, _, seq in running.direct_lost()]
        with running.database.read() as tx:
            assert {"main", "worker-1"} == running.claims.claimants(tx)
    finally:
        running.held.set()
        running.engine.close(5)
        running.database.engine.dispose()


def test_a_claim_whose_commit_was_not_answered_is_lost_at_the_second_look(running: Running) -> None:
    with running.database.begin() as tx:
        running.claims.claim(tx, "main", [order(5)])
    assert [] == running.direct_lost()
    assert [5] == [seq for _, _, seq in running.direct_lost()]


def test_a_stop_begins_nothing_more_and_leaves_the_claims(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.launch()
    running.held.clear()
    running.submit(*range(1, 12))
    until(lambda: len(running.begun) == 8, "every thread has one")
    threading.Timer(0.3, running.held.set).start()
    running.engine.close(5)
    assert 8 == len(running.ran)
    assert set(range(1, 12)) - set(running.ran) <= set(running.claimed())
    running.database.engine.dispose()


def test_several_submissions_of_one_transaction_share_the_room(tmp_path: Path) -> None:
    """Every link of a merged incident is saved by itself."""
    pool = PriorityPool(2, "pool")
    database = Database(open_bridge(tmp_path, None))
    claims.create(database.engine)
    direct = DirectDeliveries(database, StoredClaims(), "worker-0", {QUEUE: pool}, {QUEUE: None}, room=0)
    direct.launch(lambda _delivery, _first_run: "done", lambda _tx, _queue: False)

    def breaks() -> None:
        with database.begin() as tx:
            assert [] == direct.submit(tx, [order(1)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks()
    with database.begin() as tx:
        rest = [direct.submit(tx, [order(seq)]) for seq in (1, 2, 3)]
    assert [[], [], [order(3)]] == rest
    until(lambda: not direct.in_hand(), "both have ended")
    database.engine.dispose()


def test_the_urgent_of_a_batch_take_the_free_threads(tmp_path: Path) -> None:
    pool = PriorityPool(1, "pool")
    database = Database(open_bridge(tmp_path, None))
    claims.create(database.engine)
    direct = DirectDeliveries(database, StoredClaims(), "worker-0", {QUEUE: pool}, {QUEUE: None}, room=0)
    direct.launch(lambda _delivery, _first_run: "done", lambda _tx, _queue: False)
    with database.begin() as tx:
        assert [1] == [one.seq for one in direct.submit(tx, [order(1), order(2, URGENT)])]
    until(lambda: not direct.in_hand(), "it has ended")
    database.engine.dispose()


def test_a_pool_that_gets_no_more_threads_goes_on_with_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = PriorityPool(3, "pool")
    pool.start()

    def refuses(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refuses)
        ended = [pool.submit(1, lambda: "done") for _ in range(5)]
        assert ["done"] * 5 == [one.result(5) for one in ended]
        assert 3 == pool.free
        with pytest.raises(RuntimeError):
            PriorityPool(1, "other").start()
    assert "done" == pool.submit(1, lambda: "done").result(5)


def test_the_thread_that_was_the_last_to_end_is_woken_first() -> None:
    """Where little comes, one thread makes it all and the others sleep on."""
    pool, names = PriorityPool(4, "pool"), list[str]()

    def call() -> str:
        names.append(threading.current_thread().name)
        return "done"

    for _ in range(10):
        pool.submit(1, call)
        until(lambda: len(pool._idle) == 4, "every thread waits")
    assert 10 == len(names)
    assert 1 == len(set(names[1:]))


def test_what_is_done_after_a_commit_keeps_nothing_from_being_done(running: Running) -> None:
    def raises() -> None:
        raise RuntimeError

    with running.database.begin() as tx:
        running.database.after_commit(tx, raises)
        running.engine.submit(tx, [order(1)])
    until(lambda: running.ran == [1], "it is made")
