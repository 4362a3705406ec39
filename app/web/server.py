"""Gunicorn's threaded worker for slow clients: its threads never wait for a client.

As gunicorn comes, a thread waits for every connection that is silent, trickles its request or does not read its answer,
so a handful of slow clients stops a process. Here the main loop collects the bytes and sends what is left of an answer;
a thread gets a whole request (app/web/incoming.py) and a place for the answer, which never waits. Every connection has
a deadline for receiving and one for answering. What all requests hold has a bound; an answer has none but its
deadline, and is as long as the application makes it.

A proxy that buffers requests does the same in front of us; nothing makes sure that there is one.
"""

import errno
import os
import selectors
import socket
import sys
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

import structlog
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from app import metrics
from app.web import gateway, handover
from app.web.gateway import Exchange
from app.web.incoming import ANSWER_SECONDS, RECEIVE_SECONDS, REFUSALS, Incoming
from app.web.pool import Pool
from app.web.proxies import plain_address

log = structlog.get_logger()

STEP_BYTES = 64 * 1024
MAX_HELD_BYTES = 32 * 1024 * 1024
"""Of all requests in one process, until they are answered. One read of each connection may come on top: what is whole
is answered, and of the rest a small delivery stays."""
SPARE_CONNECTIONS = 8
"""Idle connections are closed as soon as no more than so many are left."""
CROWDED_SECONDS = 2.0
"""How long a request may take to come in while there is no room for new connections, or while the process ends."""
LINGER_SECONDS = 5.0
"""How long an answered client may go on sending what nobody wants any more, before the connection ends anyway."""
LINGER_BYTES = 16 * 1024 * 1024
"""How much of it is read and thrown away meanwhile."""
MAX_LINGERING = 200
SHORTAGES: Mapping[int | None, str] = {
    errno.EMFILE: "no_descriptors",
    errno.ENFILE: "no_descriptors",
    errno.ENOBUFS: "no_memory",
    errno.ENOMEM: "no_memory",
}
"""What the system may lack for a new connection, which then stays in the listener's queue."""
PAUSE_SECONDS = 1.0
"""How long no connection is accepted when a shortage cannot be eased; also between two lines of log about it."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(gthread.TConn):  # type: ignore[misc]
    """A client's connection. It is in one place at a time: idle, receiving, answering (which includes sending)."""

    def __init__(self, worker: "Worker", client: socket.socket, address: Any, listener: Any) -> None:
        if isinstance(address, tuple):
            address = (str(plain_address(address[0]) or address[0]), *address[1:])
        super().__init__(worker.cfg, client, address, listener)
        self.worker = worker
        self.incoming = Incoming()
        self.is_watched = False
        """Whether the loop waits for what comes. It does so while a thread answers, too, as long as nothing comes: to
        stop and begin again costs more than the rest of its work."""
        self.since = 0.0
        """Monotonic: when it began to receive."""
        self.exchange: Exchange | None = None
        self.unsent = memoryview(b"")
        self.keeps = False
        """Whether another request may follow the answer."""
        self.held_bytes = 0
        """As counted by the worker."""

    def close(self, graceful: bool = False) -> None:
        """Gunicorn waits here, in its main loop, until the client has closed its side; we wait without waiting."""
        self.incoming.discard()
        if graceful:
            self.worker.linger(self.sock)
        else:
            super().close(graceful)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """Runs in each web process. Only what ``_answer`` calls runs in threads, all else in the loop.

    Connections are ended outside a round of events (``murder_pending``), or are watched no more, so no event finds one
    gone.
    """

    receive_seconds = RECEIVE_SECONDS
    answer_seconds = ANSWER_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.receiving: dict[Connection, None] = {}
        """Connections whose next request is on its way in, oldest first."""
        self.answering: dict[Connection, float] = {}
        """Connections in threads, waiting for one, or being sent their answer, and since when, oldest first."""
        self.ready: deque[Connection] = deque()
        """Whose request goes to a thread with the end of this round: a thread that starts earlier and this one would
        take the interpreter from each other, again and again."""
        self.finished: deque[Connection] = deque()
        """Whose answer the threads have made since the loop last looked."""
        self.lingering: dict[socket.socket, tuple[float, int]] = {}
        """Answered connections whose client has still to close, until when and for how many bytes, oldest first."""
        self.held_bytes = 0
        self.is_short = False
        """Whether a shortage kept a connection out in this round."""
        self.hook_lines: Mapping[str, str] = {}
        """The request lines that are answered without gunicorn (``gateway``)."""
        self.handover: handover.End | None = None
        """Given by the master where there is more than one web process."""
        self.sockets: list[socket.socket]
        self.accepts_again_at = self.reports_again_at = 0.0
        """Monotonic."""

    def get_thread_pool(self) -> Pool:
        """What answers."""
        return Pool(self.cfg.threads)

    def load_wsgi(self) -> None:
        """Build the application. Gunicorn would print what went wrong beside the log; the status tells the master."""
        try:
            super().load_wsgi()
        except Exception:
            log.critical("web.not_started", exc_info=True)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        # Who counts requests, or mounts us below a path, has gunicorn do it.
        if self.cfg.max_requests or self.cfg.is_ssl or os.environ.get("SCRIPT_NAME"):
            self.handover = None
            return
        hooks = getattr(self.wsgi, "extensions", {}).get("hooks", ())
        self.hook_lines = gateway.lines_of(hooks)
        if self.handover is not None:
            self._share_work(self.handover, hooks)

    def _share_work(self, end: handover.End, hooks: Collection[str]) -> None:
        end.expect(hooks)
        listeners = self.sockets
        if end.serves_pages:
            while listeners:
                listeners.pop().close()
            os.nice(handover.NICENESS)
        self.sockets = [*listeners, end.arrivals]

    # ------------------------------------------------------------------------------------------------ coming in

    def set_accept_enabled(self, enabled: bool) -> None:
        """Gunicorn asks for it before every round; not within a pause."""
        super().set_accept_enabled(enabled and monotonic() >= self.accepts_again_at)

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection. On Linux its own network errors are met here too, so none ends the process.

        https://man7.org/linux/man-pages/man2/accept.2.html
        """
        try:
            if self.handover is not None and listener is self.handover.arrivals:
                self._take_over(self.handover)
                return
            client, address = listener.accept()
        except OSError as fault:
            if fault.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                self._not_accepted(fault, monotonic())
            return
        self.nr_conns += 1
        self.enqueue_req(Connection(self, client, address, listener.getsockname()))

    def _take_over(self, end: handover.End) -> None:
        if arrival := end.receive(STEP_BYTES):
            self.nr_conns += 1
            conn = Connection(self, arrival.sock, arrival.client, arrival.server)
            self._receive(conn)
            self._feed(conn, arrival.data)

    def _not_accepted(self, fault: OSError, now: float) -> None:
        if fault.errno in SHORTAGES:
            self.is_short = True
        if now >= self.reports_again_at:
            self.reports_again_at = now + PAUSE_SECONDS
            log.error("connection.not_accepted", reason=SHORTAGES.get(fault.errno, "network"), error=fault.strerror)

    def enqueue_req(self, conn: Connection) -> None:
        """Gunicorn wants a thread for this connection: it gets one as soon as a whole request is here."""
        self._receive(conn)
        self._read(conn, conn.sock)

    def _receive(self, conn: Connection) -> None:
        conn.since = monotonic()
        self.receiving[conn] = None
        self._watch(conn)

    def _watch(self, conn: Connection) -> None:
        if not conn.is_watched:
            conn.is_watched = True
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._readable, conn))

    def _leave(self, conn: Connection) -> None:
        if conn.is_watched:
            conn.is_watched = False
            self.poller.unregister(conn.sock)

    def _readable(self, conn: Connection, sock: socket.socket) -> None:
        self._collect()
        if conn in self.receiving:
            self._read(conn, sock)
        elif conn.exchange is not None:
            self._leave(conn)  # until it is answered
        elif conn.is_watched:  # it may have been ended a moment ago
            self.keepalived_conns.remove(conn)
            self.enqueue_req(conn)

    def _read(self, conn: Connection, sock: socket.socket) -> None:
        try:
            data = sock.recv(STEP_BYTES)
        except (BlockingIOError, InterruptedError):
            if conn.incoming.expects_continue:  # it came in one packet with the request before
                self._say_continue(conn)
            return
        except OSError:
            self._drop(conn)
            return
        if not self._is_sent_on(conn, data):
            self._feed(conn, data)

    def _is_sent_on(self, conn: Connection, data: bytes) -> bool:
        """Whether the process that the next request is for has this connection now. Where this one ends, none has."""
        end = self.handover
        if end is None or not (self.alive and conn.incoming.is_empty and end.is_elsewhere(data)):
            return False
        if is_sent := end.send(conn.sock, conn.client, conn.server, data):
            self._drop(conn)
        return is_sent

    def _feed(self, conn: Connection, data: bytes) -> None:
        if data:
            conn.incoming.feed(data)
        else:
            conn.incoming.end()
        self._count(conn)
        # Nothing but an empty line came. Where the process ends, it does not win a client more time.
        is_idle = bool(data) and conn.keeps and conn.incoming.is_empty and self.alive
        if conn.incoming.requests or conn.incoming.fault or is_idle:
            del self.receiving[conn]
            self._go_on(conn)
        elif not data:
            self._drop(conn)
        elif conn.incoming.expects_continue:
            self._say_continue(conn)

    def _say_continue(self, conn: Connection) -> None:
        conn.incoming.expects_continue = False
        try:
            conn.sock.send(CONTINUE)
        except OSError:
            self._drop(conn)

    def _count(self, conn: Connection) -> None:
        exchange = conn.exchange
        held = conn.incoming.held_bytes + (len(exchange.request.body) if exchange else 0)
        self.held_bytes += held - conn.held_bytes
        conn.held_bytes = held

    def _drop(self, conn: Connection) -> None:
        """End a connection that is receiving, or is being sent its answer."""
        if conn.is_watched:
            self._leave(conn)
        else:
            self.poller.unregister(conn.sock)
        self.receiving.pop(conn, None)
        self.answering.pop(conn, None)
        self._end(conn)

    def _end(self, conn: Connection, graceful: bool = False) -> None:
        self.nr_conns -= 1
        conn.close(graceful)
        conn.exchange = None
        self._count(conn)

    # ------------------------------------------------------------------------------------------------ answering

    def _go_on(self, conn: Connection) -> None:
        """What comes next for a connection to which nothing is owed."""
        if conn.incoming.requests:
            self.answering[conn] = monotonic()
            conn.exchange = Exchange(conn, conn.incoming.requests.popleft())
            self._count(conn)
            self.ready.append(conn)
        elif conn.incoming.fault:
            _log_cut(conn, conn.incoming.fault, monotonic() - conn.since)
            self.answering[conn] = monotonic()
            conn.keeps, conn.unsent = False, memoryview(REFUSALS[conn.incoming.fault])
            self._send(conn)
        elif conn.incoming.is_empty:
            conn.set_timeout()
            if not self.alive:
                conn.timeout = min(conn.timeout, monotonic() + gthread.STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            self._watch(conn)
        else:
            self.enqueue_req(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One round of gunicorn's loop."""
        while self.ready:
            self.tpool.submit(self._answer, self.ready.popleft())
        super().wait_for_and_dispatch_events(timeout)
        self._collect()

    def _answer(self, conn: Connection) -> None:
        """In a thread. The loop is woken only where something is left to do at once. That nothing came is looked at
        behind ``finished``, and the loop looks there when something has come: one of the two sees the other."""
        try:
            conn.keeps = bool(self.handle(conn))
        except BaseException:
            conn.keeps = False
        self.finished.append(conn)
        if conn.unsent or not (conn.keeps and conn.incoming.is_empty and conn.is_watched and self.alive):
            self.method_queue.defer(self._collect)

    def _collect(self) -> None:
        while self.finished:
            conn = self.finished.popleft()
            conn.exchange = None
            self._send(conn)

    def handle(self, conn: Connection) -> Any:
        """Answer one request, and send as much of the answer as the network takes at once."""
        exchange = conn.exchange
        assert exchange is not None
        environ = gateway.environment(exchange.request, self.hook_lines, conn.client, conn.server)
        keeps = super().handle(exchange) if environ is None else self._call(exchange, environ)
        exchange.sock.flush()
        conn.unsent = memoryview(exchange.sock.unsent)
        return keeps

    def _call(self, exchange: Exchange, environ: dict[str, Any]) -> bool:
        """Answer by the application without gunicorn, which says in the same way whether the connection stays."""
        is_full = len(self.keepalived_conns) >= self.max_keepalived
        keeps = not (exchange.request.is_last or is_full) and self.alive and bool(self.cfg.keepalive)
        try:
            exchange.sock.unsent += gateway.answer(self.wsgi, environ, keeps)
        except Exception:
            self.log.exception("Error handling request")
            return False
        return keeps

    def handle_request(self, req: Any, exchange: Exchange) -> Any:
        """Gunicorn's own, with our knowledge of what follows on the connection."""
        if exchange.request.is_last:
            req.force_close()
        return super().handle_request(req, exchange)

    def _send(self, conn: Connection) -> None:
        """Send what is left of the answer; if that takes time, as soon as the client reads."""
        if conn.unsent:
            self._leave(conn)
            self.poller.register(conn.sock, selectors.EVENT_WRITE, partial(self._send_more, conn))
            self._send_more(conn, conn.sock)
        else:
            self._answered(conn)

    def _send_more(self, conn: Connection, sock: socket.socket) -> None:
        try:
            conn.unsent = conn.unsent[sock.send(conn.unsent) :]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(conn)
            return
        if not conn.unsent:
            self.poller.unregister(sock)
            self._answered(conn)

    def _answered(self, conn: Connection) -> None:
        self.answering.pop(conn, None)
        conn.unsent = memoryview(b"")  # an empty view of an answer would keep it
        self._count(conn)
        if conn.keeps:
            self._go_on(conn)
        else:
            self._leave(conn)
            self._end(conn, graceful=True)

    def linger(self, sock: socket.socket) -> None:
        """Close our side, and the connection once the client has read the answer: an earlier close could destroy it."""
        try:
            sock.shutdown(socket.SHUT_WR)
            self.poller.register(sock, selectors.EVENT_READ, self._discard)
        except (OSError, ValueError, KeyError):
            sock.close()
            return
        self.lingering[sock] = (monotonic() + LINGER_SECONDS, LINGER_BYTES)

    def _discard(self, sock: socket.socket) -> None:
        until, left = self.lingering[sock]
        try:
            count = len(sock.recv(STEP_BYTES))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        if 0 < count < left:
            self.lingering[sock] = (until, left - count)
        else:
            self._let_go(sock)

    def _let_go(self, sock: socket.socket) -> None:
        del self.lingering[sock]
        self.poller.unregister(sock)
        sock.close()

    # ---------------------------------------------------------------------------------------- deadlines and bounds

    def murder_pending(self) -> None:
        """Called by gunicorn's loop after every round of events and at least once a second."""
        now = monotonic()
        while self.lingering and (len(self.lingering) > MAX_LINGERING or next(iter(self.lingering.values()))[0] <= now):
            self._let_go(next(iter(self.lingering)))
        while self.keepalived_conns and self.nr_conns > self.worker_connections - SPARE_CONNECTIONS:
            self._close_idle()
        if self.is_short:
            self.is_short = False
            self._ease_shortage(now)
        self._cut_slow_senders(now)
        self._cut_largest(now)
        self._cut_stalled_answers(now)

    def _close_idle(self) -> None:
        """The one that has been idle longest."""
        conn = self.keepalived_conns.popleft()
        self._leave(conn)
        self._end(conn)

    def _ease_shortage(self, now: float) -> None:
        """Nothing is left for a new connection: an old one has to go. Where every one is being answered, new ones wait;
        to try at once again, and again, would take the processor from those answers."""
        if self.lingering:
            self._let_go(next(iter(self.lingering)))
        elif self.keepalived_conns:
            self._close_idle()
        elif self.receiving:
            self._cut(next(iter(self.receiving)), "too_many", now)
        else:
            self.accepts_again_at = now + PAUSE_SECONDS
            self.set_accept_enabled(False)

    def _cut_slow_senders(self, now: float) -> None:
        crowded = not self.alive or self.nr_conns >= self.worker_connections
        timeout = CROWDED_SECONDS if crowded else self.receive_seconds
        while self.receiving and now - next(iter(self.receiving)).since > timeout:
            self._cut(next(iter(self.receiving)), "too_slow", now)

    def _cut_largest(self, now: float) -> None:
        """What is whole is answered; of the rest, who holds most goes first, and a small delivery stays: when whole
        ones alone are too many, cutting it would free nothing."""
        while self.receiving and self.held_bytes > MAX_HELD_BYTES:
            largest = max(self.receiving, key=lambda conn: conn.held_bytes)
            if largest.held_bytes < STEP_BYTES:
                return
            self._cut(largest, "too_many", now)

    def _cut(self, conn: Connection, reason: str, now: float) -> None:
        count = conn.incoming.came or len(conn.unsent)
        self._drop(conn)
        if count:
            _log_cut(conn, reason, now - conn.since, count)

    def _cut_stalled_answers(self, now: float) -> None:
        while self.answering:
            conn, since = next(iter(self.answering.items()))
            if now - since <= self.answer_seconds:
                return
            if conn.exchange is None:
                self._cut(conn, "stalled", now)
                continue
            del self.answering[conn]
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RDWR)
            _log_cut(conn, "stalled", now - since)


def _log_cut(conn: Connection, reason: str, seconds: float, count: int | None = None) -> None:
    metrics.meter().cut(reason)
    client = conn.client[0] if isinstance(conn.client, tuple) else ""
    log.warning("connection.cut", reason=reason, seconds=round(seconds, 1), bytes=count, client=client)
