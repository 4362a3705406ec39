"""No times of two partners are compared: an escalation follows its links, and its timers run on our receipt."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from app.domain.escalation.state import State
from app.domain.model.events import AlertEventType, CommandType, IncidentEventType
from app.domain.model.types import Alert, AlertId, IncidentKey, Status
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook
from app.domain.sync.link import Link
from app.domain.sync.side_state import SideState
from app.services.escalation.on_event import status_of
from app.services.escalation.target import arming
from tests.escalation_rig import ESCALATION, EscalationRig
from tests.fakes import START, FakeClock

BOTH = ["Q1 PMGMT/1", "Q1 PMGMT/2"]


class Off(FakeClock):
    """A partner's clock: so many minutes ahead of ours, whatever ours shows."""

    def __init__(self, ours: FakeClock, minutes: float) -> None:
        self.ours, self.ahead = ours, timedelta(minutes=minutes)

    def __call__(self) -> datetime:
        return self.ours() + self.ahead


class ThreeClocks(EscalationRig):
    """Both partners tell their own time."""

    def __init__(self, data_dir: Path, truthvouch: float = 0, pagerduty: float = 0) -> None:
        super().__init__(data_dir)
        self.tv, self.pd.clock = Off(self.clock, truthvouch), Off(self.clock, pagerduty)

    def at_truthvouch(self, event_type: AlertEventType, seconds: float = 60) -> None:
        """So much later it happens there, is told, and is carried over."""
        self.clock.move(seconds)
        self.alert(event_type, at=self.tv())
        self.run()

    def at_pagerduty(self, event_type: IncidentEventType, seconds: float = 60) -> None:
        self.clock.move(seconds)
        self.incident(event_type, at=self.pd.clock())
        self.run()


@pytest.fixture(params=list(product((-10, 0, 10), (-10, 10))))
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ThreeClocks]:
    made = ThreeClocks(tmp_path, *request.param)
    yield made
    made.database.engine.dispose()
    made._inbox.dispose()


@pytest.fixture
def one(tmp_path: Path) -> Iterator[ThreeClocks]:
    """Where the clocks do not matter."""
    made = ThreeClocks(tmp_path)
    yield made
    made.database.engine.dispose()
    made._inbox.dispose()


def holding(rig: ThreeClocks, minutes: float) -> None:
    """A rule that holds resolves back."""
    rule = Rule("flappy", "true", RuleAction.CREATE_INCIDENT, hold_resolve_minutes=minutes)
    rig.rulebook.rulebook = Rulebook(rules=(rule,), escalation=ESCALATION)


def test_acknowledged_at_truthvouch_and_unacknowledged_in_pagerduty_goes_on(rig: ThreeClocks) -> None:
    rig.page()
    assert ["moved"] == rig.minutes(15)
    rig.at_truthvouch(AlertEventType.ACKNOWLEDGED)
    assert Status.ACKNOWLEDGED is rig.pd.incidents["Q1"].status
    assert State.PAUSED is rig.escalation().state
    rig.at_pagerduty(IncidentEventType.ACKNOWLEDGED, 1)  # our own, told by its webhook
    assert State.PAUSED is rig.escalation().state
    rig.at_pagerduty(IncidentEventType.UNACKNOWLEDGED)
    assert (State.RUNNING, rig.clock() + timedelta(minutes=30)) == (rig.escalation().state, rig.escalation().due_at)
    assert [] == rig.minutes(29.9)
    assert ["moved"] == rig.minutes(0.2)
    assert BOTH == rig.moves


def test_a_reopen_at_truthvouch_begins_anew_whatever_the_time_of_pagerdutys_resolve(rig: ThreeClocks) -> None:
    rig.page()
    rig.minutes(15)
    rig.at_pagerduty(IncidentEventType.RESOLVED)
    rig.at_truthvouch(AlertEventType.RESOLVED, 1)  # our own, told by its webhook
    assert "resolved" == rig.escalation().reason
    rig.truthvouch.status["a1"] = Status.OPEN
    rig.at_truthvouch(AlertEventType.REOPENED)
    assert (State.RUNNING, 0) == (rig.escalation().state, rig.escalation().levels_done)
    assert [] == rig.minutes(14.9)
    assert ["moved"] == rig.minutes(0.2)
    assert "escalation.restarted" in rig.events()


def test_a_reopen_at_pagerduty_begins_anew_whatever_the_time_of_truthvouchs_resolve(rig: ThreeClocks) -> None:
    rig.page()
    rig.minutes(15)
    rig.at_truthvouch(AlertEventType.RESOLVED)
    rig.at_pagerduty(IncidentEventType.RESOLVED, 1)  # our own, told by its webhook
    assert "resolved" == rig.escalation().reason
    rig.at_pagerduty(IncidentEventType.REOPENED)
    assert (State.RUNNING, 0) == (rig.escalation().state, rig.escalation().levels_done)
    assert [] == rig.minutes(14.9)
    assert ["moved"] == rig.minutes(0.2)


def test_what_is_reported_late_counts_from_when_it_is_reported(rig: ThreeClocks) -> None:
    rig.page()
    rig.at_pagerduty(IncidentEventType.ACKNOWLEDGED)
    unacknowledged_at = rig.pd.clock() + timedelta(minutes=1)
    rig.clock.move(1800)
    rig.incident(IncidentEventType.UNACKNOWLEDGED, at=unacknowledged_at)
    assert rig.clock() == rig.escalation().clock_at


# ------------------------------------------------------------------------------------------- what nobody told


def test_a_reopen_whose_resolve_is_reported_later_or_never_begins_anew(rig: ThreeClocks) -> None:
    rig.page()
    rig.minutes(15)
    rig.clock.move(60)
    resolved_at = rig.pd.clock()
    rig.at_pagerduty(IncidentEventType.REOPENED)
    assert ["escalation.restarted"] == rig.events()[2:]
    rig.clock.move(60)
    rig.incident(IncidentEventType.RESOLVED, at=resolved_at)
    rig.pd.put("Q1", Status.OPEN)
    assert [] == rig.minutes(13.9)
    assert ["moved"] == rig.minutes(0.2)


def test_what_only_a_read_showed_is_taken_back_by_an_event(rig: ThreeClocks) -> None:
    rig.page()
    rig.pd.put("Q1", Status.ACKNOWLEDGED)
    assert ["acknowledged"] == rig.minutes(15)
    rig.alert(AlertEventType.MENTIONED, at=rig.tv())
    rig.incident(IncidentEventType.ANNOTATED, at=rig.pd.clock())
    assert State.PAUSED is rig.escalation().state
    rig.at_pagerduty(IncidentEventType.UNACKNOWLEDGED)
    assert ["moved"] == rig.minutes(15.1)


def test_so_is_a_resolve_that_only_a_read_showed(rig: ThreeClocks) -> None:
    rig.page()
    rig.minutes(15)
    rig.pd.put("Q1", Status.RESOLVED)
    assert ["resolved"] == rig.minutes(30)
    rig.at_pagerduty(IncidentEventType.REOPENED)
    assert (State.RUNNING, 0) == (rig.escalation().state, rig.escalation().levels_done)


def test_a_resolve_of_which_only_the_link_knows_is_reported_by_its_life(one: ThreeClocks) -> None:
    holding(one, 5)
    one.page()
    one.minutes(15)
    one.at_pagerduty(IncidentEventType.ACKNOWLEDGED)
    one.at_truthvouch(AlertEventType.ACKNOWLEDGED, 1)  # our own, told by its webhook
    one.clock.move(60)
    one.alert(AlertEventType.RESOLVED)
    one.clock.move(301)  # the hold is over, and nothing was told of it
    assert State.PAUSED is one.escalation().state
    one.at_truthvouch(AlertEventType.REOPENED)
    assert (State.RUNNING, 0, 1) == (one.escalation().state, one.escalation().levels_done, one.escalation().life)


# ------------------------------------------------------------------------------------------- what is read


def test_an_event_that_a_delivery_has_to_read_about_counts_then(one: ThreeClocks) -> None:
    one.page()
    one.at_pagerduty(IncidentEventType.ACKNOWLEDGED)
    one.incident(IncidentEventType.UNACKNOWLEDGED)  # in the same second
    assert State.PAUSED is one.escalation().state
    one.clock.move(1)
    one.run()
    assert State.RUNNING is one.escalation().state
    assert ["escalation.armed", "escalation.stopped", "escalation.resumed"] == one.events()


def test_what_happens_at_pagerduty_while_a_resolve_is_held_back_counts(one: ThreeClocks) -> None:
    holding(one, 30)
    one.page()
    one.clock.move(60)
    one.alert(AlertEventType.RESOLVED)
    one.clock.move(60)
    one.incident(IncidentEventType.ACKNOWLEDGED)
    assert State.PAUSED is one.escalation().state
    one.clock.move(60)
    one.incident(IncidentEventType.UNACKNOWLEDGED)
    assert (State.RUNNING, one.clock()) == (one.escalation().state, one.escalation().clock_at)
    one.clock.move(60)
    one.alert(AlertEventType.REOPENED)
    assert [] == one.minutes(13.9)
    assert ["moved"] == one.minutes(0.2)


def test_an_unacknowledge_while_a_resolve_is_held_back_is_read(one: ThreeClocks) -> None:
    holding(one, 30)
    one.page()
    one.at_pagerduty(IncidentEventType.ACKNOWLEDGED)
    one.at_truthvouch(AlertEventType.ACKNOWLEDGED, 1)  # our own, told by its webhook
    one.clock.move(60)
    one.alert(AlertEventType.RESOLVED)
    one.clock.move(60)
    one.incident(IncidentEventType.UNACKNOWLEDGED)
    assert ["waits"] == one.minutes(0.1)
    assert (State.RUNNING, one.clock()) == (one.escalation().state, one.escalation().clock_at)


def test_the_delivery_of_a_resolve_that_was_held_back_ends_it(one: ThreeClocks) -> None:
    holding(one, 5)
    one.page()
    one.at_pagerduty(IncidentEventType.ACKNOWLEDGED)
    one.at_truthvouch(AlertEventType.ACKNOWLEDGED, 1)
    one.clock.move(60)
    one.alert(AlertEventType.RESOLVED)
    one.clock.move(301)
    before = one.link()
    one.run()
    after = one.link()
    assert (Status.RESOLVED, Status.RESOLVED) == (before.status, after.incident_side.status)
    with one.database.begin() as tx:
        one.escalations.followed(tx, before, after, one.clock())
    assert "resolved" == one.escalation().reason


def test_what_one_alert_stands_for_is_its_links_own_status() -> None:
    link = Link(Alert(AlertId("a1")), IncidentKey("k"), START, agreed=Status.ACKNOWLEDGED)
    kept = replace(
        link, alert_side=SideState(Status.ACKNOWLEDGED), incident_side=SideState(Status.OPEN, inherited=True)
    )
    assert Status.ACKNOWLEDGED is kept.status is status_of((kept,))
    assert Status.OPEN is status_of((replace(kept, guests=True),))


def test_of_several_alerts_one_that_comes_back_alone_begins_nothing_anew(one: ThreeClocks) -> None:
    one.page("a1")
    one.page("a2")
    one.clock.move(60)
    one.incident(IncidentEventType.MERGED, "Q1", merged_into="Q2")
    assert ["moved"] == one.minutes(14.1)
    for event_type in (AlertEventType.RESOLVED, AlertEventType.REOPENED):
        one.clock.move(60)
        one.alert(event_type, alert_id="a2")
    one.clock.move(60)
    one.incident(IncidentEventType.ACKNOWLEDGED, "Q2")
    assert (State.PAUSED, 1, 1) == (
        one.escalation("Q2").state,
        one.escalation("Q2").levels_done,
        one.escalation("Q2").life,
    )


def test_a_shared_incident_in_hand_is_looked_at_when_one_of_its_alerts_moves(one: ThreeClocks) -> None:
    one.page("a1")
    one.page("a2")
    one.clock.move(60)
    one.incident(IncidentEventType.MERGED, "Q1", merged_into="Q2")
    one.clock.move(60)
    one.incident(IncidentEventType.ACKNOWLEDGED, "Q2")
    assert (State.PAUSED, None) == (one.escalation("Q2").state, one.escalation("Q2").due_at)
    one.clock.move(60)
    one.alert(AlertEventType.RESOLVED, alert_id="a2")
    assert one.clock() == one.escalation("Q2").due_at
    assert ["acknowledged"] == one.fire()
    assert None is one.escalation("Q2").due_at
    assert 1 == one.events().count("escalation.stopped") - 1  # the other is of the merge


def test_what_was_armed_before_its_link_knew_it_stands_as_the_link_says(one: ThreeClocks) -> None:
    one.alert(AlertEventType.CREATED)
    one.command(CommandType.ESCALATE, "Q1", arming("PMGMT", 15))
    one.clock.move(60)
    one.incident(IncidentEventType.ACKNOWLEDGED)
    assert (State.PAUSED, None) == (one.escalation().state, one.escalation().link_id)
    one.run()
    assert (State.PAUSED, one.link().link_id) == (one.escalation().state, one.escalation().link_id)
    one.at_pagerduty(IncidentEventType.UNACKNOWLEDGED)
    assert [] == one.minutes(14.9)
    assert ["moved"] == one.minutes(0.2)
