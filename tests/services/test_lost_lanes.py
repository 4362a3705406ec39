"""What is owed and nobody will make is made after all; what is on its way is left alone."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.bootstrap.upkeep import Upkeep
from app.domain.names import LinkId, Side, Status
from app.domain.words import AlertVerb, IncidentVerb
from app.engine.durable import DurableEngine
from app.services.lost_lanes import Lane, LostLanes
from app.store.overdue import StoredOverdue
from app.store.retention import StoredRetention
from app.store.schema import links, timeline
from tests.fakes import ManualEngine, SilentMeter
from tests.rig import Rig
from tests.system.waiting import until


@dataclass
class Known:
    """What the engine has."""

    engine: ManualEngine
    asked: list[Lane] = field(default_factory=list)

    def unfinished(self, lanes: Collection[Lane]) -> frozenset[Lane]:
        self.asked += lanes
        return frozenset(lane for lane in lanes if lane in self.engine.waiting)


@dataclass
class Counting(SilentMeter):
    counted: list[Side] = field(default_factory=list)

    def resubmitted(self, side: Side) -> None:
        self.counted.append(side)


class World:
    def __init__(self, data_dir: Path) -> None:
        self.rig = Rig(data_dir)
        self.known, self.meter = Known(self.rig.engine), Counting()
        settle = self.rig.deliver.settle
        self.look = LostLanes(
            self.rig.database, StoredOverdue(), self.known, self.rig.links, settle, self.meter, self.rig.clock
        )

    def owes_a_page(self, *alert_ids: str) -> None:
        for alert_id in alert_ids or ("a1",):
            self.rig.alert(AlertVerb.CREATED, alert_id=alert_id)

    def loses_everything(self) -> None:
        self.rig.engine.waiting.clear()

    def looks(self, after_minutes: float) -> int:
        self.rig.clock.move(60 * after_minutes)
        return self.look()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_page_that_nobody_would_make_is_made(world: World) -> None:
    world.owes_a_page()
    world.loses_everything()
    assert [] == world.rig.run()
    assert 1 == world.looks(after_minutes=6)
    assert ["done"] == world.rig.run()
    assert ["find", "open"] == world.rig.pagerduty.calls, "it may have been made: looked for first"
    assert [Side.PAGERDUTY] == world.meter.counted
    with world.rig.database.engine.connect() as connection:
        told = list(connection.execute(sa.select(timeline.c.event)).scalars())
    assert 1 == told.count("lane.resubmitted")
    assert 0 == world.looks(after_minutes=60)


def test_the_alerts_side_is_looked_at_too(world: World) -> None:
    world.owes_a_page()
    world.rig.run()
    world.rig.incident(IncidentVerb.ACKNOWLEDGED)
    world.loses_everything()
    assert 1 == world.looks(after_minutes=6)
    world.rig.run()
    assert Status.ACKNOWLEDGED is world.rig.truthvouch.status["a1"]


def test_what_waits_in_the_queue_is_left_alone_however_long(world: World) -> None:
    world.owes_a_page()
    before = world.rig.link()
    assert [0, 0, 0] == [world.looks(after_minutes=60 * 24) for _ in range(3)]
    assert (before, []) == (world.rig.link(), world.meter.counted)
    assert world.known.asked


def test_what_is_owed_for_less_than_minutes_is_not_asked_about(world: World) -> None:
    world.owes_a_page()
    world.loses_everything()
    assert 0 == world.looks(after_minutes=4)
    assert [] == world.known.asked


def test_what_ends_while_it_is_asked_about_is_not_made_again(world: World) -> None:
    """The delivery ends between reading the lane and asking the engine."""
    world.owes_a_page()
    asks = world.known.unfinished

    def ends_meanwhile(lanes: Collection[Lane]) -> frozenset[Lane]:
        world.rig.run()
        return asks(lanes)

    world.known.unfinished = ends_meanwhile  # type: ignore[method-assign]
    assert 0 == world.looks(after_minutes=6)
    assert (["open"], []) == (world.rig.pagerduty.calls, world.meter.counted)


def test_the_lost_one_finds_its_number_outdated_should_it_turn_up(world: World) -> None:
    world.owes_a_page()
    lost = world.rig.link()
    world.loses_everything()
    world.looks(after_minutes=6)
    world.rig.run()
    world.rig.deliver(lost.link_id, Side.PAGERDUTY, lost.pagerduty.seq)
    assert 1 == world.rig.pagerduty.calls.count("open")


def test_two_workers_that_look_at_once_make_it_once(world: World) -> None:
    world.owes_a_page()
    world.loses_everything()
    other = replace(world.look)
    asks = world.known.unfinished

    def other_looks_meanwhile(lanes: Collection[Lane]) -> frozenset[Lane]:
        found = asks(lanes)
        world.known.unfinished = asks  # type: ignore[method-assign]
        assert 1 == other()
        return found

    world.known.unfinished = other_looks_meanwhile  # type: ignore[method-assign]
    assert 0 == world.looks(after_minutes=6)
    assert (["done"], 1) == (world.rig.run(), len(world.meter.counted))


def test_a_look_takes_so_many_and_the_next_one_goes_on_after_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.lost_lanes.AT_ONCE", 2)
    world.owes_a_page(*(f"a{number}" for number in range(5)))
    del world.rig.engine.waiting[(5, Side.PAGERDUTY, 1)]
    assert [0, 0, 1] == [world.looks(after_minutes=6) for _ in range(3)]
    world.loses_everything()
    assert [2, 2, 1] == [world.looks(after_minutes=0.1 * bool(n) or 6) for n in range(3)], (
        "found some: no minute between"
    )


def test_a_link_that_cannot_be_read_stops_nobody(world: World) -> None:
    world.owes_a_page("a1", "a2")
    world.loses_everything()
    with world.rig.database.engine.begin() as connection:
        connection.execute(links.update().where(links.c.alert_id == "a1").values(state="{broken"))
    assert 1 == world.looks(after_minutes=6)


def test_a_workers_take_over_round_does_it(tmp_path: Path) -> None:
    """On a real engine that knows nothing of what is owed."""
    rig = Rig(tmp_path)
    rig.alert(AlertVerb.CREATED)
    engine = DurableEngine(rig.database.engine, "main", {"pagerduty-rest": 0, "pagerduty-rest-changes": 0})
    settle = replace(rig.deliver.settle, engine=engine)
    engine.launch(replace(rig.deliver, settle=settle))
    try:
        kept_up = Upkeep(rig.database, StoredRetention(rig.database, rig._inbox, tmp_path), None, rig.rulebook)
        kept_up.launched(engine, "main", settle, SilentMeter())
        take_over = next(found for found in kept_up.rounds if found.name == "take-over")
        take_over.run()
        until(lambda: "open" in rig.pagerduty.calls, "the page goes out")
        until(lambda: not rig.link().pagerduty.outstanding, "and is written down")
        take_over.run()
        assert {LinkId(1): 1} == {rig.link().link_id: rig.pagerduty.calls.count("open")}
    finally:
        engine.close(5)
