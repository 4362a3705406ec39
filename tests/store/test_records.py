"""What people ask for by an id or by the number that PagerDuty shows them, on both stores."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.domain.model.types import Alert, AlertId, IncidentId, Side, incident_key
from app.domain.sync.link import Link
from app.ports import DeadLetter, Page, TimelineEntry
from app.store.database import connection
from app.store.links import StoredDeadLetters, StoredLinks, newest_page
from app.store.operator_records import StoredRecords
from app.store.schema import links
from tests.fakes import START
from tests.shapes import health_of
from tests.store.conftest import Stores

records = StoredRecords()


def keep(stores: Stores, alert_id: str, incident_id: str, number: int | None, **fields: str | int) -> None:
    alert = Alert(AlertId(alert_id), extra=dict(fields))
    link = Link(alert, incident_key(alert.alert_id), START, incident_id=IncidentId(incident_id), incident_number=number)
    with stores.bridge.begin() as tx:
        link_id = StoredLinks().add(tx, link).link_id
        StoredLinks().write_timeline(tx, [TimelineEntry(START, f"{alert_id}.told", link_id, alert_id)])


def found(stores: Stores, wanted: str) -> list[str | None]:
    with stores.bridge.read() as tx:
        answer = [row["alert_id"] for row in records.timeline(tx, wanted, Page(10))]
        assert answer == [link.alert.alert_id for link in records.about(tx, wanted)]
    return answer


@pytest.fixture
def kept(stores: Stores) -> Stores:
    keep(stores, "a2", "Q2", 2)
    keep(stores, "also-2", "Q2", 2)
    keep(stores, "a22", "Q22", 22)
    keep(stores, "a3", "Q3", 3, incident_number=2, text='"incident_number":2,')
    keep(stores, "7", "Q8", 8)
    keep(stores, "a7", "Q7", 7)
    keep(stores, "huge", "QH", 2**70)
    return stores


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("a2", ["a2"]),
        ("Q2", ["a2", "also-2"]),
        ("2", ["a2", "also-2"]),
        ("#2", ["a2", "also-2"]),
        ("22", ["a22"]),
        ("7", ["7"]),
        ("#7", ["a7"]),
        ("huge", ["huge"]),
        ("1", []),
        ("%", []),
        ("#", []),
        ("²", []),
        ("9" * 5000, []),
        ("2\0", []),
    ],
)
def test_an_id_counts_before_a_number(kept: Stores, wanted: str, expected: list[str]) -> None:
    assert expected == found(kept, wanted)


@pytest.mark.parametrize(
    ("dead_letter", "is_page"),
    [
        (DeadLetter(0, "effect", "invalid_input", START, side=Side.PAGERDUTY, effect="OpenIncident"), True),
        (DeadLetter(0, "effect", "gave_up:http_500", START, side=Side.PAGERDUTY, effect="LookForIncident"), True),
        (DeadLetter(0, "effect", "bad_status", START, side=Side.PAGERDUTY, effect="SetIncident open"), True),
        (DeadLetter(0, "effect", "delivery_broke:KeyError", START, side=Side.PAGERDUTY), True),
        (DeadLetter(0, "escalation", "policy_not_found", START, effect="level 1"), True),
        (DeadLetter(0, "event", "not_json", START, side=Side.TRUTHVOUCH, inbox_id=1), True),
        (DeadLetter(0, "event", "not_json", START, side=Side.PAGERDUTY, inbox_id=1), False),
        (DeadLetter(0, "event", "unknown_internal_event", START, inbox_id=1), False),
        (DeadLetter(0, "effect", "conflict", START, side=Side.TRUTHVOUCH, effect="SetAlert resolved"), False),
        (DeadLetter(0, "effect", "delivery_broke:KeyError", START, side=Side.TRUTHVOUCH), False),
        (DeadLetter(0, "effect", "bad_request", START, side=Side.PAGERDUTY, effect="AddNote"), False),
        (DeadLetter(0, "effect", "bad_status", START, side=Side.PAGERDUTY, effect="SetIncident resolved"), False),
    ],
)
def test_a_dead_letter_that_may_be_a_page_is_reported_apart(stores: Stores, dead_letter: DeadLetter, is_page: bool):
    assert is_page is dead_letter.is_page, "what is counted and logged agrees with what the doctor reads"
    health_source = health_of(stores.bridge, stores.inbox)
    assert (0, 0) == (health_source.read().dead, health_source.read().dead_pages)
    with stores.bridge.begin() as tx:
        number = StoredLinks().add_dead_letter(tx, dead_letter)
    assert (1, int(is_page)) == (health_source.read().dead, health_source.read().dead_pages)
    with stores.bridge.read() as tx:
        assert newest_page(tx) == (replace(dead_letter, dead_letter_id=number) if is_page else None)
    with stores.bridge.begin() as tx:
        StoredDeadLetters().close(tx, number, "discarded", START, "somebody")
    assert (0, 0) == (health_source.read().dead, health_source.read().dead_pages)


def test_lines_about_what_no_link_is_on_any_more_are_found(kept: Stores) -> None:
    of_no_link = [TimelineEntry(START, "parked", None, "a1"), TimelineEntry(START, "strange", None, None, "QSTRANGER")]
    with kept.bridge.begin() as tx:
        moved = TimelineEntry(START, "merged", StoredLinks().by_alert(tx, AlertId("a22")).link_id, "a22", "QGONE")  # type: ignore[union-attr]
        StoredLinks().write_timeline(tx, [*of_no_link, moved])
    with kept.bridge.read() as tx:
        found_by = {wanted: records.timeline(tx, wanted, Page(10)) for wanted in ("a1", "QSTRANGER", "QGONE", "a9")}
    assert {"a1": ["parked"], "QSTRANGER": ["strange"], "QGONE": ["merged"], "a9": []} == {
        wanted: [row["event"] for row in rows] for wanted, rows in found_by.items()
    }


def listed(stores: Stores, *asked: object, **more: object) -> list[str]:
    with stores.bridge.read() as tx:
        return [row["alert_id"] for row in records.links(tx, *asked, **more)]  # type: ignore[arg-type]


def test_links_are_listed_newest_first_and_go_on_where_a_piece_ended(kept: Stores) -> None:
    with kept.bridge.read() as tx:
        piece = records.links(tx, Page(3))
    assert ["huge", "a7", "7"] == [row["alert_id"] for row in piece]
    assert ["a3", "a22", "also-2", "a2"] == listed(kept, Page(100, piece[-1]["id"]))
    assert [] == listed(kept, Page(100, 1))


def test_links_are_listed_since_they_were_first_received_of(stores: Stores) -> None:
    """Their numbers need not follow their times."""
    minutes = {"a": 0, "b": 20, "c": 10, "d": 300, "e": 290, "f": 310}
    with stores.bridge.begin() as tx:
        for name, minute in minutes.items():
            alert = Alert(AlertId(name))
            seen_at = START + timedelta(minutes=minute)
            StoredLinks().add(tx, Link(alert, incident_key(alert.alert_id), seen_at))
    for since, wanted in ((0, "fedcba"), (10, "fedcb"), (11, "fedb"), (290, "fed"), (300, "fd"), (311, "")):
        assert list(wanted) == listed(stores, Page(10), since=START + timedelta(minutes=since)), since
    assert list("fedcba") == listed(stores, Page(10), since=datetime(1, 1, 1, tzinfo=UTC))
    assert ["d"] == listed(stores, Page(1, 6), since=START + timedelta(minutes=291))


@pytest.mark.parametrize("wanted", ["a22", "Q22", "22"])
def test_what_happened_to_a_link_is_told_though_its_state_cannot_be_read(kept: Stores, wanted: str) -> None:
    with kept.bridge.begin() as tx:
        connection(tx).execute(sa.update(links).where(links.c.alert_id == "a22").values(state="[]"))
    with kept.bridge.read() as tx:
        assert ["a22"] == [row["alert_id"] for row in records.timeline(tx, wanted, Page(10))]
