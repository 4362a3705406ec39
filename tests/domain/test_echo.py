"""Our own writes coming back: late, twice, in halves, and beside what people say."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from app.domain.alert import Alert
from app.domain.delivery import record
from app.domain.echo import EXACT_TOLERANCE, REMEMBERED, TOLERANCE, wrote
from app.domain.effects import SetAlert, SetIncident, missing
from app.domain.incident import IncidentFacts
from app.domain.lifecycle import Step, advance
from app.domain.link import Clock, Known, Link
from app.domain.names import AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.outcome import Done, Reply, Retry
from app.domain.rulebook import Decision
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord
from tests.fakes import START

ALERT = Alert(AlertId("a1"), severity="critical")
PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
OPEN = Link(
    ALERT, incident_key(AlertId("a1")), START, decision=PAGE, incident_id=IncidentId("Q1"), open_tried=True,
    alert_side=Known(Status.OPEN, START), incident_side=Known(Status.OPEN, START),
)  # fmt: skip
T, P = Side.TRUTHVOUCH, Side.PAGERDUTY


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def alert_says(link: Link, verb: AlertVerb, seconds: float) -> Step:
    return advance(link, AlertWord(verb, ALERT, f"alert.{verb}", at(seconds)), at(seconds))


def incident_says(link: Link, verb: IncidentVerb, seconds: float) -> Step:
    return advance(link, IncidentWord(verb, IncidentId("Q1"), f"incident.{verb}", at(seconds)), at(600))


def put(link: Link, status: Status, seconds: float) -> Link:
    """After PagerDuty's REST API did what we asked."""
    facts = IncidentFacts(IncidentId("Q1"), status, 1, status_changed_at=at(seconds))
    return record(link, P, SetIncident(status), Done(facts), at(seconds), 0.5).link


def reopened_and_over_again() -> Link:
    """Resolved, reopened and resolved again at TruthVouch, each carried before any webhook came back."""
    link = put(alert_says(OPEN, AlertVerb.RESOLVED, 1).link, Status.RESOLVED, 2)
    link = put(alert_says(link, AlertVerb.REOPENED, 5).link, Status.OPEN, 12)
    return put(alert_says(link, AlertVerb.RESOLVED, 6).link, Status.RESOLVED, 13)


def test_a_late_reopened_of_our_own_pages_nobody_for_a_matter_that_is_over() -> None:
    step = incident_says(reopened_and_over_again(), IncidentVerb.REOPENED, 12)
    assert ("own_echo", Status.RESOLVED) == (step.outcome, step.link.status)
    assert [None, None] == [missing(step.link, side) for side in Side]


def test_whoever_reopens_it_after_that_is_heard() -> None:
    link = incident_says(reopened_and_over_again(), IncidentVerb.REOPENED, 12).link
    assert ("moved", Status.OPEN) == (incident_says(link, IncidentVerb.REOPENED, 14).outcome, Status.OPEN)


def test_a_write_has_one_echo_however_often_it_is_delivered() -> None:
    link = put(alert_says(OPEN, AlertVerb.ACKNOWLEDGED, 1).link, Status.ACKNOWLEDGED, 2)
    for _ in range(3):
        step = incident_says(link, IncidentVerb.ACKNOWLEDGED, 2)
        assert "own_echo" == step.outcome
        link = step.link
    link = incident_says(link, IncidentVerb.UNACKNOWLEDGED, 3).link
    again = incident_says(link, IncidentVerb.ACKNOWLEDGED, 4)
    assert ("moved", Status.ACKNOWLEDGED) == (again.outcome, again.link.status)


def test_a_persons_reopen_before_our_acknowledge_stands() -> None:
    link = incident_says(OPEN, IncidentVerb.RESOLVED, 2).link
    link = incident_says(link, IncidentVerb.REOPENED, 10).link
    link = put(alert_says(link, AlertVerb.ACKNOWLEDGED, 14).link, Status.ACKNOWLEDGED, 15)
    assert Status.ACKNOWLEDGED is link.status


def test_acknowledging_what_is_resolved_comes_back_as_two_words_and_neither_is_news() -> None:
    closed = put(alert_says(OPEN, AlertVerb.RESOLVED, 1).link, Status.RESOLVED, 2)
    link = alert_says(alert_says(closed, AlertVerb.REOPENED, 5).link, AlertVerb.ACKNOWLEDGED, 6).link
    link = put(link, Status.ACKNOWLEDGED, 12)
    for verbs in (
        [IncidentVerb.REOPENED, IncidentVerb.ACKNOWLEDGED],
        [IncidentVerb.ACKNOWLEDGED, IncidentVerb.REOPENED],
    ):
        heard = link
        for verb in verbs:
            step = incident_says(heard, verb, 12)
            assert ("own_echo", Status.ACKNOWLEDGED) == (step.outcome, step.link.status)
            heard = step.link


@pytest.mark.parametrize(("exact", "tolerance"), [(True, EXACT_TOLERANCE), (False, TOLERANCE)])
def test_how_far_an_echo_may_be_from_its_write(exact: bool, tolerance: timedelta) -> None:
    link = wrote(alert_says(OPEN, AlertVerb.ACKNOWLEDGED, 1).link, P, Status.ACKNOWLEDGED, at(100), exact=exact)
    for apart, outcome in ((tolerance, "own_echo"), (tolerance * 1.01, "already_so")):
        for sign in (1, -1):
            word = IncidentWord(
                IncidentVerb.ACKNOWLEDGED, IncidentId("Q1"), "incident.acknowledged", at(100) + sign * apart
            )
            assert outcome == advance(link, word, at(600)).outcome


@pytest.mark.parametrize("reply", [Retry("connection_reset", unclear=True), Retry("connection_refused")])
def test_a_write_whose_answer_was_lost_may_have_an_echo(reply: Reply[IncidentFacts | None]) -> None:
    """TruthVouch was told to acknowledge; it did, or it did not, and nobody told us which."""
    link = incident_says(OPEN, IncidentVerb.ACKNOWLEDGED, 1).link
    link = record(link, T, SetAlert(Status.ACKNOWLEDGED, None), reply, at(2), 0.5).link
    link = incident_says(link, IncidentVerb.UNACKNOWLEDGED, 1.5).link
    step = alert_says(link, AlertVerb.ACKNOWLEDGED, 2)
    unclear = isinstance(reply, Retry) and reply.unclear
    assert ("own_echo" if unclear else "moved") == step.outcome


def test_only_the_newest_writes_are_remembered() -> None:
    link = OPEN
    for n in range(3 * REMEMBERED):
        link = wrote(link, P, [Status.ACKNOWLEDGED, Status.OPEN][n % 2], at(n))
    assert REMEMBERED == len(link.writes)
    assert at(3 * REMEMBERED - 1) == link.writes[-1].at


def test_an_echo_of_the_newest_write_says_that_it_was_kept() -> None:
    link = wrote(replace(OPEN, clock=Clock(acknowledged_at=at(1))), T, Status.ACKNOWLEDGED, at(2))
    assert not link.alert_side.kept
    assert alert_says(link, AlertVerb.ACKNOWLEDGED, 3).link.alert_side.kept


def test_who_speaks_after_somebody_there_has_spoken_is_no_echo() -> None:
    """An event that may have closed nothing; then somebody reopens and resolves there, all within half a minute."""
    link = wrote(alert_says(OPEN, AlertVerb.RESOLVED, 1).link, P, Status.RESOLVED, at(2))
    link = incident_says(link, IncidentVerb.REOPENED, 5).link
    step = incident_says(link, IncidentVerb.RESOLVED, 8)
    assert ("moved", Status.RESOLVED) == (step.outcome, step.link.status)


def test_an_echo_later_than_what_somebody_said_is_one_all_the_same_if_that_came_before_our_write() -> None:
    link = alert_says(OPEN, AlertVerb.RESOLVED, 1).link
    link = put(link, Status.RESOLVED, 12)  # told in whole seconds: 12.6 in truth
    link = incident_says(link, IncidentVerb.UNACKNOWLEDGED, 12.3).link
    assert "own_echo" == incident_says(link, IncidentVerb.RESOLVED, 12.6).outcome
