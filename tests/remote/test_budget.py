"""Our own pace: no minute holds more calls than the budget, whoever asks in whatever order, and nobody is parked."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.remote.replies import (
    LONGEST_PAUSE,
    LOW_RESERVE,
    MAX_WAIT,
    MICROSECONDS,
    Account,
    ask,
    pace,
    paused,
    unsaid_pause,
    used_up,
)

MINUTE = 60 * MICROSECONDS
PER_MINUTE = st.one_of(st.integers(1, 40), st.sampled_from([60, 120, 960, 5_000]))
RESERVES = st.sampled_from([0.0, 0.0, LOW_RESERVE, 0.5])


def calls(per_minute: int, asks: list[tuple[int, float]], account: Account | None = None) -> list[int]:
    """When calls go, if somebody asks after so many microseconds each."""
    at, went, account = 0, [], account or Account()
    for gap, reserve in asks:
        at += gap
        turn = ask(pace(per_minute), account, at, reserve)
        account = turn.account
        if turn.granted:
            went.append(at + turn.wait)
    return sorted(went)


def most_in_a_minute(went: list[int]) -> int:
    return max((sum(1 for other in went if at <= other < at + MINUTE) for at in went), default=0)


@given(PER_MINUTE, st.lists(st.tuples(st.integers(0, 3 * MICROSECONDS), RESERVES), max_size=300))
def test_no_minute_holds_more_calls_than_the_budget(per_minute: int, asks: list[tuple[int, float]]) -> None:
    assert most_in_a_minute(calls(per_minute, asks)) <= per_minute


@pytest.mark.parametrize("per_minute", [1, 2, 15, 60, 120, 960])
def test_whoever_asks_all_the_time_gets_nearly_all_of_it(per_minute: int) -> None:
    went = calls(per_minute, [(20_000, 0.0)] * 6_000)
    assert 0.85 * per_minute - 1 <= most_in_a_minute(went) <= per_minute


@given(st.integers(1, 400), st.integers(0, 3 * MICROSECONDS))
def test_a_restart_never_brings_a_second_burst(calls_before: int, died_after: int) -> None:
    known = pace(960)
    assert known is not None
    before = [at for at in calls(960, [(0, 0.0)] + [(5_000, 0.0)] * calls_before) if at <= died_after]
    after = calls(960, [(0, 0.0)] + [(10_000, 0.0)] * 500, used_up(known, 0))
    went = [*before, *(died_after + at for at in after)]
    for number, at in enumerate(went):
        assert number <= known.burst + 1 + (at - went[0]) / known.interval


def test_a_burst_goes_at_once_and_then_it_is_paced() -> None:
    went = calls(960, [(0, 0.0)] * 17)
    assert ([0] * 16, True) == (went[:16], 0 < went[16] < 70_000)


def test_whoever_leaves_a_reserve_never_makes_the_urgent_wait() -> None:
    account, refused = Account(), 0
    for _ in range(100):
        turn = ask(pace(960), account, 0, LOW_RESERVE)
        account, refused = turn.account, refused + (not turn.granted)
    urgent = ask(pace(960), account, 0)
    assert 80 < refused < 95
    assert (True, 0) == (urgent.granted, urgent.wait)


@given(PER_MINUTE, RESERVES)
def test_a_reserve_keeps_nobody_out_for_ever(per_minute: int, reserve: float) -> None:
    account = used_up(pace(per_minute), 0)
    turn = ask(pace(per_minute), account, 0, reserve)
    assert turn.granted or ask(pace(per_minute), turn.account, turn.wait, reserve).granted


@given(st.integers(), st.integers(), PER_MINUTE)
def test_no_wait_is_longer_than_the_longest_pause_whatever_the_clock_did(
    spent: int, rests: int, per_minute: int
) -> None:
    turn = ask(pace(per_minute), Account(spent, rests), 0)
    assert 0 <= turn.wait <= LONGEST_PAUSE + 2 * MAX_WAIT + MINUTE


def test_a_pause_keeps_everybody_out_until_it_is_over_and_a_shorter_one_does_not_end_it() -> None:
    account = paused(paused(Account(), 0, 30.0), 0, 2.0)
    turn = ask(pace(960), account, MICROSECONDS)
    assert (False, 29 * MICROSECONDS) == (turn.granted, turn.wait)
    assert ask(pace(960), account, 30 * MICROSECONDS).granted
    assert not ask(None, account, MICROSECONDS).granted


@pytest.mark.parametrize("seconds", [1e12, 301.0])
def test_no_partner_parks_a_key(seconds: float) -> None:
    assert LONGEST_PAUSE == paused(Account(), 0, seconds).paused_until
    assert LONGEST_PAUSE == ask(pace(960), Account(0, int(seconds * MICROSECONDS)), 0).wait


def test_without_a_budget_of_our_own_every_call_goes() -> None:
    assert all(ask(pace(0), Account(), 0).wait == 0 for _ in range(1_000))


def test_a_refusal_without_a_time_rests_the_key_longer_each_time() -> None:
    rests = [unsaid_pause(refusals) for refusals in range(1, 12)]
    assert (1, 60) == (rests[0], rests[-1])
    assert all(earlier <= later for earlier, later in pairwise(rests))
