"""What a partner's answer means for the link, and when a failed call is tried again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.incident import AlertFacts, IncidentFacts, NoteFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.types import AlertId, IncidentId, LinkId, Side, Status, Via, incident_key
from app.domain.sync.delivery import Result, enqueued, intending, record, without_outstanding
from app.domain.sync.effects import (
    NOT_THERE_YET,
    READS_FOR_AN_ID,
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
from app.domain.sync.link import DeliveryState, Link, Note, recorded_for
from app.domain.sync.retry import MAX_ASKED_DELAY, MIN_DELAY, SLOW_READS, give_up_after, next_try
from app.domain.sync.side_state import PendingWrite, SideState
from app.domain.sync.transitions import REPEATS, advance
from tests.domain.one_link import (
    ACKNOWLEDGED,
    ALERT,
    INCIDENT,
    OPEN,
    PAGE,
    RESOLVED,
    P,
    T,
    alert_event,
    alert_says,
    at,
    calling,
    incident_event,
    incident_says,
    incident_shows,
    known,
    link_at,
    read,
    setting,
    there,
    wanted,
    wrote,
)
from tests.fakes import START

LINK = Link(ALERT, incident_key(AlertId("a1")), START, alert_side=known(T, OPEN), decision=PAGE)
LATER = START + timedelta(minutes=1)
EFFECTS: list[Effect] = [
    OpenIncident(look_first=False),
    LookForIncident(),
    SetIncident(RESOLVED),
    ReadIncident(),
    ReadNote("N1"),
    AddNote("deadbeef", "x"),
    SetAlert(ACKNOWLEDGED, None),
    ReadAlert(),
]


def facts(status: Status) -> IncidentFacts:
    return IncidentFacts(INCIDENT, status, 7, "https://pd.test/7", created_at=START, status_changed_at=LATER)


def a_reply(effect: Effect) -> Reply[IncidentFacts | AlertFacts | NoteFacts | None]:
    """What a partner that did it tells."""
    if isinstance(effect, ReadAlert):
        return Done(AlertFacts("a1", OPEN))
    if isinstance(effect, ReadIncident):
        return Done(facts(OPEN))
    return Done(NoteFacts("N1", "all of it")) if isinstance(effect, ReadNote) else Done(None)


def test_an_opened_incident_is_known_and_nothing_is_missing():
    result = record(LINK, Side.PAGERDUTY, OpenIncident(False), Done(facts(OPEN)), LATER, 0.5)
    assert ("Q1", 7, OPEN) == (result.link.incident_id, result.link.incident_number, result.link.incident_side.status)
    assert ("done", "incident.triggered", None) == (result.outcome, result.event, wanted(result.link, P, 60))


def test_an_incident_found_resolved_is_what_somebody_did_and_no_reason_to_reopen_it():
    result = record(LINK, Side.PAGERDUTY, OpenIncident(True), Done(facts(RESOLVED)), LATER, 0.5)
    assert RESOLVED is result.link.status
    assert None is wanted(result.link, P, 60)
    text = "Resolved in PagerDuty; who did it was not told, so this is no verdict on the alert."
    assert SetAlert(RESOLVED, text) == wanted(result.link, T, 60)


def test_but_not_where_our_own_event_may_have_resolved_it():
    """Resolved by event before anybody had seen the incident; the alert is open again when it is found."""
    link = replace(LINK, via=Via.EVENTS, open_tried=True)
    link = alert_says(link, AlertEventType.RESOLVED, 3).link
    link = record(link, P, SetIncident(RESOLVED), Done(None), at(5), 0.5).link
    link = alert_says(link, AlertEventType.REOPENED, 6).link
    found = IncidentFacts(INCIDENT, RESOLVED, 7, status_changed_at=there(P, 5, whole=True))
    link = record(link, P, LookForIncident(), Done(found), at(9), 0.5, at(8)).link
    assert ((RESOLVED, OPEN), None) == ((link.incident_side.status, link.status), wanted(link, T, 9))
    assert SetIncident(OPEN) == wanted(link, P, 9)


def test_a_merged_incident_moves_the_link():
    closing = alert_says(link_at(), AlertEventType.RESOLVED, 5).link
    merged = replace(facts(RESOLVED), merged_into=IncidentId("Q9"))
    result = record(closing, P, SetIncident(ACKNOWLEDGED), Done(merged), LATER, 0.5)
    assert ("Q9", True) == (result.link.incident_id, result.link.merged)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
@pytest.mark.parametrize("side", list(Side))
def test_every_answer_to_every_effect_means_something(effect: Effect, side: Side):
    link, _ = enqueued(LINK, side, START)
    answers = [a_reply(effect), Retry("timeout", unclear=True), Held("http_401"), Refused("no", 400)]
    outcomes = [record(link, side, effect, answer, LATER, 0.5).outcome for answer in answers]
    assert ["done", "retry", "held"] == outcomes[:3]
    looks = isinstance(effect, LookForIncident | ReadIncident | ReadAlert)
    assert outcomes[3] == "retry" if looks else outcomes[3] in ("refused", "dead")


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_what_is_retried_too_long_becomes_a_dead_letter(effect: Effect):
    link, delivery = enqueued(LINK, Side.PAGERDUTY, START - timedelta(days=30))
    link = link.with_delivery(
        Side.PAGERDUTY, replace(delivery, failing_since=START)
    )  # held before: that does not count
    within = record(link, Side.PAGERDUTY, effect, Retry("http_503"), START + give_up_after(effect), 0.5)
    beyond = record(
        link, Side.PAGERDUTY, effect, Retry("http_503"), START + give_up_after(effect) + timedelta(seconds=1), 0.5
    )
    assert ("retry", "dead", "gave_up:http_503") == (within.outcome, beyond.outcome, beyond.reason)


def test_refused_credentials_never_expire():
    link, _ = enqueued(LINK, Side.PAGERDUTY, START)
    result = record(link, Side.PAGERDUTY, OpenIncident(False), Held("http_401"), START + timedelta(days=90), 0.5)
    assert ("held", 15.0, False) == (result.outcome, result.again_after, result.dead)


def test_a_page_is_tried_within_seconds_and_never_rests_longer_than_a_minute():
    delays = [next_try(OpenIncident(False), attempt, None, 0.5) for attempt in range(1, 12)]
    assert [1, 2, 4, 8, 15, 30, 60, 60, 60, 60, 60] == delays


@pytest.mark.parametrize(("asked", "expected"), [(0.0, 1.0), (30.0, 30.0), (86_400.0, MAX_ASKED_DELAY), (-5.0, 1.0)])
def test_what_a_partner_asks_for_is_obeyed_within_bounds(asked: float, expected: float):
    assert expected == next_try(OpenIncident(False), 1, asked, 0.5)


def test_jitter_stays_within_a_fifth_and_above_the_minimum():
    delays = [next_try(SetAlert(OPEN, None), 3, None, jitter / 10) for jitter in range(11)]
    assert (4.0, 6.0) == (min(delays), max(delays))
    assert MIN_DELAY <= next_try(SetAlert(OPEN, None), 1, None, 0.0)


def test_a_finished_delivery_leaves_nothing_and_the_next_delivery_has_a_number_of_its_own():
    first, delivery = enqueued(LINK, Side.PAGERDUTY, START)
    second, next_delivery = enqueued(without_outstanding(first, Side.PAGERDUTY), Side.PAGERDUTY, LATER)
    assert (1, 2, LATER) == (delivery.seq, next_delivery.seq, second.pagerduty.since)
    assert not without_outstanding(second, Side.PAGERDUTY).pagerduty.outstanding


# ------------------------------------------------------------------------------------- before and after a call


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_only_a_status_is_written_down_before_it_is_asked(effect: Effect):
    side = T if isinstance(effect, SetAlert | ReadAlert) else P
    link = intending(link_at(), side, effect, at(5))
    assert isinstance(effect, SetAlert | SetIncident) is (link != link_at())


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("reply", [Retry("connect_failed"), Held("http_401"), Refused("bad_request", 400)])
def test_a_call_that_surely_had_no_effect_leaves_nothing_to_find_out(side: Side, reply: Reply[IncidentFacts | None]):
    link = calling(link_at(), side, RESOLVED, 5)
    after = record(link, side, setting(side, RESOLVED), reply, at(6), 0.5).link
    assert (None, OPEN) == (after.side(side).pending, after.side(side).status)


@pytest.mark.parametrize("side", list(Side))
def test_success_is_what_both_sides_agree_on_from_then(side: Side):
    """And the write is that side's newest status, by its own clock: the second that the answer tells."""
    if side is T:
        link = incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 3).link
    else:
        link = alert_says(link_at(), AlertEventType.ACKNOWLEDGED, 3).link
    assert OPEN is link.agreed
    after = wrote(link, side, ACKNOWLEDGED, 5.7)
    state = after.side(side)
    assert (ACKNOWLEDGED, ACKNOWLEDGED) == (after.agreed, state.status)
    assert (there(side, 5.7, whole=True), True, OPEN) == (state.at, state.by_us, state.previous)


@pytest.mark.parametrize("event_type", [AlertEventType.ACKNOWLEDGED, AlertEventType.REOPENED])
def test_what_goes_back_or_acknowledges_and_was_decided_a_while_ago_reads_first(event_type: AlertEventType):
    """Somebody may have done something there meanwhile, and PagerDuty takes an acknowledge of something resolved for a
    reopen. A resolve may be said at any time."""
    link = link_at(OPEN if event_type is AlertEventType.ACKNOWLEDGED else RESOLVED)
    link = enqueued(alert_says(link, event_type, 5).link, P, at(5))[0]
    assert isinstance(wanted(link, P, 6), SetIncident)
    assert ReadIncident() == wanted(link, P, 7.5)
    fresh = read(link, P, link.incident_side.status or OPEN, 8).link
    assert isinstance(wanted(fresh, P, 9), SetIncident)
    resolved = enqueued(alert_says(link_at(), AlertEventType.RESOLVED, 5).link, P, at(5))[0]
    assert SetIncident(RESOLVED) == wanted(resolved, P, 500)


def test_a_read_that_finds_somebodys_doing_takes_it_and_writes_nothing():
    link = enqueued(alert_says(link_at(), AlertEventType.ACKNOWLEDGED, 5).link, P, at(5))[0]
    link = read(link, P, RESOLVED, 8, changed=6).link
    assert (RESOLVED, None) == (link.status, wanted(link, P, 8.2))
    assert isinstance(wanted(link, T, 8.2), SetAlert)


def test_a_side_that_cannot_be_read_is_written_all_the_same():
    """TruthVouch documents no call for one alert; and the quota of reads may be spent."""
    for reply in (Refused("not_found", 404), Refused("method", 405), Refused("quota_spent", 0)):
        link = incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 3).link
        link = enqueued(calling(link, T, ACKNOWLEDGED, 4), T, at(4))[0]
        lost = record(link, T, SetAlert(ACKNOWLEDGED, None), Retry("read_timeout", unclear=True), at(5), 0.5).link
        assert ReadAlert() == wanted(lost, T, 6)
        unreadable = record(lost, T, ReadAlert(), reply, at(7), 0.5)
        assert ("refused", SetAlert(ACKNOWLEDGED, None)) == (unreadable.outcome, wanted(unreadable.link, T, 7.1))


# ------------------------------------------------------------------------------------- by event

BY_EVENT = replace(link_at(), via=Via.EVENTS)


def resolved_by_event() -> Link:
    """PagerDuty took the event, and nobody has seen what it did."""
    link = alert_says(BY_EVENT, AlertEventType.RESOLVED, 3).link
    link = intending(link, P, SetIncident(RESOLVED), at(4))
    return record(link, P, SetIncident(RESOLVED), Done(None, there(P, 4.2, whole=True)), at(4.5), 0.5).link


def test_a_202_is_no_success_until_pagerduty_shows_the_status():
    link = resolved_by_event()
    assert (OPEN, OPEN, RESOLVED, ReadIncident()) == (
        link.agreed, link.incident_side.status, link.status, wanted(link, P, 5),
    )  # fmt: skip


def test_its_webhook_shows_it():
    link = incident_says(resolved_by_event(), IncidentEventType.RESOLVED, 4.6).link
    assert (RESOLVED, RESOLVED, None) == (link.agreed, link.incident_side.status, wanted(link, P, 5))


def test_a_webhook_that_is_faster_than_the_202_does_too():
    link = alert_says(BY_EVENT, AlertEventType.RESOLVED, 3).link
    link = intending(link, P, SetIncident(RESOLVED), at(4))
    link = incident_says(link, IncidentEventType.RESOLVED, 4.1, received=4.3).link
    link = record(link, P, SetIncident(RESOLVED), Done(None, there(P, 4.2, whole=True)), at(4.5), 0.5).link
    assert (RESOLVED, None, None) == (link.agreed, link.incident_side.pending, wanted(link, P, 5))


def test_so_does_a_read():
    result = read(resolved_by_event(), P, RESOLVED, 8, changed=4.6)
    assert ("done", RESOLVED, None) == (result.outcome, result.link.agreed, wanted(result.link, P, 9))


def test_without_an_api_key_nothing_can_be_seen_and_the_202_counts():
    link = alert_says(BY_EVENT, AlertEventType.RESOLVED, 3).link
    link = intending(link, P, SetIncident(RESOLVED), at(4))
    link = record(link, P, SetIncident(RESOLVED), Done(None), at(4.5), 0.5, has_api_key=False).link
    assert (RESOLVED, None) == (link.agreed, wanted(link, P, 5, has_api_key=False))


def lost_by_event(event_type: AlertEventType, status: Status, rounds: int) -> tuple[list[bool], list[Result]]:
    """Events that are taken and do nothing, as in a maintenance window: whether each went by event, and what came."""
    link, by_event, results = alert_says(BY_EVENT, event_type, 3).link, list[bool](), list[Result]()
    for n in range(rounds):
        effect = wanted(link, P, 100 * n + 4)
        if effect != SetIncident(status):
            break
        by_event.append(link.by_event)
        link = intending(link, P, effect, at(100 * n + 4))
        if link.by_event:
            link = record(link, P, effect, Done(None), at(100 * n + 5), 0.5).link
        else:
            answer = IncidentFacts(INCIDENT, status, 1, status_changed_at=there(P, 100 * n + 4.5, whole=True))
            link = record(link, P, effect, Done(answer, answer.status_changed_at), at(100 * n + 5), 0.5).link
            break
        results.append(read(link, P, OPEN, 100 * n + 50))
        link = results[-1].link
    return by_event, results


@pytest.mark.parametrize(
    ("event_type", "status"), [(AlertEventType.ACKNOWLEDGED, ACKNOWLEDGED), (AlertEventType.RESOLVED, RESOLVED)]
)
def test_an_event_without_effect_is_repeated_at_most_three_times_then_rest_does_it(
    event_type: AlertEventType, status: Status
):
    by_event, results = lost_by_event(event_type, status, 20)
    assert [True, True, True, False] == by_event
    assert ["write_lost"] * 3 == [result.outcome for result in results]


def test_without_an_id_an_event_without_effect_is_looked_for():
    link = replace(BY_EVENT, incident_id=None)
    link = alert_says(link, AlertEventType.RESOLVED, 3).link
    link = intending(link, P, SetIncident(RESOLVED), at(4))
    link = record(link, P, SetIncident(RESOLVED), Done(None), at(4.5), 0.5).link
    assert LookForIncident() == wanted(link, P, 5)
    found = IncidentFacts(INCIDENT, RESOLVED, 1, status_changed_at=there(P, 4.6, whole=True))
    link = record(link, P, LookForIncident(), Done(found), at(9), 0.5, at(8)).link
    assert (INCIDENT, RESOLVED, None) == (link.incident_id, link.agreed, wanted(link, P, 9))


def test_an_event_acknowledges_what_is_resolved_only_after_opening_it():
    """Reopened and acknowledged at TruthVouch before we got to it. That it is open in between is nobody's doing."""
    closed = replace(link_at(RESOLVED), via=Via.EVENTS)
    closed = alert_says(alert_says(closed, AlertEventType.REOPENED, 3).link, AlertEventType.ACKNOWLEDGED, 4).link
    by_event = replace(closed, life=0)  # once it was reopened and its id is known, REST does it
    assert SetIncident(OPEN) == wanted(by_event, P, 4.1)
    assert SetIncident(ACKNOWLEDGED) == wanted(closed, P, 4.1)
    opened = wrote(by_event, P, OPEN, 5.2)
    assert (ACKNOWLEDGED, SetIncident(ACKNOWLEDGED)) == (opened.status, wanted(opened, P, 5.3))
    resolved = alert_says(opened, AlertEventType.RESOLVED, 7).link
    assert (RESOLVED, SetIncident(RESOLVED)) == (resolved.status, wanted(resolved, P, 7.1))


def test_a_step_on_the_way_is_no_change_of_that_side():
    """Resolved again while the incident was opened only to be acknowledged: the alert is not opened for that."""
    closed = replace(link_at(RESOLVED), via=Via.EVENTS)
    link = alert_says(alert_says(closed, AlertEventType.REOPENED, 3).link, AlertEventType.ACKNOWLEDGED, 4).link
    link = calling(replace(link, life=0), P, OPEN, 4.5)
    link = alert_says(link, AlertEventType.RESOLVED, 5).link
    date = there(P, 5.2, whole=True)
    opened = IncidentFacts(INCIDENT, OPEN, 1, status_changed_at=date)
    link = record(link, P, SetIncident(OPEN), Done(opened, date), at(5.6), 0.5, at(4.6)).link
    assert (RESOLVED, None) == (link.status, wanted(link, T, 6))
    assert SetIncident(RESOLVED) == wanted(link, P, 6)


def test_a_page_by_event_of_which_no_incident_came_becomes_a_dead_letter_and_a_replay_makes_it_anew():
    link = record(replace(LINK, via=Via.EVENTS), P, OpenIncident(False), Done(None), at(2), 0.5).link
    looks, result = 0, None
    while result is None or not result.dead:
        assert LookForIncident() == wanted(link, P, 3 + looks)
        result = record(link, P, LookForIncident(), Retry(NOT_THERE_YET), at(3 + looks), 0.5)
        link, looks = result.link, looks + 1
    assert READS_FOR_AN_ID + len(SLOW_READS) + 1 == looks
    assert (OpenIncident(look_first=True), None) == (result.given_up, wanted(link, P, 500))


# ------------------------------------------------------------------------------------- joint incidents


def joined(alert: Status, incident: SideState) -> Link:
    """Another alert, whose incident was merged into this one."""
    return replace(link_at(alert), alert_side=known(T, alert), incident_side=incident, merged=True)


def test_a_joint_write_is_known_to_every_link_on_it_and_counts_for_none_but_its_own():
    link = replace(link_at(), guests=True)
    link = wrote(alert_says(link, AlertEventType.ACKNOWLEDGED, 3).link, P, ACKNOWLEDGED, 5.2)
    guest = recorded_for(link, joined(OPEN, known(P, OPEN)))
    assert (ACKNOWLEDGED, OPEN, OPEN) == (guest.incident_side.status, guest.agreed, guest.status)
    assert None is wanted(guest, T, 6)
    for same in (joined(ACKNOWLEDGED, known(P, OPEN)), replace(joined(ACKNOWLEDGED, known(P, OPEN)), agreed=OPEN)):
        assert (ACKNOWLEDGED, ACKNOWLEDGED) == ((after := recorded_for(link, same)).agreed, after.status)


def test_who_resolves_the_joint_incident_resolves_it_for_each():
    link = wrote(alert_says(replace(link_at(), guests=True), AlertEventType.ACKNOWLEDGED, 3).link, P, ACKNOWLEDGED, 5.2)
    guest = recorded_for(link, joined(OPEN, known(P, OPEN)))
    assert RESOLVED is incident_says(guest, IncidentEventType.RESOLVED, 9).link.status
    assert OPEN is incident_says(guest, IncidentEventType.ACKNOWLEDGED, 5.2).link.status, (
        "the echo of another link's write"
    )


def test_what_a_write_for_another_link_brings_about_is_no_persons_doing():
    """Its webhook is faster than its answer, or a read is: only the link that writes knows of that."""
    writer = replace(link_at(), link_id=LinkId(1), guests=True)
    writer = calling(alert_says(writer, AlertEventType.ACKNOWLEDGED, 3).link, P, ACKNOWLEDGED, 5)
    guest = replace(joined(OPEN, known(P, OPEN)), link_id=LinkId(2))
    answer = incident_event(IncidentEventType.ACKNOWLEDGED, 5.1)
    read = replace(answer, type=IncidentEventType.READ, status=ACKNOWLEDGED, read_at=at(5.15))
    for event in (answer, read):
        link = advance(guest, event, at(5.2), shared=(writer, guest)).link
        assert (OPEN, None) == (link.status, link.incident_side.pending)
    assert ACKNOWLEDGED is advance(guest, answer, at(5.2), shared=(guest,)).link.status
    taken = replace(writer.incident_side.pending or PendingWrite(ACKNOWLEDGED, at(5)), answered_at=there(P, 8))
    late = writer.with_side(P, replace(writer.incident_side, pending=taken))
    assert ACKNOWLEDGED is advance(guest, answer, at(8.2), shared=(late, guest)).link.status, "it stood there before"
    reopened = incident_event(IncidentEventType.REOPENED, 5.1)
    closed = replace(joined(RESOLVED, known(P, RESOLVED)), link_id=LinkId(2), agreed=RESOLVED)
    assert RESOLVED is advance(closed, reopened, at(5.2), shared=(writer, closed)).link.status, "its first half"


def resolved_guest() -> Link:
    """Its alert is over, and the incident that it shares with others is not."""
    return replace(joined(RESOLVED, replace(known(P, OPEN), inherited=True)), agreed=RESOLVED)


def test_what_our_answer_tells_of_a_person_is_no_news_of_an_alert_that_is_over():
    """We wanted to acknowledge the incident, and somebody had."""
    link = calling(alert_says(replace(link_at(), guests=True), AlertEventType.ACKNOWLEDGED, 3).link, P, ACKNOWLEDGED, 8)
    facts = IncidentFacts(INCIDENT, ACKNOWLEDGED, 1, status_changed_at=there(P, 4))
    link = record(link, P, SetIncident(ACKNOWLEDGED), Done(facts, there(P, 8)), at(8.2), 0.5, at(8.1)).link
    assert (False, ACKNOWLEDGED) == (link.incident_side.by_us, link.status)
    assert (ACKNOWLEDGED, RESOLVED) == (
        (guest := recorded_for(link, resolved_guest())).incident_side.status,
        guest.status,
    )


def test_who_opens_a_shared_incident_opens_the_alert_that_is_over_also_where_its_resolve_was_lost():
    assert RESOLVED is incident_says(resolved_guest(), IncidentEventType.ACKNOWLEDGED, 9).link.status
    assert OPEN is incident_says(resolved_guest(), IncidentEventType.REOPENED, 9).link.status


def test_a_survivor_that_was_changed_since_the_merge_stands_there_for_its_people():
    """They resolved and opened it again, and nobody told us: it says when it last changed."""
    guest = replace(joined(ACKNOWLEDGED, replace(known(P, OPEN), inherited=True)), agreed=ACKNOWLEDGED)
    assert ACKNOWLEDGED is incident_shows(guest, OPEN, 20, changed=0.5).link.status
    assert OPEN is incident_shows(guest, OPEN, 20, changed=9).link.status
    assert OPEN is incident_says(guest, IncidentEventType.REOPENED, 9).link.status


# ------------------------------------------------------------------------------------- notes


def test_a_refused_note_holds_nothing_back():
    """It is a dead letter of its own: acknowledges and the next notes go on."""
    noted = replace(link_at(), notes=(Note("deadbeef", "x"), Note("cafebabe", "y")))
    result = record(noted, P, AddNote("deadbeef", "x"), Refused("bad_request", 400), LATER, 0.5)
    assert (True, "dead", "") == (result.dead, result.outcome, result.link.pagerduty.dead)
    assert AddNote("cafebabe", "y") == wanted(result.link, P, 60)
    acknowledged = alert_says(result.link, AlertEventType.ACKNOWLEDGED, 61).link
    assert SetIncident(ACKNOWLEDGED) == wanted(acknowledged, P, 61)


def test_a_written_note_keeps_its_reference_and_not_its_text():
    link = replace(link_at(), notes=(Note("deadbeef", "x" * 9_000),))
    link = record(link, P, AddNote("deadbeef", "x"), Done(None), LATER, 0.5).link
    assert (Note("deadbeef", "", done=True),) == link.notes


def test_a_note_of_which_a_part_came_is_read_in_full():
    link = replace(link_at(), last_note="false positive: par", note_to_read="N1")
    assert ReadNote("N1") == wanted(link, P, 1)
    whole = record(link, P, ReadNote("N1"), Done(NoteFacts("N1", "false positive: paraphrase")), at(2), 0.5).link
    assert ("false positive: paraphrase", None) == (whole.last_note, whole.note_to_read)
    gone = record(link, P, ReadNote("N1"), Done(None), at(2), 0.5).link
    assert ("false positive: par…", None) == (gone.last_note, gone.note_to_read)
    newer = replace(link, note_to_read="N2", last_note="another")
    assert "another" == record(newer, P, ReadNote("N1"), Done(NoteFacts("N1", "old")), at(2), 0.5).link.last_note


# ------------------------------------------------------------------------------------- refused for good


def test_a_difference_that_is_final_is_reported_once():
    """Three repeats of what is not kept, then one dead letter; another status is tried anew."""
    link, dead_letters = incident_says(link_at(), IncidentEventType.ACKNOWLEDGED, 1).link, []
    for n in range(12):
        moment = 60 * n + 10
        if isinstance(effect := wanted(link, T, moment), SetAlert):
            link = wrote(link, T, effect.status, moment)
        result = read(link, T, OPEN, moment + 30)
        link = result.link
        dead_letters += [result.given_up] if result.dead else []
    assert ([SetAlert(ACKNOWLEDGED, None)], ACKNOWLEDGED) == (dead_letters, link.truthvouch.refused)
    assert REPEATS + 1 == link.alert_side.unconfirmed_count
    link = advance(link, replace(alert_event(AlertEventType.RESOLVED, 2_000), author="qa"), at(2_000)).link
    assert (None, RESOLVED) == (link.truthvouch.refused, link.status)


def test_what_is_refused_at_pagerduty_is_a_dead_letter():
    link = alert_says(link_at(), AlertEventType.ACKNOWLEDGED, 3).link
    result = record(link, P, SetIncident(ACKNOWLEDGED), Refused("bad_request", 400, detail="why"), at(4), 0.5)
    assert ("dead", "bad_request", "why") == (result.outcome, result.link.pagerduty.dead, result.detail)
    assert None is wanted(result.link.with_delivery(P, DeliveryState(refused=ACKNOWLEDGED)), P, 4)


def test_the_resolve_of_an_unclear_create_that_took_effect_after_the_look_is_nobody_elses():
    """By event: the look finds the incident still open, and what closes it then is what we had sent."""
    link = replace(LINK, via=Via.EVENTS, open_tried=True)
    link = alert_says(link, AlertEventType.RESOLVED, 3).link
    assert SetIncident(RESOLVED) == wanted(link, P, 4)
    link = record(calling(link, P, RESOLVED, 4), P, SetIncident(RESOLVED), Done(None, there(P, 4)), at(4), 0.5).link
    assert RESOLVED is link.agreed
    born = there(P, 1, whole=True)
    found = IncidentFacts(INCIDENT, OPEN, 1, created_at=born, status_changed_at=born)
    link = alert_says(link, AlertEventType.REOPENED, 4.1).link
    link = record(link, P, LookForIncident(), Done(found, there(P, 4.2)), at(4.5), 0.5, at(4.2)).link
    link = incident_says(link, IncidentEventType.RESOLVED, 4.3, received=5).link
    assert (OPEN, SetIncident(OPEN)) == (link.status, wanted(link, P, 5))


@pytest.mark.parametrize(("became", "status"), [(OPEN, OPEN), (RESOLVED, RESOLVED)])
def test_a_trigger_in_place_of_a_reopen_is_another_incident_which_people_may_have_resolved(
    became: Status, status: Status
):
    """By event: nothing closed was found, so that PagerDuty was asked for a new one."""
    link = replace(LINK, via=Via.EVENTS, open_tried=True)
    link = alert_says(link, AlertEventType.RESOLVED, 3).link
    link = record(calling(link, P, RESOLVED, 4), P, SetIncident(RESOLVED), Done(None, there(P, 4)), at(4), 0.5).link
    link = alert_says(link, AlertEventType.REOPENED, 5).link
    result = record(calling(link, P, OPEN, 6), P, SetIncident(OPEN), Done(None, there(P, 6, whole=True)), at(6), 0.5)
    assert "incident.triggered" == result.event
    found = IncidentFacts(
        INCIDENT, became, 2, created_at=there(P, 6, whole=True),
        status_changed_at=there(P, 6 if became is OPEN else 7, whole=True),
    )  # fmt: skip
    link = record(result.link, P, LookForIncident(), Done(found, there(P, 9)), at(9), 0.5, at(8.9)).link
    assert (status, status, INCIDENT) == (link.status, link.incident_side.status, link.incident_id)
    assert link.incident_side.pending is None
