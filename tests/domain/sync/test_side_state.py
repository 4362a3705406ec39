"""What is known of one side: events and reads in every order, our own writes, and times that are told badly or not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.model.types import Status
from app.domain.sync.observations import Observation, observed, resolved_by_read
from app.domain.sync.side_state import (
    EARLIEST,
    MAX_AHEAD,
    SETTLING,
    Applied,
    Order,
    Said,
    SideState,
    accepted,
    compare,
    not_written,
    said,
    shown,
    usable,
    writing,
    written,
)
from tests.domain.one_link import ACKNOWLEDGED, OPEN, RESOLVED, at
from tests.fakes import START

PAIRS = [(was, now) for was in Status for now in Status]
DIFFERENT = [(was, now) for was, now in PAIRS if was is not now]
AHEAD = timedelta(minutes=4)
"""How far the side's clock is ahead of ours."""


def there(seconds: float) -> datetime:
    return at(seconds) + AHEAD


def second(seconds: float) -> datetime:
    """As the side tells it where it tells no more than seconds."""
    return there(seconds).replace(microsecond=0)


def event(status: Status, seconds: float | None, received: float = 60, goes_back: bool = False) -> Said:
    return Said(status, None if seconds is None else there(seconds), at(received), goes_back)


def standing(status: Status, seconds: float = 10.25, received: float = 10.5) -> SideState:
    """As an event told it."""
    return SideState(status, there(seconds), at(received))


def after_all(state: SideState, *events: Said, readable: bool = True) -> SideState:
    for one in events:
        state = said(state, one, readable=readable)[0]
    return state


def wrote(state: SideState, status: Status, seconds: float) -> SideState:
    """After our call did it; the answer tells the second."""
    return written(writing(state, status, at(seconds), True), status, second(seconds), at(seconds + 0.2))


def read(status: Status, began: float, changed: float | None = None) -> Observation:
    """As PagerDuty shows it, which tells since when; or as TruthVouch does, which tells when it answered."""
    if changed is None:
        return Observation(status, second(began), at(began), shows_change=False)
    return Observation(status, second(changed), at(began))


# ------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("status_at", "is_time"),
    [
        (None, False),
        (datetime(1, 1, 1, tzinfo=UTC), False),
        (datetime(1970, 1, 1, tzinfo=UTC), False),
        (EARLIEST - timedelta(microseconds=1), False),
        (EARLIEST, True),
        (START - timedelta(days=400), True),
        (START, True),
        (START + MAX_AHEAD, True),
        (START + MAX_AHEAD + timedelta(microseconds=1), False),
        (datetime(9999, 12, 31, tzinfo=UTC), False),
    ],
)
def test_a_time_that_cannot_be_true_is_none_and_no_time_is_ever_changed(status_at: datetime | None, is_time: bool):
    assert usable(status_at, START) == (status_at if is_time else None)


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        (12.25, 12.75, Order.OLDER),
        (12.75, 12.25, Order.NEWER),
        (12.25, 12.25, Order.SAME),
        (12.0, 12.75, Order.SAME),
        (12.75, 12.0, Order.SAME),
        (13.0, 12.999, Order.NEWER),
        (12.999, 13.0, Order.OLDER),
        (13.0, 12.0, Order.NEWER),
    ],
)
def test_two_times_are_compared_at_the_coarser_precision_of_the_two(one: float, other: float, order: Order):
    assert order is compare(at(one), at(other))


def test_without_a_time_nobody_knows_the_order():
    assert [Order.UNKNOWN] * 3 == [compare(None, START), compare(START, None), compare(None, None)]


def test_a_side_ten_minutes_ahead_is_as_good_as_any_other():
    """Its times are compared with its own alone, and are kept as it told them."""
    state = after_all(SideState(), event(OPEN, 0), event(ACKNOWLEDGED, 1), event(RESOLVED, 2), event(OPEN, 3))
    assert (OPEN, there(3)) == (state.status, state.at)


@pytest.mark.parametrize("year", [1, 1970, 1999])
def test_a_year_that_stands_for_no_time_makes_no_event_older(year: int):
    strange = Said(RESOLVED, datetime(year, 1, 1, tzinfo=UTC), at(60))
    assert Applied.HINT is said(standing(OPEN), strange, readable=True)[1]
    assert RESOLVED is after_all(standing(OPEN), strange, readable=False).status


def test_a_clock_of_the_far_future_pins_nothing():
    """Within a quarter of an hour a time is believed; beyond it is none, so that the next event counts all the same."""
    future = Said(ACKNOWLEDGED, at(60) + timedelta(hours=1), at(60))
    state, applied = said(standing(OPEN), future, readable=False)
    assert (Applied.TAKEN, ACKNOWLEDGED, None) == (applied, state.status, state.at)
    assert RESOLVED is after_all(state, event(RESOLVED, 61), readable=False).status


# ------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("status", list(Status))
def test_the_first_thing_a_side_says_is_where_it_stands(status: Status):
    for moment in (5.0, None):
        state, applied = said(SideState(), event(status, moment), readable=True)
        assert (Applied.TAKEN, status, at(60)) == (applied, state.status, state.received_at)


@pytest.mark.parametrize(("was", "now"), DIFFERENT)
def test_a_newer_event_counts_and_an_older_one_changes_nothing(was: Status, now: Status):
    newer, applied = said(standing(was), event(now, 10.26), readable=True)
    assert (Applied.TAKEN, now, there(10.26)) == (applied, newer.status, newer.at)
    assert (standing(was), Applied.STALE) == said(standing(was), event(now, 10.24), readable=True)


@pytest.mark.parametrize("status", list(Status))
def test_the_same_status_again_is_no_news_whoever_says_it_and_however_often(status: Status):
    ours = wrote(standing(OPEN), status, 12.4)
    for moment in (12.4, 30.0, None):
        state, applied = said(ours, event(status, moment), readable=True)
        assert (Applied.SAME, status) == (applied, state.status)
        assert (state, Applied.SAME) == said(state, event(status, moment), readable=True)


def test_an_echo_proves_our_write_and_tells_better_since_when():
    ours = wrote(standing(OPEN), ACKNOWLEDGED, 12.4)
    state = after_all(ours, event(ACKNOWLEDGED, 12.4))
    assert (False, True) == (ours.confirmed, state.confirmed)
    assert (second(12.4), there(12.4)) == (ours.at, state.at)
    assert state.by_us


def test_the_same_status_of_a_later_second_is_not_our_write_any_more():
    state = after_all(wrote(standing(OPEN), ACKNOWLEDGED, 12.4), event(ACKNOWLEDGED, 13.1))
    assert (False, None) == (state.by_us, state.previous)


@pytest.mark.parametrize(("first", "then"), DIFFERENT)
def test_an_echo_after_a_newer_write_of_ours_is_old(first: Status, then: Status):
    """Late, twice, in any order: it changes nothing, and neither does the newer one's."""
    state = wrote(wrote(standing(OPEN), first, 12.4), then, 14.3)
    for received in (event(first, 12.4), event(then, 14.3), event(first, 12.4)):
        state, applied = said(state, received, readable=True)
        assert applied in (Applied.STALE, Applied.SAME)
    assert (then, None, False) == (state.status, state.conflict, state.must_read)


@pytest.mark.parametrize(("was", "now"), DIFFERENT)
def test_what_comes_without_a_time_is_settled_by_a_read(was: Status, now: Status):
    """Nobody can tell whether it is newer: a late echo of an earlier write says the same as a person."""
    state, applied = said(standing(was), event(now, None), readable=True)
    assert (Applied.HINT, was, now, True) == (applied, state.status, state.hint, state.must_read)
    settled, _ = observed(state, read(now, 61, changed=50))
    assert (now, False, None) == (settled.status, settled.must_read, settled.hint)
    unchanged, _ = observed(state, read(was, 61, changed=10.25))
    assert (was, False, None) == (unchanged.status, unchanged.must_read, unchanged.hint)


@pytest.mark.parametrize(("was", "now"), DIFFERENT)
def test_where_no_read_is_possible_it_counts_if_it_goes_forward(was: Status, now: Status):
    state, applied = said(standing(was), event(now, None), readable=False)
    forward = now.rank > was.rank
    assert (
        (Applied.TAKEN, now) == (applied, state.status) if forward else (Applied.STALE, was) == (applied, state.status)
    )


def test_and_if_no_write_of_ours_ever_said_the_same():
    """Then it may be that write's echo, however late."""
    ours = wrote(wrote(standing(OPEN), RESOLVED, 12), OPEN, 14)
    assert (OPEN, Applied.STALE) == (after_all(ours, event(RESOLVED, None), readable=False).status, Applied.STALE)
    assert ACKNOWLEDGED is after_all(ours, event(ACKNOWLEDGED, None), readable=False).status


@pytest.mark.parametrize(
    ("before", "stands"),
    [(OPEN, RESOLVED), (RESOLVED, ACKNOWLEDGED)],
    ids=["news", "a late repeat of what stood there before our write"],
)
def test_what_our_write_went_over_untimed_is_a_conflict_once_a_read_shows_our_write(before: Status, stands: Status):
    ours = wrote(standing(before, 1, 1), ACKNOWLEDGED, 12)
    hinted = said(ours, event(RESOLVED, None, received=13), readable=True)[0]
    assert (ACKNOWLEDGED, RESOLVED) == (hinted.wants, hinted.hint)
    after = observed(hinted, read(ACKNOWLEDGED, 13.5))[0]
    assert (stands, False, None) == (after.wants, after.must_read, after.hint)


def test_but_not_what_was_said_long_after_it():
    hinted = said(wrote(standing(OPEN, 1, 1), ACKNOWLEDGED, 12), event(RESOLVED, None, received=60), readable=True)[0]
    assert ACKNOWLEDGED is observed(hinted, read(ACKNOWLEDGED, 61))[0].wants


def test_within_one_second_a_read_settles_the_order():
    """A read tells whole seconds; the event of the same second may be from before it or from after."""
    state = observed(standing(ACKNOWLEDGED), read(OPEN, 20, changed=15.9))[0]
    after, applied = said(state, event(ACKNOWLEDGED, 15.95, received=21), readable=True)
    assert (Applied.HINT, True, OPEN) == (applied, after.must_read, after.status)


# ------------------------------------------------------------------------------------------------------- our writes


@pytest.mark.parametrize(("ours", "theirs"), [pair for pair in DIFFERENT if pair[1].rank > pair[0].rank])
def test_what_stood_there_when_our_write_arrived_and_was_further_along_is_a_conflict(ours: Status, theirs: Status):
    """It was decided without knowing of it. The side stands as we wrote it, and both are to get further."""
    state, applied = said(wrote(standing(OPEN, 1, 1), ours, 12.5), event(theirs, 11.2), readable=True)
    assert (Applied.CONFLICT, ours, theirs) == (applied, state.status, state.wants)
    assert state.differs_from(ours)
    assert (state, Applied.STALE) == said(state, event(theirs, 11.2), readable=True)


@pytest.mark.parametrize(("ours", "theirs"), [pair for pair in PAIRS if pair[1].rank <= pair[0].rank])
def test_what_was_less_far_is_simply_old(ours: Status, theirs: Status):
    state, applied = said(wrote(standing(OPEN, 1, 1), ours, 12.5), event(theirs, 11.2), readable=True)
    assert (Applied.STALE, ours) == (applied, state.wants)


def test_what_we_knew_when_our_write_was_decided_is_no_conflict():
    """A duplicate of an old resolve comes five minutes after the reopen that we carried."""
    resolved = after_all(SideState(), event(OPEN, 1), event(RESOLVED, 5.4, received=6))
    state, applied = said(wrote(resolved, OPEN, 12.5), event(RESOLVED, 5.4, received=312), readable=True)
    assert (Applied.STALE, OPEN) == (applied, state.wants)


def test_what_is_even_older_is_none_either():
    acknowledged = after_all(SideState(), event(OPEN, 1), event(RESOLVED, 3), event(OPEN, 4), event(ACKNOWLEDGED, 5.4))
    state, applied = said(wrote(acknowledged, OPEN, 12.5), event(RESOLVED, 3), readable=True)
    assert (Applied.STALE, OPEN) == (applied, state.wants)


def test_a_late_echo_of_an_earlier_write_of_the_same_second_is_no_conflict():
    """Resolved and opened again by us within one second; that it was opened was heard before the next write."""
    state = wrote(wrote(standing(OPEN, 1, 1), RESOLVED, 12.2), OPEN, 12.7)
    state = writing(state, ACKNOWLEDGED, at(13.4), True)
    state = after_all(state, event(OPEN, 12.7, received=13.5, goes_back=True))
    state = written(state, ACKNOWLEDGED, second(13.8), at(14))
    state, applied = said(state, event(RESOLVED, 12.2, received=312), readable=True)
    assert (Applied.STALE, ACKNOWLEDGED) == (applied, state.wants)


def test_a_conflict_is_over_when_the_side_moves_on():
    """Somebody there takes back what our write had overwritten, or goes somewhere else."""
    state = after_all(wrote(standing(ACKNOWLEDGED, 1, 1), OPEN, 12.5), event(RESOLVED, 11.2))
    assert RESOLVED is state.wants
    assert OPEN is after_all(state, event(OPEN, 13.1, goes_back=True)).wants
    assert ACKNOWLEDGED is after_all(state, event(ACKNOWLEDGED, 13.1)).wants
    assert OPEN is observed(state, read(OPEN, 70, changed=30))[0].wants


def test_a_read_of_what_our_write_put_back_ends_no_conflict():
    state = after_all(wrote(standing(ACKNOWLEDGED, 1, 1), OPEN, 12.5), event(RESOLVED, 11.2))
    assert RESOLVED is observed(state, read(OPEN, 70, changed=12.5))[0].wants
    assert RESOLVED is observed(state, read(OPEN, 70))[0].wants


def test_of_the_answer_and_what_the_side_said_meanwhile_the_newer_counts():
    """A person goes back at once; that is heard before the answer of the call that it followed."""
    amid = writing(standing(OPEN), ACKNOWLEDGED, at(12), True)
    amid = after_all(amid, event(ACKNOWLEDGED, 12.2, received=12.4), event(OPEN, 13.3, received=13.5, goes_back=True))
    state = written(amid, ACKNOWLEDGED, second(12.2), at(13.6))
    assert (OPEN, False, None) == (state.status, state.by_us, state.pending)


@pytest.mark.parametrize("readable", [True, False])
def test_without_any_time_a_read_tells_whether_somebody_went_back(readable: bool):
    """It is no lost write then: the side said itself that it went back from it."""
    amid = writing(replace(standing(OPEN), at=None), ACKNOWLEDGED, at(12), True)
    back = Said(OPEN, None, at(12.5), goes_back=True, back_from=(ACKNOWLEDGED,))
    amid = after_all(amid, event(ACKNOWLEDGED, None, received=12.4), back, readable=readable)
    state = written(amid, ACKNOWLEDGED, None, at(12.6))
    assert (True, OPEN) == (state.must_read, state.hint)
    assert (OPEN, Applied.TAKEN) == ((seen := observed(state, read(OPEN, 13)))[0].status, seen[1])


def test_an_answer_newer_than_what_the_side_said_meanwhile_stands():
    amid = after_all(writing(standing(OPEN), RESOLVED, at(12), True), event(ACKNOWLEDGED, 11.9, received=12.1))
    state = written(amid, RESOLVED, second(12.4), at(12.6))
    assert (RESOLVED, True, None) == (state.status, state.by_us, state.conflict)


def test_a_resolve_that_our_acknowledge_opened_again_is_a_conflict():
    """PagerDuty says *reopened* and *acknowledged*, both of one second."""
    amid = writing(standing(OPEN), ACKNOWLEDGED, at(12), True)
    amid = after_all(amid, event(RESOLVED, 11.9, received=12.1))
    for order in ([OPEN, ACKNOWLEDGED], [ACKNOWLEDGED, OPEN]):
        state = after_all(amid, *(event(status, 12.3, received=12.5, goes_back=status is OPEN) for status in order))
        state = written(state, ACKNOWLEDGED, second(12.3), at(12.6))
        assert (ACKNOWLEDGED, RESOLVED) == (state.status, state.wants), order


def test_a_resolve_that_a_person_took_back_before_our_write_is_none():
    amid = writing(standing(OPEN), ACKNOWLEDGED, at(12), True)
    amid = after_all(amid, event(RESOLVED, 11.2, received=12.1), event(OPEN, 12.3, received=12.5, goes_back=True))
    assert (ACKNOWLEDGED, None) == (
        (state := written(amid, ACKNOWLEDGED, second(14.3), at(14.6))).status, state.conflict,
    )  # fmt: skip


def test_a_resolve_received_after_the_echo_and_before_the_answer_is_a_conflict_too():
    """Events of one side may overtake one another."""
    amid = writing(standing(OPEN), ACKNOWLEDGED, at(12), True)
    amid = after_all(amid, event(ACKNOWLEDGED, 12.3, received=12.4), event(RESOLVED, 12.1, received=12.5))
    assert RESOLVED is written(amid, ACKNOWLEDGED, second(12.3), at(12.6)).wants


def test_an_echo_received_before_its_answer_says_no_less_than_the_answer():
    """A resolve was heard, then the echo of the acknowledge that was decided without it."""
    amid = after_all(writing(standing(OPEN), ACKNOWLEDGED, at(12), True), event(RESOLVED, 12.1, received=12.3))
    assert RESOLVED is after_all(amid, event(ACKNOWLEDGED, 12.4, received=12.5)).wants


def test_what_stood_there_for_longer_than_the_call_took_was_there_before_us():
    """PagerDuty tells since when an incident is acknowledged: somebody had done it."""
    amid = writing(standing(OPEN), ACKNOWLEDGED, at(22), True)
    state = written(amid, ACKNOWLEDGED, second(12), at(22.5), second(22))
    assert (False, True, None) == (state.by_us, state.confirmed, state.previous)


def test_a_call_that_surely_had_no_effect_leaves_what_the_side_said():
    amid = after_all(writing(standing(OPEN), RESOLVED, at(12), True), event(ACKNOWLEDGED, 12.3))
    assert (ACKNOWLEDGED, None) == ((state := not_written(amid)).status, state.pending)


def test_an_event_that_was_taken_counts_once_the_side_shows_it():
    """A 202 is no success: until then it is as a lost answer."""
    taken = accepted(writing(standing(OPEN), RESOLVED, at(12), True), RESOLVED, None, at(12.2))
    assert (OPEN, at(12.2)) == (taken.status, taken.pending and taken.pending.accepted_at)
    assert taken == shown(taken, at(12.3))
    seen = shown(after_all(taken, event(RESOLVED, 12.4)), at(12.6))
    assert (RESOLVED, True, None) == (seen.status, seen.confirmed, seen.pending)


def test_what_an_earlier_write_did_that_nobody_had_seen_is_no_persons_doing():
    """An event acknowledges late, after REST has opened the incident again; its webhook comes last of all."""
    taken = accepted(writing(standing(OPEN), ACKNOWLEDGED, at(12), True), ACKNOWLEDGED, None, at(12.2))
    state = written(writing(taken, OPEN, at(13), True), OPEN, second(14.1), at(14.3), second(14.1))
    state, applied = said(state, event(ACKNOWLEDGED, 13.6), readable=True)
    assert (Applied.STALE, OPEN) == (applied, state.wants)
    again = accepted(writing(taken, ACKNOWLEDGED, at(13), True), ACKNOWLEDGED, None, at(13.2))
    later = writing(again, RESOLVED, at(14), True)
    assert later.pending is not None
    assert (ACKNOWLEDGED,) == later.pending.earlier


# ------------------------------------------------------------------------------------------------------- reads


@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_a_read_that_began_after_the_newest_receipt_is_where_the_side_stands_whatever_its_time(
    was: Status, now: Status
):
    for changed in (50.0, 10.25, 3.0, None):
        state, applied = observed(standing(was), read(now, 60, changed))
        assert (Applied.SAME if was is now else Applied.TAKEN) is applied
        assert (now, at(60)) == (state.status, state.read_at)
        if was is not now:
            assert second(60 if changed is None else changed) == state.at, "its time replaces the known one"


@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_a_read_from_before_what_we_know_changes_nothing(was: Status, now: Status):
    for known in (standing(was), wrote(standing(OPEN), was, 10.2)):
        assert (known, Applied.STALE) == observed(known, read(now, 10.3, changed=10.3))


@pytest.mark.parametrize(("was", "now"), PAIRS)
def test_the_same_read_again_is_no_news(was: Status, now: Status):
    for state in (standing(was), wrote(standing(OPEN), was, 12), SideState()):
        once = observed(state, read(now, 60, changed=50))[0]
        assert once.status is observed(once, read(now, 60, changed=50))[0].status


def test_a_pinned_time_is_healed_by_a_read():
    """An event that was a few minutes ahead of its own clock; what people did since looked older."""
    pinned = after_all(standing(RESOLVED), event(OPEN, 600, received=61, goes_back=True))
    assert OPEN is after_all(pinned, event(RESOLVED, 90)).status
    healed = observed(pinned, read(RESOLVED, 120, changed=90))[0]
    assert (RESOLVED, second(90)) == (healed.status, healed.at)
    assert OPEN is after_all(healed, event(OPEN, 130, goes_back=True)).status


def test_what_was_taken_and_is_not_shown_was_not_kept():
    """It is never a person's change: the side is where it was before our write, and tells of no change since."""
    ours = wrote(standing(OPEN), ACKNOWLEDGED, 12)
    for shows in (read(OPEN, 60), read(OPEN, 60, changed=10.25)):
        state, applied = observed(ours, shows)
        assert (Applied.WRITE_LOST, OPEN, 1) == (applied, state.status, state.unconfirmed_count)
        assert not state.differs_from(ACKNOWLEDGED)


@pytest.mark.parametrize(
    ("shows", "why"),
    [
        (read(RESOLVED, 60), "that never stood there before"),
        (read(OPEN, 60, changed=30), "PagerDuty tells that it changed since"),
    ],
)
def test_what_somebody_changed_since_is_no_lost_write(shows: Observation, why: str):
    state, applied = observed(wrote(standing(OPEN), ACKNOWLEDGED, 12), shows)
    assert (Applied.TAKEN, shows.status) == (applied, state.status), why


def test_a_write_that_was_shown_once_and_is_gone_was_undone_by_somebody():
    for proof in (
        after_all(wrote(standing(OPEN), ACKNOWLEDGED, 12), event(ACKNOWLEDGED, 12.2)),
        observed(wrote(standing(OPEN), ACKNOWLEDGED, 12), read(ACKNOWLEDGED, 20))[0],
    ):
        assert (Applied.TAKEN, OPEN) == ((seen := observed(proof, read(OPEN, 90)))[1], seen[0].status)


def test_so_was_one_whose_echo_came_before_its_answer_and_told_no_time():
    amid = writing(standing(OPEN), RESOLVED, at(12), True)
    ours = written(after_all(amid, event(RESOLVED, None, received=12.1)), RESOLVED, second(12.1), at(12.3))
    assert Applied.TAKEN is observed(ours, read(OPEN, 60))[1]


def test_a_side_may_show_the_old_state_for_moments():
    ours = wrote(standing(OPEN), ACKNOWLEDGED, 12)
    settling = SETTLING.total_seconds()
    state, applied = observed(ours, read(OPEN, 12.2 + settling - 0.1))
    assert (Applied.STALE, ACKNOWLEDGED) == (applied, state.status)
    assert Applied.WRITE_LOST is observed(ours, read(OPEN, 12.2 + settling))[1]


def test_a_read_that_shows_what_was_not_kept_says_no_more_when_it_is_received_again():
    again = read(OPEN, 60)
    lost = observed(wrote(standing(OPEN), ACKNOWLEDGED, 12), again)[0]
    assert (lost, Applied.SAME) == observed(lost, again)


def test_what_was_not_kept_and_is_said_later_is_somebodys():
    lost = observed(wrote(standing(OPEN), ACKNOWLEDGED, 12), read(OPEN, 60))[0]
    state, applied = said(lost, event(OPEN, 70, goes_back=True), readable=True)
    assert (Applied.TAKEN, True) == (applied, state.differs_from(ACKNOWLEDGED))


# --------------------------------------------------------------------------------------- reads after a lost answer


def amid_lost(status: Status, from_status: Status = OPEN) -> SideState:
    """Nobody knows whether it was made."""
    return writing(standing(from_status), status, at(12), True)


@pytest.mark.parametrize("changed", [12.3, None])
def test_a_read_that_shows_it_proves_a_write_whose_answer_was_lost(changed: float | None):
    state, made = resolved_by_read(amid_lost(RESOLVED), read(RESOLVED, 20, changed))
    assert (True, RESOLVED, None, True) == (made, state.status, state.pending, state.confirmed)


@pytest.mark.parametrize("changed", [10.25, None])
def test_one_that_shows_what_was_before_says_that_it_was_not_made(changed: float | None):
    state, made = resolved_by_read(amid_lost(RESOLVED), read(OPEN, 20, changed))
    assert (False, OPEN, None) == (made, state.status, state.pending)


@pytest.mark.parametrize(("changed", "made"), [(13.6, True), (10.25, False), (None, False)])
def test_what_was_resolved_again_since_our_reopen_was_resolved_by_somebody(changed: float | None, made: bool):
    """Also where the event that told of it was heard before the read."""
    again = (
        after_all(amid_lost(OPEN, RESOLVED), event(RESOLVED, 13.6, received=14)) if made else amid_lost(OPEN, RESOLVED)
    )
    state, was_made = resolved_by_read(again, read(RESOLVED, 20, changed))
    assert (made, RESOLVED, False) == (was_made, state.status, state.by_us)


def test_a_side_that_went_back_from_it_had_been_there():
    """*Unacknowledged* heard while our acknowledge is unknown proves the acknowledge."""
    back = Said(OPEN, there(13.3), at(13.5), goes_back=True, back_from=(ACKNOWLEDGED,))
    state, made = resolved_by_read(after_all(amid_lost(ACKNOWLEDGED), back), read(OPEN, 20, changed=13.3))
    assert (True, OPEN) == (made, state.status)


def test_what_opens_a_resolved_incident_proves_no_acknowledge():
    """PagerDuty opens what is resolved before it acknowledges it, or somebody did that."""
    back = Said(OPEN, there(13.3), at(13.5), goes_back=True, back_from=(RESOLVED,))
    assert not resolved_by_read(after_all(amid_lost(ACKNOWLEDGED), back), read(OPEN, 20, changed=13.3))[1]


def test_a_side_that_spoke_while_it_was_read_is_read_again():
    received = after_all(amid_lost(RESOLVED), event(ACKNOWLEDGED, 13, received=21))
    assert (received, None) == resolved_by_read(received, read(OPEN, 20))


def test_an_event_that_was_taken_a_moment_ago_is_read_again():
    taken = accepted(amid_lost(RESOLVED), RESOLVED, None, at(12.2))
    assert (taken, None) == resolved_by_read(taken, read(OPEN, 13, changed=10.25))
    state, made = resolved_by_read(taken, read(OPEN, 30, changed=10.25))
    assert (False, 1) == (made, state.unconfirmed_count)


def test_what_an_earlier_write_turns_out_to_have_done_is_our_own_doing():
    """A resolve and then an acknowledge by event; the read shows the resolve."""
    taken = accepted(amid_lost(RESOLVED), RESOLVED, None, at(12.2))
    later = accepted(writing(taken, ACKNOWLEDGED, at(13), True), ACKNOWLEDGED, None, at(13.2))
    state, made = resolved_by_read(later, read(RESOLVED, 30, changed=12.6))
    assert (False, RESOLVED, False) == (made, state.status, state.differs_from(OPEN))
