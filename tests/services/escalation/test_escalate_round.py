"""A slow incident delays no other, and none is in hand twice."""

import threading
from pathlib import Path

import sqlalchemy as sa

from app.domain.model.types import IncidentId
from app.services.escalation.advance import AT_ONCE, REST_SECONDS, EscalationTask
from app.store.schema import escalations
from tests.escalation_rig import EscalationRig
from tests.system.waiting import until


def test_a_slow_incident_delays_no_other_and_is_begun_once(tmp_path: Path) -> None:
    rig = EscalationRig(tmp_path)
    for number in range(1, 4):
        rig.page(f"a{number}")
        rig.clock.move(1)
    rig.clock.move(3600)
    slow, begun, others = threading.Event(), list[str](), threading.Semaphore(0)

    def escalate(incident_id: IncidentId) -> str:
        begun.append(incident_id)
        if incident_id == "Q1":
            slow.wait(30)
        else:
            rig.escalate(incident_id)
            others.release()
        return "moved"

    look = EscalationTask(rig.database, rig.escalation_store, escalate, rig.clock)
    look()
    assert all(others.acquire(timeout=20) for _ in range(2))
    look()
    slow.set()
    assert 1 == begun.count("Q1")
    assert {"Q2 PMGMT/1", "Q3 PMGMT/1"} == set(rig.moves)


def test_no_more_than_so_many_are_in_hand_and_the_rest_has_its_turn(tmp_path: Path) -> None:
    rig = EscalationRig(tmp_path)
    for number in range(1, AT_ONCE + 3):
        rig.page(f"a{number}")
    rig.clock.move(3600)
    go, begun = threading.Event(), threading.Semaphore(0)

    def escalate(incident_id: IncidentId) -> str:
        begun.release()
        go.wait(30)
        return rig.escalate(incident_id)

    look = EscalationTask(rig.database, rig.escalation_store, escalate, rig.clock)
    look()
    assert all(begun.acquire(timeout=20) for _ in range(AT_ONCE))
    look()
    assert not begun.acquire(timeout=0.2)
    go.set()
    for _ in range(2000):
        look()
        if len(rig.moves) == AT_ONCE + 2:
            break
        threading.Event().wait(0.01)
    assert AT_ONCE + 2 == len(set(rig.moves))


def test_an_escalation_that_breaks_is_begun_again(tmp_path: Path) -> None:
    rig = EscalationRig(tmp_path)
    rig.page()
    rig.clock.move(3600)
    done = threading.Semaphore(0)

    def escalate(_incident_id: IncidentId) -> str:
        done.release()
        raise ValueError

    look = EscalationTask(rig.database, rig.escalation_store, escalate, rig.clock)
    for _ in range(2):
        look()
        assert done.acquire(timeout=20)
        until(lambda: not look._in_hand, "it has broken", 20)
        rig.clock.move(REST_SECONDS + 1)


def test_escalations_that_break_hold_back_no_other_and_rest_between_tries(tmp_path: Path) -> None:
    rig = EscalationRig(tmp_path)
    for number in range(1, AT_ONCE + 2):
        rig.page(f"a{number}")
        rig.clock.move(1)
    rig.clock.move(3600)
    last, begun, ended = f"Q{AT_ONCE + 1}", list[str](), threading.Semaphore(0)
    all_in_hand = threading.Event()

    def escalate(incident_id: IncidentId) -> str:
        all_in_hand.wait(20)
        begun.append(incident_id)
        ended.release()
        if incident_id != last:
            raise ValueError("unreadable")
        return "moved"

    look = EscalationTask(rig.database, rig.escalation_store, escalate, rig.clock)
    look()
    all_in_hand.set()
    assert all(ended.acquire(timeout=20) for _ in range(AT_ONCE))
    until(lambda: not look._in_hand, "the broken ones have ended", 20)
    look()
    assert ended.acquire(timeout=20)
    assert [last] == begun[AT_ONCE:]
    until(lambda: not look._in_hand, "the last one has ended", 20)
    rig.clock.move(REST_SECONDS + 1)
    look()
    assert all(ended.acquire(timeout=20) for _ in range(AT_ONCE))


def test_where_nothing_is_due_soon_one_question_a_second_is_asked_and_what_becomes_due_is_not_late(
    tmp_path: Path,
) -> None:
    rig = EscalationRig(tmp_path)
    rig.page("a1")
    begun, asked = list[str](), list[str]()

    def escalate(incident_id: IncidentId) -> str:
        begun.append(incident_id)
        return "moved"

    look = EscalationTask(rig.database, rig.escalation_store, escalate, rig.clock)
    sa.event.listen(rig.database.engine, "before_cursor_execute", lambda *fields: asked.append(fields[2]))
    with rig.database.engine.connect() as connection:
        due_at = connection.execute(sa.select(escalations.c.due_at)).scalar_one()
    rig.clock.move((due_at - rig.clock()).total_seconds() - 2.55)
    asked.clear()
    for _ in range(10):
        look()
        rig.clock.move(0.1)
    assert 1 == len(asked)
    for _ in range(15):
        look()
        rig.clock.move(0.1)
    assert [] == begun
    rig.clock.move(0.1)
    look()
    until(lambda: begun, "it has begun")
