"""Calls an hour, counted on both stores over restarts and processes."""

import threading
from datetime import timedelta

import pytest

from app.store.rate_limits import StoredHourlyQuota
from tests.fakes import START
from tests.store.conftest import Stores


def taken(stores: Stores, hourly_quota: StoredHourlyQuota, seconds: float) -> bool:
    with stores.bridge.begin() as tx:
        return hourly_quota.take(tx, START + timedelta(seconds=seconds))


@pytest.mark.parametrize("per_hour", [1, 2, 3, 10, 300])
def test_no_hour_ever_sees_more_and_none_much_less(stores: Stores, per_hour: int) -> None:
    hourly_quota = StoredHourlyQuota("calls", lambda: per_hour)
    step = 3600 / per_hour / 2
    times = [n * step for n in range(6 * per_hour) if taken(stores, hourly_quota, n * step)]
    busiest = max(sum(first <= at < first + 3600 for at in times) for first in times)
    assert busiest <= per_hour
    assert len(times) >= per_hour


def test_half_of_them_go_at_once_and_the_next_a_moment_later(stores: Stores) -> None:
    hourly_quota = StoredHourlyQuota("calls", lambda: 300)
    assert 150 == sum(taken(stores, hourly_quota, 0) for _ in range(200))
    assert [False, True, False] == [taken(stores, hourly_quota, seconds) for seconds in (20, 24, 24)]


def test_what_is_left_is_reported_without_taking(stores: Stores) -> None:
    hourly_quota = StoredHourlyQuota("calls", lambda: 10)
    taken(stores, hourly_quota, 0)
    with stores.bridge.read() as tx:
        assert [4, 5] == [hourly_quota.left(tx, START + timedelta(seconds=seconds)) for seconds in (0, 3600)]


def test_none_is_none(stores: Stores) -> None:
    assert not taken(stores, StoredHourlyQuota("calls", lambda: 0), 0)


def test_a_clock_that_was_set_back_silences_nobody_for_long(stores: Stores) -> None:
    hourly_quota = StoredHourlyQuota("calls", lambda: 10)
    for _ in range(5):
        assert taken(stores, hourly_quota, 10_000_000)
    assert not taken(stores, hourly_quota, 0)
    assert taken(stores, hourly_quota, 601)


def test_two_processes_share_one_quota(stores: Stores) -> None:
    got: list[bool] = []

    def spend() -> None:
        own = StoredHourlyQuota("calls", lambda: 20)
        got.extend(taken(stores, own, 0) for _ in range(10))

    taken(stores, StoredHourlyQuota("calls", lambda: 20), -3600)  # on PostgreSQL the first value has no row to lock yet
    threads = [threading.Thread(target=spend) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 10 == sum(got)
