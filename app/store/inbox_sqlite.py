"""The inbox in a SQLite file of its own.

Raw ``sqlite3``: SQLAlchemy doubles the cost of this one statement. WAL with ``synchronous=FULL``: the commit has been
fsynced when the statement returns (https://www.sqlite.org/pragma.html#pragma_synchronous). Row ids become visible in
their order, which the intake's cursor relies on; a weaker setting with an fsync of our own afterwards would show rows
that a power cut takes back, and give their ids to others.

The shape, measured under gunicorn with 2 processes x 8 threads on a shared machine (``python -m bench.inbox_micro``):
one connection for each process and group commit, because threads with a connection each fight for
SQLite's write lock (950 rows a second and a 99th percentile of 160 ms, against 1,600 and 30); and a lock between the
processes (``WriteLock``), because two processes fight the same way.
"""

import fcntl
import hashlib
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from app.domain.model.types import EPOCH, MICROSECOND, Source
from app.ports import Delivery, StoreUnavailable

COLUMNS = "source, delivery_id, received_at, body, request_id, content_encoding, secret_index, trace"
MAX_ID_BYTES = 512
"""Longer ids are stored as their hash: a PostgreSQL index entry ends near 2,700 bytes."""
MAX_TEXT_CHARS = 200
CURSOR = "intake.cursor"
"""Key, in the bridge's own store: the number of the last row taken in."""

Row = tuple[str, str, int, bytes, str, str | None, int, str | None]
"""The values of ``COLUMNS``."""
Key = tuple[str, str]
"""Source and delivery id: what makes a delivery new or a duplicate."""


def row_of(delivery: Delivery) -> Row:
    """The values to store. Equal deliveries give equal keys, and no text a sender can write is refused by a store."""
    encoding = delivery.content_encoding
    return (
        str(delivery.source),
        storable_id(delivery.delivery_id),
        (delivery.received_at - EPOCH) // MICROSECOND,
        delivery.body,
        _storable_text(delivery.request_id),
        None if encoding is None else _storable_text(encoding),
        delivery.secret_index,
        delivery.trace,
    )


def storable_id(text: str) -> str:
    """The id itself or, if a store would refuse it (lone surrogates, NUL, too long), a hash that stands for it."""
    if text.isascii() and len(text) <= MAX_ID_BYTES and "\0" not in text:
        return text
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= MAX_ID_BYTES and b"\0" not in raw and raw.decode("utf-8", "replace") == text:
        return text
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def insert_statement(rows: int, mark: str) -> str:
    """One statement for so many rows; it returns the keys of those that were new. ``mark`` is ``?`` or ``%s``.

    A statement by itself is a transaction, so a batch costs one round trip and one fsync.
    """
    one = "(" + ", ".join([mark] * 8) + ")"
    return (
        f"INSERT INTO inbox ({COLUMNS}) VALUES {', '.join([one] * rows)} "  # noqa: S608 - no value is ever part of it
        "ON CONFLICT DO NOTHING RETURNING source, delivery_id"
    )


def newest_statement(mark: str) -> str:
    """The deliveries of a source whose id lies between two texts; few, for the second ends a series. No ``LIMIT``: a
    planner could read the whole inbox backwards for it."""
    return f"SELECT id, delivery_id FROM inbox WHERE source = {mark} AND delivery_id >= {mark} AND delivery_id < {mark}"  # noqa: S608


def bounds_of(series: str) -> tuple[str, str]:
    """Between which texts the ids of a series lie, however a store sorts letters and digits."""
    return f"{series}0", f"{series}g"


def _storable_text(text: str) -> str:
    """For people: cut, and what cannot be stored replaced."""
    return text[:MAX_TEXT_CHARS].replace("\0", "?").encode("utf-8", "replace").decode()


# ---------------------------------------------------------------------------------------------------------- write lock

# SQLite's own busy handler sleeps 1, 2, 5, 10 ... 100 milliseconds and whoever wakes luckiest goes first: with two
# saturating processes its 99th percentile is hundreds of milliseconds. A lock on a file beside the database, asked for
# every tenth of a millisecond, brings it near that of one process. A blocking ``flock`` wakes its waiters no sooner in
# effect (within 5 %, measured) and has no timeout, so a stopped process would stop the others.
#
# This lock is for speed, not for safety: whoever does not get it in time goes on, and SQLite's lock decides.

RETRY_SECONDS = 0.0001


class WriteLock:
    """``with write_lock:`` one process at a time writes. For one thread at a time, and one instance for each
    process."""

    def __init__(self, database: Path, timeout: float) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._timeout = timeout
        self._file: int | None = None

    def __enter__(self) -> None:
        with suppress(OSError):  # a disk that refuses the lock file will refuse the write, and say why
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._wait(self._file)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _wait(self, file: int) -> None:
        deadline = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + self._timeout
                if now >= deadline:
                    return
                time.sleep(RETRY_SECONDS)


# -------------------------------------------------------------------------------------------------------- group commit

# Many request threads, one commit. A thread that finds nobody writing writes everything that waits, its own row and the
# others', in one transaction, and wakes each thread whose row is written; then the first that still waits goes on. On a
# disk whose fsync takes five milliseconds this is the difference between two hundred accepted deliveries a second and
# as many as there are threads times that; alone, a thread pays only an uncontended lock. Nobody waits for the lock
# itself: who is done would stand behind the next commit, and a commit would find two rows instead of all.
#
# Leader and followers rather than a writer thread: measured side by side under gunicorn (2 processes x 8 threads, 16
# connections, six rounds each; ``python -m bench.inbox_micro`` repeats it) the writer thread stored as many a second,
# but with a fifth more thread switches and a 99th percentile of 39 ms against 27; and it would be one more thing that
# can die, hang, or be missing after a fork.

MAX_ROWS = 32
"""Of one commit; bodies are at most 1 MiB each, so a batch stays below what one statement and one process may hold."""
COMMIT_TIMEOUT_SECONDS = 4.0
"""How long a caller waits for its row: below the 5 seconds after which PagerDuty hangs up.
https://support.pagerduty.com/main/docs/webhooks"""

Write = Callable[[Sequence[Row]], Collection[Key]]
"""Stores the rows in one durable transaction; the answer is the keys of the new ones. Raises ``StoreUnavailable``."""


class UnwritableRow(StoreUnavailable):
    """The fault lies in one of the rows, not in the store: the others can still be written."""


def _taken_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Entry:
    row: Row
    new: bool = False
    fault: BaseException | None = None
    written: bool = False
    woken: threading.Lock = field(default_factory=_taken_lock)
    """Free for once when there is something to look at."""

    def finish(self) -> None:
        """Nothing more becomes of it."""
        self.written = True
        self.wake()

    def wake(self) -> None:
        """Have its thread look again."""
        with suppress(RuntimeError):  # somebody else has, and it has not looked yet
            self.woken.release()

    def answer(self) -> bool:
        if self.fault is not None:
            raise StoreUnavailable(str(self.fault)) from (self.fault.__cause__ or self.fault)
        return self.new


class GroupCommit:
    """Collects the rows of all threads of this process into few commits."""

    def __init__(self, write: Write, timeout: float = COMMIT_TIMEOUT_SECONDS) -> None:
        self._write = write
        self._timeout = timeout
        self._lock = threading.Lock()
        self._waiting: deque[_Entry] = deque()
        self._exclusive: deque[object] = deque()
        """Those who want to be alone, for whom a commit is not begun."""

    def add(self, row: Row) -> bool:
        """True when the row is new, False for a duplicate; durable either way.

        Raises ``StoreUnavailable`` when its commit failed or did not happen in time. It may be stored nevertheless;
        the sender then repeats it and it is a duplicate.
        """
        entry = _Entry(row)
        self._waiting.append(entry)
        ends = time.monotonic() + self._timeout
        while not entry.written:
            if not self._exclusive and self._lock.acquire(blocking=False):
                try:
                    if not entry.written:  # by whoever had the lock a moment ago
                        self._commit_waiting()
                finally:
                    self._pass_on()
            elif not entry.woken.acquire(timeout=max(0.0, ends - time.monotonic())):
                return self._given_up(entry)
        return entry.answer()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every commit of this process out meanwhile. Raises ``StoreUnavailable`` when that takes too long."""
        self._exclusive.append(self)
        try:
            is_alone = self._lock.acquire(timeout=self._timeout)
        finally:
            self._exclusive.pop()
        if not is_alone:
            self._wake_next()
            raise StoreUnavailable("the inbox is busy")
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """Whoever came meanwhile saw the lock taken, and is here to be woken."""
        self._lock.release()
        self._wake_next()

    def _wake_next(self) -> None:
        if self._waiting:
            with suppress(IndexError):  # the last one gave up between the two lines
                self._waiting[0].wake()

    def _given_up(self, entry: _Entry) -> bool:
        if entry.written:
            return entry.answer()
        with suppress(ValueError):  # a leader may have it in hand; its answer comes too late for this caller
            self._waiting.remove(entry)
        self._wake_next()  # it may have been this one's turn
        raise StoreUnavailable(f"the inbox could not be written within {self._timeout:g} seconds")

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
            for entry in batch:  # of equal keys in one batch the first is new, the rest are duplicates
                key = entry.row[:2]
                entry.new = key in new
                new.discard(key)
                entry.finish()


def _fail(batch: Sequence[_Entry], fault: BaseException) -> None:
    for entry in batch:
        if not entry.written:
            entry.fault = fault
            entry.finish()


class InboxSession(Protocol):
    """One process's connection. Everything but ``commits`` is called by one thread at a time, and raises
    ``StoreUnavailable``."""

    commits: GroupCommit

    def between(self, source: str, first: str, last: str) -> list[tuple[int, str]]:
        """The deliveries of a source whose id lies between two texts."""

    def probe(self) -> None:
        """Write a row and take it back."""

    def close(self) -> None: ...


class SharedInbox:
    """Implements ``ports.Inbox``: threads and processes may share it, and it may be made before a fork."""

    def __init__(self, opened: Callable[[], InboxSession]) -> None:
        self._opened = opened
        self._sessions: dict[int, InboxSession] = {}

    def add(self, delivery: Delivery) -> bool:
        return self._session().commits.add(row_of(delivery))

    def newest_of(self, source: Source, series: str) -> tuple[int, str] | None:
        session = self._session()
        with session.commits.alone():
            return max(session.between(source, *bounds_of(series)), default=None)

    def check_writable(self) -> None:
        session = self._session()
        with session.commits.alone():
            session.probe()

    def close(self) -> None:
        """Close this process's connection; the next use opens a new one."""
        session = self._session()
        with session.commits.alone():
            session.close()

    def _session(self) -> InboxSession:
        """This process's own; a parent's must neither be used nor closed here."""
        pid = os.getpid()
        try:
            return self._sessions[pid]
        except KeyError:
            return self._sessions.setdefault(pid, self._opened())


# -------------------------------------------------------------------------------------------------------- inbox sqlite

LOCK_SECONDS = 0.75
"""How long one commit waits for the write lock, and then once more for SQLite's lock: two commits fit into the
timeout."""
_ROW_FAULTS = (sqlite3.DataError, sqlite3.InterfaceError, UnicodeError, OverflowError)
_STATEMENTS = tuple(insert_statement(rows, "?") for rows in range(1, 33))
_NEWEST = newest_statement("?")
_PROBE: Row = ("", "probe", 0, b"\0" * 4096, "", None, 0, None)


class SqliteInbox(SharedInbox):
    """On one machine. What a parent opened is kept, unused: closing it here would tear the parent's locks down.

    https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
    """

    def __init__(self, path: Path, timeout: float = COMMIT_TIMEOUT_SECONDS, lock_seconds: float = LOCK_SECONDS) -> None:
        super().__init__(partial(_InboxFile, path.absolute(), timeout, lock_seconds))


class _InboxFile:
    def __init__(self, path: Path, timeout: float, lock_seconds: float) -> None:
        self.commits = GroupCommit(self._write, timeout)
        self._path = path
        self._lock_seconds = lock_seconds
        self._write_lock = WriteLock(path, lock_seconds)
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def close(self) -> None:
        self._disconnect()
        self._write_lock.close()

    def probe(self) -> None:
        try:
            with self._write_lock:
                connection = self._opened()
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_STATEMENTS[0], _PROBE).fetchall()
                connection.execute("DELETE FROM inbox WHERE source = ''")
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as fault:
            self.close()
            raise StoreUnavailable(str(fault)) from fault

    def between(self, source: str, first: str, last: str) -> list[tuple[int, str]]:
        try:
            return self._opened().execute(_NEWEST, (source, first, last)).fetchall()
        except (sqlite3.Error, OSError) as fault:
            self.close()
            raise StoreUnavailable(str(fault)) from fault

    def _write(self, rows: Sequence[Row]) -> list[Key]:
        values = [value for row in rows for value in row]
        try:
            with self._write_lock:
                return self._opened().execute(_STATEMENTS[len(rows) - 1], values).fetchall()
        except _ROW_FAULTS as fault:
            self.close()
            raise UnwritableRow(str(fault)) from fault
        except (sqlite3.Error, OSError) as fault:
            self.close()  # a fresh connection is the one repair that fits every fault
            raise StoreUnavailable(str(fault)) from fault

    def _opened(self) -> sqlite3.Connection:
        """The connection to the file that lies at the path now, not to one that was moved away or deleted."""
        found = self._path.stat()
        if self._connection is None or self._identity != (found.st_dev, found.st_ino):
            self._disconnect()
            self._connection = _connect(self._path, self._lock_seconds)
            self._identity = (found.st_dev, found.st_ino)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _connect(path: Path, lock_seconds: float) -> sqlite3.Connection:
    """``mode=rw``: a missing file is a fault to report, not an empty inbox to create."""
    connection = sqlite3.connect(
        path.as_uri() + "?mode=rw", uri=True, isolation_level=None, check_same_thread=False, timeout=lock_seconds
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON").fetchall()
        connection.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone leaves the data in the drive's cache
        [mode] = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError(f"the inbox cannot use a write-ahead log here (journal mode {mode})")
    except BaseException:
        connection.close()
        raise
    return connection
