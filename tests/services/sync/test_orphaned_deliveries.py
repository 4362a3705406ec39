"""What is owed and nobody will make is made after all; what is on its way is left alone."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.bootstrap.worker import recovery
from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.types import LinkId, Side, Status
from app.engine.durable import DurableEngine
from app.ports import COPIED, DeliveryRef
from app.services.sync.recovery import AllLeftovers, OrphanedDeliveries
from app.store.claims import StoredClaims
from app.store.database import KEY_VALUES
from app.store.links import StoredOverdue
from app.store.schema import links, timeline
from tests.fakes import ManualEngine, SilentMeter
from tests.rig import Rig
from tests.system.waiting import until


@dataclass
class Known:
    """What the engine has."""

    engine: ManualEngine
    asked: list[DeliveryRef] = field(default_factory=list)

    def unfinished(self, deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        self.asked += deliveries
        return frozenset(ref for ref in deliveries if ref in self.engine.waiting)


@dataclass
class Counting(SilentMeter):
    counted: list[Side] = field(default_factory=list)

    def resubmitted(self, side: Side) -> None:
        self.counted.append(side)


class World:
    def __init__(self, data_dir: Path) -> None:
        self.rig = Rig(data_dir)
        self.known, self.meter = Known(self.rig.engine), Counting()
        writer = self.rig.deliver.writer
        self.look = OrphanedDeliveries(
            self.rig.database,
            StoredOverdue(),
            self.known,
            self.rig.links,
            writer,
            self.meter,
            self.rig.clock,
            KEY_VALUES,
        )

    def has_a_page_pending(self, *alert_ids: str) -> None:
        for alert_id in alert_ids or ("a1",):
            self.rig.alert(AlertEventType.CREATED, alert_id=alert_id)

    def loses_everything(self) -> None:
        self.rig.engine.waiting.clear()

    def looks(self, after_minutes: float) -> int:
        self.rig.clock.move(60 * after_minutes)
        return self.look()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_page_that_nobody_would_make_is_made(world: World) -> None:
    world.has_a_page_pending()
    world.loses_everything()
    assert [] == world.rig.run()
    assert 1 == world.looks(after_minutes=6)
    assert ["done"] == world.rig.run()
    assert ["find", "open"] == world.rig.pagerduty.calls, "it may have been made: looked for first"
    assert [Side.PAGERDUTY] == world.meter.counted
    with world.rig.database.engine.connect() as connection:
        answer = list(connection.execute(sa.select(timeline.c.event)).scalars())
    assert 1 == answer.count("delivery.resubmitted")
    assert 0 == world.looks(after_minutes=60)


def test_the_alerts_side_is_looked_at_too(world: World) -> None:
    world.has_a_page_pending()
    world.rig.run()
    world.rig.incident(IncidentEventType.ACKNOWLEDGED)
    world.loses_everything()
    assert 1 == world.looks(after_minutes=6)
    world.rig.run()
    assert Status.ACKNOWLEDGED is world.rig.truthvouch.status["a1"]


def test_what_waits_in_the_queue_is_left_alone_however_long(world: World) -> None:
    world.has_a_page_pending()
    before = world.rig.link()
    assert [0, 0, 0] == [world.looks(after_minutes=60 * 24) for _ in range(3)]
    assert (before, []) == (world.rig.link(), world.meter.counted)
    assert world.known.asked


def test_what_is_owed_for_less_than_minutes_is_not_asked_about(world: World) -> None:
    world.has_a_page_pending()
    world.loses_everything()
    assert 0 == world.looks(after_minutes=4)
    assert [] == world.known.asked


def test_what_ends_while_it_is_asked_about_is_not_made_again(world: World) -> None:
    """The delivery ends between reading the link and asking the engine."""
    world.has_a_page_pending()
    asks = world.known.unfinished

    def ends_meanwhile(deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        world.rig.run()
        return asks(deliveries)

    world.known.unfinished = ends_meanwhile  # type: ignore[method-assign]
    assert 0 == world.looks(after_minutes=6)
    assert (["open"], []) == (world.rig.pagerduty.calls, world.meter.counted)


def test_the_lost_one_finds_its_number_outdated_should_it_turn_up(world: World) -> None:
    world.has_a_page_pending()
    lost = world.rig.link()
    world.loses_everything()
    world.looks(after_minutes=6)
    world.rig.run()
    world.rig.deliver(lost.link_id, Side.PAGERDUTY, lost.pagerduty.seq)
    assert 1 == world.rig.pagerduty.calls.count("open")


def test_two_workers_that_look_at_once_make_it_once(world: World) -> None:
    world.has_a_page_pending()
    world.loses_everything()
    other = replace(world.look)
    asks = world.known.unfinished

    def other_looks_meanwhile(deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        found = asks(deliveries)
        world.known.unfinished = asks  # type: ignore[method-assign]
        assert 1 == other()
        return found

    world.known.unfinished = other_looks_meanwhile  # type: ignore[method-assign]
    assert 0 == world.looks(after_minutes=6)
    assert (["done"], 1) == (world.rig.run(), len(world.meter.counted))


def test_a_look_takes_so_many_and_the_next_one_goes_on_after_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.sync.recovery.AT_ONCE", 2)
    world.has_a_page_pending(*(f"a{number}" for number in range(5)))
    del world.rig.engine.waiting[(5, Side.PAGERDUTY, 1)]
    assert [0, 0, 1] == [world.looks(after_minutes=6) for _ in range(3)]
    world.loses_everything()
    assert [2, 2, 1] == [world.looks(after_minutes=0.1 * bool(n) or 6) for n in range(3)], (
        "found some: no minute between"
    )


def test_a_link_that_cannot_be_read_stops_nobody(world: World) -> None:
    world.has_a_page_pending("a1", "a2")
    world.loses_everything()
    with world.rig.database.engine.begin() as connection:
        connection.execute(links.update().where(links.c.alert_id == "a1").values(state="{broken"))
    assert 1 == world.looks(after_minutes=6)


def test_in_a_store_that_was_copied_everything_that_is_owed_is_made_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault, so no alarm; and once it is done, what is pending may take its time again."""
    monkeypatch.setattr("app.services.sync.recovery.AT_ONCE", 2)
    alerts = [f"a{number}" for number in range(5)]
    world.has_a_page_pending(*alerts)
    world.loses_everything()
    world.has_a_page_pending("queued")
    with world.rig.database.begin() as tx:
        KEY_VALUES.put(tx, COPIED, "then")
    with capture_logs() as lines:
        assert 5 == world.looks(after_minutes=0)
    assert ["deliveries.submitted_after_copy"] == [line["event"] for line in lines]
    assert [] == world.meter.counted
    assert ["done"] * 6 == world.rig.run()
    calls = world.rig.pagerduty.calls
    assert (5, 6) == (calls.count("find"), calls.count("open")), "what may have been made is looked for first"
    world.has_a_page_pending("later")
    world.loses_everything()
    assert 0 == world.looks(after_minutes=1)


def test_a_workers_recovery_task_does_it(tmp_path: Path) -> None:
    """On a real engine that knows nothing of what is owed."""
    rig = Rig(tmp_path)
    rig.alert(AlertEventType.CREATED)
    claims = StoredClaims()
    engine = DurableEngine(rig.database, "main", {"pagerduty-rest": 0, "pagerduty-rest-changes": 0}, claims=claims)
    writer = replace(rig.deliver.writer, engine=engine)
    engine.launch(replace(rig.deliver, writer=writer))
    assert engine.direct is not None
    try:
        leftovers = AllLeftovers(
            engine.leftovers, engine.direct, rig.database, claims, rig.links, writer, lambda *_: None,
            engine.look_everywhere,
        )  # fmt: skip
        recover_dead_worker = recovery(rig.database, None, leftovers, "main", writer, SilentMeter())
        assert "recovery" == recover_dead_worker.name
        recover_dead_worker.run()
        until(lambda: "open" in rig.pagerduty.calls, "the page goes out")
        until(lambda: not rig.link().pagerduty.outstanding, "and is written down")
        recover_dead_worker.run()
        assert {LinkId(1): 1} == {rig.link().link_id: rig.pagerduty.calls.count("open")}
    finally:
        engine.close(5)
