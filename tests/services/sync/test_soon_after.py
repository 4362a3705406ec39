"""What people do moments after our own write is theirs, though PagerDuty's REST API and HTTP tell whole seconds: what
cannot be placed is read."""

from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.outcome import Refused, Reply
from app.domain.model.types import AlertId, Side, Status, Via
from tests.fakes import FakePagerDuty, FakeTruthVouch
from tests.services.rigs import DatedPagerDuty, DatedTruthVouch, TimedRig

OPEN, ACKNOWLEDGED, RESOLVED = Status.OPEN, Status.ACKNOWLEDGED, Status.RESOLVED
MOMENTS = pytest.mark.parametrize("moment", [0.001, 0.3, 0.7, 1.0, 1.8, 2.6])
BOTH = pytest.mark.parametrize("via", list(Via))


class Reopening(DatedTruthVouch):
    """Lets an alert be opened again by its API, and tells nobody of what its API was asked."""

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        if self.status.get(alert_id) is RESOLVED:
            self.status[alert_id] = OPEN
        return super().set_status(alert_id, status, resolution)


class Bridge(TimedRig):
    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        return DatedPagerDuty(self.clock), Reopening(clock=self.clock)

    def paged(self) -> "Bridge":
        self.clock.move(0.2)
        self.alert(AlertEventType.CREATED)
        self.wait(10)
        return self

    def does(self, *event_types: AlertEventType | IncidentEventType, apart: float = 10) -> None:
        """People do this, one after the other."""
        for event_type in event_types:
            self.incident(event_type) if isinstance(event_type, IncidentEventType) else self.alert(event_type)
            self.wait(apart)

    def ends(self) -> tuple[Status, Status]:
        """PagerDuty, TruthVouch; what reconciliation finds changes nothing any more."""
        self.wait(30)
        both = self.pagerduty.incidents["Q1"].status, self.truthvouch.status["a1"]
        self.wait(300)
        self.reconcile()
        self.wait(60)
        assert both == (self.pagerduty.incidents["Q1"].status, self.truthvouch.status["a1"])
        return both


@pytest.fixture
def bridge(tmp_path: Path) -> Bridge:
    return Bridge(tmp_path).paged()


# ------------------------------------------------------------------------------------------------- at TruthVouch


@MOMENTS
def test_an_alert_opened_again_moments_after_we_acknowledged_it_is_open(bridge: Bridge, moment: float) -> None:
    bridge.does(IncidentEventType.ACKNOWLEDGED, apart=moment)
    assert ACKNOWLEDGED is bridge.truthvouch.status["a1"]
    bridge.does(AlertEventType.REOPENED)
    assert (OPEN, OPEN) == bridge.ends()


@pytest.mark.parametrize("moment", [0.3, 2, 12, 27])
@pytest.mark.parametrize(
    ("first", "back", "last", "status"),
    [
        (IncidentEventType.RESOLVED, IncidentEventType.REOPENED, AlertEventType.RESOLVED, RESOLVED),
        (IncidentEventType.ACKNOWLEDGED, IncidentEventType.UNACKNOWLEDGED, AlertEventType.ACKNOWLEDGED, ACKNOWLEDGED),
    ],
)
def test_what_people_do_there_again_is_no_echo_of_what_we_once_did(
    bridge: Bridge,
    first: IncidentEventType,
    back: IncidentEventType,
    last: AlertEventType,
    status: Status,
    moment: float,
) -> None:
    bridge.does(first, back, apart=5)
    bridge.wait(moment)
    bridge.does(last)
    assert (status, status) == bridge.ends()


@BOTH
@MOMENTS
def test_a_resolve_moments_after_the_create_is_carried(tmp_path: Path, via: Via, moment: float) -> None:
    bridge = Bridge(tmp_path, via)
    bridge.clock.move(0.2)
    bridge.does(AlertEventType.CREATED, apart=moment)
    bridge.does(AlertEventType.RESOLVED)
    assert (RESOLVED, RESOLVED) == bridge.ends()


# ------------------------------------------------------------------------------------------------- at PagerDuty


@BOTH
@MOMENTS
@pytest.mark.parametrize(
    ("event_types", "apart", "status"),
    [
        ((IncidentEventType.UNACKNOWLEDGED,), 0.25, OPEN),
        ((IncidentEventType.RESOLVED,), 0.25, RESOLVED),
        ((IncidentEventType.RESOLVED, IncidentEventType.REOPENED), 0.25, OPEN),
        # Within one second the last two are what an acknowledge of ours does to something resolved.
        ((IncidentEventType.RESOLVED, IncidentEventType.REOPENED, IncidentEventType.ACKNOWLEDGED), 1.1, ACKNOWLEDGED),
    ],
)
def test_what_people_do_moments_after_we_acknowledged_stands(
    tmp_path: Path, via: Via, event_types: tuple[IncidentEventType, ...], apart: float, status: Status, moment: float
) -> None:
    bridge = Bridge(tmp_path, via).paged()
    bridge.does(AlertEventType.ACKNOWLEDGED, apart=moment)
    assert ACKNOWLEDGED is bridge.pagerduty.incidents["Q1"].status
    bridge.does(*event_types, apart=apart)
    assert (status, status) == bridge.ends()


@BOTH
@MOMENTS
def test_an_incident_opened_again_moments_after_we_resolved_it_is_open(tmp_path: Path, via: Via, moment: float) -> None:
    bridge = Bridge(tmp_path, via).paged()
    bridge.does(AlertEventType.RESOLVED, apart=moment)
    assert RESOLVED is bridge.pagerduty.incidents["Q1"].status
    bridge.does(IncidentEventType.REOPENED)
    assert (OPEN, OPEN) == bridge.ends()


# ------------------------------------------------------------------------------------------------- no read


def test_where_it_cannot_be_read_what_goes_forward_counts(tmp_path: Path) -> None:
    """TruthVouch documents no call for one alert."""
    bridge = Bridge(tmp_path)
    bridge.truthvouch.get = lambda alert_id: Refused("not_found", 404)  # type: ignore[method-assign]
    bridge.paged()
    bridge.does(IncidentEventType.ACKNOWLEDGED, apart=0.1)
    bridge.does(AlertEventType.RESOLVED)
    assert (RESOLVED, RESOLVED) == bridge.ends()


def test_and_what_goes_back_waits_for_the_list(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    bridge.truthvouch.get = lambda alert_id: Refused("not_found", 404)  # type: ignore[method-assign]
    bridge.paged()
    bridge.does(IncidentEventType.ACKNOWLEDGED, apart=0.1)
    bridge.does(AlertEventType.REOPENED)
    assert ACKNOWLEDGED is bridge.pagerduty.incidents["Q1"].status, "it may be the echo of what was before"
    bridge.wait(30)
    bridge.reconcile()
    bridge.wait(30)
    assert (OPEN, OPEN) == bridge.ends()
    assert not bridge.link().delivery(Side.TRUTHVOUCH).outstanding
