"""A connection is answered by the process that its next request is for."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from selectors import DefaultSelector

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from app.web.handover import NICENESS, End, Pairs
from app.web.server import STEP_BYTES, Connection, Worker
from tests.serving import Server
from tests.system.processes import kill
from tests.system.waiting import until
from tests.web.test_server_loop import NoThreads

HOOKS = ("/truthvouch/alerts", "/pagerduty/webhook")
PAGE = b"GET /console/login HTTP/1.1\r\nHost: localhost\r\n\r\n"
UNSIGNED = b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
CLIENT = ("192.0.2.1", 5000)
HERE = ("::1", 8080, 0, 0)


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    """Of a process that takes in webhooks, and of one that makes pages."""
    pairs = Pairs()
    made = pairs.end(serves_pages=False), pairs.end(serves_pages=True)
    for end in made:
        end.expect(HOOKS)
    yield made
    for one in (one for pair in pairs._to.values() for one in pair):
        one.close()


@pytest.mark.parametrize(
    ("line", "is_webhook"),
    [
        (b"POST /truthvouch/alerts HTTP/1.1", True), (b"POST /pagerduty/webhook?a=b HTTP/1.1", True),
        (b"GET /healthz HTTP/1.1", True), (b"HEAD /readyz HTTP/1.0", True), (b"GET /metrics?x HTTP/1.1", True),
        (b"GET /metricsx HTTP/1.1", False), (b"GET /truthvouch/alerts HTTP/1.1", False), (b"GET / HTTP/1.1", False),
        (b"POST /truthvouch/alertsx HTTP/1.1", False), (b"POST //pagerduty/webhook HTTP/1.1", False),
        (b"PRI * HTTP/2.0", False), (b"nonsense", False),
    ],
)  # fmt: skip
def test_every_request_line_is_for_one_of_both(ends: tuple[End, End], line: bytes, is_webhook: bool):
    webhooks, pages = ends
    data = line + b"\r\nHost: x\r\n\r\n"
    assert (not is_webhook, is_webhook) == (webhooks.is_elsewhere(data), pages.is_elsewhere(data))


@pytest.mark.parametrize(
    "data", [b"", b"G", b"GET /console HTTP/1.1\r", b"\r\n", b"\r\nGET / HTTP/1.1\r\n", b"x" * 9000]
)
def test_what_has_no_request_line_yet_stays(ends: tuple[End, End], data: bytes):
    assert [False, False] == [end.is_elsewhere(data) for end in ends]


# ------------------------------------------------------------------------------------------------- the server's loop


class Loops:
    """The loops of both processes, in one."""

    def __init__(self, ends: tuple[End, End], stack: ExitStack) -> None:
        self.stack = stack
        self.webhooks, self.pages = (self._loop(end) for end in ends)

    def _loop(self, end: End) -> Worker:
        worker = Worker(0, os.getpid(), [end.arrivals], None, 30, Config(), None)
        worker.poller, worker.tpool, worker.handover = DefaultSelector(), NoThreads(), end
        worker.set_accept_enabled(True)
        self.stack.callback(lambda: [conn.sock.close() for conn in (*worker.receiving, *worker.answering)])
        self.stack.callback(worker.tmp.close)
        self.stack.callback(worker.poller.close)
        return worker

    def connect(self, sent: bytes) -> tuple[socket.socket, Connection]:
        """A client that has sent this to the process for webhooks, which has read it."""
        client, server = (self.stack.enter_context(end) for end in socket.socketpair())
        client.sendall(sent)
        conn = Connection(self.webhooks, server, CLIENT, HERE)
        self.webhooks.nr_conns += 1
        self.webhooks.enqueue_req(conn)
        return client, conn

    def arrived(self) -> list[Connection]:
        """What the process for pages has got after one round."""
        self.pages.wait_for_and_dispatch_events(0)
        return [*self.pages.receiving, *self.pages.answering]


@pytest.fixture
def loops(ends: tuple[End, End]) -> Iterator[Loops]:
    with ExitStack() as stack:
        yield Loops(ends, stack)


def test_a_connection_goes_on_where_it_was_sent(loops: Loops):
    client, conn = loops.connect(PAGE)
    (arrived,) = loops.arrived()
    assert (CLIENT, HERE) == (arrived.client, arrived.server)
    assert arrived.exchange is not None
    assert arrived.exchange.request.head.startswith(b"GET /console/login HTTP/1.1\r\n")
    assert (-1, {}, 0, 1) == (
        conn.sock.fileno(), loops.webhooks.receiving, loops.webhooks.nr_conns, loops.pages.nr_conns
    )  # fmt: skip
    arrived.sock.sendall(b"answered")
    assert b"answered" == client.recv(100)


def test_a_request_may_be_longer_than_what_is_sent_along(loops: Loops):
    body = b"x" * (3 * STEP_BYTES)
    head = b"POST /api/v1/rules/backtest HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    client, _ = loops.connect(head + body[:STEP_BYTES])
    (arrived,) = loops.arrived()
    assert arrived in loops.pages.receiving
    client.sendall(body[STEP_BYTES:])
    while arrived in loops.pages.receiving:
        loops.pages.wait_for_and_dispatch_events(0)
    assert arrived.exchange is not None
    assert body == arrived.exchange.request.body


def test_where_nothing_more_can_be_sent_it_is_answered_here(loops: Loops):
    sent = kept = 0
    while not kept:
        _, conn = loops.connect(PAGE)
        kept += conn in loops.webhooks.answering
        sent += conn.sock.fileno() == -1
    assert sent > 5
    for _ in range(sent):
        loops.arrived()
    assert sent == loops.pages.nr_conns


def test_a_process_that_ends_sends_nothing_on(loops: Loops):
    loops.webhooks.alive = False
    _, conn = loops.connect(PAGE)
    assert ([], True) == (loops.arrived(), conn in loops.webhooks.answering)


@pytest.mark.parametrize(("client", "server", "is_sent"), [("", "/run/bridge.sock", True), ("", b"\0abstract", False)])
def test_a_listener_may_be_a_unix_socket(ends: tuple[End, End], client: str, server: str | bytes, is_sent: bool):
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        assert is_sent == ends[0].send(theirs, client, server, PAGE)
        if arrival := ends[1].receive(STEP_BYTES):
            stack.enter_context(arrival.sock).sendall(b"here")
            assert (client, server, PAGE, b"here") == (arrival.client, arrival.server, arrival.data, ours.recv(10))
        assert is_sent == (arrival is not None)


def test_two_processes_that_wake_for_one_connection_are_no_fault(ends: tuple[End, End]):
    assert ends[1].receive(STEP_BYTES) is None


# ------------------------------------------------------------------------------------------------------ processes


def serves_pages(pid: int) -> bool:
    return os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)


def makers_of_pages(server: Server) -> list[int]:
    return [pid for pid in server.web_processes() if serves_pages(pid)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("handover"), BRIDGE_ROLE="web", WEB_CONCURRENCY="2")
    try:
        yield server.wait_up()
        faults = [line["event"] for line in server.lines() if line["level"] in ("error", "critical")]
        assert [] == [fault for fault in faults if "was sent SIGKILL" not in fault]
    finally:
        server.tree.destroy()


@pytest.fixture
def maker(server: Server) -> int:
    (pid,) = until(lambda: makers_of_pages(server) if len(server.web_processes()) == 3 else [], "three", 10)
    return int(pid)


def answer(client: socket.socket) -> bytes:
    """One whole answer; whether the connection stays is left to the next."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += client.recv(65536)
    head, _, body = said.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += client.recv(65536)
    return head.split(b" ")[1]


def answered_by(server: Server, since: int) -> list[tuple[str, int]]:
    """Paths and processes, by the log."""
    lines = [line for line in server.lines()[since:] if line["event"] == "request.answered"]
    return [(line["path"], line["pid"]) for line in lines]


def test_one_connection_may_ask_for_both_in_turn(server: Server, maker: int):
    since = len(server.lines())
    with server.connect() as client:
        for _ in range(3):
            client.sendall(UNSIGNED)
            assert b"401" == answer(client)
            client.sendall(PAGE)
            assert b"200" == answer(client)
        both = until(lambda: (got := answered_by(server, since))[5:] and got, "six lines", 5)
    assert [path == "/console/login" for path, _ in both] == [pid == maker for _, pid in both]
    assert 3 == sum(pid == maker for _, pid in both)


def test_a_page_that_waits_for_a_process_that_dies_is_made_by_the_next(server: Server, maker: int):
    kill(maker, signal.SIGSTOP)
    with server.connect() as client:
        client.sendall(PAGE)
        with server.connect() as other:  # which takes its turn meanwhile
            other.sendall(UNSIGNED)
            assert b"401" == answer(other)
        kill(maker)
        assert b"200" == answer(client)
    assert [maker] != makers_of_pages(server)


def test_fewer_processes_always_leave_one_of_each(server: Server, maker: int):
    for _ in range(3):
        kill(server.tree.pid, signal.SIGTTOU)
    until(lambda: len(server.web_processes()) == 2, "two", 10, server.tree.output)
    assert [maker] == makers_of_pages(server)
    kill(server.tree.pid, signal.SIGTTIN)
    until(lambda: len(server.web_processes()) == 3, "three again", 10, server.tree.output)
    assert [maker] == makers_of_pages(server)


def test_after_a_reload_there_is_one_again(server: Server, maker: int):
    before = set(server.web_processes())
    kill(server.tree.pid, signal.SIGHUP)
    until(lambda: len(server.web_processes()) == 3 and not before & set(server.web_processes()), "new ones", 15)
    (after,) = makers_of_pages(server)
    assert after != maker
    with server.connect() as client:
        client.sendall(PAGE)
        assert b"200" == answer(client)


def test_below_a_path_every_process_answers_everything(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("below-a-path")
    server = Server(folder, BRIDGE_ROLE="web", WEB_CONCURRENCY="2", SCRIPT_NAME="/bridge")
    try:
        until(lambda: _listens(server), "it listens", 20, server.tree.output)
        with server.connect() as client:
            client.sendall(UNSIGNED.replace(b"/truthvouch", b"/bridge/truthvouch"))
            assert b"401" == answer(client)
            client.sendall(PAGE.replace(b"/console", b"/bridge/console"))
            assert b"200" == answer(client)
        assert 1 == len({pid for _, pid in answered_by(server, 0)})
        assert [] == makers_of_pages(server)
    finally:
        server.tree.destroy()


def _listens(server: Server) -> bool:
    try:
        server.connect().close()
    except OSError:
        return False
    return True
