"""What our framing accepts, gunicorn's own parser reads as exactly the same, and it never asks for more bytes."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http import get_parser  # type: ignore[import-untyped]
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from app.web.incoming import Incoming, PlainRequest

CLIENT = ("192.0.2.1", 40_000)
OURS = {"CONTENT-LENGTH", "TRANSFER-ENCODING", "EXPECT", "UPGRADE"}
"""Headers that say how the client framed its request; they are left out, or written anew."""
REFUSED_AS_WRITTEN = ("ExpectationFailed", "InvalidHeader", "InvalidRequestLine")
"""Another expectation than the one there is, two hosts, a target that does not fit the method."""
REFUSED_AS_SENT = (*REFUSED_AS_WRITTEN, "InvalidHTTPVersion", "InvalidHeaderName")
"""Two blanks in the request line, a header that may not be a trailer: neither is handed on."""

METHODS = [b"POST", b"POST", b"GET", b"OPTIONS", b"get", b"M-SEARCH", b"CONNECT", b""]
TARGETS = [b"/truthvouch/alerts", b"/a//b?c=d#e", b"*", b"http://x/y", b"/\xff", b"", b"/%0d%0a", b"x:1"]
VERSIONS = [b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b"http/1.1", b""]
ENDS = [b"\r\n"] * 40 + [b"\n", b"\r", b"\r\n\r\n", b""]
HEADERS = [
    b"Host: x", b"Host: x", b"X-Signature: abc", b"Connection: close", b"Connection: keep-alive", b"X_Under: 1",
    b"Connection: Upgrade", b"Upgrade: h2c",
    b"Expect: 100-continue", b"Expect: x", b"X-Empty:", b" folded: 1", b"X : 1",
    b"X-A: \xe4\t\x01", b"X-B: a,b", b"Content-Type: a", b"Trailer: X", b": x", b"no colon", b"TE: trailers",
]  # fmt: skip
LENGTHS = [
    b"5", b"0", b"3", b"10", b"0005", b"+5", b"-5", b" 5 ", b"5,5", b"5, 5", b"0x5", b"",
    b"00000000000000000000000000005",
    b"18446744073709551616", b"\xb2", b"5_0", b"5\x0b",
]  # fmt: skip
CODINGS = [
    b"chunked", b"chunked", b"Chunked", b" chunked ", b"\tchunked", b"chunked, chunked", b"gzip, chunked", b"identity",
    b"", b"chunked;x=y", b"\x0bchunked", b"chunked,", b", chunked", b"xchunked",
]  # fmt: skip
SIZES = [
    b"5", b"5", b"005", b"000000005", b"000000000000000000005", b"5;a=b", b'5;a="b;\r"', b"5 ;a", b"5;", b" 5", b"5 ",
    b"+5", b"0x5", b"5\t", b"g", b"", b"FFFFFFFFFFFFFFFFF", b"5;a=\x00", b"4", b"6", b"-1",
]  # fmt: skip
BODIES = [b"hello", b"hello", b"", b"a\r\nb\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]


def gunicorn_settings() -> Any:
    cfg = Config()
    for name, value in {"limit_request_fields": 100, "limit_request_field_size": 65536}.items():
        cfg.set(name, value)
    return cfg


CFG = gunicorn_settings()


class RandomRequests(random.Random):
    """Pieces of requests, most of them nearly right."""

    def a_request(self) -> bytes:
        lines = [b" ".join([self.choice(METHODS), self.choice(TARGETS[: self.choice([1, 8])]), self.choice(VERSIONS)])]
        if self.random() < 0.7:
            lines[0] = b"POST /truthvouch/alerts HTTP/1.1"
        lines += self.choices(HEADERS, k=self.choice([0, 1, 2, 4]))
        if self.random() < 0.5:
            lines.append(b"Content-Length: " + self.choice(LENGTHS[: self.choice([2, 20])]))
        if self.random() < 0.5:
            lines.append(b"Transfer-Encoding: " + self.choice(CODINGS[: self.choice([2, 20])]))
        self.shuffle(rest := lines[1:])
        head = b"".join(line + self.choice(ENDS) for line in [lines[0], *rest]) + self.choice(ENDS)
        return head + self.choice([self.choice(BODIES), self.some_chunks(), self.some_chunks()])

    def some_chunks(self) -> bytes:
        said = b""
        for _ in range(self.choice([0, 1, 2])):
            said += self.choice(SIZES[: self.choice([3, 30])]) + self.choice(ENDS) + b"hello" + self.choice(ENDS)
        said += self.choice([b"0", b"0", b"0", b"000", b"0;x=y", b""]) + self.choice(ENDS)
        return (
            said + self.choice([b"", b"", b"X-T: 1\r\n", b"Host: y\r\n", b"bad\n", b"Content-Length: 3\r\n"]) + b"\r\n"
        )

    def a_connection(self) -> bytes:
        said = bytearray(b"".join(self.a_request() for _ in range(self.choice([1, 1, 2, 3]))))
        if self.random() < 0.3 and said:
            said[self.randrange(len(said))] = self.choice(b"\r\n \t:;0\x00\xff5")
        return bytes(said)

    def in_pieces(self, said: bytes) -> Iterator[bytes]:
        step = self.choice([1, 7, 64, len(said) or 1])
        for at in range(0, len(said), step):
            yield said[at : at + step]


def taken_in(parts: Iterator[bytes]) -> tuple[list[PlainRequest], str]:
    incoming = Incoming()
    for part in parts:
        incoming.feed(part)
    incoming.end()
    return [*incoming.requests], incoming.fault or ""


Read = tuple[str, str, list[tuple[str, str]], bytes]
"""Method, target, the headers that matter, body."""


def read_by_gunicorn(parts: Iterator[bytes]) -> tuple[Read | str, bytes]:
    """The first request, or the name of gunicorn's refusal; and what is left behind it."""
    parser = get_parser(CFG, parts, CLIENT)
    try:
        request = next(parser)
        body = request.body.read()
    except (ParseException, StopIteration) as refusal:
        return type(refusal).__name__, b""
    headers = [(name, value) for name, value in request.headers if name not in OURS]
    return (request.method, request.uri, headers, body), parser.unreader.buf.getvalue()


def written(request: PlainRequest) -> Read:
    """The same of what we wrote, read in the simplest way."""
    line, *lines = request.head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, _version = line.split(" ")
    fields = [line.partition(":") for line in lines]
    headers = [(name.upper(), value.strip(" \t")) for name, _, value in fields if name.upper() not in OURS]
    # Gunicorn leaves out what could be taken for another header (``header_map``).
    return method, target, [field for field in headers if "_" not in field[0]], bytes(request.body)


def came_whole(request: PlainRequest) -> bool:
    lines = request.head.lower().split(b"\r\n")
    lengths = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
    return lengths in ([], [len(request.body)])


def check(said: bytes, generator: RandomRequests) -> int:
    """How many requests were accepted and read."""
    taken = taken_in(iter([said]))
    assert taken == taken_in(generator.in_pieces(said))
    read = 0
    for n, request in enumerate(taken[0]):
        as_written, left = read_by_gunicorn(request.pieces())
        assert as_written == written(request) or as_written in REFUSED_AS_WRITTEN
        assert left == b""
        if n == 0 and came_whole(request):
            as_sent, _ = read_by_gunicorn(iter([said]))
            assert as_sent == written(request) or as_sent in REFUSED_AS_SENT
        read += as_written == written(request)
    return read


@pytest.mark.parametrize("seed", range(8))
def test_two_parsers_agree(seed: int):
    generator = RandomRequests(seed)
    read = sum(check(generator.a_connection(), generator) for _ in range(1000))
    assert read > 200
