"""The web server under clients that are slow, gone, rude or merely unusual."""

import re
import resource
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.serving import Server, everything, statuses
from tests.system.processes import kill
from tests.system.waiting import until
from tests.web.test_two_parsers import RandomRequests
from tests.web_fakes import sign

HEAD = b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\n"


def signed(body: bytes, more: bytes = b"") -> bytes:
    """A whole request with a proof."""
    proof = sign(body)["X-Signature"].encode()
    return HEAD + b"X-Signature: %s\r\nContent-Length: %d\r\n%s\r\n%s" % (proof, len(body), more, body)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), BRIDGE_ROLE="web")
    try:
        yield server.wait_up()
        assert server.lines()
    finally:
        server.tree.destroy()


@pytest.fixture(scope="module")
def short_timeouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("short-timeouts"), worker_class="ShortTimeouts", BRIDGE_ROLE="web")
    try:
        yield server.wait_up()
    finally:
        server.tree.destroy()


# --------------------------------------------------------------------------------------------------- slow clients

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SLOW = {
    "silent": b"",
    "before its request": b"\r\n",
    "in its headers": HEAD + b"X-Sl",
    "in half a line": HEAD + b"X-Sl: 1\r",
    "in its body": HEAD + b"Content-Length: 1000\r\n\r\n{",
    "in a body that is too large": HEAD + b"Content-Length: 100000000\r\n\r\n{",
    "in a body whose length has many digits": HEAD + b"Content-Length: 00000000000000000000000000100\r\n\r\nab",
    "in its chunks": CHUNKED + b"5\r\nab",
    "in the size of a chunk": CHUNKED + b"0",
    "in a chunk whose size has many digits": CHUNKED + b"000000000FFFFF\r\n\r\n",
    "in its trailers": CHUNKED + b"0\r\nX-T: ",
    "in lines without carriage returns": HEAD.replace(b"\r", b"") + b"X-Sl: ",
    "waiting to be told to go on": HEAD + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
    "in its next request": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD + b"X-Sl",
}


def seconds_for(server: Server, name: str, count: int = 20) -> Iterator[float]:
    """How long each of so many signed deliveries took."""
    for n in range(count):
        body = b"evt-%s-%d" % (name.encode(), n)
        began = time.monotonic()
        answer = requests.post(server.url + "/truthvouch/alerts", data=body, headers=sign(body), timeout=10)
        assert 202 == answer.status_code
        yield time.monotonic() - began


def assert_prompt(seconds: list[float]) -> None:
    """p95 below half a second, and none above three."""
    ordered = sorted(seconds)
    assert ordered[int(len(ordered) * 0.95) - 1] < 0.5, ordered
    assert ordered[-1] < 3, ordered


@pytest.mark.parametrize("beginning", SLOW.values(), ids=SLOW)
def test_sixty_slow_clients_do_not_slow_anybody_else(server: Server, beginning: bytes, request: Any):
    seconds = []
    with server.crowd(60, beginning) as slow:
        for taken in seconds_for(server, request.node.name):
            seconds.append(taken)
            for client in slow:
                with suppress(OSError):  # it may have been refused
                    client.sendall(b"0" if beginning else b"")
    assert_prompt(seconds)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """As many as a crowd of a thousand needs; some systems start with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096 if hard == resource.RLIM_INFINITY else min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_idle_connections_make_room_for_others(server: Server):
    with server.crowd(1200, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), server.crowd(150, SLOW["in its headers"]):
        assert_prompt([*seconds_for(server, "idle")])


def test_a_megabyte_of_tiny_chunks_is_a_request_like_another(server: Server):
    (web,) = server.web_processes()
    before, tiny = rss(web), CHUNKED + b"1\r\nx\r\n" * 170_000 + b"0\r\n\r\n"

    def say() -> list[int]:
        return statuses(server.say(tiny))

    with ThreadPoolExecutor(16) as senders:
        said = [senders.submit(say) for _ in range(16)]
        seconds = [*seconds_for(server, "tiny")]
        assert [[401]] * 16 == [each.result() for each in said]
    assert_prompt(seconds)
    assert rss(web) - before < 150 * 1024


def test_whole_requests_that_wait_for_a_thread_are_counted(server: Server):
    (web,) = server.web_processes()
    before, cut = rss(web), len(cuts(server, "too_many"))
    large = HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    server.hold.touch()
    try:
        with server.crowd(8, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), server.crowd(200, large):
            until(lambda: len(cuts(server, "too_many")) > cut + 100, "most were cut")
            assert rss(web) - before < 100 * 1024
    finally:
        server.hold.unlink()
    assert_prompt([*seconds_for(server, "large")])


@pytest.mark.parametrize("beginning", [SLOW["in its headers"], SLOW["in its body"], SLOW["in its chunks"]])
def test_a_slow_request_is_cut_counted_and_said(short_timeouts: Server, beginning: bytes):
    before = len(short_timeouts.events("connection.cut"))
    with short_timeouts.connect() as connection:
        connection.sendall(beginning)
        assert b"" == everything(connection)
    (line,) = until(lambda: short_timeouts.events("connection.cut")[before:], "a line")
    assert ("too_slow", len(beginning), "127.0.0.1") == (line["reason"], line["bytes"], line["client"])


def test_a_head_without_end_is_refused_at_once(server: Server):
    before = len(cuts(server, "too_long"))
    with server.crowd(1, HEAD + b"X-Long: " + b"a" * 300_000) as (client,):
        began = time.monotonic()
        assert [431] == statuses(everything(client))
        assert time.monotonic() - began < 1
    until(lambda: len(cuts(server, "too_long")) > before, "a line")


@pytest.mark.parametrize(
    "malformed",
    [
        b"POST /truthvouch/alerts HTTP/1.1\nHost: x\n\n",
        b"POST /truthvouch/alerts HTTP/1.1\r\nHost : x\r\n",
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n",
    ],
    ids=["bare line feeds", "blank", "two framings", "negative"],
)
def test_what_is_no_request_is_refused_at_once(server: Server, malformed: bytes):
    before = len(cuts(server, "malformed"))
    with server.crowd(1, malformed) as (client,):
        began = time.monotonic()
        assert [400] == statuses(everything(client))
        assert time.monotonic() - began < 1
    until(lambda: len(cuts(server, "malformed")) > before, "a line")


@pytest.mark.parametrize("method", [b"BREW", b"get", b"\x16\x03\x01\x02\x00\x01"])
def test_what_is_no_method_is_not_allowed(server: Server, method: bytes):
    assert [405] == statuses(server.say(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n"))


def test_who_goes_on_sending_behind_a_refusal_is_cut(server: Server):
    began = time.monotonic()
    with server.connect() as connection, suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() - began < 30:
            connection.sendall(b"X-A: " + b"a" * 60_000 + b"\r\n")
    assert time.monotonic() - began < 3


def test_a_silent_connection_is_closed_in_silence(short_timeouts: Server):
    before = len(short_timeouts.events("connection.cut"))
    with short_timeouts.connect() as connection:
        assert b"" == everything(connection)
    assert before == len(short_timeouts.events("connection.cut"))


def test_an_empty_line_behind_an_answer_leaves_a_connection_idle(short_timeouts: Server):
    """It takes longer than a request may, and is answered all the same."""
    before, ask = len(short_timeouts.events("connection.cut")), b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    with short_timeouts.connect() as connection, short_timeouts.connect() as silent:
        connection.sendall(ask + b"\r\n")
        assert [200] == statuses(connection.recv(65_536))
        connection.sendall(b"\r\n")
        silent.sendall(b"\r\n")
        assert b"" == everything(silent)
        connection.sendall(ask + b"Connection: close\r\n\r\n")
        assert [200] == statuses(everything(connection))
    assert before == len(short_timeouts.events("connection.cut"))


def test_who_does_not_read_the_answer_keeps_no_thread(server: Server):
    """Twice as many as there are threads, and none of them is cut within the test."""
    before = len(cuts(server, "stalled"))
    with server.crowd(16, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
        assert_prompt([*seconds_for(server, "unread")])
    assert before == len(cuts(server, "stalled"))


def test_who_does_not_read_the_answer_is_cut(short_timeouts: Server):
    with short_timeouts.crowd(16, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
        until(lambda: len(cuts(short_timeouts, "stalled")) >= 16, "all were cut", 30, short_timeouts.tree.output)
        assert short_timeouts.answers()


def cuts(server: Server, reason: str) -> list[dict[str, Any]]:
    return [line for line in server.events("connection.cut") if line["reason"] == reason]


def test_a_client_that_never_closes_its_side_holds_nobody_up(server: Server):
    with server.crowd(20, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as clients:
        began = time.monotonic()
        assert [[200]] * 20 == [statuses(everything(client)) for client in clients]
        assert server.answers()
        assert time.monotonic() - began < 1


# ----------------------------------------------------------------------------------------------------- gone clients


def refusals(server: Server) -> list[str]:
    return [line["reason"] for line in server.events("alert.refused")]


@pytest.mark.parametrize(
    "cut_off",
    [HEAD + b"Content-Length: 1000\r\n\r\n{", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"],
    ids=["length", "chunks"],
)
def test_a_body_that_ends_early_is_one_clear_line(server: Server, cut_off: bytes):
    before = len(refusals(server))
    assert [401] == statuses(server.say(cut_off))
    assert ["body_incomplete"] == refusals(server)[before:]


def test_a_client_that_resets_the_connection_leaves_no_stack(server: Server):
    before = len(refusals(server))
    connection = server.connect()
    connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    assert server.answers()
    assert [] == [line for line in server.lines() if "exception" in line]
    assert {"body_incomplete"} >= set(refusals(server)[before:])


@pytest.mark.parametrize(
    "malformed", [b"zz\r\n", b"5;\x00=\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"-5\r\n\r\n"]
)
def test_malformed_chunks_are_a_body_that_did_not_come_whole(server: Server, malformed: bytes):
    assert [401] == statuses(server.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + malformed))


@pytest.mark.parametrize("seed", [1, 2])
def test_no_bytes_and_no_way_of_leaving_end_a_process(server: Server, seed: int):
    generator, before = RandomRequests(seed), server.web_processes()
    for _ in range(300):
        with server.connect() as connection, suppress(OSError):
            for part in generator.in_pieces(generator.a_connection()):
                connection.sendall(part)
            leave = generator.choice(["reset", "half", "close"])
            if leave == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif leave == "half":
                connection.shutdown(socket.SHUT_WR)
                everything(connection)
    assert server.answers()
    assert before == server.web_processes()
    assert [] == [line for line in server.lines() if "exception" in line or line["level"] in ("error", "critical")]


# -------------------------------------------------------------------------------------------------- unusual clients


def test_requests_in_one_packet_are_answered_in_their_order(server: Server):
    said = server.say(signed(b"evt-p1") + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" + signed(b"evt-p2"))
    assert [202, 404, 202] == statuses(said)


def test_a_request_may_come_byte_by_byte(server: Server):
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in signed(b"evt-bytes", b"Connection: close\r\n"):
            connection.sendall(bytes([byte]))
        assert [202] == statuses(everything(connection))


def test_chunks_are_read_whatever_their_number(server: Server):
    body = b"evt-chunks\n" + b"x" * 200
    proof = b"X-Signature: " + sign(body)["X-Signature"].encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    assert [202] == statuses(server.say(HEAD + proof + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks))


def test_a_body_without_length_is_an_empty_body(server: Server):
    assert [401] == statuses(server.say(HEAD + b"\r\n"))


def test_a_client_that_waits_for_continue_is_reported_to_go_on_once(server: Server):
    whole = signed(b"evt-continue", b"Expect: 100-continue\r\nConnection: close\r\n")
    with server.connect() as connection:
        connection.sendall(whole.removesuffix(b"evt-continue"))
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == connection.recv(1000)
        connection.sendall(b"evt-continue")
        assert [202] == statuses(everything(connection))


def test_who_waits_for_continue_behind_another_request_is_reported_too(server: Server):
    second = signed(b"evt-continue-2", b"Expect: 100-continue\r\nConnection: close\r\n")
    with server.connect() as connection:
        connection.sendall(signed(b"evt-continue-1") + second.removesuffix(b"evt-continue-2"))
        said = b""
        while not said.endswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            said += connection.recv(1000)
        connection.sendall(b"evt-continue-2")
        assert [202, 100, 202] == statuses(said + everything(connection))


def test_an_idle_connection_keeps_nothing_of_its_last_answer(server: Server):
    (web,) = server.web_processes()
    before = rss(web)
    with server.crowd(20, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") as clients:
        for client in clients:
            said = b""
            while not said.endswith(b"x" * 8_000_000):
                said += client.recv(1_000_000)
        assert server.answers()
        assert rss(web) - before < 80 * 1024


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 8 * 1024 * 1024])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_who_sends_too_much_can_read_why_it_was_refused(server: Server, framing: str, size: int):
    body = b"x" * size
    data = body if framing == "length" else iter([body])
    answer = requests.post(server.url + "/truthvouch/alerts", data=data, timeout=10)
    assert (413, "body_too_large") == (answer.status_code, answer.json()["error"]["code"])


def test_a_gigabyte_is_not_read(server: Server):
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n" + b"x" * 100_000)
        assert [413] == statuses(everything(connection))


def test_a_header_may_be_long(server: Server):
    assert [202] == statuses(server.say(signed(b"evt-long", b"X-Long: " + b"a" * 60_000 + b"\r\n")))


def test_memory_is_bounded_while_large_requests_come_in(server: Server):
    (web,) = server.web_processes()
    before = rss(web)
    with server.crowd(64, HEAD + b"Content-Length: 1048576\r\n\r\n" + b"x" * 1_000_000):
        until(lambda: cuts(server, "too_many"), "some were cut")
        assert server.answers()
        assert rss(web) - before < 64 * 1024


def rss(pid: int) -> int:
    """Resident memory in KiB; 0 where nobody tells."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found.group(1)) if found else 0


def test_a_web_process_ends_although_a_client_is_slow(tmp_path_factory: pytest.TempPathFactory):
    server = Server(tmp_path_factory.mktemp("ending"), BRIDGE_ROLE="web").wait_up()
    try:
        with server.connect() as connection:
            connection.sendall(SLOW["in its body"])
            began = time.monotonic()
            kill(server.tree.pid, signal.SIGTERM)
            assert 0 == server.tree.process.wait(15)
            assert time.monotonic() - began < 7
    finally:
        server.tree.destroy()


def test_a_process_out_of_descriptors_goes_on_answering(tmp_path_factory: pytest.TempPathFactory):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
    server = Server(tmp_path_factory.mktemp("limited"), more_conf=limited, BRIDGE_ROLE="web").wait_up()
    try:
        with server.crowd(100, SLOW["in its body"]):
            assert server.answers()
            assert [] != server.events("connection.not_accepted")
    finally:
        server.tree.destroy()


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_both_families_are_listened_to_and_a_client_has_one_address(tmp_path_factory: pytest.TempPathFactory):
    server = Server(tmp_path_factory.mktemp("families"), BRIDGE_ROLE="web").wait_up()
    try:
        for host in ("127.0.0.1", "[::1]"):
            assert 404 == requests.get(f"http://{host}:{server.port}/nowhere", timeout=5).status_code
        assert ["127.0.0.1", "::1"] == [line["client"] for line in server.events("request.answered")]
    finally:
        server.tree.destroy()
