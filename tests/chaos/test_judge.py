"""The judge can say no: made-up records of everything a run must not have, and of what is no fault."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.evidence import ACKNOWLEDGED, OPEN, RESOLVED, Act, AlertSeen, Evidence, IncidentSeen, Look, Write
from tests.chaos.judge import Judge
from tests.system.signing import key_of

ALERT = AlertSeen("a-1", "critical", OPEN, raised_at=100.0)
INCIDENT = IncidentSeen("Q1", key_of("a-1"), OPEN)
NOTE = "[TruthVouch] resolved by somebody: fixed. (ref 0badcafe)"


def seen(alert: str = OPEN, incident: str = OPEN, *acts: tuple[float, str, str], **more: object) -> Evidence:
    """One alert with one incident, and what people did: (when, where, what)."""
    return Evidence(
        alerts=[replace(ALERT, status=alert)],
        incidents=[replace(INCIDENT, status=incident)],
        acts=[Act(at, "a-1", side, verb) for at, side, verb in acts],
        **more,  # type: ignore[arg-type]
    )


def told_pagerduty(at: float, says: str, status: int = 200) -> Write:
    return Write(at, "pagerduty", "Q1", says, status, took=status < 300)


def told_truthvouch(at: float, says: str, status: int = 200) -> Write:
    return Write(at, "truthvouch", "a-1", says, status, took=status < 300)


def created(at: float) -> Write:
    return Write(at, "pagerduty", key_of("a-1"), OPEN, 201, took=True, creates=True)


def kinds(evidence: Evidence) -> dict[str, int]:
    return dict(Judge(evidence).verdict().counts)


RESOLVE = (110.0, "truthvouch", "resolve")
ACKNOWLEDGE = (105.0, "pagerduty", "acknowledge")


def test_nothing_is_found_where_nothing_is_wrong():
    writes = [created(101), told_truthvouch(106, ACKNOWLEDGED), told_pagerduty(111, RESOLVED)]
    evidence = seen(RESOLVED, RESOLVED, ACKNOWLEDGE, RESOLVE, writes=writes)
    verdict = Judge(evidence).verdict()
    assert ([], 0) == (verdict.findings, verdict.repeated)


def test_a_page_that_never_came_is_lost():
    assert {"lost": 1} == kinds(replace(seen(), incidents=[]))


@pytest.mark.parametrize("verb", ["resolve", "dismiss"])
def test_nobody_needs_a_page_for_what_was_over_before(verb: str):
    assert {} == kinds(replace(seen(RESOLVED, OPEN, (100.5, "truthvouch", verb)), incidents=[]))


def test_an_alert_that_was_closed_and_opened_again_is_owed_its_page():
    acts = [(100.5, "truthvouch", "resolve"), (101.5, "truthvouch", "reopen")]
    assert {"lost": 1} == kinds(replace(seen(OPEN, OPEN, *acts), incidents=[]))


@pytest.mark.parametrize(("alert", "incident"), [(OPEN, RESOLVED), (RESOLVED, ACKNOWLEDGED), (ACKNOWLEDGED, OPEN)])
def test_sides_that_disagree_are_a_loss(alert: str, incident: str):
    assert {"lost": 1} == kinds(seen(alert, incident, ACKNOWLEDGE))


def test_a_disagreement_that_truthvouch_insists_on_is_no_loss():
    evidence = seen(RESOLVED, OPEN, RESOLVE, writes=[told_truthvouch(112, OPEN, 409)])
    assert {"refused": 1} == kinds(evidence)
    assert {"lost": 1} == kinds(replace(evidence, writes=[told_truthvouch(112, OPEN, 503)]))


def test_agreeing_on_what_people_did_not_say_last_is_told():
    assert {"overruled": 1} == kinds(seen(OPEN, OPEN, ACKNOWLEDGE))


def test_a_second_incident_is_a_doubled_page():
    assert {"doubled": 1} == kinds(replace(seen(), incidents=[INCIDENT, replace(INCIDENT, incident_id="Q2")]))


def by_event(at: float) -> Write:
    return Write(at, "pagerduty", key_of("a-1"), OPEN, None, took=True, creates=True, by_event=True)


def twice(*looks: float, first: str = RESOLVED, pages: Sequence[Write] = (by_event(101), by_event(105))) -> Evidence:
    """A second incident; searches for the first one failed at these times."""
    incidents = [replace(INCIDENT, status=first), replace(INCIDENT, incident_id="Q2")]
    failed = [Look(at, key_of("a-1")) for at in looks]
    return replace(seen(writes=list(pages)), incidents=incidents, failed_looks=failed)


def test_a_page_by_event_waits_for_no_look_and_may_come_again():
    assert {"paged_again": 1} == kinds(twice(103))
    assert {"paged_again": 1} == kinds(twice(103, 107, pages=[by_event(101), by_event(105), by_event(109)]))


@pytest.mark.parametrize(
    "evidence",
    [
        twice(),
        twice(100, 106),
        twice(103, first=OPEN),
        twice(103, pages=[by_event(101), by_event(105), by_event(109)]),
        twice(103, pages=[created(101), created(105)]),
        replace(twice(103), failed_looks=[Look(103, "another")]),
    ],
    ids=["no look", "at another time", "both open", "not before each", "by rest", "for another"],
)
def test_a_second_page_without_that_excuse_is_a_doubled_page(evidence: Evidence):
    assert {"doubled": 1} == kinds(evidence)


def test_an_incident_of_no_alert_is_a_page_too_many():
    assert {"doubled": 1} == kinds(replace(seen(), incidents=[INCIDENT, IncidentSeen("Q2", "truthvouch-else", OPEN)]))


def test_an_incident_nobody_deserves_is_found():
    assert {"undeserved": 1} == kinds(replace(seen(), alerts=[replace(ALERT, severity="low")]))


def test_an_older_state_after_a_newer_one_is_an_inversion():
    writes = [created(101), told_pagerduty(111, RESOLVED), told_pagerduty(112, ACKNOWLEDGED)]
    assert {"inverted": 1} == kinds(seen(RESOLVED, RESOLVED, ACKNOWLEDGE, RESOLVE, writes=writes))
    reopened = [ACKNOWLEDGE, RESOLVE, (111.5, "truthvouch", "reopen"), (111.7, "truthvouch", "acknowledge")]
    assert {} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *reopened, writes=writes))


def test_an_older_state_counts_even_if_the_partner_did_not_take_it():
    writes = [told_truthvouch(111, RESOLVED), told_truthvouch(112, ACKNOWLEDGED, 409)]
    assert {"inverted": 1} == kinds(seen(RESOLVED, RESOLVED, ACKNOWLEDGE, RESOLVE, writes=writes))


def test_the_two_sides_are_two_orders():
    writes = [told_pagerduty(111, RESOLVED), told_truthvouch(112, ACKNOWLEDGED), told_truthvouch(113, RESOLVED)]
    assert {} == kinds(seen(RESOLVED, RESOLVED, ACKNOWLEDGE, RESOLVE, writes=writes))


def test_repeated_effects_are_counted_and_retries_are_not():
    refused = replace(created(101), took=False, status=503)
    again = [told_pagerduty(111, RESOLVED), told_pagerduty(112, RESOLVED)]
    verdict = Judge(seen(RESOLVED, RESOLVED, RESOLVE, writes=[refused, created(102), *again])).verdict()
    assert (1, []) == (verdict.repeated, verdict.findings)


def test_a_note_written_twice_is_found_and_two_notes_are_not():
    evidence = seen(RESOLVED, RESOLVED, RESOLVE)
    other = NOTE.replace("cafe", "beef")
    assert {} == kinds(replace(evidence, incidents=[replace(INCIDENT, status=RESOLVED, notes=(NOTE, other, "x", "x"))]))
    twice = replace(INCIDENT, status=RESOLVED, notes=(NOTE, "x", NOTE))
    assert {"notes_doubled": 1} == kinds(replace(evidence, incidents=[twice]))


def merged(moved: str, survivor: str, incident: str) -> Evidence:
    """Two alerts whose incidents became one."""
    other = AlertSeen("a-2", "critical", survivor, 100.0)
    into = IncidentSeen("Q2", key_of("a-2"), incident)
    away = replace(INCIDENT, status=RESOLVED, merged_into="Q2")
    return Evidence(alerts=[replace(ALERT, status=moved), other], incidents=[away, into])


def test_merged_incidents_are_resolved_with_the_last_and_acknowledged_with_the_first():
    assert {} == kinds(merged(RESOLVED, OPEN, OPEN))
    assert {} == kinds(merged(ACKNOWLEDGED, OPEN, ACKNOWLEDGED))
    assert {} == kinds(merged(RESOLVED, RESOLVED, RESOLVED))
    assert {"lost": 1} == kinds(merged(RESOLVED, RESOLVED, OPEN))
    assert {"lost": 1} == kinds(merged(OPEN, RESOLVED, RESOLVED))


def test_a_log_that_is_not_fit_to_keep_fails_the_run():
    verdict = Judge(seen(log_faults=["a secret"])).verdict()
    assert ["log"] == [finding.kind for finding in verdict.failures]
