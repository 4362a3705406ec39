"""Gunicorn's threaded worker, made patient: a connection gets a thread only when its whole request is here.

As gunicorn comes, a thread waits for every connection that is silent, trickles its request or does not read its answer,
so a handful of slow clients stops a process. Here the main loop collects the bytes; threads only answer. Every
connection has a deadline for receiving and one for answering, and what is collected has a bound.

A proxy that buffers requests does the same in front of us; nothing makes sure that there is one.
"""

import contextlib
import errno
import selectors
import socket
import sys
from functools import partial
from time import monotonic
from typing import Any

import structlog
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from app import metrics
from app.web.incoming import Incoming
from app.web.limits import ANSWER_SECONDS, RECEIVE_SECONDS

log = structlog.get_logger()

STEP_BYTES = 256 * 1024
MAX_HELD_BYTES = 32 * 1024 * 1024
"""Of all requests on their way in, in one process."""
CROWDED_SECONDS = 2.0
"""How long a request may take to come in while there is no room for new connections, or while the process ends."""
LINGER_SECONDS = 5.0
"""How long an answered client may go on sending what nobody wants any more, before the connection ends anyway."""
MAX_LINGERING = 200
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(gthread.TConn):  # type: ignore[misc]
    """A client's connection; ``incoming`` is the request that is on its way in, or went to a thread last."""

    def __init__(self, worker: "Worker", client: socket.socket, address: Any, listener: Any) -> None:
        super().__init__(worker.cfg, client, address, listener)
        self.worker = worker
        self.incoming = Incoming(b"", monotonic())
        self.data_ready = True

    def close(self, graceful: bool = False) -> None:
        """Gunicorn waits here, in its main loop, until the client has closed its side; we wait without waiting."""
        if graceful and not self.cfg.is_ssl:
            self.worker.linger(self.sock)
        else:
            super().close(graceful)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """Runs in each web process. Only ``handle`` is called in threads, all else in the main loop."""

    receive_seconds = RECEIVE_SECONDS
    answer_seconds = ANSWER_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.receiving: dict[Connection, None] = {}
        """Requests on their way in, oldest first."""
        self.answering: dict[Connection, float] = {}
        """Connections in threads or waiting for one, and when that began, oldest first."""
        self.lingering: dict[socket.socket, float] = {}
        """Answered connections whose client has still to close, and how long it may take, oldest first."""
        self.held_bytes = 0

    def load_wsgi(self) -> None:
        """Build the application. Gunicorn would print what went wrong beside the log; the status tells the master."""
        try:
            super().load_wsgi()
        except Exception:
            log.critical("web.not_started", exc_info=True)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    # ------------------------------------------------------------------------------------------------ coming in

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection."""
        try:
            client, address = listener.accept()
        except OSError as fault:
            if fault.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            elif fault.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        self.enqueue_req(Connection(self, client, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Gunicorn wants a thread for this connection: it gets one as soon as a whole request is here."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        behind = conn.parser.unreader.take_buffered() if conn.parser else b""
        conn.incoming = Incoming(behind, monotonic())
        conn.sock.setblocking(False)
        self.receiving[conn] = None
        self.held_bytes += len(behind)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._read, conn))
        if behind and conn.incoming.whole():
            self._hand_over(conn)
        else:
            self._read(conn, conn.sock)

    def _read(self, conn: Connection, sock: socket.socket) -> None:
        if conn not in self.receiving:
            return  # cut to make room, by an event of the same round
        try:
            data = sock.recv(STEP_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(conn)
            return
        conn.incoming.buffer += data
        self.held_bytes += len(data)
        if not conn.incoming.buffer:
            self._drop(conn)
        elif not data:
            conn.incoming.cut_short = True
            self._hand_over(conn)
        elif conn.incoming.whole():
            self._hand_over(conn)
        elif conn.incoming.hopeless:
            self._cut(conn, "hopeless", monotonic())
        elif conn.incoming.expects_continue:
            self._say_continue(conn)

    def _say_continue(self, conn: Connection) -> None:
        conn.incoming.expects_continue = False
        try:
            conn.sock.send(CONTINUE)
        except OSError:
            self._drop(conn)

    def _hand_over(self, conn: Connection) -> None:
        self._forget(conn)
        self.answering[conn] = monotonic()
        super().enqueue_req(conn)

    def _forget(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        self.held_bytes -= len(conn.incoming.buffer)
        del self.receiving[conn]

    def _drop(self, conn: Connection) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    # ------------------------------------------------------------------------------------------------ answering

    def handle(self, conn: Connection) -> Any:
        """Answer one request, in a thread."""
        if not self.cfg.is_ssl:
            conn.init()
            conn.parser.unreader.unread(bytes(conn.incoming.buffer))
            conn.incoming.buffer.clear()
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Gunicorn would read, in the thread, what is left of a body that nobody wants, to use the connection again."""
        if conn.incoming.cut_short:
            req.force_close()
        return super().handle_request(req, conn)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """A thread is done with this connection."""
        self.answering.pop(conn, None)
        super().finish_request(conn, fs)

    def linger(self, sock: socket.socket) -> None:
        """Close our side, and the connection once the client has read the answer: an earlier close could destroy it."""
        try:
            sock.setblocking(False)
            sock.shutdown(socket.SHUT_WR)
            self.poller.register(sock, selectors.EVENT_READ, self._discard)
        except (OSError, ValueError, KeyError):
            sock.close()
            return
        self.lingering[sock] = monotonic() + LINGER_SECONDS
        if len(self.lingering) > MAX_LINGERING:
            self._let_go(next(iter(self.lingering)))

    def _discard(self, sock: socket.socket) -> None:
        if sock not in self.lingering:
            return  # let go to make room, by an event of the same round
        try:
            if sock.recv(STEP_BYTES):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._let_go(sock)

    def _let_go(self, sock: socket.socket) -> None:
        del self.lingering[sock]
        self.poller.unregister(sock)
        sock.close()

    def _make_room(self) -> None:
        """No descriptor is left for a new connection: the slowest of the old ones has to go."""
        log.error("connection.not_accepted", reason="no_descriptors")
        if self.lingering:
            self._let_go(next(iter(self.lingering)))
        elif self.receiving:
            self._cut(next(iter(self.receiving)), "too_many", monotonic())

    # ------------------------------------------------------------------------------------------------ deadlines

    def murder_pending(self) -> None:
        """Called by gunicorn's loop after every event and at least once a second."""
        super().murder_pending()
        now = monotonic()
        while self.lingering and next(iter(self.lingering.values())) <= now:
            self._let_go(next(iter(self.lingering)))
        self._cut_slow_senders(now)
        self._cut_stalled_answers(now)

    def _cut_slow_senders(self, now: float) -> None:
        crowded = not self.alive or self.nr_conns >= self.worker_connections
        patience = CROWDED_SECONDS if crowded else self.receive_seconds
        while self.receiving:
            conn = next(iter(self.receiving))
            if now - conn.incoming.since > patience:
                self._cut(conn, "too_slow", now)
            elif self.held_bytes > MAX_HELD_BYTES:
                self._cut(conn, "too_many", now)
            else:
                return

    def _cut(self, conn: Connection, reason: str, now: float) -> None:
        count = len(conn.incoming.buffer)
        self._drop(conn)
        if count:
            _tell(conn, reason, now - conn.incoming.since, count)

    def _cut_stalled_answers(self, now: float) -> None:
        while self.answering:
            conn, since = next(iter(self.answering.items()))
            if now - since <= self.answer_seconds:
                return
            del self.answering[conn]
            with contextlib.suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RDWR)
            _tell(conn, "stalled", now - since)


def _tell(conn: Connection, reason: str, seconds: float, count: int | None = None) -> None:
    metrics.meter().cut(reason)
    client = conn.client[0] if isinstance(conn.client, tuple) else ""
    log.warning("connection.cut", reason=reason, seconds=round(seconds, 1), bytes=count, client=client)
