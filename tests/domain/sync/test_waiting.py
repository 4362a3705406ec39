"""What waits behind a dead letter, and what becomes of a resolve nobody has seen."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.model.events import IncidentEvent, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done, Refused, Retry
from app.domain.model.types import Alert, AlertId, IncidentId, LinkId, Side, Status, Urgency, Via, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.delivery import Result, intending, record
from app.domain.sync.effects import (
    AddNote,
    Circumstances,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadIncident,
    SetAlert,
    SetIncident,
    desired_effect,
    next_effect,
    target_of,
)
from app.domain.sync.link import DeliveryState, Link, Note
from app.domain.sync.retry import discarded, replayed
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import REPEATS, Outcome, advance
from tests.fakes import START

PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
OPEN = Link(
    Alert(AlertId("a1")), incident_key(AlertId("a1")), START, decision=PAGE, incident_id=IncidentId("Q1"),
    open_tried=True, alert_side=SideState(Status.OPEN, START, START),
    incident_side=SideState(Status.OPEN, START, START),
)  # fmt: skip
A_WEEK = timedelta(days=7)
SOON, LATER = START + timedelta(seconds=1), START + timedelta(minutes=1)
ACKNOWLEDGED = replace(OPEN, alert_side=SideState(Status.ACKNOWLEDGED, SOON, SOON))
RESOLVED = replace(OPEN, alert_side=SideState(Status.RESOLVED, SOON, SOON))
ENDED_THERE = SideState(Status.RESOLVED, LATER, LATER)
NOTE = Note("deadbeef", "x")
T, P = Side.TRUTHVOUCH, Side.PAGERDUTY
UNNAMED = replace(OPEN, incident_id=None, via=Via.EVENTS)


def upcoming(link: Link, side: Side, shared: Sequence[Link] = (), *, has_api_key: bool = True) -> Effect | None:
    return next_effect(link, side, Circumstances(LATER, shared, has_api_key))


def desired(link: Link, side: Side, shared: Sequence[Link] = ()) -> Effect | None:
    return desired_effect(link, side, Circumstances(LATER, shared))


CASES = {
    "a create": (replace(OPEN, incident_id=None, incident_side=SideState()), P, OpenIncident, False),
    "an acknowledge there": (ACKNOWLEDGED, P, SetIncident, True),
    "an acknowledge here": (
        replace(OPEN, incident_side=SideState(Status.ACKNOWLEDGED, SOON, SOON)), T, SetAlert, True,
    ),
    "a note": (replace(OPEN, notes=(NOTE,)), P, AddNote, True),
    "a look for an id": (UNNAMED, P, LookForIncident, True),
    "a note after the end": (
        replace(RESOLVED, notes=(NOTE,), incident_side=ENDED_THERE), P, AddNote, True,
    ),
    "a resolve there": (RESOLVED, P, SetIncident, False),
    "a resolve here": (replace(OPEN, incident_side=ENDED_THERE), T, SetAlert, False),
    "a resolve by event": (replace(RESOLVED, via=Via.EVENTS), P, SetIncident, False),
    "the end of an unclear create": (
        replace(RESOLVED, incident_id=None, incident_side=SideState()), P, LookForIncident, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("link", "side", "kind", "waits"), CASES.values(), ids=CASES)
def test_the_rest_of_a_side_waits_behind_its_dead_letter_but_a_page_and_an_end_pass(
    link: Link, side: Side, kind: type[object], waits: bool
) -> None:
    assert isinstance(upcoming(link, side), kind)
    dead = link.with_delivery(side, DeliveryState(dead="bad_request"))
    assert isinstance(desired(dead, side), kind)
    assert waits is (upcoming(dead, side) is None)
    other = P if side is T else T
    assert upcoming(link, side) == upcoming(link.with_delivery(other, DeliveryState(dead="bad_request")), side)
    for goes_on in (replayed(dead, side), discarded(dead, side)):
        assert isinstance(upcoming(goes_on, side), kind)


def test_a_shared_incident_of_which_one_matter_has_ended_still_waits() -> None:
    """Acknowledging what others are still open on ends nothing, whatever became of this link."""
    others = replace(
        OPEN, link_id=LinkId(2), alert=Alert(AlertId("a2")), alert_side=ACKNOWLEDGED.alert_side, merged=True
    )
    dead = replace(RESOLVED, guests=True).with_delivery(P, DeliveryState(dead="bad_request"))
    assert isinstance(desired(dead, P, [dead, others]), SetIncident)
    assert None is upcoming(dead, P, [dead, others])


def test_what_was_refused_is_asked_again_only_by_a_replay() -> None:
    dead = record(ACKNOWLEDGED, P, SetIncident(Status.ACKNOWLEDGED), Refused("bad_request", 400), LATER, 0.5)
    assert ("dead", "bad_request") == (dead.outcome, dead.link.pagerduty.dead)
    assert None is upcoming(discarded(dead.link, P), P)
    assert SetIncident(Status.ACKNOWLEDGED) == upcoming(replayed(dead.link, P), P)


def test_a_note_given_up_is_written_by_a_replay_and_holds_nothing_back() -> None:
    noted = replace(OPEN, notes=(NOTE, Note("cafebabe", "y")))
    dead = record(noted, P, AddNote("deadbeef", "x"), Refused("bad_request", 400), LATER, 0.5)
    assert (True, "") == (dead.dead, dead.link.pagerduty.dead)
    assert AddNote("cafebabe", "y") == upcoming(dead.link, P)
    assert SetIncident(Status.ACKNOWLEDGED) == upcoming(replace(dead.link, alert_side=ACKNOWLEDGED.alert_side), P)
    assert AddNote("deadbeef", "x") == upcoming(replayed(dead.link, P), P)


# ------------------------------------------------------------------------------------------------- a resolve by event

BY_EVENT = replace(RESOLVED, via=Via.EVENTS)
ASKED = intending(BY_EVENT, P, SetIncident(Status.RESOLVED), LATER)
TAKEN = record(ASKED, P, SetIncident(Status.RESOLVED), Done(None, LATER), LATER, 0.5).link
MUCH_LATER = LATER + timedelta(minutes=1)


def seen(status: Status, seconds: float) -> IncidentFacts:
    return IncidentFacts(IncidentId("Q1"), status, 1, status_changed_at=LATER + timedelta(seconds=seconds))


def shown(link: Link, facts: IncidentFacts) -> Result:
    """The link after a read that began when an event surely had its effect."""
    return record(link, P, ReadIncident(), Done(facts, MUCH_LATER), MUCH_LATER, 0.5)


def test_a_resolve_that_pagerduty_only_took_has_to_be_seen() -> None:
    assert ReadIncident() == upcoming(TAKEN, P)
    assert (Status.OPEN, Status.RESOLVED) == (TAKEN.agreed, TAKEN.status)


def test_an_acknowledge_that_pagerduty_only_took_has_to_be_seen() -> None:
    asked = intending(replace(ACKNOWLEDGED, via=Via.EVENTS), P, SetIncident(Status.ACKNOWLEDGED), LATER)
    taken = record(asked, P, SetIncident(Status.ACKNOWLEDGED), Done(None, LATER), LATER, 0.5).link
    assert ReadIncident() == upcoming(taken, P)
    assert None is upcoming(shown(taken, seen(Status.ACKNOWLEDGED, 0)).link, P)


def test_without_an_api_key_nothing_can_be_seen_and_nothing_is_owed() -> None:
    taken = record(ASKED, P, SetIncident(Status.RESOLVED), Done(None, LATER), LATER, 0.5, has_api_key=False).link
    assert None is upcoming(taken, P, has_api_key=False)


def test_a_resolve_by_rest_is_its_own_proof() -> None:
    answer = record(RESOLVED, P, SetIncident(Status.RESOLVED), Done(seen(Status.RESOLVED, 0)), LATER, 0.5).link
    assert None is upcoming(answer, P)


def test_its_webhook_is_the_proof() -> None:
    echo = IncidentEvent(IncidentEventType.RESOLVED, IncidentId("Q1"), "incident.resolved", LATER)
    step = advance(TAKEN, echo, LATER)
    assert (Outcome.ALREADY_SO, None) == (step.outcome, upcoming(step.link, P))
    assert Status.RESOLVED is step.link.agreed


def test_a_read_that_shows_it_is_the_proof() -> None:
    result = shown(TAKEN, seen(Status.RESOLVED, 0))
    assert ("done", None) == (result.outcome, upcoming(result.link, P))


def test_what_somebody_reopened_meanwhile_is_not_resolved_again() -> None:
    resolved = IncidentEvent(IncidentEventType.RESOLVED, IncidentId("Q1"), "incident.resolved", LATER)
    reopen = IncidentEvent(
        IncidentEventType.REOPENED, IncidentId("Q1"), "incident.reopened", LATER + timedelta(seconds=2)
    )
    after = advance(advance(TAKEN, resolved, LATER).link, reopen, LATER + timedelta(seconds=3)).link
    assert Status.OPEN is after.status
    assert None is upcoming(after, P)


def test_a_reopen_alone_proves_the_resolve_when_the_incident_is_read() -> None:
    """Its own webhook was lost: that it went back says that it had been there."""
    reopen = IncidentEvent(
        IncidentEventType.REOPENED, IncidentId("Q1"), "incident.reopened", LATER + timedelta(seconds=2)
    )
    updated = advance(TAKEN, reopen, LATER + timedelta(seconds=3)).link
    after = shown(updated, seen(Status.OPEN, 2)).link
    assert (Status.RESOLVED, Status.OPEN) == (after.agreed, after.status)


@pytest.mark.parametrize("effect", ["LookForIncident", ""])
def test_a_look_given_up_for_what_has_to_be_closed_is_made_again_by_a_replay(effect: str) -> None:
    unclear = replace(RESOLVED, incident_id=None, incident_side=SideState())
    failing = unclear.with_delivery(P, DeliveryState(failing="read_timeout", failing_since=SOON))
    look = record(failing, P, LookForIncident(), Retry("read_timeout"), SOON + 2 * A_WEEK, 0.5)
    assert ("dead", None) == (look.outcome, upcoming(look.link, P))
    assert None is upcoming(discarded(look.link, P, "LookForIncident"), P)
    assert LookForIncident() == upcoming(replayed(look.link, P, effect), P)
    assert None is upcoming(replayed(look.link, P, "AddNote"), P)


def test_an_event_without_effect_is_repeated_three_times_and_then_made_by_rest() -> None:
    link, targets = TAKEN, []
    for turn in range(1, 6):
        result = shown(link, seen(Status.OPEN, -60))
        assert SetIncident(Status.RESOLVED) == upcoming(result.link, P)
        targets.append(target_of(result.link, SetIncident(Status.RESOLVED)))
        assert (turn == REPEATS + 1) is result.dead, "told once, and repeated all the same"
        asked = intending(result.link, P, SetIncident(Status.RESOLVED), LATER)
        link = record(asked, P, SetIncident(Status.RESOLVED), Done(None, LATER), LATER, 0.5).link
    assert ["pagerduty-events"] * 2 + ["pagerduty-rest"] * 3 == targets


def test_right_after_its_202_a_read_that_shows_nothing_yet_says_nothing() -> None:
    result = record(TAKEN, P, ReadIncident(), Done(seen(Status.OPEN, -60), LATER), LATER + timedelta(seconds=3), 0.5)
    assert ("done", 0, ReadIncident()) == (
        result.outcome, result.link.incident_side.unconfirmed_count, upcoming(result.link, P),
    )  # fmt: skip
    assert result.again_after


# ------------------------------------------------------------------------------------------------- acknowledge by event


def test_an_event_acknowledges_what_is_resolved_only_after_opening_it() -> None:
    """Reopened and acknowledged at TruthVouch before we got to it, and before we knew the incident's id."""
    closed = replace(ACKNOWLEDGED, agreed=Status.RESOLVED, via=Via.EVENTS, incident_id=None, incident_side=ENDED_THERE)
    assert SetIncident(Status.OPEN) == upcoming(closed, P)
    assert SetIncident(Status.ACKNOWLEDGED) == upcoming(replace(closed, incident_id=IncidentId("Q1"), via=Via.REST), P)


def test_what_was_refused_on_the_way_is_not_asked_for_ever() -> None:
    closed = replace(ACKNOWLEDGED, agreed=Status.RESOLVED, via=Via.EVENTS, incident_id=None, incident_side=ENDED_THERE)
    refused = record(closed, P, SetIncident(Status.OPEN), Refused("bad_request", 400), LATER, 0.5).link
    assert not isinstance(upcoming(refused, P), SetIncident)


def test_what_another_link_knows_of_a_shared_incident_takes_nothing_back() -> None:
    """The other one, over by now, has not heard that somebody acknowledged the incident: nobody asks for anything."""
    there = SideState(Status.ACKNOWLEDGED, LATER, LATER)
    mine = replace(ACKNOWLEDGED, link_id=LinkId(2), agreed=Status.ACKNOWLEDGED, incident_side=there, guests=True)
    behind = replace(RESOLVED, link_id=LinkId(1), merged=True, incident_side=SideState(Status.OPEN, SOON, SOON))
    assert None is upcoming(mine, P, [behind, mine])
