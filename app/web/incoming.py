"""The bytes of one request as they come in, and whether it is whole. No I/O.

Only as much of HTTP/1.1 is understood as it takes to see where a request ends; gunicorn reads it properly afterwards.
Whatever is malformed counts as whole, so that gunicorn says what is wrong with it.

https://www.rfc-editor.org/rfc/rfc9112#section-6.3
"""

import re

from app.web.limits import MAX_BODY_BYTES, MAX_HEAD_BYTES

ENOUGH_CHUNKED_BYTES = MAX_BODY_BYTES + 64 * 1024
"""So much of a chunked body shows that it is too large; the reader asks for a little more than it needs."""
MAX_CHUNKED_BYTES = 2 * ENOUGH_CHUNKED_BYTES
"""With what the chunks cost: a full body in chunks of six bytes just fits, and nobody sends such small ones."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTATION = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
_END_OF_HEAD = b"\r\n\r\n"


class Incoming:
    """One request on its way in."""

    def __init__(self, beginning: bytes, now: float) -> None:
        """``beginning``: what came behind the request before; ``now``: monotonic seconds."""
        self.since = now
        self.buffer = bytearray(beginning)
        self.expects_continue = False
        """The client waits for ``100 Continue`` before it sends the body; whoever reads this says so and clears it."""
        self.cut_short = False
        """More is on its way than was awaited: behind the answer the connection cannot be used any more."""
        self.hopeless = False
        """This will never be a request that is worth an answer."""
        self._head_ends = 0
        self._needed = 0
        self._at = 0
        self._unchunked = 0
        self._chunked = self._in_trailers = False

    def whole(self) -> bool:
        """Whether everything is here that it takes to answer."""
        if not self._head_ends and not self._find_head():
            self.hopeless = len(self.buffer) > MAX_HEAD_BYTES
            return False
        if not self._chunked:
            return len(self.buffer) >= self._needed
        if self._last_chunk_came():
            return True
        self.cut_short = self._unchunked + len(self.buffer) - self._at >= ENOUGH_CHUNKED_BYTES
        self.hopeless = len(self.buffer) > MAX_CHUNKED_BYTES
        return self.cut_short

    def _find_head(self) -> bool:
        end = self.buffer.find(_END_OF_HEAD)
        if end < 0:
            return False
        if _EXPECTATION.search(self.buffer, 0, end + 2):
            head = _EXPECTATION.sub(b"", bytes(self.buffer[: end + 2]))
            self.buffer[: end + 2] = head
            end, self.expects_continue = len(head) - 2, True
        self._head_ends = self._at = end + len(_END_OF_HEAD)
        self._chunked = bool(_CHUNKED.search(self.buffer, 0, end + 2))
        found = _LENGTH.search(self.buffer, 0, end + 2)
        length = int(found.group(1)) if found else 0
        # A body that says that it is too large is refused by its word.
        self.cut_short = length > MAX_BODY_BYTES
        self._needed = self._head_ends + (0 if self.cut_short else length)
        return True

    def _last_chunk_came(self) -> bool:
        """Walk from chunk to chunk as far as they are here."""
        while (line_ends := self.buffer.find(b"\r\n", self._at)) >= 0:
            line, behind = bytes(self.buffer[self._at : line_ends]), line_ends + 2
            if self._in_trailers and not line:
                return True
            if not self._in_trailers:
                size = _CHUNK_SIZE.match(line)
                if size is None:
                    return True
                length = int(size.group(), 16)
                self._in_trailers = length == 0
                behind += length + 2 if length else 0
                if behind <= len(self.buffer):
                    self._unchunked += length
            if behind > len(self.buffer):
                return False
            self._at = behind
        return False
