"""A partner, as far as bytes go: a loopback HTTP server that answers what it is told and remembers what it was sent."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)

    @property
    def params(self) -> dict[str, list[str]]:
        """The query string's values."""
        return parse_qs(self.query)


@dataclass(frozen=True)
class Reply:
    """What to answer: a body, or ``raw`` to write to the socket oneself."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Callable[[BaseHTTPRequestHandler], None] | None = None


class FarSide:
    """Answers the replies in the order they were told; without one, 500."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Recorded] = []
        self.replies: deque[Reply] = deque()

    def will_answer(self, status: int, fields: object = None, **headers: str) -> None:
        """Answer one request with this status and JSON; ``retry_after="7"`` makes a header ``retry-after``."""
        body = b"" if fields is None else json.dumps(fields).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies.append(Reply(status, body, {"Content-Type": "application/json"} | named))

    @property
    def only_request(self) -> Recorded:
        """The one request there was."""
        [request] = self.requests
        return request


def _handler(far_side: Callable[[], FarSide]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            split = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            here = far_side()
            here.requests.append(
                Recorded(self.command, split.path, split.query, self.headers, body, self.client_address[1])
            )
            reply = here.replies.popleft() if here.replies else Reply(500)
            if reply.raw:
                reply.raw(self)
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_PATCH = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Tests speak through their assertions."""

    return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """With the library's five, callers that come together are made to wait for the kernel's second try."""


@contextmanager
def far_side() -> Iterator[FarSide]:
    """A partner listening on a free loopback port."""
    server = _Server(("127.0.0.1", 0), _handler(lambda: here))
    server.daemon_threads = True
    here = FarSide(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
