"""What the version before wrote under other names is read.

What this one writes that one can read, too, but for names of time line entries, outcomes and reasons.
"""

import json
from datetime import UTC, datetime

import sqlalchemy as sa

from app.domain.escalation.state import Escalation, EscalationPlan, PlanLevel
from app.domain.model.events import AlertEvent, AlertEventType, IncidentEvent, IncidentEventType
from app.domain.model.types import Alert, AlertId, IncidentId
from app.ports import DeadLetter, Page, TimelineEntry
from app.store import codec
from app.store import inbox as internal_events
from app.store.links import StoredDeadLetters, StoredLinks
from app.store.operator_records import StoredRecords
from app.store.schema import timeline
from tests.store.conftest import Stores

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
INCIDENT = IncidentEvent(IncidentEventType.ACKNOWLEDGED, IncidentId("Q1"), "incident.acknowledged", AT)
ALERT = AlertEvent(AlertEventType.RESOLVED, Alert(AlertId("a1")), "alert.dismissed", AT)
STORED_INCIDENT = {
    "verb": "acknowledged", "incident_id": "Q1", "event": "incident.acknowledged", "at": "2026-03-02T09:00:00Z",
}  # fmt: skip


def test_an_event_is_stored_under_the_names_it_had_at_first() -> None:
    text = json.dumps(STORED_INCIDENT, separators=(",", ":"))
    assert text == codec.INCIDENT_EVENT.dump(INCIDENT)
    assert INCIDENT == codec.INCIDENT_EVENT.load(text)


def test_so_is_what_the_bridge_puts_into_its_own_inbox() -> None:
    body = internal_events.encode_observed_events(ALERT, INCIDENT)
    alert = {"verb": "resolved", "alert": {"alert_id": "a1"}, "event": "alert.dismissed", "at": "2026-03-02T09:00:00Z"}
    assert {"alerts": [alert], "incidents": [STORED_INCIDENT]} == json.loads(body)
    assert (ALERT, INCIDENT) == internal_events.read(body, None)


def test_an_escalation_is_stored_under_the_names_it_had_at_first() -> None:
    stored = {
        "incident_id": "Q1", "clock_at": "2026-05-04T09:00:00.123456Z", "fired": 1, "placed": True, "at_policy": "P1",
        "course": {"policy_id": "P1", "rungs": [{"timeout_seconds": 60.0, "description": "the team"}]}, "letter_id": 7,
    }  # fmt: skip
    at, plan = datetime(2026, 5, 4, 9, 0, 0, 123456, UTC), EscalationPlan("P1", (PlanLevel(60, "the team"),))
    known = Escalation(
        IncidentId("Q1"), plan, at, levels_done=1, policy_assigned=True, at_policy="P1", dead_letter_id=7
    )
    assert known == codec.ESCALATION.load(json.dumps(stored))
    assert stored == json.loads(codec.ESCALATION.dump(known))


def test_time_line_entries_of_the_version_before_have_the_names_of_today(stores: Stores) -> None:
    old: dict[str, dict[str, object]] = {
        "letter.discarded": {"letter": 7},
        "lane.resubmitted": {"side": "pagerduty", "seq": 2},
        "alert.created": {"outcome": "no_incident_deserved", "rule": "severity_map"},
        "link.thawed": {},
        "alert.not_kept": {"outcome": "not_kept", "reason": "not_kept"},
        "incident.triggered": {"outcome": "already_so", "kept": True},
        "link.history_full": {"kept": 500},
    }
    with stores.bridge.begin() as tx:
        entries = [TimelineEntry(AT, event, alert_id="a1", facts=facts) for event, facts in old.items()]
        StoredLinks().write_timeline(tx, entries)
        rows = StoredRecords().timeline(tx, "a1", Page(10))
    assert [
        ("dead_letter.discarded", {"dead_letter": 7}),
        ("delivery.resubmitted", {"side": "pagerduty", "seq": 2}),
        ("alert.created", {"outcome": "no_incident_wanted", "rule": "severity_map"}),
        ("link.thawed", {}),
        ("alert.write_lost", {"outcome": "write_lost", "reason": "write_lost"}),
        ("incident.triggered", {"outcome": "already_so", "replayed": True}),
        ("link.history_full", {"kept": 500}),
    ] == [(row["event"], row["facts"]) for row in rows]
    with stores.bridge.engine.connect() as connection:
        assert list(old) == list(connection.execute(sa.select(timeline.c.event).order_by(timeline.c.id)).scalars())


def test_so_has_the_reason_of_a_dead_letter(stores: Stores) -> None:
    with stores.bridge.begin() as tx:
        number = StoredLinks().add_dead_letter(tx, DeadLetter(0, "effect", "not_kept", AT, 3, ""))
        known, row = StoredDeadLetters().get(tx, number), StoredRecords().dead_letter(tx, number)
    assert known is not None
    assert row is not None
    assert ("write_lost", "write_lost") == (known.reason, row["reason"])
