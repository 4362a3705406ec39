"""Deliveries that are made at once by the worker that submitted them, past the queues.

A queue costs several transactions for each delivery; what can be done now needs none of them. Its claim, a row written
in the transaction that submits it, says that it is to be made and by whom. A claim goes when its delivery has ended;
what a dead worker claimed is submitted anew under the next number (``services.sync.recovery``), so that its answer,
should one still come, is only an observation.
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import count
from queue import PriorityQueue

from app.ports import URGENT_ORDER, Claims, DeliveryRef, Order, Transactions, Tx

Call = Callable[[], str]


class PriorityPool:
    """A pool of daemon threads: the urgent first, equals in order of arrival. One for each queue."""

    def __init__(self, threads: int, name: str) -> None:
        """``threads``: how many calls run at once; they start with the first call."""
        self._to_start, self._name = threads, name
        self._waiting: PriorityQueue[tuple[int, int, Call, Future[str]]] = PriorityQueue()
        self._order = count()
        self._starting = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._waiting.qsize()

    def submit(self, priority: int, call: Call) -> Future[str]:
        """Run this when a thread is free; 1 goes before 10."""
        if self._to_start:
            self._start()
        done: Future[str] = Future()
        self._waiting.put((priority, next(self._order), call, done))
        return done

    def _start(self) -> None:
        with self._starting:
            for number in range(self._to_start):
                threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()
            self._to_start = 0

    def _work(self) -> None:
        while True:
            _, _, call, done = self._waiting.get()
            try:
                done.set_result(call())
            except BaseException as fault:
                done.set_exception(fault)


CHECK_SECONDS = 0.25
"""From one look at a queue that overflowed to the next."""
POLL_SECONDS = 0.02


class DirectDeliveries:
    """Claims what this worker makes at once, makes it, and knows what it has in hand. Thread-safe."""

    def __init__(
        self,
        transactions: Transactions,
        claims: Claims,
        executor_id: str,
        pools: Mapping[str, PriorityPool],
        limits: Mapping[str, Mapping[str, float] | None],
        room: int,
    ) -> None:
        """``limits``: of each queue, how many may start (``limit``) in so many seconds (``period``); ``room``: how many
        may wait for a thread."""
        self._transactions, self._claims, self._executor_id = transactions, claims, executor_id
        self._pools, self._limits, self._room = pools, limits, room
        self._run: Callable[[DeliveryRef, bool], str] | None = None
        self._is_queued: Callable[[str], bool] = lambda _queue: False
        self._lock = threading.Lock()
        self._in_hand: set[DeliveryRef] = set()
        self._ended: list[DeliveryRef] = []
        """Their claims are still to be released: with the next transaction that claims, or at the next look."""
        self._lost: frozenset[DeliveryRef] = frozenset()
        self._starts: defaultdict[str, deque[float]] = defaultdict(deque)
        self._checked_at: dict[str, float] = {}
        """Queues that took what had no room here, and when we last looked whether they are empty again."""
        self._stopping = False

    def launch(self, run: Callable[[DeliveryRef, bool], str], is_queued: Callable[[str], bool]) -> None:
        """Begin to take orders. ``run`` makes a delivery; ``is_queued`` says whether a queue has something to start.
        Everything that is claimed by now under our name is an earlier run's, and lost."""
        with self._transactions.read() as tx:
            self._lost = frozenset(self._claims.of(tx, self._executor_id))
        self._is_queued, self._run = is_queued, run

    def submit(self, tx: Tx, orders: Sequence[Order]) -> list[Order]:
        """Claim what can be made at once, and make it when this transaction has committed; the answer is the rest."""
        taken: list[Order] = []
        rest: list[Order] = []
        for order in orders:
            (taken if self._takes(order) else rest).append(order)
        if taken:
            with self._lock:
                ended, self._ended = self._ended, []
            if ended:
                self._claims.release(tx, ended)
            self._claims.claim(tx, self._executor_id, taken)
            self._transactions.after_commit(tx, partial(self._begin, taken))
        return rest

    def in_hand(self) -> frozenset[DeliveryRef]:
        """What waits here or is being made."""
        with self._lock:
            return frozenset(self._in_hand)

    def lost(self) -> list[DeliveryRef]:
        """What is claimed under our name and not in hand, the urgent first: seen in two looks in a row, for what is
        claimed just now is not in hand yet. It happens when the answer to a commit is lost. Releases what has
        ended."""
        with self._lock:
            ended, self._ended = self._ended, []
        if ended:
            with self._transactions.begin() as tx:
                self._claims.release(tx, ended)
        in_hand = self.in_hand()
        with self._transactions.read() as tx:
            claimed = [ref for ref in self._claims.of(tx, self._executor_id) if ref not in in_hand]
        lost, self._lost = [ref for ref in claimed if ref in self._lost], frozenset(claimed)
        return lost

    def let_end(self, seconds: float) -> None:
        """Begin nothing more, and wait so long at most for what is being made. The rest stays claimed."""
        self._stopping = True
        deadline = time.monotonic() + seconds
        while self.in_hand() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _takes(self, order: Order) -> bool:
        if self._run is None or self._stopping or order.delay_seconds:
            return False
        with self._lock:
            allowed = self._is_allowed(order.queue)
            if order.priority > URGENT_ORDER and not (allowed and self._has_room(order.queue)):
                self._checked_at.setdefault(order.queue, time.monotonic())
                return False
            self._starts[order.queue].append(time.monotonic())
            return True

    def _is_allowed(self, queue: str) -> bool:
        """Within the queue's own pace; what is urgent goes all the same, and counts."""
        limit, starts = self._limits[queue], self._starts[queue]
        if limit is None:
            starts.clear()
            return True
        while starts and starts[0] <= time.monotonic() - limit["period"]:
            starts.popleft()
        return len(starts) < limit["limit"]

    def _has_room(self, queue: str) -> bool:
        """Once a queue has taken what had no room, later orders go behind it, until it is empty again."""
        if self._pools[queue].waiting >= self._room:
            return False
        checked_at, now = self._checked_at.get(queue), time.monotonic()
        if checked_at is None:
            return True
        if now - checked_at < CHECK_SECONDS:
            return False
        if self._is_queued(queue):
            self._checked_at[queue] = now
            return False
        del self._checked_at[queue]
        return True

    def _begin(self, orders: Sequence[Order]) -> None:
        refs = [order.ref for order in orders]
        with self._lock:
            self._in_hand.update(refs)
        for order, ref in zip(orders, refs, strict=True):
            self._pools[order.queue].submit(order.priority, partial(self._make, ref))

    def _make(self, ref: DeliveryRef) -> str:
        assert self._run is not None
        outcome = ""
        try:
            if not self._stopping:
                outcome = self._run(ref, True)
        finally:
            with self._lock:
                self._in_hand.discard(ref)
                if outcome:
                    self._ended.append(ref)
        return outcome
