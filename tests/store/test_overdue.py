"""What has been owed for long, on both stores: in pages by age, each once, and by an index."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.model.types import Alert, AlertId, LinkId, Side, incident_key
from app.domain.sync.link import DeliveryState, Link
from app.ports import DeadLetter
from app.store.links import StoredDeadLetters, StoredLinks, StoredOverdue
from tests.fakes import START
from tests.store.conftest import Stores

LATER = START + timedelta(hours=1)


def enqueued(stores: Stores, name: str, minutes: int | None, side: Side = Side.PAGERDUTY, seq: int = 3) -> LinkId:
    alert_id = AlertId(name)
    link = Link(Alert(alert_id, "high"), incident_key(alert_id), START)
    if minutes is not None:
        link = link.with_delivery(
            side, DeliveryState(outstanding=True, seq=seq, since=START + timedelta(minutes=minutes))
        )
    with stores.bridge.begin() as tx:
        return StoredLinks().add(tx, link).link_id


def pages(stores: Stores, side: Side, limit: int) -> list[list[tuple[LinkId, int | None]]]:
    found: list[list[tuple[LinkId, int | None]]] = []
    after = None
    while True:
        with stores.bridge.read() as tx:
            rows = StoredOverdue().overdue(tx, side, LATER, after, limit)
        if not rows:
            return found
        found.append([(link_id, seq) for _, link_id, seq in rows])
        after = rows[-1][:2]


def test_the_oldest_come_first_each_once_also_of_one_moment(stores: Stores) -> None:
    third, first, second = (enqueued(stores, name, minutes) for name, minutes in (("a", 9), ("b", 5), ("c", 9)))
    enqueued(stores, "settled", None)
    enqueued(stores, "young", 60)
    here = enqueued(stores, "here", 1, Side.TRUTHVOUCH, 7)
    assert [[(first, 3)], [(third, 3)], [(second, 3)]] == pages(stores, Side.PAGERDUTY, 1)
    assert [[(first, 3), (third, 3)], [(second, 3)]] == pages(stores, Side.PAGERDUTY, 2)
    assert [[(here, 7)]] == pages(stores, Side.TRUTHVOUCH, 10)


def test_one_that_cannot_be_read_has_no_number(stores: Stores) -> None:
    broken = enqueued(stores, "broken", 1)
    with stores.bridge.engine.begin() as connection:
        connection.execute(sa.text("UPDATE links SET state = '{'"))
    assert [[(broken, None)]] == pages(stores, Side.PAGERDUTY, 10)


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
def test_an_index_finds_them(stores: Stores) -> None:
    asked: list[tuple[str, Any]] = []
    sa.event.listen(
        stores.bridge.engine, "before_cursor_execute", lambda _c, _k, text, fields, *_: asked.append((text, fields))
    )
    pages(stores, Side.PAGERDUTY, 10)
    query, fields = asked[-1]
    with stores.bridge.engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", fields).all())
    assert "links_pagerduty_since" in plan
    assert "TEMP B-TREE" not in plan


def test_the_other_open_dead_letters_of_a_side(stores: Stores) -> None:
    mine, others = enqueued(stores, "mine", None), enqueued(stores, "other", None)
    wanted = DeadLetter(0, "effect", "first", START, link_id=mine, side=Side.PAGERDUTY)
    with stores.bridge.begin() as tx:
        links = StoredLinks()
        first, second, closed = (
            links.add_dead_letter(tx, replace(wanted, reason=word)) for word in ("one", "two", "closed")
        )
        links.add_dead_letter(tx, replace(wanted, reason="elsewhere", link_id=others))
        links.add_dead_letter(tx, replace(wanted, reason="other side", side=Side.TRUTHVOUCH))
        StoredDeadLetters().close(tx, closed, "discarded", START, "somebody")
    with stores.bridge.begin() as tx:
        dead_letters = StoredDeadLetters()
        found = [dead_letters.get(tx, number) for number in (first, second, closed)]
        assert [("two",), ("one",), ("one", "two")] == [
            dead_letters.others_of_side(tx, dead_letter) for dead_letter in found if dead_letter
        ]
