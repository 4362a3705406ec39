"""Laws of the state machine, for every order and repetition of words."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.alert import Alert
from app.domain.echo import wrote
from app.domain.effects import SetAlert, SetIncident, missing
from app.domain.lifecycle import ALERT_MOVES, INCIDENT_MOVES, advance, said_at
from app.domain.link import Clock, Known, Link
from app.domain.names import AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.rulebook import Decision
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word
from tests.fakes import START

PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
ALERT = Alert(AlertId("a1"), severity="critical")
FRESH = Link(ALERT, incident_key(AlertId("a1")), START)
OPEN = replace(
    FRESH, decision=PAGE, alert_side=Known(Status.OPEN, START), incident_side=Known(Status.OPEN, START),
    incident_id=IncidentId("Q1"), open_tried=True,
)  # fmt: skip

times = st.integers(1, 40).map(lambda seconds: START + timedelta(seconds=seconds))
alert_words: st.SearchStrategy[Word] = st.builds(
    lambda verb, at: AlertWord(verb, ALERT, f"alert.{verb}", at), st.sampled_from(list(AlertVerb)), times
)
incident_words: st.SearchStrategy[Word] = st.builds(
    lambda verb, at: IncidentWord(verb, IncidentId("Q1"), f"incident.{verb}", at),
    st.sampled_from([verb for verb in IncidentVerb if verb is not IncidentVerb.MERGED]),
    times,
)
words = alert_words | incident_words
read_at = st.integers(1, 90).map(lambda seconds: START + timedelta(seconds=seconds))
looks: st.SearchStrategy[Word] = st.builds(
    lambda status, at: AlertWord(AlertVerb.READ, ALERT, "alert.read", status=status, read_at=at),
    st.sampled_from(list(Status)),
    read_at,
) | st.builds(
    lambda status, changed, at: IncidentWord(
        IncidentVerb.READ, IncidentId("Q1"), "incident.read", changed, status=status, read_at=max(changed, at)
    ),
    st.sampled_from(list(Status)),
    times,
    read_at,
)
"""What reconciliation sees. What a look *means* depends on what was known when it is heard, so the law of the order of
arrival is not theirs; what somebody did is heard either way."""
anything = words | looks
wrote_something = st.builds(
    lambda side, status, at: lambda link: wrote(link, side, status, at),
    st.sampled_from(list(Side)),
    st.sampled_from(list(Status)),
    times,
)
LATER = START + timedelta(minutes=2)


def heard(link: Link, said: list[Word]) -> Link:
    for word in said:
        link = advance(link, word, LATER, PAGE).link
    return link


def test_every_verb_has_its_row() -> None:
    assert set(AlertVerb) == set(ALERT_MOVES)
    assert set(IncidentVerb) == set(INCIDENT_MOVES)


def test_every_status_answers_every_word() -> None:
    clocks = [Clock(), Clock(acknowledged_at=START), Clock(resolved_at=START)]
    assert [Status.OPEN, Status.ACKNOWLEDGED, Status.RESOLVED] == [clock.status for clock in clocks]
    for clock, verb in product(clocks, AlertVerb):
        assert advance(replace(OPEN, clock=clock), AlertWord(verb, ALERT, "x"), LATER, PAGE).outcome
    for clock, incident_verb in product(clocks, IncidentVerb):
        word = IncidentWord(incident_verb, IncidentId("Q1"), "x", merged_into=IncidentId("Q2"))
        assert advance(replace(OPEN, clock=clock), word, LATER).outcome


@given(st.lists(words, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(said: list[Word], random: object) -> None:
    shuffled = list(said)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert heard(OPEN, said).clock == heard(OPEN, shuffled).clock
    assert heard(OPEN, said).status is heard(OPEN, shuffled).status


@given(st.lists(words, max_size=6), words)
def test_hearing_a_word_twice_equals_hearing_it_once(before: list[Word], word: Word) -> None:
    once = heard(OPEN, [*before, word])
    twice = heard(once, [word])
    assert once == twice


@given(st.lists(anything, max_size=6), st.lists(wrote_something, max_size=3), anything)
def test_hearing_twice_equals_once_for_looks_and_echoes_too(before: list[Word], writes: list[Any], word: Word) -> None:
    link = heard(OPEN, before)
    for write in writes:
        link = write(link)
    once = heard(link, [word])
    assert once == heard(once, [word])


@given(st.lists(anything, max_size=10))
def test_a_frozen_link_is_only_ever_resolved(said: list[Word]) -> None:
    link = replace(OPEN, frozen_at=START)
    for word in said:
        link = heard(link, [word])
        for effect in (missing(link, side) for side in Side):
            assert not isinstance(effect, SetIncident | SetAlert) or effect.status is Status.RESOLVED
        assert START == link.frozen_at


@given(st.lists(anything, max_size=10), anything)
def test_nothing_said_leaves_a_side_unknown_or_a_clock_running_back(said: list[Word], word: Word) -> None:
    before = heard(OPEN, said)
    after = heard(before, [word])
    assert after.alert_side.status is not None
    assert after.incident_side.status is not None
    for register in ("acknowledged_at", "unacknowledged_at", "resolved_at", "reopened_at"):
        earlier, later = getattr(before.clock, register), getattr(after.clock, register)
        assert earlier is None or later >= earlier


@given(st.lists(words, max_size=6), words)
def test_no_effect_points_at_the_side_that_spoke_last(before: list[Word], word: Word) -> None:
    link = heard(OPEN, before)
    origin = Side.TRUTHVOUCH if isinstance(word, AlertWord) else Side.PAGERDUTY
    after = advance(link, word, LATER, PAGE)
    effect = missing(after.link, origin)
    says = ALERT_MOVES[word.verb].says if isinstance(word, AlertWord) else INCIDENT_MOVES[word.verb].says
    prevails = after.outcome == "moved" and after.link.status is says
    if prevails and isinstance(effect, SetAlert | SetIncident):
        known = after.link.alert_side if origin is Side.TRUTHVOUCH else after.link.incident_side
        newer_word_of_that_side = known.at is not None and known.at > said_at(word, LATER)
        assert newer_word_of_that_side


@given(st.lists(words, max_size=8))
def test_resolved_gives_way_only_to_a_strictly_newer_reopen(said: list[Word]) -> None:
    resolved_at = START + timedelta(seconds=20)
    link = heard(replace(OPEN, clock=Clock(resolved_at=resolved_at)), said)
    reopens = (AlertVerb.REOPENED, IncidentVerb.REOPENED)
    newer = [w for w in said if w.verb in reopens and w.at is not None and w.at > resolved_at]
    assert link.status is Status.RESOLVED or newer


@given(st.lists(words, max_size=8), words)
def test_an_older_word_never_undoes_a_newer_one(said: list[Word], old: Word) -> None:
    link = heard(OPEN, said)
    ancient = replace(old, at=START - timedelta(days=1))
    after = heard(link, [ancient])
    moved = (link.status, after.status)
    assert moved[0] is moved[1] or (old.verb in ("resolved", "acknowledged") and _further(*moved))


def _further(before: Status, after: Status) -> bool:
    order = [Status.OPEN, Status.ACKNOWLEDGED, Status.RESOLVED]
    return order.index(after) > order.index(before)


@given(st.lists(words, max_size=8))
def test_what_is_missing_once_done_is_missing_no_more(said: list[Word]) -> None:
    link = heard(OPEN, said)
    for side in Side:
        effect = missing(link, side)
        if isinstance(effect, SetIncident):
            done = replace(link, incident_side=Known(effect.status, LATER, ours=True))
            assert not isinstance(missing(done, side), SetIncident)
        if isinstance(effect, SetAlert):
            assert missing(replace(link, alert_side=Known(effect.status, LATER, ours=True)), side) is None


@given(st.text(max_size=400))
def test_the_incident_key_is_stable_never_empty_and_fits(alert_id: str) -> None:
    key = incident_key(AlertId(alert_id))
    assert key == incident_key(AlertId(alert_id))
    assert 75 == len(key)
