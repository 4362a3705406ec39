"""From a whole request to WSGI and back, for requests as plain as the partners' deliveries are.

Gunicorn reads every head once more, in Python, which costs as much as the bare Flask route behind it. A POST to a hook
whose head can be read in one way only is handed to the application from here, in the environment that gunicorn would
make of it, and its answer is written as gunicorn would write it; tests hold both against gunicorn's. Whatever is
unusual in any way goes gunicorn's way, and is refused there, if at all.
"""

import io
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from time import time
from typing import TYPE_CHECKING, Any

from gunicorn import SERVER, SERVER_SOFTWARE  # type: ignore[import-untyped]
from gunicorn.http import get_parser  # type: ignore[import-untyped]

from app.web.incoming import PlainRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

MAX_HEAD_BYTES = 16 * 1024
"""Far below what gunicorn takes for one header."""
MAX_FIELDS = 50
"""Half of what gunicorn takes."""
EXPECT = "EXPECT"
"""Of what is looked at beside the body's length, this alone can be refused. Whether the connection stays is known."""
_PLAIN_NAMES = {"CONTENT_TYPE", "CONTENT_LENGTH"}
_HOP_BY_HOP = "connection"


def lines_of(paths: Iterable[str]) -> dict[str, str]:
    """The request lines that are looked for, and their paths."""
    return {f"POST {path} HTTP/1.1": path for path in paths}


def environment(request: PlainRequest, lines: Mapping[str, str], client: Any, server: Any) -> "WSGIEnvironment | None":
    """What the application is called with; None for a request that is none of these, or not plain."""
    if len(request.head) > MAX_HEAD_BYTES or not request.head.isascii():
        return None
    line, *fields = request.head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    path = lines.get(line)
    if path is None or len(fields) > MAX_FIELDS or not isinstance(client, tuple):
        return None
    environ = _rest(path, request, client, server)
    for field in fields:
        name, _, value = field.partition(": ")
        key = _key(name)
        if not key or key in environ:
            return None
        environ[key] = value.strip(" \t")
    return environ if environ.get("CONTENT_LENGTH") == str(len(request.body)) else None


@lru_cache(256)
def _key(name: str) -> str:
    """Where a header stands in the environment; empty for one that does not go this way."""
    key = name.upper().replace("-", "_")
    if "_" in name or key == EXPECT:
        return ""
    return key if key in _PLAIN_NAMES else f"HTTP_{key}"


def _rest(path: str, request: PlainRequest, client: Any, server: Any) -> "WSGIEnvironment":
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "RAW_URI": path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def answer(app: "WSGIApplication", environ: "WSGIEnvironment", keeps: bool) -> bytes:
    """What the application answers. ``keeps``: another request may follow on the connection."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], object]:
        begun.append((status, headers))
        return _refuse

    body = b"".join(app(environ, start_response))
    [(status, headers)] = begun
    kept = "".join(f"{name}: {value}\r\n" for name, value in headers if name.lower() != _HOP_BY_HOP)
    connection = "keep-alive" if keeps else "close"
    head = (
        f"HTTP/1.1 {status}\r\nServer: {SERVER}\r\nDate: {_date(int(time()))}\r\nConnection: {connection}\r\n{kept}\r\n"
    )
    return head.encode("latin-1") + body


def _refuse(_piece: bytes) -> object:
    raise NotImplementedError("an answer of ours is returned, never written")


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Answer:
    """Stands where gunicorn expects the client's socket: what the network does not take at once is kept, and nothing
    ever comes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._has_begun = False
        self.unsent = bytearray()

    def sendall(self, data: bytes) -> None:
        """Send this, the head together with what follows. The client need not wait until the request is put away."""
        self.unsent += data
        if self._has_begun:
            self.flush()
        self._has_begun = True

    send = sendall

    def flush(self) -> None:
        """Send as much as the network takes of what is kept."""
        with suppress(OSError):  # whoever sends the rest meets it again
            del self.unsent[: self._sock.send(self.unsent)]

    def recv(self, _size: int) -> bytes:
        """Nothing."""
        return b""

    def gettimeout(self) -> float | None:
        """Never waits."""
        return 0.0

    def _ignore(self, *_: object) -> None:
        """Settings of a socket mean nothing here."""

    setblocking = settimeout = shutdown = close = _ignore


class Exchange:
    """One request and its answer, as gunicorn's thread sees them: a connection (``TConn``) without a network."""

    initialized = data_ready = True
    is_http2 = False

    def __init__(self, conn: Any, request: PlainRequest) -> None:
        self.cfg, self.client, self.server, self.request = conn.cfg, conn.client, conn.server, request
        self.parser: Any = None
        self.sock = Answer(conn.sock)

    def init(self) -> None:
        """Gunicorn reads the request after this, in a thread."""
        self.parser = get_parser(self.cfg, self.request.pieces(), self.client)
