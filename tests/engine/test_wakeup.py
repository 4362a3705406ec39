"""An idle engine asks one question a second, and starts what nobody notified of all the same."""

import re
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.engine.wakeup import Due, QueueWakeup
from app.store.database import Database, open_bridge
from tests.engine.test_durable import Running as Polling
from tests.engine.test_leftovers import QUEUE, Running, place, running
from tests.system.waiting import until

__all__ = ["place", "running"]

LOOKS = 40


def test_what_somebody_put_into_a_queue_without_a_word_starts_all_the_same(running: Running) -> None:
    running.submit(1, delay=3600)
    running.sql("UPDATE {t} SET status = 'ENQUEUED', delay_until_epoch_ms = NULL")
    until(lambda: running.ran, "it runs", 10)


def test_what_another_worker_delayed_starts_when_it_is_due(running: Running) -> None:
    running.submit(1, delay=3600)
    running.sql("UPDATE {t} SET delay_until_epoch_ms = 1")
    until(lambda: running.ran, "it runs", 10)


def test_who_waits_for_no_queue_of_ours_waits_as_long_as_asked() -> None:
    """DBOS restarts the thread of a queue that has died within a second."""
    stop = threading.Event()
    QueueWakeup([stop], ["ours"])
    began = time.monotonic()
    assert not stop.wait(timeout=0.05)
    assert time.monotonic() - began < 10


def test_idle_queues_are_looked_at_in_one_question(tmp_path: Path) -> None:
    """DBOS's own threads asked twenty in the meantime."""
    asked: Counter[str] = Counter()
    looked, looks = threading.Event(), "delay_until_epoch_ms <= N"
    polling = Polling(tmp_path, poll_seconds=0.05)
    try:

        @sa.event.listens_for(polling.database.engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            asked[re.sub(r"\d+", "N", statement)] += 1
            if max(asked.values()) >= LOOKS:
                looked.set()

        assert looked.wait(30)
        [(question, _), *others] = asked.most_common()
        assert looks in question
        assert 2 >= max([0, *(count for _, count in others)])  # what was asked when it started
    finally:
        polling.close()


def test_the_question_is_answered_by_indexes(tmp_path: Path) -> None:
    running = Running(tmp_path, None)
    try:
        asked: list[str] = []
        here = threading.get_ident()

        @sa.event.listens_for(running.database.engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            if threading.get_ident() == here:
                asked.append(statement)

        running.may_end.clear()
        running.submit(1)
        until(lambda: running.ran, "it runs")
        asked.clear()
        assert (frozenset(), False) == running.engine.leftovers.startable([QUEUE, "truthvouch"])
        steps = [str(row[-1]) for row in running.sql(f"EXPLAIN QUERY PLAN {asked[0]}")]
        read = [step for step in steps if "workflow_status" in step]
        assert 3 == len(read)
        assert all(step.startswith("SEARCH") and "INDEX idx_workflow_status_" in step for step in read)
    finally:
        running.may_end.set()
        running.engine.close(5)
        running.database.engine.dispose()


def test_a_store_that_does_not_answer_ends_no_look(tmp_path: Path) -> None:
    answers = iter([OSError("gone"), (["q"], False)])
    notified = threading.Event()

    def startable() -> tuple[list[str], bool]:
        answer = next(answers, ([], False))
        if isinstance(answer, OSError):
            raise answer
        return answer  # type: ignore[return-value]

    due = Due(lambda: None, lambda _queue: notified.set(), startable, 0.01)
    assert notified.wait(20)
    due.stop()


@pytest.mark.postgres
def test_reading_opens_no_transaction_on_postgresql(migrated_postgres_url: str, tmp_path: Path) -> None:
    database = Database(open_bridge(tmp_path, migrated_postgres_url))
    with database.read() as tx, database.engine.connect() as other:
        assert isinstance(tx, sa.Connection)
        pid = tx.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        state = sa.text("SELECT state FROM pg_stat_activity WHERE pid = :pid")
        assert "idle" == other.execute(state, {"pid": pid}).scalar_one()
    database.engine.dispose()
