"""The engine on a real SQLite store: nothing submitted is lost, the urgent go first, a notification beats the poll."""

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.types import LinkId, Side
from app.engine.durable import DurableEngine, limiter
from app.ports import Order
from app.store.database import Database, open_bridge

QUEUE = "pagerduty-rest"


def order(seq: int, priority: int = 3, delay: float | None = None) -> Order:
    return Order(QUEUE, LinkId(1), Side.PAGERDUTY, seq, priority, delay)


class Recorder:
    """Notes which deliveries ran, in order."""

    def __init__(self, break_once: set[int]) -> None:
        self.ran: list[int] = []
        self._break_once = set(break_once)
        self._changed = threading.Condition()

    def __call__(self, link_id: LinkId, side: Side, seq: int, first_run: bool) -> str:
        if seq in self._break_once:
            self._break_once.discard(seq)
            raise RuntimeError("broken once")
        with self._changed:
            self.ran.append(seq)
            self._changed.notify_all()
        return "done"

    def wait_for(self, count: int, seconds: float = 10.0) -> list[int]:
        with self._changed:
            self._changed.wait_for(lambda: len(self.ran) >= count, seconds)
            return list(self.ran)


class Running:
    def __init__(
        self, data_dir: Path, per_minute: int = 0, poll_seconds: float | None = None, break_once: set[int] | None = None
    ) -> None:
        self.database = Database(open_bridge(data_dir, None))
        budgets = {QUEUE: per_minute, "truthvouch": 0}
        self.engine = DurableEngine(self.database, "main", budgets, poll_seconds)
        self.recorder = Recorder(break_once or set())
        self.engine.launch(self.recorder)

    def submit(self, *seqs: int, priority: int = 3, delay: float | None = None) -> None:
        with self.database.begin() as tx:
            self.engine.submit(tx, [order(seq, priority, delay) for seq in seqs])

    def close(self) -> None:
        self.engine.close(10)  # a connection in hand when the store is let go of would be nobody's
        self.database.engine.dispose()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.close()


def test_what_is_submitted_again_is_the_same_delivery(running: Running) -> None:
    running.submit(1)
    running.submit(1)
    running.submit(2)
    assert [1, 2] == sorted(running.recorder.wait_for(2))


def test_an_order_given_twice_takes_none_of_its_company_with_it(running: Running) -> None:
    running.submit(1, 2)
    running.submit(1, 3)
    assert {1, 2, 3} == set(running.recorder.wait_for(4))


def test_a_submission_rolled_back_never_runs(running: Running) -> None:
    def submit_and_break() -> None:
        with running.database.begin() as tx:
            running.engine.submit(tx, [order(1)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        submit_and_break()
    running.submit(2)
    assert [2] == running.recorder.wait_for(1)


def test_a_notification_starts_a_delivery_long_before_the_next_poll(tmp_path: Path) -> None:
    running = Running(tmp_path, poll_seconds=600)
    try:
        for seq in range(1, 4):
            running.submit(seq)
            assert seq in running.recorder.wait_for(seq)
        running.submit(9, delay=0.2)
        assert 9 in running.recorder.wait_for(4)
    finally:
        running.close()


def test_polls_do_not_ask_which_version_is_the_latest(running: Running) -> None:
    running.submit(1)
    running.recorder.wait_for(1)
    asked: list[str] = []

    @sa.event.listens_for(running.database.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    running.submit(2)
    running.recorder.wait_for(2)
    assert any("workflow_status" in statement for statement in asked)
    assert [] == [statement for statement in asked if "application_versions" in statement]


def test_the_urgent_go_first_under_a_budget(tmp_path: Path) -> None:
    running = Running(tmp_path, per_minute=600)
    try:
        with running.database.begin() as tx:
            running.engine.submit(tx, [order(seq, priority=6) for seq in range(60)])
            running.engine.submit(tx, [order(seq, priority=1) for seq in range(100, 105)])
        ran = running.recorder.wait_for(20)
        assert set(range(100, 105)) <= set(ran[:10])
    finally:
        running.close()


def test_a_budget_is_spent_in_short_windows_so_that_noise_cannot_use_up_a_minute() -> None:
    assert None is limiter(0)
    assert {"limit": 16, "period": 1.0} == limiter(960)
    assert {"limit": 10, "period": 5.0} == limiter(120)
    assert {"limit": 1, "period": 5.0} == limiter(1)


def test_a_delivery_cut_off_by_kill_9_runs_again_after_the_start(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from app.domain.model.types import LinkId, Side
        from app.engine.durable import DurableEngine
        from app.ports import Order
        from app.store.database import Database, open_bridge
        database = Database(open_bridge(Path(sys.argv[1]), None))
        engine = DurableEngine(database, "main", {"pagerduty-rest": 0, "truthvouch": 0})
        engine.launch(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        with database.begin() as tx:
            engine.submit(tx, [Order("pagerduty-rest", LinkId(1), Side.PAGERDUTY, seq, 1) for seq in (7, 8, 9)])
        signal.pause()
        """
    )
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=Path.cwd(), check=False, timeout=60)
    assert -signal.SIGKILL == died.returncode
    running = Running(tmp_path)
    try:
        assert [7, 8, 9] == sorted(running.recorder.wait_for(3))
    finally:
        running.close()


def test_a_delivery_that_breaks_holds_back_only_itself_and_ends_when_it_can(tmp_path: Path) -> None:
    running = Running(tmp_path, break_once={3})
    try:
        running.submit(*range(1, 8))
        assert {1, 2, 4, 5, 6, 7} <= set(running.recorder.wait_for(6))
        assert set(range(1, 8)) == set(running.recorder.wait_for(7))
    finally:
        running.close()
