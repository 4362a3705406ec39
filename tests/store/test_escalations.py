"""Escalations in both stores: what was written is what is read, what is due is found in order, what is over goes one
day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.domain.escalation.state import Escalation, EscalationPlan, Hurry, Move, PlanLevel, State, armed, finished
from app.domain.model.types import Alert, AlertId, IncidentId, LinkId, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.link import Link
from app.domain.sync.side_state import SideState
from app.store.escalations import StoredEscalations
from app.store.links import StoredLinks
from app.store.retention import StoredRetention
from app.store.schema import escalations
from tests.store.conftest import Stores

START = datetime(2026, 5, 4, 9, 0, 0, 123456, tzinfo=UTC)
STORE = StoredEscalations()


def an_escalation(incident_id: str = "Q1", after: float = 60) -> Escalation:
    return armed(
        Escalation(
            IncidentId(incident_id), EscalationPlan("P1", (PlanLevel(after, "the team"), PlanLevel(2 * after))), START
        )
    )


def save(stores: Stores, *escalation_store: Escalation, at: datetime = START) -> None:
    with stores.bridge.begin() as tx:
        for escalation in escalation_store:
            STORE.save(tx, escalation, at)


def test_what_was_written_is_what_is_read(stores: Stores) -> None:
    whole = replace(
        an_escalation(),
        link_id=LinkId(7),
        alert_id=AlertId("a1"),
        by="dana",
        drill=True,
        links_status=Status.ACKNOWLEDGED,
        life=2,
        incident_side=SideState(Status.RESOLVED, START, START),
        begun_at=START,
        levels_done=1,
        skipped=1,
        policy_assigned=True,
        at_level=2,
        at_policy="P1",
        move=Move(2, "P1", 3, START, puts=True),
        attempt=3,
        failing="http_503",
        failing_since=START,
        dead_letter_id=9,
        moves=4,
        hurried=Hurry("ada", START, 3, "k1"),
    )
    save(stores, an_escalation())
    save(stores, whole)
    with stores.bridge.begin() as tx:
        assert whole == STORE.find(tx, whole.incident_id)
        assert whole == STORE.peek(tx, whole.incident_id)
        assert whole == STORE.of_dead_letter(tx, 9)
        assert None is STORE.of_dead_letter(tx, 8)
        assert None is STORE.find(tx, IncidentId("Q2"))


def test_what_is_due_is_found_the_longest_due_first(stores: Stores) -> None:
    save(
        stores,
        an_escalation("Q1", 60),
        an_escalation("Q2", 30),
        an_escalation("Q3", 90),
        finished(an_escalation("Q4", 1), "resolved"),
    )
    due = START + timedelta(seconds=60)
    with stores.bridge.read() as tx:
        assert ("Q2", "Q1") == STORE.due(tx, due, 10)
        assert ("Q2",) == STORE.due(tx, due, 1)
        assert () == STORE.due(tx, START, 10)


def test_what_is_due_is_looked_up_by_an_index(stores: Stores) -> None:
    with stores.bridge.engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            return
        query = "EXPLAIN QUERY PLAN SELECT incident_id FROM escalations WHERE due_at IS NOT NULL AND due_at <= 1"
        assert "escalations_due_at" in str(connection.exec_driver_sql(query).all())


def test_the_list_shows_what_is_under_way_or_everything(stores: Stores) -> None:
    over = finished(an_escalation("Q3"), "resolved")
    save(stores, over, an_escalation("Q1", 60), an_escalation("Q2", 30))
    with stores.bridge.read() as tx:
        assert ["Q2", "Q1"] == [escalation.incident_id for escalation in STORE.listed(tx, 10)]
        assert ["Q2", "Q1", "Q3"] == [escalation.incident_id for escalation in STORE.listed(tx, 10, every=True)]
        assert ["Q2"] == [escalation.incident_id for escalation in STORE.listed(tx, 1, every=True)]


def test_links_without_an_escalation_are_found_by_what_they_are(stores: Stores) -> None:
    paged = Decision(Urgency.HIGH, "r", "v", "rule")

    def link(name: str, **facts: Any) -> Link:
        made = Link(Alert(AlertId(name)), incident_key(AlertId(name)), START, decision=paged)
        return replace(made, incident_id=IncidentId(f"Q{name}"), **facts)

    links, resolved = StoredLinks(), SideState(Status.RESOLVED, START, START)
    with stores.bridge.begin() as tx:
        for one in (
            link("1"), link("2"), link("3", decision=None), link("4", alert_side=resolved),
            link("5", first_seen_at=START - timedelta(seconds=1)), replace(link("6"), incident_id=None),
        ):  # fmt: skip
            links.add(tx, one)
    save(stores, finished(an_escalation("Q2"), "cancelled"))
    with stores.bridge.read() as tx:
        assert ["Q1"] == [one.incident_id for one in STORE.without_escalation(tx, START)]


def test_only_what_is_over_and_needs_no_decision_is_swept(stores: Stores, tmp_path: object) -> None:
    from pathlib import Path

    old, young = START, START + timedelta(days=40)
    over = finished(an_escalation("Q1"), "resolved")
    save(stores, over, an_escalation("Q2"), replace(over, incident_id=IncidentId("Q3"), dead_letter_id=1), at=old)
    save(stores, replace(over, incident_id=IncidentId("Q4")), at=young)
    sweep = StoredRetention(stores.bridge, stores.inbox, Path(str(tmp_path))).sweeps()["escalations"]
    assert 1 == sum(sweep(old + timedelta(days=31)))
    with stores.bridge.engine.connect() as connection:
        left = connection.execute(sa.select(escalations.c.incident_id).order_by(escalations.c.incident_id)).scalars()
        assert ["Q2", "Q3", "Q4"] == list(left)


def test_a_row_of_a_newer_version_can_be_read(stores: Stores) -> None:
    save(stores, an_escalation())
    with stores.bridge.begin() as tx:
        state = (
            '{"incident_id":"Q1","course":{"policy_id":null,"rungs":[]},"clock_at":"2026-05-04T09:00:00Z","later":1}'
        )
        from app.store.database import connection

        connection(tx).execute(sa.update(escalations).values(state=state))
        read = STORE.peek(tx, IncidentId("Q1"))
    assert read is not None
    assert (State.RUNNING, None) == (read.state, read.next_level)
