"""Every line that the program writes into a time line has a sentence of its own, and none can steer a terminal."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain.escalation.state import Escalation, EscalationPlan, PlanLevel, State
from app.domain.model.types import Alert, AlertId, IncidentId, LinkId, Side, Status, incident_key
from app.domain.sync.effects import AddNote, Effect, OpenIncident, SetAlert, SetIncident
from app.domain.sync.link import DeliveryState, Link
from app.domain.sync.transitions import Outcome
from app.ui import standing, story

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WRITERS = ("line", "_line", "Result", "_swap", "done_event")
"""What writes a line, or names one."""
FILLED_IN = {
    "dead_letter.{}": ("dead_letter.replayed", "dead_letter.discarded", "dead_letter.nothing_to_do"),
    "link.{}": ("link.acknowledged", "link.resolved"),
    "incident.{}": ("incident.reopened", "incident.acknowledged", "incident.resolved"),
    "alert.{}": ("alert.reopened", "alert.acknowledged", "alert.resolved"),
    "{}.write_lost": ("alert.write_lost", "incident.write_lost"),
}
"""What stands where a name is put together."""
NOT_WRITTEN = {"delivery.waited"}
"""Our turn came not yet: nobody was asked, and nothing is written down."""


def texts(node: ast.AST) -> Iterator[str]:
    """The names of events in an expression."""
    for inner in ast.walk(node):
        match inner:
            case ast.Constant(value=str(text)) if re.fullmatch(r"[a-z_]+\.[a-z_]+", text):
                yield text
            case ast.JoinedStr(values=values):
                name = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in values)
                yield from FILLED_IN.get(name, ())


def written_events() -> set[str]:
    """Every event that the code gives to what writes the time line."""
    found: set[str] = set()
    for path in [*(ROOT / "app/services").rglob("*.py"), *(ROOT / "app/domain").rglob("*.py")]:
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in WRITERS:
                    for argument in node.args:
                        found.update(texts(argument))
            if isinstance(node, ast.FunctionDef) and node.name in ("done_event", "_saved"):
                found.update(texts(node))
    return {event for event in found if event.partition(".")[0] in EVENTS_OF}


EVENTS_OF = ("alert", "incident", "delivery", "escalation", "link", "silence", "dead_letter", "rules")


def test_every_event_that_the_program_writes_has_a_sentence() -> None:
    events = written_events()
    assert {"delivery.dead", "link.judged", "escalation.armed", "incident.escalated", "alert.resolved"} <= events
    assert len(events) > 25
    assert [] == sorted(event for event in events - NOT_WRITTEN if not story.has_sentence(event))


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_of_an_event_has_a_sentence(outcome: Outcome) -> None:
    assert outcome.value in story._OUTCOME_SENTENCES


def test_a_story_goes_by_the_time_each_line_tells_and_keeps_what_was_recorded() -> None:
    lines: list[dict[str, Any]] = [
        {"id": 1, "at": NOW + timedelta(minutes=1), "event": "delivery.dead", "author": None, "incident_id": "Q1",
         "facts": {"side": "pagerduty", "outcome": "dead", "reason": "bad_request", "attempt": 4,
                   "took_ms": 10040, "said": "No such user"}},
        {"id": 2, "at": NOW, "event": "alert.created", "author": "Lin", "incident_id": None,
         "facts": {"outcome": "opened", "status": "open", "rule": "r1", "reason": "rule", "urgency": "high",
                   "rulebook": "v7"}},
    ]  # fmt: skip
    first, second = story.moments(lines)
    assert "TruthVouch: alert created by Lin. An incident of high urgency is due, says the rule 'r1'." == first.text
    assert ("Decided by version v7 of the rules.",) == first.more
    assert "A call to PagerDuty was given up (bad_request), and waits among the dead letters." == second.text
    assert ("PagerDuty says: No such user", "After 4 failed tries.", "It took 10.0 s.") == second.more
    assert ("bad", "Q1") == (second.tone, second.facts["incident_id"])


def test_times_in_a_sentence_are_by_the_clocks_of_the_zone() -> None:
    facts = {"level": 1, "of": 2, "due_at": NOW.isoformat()}
    line = {"id": 1, "at": NOW, "event": "escalation.armed", "author": None, "facts": facts}
    (moment,) = story.moments([line], ZoneInfo("Asia/Tokyo"))
    assert "18:00:00" in moment.text


def test_an_event_of_a_newer_version_is_told_as_it_is_kept() -> None:
    line = {"id": 1, "at": NOW, "event": "moon.landed", "author": "x\ny", "facts": {"a": "b\x1b[2J"}}
    (moment,) = story.moments([line])
    assert "moon.landed (x?y) a=b?[2J" == moment.text
    assert not story.has_sentence("moon.landed")


# ---------------------------------------------------------------------------------------------------- standing


def a_link(**changes: Any) -> Link:
    alert = Alert(AlertId("a1"), "critical")
    return Link(alert, incident_key(alert.alert_id), NOW, LinkId(1), **changes)


@pytest.mark.parametrize(
    ("rule", "urgency", "has_incident", "said"),
    [
        ("", "", False, "Nothing is decided about it yet."),
        ("r1", "high", True, "Paged with high urgency, by “r1”."),
        ("r1", "high", False, "To be paged with high urgency, by “r1”."),
        ("severity_map", "", False, "Not paged, by the severity map."),
        ("r1", "", True, "No rule pages it (“r1”), but an incident was opened all the same."),
    ],
)
def test_why_is_said_in_a_line(rule: str, urgency: str, has_incident: bool, said: str) -> None:
    assert said == standing.why(rule, urgency, has_incident)


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (OpenIncident(False), "open the incident"),
        (SetIncident(Status.RESOLVED), "resolve the incident"),
        (SetAlert(Status.OPEN, None), "reopen the alert"),
        (AddNote("ref", "text"), "write a note to the incident"),
    ],
)
def test_an_effect_is_said_in_words(effect: Effect, said: str) -> None:
    assert said == standing.named(effect)


def test_what_comes_next_says_when_and_what_failed_so_far() -> None:
    due_at = NOW + timedelta(minutes=3)
    delivery = DeliveryState(True, 3, 2, NOW, "http_503", NOW, waits_for="SetIncident resolved", due_at=due_at)
    link = a_link(pagerduty=delivery)
    (remark,) = standing.upcoming(link, {Side.PAGERDUTY: SetIncident(Status.RESOLVED)}, {}, None, NOW)
    assert "PagerDuty: the bridge is to resolve the incident in 3 min (2026-03-02 09:03:00Z)." in remark.text
    assert "2 tries failed so far (http_503)." in remark.text


def test_what_waits_behind_a_dead_letter_is_said() -> None:
    link = a_link(pagerduty=DeliveryState(dead="bad_request"))
    waits: dict[Side, Effect | None] = {Side.PAGERDUTY: SetIncident(Status.ACKNOWLEDGED)}
    (remark,) = standing.upcoming(link, {}, waits, None, NOW)
    said = "PagerDuty: stopped at a dead letter (bad_request). Still to do: acknowledge the incident."
    assert (said, "bad") == (remark.text, remark.tone)


def test_a_quiet_alert_says_that_nothing_is_pending() -> None:
    (remark,) = standing.upcoming(a_link(), {}, {}, None, NOW)
    assert ("Nothing is pending. Both sides are to be open, and are.", "good") == (remark.text, remark.tone)


@pytest.mark.parametrize(("minutes", "said"), [(5, "comes in 10 min"), (20, "has been due since")])
def test_an_escalation_says_when_its_next_level_comes(minutes: int, said: str) -> None:
    escalation = Escalation(IncidentId("Q1"), EscalationPlan("P", (PlanLevel(900), PlanLevel(900))), NOW)
    (remark,) = standing.escalating(escalation, NOW + timedelta(minutes=minutes))
    assert said in remark.text
    assert "level 1 of 2" in remark.text


def test_an_escalation_that_rests_or_is_over_says_no_time() -> None:
    plan = EscalationPlan("P", (PlanLevel(900),))
    rests = Escalation(IncidentId("Q1"), plan, NOW, state=State.PAUSED, reason="acknowledged")
    assert "rests after 0 of 1 levels: acknowledged" in standing.escalating(rests, NOW)[0].text
    assert [] == standing.escalating(Escalation(IncidentId("Q1"), plan, NOW, state=State.FINISHED), NOW)


def test_whatever_can_be_given_up_is_named_in_words() -> None:
    from app.domain.sync import effects
    from app.domain.sync.retry import named

    for status in Status:
        for effect in (SetIncident(status), SetAlert(status, None)):
            assert named(effect) in standing.GIVEN_UP
    others = (OpenIncident(True), effects.LookForIncident(), effects.ReadIncident(), effects.ReadAlert(),
              effects.ReadNote("N1"), AddNote("ref", "text"))  # fmt: skip
    assert {named(effect) for effect in others} <= set(standing.GIVEN_UP)
    assert "A webhook that could not be read" == standing.given_up("event", "")
    assert "Escalate level 2 of Q1" == standing.given_up("escalation", "Escalate level 2 of Q1")
