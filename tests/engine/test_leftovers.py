"""What DBOS counts as begun and nobody runs, on both stores: these tests notice should a later DBOS work otherwise."""

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.types import LinkId, Side
from app.engine.durable import DurableEngine
from app.ports import Order
from app.store.database import Database, open_bridge
from tests.system.waiting import until

QUEUE = "pagerduty-rest"
DIES = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from app.domain.model.types import LinkId, Side
    from app.engine.durable import DurableEngine
    from app.ports import Order
    from app.store.database import Database, open_bridge
    database = Database(open_bridge(Path(sys.argv[1]), sys.argv[2] or None))
    engine = DurableEngine(database, "worker-7", {"pagerduty-rest": 0})
    engine.launch(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with database.begin() as tx:
        engine.submit(tx, [Order("pagerduty-rest", LinkId(1), Side.PAGERDUTY, seq, 1) for seq in (7, 8, 9)])
    signal.pause()
    """
)


class Running:
    """An engine whose deliveries note how they ran, and wait if told to."""

    def __init__(self, data_dir: Path, url: str | None) -> None:
        self.database = Database(open_bridge(data_dir, url))
        self.engine = DurableEngine(self.database, "worker-1", {QUEUE: 0})
        self.ran: list[tuple[int, bool]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.engine.launch(self._deliver)

    def _deliver(self, _link: LinkId, _side: Side, seq: int, first_run: bool) -> str:
        self.ran.append((seq, first_run))
        self.may_end.wait(20)
        return "done"

    def submit(self, *seqs: int, delay: float | None = None) -> None:
        for seq in seqs:
            with self.database.begin() as tx:
                self.engine.submit(tx, [Order(QUEUE, LinkId(1), Side.PAGERDUTY, seq, 3, delay)])

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """``{t}`` is DBOS's table of deliveries."""
        table = "workflow_status" if self.database.engine.dialect.name == "sqlite" else "dbos.workflow_status"
        with self.database.engine.begin() as connection:
            answer = connection.execute(sa.text(statement.format(t=table)))
            return [tuple(row) for row in answer] if answer.returns_rows else []

    def ended(self) -> int:
        return int(str(self.sql("SELECT count(*) FROM {t} WHERE status = 'SUCCESS'")[0][0]))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str | None]:
    return tmp_path, request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None


@pytest.fixture
def running(place: tuple[Path, str | None]) -> Iterator[Running]:
    made = Running(*place)
    yield made
    made.may_end.set()
    made.engine.close(5)
    made.database.engine.dispose()


def test_what_another_executor_left_runs_here_and_not_as_a_first_run(place: tuple[Path, str | None]) -> None:
    folder, url = place
    died = subprocess.run([sys.executable, "-c", DIES, str(folder), url or ""], cwd=Path.cwd(), timeout=60)
    assert -signal.SIGKILL == died.returncode
    running = Running(folder, url)
    try:
        assert frozenset({"worker-7"}) == running.engine.leftovers.owners()
        assert 1 == running.engine.leftovers.recover_dead_worker("worker-7")
        until(lambda: len(running.ran) >= 3, "all three run")
        assert [(7, False), (8, False), (9, False)] == sorted(running.ran)
        until(lambda: not running.engine.leftovers.owners(), "nothing is in hand")
        assert 0 == running.engine.leftovers.recover_dead_worker("worker-7")
    finally:
        running.engine.close(5)
        running.database.engine.dispose()


def test_a_claim_whose_answer_was_lost_is_picked_up_at_the_second_look(running: Running) -> None:
    running.submit(1, delay=3600)
    running.sql("UPDATE {t} SET status = 'PENDING', executor_id = 'worker-1', recovery_attempts = 1")
    leftovers = running.engine.leftovers
    assert [0, 1] == [leftovers.pick_up(), leftovers.pick_up()]
    until(lambda: running.ran, "it runs")
    until(running.ended, "it ends")
    assert [0, 0] == [leftovers.pick_up(), leftovers.pick_up()]
    assert [1] == [seq for seq, _ in running.ran]


def test_what_is_running_is_not_picked_up(running: Running) -> None:
    running.may_end.clear()
    running.submit(1)
    until(lambda: running.ran, "it runs")
    leftovers = running.engine.leftovers
    assert [0, 0, 0] == [leftovers.pick_up() for _ in range(3)]
    assert {"worker-1"} == set(leftovers.owners())


def test_looking_every_few_seconds_reads_only_what_is_in_hand(tmp_path: Path) -> None:
    """On SQLite, where DBOS's own listing reads every delivery of the last month."""
    running = Running(tmp_path, None)
    try:
        asked: list[str] = []
        here = threading.get_ident()  # the queues' own threads ask, too

        @sa.event.listens_for(running.database.engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            if threading.get_ident() == here:
                asked.append(statement)

        running.engine.leftovers.owners()
        [query] = [statement for statement in asked if "PENDING" in statement]
        [plan] = running.sql(f"EXPLAIN QUERY PLAN {query}")
        assert "idx_workflow_status_pending" in str(plan)
    finally:
        running.engine.close(5)
        running.database.engine.dispose()


def test_whether_a_queue_is_empty_is_seen_in_an_index(tmp_path: Path) -> None:
    """It is asked with the store's write lock in hand."""
    running = Running(tmp_path, None)
    try:
        asked: list[str] = []
        with running.database.begin() as tx:
            sa.event.listen(tx, "before_cursor_execute", lambda *fields: asked.append(fields[2]))
            assert not running.engine.leftovers.is_queued(tx, QUEUE)
        [plan] = running.sql(f"EXPLAIN QUERY PLAN {asked[0]}")
        assert "USING COVERING INDEX" in str(plan)
    finally:
        running.engine.close(5)
        running.database.engine.dispose()


def test_what_an_earlier_run_delayed_is_known_with_its_time(running: Running) -> None:
    running.submit(1, delay=30)
    [(queue, seconds)] = running.engine.leftovers.delayed()
    assert QUEUE == queue
    assert 25 < seconds <= 31


def test_what_is_queued_delayed_or_running_is_unfinished_also_in_company(running: Running) -> None:
    def ref(seq: int, link: int = 1, side: Side = Side.PAGERDUTY) -> tuple[LinkId, Side, int]:
        return LinkId(link), side, seq

    leftovers = running.engine.leftovers
    running.submit(1)
    until(lambda: running.ended() == 1, "the first ends")
    running.may_end.clear()
    running.submit(2)
    until(lambda: len(running.ran) == 2, "the second runs")
    running.submit(3, delay=3600)
    with running.database.begin() as tx:  # one workflow, named after its first
        orders = [Order(QUEUE, LinkId(link), Side.PAGERDUTY, 4, 3, 3600.0) for link in (1, 2, 3)]
        running.engine.submit(tx, orders)
    pending = {ref(2), ref(3), ref(4), ref(4, 2), ref(4, 3)}
    others = {ref(1), ref(5), ref(4, 4), ref(3, 2), ref(2, side=Side.TRUTHVOUCH)}
    assert pending == leftovers.unfinished(pending | others)
    assert {ref(3)} == leftovers.unfinished({ref(3)})
    assert frozenset() == leftovers.unfinished(set())
    running.sql("UPDATE {t} SET status = 'CANCELLED' WHERE status = 'DELAYED'")
    assert {ref(2)} == leftovers.unfinished(pending | others)


def test_only_what_ended_long_ago_is_swept_and_only_so_much_at_once(running: Running) -> None:
    running.submit(1, 2, 3)
    until(lambda: running.ended() == 3, "they end")
    running.submit(4, delay=3600)
    leftovers = running.engine.leftovers
    assert 0 == leftovers.sweep(datetime.now(UTC) - timedelta(days=31), 2)
    later = datetime.now(UTC) + timedelta(seconds=5)
    assert [2, 1, 0] == [leftovers.sweep(later, 2) for _ in range(3)]
    assert [("DELAYED",)] == running.sql("SELECT status FROM {t}")
