"""Single rounds of the web server's main loop, without a process and without threads."""

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from selectors import DefaultSelector
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from app.web.server import MAX_HELD_BYTES, STEP_BYTES, Connection, Worker

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


Connect = Callable[[], tuple[socket.socket, Connection]]


@pytest.fixture
def connect(worker: Worker) -> Iterator[Connect]:
    """A client's socket, and its connection that the loop has not seen yet."""
    with ExitStack() as stack:

        def connect() -> tuple[socket.socket, Connection]:
            client, server = (stack.enter_context(end) for end in socket.socketpair())
            return client, Connection(worker, server, ("192.0.2.1", 5000), ("127.0.0.1", 8080))

        yield connect


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
