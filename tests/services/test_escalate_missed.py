"""What nobody armed is armed by the leader's look, once, and nothing that has had its climb."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.escalation import State
from app.domain.names import IncidentId, Status
from app.domain.rulebook import Escalation, Rulebook
from app.domain.words import IncidentVerb, WishVerb
from app.services.escalate_missed import YOUNG
from app.services.escalate_wish import CANCELLING
from tests.climbing import ESCALATION, ClimbingRig


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClimbingRig]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    made = ClimbingRig(tmp_path, url)
    yield made
    made.database.engine.dispose()
    made._inbox.dispose()


def paged_by_an_older_worker(rig: ClimbingRig, alert_id: str = "a1") -> None:
    """Opened by a worker that knows nothing of levels."""
    settle = rig.deliver.settle
    rig.deliver.settle = replace(settle, arm=None)
    rig.page(alert_id)
    rig.deliver.settle = settle


def test_what_an_older_worker_opened_is_escalated(rig: ClimbingRig) -> None:
    paged_by_an_older_worker(rig)
    assert 1 == rig.arm_missed()
    assert 0 == rig.arm_missed()
    assert ["escalation.armed"] == rig.events()
    assert [] == rig.minutes(14.9)
    assert ["moved"] == rig.minutes(0.2)


def test_what_was_open_before_there_were_levels_is_escalated_from_then_on(rig: ClimbingRig) -> None:
    rig.rulebook.rulebook = Rulebook(escalation=Escalation("PMGMT"))
    rig.page()
    assert [] == rig.minutes(60)
    rig.rulebook.rulebook = Rulebook(escalation=ESCALATION)
    assert [] == rig.fire()
    assert ["moved"] == rig.minutes(15.1)


def test_but_nothing_that_is_older_than_a_day(rig: ClimbingRig) -> None:
    paged_by_an_older_worker(rig)
    rig.clock.move(YOUNG.total_seconds() + 1)
    assert 0 == rig.arm_missed()


def test_what_somebody_has_in_hand_is_armed_and_waits(rig: ClimbingRig) -> None:
    paged_by_an_older_worker(rig)
    rig.clock.move(1)
    rig.incident(IncidentVerb.ACKNOWLEDGED)
    assert 1 == rig.arm_missed()
    assert State.PAUSED is rig.climb().state


@pytest.mark.parametrize("end", ["resolved", "cancelled", "merged", "no levels"])
def test_what_deserves_none_or_has_had_one_gets_none(rig: ClimbingRig, end: str) -> None:
    if end == "cancelled":
        rig.page()
        rig.wish(WishVerb.ESCALATE, "Q1", CANCELLING)
    else:
        paged_by_an_older_worker(rig)
    rig.clock.move(1)
    if end == "resolved":
        rig.incident(IncidentVerb.RESOLVED)
    if end == "merged":
        rig.incident(IncidentVerb.MERGED, merged_into="QOTHER")
    if end == "no levels":
        rig.rulebook.rulebook = Rulebook()
    assert 0 == rig.arm_missed()
    with rig.database.read() as tx:
        assert None is rig.climbs.peek(tx, IncidentId("QOTHER"))


def test_what_was_resolved_between_the_look_and_the_arming_gets_none(rig: ClimbingRig) -> None:
    paged_by_an_older_worker(rig)
    with rig.database.read() as tx:
        (link,) = rig.climbs.missing(tx, rig.clock() - YOUNG)
    rig.clock.move(1)
    rig.incident(IncidentVerb.RESOLVED)
    assert Status.RESOLVED is rig.link().status
    with rig.database.begin() as tx:
        assert link.incident_id is not None
        assert not rig.escalations.found(tx, link.incident_id, rig.clock())
