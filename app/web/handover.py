"""One web process serves what people and programs look at, the others take in webhooks.

A page is some ten milliseconds of Python, and while it is made no other thread of its process gets on for up to five of
them. So a connection goes to a process of the kind that its next request asks for, with what came of the request so
far: sent over a pair of sockets that gunicorn's master made. What nobody has received yet when a process ends waits for
the one that takes its place.

Every process can answer everything. Where a connection cannot be sent now, or the request begins in an unusual way, it
is answered where it is.

https://man7.org/linux/man-pages/man7/unix.7.html (SCM_RIGHTS)
"""

import errno
import json
import os
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

MAX_LINE_BYTES = 8 * 1024
"""How far the end of a request line is looked for."""
MAX_ADDRESSES_BYTES = 4 * 1024
_LOOKED_AT = rb"(?:GET|HEAD) /(?:healthz|readyz|metrics)"
"""What balancers and probes ask for must not wait for a page."""
_CLOSES_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
NICENESS = 5
"""Of the process that makes pages: where processors are scarce, webhooks go first."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection that another process has sent."""

    sock: socket.socket
    client: Any
    server: Any
    """Addresses as the listener gave them: a tuple; of a Unix socket its path."""
    data: bytes
    """What has come of its next request."""


class Pairs:
    """What gunicorn's master holds, for as long as it lives: one pair of sockets to each kind of process."""

    def __init__(self) -> None:
        self._to = {serves_pages: _pair() for serves_pages in (False, True)}

    def end(self, serves_pages: bool) -> "End":
        """What one process has of it."""
        return End(serves_pages, self._to[serves_pages][1], self._to[not serves_pages][0])


def _pair() -> tuple[socket.socket, socket.socket]:
    """Whole messages, to any of those that receive. Linux alone bounds them by their size; elsewhere few wait."""
    try:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for one in pair:
        one.setblocking(False)
    return pair


class End:
    """One process's end: what it gets, and what it sends on."""

    def __init__(self, serves_pages: bool, arrivals: socket.socket, others: socket.socket) -> None:
        self.serves_pages = serves_pages
        self.arrivals = arrivals
        self._others = others
        self._webhook = re.compile(rb"(?!)")

    def expect(self, hooks: Collection[str]) -> None:
        """The paths of the webhooks."""
        paths = b"|".join(re.escape(path.encode()) for path in hooks)
        self._webhook = re.compile(rb"(?:POST (?:%s)|%s)[ ?]" % (paths, _LOOKED_AT))

    def is_elsewhere(self, data: bytes) -> bool:
        """Whether the request that begins so is for the other kind. What has no request line yet is for nobody else."""
        is_webhook = self._webhook.match(data) is not None
        return is_webhook if self.serves_pages else not is_webhook and data.find(b"\r\n", 0, MAX_LINE_BYTES) > 0

    def send(self, sock: socket.socket, client: Any, server: Any, data: bytes) -> bool:
        """Send this connection on; whether that was done. Only then it is to be closed here."""
        try:
            addresses = json.dumps((client, server)).encode()
            socket.send_fds(self._others, [addresses, b"\n", data], [sock.fileno()])
        except (OSError, TypeError):  # no room, or a listener whose name is bytes
            return False
        return True

    def receive(self, step_bytes: int) -> Arrival | None:
        """A connection that was sent here, of a request's first ``step_bytes``; None where another process was quicker.
        Raises ``OSError`` where this process can have no more descriptors."""
        # Where no descriptor is left this raises, and the connection stays where it waits; received, it would be lost.
        os.close(os.dup(self.arrivals.fileno()))
        try:
            most = step_bytes + MAX_ADDRESSES_BYTES
            message, descriptors, flags, _ = socket.recv_fds(self.arrivals, most, 1, _CLOSES_ON_EXEC)
        except (BlockingIOError, InterruptedError):
            return None
        if flags & socket.MSG_CTRUNC or not descriptors:
            raise OSError(errno.EMFILE, "a connection from another process was lost")
        addresses, _, data = message.partition(b"\n")
        client, server = (tuple(one) if isinstance(one, list) else one for one in json.loads(addresses))
        return Arrival(socket.socket(fileno=descriptors[0]), client, server, data)
