"""What people ask for by an id or by the number that PagerDuty shows them, on both stores."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.alert import Alert
from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, Side, incident_key
from app.ports import Letter, Page, TimelineEntry
from app.store.letters import StoredLetters, newest_page
from app.store.links import StoredLinks
from app.store.records import StoredRecords
from app.store.vitals import StoredVitals
from tests.fakes import START
from tests.store.conftest import Stores

records = StoredRecords()


def keep(stores: Stores, alert_id: str, incident_id: str, number: int | None, **told: str | int) -> None:
    alert = Alert(AlertId(alert_id), extra=dict(told))
    link = Link(alert, incident_key(alert.alert_id), START, incident_id=IncidentId(incident_id), incident_number=number)
    with stores.bridge.begin() as tx:
        link_id = StoredLinks().add(tx, link).link_id
        StoredLinks().write_timeline(tx, [TimelineEntry(START, f"{alert_id}.told", link_id, alert_id)])


def found(stores: Stores, wanted: str) -> list[str]:
    with stores.bridge.read() as tx:
        told = [row["alert_id"] for row in records.timeline(tx, wanted, Page(10))]
        assert told == [link.alert.alert_id for link in records.about(tx, wanted)]
    return told


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
    ("letter", "is_page"),
    [
        (Letter(0, "effect", "invalid_input", START, side=Side.PAGERDUTY, effect="OpenIncident"), True),
        (Letter(0, "effect", "gave_up:http_500", START, side=Side.PAGERDUTY, effect="LookForIncident"), True),
        (Letter(0, "effect", "bad_status", START, side=Side.PAGERDUTY, effect="SetIncident open"), True),
        (Letter(0, "effect", "delivery_broke:KeyError", START, side=Side.PAGERDUTY), True),
        (Letter(0, "escalation", "policy_not_found", START, effect="level 1"), True),
        (Letter(0, "event", "not_json", START, side=Side.TRUTHVOUCH, inbox_id=1), True),
        (Letter(0, "event", "not_json", START, side=Side.PAGERDUTY, inbox_id=1), False),
        (Letter(0, "event", "unknown_mail", START, inbox_id=1), False),
        (Letter(0, "effect", "conflict", START, side=Side.TRUTHVOUCH, effect="SetAlert resolved"), False),
        (Letter(0, "effect", "delivery_broke:KeyError", START, side=Side.TRUTHVOUCH), False),
        (Letter(0, "effect", "bad_request", START, side=Side.PAGERDUTY, effect="AddNote"), False),
        (Letter(0, "effect", "bad_status", START, side=Side.PAGERDUTY, effect="SetIncident resolved"), False),
    ],
)
def test_a_dead_letter_that_may_be_a_page_is_told_apart(stores: Stores, letter: Letter, is_page: bool):
    assert is_page is letter.is_page, "what is counted and logged agrees with what the doctor reads"
    vitals = StoredVitals(stores.bridge, stores.inbox)
    assert (0, 0) == (vitals.read().dead, vitals.read().dead_pages)
    with stores.bridge.begin() as tx:
        number = StoredLinks().add_letter(tx, letter)
    assert (1, int(is_page)) == (vitals.read().dead, vitals.read().dead_pages)
    with stores.bridge.read() as tx:
        assert newest_page(tx) == (replace(letter, letter_id=number) if is_page else None)
    with stores.bridge.begin() as tx:
        StoredLetters().close(tx, number, "discarded", START, "somebody")
    assert (0, 0) == (vitals.read().dead, vitals.read().dead_pages)


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


def test_links_are_listed_since_they_were_first_heard_of(stores: Stores) -> None:
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
