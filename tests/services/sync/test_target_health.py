"""Target health: who refuses our credentials, who does not answer, and what others see of it."""

from itertools import pairwise
from pathlib import Path

import pytest

from app.domain.model.outcome import Done, Held, Reply, Retry
from app.domain.model.types import LinkId, Status
from app.domain.sync.circuit_breaker import OPENS_AFTER, PROBE_DELAYS
from app.domain.sync.effects import AddNote, Effect, LookForIncident, OpenIncident, SetAlert, SetIncident
from app.services.sync.execute_effect import TargetHealth
from app.store.database import Database, StoredKeyValues, open_bridge, open_inbox
from app.store.migrate import migrate
from tests.fakes import FakeClock
from tests.shapes import health_of

TARGET = "pagerduty-rest"
CALM = SetIncident(Status.ACKNOWLEDGED)
DOWN = Retry("http_503")


class Store:
    """Two workers over one store."""

    def __init__(self, data_dir: Path) -> None:
        bridge, self.inbox = open_bridge(data_dir, None), open_inbox(data_dir, None)
        migrate(bridge, self.inbox, data_dir)
        self.database, self.clock = Database(bridge), FakeClock()
        self.one, self.other = (TargetHealth(StoredKeyValues(), name, self.clock) for name in ("worker-0", "worker-1"))

    def replies(self, health: TargetHealth, reply: Reply[object], link: int = 1, effect: Effect = CALM) -> None:
        with self.database.begin() as tx:
            for name, text in health.record_reply(TARGET, LinkId(link), effect, reply).items():
                health.write_value(tx, name, text)

    def goes_down(self, health: TargetHealth) -> None:
        for link in range(OPENS_AFTER):
            self.replies(health, DOWN, link)

    def key_values(self) -> dict[str, str]:
        from app.store.schema import key_values

        with self.database.engine.connect() as connection:
            return {
                row.name: row.value.split()[0]
                for row in connection.execute(key_values.select())
                if not row.name.startswith("figures.")
            }

    def asks(self, health: TargetHealth, effect: Effect = CALM, jitter: float = 0.0, link: int = 9) -> Held | None:
        return health.admit(TARGET, LinkId(link), effect, jitter)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_while_a_target_is_down_what_can_wait_waits_without_a_call(store: Store) -> None:
    assert None is store.asks(store.one)
    store.goes_down(store.one)
    assert Held("target_down", PROBE_DELAYS[0]) == store.asks(store.one)
    assert Held("target_down", PROBE_DELAYS[0]) == store.asks(store.one, AddNote("r", "x"))
    assert None is store.one.admit("truthvouch", LinkId(9), SetAlert(Status.RESOLVED, None), 0.0)


@pytest.mark.parametrize("effect", [OpenIncident(False), SetIncident(Status.RESOLVED), SetIncident(Status.OPEN)])
def test_whoever_is_to_be_woken_is_its_own_probe(store: Store, effect: Effect) -> None:
    store.goes_down(store.one)
    store.replies(store.one, Held("unauthorized"))
    assert None is store.asks(store.one, effect)


def test_an_answer_brings_back_what_waits_within_a_probes_time(store: Store) -> None:
    store.goes_down(store.one)
    waits = [store.asks(store.one, jitter=jitter / 10) for jitter in range(11)]
    assert all(wait is not None and (wait.after_seconds or 0) <= PROBE_DELAYS[0] for wait in waits)
    store.replies(store.one, Done(None))
    assert None is store.asks(store.one)


def test_a_failed_try_asks_again_as_soon_as_a_probe_may_have_seen_it_back(store: Store) -> None:
    assert None is store.one.retry_soon(TARGET, CALM, DOWN, 0.5)
    store.goes_down(store.one)
    assert PROBE_DELAYS[0] == store.one.retry_soon(TARGET, CALM, DOWN, 0.5)
    assert None is store.one.retry_soon(TARGET, OpenIncident(False), DOWN, 0.5)
    assert None is store.one.retry_soon(TARGET, CALM, Retry("not_there_yet"), 0.5)


def test_a_mark_is_its_workers_own(store: Store) -> None:
    store.goes_down(store.one)
    store.replies(store.other, Held("unauthorized"))
    assert {f"down.{TARGET}@worker-0": "http_503", f"hold.{TARGET}@worker-1": "unauthorized"} == store.key_values()
    store.replies(store.other, Done(None))
    assert {f"down.{TARGET}@worker-0": "http_503"} == store.key_values()


def test_a_new_worker_forgets_what_the_one_before_it_said_and_nothing_else(store: Store) -> None:
    store.goes_down(store.one)
    store.goes_down(store.other)
    with store.database.begin() as tx:
        StoredKeyValues().put(tx, f"hold.{TARGET}", "unauthorized of an older version")
        TargetHealth(StoredKeyValues(), "worker-0").clear(tx, [TARGET])
    assert {f"down.{TARGET}@worker-1": "http_503"} == store.key_values()


def test_readiness_shows_both_kinds_as_long_as_they_are_fresh(store: Store) -> None:
    from datetime import UTC, datetime

    health_source = health_of(store.database, store.inbox)
    store.goes_down(store.one)
    assert {} == health_source.read().paused_targets, "seen months ago, by a worker that is gone"
    store.clock.now = datetime.now(UTC)
    store.replies(store.one, DOWN)
    store.replies(store.other, Held("unauthorized"))
    assert {TARGET: "http_503, unauthorized"} == health_source.read().paused_targets


def test_a_pause_probes_at_least_every_fifteen_seconds(store: Store) -> None:
    store.replies(store.one, Held("unauthorized"))
    store.clock.move(14)
    waits = store.asks(store.one, jitter=1.0)
    assert waits is not None
    assert "target_paused" == waits.reason
    assert (waits.after_seconds or 99) <= 15.0
    store.clock.move(1)
    assert None is store.asks(store.one)


def test_what_our_own_budget_stopped_is_no_pause(store: Store) -> None:
    store.replies(store.one, Held("budget_spent", 30.0))
    assert {} == store.key_values()
    assert None is store.asks(store.one)


# ------------------------------------------------------------------------------------------------- one alert's 403

FORBIDDEN, REDIRECTED = Held("forbidden"), Held("redirected")


def paused_targets(store: Store) -> str | None:
    return store.key_values().get(f"hold.{TARGET}@worker-0")


@pytest.mark.parametrize("met", [FORBIDDEN, REDIRECTED])
def test_one_alerts_403_or_redirect_pauses_that_alert_alone_and_says_so(store: Store, met: Held) -> None:
    for _ in range(20):
        store.replies(store.one, met)
        assert None is store.asks(store.one)
        assert f"{met.reason}_to_some" == paused_targets(store)
        store.clock.move(15)
        assert None is store.asks(store.one, link=1), "its own retry is its probe"


@pytest.mark.parametrize("met", [FORBIDDEN, REDIRECTED])
def test_a_second_alert_that_meets_it_pauses_the_target(store: Store, met: Held) -> None:
    store.replies(store.one, met, 1)
    store.replies(store.one, met, 2)
    assert met.reason == paused_targets(store)
    assert all(Held("target_paused", 15.0) == store.asks(store.one, link=link) for link in (1, 2, 9))
    store.clock.move(15)
    assert all(store.asks(store.one, link=link) is None for link in (1, 2, 9))


def test_while_everybody_meets_403_few_ask_and_one_at_least_every_fifteen_seconds(store: Store) -> None:
    """A hundred alerts, each asking when it was told to."""
    due = dict.fromkeys(range(100), 0.0)
    asked: list[int] = []
    for second in range(600):
        for link in [link for link, at in due.items() if at <= second]:
            jitter = ((link * 37) % 100) / 100
            shut = store.asks(store.one, jitter=jitter, link=link)
            if shut is None:
                asked.append(second)
                store.replies(store.one, FORBIDDEN, link)
            due[link] = second + (15.0 if shut is None else shut.after_seconds or 99.0)
        store.clock.move(1)
    assert max(later - earlier for earlier, later in pairwise(asked)) <= 16
    assert len(asked) <= 600 / 15 * 3


def test_two_alerts_that_may_not_be_touched_starve_nobody(store: Store) -> None:
    """Both ask every fifteen seconds for ten minutes; a third comes by every minute."""
    waited = 0.0
    for second in range(600):
        for link in (1, 2):
            if second % 15 == link and store.asks(store.one, link=link) is None:
                store.replies(store.one, FORBIDDEN, link)
        if second % 60 == 30:
            shut = store.asks(store.one, link=100 + second)
            waited += shut.after_seconds or 0.0 if shut else 0.0
            if shut is None:
                store.replies(store.one, Done(None), 100 + second)
        store.clock.move(1)
    assert waited <= 15.0, "only before the first success"
    assert "forbidden_to_some" == paused_targets(store)


def test_the_next_other_delivery_is_the_probe_whatever_the_refused_ones_meet(store: Store) -> None:
    store.replies(store.one, FORBIDDEN, 1)
    store.replies(store.one, FORBIDDEN, 2)
    for _ in range(3):
        store.clock.move(15)
        for link in (1, 2):
            store.replies(store.one, FORBIDDEN, link)
        assert None is store.asks(store.one), "their trying again pauses themselves, not who has not tried"
        assert None is not store.asks(store.one, link=1)
    store.replies(store.one, Done(None), 9)
    assert None is store.asks(store.one, link=1)
    for link in (1, 2):
        store.replies(store.one, FORBIDDEN, link)
    assert None is store.asks(store.one)


def test_what_is_only_read_proves_no_permission_to_write(store: Store) -> None:
    for link in (1, 2):
        store.replies(store.one, FORBIDDEN, link)
    store.replies(store.one, Done(None), 3, LookForIncident())
    assert None is not store.asks(store.one)
    store.replies(store.one, Done(None), 3)
    assert None is store.asks(store.one)


def test_a_key_that_is_refused_pauses_whatever_was_forbidden_before(store: Store) -> None:
    store.replies(store.one, FORBIDDEN, 1)
    store.replies(store.one, Held("unauthorized"), 2)
    assert (True, "unauthorized") == (store.asks(store.one) is not None, paused_targets(store))
    store.replies(store.one, Done(None), 3)
    assert (None, "forbidden_to_some") == (store.asks(store.one), paused_targets(store))
    store.replies(store.one, Done(None), 1)
    assert None is paused_targets(store)


def test_many_alerts_that_may_not_be_touched_share_one_call_a_second(store: Store) -> None:
    for link in range(50):
        store.replies(store.one, FORBIDDEN, link)
    store.clock.move(15)
    store.replies(store.one, Done(None), 99)
    store.clock.move(15)
    answers = [store.asks(store.one, link=link) for link in range(50)]
    assert 1 == answers.count(None)
    assert all(shut.after_seconds <= 15.0 for shut in answers if shut and shut.after_seconds)
    store.clock.move(1)
    assert None is store.asks(store.one, link=7)
    assert None is store.asks(store.one, link=99)


def test_an_old_proof_is_none(store: Store) -> None:
    """A key whose rights were taken away is seen by who was refused before, too."""
    for link in (1, 2):
        store.replies(store.one, FORBIDDEN, link)
    store.replies(store.one, Done(None), 3)
    for _ in range(30):
        store.clock.move(15)
        for link in (1, 2):
            store.replies(store.one, FORBIDDEN, link)
    assert "forbidden" == paused_targets(store)
    assert None is store.asks(store.one), "who has not met it is still the probe"


def test_who_was_forbidden_and_is_received_of_no_more_is_forgotten(store: Store) -> None:
    store.replies(store.one, FORBIDDEN, 1)
    store.clock.move(600)
    store.replies(store.one, Done(None), 2)
    assert None is paused_targets(store)
    store.replies(store.one, FORBIDDEN, 3)
    assert "forbidden_to_some" == paused_targets(store)
