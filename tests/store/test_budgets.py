"""The budget of a key on both stores: one for everybody, paced, paused for all."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from app.ports import BudgetLeft, StoreUnavailable, utc_now
from app.remote.replies import LOW_RESERVE, MICROSECONDS, Account, ask, pace
from app.store.budgets_left import budgets_left
from app.store.database import open_bridge
from app.store.rate_limits import Budgets, OwnBudget, budget
from tests.shapes import plain_of
from tests.store.conftest import Stores


@dataclass
class Slept:
    """Notes how long somebody would have slept."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def slept() -> Slept:
    return Slept()


def rows(stores: Stores) -> dict[str, Any]:
    with stores.bridge.engine.connect() as connection:
        return {row.name: row for row in connection.execute(sa.text("SELECT * FROM budgets"))}


def test_a_pause_is_everybodys_and_ends_neither_early_nor_by_a_shorter_one(stores: Stores, slept: Slept) -> None:
    one = budget(stores.bridge.engine, "key", 960, slept)
    one.pause(30)
    one.pause(2)
    assert 29 < one.take() <= 30
    later = budget(stores.bridge.engine, "key", 960, slept)  # another worker; on SQLite the next one
    assert 28 < later.take() <= 30.1
    assert 0.0 == budget(stores.bridge.engine, "other key", 960, slept).take()


def test_a_pause_of_a_part_rests_nothing_else(stores: Stores, slept: Slept) -> None:
    key = budget(stores.bridge.engine, "key", 960, slept)
    key.pause(30, "creates")
    assert (True, 0.0) == (29 < key.take(part="creates") <= 30, key.take())


def test_no_partner_parks_a_key(stores: Stores, slept: Slept) -> None:
    key = budget(stores.bridge.engine, "key", 0, slept)
    key.pause(1e12)
    assert 299 < key.take() <= 300


def test_without_a_budget_of_our_own_only_the_partners_word_counts(stores: Stores, slept: Slept) -> None:
    key = budget(stores.bridge.engine, "key", 0, slept)
    assert {0.0} == {key.take() for _ in range(200)}
    key.pause(30, "creates")
    assert (0.0, True) == (key.take(), key.take(part="creates") > 29)
    assert [] == slept.seconds


def test_short_waits_are_sat_out_and_long_ones_handed_back(stores: Stores, slept: Slept) -> None:
    key = budget(stores.bridge.engine, "key", 960, slept)
    waits = [key.take() for _ in range(60)]
    assert slept.seconds
    assert all(0 < seconds <= 1.0 for seconds in slept.seconds)
    assert any(waits)
    assert all(0.0 <= wait < 3.0 for wait in waits)


def test_whoever_leaves_a_reserve_gets_what_is_left_over(stores: Stores, slept: Slept) -> None:
    key = budget(stores.bridge.engine, "key", 120, slept)
    waits = [key.take(reserve=0.5) for _ in range(40)]
    assert waits[-1] > 0.0
    assert 0.0 == key.take()


# ------------------------------------------------------------------------------------------------- SQLite


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
def test_a_restart_on_sqlite_brings_no_second_burst(stores: Stores, slept: Slept) -> None:
    own = OwnBudget(stores.bridge.engine, "key", pace(960), slept, lambda: 100.0)
    taken = [own.take() for _ in range(40)].count(0.0)
    assert 0 < taken == len(slept.seconds), "nothing goes at once"


@dataclass
class Process:
    """A budget of one process, on a clock of its own."""

    engine: sa.Engine
    now: float = 100.0

    def __post_init__(self) -> None:
        self.budget = OwnBudget(self.engine, "key", pace(960), Slept(), lambda: self.now)

    def waits(self, part: str = "") -> float:
        """Seconds until it may call; its own burst is paid for by then."""
        self.now += 2.0
        return self.budget.take(part=part)


@pytest.fixture
def two(stores: Stores) -> tuple[Process, Process]:
    """The worker and a command, both at work."""
    worker, command = Process(stores.bridge.engine), Process(stores.bridge.engine, 7000.0)
    assert [0.0, 0.0] == [worker.waits("creates"), command.waits("creates")]
    return worker, command


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
def test_a_pause_that_one_process_learns_is_the_others_within_a_second(two: tuple[Process, Process]) -> None:
    for learns, other in (two, two[::-1]):
        learns.budget.pause(30)
        assert 26 < other.waits() <= 30
        learns.now += 60
        other.now += 60
        assert [0.0, 0.0] == [learns.waits(), other.waits()]


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
def test_a_part_rests_in_both_and_nothing_else_does(two: tuple[Process, Process]) -> None:
    worker, command = two
    worker.budget.pause(30, "creates")
    assert (True, 0.0) == (26 < command.waits("creates") <= 30, command.waits())


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
def test_a_shorter_word_of_another_process_ends_no_longer_one(two: tuple[Process, Process], stores: Stores) -> None:
    worker, command = two
    worker.budget.pause(200)
    command.budget.pause(1)
    assert 190 < Process(stores.bridge.engine).waits() <= 200
    assert 190 < command.waits() <= 200


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
def test_a_clock_that_was_set_back_parks_no_key(two: tuple[Process, Process], stores: Stores) -> None:
    worker, _ = two
    with stores.bridge.engine.begin() as connection:
        far = 10**18  # as a clock far ahead wrote it
        connection.execute(sa.text("INSERT INTO budgets VALUES ('key', 0, :far)"), {"far": far})
    assert 290 < worker.waits() <= 300
    worker.now += 400
    assert 0.0 == worker.waits()
    worker.budget.pause(5)
    assert 0.0 < Process(stores.bridge.engine).waits() <= 300


# ------------------------------------------------------------------------------------------------- PostgreSQL


@pytest.fixture
def shared(migrated_postgres_url: str, tmp_path: Any) -> Iterator[sa.Engine]:
    engine = open_bridge(tmp_path, migrated_postgres_url)
    yield engine
    engine.dispose()


@pytest.mark.postgres
def test_workers_share_one_budget(shared: sa.Engine, slept: Slept) -> None:
    workers = [budget(shared, "key", 960, slept) for _ in range(2)]
    granted: list[float] = []

    def work(key: Any) -> None:
        granted.extend(wait for wait in (key.take() for _ in range(100)) if not wait)

    threads = [threading.Thread(target=work, args=(key,)) for key in workers for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # A burst, a second of waiting and what the test itself takes; without sharing it would be eight times that.
    assert 16 <= len(granted) <= 16 + 16 + 16 * 15
    assert len(slept.seconds) <= len(granted)


NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
AHEAD = (-5.0, 0.0, 0.5, 0.9, 1.2, 1.7, 2.5, 9e9)
RESTS = (None, -3.0, 0.4, 5.0, 9e9)


@pytest.mark.postgres
def test_the_statement_is_the_function(shared: sa.Engine) -> None:
    for number, (ahead, rests, reserve) in enumerate(product(AHEAD, RESTS, (0.0, LOW_RESERVE))):
        account = Account(int(ahead * MICROSECONDS), int((rests or 0.0) * MICROSECONDS))
        slept, name = Slept(), f"key {number}"
        insert = sa.text(f"INSERT INTO budgets VALUES (:name, {NOW} + :ahead, {NOW} + :rests)")
        began = time.monotonic()
        with shared.begin() as connection:
            answer = {
                "name": name,
                "ahead": account.spent_until,
                "rests": None if rests is None else account.paused_until,
            }
            connection.execute(insert, answer)
        wait = budget(shared, name, 960, slept).take(reserve)
        expected = ask(pace(960), account, 0, reserve)
        case = f"ahead {ahead}, rests {rests}, reserve {reserve}"
        assert expected.granted == (wait == 0.0), case
        waited = (slept.seconds or [0.0])[0] if expected.granted else wait
        assert waited == pytest.approx(expected.wait / MICROSECONDS, abs=_passed(began)), case
        if expected.granted:
            left = sa.text(f"SELECT spent_until - {NOW} FROM budgets WHERE name = :name")
            with shared.connect() as connection:
                spent = connection.execute(left, {"name": name}).scalar_one()
            assert spent == pytest.approx(expected.account.spent_until, abs=_passed(began) * MICROSECONDS), case


def _passed(began: float) -> float:
    """Seconds that the server's clock may have gone on since then."""
    return 0.05 + time.monotonic() - began


@pytest.mark.postgres
def test_a_store_that_is_gone_says_so(slept: Slept, tmp_path: Any) -> None:
    gone = open_bridge(tmp_path, "postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        budget(gone, "key", 960, slept).take()


def left(stores: Stores, **per_minute: int) -> dict[tuple[str, str], BudgetLeft]:
    return {(one.key, one.part): one for one in budgets_left(plain_of(stores.bridge.engine), per_minute, utc_now())}


def test_what_is_left_of_a_budget_can_be_read_by_everybody(stores: Stores) -> None:
    made = Budgets(stores.bridge.engine)
    assert made("key", 960) is made("key", 960)
    assert 16 == left(stores, key=960)["key", ""].calls  # nobody has called
    for _ in range(3):
        made("key", 960).take()
    with stores.bridge.begin() as tx:
        made.publish(tx)
    assert (left(stores, key=960)["key", ""].calls or 0) < 16
    assert {("key", ""), ("other", "")} == left(stores, key=960, other=0).keys()
    assert left(stores, other=0)["other", ""] == BudgetLeft("other", None)


def test_a_pause_shows_for_the_key_and_for_its_part(stores: Stores) -> None:
    key = Budgets(stores.bridge.engine)("key", 960)
    key.pause(30, "creates")
    found = left(stores, key=960)
    assert (0.0, True) == (found["key", ""].pause_seconds, 28 < found["key", "creates"].pause_seconds <= 30)
    assert None is found["key", "creates"].calls
    key.pause(20)
    assert 18 < left(stores, key=960)["key", ""].pause_seconds <= 20
    assert {} == left(stores)


def test_what_did_not_change_is_not_written_again(stores: Stores) -> None:
    """Once a second, beside the worker's heartbeat."""
    made = Budgets(stores.bridge.engine)
    made("key", 960).take()
    for _ in range(2):
        with stores.bridge.begin() as tx:
            made.publish(tx)
        if stores.bridge.engine.dialect.name == "sqlite":
            with stores.bridge.begin() as tx:
                tx.execute(sa.text("DELETE FROM budgets"))  # type: ignore[attr-defined]
    own = stores.bridge.engine.dialect.name == "sqlite"
    assert (set() if own else {"key"}) == rows(stores).keys()
