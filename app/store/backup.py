"""Copies of the two SQLite files, taken while the bridge runs, and their way back; and the files without what is free.

``bridge.db`` first, then ``inbox.db``: the cursor over the inbox is in the first, so a pair that was written one after
the other has a cursor that is behind, never ahead. What lies after it is taken in once more and is no news to links
that know it. In the other order it would point at rows that the copy of the inbox does not have.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.ports import StoreUnavailable
from app.store.database import GIVES_BACK, known, make_private, open_bridge
from app.store.inbox_sqlite import WriteLock
from app.store.migrate import alone
from app.store.plain import StoreRefused, check_made
from app.store.worker_leases import workers_kept_out

BRIDGE, INBOX = "bridge.db", "inbox.db"
FILES = (BRIDGE, INBOX)
"""In the order in which they are copied, and in which they come back: a cursor that is behind harms nobody."""
PART = ".part"
"""Behind the name of a file that is not complete."""
LOGS = ("-wal", "-shm", "-journal")
PAGES_AT_ONCE = 2_000
BUSY_MS = 30_000
LOCK_SECONDS = 5.0

Progress = Callable[[int, int], None]
"""How many bytes of how many are copied."""


def back_up(data_dir: Path, folder: Path, progress: Progress) -> Mapping[str, int]:
    """Copy both files into a folder, check the copies, and say how many rows each table has. Nobody waits for it, and
    nothing of it stands under its name before all of it is good.

    Raises ``StoreUnavailable``, and ``StoreRefused`` where a backup is there already or a copy is not good.
    """
    check_made(data_dir, None)
    make_private(folder)
    if found := [name for name in FILES if (folder / name).exists()]:
        raise StoreRefused(f"{folder} has a {found[0]} already: name a new folder for each backup.")
    rows: dict[str, int] = {}
    try:
        sizes = [(data_dir / name).stat().st_size for name in FILES]
        for name, before in zip(FILES, (0, sizes[0]), strict=True):
            copied = _Sum(progress, before, sum(sizes))
            rows |= _copied(data_dir / name, folder / f"{name}{PART}", copied)
        for name in FILES:
            (folder / f"{name}{PART}").rename(folder / name)
        _sync(folder)
    except (OSError, sqlite3.Error) as fault:
        raise StoreUnavailable(str(fault)) from fault
    finally:
        for name in FILES:
            with contextlib.suppress(OSError):
                (folder / f"{name}{PART}").unlink(missing_ok=True)
    return rows


@dataclass(frozen=True)
class _Sum:
    """The progress of one file as a part of that of all; a file may have grown meanwhile."""

    progress: Progress
    before: int
    total: int

    def __call__(self, done: int) -> None:
        self.progress(min(self.before + done, self.total), self.total)


def _copied(file: Path, copy: Path, copied: _Sum) -> dict[str, int]:
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_WRONLY, 0o600))
    with closing(_connected(file, "rw")) as source, closing(sqlite3.connect(copy)) as target:
        # One snapshot to the end. Without it, SQLite would begin anew whenever somebody writes.
        source.execute("BEGIN")
        page_bytes = source.execute("SELECT page_size FROM pragma_page_size").fetchone()[0]
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # with the first read the snapshot begins
        source.backup(target, pages=PAGES_AT_ONCE, progress=lambda _, left, total: copied((total - left) * page_bytes))
        target.execute("PRAGMA journal_mode=DELETE")  # a file by itself, also on a disk that cannot be written
        wanted, found = _rows(source), _checked(target, file.name)
        if wanted != found:
            raise StoreRefused(f"The copy of {file.name} has other rows than the file: is the disk sound?")
    return found


def _connected(file: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    return connection


def _checked(connection: sqlite3.Connection, name: str) -> dict[str, int]:
    """The rows of each table of a sound file. Raises ``StoreRefused``."""
    try:
        said = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
        if said == ["ok"]:
            return _rows(connection)
    except sqlite3.DatabaseError as fault:
        said = [str(fault)]
    raise StoreRefused(f"{name} is damaged: {'; '.join(said)}")


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'")
    names = [name for (name,) in tables.fetchall()]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608


def restore(
    data_dir: Path, folder: Path, keep_inbox: bool, progress: Progress, now: datetime
) -> tuple[Mapping[str, int], Path | None]:
    """Put a backup in the place of the store: the rows of each table, and where what was there has gone (None where
    nothing was). ``keep_inbox``: ``bridge.db`` alone; what the inbox has beyond that is taken in once more.

    Raises ``StoreUnavailable``, and ``StoreRefused`` while a bridge runs or where the backup is not good; then nothing
    has changed.
    """
    names = FILES[:1] if keep_inbox else FILES
    if keep_inbox and not (data_dir / INBOX).exists():
        raise StoreRefused(f"There is no {INBOX} in {data_dir} to keep.")
    rows: dict[str, int] = {}
    for name in names:
        rows |= _examined(folder / name, name.removesuffix(".db"))
    make_private(data_dir)
    try:
        sizes = [(folder / name).stat().st_size for name in names]
        for place, name in enumerate(names):
            _brought(folder / name, data_dir / f"{name}{PART}", _Sum(progress, sum(sizes[:place]), sum(sizes)))
        with _nobody_works(data_dir):
            there = [name for name in FILES if (data_dir / name).exists()]
            aside = data_dir / f"before-restore-{now:%Y%m%dT%H%M%S.%f}" if there else None
            for name in there:
                if not is_nobodys(data_dir / name):
                    raise StoreRefused(f"Somebody has {name} open: stop the bridge first, its web processes too.")
            for name in names:
                _replace(data_dir, name, aside)
            _sync(data_dir)
    except (OSError, sqlite3.Error) as fault:
        raise StoreUnavailable(str(fault)) from fault
    finally:
        for name in FILES:
            with contextlib.suppress(OSError):
                (data_dir / f"{name}{PART}").unlink(missing_ok=True)
    return rows, aside


def compact(data_dir: Path) -> Mapping[str, tuple[int, int]]:
    """Write both files anew, without their free pages and so that later ones are given back: the bytes of each before
    and after. SQLite does it in place and in one transaction: whoever comes meanwhile waits, and a crash changes
    nothing. Raises ``StoreUnavailable``, and ``StoreRefused`` while a bridge runs.
    """
    check_made(data_dir, None)
    files = [data_dir / name for name in FILES]
    try:
        with _nobody_works(data_dir):
            for file in files:
                if not is_nobodys(file):
                    raise StoreRefused(f"Somebody has {file.name} open: stop the bridge first, its web processes too.")
            return {file.name: (file.stat().st_size, _written_anew(file)) for file in files}
    except (OSError, sqlite3.Error) as fault:
        raise StoreUnavailable(str(fault)) from fault


def _written_anew(file: Path) -> int:
    folder = str(file.parent.absolute()).replace("'", "''")
    with closing(_connected(file, "rw")) as connection:
        # What alerts say is not written elsewhere, not even into a file without a name.
        connection.execute(f"PRAGMA temp_store_directory='{folder}'")
        connection.execute(GIVES_BACK)
        connection.execute("VACUUM")
    return file.stat().st_size


def _examined(file: Path, branch: str) -> dict[str, int]:
    if not file.is_file():
        raise StoreRefused(f"There is no {file.name} in {file.parent}: a backup has {' and '.join(FILES)}.")
    try:
        with closing(_connected(file, "ro")) as connection:
            rows = _checked(connection, str(file))
            found = connection.execute(f"SELECT version_num FROM {branch}_version").fetchone()  # noqa: S608
    except sqlite3.DatabaseError as fault:
        raise StoreRefused(f"{file} is no backup of the bridge: {fault}") from fault
    if found is None or found[0] not in known(branch):
        raise StoreRefused(f"{file} was written by a newer version of the bridge: restore it with that one.")
    return rows


def _brought(file: Path, part: Path, copied: _Sum) -> None:
    part.unlink(missing_ok=True)
    done = 0
    with file.open("rb") as source, os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as copy:
        while chunk := source.read(8 * 1024 * 1024):
            copy.write(chunk)
            done += len(chunk)
            copied(done)
        copy.flush()
        os.fsync(copy.fileno())


@contextmanager
def _nobody_works(data_dir: Path) -> Iterator[None]:
    """No worker has the lease, and nobody starts before the block ends."""
    engine = open_bridge(data_dir, None)  # never connected: it only says what kind of store this is
    with alone(engine, data_dir), workers_kept_out(engine, data_dir) as workers, _writing(data_dir):
        if workers:
            raise StoreRefused("The bridge runs on this store: stop it first, its web processes too.")
        yield


@contextmanager
def _writing(data_dir: Path) -> Iterator[None]:
    """Keep deliveries out that a web process would write into the file that goes."""
    lock = WriteLock(data_dir / INBOX, LOCK_SECONDS)
    try:
        with lock:
            yield
    finally:
        lock.close()


def is_nobodys(file: Path) -> bool:
    """Whether no other process has it open. Then what is in its log is in the file itself: SQLite does that only for
    whoever is alone with it. A damaged file keeps its log."""
    try:
        with closing(_connected(file, "rw")) as connection:
            connection.execute("PRAGMA busy_timeout=0")
            connection.execute("PRAGMA journal_mode=DELETE").fetchall()
    except sqlite3.OperationalError as fault:
        if "locked" not in str(fault):
            raise
        return False
    except sqlite3.DatabaseError:
        return True
    return True


def _replace(data_dir: Path, name: str, aside: Path | None) -> None:
    """The old file stays under its name until the new one takes it, in one step: whoever starts after a crash in
    between finds one of the two, and never none."""
    if aside is not None and (data_dir / name).exists():
        aside.mkdir(mode=0o700, exist_ok=True)
        os.link(data_dir / name, aside / name)
        for log in LOGS:  # there are some only beside a damaged file; a new one must not be read with them
            if (data_dir / f"{name}{log}").exists():
                shutil.move(data_dir / f"{name}{log}", aside / f"{name}{log}")
    (data_dir / f"{name}{PART}").rename(data_dir / name)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
