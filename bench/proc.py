"""What the kernel counts of a process and all below it: processor time and memory, by role. From ``/proc``: Linux."""

import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of ``/proc/PID/stat`` that matter here. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""

    pid: int
    parent: int
    seconds: float
    """Of a processor, in user mode and in the system, with that of children that have ended."""


class Tree:
    """The bridge behind the process that was started: gunicorn's master, the web processes, the worker."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def pids(self, role: str) -> list[int]:
        """Of the processes with this role now."""
        return [stat.pid for stat in self._stats() if self._role(stat) == role]

    def processor_seconds(self) -> dict[str, float]:
        """Since each was started, by role. What a process had used that has ended stays with its parent."""
        return self._by_role((self._role(stat), stat.seconds) for stat in self._stats())

    def megabytes(self) -> dict[str, float]:
        """Memory by role, as proportional set size: a page that several processes share counts once."""
        return self._by_role((self._role(stat), _megabytes(stat.pid)) for stat in self._stats())

    def _stats(self) -> list[Stat]:
        below: dict[int, list[Stat]] = {}
        everything = list(_everything())
        for stat in everything:
            below.setdefault(stat.parent, []).append(stat)
        found = [stat for stat in everything if stat.pid == self._pid]
        for stat in found:  # grows meanwhile
            found.extend(below.get(stat.pid, ()))
        return found

    def _role(self, stat: Stat) -> str:
        if stat.pid == self._pid:
            return "master"
        command = _read(PROC / str(stat.pid) / "cmdline").split(b"\0")
        if b"worker" in command:
            return "worker"
        return "web" if stat.parent == self._pid else "other"

    @staticmethod
    def _by_role(found: Iterable[tuple[str, float]]) -> dict[str, float]:
        sums: dict[str, float] = {}
        for role, value in found:
            sums[role] = sums.get(role, 0.0) + value
        return sums


def is_readable() -> bool:
    """Whether this system counts so."""
    return (PROC / "self" / "smaps_rollup").exists()


def _everything() -> Iterator[Stat]:
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (said := _read(folder / "stat")):
            fields = said.rpartition(b") ")[2].split()  # the name before may hold anything
            yield Stat(int(folder.name), int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)


def _megabytes(pid: int) -> float:
    for line in _read(PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _read(path: Path) -> bytes:
    """Nothing of a process that has ended meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def process_of(connection: socket.socket, pids: Iterable[int]) -> int:
    """Which of these processes holds the other end of this loopback connection; 0: none."""
    ours, theirs = connection.getsockname()[1], connection.getpeername()[1]
    for table in ("tcp", "tcp6"):
        for line in _read(PROC / "self" / "net" / table).splitlines()[1:]:
            fields = line.split()
            local, remote = (int(fields[n].rpartition(b":")[2], 16) for n in (1, 2))
            if (local, remote) == (theirs, ours):
                return next((pid for pid in pids if _holds(pid, fields[9].decode())), 0)
    return 0


def _holds(pid: int, inode: str) -> bool:
    try:
        return any(str(fd.readlink()) == f"socket:[{inode}]" for fd in (PROC / str(pid) / "fd").iterdir())
    except OSError:
        return False
