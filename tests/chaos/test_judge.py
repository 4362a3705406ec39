"""The judge can say no: made-up records of everything a run must not have, and of what is no fault."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.evidence import (
    ACKNOWLEDGED,
    OPEN,
    RESOLVED,
    Act,
    AlertSeen,
    Evidence,
    IncidentSeen,
    Look,
    Webhook,
    Write,
)
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
        acts=[Act(at, "a-1", side, action) for at, side, action in acts],
        **more,  # type: ignore[arg-type]
    )


def written_to_pagerduty(at: float, says: str, status: int = 200, lasts: float = 0.0) -> Write:
    return Write(at, "pagerduty", "Q1", says, status, took=status < 300, ended_at=at + lasts)


def written_to_truthvouch(at: float, says: str, status: int = 200, lasts: float = 0.0) -> Write:
    return Write(at, "truthvouch", "a-1", says, status, took=status < 300, ended_at=at + lasts)


def created(at: float) -> Write:
    return Write(at, "pagerduty", key_of("a-1"), OPEN, 201, took=True, creates=True)


def kinds(evidence: Evidence) -> dict[str, int]:
    return dict(Judge(evidence).verdict().counts)


RESOLVE = (110.0, "truthvouch", "resolve")
ACKNOWLEDGE = (105.0, "pagerduty", "acknowledge")


def test_nothing_is_found_where_nothing_is_wrong():
    writes = [created(101), written_to_truthvouch(106, ACKNOWLEDGED), written_to_pagerduty(111, RESOLVED)]
    evidence = seen(RESOLVED, RESOLVED, ACKNOWLEDGE, RESOLVE, writes=writes)
    verdict = Judge(evidence).verdict()
    assert ([], 0) == (verdict.findings, verdict.repeated)


def test_a_page_that_never_came_is_lost():
    assert {"lost": 1} == kinds(replace(seen(), incidents=[]))


@pytest.mark.parametrize("action", ["resolve", "dismiss"])
def test_nobody_needs_a_page_for_what_was_over_before(action: str):
    assert {} == kinds(replace(seen(RESOLVED, OPEN, (100.5, "truthvouch", action)), incidents=[]))


def test_an_alert_that_was_closed_and_opened_again_is_owed_its_page():
    acts = [(100.5, "truthvouch", "resolve"), (101.5, "truthvouch", "reopen")]
    assert {"lost": 1} == kinds(replace(seen(OPEN, OPEN, *acts), incidents=[]))


@pytest.mark.parametrize(("alert", "incident"), [(OPEN, RESOLVED), (RESOLVED, ACKNOWLEDGED), (ACKNOWLEDGED, OPEN)])
def test_sides_that_disagree_are_a_loss(alert: str, incident: str):
    assert {"lost": 1} == kinds(seen(alert, incident, ACKNOWLEDGE))


def test_a_disagreement_that_truthvouch_insists_on_is_no_loss():
    acts = [RESOLVE, (111.5, "pagerduty", "reopen")]
    evidence = seen(RESOLVED, OPEN, *acts, writes=[written_to_truthvouch(112, OPEN, 409)])
    assert {"refused": 1} == kinds(evidence)
    assert {"lost": 1} == kinds(replace(evidence, writes=[written_to_truthvouch(112, OPEN, 503)]))
    assert {"lost": 1} == kinds(seen(RESOLVED, OPEN, RESOLVE, writes=[written_to_truthvouch(112, OPEN, 409)]))


def test_agreeing_on_what_people_did_not_say_last_is_reported():
    assert {"overruled": 1} == kinds(seen(OPEN, OPEN, ACKNOWLEDGE))


# It was over on both sides. Then both opened it again, PagerDuty took it in hand, and neither knew of the other.
BOTH = [(101.0, "pagerduty", "resolve"), (105.0, "pagerduty", "reopen"), (105.2, "pagerduty", "acknowledge"),
        (105.4, "truthvouch", "reopen")]  # fmt: skip
CARRIED = written_to_truthvouch(102, RESOLVED)


def test_where_both_acted_before_either_was_carried_the_furthest_along_is_right():
    late = written_to_truthvouch(105.6, ACKNOWLEDGED)
    assert {"contested": 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *BOTH, writes=[CARRIED, late]))
    assert {} == kinds(seen(OPEN, OPEN, *BOTH, writes=[CARRIED]))


def test_a_write_that_was_not_done_when_the_other_side_acted_carried_nothing():
    under_way = written_to_truthvouch(105.3, ACKNOWLEDGED, lasts=0.5)
    assert {"contested": 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *BOTH, writes=[CARRIED, under_way]))
    not_done = written_to_truthvouch(105.3, ACKNOWLEDGED, 503)
    assert {"contested": 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *BOTH, writes=[CARRIED, not_done]))
    before = [
        written_to_truthvouch(105.1, ACKNOWLEDGED),
        written_to_pagerduty(105.3, ACKNOWLEDGED),
    ]  # an earlier one; elsewhere
    assert {"contested": 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *BOTH, writes=[CARRIED, *before]))


def test_what_an_event_does_comes_moments_after_its_answer():
    acts = [(101.0, "truthvouch", "resolve"), (105.0, "truthvouch", "reopen"), (105.2, "truthvouch", "acknowledge"),
            (105.4, "pagerduty", "reopen")]  # fmt: skip
    for at, kind in ((105.32, "contested"), (105.25, "overruled")):
        event = Write(at, "pagerduty", key_of("a-1"), ACKNOWLEDGED, 202, took=True, by_event=True, ended_at=at + 0.01)
        writes = [written_to_pagerduty(102, RESOLVED), event]
        assert {kind: 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *acts, writes=writes))


def test_what_was_taken_back_before_and_received_after_the_same_on_the_other_side_may_stay_so():
    acts = [(101.0, "pagerduty", "resolve"), (102.0, "pagerduty", "reopen"), (103.0, "truthvouch", "resolve")]
    assert {"crossed": 1} == kinds(seen(OPEN, OPEN, *acts))
    known = [written_to_truthvouch(101.5, RESOLVED), written_to_truthvouch(102.5, OPEN)]
    assert {"overruled": 1} == kinds(seen(OPEN, OPEN, *acts, writes=known))
    assert {"overruled": 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *acts))
    assert {"overruled": 1} == kinds(seen(OPEN, OPEN, acts[0], (102.0, "truthvouch", "acknowledge")))
    refused = [written_to_truthvouch(104, OPEN, 409)]
    assert {"crossed": 1} == kinds(seen(RESOLVED, OPEN, *acts, writes=refused))
    assert {"lost": 1} == kinds(seen(RESOLVED, ACKNOWLEDGED, *acts, writes=refused))
    assert {"lost": 1} == kinds(seen(RESOLVED, OPEN, *acts, writes=[*known, *refused]))
    assert {"lost": 1} == kinds(seen(RESOLVED, OPEN, *acts))


def test_where_the_last_person_knew_of_the_other_side_the_last_act_is_right():
    known = written_to_truthvouch(105.3, ACKNOWLEDGED, lasts=0.05)
    assert {"overruled": 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *BOTH, writes=[CARRIED, known]))


def test_not_the_furthest_along_is_never_right():
    resolved = [(101.0, "pagerduty", "acknowledge"), (101.1, "truthvouch", "resolve")]
    assert {"overruled": 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *resolved))
    assert {"overruled": 1} == kinds(seen(OPEN, OPEN, *resolved))


def lost(at: float, side: str, event: str, outcome: str = "dropped") -> Webhook:
    return Webhook(at, side, event, "a-1" if side == "truthvouch" else "Q1", outcome)


TWO_SIDES = [(101.0, "truthvouch", "acknowledge"), (105.0, "pagerduty", "resolve")]
BEFORE = [written_to_pagerduty(102, ACKNOWLEDGED)]


def test_what_was_done_last_may_be_overruled_if_its_webhook_was_lost():
    evidence = seen(ACKNOWLEDGED, ACKNOWLEDGED, *TWO_SIDES, writes=BEFORE)
    for webhook in (lost(101.05, "truthvouch", "alert.acknowledged"), lost(105.1, "pagerduty", "incident.resolved")):
        assert {"webhook_lost": 1} == kinds(replace(evidence, sent=[webhook]))


@pytest.mark.parametrize(
    "webhook",
    [
        lost(105.1, "pagerduty", "incident.resolved", "sent"),
        lost(104.9, "pagerduty", "incident.acknowledged"),
        lost(105.5, "pagerduty", "incident.reopened"),
        lost(105.1, "truthvouch", "alert.resolved"),
        replace(lost(105.1, "pagerduty", "incident.resolved"), subject="Q2"),
    ],
    ids=["it came", "an echo before", "an echo after", "of the other side", "of another incident"],
)
def test_another_webhook_that_was_lost_excuses_nothing(webhook: Webhook):
    assert {"overruled": 1} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *TWO_SIDES, writes=BEFORE, sent=[webhook]))


def test_a_lost_webhook_excuses_nothing_where_one_side_alone_acted():
    sent = [lost(105.05, "pagerduty", "incident.acknowledged")]
    assert {"overruled": 1} == kinds(seen(OPEN, OPEN, ACKNOWLEDGE, sent=sent))
    assert {"lost": 1} == kinds(seen(OPEN, ACKNOWLEDGED, ACKNOWLEDGE, sent=sent))


FORGETS = {"settings": {"truthvouch_keeps_acknowledges": False}, "dead_letters": [("a-1", "write_lost")]}


def test_an_acknowledge_that_truthvouch_forgot_is_no_loss_if_the_bridge_says_so():
    assert {"write_lost": 1} == kinds(seen(OPEN, ACKNOWLEDGED, ACKNOWLEDGE, **FORGETS))


@pytest.mark.parametrize(
    "evidence",
    [
        seen(OPEN, ACKNOWLEDGED, ACKNOWLEDGE, settings=FORGETS["settings"]),
        seen(OPEN, ACKNOWLEDGED, ACKNOWLEDGE, **FORGETS | {"dead_letters": [("a-2", "write_lost")]}),
        seen(OPEN, ACKNOWLEDGED, ACKNOWLEDGE, **FORGETS | {"dead_letters": [("a-1", "gave_up:timeout")]}),
        seen(OPEN, ACKNOWLEDGED, ACKNOWLEDGE, dead_letters=FORGETS["dead_letters"]),
        seen(OPEN, RESOLVED, ACKNOWLEDGE, **FORGETS),
        seen(ACKNOWLEDGED, OPEN, ACKNOWLEDGE, **FORGETS),
    ],
    ids=["not said", "of another", "something else", "it keeps them", "a resolve", "the other way round"],
)
def test_otherwise_it_is_a_loss(evidence: Evidence):
    assert {"lost": 1} == kinds(evidence)


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
    assert {"unwanted": 1} == kinds(replace(seen(), alerts=[replace(ALERT, severity="low")]))


def test_an_older_state_after_a_newer_one_is_an_inversion():
    writes = [created(101), written_to_pagerduty(111, RESOLVED), written_to_pagerduty(112, ACKNOWLEDGED)]
    assert {"inverted": 1} == kinds(seen(RESOLVED, RESOLVED, ACKNOWLEDGE, RESOLVE, writes=writes))
    reopened = [ACKNOWLEDGE, RESOLVE, (111.5, "truthvouch", "reopen"), (111.7, "truthvouch", "acknowledge")]
    assert {} == kinds(seen(ACKNOWLEDGED, ACKNOWLEDGED, *reopened, writes=writes))


def test_an_older_state_counts_even_if_the_partner_did_not_take_it():
    writes = [written_to_truthvouch(111, RESOLVED), written_to_truthvouch(112, ACKNOWLEDGED, 409)]
    assert {"inverted": 1} == kinds(seen(RESOLVED, RESOLVED, ACKNOWLEDGE, RESOLVE, writes=writes))


def test_the_two_sides_are_two_orders():
    writes = [
        written_to_pagerduty(111, RESOLVED),
        written_to_truthvouch(112, ACKNOWLEDGED),
        written_to_truthvouch(113, RESOLVED),
    ]
    assert {} == kinds(seen(RESOLVED, RESOLVED, ACKNOWLEDGE, RESOLVE, writes=writes))


def test_repeated_effects_are_counted_and_retries_are_not():
    refused = replace(created(101), took=False, status=503)
    again = [written_to_pagerduty(111, RESOLVED), written_to_pagerduty(112, RESOLVED)]
    verdict = Judge(seen(RESOLVED, RESOLVED, RESOLVE, writes=[refused, created(102), *again])).verdict()
    assert (1, []) == (verdict.repeated, verdict.findings)


def test_a_note_written_twice_is_found_and_two_notes_are_not():
    evidence = seen(RESOLVED, RESOLVED, RESOLVE)
    other = NOTE.replace("cafe", "beef")
    assert {} == kinds(replace(evidence, incidents=[replace(INCIDENT, status=RESOLVED, notes=(NOTE, other, "x", "x"))]))
    twice = replace(INCIDENT, status=RESOLVED, notes=(NOTE, "x", NOTE))
    assert {"notes_doubled": 1} == kinds(replace(evidence, incidents=[twice]))


def merged(moved: str, survivor: str, incident: str, **more: object) -> Evidence:
    """Two alerts whose incidents became one."""
    other = AlertSeen("a-2", "critical", survivor, 100.0)
    into = IncidentSeen("Q2", key_of("a-2"), incident)
    away = replace(INCIDENT, status=RESOLVED, merged_into="Q2")
    alerts = [replace(ALERT, status=moved), other]
    return Evidence(alerts=alerts, incidents=[away, into], **more)  # type: ignore[arg-type]


def test_merged_incidents_are_resolved_with_the_last_and_acknowledged_with_the_first():
    assert {} == kinds(merged(RESOLVED, OPEN, OPEN))
    assert {} == kinds(merged(ACKNOWLEDGED, OPEN, ACKNOWLEDGED))
    assert {} == kinds(merged(RESOLVED, RESOLVED, RESOLVED))
    assert {"lost": 1} == kinds(merged(RESOLVED, RESOLVED, OPEN))
    assert {"lost": 1} == kinds(merged(OPEN, RESOLVED, RESOLVED))


def test_what_was_acknowledged_with_an_alert_stays_so_when_that_alert_is_resolved():
    acts = [Act(110.0, "a-2", "truthvouch", "acknowledge"), Act(112.0, "a-2", "truthvouch", "resolve")]
    assert {} == kinds(merged(OPEN, RESOLVED, ACKNOWLEDGED, acts=acts))
    assert {"lost": 1} == kinds(merged(OPEN, RESOLVED, ACKNOWLEDGED, acts=acts[1:]))
    taken_back = [acts[0], Act(111.0, "a-2", "truthvouch", "reopen"), acts[1]]
    assert {"lost": 1} == kinds(merged(OPEN, RESOLVED, ACKNOWLEDGED, acts=taken_back))
    assert {"lost": 1} == kinds(merged(OPEN, RESOLVED, RESOLVED, acts=acts))


def test_an_acknowledge_from_before_the_merge_changes_nothing_at_the_other_incident():
    assert {} == kinds(merged(ACKNOWLEDGED, OPEN, OPEN))
    assert {"lost": 1} == kinds(merged(OPEN, ACKNOWLEDGED, OPEN))
    assert {"lost": 1} == kinds(merged(ACKNOWLEDGED, ACKNOWLEDGED, OPEN))
    assert {"lost": 1} == kinds(merged(ACKNOWLEDGED, OPEN, RESOLVED))
    assert {"lost": 1} == kinds(merged(OPEN, OPEN, ACKNOWLEDGED))


def test_an_incident_that_people_opened_is_theirs_and_its_alerts_go_along():
    def by_hand(alert: str, incident: str) -> dict[str, int]:
        seen = merged(alert, RESOLVED, incident)
        incidents = [seen.incidents[0], replace(seen.incidents[1], key="by hand")]
        return kinds(replace(seen, alerts=seen.alerts[:1], incidents=incidents, by_hand=frozenset({"Q2"})))

    assert [{}] * 5 == [by_hand(RESOLVED, s) for s in (OPEN, ACKNOWLEDGED, RESOLVED)] + [
        by_hand(s, OPEN) for s in (OPEN, ACKNOWLEDGED)
    ]
    assert [{"lost": 1}] * 3 == [by_hand(OPEN, s) for s in (ACKNOWLEDGED, RESOLVED)] + [by_hand(ACKNOWLEDGED, RESOLVED)]


def test_of_merged_incidents_too_truthvouch_may_refuse_and_forget():
    assert {"refused": 1} == kinds(merged(RESOLVED, RESOLVED, OPEN, writes=[written_to_truthvouch(112, OPEN, 409)]))
    assert {"write_lost": 1} == kinds(merged(OPEN, RESOLVED, ACKNOWLEDGED, **FORGETS))
    assert {"lost": 1} == kinds(merged(OPEN, RESOLVED, RESOLVED, **FORGETS))
    assert {"lost": 1} == kinds(merged(RESOLVED, OPEN, RESOLVED, writes=[written_to_truthvouch(112, OPEN, 409)]))


def test_a_chain_of_merges_is_followed_to_its_end():
    chain = merged(RESOLVED, RESOLVED, RESOLVED)
    away, into = chain.incidents
    third = AlertSeen("a-3", "critical", OPEN, 100.0)
    last = IncidentSeen("Q3", key_of("a-3"), OPEN)
    incidents = [away, replace(into, merged_into="Q3"), last]
    whole = replace(chain, alerts=[*chain.alerts, third], incidents=incidents)
    assert {} == kinds(whole)
    assert {"lost": 1} == kinds(replace(whole, incidents=[*incidents[:2], replace(last, status=ACKNOWLEDGED)]))


def left(*survivor: tuple[float, str], again_at: float = 130.0, merged_at: float = 120.0) -> Evidence:
    """An alert whose incident was merged into another, with this past, and that got one of its own then."""
    seen = merged(OPEN, RESOLVED, RESOLVED)
    away, into = seen.incidents
    away = replace(away, past=((105.0, ACKNOWLEDGED), (merged_at, RESOLVED)), opened_at=100.0)
    own = replace(INCIDENT, incident_id="Q3", opened_at=again_at)
    return replace(seen, incidents=[away, replace(into, past=survivor), own])


def test_an_alert_merged_into_what_is_over_may_get_an_incident_of_its_own():
    assert {"left_a_merge": 1} == kinds(left((125.0, RESOLVED)))
    assert {"left_a_merge": 1} == kinds(left((125.0, RESOLVED), (127.0, OPEN)))


@pytest.mark.parametrize(
    "evidence",
    [left(), left((125.0, ACKNOWLEDGED)), left((135.0, RESOLVED)), left((110.0, RESOLVED), (112.0, OPEN))],
    ids=["never over", "in hand", "over later", "over before the merge"],
)
def test_an_alert_merged_into_what_is_not_over_gets_no_other_incident(evidence: Evidence):
    assert {"doubled": 1} == {kind: n for kind, n in kinds(evidence).items() if kind != "lost"}


def test_a_chain_is_over_when_its_end_is():
    seen = left((125.0, RESOLVED))
    away, into, own = seen.incidents
    end = IncidentSeen("Q4", key_of("a-4"), RESOLVED, past=((128.0, RESOLVED),))
    alerts = [*seen.alerts, AlertSeen("a-4", "critical", RESOLVED, 100.0)]
    onward = replace(seen, alerts=alerts, incidents=[away, replace(into, merged_into="Q4"), end, own])
    assert {"left_a_merge": 1} == kinds(onward)
    still_open = [replace(away), replace(into, merged_into="Q4"), replace(end, past=()), own]
    assert {"doubled": 1} == kinds(replace(onward, incidents=still_open))


def test_two_alerts_apart_again_are_judged_apart():
    seen = left((125.0, RESOLVED))
    away, into, own = seen.incidents
    still = [away, into, replace(own, status=RESOLVED)]
    assert {"left_a_merge": 1, "lost": 1} == kinds(replace(seen, incidents=still))


def test_a_log_that_is_not_fit_to_keep_fails_the_run():
    verdict = Judge(seen(log_faults=["a secret"])).verdict()
    assert ["log"] == [finding.kind for finding in verdict.failures]
