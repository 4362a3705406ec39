"""Red is for what stops the work, degraded for what deserves a look, and each says what to do about it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from app.domain.model.subscription import Fault, Verdict
from app.domain.model.types import Side
from app.ports import HealthSnapshot, StoreUnavailable, WorkerRules
from app.remote.payload import RefusedDeliveries
from app.services.diagnostics.health import Report, State
from tests.conftest import FakeClock
from tests.fakes import START
from tests.web_fakes import FakeBridge


@pytest.fixture
def bridge(clock: FakeClock) -> FakeBridge:
    return FakeBridge(clock)


def states(report: Report) -> dict[str, State]:
    """The checks that are not fine."""
    return {name: check.state for name, check in report.checks.items() if check.state is not State.OK}


def test_a_bridge_that_works_is_ok(bridge: FakeBridge):
    report = bridge.health()
    assert {} == states(report)
    assert report.state is State.OK
    assert {
        "store", "configuration", "worker", "worker_rules", "oldest_waiting", "dead_letters", "frozen_links",
        "webhook_subscription", "truthvouch",
        "pagerduty", "paused_targets",
    } == set(report.checks)  # fmt: skip


def test_a_store_that_cannot_be_written_is_red(bridge: FakeBridge):
    bridge.inbox.broken = StoreUnavailable("disk full")
    report = bridge.health()
    assert {"store": State.RED} == states(report)
    assert "disk full" in report.checks["store"].message


def test_a_store_that_cannot_be_read_is_red(bridge: FakeBridge):
    bridge.health_source.broken = True
    assert {"store": State.RED, "worker": State.RED} == states(bridge.health())


@pytest.mark.parametrize(("age", "expected"), [(0, State.OK), (10, State.OK), (10.5, State.RED), (86_400, State.RED)])
def test_a_worker_is_missed_after_ten_seconds(bridge: FakeBridge, clock: FakeClock, age: float, expected: State):
    bridge.health_source.set(worker_seen_at=clock() - timedelta(seconds=age))
    worker = bridge.health().checks["worker"]
    assert expected is worker.state
    assert age == worker.facts["heartbeat_age_seconds"]


def test_a_worker_that_never_came_is_missed(bridge: FakeBridge):
    bridge.health_source.set(worker_seen_at=None)
    assert {"worker": State.RED} == states(bridge.health())


def test_a_missing_credential_is_red_and_named(bridge: FakeBridge):
    bridge.missing = ("TRUTHVOUCH_API_KEY: alerts cannot be updated",)
    configuration = bridge.health().checks["configuration"]
    assert State.RED is configuration.state
    assert "TRUTHVOUCH_API_KEY" in configuration.message


@pytest.mark.parametrize(
    ("snapshot", "name", "facts"),
    [
        ({"dead": 2}, "dead_letters", {"count": 2, "pages": 0}),
        ({"dead": 2, "dead_pages": 1}, "dead_letters", {"count": 2, "pages": 1}),
        ({"frozen": 3}, "frozen_links", {"count": 3}),
        (
            {"paused_targets": {"pagerduty-rest": "http_401"}},
            "paused_targets",
            {"targets": {"pagerduty-rest": "http_401"}},
        ),
        ({"truthvouch_seen_at": None}, "truthvouch", {"last_seen_at": None, "seconds_ago": None}),
        ({"pagerduty_seen_at": None}, "pagerduty", {"last_seen_at": None, "seconds_ago": None}),
    ],
)
def test_what_deserves_a_look_is_degraded(
    bridge: FakeBridge, snapshot: dict[str, Any], name: str, facts: dict[str, Any]
):
    bridge.health_source.set(**snapshot)
    report = bridge.health()
    assert report.state is State.DEGRADED
    assert {name: State.DEGRADED} == states(report)
    assert facts == report.checks[name].facts


def test_a_frozen_link_is_named_with_what_ends_it(bridge: FakeBridge):
    bridge.health_source.set(frozen=1)
    assert "truthvouch links thaw" in bridge.health().checks["frozen_links"].message


@pytest.mark.parametrize(("age", "expected"), [(60, State.OK), (61, State.DEGRADED)])
def test_a_delivery_may_wait_for_a_minute(bridge: FakeBridge, clock: FakeClock, age: float, expected: State):
    bridge.health_source.set(waiting=1, oldest_waiting_at=clock() - timedelta(seconds=age))
    assert expected is bridge.health().checks["oldest_waiting"].state


def test_what_works_only_in_part_is_degraded(bridge: FakeBridge):
    bridge.notes = ("notes are off",)
    assert {"configuration": State.DEGRADED} == states(bridge.health())


def test_a_flood_of_probes_writes_once_a_second(bridge: FakeBridge, clock: FakeClock):
    for _ in range(50):
        bridge.health()
    assert 1 == bridge.inbox.writes
    clock.advance(1)
    bridge.health()
    assert 2 == bridge.inbox.writes


def test_red_is_never_kept(bridge: FakeBridge):
    """Or two web processes would say red, green, red, green to a balancer right after a start."""
    bridge.health_source.set(worker_seen_at=None)
    assert bridge.health().state is State.RED
    bridge.health_source.set(worker_seen_at=START)
    assert bridge.health().state is State.OK
    assert 2 == bridge.inbox.writes


class Queue:
    """A lock that says how many have come to it."""

    def __init__(self) -> None:
        self.lock, self.came = threading.Lock(), threading.Semaphore(0)

    def __enter__(self) -> None:
        self.came.release()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_all_who_ask_during_a_look_share_the_next_one(bridge: FakeBridge):
    """It sees what has changed since the first began: red is never older than the question."""
    queue, goes_on, check, read = Queue(), threading.Event(), bridge.inbox.check_writable, bridge.health_source.read
    seen = [None, START]

    def slow() -> None:
        assert goes_on.wait(10)
        check()

    def read_next() -> HealthSnapshot:
        bridge.health_source.set(worker_seen_at=seen.pop(0))
        return read()

    bridge.health._lock = queue  # type: ignore[assignment]
    bridge.inbox.check_writable, bridge.health_source.read = slow, read_next  # type: ignore[method-assign]
    with ThreadPoolExecutor(21) as probes:
        asked = []
        for count in (1, 20):
            asked += [probes.submit(bridge.health) for _ in range(count)]
            assert all(queue.came.acquire(timeout=10) for _ in range(count))
        goes_on.set()
        states = [each.result().state for each in asked]
    assert [State.RED] + [State.OK] * 20 == states
    assert 2 == bridge.inbox.writes


def test_a_clock_that_was_set_back_does_not_freeze_the_report(bridge: FakeBridge, clock: FakeClock):
    bridge.health()
    clock.advance(-3600)
    bridge.health()
    assert 2 == bridge.inbox.writes


def test_a_webhook_that_pagerduty_switched_off_is_degraded_and_says_what_to_do(bridge: FakeBridge):
    off = Fault("subscription_temporarily_disabled", "PagerDuty switched it off.", "It is switched on again.")
    bridge.health_source.set(subscription=Verdict(START, (off,)))
    check = bridge.health().checks["webhook_subscription"]
    assert (State.DEGRADED, ["subscription_temporarily_disabled"]) == (check.state, check.facts["codes"])
    assert "switched on again" in check.message


def test_what_cannot_be_known_of_the_webhook_is_not_called_in_order(bridge: FakeBridge):
    unset = Fault("public_url_not_set", "Nobody knows the address.", "Set it.", warning=True)
    bridge.health_source.set(subscription=Verdict(START, (unset,)))
    check = bridge.health().checks["webhook_subscription"]
    assert (State.OK, "Nobody knows the address. Set it.") == (check.state, check.message)


MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    ("refused_ago", "seen_ago", "state", "code", "blocks_pages"),
    [
        (MINUTE, None, State.DEGRADED, "deliveries_refused", True),
        (MINUTE, 2 * MINUTE, State.DEGRADED, "deliveries_refused", True),
        (24 * HOUR, 25 * HOUR, State.DEGRADED, "deliveries_refused", True),
        (2 * MINUTE, MINUTE, State.OK, "deliveries_refused", False),
        (HOUR + MINUTE, MINUTE, State.OK, "", False),
        (25 * HOUR, 26 * HOUR, State.OK, "", False),
        (25 * HOUR, None, State.DEGRADED, "", False),
    ],
)
def test_refused_deliveries_are_reported_until_a_good_one_comes(
    bridge: FakeBridge, clock: FakeClock, side: Side, refused_ago: timedelta, seen_ago: timedelta | None,
    state: State, code: str, blocks_pages: bool,
):  # fmt: skip
    at = clock() - refused_ago
    refused = RefusedDeliveries(20, "signature_mismatch", at, at)
    bridge.health_source.set(
        refused={side: [refused]}, **{f"{side}_seen_at": None if seen_ago is None else clock() - seen_ago}
    )
    check = bridge.health().checks[side]
    assert (state, code, blocks_pages) == (check.state, check.code, check.blocks_pages)
    assert bool(code) == ("20 deliveries" in check.message)
    assert bool(code) == (f"{side.upper()}_WEBHOOK_SECRETS" in check.remedy)


@pytest.mark.parametrize(
    ("reason", "names"),
    [
        ("signature_mismatch", "PAGERDUTY_WEBHOOK_SECRETS"),
        ("signature_missing", "proxy"),
        ("signature_malformed", "form"),
        ("signature_stale", "clock"),
    ],
)
def test_why_a_delivery_was_refused_says_what_to_do(bridge: FakeBridge, clock: FakeClock, reason: str, names: str):
    refused = RefusedDeliveries(1, reason, clock(), clock())
    bridge.health_source.set(refused={Side.PAGERDUTY: [refused]}, pagerduty_seen_at=None)
    check = bridge.health().checks["pagerduty"]
    assert "1 delivery to /pagerduty/webhook refused" in check.message
    assert reason in check.message
    assert names in check.remedy


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    ("reason", "count", "seen_ago", "blocks_pages"),
    [
        ("signature_missing", 1, 2 * MINUTE, False),
        ("signature_missing", 1_000, 2 * MINUTE, False),
        ("signature_malformed", 1_000, 2 * MINUTE, False),
        ("signature_missing", 2, None, False),
        ("signature_malformed", 3, None, True),
        ("signature_missing", 3, None, True),
        ("signature_mismatch", 1, 2 * MINUTE, True),
        ("signature_stale", 1, 2 * MINUTE, True),
    ],
)
def test_what_anybody_can_send_without_a_signature_is_a_warning(
    bridge: FakeBridge,
    clock: FakeClock,
    side: Side,
    reason: str,
    count: int,
    seen_ago: timedelta | None,
    blocks_pages: bool,
):
    refused = RefusedDeliveries(count, reason, clock() - MINUTE, clock() - MINUTE)
    seen_at = None if seen_ago is None else clock() - seen_ago
    bridge.health_source.set(refused={side: [refused]}, **{f"{side}_seen_at": seen_at})
    check = bridge.health().checks[side]
    assert (State.DEGRADED, "deliveries_refused", blocks_pages) == (check.state, check.code, check.blocks_pages)


@pytest.mark.parametrize(
    ("mismatch_ago", "fields", "blocks_pages"),
    [(5 * MINUTE, "signature_mismatch", True), (15 * MINUTE, "signature_missing", False)],
)
def test_the_newest_reason_does_not_hide_the_worst_one(
    bridge: FakeBridge, clock: FakeClock, mismatch_ago: timedelta, fields: str, blocks_pages: bool
):
    """Nor does one that a good delivery has answered count again because a stranger came after it."""
    stranger = RefusedDeliveries(9, "signature_missing", clock() - MINUTE, clock())
    wrong = RefusedDeliveries(2, "signature_mismatch", clock() - mismatch_ago, clock() - mismatch_ago)
    bridge.health_source.set(refused={Side.TRUTHVOUCH: [wrong, stranger]}, truthvouch_seen_at=clock() - 10 * MINUTE)
    check = bridge.health().checks["truthvouch"]
    assert (fields, blocks_pages) == (check.facts["reason"], check.blocks_pages)


@pytest.mark.parametrize(
    ("snapshot", "name", "blocks_pages"),
    [
        ({"dead": 2, "dead_pages": 1}, "dead_letters", True),
        ({"dead": 2}, "dead_letters", False),
        ({"paused_targets": {"pagerduty-rest": "unauthorized"}}, "paused_targets", True),
        ({"paused_targets": {"truthvouch": "unauthorized"}}, "paused_targets", False),
    ],
)
def test_what_keeps_pages_from_going_out_is_marked(
    bridge: FakeBridge, snapshot: dict[str, Any], name: str, blocks_pages: bool
):
    bridge.health_source.set(**snapshot)
    assert blocks_pages is bridge.health().checks[name].blocks_pages


@pytest.mark.parametrize(
    ("reason", "names"),
    [
        ("unauthorized", "valid key"),
        ("from_unknown", "PAGERDUTY_FROM_EMAIL"),
        ("redirected", "PAGERDUTY_API_URL"),
        ("redirected_to_some", "delivery.held"),
        ("unsendable", "Nothing was sent"),
        ("http_407", "HTTPS_PROXY"),
        ("connect_failed", "status page"),
        ("forbidden, http_407", "HTTPS_PROXY"),
    ],
)
def test_a_paused_target_says_what_ends_it(bridge: FakeBridge, reason: str, names: str):
    bridge.health_source.set(paused_targets={"pagerduty-rest": reason})
    assert names in bridge.health().checks["paused_targets"].remedy


@pytest.mark.parametrize(
    ("name", "age", "state", "code", "blocks_pages"),
    [
        ("oldest_page_at", 61, State.DEGRADED, "page_waits_long", True),
        ("oldest_page_at", 60, State.OK, "", False),
        ("oldest_waiting_at", 61, State.DEGRADED, "", False),
    ],
)
def test_a_page_that_waits_is_reported_apart_from_anything_else_that_does(
    bridge: FakeBridge, clock: FakeClock, name: str, age: int, state: State, code: str, blocks_pages: bool
):
    bridge.health_source.set(waiting=1, **{name: clock() - timedelta(seconds=age)})
    check = bridge.health().checks["oldest_waiting"]
    assert (state, code, blocks_pages) == (check.state, check.code, check.blocks_pages)


# ------------------------------------------------------------------------------------------ workers with other rules


def rules(version: str, clock: FakeClock, since: float = 60, seen: float = 0) -> WorkerRules:
    now = clock()
    return WorkerRules(version, now - timedelta(seconds=since), now - timedelta(seconds=seen))


@pytest.mark.parametrize(
    ("since", "seen", "expected"),
    [
        (31, 0, State.DEGRADED),
        (31, -240, State.DEGRADED),  # its clock is ahead of this one
        (310, 300, State.DEGRADED),
        (30, 0, State.OK),
        (900, 301, State.OK),
    ],
)
def test_workers_with_different_rules_are_a_fault_after_half_a_minute_and_as_long_as_they_live(
    bridge: FakeBridge, clock: FakeClock, since: float, seen: float, expected: State
):
    bridge.health_source.set(workers=(rules("v1", clock), rules("v2", clock, since, seen)))
    check = bridge.health().checks["worker_rules"]
    assert expected is check.state
    if expected is State.DEGRADED:
        assert "(v1, v2)" in check.message
        assert {"workers": 2, "versions": ["v1", "v2"]} == check.facts


def test_workers_with_the_same_rules_are_none(bridge: FakeBridge, clock: FakeClock):
    bridge.health_source.set(workers=(rules("v1", clock), rules("v1", clock)))
    assert {} == states(bridge.health())
