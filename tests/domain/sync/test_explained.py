"""A read finds a change first, and its webhook tells afterwards who made it and why: as if it had come first."""

from dataclasses import replace

import pytest

from app.domain.model.events import AlertEventType, Event, IncidentEventType
from app.domain.model.types import FALSE_ALERT, TRUE_ALERT, Side, Status
from app.domain.sync.effects import AddNote, SetAlert, resolution
from app.domain.sync.link import HistoryEntry, Link, with_note
from app.domain.sync.transitions import Outcome, advance
from tests.domain.one_link import (
    ACKNOWLEDGED,
    OPEN,
    RESOLVED,
    P,
    T,
    alert_event,
    at,
    calling,
    incident_event,
    link_at,
    other,
    read,
    setting,
    shows,
    there,
    unanswered,
    wanted,
    without_times,
    wrote,
)

sides = pytest.mark.parametrize("side", list(Side))
CHANGES = [(was, now) for was in Status for now in Status if was is not now]
EVENT_TYPES: dict[tuple[Side, Status], AlertEventType | IncidentEventType] = {
    (T, OPEN): AlertEventType.REOPENED,
    (T, ACKNOWLEDGED): AlertEventType.ACKNOWLEDGED,
    (T, RESOLVED): AlertEventType.RESOLVED,
    (P, OPEN): IncidentEventType.REOPENED,
    (P, ACKNOWLEDGED): IncidentEventType.ACKNOWLEDGED,
    (P, RESOLVED): IncidentEventType.RESOLVED,
}
DANA = "Dana Example"


def told(side: Side, status: Status, seconds: float, words: str = "wrong source #false-alert") -> Event:
    """The webhook of a person's change."""
    event_type = EVENT_TYPES[side, status]
    if isinstance(event_type, AlertEventType):
        return replace(alert_event(event_type, seconds), author=DANA, reason="outdated fact", text=words)
    return replace(incident_event(event_type, seconds, DANA), note=words)


def untimed(event: Event) -> Event:
    return replace(event, at=None)


def after(link: Link, *events: Event, received: float = 30) -> Link:
    for event in events:
        link = advance(link, event, at(received)).link
    return link


def contents(link: Link) -> list[str]:
    return [note.content.partition(" (ref")[0] for note in link.notes]


RESOLVED_BY_DANA = ["[TruthVouch] resolved by Dana Example: outdated fact. wrong source #false-alert"]


@sides
@pytest.mark.parametrize(("was", "now"), CHANGES)
def test_the_webhook_tells_who_and_why_as_if_it_had_come_first(side: Side, was: Status, now: Status):
    event = told(side, now, 5.3)
    if (side, was, now) == (T, RESOLVED, ACKNOWLEDGED):
        return  # an alert does not go back so by a webhook
    first = after(link_at(was), event, received=6)
    found = shows(link_at(was), side, now, 8, changed=5.3).link
    assert [None] == [entry.author for entry in found.history]
    step = advance(found, event, at(9))
    assert Outcome.EXPLAINED == step.outcome
    late = step.link
    assert contents(first) == contents(late)
    assert (first.verdict, first.closed_by, first.closing_text) == (late.verdict, late.closed_by, late.closing_text)
    assert (first.status, first.closed_unseen, first.closed_from) == (late.status, late.closed_unseen, late.closed_from)
    assert [replace(entry, received_at=None) for entry in first.history] == [
        replace(entry, received_at=None) for entry in late.history
    ]
    assert [at(8.2)] == [entry.received_at for entry in late.history], "that it is so was known since the read"


def test_a_reason_becomes_one_note_however_often_it_is_told():
    link = shows(link_at(), T, RESOLVED, 8).link
    assert [] == contents(link)
    event = told(T, RESOLVED, 5.3)
    link = after(link, event, event)
    assert RESOLVED_BY_DANA == contents(link)
    link = wrote(link, P, RESOLVED, 31)
    assert isinstance(wanted(link, P, 32), AddNote)
    assert RESOLVED_BY_DANA == contents(after(link, event, received=600))


@pytest.mark.parametrize("told_at", [5.3, 8.0, 8.9])
def test_also_in_the_second_of_the_read_and_long_after_the_resolve_was_carried(told_at: float):
    link = wrote(shows(link_at(), T, RESOLVED, 8).link, P, RESOLVED, 9.2)
    assert RESOLVED_BY_DANA == contents(after(link, told(T, RESOLVED, told_at), received=3600))


def test_and_when_the_alert_was_read_again_meanwhile():
    link = wrote(shows(link_at(), T, RESOLVED, 8).link, P, RESOLVED, 9.2)
    link = shows(link, T, RESOLVED, 300).link
    assert RESOLVED_BY_DANA == contents(after(link, told(T, RESOLVED, 5.3), received=301))


def test_and_when_people_have_opened_the_incident_again_before_it_comes():
    link = wrote(shows(link_at(), T, RESOLVED, 8).link, P, RESOLVED, 9.2)
    link = after(link, incident_event(IncidentEventType.REOPENED, 12), received=13)
    told_late = after(calling(link, T, OPEN, 13.5), told(T, RESOLVED, 5.3), received=14)
    assert (OPEN, RESOLVED_BY_DANA) == (told_late.status, contents(told_late))


def test_a_hold_holds_the_note_too():
    link = link_at()
    assert link.decision is not None
    link = replace(link, decision=replace(link.decision, hold_resolve_minutes=5.0))
    link = after(shows(link, T, RESOLVED, 8).link, told(T, RESOLVED, 5.3))
    assert [link.hold_until] == [note.held_until for note in link.notes] != [None]


def test_a_false_alert_counts_as_one_though_a_read_was_first():
    found = shows(link_at(), T, RESOLVED, 8).link
    assert FALSE_ALERT == after(found, replace(told(T, RESOLVED, 5.3), text=None)).verdict
    incident = shows(link_at(), P, RESOLVED, 8, changed=5.3).link
    assert FALSE_ALERT == after(incident, told(P, RESOLVED, 5.3)).verdict
    assert TRUE_ALERT == after(incident, told(P, RESOLVED, 5.3, "#true-alert")).verdict


def test_truthvouch_is_told_who_resolved_the_incident():
    link = shows(link_at(), P, RESOLVED, 8, changed=5.3).link
    assert "was not told" in resolution(link)
    by_dana = after(link, told(P, RESOLVED, 5.3))
    assert SetAlert(RESOLVED, "Resolved in PagerDuty by Dana Example.") == wanted(by_dana, T, 30)
    noted = replace(incident_event(IncidentEventType.ANNOTATED, 5.4), note="see the runbook")
    assert "see the runbook" == resolution(after(link, noted, told(P, RESOLVED, 5.3)))
    assert "see the runbook" == resolution(after(link, told(P, RESOLVED, 5.3), noted))
    by_nobody = after(link, incident_event(IncidentEventType.RESOLVED, 5.3))
    assert "automatically" in resolution(by_nobody)


# ------------------------------------------------------------------------------------- a read by the delivery


@sides
@pytest.mark.parametrize("now", [OPEN, RESOLVED])
def test_what_the_read_after_a_lost_answer_found_is_explained_as_well(side: Side, now: Status):
    """A worker that dies amid a call leaves a write that may have been made; its successor reads first."""
    was = RESOLVED if now is OPEN else OPEN
    link = unanswered(calling(link_at(was), side, ACKNOWLEDGED, 2), side, ACKNOWLEDGED, 3)
    link = read(link, side, now, 8, changed=5.3).link
    link = after(link, told(side, now, 5.3))
    assert [(DANA, there(side, 5.3))] == [(entry.author, entry.at) for entry in link.history]
    if now is RESOLVED:
        assert (DANA, FALSE_ALERT, False) == (link.closed_by, link.verdict, link.closed_unseen)
        assert (RESOLVED_BY_DANA if side is T else []) == contents(link)


def test_a_resolve_that_waits_for_a_read_keeps_its_words():
    """It comes without a time while our acknowledge may have been made: the read tells that it stands."""
    link = unanswered(calling(link_at(), T, ACKNOWLEDGED, 2), T, ACKNOWLEDGED, 3)
    link = without_times(link)
    link = advance(link, untimed(told(T, RESOLVED, 5.3)), at(6)).link
    link = read(link, T, RESOLVED, 8).link
    assert (RESOLVED_BY_DANA, FALSE_ALERT, [DANA]) == (
        contents(link), link.verdict, [entry.author for entry in link.history],
    )  # fmt: skip
    assert RESOLVED_BY_DANA == contents(after(link, told(T, RESOLVED, 5.3))), "once"


# ------------------------------------------------------------------------------------- what explains nothing


@sides
@pytest.mark.parametrize("status", [ACKNOWLEDGED, RESOLVED])
def test_the_echo_of_our_own_write_explains_nothing(side: Side, status: Status):
    made = wrote(link_at(), side, status, 5.3)
    unclear = unanswered(calling(link_at(), side, status, 5), side, status, 5.5)
    for link in (
        made,
        shows(made, side, status, 8, changed=5.3).link,
        read(unclear, side, status, 8, changed=5.3).link,
    ):
        step = advance(link, told(side, status, 5.3), at(9))
        assert Outcome.EXPLAINED != step.outcome
        assert (link.notes, link.verdict, link.closed_by) == (step.link.notes, step.link.verdict, step.link.closed_by)


@sides
def test_nor_does_it_once_people_went_on_from_there(side: Side):
    """We resolved it; they reopened and resolved it. Only the second resolve is theirs."""
    link = after(link_at(), told(other(side), RESOLVED, 4, "x"), received=4.2)
    link = shows(wrote(link, side, RESOLVED, 5.3), side, RESOLVED, 6, changed=5.3).link
    link = shows(link, side, OPEN, 8, changed=7).link
    link = shows(link, side, RESOLVED, 20, changed=15).link
    echo = told(side, RESOLVED, 5.3, "our own words")
    assert Outcome.STALE == advance(link, echo, at(21)).outcome
    assert Outcome.EXPLAINED == advance(link, told(side, RESOLVED, 15.3), at(21)).outcome


def test_nor_does_the_late_effect_of_a_write_that_was_not_kept():
    link = wrote(after(link_at(), told(T, RESOLVED, 4), received=4.2), P, RESOLVED, 5.3)
    lost = shows(link, P, OPEN, 20, changed=0.5).link
    assert lost.incident_side.write_lost
    found = shows(lost, P, RESOLVED, 40, changed=30).link
    assert Outcome.ALREADY_SO == advance(found, told(P, RESOLVED, 30.2), at(41)).outcome


@sides
def test_the_webhook_of_an_earlier_period_explains_nothing(side: Side):
    """Resolved, reopened, resolved again: the read found the second one, and the first one's webhook is late."""
    reopened = after(link_at(RESOLVED), told(side, OPEN, 7.3, "again"), received=8)
    link = shows(reopened, side, RESOLVED, 20, changed=15).link
    first, second = told(side, RESOLVED, 5.3, "first"), told(side, RESOLVED, 15.4, "second")
    stale = advance(link, first, at(21))
    assert (Outcome.STALE, link.notes, None) == (stale.outcome, stale.link.notes, stale.link.closed_by)
    assert Outcome.EXPLAINED == advance(stale.link, second, at(22)).outcome


@sides
def test_where_the_reopen_between_was_not_known_either_the_last_one_speaks(side: Side):
    """All three webhooks come after the read, in whatever order."""
    found = shows(link_at(), side, RESOLVED, 20, changed=15).link
    first, again, second = (
        told(side, RESOLVED, 5.3, "first"),
        told(side, OPEN, 7.3),
        told(side, RESOLVED, 15.4, "second"),
    )
    for events in ((first, again, second), (again, first, second), (second, first, again), (again, second, first)):
        link = after(found, *events)
        spoken = [one for one in contents(link) if "second" in one]
        assert (DANA, RESOLVED) == (link.closed_by, link.status)
        assert 1 == len(spoken) if side is T else not contents(link)
        if side is T:
            assert "second" == link.closing_text
    assert all("first" not in one for one in contents(after(found, again, first)))
    if side is P:  # which tells when it changed last
        assert Outcome.STALE == advance(found, first, at(21)).outcome


@sides
def test_without_a_time_nobody_can_tell_which_it_is_about(side: Side):
    found = shows(link_at(), side, RESOLVED, 8, changed=5.3).link
    assert Outcome.ALREADY_SO == advance(found, untimed(told(side, RESOLVED, 5.3)), at(9)).outcome


def test_who_was_second_gets_no_note():
    """Resolved at PagerDuty first: why the alert was closed too is nobody's question there, as without a read."""
    link = after(link_at(), told(P, RESOLVED, 4), received=5)
    link = shows(link, T, RESOLVED, 8).link
    assert [] == contents(after(link, told(T, RESOLVED, 5.3)))
    assert (DANA, P) == (link.closed_by, link.closed_from)


def test_what_an_event_told_first_is_explained_by_no_second_one():
    link = after(link_at(), told(T, RESOLVED, 5.3), received=6)
    link = shows(link, T, RESOLVED, 8).link
    assert RESOLVED_BY_DANA == contents(after(link, told(T, RESOLVED, 5.8, "another")))


# ------------------------------------------------------------------------------------- what was there already


def test_a_resolve_into_a_shared_incident_says_by_whom_once():
    """There a resolve becomes a note at once; one that waits gives way to the one that says more."""
    link = shows(replace(link_at(), merged=True), T, RESOLVED, 8).link
    assert ["[TruthVouch] resolved by somebody"] == contents(link)
    assert RESOLVED_BY_DANA == contents(after(link, told(T, RESOLVED, 5.3)))
    noted = with_note(link, "note", "Quinn", None, "keep")
    assert "[TruthVouch] note by Quinn: keep" in contents(after(noted, told(T, RESOLVED, 5.3)))


def test_an_acknowledge_of_an_earlier_incident_keeps_its_author():
    """The moment that is told better is the one that the read found."""
    earlier = HistoryEntry(there(P, -60), "acknowledged", P, "Quinn", at(-60))
    link = shows(replace(link_at(), history=(earlier,)), P, ACKNOWLEDGED, 8, changed=5.3).link
    link = after(link, told(P, ACKNOWLEDGED, 5.3))
    assert ["Quinn", DANA] == [entry.author for entry in link.history]


def test_an_unacknowledge_that_a_read_found_keeps_its_name():
    link = shows(link_at(ACKNOWLEDGED), P, OPEN, 8, changed=5.3).link
    event = incident_event(IncidentEventType.UNACKNOWLEDGED, 5.3, DANA)
    assert [("unacknowledged", DANA)] == [(one.what, one.author) for one in after(link, event).history]


def test_what_is_set_at_once_after_the_read_is_not_asked_again():
    link = shows(link_at(), T, RESOLVED, 8).link
    calling_link = calling(link, P, RESOLVED, 8.5)
    told_meanwhile = after(calling_link, told(T, RESOLVED, 5.3), received=8.7)
    assert setting(P, RESOLVED) != wanted(wrote(told_meanwhile, P, RESOLVED, 9.2), P, 9.3)
