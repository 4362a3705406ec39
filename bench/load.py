"""A load generator light enough to share two cores with what it measures.

One process, raw non-blocking keep-alive sockets, one selector, ready-made request bytes, no HTTP library: some 20
microseconds of Python for a request and its answer. Two ways to drive:

* ``saturate``: every connection always has one request in flight. Says how many a second can be had.
* ``pace``: requests leave at fixed moments whether or not earlier ones are answered, and each latency counts from the
  moment the request was *due*, so a stall of the server is charged to every request that it delayed.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

Requests = Iterator[tuple[str, bytes]]
_CLOCK = time.perf_counter


@dataclass(slots=True)
class Load:
    """What came back."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    """Of the accepted ones."""
    accepted: dict[str, float] = field(default_factory=dict)
    """Alert id -> epoch seconds at which its 202 was read."""
    sent: dict[str, float] = field(default_factory=dict)
    """Alert id -> epoch seconds at which its request was written."""
    refused: dict[str, int] = field(default_factory=dict)
    """Status (or ``broken`` connection) -> how often."""

    @property
    def rate(self) -> float:
        """Accepted per second."""
        return len(self.latencies_ms) / self.seconds if self.seconds else 0.0


class _Wire:
    """One keep-alive connection with at most one request in flight."""

    __slots__ = ("alert_id", "answer", "due", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.answer = b""
        self.alert_id = ""
        self.due = 0.0

    def read(self) -> str | None:
        """The status once the whole answer is there, None before, ``broken`` when the peer hung up."""
        try:
            piece = self.socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return "broken"
        if not piece:
            return "broken"
        self.answer += piece
        return self._status()

    def _status(self) -> str | None:
        head_ends = self.answer.find(b"\r\n\r\n")
        if head_ends < 0:
            return None
        starts = self.answer.find(b"Content-Length: ")
        if 0 <= starts < head_ends:
            length = int(self.answer[starts + 16 : self.answer.index(b"\r", starts)])
            if len(self.answer) < head_ends + 4 + length:
                return None
        return self.answer[9:12].decode("latin-1")


class Generator:
    """Drives one server address with a fixed number of connections."""

    def __init__(self, address: tuple[str, int], connections: int) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._idle: deque[_Wire] = deque()
        self._busy = 0
        for _ in range(connections):
            self._open()

    def __enter__(self) -> "Generator":
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()

    def saturate(self, requests: Requests, seconds: float) -> Load:
        """Keep every connection busy for ``seconds``; answers still outstanding then are not counted."""
        load = Load()
        started = _CLOCK()
        ends = started + seconds
        while (now := _CLOCK()) < ends:
            while self._idle:
                self._send(load, requests, _CLOCK())
            self._collect(load, ends - now)
        load.seconds = _CLOCK() - started
        self._wait_until_quiet()
        return load

    def pace(self, requests: Requests, per_second: float, seconds: float) -> Load:
        """Send at a fixed rate for ``seconds``, then wait up to five seconds for the last answers."""
        load = Load()
        started = _CLOCK()
        total = int(per_second * seconds)
        for n in range(total):
            due = started + n / per_second
            while (wait := due - _CLOCK()) > 0 or not self._idle:
                self._collect(load, max(wait, 0.0) if self._idle else 0.05)
                if not self._idle and _CLOCK() - due > 10:
                    load.refused["stalled"] = total - n
                    return load
            self._send(load, requests, due)
        self._wait_until_quiet(load)
        load.seconds = _CLOCK() - started
        return load

    def post(self, requests: Requests, count: int) -> Load:
        """``count`` requests as fast as the server takes them."""
        load = Load()
        started = _CLOCK()
        for _ in range(count):
            while not self._idle:
                self._collect(load, 1.0)
            self._send(load, requests, _CLOCK())
        self._wait_until_quiet(load)
        load.seconds = _CLOCK() - started
        return load

    def _open(self) -> None:
        wire = _Wire(self._address)
        self._selector.register(wire.socket, selectors.EVENT_READ, wire)
        self._idle.append(wire)

    def _send(self, load: Load, requests: Requests, due: float) -> None:
        wire = self._idle.popleft()
        wire.alert_id, request = next(requests)
        wire.due = due
        wire.answer = b""
        self._busy += 1
        load.sent[wire.alert_id] = time.time()
        try:
            wire.socket.sendall(request)
        except OSError:
            self._replace(load, wire)

    def _collect(self, load: Load, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            wire: _Wire = key.data
            status = wire.read()
            if status is None:
                continue
            if status == "broken":
                self._replace(load, wire)
                continue
            self._busy -= 1
            self._idle.append(wire)
            if status == "202":
                load.latencies_ms.append((_CLOCK() - wire.due) * 1000)
                load.accepted[wire.alert_id] = time.time()
            else:
                load.refused[status] = load.refused.get(status, 0) + 1

    def _replace(self, load: Load, wire: _Wire) -> None:
        """The server may close an idle connection (keep-alive ran out); one with a request in it is a loss."""
        self._selector.unregister(wire.socket)
        wire.socket.close()
        if wire in self._idle:
            self._idle.remove(wire)
        else:
            self._busy -= 1
            load.refused["broken"] = load.refused.get("broken", 0) + 1
        self._open()

    def _wait_until_quiet(self, load: Load | None = None) -> None:
        ends = _CLOCK() + 5
        while self._busy and _CLOCK() < ends:
            self._collect(load or Load(), 0.1)
