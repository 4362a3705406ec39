"""What an authentic event with a wrong time can do: delay nothing for good. A read heals it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType, IncidentEvent, IncidentEventType
from app.domain.model.outcome import Reply
from app.domain.model.types import AlertId, IncidentId, Side, Status, Via
from tests.fakes import FakePagerDuty, FakeTruthVouch, PartnerClock
from tests.services.rigs import DatedPagerDuty, DatedTruthVouch, TimedRig

OPEN, ACKNOWLEDGED, RESOLVED = Status.OPEN, Status.ACKNOWLEDGED, Status.RESOLVED
IMPOSSIBLE = {
    "the year 9999": datetime(9999, 12, 31, tzinfo=UTC),
    "the year 1": datetime(1, 1, 1, tzinfo=UTC),
    "1970": datetime(1970, 1, 1, tzinfo=UTC),
}


class Reopening(DatedTruthVouch):
    """Lets an alert be opened again by its API."""

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        if self.status.get(alert_id) is RESOLVED:
            self.status[alert_id] = OPEN
        return super().set_status(alert_id, status, resolution)


class Bridge(TimedRig):
    """Each partner's clock is off by so much from ours."""

    def __init__(self, folder: Path, via: Via = Via.REST, pagerduty: float = 0, truthvouch: float = 0) -> None:
        self.offsets = {Side.PAGERDUTY: pagerduty, Side.TRUTHVOUCH: truthvouch}
        super().__init__(folder, via)
        self.clock.move(0.25)
        self.tv(AlertEventType.CREATED)
        self.wait(10)

    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        self.theirs = {
            side: PartnerClock(self.clock, timedelta(seconds=seconds)) for side, seconds in self.offsets.items()
        }
        return DatedPagerDuty(self.theirs[Side.PAGERDUTY]), Reopening(clock=self.theirs[Side.TRUTHVOUCH])

    def tv(self, event_type: AlertEventType) -> None:
        """A person does this at TruthVouch, by its own clock."""
        self.alert(event_type, at=self.theirs[Side.TRUTHVOUCH]())

    def pd(self, event_type: IncidentEventType) -> None:
        """A person does this at PagerDuty, by its own clock."""
        self.incident(event_type, "Q1", at=self.theirs[Side.PAGERDUTY](), author="Dana Example")

    def stamped(self, event_type: IncidentEventType, at: datetime) -> None:
        """PagerDuty's webhook says this, and that it was then."""
        event = IncidentEvent(event_type, IncidentId("Q1"), f"incident.{event_type}", at, author="Dana Example")
        self.say(Side.PAGERDUTY, event)

    @property
    def both(self) -> tuple[Status, Status]:
        """PagerDuty, TruthVouch."""
        return self.pagerduty.incidents["Q1"].status, self.truthvouch.status["a1"]

    def reconciles(self) -> None:
        self.wait(480)
        self.reconcile()
        self.wait(60)


# ------------------------------------------------------------------------------------------------- one wrong stamp


@pytest.mark.parametrize("ahead", [1, 280, 290, 899])
def test_a_resolve_after_an_event_stamped_ahead_is_found_by_the_next_read(tmp_path: Path, ahead: float) -> None:
    bridge = Bridge(tmp_path)
    bridge.stamped(IncidentEventType.REOPENED, bridge.clock() + timedelta(seconds=ahead))
    bridge.wait(30)
    bridge.pd(IncidentEventType.RESOLVED)
    bridge.reconciles()
    assert (RESOLVED, RESOLVED) == bridge.both
    assert (RESOLVED, ()) == (bridge.link().status, bridge.reconcile().findings)


@pytest.mark.parametrize("ahead", [280, 290])
def test_a_resolve_stamped_ahead_swallows_no_later_reopen_and_no_acknowledge(tmp_path: Path, ahead: float) -> None:
    bridge = Bridge(tmp_path)
    bridge.pagerduty.put("Q1", RESOLVED)
    bridge.stamped(IncidentEventType.RESOLVED, bridge.clock() + timedelta(seconds=ahead))
    bridge.wait(30)
    assert (RESOLVED, RESOLVED) == bridge.both
    bridge.tv(AlertEventType.REOPENED)
    bridge.wait(30)
    assert (OPEN, OPEN) == bridge.both
    bridge.tv(AlertEventType.ACKNOWLEDGED)
    bridge.reconciles()
    assert (ACKNOWLEDGED, ACKNOWLEDGED) == bridge.both


@pytest.mark.parametrize("stamp", IMPOSSIBLE)
def test_a_time_that_cannot_be_is_none_and_moves_all_the_same(tmp_path: Path, stamp: str) -> None:
    bridge = Bridge(tmp_path)
    for event_type, status in ((IncidentEventType.ACKNOWLEDGED, ACKNOWLEDGED), (IncidentEventType.RESOLVED, RESOLVED)):
        bridge.pagerduty.put("Q1", status)
        bridge.stamped(event_type, IMPOSSIBLE[stamp])
        bridge.wait(30)
        assert (status, status) == bridge.both
    moves = (
        (AlertEventType.REOPENED, OPEN),
        (AlertEventType.ACKNOWLEDGED, ACKNOWLEDGED),
        (AlertEventType.RESOLVED, RESOLVED),
    )
    for alert_event_type, status in moves:
        bridge.alert(alert_event_type, at=IMPOSSIBLE[stamp])
        bridge.wait(30)
        assert (status, status) == bridge.both


# ------------------------------------------------------------------------------------------------- two clocks

Scenario = Sequence[AlertEventType | IncidentEventType]
PEOPLE: dict[str, tuple[Scenario, Status]] = {
    "PagerDuty resolves and reopens": ((IncidentEventType.RESOLVED, IncidentEventType.REOPENED), OPEN),
    "PagerDuty acknowledges and hands back": ((IncidentEventType.ACKNOWLEDGED, IncidentEventType.UNACKNOWLEDGED), OPEN),
    "TruthVouch resolves, PagerDuty reopens": ((AlertEventType.RESOLVED, IncidentEventType.REOPENED), OPEN),
    "TruthVouch acknowledges, PagerDuty hands back": (
        (AlertEventType.ACKNOWLEDGED, IncidentEventType.UNACKNOWLEDGED),
        OPEN,
    ),
    "PagerDuty resolves, TruthVouch reopens": ((IncidentEventType.RESOLVED, AlertEventType.REOPENED), OPEN),
    "TruthVouch acknowledges, PagerDuty resolves": (
        (AlertEventType.ACKNOWLEDGED, IncidentEventType.RESOLVED),
        RESOLVED,
    ),
    "PagerDuty acknowledges, TruthVouch reopens": ((IncidentEventType.ACKNOWLEDGED, AlertEventType.REOPENED), OPEN),
}
"""What people do, the later one in the knowledge of the earlier; and where both sides have to end."""


@pytest.mark.parametrize("via", list(Via))
@pytest.mark.parametrize(
    ("pagerduty", "truthvouch"),
    [(0, 60), (0, 200), (0, -200), (0, -3600), (-60, 0), (60, 0), (400, -400), (-400, -400), (20, 20)],
)
@pytest.mark.parametrize("people", PEOPLE)
def test_what_a_person_did_last_stands_whatever_the_clocks_say(
    tmp_path: Path, via: Via, pagerduty: float, truthvouch: float, people: str
) -> None:
    bridge = Bridge(tmp_path, via, pagerduty, truthvouch)
    acts, status = PEOPLE[people]
    for event_type in acts:
        bridge.wait(5)
        bridge.pd(event_type) if isinstance(event_type, IncidentEventType) else bridge.tv(event_type)
    bridge.wait(30)
    assert (status, status) == bridge.both
    bridge.reconciles()
    assert (status, status) == bridge.both
