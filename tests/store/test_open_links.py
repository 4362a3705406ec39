"""Links as reconciliation reads them, on both stores: the open ones in turn, and those of a page at once."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.domain.alert import Alert
from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, LinkId, Status, Urgency, incident_key
from app.domain.rulebook import Decision
from app.domain.side_state import SideState
from app.ports import Page
from app.store.links import StoredLinks
from app.store.open_links import StoredOpenLinks
from app.store.records import StoredRecords
from tests.fakes import START
from tests.store.conftest import Stores

OPEN, RESOLVED = SideState(Status.OPEN, START), SideState(Status.RESOLVED, START)
PAGED, UNPAGED = Decision(Urgency.HIGH, "r", "v", "rule"), Decision(None, "r", "v", "severity_none")


def link(alert_id: str, **told: object) -> Link:
    made = Link(
        Alert(AlertId(alert_id)), incident_key(AlertId(alert_id)), START, incident_id=IncidentId(f"Q-{alert_id}")
    )
    return replace(made, **told)  # type: ignore[arg-type]


LINKS = (
    link("open", decision=PAGED, alert_side=OPEN, incident_side=OPEN),
    link("closed", decision=PAGED, alert_side=RESOLVED, incident_side=RESOLVED, agreed=Status.RESOLVED),
    link("alert left", decision=PAGED, alert_side=OPEN, incident_side=RESOLVED),
    link("incident left", decision=PAGED, alert_side=RESOLVED, incident_side=OPEN),
    link("reopen refused", decision=PAGED, alert_side=RESOLVED, incident_side=OPEN, agreed=Status.RESOLVED),
    link("unpaged", decision=UNPAGED, alert_side=OPEN),
    link("unpaged closed", decision=UNPAGED, alert_side=RESOLVED),
    link("paged, no incident yet", decision=PAGED, alert_side=OPEN, incident_id=None),
    link("over before there was one", decision=PAGED, alert_side=RESOLVED, incident_id=None),
)
EVERY = {str(one.alert.alert_id) for one in LINKS}
OVER = {"closed", "unpaged closed", "over before there was one"}


@pytest.fixture
def filled(stores: Stores) -> Stores:
    with stores.bridge.begin() as tx:
        for one in LINKS:
            StoredLinks().add(tx, one)
    return stores


@pytest.mark.parametrize(
    ("paged", "wanted"),
    [
        (None, ["open", "alert left", "incident left", "reopen refused", "unpaged", "paged, no incident yet"]),
        (True, ["open", "alert left", "incident left", "reopen refused", "paged, no incident yet"]),
        (False, ["unpaged"]),
    ],
)
def test_a_link_is_open_until_it_is_over_on_both_sides(filled: Stores, paged: bool | None, wanted: list[str]) -> None:
    read: list[str] = []
    after = LinkId(0)
    with filled.bridge.read() as tx:
        while batch := StoredOpenLinks().open_after(tx, after, 2, paged):
            read += [one.alert.alert_id for one in batch]
            after = batch[-1].link_id
    assert wanted == read


def test_lists_and_the_link_itself_agree(filled: Stores) -> None:
    with filled.bridge.read() as tx:
        found = {
            is_open: {str(row["alert_id"]) for row in StoredRecords().links(tx, Page(100), is_open)}
            for is_open in (True, False, None)
        }
    assert {True: EVERY - OVER, False: OVER, None: EVERY} == found
    assert OVER == {str(one.alert.alert_id) for one in LINKS if one.is_over}


def test_the_links_of_a_page_are_read_at_once_open_or_not(filled: Stores) -> None:
    with filled.bridge.read() as tx:
        ids, key = [IncidentId("Q-closed"), IncidentId("Q-nobody")], incident_key(AlertId("open"))
        on_incidents = StoredOpenLinks().on_incidents(tx, ids, [key])
        of_alerts = StoredOpenLinks().of_alerts(tx, [AlertId("closed"), AlertId("nobody")])
        assert () == StoredOpenLinks().on_incidents(tx, [], [])
    assert ["open", "closed"] == [one.alert.alert_id for one in on_incidents]
    assert ["closed"] == list(of_alerts)


def test_open_links_are_found_without_reading_the_closed_ones(filled: Stores) -> None:
    """Of a hundred thousand links a few hundred are open."""
    if filled.bridge.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL plans by the table's size; the index is the same")
    statements: list[tuple[str, object]] = []
    sa.event.listen(filled.bridge.engine, "before_cursor_execute", lambda *told: statements.append((told[2], told[3])))
    with filled.bridge.read() as tx:
        StoredOpenLinks().open_after(tx, LinkId(0), 10)
    statement, values = statements[-1]
    with filled.bridge.engine.connect() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values).all()  # type: ignore[arg-type]
    assert "links_open" in str(plan)
