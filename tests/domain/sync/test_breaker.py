"""The breaker opens on failures of many, probes one at a time, and closes with any answer."""

import ast
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.sync.circuit_breaker import (
    OPENS_AFTER,
    PROBE_DELAYS,
    PROBE_LASTS,
    TRANSPORT_FAILURES,
    Breaker,
    Verdict,
    verdict,
)
from tests.fakes import START

DOWN, UP = Retry("http_503"), Done(None)


def opened() -> Breaker:
    breaker = Breaker()
    for link in range(OPENS_AFTER):
        breaker = breaker.after_reply(DOWN, link, START)
    return breaker


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Done(None), Verdict.ANSWERS),
        (Refused("not_found", 404), Verdict.ANSWERS),
        (Held("unauthorized"), Verdict.ANSWERS),
        (Held("from_unknown"), Verdict.ANSWERS),
        (Retry("http_429"), Verdict.ANSWERS),
        (Retry("http_503"), Verdict.FAILS),
        (Retry("http_500"), Verdict.FAILS),
        (Retry("http_407"), Verdict.FAILS),
        (Retry("http_408"), Verdict.FAILS),
        (Retry("http_421"), Verdict.FAILS),
        (Retry("http_423"), Verdict.ANSWERS),
        (Retry("http_425"), Verdict.ANSWERS),
        (Held("redirected"), Verdict.ANSWERS),
        (Retry("connect_failed"), Verdict.FAILS),
        (Retry("read_timeout", unclear=True), Verdict.FAILS),
        (Retry("not_there_yet"), Verdict.UNKNOWN),
        (Retry("bug:KeyError", unclear=True), Verdict.UNKNOWN),
        (Held("budget_spent"), Verdict.UNKNOWN),
        (Held("target_down"), Verdict.UNKNOWN),
        (Held("no_api_key"), Verdict.UNKNOWN),
        (Held("unsendable"), Verdict.UNKNOWN),
    ],
)
def test_what_a_reply_says_about_the_partner(reply: Reply[object], expected: Verdict) -> None:
    assert expected is verdict(reply)


def test_every_failure_the_transport_can_report_is_known() -> None:
    tree = ast.parse(Path("app/remote/transport.py").read_text("utf-8"))
    words = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Failure"
        if node.args and isinstance(node.args[0], ast.Constant)
    }
    tables = {"connect_timeout", "connection_broken", "proxy_unreachable", "read_timeout", "tls_failed"}
    assert TRANSPORT_FAILURES == (words | tables) - {"unsendable"}


def test_failures_in_a_row_open_it_and_one_answer_between_them_does_not() -> None:
    breaker = Breaker()
    for link in range(OPENS_AFTER - 1):
        breaker = breaker.after_reply(DOWN, link, START)
    assert (breaker, 0.0) == breaker.admit(9, START)
    assert Breaker() == breaker.after_reply(UP, 1, START)
    assert breaker.after_reply(DOWN, 9, START).opened_at


def test_one_poisonous_link_opens_nothing() -> None:
    breaker = Breaker()
    for _ in range(50):
        breaker = breaker.after_reply(DOWN, 1, START)
    assert (0.0, None) == (breaker.admit(2, START)[1], breaker.opened_at)


def test_one_probe_at_a_time_later_each_time_it_fails_and_an_answer_closes() -> None:
    breaker, now = opened(), START
    for failed in range(8):
        delay = PROBE_DELAYS[min(failed, len(PROBE_DELAYS) - 1)]
        assert delay == breaker.admit(1, now)[1]
        now += timedelta(seconds=delay)
        breaker, wait = breaker.admit(1, now)
        assert (0.0, True) == (wait, breaker.admit(2, now)[1] > 0)
        breaker = breaker.after_reply(DOWN, 1, now)
    assert Breaker() == breaker.after_reply(UP, 1, now)


def test_a_probe_that_is_never_received_of_makes_room_for_another() -> None:
    now = START + timedelta(seconds=PROBE_DELAYS[0])
    breaker, _ = opened().admit(1, now)
    assert 0.0 < breaker.admit(2, now)[1]
    assert 0.0 == breaker.admit(2, now + timedelta(seconds=PROBE_LASTS))[1]


def test_a_probe_that_our_own_budget_stopped_is_no_probe() -> None:
    now = START + timedelta(seconds=PROBE_DELAYS[0])
    breaker, _ = opened().admit(1, now)
    assert 0.0 < breaker.after_reply(Held("budget_spent"), 3, now).admit(2, now)[1]
    assert 0.0 == breaker.after_reply(Held("budget_spent"), 1, now).admit(2, now)[1]


REPLIES = st.sampled_from([DOWN, UP, Retry("http_429"), Held("budget_spent"), Held("unauthorized")])


@given(st.lists(st.tuples(st.booleans(), REPLIES, st.integers(1, 3), st.floats(0, 40)), max_size=60))
def test_whatever_happens_nobody_waits_longer_than_a_probe(steps: list[tuple[bool, Reply[object], int, float]]) -> None:
    breaker, now = Breaker(), START
    for asks, reply, link, seconds in steps:
        now += timedelta(seconds=seconds)
        if asks:
            breaker, wait = breaker.admit(link, now)
            assert 0.0 <= wait <= max(PROBE_DELAYS)
        else:
            breaker = breaker.after_reply(reply, link, now)
