"""An alert whose evidence is erased: what comes later is dropped, a page that is pending still goes out."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEvent, AlertEventType, CommandType, IncidentEventType
from app.domain.model.incident import IncidentDraft, IncidentFacts
from app.domain.model.outcome import Reply
from app.domain.model.types import Alert, AlertId, Side, Status
from app.domain.rules.rulebook import Redaction, Rulebook, Silence
from app.ports import TimelineEntry
from app.services.sync.silence_watch import WatchSilences
from app.store.database import StoredKeyValues, connection
from app.store.history import StoredSilenced
from app.store.schema import kept_bodies, timeline
from tests.fakes import START
from tests.rig import FixedRulebook, Rig

MARK = "Marker-7f3a"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def said(rig: Rig, event_type: AlertEventType, word: str, **fields: object) -> AlertEvent:
    """TruthVouch says something with a word in every text."""
    alert = Alert(AlertId("a1"), "critical", message=f"{word} message", claim=f"{word} claim",
                  people={"resolved_by": f"{word}@x.test"}, extra={"note": f"{word} extra", "score": 4})  # fmt: skip
    event = AlertEvent(event_type, alert, f"alert.{event_type}", rig.clock(), f"{word}@x.test", **fields)  # type: ignore[arg-type]
    rig.say(Side.TRUTHVOUCH, event)
    return event


def lines(rig: Rig) -> list[tuple[str, str | None]]:
    with rig.database.read() as tx:
        rows = connection(tx).execute(sa.select(timeline.c.event, timeline.c.author).order_by(timeline.c.id))
        return [(row.event, row.author) for row in rows]


def test_a_pending_create_still_pages_and_says_that_its_text_is_erased(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts: list[IncidentDraft] = []
    opens = rig.pagerduty.open

    def opening(draft: IncidentDraft) -> Reply[IncidentFacts]:
        drafts.append(draft)
        return opens(draft)

    monkeypatch.setattr(rig.pagerduty, "open", opening)
    said(rig, AlertEventType.CREATED, MARK)
    rig.command(CommandType.ERASE, "a1")
    rig.run()
    (incident,) = rig.pagerduty.incidents.values()
    assert "[critical] Alert: text erased, alert a1" == drafts[0].title
    assert MARK not in str(drafts[0])
    assert Status.OPEN is incident.status


def test_text_that_comes_later_is_dropped_and_what_happened_is_not(rig: Rig) -> None:
    rig.rulebook.rulebook = Rulebook(redaction=Redaction(send_people=True))
    said(rig, AlertEventType.CREATED, "first")
    rig.run()
    rig.command(CommandType.ERASE, "a1")
    said(rig, AlertEventType.RESOLVED, MARK, reason="false_positive", text=f"{MARK}: it was said so #true-alert")
    rig.run()
    link = rig.link()
    assert MARK not in str(link)
    assert {"score": 4} == link.alert.extra
    assert (Status.RESOLVED, "true_alert") == (link.status, link.verdict)
    assert ("alert.resolved", "[person]") in lines(rig)
    assert Status.RESOLVED is next(iter(rig.pagerduty.incidents.values())).status


def test_who_acted_before_is_named_no_more_also_in_the_same_batch(rig: Rig) -> None:
    take, rig.intake.take = rig.intake.take, lambda: 0  # type: ignore[method-assign]
    said(rig, AlertEventType.CREATED, MARK)
    said(rig, AlertEventType.RESOLVED, MARK)
    rig.command(CommandType.ERASE, "a1")
    assert 3 == take()
    assert ["[person]", "[person]", "somebody"] == [author for _, author in lines(rig)]
    assert MARK not in str(rig.link())


def test_every_webhook_about_it_or_its_incident_is_due_then_and_later(rig: Rig) -> None:
    said(rig, AlertEventType.CREATED, MARK)
    rig.run()
    rig.incident(IncidentEventType.ACKNOWLEDGED, "Q1")
    rig.alert(AlertEventType.CREATED, alert_id="a2")
    wanted: list[bool] = []
    rig.intake.erase_bodies = lambda: wanted.append(True)
    rig.command(CommandType.ERASE, "a1")
    assert [True] == wanted
    rig.incident(IncidentEventType.RESOLVED, "Q1")
    assert [True, True] == wanted
    with rig.database.read() as tx:
        rows = connection(tx).execute(
            sa.select(kept_bodies.c.subject, kept_bodies.c.due).order_by(kept_bodies.c.inbox_id)
        )
        found = [tuple(row) for row in rows]
    assert [("a1", True), ("a1", True), ("Q1", True), ("a2", False), ("Q1", True)] == found
    said(rig, AlertEventType.MENTIONED, MARK)
    assert 3 == len(wanted)


def test_an_incident_that_nobody_knew_when_its_webhook_came_is_known_to_the_erasing(rig: Rig) -> None:
    said(rig, AlertEventType.CREATED, MARK)
    rig.incident(IncidentEventType.TRIGGERED, "Q1")
    rig.run()
    rig.command(CommandType.ERASE, "a1")
    with rig.database.read() as tx:
        due = connection(tx).execute(
            sa.select(kept_bodies.c.subject).where(kept_bodies.c.due, kept_bodies.c.inbox_id > 0)
        )
        assert {"a1", "Q1"} == set(due.scalars())


def test_it_is_erased_once(rig: Rig) -> None:
    said(rig, AlertEventType.CREATED, MARK)
    for subject in ("a1", "a1", "nobody"):
        rig.clock.move(1)
        rig.command(CommandType.ERASE, subject)
    assert 1 == [event for event, _ in lines(rig)].count("alert.erased")
    assert START.replace(microsecond=0) < (rig.link().erased_at or START)


def test_an_alert_that_a_silence_matched_by_its_text_stays_silent_while_that_is_in_force(rig: Rig) -> None:
    silence = Silence("noise", f'"{MARK}" in claim', "Dana", "why", rig.clock.move(3600))
    rig.clock.move(-3600)
    rig.rulebook = FixedRulebook(Rulebook(silences=(silence,)))
    rig.intake.process_event = replace(rig.intake.process_event, rulebook=rig.rulebook)
    said(rig, AlertEventType.CREATED, MARK)
    rig.command(CommandType.ERASE, "a1")
    watch = WatchSilences(rig.database, StoredKeyValues(), StoredSilenced(), rig.links, rig.intake.writer,
                          rig.intake.process_event, rig.rulebook, rig.clock)  # fmt: skip
    assert 0 == watch()
    rig.clock.move(3601)
    assert 1 == watch(), "its end decides it anew, as ever"
    assert rig.link().paged


def test_a_person_s_note_stays_but_not_what_it_quotes(rig: Rig) -> None:
    said(rig, AlertEventType.CREATED, MARK)
    rig.run()
    rig.incident(IncidentEventType.ANNOTATED, "Q1", note=f"I read '{MARK} claim' and it is fine.", author="Dana")
    facts, link_id = {"said": f"Title {MARK} message is bad"}, rig.link().link_id
    with rig.database.begin() as tx:
        rig.links.write_timeline(tx, [TimelineEntry(START, "delivery.dead", link_id, facts=facts)])
    rig.command(CommandType.ERASE, "a1")
    assert "I read '[withheld]' and it is fine." == rig.link().last_note
    with rig.database.read() as tx:
        said_now = connection(tx).execute(sa.select(timeline.c.facts).where(timeline.c.event == "delivery.dead"))
        assert '{"said":"Title [withheld] is bad"}' == said_now.scalar_one()
