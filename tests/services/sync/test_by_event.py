"""By event: a 202 is no success. What an event did is seen by webhook or by a read; REST does what events cannot."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType, CommandType, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done, Reply
from app.domain.model.types import IncidentId, Status, Via
from app.store.schema import dead_letters
from tests.fakes import FakePagerDuty, FakeTruthVouch
from tests.services.rigs import DatedPagerDuty, DatedTruthVouch, TimedRig
from tests.shapes import health_of


@dataclass
class PagerDuty(DatedPagerDuty):
    """An incident and the alert behind it: once that is resolved it stays so, and events about it do nothing any more.
    Nor do they in a maintenance window. The answer is 202 all the same."""

    in_maintenance: bool = False
    over: set[str] = field(default_factory=set)

    def put(self, incident_id: str, status: Status) -> IncidentFacts:
        self.over |= {incident_id} if status is Status.RESOLVED else set()
        return super().put(incident_id, status)

    def _event(self, name: str, key: str, status: Status) -> Reply[None]:
        def act() -> Reply[None]:
            for incident in () if self.in_maintenance else self.open_with(key):
                if incident.incident_id not in self.over:
                    self.put(incident.incident_id, status)
            return Done(None, self.clock().replace(microsecond=0))

        return self._call(name, act)


class Bridge(TimedRig):
    pagerduty: PagerDuty

    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        return PagerDuty(self.clock), DatedTruthVouch(clock=self.clock)

    def paged(self) -> "Bridge":
        self.clock.move(0.25)
        self.alert(AlertEventType.CREATED)
        self.wait(10)
        assert "Q1" == self.link().incident_id
        self.pagerduty.calls.clear()
        return self

    def says(self, event_type: AlertEventType) -> list[str]:
        """TruthVouch says so; what the bridge asked PagerDuty within ten seconds."""
        self.pagerduty.calls.clear()
        self.clock.move(60)
        self.alert(event_type)
        self.wait(10)
        return list(self.pagerduty.calls)

    def dead_letters(self) -> list[tuple[str, str]]:
        with self.database.engine.connect() as connection:
            return [
                (row.effect, row.reason)
                for row in connection.execute(dead_letters.select().order_by(dead_letters.c.id))
            ]

    def in_readyz(self) -> int:
        """How many dead letters it counts."""
        return health_of(self.database, self._inbox).read().dead

    def shows(self) -> Status:
        return self.pagerduty.incidents["Q1"].status


@pytest.fixture
def bridge(tmp_path: Path) -> Bridge:
    return Bridge(tmp_path, Via.EVENTS).paged()


# ------------------------------------------------------------------------------------------------- a 202


def test_the_effect_of_an_event_is_read_where_no_webhook_tells_of_it(bridge: Bridge) -> None:
    assert ["event acknowledge", "get"] == bridge.says(AlertEventType.ACKNOWLEDGED)
    assert (Status.ACKNOWLEDGED, None) == (bridge.link().agreed, bridge.link().incident_side.pending)


def test_until_then_it_may_have_had_none(bridge: Bridge) -> None:
    bridge.alert(AlertEventType.ACKNOWLEDGED)
    bridge.wait(2.5)
    assert ["event acknowledge"] == bridge.pagerduty.calls
    pending = bridge.link().incident_side.pending
    assert pending is not None
    assert (Status.ACKNOWLEDGED, Status.OPEN) == (pending.status, bridge.link().agreed)


def test_a_webhook_that_tells_of_it_saves_the_read(bridge: Bridge) -> None:
    bridge.clock.move(60)
    bridge.alert(AlertEventType.ACKNOWLEDGED)
    bridge.wait(1)
    bridge.incident(IncidentEventType.ACKNOWLEDGED, author_kind="inbound_integration_reference")
    assert Status.ACKNOWLEDGED is bridge.link().agreed
    bridge.wait(60)
    assert ["event acknowledge"] == bridge.pagerduty.calls
    assert [] == bridge.truthvouch.calls


def test_what_a_person_took_back_after_our_event_is_carried_back(bridge: Bridge) -> None:
    bridge.clock.move(60)
    bridge.alert(AlertEventType.ACKNOWLEDGED)
    bridge.wait(1)
    bridge.incident(IncidentEventType.UNACKNOWLEDGED, author="Dana Example")
    bridge.wait(60)
    assert (Status.OPEN, Status.OPEN) == (bridge.shows(), bridge.truthvouch.status["a1"])
    assert 1 == bridge.pagerduty.calls.count("event acknowledge")


def test_an_unacknowledge_says_nothing_of_our_resolve(bridge: Bridge) -> None:
    """It was acknowledged, which timed out; the resolve that was to end it had no effect yet."""
    bridge.incident(IncidentEventType.ACKNOWLEDGED, author="Dana Example")
    bridge.wait(10)
    bridge.pagerduty.in_maintenance = True
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(1)
    bridge.incident(IncidentEventType.UNACKNOWLEDGED)
    bridge.wait(120)
    assert (Status.RESOLVED, Status.RESOLVED) == (bridge.shows(), bridge.truthvouch.status["a1"])
    assert Status.OPEN not in [status for _, status, _ in bridge.truthvouch.calls]


# ------------------------------------------------------------------------------------------------- no effect


def test_an_acknowledge_without_effect_is_repeated_three_times_then_made_by_rest(bridge: Bridge) -> None:
    bridge.pagerduty.in_maintenance = True
    bridge.alert(AlertEventType.ACKNOWLEDGED)
    bridge.wait(120)
    changes = [call for call in bridge.pagerduty.calls if call != "get"]
    assert ["event acknowledge"] * 3 + ["put acknowledged"] == changes
    assert (Status.ACKNOWLEDGED, []) == (bridge.shows(), bridge.dead_letters())


def test_a_resolve_without_effect_is_made_by_rest_after_the_same_three(bridge: Bridge) -> None:
    bridge.pagerduty.in_maintenance = True
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(120)
    changes = [call for call in bridge.pagerduty.calls if call != "get"]
    assert ["event resolve"] * 3 + ["put resolved"] == changes
    assert (Status.RESOLVED, []) == (bridge.shows(), bridge.dead_letters())


def says_yes_and_keeps_nothing(bridge: Bridge) -> None:
    """PagerDuty, until its ``set_status`` is deleted."""
    pagerduty, as_it_is = bridge.pagerduty, bridge.pagerduty.incidents["Q1"]
    pagerduty.in_maintenance = True
    put = pagerduty.set_status

    def forgetting(incident_id: IncidentId, status: Status, resolution: str | None = None) -> Reply[IncidentFacts]:
        reply = put(incident_id, status, resolution)
        pagerduty.incidents[incident_id] = as_it_is
        return reply

    pagerduty.set_status = forgetting  # type: ignore[method-assign]


@pytest.mark.parametrize("status", [Status.ACKNOWLEDGED, Status.RESOLVED])
def test_what_neither_api_can_do_is_reported_by_a_dead_letter(bridge: Bridge, status: Status) -> None:
    """An acknowledge is given up; a resolve goes on, slowly."""
    pagerduty = bridge.pagerduty
    says_yes_and_keeps_nothing(bridge)
    bridge.alert(AlertEventType.ACKNOWLEDGED if status is Status.ACKNOWLEDGED else AlertEventType.RESOLVED)
    for _ in range(12):
        bridge.wait(120)
        bridge.reconcile()
    asked = [call for call in pagerduty.calls if call.startswith(("put", "event"))]
    assert [(f"SetIncident {status}", "write_lost")] == bridge.dead_letters(), "told once"
    assert 1 == bridge.in_readyz()
    assert 4 == len(asked) if status is Status.ACKNOWLEDGED else 6 < len(asked) < 24
    del pagerduty.set_status
    if status is Status.ACKNOWLEDGED:
        bridge.command(CommandType.REPLAY, 1)
    bridge.wait(600)
    assert (status, 0) == (bridge.shows(), bridge.in_readyz())
    assert not bridge.link().pagerduty.outstanding


def test_and_closed_when_a_person_does_it(bridge: Bridge) -> None:
    says_yes_and_keeps_nothing(bridge)
    bridge.alert(AlertEventType.ACKNOWLEDGED)
    for _ in range(12):
        bridge.wait(120)
        bridge.reconcile()
    assert 1 == bridge.in_readyz()
    del bridge.pagerduty.set_status
    bridge.pagerduty.set_status(IncidentId("Q1"), Status.ACKNOWLEDGED)
    bridge.incident(IncidentEventType.ACKNOWLEDGED, author="Dana Example")
    bridge.wait(10)
    assert (Status.ACKNOWLEDGED, 0) == (bridge.shows(), bridge.in_readyz())


# ------------------------------------------------------------------------------------------------- after a reopen


def reopened_by_us(bridge: Bridge) -> None:
    bridge.says(AlertEventType.RESOLVED)
    assert "put open" in bridge.says(AlertEventType.REOPENED)


def reopened_by_a_person(bridge: Bridge) -> None:
    bridge.says(AlertEventType.RESOLVED)
    bridge.clock.move(60)
    bridge.incident(IncidentEventType.REOPENED, author="Dana Example")
    bridge.wait(10)
    bridge.says(AlertEventType.REOPENED)


def resolved_and_reopened_by_people(bridge: Bridge) -> None:
    for event_type in (IncidentEventType.RESOLVED, IncidentEventType.REOPENED):
        bridge.clock.move(60)
        bridge.incident(event_type, author="Dana Example")
        bridge.wait(10)
    bridge.says(AlertEventType.REOPENED)


@pytest.mark.parametrize("reopen", [reopened_by_us, reopened_by_a_person, resolved_and_reopened_by_people])
def test_what_follows_a_reopen_goes_by_rest_at_once(bridge: Bridge, reopen: Callable[[Bridge], None]) -> None:
    """PagerDuty's own alert behind the incident stays resolved: no event about it does anything any more."""
    reopen(bridge)
    assert Status.OPEN is bridge.shows()
    assert ["put acknowledged"] == bridge.says(AlertEventType.ACKNOWLEDGED)
    assert Status.ACKNOWLEDGED is bridge.shows()
    assert ["put resolved"] == bridge.says(AlertEventType.RESOLVED)
    assert Status.RESOLVED is bridge.shows()
    assert [] == bridge.dead_letters()


def test_a_reopen_that_truthvouch_refuses_leaves_the_incident_open_and_says_so_once(bridge: Bridge) -> None:
    reopened_by_us(bridge)
    bridge.says(AlertEventType.RESOLVED)
    bridge.clock.move(60)
    bridge.truthvouch.calls.clear()
    bridge.incident(IncidentEventType.REOPENED, author="Dana Example")
    for _ in range(3):
        bridge.wait(300)
        bridge.reconcile()
    assert [("a1", Status.OPEN, None)] == bridge.truthvouch.calls
    assert Status.OPEN is bridge.shows()
    assert 1 == sum("cannot reopen the alert" in note.content for note in bridge.pagerduty.notes_on["Q1"])
