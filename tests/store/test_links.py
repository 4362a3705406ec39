"""Links, unmatched events, the time line and dead letters on both stores."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.domain.model.events import IncidentEvent, IncidentEventType
from app.domain.model.types import Alert, AlertId, IncidentId, IncidentKey, LinkId, Side, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.link import DeliveryState, Flip, HistoryEntry, Link, Note
from app.domain.sync.side_state import PendingWrite, SideState
from app.ports import DeadLetter, TimelineEntry
from app.store.links import StoredLinks
from app.store.schema import dead_letters, timeline
from tests.fakes import START
from tests.store.conftest import Stores

FULL = Link(
    Alert(
        AlertId("a/1 ü\u2603"), severity="critical", confidence=0.05, confidence_text="5%", extra={"n": 1, "b": True}
    ),
    incident_key(AlertId("a/1")),
    START,
    agreed=Status.ACKNOWLEDGED,
    alert_side=SideState(
        Status.OPEN,
        START + timedelta(microseconds=1),
        START,
        by_us=True,
        confirmed=True,
        previous=Status.RESOLVED,
        previous_at=START,
        unconfirmed_count=2,
        written=(Status.RESOLVED, Status.OPEN),
    ),
    incident_side=SideState(
        Status.ACKNOWLEDGED,
        None,
        START,
        inherited=True,
        conflict=Status.RESOLVED,
        must_read=True,
        read_at=START,
        found_after=START - timedelta(minutes=1),
        pending=PendingWrite(
            Status.RESOLVED,
            START,
            accepted_at=START,
            answered_at=START,
            unreadable=True,
            furthest=Status.OPEN,
            furthest_at=START,
            reopened_at=START,
            earlier=(Status.ACKNOWLEDGED,),
        ),
    ),
    life=3,
    closed_from=Side.TRUTHVOUCH,
    incident_hint=IncidentId("Q2"),
    former_incidents=(IncidentId("Q0"),),
    history=(HistoryEntry(START, "acknowledged", Side.PAGERDUTY, "Dana", START + timedelta(seconds=2)),),
    history_dropped=7,
    flips=(Flip(START, Side.PAGERDUTY, START - timedelta(seconds=2)),),
    decision=Decision(Urgency.HIGH, "rule", "abc", "rule", "title", "PSVC", "PEP"),
    incident_id=IncidentId("Q1"),
    notes=(Note("deadbeef", "[TruthVouch] x (ref deadbeef)"),),
    pagerduty=DeliveryState(outstanding=True, seq=3, since=START, refused=Status.OPEN),
)
links = StoredLinks()


def test_a_link_comes_back_as_it_went(stores: Stores) -> None:
    with stores.bridge.begin() as tx:
        stored = links.add(tx, FULL)
    with stores.bridge.begin() as tx:
        assert stored == links.by_alert(tx, FULL.alert.alert_id)
        assert stored == links.by_key(tx, FULL.incident_key)
        assert (stored,) == links.by_incident(tx, IncidentId("Q1"))
        assert None is links.by_alert(tx, AlertId("other"))
        with pytest.raises(KeyError):
            links.get(tx, LinkId(999))


def test_a_link_written_by_an_older_version_is_read(stores: Stores) -> None:
    with stores.bridge.begin() as tx:
        stored = links.add(tx, Link(Alert(AlertId("a1")), IncidentKey("k"), START))
        assert replace(stored, link_id=stored.link_id) == links.get(tx, stored.link_id)


def test_an_exception_leaves_nothing_behind(stores: Stores) -> None:
    def add_and_break() -> None:
        with stores.bridge.begin() as tx:
            links.add(tx, FULL)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        add_and_break()
    with stores.bridge.begin() as tx:
        assert None is links.by_alert(tx, FULL.alert.alert_id)


def test_of_two_links_for_one_alert_the_second_is_refused(stores: Stores) -> None:
    with stores.bridge.begin() as tx:
        links.add(tx, FULL)
    with pytest.raises(sa.exc.IntegrityError), stores.bridge.begin() as tx:
        links.add(tx, FULL)


def test_two_writers_of_one_link_never_lose_a_change(stores: Stores) -> None:
    with stores.bridge.begin() as tx:
        link_id = links.add(tx, replace(FULL, notes=())).link_id

    def add_ten(writer: int) -> None:
        for n in range(10):
            with stores.bridge.begin() as tx:
                link = links.get(tx, link_id)
                links.save(tx, replace(link, notes=(*link.notes, Note(f"{writer}-{n}", "x"))))

    threads = [threading.Thread(target=add_ten, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stores.bridge.begin() as tx:
        assert 40 == len(links.get(tx, link_id).notes)


def test_unmatched_events_are_taken_once_in_the_order_they_came(stores: Stores) -> None:
    said = [
        IncidentEvent(event_type, IncidentId("Q9"), f"incident.{event_type}", START)
        for event_type in (IncidentEventType.TRIGGERED, IncidentEventType.ACKNOWLEDGED)
    ]
    with stores.bridge.begin() as tx:
        for number, event in enumerate(said):
            links.keep_unmatched(tx, event, number, START)
    with stores.bridge.begin() as tx:
        assert tuple(said) == links.take_unmatched(tx, IncidentId("Q9"))
        assert () == links.take_unmatched(tx, IncidentId("Q9"))


def test_the_time_line_and_the_dead_letters_are_kept(stores: Stores) -> None:
    with stores.bridge.begin() as tx:
        links.write_timeline(tx, [TimelineEntry(START, "alert.created", LinkId(1), "a1", facts={"urgency": "high"})])
        links.add_dead_letter(tx, DeadLetter(0, "event", "not_json", START, side=Side.TRUTHVOUCH, inbox_id=4))
    with stores.bridge.engine.connect() as connection:
        assert (START, "alert.created", '{"urgency":"high"}') == tuple(
            connection.execute(sa.select(timeline.c.at, timeline.c.event, timeline.c.facts)).one()
        )
        assert ("not_json", "truthvouch") == tuple(
            connection.execute(sa.select(dead_letters.c.reason, dead_letters.c.side)).one()
        )
