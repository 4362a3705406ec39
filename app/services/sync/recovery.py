"""A pending delivery that is in no queue is submitted again. It should never happen; then it is said.

A pending delivery and its place in the queue are written together, so one without the other is a store that was
restored by halves, or a fault of ours. Asking costs little: what is pending for minutes is looked up by its age, some
at a time, and the engine is asked whether it knows of it.

A store that was copied from another one knows what is pending and has nothing in any queue: there everything pending is
asked about at once.

A delivery that ends between the two questions is not made again: it has changed its link by then, which is read once
more, locked. And one that is begun all the same finds its number outdated.

What a worker that is gone had in hand is finished by another; a worker that hangs is ended first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from app.domain.model.types import LinkId, Side
from app.domain.sync.delivery import without_outstanding
from app.domain.sync.link import Link
from app.ports import (
    COPIED,
    Claims,
    Clock,
    DeliveryRef,
    KeyValueStore,
    Links,
    Meter,
    PeriodicTask,
    StoreUnavailable,
    Transactions,
    Tx,
    utc_now,
)
from app.services.sync.link_writer import LinkWriter, line

# ------------------------------------------------------------------------------------------------- orphaned deliveries

log = structlog.get_logger()

OVERDUE = timedelta(minutes=5)
"""Pending for so long before anybody asks: a fresh one is being made."""
EVERY = timedelta(minutes=1)
"""Between looks that find nothing."""
AT_ONCE = 500
"""Deliveries towards one side in one check; the next check goes on after them."""

Place = tuple[datetime, LinkId]


class Overdue(Protocol):
    """What has been pending for long."""

    def overdue(
        self, tx: Tx, side: Side, before: datetime, after: Place | None, limit: int
    ) -> list[tuple[datetime, LinkId, int | None]]:
        """Owed towards that side since before that instant, the oldest first: since when, of which link, and the
        delivery's number; None where the link cannot be read."""
        ...


class Unfinished(Protocol):
    """What somebody knows of."""

    def unfinished(self, deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        """Which of these deliveries are queued, delayed, claimed or begun."""
        ...


@dataclass
class OrphanedDeliveries:
    """One check of what has been pending for long."""

    transactions: Transactions
    overdue: Overdue
    known: Unfinished
    links: Links
    writer: LinkWriter
    meter: Meter
    clock: Clock = utc_now
    key_values: KeyValueStore | None = None
    """Says whether the store is a copy; None where it is none."""
    _places: dict[Side, Place] = field(default_factory=dict)
    """Where the next check begins."""
    _next_at: datetime | None = None

    def __call__(self) -> int:
        """Look, unless it is too early; the answer is how many were submitted again. Raises what the store raises."""
        now = self.clock()
        if self.is_copy():
            return self._after_copy(now)
        if self._next_at is not None and now < self._next_at:
            return 0
        found = sum(self._again(delivery) for side in Side for delivery in self._lost(side, now - OVERDUE))
        self._next_at = now if found else now + EVERY
        return found

    def is_copy(self) -> bool:
        """Whether this store was copied, and nobody has looked since."""
        if self.key_values is None:
            return False
        with self.transactions.read() as tx:
            return self.key_values.read(tx, COPIED) is not None

    def _after_copy(self, now: datetime) -> int:
        """Submit everything that is pending, to the last of it; several workers may do so at the same time."""
        assert self.key_values is not None
        found, self._places = 0, {}
        while True:
            for side in Side:
                # Also what a clock that was ahead has dated.
                found += sum(self._again(delivery, True) for delivery in self._lost(side, now + OVERDUE))
            if not self._places:
                break
        with self.transactions.begin() as tx:
            self.key_values.clear(tx, COPIED)
        log.info("deliveries.submitted_after_copy", count=found)
        return found

    def _lost(self, side: Side, before: datetime) -> list[DeliveryRef]:
        """First what is pending, then what the engine knows: it knows of each before it is pending."""
        with self.transactions.read() as tx:
            rows = self.overdue.overdue(tx, side, before, self._places.get(side), AT_ONCE)
        if len(rows) < AT_ONCE:
            self._places.pop(side, None)
        else:
            self._places[side] = rows[-1][:2]
        deliveries = [(link_id, side, seq) for _, link_id, seq in rows if seq is not None]
        known = self.known.unfinished(deliveries) if deliveries else frozenset()
        return [delivery for delivery in deliveries if delivery not in known]

    def _again(self, wanted: DeliveryRef, expected: bool = False) -> bool:
        """Submit it, unless it has ended meanwhile. ``expected``: nothing is wrong that anybody had to know of."""
        link_id, side, seq = wanted
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            delivery = link.delivery(side)
            if not delivery.outstanding or delivery.seq != seq:
                return False
            now = self.clock()
            saved = self.writer.save(tx, _forgotten(link, side), delivery.since or now)
            self.links.write_timeline(tx, [line(saved, "delivery.resubmitted", now, {"side": side.value, "seq": seq})])
        if expected:
            return True
        self.meter.resubmitted(side)
        log.error(
            "delivery.resubmitted",
            link_id=link_id,
            alert_id=link.alert.alert_id,
            side=side.value,
            seq=seq,
            pending_since=None if delivery.since is None else delivery.since.isoformat(),
        )
        return True


def _forgotten(link: Link, side: Side) -> Link:
    """The link without that delivery, so that it is decided anew what is to be done. Its call may have been made:
    whoever goes on looks first."""
    link = without_outstanding(link, side)
    return replace(link, open_tried=True) if side is Side.PAGERDUTY else link


# -------------------------------------------------------------------------------------------------------- dead workers

# Every worker looks, every few seconds; looking twice, or two at a time, changes nothing. A worker hangs if its sign of
# life is the same in so many looks in a row: counted, not dated, so that neither clocks that differ nor a store that
# stood still for a minute (then nobody could look either) end a healthy one.

EVERY_SECONDS = 5.0
CHECKS = 7
"""Six intervals: a worker that shows no sign of life for thirty seconds hangs, and beats once a second else."""


class WorkerLeases(Protocol):
    """The leases of all workers of this store."""

    def vacant(self, executor_id: str) -> AbstractContextManager[bool]:
        """Whether nobody holds it; if so, nobody can acquire it before the block ends."""
        ...

    def holders(self) -> Mapping[str, tuple[int, str | None]]:
        """Every taken lease: the session that holds it (a server's process id), and its last sign of life (None before
        the first)."""
        ...

    def end(self, executor_id: str, pid: int) -> int:
        """End that holder's sessions, if that one still holds it; the answer is how many."""
        ...

    def forget(self, executor_id: str) -> None:
        """Delete the sign of life of a vacant lease."""
        ...


class Leftovers(Protocol):
    """What is begun and not ended, by who began it."""

    def owners(self) -> frozenset[str]:
        """Every executor that has something in hand, as the store says, the living ones included."""
        ...

    def recover_dead_worker(self, executor_id: str) -> int:
        """Let anybody go on with what that executor had in hand; the answer is how many deliveries."""
        ...

    def pick_up(self) -> int:
        """Go on with what this executor was given and does not know of; the answer is how many deliveries."""
        ...


class EngineLeftovers(Leftovers, Unfinished, Protocol):
    """What came by way of the queues."""


class Direct(Protocol):
    """What this worker makes past the queues."""

    def lost(self) -> Sequence[DeliveryRef]:
        """What is claimed under its name and not in hand, the urgent first."""
        ...


@dataclass(frozen=True)
class AllLeftovers:
    """What is begun and not ended, whichever way it came.

    What was claimed is submitted anew under the next number: the answer of a worker that is not dead after all is only
    an observation then.
    """

    queued: EngineLeftovers
    direct: Direct
    transactions: Transactions
    claims: Claims
    links: Links
    writer: LinkWriter
    give_up: Callable[[LinkId, Side, int, str], None]
    """Takes note of a delivery that cannot be made, and of the name of what it raised."""
    notify: Callable[[], None]
    """Has the queues looked at: something came back into them."""
    clock: Clock = utc_now

    def owners(self) -> frozenset[str]:
        with self.transactions.read() as tx:
            return self.queued.owners() | self.claims.claimants(tx)

    def recover_dead_worker(self, executor_id: str) -> int:
        with self.transactions.read() as tx:
            claimed = self.claims.of(tx, executor_id)
        return self._submit_anew(claimed) + self._come_back(self.queued.recover_dead_worker(executor_id))

    def pick_up(self) -> int:
        return self.submit_lost() + self._come_back(self.queued.pick_up())

    def submit_lost(self) -> int:
        """Submit anew what was claimed here and is not in hand; the answer is how many. Raises ``StoreUnavailable``."""
        return self._submit_anew(self.direct.lost())

    def _come_back(self, count: int) -> int:
        if count:
            self.notify()
        return count

    def unfinished(self, deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        with self.transactions.read() as tx:
            claimed = self.claims.claimed(tx, deliveries)
        return claimed | self.queued.unfinished(deliveries)

    def _submit_anew(self, deliveries: Sequence[DeliveryRef]) -> int:
        """One that breaks is given up, and stops no other; if that breaks, too, its claim stays."""
        for delivery in deliveries:
            try:
                self._submit_one_anew(delivery)
            except StoreUnavailable:
                raise
            except Exception:
                link_id, side, seq = delivery
                log.exception("delivery.not_recovered", link_id=link_id, side=side.value, seq=seq)
        return len(deliveries)

    def _submit_one_anew(self, delivery: DeliveryRef) -> None:
        link_id, side, seq = delivery
        try:
            with self.transactions.begin() as tx:
                link = self.links.get(tx, link_id)
                self.claims.release(tx, [delivery])
                owed = link.delivery(side)
                if owed.outstanding and owed.seq == seq:
                    self.writer.save(tx, _forgotten(link, side), owed.since or self.clock())
        except StoreUnavailable:
            raise
        except Exception as fault:
            self.give_up(link_id, side, seq, type(fault).__name__)
            with self.transactions.begin() as tx:
                self.claims.release(tx, [delivery])


@dataclass
class RecoverDeadWorkers:
    """One check of everybody else, and at what this worker itself may have let fall."""

    leases: WorkerLeases | None
    """None where there is only one worker."""
    leftovers: Leftovers
    mine: str
    """This worker's executor id."""
    checks: int = CHECKS
    _same: dict[str, tuple[tuple[int, str], int]] = field(default_factory=dict)
    """Each other worker's sign of life, and in how many looks it was this one."""
    _own: tuple[int, str | None] | None = None

    def __call__(self) -> None:
        """Look once. Raises whatever the store raises; the next check finds the same."""
        picked_up = self.leftovers.pick_up()
        if picked_up:
            log.warning("deliveries.picked_up", executor_id=self.mine, count=picked_up)
        if self.leases is not None:
            self._end_who_hangs(self.leases)
            for executor_id in sorted(self.leftovers.owners() - {self.mine}):
                self._recover(self.leases, executor_id)

    def _recover(self, leases: WorkerLeases, executor_id: str) -> None:
        with leases.vacant(executor_id) as vacant:
            count = self.leftovers.recover_dead_worker(executor_id) if vacant else 0
        if count:
            leases.forget(executor_id)
            log.warning("deliveries.recovered", executor_id=executor_id, by=self.mine, count=count)

    def _end_who_hangs(self, leases: WorkerLeases) -> None:
        holders = leases.holders()
        own = holders.get(self.mine)
        if own is not None and own == self._own:
            return  # nobody's signs of life are written just now, ours neither: then it is the store that stands still
        self._own = own
        now: dict[str, tuple[tuple[int, str], int]] = {}
        for executor_id, (pid, seen) in holders.items():
            if executor_id == self.mine or seen is None:
                continue
            before, count = self._same.get(executor_id, (None, 0))
            now[executor_id] = ((pid, seen), count + 1 if before == (pid, seen) else 1)
            if now[executor_id][1] >= self.checks and leases.end(executor_id, pid):
                log.critical("worker.fenced", executor_id=executor_id, last_seen=seen, by=self.mine)
        self._same = now


def recovery_task(
    recover_dead_worker: Callable[[], None], every_seconds: float = EVERY_SECONDS, at_once: bool = False
) -> PeriodicTask:
    """The check as a periodic task of every worker, the leader or not. ``at_once``: nobody has looked at this store."""
    first = 0.0 if at_once else every_seconds
    return PeriodicTask("recovery", every_seconds, recover_dead_worker, first_after_seconds=first, leader_only=False)
