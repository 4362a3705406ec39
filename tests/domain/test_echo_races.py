"""Words that are faster than the answers of our own writes, and writes whose answer was lost: who said it?"""

from datetime import datetime, timedelta

from app.domain.delivery import record
from app.domain.effects import SetAlert, SetIncident, missing
from app.domain.incident import IncidentFacts
from app.domain.lifecycle import Step, advance
from app.domain.link import Lane, Link
from app.domain.names import IncidentId, Side, Status
from app.domain.outcome import Done, Retry
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord
from tests.domain.test_echo import ALERT, OPEN, at

T, P = Side.TRUTHVOUCH, Side.PAGERDUTY
LOST = Retry("connection_broken", unclear=True)


def under_way(link: Link, side: Side) -> Link:
    """A delivery to that side is outstanding."""
    return link.with_lane(side, Lane(outstanding=True, seq=1))


def tv(link: Link, verb: AlertVerb, seconds: float) -> Step:
    return advance(link, AlertWord(verb, ALERT, f"alert.{verb}", at(seconds)), at(seconds))


def pd(link: Link, verb: IncidentVerb, seconds: float) -> Step:
    return advance(link, IncidentWord(verb, IncidentId("Q1"), f"incident.{verb}", at(seconds)), at(seconds))


def put(link: Link, status: Status, seconds: float, began: float | None = None) -> Link:
    """After PagerDuty did what we asked; it tells whole seconds."""
    told = at(seconds).replace(microsecond=0)
    facts = IncidentFacts(IncidentId("Q1"), status, 1, status_changed_at=told)
    return record(link, P, SetIncident(status), Done(facts), at(seconds), 0.5, _began(seconds, began)).link


def patch(link: Link, status: Status, seconds: float, began: float | None = None, lost: bool = False) -> Link:
    """After TruthVouch did, or may have done, what we asked."""
    reply = LOST if lost else Done(None)
    return record(link, T, SetAlert(status, None), reply, at(seconds), 0.5, _began(seconds, began)).link


def _began(seconds: float, began: float | None) -> datetime:
    return at(seconds) - timedelta(seconds=0.1) if began is None else at(began)


def test_a_persons_resolve_after_a_fast_echo_is_heard() -> None:
    """Resolved and reopened there, then resolved in PagerDuty: the echo of the first resolve came before its answer."""
    link = under_way(tv(OPEN, AlertVerb.RESOLVED, 1).link, P)
    link = put(pd(link, IncidentVerb.RESOLVED, 1.2).link, Status.RESOLVED, 1.3)
    link = under_way(tv(link, AlertVerb.REOPENED, 3).link, P)
    link = pd(put(link, Status.OPEN, 3.2), IncidentVerb.REOPENED, 3.1).link
    step = pd(link, IncidentVerb.RESOLVED, 3.9)
    assert ("moved", Status.RESOLVED) == (step.outcome, step.link.status)


def test_a_fast_echo_does_not_beat_what_a_person_said_before_it() -> None:
    """Resolved and at once reopened, while the resolve is carried: its echo is the newest word, and nobody's."""
    link = under_way(tv(OPEN, AlertVerb.RESOLVED, 1).link, P)
    link = tv(link, AlertVerb.REOPENED, 1.02).link
    link = pd(link, IncidentVerb.RESOLVED, 1.03).link
    link = put(link, Status.RESOLVED, 1.04)
    assert Status.OPEN is link.status
    assert SetIncident(Status.OPEN) == missing(link, P)
    assert [] == [moment for moment in link.history if moment.side is P]


def test_at_truthvouch_too() -> None:
    link = under_way(pd(OPEN, IncidentVerb.RESOLVED, 1).link, T)
    link = pd(link, IncidentVerb.REOPENED, 2).link
    link = patch(tv(link, AlertVerb.RESOLVED, 2.5).link, Status.RESOLVED, 2.6)
    assert Status.OPEN is link.status
    assert isinstance(missing(link, T), SetAlert)


def test_a_word_from_before_the_call_is_somebodys() -> None:
    """While the delivery waited for another try, a person did it by hand: their word counts, and is no echo."""
    link = under_way(pd(OPEN, IncidentVerb.RESOLVED, 1).link, T)
    link = tv(link, AlertVerb.RESOLVED, 5).link
    link = patch(link, Status.RESOLVED, 9, began=8)
    assert at(5) == link.clock.resolved_at


def test_a_persons_other_word_during_the_call_stands() -> None:
    link = under_way(tv(OPEN, AlertVerb.ACKNOWLEDGED, 1).link, P)
    link = pd(link, IncidentVerb.RESOLVED, 1.5).link
    link = put(link, Status.ACKNOWLEDGED, 1.6)
    assert (Status.RESOLVED, at(1.5)) == (link.status, link.clock.resolved_at)


def test_the_echo_of_a_write_whose_answer_was_lost_shows_that_it_was_made() -> None:
    link = under_way(pd(OPEN, IncidentVerb.RESOLVED, 1).link, T)
    link = patch(link, Status.RESOLVED, 2, lost=True)
    step = tv(link, AlertVerb.RESOLVED, 1.99)
    assert "own_echo" == step.outcome
    link = pd(step.link, IncidentVerb.REOPENED, 5).link
    assert SetAlert(Status.OPEN, None) == missing(link, T)


def test_so_does_an_echo_that_came_before_the_answer_was_lost() -> None:
    link = under_way(pd(OPEN, IncidentVerb.RESOLVED, 1).link, T)
    link = patch(tv(link, AlertVerb.RESOLVED, 1.9).link, Status.RESOLVED, 2, lost=True)
    assert at(1) == link.clock.resolved_at
    link = pd(link, IncidentVerb.REOPENED, 5).link
    assert SetAlert(Status.OPEN, None) == missing(link, T)


def test_what_looks_like_a_lost_writes_echo_moves_what_we_know_of_that_side() -> None:
    """It may be a person's word; then both sides still have to agree in the end."""
    link = under_way(pd(OPEN, IncidentVerb.RESOLVED, 1).link, T)
    link = pd(patch(link, Status.RESOLVED, 2, lost=True), IncidentVerb.REOPENED, 3).link
    link = tv(link, AlertVerb.RESOLVED, 6).link
    assert Status.OPEN is link.status
    assert SetAlert(Status.OPEN, None) == missing(link, T)


def test_an_acknowledge_that_reopened_what_a_person_resolved_is_known_and_undone() -> None:
    """Answer first, then what the person did before it, then what it did itself."""
    link = under_way(tv(OPEN, AlertVerb.ACKNOWLEDGED, 1).link, P)
    link = put(link, Status.ACKNOWLEDGED, 1.89)
    link = pd(link, IncidentVerb.RESOLVED, 1.85).link
    for verb in (IncidentVerb.REOPENED, IncidentVerb.ACKNOWLEDGED):
        step = pd(link, verb, 1.88)
        assert "own_echo" == step.outcome
        link = step.link
    assert Status.RESOLVED is link.status
    assert SetIncident(Status.RESOLVED) == missing(link, P)


def test_the_same_when_all_of_it_is_faster_than_the_answer() -> None:
    link = under_way(tv(OPEN, AlertVerb.ACKNOWLEDGED, 1).link, P)
    link = pd(link, IncidentVerb.RESOLVED, 1.85).link
    for verb in (IncidentVerb.REOPENED, IncidentVerb.ACKNOWLEDGED):
        link = pd(link, verb, 1.88).link
    link = put(link, Status.ACKNOWLEDGED, 1.89)
    assert Status.RESOLVED is link.status
    assert SetIncident(Status.RESOLVED) == missing(link, P)


def test_tries_of_one_write_have_one_echo() -> None:
    """Lost once and made the second time; what a person says after its echo is theirs."""
    link = under_way(pd(OPEN, IncidentVerb.RESOLVED, 1).link, T)
    link = patch(patch(link, Status.RESOLVED, 2, lost=True), Status.RESOLVED, 3)
    link = under_way(pd(tv(link, AlertVerb.RESOLVED, 2.99).link, IncidentVerb.REOPENED, 3.5).link, T)
    link = tv(patch(link, Status.OPEN, 4), AlertVerb.REOPENED, 3.99).link
    assert ("moved", Status.RESOLVED) == (tv(link, AlertVerb.RESOLVED, 5).outcome, Status.RESOLVED)


def test_what_a_lost_acknowledge_reopened_is_its_echo_too_in_either_order() -> None:
    """Its answer was lost; a person had resolved the incident the moment before."""
    lost = under_way(tv(OPEN, AlertVerb.ACKNOWLEDGED, 1).link, P)
    lost = record(lost, P, SetIncident(Status.ACKNOWLEDGED), LOST, at(2), 0.5, at(1.5)).link
    lost = pd(lost, IncidentVerb.RESOLVED, 1.7).link
    for verbs in (
        (IncidentVerb.REOPENED, IncidentVerb.ACKNOWLEDGED),
        (IncidentVerb.ACKNOWLEDGED, IncidentVerb.REOPENED),
    ):
        link = lost
        for verb in verbs:
            link = pd(link, verb, 1.9).link
        assert Status.RESOLVED is link.status, verbs
        assert SetIncident(Status.RESOLVED) == missing(link, P), verbs


def test_a_look_from_before_our_write_is_no_news_though_its_answer_tells_whole_seconds() -> None:
    link = put(tv(OPEN, AlertVerb.ACKNOWLEDGED, 1).link, Status.ACKNOWLEDGED, 5.4)
    look = IncidentWord(
        IncidentVerb.READ, IncidentId("Q1"), "incident.read", at(5.2), status=Status.OPEN, read_at=at(5.2)
    )
    assert Status.ACKNOWLEDGED is advance(link, look, at(5.6)).link.status
