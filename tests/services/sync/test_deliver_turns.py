"""Whose turn it is: what was not asked is no try, a status never waits behind a note, each effect on its own queue."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.domain.model.events import AlertEventType, IncidentEventType, Unreadable
from app.domain.model.outcome import Held, Refused, Retry
from app.domain.model.types import LinkId, Side, Source, Status, Via
from app.domain.sync.effects import LATER, SOON, URGENT
from app.ports import Order, Page, Tx
from app.store.operator_records import StoredRecords
from tests.fakes import ManualEngine
from tests.rig import Rig


class NotingEngine(ManualEngine):
    """Also keeps every order."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Order] = []

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        self.orders += orders
        super().submit(tx, orders)


class NotingRig(Rig):
    engine: NotingEngine

    def an_engine(self) -> ManualEngine:
        return NotingEngine()

    def one(self) -> list[str]:
        """Deliver one."""
        return self.engine.run(self.deliver, at_most=1)

    def fail(self, name: str, reply: object) -> None:
        """From now on a call of PagerDuty's answers this."""

        def answer(*_: Any) -> object:
            self.pagerduty.calls.append(name)
            return reply

        setattr(self.pagerduty, name, answer)

    def mend(self, name: str) -> None:
        delattr(self.pagerduty, name)


@pytest.fixture
def rig(tmp_path: Path) -> NotingRig:
    return NotingRig(tmp_path)


def opened(rig: NotingRig) -> NotingRig:
    rig.alert(AlertEventType.CREATED)
    rig.run()
    rig.clock.move(10)
    rig.pagerduty.calls.clear()
    return rig


# ------------------------------------------------------------------------------------------------- not asked


@pytest.mark.parametrize(("wait", "after"), [(0.2, 0.5), (3.0, 3.3), (60.0, 66.0)])
def test_a_spent_budget_is_no_failure_and_asks_again_when_it_is_our_turn(
    rig: NotingRig, wait: float, after: float
) -> None:
    rig.fail("open", Held("budget_spent", wait))
    rig.alert(AlertEventType.CREATED)
    assert ["held"] == rig.one()
    delivery = rig.link().pagerduty
    assert (True, 0, "", None) == (delivery.outstanding, delivery.attempt, delivery.failing, delivery.failing_since)
    assert after == pytest.approx(rig.engine.orders[-1].delay_seconds, abs=0.06)
    rig.mend("open")
    assert ["done"] == rig.run()


def test_a_spent_budget_leaves_no_mark_and_no_line_in_the_timeline(rig: NotingRig) -> None:
    rig.fail("open", Held("budget_spent", 2.0))
    rig.alert(AlertEventType.CREATED)
    rig.one()
    with rig.database.engine.connect() as connection:
        marks = connection.exec_driver_sql("SELECT name FROM marks WHERE name LIKE 'hold%'").all()
        events = connection.exec_driver_sql("SELECT event FROM timeline WHERE event LIKE 'delivery%'").all()
    assert ([], []) == (marks, events)


def test_a_spent_budget_never_makes_a_create_unclear(rig: NotingRig) -> None:
    rig.fail("open", Held("budget_spent", 2.0))
    rig.alert(AlertEventType.CREATED)
    rig.one()
    assert not rig.link().open_tried


def test_while_the_target_is_down_what_can_wait_makes_no_call(rig: NotingRig) -> None:
    for number in range(6):
        rig.alert(AlertEventType.CREATED, alert_id=f"a{number}")
    rig.run()
    rig.clock.move(10)
    rig.fail("set_status", Retry("http_503", unclear=True))
    for number in range(5):
        rig.alert(AlertEventType.ACKNOWLEDGED, alert_id=f"a{number}")
    rig.engine.run(rig.deliver, at_most=5)
    rig.pagerduty.calls.clear()
    rig.alert(AlertEventType.ACKNOWLEDGED, alert_id="a5")
    rig.engine.run(rig.deliver, at_most=6)
    assert [] == rig.pagerduty.calls
    assert ("", 0) == (rig.link("a5").pagerduty.failing, rig.link("a5").pagerduty.attempt)
    rig.mend("set_status")
    rig.clock.move(31)
    rig.run()
    assert {Status.ACKNOWLEDGED} == {incident.status for incident in rig.pagerduty.incidents.values()}


# ------------------------------------------------------------------------------------------------- overtaking


def failing_note(rig: NotingRig) -> NotingRig:
    """A resolved incident whose note fails and waits for long."""
    opened(rig)
    rig.fail("notes", Retry("http_503"))
    rig.alert(AlertEventType.RESOLVED, reason="false_positive")
    for _ in range(6):
        rig.one()
        rig.clock.move(130)
    assert "AddNote" == rig.link().pagerduty.waits_for
    # It was just tried again, and sleeps.
    rig.one()
    return rig


def test_a_status_change_never_waits_behind_a_failing_note(rig: NotingRig) -> None:
    failing_note(rig)
    rig.engine.waiting.clear()  # asleep for two minutes
    rig.alert(AlertEventType.REOPENED)
    (order,) = [order for order in rig.engine.orders[-1:] if order.side is Side.PAGERDUTY]
    assert (None, rig.link().pagerduty.seq) == (order.delay_seconds, order.seq)
    rig.one()
    assert Status.OPEN is rig.pagerduty.incidents["Q1"].status


def test_a_delayed_delivery_that_was_overtaken_does_nothing(rig: NotingRig) -> None:
    failing_note(rig)
    ((link_id, side, seq),) = rig.engine.waiting
    rig.alert(AlertEventType.REOPENED)
    rig.pagerduty.calls.clear()
    assert "done" == rig.deliver(LinkId(link_id), side, seq)
    assert [] == rig.pagerduty.calls


def test_a_delivery_that_may_have_begun_is_not_overtaken(rig: NotingRig) -> None:
    failing_note(rig)
    delivery, orders = rig.link().pagerduty, len(rig.engine.orders)
    assert delivery.due_at is not None
    rig.clock.now = delivery.due_at - timedelta(seconds=0.5)
    rig.alert(AlertEventType.REOPENED)
    assert (delivery.seq, orders) == (rig.link().pagerduty.seq, len(rig.engine.orders))


def test_an_event_applied_while_a_note_fails_is_carried_at_once(rig: NotingRig) -> None:
    opened(rig)

    def fails_while_somebody_speaks(*_: Any) -> object:
        rig.mend("notes")
        rig.clock.move(60)
        rig.alert(AlertEventType.REOPENED)
        return Retry("http_503")

    setattr(rig.pagerduty, "notes", fails_while_somebody_speaks)  # noqa: B010 - its type is another
    rig.alert(AlertEventType.RESOLVED, reason="false_positive")
    rig.one()
    assert "put open" in rig.pagerduty.calls


def test_the_same_effect_again_waits_its_time(rig: NotingRig) -> None:
    rig.fail("open", Retry("http_503"))
    rig.alert(AlertEventType.CREATED)
    for _ in range(5):
        rig.one()
    orders = len(rig.engine.orders)
    rig.clock.move(1)
    rig.alert(AlertEventType.CREATED)
    rig.alert(AlertEventType.ACKNOWLEDGED)
    assert orders == len(rig.engine.orders)


# ------------------------------------------------------------------------------------------------- queues


def test_pages_and_what_changes_them_have_queues_of_their_own(rig: NotingRig) -> None:
    rig.alert(AlertEventType.CREATED)
    rig.alert(AlertEventType.CREATED, alert_id="a2", severity="high")
    rig.run()
    rig.clock.move(5)
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.run()
    rig.clock.move(5)
    rig.incident(IncidentEventType.RESOLVED, author="Dana Example")
    rig.run()
    expected = [
        ("pagerduty-rest", URGENT),
        ("pagerduty-rest", LATER),
        ("pagerduty-rest-changes", SOON),
        ("truthvouch", SOON),
    ]
    assert expected == [(order.queue, order.priority) for order in rig.engine.orders]


def test_by_event_a_look_goes_to_the_rest_api(tmp_path: Path) -> None:
    rig = NotingRig(tmp_path, Via.EVENTS)
    rig.alert(AlertEventType.CREATED)
    rig.fail("find", Retry("http_503"))
    rig.one()
    assert ["pagerduty-events", "pagerduty-rest-changes"] == [order.queue for order in rig.engine.orders]


# ------------------------------------------------------------------------------------------------- loud


def test_a_page_that_is_finally_refused_is_as_loud_as_it_gets_and_counted(rig: NotingRig) -> None:
    parked: list[tuple[str, str]] = []
    rig.deliver.meter.parked = lambda kind, reason: parked.append((kind, reason))  # type: ignore[method-assign]
    rig.fail("open", Refused("nobody_on_call", 400, 1015, "Nobody is on call\nat level 1"))
    rig.alert(AlertEventType.CREATED)
    with structlog.testing.capture_logs() as answer:
        rig.run()
    assert [("page", "nobody_on_call")] == parked
    assert [("page.refused", "nobody_on_call", "Nobody is on call")] == [
        (line["event"], line["reason"], line["said"]) for line in answer if line["log_level"] == "critical"
    ]
    with rig.database.read() as tx:
        entries = StoredRecords().timeline(tx, rig.link().alert.alert_id, Page(100))
    assert ["Nobody is on call"] == [line["facts"]["said"] for line in entries if "said" in line["facts"]]


def test_an_incident_that_is_not_opened_again_is_a_page_that_was_refused(rig: NotingRig) -> None:
    parked: list[tuple[str, str]] = []
    rig.deliver.meter.parked = lambda kind, reason: parked.append((kind, reason))  # type: ignore[method-assign]
    opened(rig)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    rig.clock.move(10)
    rig.fail("set_status", Refused("bad_status", 400, 1003, "Not now"))
    rig.alert(AlertEventType.REOPENED)
    with structlog.testing.capture_logs() as answer:
        rig.run()
    assert [("page", "bad_status")] == parked
    assert ["Not now"] == [line["said"] for line in answer if line["event"] == "page.refused"]


@pytest.mark.parametrize(
    ("source", "reading", "reason", "fields"),
    [
        (Source.TRUTHVOUCH, Unreadable("not_json"), "not_json", ("page", "critical")),
        (Source.TRUTHVOUCH, None, "poison", ("page", "critical")),
        (Source.PAGERDUTY, Unreadable("not_json"), "not_json", ("event", "warning")),
        (Source.PAGERDUTY, None, "poison", ("event", "error")),
        (Source.BRIDGE, Unreadable("unknown_internal_event"), "unknown_internal_event", ("event", "warning")),
    ],
)
def test_an_alert_that_cannot_be_read_may_be_a_page_and_is_as_loud(
    rig: NotingRig, source: Source, reading: Any, reason: str, fields: tuple[str, str]
) -> None:
    parked: list[tuple[str, str]] = []
    rig.intake.meter.parked = lambda kind, reason: parked.append((kind, reason))  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as lines:
        rig.say(source, reading)
    assert [(fields[0], reason)] == parked
    assert [fields] == [(line["kind"], line["log_level"]) for line in lines if line["event"] == "event.parked"]
