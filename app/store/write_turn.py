"""Writers of several processes take turns before SQLite makes them.

SQLite's own busy handler sleeps 1, 2, 5, 10 ... 100 milliseconds and whoever wakes luckiest goes first: with two
saturating processes its 99th percentile is hundreds of milliseconds. A lock on a file beside the database, asked for
every tenth of a millisecond, brings it near that of one process. A blocking ``flock`` wakes its waiters no sooner in
effect (within 5 %, measured) and has no timeout, so a stopped process would stop the others.

A turn is manners, not safety: whoever does not get it in time goes on, and SQLite's lock decides.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

RETRY_SECONDS = 0.0001


class WriteTurn:
    """``with turn:`` one process at a time writes. For one thread at a time, and one instance for each process."""

    def __init__(self, database: Path, patience: float) -> None:
        self._path = database.with_name(database.name + ".turn")
        self._patience = patience
        self._file: int | None = None

    def __enter__(self) -> None:
        with contextlib.suppress(OSError):  # a disk that refuses the lock file will refuse the write, and say why
            self._wait(self._opened())

    def __exit__(self, _kind: type[BaseException] | None, _fault: object, _trace: TracebackType | None) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock file; the next turn opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._file

    def _wait(self, file: int) -> None:
        deadline = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + self._patience
                if now >= deadline:
                    return
                time.sleep(RETRY_SECONDS)
