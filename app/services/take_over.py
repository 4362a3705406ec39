"""What a worker that is gone had in hand is finished by another; a worker that hangs is ended first.

Every worker looks, every few seconds; looking twice, or two at a time, changes nothing. A worker hangs if its sign of
life is the same in so many looks in a row: counted, not dated, so that neither clocks that differ nor a store that
stood still for a minute (then nobody could look either) end a healthy one.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from app.ports import Round

log = structlog.get_logger()

EVERY_SECONDS = 5.0
LOOKS = 7
"""Six intervals: a worker that shows no sign of life for thirty seconds hangs, and beats once a second else."""


class Seats(Protocol):
    """The places of all workers of this store."""

    def vacant(self, executor_id: str) -> AbstractContextManager[bool]:
        """Whether nobody sits there; if so, nobody can sit down before the block ends."""
        ...

    def holders(self) -> Mapping[str, tuple[int, str | None]]:
        """Every taken seat: who holds it, and its last sign of life (None before the first)."""
        ...

    def end(self, executor_id: str, pid: int) -> int:
        """End that holder's sessions; the answer is how many."""
        ...

    def forget(self, executor_id: str) -> None:
        """No sign of life is left of a vacant seat."""
        ...


class Leftovers(Protocol):
    """What is begun and not ended, by who began it."""

    def owners(self) -> frozenset[str]:
        """Every executor that has something in hand, as the store says, the living ones included."""
        ...

    def take_over(self, executor_id: str) -> int:
        """Let anybody go on with what that executor had in hand; the answer is how many deliveries."""
        ...

    def pick_up(self) -> int:
        """Go on with what this executor was given and does not know of; the answer is how many deliveries."""
        ...


@dataclass
class TakeOver:
    """One look at everybody else, and at what this worker itself may have let fall."""

    seats: Seats | None
    """None where there is only one worker."""
    leftovers: Leftovers
    mine: str
    """This worker's executor id."""
    looks: int = LOOKS
    _same: dict[str, tuple[tuple[int, str], int]] = field(default_factory=dict)
    """Each other worker's sign of life, and in how many looks it was this one."""
    _own: tuple[int, str | None] | None = None

    def __call__(self) -> None:
        """Look once. Raises whatever the store raises; the next look finds the same."""
        picked_up = self.leftovers.pick_up()
        if picked_up:
            log.warning("deliveries.picked_up", executor_id=self.mine, count=picked_up)
        if self.seats is not None:
            self._end_who_hangs(self.seats)
            for executor_id in sorted(self.leftovers.owners() - {self.mine}):
                self._take_over(self.seats, executor_id)

    def _take_over(self, seats: Seats, executor_id: str) -> None:
        with seats.vacant(executor_id) as vacant:
            count = self.leftovers.take_over(executor_id) if vacant else 0
        if count:
            seats.forget(executor_id)
            log.warning("deliveries.taken_over", executor_id=executor_id, by=self.mine, count=count)

    def _end_who_hangs(self, seats: Seats) -> None:
        holders = seats.holders()
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
            if now[executor_id][1] >= self.looks and seats.end(executor_id, pid):
                log.critical("worker.fenced", executor_id=executor_id, last_seen=seen, by=self.mine)
        self._same = now


def take_over_round(take_over: Callable[[], None], every_seconds: float = EVERY_SECONDS) -> Round:
    """The look as every worker's round, the leader or not."""
    return Round("take-over", every_seconds, take_over, first_after_seconds=every_seconds, leader_only=False)
