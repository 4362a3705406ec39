"""When something is tried again: never in a spin, never parked, the more urgent never behind the less."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.types import Status
from app.domain.sync.effects import (
    AddNote,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    ReadNote,
    SetAlert,
    SetIncident,
)
from app.domain.sync.retry import MAX_ASKED_DELAY, MIN_DELAY, RANKS, named, next_try, overtakes, turned_away, waiting

JITTERS = st.floats(0, 1)
STATUSES = [SetIncident(status) for status in Status]
EFFECTS: list[Effect] = [
    OpenIncident(False),
    LookForIncident(),
    *STATUSES,
    ReadIncident(),
    ReadAlert(),
    ReadNote("PNOTE"),
    AddNote("deadbeef", "x"),
    *[SetAlert(status, None) for status in Status],
]


@given(st.sampled_from(EFFECTS), st.integers(1, 10_000), st.floats() | st.none(), JITTERS)
def test_no_answer_can_make_us_spin_or_park_us(
    effect: Effect, attempt: int, asked: float | None, jitter: float
) -> None:
    assert MIN_DELAY <= next_try(effect, attempt, asked, jitter) <= MAX_ASKED_DELAY


@given(st.floats(0, 60), JITTERS)
def test_what_was_turned_away_comes_back_when_its_turn_comes_and_not_all_at_once(seconds: float, jitter: float) -> None:
    rounding = 1e-9
    assert seconds <= turned_away(seconds, jitter) <= max(MIN_DELAY, seconds * 1.2, seconds + 0.5) + rounding
    assert turned_away(seconds, 1.0) - seconds > 0.499


@pytest.mark.parametrize("seconds", [-5.0, 1e12, math.inf])
def test_a_turn_is_bounded_too(seconds: float) -> None:
    assert MIN_DELAY <= turned_away(seconds, 1.0) <= MAX_ASKED_DELAY * 1.2


def test_what_waits_for_a_probe_comes_back_within_its_interval() -> None:
    assert [2.0, 8.5, 15.0] == [waiting(2.0, 15.0, jitter) for jitter in (0.0, 0.5, 1.0)]


def test_every_effect_has_its_rank() -> None:
    assert set(RANKS) == {named(effect) for effect in EFFECTS}


@pytest.mark.parametrize(
    ("effect", "waits_for", "goes"),
    [
        (SetIncident(Status.OPEN), "AddNote", True),
        (SetIncident(Status.ACKNOWLEDGED), "AddNote", True),
        (SetIncident(Status.RESOLVED), "ReadIncident", True),
        (SetIncident(Status.OPEN), "SetIncident resolved", True),
        (AddNote("r", "x"), "SetIncident resolved", False),
        (SetIncident(Status.ACKNOWLEDGED), "SetIncident resolved", False),
        (SetIncident(Status.RESOLVED), "SetIncident resolved", False),
        (OpenIncident(True), "OpenIncident", False),
    ],
)
def test_a_status_never_waits_behind_a_note_that_fails(effect: Effect, waits_for: str, goes: bool) -> None:
    assert goes is overtakes(effect, waits_for)
