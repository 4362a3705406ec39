"""No times of two partners are compared: a climb follows its links, and its timers run on our receipt."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from app.domain.alert import Alert
from app.domain.escalation import State
from app.domain.link import Link
from app.domain.names import AlertId, IncidentKey, Status
from app.domain.rulebook import Rule, RuleAction, Rulebook
from app.domain.side_state import SideState
from app.domain.words import AlertVerb, IncidentVerb, WishVerb
from app.services.escalate_wish import arming
from app.services.escalations import status_of
from tests.climbing import ESCALATION, ClimbingRig
from tests.fakes import START, FakeClock

BOTH = ["Q1 PMGMT/1", "Q1 PMGMT/2"]


class Off(FakeClock):
    """A partner's clock: so many minutes ahead of ours, whatever ours shows."""

    def __init__(self, ours: FakeClock, minutes: float) -> None:
        self.ours, self.ahead = ours, timedelta(minutes=minutes)

    def __call__(self) -> datetime:
        return self.ours() + self.ahead


class ThreeClocks(ClimbingRig):
    """Both partners tell their own time."""

    def __init__(self, data_dir: Path, truthvouch: float = 0, pagerduty: float = 0) -> None:
        super().__init__(data_dir)
        self.tv, self.pd.clock = Off(self.clock, truthvouch), Off(self.clock, pagerduty)

    def at_truthvouch(self, verb: AlertVerb, seconds: float = 60) -> None:
        """So much later it happens there, is told, and is carried over."""
        self.clock.move(seconds)
        self.alert(verb, at=self.tv())
        self.run()

    def at_pagerduty(self, verb: IncidentVerb, seconds: float = 60) -> None:
        self.clock.move(seconds)
        self.incident(verb, at=self.pd.clock())
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
    rig.at_truthvouch(AlertVerb.ACKNOWLEDGED)
    assert Status.ACKNOWLEDGED is rig.pd.incidents["Q1"].status
    assert State.PAUSED is rig.climb().state
    rig.at_pagerduty(IncidentVerb.ACKNOWLEDGED, 1)  # our own, told by its webhook
    assert State.PAUSED is rig.climb().state
    rig.at_pagerduty(IncidentVerb.UNACKNOWLEDGED)
    assert (State.RUNNING, rig.clock() + timedelta(minutes=30)) == (rig.climb().state, rig.climb().due_at)
    assert [] == rig.minutes(29.9)
    assert ["moved"] == rig.minutes(0.2)
    assert BOTH == rig.moves


def test_a_reopen_at_truthvouch_begins_anew_whatever_the_time_of_pagerdutys_resolve(rig: ThreeClocks) -> None:
    rig.page()
    rig.minutes(15)
    rig.at_pagerduty(IncidentVerb.RESOLVED)
    rig.at_truthvouch(AlertVerb.RESOLVED, 1)  # our own, told by its webhook
    assert "resolved" == rig.climb().reason
    rig.truthvouch.status["a1"] = Status.OPEN
    rig.at_truthvouch(AlertVerb.REOPENED)
    assert (State.RUNNING, 0) == (rig.climb().state, rig.climb().fired)
    assert [] == rig.minutes(14.9)
    assert ["moved"] == rig.minutes(0.2)
    assert "escalation.restarted" in rig.events()


def test_a_reopen_at_pagerduty_begins_anew_whatever_the_time_of_truthvouchs_resolve(rig: ThreeClocks) -> None:
    rig.page()
    rig.minutes(15)
    rig.at_truthvouch(AlertVerb.RESOLVED)
    rig.at_pagerduty(IncidentVerb.RESOLVED, 1)  # our own, told by its webhook
    assert "resolved" == rig.climb().reason
    rig.at_pagerduty(IncidentVerb.REOPENED)
    assert (State.RUNNING, 0) == (rig.climb().state, rig.climb().fired)
    assert [] == rig.minutes(14.9)
    assert ["moved"] == rig.minutes(0.2)


def test_what_is_told_late_counts_from_when_it_is_told(rig: ThreeClocks) -> None:
    rig.page()
    rig.at_pagerduty(IncidentVerb.ACKNOWLEDGED)
    unacknowledged_at = rig.pd.clock() + timedelta(minutes=1)
    rig.clock.move(1800)
    rig.incident(IncidentVerb.UNACKNOWLEDGED, at=unacknowledged_at)
    assert rig.clock() == rig.climb().clock_at


# ------------------------------------------------------------------------------------------- what nobody told


def test_a_reopen_whose_resolve_is_told_later_or_never_begins_anew(rig: ThreeClocks) -> None:
    rig.page()
    rig.minutes(15)
    rig.clock.move(60)
    resolved_at = rig.pd.clock()
    rig.at_pagerduty(IncidentVerb.REOPENED)
    assert ["escalation.restarted"] == rig.events()[2:]
    rig.clock.move(60)
    rig.incident(IncidentVerb.RESOLVED, at=resolved_at)
    rig.pd.put("Q1", Status.OPEN)
    assert [] == rig.minutes(13.9)
    assert ["moved"] == rig.minutes(0.2)


def test_what_only_a_read_showed_is_taken_back_by_an_event(rig: ThreeClocks) -> None:
    rig.page()
    rig.pd.put("Q1", Status.ACKNOWLEDGED)
    assert ["acknowledged"] == rig.minutes(15)
    rig.alert(AlertVerb.MENTIONED, at=rig.tv())
    rig.incident(IncidentVerb.ANNOTATED, at=rig.pd.clock())
    assert State.PAUSED is rig.climb().state
    rig.at_pagerduty(IncidentVerb.UNACKNOWLEDGED)
    assert ["moved"] == rig.minutes(15.1)


def test_so_is_a_resolve_that_only_a_read_showed(rig: ThreeClocks) -> None:
    rig.page()
    rig.minutes(15)
    rig.pd.put("Q1", Status.RESOLVED)
    assert ["resolved"] == rig.minutes(30)
    rig.at_pagerduty(IncidentVerb.REOPENED)
    assert (State.RUNNING, 0) == (rig.climb().state, rig.climb().fired)


def test_a_resolve_of_which_only_the_link_knows_is_told_by_its_life(one: ThreeClocks) -> None:
    holding(one, 5)
    one.page()
    one.minutes(15)
    one.at_pagerduty(IncidentVerb.ACKNOWLEDGED)
    one.at_truthvouch(AlertVerb.ACKNOWLEDGED, 1)  # our own, told by its webhook
    one.clock.move(60)
    one.alert(AlertVerb.RESOLVED)
    one.clock.move(301)  # the hold is over, and nothing was told of it
    assert State.PAUSED is one.climb().state
    one.at_truthvouch(AlertVerb.REOPENED)
    assert (State.RUNNING, 0, 1) == (one.climb().state, one.climb().fired, one.climb().life)


# ------------------------------------------------------------------------------------------- what is read


def test_an_event_that_a_delivery_has_to_read_about_counts_then(one: ThreeClocks) -> None:
    one.page()
    one.at_pagerduty(IncidentVerb.ACKNOWLEDGED)
    one.incident(IncidentVerb.UNACKNOWLEDGED)  # in the same second
    assert State.PAUSED is one.climb().state
    one.clock.move(1)
    one.run()
    assert State.RUNNING is one.climb().state
    assert ["escalation.armed", "escalation.stopped", "escalation.resumed"] == one.events()


def test_what_happens_at_pagerduty_while_a_resolve_is_held_back_counts(one: ThreeClocks) -> None:
    holding(one, 30)
    one.page()
    one.clock.move(60)
    one.alert(AlertVerb.RESOLVED)
    one.clock.move(60)
    one.incident(IncidentVerb.ACKNOWLEDGED)
    assert State.PAUSED is one.climb().state
    one.clock.move(60)
    one.incident(IncidentVerb.UNACKNOWLEDGED)
    assert (State.RUNNING, one.clock()) == (one.climb().state, one.climb().clock_at)
    one.clock.move(60)
    one.alert(AlertVerb.REOPENED)
    assert [] == one.minutes(13.9)
    assert ["moved"] == one.minutes(0.2)


def test_an_unacknowledge_while_a_resolve_is_held_back_is_read(one: ThreeClocks) -> None:
    holding(one, 30)
    one.page()
    one.at_pagerduty(IncidentVerb.ACKNOWLEDGED)
    one.at_truthvouch(AlertVerb.ACKNOWLEDGED, 1)  # our own, told by its webhook
    one.clock.move(60)
    one.alert(AlertVerb.RESOLVED)
    one.clock.move(60)
    one.incident(IncidentVerb.UNACKNOWLEDGED)
    assert ["waits"] == one.minutes(0.1)
    assert (State.RUNNING, one.clock()) == (one.climb().state, one.climb().clock_at)


def test_the_delivery_of_a_resolve_that_was_held_back_ends_it(one: ThreeClocks) -> None:
    holding(one, 5)
    one.page()
    one.at_pagerduty(IncidentVerb.ACKNOWLEDGED)
    one.at_truthvouch(AlertVerb.ACKNOWLEDGED, 1)
    one.clock.move(60)
    one.alert(AlertVerb.RESOLVED)
    one.clock.move(301)
    before = one.link()
    one.run()
    after = one.link()
    assert (Status.RESOLVED, Status.RESOLVED) == (before.status, after.incident_side.status)
    with one.database.begin() as tx:
        one.escalations.followed(tx, before, after, one.clock())
    assert "resolved" == one.climb().reason


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
    one.incident(IncidentVerb.MERGED, "Q1", merged_into="Q2")
    assert ["moved"] == one.minutes(14.1)
    for verb in (AlertVerb.RESOLVED, AlertVerb.REOPENED):
        one.clock.move(60)
        one.alert(verb, alert_id="a2")
    one.clock.move(60)
    one.incident(IncidentVerb.ACKNOWLEDGED, "Q2")
    assert (State.PAUSED, 1, 1) == (one.climb("Q2").state, one.climb("Q2").fired, one.climb("Q2").life)


def test_a_shared_incident_in_hand_is_looked_at_when_one_of_its_alerts_moves(one: ThreeClocks) -> None:
    one.page("a1")
    one.page("a2")
    one.clock.move(60)
    one.incident(IncidentVerb.MERGED, "Q1", merged_into="Q2")
    one.clock.move(60)
    one.incident(IncidentVerb.ACKNOWLEDGED, "Q2")
    assert (State.PAUSED, None) == (one.climb("Q2").state, one.climb("Q2").due_at)
    one.clock.move(60)
    one.alert(AlertVerb.RESOLVED, alert_id="a2")
    assert one.clock() == one.climb("Q2").due_at
    assert ["acknowledged"] == one.fire()
    assert None is one.climb("Q2").due_at
    assert 1 == one.events().count("escalation.stopped") - 1  # the other is of the merge


def test_what_was_armed_before_its_link_knew_it_stands_as_the_link_says(one: ThreeClocks) -> None:
    one.alert(AlertVerb.CREATED)
    one.wish(WishVerb.ESCALATE, "Q1", arming("PMGMT", 15))
    one.clock.move(60)
    one.incident(IncidentVerb.ACKNOWLEDGED)
    assert (State.PAUSED, None) == (one.climb().state, one.climb().link_id)
    one.run()
    assert (State.PAUSED, one.link().link_id) == (one.climb().state, one.climb().link_id)
    one.at_pagerduty(IncidentVerb.UNACKNOWLEDGED)
    assert [] == one.minutes(14.9)
    assert ["moved"] == one.minutes(0.2)
