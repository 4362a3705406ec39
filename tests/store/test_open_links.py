"""Links as reconciliation reads them, on both stores: the open ones in turn, and those of a page at once."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.domain.alert import Alert
from app.domain.link import Clock, Known, Link
from app.domain.names import AlertId, IncidentId, LinkId, Status, Urgency, incident_key
from app.domain.rulebook import Decision
from app.store.links import StoredLinks
from app.store.open_links import StoredOpenLinks
from tests.fakes import START
from tests.store.conftest import Stores

OPEN, RESOLVED = Known(Status.OPEN, START), Known(Status.RESOLVED, START)
PAGED, UNPAGED = Decision(Urgency.HIGH, "r", "v", "rule"), Decision(None, "r", "v", "severity_none")
OVER = Clock(resolved_at=START)


def link(alert_id: str, **told: object) -> Link:
    made = Link(
        Alert(AlertId(alert_id)), incident_key(AlertId(alert_id)), START, incident_id=IncidentId(f"Q-{alert_id}")
    )
    return replace(made, **told)  # type: ignore[arg-type]


LINKS = (
    link("open", decision=PAGED, alert_side=OPEN, incident_side=OPEN),
    link("closed", decision=PAGED, alert_side=RESOLVED, incident_side=RESOLVED, clock=OVER),
    link("alert left", decision=PAGED, alert_side=OPEN, incident_side=RESOLVED, clock=OVER),
    link("incident left", decision=PAGED, alert_side=RESOLVED, incident_side=OPEN, clock=OVER),
    link("unpaged", decision=UNPAGED, alert_side=OPEN),
    link("unpaged closed", decision=UNPAGED, alert_side=OPEN, clock=OVER),
)


@pytest.fixture
def filled(stores: Stores) -> Stores:
    with stores.bridge.begin() as tx:
        for one in LINKS:
            StoredLinks().add(tx, one)
    return stores


@pytest.mark.parametrize(
    ("paged", "wanted"),
    [
        (None, ["open", "alert left", "incident left", "unpaged"]),
        (True, ["open", "alert left", "incident left"]),
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
