"""``/metrics`` and ``/healthz`` of a worker that was started on its own: nobody else can read what it counts.

Small on purpose, for the worker has better things to do. Connections are accepted at a bounded pace and answered a few
at a time, each has a deadline for its request and one for its answer, and what is more waits in the system's queue: a
flood costs no delivery.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from app.metrics import CONTENT_TYPE

log = structlog.get_logger()

AT_ONCE = 4
"""Connections that are answered at the same time, each in a thread of its own."""
PAUSE_SECONDS = 0.02
"""Between two connections: fifty a second at most."""
SHORTAGE_SECONDS = 1.0
"""How long none is accepted while the process has no descriptors or threads for it."""
RECEIVE_SECONDS = 5.0
"""How long a request may take to come in, however lively."""
ANSWER_SECONDS = 5.0
"""How long a client may take to read the answer."""
MAX_HEAD_BYTES = 16 * 1024
BACKLOG = 16
OK, NOT_FOUND, NOT_ALLOWED, BAD, BROKEN = (
    "200 OK",
    "404 Not Found",
    "405 Method Not Allowed",
    "400 Bad Request",
    "500 Internal Server Error",
)
HEALTHY = b'{"status":"ok"}\n'
"""The process lives; says nothing about its work."""


def listen(host: str, port: int) -> socket.socket | None:
    """A socket that listens there; None where that cannot be, which is logged: metrics stop no worker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as fault:
        remedy = "set BRIDGE_METRICS_PORT to a free port on an address of this machine, and start the worker again"
        log.error("metrics.not_served", address=address, reason=fault.strerror or str(fault), remedy=remedy)
        return None
    log.info("metrics.served", address=address)
    return listener


class MetricsServer:
    """Answers whoever asks, until the process ends."""

    def __init__(self, listener: socket.socket, text: Callable[[], bytes]) -> None:
        self._listener, self._text = listener, text
        self._free = threading.Semaphore(AT_ONCE)

    def start(self) -> None:
        """Answer from now on, in threads of its own."""
        threading.Thread(target=self._accept, name="metrics", daemon=True).start()

    def _accept(self) -> None:
        while self._listener.fileno() >= 0:
            self._free.acquire()
            try:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), name="metrics-answer", daemon=True).start()
            except (OSError, RuntimeError):  # no descriptor, no thread, or a client that has gone again
                self._free.release()
                time.sleep(SHORTAGE_SECONDS)
            time.sleep(PAUSE_SECONDS)

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):
                answer = self._answer(_head(client))
                client.settimeout(ANSWER_SECONDS)
                client.sendall(answer)
        finally:
            self._free.release()

    def _answer(self, head: bytes) -> bytes:
        line = head.partition(b"\r\n")[0].split(b" ")
        if len(line) != 3 or not line[2].startswith(b"HTTP/1.") or b"\r\n\r\n" not in head:
            return _response(BAD)
        method, target, _ = line
        if method not in (b"GET", b"HEAD"):
            return _response(NOT_ALLOWED, more="Allow: GET, HEAD\r\n")
        match target.partition(b"?")[0]:
            case b"/healthz":
                answer = _response(OK, HEALTHY, "application/json")
            case b"/metrics":
                answer = self._metrics()
            case _:
                answer = _response(NOT_FOUND)
        return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else answer

    def _metrics(self) -> bytes:
        try:
            return _response(OK, self._text(), CONTENT_TYPE)
        except Exception:
            log.exception("metrics.broke")
            return _response(BROKEN)


def _head(client: socket.socket) -> bytes:
    """Request line and headers. Raises ``OSError`` where they do not come in time; what is too long is cut off."""
    ends_at, head = time.monotonic() + RECEIVE_SECONDS, b""
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES:
        left = ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        client.settimeout(left)
        piece = client.recv(4096)
        if not piece:
            break
        head += piece
    return head


def _response(status: str, body: bytes = b"", content_type: str = "text/plain; charset=utf-8", more: str = "") -> bytes:
    body = body or f"{status}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{more}Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode() + body
