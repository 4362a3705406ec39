"""Wakes the worker the moment a delivery is stored: by a datagram to a socket in the data directory.

Nothing rests on a notification: a process that does not listen, or listens at a stale file, costs one poll interval,
never an event. So notifying never waits and never fails.
"""

import atexit
import contextlib
import hashlib
import os
import select
import socket
import tempfile
import time
from pathlib import Path

from app.ports import Wakeup

MAX_PATH_BYTES = 90
"""A socket's path ends at 104 bytes on macOS, 108 on Linux; the rest is for the suffix while binding."""


def open_wakeup(data_dir: Path, database_url: str | None) -> Wakeup:
    """The wake-up of this installation; opens nothing yet."""
    if database_url:
        from app.store.inbox_postgres import PostgresWakeup  # psycopg is loaded only where it is configured

        return PostgresWakeup(database_url)
    return SocketWakeup(data_dir)


def socket_path(data_dir: Path) -> Path:
    """``wakeup.sock`` in the data directory; a short one both ends find where that is too long for a socket."""
    path = data_dir.resolve() / "wakeup.sock"
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"truthvouch-{os.getuid()}-{name}.sock"


class SocketWakeup:
    """Notifies from any process, listens in one: the last to bind the socket is the listener."""

    def __init__(self, data_dir: Path) -> None:
        self._path = socket_path(data_dir)
        self._listener: socket.socket | None = None
        self._identity = (0, 0)

    def notify(self) -> None:
        with contextlib.suppress(OSError):  # nobody there, no permission, or full: then it wakes anyway
            _SENDER.sendto(b"!", os.fspath(self._path))

    def wait(self, timeout: float) -> bool:
        try:
            if self._listener is None or not (self._is_mine() or self._somebody_listens()):
                self.close()  # its file is gone or belongs to a listener that died
                self._listener = self._bind()
            listener = self._listener
            ready, _, _ = select.select([listener], [], [], max(timeout, 0.0))
            return bool(ready) and _drained(listener)
        except OSError:  # no place for a socket: the caller polls
            time.sleep(max(timeout, 0.0))
            return False

    def close(self) -> None:
        """Close the socket, and remove its file if it is still this one's. ``wait`` opens it again."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                if self._is_mine():
                    self._path.unlink()
            self._listener.close()
            self._listener = None

    def _bind(self) -> socket.socket:
        """Bind beside the path and rename over it: a stale file is no obstacle, and no notification meets a gap."""
        listener = _datagram_socket()
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            beside.unlink(missing_ok=True)
            listener.bind(os.fspath(beside))
            beside.chmod(0o600)
            found = beside.stat()
            beside.rename(self._path)
        except OSError:
            listener.close()
            raise
        self._identity = (found.st_dev, found.st_ino)
        return listener

    def _is_mine(self) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        return self._identity == (found.st_dev, found.st_ino)

    def _somebody_listens(self) -> bool:
        with _datagram_socket() as visitor:
            return visitor.connect_ex(os.fspath(self._path)) == 0


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


_SENDER = _datagram_socket()
"""One for all wake-ups: neither bound nor connected, so that threads and forked processes may share it."""
atexit.register(_SENDER.close)


def _drained(listener: socket.socket) -> bool:
    received = False
    with contextlib.suppress(BlockingIOError):
        while listener.recv(16):
            received = True
    return received
