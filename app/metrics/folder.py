"""The files that the processes of one machine count into, one for each process and kind.

https://prometheus.github.io/client_python/multiprocess/
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KINDS = ("counter", "histogram")
FILE_BYTES = 128 * 1024
"""Some five hundred label sets; several times what the words of our code can make."""
DEPARTED = "departed"


def prepare(data_dir: Path) -> None:
    """Choose the folder of this bridge's counts for this process and its children, and sweep out earlier ones.

    For the process that starts the others. A data directory that cannot be written gets a temporary folder instead.
    """
    chosen = data_dir / "metrics"
    try:
        _make(chosen)
        _sweep(chosen)
    except OSError:
        chosen = Path(tempfile.mkdtemp(prefix="bridge-metrics-"))
    os.environ[FOLDER_VARIABLE] = str(chosen.resolve())


def join(data_dir: Path) -> None:
    """Count into the folder of the bridge that uses this data directory, unless the starter has said where.

    For a worker that was started on its own. Call it before anything counts.
    """
    if FOLDER_VARIABLE not in os.environ:
        chosen = data_dir / "metrics"
        _make(chosen)
        os.environ[FOLDER_VARIABLE] = str(chosen.resolve())


def count_alone() -> None:
    """Count in this process's memory, whatever the starter said. Call it before anything counts."""
    os.environ.pop(FOLDER_VARIABLE, None)


def _make(counts: Path) -> None:
    """Whoever makes the data directory makes it for its owner alone: the store will lie in it."""
    counts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    counts.mkdir(exist_ok=True)


def mark_process_dead(pid: int) -> None:
    """Add the counts of a process that has ended to those of all departed, so that restarts leave no files behind."""
    counts = folder()
    if counts is None:
        return
    with locked(counts, fcntl.LOCK_EX):
        for path in [counts / f"{kind}_{pid}.db" for kind in KINDS]:
            if path.exists():
                _add_up(path, counts)


def _add_up(path: Path, counts: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    if not reserve(counts, DEPARTED):
        return
    kind = path.name.partition("_")[0]
    total: Any = MmapedDict(str(counts / f"{kind}_{DEPARTED}.db"))  # type: ignore[no-untyped-call]
    found: Any = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    for key, value, _stamp, _place in found:
        total.write_value(key, total.read_value(key)[0] + value, 0.0)
    total.close()
    path.unlink()


def folder() -> Path | None:
    """Where this process counts; None: in its memory."""
    name = os.environ.get(FOLDER_VARIABLE)
    return Path(name) if name else None


def reserve(counts: Path, owner: str) -> bool:
    """Claim the disk space of the counts now: a mapped file with a hole in it kills its process on a full disk."""
    try:
        for path in [counts / f"{kind}_{owner}.db" for kind in KINDS]:
            if not path.exists():
                draft = path.with_suffix(".new")
                draft.write_bytes(bytes(FILE_BYTES))
                draft.replace(path)
    except OSError:
        return False
    return True


def _sweep(counts: Path) -> None:
    """Remove the files of processes that are no more; another bridge may be using the same folder."""
    for path in counts.glob("*_*.*"):
        owner = path.stem.rpartition("_")[2]
        if owner == DEPARTED or not _is_alive(owner):
            path.unlink(missing_ok=True)


def _is_alive(owner: str) -> bool:
    try:
        os.kill(int(owner), 0)
    except PermissionError:
        return True  # somebody else's
    except (ProcessLookupError, ValueError):
        return False
    return True


@contextmanager
def locked(counts: Path, how: int) -> Iterator[None]:
    """Nobody may add up the counts while some of them are being moved."""
    directory = os.open(counts, os.O_RDONLY)
    try:
        fcntl.flock(directory, how)
        yield
    finally:
        os.close(directory)
