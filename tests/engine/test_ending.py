"""The engine's end: what is in hand ends first, for so long; nothing new begins; and nobody waits for nothing."""

import threading
from pathlib import Path

import pytest

from app.domain.model.types import LinkId, Side
from app.engine import recovery as ending
from app.engine.durable import DurableEngine
from app.ports import Order
from app.store.database import Database, open_bridge
from tests.system.waiting import until

QUEUE = "pagerduty-rest"


class Slow:
    """A delivery that ends when it is let."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.ended: list[int] = []

    def __call__(self, link_id: LinkId, side: Side, seq: int, first_run: bool) -> str:
        self.began.set()
        self.may_end.wait(20)
        self.ended.append(seq)
        return "done"


def launched(folder: Path, slow: Slow) -> tuple[DurableEngine, Database]:
    database = Database(open_bridge(folder, None))
    engine = DurableEngine(database, "main", {QUEUE: 0})
    engine.launch(slow)
    return engine, database


def submit(engine: DurableEngine, database: Database, seq: int) -> None:
    with database.begin() as tx:
        engine.submit(tx, [Order(QUEUE, LinkId(1), Side.PAGERDUTY, seq, 1)])


def test_what_is_in_hand_ends_before_the_engine_does(tmp_path: Path) -> None:
    slow = Slow()
    engine, database = launched(tmp_path, slow)
    submit(engine, database, 1)
    assert slow.began.wait(10)
    threading.Timer(2.0, slow.may_end.set).start()
    engine.close(10)
    database.engine.dispose()
    assert [1] == slow.ended
    assert [2] == deliveries_of_a_second_start(tmp_path), "and it is known to have ended"


def deliveries_of_a_second_start(folder: Path) -> list[int]:
    """What runs then, beside one more."""
    again = Slow()
    again.may_end.set()
    engine, database = launched(folder, again)
    submit(engine, database, 2)
    until(lambda: 2 in again.ended, "the second delivery")
    engine.close(5)
    database.engine.dispose()
    return again.ended


def test_what_takes_longer_than_the_timeout_is_left_for_the_next_start(tmp_path: Path) -> None:
    slow = Slow()
    engine, database = launched(tmp_path, slow)
    submit(engine, database, 1)
    assert slow.began.wait(10)
    engine.close(0)
    assert [] == slow.ended
    slow.may_end.set()
    database.engine.dispose()


def test_where_nothing_is_in_hand_a_few_looks_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, database = launched(tmp_path, Slow())
    slept: list[float] = []
    monkeypatch.setattr("app.engine.recovery.time.sleep", slept.append)
    ending.let_end(10)
    monkeypatch.undo()
    assert len(slept) <= ending.CALM_POLLS
    engine.close(0)
    database.engine.dispose()


def test_an_engine_that_was_never_launched_can_be_closed(tmp_path: Path) -> None:
    database = Database(open_bridge(tmp_path, None))
    DurableEngine(database, "main", {QUEUE: 0}).close(5)
    database.engine.dispose()
