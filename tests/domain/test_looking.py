"""What a look at one side means for a link: reconciliation's half of the state machine."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest

from app.domain.alert import Alert
from app.domain.delivery import record
from app.domain.effects import SetAlert, SetIncident, missing
from app.domain.lifecycle import Step, advance
from app.domain.link import Clock, Known, Lane, Link
from app.domain.looking import ASK_AGAIN, CHANGES, SETTLING, looked
from app.domain.names import AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.outcome import Done
from app.domain.rulebook import Decision
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word
from tests.fakes import START

ALERT = Alert(AlertId("a1"), severity="critical")
PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
FRESH = Link(ALERT, incident_key(AlertId("a1")), START, decision=PAGE)
OPEN, ACKNOWLEDGED, RESOLVED = Status
CLOCKS = {
    OPEN: Clock(),
    ACKNOWLEDGED: Clock(acknowledged_at=START),
    RESOLVED: Clock(resolved_at=START),
}
PAIRS = list(product(Status, Status))
sides = pytest.mark.parametrize("side", list(Side))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def agreed(status: Status, ours: bool = False) -> Link:
    """A link on which everybody has been of one mind since the start."""
    where = Known(status, START, ours)
    return replace(
        FRESH, clock=CLOCKS[status], alert_side=where, incident_side=where, incident_id=IncidentId("Q1"),
        open_tried=True,
    )  # fmt: skip


def sight(side: Side, status: Status, read_at: datetime, changed_at: datetime | None = None) -> Word:
    """A look as reconciliation says it; TruthVouch tells no time of its own."""
    if side is Side.TRUTHVOUCH:
        return AlertWord(AlertVerb.READ, ALERT, "alert.read", status=status, read_at=read_at)
    changed = changed_at or read_at
    return IncidentWord(IncidentVerb.READ, IncidentId("Q1"), "incident.read", changed, status=status, read_at=read_at)


def look(link: Link, side: Side, status: Status, read_at: datetime, changed_at: datetime | None = None) -> Step:
    return advance(link, sight(side, status, read_at, changed_at), read_at + timedelta(seconds=1))


def known(link: Link, side: Side) -> Known:
    return link.alert_side if side is Side.TRUTHVOUCH else link.incident_side


def written(link: Link, status: Status, when: datetime) -> Link:
    """After TruthVouch said yes to our write."""
    return record(link, Side.TRUTHVOUCH, SetAlert(status, None), Done(None), when, 0.5).link


# ------------------------------------------------------------------------------------------------- every pair


def test_the_table_has_every_pair_that_differs() -> None:
    assert set(CHANGES) == {(was, now) for was, now in PAIRS if was is not now}


@sides
@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_a_look_at_a_change_nobody_told_of_is_that_change(side: Side, was: Status, now: Status) -> None:
    step = look(agreed(was), side, now, at(60), at(50))
    assert ("already_so" if was is now else "moved") == step.outcome
    assert now is step.link.status is known(step.link, side).status
    other = Side.PAGERDUTY if side is Side.TRUTHVOUCH else Side.TRUTHVOUCH
    assert None is missing(step.link, side)
    assert (was is now) == (missing(step.link, other) is None)


@sides
@pytest.mark.parametrize("now", list(Status))
def test_what_a_side_of_which_nothing_was_known_shows_is_news(side: Side, now: Status) -> None:
    """An alert that was only ever mentioned: whoever acknowledged or resolved it must not be overruled."""
    unknown = replace(agreed(OPEN), alert_side=Known(), clock=Clock())
    if side is Side.PAGERDUTY:
        unknown = replace(agreed(OPEN), incident_side=Known())
    step = look(unknown, side, now, at(60), at(50))
    assert now is step.link.status is known(step.link, side).status
    assert None is missing(step.link, side)


@sides
@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_the_same_look_again_moves_nothing(side: Side, was: Status, now: Status) -> None:
    for link in (agreed(was), agreed(was, ours=True), replace(agreed(was), alert_side=Known(), incident_side=Known())):
        once = look(link, side, now, at(60), at(50)).link
        assert once == look(once, side, now, at(60), at(50)).link


# ------------------------------------------------------------------------------------------------- old looks


@sides
@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_a_look_from_before_what_we_know_moves_nothing(side: Side, was: Status, now: Status) -> None:
    for ours in (False, True):
        link = agreed(was, ours=ours)
        for read_at in (at(-60), START):
            assert Step(link, "older_word") == look(link, side, now, read_at)


@pytest.mark.parametrize(("was", "now"), [pair for pair in PAIRS if pair[0] is not pair[1]])
def test_an_incident_that_last_changed_before_what_we_heard_shows_nothing_new(was: Status, now: Status) -> None:
    link = agreed(was)
    assert Step(link, "older_word") == look(link, Side.PAGERDUTY, now, at(60), at(-1))


@sides
@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_a_look_while_a_delivery_to_that_side_is_under_way_is_dropped(side: Side, was: Status, now: Status) -> None:
    link = agreed(was).with_lane(side, Lane(outstanding=True))
    assert Step(link, "under_way") == look(link, side, now, at(60))
    other = Side.PAGERDUTY if side is Side.TRUTHVOUCH else Side.TRUTHVOUCH
    assert "under_way" != look(link, other, now, at(60)).outcome


def test_a_look_without_a_status_tells_nothing() -> None:
    word = AlertWord(AlertVerb.READ, ALERT, "alert.read", read_at=at(60))
    assert Step(agreed(OPEN), "timeline_only") == advance(agreed(OPEN), word, at(61))


# ------------------------------------------------------------------------------------------------- not kept


def forgetful(rounds: int) -> tuple[list[str], Link, int]:
    """A TruthVouch that says yes to an acknowledge and goes on showing the alert open."""
    link = advance(agreed(OPEN), IncidentWord(IncidentVerb.ACKNOWLEDGED, IncidentId("Q1"), "x", at(1)), at(2)).link
    outcomes, writes = [], 0
    for n in range(rounds):
        effect = missing(link, Side.TRUTHVOUCH)
        if isinstance(effect, SetAlert):
            link, writes = written(link, effect.status, at(60 * n + 10)), writes + 1
        step = look(link, Side.TRUTHVOUCH, OPEN, at(60 * n + 40))
        outcomes.append(step.outcome)
        link = step.link
        assert ACKNOWLEDGED is link.status  # what a person did at PagerDuty stands
        assert None is missing(link, Side.PAGERDUTY)
    return outcomes, link, writes


def test_what_truthvouch_does_not_keep_is_told_again_three_times_and_then_left_alone() -> None:
    outcomes, link, writes = forgetful(10)
    assert 1 + ASK_AGAIN == 4 == writes
    assert ["not_kept"] * 4 + ["already_so"] * 6 == outcomes
    assert look(link, Side.TRUTHVOUCH, OPEN, at(5_000)).link == link, "a look that finds nothing new writes nothing"


def test_being_left_alone_holds_for_what_was_wanted_then() -> None:
    _, link, _ = forgetful(6)
    resolve = IncidentWord(IncidentVerb.RESOLVED, IncidentId("Q1"), "incident.resolved", at(1_000))
    link = advance(link, resolve, at(1_001)).link
    for n in range(1 + ASK_AGAIN):
        effect = missing(link, Side.TRUTHVOUCH)
        assert isinstance(effect, SetAlert)
        assert RESOLVED is effect.status
        link = look(written(link, RESOLVED, at(1_010 + 60 * n)), Side.TRUTHVOUCH, OPEN, at(1_040 + 60 * n)).link
    assert None is missing(link, Side.TRUTHVOUCH)
    assert RESOLVED is link.status


def test_a_write_that_was_shown_once_and_is_gone_was_undone_by_somebody() -> None:
    link = written(replace(agreed(OPEN), clock=CLOCKS[ACKNOWLEDGED]), ACKNOWLEDGED, at(10))
    shown = look(link, Side.TRUTHVOUCH, ACKNOWLEDGED, at(20)).link
    assert ("moved", OPEN) == (look(shown, Side.TRUTHVOUCH, OPEN, at(90)).outcome, OPEN)


@pytest.mark.parametrize("shows", list(Status))
def test_only_what_stood_before_our_write_can_be_a_write_that_was_not_kept(shows: Status) -> None:
    """Somebody resolved the alert after our acknowledge and nobody told: no acknowledge may undo that."""
    link = written(replace(agreed(OPEN), clock=CLOCKS[ACKNOWLEDGED]), ACKNOWLEDGED, at(10))
    step = look(link, Side.TRUTHVOUCH, shows, at(60))
    assert {OPEN: "not_kept", ACKNOWLEDGED: "already_so", RESOLVED: "moved"}[shows] == step.outcome
    expected = {OPEN: SetAlert(ACKNOWLEDGED, None), ACKNOWLEDGED: None, RESOLVED: None}[shows]
    assert expected == missing(step.link, Side.TRUTHVOUCH)


def test_a_refused_reopen_that_was_not_kept_resolves_nobodys_incident() -> None:
    link = replace(agreed(RESOLVED), clock=Clock(resolved_at=START, reopened_at=at(1)))
    step = look(written(link, OPEN, at(10)), Side.TRUTHVOUCH, RESOLVED, at(60))
    assert ("not_kept", OPEN) == (step.outcome, step.link.status)


def test_a_partner_may_show_the_old_state_for_moments() -> None:
    link = written(replace(agreed(OPEN), clock=CLOCKS[ACKNOWLEDGED]), ACKNOWLEDGED, at(10))
    soon = look(link, Side.TRUTHVOUCH, OPEN, at(10) + SETTLING / 2)
    assert ("older_word", link) == (soon.outcome, soon.link)


def test_an_incident_that_did_not_change_since_our_write_is_told_again() -> None:
    """An event in a maintenance window is taken and has no effect."""
    link = replace(agreed(RESOLVED, ours=True), clock=CLOCKS[RESOLVED])
    step = look(link, Side.PAGERDUTY, OPEN, at(60), at(-30))
    assert ("not_kept", RESOLVED) == (step.outcome, step.link.status)
    assert SetIncident(RESOLVED) == missing(step.link, Side.PAGERDUTY)


def test_an_incident_that_changed_since_our_write_was_changed_by_somebody() -> None:
    step = look(agreed(RESOLVED, ours=True), Side.PAGERDUTY, OPEN, at(60), at(30))
    assert ("moved", OPEN) == (step.outcome, step.link.status)


# ------------------------------------------------------------------------------------------------- merged


def test_a_look_at_the_surviving_incident_counts_for_a_link_that_moved_there() -> None:
    merge = IncidentWord(
        IncidentVerb.MERGED, IncidentId("Q1"), "incident.resolved", at(10), merged_into=IncidentId("Q2")
    )
    moved = advance(agreed(OPEN), merge, at(11)).link
    assert ("Q2", OPEN) == (moved.incident_id, moved.status)
    word = IncidentWord(IncidentVerb.READ, IncidentId("Q2"), "incident.read", at(50), status=RESOLVED, read_at=at(60))
    step = advance(moved, word, at(61))
    assert ("moved", RESOLVED) == (step.outcome, step.link.status)


def test_an_incident_found_merged_moves_the_link_and_resolves_nothing() -> None:
    """Reconciliation says a merge it finds as the word that was lost."""
    merge = IncidentWord(
        IncidentVerb.MERGED, IncidentId("Q1"), "incident.read", at(10), merged_into=IncidentId("Q2"), read_at=at(60)
    )
    step = advance(agreed(OPEN), merge, at(61))
    assert ("merged", OPEN, "Q2") == (step.outcome, step.link.status, step.link.incident_id)


@sides
def test_looked_itself_says_where_the_side_stands(side: Side) -> None:
    link = agreed(OPEN)
    assert Known(RESOLVED, at(50), kept=True) == known(looked(link, side, RESOLVED, at(50), at(60)).link, side)
