"""Who is gone is replaced; who hangs is ended; who merely has another clock is left alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.services.take_over import LOOKS, TakeOver


@dataclass
class FakeSeats:
    sitting: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    ended: list[tuple[str, int]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    locked: set[str] = field(default_factory=set)

    @contextmanager
    def vacant(self, executor_id: str) -> Iterator[bool]:
        free = executor_id not in self.sitting
        if free:
            self.locked.add(executor_id)
        yield free
        self.locked.discard(executor_id)

    def holders(self) -> Mapping[str, tuple[int, str | None]]:
        return dict(self.sitting)

    def end(self, executor_id: str, pid: int) -> int:
        self.ended.append((executor_id, pid))
        return 3

    def forget(self, executor_id: str) -> None:
        self.forgotten.append(executor_id)


@dataclass
class FakeLeftovers:
    seats: FakeSeats
    in_hand: dict[str, int] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)

    def owners(self) -> frozenset[str]:
        return frozenset(self.in_hand)

    def take_over(self, executor_id: str) -> int:
        assert executor_id in self.seats.locked, "somebody could sit down meanwhile"
        self.taken.append(executor_id)
        return self.in_hand.pop(executor_id)

    def pick_up(self) -> int:
        return 0


def world(**in_hand: int) -> tuple[FakeSeats, FakeLeftovers, TakeOver]:
    seats = FakeSeats({"worker-0": (10, "t0")})
    leftovers = FakeLeftovers(seats, {name.replace("_", "-"): count for name, count in in_hand.items()})
    return seats, leftovers, TakeOver(seats, leftovers, "worker-0")


def test_only_the_work_of_vacant_seats_is_taken_over() -> None:
    seats, leftovers, look = world(worker_0=1, worker_1=2, worker_2=3)
    seats.sitting["worker-1"] = (11, "t0")
    look()
    look()
    assert ["worker-2"] == leftovers.taken == seats.forgotten


def test_a_sign_of_life_that_stays_the_same_in_so_many_looks_ends_its_holder() -> None:
    seats, _, look = world()
    seats.sitting["worker-1"] = (11, "t0")
    for beat in range(LOOKS - 1):
        seats.sitting["worker-0"] = (10, f"t{beat}")
        look()
    assert [] == seats.ended
    seats.sitting["worker-0"] = (10, "later")
    look()
    assert [("worker-1", 11)] == seats.ended


def test_while_nobodys_sign_of_life_is_written_nobody_is_ended() -> None:
    seats, _, look = world()
    seats.sitting["worker-1"] = (11, "t0")
    for _ in range(3 * LOOKS):
        look()
    assert [] == seats.ended


def test_whoever_moves_is_left_alone_whatever_its_clock_says() -> None:
    seats, _, look = world()
    for beat in range(3 * LOOKS):
        seats.sitting["worker-1"] = (11, f"1999-01-01 {beat // (LOOKS - 1)}")
        look()
    assert [] == seats.ended


def test_a_new_holder_is_given_its_own_time() -> None:
    seats, _, look = world()
    for pid in (11, 12):
        seats.sitting["worker-1"] = (pid, "t0")
        for _ in range(LOOKS - 1):
            look()
    assert [] == seats.ended


def test_one_that_shows_no_signs_and_this_worker_itself_are_never_ended() -> None:
    seats, _, look = world()
    seats.sitting["worker-1"] = (11, None)
    for _ in range(3 * LOOKS):
        look()
    assert [] == seats.ended


def test_where_there_is_one_worker_only_its_own_are_looked_after() -> None:
    _, leftovers, _ = world(worker_9=1)
    TakeOver(None, leftovers, "main")()
    assert [] == leftovers.taken
