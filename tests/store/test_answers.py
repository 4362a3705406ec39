"""A request under an idempotency key: answered once, kept for a day, begun anew when whoever began it died."""

import threading
from datetime import timedelta

import pytest

from app.ports import KeyUse
from app.services.operator.once import KEPT, UNDER_WAY, Once
from app.store.answers import StoredAnswers
from tests.conftest import FakeClock
from tests.store.conftest import Stores


@pytest.fixture
def once(stores: Stores, clock: FakeClock) -> Once:
    return Once(stores.bridge, StoredAnswers(), clock)


def test_an_answer_is_made_once_and_kept_for_a_day(once: Once, clock: FakeClock):
    made: list[int] = []

    def make() -> tuple[int, bytes]:
        made.append(1)
        return 200, f"answer {len(made)}".encode()

    assert b"answer 1" == once("scope", "key", b"request", make).body
    clock.advance(KEPT.total_seconds())
    assert b"answer 1" == once("scope", "key", b"request", make).body
    assert b"answer 2" == once("scope", "other", b"request", make).body
    assert b"answer 3" == once("other", "key", b"request", make).body
    clock.advance(1)
    assert b"answer 4" == once("scope", "key", b"request", make).body


def test_another_request_under_the_key_is_told_so(once: Once):
    once("scope", "key", b"request", lambda: (200, b"answer"))
    assert KeyUse.OTHER_REQUEST is once("scope", "key", b"other", lambda: (200, b"never")).use


@pytest.mark.parametrize("status", [202, 500, 503])
def test_an_answer_that_settles_nothing_is_not_kept(once: Once, status: int):
    once("scope", "key", b"request", lambda: (status, b"later"))
    assert b"now" == once("scope", "key", b"request", lambda: (200, b"now")).body


def test_a_request_that_broke_may_be_made_again(once: Once):
    def broken() -> tuple[int, bytes]:
        raise RuntimeError("the disk is on fire")

    with pytest.raises(RuntimeError):
        once("scope", "key", b"request", broken)
    assert b"answer" == once("scope", "key", b"request", lambda: (200, b"answer")).body


def test_whoever_died_under_way_is_not_waited_for_for_ever(once: Once, clock: FakeClock):
    with once.transactions.begin() as tx:  # what a process leaves that is killed here
        assert once.answers.begin(tx, "n", "d", clock(), clock() - UNDER_WAY) is None
    with once.transactions.begin() as tx:
        under_way = once.answers.begin(tx, "n", "d", clock(), clock() - UNDER_WAY)
    assert under_way is not None
    assert KeyUse.UNDER_WAY is under_way.use
    later = clock() + UNDER_WAY + timedelta(seconds=1)
    with once.transactions.begin() as tx:
        assert once.answers.begin(tx, "n", "d", later, later - UNDER_WAY) is None


def test_of_many_at_once_one_makes_the_answer(once: Once):
    started, uses = threading.Barrier(6), list[KeyUse]()

    made: list[int] = []

    def make() -> tuple[int, bytes]:
        made.append(1)
        return 200, b"answer"

    def ask() -> None:
        started.wait()
        uses.append(once("scope", "key", b"request", make).use)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [1] == made
    assert {KeyUse.ANSWERED} <= set(uses) <= {KeyUse.ANSWERED, KeyUse.UNDER_WAY}
