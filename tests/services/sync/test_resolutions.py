"""Whose words TruthVouch gets with a resolve: those of the person who resolved, in full; nobody's where nobody did."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.incident import NoteFacts
from app.domain.model.outcome import Refused, Retry
from app.domain.model.types import Side, Status, Via
from tests.services.rigs import TimedRig

PERSON = "Dana Example"
LONG = "false positive: " + "the answer quotes the source word for word, only in another order. " * 40
PART = LONG[:983]


class Bridge(TimedRig):
    """TruthVouch lets an alert be opened again."""

    def paged(self) -> "Bridge":
        self.clock.move(0.25)
        self.alert(AlertEventType.CREATED)
        self.wait(10)
        return self

    def receives(self, event_type: IncidentEventType, **fields: Any) -> None:
        self.clock.move(3)
        self.incident(event_type, "Q1", **fields)

    def notes(self, text: str, note_id: str = "N1") -> None:
        """A person's note; PagerDuty's event brings a thousand characters of it."""
        self.pagerduty.notes_on.setdefault("Q1", []).append(NoteFacts(note_id, text))
        part = {"note": text[:983], "trimmed": True} if len(text) > 983 else {"note": text}
        self.receives(IncidentEventType.ANNOTATED, author=PERSON, note_id=note_id, **part)

    def reopens(self) -> None:
        self.truthvouch.status["a1"] = Status.OPEN
        self.receives(IncidentEventType.REOPENED, author=PERSON)
        self.clock.move(3)
        self.alert(AlertEventType.REOPENED)
        self.wait(30)
        self.truthvouch.calls.clear()

    def resolution(self) -> str | None:
        """What TruthVouch was told with the last resolve."""
        self.wait(30)
        assert Status.RESOLVED is self.truthvouch.status["a1"]
        answer = [text for _, status, text in self.truthvouch.calls if status is Status.RESOLVED]
        assert 1 == len(answer)
        return answer[0]


@pytest.fixture(params=list(Via))
def bridge(request: pytest.FixtureRequest, tmp_path: Path) -> Bridge:
    return Bridge(tmp_path, request.param).paged()


# ------------------------------------------------------------------------------------------------- nobody's


def test_an_automatic_resolve_does_not_speak_with_the_words_of_the_life_before(bridge: Bridge) -> None:
    bridge.notes("false positive: paraphrase")
    bridge.receives(IncidentEventType.RESOLVED, author=PERSON)
    assert "false positive: paraphrase" == bridge.resolution()
    bridge.reopens()
    bridge.receives(IncidentEventType.RESOLVED)
    answer = bridge.resolution() or ""
    assert "no verdict" in answer
    assert "paraphrase" not in answer


def test_nor_with_a_note_of_somebody_who_only_looked(bridge: Bridge) -> None:
    bridge.notes("looking into it")
    bridge.receives(IncidentEventType.RESOLVED)
    answer = bridge.resolution() or ""
    assert "automatically" in answer
    assert "no verdict" in answer
    assert "looking" not in answer


def test_a_resolve_that_a_read_found_says_that_nobody_told_who_did_it(bridge: Bridge) -> None:
    bridge.notes("looking into it")
    bridge.wait(60)
    bridge.pagerduty.put("Q1", Status.RESOLVED)
    bridge.wait(60)
    bridge.reconcile()
    answer = bridge.resolution() or ""
    assert "who did it was not told" in answer
    assert "no verdict" in answer
    assert "looking" not in answer


def test_a_person_who_says_nothing_is_named(bridge: Bridge) -> None:
    bridge.notes("false positive: paraphrase")
    bridge.receives(IncidentEventType.RESOLVED, author=PERSON)
    bridge.resolution()
    bridge.reopens()
    bridge.receives(IncidentEventType.RESOLVED, author=PERSON)
    assert f"Resolved in PagerDuty by {PERSON}." == bridge.resolution()


def test_a_resolve_waits_a_second_for_the_note_typed_with_it(bridge: Bridge) -> None:
    bridge.receives(IncidentEventType.RESOLVED, author=PERSON)
    bridge.wait(0.9)
    assert [] == bridge.truthvouch.calls
    bridge.incident(IncidentEventType.ANNOTATED, "Q1", author=PERSON, note_id="N1", note="false positive: paraphrase")
    assert "false positive: paraphrase" == bridge.resolution()


# ------------------------------------------------------------------------------------------------- in full


@pytest.mark.parametrize("typed_first", [True, False])
def test_a_note_that_was_cut_short_arrives_in_full(bridge: Bridge, typed_first: bool) -> None:
    """PagerDuty tells a resolve and its note as two events, either first."""
    assert len(LONG) > 2_500
    if typed_first:
        bridge.notes(LONG)
        bridge.incident(IncidentEventType.RESOLVED, "Q1", author=PERSON)
    else:
        bridge.receives(IncidentEventType.RESOLVED, author=PERSON)
        bridge.pagerduty.notes_on["Q1"] = [NoteFacts("N1", LONG)]
        bridge.incident(IncidentEventType.ANNOTATED, "Q1", note=PART, trimmed=True, note_id="N1", author=PERSON)
    assert LONG == bridge.resolution()


def test_the_read_of_a_note_is_tried_again_and_holds_no_resolve_back_for_long(bridge: Bridge) -> None:
    bridge.pagerduty.notes = lambda incident_id: Retry("http_503")  # type: ignore[method-assign]
    bridge.notes(LONG)
    bridge.incident(IncidentEventType.RESOLVED, "Q1", author=PERSON)
    assert (bridge.resolution() or "").startswith(PART[:900])


@pytest.mark.parametrize("answer", ["gone", "refused"])
def test_a_note_that_cannot_be_read_is_reported_as_far_as_it_is_known(bridge: Bridge, answer: str) -> None:
    if answer == "refused":
        bridge.pagerduty.notes = lambda incident_id: Refused("bad_request", 400)  # type: ignore[method-assign]
    bridge.notes(LONG)
    bridge.pagerduty.notes_on.clear()
    bridge.wait(10)
    bridge.receives(IncidentEventType.RESOLVED, author=PERSON)
    assert (bridge.resolution() or "").startswith(PART)
    assert "" == bridge.link().delivery(Side.PAGERDUTY).dead


def test_a_newer_note_takes_the_place_of_one_that_is_still_to_be_read(bridge: Bridge) -> None:
    bridge.notes(LONG, "N1")
    bridge.notes("no, it was right after all", "N2")
    bridge.wait(10)
    bridge.receives(IncidentEventType.RESOLVED, author=PERSON)
    assert "no, it was right after all" == bridge.resolution()
