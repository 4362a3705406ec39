"""Who is gone is replaced; who hangs is ended; who merely has another clock is left alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.services.sync.recovery import CHECKS, RecoverDeadWorkers


@dataclass
class FakeLeases:
    held: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    ended: list[tuple[str, int]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    locked: set[str] = field(default_factory=set)

    @contextmanager
    def vacant(self, executor_id: str) -> Iterator[bool]:
        free = executor_id not in self.held
        if free:
            self.locked.add(executor_id)
        yield free
        self.locked.discard(executor_id)

    def holders(self) -> Mapping[str, tuple[int, str | None]]:
        return dict(self.held)

    def end(self, executor_id: str, pid: int) -> int:
        self.ended.append((executor_id, pid))
        return 3

    def forget(self, executor_id: str) -> None:
        self.forgotten.append(executor_id)


@dataclass
class FakeLeftovers:
    leases: FakeLeases
    in_hand: dict[str, int] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)

    def owners(self) -> frozenset[str]:
        return frozenset(self.in_hand)

    def recover_dead_worker(self, executor_id: str) -> int:
        assert executor_id in self.leases.locked, "somebody could acquire it meanwhile"
        self.taken.append(executor_id)
        return self.in_hand.pop(executor_id)

    def pick_up(self) -> int:
        return 0


def world(**in_hand: int) -> tuple[FakeLeases, FakeLeftovers, RecoverDeadWorkers]:
    leases = FakeLeases({"worker-0": (10, "t0")})
    leftovers = FakeLeftovers(leases, {name.replace("_", "-"): count for name, count in in_hand.items()})
    return leases, leftovers, RecoverDeadWorkers(leases, leftovers, "worker-0")


def test_only_the_work_of_vacant_leases_is_recovered() -> None:
    leases, leftovers, look = world(worker_0=1, worker_1=2, worker_2=3)
    leases.held["worker-1"] = (11, "t0")
    look()
    look()
    assert ["worker-2"] == leftovers.taken == leases.forgotten


def test_a_sign_of_life_that_stays_the_same_in_so_many_looks_ends_its_holder() -> None:
    leases, _, look = world()
    leases.held["worker-1"] = (11, "t0")
    for beat in range(CHECKS - 1):
        leases.held["worker-0"] = (10, f"t{beat}")
        look()
    assert [] == leases.ended
    leases.held["worker-0"] = (10, "later")
    look()
    assert [("worker-1", 11)] == leases.ended


def test_while_nobodys_sign_of_life_is_written_nobody_is_ended() -> None:
    leases, _, look = world()
    leases.held["worker-1"] = (11, "t0")
    for _ in range(3 * CHECKS):
        look()
    assert [] == leases.ended


def test_whoever_moves_is_left_alone_whatever_its_clock_says() -> None:
    leases, _, look = world()
    for beat in range(3 * CHECKS):
        leases.held["worker-1"] = (11, f"1999-01-01 {beat // (CHECKS - 1)}")
        look()
    assert [] == leases.ended


def test_a_new_holder_is_given_its_own_time() -> None:
    leases, _, look = world()
    for pid in (11, 12):
        leases.held["worker-1"] = (pid, "t0")
        for _ in range(CHECKS - 1):
            look()
    assert [] == leases.ended


def test_one_that_shows_no_signs_and_this_worker_itself_are_never_ended() -> None:
    leases, _, look = world()
    leases.held["worker-1"] = (11, None)
    for _ in range(3 * CHECKS):
        look()
    assert [] == leases.ended


def test_where_there_is_one_worker_only_its_own_are_looked_after() -> None:
    _, leftovers, _ = world(worker_9=1)
    RecoverDeadWorkers(None, leftovers, "main")()
    assert [] == leftovers.taken
