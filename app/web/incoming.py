"""Turns the bytes of one connection into whole requests, written anew. No I/O.

httptools (llhttp, the parser of Node.js) says where a request and its body begin and end. What is handed on holds not
one byte of the client's framing: a request line, the header lines, and one ``Content-Length`` of our own. So two
parsers cannot disagree about where a request ends, because the second one reads only what was written here.

https://www.rfc-editor.org/rfc/rfc9112#section-6.3

How much a request may hold, and how long it may take.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import httptools

# -------------------------------------------------------------------------------------------------------------- limits

MAX_BODY_BYTES = 1024 * 1024
"""PagerDuty's and TruthVouch's deliveries are a few kilobytes; neither documents a limit."""

MAX_HEAD_BYTES = 128 * 1024
"""Request line and headers together; a signature header may be long, since it lists one signature per secret."""

RECEIVE_SECONDS = 10.0
"""From the first byte to the last. PagerDuty gives up after 5 seconds, TruthVouch after 30, both with a retry."""

ANSWER_SECONDS = 15.0
"""How long one request may keep a thread, a sender that does not read its answer included."""


# ------------------------------------------------------------------------------------------------------------ incoming

MAX_CHUNKED_BYTES = 2 * MAX_BODY_BYTES
"""Of one request with all its framing. Small deliveries may come in tiny chunks, large ones do not."""
MAX_REQUESTS = 16
"""That may wait behind one another on a connection (pipelining); it closes behind the last of them."""
PIECE_BYTES = 64 * 1024

_VERSIONS = (b"1.0", b"1.1")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Fault(StrEnum):
    """Why what came is no request."""

    MALFORMED = "malformed"
    UNKNOWN_METHOD = "unknown_method"
    TOO_LONG = "too_long"
    """Request line and headers have no end."""


def _refusal(status: str, code: str, message: str, more: str = "") -> bytes:
    content = json.dumps({"error": {"code": code, "message": message}}).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}{more}Connection: close\r\n\r\n".encode() + content


REFUSALS: Mapping[Fault, bytes] = {
    Fault.MALFORMED: _refusal("400 Bad Request", "malformed_request", "This is no HTTP/1.1 request (RFC 9112)."),
    Fault.UNKNOWN_METHOD: _refusal(
        "405 Method Not Allowed", "unknown_method", "This is no method of HTTP.", "Allow: GET, POST\r\n"
    ),
    Fault.TOO_LONG: _refusal(
        "431 Request Header Fields Too Large", "head_too_large", "Request line and headers are longer than 128 KiB."
    ),
}
"""What its sender is answered."""


@dataclass(slots=True)
class PlainRequest:
    """One request as gunicorn gets it."""

    head: bytes
    """Up to and including the empty line. A body that did not come whole, or is too large, is shorter than its
    ``Content-Length``."""
    body: bytearray
    is_last: bool
    """Behind its answer the connection closes."""

    def pieces(self) -> Iterator[bytes]:
        """Head and body."""
        yield self.head
        for at in range(0, len(self.body), PIECE_BYTES):
            yield bytes(self.body[at : at + PIECE_BYTES])


class _Enough(Exception):
    """Raised inside the parser: nothing that follows matters."""


class Incoming:
    """What came over one connection. The methods ``on_...`` are for the parser alone."""

    def __init__(self) -> None:
        self.requests: deque[PlainRequest] = deque()
        """Whole, oldest first, for whoever answers to take out."""
        self.fault: Fault | None = None
        """What came behind ``requests`` is no request; nothing more is read."""
        self.expects_continue = False
        """The client waits for ``100 Continue`` before it sends the body; whoever reads this says so and clears it."""
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._fed = 0
        self._begin()

    def _begin(self) -> None:
        self._target = bytearray()
        self._head = bytearray()
        self._codings: list[bytes] = []
        self._length: int | None = None
        self._has_expectation = False
        self._in_body = False
        self._body = bytearray()
        self.came = 0
        """Bytes of the request that is on its way in; an empty line before it is none of it (RFC 9112, 2.2)."""
        self._came_in_vain = 0
        """Bytes since the last one of a body: a head, a chunk's size, trailers."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all waits here, not even half a request."""
        return not (self.requests or self.fault or self.came)

    @property
    def held_bytes(self) -> int:
        """What is kept in memory, the parser's unfinished header or chunk included."""
        held = len(self._target) + len(self._head) + len(self._body) + self._came_in_vain
        for request in self.requests:
            held += len(request.head) + len(request.body)
        return held

    def feed(self, data: bytes) -> None:
        """Take in what came."""
        if self._parser is None:
            return
        self._fed = len(data)
        self._came_in_vain += self._fed
        if self.came or data.strip(b"\r\n"):
            self.came += self._fed
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_on(data[upgrade.args[0] :])
        except httptools.HttpParserInvalidMethodError:
            self._break_off(Fault.UNKNOWN_METHOD)
        except httptools.HttpParserError:
            if self._parser is not None:
                self._break_off(Fault.MALFORMED)
        else:
            self._bound()

    def _read_on(self, rest: bytes) -> None:
        """The parser leaves off behind a head that offers another protocol. Nobody here speaks one, and a server may
        ignore the offer: the same head without it, and what follows.

        https://www.rfc-editor.org/rfc/rfc9110#section-7.8
        """
        head = bytes(self._head)
        if self._codings:
            head += b"Transfer-Encoding: chunked\r\n"
        elif self._length is not None:
            head += b"Content-Length: %d\r\n" % self._length
        if self._has_expectation:
            head += b"Expect: 100-continue\r\n"
        self._begin()
        self._parser = httptools.HttpRequestParser(self)
        self.feed(head + b"\r\n" + rest)

    def end(self) -> None:
        """The client sends nothing more: a body that has begun stays incomplete."""
        if self._in_body:
            self._break_off(Fault.MALFORMED)
        self._end()

    def discard(self) -> None:
        """Nobody wants any of it."""
        self._end()
        self.requests.clear()

    def _end(self) -> None:
        """Also breaks the cycle of references, so that memory is given back at once."""
        self._parser = None
        self._begin()
        if self.requests:
            self.requests[-1].is_last = True

    def _bound(self) -> None:
        if self._came_in_vain > MAX_HEAD_BYTES:
            self._break_off(Fault.TOO_LONG)
        elif self.came > MAX_CHUNKED_BYTES:
            self._refuse_body()

    def _break_off(self, fault: Fault) -> None:
        """Whoever has sent a head gets an answer about the body; without one there is nothing to answer."""
        if self._in_body:
            self._hand_on(max(self._length or 0, len(self._body) + 1))
        else:
            self.fault = fault
        self._end()

    def _refuse_body(self) -> None:
        """The application refuses a body by its length alone."""
        self._body = bytearray()
        self._hand_on(max(self._length or 0, MAX_BODY_BYTES + 1))
        self._end()

    def _hand_on(self, length: int | None) -> None:
        if length is not None:
            self._head += b"Content-Length: %d\r\n" % length
        keep = self._parser is not None and self._parser.should_keep_alive()
        self.requests.append(PlainRequest(bytes(self._head) + b"\r\n", self._body, not keep))

    # ----------------------------------------------------------------------------------------- called by the parser

    def on_message_begin(self) -> None:
        """A request begins, perhaps behind others in the same packet, which is then counted as its own."""
        self.came = self._came_in_vain = max(self.came, self._fed)

    def on_url(self, part: bytes) -> None:
        """A piece of the request's target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is left out."""
        if self._in_body:
            return
        lower = name.lower()
        if lower == b"transfer-encoding":
            self._codings.append(value.strip(b" \t").lower())
        elif lower == b"content-length":
            self._length = int(value)
        elif lower == b"upgrade":
            pass
        elif lower == b"expect" and value.strip(b" \t").lower() == b"100-continue":
            self._has_expectation = True
        else:
            self._head += self._plain(name) + b": " + self._plain(value) + b"\r\n"

    def on_headers_complete(self) -> None:
        """The head is here."""
        assert self._parser is not None
        version, method = self._parser.get_http_version().encode(), self._parser.get_method()
        chunked = bool(self._codings)
        if version not in _VERSIONS or method == b"CONNECT":
            raise _Enough
        if chunked and (version == b"1.0" or self._codings != [b"chunked"]):
            raise _Enough
        line = method + b" " + self._plain(bytes(self._target)) + b" HTTP/" + version + b"\r\n"
        self._head[:0] = line
        self._in_body = True
        if (self._length or 0) > MAX_BODY_BYTES:
            self._refuse_body()
            raise _Enough
        self.expects_continue = self._has_expectation and version == b"1.1" and (chunked or bool(self._length))

    def on_body(self, part: bytes) -> None:
        """A piece of the body, without the framing of chunks."""
        self._body += part
        self._came_in_vain = 0
        if len(self._body) > MAX_BODY_BYTES:
            self._refuse_body()
            raise _Enough

    def on_message_complete(self) -> None:
        """A whole request is here."""
        assert self._parser is not None
        if self._parser.should_upgrade():
            return  # of a body nothing was read yet
        self._hand_on(len(self._body) if self._codings else self._length)
        self.expects_continue = False
        self._begin()
        if len(self.requests) >= MAX_REQUESTS:
            self._end()
            raise _Enough

    @staticmethod
    def _plain(text: bytes) -> bytes:
        """Text that cannot end a line."""
        if _CONTROL.search(text):
            raise _Enough
        return text
