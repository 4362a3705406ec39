"""Links as reconciliation reads them, on both stores: the open ones in turn, and those of a page at once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.model.types import Alert, AlertId, IncidentId, LinkId, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.link import Link
from app.domain.sync.side_state import SideState
from app.ports import OpenKind, Page
from app.store.links import StoredLinks, StoredOpenLinks
from app.store.operator_records import StoredRecords
from tests.fakes import START
from tests.store.conftest import Stores

OPEN, RESOLVED = SideState(Status.OPEN, START), SideState(Status.RESOLVED, START)
PAGED, UNPAGED = Decision(Urgency.HIGH, "r", "v", "rule"), Decision(None, "r", "v", "severity_none")
SILENCED = Decision(None, "s", "v", "silenced")


def link(alert_id: str, **fields: object) -> Link:
    made = Link(
        Alert(AlertId(alert_id)), incident_key(AlertId(alert_id)), START, incident_id=IncidentId(f"Q-{alert_id}")
    )
    return replace(made, **fields)  # type: ignore[arg-type]


LINKS = (
    link("open", decision=PAGED, alert_side=OPEN, incident_side=OPEN),
    link("closed", decision=PAGED, alert_side=RESOLVED, incident_side=RESOLVED, agreed=Status.RESOLVED),
    link("alert left", decision=PAGED, alert_side=OPEN, incident_side=RESOLVED),
    link("incident left", decision=PAGED, alert_side=RESOLVED, incident_side=OPEN),
    link("reopen refused", decision=PAGED, alert_side=RESOLVED, incident_side=OPEN, agreed=Status.RESOLVED),
    link("unpaged", decision=UNPAGED, alert_side=OPEN),
    link("silenced", decision=SILENCED, alert_side=OPEN),
    link("silenced closed", decision=SILENCED, alert_side=RESOLVED),
    link("unpaged closed", decision=UNPAGED, alert_side=RESOLVED),
    link("paged, no incident yet", decision=PAGED, alert_side=OPEN, incident_id=None),
    link("over before there was one", decision=PAGED, alert_side=RESOLVED, incident_id=None),
)
EVERY = {str(one.alert.alert_id) for one in LINKS}
OVER = {"closed", "unpaged closed", "silenced closed", "over before there was one"}


@pytest.fixture
def filled(stores: Stores) -> Stores:
    with stores.bridge.begin() as tx:
        for one in LINKS:
            StoredLinks().add(tx, one)
    return stores


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (OpenKind.PAGED, ["open", "alert left", "incident left", "reopen refused", "paged, no incident yet"]),
        (OpenKind.UNPAGED, ["unpaged", "silenced"]),
        (OpenKind.SILENCED, ["silenced"]),
    ],
)
def test_a_link_is_open_until_it_is_over_on_both_sides(filled: Stores, kind: OpenKind, wanted: list[str]) -> None:
    read: list[str] = []
    after = LinkId(0)
    with filled.bridge.read() as tx:
        while batch := StoredOpenLinks().open_after(tx, kind, after, 2):
            assert len(wanted) - len(read) == StoredOpenLinks().count_open(tx, kind, after)
            read += [one.alert.alert_id for one in batch]
            after = batch[-1].link_id
    assert wanted == read


def test_where_links_since_a_time_begin(stores: Stores) -> None:
    """Their numbers need not follow their times; a clock may have been set by an hour."""
    minutes = (0, 20, 10, 300, 290, 310)
    with stores.bridge.begin() as tx:
        for number, minute in enumerate(minutes):
            StoredLinks().add(tx, link(f"a{number}", first_seen_at=START + timedelta(minutes=minute)))
    with stores.bridge.read() as tx:
        found = {
            since: StoredOpenLinks().last_before(tx, START + timedelta(minutes=since))
            for since in (0, 15, 59, 60, 61, 295, 400)
        }
    assert 6 == found[400]
    for since, before in found.items():
        assert all(number > before for number, minute in enumerate(minutes, 1) if minute >= since), since


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
