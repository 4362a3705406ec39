"""The docs say what the code does: every row of docs/what-moves.md is read, judged and compared."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.alert import Alert
from app.domain.delivery import record
from app.domain.effects import Effect, OpenIncident, SetAlert, SetIncident, missing, resolution
from app.domain.incident import IncidentFacts
from app.domain.lifecycle import Step, advance
from app.domain.link import Clock, Known, Link
from app.domain.looking import CHANGES
from app.domain.names import AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.outcome import Done
from app.domain.rulebook import Decision
from app.domain.words import AlertWord, Ignored, IncidentVerb, IncidentWord, Reading
from app.pagerduty import inbound as pagerduty
from app.pagerduty.webhook import VERBS as PAGERDUTY_VERBS
from app.truthvouch import inbound as truthvouch
from app.truthvouch.wire import VERBS as TRUTHVOUCH_VERBS
from tests.contract.pagerduty import PAYLOADS, webhook_schema

PAGE = (Path(__file__).parents[1] / "docs" / "what-moves.md").read_text("utf-8")
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
FOUND = table("Found by looking")


def by_event(row: Row) -> str:
    """A row's name as a test."""
    return row["Event"].replace("`", "")


# ------------------------------------------------------------------------------------------------- what is read

DELIVERIES = {
    json.loads(body)["event"]["event_type"]: json.loads(body)
    for name, body in PAYLOADS.items()
    if name != "resolved-by_merge"
}
"""One delivery per event type that the contract has a body of."""


def delivery(kind: str, how: str) -> dict[str, Any]:
    """A body as PagerDuty sends it."""
    if "by a merge" in how:
        body = json.loads(PAYLOADS["resolved-by_merge"])
        body["event"]["data"]["id"] = INCIDENT
        return dict(body)
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
    return replace(reading, incident_id=IncidentId(INCIDENT)) if isinstance(reading, IncidentWord) else reading


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
    clock = {"acknowledged": Clock(acknowledged_at=BEFORE), "resolved": Clock(resolved_at=BEFORE)}
    known = Known(Status(standing), BEFORE)
    return replace(
        fresh, clock=clock.get(standing, Clock()), alert_side=known, incident_side=known, decision=HIGH,
        incident_id=IncidentId(INCIDENT), open_tried=True,
    )  # fmt: skip


def judged(reading: Reading, standing: str) -> Step:
    assert isinstance(reading, AlertWord | IncidentWord)
    return advance(a_link(standing), reading, NOW, HIGH)


def first_word(cell: str) -> str:
    return re.split(r"[ :,;]", cell)[0]


def done(link: Link, side: Side, effect: Effect) -> Link:
    """After the other side said yes."""
    status = effect.status if isinstance(effect, SetIncident) else Status.OPEN
    facts = IncidentFacts(IncidentId(INCIDENT), status, status_changed_at=NOW, created_at=NOW)
    return record(link, side, effect, Done(facts if side is Side.PAGERDUTY else None), NOW, 0.5).link


def check(row: Row, reading: Reading, other: Side, gets: str, standing: str) -> Step | None:
    outcome, often = row["Outcome"].strip("`"), first_word(row["How often"])
    if isinstance(reading, Ignored):
        assert (outcome, "nothing", "–", "–") == (reading.reason, gets, standing, often)
        return None
    step = judged(reading, standing)
    assert outcome == step.outcome
    speaker = Side.PAGERDUTY if other is Side.TRUTHVOUCH else Side.TRUTHVOUCH
    assert None is missing(step.link, speaker), "nothing goes back to the side that spoke"
    effect = missing(step.link, other)
    if gets in ("nothing", "an"):
        assert (effect is None) is (gets == "nothing")
        assert gets == "nothing" or isinstance(effect, OpenIncident)
    else:
        assert isinstance(effect, SetAlert | SetIncident)
        assert SAYS[gets] is effect.status
    assert (effect is not None) is (often == "once")
    if effect is not None:
        assert isinstance(reading, AlertWord | IncidentWord)
        again = advance(done(step.link, other, effect), reading, NOW, HIGH).link
        assert not isinstance(missing(again, other), SetAlert | SetIncident | OpenIncident)
    return step


@pytest.mark.parametrize("row", FROM_PAGERDUTY, ids=by_event)
def test_an_event_of_pagerduty_does_what_its_row_says(row: Row) -> None:
    reading = of_pagerduty(row)
    gets = row["What TruthVouch gets"]
    step = check(row, reading, Side.TRUTHVOUCH, first_word(gets), row["Said of an incident that is"])
    if step is None:
        return
    if quoted := re.search(r'"(.+)"', gets):
        assert all(part in resolution(step.link) for part in quoted[1].split("…"))
    assert ("link moves" in gets) is (step.link.incident_id != INCIDENT)
    assert ("text of the resolve" in gets) is (step.link.last_note is not None and resolution(step.link) != "")


@pytest.mark.parametrize("row", FROM_TRUTHVOUCH, ids=by_event)
def test_an_event_of_truthvouch_does_what_its_row_says(row: Row) -> None:
    gets = row["What PagerDuty gets"]
    step = check(row, of_truthvouch(row), Side.PAGERDUTY, first_word(gets), row["Said of an alert that is"])
    assert step is None or ("one note" in gets) is (len(step.link.notes) == 1)


@pytest.mark.parametrize("row", FOUND, ids=lambda row: f"{row['Known']} {row['Seen']}")
def test_a_look_counts_as_its_row_says(row: Row) -> None:
    words = {"un-acknowledged": "unacknowledged_at", "reopened and acknowledged": "reopened_at acknowledged_at"}
    expected = words.get(row["Counts as"], row["Counts as"] + "_at").split()
    assert tuple(expected) == CHANGES[Status(row["Known"]), Status(row["Seen"])]


# ------------------------------------------------------------------------------------------------- nothing is missing


def test_every_event_type_pagerduty_documents_has_its_row() -> None:
    documented = set(re.findall(r'"((?:incident|service|pagey)\.[a-z_.]+)"', json.dumps(webhook_schema().schema)))
    assert documented == names(FROM_PAGERDUTY)


def test_every_event_type_the_readers_know_has_its_row() -> None:
    assert set(PAGERDUTY_VERBS) <= names(FROM_PAGERDUTY)
    assert set(TRUTHVOUCH_VERBS) <= names(FROM_TRUTHVOUCH)


def test_every_pair_of_statuses_has_its_row() -> None:
    assert set(CHANGES) == {(Status(row["Known"]), Status(row["Seen"])) for row in FOUND}
    assert len(FOUND) == len(CHANGES)


def test_an_event_type_of_tomorrow_is_remembered_and_moves_nothing() -> None:
    body = {"event": {"event_type": "incident.levitated", "data": {"type": "incident", "id": INCIDENT}}}
    [reading] = pagerduty.read(json.dumps(body).encode(), None)
    assert isinstance(reading, IncidentWord)
    assert IncidentVerb.MENTIONED is reading.verb
    assert "timeline_only" == judged(reading, "open").outcome


def test_a_resolve_by_nobody_says_that_it_is_no_verdict() -> None:
    rows = [row for row in FROM_PAGERDUTY if "timeout" in row["Event"]]
    assert 1 == len(rows)
    step = judged(of_pagerduty(rows[0]), "open")
    assert "no verdict" in resolution(step.link)
    assert NOW - BEFORE > timedelta(minutes=5)


def test_every_test_that_a_promise_names_exists() -> None:
    named = set(
        re.findall(r"`(test_[a-z_]+)`", (Path(__file__).parents[1] / "docs" / "survives.md").read_text("utf-8"))
    )
    there = {path.stem for path in Path(__file__).parent.rglob("test_*.py")}
    assert named
    assert set() == named - there
