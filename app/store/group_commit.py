"""Many request threads, one commit.

The thread that gets the lock writes everything that waits, its own row and the others', in one transaction; the others
find their row settled when the lock reaches them. On a disk whose fsync takes five milliseconds this is the difference
between two hundred accepted deliveries a second and as many as there are threads times that; alone, a thread pays only
an uncontended lock.

Leader and followers rather than a writer thread: measured side by side under gunicorn (2 processes x 8 threads, 16
connections, six rounds each; ``python -m bench.inbox_micro`` repeats it) the writer thread stored as many a second, but
with a fifth more thread switches and a 99th percentile of 39 ms against 27; and it would be one more thing that can
die, hang, or be missing after a fork.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from app.ports import StoreUnavailable
from app.store.inbox_rows import Key, Row

MAX_ROWS = 32
"""Of one commit; bodies are at most 1 MiB each, so a batch stays below what one statement and one process may hold."""
PATIENCE_SECONDS = 4.0
"""How long a caller waits for its row: below the 5 seconds after which PagerDuty hangs up.
https://support.pagerduty.com/main/docs/webhooks"""

Write = Callable[[Sequence[Row]], Collection[Key]]
"""Stores the rows in one durable transaction; the answer is the keys of the new ones. Raises ``StoreUnavailable``."""


class UnwritableRow(StoreUnavailable):
    """The fault lies in one of the rows, not in the store: the others can still be written."""


class _Entry:
    __slots__ = ("fault", "new", "row", "settled")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.new = False
        self.fault: BaseException | None = None
        self.settled = False

    def answer(self) -> bool:
        if self.fault is not None:
            raise StoreUnavailable(str(self.fault)) from (self.fault.__cause__ or self.fault)
        return self.new


class GroupCommit:
    """Collects the rows of all threads of this process into few commits."""

    def __init__(self, write: Write, patience: float = PATIENCE_SECONDS) -> None:
        self._write = write
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: deque[_Entry] = deque()

    def add(self, row: Row) -> bool:
        """True when the row is new, False for a duplicate; durable either way.

        Raises ``StoreUnavailable`` when its commit failed or did not happen in time. It may be stored nevertheless;
        the sender then repeats it and it is a duplicate.
        """
        entry = _Entry(row)
        self._waiting.append(entry)
        if not self._lock.acquire(timeout=self._patience):
            return self._given_up(entry)
        try:
            while not entry.settled:
                self._commit_waiting()
        finally:
            self._lock.release()
        return entry.answer()

    @property
    def waiting(self) -> int:
        """Rows that no commit has in hand yet."""
        return len(self._waiting)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every commit of this process out meanwhile. Raises ``StoreUnavailable`` when that takes too long."""
        if not self._lock.acquire(timeout=self._patience):
            raise StoreUnavailable("the inbox is busy")
        try:
            yield
        finally:
            self._lock.release()

    def _given_up(self, entry: _Entry) -> bool:
        if entry.settled:
            return entry.answer()
        with suppress(ValueError):  # a leader may have it in hand; its answer comes too late for this caller
            self._waiting.remove(entry)
        raise StoreUnavailable(f"the inbox could not be written within {self._patience:g} seconds")

    def _commit_waiting(self) -> None:
        batch = self._take_batch()
        try:
            self._commit(batch)
        except BaseException as fault:  # whatever stops the leader, nobody may wait for it or be told "accepted"
            _fail(batch, fault)
            raise

    def _take_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        while self._waiting and len(batch) < MAX_ROWS:
            try:
                batch.append(self._waiting.popleft())
            except IndexError:  # the last one gave up between the two lines
                break
        return batch

    def _commit(self, batch: list[_Entry]) -> None:
        try:
            new = set(self._write([entry.row for entry in batch]))
        except UnwritableRow as fault:
            if len(batch) == 1:
                _fail(batch, fault)
            else:
                for entry in batch:
                    self._commit([entry])
        except Exception as fault:
            _fail(batch, fault)
        else:
            _settle(batch, new)


def _settle(batch: Sequence[_Entry], new: set[Key]) -> None:
    """Of equal keys in one batch the first is new, the rest are duplicates."""
    for entry in batch:
        key = entry.row[:2]
        entry.new = key in new
        new.discard(key)
        entry.settled = True


def _fail(batch: Sequence[_Entry], fault: BaseException) -> None:
    for entry in batch:
        if not entry.settled:
            entry.fault = fault
            entry.settled = True
