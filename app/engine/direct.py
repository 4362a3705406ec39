"""Deliveries that are made at once by the worker that submitted them, past the queues.

A queue costs several transactions for each delivery; what can be done now needs none of them. Its claim, a row written
in the transaction that submits it, says that it is to be made and by whom. A claim goes when its delivery has ended;
what a dead worker claimed is submitted anew under the next number (``services.sync.recovery``), so that its answer,
should one still come, is only an observation.
"""

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import structlog

from app.ports import URGENT_ORDER, Claims, DeliveryRef, Order, Transactions, Tx

log = structlog.get_logger()

Call = Callable[[], str]


class PriorityPool:
    """A pool of daemon threads: the urgent first, equals in order of arrival. One for each queue."""

    def __init__(self, threads: int, name: str) -> None:
        """``threads``: how many calls run at once; but for one they start with the first call."""
        self._threads = threads
        self._name, self._started = name, 0
        self._waiting: list[tuple[int, int, Call, Future[str]]] = []
        self._idle: list[threading.Lock] = []
        """What the threads without a call wait for. The last to become idle is woken first: its memory and its
        connection are still in the processor's cache, and the others are left asleep."""
        self._order = count()
        self._lock = threading.Lock()
        self._unfinished = 0

    @property
    def free(self) -> int:
        """How many threads are free; below 0, how many calls wait for one."""
        return self._threads - self._unfinished

    def submit(self, priority: int, call: Call) -> Future[str]:
        """Run this when a thread is free; 1 goes before 10."""
        done: Future[str] = Future()
        with self._lock:
            self._unfinished += 1
            heappush(self._waiting, (priority, next(self._order), call, done))
            if self._idle:
                self._idle.pop().release()
            while self._started < self._threads and self._starts_one():
                pass
        return done

    def start(self) -> None:
        """Start the first thread: from now on whatever is submitted is run. Raises ``RuntimeError`` where the system
        has no thread left."""
        with self._lock:
            if not self._started and not self._starts_one():
                raise RuntimeError("the system has no thread left")

    def _starts_one(self) -> bool:
        try:
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        except RuntimeError:  # those that run go on, and the next call tries again
            log.warning("pool.thread_not_started", pool=self._name, running=self._started)
            return False
        self._started += 1
        return True

    def _work(self) -> None:
        woken = threading.Lock()
        woken.acquire()
        while True:
            with self._lock:
                waiting = heappop(self._waiting) if self._waiting else None
                if waiting is None:
                    self._idle.append(woken)
            if waiting is None:
                woken.acquire()
                continue
            _, _, call, done = waiting
            try:
                result: str | None = call()
            except BaseException as fault:
                result = None
                done.set_exception(fault)
            with self._lock:
                self._unfinished -= 1
            if result is not None:
                done.set_result(result)


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
        may wait for a thread. 0: none, because another worker may have one that is free."""
        self._transactions, self._claims, self._executor_id = transactions, claims, executor_id
        self._pools, self._limits, self._room = pools, limits, room
        self._run: Callable[[DeliveryRef, bool], str] | None = None
        self._is_queued: Callable[[Tx, str], bool] = lambda _tx, _queue: False
        self._lock = threading.Lock()
        self._in_hand: set[DeliveryRef] = set()
        self._ended: list[DeliveryRef] = []
        """Their claims are still to be released: with the next transaction that claims, or at the next look."""
        self._lost: frozenset[DeliveryRef] = frozenset()
        self._uncommitted: WeakKeyDictionary[Tx, Counter[str]] = WeakKeyDictionary()
        """How many each transaction has taken that was not yet handed to a pool, by queue."""
        self._starts: defaultdict[str, deque[float]] = defaultdict(deque)
        self._checked_at: dict[str, float] = {}
        """Queues that took what had no room here, and when we last looked whether they are empty again."""
        self._stopping = False

    def launch(self, run: Callable[[DeliveryRef, bool], str], is_queued: Callable[[Tx, str], bool]) -> None:
        """Begin to take orders. ``run`` makes a delivery; ``is_queued`` says whether a queue has something to start.
        Everything that is claimed by now under our name is an earlier run's, and lost."""
        for pool in self._pools.values():
            pool.start()
        with self._transactions.read() as tx:
            self._lost = frozenset(self._claims.of(tx, self._executor_id))
        self._is_queued, self._run = is_queued, run

    def submit(self, tx: Tx, orders: Sequence[Order]) -> list[Order]:
        """Claim what can be made at once, and make it when this transaction has committed; the answer is the rest."""
        taken: list[Order] = []
        rest: list[Order] = []
        for order in sorted(orders, key=lambda one: one.priority):
            (taken if self._takes(tx, order) else rest).append(order)
        if taken:
            with self._lock:
                ended, self._ended = self._ended, []
            self._claims.release(tx, ended)
            self._claims.claim(tx, self._executor_id, taken)
            self._transactions.after_commit(tx, partial(self._begin, tx, taken))
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

    def stop(self) -> None:
        """Take and begin nothing more. What has not begun stays claimed."""
        self._stopping = True

    def let_end(self, seconds: float) -> None:
        """Wait so long at most for what is being made."""
        deadline = time.monotonic() + seconds
        while self.in_hand() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _takes(self, tx: Tx, order: Order) -> bool:
        if self._run is None or self._stopping or order.delay_seconds:
            return False
        queue, urgent = order.queue, order.priority <= URGENT_ORDER
        in_turn = urgent or self._goes_behind_nobody(tx, queue)
        with self._lock:
            taken = sum(of_one[queue] for other, of_one in self._uncommitted.items() if not _is_over(other))
            has_room = self._pools[queue].free - taken > -self._room or (urgent and self._room > 0)
            if not (has_room and in_turn and (urgent or self._is_in_pace(queue))):
                self._checked_at.setdefault(queue, time.monotonic())
                return False
            self._starts[queue].append(time.monotonic())
            self._uncommitted.setdefault(tx, Counter())[queue] += 1
            return True

    def _is_in_pace(self, queue: str) -> bool:
        limit, starts = self._limits[queue], self._starts[queue]
        if limit is None:
            starts.clear()
            return True
        while starts and starts[0] <= time.monotonic() - limit["period"]:
            starts.popleft()
        return len(starts) < limit["limit"]

    def _goes_behind_nobody(self, tx: Tx, queue: str) -> bool:
        """Once a queue has taken what had no room, later orders go behind it, until it is empty again."""
        checked_at, now = self._checked_at.get(queue), time.monotonic()
        if checked_at is None:
            return True
        if now - checked_at < CHECK_SECONDS:
            return False
        if self._is_queued(tx, queue):
            self._checked_at[queue] = now
            return False
        self._checked_at.pop(queue, None)
        return True

    def _begin(self, tx: Tx, orders: Sequence[Order]) -> None:
        refs = [(order.link_id, order.side, order.seq) for order in orders]
        with self._lock:
            self._uncommitted.pop(tx, None)
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


def _is_over(tx: Tx) -> bool:
    connection: Any = tx
    return bool(connection.closed)
