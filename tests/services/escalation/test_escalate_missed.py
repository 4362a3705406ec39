"""What nobody armed is armed by the leader's look, once, and nothing that has had its escalation."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.escalation.state import State
from app.domain.model.events import CommandType, IncidentEventType
from app.domain.model.types import IncidentId, Status
from app.domain.rules.rulebook import EscalationRules, Rulebook
from app.services.escalation.record import YOUNG
from app.services.escalation.target import CANCELLING
from tests.escalation_rig import ESCALATION, EscalationRig


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EscalationRig]:
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
    made = EscalationRig(tmp_path, url)
    yield made
    made.database.engine.dispose()
    made._inbox.dispose()


def paged_by_an_older_worker(rig: EscalationRig, alert_id: str = "a1") -> None:
    """Opened by a worker that knows nothing of levels."""
    escalations, rig.deliver.escalations = rig.deliver.escalations, None
    rig.page(alert_id)
    rig.deliver.escalations = escalations


def test_what_an_older_worker_opened_is_escalated(rig: EscalationRig) -> None:
    paged_by_an_older_worker(rig)
    assert 1 == rig.arm_missed()
    assert 0 == rig.arm_missed()
    assert ["escalation.armed"] == rig.events()
    assert [] == rig.minutes(14.9)
    assert ["moved"] == rig.minutes(0.2)


def test_what_was_open_before_there_were_levels_is_escalated_from_then_on(rig: EscalationRig) -> None:
    rig.rulebook.rulebook = Rulebook(escalation=EscalationRules("PMGMT"))
    rig.page()
    assert [] == rig.minutes(60)
    rig.rulebook.rulebook = Rulebook(escalation=ESCALATION)
    assert [] == rig.fire()
    assert ["moved"] == rig.minutes(15.1)


def test_but_nothing_that_is_older_than_a_day(rig: EscalationRig) -> None:
    paged_by_an_older_worker(rig)
    rig.clock.move(YOUNG.total_seconds() + 1)
    assert 0 == rig.arm_missed()


def test_what_somebody_has_in_hand_is_armed_and_waits(rig: EscalationRig) -> None:
    paged_by_an_older_worker(rig)
    rig.clock.move(1)
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    assert 1 == rig.arm_missed()
    assert State.PAUSED is rig.escalation().state


@pytest.mark.parametrize("end", ["resolved", "cancelled", "merged", "no levels"])
def test_what_deserves_none_or_has_had_one_gets_none(rig: EscalationRig, end: str) -> None:
    if end == "cancelled":
        rig.page()
        rig.command(CommandType.ESCALATE, "Q1", CANCELLING)
    else:
        paged_by_an_older_worker(rig)
    rig.clock.move(1)
    if end == "resolved":
        rig.incident(IncidentEventType.RESOLVED)
    if end == "merged":
        rig.incident(IncidentEventType.MERGED, merged_into="QOTHER")
    if end == "no levels":
        rig.rulebook.rulebook = Rulebook()
    assert 0 == rig.arm_missed()
    with rig.database.read() as tx:
        assert None is rig.escalation_store.peek(tx, IncidentId("QOTHER"))


def test_what_was_resolved_between_the_look_and_the_arming_gets_none(rig: EscalationRig) -> None:
    paged_by_an_older_worker(rig)
    with rig.database.read() as tx:
        (link,) = rig.escalation_store.without_escalation(tx, rig.clock() - YOUNG)
    rig.clock.move(1)
    rig.incident(IncidentEventType.RESOLVED)
    assert Status.RESOLVED is rig.link().status
    with rig.database.begin() as tx:
        assert link.incident_id is not None
        assert not rig.escalations.found(tx, link.incident_id, rig.clock())
