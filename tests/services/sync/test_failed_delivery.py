"""A delivery that raises every time: a dead letter and an ended delivery, together or not at all."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.domain.model.events import AlertEventType, CommandType, IncidentEventType
from app.domain.model.types import LinkId, Side, Status
from app.domain.sync.link import Link
from app.ports import StoreUnavailable, Tx
from app.services.sync.deliver import DeadLetterFailedDelivery
from app.store.database import connection
from app.store.links import StoredLinks
from app.store.schema import dead_letters, links, timeline
from tests.fakes import SilentMeter
from tests.rig import Rig

SIDE = Side.PAGERDUTY


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.alert(AlertEventType.CREATED)
    return made


def dead_letter_failed_delivery(rig: Rig, stored: StoredLinks | None = None) -> DeadLetterFailedDelivery:
    return DeadLetterFailedDelivery(rig.database, stored or rig.links, SilentMeter(), rig.clock)


def dead_letters_of(rig: Rig) -> list[tuple[str, str, int | None, str | None]]:
    with rig.database.read() as tx:
        query = sa.select(dead_letters.c.kind, dead_letters.c.reason, dead_letters.c.link_id, dead_letters.c.side)
        return [tuple(row) for row in connection(tx).execute(query)]


def test_it_becomes_a_dead_letter_and_the_side_waits_behind_it(rig: Rig) -> None:
    delivery = rig.link().pagerduty
    dead_letter_failed_delivery(rig)(rig.link().link_id, SIDE, delivery.seq, "KeyError")
    assert [("effect", "delivery_broke:KeyError", rig.link().link_id, "pagerduty")] == dead_letters_of(rig)
    after = rig.link().pagerduty
    assert (False, None, "delivery_broke:KeyError") == (after.outstanding, after.since, after.dead)
    assert not rig.run() or rig.pagerduty.calls == []


def test_replayed_it_is_looked_for_first_because_its_call_may_have_been_made(rig: Rig) -> None:
    dead_letter_failed_delivery(rig)(rig.link().link_id, SIDE, rig.link().pagerduty.seq, "KeyError")
    rig.engine.waiting.clear()
    rig.command(CommandType.REPLAY, 1)
    rig.run()
    assert ["find", "open"] == rig.pagerduty.calls


def test_a_resolve_still_looks_for_what_may_have_been_opened(rig: Rig) -> None:
    dead_letter_failed_delivery(rig)(rig.link().link_id, SIDE, rig.link().pagerduty.seq, "KeyError")
    rig.engine.waiting.clear()
    rig.clock.move(1)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    assert {"find"} == set(rig.pagerduty.calls)


def test_one_that_was_done_or_overtaken_meanwhile_is_left_alone(rig: Rig) -> None:
    seq = rig.link().pagerduty.seq
    rig.run()
    before = rig.link()
    dead_letter_failed_delivery(rig)(before.link_id, SIDE, seq, "KeyError")
    dead_letter_failed_delivery(rig)(before.link_id, SIDE, seq - 1, "KeyError")
    assert [] == dead_letters_of(rig)
    assert before == rig.link()


class CannotSay(StoredLinks):
    def write_timeline(self, tx: Tx, entries: object) -> None:
        raise StoreUnavailable("gone")


def test_all_of_it_or_nothing(rig: Rig) -> None:
    before = rig.link()
    with pytest.raises(StoreUnavailable):
        dead_letter_failed_delivery(rig, CannotSay())(before.link_id, SIDE, before.pagerduty.seq, "KeyError")
    assert [] == dead_letters_of(rig)
    assert before == rig.link()


def test_a_link_that_cannot_be_read_gets_its_dead_letter_too(rig: Rig) -> None:
    link_id = rig.link().link_id
    with rig.database.begin() as tx:
        connection(tx).execute(sa.update(links).values(state='{"alert": 7}'))
    dead_letter_failed_delivery(rig)(link_id, SIDE, 1, "ValidationError")
    assert [("effect", "delivery_broke:ValidationError", link_id, "pagerduty")] == dead_letters_of(rig)


def test_it_is_in_the_time_line(rig: Rig) -> None:
    dead_letter_failed_delivery(rig)(rig.link().link_id, SIDE, rig.link().pagerduty.seq, "KeyError")
    with rig.database.read() as tx:
        events = connection(tx).execute(sa.select(timeline.c.event)).scalars().all()
    assert "delivery.dead" == events[-1]


def test_a_worker_that_was_thought_dead_records_nothing_over_what_came_after(rig: Rig) -> None:
    """It stood still in the middle of a call; another took the delivery over, and a person resolved the alert."""
    link_id, seq = rig.link().link_id, rig.link().pagerduty.seq
    perform = rig.deliver.perform
    later: list[Link] = []

    def stand_still(link: Link, effect: object) -> object:
        rig.deliver.perform = perform
        rig.deliver(link_id, SIDE, seq, False)
        rig.incident(IncidentEventType.RESOLVED)
        rig.run()
        later.append(rig.link())
        return perform(link, replace(effect, look_first=True))  # type: ignore[type-var, arg-type]

    rig.deliver.perform = stand_still  # type: ignore[assignment]
    assert "overtaken" == rig.deliver(LinkId(link_id), SIDE, seq, True)
    assert [rig.link()] == later
    assert Status.RESOLVED is rig.link().status
    assert 1 == len(rig.pagerduty.incidents)


class CountingMeter(SilentMeter):
    """Keeps what was parked."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def parked(self, kind: str, reason: str) -> None:
        self.kinds.append(kind)


@pytest.mark.parametrize(
    ("opened", "side", "kind"),
    [(False, Side.PAGERDUTY, "page"), (True, Side.PAGERDUTY, "page"), (True, Side.TRUTHVOUCH, "effect")],
)
def test_a_page_that_broke_is_as_loud_as_one_that_was_refused(rig: Rig, opened: bool, side: Side, kind: str) -> None:
    meter = CountingMeter()
    if opened:
        rig.run()
        rig.clock.move(10)
        rig.alert(AlertEventType.ACKNOWLEDGED) if side is Side.PAGERDUTY else rig.incident(
            IncidentEventType.ACKNOWLEDGED
        )
    with capture_logs() as lines:
        made = DeadLetterFailedDelivery(rig.database, rig.links, meter, rig.clock)
        made(rig.link().link_id, side, rig.link().delivery(side).seq, "KeyError")
    assert [kind] == meter.kinds
    level = "critical" if kind == "page" else "error"
    assert [level] == [line["log_level"] for line in lines if line["event"] in ("page.refused", "delivery.dead")]


def test_a_broken_delivery_that_would_open_an_incident_again_is_as_loud_too(rig: Rig) -> None:
    meter = CountingMeter()
    rig.run()
    for event_type in (AlertEventType.RESOLVED, AlertEventType.REOPENED):
        rig.clock.move(10)
        rig.alert(event_type)
        if event_type is AlertEventType.RESOLVED:
            rig.run()
    assert (Status.OPEN, Status.RESOLVED) == (rig.link().status, rig.link().incident_side.status)
    made = DeadLetterFailedDelivery(rig.database, rig.links, meter, rig.clock)
    made(rig.link().link_id, SIDE, rig.link().pagerduty.seq, "KeyError")
    assert ["page"] == meter.kinds
