"""Which pages of a list are read, whatever its order: nothing new is passed over, nothing old is read again."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.types import AlertId
from app.services.reconciliation.list_walk import ListWalk, Order, Resume, as_text, order_of, resume_from
from tests.fakes import START

NEWEST, OLDEST, UNKNOWN = Order.NEWEST_FIRST, Order.OLDEST_FIRST, Order.UNKNOWN


def minutes(*at: float) -> list[datetime]:
    return [START + timedelta(minutes=one) for one in at]


# ------------------------------------------------------------------------------------------------ the order


@pytest.mark.parametrize(
    ("times", "order"),
    [
        ([], UNKNOWN),
        ([1], UNKNOWN),
        ([1, 1, 1], UNKNOWN),
        ([1, 1, 2], OLDEST),
        ([2, 1, 1], NEWEST),
        ([1, 60, 120], OLDEST),
        ([120, 60, 1], NEWEST),
        ([1, 60, 58, 120], OLDEST),
        ([120, 58, 60, 1], NEWEST),
        ([1, 2, 1.5], UNKNOWN),
        ([2, 1, 1.5], UNKNOWN),
        ([1, 60, 30], UNKNOWN),
        ([60, 1, 30], UNKNOWN),
    ],
)
def test_the_order_is_seen_by_the_times_and_swapped_neighbours_do_not_matter(times, order):
    assert order is order_of(minutes(*times))


@given(st.lists(st.floats(0, 10_000), max_size=30))
def test_turned_round_a_list_has_the_opposite_order(times):
    opposite = {NEWEST: OLDEST, OLDEST: NEWEST, UNKNOWN: UNKNOWN}
    there, back = minutes(*times), minutes(*reversed(times))
    assert opposite[order_of(there)] is order_of(back)
    assert order_of(sorted(there)) in (OLDEST, UNKNOWN)


def test_where_a_walk_broke_off_can_be_written_down():
    assert Resume(7, OLDEST, START) == resume_from(as_text(START, 7, OLDEST))
    assert Resume(7, NEWEST, START) == resume_from(f"{START.isoformat()} 7"), "as earlier versions wrote it"


@pytest.mark.parametrize("text", [None, "", "7", f"{START.isoformat()} x", f"{START.isoformat()} 7 sideways", "- 7"])
def test_what_was_not_written_by_a_walk_is_no_place_to_go_on_at(text):
    assert None is resume_from(text)


# ------------------------------------------------------------------------------------------------ the pages


@dataclass
class Far:
    """A list of alerts, and what reconciliation remembers of it between two runs."""

    size: int = 2
    sort: Order = NEWEST
    reports_last_page: bool = True
    alerts: list[tuple[str, datetime | None]] = field(default_factory=list)
    now: datetime = START
    listed: datetime = START
    half: str | None = None
    known: set[str] = field(default_factory=set)
    asked: list[int] = field(default_factory=list)

    def raise_alerts(self, number: int, dated: bool = True, apart: float = 600) -> None:
        for _ in range(number):
            self.now += timedelta(seconds=apart)
            self.alerts.append((f"a{len(self.alerts)}", self.now if dated else None))

    def sorted(self) -> list[tuple[str, datetime | None]]:
        """Without an order: the oldest, the newest, the next oldest, the next newest and so on."""
        turned = self.alerts[::-1]
        if self.sort is UNKNOWN:
            both = (one for pair in zip(self.alerts, turned, strict=True) for one in pair)
            return list(both)[: len(self.alerts)]
        return self.alerts if self.sort is OLDEST else turned

    def run_to_the_end(self) -> None:
        """Long after the newest alert all is read."""
        self.now += timedelta(hours=1)
        assert self.run()

    def run(self, calls: int = 1_000) -> bool:
        """As ``LookAtAlerts`` does it; whether the walk came to its end."""
        self.now += timedelta(seconds=1)
        self.asked, began = [], self.now
        walk = ListWalk(self.listed, resume_from(self.half))
        while (number := walk.next_page()) is not None:
            if len(self.asked) == calls:
                if walk.resume is None and number > 1:
                    self.half = as_text(began, number, walk.order)
                return False
            self.asked.append(number)
            here = self.sorted()[(number - 1) * self.size : number * self.size]
            last = max(-(-len(self.alerts) // self.size), 1)
            must_continue = any(at is not None and ident not in self.known for ident, at in here)
            walk.add(
                number, {AlertId(ident): at for ident, at in here}, number < last,
                last if self.reports_last_page else None, must_continue,
            )  # fmt: skip
            self.known |= {ident for ident, _ in here}
        self.listed, self.half = began, None
        return True

    @property
    def lost(self) -> set[str]:
        return {ident for ident, _ in self.alerts} - self.known


def far(number: int, size: int = 2, sort: Order = NEWEST, reports_last_page: bool = True, apart: float = 600) -> Far:
    made = Far(size, sort, reports_last_page)
    made.raise_alerts(number, apart=apart)
    return made


def test_newest_first_is_read_until_a_page_is_old():
    here = far(20)
    here.run_to_the_end()
    here.run()
    assert [1] == here.asked
    here.raise_alerts(3)
    here.run()
    assert ([1, 2, 3], set()) == (here.asked, here.lost), "three are one page and a half, and one page is old"


def test_oldest_first_is_read_from_its_last_page_until_a_page_is_old():
    here = far(20, sort=OLDEST)
    here.run_to_the_end()
    here.run()
    assert [1, 10] == here.asked
    here.raise_alerts(3)
    here.run()
    assert ([1, 12, 11, 10], set()) == (here.asked, here.lost)


def test_oldest_first_where_nobody_says_which_page_is_the_last_is_read_whole():
    here = far(20, sort=OLDEST, reports_last_page=False)
    assert here.run()
    assert list(range(1, 11)) == here.asked
    here.raise_alerts(1)
    here.run()
    assert (list(range(1, 12)), set()) == (here.asked, here.lost)


@pytest.mark.parametrize("sort", [NEWEST, OLDEST])
def test_where_the_first_page_shows_no_order_the_next_one_may(sort):
    here = Far(3, sort)
    for _ in range(4):
        here.raise_alerts(3, apart=0)
        here.now += timedelta(hours=1)
    here.run_to_the_end()
    here.run()
    assert ([1, 2] if sort is NEWEST else [1, 2, 4]) == here.asked


def test_a_list_that_turns_out_to_have_no_order_is_read_whole():
    there = [minutes(3_000, 2_000), minutes(2_500, 10), minutes(1, 0), minutes(9_000, 5)]
    walk = ListWalk(START)
    order = []
    while (number := walk.next_page()) is not None:
        order.append(number)
        page = {AlertId(f"{number}.{n}"): at for n, at in enumerate(there[number - 1])}
        walk.add(number, page, number < 4, 4)
    assert ([1, 2, 3, 4], UNKNOWN) == (order, walk.order)


def test_sorted_by_something_else_the_last_page_gives_it_away():
    """Severity, then age: the first page is oldest first, and so is the last one."""
    walk = ListWalk(START + timedelta(days=1))
    pages = {1: minutes(1, 100), 2: minutes(3_000, 4_000), 3: minutes(2, 50)}
    read = []
    while (number := walk.next_page()) is not None:
        read.append(number)
        walk.add(number, {AlertId(f"{number}.{n}"): at for n, at in enumerate(pages[number])}, number < 3, 3)
    assert [1, 3, 2] == read


def test_a_list_that_shows_one_page_for_ever_is_left():
    for last in (None, 50):
        walk, page = ListWalk(START), {AlertId("a"): START, AlertId("b"): START + timedelta(hours=1)}
        for _ in range(2):
            number = walk.next_page()
            assert number is not None
            walk.add(number, page, True, last)
        assert walk.next_page() in (None, 2)
        if (number := walk.next_page()) is not None:
            walk.add(number, page, True, last)
            assert None is walk.next_page()


def page(*at: float) -> dict[AlertId, datetime | None]:
    return {AlertId(f"at {one}"): when for one, when in zip(at, minutes(*at), strict=True)}


def test_a_last_page_that_is_shown_for_ever_is_left():
    walk = ListWalk(START)
    for number, shown in [(1, page(60, 50)), (2, page(40)), (3, page(40))]:
        assert number == walk.next_page()
        walk.add(number, shown, True)
    assert None is walk.next_page()


def test_behind_an_old_page_with_an_alert_that_nobody_told_of_there_may_be_more():
    walk = ListWalk(START)
    walk.add(1, page(-60, -90), True, must_continue=True)
    assert 2 == walk.next_page()
    walk.add(2, page(-99, -100), True)
    assert None is walk.next_page()


def test_alerts_may_appear_a_little_after_their_own_time():
    walk = ListWalk(START)
    walk.add(1, page(-4, -60), True)
    assert 2 == walk.next_page()


def test_one_page_that_says_which_is_the_last_is_enough():
    walk = ListWalk(START)
    walk.add(1, page(-90, -80), True, 4)
    walk.add(4, page(10, 20), False)
    assert 3 == walk.next_page()


@pytest.mark.parametrize("sort", [NEWEST, OLDEST])
def test_where_a_walk_broke_off_it_goes_on_and_reads_nothing_twice_but_the_new_end(sort):
    here = far(20, sort=sort)
    assert not here.run(4)
    assert not here.run(4)
    first_and_new = [1] if sort is NEWEST else [1, 10]
    assert first_and_new == here.asked[: len(first_and_new)]
    while not here.run(4):
        pass
    assert set() == here.lost
    here.run_to_the_end()
    assert here.run(len(first_and_new))


def test_new_alerts_push_what_was_not_read_yet_further_back():
    """More pages came since than the broken walk had read: the rest lies behind them."""
    here = far(20)
    assert not here.run(2)
    here.now += timedelta(days=1)
    here.raise_alerts(12)
    assert here.run()
    assert set() == here.lost


def test_new_alerts_before_a_walk_that_broke_off_before_it_saw_an_order_are_read_too():
    here = Far(2)
    for _ in range(5):
        here.raise_alerts(2)
    here.raise_alerts(6, apart=0)
    assert not here.run(3)
    assert [1, 2, 3] == here.asked, "all of the same time"
    here.now += timedelta(days=1)
    here.raise_alerts(4, apart=0)
    assert here.run()
    assert set() == here.lost


def test_a_page_is_another_one_once_the_order_has_flipped():
    here = far(20)
    assert not here.run(3)
    here.now += timedelta(days=1)
    here.sort = OLDEST
    assert here.run()
    assert set() == here.lost


def test_a_page_that_tells_no_times_is_passed():
    here = far(2, apart=7_200)
    here.raise_alerts(2, dated=False)
    here.raise_alerts(2)
    here.run_to_the_end()
    assert set() == here.lost


def test_a_broken_walk_through_a_list_without_an_order_goes_round():
    here = far(20, 3, UNKNOWN)
    assert not here.run(4)
    assert [1, 2, 3, 4] == here.asked
    assert not here.run(4)
    assert ([1, 5, 6, 7], set()) == (here.asked, here.lost)
    here.raise_alerts(1)
    assert here.run()
    assert set() == here.lost


ORDERS = st.sampled_from([NEWEST, OLDEST])


@given(
    size=st.integers(2, 5),
    size_known=st.booleans(),
    steps=st.lists(st.tuples(st.integers(0, 9), ORDERS, st.integers(1, 6), st.booleans()), min_size=1, max_size=12),
    apart=st.sampled_from([0.0, 1.0, 70.0, 600.0, 7_200.0]),
    webhooks=st.randoms(use_true_random=False),
)
def test_once_a_walk_has_come_to_its_end_nothing_raised_before_it_is_unknown(size, size_known, steps, apart, webhooks):
    """Lists that grow, whose order flips, whose walks break off, with most webhooks heard and some lost."""
    here = Far(size, reports_last_page=size_known)
    for number, sort, calls, dated in steps:
        here.sort = sort
        before = len(here.alerts)
        here.raise_alerts(number, dated, apart)
        here.known |= {ident for ident, _ in here.alerts[before:] if webhooks.random() < 0.8}
        here.now += timedelta(minutes=webhooks.choice([0, 4, 30]))
        if here.run(calls):
            assert set() == {ident for ident in here.lost if dict(here.alerts)[ident] is not None}


@given(number=st.integers(0, 60), size=st.integers(3, 5), sort=st.sampled_from(Order), size_known=st.booleans())
def test_with_three_calls_a_run_every_list_is_read_to_its_end(number, size, sort, size_known):
    here = far(number, size, sort=sort, reports_last_page=size_known)
    for _ in range(70):
        here.now += timedelta(minutes=5)
        here.run(3)
    assert set() == here.lost
