"""What waits behind a dead letter, and what becomes of a resolve nobody has seen."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.alert import Alert
from app.domain.delivery import record
from app.domain.effects import (
    AddNote,
    ConfirmResolve,
    LookForIncident,
    OpenIncident,
    SetAlert,
    SetIncident,
    missing,
    wanting,
)
from app.domain.incident import IncidentFacts
from app.domain.lifecycle import advance
from app.domain.link import Clock, Known, Lane, Link, Note
from app.domain.names import AlertId, IncidentId, Side, Status, Urgency, Via, incident_key
from app.domain.outcome import Done, Refused, Retry
from app.domain.reprieve import asked_again, let_go
from app.domain.rulebook import Decision
from app.domain.words import IncidentVerb, IncidentWord
from tests.fakes import START

PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
OPEN = Link(
    Alert(AlertId("a1")), incident_key(AlertId("a1")), START, decision=PAGE, incident_id=IncidentId("Q1"),
    open_tried=True, alert_side=Known(Status.OPEN, START), incident_side=Known(Status.OPEN, START),
)  # fmt: skip
A_WEEK = timedelta(days=7)
SOON, LATER = START + timedelta(seconds=1), START + timedelta(minutes=1)
ACKNOWLEDGED = replace(OPEN, clock=Clock(acknowledged_at=SOON))
RESOLVED = replace(OPEN, clock=Clock(resolved_at=SOON))
NOTE = Note("deadbeef", "x")
T, P = Side.TRUTHVOUCH, Side.PAGERDUTY
UNNAMED = replace(OPEN, incident_id=None, via=Via.EVENTS)

CASES = {
    "a create": (replace(OPEN, incident_id=None, incident_side=Known()), P, OpenIncident, False),
    "an acknowledge there": (ACKNOWLEDGED, P, SetIncident, True),
    "an acknowledge here": (ACKNOWLEDGED, T, SetAlert, True),
    "a note": (replace(OPEN, notes=(NOTE,)), P, AddNote, True),
    "a look for an id": (UNNAMED, P, LookForIncident, True),
    "a note after the end": (
        replace(RESOLVED, notes=(NOTE,), incident_side=Known(Status.RESOLVED, LATER)), P, AddNote, True,
    ),
    "a resolve there": (RESOLVED, P, SetIncident, False),
    "a resolve here": (RESOLVED, T, SetAlert, False),
    "a resolve by event": (replace(RESOLVED, via=Via.EVENTS), P, SetIncident, False),
    "the end of an unclear create": (
        replace(RESOLVED, incident_id=None, incident_side=Known()), P, LookForIncident, False,
    ),
    "the proof of a resolve": (
        replace(RESOLVED, resolve_unseen=True, incident_side=Known(Status.RESOLVED, LATER)), P, ConfirmResolve, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("link", "side", "kind", "waits"), CASES.values(), ids=CASES)
def test_the_rest_of_a_lane_waits_behind_its_dead_letter_but_a_page_and_an_end_pass(
    link: Link, side: Side, kind: type[object], waits: bool
) -> None:
    assert isinstance(missing(link, side), kind)
    dead = link.with_lane(side, Lane(dead="bad_request"))
    assert isinstance(wanting(dead, side), kind)
    assert waits is (missing(dead, side) is None)
    other = P if side is T else T
    assert missing(link, side) == missing(link.with_lane(other, Lane(dead="bad_request")), side)
    for goes_on in (asked_again(dead, side), let_go(dead, side)):
        assert isinstance(missing(goes_on, side), kind)


def test_a_shared_incident_of_which_one_matter_has_ended_still_waits() -> None:
    """Acknowledging what others are still open on ends nothing, whatever became of this link."""
    others = replace(OPEN, alert=Alert(AlertId("a2")), clock=Clock(acknowledged_at=SOON), merged=True)
    dead = replace(RESOLVED, guests=True).with_lane(P, Lane(dead="bad_request"))
    assert isinstance(wanting(dead, P, [dead, others]), SetIncident)
    assert None is missing(dead, P, [dead, others])


def test_what_was_refused_is_asked_again_only_by_a_replay() -> None:
    dead = record(ACKNOWLEDGED, P, SetIncident(Status.ACKNOWLEDGED), Refused("bad_request", 400), LATER, 0.5)
    assert ("dead", "bad_request") == (dead.outcome, dead.link.pagerduty.dead)
    assert None is missing(let_go(dead.link, P), P)
    assert SetIncident(Status.ACKNOWLEDGED) == missing(asked_again(dead.link, P), P)


def test_a_note_given_up_is_written_by_a_replay_and_left_out_by_a_discard() -> None:
    noted = replace(OPEN, notes=(NOTE, Note("cafebabe", "y")))
    dead = record(noted, P, AddNote("deadbeef", "x"), Refused("bad_request", 400), LATER, 0.5).link
    assert None is missing(dead, P)
    assert AddNote("cafebabe", "y") == missing(let_go(dead, P), P)
    assert AddNote("deadbeef", "x") == missing(asked_again(dead, P), P)


# ------------------------------------------------------------------------------------------------- a resolve by event

BY_EVENT = replace(RESOLVED, via=Via.EVENTS)
TAKEN = record(BY_EVENT, P, SetIncident(Status.RESOLVED), Done(None), LATER, 0.5).link


def seen(status: Status, seconds: float) -> IncidentFacts:
    return IncidentFacts(IncidentId("Q1"), status, 1, status_changed_at=LATER + timedelta(seconds=seconds))


def test_a_resolve_that_pagerduty_only_took_has_to_be_seen() -> None:
    assert ConfirmResolve() == missing(TAKEN, P)


def test_without_an_api_key_nothing_can_be_seen_and_nothing_is_owed() -> None:
    assert None is missing(TAKEN, P, rest=False)


def test_a_resolve_by_rest_is_its_own_proof() -> None:
    told = record(RESOLVED, P, SetIncident(Status.RESOLVED), Done(seen(Status.RESOLVED, 0)), LATER, 0.5).link
    assert None is missing(told, P)


def test_its_webhook_is_the_proof() -> None:
    echo = IncidentWord(IncidentVerb.RESOLVED, IncidentId("Q1"), "incident.resolved", LATER)
    step = advance(TAKEN, echo, LATER)
    assert ("own_echo", None) == (step.outcome, missing(step.link, P))


def test_a_look_that_shows_it_is_the_proof() -> None:
    result = record(TAKEN, P, ConfirmResolve(), Done(seen(Status.RESOLVED, 0)), LATER, 0.5)
    assert ("done", None) == (result.outcome, missing(result.link, P))


def test_what_somebody_reopened_meanwhile_is_not_resolved_again() -> None:
    reopen = IncidentWord(IncidentVerb.REOPENED, IncidentId("Q1"), "incident.reopened", LATER + timedelta(seconds=2))
    reopened = advance(TAKEN, reopen, LATER + timedelta(seconds=3)).link
    assert Status.OPEN is reopened.status
    assert None is missing(reopened, P)


@pytest.mark.parametrize("effect", ["LookForIncident", ""])
def test_a_look_given_up_for_what_has_to_be_closed_is_made_again_by_a_replay(effect: str) -> None:
    unclear = replace(RESOLVED, incident_id=None, incident_side=Known())
    failing = unclear.with_lane(P, Lane(failing="read_timeout", failing_since=SOON))
    look = record(failing, P, LookForIncident(), Retry("read_timeout"), SOON + 2 * A_WEEK, 0.5)
    assert ("dead", None) == (look.outcome, missing(look.link, P))
    assert None is missing(let_go(look.link, P, "LookForIncident"), P)
    assert LookForIncident() == missing(asked_again(look.link, P, effect), P)
    assert None is missing(asked_again(look.link, P, "AddNote"), P)


@pytest.mark.parametrize("effect", ["ConfirmResolve", ""])
def test_a_proof_given_up_is_looked_for_again_by_a_replay(effect: str) -> None:
    gave_up = TAKEN.with_lane(P, replace(TAKEN.pagerduty, failing="http_500", failing_since=SOON))
    dead = record(gave_up, P, ConfirmResolve(), Retry("http_500"), SOON + 2 * A_WEEK, 0.5)
    assert ("dead", None) == (dead.outcome, missing(dead.link, P))
    assert ConfirmResolve() == missing(asked_again(dead.link, P, effect), P)
    assert None is missing(asked_again(dead.link, P, "AddNote"), P)
    reopened = replace(dead.link, incident_side=Known(Status.OPEN, SOON + 3 * A_WEEK), clock=Clock())
    assert None is missing(asked_again(reopened, P, effect), P)


@pytest.mark.parametrize("status", [Status.OPEN, Status.ACKNOWLEDGED])
def test_whoever_acknowledged_an_incident_that_was_never_seen_resolved_reopened_nothing(status: Status) -> None:
    """The event may have been waiting in PagerDuty's queue still: the resolve is repeated. A reopen has its webhook."""
    result = record(TAKEN, P, ConfirmResolve(), Done(seen(status, 2)), LATER, 0.5)
    assert SetIncident(Status.RESOLVED) == missing(result.link, P)


# ------------------------------------------------------------------------------------------------- acknowledge by event


def test_an_event_acknowledges_what_is_resolved_only_after_opening_it() -> None:
    """Reopened and acknowledged at TruthVouch before we got to it."""
    closed = replace(ACKNOWLEDGED, via=Via.EVENTS, incident_side=Known(Status.RESOLVED, LATER))
    assert SetIncident(Status.OPEN) == missing(closed, P)
    opened = record(closed, P, SetIncident(Status.OPEN), Done(seen(Status.OPEN, 1)), LATER, 0.5).link
    assert SetIncident(Status.ACKNOWLEDGED) == missing(opened, P)
    assert SetIncident(Status.ACKNOWLEDGED) == missing(replace(closed, via=Via.REST), P)
