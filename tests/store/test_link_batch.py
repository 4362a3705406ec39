"""A batch of events reads each link once and writes it once, and sees its own changes."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.types import Alert, AlertId, IncidentId, Side, incident_key
from app.domain.sync.link import Link
from app.ports import Tx
from app.store.database import Database, open_bridge, open_inbox
from app.store.links import DECODED_CHARS, StoredLinks
from tests.fakes import START
from tests.shapes import shape

LINKS = StoredLinks()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
    engine, inbox = open_bridge(tmp_path, url), open_inbox(tmp_path, url)
    shape(engine, inbox, tmp_path)
    yield Database(engine)
    engine.dispose()
    inbox.dispose()


def a_link(name: str, incident_id: str | None = None) -> Link:
    alert = Alert(AlertId(name))
    its_incident = IncidentId(incident_id) if incident_id else None
    return Link(alert, incident_key(alert.alert_id), START, incident_id=its_incident)


@pytest.fixture
def stored(database: Database) -> Link:
    with database.begin() as tx:
        return LINKS.add(tx, a_link("a1", "Q1"))


def statements(tx: Tx) -> list[str]:
    """Every statement of this transaction from now on."""
    said: list[str] = []
    assert isinstance(tx, sa.Connection)
    sa.event.listen(tx, "before_cursor_execute", lambda *fields: said.append(fields[2]))
    return said


def later(link: Link, seconds: int) -> Link:
    return replace(link, hold_until=START + timedelta(seconds=seconds))


def test_a_link_that_changes_a_hundred_times_is_read_once_and_written_once(database: Database, stored: Link) -> None:
    with database.begin() as tx:
        said = statements(tx)
        with LINKS.batch(tx):
            for number in range(100):
                link = LINKS.by_alert(tx, AlertId("a1"))
                assert link is not None
                assert link == later(stored, number - 1) or not number
                LINKS.save(tx, later(link, number))
    assert ["SELECT", "UPDATE"] == [text.split()[0] for text in said]
    with database.begin() as tx:
        assert later(stored, 99) == LINKS.by_alert(tx, AlertId("a1"))


def test_whatever_it_is_asked_by_it_is_the_link_as_it_is_by_now(database: Database, stored: Link) -> None:
    with database.begin() as tx, LINKS.batch(tx):
        LINKS.save(tx, later(LINKS.get(tx, stored.link_id), 1))
        assert later(stored, 1) == LINKS.by_alert(tx, AlertId("a1"))
        assert later(stored, 1) == LINKS.by_key(tx, stored.incident_key)
        assert (later(stored, 1),) == LINKS.by_incident(tx, IncidentId("Q1"))


def test_a_link_that_moved_to_another_incident_is_found_there_and_not_where_it_was(
    database: Database, stored: Link
) -> None:
    with database.begin() as tx, LINKS.batch(tx):
        other = LINKS.add(tx, a_link("a2", "Q2"))
        assert (stored,) == LINKS.by_incident(tx, IncidentId("Q1"))
        LINKS.save(tx, replace(stored, incident_id=IncidentId("Q2")))
        assert () == LINKS.by_incident(tx, IncidentId("Q1"))
        moved = replace(stored, incident_id=IncidentId("Q2"))
        assert (moved, other) == LINKS.by_incident(tx, IncidentId("Q2"))


def test_a_link_that_is_new_in_a_batch_is_found_in_it(database: Database) -> None:
    with database.begin() as tx, LINKS.batch(tx):
        assert None is LINKS.by_alert(tx, AlertId("a9"))
        new = LINKS.add(tx, a_link("a9", "Q9"))
        assert new == LINKS.by_alert(tx, AlertId("a9"))
        assert (new,) == LINKS.by_incident(tx, IncidentId("Q9"))


def test_what_a_batch_changed_before_it_broke_is_not_written(database: Database, stored: Link) -> None:
    def breaking() -> None:
        with database.begin() as tx, LINKS.batch(tx):
            LINKS.save(tx, later(stored, 7))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaking()
    with database.begin() as tx:
        assert stored == LINKS.by_alert(tx, AlertId("a1"))


def test_a_transaction_beside_a_batch_knows_nothing_of_it(database: Database, stored: Link) -> None:
    with database.begin() as tx, LINKS.batch(tx):
        LINKS.save(tx, later(stored, 7))
        with database.read() as other:
            assert stored == LINKS.peek(other, stored.link_id)
    with database.begin() as tx:
        assert later(stored, 7).hold_until == LINKS.get(tx, stored.link_id).hold_until
        assert not LINKS.get(tx, stored.link_id).delivery(Side.PAGERDUTY).outstanding


def test_a_link_that_nobody_changed_is_decoded_once_and_one_that_somebody_changed_anew(
    database: Database, stored: Link
) -> None:
    with database.read() as tx:
        before = LINKS.peek(tx, stored.link_id)
    with database.begin() as tx:
        assert before is LINKS.get(tx, stored.link_id)
        LINKS.save(tx, later(stored, 1))
    with database.begin() as tx:
        assert later(stored, 1) == LINKS.get(tx, stored.link_id)
        changed = replace(stored, alert=replace(stored.alert, claim="the claim"))
        LINKS.save(tx, changed)
    with database.begin() as tx:
        assert changed == LINKS.get(tx, stored.link_id)


def test_a_link_with_much_text_is_not_kept_in_memory(database: Database) -> None:
    with database.begin() as tx:
        long = replace(a_link("a2"), alert=Alert(AlertId("a2"), claim="x" * DECODED_CHARS))
        link_id = LINKS.add(tx, long).link_id
    with database.read() as tx:
        first, second = LINKS.peek(tx, link_id), LINKS.peek(tx, link_id)
    assert first == second
    assert first is not second
