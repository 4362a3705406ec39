"""Whose words TruthVouch gets with a resolve: those of the person who resolved, in full; nobody's where nobody did."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.incident import NoteFacts
from app.domain.names import Side, Status, Via
from app.domain.outcome import Refused, Retry
from app.domain.words import AlertVerb, IncidentVerb
from tests.services.rigs import TimedRig

PERSON = "Dana Example"
LONG = "false positive: " + "the answer quotes the source word for word, only in another order. " * 40
PART = LONG[:983]


class Bridge(TimedRig):
    """TruthVouch lets an alert be opened again."""

    def paged(self) -> "Bridge":
        self.clock.move(0.25)
        self.alert(AlertVerb.CREATED)
        self.wait(10)
        return self

    def hears(self, verb: IncidentVerb, **told: Any) -> None:
        self.clock.move(3)
        self.incident(verb, "Q1", **told)

    def notes(self, text: str, note_id: str = "N1") -> None:
        """A person's note; PagerDuty's event brings a thousand characters of it."""
        self.pagerduty.notes_on.setdefault("Q1", []).append(NoteFacts(note_id, text))
        part = {"note": text[:983], "trimmed": True} if len(text) > 983 else {"note": text}
        self.hears(IncidentVerb.ANNOTATED, author=PERSON, note_id=note_id, **part)

    def reopens(self) -> None:
        self.truthvouch.status["a1"] = Status.OPEN
        self.hears(IncidentVerb.REOPENED, author=PERSON)
        self.clock.move(3)
        self.alert(AlertVerb.REOPENED)
        self.wait(30)
        self.truthvouch.calls.clear()

    def resolution(self) -> str | None:
        """What TruthVouch was told with the last resolve."""
        self.wait(30)
        assert Status.RESOLVED is self.truthvouch.status["a1"]
        told = [text for _, status, text in self.truthvouch.calls if status is Status.RESOLVED]
        assert 1 == len(told)
        return told[0]


@pytest.fixture(params=list(Via))
def bridge(request: pytest.FixtureRequest, tmp_path: Path) -> Bridge:
    return Bridge(tmp_path, request.param).paged()


# ------------------------------------------------------------------------------------------------- nobody's


def test_an_automatic_resolve_does_not_speak_with_the_words_of_the_life_before(bridge: Bridge) -> None:
    bridge.notes("false positive: paraphrase")
    bridge.hears(IncidentVerb.RESOLVED, author=PERSON)
    assert "false positive: paraphrase" == bridge.resolution()
    bridge.reopens()
    bridge.hears(IncidentVerb.RESOLVED)
    told = bridge.resolution() or ""
    assert "no verdict" in told
    assert "paraphrase" not in told


def test_nor_with_a_note_of_somebody_who_only_looked(bridge: Bridge) -> None:
    bridge.notes("looking into it")
    bridge.hears(IncidentVerb.RESOLVED)
    told = bridge.resolution() or ""
    assert "automatically" in told
    assert "no verdict" in told
    assert "looking" not in told


def test_a_resolve_that_a_read_found_says_that_nobody_told_who_did_it(bridge: Bridge) -> None:
    bridge.notes("looking into it")
    bridge.wait(60)
    bridge.pagerduty.put("Q1", Status.RESOLVED)
    bridge.wait(60)
    bridge.reconcile()
    told = bridge.resolution() or ""
    assert "who did it was not told" in told
    assert "no verdict" in told
    assert "looking" not in told


def test_a_person_who_says_nothing_is_named(bridge: Bridge) -> None:
    bridge.notes("false positive: paraphrase")
    bridge.hears(IncidentVerb.RESOLVED, author=PERSON)
    bridge.resolution()
    bridge.reopens()
    bridge.hears(IncidentVerb.RESOLVED, author=PERSON)
    assert f"Resolved in PagerDuty by {PERSON}." == bridge.resolution()


# ------------------------------------------------------------------------------------------------- in full


@pytest.mark.parametrize("typed_first", [True, False])
def test_a_note_that_was_cut_short_arrives_in_full(bridge: Bridge, typed_first: bool) -> None:
    """PagerDuty tells a resolve and its note as two events, either first."""
    assert len(LONG) > 2_500
    if typed_first:
        bridge.notes(LONG)
        bridge.incident(IncidentVerb.RESOLVED, "Q1", author=PERSON)
    else:
        bridge.hears(IncidentVerb.RESOLVED, author=PERSON)
        bridge.pagerduty.notes_on["Q1"] = [NoteFacts("N1", LONG)]
        bridge.incident(IncidentVerb.ANNOTATED, "Q1", note=PART, trimmed=True, note_id="N1", author=PERSON)
    assert LONG == bridge.resolution()


def test_the_read_of_a_note_is_tried_again_and_holds_no_resolve_back_for_long(bridge: Bridge) -> None:
    bridge.pagerduty.notes = lambda incident_id: Retry("http_503")  # type: ignore[method-assign]
    bridge.notes(LONG)
    bridge.incident(IncidentVerb.RESOLVED, "Q1", author=PERSON)
    assert (bridge.resolution() or "").startswith(PART[:900])


@pytest.mark.parametrize("answer", ["gone", "refused"])
def test_a_note_that_cannot_be_read_is_told_as_far_as_it_is_known(bridge: Bridge, answer: str) -> None:
    if answer == "refused":
        bridge.pagerduty.notes = lambda incident_id: Refused("bad_request", 400)  # type: ignore[method-assign]
    bridge.notes(LONG)
    bridge.pagerduty.notes_on.clear()
    bridge.wait(10)
    bridge.hears(IncidentVerb.RESOLVED, author=PERSON)
    assert (bridge.resolution() or "").startswith(PART)
    assert "" == bridge.link().lane(Side.PAGERDUTY).dead


def test_a_newer_note_takes_the_place_of_one_that_is_still_to_be_read(bridge: Bridge) -> None:
    bridge.notes(LONG, "N1")
    bridge.notes("no, it was right after all", "N2")
    bridge.wait(10)
    bridge.hears(IncidentVerb.RESOLVED, author=PERSON)
    assert "no, it was right after all" == bridge.resolution()
