"""Doors: who refuses our credentials, who does not answer, and what others see of it."""

from pathlib import Path

import pytest

from app.domain.breaker import OPENS_AFTER, PROBE_DELAYS
from app.domain.effects import AddNote, Effect, OpenIncident, SetAlert, SetIncident
from app.domain.names import LinkId, Status
from app.domain.outcome import Done, Held, Reply, Retry
from app.services.doors import Doors
from app.store.database import Database, open_bridge, open_inbox
from app.store.marks import StoredMarks
from app.store.migrate import migrate
from app.store.vitals import StoredVitals
from tests.fakes import FakeClock

DOOR = "pagerduty-rest"
CALM = SetIncident(Status.ACKNOWLEDGED)
DOWN = Retry("http_503")


class Store:
    """Two workers over one store."""

    def __init__(self, data_dir: Path) -> None:
        bridge, self.inbox = open_bridge(data_dir, None), open_inbox(data_dir, None)
        migrate(bridge, self.inbox, data_dir)
        self.database, self.clock = Database(bridge), FakeClock()
        self.one, self.other = (Doors(StoredMarks(), name, self.clock) for name in ("worker-0", "worker-1"))

    def hears(self, doors: Doors, reply: Reply[object], link: int = 1) -> None:
        with self.database.begin() as tx:
            for name, text in doors.hear(DOOR, LinkId(link), reply).items():
                doors.write(tx, name, text)

    def goes_down(self, doors: Doors) -> None:
        for link in range(OPENS_AFTER):
            self.hears(doors, DOWN, link)

    def marks(self) -> dict[str, str]:
        from app.store.schema import marks

        with self.database.engine.connect() as connection:
            return {row.name: row.value.split()[0] for row in connection.execute(marks.select())}

    def asks(self, doors: Doors, effect: Effect = CALM, dice: float = 0.0) -> Held | None:
        return doors.ask(DOOR, LinkId(9), effect, dice)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_while_a_target_is_down_what_can_wait_waits_without_a_call(store: Store) -> None:
    assert None is store.asks(store.one)
    store.goes_down(store.one)
    assert Held("target_down", PROBE_DELAYS[0]) == store.asks(store.one)
    assert Held("target_down", PROBE_DELAYS[0]) == store.asks(store.one, AddNote("r", "x"))
    assert None is store.one.ask("truthvouch", LinkId(9), SetAlert(Status.RESOLVED, None), 0.0)


@pytest.mark.parametrize("effect", [OpenIncident(False), SetIncident(Status.RESOLVED), SetIncident(Status.OPEN)])
def test_whoever_is_to_be_woken_is_its_own_probe(store: Store, effect: Effect) -> None:
    store.goes_down(store.one)
    store.hears(store.one, Held("unauthorized"))
    assert None is store.asks(store.one, effect)


def test_an_answer_brings_back_what_waits_within_a_probes_time(store: Store) -> None:
    store.goes_down(store.one)
    waits = [store.asks(store.one, dice=dice / 10) for dice in range(11)]
    assert all(wait is not None and (wait.after_seconds or 0) <= PROBE_DELAYS[0] for wait in waits)
    store.hears(store.one, Done(None))
    assert None is store.asks(store.one)


def test_a_failed_try_asks_again_as_soon_as_a_probe_may_have_seen_it_back(store: Store) -> None:
    assert None is store.one.soon(DOOR, CALM, DOWN, 0.5)
    store.goes_down(store.one)
    assert PROBE_DELAYS[0] == store.one.soon(DOOR, CALM, DOWN, 0.5)
    assert None is store.one.soon(DOOR, OpenIncident(False), DOWN, 0.5)
    assert None is store.one.soon(DOOR, CALM, Retry("not_there_yet"), 0.5)


def test_a_mark_is_its_workers_own(store: Store) -> None:
    store.goes_down(store.one)
    store.hears(store.other, Held("unauthorized"))
    assert {f"down.{DOOR}@worker-0": "http_503", f"hold.{DOOR}@worker-1": "unauthorized"} == store.marks()
    store.hears(store.other, Done(None))
    assert {f"down.{DOOR}@worker-0": "http_503"} == store.marks()


def test_a_new_worker_forgets_what_the_one_before_it_said_and_nothing_else(store: Store) -> None:
    store.goes_down(store.one)
    store.goes_down(store.other)
    with store.database.begin() as tx:
        StoredMarks().put(tx, f"hold.{DOOR}", "unauthorized of an older version")
        Doors(StoredMarks(), "worker-0").clear(tx, [DOOR])
    assert {f"down.{DOOR}@worker-1": "http_503"} == store.marks()


def test_readiness_shows_both_kinds_as_long_as_they_are_fresh(store: Store) -> None:
    from datetime import UTC, datetime

    vitals = StoredVitals(store.database, store.inbox)
    store.goes_down(store.one)
    assert {} == vitals.read().holds, "seen months ago, by a worker that is gone"
    store.clock.now = datetime.now(UTC)
    store.hears(store.one, DOWN)
    store.hears(store.other, Held("unauthorized"))
    assert {DOOR: "http_503, unauthorized"} == vitals.read().holds


def test_a_hold_probes_at_least_every_fifteen_seconds(store: Store) -> None:
    store.hears(store.one, Held("forbidden"))
    store.clock.move(14)
    waits = store.asks(store.one, dice=1.0)
    assert waits is not None
    assert "target_held" == waits.reason
    assert (waits.after_seconds or 99) <= 15.0
    store.clock.move(1)
    assert None is store.asks(store.one)


def test_what_our_own_budget_stopped_is_no_hold(store: Store) -> None:
    store.hears(store.one, Held("budget_spent", 30.0))
    assert {} == store.marks()
    assert None is store.asks(store.one)
