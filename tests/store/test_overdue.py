"""What has been owed for long, on both stores: in pages by age, each once, and by an index."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.alert import Alert
from app.domain.link import Lane, Link
from app.domain.names import AlertId, LinkId, Side, incident_key
from app.ports import Letter
from app.store.letters import StoredLetters
from app.store.links import StoredLinks
from app.store.overdue import StoredOverdue
from tests.fakes import START
from tests.store.conftest import Stores

LATER = START + timedelta(hours=1)


def owing(stores: Stores, name: str, minutes: int | None, side: Side = Side.PAGERDUTY, seq: int = 3) -> LinkId:
    alert_id = AlertId(name)
    link = Link(Alert(alert_id, "high"), incident_key(alert_id), START)
    if minutes is not None:
        link = link.with_lane(side, Lane(outstanding=True, seq=seq, since=START + timedelta(minutes=minutes)))
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
    third, first, second = (owing(stores, name, minutes) for name, minutes in (("a", 9), ("b", 5), ("c", 9)))
    owing(stores, "settled", None)
    owing(stores, "young", 60)
    here = owing(stores, "here", 1, Side.TRUTHVOUCH, 7)
    assert [[(first, 3)], [(third, 3)], [(second, 3)]] == pages(stores, Side.PAGERDUTY, 1)
    assert [[(first, 3), (third, 3)], [(second, 3)]] == pages(stores, Side.PAGERDUTY, 2)
    assert [[(here, 7)]] == pages(stores, Side.TRUTHVOUCH, 10)


def test_one_that_cannot_be_read_has_no_number(stores: Stores) -> None:
    broken = owing(stores, "broken", 1)
    with stores.bridge.engine.begin() as connection:
        connection.execute(sa.text("UPDATE links SET state = '{'"))
    assert [[(broken, None)]] == pages(stores, Side.PAGERDUTY, 10)


@pytest.mark.parametrize("stores", ["sqlite"], indirect=True)
def test_an_index_finds_them(stores: Stores) -> None:
    asked: list[tuple[str, Any]] = []
    sa.event.listen(
        stores.bridge.engine, "before_cursor_execute", lambda _c, _k, text, told, *_: asked.append((text, told))
    )
    pages(stores, Side.PAGERDUTY, 10)
    query, told = asked[-1]
    with stores.bridge.engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", told).all())
    assert "links_pagerduty_since" in plan
    assert "TEMP B-TREE" not in plan


def test_the_other_open_letters_of_a_lane(stores: Stores) -> None:
    mine, others = owing(stores, "mine", None), owing(stores, "other", None)
    wanted = Letter(0, "effect", "first", START, link_id=mine, side=Side.PAGERDUTY)
    with stores.bridge.begin() as tx:
        links = StoredLinks()
        first, second, closed = (
            links.add_letter(tx, replace(wanted, reason=word)) for word in ("one", "two", "closed")
        )
        links.add_letter(tx, replace(wanted, reason="elsewhere", link_id=others))
        links.add_letter(tx, replace(wanted, reason="other side", side=Side.TRUTHVOUCH))
        StoredLetters().close(tx, closed, "discarded", START, "somebody")
    with stores.bridge.begin() as tx:
        letters = StoredLetters()
        found = [letters.get(tx, number) for number in (first, second, closed)]
        assert [("two",), ("one",), ("one", "two")] == [
            letters.others_of_lane(tx, letter) for letter in found if letter
        ]
