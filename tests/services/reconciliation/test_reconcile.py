"""Both sides are read back: what was lost is found, what agrees costs nothing, what cannot be read changes nothing."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.domain.model.events import AlertEvent, AlertEventType, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.types import AlertId, IncidentId, IncidentKey, Side, Status, Urgency, Via, incident_key
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook
from app.ports import AlertPage
from app.services.reconciliation.alerts import SPENT
from app.store.schema import timeline
from tests.fakes import START, PartnerClock
from tests.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return opened(Rig(tmp_path))


def opened(rig: Rig, alert_id: str = "a1") -> Rig:
    """One alert with its incident, both open, and a minute later."""
    rig.truthvouch.status[alert_id] = Status.OPEN
    rig.alert(AlertEventType.CREATED, alert_id=alert_id)
    rig.run()
    forget(rig)
    rig.clock.move(60)
    return rig


def forget(rig: Rig) -> None:
    rig.pagerduty.calls.clear()
    rig.truthvouch.calls.clear()
    rig.truthvouch.looks.clear()


def outcomes(rig: Rig) -> list[tuple[str, str]]:
    found = [(finding.side.value, finding.outcome.value) for finding in rig.reconcile().findings]
    rig.clock.move(1)
    rig.run()
    rig.clock.move(60)
    return found


def writes(rig: Rig) -> list[str]:
    at_truthvouch = [f"alert {status}" for _, status, _ in rig.truthvouch.calls]
    return at_truthvouch + [call for call in rig.pagerduty.calls if call not in ("list", "get", "find", "notes")]


def both(rig: Rig, alert_id: str = "a1") -> tuple[Status, Status]:
    return rig.truthvouch.status[alert_id], rig.pagerduty.incidents[rig.link(alert_id).incident_id or ""].status


# ------------------------------------------------------------ PagerDuty


@pytest.mark.parametrize("status", [Status.ACKNOWLEDGED, Status.RESOLVED])
def test_what_somebody_did_at_pagerduty_unheard_reaches_the_alert(rig: Rig, status: Status) -> None:
    rig.pagerduty.put("Q1", status)
    rig.clock.move(60)
    assert [("pagerduty", "moved")] == outcomes(rig)
    assert (status, status) == both(rig)
    assert [f"alert {status}"] == writes(rig)


def test_an_unheard_unacknowledge_goes_back_too(rig: Rig) -> None:
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    rig.run()
    rig.clock.move(60)
    rig.pagerduty.put("Q1", Status.OPEN)
    rig.clock.move(60)
    assert [("pagerduty", "moved")] == outcomes(rig)
    assert (Status.OPEN, Status.OPEN) == both(rig)


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.OPEN])
@pytest.mark.parametrize("after", [1, 6])
def test_a_change_in_the_second_of_the_last_one_we_received_of_is_found(rig: Rig, status: Status, after: float) -> None:
    """PagerDuty tells whole seconds; the read began after the webhook came, so it is the newer of the two."""
    rig.clock.now = rig.clock.now.replace(microsecond=700_000)
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    rig.run()
    whole_second = rig.clock().replace(microsecond=0)
    changed = replace(rig.pagerduty.put("Q1", status), status_changed_at=whole_second)
    rig.pagerduty.incidents["Q1"] = changed
    rig.clock.move(after)
    assert [("pagerduty", "moved")] == outcomes(rig)
    assert (status, status) == both(rig)


def test_what_stood_there_before_our_own_write_says_nothing_until_it_has_settled(rig: Rig) -> None:
    """Then it is a write that was not kept, and never somebody's change: it is made again."""
    before = rig.pagerduty.incidents["Q1"]
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.truthvouch.status["a1"] = Status.ACKNOWLEDGED
    rig.run()
    rig.pagerduty.incidents["Q1"] = before
    rig.clock.move(1)
    assert () == rig.reconcile().findings
    rig.clock.move(5)
    assert [("pagerduty", "write_lost")] == outcomes(rig)
    assert (Status.ACKNOWLEDGED, Status.ACKNOWLEDGED) == both(rig)


def test_an_unheard_reopen_of_a_matter_closed_on_both_sides_is_found(rig: Rig) -> None:
    rig.incident(IncidentEventType.RESOLVED)
    rig.run()
    rig.clock.move(60)
    rig.pagerduty.put("Q1", Status.OPEN)
    rig.clock.move(60)
    assert [("pagerduty", "moved")] == outcomes(rig)
    assert Status.OPEN is rig.pagerduty.incidents["Q1"].status, "TruthVouch's resolve is final, the incident stays open"
    assert Status.OPEN is rig.link().status


def test_a_merge_nobody_reported_moves_the_link(rig: Rig) -> None:
    survivor = IncidentFacts(IncidentId("QM"), Status.OPEN, service_id="PMAIN", status_changed_at=START)
    rig.pagerduty.incidents["QM"] = survivor
    gone = replace(rig.pagerduty.put("Q1", Status.RESOLVED), merged_into=survivor.incident_id)
    rig.pagerduty.incidents["Q1"] = gone
    rig.clock.move(60)
    assert [("pagerduty", "merged")] == outcomes(rig)
    assert ("QM", Status.OPEN) == (rig.link().incident_id, rig.link().status)
    assert [] == outcomes(rig)
    assert [] == writes(rig)


def test_the_incident_that_survives_a_merge_is_found_acknowledged_before_it(rig: Rig) -> None:
    test_a_merge_nobody_reported_moves_the_link(rig)
    earlier = rig.clock() - timedelta(hours=1)
    known = rig.pagerduty.incidents["QM"]
    rig.pagerduty.incidents["QM"] = replace(known, status=Status.ACKNOWLEDGED, status_changed_at=earlier)
    assert [("pagerduty", "moved")] == outcomes(rig)
    assert Status.ACKNOWLEDGED is rig.link().status


def test_our_own_budget_is_waited_for(rig: Rig) -> None:
    waited: list[float] = []
    replies: list[Reply[Any]] = [Held("budget_spent", 0.5), Held("budget_spent", 0.25)]
    listed = rig.pagerduty.open_page
    rig.pagerduty.open_page = lambda *asked: replies.pop(0) if replies else listed(*asked)  # type: ignore[method-assign]
    rig.looking = replace(rig.looking, pause=waited.append)
    assert rig.reconcile().complete
    assert [0.5, 0.25] == waited


def test_an_incident_moved_to_a_service_of_somebody_elses_is_still_read(rig: Rig) -> None:
    rig.pagerduty.incidents["Q1"] = replace(rig.pagerduty.put("Q1", Status.ACKNOWLEDGED), service_id="POTHER")
    rig.clock.move(60)
    assert [("pagerduty", "moved")] == outcomes(rig)


def test_services_that_rules_chose_are_listed(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rule = Rule("all", "true", RuleAction.CREATE_INCIDENT, urgency=Urgency.HIGH, service_id="PRULE")
    rig.rulebook.rulebook = Rulebook((rule,))
    opened(rig)
    rig.reconcile()
    assert ["list"] == rig.pagerduty.calls


def test_an_events_incident_is_known_by_its_key_and_adopted(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    find, rig.pagerduty.find = rig.pagerduty.find, lambda key, since=None: Done(())  # type: ignore[method-assign]
    opened(rig)
    assert (None, False) == (rig.link().incident_id, rig.link().pagerduty.outstanding)
    rig.pagerduty.find = find  # type: ignore[method-assign]
    assert [("pagerduty", "adopted")] == outcomes(rig)
    assert "Q1" == rig.link().incident_id


def test_an_events_incident_is_found_by_its_key_where_the_clock_of_pagerduty_is_hours_behind(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.pagerduty.clock = PartnerClock(rig.clock, timedelta(hours=-23))
    find, rig.pagerduty.find = rig.pagerduty.find, lambda key, since=None: Done(())  # type: ignore[method-assign]
    opened(rig)
    rig.pagerduty.find = find  # type: ignore[method-assign]
    rig.pagerduty.put("Q1", Status.RESOLVED)
    rig.clock.move(60)
    assert [("pagerduty", "moved")] == outcomes(rig)


def test_a_listed_incident_with_our_key_is_adopted_without_asking_further(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    rig.pagerduty.find = lambda key, since=None: Done(())  # type: ignore[method-assign]
    opened(rig)
    rig.pagerduty.put("Q1", Status.ACKNOWLEDGED)
    rig.clock.move(60)
    assert [("pagerduty", "moved")] == outcomes(rig)
    assert ("Q1", Status.ACKNOWLEDGED) == (rig.link().incident_id, rig.link().status)


def test_an_incident_with_a_key_of_ours_that_nobody_knows_is_reported_once(rig: Rig) -> None:
    key = incident_key(AlertId("a lost one"))
    rig.pagerduty.incidents["Q9"] = IncidentFacts(
        IncidentId("Q9"), Status.OPEN, service_id="PMAIN", incident_key=key, status_changed_at=START
    )
    assert [("pagerduty", "unknown_incident")] == outcomes(rig)
    assert [] == outcomes(rig)
    found = rig.reconcile(dry_run=True)
    assert ["Q9"] == [finding.incident_id for finding in found.findings]
    assert ((), False) == (found.drift, found.agreed), "there is nothing to take in"
    assert "--since" in found.findings[0].remedy


def test_an_incident_of_strangers_is_none_of_our_business(rig: Rig) -> None:
    rig.pagerduty.incidents["Q9"] = IncidentFacts(
        IncidentId("Q9"), Status.OPEN, service_id="PMAIN", incident_key=IncidentKey("disk full")
    )
    assert [] == outcomes(rig)


@pytest.mark.parametrize("kind", ["by-hand", "connection-test"])
def test_an_incident_that_a_person_opened_is_no_drift(rig: Rig, kind: str) -> None:
    rig.pagerduty.incidents["Q9"] = IncidentFacts(
        IncidentId("Q9"), Status.OPEN, service_id="PMAIN", incident_key=IncidentKey(f"truthvouch-{kind}-{'0' * 32}")
    )
    found = rig.reconcile(dry_run=True)
    assert ((), True) == (found.findings, found.agreed)


def test_hundreds_of_open_incidents_are_read_page_by_page(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for number in range(5):
        opened(rig, f"a{number}")
    rig.pagerduty.page_size = 100
    pages: list[int] = []
    known = list(rig.pagerduty.incidents.values())

    def two_a_page(services: Sequence[str], offset: int = 0) -> Reply[tuple[tuple[IncidentFacts, ...], bool]]:
        pages.append(offset)
        first = offset // 100 * 2
        return Done((tuple(known[first : first + 2]), first + 2 < len(known)))

    rig.pagerduty.open_page = two_a_page  # type: ignore[method-assign]
    rig.reconcile()
    assert [0, 100, 200] == pages
    assert "get" not in rig.pagerduty.calls


def test_beyond_ten_thousand_incidents_the_rest_is_read_one_by_one(rig: Rig) -> None:
    offsets: list[int] = []

    def endless(services: Sequence[str], offset: int = 0) -> Reply[tuple[tuple[IncidentFacts, ...], bool]]:
        offsets.append(offset)
        return Done(((), True))

    rig.pagerduty.open_page = endless  # type: ignore[method-assign]
    found = rig.reconcile()
    assert (100, 9_900) == (len(offsets), max(offsets))
    assert ["get"] == rig.pagerduty.calls
    assert any("10,000" in fault for fault in found.faults)


@pytest.mark.parametrize("reply", [Retry("http_503"), Held("unauthorized"), Refused("bad_request", 400)])
def test_a_list_that_fails_is_no_news(rig: Rig, reply: Retry | Held | Refused) -> None:
    rig.pagerduty.open_page = lambda services, offset=0: reply  # type: ignore[method-assign]
    found = rig.reconcile()
    assert ((), False, True) == (found.findings, found.complete, found.failed)
    assert any("could not be listed" in fault for fault in found.faults)
    assert [] == rig.pagerduty.calls, "who does not answer a list is not asked for every incident"


def test_calls_that_nobody_answers_read_nothing(rig: Rig) -> None:
    rig.pagerduty.open_page = lambda services, offset=0: Retry("connect_failed")  # type: ignore[method-assign]
    half = rig.reconcile(dry_run=True)
    assert (True, False, False) == (half.readable, half.agreed, half.complete)
    rig.truthvouch.page = lambda page, status=None: Retry("connect_failed")  # type: ignore[method-assign]
    found = rig.reconcile(dry_run=True)
    assert {Side.PAGERDUTY: 1, Side.TRUTHVOUCH: 1} == found.calls
    assert (False, False) == (found.readable, found.agreed)


@pytest.mark.parametrize("reply", [Refused("not_found", 404), Retry("timeout"), Held("unauthorized")])
def test_an_incident_that_cannot_be_read_is_no_news(rig: Rig, reply: Retry | Held | Refused) -> None:
    rig.pagerduty.incidents.clear()
    rig.pagerduty.get = lambda incident_id: reply  # type: ignore[method-assign]
    found = rig.reconcile()
    assert (Status.OPEN, ()) == (rig.link().status, found.findings)
    assert not found.complete


def test_a_partner_that_stops_answering_is_not_asked_for_every_link(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for number in range(6):
        opened(rig, f"a{number}")
    rig.pagerduty.incidents.clear()
    asked: list[str] = []

    def silent(incident_id: IncidentId) -> Reply[IncidentFacts]:
        asked.append(incident_id)
        return Retry("timeout")

    rig.pagerduty.get = silent  # type: ignore[method-assign]
    rig.reconcile()
    assert ["Q1", "Q2", "Q3"] == asked
    asked.clear()
    rig.reconcile()
    assert ["Q3", "Q4", "Q5"] == asked, "the next run goes on where this one stopped"


# ------------------------------------------------------------ TruthVouch


def test_what_somebody_did_at_truthvouch_unheard_reaches_the_incident(rig: Rig) -> None:
    for status in (Status.ACKNOWLEDGED, Status.RESOLVED):
        rig.truthvouch.status["a1"] = status
        assert [("truthvouch", "moved")] == outcomes(rig)
        assert (status, status) == both(rig)
    assert ["put acknowledged", "put resolved"] == writes(rig)


def test_an_alert_nobody_reported_is_paged_once(rig: Rig) -> None:
    rig.reconcile()
    rig.truthvouch.status["a2"] = Status.OPEN
    rig.truthvouch.created_at["a2"] = rig.clock()
    rig.clock.move(5)
    assert [("truthvouch", "missed")] == outcomes(rig)
    assert ["find", "open"] == [call for call in rig.pagerduty.calls if call in ("find", "open")], "it looks first"
    assert [] == outcomes(rig)
    assert 2 == len(rig.pagerduty.incidents)


BEHIND = timedelta(minutes=10)


def test_an_alert_of_the_stores_first_minutes_is_found_though_truthvouchs_clock_is_behind(rig: Rig) -> None:
    """By that clock it was raised before the store was born."""
    rig.truthvouch.date = lambda: rig.clock() - BEHIND
    rig.reconcile()
    rig.truthvouch.status["a2"] = Status.OPEN
    rig.truthvouch.created_at["a2"] = rig.clock() - BEHIND
    rig.clock.move(5)
    assert [("truthvouch", "missed")] == outcomes(rig)


def test_a_clock_that_is_behind_hides_no_page_of_the_list(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size = 2
    rig.truthvouch.date = lambda: rig.clock() - BEHIND
    rig.reconcile()
    for number in range(5):
        rig.clock.move(60)
        alert_id = f"a{number}"
        rig.truthvouch.status[alert_id] = Status.OPEN
        rig.truthvouch.created_at[alert_id] = rig.clock() - BEHIND
        if number:
            rig.alert(AlertEventType.CREATED, alert_id=alert_id)
    rig.run()
    assert [("truthvouch", "missed")] == outcomes(rig)


@pytest.mark.parametrize("date", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2010, 1, 1, tzinfo=UTC), None])
def test_a_date_that_cannot_be_true_takes_in_no_alert_from_before_the_store(rig: Rig, date: datetime | None) -> None:
    rig.truthvouch.date = lambda: date
    rig.truthvouch.status["old"] = Status.OPEN
    rig.truthvouch.created_at["old"] = START - timedelta(days=3)
    assert [] == outcomes(rig)


def test_a_missed_alert_that_was_paged_by_a_lost_store_is_not_paged_again(rig: Rig) -> None:
    rig.pagerduty.incidents["Q9"] = IncidentFacts(
        IncidentId("Q9"), Status.ACKNOWLEDGED, service_id="PMAIN", incident_key=incident_key(AlertId("a2"))
    )
    rig.reconcile()
    rig.truthvouch.status["a2"] = Status.OPEN
    rig.truthvouch.created_at["a2"] = rig.clock()
    rig.clock.move(5)
    rig.reconcile()
    rig.run()
    assert "Q9" == rig.link("a2").incident_id
    assert "open" not in rig.pagerduty.calls


def test_a_missed_alert_that_was_acknowledged_meanwhile_opens_acknowledged(rig: Rig) -> None:
    rig.reconcile()
    rig.truthvouch.status["a2"] = Status.ACKNOWLEDGED
    rig.truthvouch.created_at["a2"] = rig.clock()
    rig.clock.move(5)
    outcomes(rig)
    assert (Status.ACKNOWLEDGED, Status.ACKNOWLEDGED) == both(rig, "a2")


def test_an_alert_known_only_by_hearsay_is_paged_too(rig: Rig) -> None:
    rig.reconcile()
    rig.alert(AlertEventType.MENTIONED, alert_id="a2")
    rig.truthvouch.status["a2"] = Status.OPEN
    rig.truthvouch.created_at["a2"] = rig.clock()
    rig.clock.move(5)
    assert [("truthvouch", "missed")] == outcomes(rig)
    assert Status.OPEN is rig.pagerduty.incidents[rig.link("a2").incident_id or ""].status


def test_alerts_older_than_this_store_are_left_alone_unless_an_operator_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.status["old"] = Status.OPEN
    rig.truthvouch.created_at["old"] = START - timedelta(days=3)
    assert [] == outcomes(rig)
    assert [] == writes(rig)
    found = rig.reconcile(since=START - timedelta(days=4))
    assert ["missed"] == [finding.outcome for finding in found.findings]
    rig.run()
    assert ["open"] == writes(rig)


def test_an_operators_horizon_reads_every_page_back_to_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size = 2
    for number in range(9):
        alert_id = f"old{number}"
        rig.truthvouch.status[alert_id] = Status.RESOLVED if number % 2 else Status.OPEN
        rig.truthvouch.created_at[alert_id] = START - timedelta(days=9 - number)
    found = rig.reconcile(since=START - timedelta(days=6, hours=1))
    assert ["old8", "old6", "old4"] == [finding.alert_id for finding in found.findings]
    assert [f"page {number}" for number in (1, 2, 3, 4)] == rig.truthvouch.looks


def test_an_unknown_alert_that_is_over_is_nothing(rig: Rig) -> None:
    rig.reconcile()
    rig.truthvouch.status["a2"] = Status.RESOLVED
    rig.truthvouch.created_at["a2"] = rig.clock()
    assert [] == outcomes(rig)


def test_a_look_that_began_before_a_write_of_ours_is_dropped(rig: Rig) -> None:
    look = rig.truthvouch.page

    def slow(page: int, status: str | None = None) -> Reply[AlertPage]:
        seen = look(page, status)
        rig.clock.move(1)
        rig.incident(IncidentEventType.ACKNOWLEDGED)
        rig.run()
        rig.clock.move(30)
        return seen

    rig.truthvouch.page = slow  # type: ignore[method-assign]
    assert () == rig.reconcile().findings
    assert (Status.ACKNOWLEDGED, Status.ACKNOWLEDGED) == both(rig)


def test_a_look_while_a_delivery_is_under_way_is_dropped(rig: Rig) -> None:
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    assert rig.link().truthvouch.outstanding
    rig.clock.move(60)
    assert [] == outcomes(rig)
    assert Status.ACKNOWLEDGED is rig.pagerduty.incidents["Q1"].status


def test_a_truthvouch_that_keeps_no_acknowledge_is_reported_three_more_times_and_costs_no_acknowledge(rig: Rig) -> None:
    change = rig.truthvouch.set_status

    def forgetful(alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        reply = change(alert_id, status, resolution)
        rig.truthvouch.status[alert_id] = Status.OPEN
        return reply

    rig.truthvouch.set_status = forgetful  # type: ignore[method-assign]
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    rig.run()
    rig.clock.move(60)
    found = [outcomes(rig) for _ in range(12)]
    assert ["alert acknowledged"] * 4 == writes(rig)
    assert Status.ACKNOWLEDGED is rig.pagerduty.incidents["Q1"].status
    assert [] == found[-1], "and is not told of for ever"


def test_a_change_of_ours_that_is_seen_is_no_drift_but_remembered(rig: Rig) -> None:
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    rig.run()
    rig.clock.move(60)
    assert not rig.link().alert_side.confirmed
    found = rig.reconcile()
    assert ((), 1) == (found.findings, found.confirmed)
    assert rig.link().alert_side.confirmed
    assert 0 == rig.reconcile().confirmed


def test_an_empty_list_and_alerts_that_are_not_there_change_nothing(rig: Rig) -> None:
    rig.truthvouch.status.clear()
    rig.pagerduty.incidents.clear()
    rig.pagerduty.get = lambda incident_id: Refused("not_found", 404)  # type: ignore[method-assign]
    for _ in range(3):
        assert [] == outcomes(rig)
    assert (Status.OPEN, []) == (rig.link().status, writes(rig))


def test_links_that_the_newest_pages_do_not_hold_are_read_one_by_one(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size = 2
    for number in range(5):
        opened(rig, f"a{number}")
    for _ in range(2):  # until the alerts are older than the last walk through the list
        outcomes(rig)
        rig.clock.move(600)
    rig.truthvouch.looks.clear()
    rig.truthvouch.status["a0"] = Status.RESOLVED
    assert [("truthvouch", "moved")] == outcomes(rig)
    assert ["page 1", "a0", "a1", "a2"] == rig.truthvouch.looks
    assert (Status.RESOLVED, Status.RESOLVED) == both(rig, "a0")


def test_where_single_alerts_cannot_be_read_the_list_is_walked(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size, rig.truthvouch.shows_single = 2, False
    for number in range(7):
        opened(rig, f"a{number}")
    rig.truthvouch.status["a0"] = Status.RESOLVED
    assert [("truthvouch", "moved")] == outcomes(rig)
    assert ["page 1", "a0", "a1", "page 2", "page 3", "page 4"] == rig.truthvouch.looks


def test_the_walk_through_the_list_begins_behind_the_pages_that_were_read(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size, rig.truthvouch.shows_single = 2, False
    for number in range(4):
        opened(rig, f"a{number}")
    rig.truthvouch.status["a0"] = Status.RESOLVED
    for number in range(4):
        rig.truthvouch.status[f"new{number}"] = Status.OPEN
        rig.truthvouch.created_at[f"new{number}"] = rig.clock()
    assert [("truthvouch", "missed")] * 4 + [("truthvouch", "moved")] == outcomes(rig)
    assert Status.RESOLVED is rig.link("a0").status


def test_an_alert_of_unknown_age_is_not_taken_in_but_told(rig: Rig) -> None:
    page = rig.truthvouch._listed

    def undated(alert_id: AlertId) -> AlertEvent:
        event = page(alert_id)
        return replace(event, alert=replace(event.alert, created_at=None))

    rig.truthvouch._listed = undated  # type: ignore[method-assign]
    rig.truthvouch.status["a2"] = Status.OPEN
    found = rig.reconcile()
    assert ((), ("TruthVouch: 1 could not be read (no_creation_time)",)) == (found.findings, found.faults)


def test_a_list_that_shows_the_same_page_for_ever_is_left(rig: Rig) -> None:
    rig.reconcile()
    rig.truthvouch.status["a2"] = Status.OPEN
    rig.truthvouch.created_at["a2"] = rig.clock()
    look = rig.truthvouch.page

    def stuck(page: int, status: str | None = None) -> Reply[AlertPage]:
        reply = look(1)
        return Done(replace(reply.value, has_next=True)) if isinstance(reply, Done) else reply

    rig.truthvouch.page = stuck  # type: ignore[method-assign]
    forget(rig)
    rig.reconcile()
    assert ["page 1", "page 1"] == rig.truthvouch.looks


@pytest.mark.parametrize("singly", [True, False])
def test_a_truthvouch_that_does_not_answer_is_left_alone(tmp_path: Path, singly: bool) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size = 2
    for number in range(6):
        opened(rig, f"a{number}")
    rig.truthvouch.look_faults.queue.extend(["", "down", "down", "down", "down"] if singly else ["down"])
    found = rig.reconcile()
    assert ((), False) == (found.findings, found.complete)
    assert (4 if singly else 1) == len(rig.truthvouch.looks)
    assert found.failed


# ------------------------------------------------------------ the budget


def test_more_open_links_than_budget_are_all_read_in_turn(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size = 1
    rig.calls_per_hour = 10
    for number in range(20):
        opened(rig, f"a{number}")
    times: list[float] = []
    read: set[str] = set()
    for _ in range(120):
        found = rig.reconcile()
        times += [rig.clock().timestamp()] * len(rig.truthvouch.looks)
        read |= set(rig.truthvouch.looks)
        rig.truthvouch.looks.clear()
        assert found.complete or SPENT in found.faults
        assert not found.failed
        rig.clock.move(300)
    assert {f"a{number}" for number in range(19)} <= read
    assert "page 1" in read
    for first, tenth in zip(times, times[10:], strict=False):
        assert tenth - first >= 3600 - 1e-6, "never more than ten in any hour"


def test_the_newest_page_is_not_starved_by_old_links_nor_they_by_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size = 1
    rig.calls_per_hour = 2
    for number in range(4):
        opened(rig, f"a{number}")
    for _ in range(12):
        rig.reconcile()
        rig.clock.move(1800)
    pages = [look.startswith("page") for look in rig.truthvouch.looks]
    assert all(before is not after for before, after in pairwise(pages))


def test_no_budget_at_all_reads_nothing_at_truthvouch(rig: Rig) -> None:
    rig.calls_per_hour = 0
    found = rig.reconcile()
    assert [] == rig.truthvouch.looks
    assert SPENT in found.faults


def test_the_budget_is_kept_over_a_restart(tmp_path: Path) -> None:
    rig = opened(Rig(tmp_path))
    rig.calls_per_hour = 2
    rig.reconcile()
    again = Rig(tmp_path)
    again.clock.now, again.calls_per_hour = rig.clock.now, 2
    again.pagerduty.incidents.update(rig.pagerduty.incidents)
    again.reconcile()
    assert [] == again.truthvouch.looks


# ------------------------------------------------------------ the run


def test_where_both_sides_agree_run_after_run_does_nothing(rig: Rig) -> None:
    said = len(rig.said)
    for _ in range(5):
        found = rig.reconcile()
        assert ((), (), True) == (found.findings, found.posted, found.complete)
        rig.run()
        rig.clock.move(300)
    assert [] == writes(rig)
    assert said == len(rig.said)


def test_a_dry_run_tells_and_changes_nothing(rig: Rig) -> None:
    rig.pagerduty.put("Q1", Status.RESOLVED)
    rig.clock.move(60)
    before, said = rig.link(), len(rig.said)
    found = rig.reconcile(dry_run=True)
    assert [("pagerduty", "a1", "Q1", "open", "resolved", "moved")] == [
        (f.side, f.alert_id, f.incident_id, f.knew, f.found, f.outcome) for f in found.findings
    ]
    assert ((), said, before) == (found.posted, len(rig.said), rig.link())


def test_what_is_found_is_written_into_the_time_line_as_found(rig: Rig) -> None:
    rig.pagerduty.put("Q1", Status.ACKNOWLEDGED)
    rig.clock.move(60)
    rig.reconcile()
    with rig.database.engine.connect() as connection:
        events = {row.event: row.facts for row in connection.execute(select(timeline))}
    facts = json.loads(events["incident.read"])
    assert ("reconciliation", "acknowledged", "moved") == (facts["found_by"], facts["found"], facts["outcome"])


def test_a_side_without_a_key_is_skipped_and_said(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Via.EVENTS, has_api_key=False)
    opened(rig)
    found = rig.reconcile()
    assert {Side.TRUTHVOUCH: 1} == found.calls
    assert ["PagerDuty is not read: PAGERDUTY_API_KEY is not set"] == list(found.faults)
    rig.looking = replace(rig.looking, alerts=None)
    assert not rig.reconcile().readable


def test_progress_is_reported_for_every_link(rig: Rig) -> None:
    opened(rig, "a2")
    answer: list[tuple[Side, int, int]] = []
    rig.looking(None, True, lambda side, done, total: answer.append((side, done, total)))
    assert [(Side.PAGERDUTY, 1, 2), (Side.PAGERDUTY, 2, 2)] == answer[:2]
    assert (Side.TRUTHVOUCH, 2, 2) in answer
