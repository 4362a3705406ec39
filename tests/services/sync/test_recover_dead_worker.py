"""Who is gone is replaced; who hangs is ended; who merely has another clock is left alone."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType
from app.domain.model.types import LinkId, Side
from app.domain.sync.effects import EffectOutcome
from app.domain.sync.link import Link
from app.ports import DeliveryRef, Order, Tx
from app.services.sync.deliver import DeadLetterFailedDelivery
from app.services.sync.link_writer import LinkWriter
from app.services.sync.recovery import CHECKS, AllLeftovers, RecoverDeadWorkers
from app.store.claims import StoredClaims
from app.store.schema import links
from tests.fakes import SilentMeter
from tests.rig import Rig


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


# ---------------------------------------------------------------------------------------------------- what was claimed


class NothingQueued:
    """The queues' leftovers: none."""

    def owners(self) -> frozenset[str]:
        return frozenset({"worker-9"})

    def recover_dead_worker(self, executor_id: str) -> int:
        return 0

    def pick_up(self) -> int:
        return 0

    def unfinished(self, deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        return frozenset()


class Claimed:
    """A store in which another worker had claimed deliveries when it died."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.claims = rig, StoredClaims()
        self.lost_here: list[DeliveryRef] = []
        self.given_up: list[tuple[int, str]] = []
        self.notified = 0
        self.leftovers = AllLeftovers(
            NothingQueued(), self, rig.database, self.claims, rig.links, rig.deliver.writer, self._give_up,
            self._notify, rig.clock,
        )  # fmt: skip

    def _notify(self) -> None:
        self.notified += 1

    def lost(self) -> list[DeliveryRef]:
        return self.lost_here

    def _give_up(self, link_id: int, _side: Side, _seq: int, fault: str) -> None:
        self.given_up.append((link_id, fault))

    def claim(self, executor_id: str = "worker-3") -> DeliveryRef:
        """What the only link owes PagerDuty; nobody else will make it."""
        link = self.rig.link()
        self.rig.engine.waiting.clear()
        order = Order("pagerduty-rest", link.link_id, Side.PAGERDUTY, link.pagerduty.seq, 1)
        with self.rig.database.begin() as tx:
            self.claims.claim(tx, executor_id, [order])
        return order.link_id, order.side, order.seq

    def still_claimed(self) -> frozenset[str]:
        with self.rig.database.read() as tx:
            return self.claims.claimants(tx)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def claimed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Claimed]:
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
    rig = Rig(tmp_path, url=url)
    rig.alert(AlertEventType.CREATED)
    yield Claimed(rig)
    rig.database.engine.dispose()
    rig._inbox.dispose()


def test_what_a_dead_worker_claimed_is_made_by_another_that_looks_first(claimed: Claimed) -> None:
    _, _, seq = claimed.claim()
    assert {"worker-3", "worker-9"} == claimed.leftovers.owners()
    assert 1 == claimed.leftovers.recover_dead_worker("worker-3")
    assert frozenset() == claimed.still_claimed()
    assert seq + 1 == claimed.rig.link().pagerduty.seq
    claimed.rig.run()
    assert ["find", "open"] == claimed.rig.pagerduty.calls


def test_its_late_answer_is_only_an_observation(claimed: Claimed) -> None:
    link_id, side, seq = claimed.claim()
    claimed.leftovers.recover_dead_worker("worker-3")
    assert EffectOutcome.DONE == claimed.rig.deliver(link_id, side, seq)
    assert [] == claimed.rig.pagerduty.calls


def test_what_it_had_done_is_not_made_again(claimed: Claimed) -> None:
    claimed.rig.run()
    claimed.claim()
    claimed.leftovers.recover_dead_worker("worker-3")
    claimed.rig.run()
    assert ["open"] == claimed.rig.pagerduty.calls
    assert frozenset() == claimed.still_claimed()


def test_what_this_worker_lost_is_submitted_anew(claimed: Claimed) -> None:
    claimed.lost_here = [claimed.claim("worker-0")]
    assert 1 == claimed.leftovers.pick_up()
    claimed.rig.run()
    assert ["find", "open"] == claimed.rig.pagerduty.calls


def test_one_of_a_link_that_is_gone_or_cannot_be_read_is_given_up_and_stops_nobody(claimed: Claimed) -> None:
    link_id, _, _ = claimed.claim()
    with claimed.rig.database.begin() as tx:
        claimed.claims.claim(tx, "worker-3", [Order("pagerduty-rest", LinkId(99), Side.PAGERDUTY, 1, 1)])
    with claimed.rig.database.engine.begin() as connection:
        connection.execute(links.update().values(state="{broken"))
    assert 2 == claimed.leftovers.recover_dead_worker("worker-3")
    assert {(link_id, "ValidationError"), (99, "KeyError")} == set(claimed.given_up)
    assert frozenset() == claimed.still_claimed()


def test_what_is_claimed_is_no_orphan(claimed: Claimed) -> None:
    link_id, side, seq = claimed.claim()
    assert {(link_id, side, seq)} == claimed.leftovers.unfinished([(link_id, side, seq), (link_id, side, seq + 1)])


def test_one_that_breaks_is_given_up_and_stops_no_other(claimed: Claimed, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _, _ = claimed.claim()
    claimed.rig.alert(AlertEventType.CREATED, alert_id="a2")
    second = claimed.rig.link("a2")
    claimed.rig.engine.waiting.clear()
    with claimed.rig.database.begin() as tx:
        claimed.claims.claim(
            tx, "worker-3", [Order("pagerduty-rest", second.link_id, Side.PAGERDUTY, second.pagerduty.seq, 6)]
        )
    save = LinkWriter.save

    def breaks_for_the_first(writer: LinkWriter, tx: Tx, link: Link, at: datetime) -> Link:
        if link.link_id == first:
            raise TypeError("a bug")
        return save(writer, tx, link, at)

    monkeypatch.setattr(LinkWriter, "save", breaks_for_the_first)
    assert 2 == claimed.leftovers.recover_dead_worker("worker-3")
    assert [(first, "TypeError")] == claimed.given_up
    assert frozenset() == claimed.still_claimed()
    assert second.pagerduty.seq + 1 == claimed.rig.link("a2").pagerduty.seq


def test_one_that_cannot_even_be_given_up_keeps_its_claim_and_stops_no_other(claimed: Claimed) -> None:
    claimed.claim()
    with claimed.rig.database.begin() as tx:
        claimed.claims.claim(tx, "worker-3", [Order("pagerduty-rest", LinkId(99), Side.PAGERDUTY, 1, 1)])

    def breaks(*_: object) -> None:
        raise TypeError("a bug")

    leftovers = replace(claimed.leftovers, give_up=breaks)
    assert 2 == leftovers.recover_dead_worker("worker-3")
    assert {"worker-3"} == claimed.still_claimed()
    claimed.rig.run()
    assert ["find", "open"] == claimed.rig.pagerduty.calls


def test_a_delivery_of_a_link_that_is_gone_becomes_a_dead_letter(claimed: Claimed) -> None:
    rig = claimed.rig
    DeadLetterFailedDelivery(rig.database, rig.links, SilentMeter())(LinkId(99), Side.PAGERDUTY, 1, "KeyError")
    assert "delivery_broke:KeyError" in str(rig.dead_letter())


def test_what_comes_back_into_the_queues_is_looked_at_now(claimed: Claimed) -> None:
    class OneQueued(NothingQueued):
        def recover_dead_worker(self, executor_id: str) -> int:
            return 1

        def pick_up(self) -> int:
            return 1

    assert 0 == claimed.leftovers.pick_up() + claimed.leftovers.recover_dead_worker("worker-9") + claimed.notified
    leftovers = replace(claimed.leftovers, queued=OneQueued())
    assert 1 == leftovers.recover_dead_worker("worker-9") == claimed.notified
    assert 1 == leftovers.pick_up() == claimed.notified - 1
