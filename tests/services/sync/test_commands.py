"""What an operator asks for is done once, meets the link as it is then, and lets nothing else wait."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEvent, AlertEventType, CommandType, IncidentEventType, Unreadable
from app.domain.model.outcome import Refused
from app.domain.model.types import Alert, AlertId, Side, Status
from app.domain.sync.effects import Circumstances, SetIncident, desired_effect, next_effect
from app.ports import Page
from app.store.operator_records import StoredRecords
from app.store.schema import timeline
from tests.rig import Rig
from tests.services.rigs import DatedRig

PAGERDUTY = Side.PAGERDUTY


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return DatedRig(tmp_path)


def dead_letters(rig: Rig, closed: bool = False) -> list[Mapping[str, Any]]:
    with rig.database.read() as tx:
        return [dict(row) for row in StoredRecords().dead_letters(tx, Page(100), closed)]


def dead_letter(rig: Rig, dead_letter_id: int) -> Mapping[str, Any]:
    with rig.database.read() as tx:
        found = StoredRecords().dead_letter(tx, dead_letter_id)
    assert found is not None
    return found


def refusing(rig: Rig, method: str) -> None:
    """PagerDuty says a final no to this until ``healed``."""

    def refuse(*_arguments: object) -> Refused:
        rig.pagerduty.calls.append(f"no to {method}")
        return Refused("bad_request", 400, detail="Invalid Input Provided")

    setattr(rig.pagerduty, method, refuse)


def healed(rig: Rig, method: str) -> None:
    delattr(rig.pagerduty, method)
    rig.pagerduty.calls.clear()


def opened(rig: Rig, alert_id: str = "a1") -> None:
    rig.alert(AlertEventType.CREATED, alert_id=alert_id)
    rig.run()
    rig.clock.move(60)


def with_a_dead_acknowledge(rig: Rig, alert_id: str = "a1") -> int:
    """PagerDuty refused to acknowledge; the number of the letter."""
    opened(rig, alert_id)
    refusing(rig, "set_status")
    rig.alert(AlertEventType.ACKNOWLEDGED, alert_id=alert_id)
    assert ["done"] == rig.run()
    (row,) = [row for row in dead_letters(rig) if row["alert_id"] == alert_id]
    assert ("effect", "bad_request", "SetIncident acknowledged") == (row["kind"], row["reason"], row["effect"])
    healed(rig, "set_status")
    rig.clock.move(60)
    return int(row["id"])


def waiting_acknowledge(rig: Rig, alert_id: str = "a1") -> None:
    """The alert is reopened, which never waits, and acknowledged anew, which waits behind whatever is open."""
    for event_type in (AlertEventType.REOPENED, AlertEventType.ACKNOWLEDGED):
        rig.pagerduty.calls.clear()
        rig.alert(event_type, alert_id=alert_id)
        rig.run()
        rig.clock.move(60)
    assert Status.OPEN is rig.pagerduty.incidents[rig.link(alert_id).incident_id or ""].status
    assert [] == rig.pagerduty.calls


def with_a_delivery_that_waits(rig: Rig, alert_id: str = "a1") -> int:
    """PagerDuty refused to acknowledge; then the alert was reopened and acknowledged anew, which waits."""
    number = with_a_dead_acknowledge(rig, alert_id)
    waiting_acknowledge(rig, alert_id)
    return number


def with_a_dead_note(rig: Rig, alert_id: str = "a1") -> int:
    """PagerDuty took the resolve and refused its note; then the alert was reopened, and acknowledged."""
    opened(rig, alert_id)
    refusing(rig, "add_note")
    rig.alert(AlertEventType.RESOLVED, alert_id=alert_id, reason="false_positive")
    rig.run()
    rig.clock.move(60)
    (row,) = [row for row in dead_letters(rig) if row["alert_id"] == alert_id]
    assert "AddNote" == row["effect"]
    healed(rig, "add_note")
    for event_type in (AlertEventType.REOPENED, AlertEventType.ACKNOWLEDGED):
        rig.alert(event_type, alert_id=alert_id)
        rig.run()
        rig.clock.move(60)
    return int(row["id"])


def events(rig: Rig) -> list[str]:
    with rig.database.engine.connect() as connection:
        return list(connection.execute(sa.select(timeline.c.event).order_by(timeline.c.id)).scalars())


# -------------------------------------------------------------------------------------------------- replay


def test_a_replay_does_what_was_given_up(rig: Rig) -> None:
    number = with_a_dead_acknowledge(rig)
    rig.command(CommandType.REPLAY, number)
    assert ["done"] == rig.run()
    assert ["put acknowledged"] == rig.pagerduty.calls
    assert Status.ACKNOWLEDGED is rig.pagerduty.incidents["Q1"].status
    assert ("replayed", "somebody") == (dead_letter(rig, number)["outcome"], dead_letter(rig, number)["closed_by"])
    assert [] == dead_letters(rig)
    assert "dead_letter.replayed" in events(rig)


@pytest.mark.parametrize("command_type", [CommandType.REPLAY, CommandType.DISCARD])
def test_asking_twice_does_nothing_twice(rig: Rig, command_type: CommandType) -> None:
    number = with_a_dead_acknowledge(rig)
    rig.command(command_type, number)
    rig.command(command_type, number)
    rig.run()
    rig.command(command_type, number)
    assert [] == rig.run()
    assert (1 if command_type is CommandType.REPLAY else 0) == rig.pagerduty.calls.count("put acknowledged")
    assert 1 == sum(event.startswith("dead_letter.") for event in events(rig))


def test_a_replay_after_which_nothing_is_missing_calls_nobody(rig: Rig) -> None:
    number = with_a_dead_acknowledge(rig)
    rig.alert(AlertEventType.REOPENED, alert_id="a1")
    rig.command(CommandType.REPLAY, number)
    assert [] == rig.run()
    assert [] == rig.pagerduty.calls
    assert "nothing_to_do" == dead_letter(rig, number)["outcome"]


def test_what_a_person_does_meanwhile_is_nothing_to_decide_about(rig: Rig) -> None:
    number = with_a_dead_acknowledge(rig)
    rig.incident(IncidentEventType.ACKNOWLEDGED, author="Dana Example")
    assert [] == rig.run()
    assert [] == rig.pagerduty.calls
    assert "done" == dead_letter(rig, number)["outcome"]


def test_a_replay_that_is_refused_again_leaves_a_dead_letter_of_its_own(rig: Rig) -> None:
    number = with_a_dead_acknowledge(rig)
    refusing(rig, "set_status")
    rig.command(CommandType.REPLAY, number)
    rig.run()
    (again,) = dead_letters(rig)
    assert number != again["id"]
    assert "replayed" == dead_letter(rig, number)["outcome"]


@pytest.mark.parametrize("subject", ["", "0", "999", "-1", "x", "9" * 30, "1 OR 1=1"])
def test_a_dead_letter_nobody_has_is_ignored(rig: Rig, subject: str) -> None:
    number = with_a_dead_acknowledge(rig)
    rig.command(CommandType.REPLAY, subject)
    assert [] == rig.run()
    assert [number] == [row["id"] for row in dead_letters(rig)]


# -------------------------------------------------------------------------------------------------- unreadable events


def unreadable(rig: Rig) -> tuple[bytes, int]:
    rig.say(Side.TRUTHVOUCH, Unreadable("unknown_shape"))
    (row,) = dead_letters(rig)
    assert ("event", "unknown_shape", 0) == (row["kind"], row["reason"], row["attempts"])
    return next(reversed(rig.said)), int(row["id"])


def test_an_event_that_is_still_unreadable_stays_open_with_one_more_attempt(rig: Rig) -> None:
    _, number = unreadable(rig)
    rig.command(CommandType.REPLAY, number)
    (row,) = dead_letters(rig)
    assert (number, 1) == (row["id"], row["attempts"])
    rig.command(CommandType.REPLAY, number)
    assert 2 == dead_letters(rig)[0]["attempts"]


def test_an_event_that_has_become_readable_is_applied(rig: Rig) -> None:
    body, number = unreadable(rig)
    alert = Alert(AlertId("a9"), severity="critical")
    rig.said[body] = (AlertEvent(AlertEventType.CREATED, alert, "alert.created", rig.clock()),)
    rig.command(CommandType.REPLAY, number)
    assert ["done"] == rig.run()
    assert ["open"] == rig.pagerduty.calls
    assert "replayed" == dead_letter(rig, number)["outcome"]
    assert "Q1" == rig.link("a9").incident_id


def test_a_discarded_event_is_never_applied(rig: Rig) -> None:
    body, number = unreadable(rig)
    rig.said[body] = (AlertEvent(AlertEventType.CREATED, Alert(AlertId("a9"), severity="critical"), "alert.created"),)
    rig.command(CommandType.DISCARD, number)
    assert [] == rig.run()
    assert "discarded" == dead_letter(rig, number)["outcome"]


# -------------------------------------------------------------------------------------------------- what waits


def test_the_rest_of_a_side_waits_visibly_behind_its_dead_letter(rig: Rig) -> None:
    with_a_delivery_that_waits(rig)
    link = rig.link()
    assert "bad_request" == link.pagerduty.dead
    assert None is next_effect(link, PAGERDUTY, Circumstances(rig.clock()))
    assert SetIncident(Status.ACKNOWLEDGED) == desired_effect(link, PAGERDUTY, Circumstances(rig.clock()))
    assert [] == rig.pagerduty.calls


def test_nothing_waits_behind_a_note_that_was_refused(rig: Rig) -> None:
    with_a_dead_note(rig)
    assert ["put open", "put acknowledged"] == rig.pagerduty.calls
    assert Status.ACKNOWLEDGED is rig.pagerduty.incidents["Q1"].status
    assert ("", 1) == (rig.link().pagerduty.dead, len(dead_letters(rig)))


def test_other_links_and_the_other_side_of_this_one_go_on(rig: Rig) -> None:
    with_a_delivery_that_waits(rig)
    opened(rig, "a2")
    assert ["open"] == rig.pagerduty.calls
    rig.incident(IncidentEventType.RESOLVED, "Q1", author="Dana Example")
    rig.run()
    assert Status.RESOLVED is rig.truthvouch.status["a1"]


def test_a_resolve_passes_a_dead_letter(rig: Rig) -> None:
    with_a_delivery_that_waits(rig)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    assert Status.RESOLVED is rig.pagerduty.incidents["Q1"].status
    assert 1 == len(dead_letters(rig))


def test_a_discard_lets_the_rest_go_on(rig: Rig) -> None:
    number = with_a_delivery_that_waits(rig)
    rig.command(CommandType.DISCARD, number)
    rig.run()
    assert ["put acknowledged"] == rig.pagerduty.calls
    assert "" == rig.link().pagerduty.dead


def test_a_discard_brings_nothing_back_that_was_given_up(rig: Rig) -> None:
    number = with_a_dead_acknowledge(rig)
    rig.command(CommandType.DISCARD, number)
    assert [] == rig.run()
    note = with_a_dead_note(rig, "a2")
    rig.command(CommandType.DISCARD, note)
    assert [] == rig.run()
    assert {} == rig.pagerduty.notes_on


def test_a_replay_lets_the_rest_go_on_with_it(rig: Rig) -> None:
    number = with_a_delivery_that_waits(rig)
    rig.command(CommandType.REPLAY, number)
    rig.run()
    assert ["put acknowledged"] == rig.pagerduty.calls
    assert None is desired_effect(rig.link(), PAGERDUTY, Circumstances(rig.clock()))


def test_a_replayed_note_is_written_once(rig: Rig) -> None:
    number = with_a_dead_note(rig)
    rig.pagerduty.calls.clear()
    rig.command(CommandType.REPLAY, number)
    rig.run()
    assert ["notes", "note"] == rig.pagerduty.calls
    assert 1 == len(rig.pagerduty.notes_on["Q1"])
    link = rig.link()
    assert None is desired_effect(link, PAGERDUTY, Circumstances(rig.clock()))
    assert not [note for note in link.notes if note.given_up]


# ------------------------------------------------------------------------------------------ two letters of one lane


def with_two_dead_letters(rig: Rig, first: int) -> tuple[int, int]:
    """Behind the first letter a resolve was refused as well, for it passes a dead letter; both are open."""
    refusing(rig, "set_status")
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    rig.clock.move(60)
    (second,) = [row for row in dead_letters(rig) if row["id"] != first]
    assert "SetIncident resolved" == second["effect"]
    healed(rig, "set_status")
    return first, int(second["id"])


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_a_side_stays_closed_until_its_last_dead_letter_is(rig: Rig, first_to_go: int) -> None:
    both = with_two_dead_letters(rig, with_a_dead_acknowledge(rig))
    waiting_acknowledge(rig)
    rig.command(CommandType.DISCARD, both[first_to_go])
    assert [] == rig.run()
    assert [] == rig.pagerduty.calls
    assert "bad_request" == rig.link().pagerduty.dead
    rig.command(CommandType.DISCARD, both[1 - first_to_go])
    rig.run()
    assert ["put acknowledged"] == rig.pagerduty.calls
    assert "" == rig.link().pagerduty.dead


def test_a_side_does_not_wait_for_the_dead_letter_of_a_note(rig: Rig) -> None:
    note, resolve = with_two_dead_letters(rig, with_a_dead_note(rig))
    waiting_acknowledge(rig)
    rig.command(CommandType.DISCARD, resolve)
    rig.run()
    assert ["put acknowledged"] == rig.pagerduty.calls
    assert ("", [note]) == (rig.link().pagerduty.dead, [row["id"] for row in dead_letters(rig)])


def test_what_was_done_after_all_closes_its_own_dead_letter_and_no_other(rig: Rig) -> None:
    acknowledge, _resolve = with_two_dead_letters(rig, with_a_dead_acknowledge(rig))
    rig.alert(AlertEventType.REOPENED)
    rig.run()
    rig.clock.move(60)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    assert ["put resolved"] == rig.pagerduty.calls
    assert [acknowledge] == [row["id"] for row in dead_letters(rig)]
    assert "bad_request" == rig.link().pagerduty.dead, "the acknowledge's dead letter is still open"


def test_a_replay_is_of_its_own_dead_letter_and_waits_behind_the_other(rig: Rig) -> None:
    note, resolve = with_two_dead_letters(rig, with_a_dead_note(rig))
    rig.command(CommandType.REPLAY, note)
    assert [] == rig.run()
    assert "replayed" == dead_letter(rig, note)["outcome"], "it is owed again, and waits"
    rig.command(CommandType.DISCARD, resolve)
    rig.run()
    assert ["notes", "note"] == rig.pagerduty.calls
    assert "SetIncident resolved" == dead_letter(rig, resolve)["effect"]


def test_a_replay_that_passes_goes_out_although_the_other_dead_letter_is_open(rig: Rig) -> None:
    acknowledge, resolve = with_two_dead_letters(rig, with_a_dead_acknowledge(rig))
    rig.command(CommandType.REPLAY, resolve)
    rig.run()
    assert ["put resolved"] == rig.pagerduty.calls
    assert [acknowledge] == [row["id"] for row in dead_letters(rig)]
    assert "bad_request" == rig.link().pagerduty.dead


def test_what_was_discarded_comes_back_by_no_later_replay(rig: Rig) -> None:
    note, resolve = with_two_dead_letters(rig, with_a_dead_note(rig))
    rig.command(CommandType.DISCARD, note)
    rig.command(CommandType.REPLAY, resolve)
    rig.run()
    assert ["put resolved"] == rig.pagerduty.calls
    assert {} == rig.pagerduty.notes_on


def test_a_dead_letter_of_another_link_ends_no_delivery_of_this_one(rig: Rig) -> None:
    number = with_a_delivery_that_waits(rig)
    with_a_delivery_that_waits(rig, "a2")
    rig.command(CommandType.DISCARD, number)
    rig.run()
    assert ["put acknowledged"] == rig.pagerduty.calls
    assert Status.ACKNOWLEDGED is rig.pagerduty.incidents["Q1"].status


# -------------------------------------------------------------------------------------------------- freezes


def frozen(rig: Rig) -> None:
    """Ten changes, the sides taking turns, each carried before the next; and one more, which is held."""
    opened(rig)
    for turn in range(10):
        assert rig.link().frozen_at is None
        rig.clock.move(1)
        if turn % 2:
            rig.incident(IncidentEventType.UNACKNOWLEDGED)
        else:
            rig.alert(AlertEventType.ACKNOWLEDGED)
        rig.run()
    rig.clock.move(1)
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.run()
    assert rig.link().frozen_at is not None
    rig.pagerduty.calls.clear()


def test_a_thaw_reads_both_sides_and_carries_what_was_said_last(rig: Rig) -> None:
    frozen(rig)
    assert (Status.ACKNOWLEDGED, Status.OPEN) == (rig.truthvouch.status["a1"], rig.pagerduty.incidents["Q1"].status)
    rig.truthvouch.looks.clear()
    rig.command(CommandType.THAW, "a1")
    rig.run()
    assert (["get", "put acknowledged"], ["a1"]) == (rig.pagerduty.calls, rig.truthvouch.looks)
    assert (None, Status.ACKNOWLEDGED) == (rig.link().frozen_at, rig.link().status)
    assert 1 == events(rig).count("link.thawed")


def test_a_thaw_carries_pagerdutys_word_where_that_was_the_last(rig: Rig) -> None:
    frozen(rig)
    rig.clock.move(1)
    rig.incident(IncidentEventType.UNACKNOWLEDGED)
    rig.command(CommandType.THAW, "a1")
    rig.run()
    assert (["get"], Status.OPEN) == (rig.pagerduty.calls, rig.truthvouch.status["a1"])


def test_a_resolve_is_carried_though_the_link_is_frozen(rig: Rig) -> None:
    frozen(rig)
    rig.clock.move(1)
    rig.alert(AlertEventType.RESOLVED)
    rig.run()
    assert (["put resolved"], Status.RESOLVED) == (rig.pagerduty.calls, rig.link().status)
    assert rig.link().frozen_at is not None


def test_changes_that_nothing_was_carried_of_in_between_freeze_nothing(rig: Rig) -> None:
    """A backlog of both sides that arrives at once is no ping-pong."""
    opened(rig)
    for turn in range(12):
        rig.clock.move(1)
        if turn % 2:
            rig.incident(IncidentEventType.UNACKNOWLEDGED)
        else:
            rig.alert(AlertEventType.ACKNOWLEDGED)
    assert rig.link().frozen_at is None


def test_a_thaw_of_what_is_not_frozen_changes_nothing(rig: Rig) -> None:
    opened(rig)
    before = rig.link()
    for subject in ("a1", "nobody"):
        rig.command(CommandType.THAW, subject)
    assert [] == rig.run()
    assert before == rig.link()
    assert "link.thawed" not in events(rig)


def test_a_reconciliation_can_be_asked_for(rig: Rig) -> None:
    rig.command(CommandType.RECONCILE)
    assert 1 == rig.reconciliations
