"""Leader and followers: one commit for many, and nobody left waiting or told a lie."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.ports import StoreUnavailable
from app.store.inbox_sqlite import MAX_ROWS, GroupCommit, UnwritableRow

ALARM_SECONDS = 10


def row(n):
    return ("truthvouch", f"evt-{n}", 0, b"{}", "", None)


class Disk:
    """Takes its first commit and then nothing until told; remembers every commit."""

    def __init__(self, then: Callable[[list], None] = lambda rows: None) -> None:
        self.commits: list[list] = []
        self.held = threading.Event()
        self.go_on = threading.Event()
        self._then = then

    def write(self, rows):
        self.commits.append([key for _, key, *_ in rows])
        if len(self.commits) == 1:
            self.held.set()
            assert self.go_on.wait(ALARM_SECONDS)
        self._then(rows)
        return {key[:2] for key in rows}


def add_behind_a_held_commit(disk: Disk, rows: list, timeout: float = ALARM_SECONDS) -> list[Future]:
    """One caller is committing; then all of ``rows`` wait; then the disk goes on."""
    commits = GroupCommit(disk.write, timeout)
    with ThreadPoolExecutor(len(rows) + 1) as pool:
        answers = [pool.submit(commits.add, row("first"))]
        assert disk.held.wait(ALARM_SECONDS)
        for waiting, one in enumerate(rows, start=1):
            answers.append(pool.submit(commits.add, one))
            while len(commits._waiting) < waiting:
                threading.Event().wait(0.001)
        disk.go_on.set()
    return answers


def test_all_who_wait_share_one_commit():
    disk = Disk()
    answers = add_behind_a_held_commit(disk, [row(n) for n in range(5)])
    assert [["evt-first"], [f"evt-{n}" for n in range(5)]] == disk.commits
    assert [True] * 6 == [answer.result() for answer in answers]


def test_a_crowd_is_committed_in_batches_of_bounded_size():
    disk = Disk()
    answers = add_behind_a_held_commit(disk, [row(n) for n in range(MAX_ROWS + 3)])
    assert [1, MAX_ROWS, 3] == [len(commit) for commit in disk.commits]
    assert all(answer.result() for answer in answers)


def test_of_equal_deliveries_in_one_commit_the_first_is_new():
    answers = add_behind_a_held_commit(Disk(), [row(1), row(2), row(1)])
    assert [True, True, True, False] == [answer.result() for answer in answers]


def test_a_failed_commit_fails_every_caller_in_it_and_no_other():
    def full(rows):
        if rows[0] != row("first"):
            raise StoreUnavailable("disk full")

    first, *others = add_behind_a_held_commit(Disk(full), [row(n) for n in range(3)])
    assert first.result()
    for answer in others:
        with pytest.raises(StoreUnavailable, match="disk full"):
            answer.result()


def test_each_caller_gets_an_exception_of_its_own():
    def full(rows):
        raise StoreUnavailable("disk full")

    answers = add_behind_a_held_commit(Disk(full), [row(1), row(2)])
    assert 3 == len({id(answer.exception()) for answer in answers})


def test_one_unwritable_row_does_not_keep_the_others_out():
    def picky(rows):
        if row("bad") in rows:
            raise UnwritableRow("too odd")

    _, good, bad, better = add_behind_a_held_commit(Disk(picky), [row(1), row("bad"), row(2)])
    assert (True, True) == (good.result(), better.result())
    with pytest.raises(StoreUnavailable, match="too odd"):
        bad.result()


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), SystemExit(3)])
def test_whatever_stops_the_leader_nobody_waits_for_ever_or_hears_accepted(fault):
    def stop(rows):
        if rows[0] == row(1):
            raise fault

    first, *both = add_behind_a_held_commit(Disk(stop), [row(1), row(2)])
    assert first.result()
    # Which of the two leads is the lock's choice, not the order in which they came.
    stopped, refused = {type(fault)} & {SystemExit}, {StoreUnavailable}
    assert stopped | refused == {type(answer.exception()) for answer in both}


def test_a_caller_who_waits_too_long_is_refused_and_its_row_never_written():
    disk = Disk()
    commits = GroupCommit(disk.write, timeout=0.02)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(commits.add, row("first"))
        assert disk.held.wait(ALARM_SECONDS)
        with pytest.raises(StoreUnavailable, match=r"0\.02 seconds"):
            commits.add(row("late"))
        with pytest.raises(StoreUnavailable), commits.alone():
            pass
        disk.go_on.set()
    assert first.result()
    assert commits.add(row("next"))
    assert [["evt-first"], ["evt-next"]] == disk.commits


def test_whoever_is_done_goes_though_the_next_commit_hangs():
    disk, hangs, hung = Disk(), threading.Event(), threading.Event()

    def hang(rows):
        if row(MAX_ROWS) in rows:
            hung.set()
            assert hangs.wait(ALARM_SECONDS)

    disk._then = hang
    commits = GroupCommit(disk.write, ALARM_SECONDS)
    with ThreadPoolExecutor(MAX_ROWS + 3) as pool:
        pool.submit(commits.add, row("first"))
        assert disk.held.wait(ALARM_SECONDS)
        answers = []
        for waiting in range(1, MAX_ROWS + 3):
            answers.append(pool.submit(commits.add, row(waiting - 1)))
            while len(commits._waiting) < waiting:
                threading.Event().wait(0.001)
        disk.go_on.set()
        assert hung.wait(ALARM_SECONDS)
        try:
            assert [True] * MAX_ROWS == [answer.result(ALARM_SECONDS / 2) for answer in answers[:MAX_ROWS]]
            assert [False, False] == [answer.done() for answer in answers[MAX_ROWS:]]
        finally:
            hangs.set()
    assert [True, True] == [answer.result() for answer in answers[MAX_ROWS:]]


def test_who_wants_to_be_alone_goes_before_those_who_came_later():
    disk, entered, leaves = Disk(), threading.Event(), threading.Event()
    commits = GroupCommit(disk.write, ALARM_SECONDS)

    def look():
        with commits.alone():
            entered.set()
            assert leaves.wait(ALARM_SECONDS)

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(commits.add, row("first"))]
        assert disk.held.wait(ALARM_SECONDS)
        probe = pool.submit(look)
        while not commits._exclusive:
            threading.Event().wait(0.001)
        for waiting in (1, 2):
            answers.append(pool.submit(commits.add, row(waiting)))
            while len(commits._waiting) < waiting:
                threading.Event().wait(0.001)
        disk.go_on.set()
        assert entered.wait(ALARM_SECONDS)
        assert [["evt-first"]] == disk.commits
        leaves.set()
        probe.result(ALARM_SECONDS)
        assert [True] * 3 == [answer.result(ALARM_SECONDS) for answer in answers]
    assert [["evt-first"], ["evt-1", "evt-2"]] == disk.commits


@pytest.mark.parametrize("seed", range(4))
def test_in_any_order_of_commits_faults_exclusive_and_timeouts_everybody_hears_what_is_true(seed):
    chance, stored, sizes = random.Random(seed), set(), []

    def write(rows):
        sizes.append(len(rows))
        time.sleep(chance.choice([0, 0, 0.001, 0.01]))
        if chance.random() < 0.1:
            raise chance.choice([StoreUnavailable("full"), UnwritableRow("odd"), RuntimeError("a bug")])
        new = {key[:2] for key in rows} - stored
        stored.update(new)
        return new

    commits = GroupCommit(write, timeout=0.02)

    def one(n):
        try:
            if n % 25 == 0:
                with commits.alone():
                    return None
            return commits.add(row(n // 2))
        except StoreUnavailable:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(one, range(1500), timeout=ALARM_SECONDS * 3)]
    told = [n for n, answer in enumerate(answers) if answer in (True, False)]
    assert len(told) > 100
    assert all(row(n // 2)[:2] in stored for n in told)
    fresh = [n // 2 for n, answer in enumerate(answers) if answer is True]
    assert len(fresh) == len(set(fresh))
    assert min(sizes) > 0
    assert not commits._waiting
    assert not commits._exclusive
    assert not commits._lock.locked()
