"""What an authentic event with a wrong time can do: delay nothing for good. A read heals it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.domain.names import AlertId, IncidentId, Side, Status, Via
from app.domain.outcome import Reply
from app.domain.words import AlertVerb, IncidentVerb, IncidentWord
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
        self.tv(AlertVerb.CREATED)
        self.wait(10)

    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        self.theirs = {
            side: PartnerClock(self.clock, timedelta(seconds=seconds)) for side, seconds in self.offsets.items()
        }
        return DatedPagerDuty(self.theirs[Side.PAGERDUTY]), Reopening(clock=self.theirs[Side.TRUTHVOUCH])

    def tv(self, verb: AlertVerb) -> None:
        """A person does this at TruthVouch, by its own clock."""
        self.alert(verb, at=self.theirs[Side.TRUTHVOUCH]())

    def pd(self, verb: IncidentVerb) -> None:
        """A person does this at PagerDuty, by its own clock."""
        self.incident(verb, "Q1", at=self.theirs[Side.PAGERDUTY](), author="Dana Example")

    def stamped(self, verb: IncidentVerb, at: datetime) -> None:
        """PagerDuty's webhook says this, and that it was then."""
        word = IncidentWord(verb, IncidentId("Q1"), f"incident.{verb}", at, author="Dana Example")
        self.say(Side.PAGERDUTY, word)

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
    bridge.stamped(IncidentVerb.REOPENED, bridge.clock() + timedelta(seconds=ahead))
    bridge.wait(30)
    bridge.pd(IncidentVerb.RESOLVED)
    bridge.reconciles()
    assert (RESOLVED, RESOLVED) == bridge.both
    assert (RESOLVED, ()) == (bridge.link().status, bridge.reconcile().findings)


@pytest.mark.parametrize("ahead", [280, 290])
def test_a_resolve_stamped_ahead_swallows_no_later_reopen_and_no_acknowledge(tmp_path: Path, ahead: float) -> None:
    bridge = Bridge(tmp_path)
    bridge.pagerduty.put("Q1", RESOLVED)
    bridge.stamped(IncidentVerb.RESOLVED, bridge.clock() + timedelta(seconds=ahead))
    bridge.wait(30)
    assert (RESOLVED, RESOLVED) == bridge.both
    bridge.tv(AlertVerb.REOPENED)
    bridge.wait(30)
    assert (OPEN, OPEN) == bridge.both
    bridge.tv(AlertVerb.ACKNOWLEDGED)
    bridge.reconciles()
    assert (ACKNOWLEDGED, ACKNOWLEDGED) == bridge.both


@pytest.mark.parametrize("stamp", IMPOSSIBLE)
def test_a_time_that_cannot_be_is_none_and_moves_all_the_same(tmp_path: Path, stamp: str) -> None:
    bridge = Bridge(tmp_path)
    for verb, status in ((IncidentVerb.ACKNOWLEDGED, ACKNOWLEDGED), (IncidentVerb.RESOLVED, RESOLVED)):
        bridge.pagerduty.put("Q1", status)
        bridge.stamped(verb, IMPOSSIBLE[stamp])
        bridge.wait(30)
        assert (status, status) == bridge.both
    moves = ((AlertVerb.REOPENED, OPEN), (AlertVerb.ACKNOWLEDGED, ACKNOWLEDGED), (AlertVerb.RESOLVED, RESOLVED))
    for alert_verb, status in moves:
        bridge.alert(alert_verb, at=IMPOSSIBLE[stamp])
        bridge.wait(30)
        assert (status, status) == bridge.both


# ------------------------------------------------------------------------------------------------- two clocks

Story = Sequence[AlertVerb | IncidentVerb]
PEOPLE: dict[str, tuple[Story, Status]] = {
    "PagerDuty resolves and reopens": ((IncidentVerb.RESOLVED, IncidentVerb.REOPENED), OPEN),
    "PagerDuty acknowledges and hands back": ((IncidentVerb.ACKNOWLEDGED, IncidentVerb.UNACKNOWLEDGED), OPEN),
    "TruthVouch resolves, PagerDuty reopens": ((AlertVerb.RESOLVED, IncidentVerb.REOPENED), OPEN),
    "TruthVouch acknowledges, PagerDuty hands back": ((AlertVerb.ACKNOWLEDGED, IncidentVerb.UNACKNOWLEDGED), OPEN),
    "PagerDuty resolves, TruthVouch reopens": ((IncidentVerb.RESOLVED, AlertVerb.REOPENED), OPEN),
    "TruthVouch acknowledges, PagerDuty resolves": ((AlertVerb.ACKNOWLEDGED, IncidentVerb.RESOLVED), RESOLVED),
    "PagerDuty acknowledges, TruthVouch reopens": ((IncidentVerb.ACKNOWLEDGED, AlertVerb.REOPENED), OPEN),
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
    for verb in acts:
        bridge.wait(5)
        bridge.pd(verb) if isinstance(verb, IncidentVerb) else bridge.tv(verb)
    bridge.wait(30)
    assert (status, status) == bridge.both
    bridge.reconciles()
    assert (status, status) == bridge.both
