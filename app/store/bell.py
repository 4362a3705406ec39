"""Wakes the worker the moment a delivery is stored.

Nothing rests on a ring: whoever is not listening, or listens at a stale file, costs one poll interval, never an event.
So ringing never waits and never fails. SQLite: a datagram to a socket in the data directory. PostgreSQL: NOTIFY.
"""

import atexit
import contextlib
import hashlib
import os
import select
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.ports import Bell

if TYPE_CHECKING:  # only where PostgreSQL is configured does a web process carry psycopg
    import psycopg

CHANNEL = "bridge_inbox"
MAX_PATH_BYTES = 90
"""A socket's path ends at 104 bytes on macOS, 108 on Linux; the rest is for the suffix while hanging the bell up."""


def open_bell(data_dir: Path, database_url: str | None) -> Bell:
    """The bell of this installation; opens nothing yet."""
    return PostgresBell(database_url) if database_url else SocketBell(data_dir)


def bell_path(data_dir: Path) -> Path:
    """``worker.bell`` in the data directory; a short one both ends find where that is too long for a socket."""
    path = data_dir.resolve() / "worker.bell"
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"truthvouch-{os.getuid()}-{name}.bell"


class SocketBell:
    """Rings from any process, listens in one: the last to hang its bell up is the one that hears."""

    def __init__(self, data_dir: Path) -> None:
        self._path = bell_path(data_dir)
        self._listener: socket.socket | None = None
        self._identity = (0, 0)

    def ring(self) -> None:
        """Wake the listener if there is one. Never blocks, never raises."""
        with contextlib.suppress(OSError):  # nobody there, no permission, or full: then it wakes anyway
            _RINGER.sendto(b"!", os.fspath(self._path))

    def wait(self, timeout: float) -> bool:
        """True when rung since the last call, however often; False after ``timeout`` seconds."""
        try:
            listener = self._hung()
            ready, _, _ = select.select([listener], [], [], max(timeout, 0.0))
            return bool(ready) and _drained(listener)
        except OSError:  # no place for a socket: the caller polls
            time.sleep(max(timeout, 0.0))
            return False

    def close(self) -> None:
        """Take the bell down, and its file with it if it is still this one's. A closed bell may hang again."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                if self._is_mine():
                    self._path.unlink()
            self._listener.close()
            self._listener = None

    def _hung(self) -> socket.socket:
        """The listening socket; hung up anew when its file is gone or belongs to a listener that died."""
        if self._listener is None or not (self._is_mine() or self._somebody_listens()):
            self.close()
            self._listener = self._hang_up()
        return self._listener

    def _hang_up(self) -> socket.socket:
        """Bind beside the path and rename over it: a stale file is no obstacle, and no ring meets a gap."""
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


class PostgresBell:
    """LISTEN and NOTIFY, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ringers: dict[int, _Ringer] = {}
        self._listening: psycopg.Connection | None = None

    def ring(self) -> None:
        """Notify every listener, soon. Never blocks, never raises."""
        pid = os.getpid()  # a parent's thread and connection are not ours
        ringer = self._ringers.get(pid) or self._ringers.setdefault(pid, _Ringer(self._url))
        ringer.ring()

    def wait(self, timeout: float) -> bool:
        """True when rung since the last call, or when it may have been; False after ``timeout`` seconds."""
        import psycopg

        started = time.monotonic()
        try:
            if self._listening is None:
                self._listen()
                return True  # what rang before is not known
            return self._heard(self._listening, timeout)
        except psycopg.Error:
            self._stop_listening()
            time.sleep(max(timeout - (time.monotonic() - started), 0.0))
            return False

    def close(self) -> None:
        """Give both connections back; the next ``ring`` or ``wait`` opens new ones."""
        self._stop_listening()
        ringer = self._ringers.pop(os.getpid(), None)
        if ringer is not None:
            ringer.close()

    def _listen(self) -> None:
        from app.store.inbox_postgres import connect

        self._listening = connect(self._url)
        self._listening.execute(f"LISTEN {CHANNEL}")

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    @staticmethod
    def _heard(connection: "psycopg.Connection", timeout: float) -> bool:
        heard = list(connection.notifies(timeout=max(timeout, 0.0), stop_after=1))
        heard += connection.notifies(timeout=0)  # however many rang, the inbox is read once
        return bool(heard)


class _Ringer:
    """Rings from a thread of its own, so that the request that stored a delivery need not wait for the round trip;
    rings that come while it rings become one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._rung = threading.Event()
        self._closing = False
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._keep_ringing, name="bell", daemon=True)

    def ring(self) -> None:
        self._rung.set()
        if self._thread.ident is None:
            with self._starting:
                if self._thread.ident is None:
                    self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._rung.set()
        self._thread.join()

    def _keep_ringing(self) -> None:
        connection: psycopg.Connection | None = None
        while True:
            self._rung.wait()
            self._rung.clear()
            if self._closing:
                break
            connection = self._notified(connection)
        if connection is not None:
            connection.close()

    def _notified(self, connection: "psycopg.Connection | None") -> "psycopg.Connection | None":
        """Ring through this connection or a new one; None, and this ring lost, when that fails."""
        import psycopg

        from app.store.inbox_postgres import connect

        try:
            connection = connection or connect(self._url)
            connection.execute(f"NOTIFY {CHANNEL}")
        except psycopg.Error:
            if connection is not None:
                connection.close()
            return None
        return connection


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


_RINGER = _datagram_socket()
"""One for all bells: neither bound nor connected, so that threads and forked processes may share it."""
atexit.register(_RINGER.close)


def _drained(listener: socket.socket) -> bool:
    rung = False
    with contextlib.suppress(BlockingIOError):
        while listener.recv(16):
            rung = True
    return rung
