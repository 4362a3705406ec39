"""Where a request ends is seen at the last byte, not before and not after, however it is cut into pieces."""

import pytest

from app.web.incoming import Incoming
from app.web.limits import MAX_BODY_BYTES, MAX_HEAD_BYTES

HEAD = b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\n"
REQUESTS = {
    "no body": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "a length in other letters": HEAD + b"CONTENT-length:\t5 \r\n\r\nhello",
    "a length of none": HEAD + b"Content-Length: 0\r\n\r\n",
    "a body that looks like a head": HEAD + b"Content-Length: 4\r\n\r\n\r\n\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n\r\n0\r\n0\r\n\r\n",
    "a chunk that looks like the last": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    "chunks and trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n",
}

requests = pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS)


@requests
def test_a_request_is_whole_with_its_last_byte(request_bytes: bytes):
    incoming = Incoming(b"", 0)
    seen = []
    for index in range(len(request_bytes)):
        incoming.buffer += request_bytes[index : index + 1]
        seen.append(incoming.whole())
    assert [False] * (len(request_bytes) - 1) + [True] == seen


@requests
def test_what_comes_behind_a_request_does_not_matter(request_bytes: bytes):
    assert Incoming(request_bytes + b"GET / HT", 0).whole()


@pytest.mark.parametrize(
    "tail",
    [
        b"Content-Length: many\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n\r\n",
    ],
)
def test_what_is_malformed_is_for_the_server_to_judge(tail: bytes):
    assert Incoming(HEAD + tail, 0).whole()


def test_a_body_that_says_it_is_too_large_is_not_awaited():
    assert Incoming(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), 0).whole()
    assert not Incoming(HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY_BYTES, 0).whole()


@pytest.mark.parametrize("size", [10, 1000, 10**8])
def test_of_chunks_no_more_is_awaited_than_it_takes_to_refuse_them(size: int):
    incoming = Incoming(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 0)
    chunk = b"%x\r\n" % size + b"f" * min(size, 2 * MAX_BODY_BYTES) + b"\r\n"
    count = 0
    while not incoming.whole():
        incoming.buffer += chunk * (several := max(1, 10_000 // size))
        count += several
    assert count * size > MAX_BODY_BYTES
    assert (True, False) == (incoming.cut_short, incoming.hopeless)


def test_chunks_of_nearly_nothing_are_hopeless():
    incoming = Incoming(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 400_000, 0)
    assert (False, True) == (incoming.whole(), incoming.hopeless)


def test_a_head_without_end_is_hopeless():
    incoming = Incoming(b"x" * MAX_HEAD_BYTES, 0)
    assert (False, False) == (incoming.whole(), incoming.hopeless)
    incoming.buffer += b"x"
    assert (False, True) == (incoming.whole(), incoming.hopeless)


def test_an_expectation_is_noticed_once_and_kept_from_the_server():
    incoming = Incoming(HEAD + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n", 0)
    assert not incoming.whole()
    assert incoming.expects_continue
    assert b"expect" not in incoming.buffer.lower()
    incoming.buffer += b"hi"
    assert incoming.whole()
    assert incoming.buffer.endswith(b"Content-Length: 2\r\n\r\nhi")


def test_another_expectation_is_for_the_server_to_refuse():
    incoming = Incoming(HEAD + b"Expect: miracles\r\n\r\n", 0)
    assert incoming.whole()
    assert (False, True) == (incoming.expects_continue, b"miracles" in incoming.buffer)
