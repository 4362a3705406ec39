"""Deliveries that end at a bad moment, and pages that must wait for nobody."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType
from app.domain.model.outcome import Done, Held, Refused, Retry
from app.domain.model.types import Side, Status, Via
from tests.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_delivery_that_yields_when_nothing_is_owed_any_more_leaves_no_delivery_waiting_for_it(rig: Rig) -> None:
    rig.alert(AlertEventType.CREATED)
    rig.clock.move(1)
    rig.alert(AlertEventType.RESOLVED)
    link = rig.link()
    assert link.pagerduty.outstanding
    rig.deliver._yield_turn(link.link_id, Side.PAGERDUTY, link.pagerduty.seq)
    assert not rig.link().pagerduty.outstanding


def overtaken(rig: Rig, lost: bool) -> None:
    """The create is made, but another delivery is outstanding by then."""
    rig.alert(AlertEventType.CREATED)
    link = rig.link()
    seq = link.pagerduty.seq
    step = rig.deliver._begin(link.link_id, Side.PAGERDUTY, seq, True)
    assert step is not None
    reply = rig.deliver.perform(*step)
    with rig.database.begin() as tx:
        now = rig.links.get(tx, link.link_id)
        rig.links.save(tx, now.with_delivery(Side.PAGERDUTY, replace(now.pagerduty, outstanding=False, seq=seq + 1)))
    rig.clock.move(1)
    rig.alert(AlertEventType.RESOLVED)
    answer = Retry("connection_reset", unclear=True) if lost else reply
    rig.deliver._record(link.link_id, Side.PAGERDUTY, seq, step[1], answer, True)
    rig.run()


@pytest.mark.parametrize("lost", [False, True], ids=["its answer came", "its answer was lost"])
@pytest.mark.parametrize("via", list(Via))
def test_an_incident_opened_after_its_delivery_was_overtaken_is_closed_with_its_alert(
    tmp_path: Path, via: Via, lost: bool
) -> None:
    rig = Rig(tmp_path, via)
    overtaken(rig, lost)
    assert [Status.RESOLVED] == [facts.status for facts in rig.pagerduty.incidents.values()]


def test_a_reopen_waits_behind_no_refused_note(rig: Rig) -> None:
    rig.pagerduty.add_note = lambda incident_id, content: Refused("not_in_plan", 402)  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.run()
    rig.clock.move(60)
    rig.alert(AlertEventType.RESOLVED, reason="paraphrase")
    rig.run()
    assert "" == rig.link().pagerduty.dead, "nothing waits behind a note"
    rig.clock.move(60)
    rig.alert(AlertEventType.REOPENED)
    rig.run()
    assert Status.OPEN is rig.pagerduty.incidents["Q1"].status


@pytest.mark.parametrize("look", [Held("unauthorized"), Retry("connect_failed")], ids=["held", "down"])
def test_a_page_by_event_waits_for_no_look_by_rest(tmp_path: Path, look: Held | Retry) -> None:
    rig = Rig(tmp_path, Via.EVENTS)
    find = rig.pagerduty.find
    rig.pagerduty.find = lambda key, since=None: look  # type: ignore[method-assign]
    rig.pagerduty.faults.queue.append("refused")
    rig.alert(AlertEventType.CREATED)
    tried = replace(rig.link(), open_tried=True)
    with rig.database.begin() as tx:
        rig.links.save(tx, tried)
    rig.engine.run(rig.deliver, at_most=6)
    assert [Status.OPEN] == [facts.status for facts in rig.pagerduty.incidents.values()]
    rig.pagerduty.find = find  # type: ignore[method-assign]


def closed_before_it_was_found(tmp_path: Path) -> Rig:
    """Opened and closed by event, and opened again at TruthVouch while nobody knows the incident's id yet."""
    rig = Rig(tmp_path, Via.EVENTS)
    rig.pagerduty.find = lambda key, since=None: Done(())  # type: ignore[method-assign]
    rig.alert(AlertEventType.CREATED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.clock.move(1)
    rig.alert(AlertEventType.RESOLVED)
    rig.engine.run(rig.deliver, at_most=1)
    rig.clock.move(1)
    rig.alert(AlertEventType.REOPENED)
    assert (None, ["trigger", "event resolve"]) == (rig.link().incident_id, rig.pagerduty.calls)
    return rig


def test_what_is_reopened_before_its_incident_was_found_is_the_same_incident_again(tmp_path: Path) -> None:
    rig = closed_before_it_was_found(tmp_path)
    rig.engine.run(rig.deliver, at_most=1)
    del rig.pagerduty.find
    rig.run()
    assert {"Q1": Status.OPEN} == {name: facts.status for name, facts in rig.pagerduty.incidents.items()}
    assert "Q1" == rig.link().incident_id


@pytest.mark.parametrize("found", [Done(()), Held("unauthorized"), Retry("connect_failed")])
def test_a_reopened_alert_pages_anew_where_no_look_finds_its_incident(
    tmp_path: Path, found: Done | Held | Retry
) -> None:
    rig = closed_before_it_was_found(tmp_path)
    rig.pagerduty.find = lambda key, since=None: found  # type: ignore[method-assign]
    rig.engine.run(rig.deliver, at_most=3)
    assert 2 == rig.pagerduty.calls.count("trigger")


def test_a_look_that_does_not_see_our_resolve_yet_reopens_nothing(tmp_path: Path) -> None:
    """An event takes effect moments after its 202: whoever looks too early would reopen what is closed right after."""
    rig = closed_before_it_was_found(tmp_path)
    rig.pagerduty.put("Q1", Status.OPEN)
    del rig.pagerduty.find
    rig.engine.run(rig.deliver, at_most=1)
    rig.pagerduty.put("Q1", Status.RESOLVED)
    rig.run()
    assert Status.OPEN is rig.pagerduty.incidents["Q1"].status
