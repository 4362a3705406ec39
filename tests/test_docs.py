"""The docs say what the code does: every row of docs/what-moves.md is read, judged and compared."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEvent, AlertEventType, Ignored, IncidentEvent, IncidentEventType, Reading
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.delivery import intending, record
from app.domain.sync.effects import (
    Circumstances,
    Effect,
    OpenIncident,
    ReadIncident,
    ReadNote,
    SetAlert,
    SetIncident,
    next_effect,
    resolution,
)
from app.domain.sync.link import Link, needs_own_incident, with_own_incident
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import Outcome, Step, advance
from app.pagerduty import inbound as pagerduty
from app.pagerduty.inbound import EVENT_TYPES as PAGERDUTY_EVENTS
from app.truthvouch import wire as truthvouch
from app.truthvouch.wire import EVENT_TYPES as TRUTHVOUCH_EVENTS
from tests.contract.pagerduty import PAYLOADS, webhook_schema

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "what-moves.md").read_text("utf-8")
HIGH = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
INCIDENT = "Q0TVINC0000001"
BEFORE = datetime.fromisoformat("2026-05-04T09:00:00+00:00")
NOW = datetime.fromisoformat("2026-05-04T12:00:00+00:00")
SAYS = {"nothing": None, "acknowledged": Status.ACKNOWLEDGED, "resolved": Status.RESOLVED, "open": Status.OPEN}

Row = dict[str, str]


def table(heading: str) -> list[Row]:
    """The rows of the one table under this heading, by column."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    header, _, *rows = lines
    return [dict(zip(header, row, strict=True)) for row in rows]


def names(rows: list[Row]) -> set[str]:
    return {event_of(row) for row in rows}


def event_of(row: Row) -> str:
    found = re.match(r"`([a-z_.]+)`", row["Event"])
    assert found, row
    return found[1]


FROM_PAGERDUTY = table("From PagerDuty to TruthVouch")
FROM_TRUTHVOUCH = table("From TruthVouch to PagerDuty")
FOUND = table("Found by a read")
OUTCOMES = table("Outcomes")


def by_event(row: Row) -> str:
    """A row's name as a test."""
    return row["Event"].replace("`", "")


# ------------------------------------------------------------------------------------------------- what is read

DELIVERIES = {
    json.loads(body)["event"]["event_type"]: json.loads(body)
    for name, body in PAYLOADS.items()
    if name not in ("resolved-by_merge", "annotated-trimmed")
}
"""One delivery per event type that the contract has a body of."""


def delivery(kind: str, how: str) -> dict[str, Any]:
    """A body as PagerDuty sends it."""
    if "by a merge" in how:
        body = json.loads(PAYLOADS["resolved-by_merge"])
        body["event"]["data"]["id"] = INCIDENT
        return dict(body)
    if "cut short" in how:
        return dict(json.loads(PAYLOADS["annotated-trimmed"]))
    invented = {"event": {"id": "01", "occurred_at": "2026-05-04T09:20:00.000Z", "data": _data(kind)}}
    event = {**DELIVERIES.get(kind, invented)["event"], "event_type": kind}
    if "by a person" in how:
        event["agent"] = {"id": "PTVUSR1", "type": "user_reference", "summary": "Dana Example"}
    return {"event": event}


def _data(kind: str) -> dict[str, Any]:
    if kind.startswith(("service.", "pagey.")):
        return {"id": "PTVSVC1", "type": kind.partition(".")[0]}
    reference = {"id": INCIDENT, "type": "incident_reference"}
    return {"id": "PX", "type": "incident_" + kind.split(".")[1], "incident": reference}


def of_pagerduty(row: Row) -> Reading:
    [reading] = pagerduty.read(json.dumps(delivery(event_of(row), row["Event"])).encode(), None)
    return replace(reading, incident_id=IncidentId(INCIDENT)) if isinstance(reading, IncidentEvent) else reading


def of_truthvouch(row: Row) -> Reading:
    kind = event_of(row)
    about = {"alertId": "a1", "severity": "critical"} if kind.startswith("alert.") else {"correctionId": "c1"}
    body = {"id": "evt-1", "type": kind, "timestamp": "2026-05-04T09:20:00Z", "data": about}
    if "note" in row["What PagerDuty gets"]:
        body["data"] = about | {"resolutionReason": "false_positive"}
    [reading] = truthvouch.read(json.dumps(body).encode(), None)
    return reading


# ------------------------------------------------------------------------------------------------- what comes of it


def a_link(standing: str) -> Link:
    """Both sides have been like this for a while."""
    alert = Alert(AlertId("a1"), severity="critical")
    fresh = Link(alert, incident_key(AlertId("a1")), BEFORE)
    if standing == "new":
        return fresh
    status, _, elsewhere = standing.partition(", ")
    known = SideState(Status(status), BEFORE, BEFORE)
    return replace(
        fresh, agreed=Status(status), alert_side=known, incident_side=known, decision=HIGH,
        incident_id=IncidentId(INCIDENT), open_tried=True, merged=bool(elsewhere),
    )  # fmt: skip


def judged(reading: Reading, standing: str) -> Step:
    """As it is heard; and as a link is written, off an incident that it cannot open again."""
    assert isinstance(reading, AlertEvent | IncidentEvent)
    step = advance(a_link(standing), reading, NOW, HIGH)
    return replace(step, link=with_own_incident(step.link)) if needs_own_incident(step.link, [step.link]) else step


def upcoming(link: Link, side: Side) -> Effect | None:
    return next_effect(link, side, Circumstances(NOW, (link,)))


def first_word(cell: str) -> str:
    return re.split(r"[ :,;]", cell)[0]


def done(link: Link, side: Side, effect: Effect) -> Link:
    """After the other side said yes."""
    status = effect.status if isinstance(effect, SetIncident) else Status.OPEN
    facts = IncidentFacts(IncidentId(INCIDENT), status, status_changed_at=NOW, created_at=NOW)
    asked = intending(link, side, effect, NOW)
    return record(asked, side, effect, Done(facts if side is Side.PAGERDUTY else None, NOW), NOW, 0.5).link


def check(row: Row, reading: Reading, other: Side, gets: str, standing: str) -> Step | None:
    outcome, often = row["Outcome"].strip("`"), first_word(row["How often"])
    if isinstance(reading, Ignored):
        assert (outcome, "nothing", "–", "–") == (reading.reason, first_word(gets), standing, often)
        return None
    step = judged(reading, standing)
    assert outcome == step.outcome
    speaker = Side.PAGERDUTY if other is Side.TRUTHVOUCH else Side.TRUTHVOUCH
    back = ReadIncident if "which is read" in gets else ReadNote if "read in full" in gets else type(None)
    assert isinstance(upcoming(step.link, speaker), back), "nothing goes back to the side that spoke"
    effect = upcoming(step.link, other)
    if (word := first_word(gets)) in ("nothing", "an"):
        assert (effect is None) is (word == "nothing")
        assert word == "nothing" or isinstance(effect, OpenIncident)
        assert ("of its own" in gets) is bool(step.link.former_incidents and effect)
    else:
        assert isinstance(effect, SetAlert | SetIncident)
        assert SAYS[word] is effect.status
    assert (effect is not None) is (often == "once")
    if effect is not None:
        assert isinstance(reading, AlertEvent | IncidentEvent)
        again = advance(done(step.link, other, effect), reading, NOW, HIGH).link
        assert not isinstance(upcoming(again, other), SetAlert | SetIncident | OpenIncident)
    return step


@pytest.mark.parametrize("row", FROM_PAGERDUTY, ids=by_event)
def test_an_event_of_pagerduty_does_what_its_row_says(row: Row) -> None:
    reading = of_pagerduty(row)
    gets = row["What TruthVouch gets"]
    step = check(row, reading, Side.TRUTHVOUCH, gets, row["Incident before"])
    if step is None:
        return
    if quoted := re.search(r'"(.+)"', gets):
        assert all(part in resolution(step.link) for part in quoted[1].split("…"))
    assert ("link moves" in gets) is (step.link.incident_id != INCIDENT)
    assert ("text of the resolve" in gets) is (step.link.last_note is not None and resolution(step.link) != "")


@pytest.mark.parametrize("row", FROM_TRUTHVOUCH, ids=by_event)
def test_an_event_of_truthvouch_does_what_its_row_says(row: Row) -> None:
    gets = row["What PagerDuty gets"]
    step = check(row, of_truthvouch(row), Side.PAGERDUTY, gets, row["Alert before"])
    assert step is None or ("one note" in gets) is (len(step.link.notes) == 1)


def look(side: Side, status: Status, changed: bool) -> AlertEvent | IncidentEvent:
    """A read that began now. PagerDuty tells when its status changed last, TruthVouch when it answered."""
    began = NOW + timedelta(minutes=1)
    if side is Side.TRUTHVOUCH:
        return AlertEvent(AlertEventType.READ, Alert(AlertId("a1")), "alert.read", began, status=status, read_at=began)
    at = began if changed else BEFORE
    return IncidentEvent(
        IncidentEventType.READ, IncidentId(INCIDENT), "incident.read", at, status=status, read_at=began
    )


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("row", FOUND, ids=lambda row: f"{row['Known']} {row['Written']} {row['Seen']}")
def test_a_look_counts_as_its_row_says(row: Row, side: Side) -> None:
    other = Side.PAGERDUTY if side is Side.TRUTHVOUCH else Side.TRUTHVOUCH
    link = a_link(row["Known"])
    if (was := re.fullmatch("by us, where (.+) was", row["Written"])) is not None:
        ours = replace(link.side(side), at=NOW, received_at=NOW, by_us=True, previous=Status(was[1]))
        link = link.with_side(side, replace(ours, previous_at=BEFORE))
    outcome = row["Outcome"].strip("`")
    step = advance(link, look(side, Status(row["Seen"]), changed=outcome == "moved"), NOW + timedelta(minutes=2))
    assert outcome == step.outcome
    effects = {"other": upcoming(step.link, other), "this": upcoming(step.link, side)}
    follows = re.fullmatch("the (other) side gets (.+)|(this) side gets (.+) again|nothing", row["What follows"])
    assert follows, row
    gets = {follows[1] or follows[3]: SAYS.get(follows[2] or follows[4] or "")}
    for which, effect in effects.items():
        assert effect is None or isinstance(effect, SetAlert | SetIncident)
        assert gets.get(which) is (effect.status if effect else None), which


@pytest.mark.parametrize("side", list(Side))
def test_a_look_says_nothing_of_our_write_for_five_seconds_and_knows_when_it_was_shown(side: Side) -> None:
    link = a_link("acknowledged")
    seen = look(side, Status.OPEN, changed=False)
    assert seen.read_at is not None
    for ago, outcome in ((4.9, "stale"), (5.0, "write_lost")):
        wrote_at = seen.read_at - timedelta(seconds=ago)
        ours = replace(link.side(side), at=wrote_at, received_at=wrote_at, by_us=True, previous=Status.OPEN)
        assert outcome == advance(link.with_side(side, ours), seen, NOW + timedelta(minutes=2)).outcome
        shown = link.with_side(side, replace(ours, confirmed=True))
        assert "moved" == advance(shown, seen, NOW + timedelta(minutes=2)).outcome


# ------------------------------------------------------------------------------------------------- nothing is missing


def test_every_event_type_pagerduty_documents_has_its_row() -> None:
    documented = set(re.findall(r'"((?:incident|service|pagey)\.[a-z_.]+)"', json.dumps(webhook_schema().schema)))
    assert documented == names(FROM_PAGERDUTY)


def test_every_event_type_the_readers_know_has_its_row() -> None:
    assert set(PAGERDUTY_EVENTS) <= names(FROM_PAGERDUTY)
    assert set(TRUTHVOUCH_EVENTS) <= names(FROM_TRUTHVOUCH)


def test_every_pair_of_statuses_has_its_row() -> None:
    by_somebody = [(row["Known"], row["Seen"]) for row in FOUND if row["Written"] == "by somebody"]
    assert sorted(by_somebody) == sorted((known.value, seen.value) for known in Status for seen in Status)


def test_every_outcome_has_its_row() -> None:
    named = [row["Outcome"].strip("`") for row in OUTCOMES]
    assert sorted(named) == sorted(outcome.value for outcome in Outcome)
    used = {row["Outcome"].strip("`") for row in (*FROM_PAGERDUTY, *FROM_TRUTHVOUCH, *FOUND)}
    assert used <= {*named, "not_an_incident", "not_an_alert", "ping"}


def test_an_event_type_of_tomorrow_is_remembered_and_moves_nothing() -> None:
    body = {"event": {"event_type": "incident.levitated", "data": {"type": "incident", "id": INCIDENT}}}
    [reading] = pagerduty.read(json.dumps(body).encode(), None)
    assert isinstance(reading, IncidentEvent)
    assert IncidentEventType.MENTIONED is reading.type
    assert "timeline_only" == judged(reading, "open").outcome


def test_a_resolve_by_nobody_says_that_it_is_no_verdict() -> None:
    rows = [row for row in FROM_PAGERDUTY if "timeout" in row["Event"]]
    assert 1 == len(rows)
    step = judged(of_pagerduty(rows[0]), "open")
    assert "no verdict" in resolution(step.link)


@pytest.mark.parametrize("by", [None, "a read", "Dana Example"])
def test_a_note_speaks_only_for_a_person_who_resolves(by: str | None) -> None:
    about = IncidentId(INCIDENT)
    noted = advance(
        a_link("open"), IncidentEvent(IncidentEventType.ANNOTATED, about, "", NOW, note="a paraphrase"), NOW
    )
    assert ("noted", "a paraphrase") == (noted.outcome, noted.link.last_note)
    resolved = IncidentEvent(IncidentEventType.RESOLVED, about, "incident.resolved", NOW, author=by)
    found = replace(look(Side.PAGERDUTY, Status.RESOLVED, changed=True), author=None)
    step = advance(noted.link, found if by == "a read" else resolved, NOW + timedelta(minutes=2))
    text = resolution(step.link)
    assert ("a paraphrase" == text) is (by == "Dana Example")
    assert ("no verdict" in text) is (by != "Dana Example")
    assert ("was not told" in text) is (by == "a read")
    later = NOW + timedelta(hours=1)
    reopened = advance(step.link, IncidentEvent(IncidentEventType.REOPENED, about, "incident.reopened", later), later)
    assert None is reopened.link.last_note, "it belonged to the life before"


def test_a_note_of_our_own_is_nobodys() -> None:
    ours = IncidentEvent(
        IncidentEventType.ANNOTATED, IncidentId(INCIDENT), "", NOW, note="[TruthVouch] resolved by Dana (ref 0badcafe)"
    )
    step = advance(a_link("open"), ours, NOW)
    assert ("own_note", None) == (step.outcome, step.link.last_note)


def test_a_persons_note_that_only_begins_like_ours_is_theirs() -> None:
    theirs = "[TruthVouch] told us that it is a paraphrase"
    event = IncidentEvent(IncidentEventType.ANNOTATED, IncidentId(INCIDENT), "", NOW, note=theirs)
    step = advance(a_link("open"), event, NOW)
    assert ("noted", theirs) == (step.outcome, step.link.last_note)
    cut_short = advance(a_link("open"), replace(event, note_id="PNOTE", trimmed=True), NOW)
    assert "own_note" == cut_short.outcome, "its end, where ours have their reference, is not there"


def test_every_test_that_a_promise_names_exists() -> None:
    named = set(
        re.findall(r"`(test_[a-z_]+)`", (Path(__file__).parents[1] / "docs" / "survives.md").read_text("utf-8"))
    )
    there = {path.stem for path in Path(__file__).parent.rglob("test_*.py")}
    assert named
    assert set() == named - there


def test_a_secret_that_nothing_uses_yet_is_called_reserved() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "app").rglob("*.py") if path.name != "settings.py"]
    lines = (ROOT / "docs" / "configuration.md").read_text("utf-8").splitlines()
    [row] = [line for line in lines if line.startswith("| `BRIDGE_SECRET_KEY`")]
    assert any(".secret_key" in source for source in sources) is not ("reserved" in row)


def test_the_page_about_the_console_has_every_page_and_every_button() -> None:
    from app.web.console import frame

    text = (ROOT / "docs" / "console.md").read_text("utf-8")
    pages = set(re.findall(r"^\| \*\*(.+?)\*\*", text, re.M))
    assert {name for _, name, _ in frame.NAVIGATION} | {"One alert"} == pages
