"""What an operator says of an alert at the bridge reaches both sides, goes only forward, and is done once."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEvent, AlertEventType, CommandType, IncidentEventType
from app.domain.model.incident import IncidentDraft, IncidentFacts
from app.domain.model.outcome import Reply
from app.domain.model.types import FALSE_ALERT, Alert, AlertId, Side, Status
from app.domain.rules.decide import decide
from app.domain.rules.rulebook import SILENCED, ConsoleRules, Rule, RuleAction, Rulebook, Silence
from app.domain.sync.asked import alike
from app.domain.sync.link import Link
from app.ports import Page
from app.ports.rules import MAX_SILENCES
from app.services.rules.stored import is_name
from app.services.sync.execute_effect import Perform
from app.store.operator_records import StoredRecords
from tests.rig import Rig
from tests.services.rigs import DatedRig
from tests.services.sync.test_commands import events, frozen, opened

DAY = timedelta(days=1)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return DatedRig(tmp_path)


def stands(rig: Rig) -> tuple[Any, Any, Status]:
    """The alert, its incident, and what both should be."""
    return rig.truthvouch.status["a1"], rig.pagerduty.incidents["Q1"].status, rig.link().status


def test_an_acknowledge_at_the_bridge_acknowledges_both_sides(rig: Rig) -> None:
    opened(rig)
    rig.command(CommandType.ACKNOWLEDGE, "a1")
    rig.run()
    assert (Status.ACKNOWLEDGED,) * 3 == stands(rig)
    assert Status.ACKNOWLEDGED is rig.link().agreed
    assert [] == rig.run()


def test_a_resolve_at_the_bridge_carries_its_note_to_both_sides(rig: Rig) -> None:
    opened(rig)
    rig.command(CommandType.RESOLVE, "a1", "the fact was outdated")
    rig.run()
    assert (Status.RESOLVED,) * 3 == stands(rig)
    assert ("a1", Status.RESOLVED, "the fact was outdated") == rig.truthvouch.calls[-1]
    (note,) = rig.pagerduty.notes_on["Q1"]
    assert note.content.startswith("[TruthVouch] resolved by somebody: the fact was outdated")
    assert [] == rig.run()


def test_a_resolve_without_a_note_names_who_resolved(rig: Rig) -> None:
    opened(rig)
    rig.command(CommandType.RESOLVE, "a1")
    rig.run()
    assert ("a1", Status.RESOLVED, "Resolved at the bridge by somebody.") == rig.truthvouch.calls[-1]


def test_what_is_further_along_stays_there(rig: Rig) -> None:
    opened(rig)
    rig.command(CommandType.RESOLVE, "a1")
    rig.run()
    before = rig.link()
    rig.command(CommandType.ACKNOWLEDGE, "a1")
    rig.command(CommandType.RESOLVE, "a1")
    assert [] == rig.run()
    assert before == rig.link()
    assert 1 == events(rig).count("link.resolved")
    assert "link.acknowledged" not in events(rig)


def test_an_alert_without_an_incident_is_resolved_where_it_is(rig: Rig) -> None:
    rig.rulebook.rulebook = Rulebook((Rule("quiet", 'severity == "low"', RuleAction.SUPPRESS),))
    rig.alert(AlertEventType.CREATED, severity="low")
    rig.command(CommandType.RESOLVE, "a1", "nothing to it")
    rig.run()
    assert Status.RESOLVED is rig.truthvouch.status["a1"]
    assert {} == rig.pagerduty.incidents


def test_a_frozen_link_is_resolved_all_the_same(rig: Rig) -> None:
    frozen(rig)
    rig.command(CommandType.RESOLVE, "a1")
    rig.run()
    assert (Status.RESOLVED,) * 3 == stands(rig)


def test_a_resolve_that_a_person_asks_for_is_not_held_back(rig: Rig) -> None:
    held = Rule("held", 'severity == "critical"', RuleAction.CREATE_INCIDENT, hold_resolve_minutes=10)
    rig.rulebook.rulebook = Rulebook((held,))
    opened(rig)
    rig.command(CommandType.RESOLVE, "a1")
    rig.run()
    assert (Status.RESOLVED,) * 3 == stands(rig)


def test_the_webhooks_about_it_bring_no_news(rig: Rig) -> None:
    opened(rig)
    rig.command(CommandType.ACKNOWLEDGE, "a1")
    rig.run()
    rig.pagerduty.calls.clear()
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.incident(IncidentEventType.ACKNOWLEDGED)
    rig.run()
    assert (Status.ACKNOWLEDGED,) * 3 == stands(rig)
    assert not [call for call in rig.pagerduty.calls if call.startswith("put")]


def test_what_the_sides_say_afterwards_counts_again(rig: Rig) -> None:
    opened(rig)
    rig.command(CommandType.RESOLVE, "a1")
    rig.run()
    rig.clock.move(60)
    rig.incident(IncidentEventType.REOPENED)
    rig.run()
    assert Status.OPEN is rig.link().status


def test_a_false_alert_is_recorded_and_changes_neither_side(rig: Rig) -> None:
    opened(rig)
    rig.command(CommandType.FALSE_ALERT, "a1")
    rig.command(CommandType.FALSE_ALERT, "a1")
    assert [] == rig.run()
    assert (FALSE_ALERT, Status.OPEN) == (rig.link().verdict, rig.link().status)
    assert 1 == events(rig).count("link.judged")


def test_an_alert_that_nobody_knows_changes_nothing(rig: Rig) -> None:
    for command in (CommandType.ACKNOWLEDGE, CommandType.RESOLVE, CommandType.FALSE_ALERT):
        rig.command(command, "nobody")
    assert [] == rig.run()


def test_a_note_is_written_to_the_incident_once_in_the_name_of_whoever_wrote_it(rig: Rig) -> None:
    opened(rig)
    for _ in range(2):
        rig.command(CommandType.NOTE, "a1", "The model was rolled back.")
        rig.run()
    rig.command(CommandType.NOTE, "a1", " ")
    (note,) = rig.pagerduty.notes_on["Q1"]
    assert note.content.startswith("[TruthVouch] note by somebody: The model was rolled back.")
    assert 1 == events(rig).count("link.noted")
    assert Status.OPEN is rig.link().status


def test_without_an_incident_a_note_goes_nowhere(rig: Rig) -> None:
    rig.rulebook.rulebook = Rulebook((Rule("quiet", 'severity == "low"', RuleAction.SUPPRESS),))
    rig.alert(AlertEventType.CREATED, severity="low")
    rig.command(CommandType.NOTE, "a1", "Nobody reads this.")
    rig.command(CommandType.NOTE, "nobody", "Nor this.")
    assert [] == rig.run()
    assert () == rig.link().notes


def test_a_call_tells_how_long_it_took(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*arguments: Any) -> Any:
        rig.clock.move(1.25)
        return quick(*arguments)

    quick = rig.pagerduty.open
    monkeypatch.setattr(rig.pagerduty, "open", slowly)
    opened(rig)
    rig.alert(AlertEventType.ACKNOWLEDGED)
    rig.run()
    with rig.database.read() as tx:
        lines = StoredRecords().timeline(tx, "a1", Page(100))
    took = {line["event"]: line["facts"].get("took_ms") for line in lines}
    assert (1250, None, None) == (took["incident.triggered"], took["alert.created"], took["incident.acknowledged"])


# ------------------------------------------------------------------------------------------------- evidence and silence


def test_the_incident_carries_a_link_where_the_rules_say_so_and_one_can_be_made(rig: Rig) -> None:
    urls = ["https://bridge.example.com/e/x", None]
    asked: list[str] = []

    def url(link: Link) -> str | None:
        asked.append(link.alert.alert_id)
        return urls[len(asked) - 1]

    opened_drafts: list[IncidentDraft] = []
    making = rig.pagerduty.open

    def open_incident(draft: IncidentDraft) -> Reply[IncidentFacts]:
        opened_drafts.append(draft)
        return making(draft)

    rig.pagerduty.open = open_incident  # type: ignore[method-assign]
    assert isinstance(rig.deliver.perform, Perform)
    rig.deliver.perform = replace(rig.deliver.perform, evidence_url=url)
    for alert_id, on in (("off", False), ("on", True), ("without", True)):
        rig.rulebook.rulebook = Rulebook(console=ConsoleRules(evidence_links=on))
        rig.alert(AlertEventType.CREATED, alert_id=alert_id)
        rig.run()
    assert [None, urls[0], None] == [draft.evidence_url for draft in opened_drafts]
    assert ["on", "without"] == asked


def test_it_is_over_since_it_was_resolved_on_both_sides(rig: Rig) -> None:
    opened(rig)
    assert rig.link().over_at is None
    rig.clock.move(60)
    rig.command(CommandType.RESOLVE, "a1")
    assert rig.link().over_at is None
    at = rig.clock()
    rig.run()
    rig.clock.move(600)
    rig.incident(IncidentEventType.ANNOTATED, note="too late")
    assert at == rig.link().over_at
    rig.incident(IncidentEventType.REOPENED)
    rig.run()
    assert rig.link().over_at is None


def test_labels_that_are_missing_or_odd_are_silenced_as_they_are(rig: Rig) -> None:
    odd = Alert(AlertId("a1"), "critical", 'a "kind"\\\n😀', None, model="m" * 3_000)
    rig.say(Side.TRUTHVOUCH, AlertEvent(AlertEventType.CREATED, odd, "alert.created", rig.clock()))
    rig.run()
    found = alike(rig.link(), "dana", rig.clock())
    assert found
    assert is_name(found.name)
    others = (replace(odd, category="c"), replace(odd, kind="a"), replace(odd, model=None))
    book = Rulebook(silences=(found,))
    assert [True, False, False, False] == [
        decide(book, alert, rig.clock()).reason == SILENCED for alert in (odd, *others)
    ]


def test_as_many_silences_as_the_store_takes(rig: Rig) -> None:
    created = Alert(AlertId("a1"), "critical", "pii")
    rig.say(Side.TRUTHVOUCH, AlertEvent(AlertEventType.CREATED, created, "alert.created", rig.clock()))
    rig.run()
    with rig.database.begin() as tx:
        for number in range(MAX_SILENCES):
            rig.stored_rules.put_silence(tx, Silence(f"s{number}", "false", "dana", "drill", rig.clock.now + DAY))
    rig.command(CommandType.SILENCE_ALIKE, "a1")
    with rig.database.read() as tx:
        assert MAX_SILENCES == len(rig.stored_rules.silences(tx))
    assert "link.silenced" not in events(rig)
    rig.command(CommandType.SILENCE_ALIKE, "nobody")
