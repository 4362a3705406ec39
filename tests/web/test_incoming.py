"""Where a request ends is seen at the last byte, not before and not after, however it is cut into pieces."""

import time

import pytest

from app.web.incoming import (
    MAX_BODY_BYTES,
    MAX_CHUNKED_BYTES,
    MAX_HEAD_BYTES,
    MAX_REQUESTS,
    Fault,
    Incoming,
    PlainRequest,
)

HEAD = b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
REQUESTS = {
    "no body": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "a length": (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "a length in other letters": (HEAD + b"CONTENT-length:\t5 \r\n\r\nhello", b"hello"),
    "a length of none": (HEAD + b"Content-Length: 0\r\n\r\n", b""),
    "a length of many digits": (HEAD + b"Content-Length: " + b"0" * 40 + b"5\r\n\r\nhello", b"hello"),
    "a body that looks like a head": (HEAD + b"Content-Length: 4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
    "chunks": (CHUNKED + b"5\r\nhello\r\n3;x=y\r\n\r\n0\r\n0\r\n\r\n", b"hello\r\n0"),
    "a chunk's size of many digits": (CHUNKED + b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "a chunk that looks like the last": (CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    "chunks and trailers": (CHUNKED + b"1\r\na\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n", b"a"),
    "another protocol offered": (
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    "another protocol offered before chunks": (
        HEAD + b"Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"hello",
    ),
}
requests = pytest.mark.parametrize(("request_bytes", "body"), REQUESTS.values(), ids=REQUESTS)


def fed(*parts: bytes) -> Incoming:
    incoming = Incoming()
    for part in parts:
        incoming.feed(part)
    return incoming


def only(incoming: Incoming) -> PlainRequest:
    (request,) = incoming.requests
    return request


def declared(request: PlainRequest) -> int:
    """The one ``Content-Length``."""
    (line,) = [line for line in request.head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return int(line.partition(b":")[2])


@requests
def test_a_request_is_whole_with_its_last_byte(request_bytes: bytes, body: bytes):
    incoming = Incoming()
    seen = []
    for index in range(len(request_bytes)):
        incoming.feed(request_bytes[index : index + 1])
        seen.append(len(incoming.requests))
    assert [0] * (len(request_bytes) - 1) + [1] == seen
    assert (body, False) == (bytes(only(incoming).body), only(incoming).is_last)


@requests
def test_what_comes_behind_a_request_is_the_next_one(request_bytes: bytes, body: bytes):
    incoming = fed(request_bytes + b"GET /next HT", b"TP/1.1\r\n\r\n")
    first, second = incoming.requests
    assert (body, b"GET /next HTTP/1.1\r\n\r\n") == (bytes(first.body), second.head)


@pytest.mark.parametrize(
    ("head", "is_last"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
def test_who_wants_to_close_is_known(head: bytes, is_last: bool):
    assert is_last == fed(head).requests[0].is_last


def test_a_body_is_framed_by_one_length_of_our_own():

    request = only(fed(HEAD + b"X-One: 1\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Two: 2\r\n\r\n"))
    assert HEAD + b"X-One: 1\r\nContent-Length: 5\r\n\r\n" == request.head
    assert [request.head, b"hello"] == list(request.pieces())


@pytest.mark.parametrize(
    "malformed",
    [
        HEAD + b"Content-Length: many\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: \r\n\r\n",
        HEAD + b"Content-Length: 1, 1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: identity\r\n\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"X-Folded: a\r\n b\r\n\r\n",
        HEAD + b"X-Return: a\rb\r\n\r\n",
        HEAD + b"X-Null: a\0b\r\n\r\n",
        HEAD + b"X-Blank : a\r\n\r\n",
        HEAD + b"X-Feed: a\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
        b"GET /?\xe4 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_with_its_head(malformed: bytes):
    incoming = fed(malformed)
    assert (Fault.MALFORMED, [], 0) == (incoming.fault, [*incoming.requests], incoming.held_bytes)


@pytest.mark.parametrize("line", [b"BREW / HTTP/1.1", b"get / HTTP/1.1", b"\x16\x03\x01"])
def test_what_is_no_method_is_refused_with_its_first_dead_letters(line: bytes):
    assert fed(line + b"\r\n\r\n").fault is Fault.UNKNOWN_METHOD


@pytest.mark.parametrize("malformed", [b"zz\r\n", b"-5\r\n", b"\r\n", b"5\r\nhelloXX", b"5\nhello", b"5;\0=\r\n"])
def test_a_malformed_body_is_one_that_did_not_come_whole(malformed: bytes):
    request = only(fed(CHUNKED + malformed))
    assert request.is_last
    assert len(request.body) < declared(request) <= MAX_BODY_BYTES


@pytest.mark.parametrize(
    "begun", [HEAD + b"Content-Length: 9\r\n\r\nabc", CHUNKED + b"5\r\nabc", CHUNKED + b"3\r\nabc"]
)
def test_a_body_that_ends_early_did_not_come_whole(begun: bytes):
    incoming = fed(begun)
    incoming.end()
    request = only(incoming)
    assert (b"abc", True) == (bytes(request.body), request.is_last)
    assert declared(request) > 3


@pytest.mark.parametrize("half", [b"G", HEAD, HEAD + b"X-Long: " + b"x" * 10_000, CHUNKED + b"5;" + b"x" * 10_000])
@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_has_begun_is_counted(before: bytes, half: bytes):
    incoming = fed(before + half)
    incoming.requests.clear()
    assert not incoming.is_empty
    assert len(half) <= incoming.held_bytes <= 2 * len(before + half)
    incoming.discard()
    assert (0, True) == (incoming.held_bytes, incoming.is_empty)


@pytest.mark.parametrize("lines", [(b"\r\n",), (b"\r", b"\n"), (b"\r\n\r\n",), (b"\n",)])
@pytest.mark.parametrize("before", [(), (b"GET / HTTP/1.1\r\n\r\n",)], ids=["first", "behind another"])
def test_an_empty_line_begins_no_request(before: tuple[bytes, ...], lines: tuple[bytes, ...]):
    """https://www.rfc-editor.org/rfc/rfc9112#section-2.2"""
    incoming = fed(*before, *lines)
    incoming.requests.clear()
    assert (0, True) == (incoming.came, incoming.is_empty)
    incoming.feed(HEAD)
    assert (len(HEAD), False) == (incoming.came, incoming.is_empty)
    incoming.feed(b"\r\n")
    assert HEAD + b"\r\n" == only(incoming).head


def test_half_a_head_is_nothing_to_answer():
    incoming = fed(HEAD)
    incoming.end()
    assert incoming.is_empty


# --------------------------------------------------------------------------------------------------------- bounds


def test_a_body_that_says_it_is_too_large_is_not_awaited():
    request = only(fed(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)))
    assert (b"", MAX_BODY_BYTES + 1, True) == (bytes(request.body), declared(request), request.is_last)
    assert not fed(HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES).requests


@pytest.mark.parametrize("size", [1, 10, 1000, 10**8])
def test_of_chunks_no_more_is_awaited_than_it_takes_to_refuse_them(size: int):
    incoming = fed(CHUNKED)
    chunk = b"%x\r\n" % size + b"f" * min(size, 2 * MAX_BODY_BYTES) + b"\r\n"
    several, count = max(1, 10_000 // size), 0
    while not incoming.requests:
        incoming.feed(chunk * several)
        count += several
        assert count * len(chunk) < 2 * MAX_CHUNKED_BYTES + len(chunk)
    request = only(incoming)
    assert (0, True) == (len(request.body), request.is_last)
    assert declared(request) > MAX_BODY_BYTES
    assert incoming.held_bytes < 1000


@pytest.mark.parametrize(
    "endless",
    [CHUNKED + b"0" * 1000, CHUNKED + b"5;" + b"x" * 1000, CHUNKED + b"0\r\nX-T: " + b"x" * 1000],
    ids=["digits", "extension", "trailer"],
)
def test_framing_without_end_is_not_awaited(endless: bytes):
    incoming = fed(endless)
    for _ in range(MAX_HEAD_BYTES // 1000):
        incoming.feed(endless[-1:] * 1000)
    assert only(incoming).is_last


@pytest.mark.parametrize("endless", [b"GET /" + b"x" * 1000, HEAD + b"X-Long: ", b"\r\n" * 500, HEAD + b"A: b\r\n"])
def test_a_head_without_end_is_too_long(endless: bytes):
    incoming = fed(endless)
    for _ in range(2 * MAX_HEAD_BYTES // 1000):
        incoming.feed(endless[-6:] * 170)
    assert (Fault.TOO_LONG, 0) == (incoming.fault, incoming.held_bytes)


def test_a_connection_holds_so_many_requests_and_closes_behind_them():
    incoming = fed(b"GET / HTTP/1.1\r\n\r\n" * 1000)
    assert [False] * (MAX_REQUESTS - 1) + [True] == [request.is_last for request in incoming.requests]


@pytest.mark.parametrize(
    "several",
    [b"1\r\nx\r\n" * 1000, b"0\r\n" + b"a: b\r\n" * 1000, b"00000000001\r\nx\r\n" * 1000, b"1;x=y\r\nx\r\n" * 1000],
    ids=["chunks", "trailers", "digits", "extensions"],
)
def test_processor_time_is_in_proportion_to_the_bytes(several: bytes):
    """A megabyte of the dearest takes some 15 ms where this was written; seconds would stop the process."""
    began = time.process_time()
    incoming = fed(CHUNKED, *[several] * (1_000_000 // len(several)))
    assert time.process_time() - began < 1
    incoming.discard()
    assert (0, True) == (incoming.held_bytes, incoming.is_empty)


# ---------------------------------------------------------------------------------------------------- expectations


def test_an_expectation_is_noticed_once_and_kept_from_the_server():
    incoming = fed(HEAD + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert incoming.expects_continue
    assert not incoming.requests
    incoming.feed(b"hi")
    assert (HEAD + b"Content-Length: 2\r\n\r\n", False) == (only(incoming).head, incoming.expects_continue)


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    ],
    ids=["no body", "too large", "HTTP/1.0"],
)
def test_nobody_is_reported_to_send_what_is_not_wanted(head: bytes):
    assert not fed(head).expects_continue


def test_another_expectation_is_for_the_server_to_refuse():
    incoming = fed(HEAD + b"Expect: miracles\r\n\r\n")
    assert (False, True) == (incoming.expects_continue, b"miracles" in only(incoming).head)
