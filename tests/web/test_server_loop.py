"""Single rounds of the web server's main loop, without a process and without threads."""

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from structlog.testing import capture_logs

from app.web import server
from app.web.pool import Pool
from app.web.server import CROWDED_SECONDS, MAX_HELD_BYTES, STEP_BYTES, Connection, Worker

HEAD = b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000


class NoThreads:
    """Every request waits for a thread for ever."""

    def submit(self, *_: object) -> Future[Any]:
        return Future()


@pytest.fixture
def worker() -> Iterator[Worker]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = Worker(0, os.getpid(), [listener], None, 30, Config(), None)
        worker.poller, worker.tpool = DefaultSelector(), NoThreads()
        worker.set_accept_enabled(True)
        yield worker
        worker.poller.close()
        worker.tmp.close()


class Held:
    """Every request waits until the test has it answered."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def submit(self, call: Callable[..., object], *args: Any) -> None:
        self.waiting.append(partial(call, *args))

    def answer(self) -> None:
        """As a thread would."""
        for call in self.waiting:
            call()
        self.waiting.clear()


Connect = Callable[[], tuple[socket.socket, Connection]]


@pytest.fixture
def connect(worker: Worker) -> Iterator[Connect]:
    """A client's socket, and its connection that the loop has not seen yet."""
    with ExitStack() as stack:

        def connect() -> tuple[socket.socket, Connection]:
            client, server = (stack.enter_context(end) for end in socket.socketpair())
            return client, Connection(worker, server, ("192.0.2.1", 5000), ("127.0.0.1", 8080))

        yield connect


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loop's time, to be set."""
    now = [1_000.0]
    monkeypatch.setattr(server, "monotonic", lambda: now[0])
    return now


def receive(worker: Worker, connect: Connect, sent: bytes) -> Connection:
    """A connection that has sent this, and the loop has read it."""
    client, conn = connect()
    worker.enqueue_req(conn)
    client.sendall(sent)
    for _ in range(1 + len(sent) // STEP_BYTES):
        worker.wait_for_and_dispatch_events(0)
    return conn


def test_whole_requests_alone_over_the_bound_cut_no_small_delivery(worker: Worker, connect: Connect):
    silent, small = receive(worker, connect, b""), receive(worker, connect, HEAD)
    large = receive(worker, connect, WHOLE[: STEP_BYTES + 10])
    while worker.held_bytes <= MAX_HELD_BYTES + STEP_BYTES:
        _, waiting = connect()
        waiting.incoming.feed(WHOLE)
        worker._go_on(waiting)
    worker.murder_pending()
    assert ({silent: None, small: None}, -1) == (worker.receiving, large.sock.fileno())


def test_empty_lines_keep_a_connection_idle_and_no_process_from_ending(
    worker: Worker, connect: Connect, clock: list[float]
):
    client, conn = connect()
    conn.keeps = True
    worker._go_on(conn)
    for worker.alive, is_idle in ((True, True), (False, False)):
        client.sendall(b"\r\n")
        worker.wait_for_and_dispatch_events(0)
        assert (is_idle, not is_idle) == (conn in worker.keepalived_conns, conn in worker.receiving)
    clock[0] += CROWDED_SECONDS + 0.1
    with capture_logs() as lines:
        worker.murder_pending()
    assert (-1, []) == (conn.sock.fileno(), lines)


class Refusing:
    """A listener that can accept nothing."""

    def __init__(self, number: int) -> None:
        self.number = number

    def accept(self) -> tuple[socket.socket, Any]:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("EMFILE", "no_descriptors"), ("ENFILE", "no_descriptors"), ("ENOBUFS", "no_memory"), ("ENOMEM", "no_memory"),
        ("EPROTO", "network"), ("EPERM", "network"), ("ENETDOWN", "network"), ("EHOSTUNREACH", "network"),
    ],
)  # fmt: skip
def test_a_connection_that_cannot_be_accepted_ends_no_process_and_is_logged_once_a_second(
    worker: Worker, clock: list[float], name: str, reason: str
):
    refusing: Any = Refusing(getattr(errno, name))
    with capture_logs() as lines:
        for clock[0] in (1_000.0, 1_000.9, 1_001.0):
            worker.accept(refusing)
    assert [("connection.not_accepted", reason)] * 2 == [(line["event"], line["reason"]) for line in lines]


@pytest.mark.parametrize("name", ["EAGAIN", "ECONNABORTED"])
def test_a_client_that_is_gone_again_is_no_error(worker: Worker, name: str):
    refusing: Any = Refusing(getattr(errno, name))
    with capture_logs() as lines:
        worker.accept(refusing)
    assert [] == lines


def accepts(worker: Worker) -> bool:
    """Before a round gunicorn asks for it; whether the loop then listens."""
    worker.set_accept_enabled(True)
    return worker.sockets[0] in [key.fileobj for key in worker.poller.get_map().values()]


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_a_shortage_ends_the_oldest_connection_and_where_there_is_none_accepting_pauses_a_second(
    worker: Worker, connect: Connect, clock: list[float], name: str
):
    refusing: Any = Refusing(getattr(errno, name))
    old, new = receive(worker, connect, HEAD), receive(worker, connect, HEAD)
    for left in ({new: None}, {}):
        worker.accept(refusing)
        worker.murder_pending()
        assert (left, True) == (worker.receiving, accepts(worker))
    assert -1 == old.sock.fileno()
    worker.accept(refusing)
    worker.murder_pending()
    assert not accepts(worker)
    clock[0] += 1.0
    assert accepts(worker)


@pytest.mark.parametrize("name", ["EPROTO", "EPERM"])
def test_an_error_of_one_new_connection_costs_no_other(worker: Worker, connect: Connect, name: str):
    refusing: Any = Refusing(getattr(errno, name))
    other = receive(worker, connect, HEAD)
    worker.accept(refusing)
    worker.murder_pending()
    assert ({other: None}, True) == (worker.receiving, accepts(worker))


def test_a_quick_stop_that_comes_while_a_request_is_handed_to_the_pool_waits_for_nothing(worker: Worker) -> None:
    """A signal is handled in the thread that may hold the pool's lock at that moment."""
    ended: list[BaseException] = []

    def handed_over_and_stopped() -> None:
        with worker.tpool._lock:
            try:
                worker.handle_quit(signal.SIGQUIT, None)
            except SystemExit as fault:
                ended.append(fault)

    worker.tpool = Pool(1)
    interrupted = threading.Thread(target=handed_over_and_stopped, daemon=True)
    interrupted.start()
    interrupted.join(5)
    assert ["0"] == [str(one) for one in ended]
    assert not worker.alive


# ------------------------------------------------------------------------------------------- what threads have answered

SMALL = HEAD + b"Content-Length: 2\r\n\r\n{}"


@pytest.fixture
def held(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """A loop as gunicorn begins it, and the requests that it has handed to threads."""
    held = worker.tpool = Held()
    worker.method_queue.init()
    worker.poller.register(worker.method_queue.fileno(), EVENT_READ, worker.method_queue.run_callbacks)
    monkeypatch.setattr(worker, "handle", lambda conn: not conn.exchange.request.is_last)
    yield held
    worker.method_queue.close()


def is_woken(worker: Worker) -> bool:
    """Whether the loop has something to do at once."""
    return bool(worker.poller.select(0))


def rounds(worker: Worker, count: int = 2) -> None:
    """What comes in one round goes to threads with the next."""
    for _ in range(count):
        worker.wait_for_and_dispatch_events(0)


def test_an_answer_wakes_no_loop_and_the_next_request_finds_its_connection_idle(
    worker: Worker, connect: Connect, held: Held
):
    client, conn = connect()
    worker.enqueue_req(conn)
    for _ in range(2):
        client.sendall(SMALL)
        rounds(worker)
        assert conn in worker.answering
        held.answer()
        assert not is_woken(worker)
    rounds(worker)
    assert ({}, [conn], 0) == (worker.answering, list(worker.keepalived_conns), worker.held_bytes)


def test_what_comes_while_an_answer_is_made_costs_one_round_and_is_answered_next(
    worker: Worker, connect: Connect, held: Held
):
    client, conn = connect()
    worker.enqueue_req(conn)
    client.sendall(SMALL)
    rounds(worker)
    client.sendall(SMALL)
    rounds(worker)
    assert (1, False) == (len(held.waiting), is_woken(worker))
    held.answer()
    assert is_woken(worker)
    rounds(worker, 3)
    assert (1, True) == (len(held.waiting), conn in worker.answering)


def test_a_client_that_is_gone_before_its_answer_takes_no_turn_of_the_loop_and_no_other_connection(
    worker: Worker, connect: Connect, held: Held
):
    gone, ended = connect()
    other, stays = connect()
    for client, conn in ((gone, ended), (other, stays)):
        worker.nr_conns += 1
        worker.enqueue_req(conn)
        client.sendall(SMALL)
    rounds(worker)
    gone.close()
    rounds(worker)
    assert not is_woken(worker)
    worker.alive = False
    held.answer()
    worker.alive = True
    other.sendall(SMALL)
    rounds(worker, 4)
    assert (-1, True, 1) == (ended.sock.fileno(), stays in worker.answering, worker.nr_conns)


def test_a_connection_that_ends_in_the_round_of_its_own_event_is_let_go_once(
    worker: Worker, connect: Connect, held: Held
):
    client, conn = connect()
    worker.nr_conns += 1
    worker.enqueue_req(conn)
    client.sendall(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
    rounds(worker)
    client.sendall(b"x")  # its event and the answer's are in one round
    held.answer()
    rounds(worker)
    assert ({}, 0, [conn.sock]) == (worker.answering, worker.nr_conns, list(worker.lingering))


@pytest.mark.parametrize("ends", [False, True])
def test_a_process_that_ends_is_woken_by_the_answer(worker: Worker, connect: Connect, held: Held, ends: bool):
    client, conn = connect()
    worker.enqueue_req(conn)
    client.sendall(SMALL)
    rounds(worker)
    worker.alive = not ends
    held.answer()
    assert is_woken(worker) is ends
