"""A worker on its own answers Prometheus, and nobody who asks too much or too slowly can stop it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import requests
from structlog.testing import capture_logs

from app.process import metrics_server
from app.process.metrics_server import AT_ONCE, MetricsServer, listen

TEXT = b"truthvouch_bridge_waiting 3\n"


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """Serve this text on loopback; the port."""
    listeners: list[socket.socket] = []

    def start(text: Callable[[], bytes] = lambda: TEXT, host: str = "127.0.0.1") -> int:
        listener = listen(host, 0)
        assert listener is not None
        listeners.append(listener)
        MetricsServer(listener, text).start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for a connection
        listener.close()


def get(port: int, path: str, host: str = "127.0.0.1") -> requests.Response:
    return requests.get(f"http://{host}:{port}{path}", timeout=10)


def raw(port: int, request: bytes) -> bytes:
    """What is answered until the connection ends."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as client:
        client.sendall(request)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


def test_metrics_and_health_are_served(serve: Callable[..., int]):
    port = serve()
    metrics, health = get(port, "/metrics"), get(port, "/healthz?from=probe")
    assert (200, TEXT) == (metrics.status_code, metrics.content)
    assert "text/plain; version=0.0.4; charset=utf-8" == metrics.headers["Content-Type"]
    assert (200, {"status": "ok"}) == (health.status_code, health.json())
    assert "no-store" == metrics.headers["Cache-Control"]


def test_nothing_else_is(serve: Callable[..., int]):
    port = serve()
    assert 404 == get(port, "/readyz").status_code
    assert 405 == requests.post(f"http://127.0.0.1:{port}/metrics", timeout=10).status_code
    assert raw(port, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(metrics_server, "MAX_HEAD_BYTES", 100)
        assert raw(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100).startswith(b"HTTP/1.1 400 ")


def test_the_head_alone_is_sent_to_whoever_asks_for_it(serve: Callable[..., int]):
    answer = raw(serve(), b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (True, True) == (f"Content-Length: {len(TEXT)}".encode() in answer, answer.endswith(b"\r\n\r\n"))


def test_ipv6_is_served(serve: Callable[..., int]):
    assert TEXT == get(serve(host="::1"), "/metrics", "[::1]").content


def test_a_text_that_cannot_be_made_is_an_answer_too(serve: Callable[..., int]):
    made = iter([TEXT])
    port = serve(lambda: next(made))
    assert [200, 500, 500] == [get(port, "/metrics").status_code for _ in range(3)]


def test_a_taken_port_is_logged_with_what_to_do():
    with closing(socket.create_server(("127.0.0.1", 0))) as taken, capture_logs() as lines:
        port = taken.getsockname()[1]
        assert listen("127.0.0.1", port) is None
    (line,) = lines
    assert ("metrics.not_served", "error", f"127.0.0.1:{port}") == (line["event"], line["log_level"], line["address"])
    assert "BRIDGE_METRICS_PORT" in line["remedy"]


def test_whoever_never_asks_makes_room_for_others(serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics_server, "RECEIVE_SECONDS", 0.2)
    port = serve()
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(AT_ONCE + 2)]
    try:
        assert TEXT == get(port, "/metrics").content
        assert [b""] * len(silent) == [client.recv(1) for client in silent]
    finally:
        for client in silent:
            client.close()


def test_whoever_trickles_a_request_is_cut_off(serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch):
    """Each byte in time, and never an end."""
    monkeypatch.setattr(metrics_server, "RECEIVE_SECONDS", 0.3)
    with closing(socket.create_connection(("127.0.0.1", serve()), timeout=0.05)) as client:
        ended = threading.Event()
        while not ended.is_set():
            try:
                client.sendall(b"x")
                if client.recv(1) == b"":
                    ended.set()
            except TimeoutError:
                continue
            except ConnectionError:
                ended.set()
        assert ended.is_set()


def test_a_flood_is_answered_at_a_bounded_pace(serve: Callable[..., int]):
    """Fifty a second at most: what is more waits in the system's queue."""
    pauses: list[float] = []
    port = serve()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "sleep", pauses.append)
        assert {200} == {get(port, "/healthz").status_code for _ in range(20)}
    assert 19 <= pauses.count(metrics_server.PAUSE_SECONDS)
