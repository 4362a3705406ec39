"""What people do moments after our own write is theirs, though PagerDuty's REST API and HTTP tell whole seconds: what
cannot be placed is read."""

from pathlib import Path

import pytest

from app.domain.names import AlertId, Side, Status, Via
from app.domain.outcome import Refused, Reply
from app.domain.words import AlertVerb, IncidentVerb
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
        self.alert(AlertVerb.CREATED)
        self.wait(10)
        return self

    def does(self, *verbs: AlertVerb | IncidentVerb, apart: float = 10) -> None:
        """People do this, one after the other."""
        for verb in verbs:
            self.incident(verb) if isinstance(verb, IncidentVerb) else self.alert(verb)
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
    bridge.does(IncidentVerb.ACKNOWLEDGED, apart=moment)
    assert ACKNOWLEDGED is bridge.truthvouch.status["a1"]
    bridge.does(AlertVerb.REOPENED)
    assert (OPEN, OPEN) == bridge.ends()


@pytest.mark.parametrize("moment", [0.3, 2, 12, 27])
@pytest.mark.parametrize(
    ("first", "back", "last", "status"),
    [
        (IncidentVerb.RESOLVED, IncidentVerb.REOPENED, AlertVerb.RESOLVED, RESOLVED),
        (IncidentVerb.ACKNOWLEDGED, IncidentVerb.UNACKNOWLEDGED, AlertVerb.ACKNOWLEDGED, ACKNOWLEDGED),
    ],
)
def test_what_people_do_there_again_is_no_echo_of_what_we_once_did(
    bridge: Bridge, first: IncidentVerb, back: IncidentVerb, last: AlertVerb, status: Status, moment: float
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
    bridge.does(AlertVerb.CREATED, apart=moment)
    bridge.does(AlertVerb.RESOLVED)
    assert (RESOLVED, RESOLVED) == bridge.ends()


# ------------------------------------------------------------------------------------------------- at PagerDuty


@BOTH
@MOMENTS
@pytest.mark.parametrize(
    ("verbs", "apart", "status"),
    [
        ((IncidentVerb.UNACKNOWLEDGED,), 0.25, OPEN),
        ((IncidentVerb.RESOLVED,), 0.25, RESOLVED),
        ((IncidentVerb.RESOLVED, IncidentVerb.REOPENED), 0.25, OPEN),
        # Within one second the last two are what an acknowledge of ours does to something resolved.
        ((IncidentVerb.RESOLVED, IncidentVerb.REOPENED, IncidentVerb.ACKNOWLEDGED), 1.1, ACKNOWLEDGED),
    ],
)
def test_what_people_do_moments_after_we_acknowledged_stands(
    tmp_path: Path, via: Via, verbs: tuple[IncidentVerb, ...], apart: float, status: Status, moment: float
) -> None:
    bridge = Bridge(tmp_path, via).paged()
    bridge.does(AlertVerb.ACKNOWLEDGED, apart=moment)
    assert ACKNOWLEDGED is bridge.pagerduty.incidents["Q1"].status
    bridge.does(*verbs, apart=apart)
    assert (status, status) == bridge.ends()


@BOTH
@MOMENTS
def test_an_incident_opened_again_moments_after_we_resolved_it_is_open(tmp_path: Path, via: Via, moment: float) -> None:
    bridge = Bridge(tmp_path, via).paged()
    bridge.does(AlertVerb.RESOLVED, apart=moment)
    assert RESOLVED is bridge.pagerduty.incidents["Q1"].status
    bridge.does(IncidentVerb.REOPENED)
    assert (OPEN, OPEN) == bridge.ends()


# ------------------------------------------------------------------------------------------------- no read


def test_where_it_cannot_be_read_what_goes_forward_counts(tmp_path: Path) -> None:
    """TruthVouch documents no call for one alert."""
    bridge = Bridge(tmp_path)
    bridge.truthvouch.get = lambda alert_id: Refused("not_found", 404)  # type: ignore[method-assign]
    bridge.paged()
    bridge.does(IncidentVerb.ACKNOWLEDGED, apart=0.1)
    bridge.does(AlertVerb.RESOLVED)
    assert (RESOLVED, RESOLVED) == bridge.ends()


def test_and_what_goes_back_waits_for_the_list(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    bridge.truthvouch.get = lambda alert_id: Refused("not_found", 404)  # type: ignore[method-assign]
    bridge.paged()
    bridge.does(IncidentVerb.ACKNOWLEDGED, apart=0.1)
    bridge.does(AlertVerb.REOPENED)
    assert ACKNOWLEDGED is bridge.pagerduty.incidents["Q1"].status, "it may be the echo of what was before"
    bridge.wait(30)
    bridge.reconcile()
    bridge.wait(30)
    assert (OPEN, OPEN) == bridge.ends()
    assert not bridge.link().lane(Side.TRUTHVOUCH).outstanding
