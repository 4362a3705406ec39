"""What the gateway makes of a request, and of an answer, is what gunicorn makes of it."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from gunicorn.http import get_parser  # type: ignore[import-untyped]
from gunicorn.http import wsgi as gunicorn_wsgi

from app.web import gateway, server
from app.web.incoming import Incoming, PlainRequest
from tests.web.test_two_parsers import CFG, RandomRequests

CLIENT, SERVER = ("192.0.2.1", 5000), ("127.0.0.1", 8080)
LINES = gateway.lines_of(["/truthvouch/alerts", "/pagerduty/webhook"])
BODY = b'{"id": "evt-1"}'
FIELDS = (
    b"Host: x", b"Host: y:8080", b"Host:", b"User-Agent: a/1 (b; c)", b"X-Signature: v1=00,v1=11", b"x-signature: t=1",
    b"Content-Type: application/json", b"content-type:text/plain;charset=x", b"Content-Encoding: gzip", b"X_Y: 1",
    b"Connection: keep-alive", b"Connection: close", b"Connection: Close, x", b"Upgrade: h2c", b"Accept: \t a \t",
    b"Expect: 100-continue", b"Expect: 200-ok", b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: https", b"A!b: 1",
    b"Script-Name: /x", b"Path-Info: /x", b"Remote-Addr: 6.6.6.6", b"X-A: \xc3\xa4", b"Proxy-Connection: close",
    b"Content-Length: 3", b"X-A: a: b", b"X-A: ", b"Proxy: http://x",
)  # fmt: skip
LINE = (
    b"POST /truthvouch/alerts HTTP/1.1", b"POST /pagerduty/webhook HTTP/1.1", b"POST //pagerduty/webhook HTTP/1.1",
    b"POST /truthvouch/alerts?a=b HTTP/1.1", b"POST /truthvouch/alerts HTTP/1.0", b"GET /truthvouch/alerts HTTP/1.1",
    b"POST http://x/truthvouch/alerts HTTP/1.1", b"POST /healthz HTTP/1.1",
)  # fmt: skip


def by_gunicorn(request: PlainRequest) -> tuple[dict[str, Any], bool]:
    """The environment, and whether the connection is to be closed."""
    parsed = next(get_parser(CFG, request.pieces(), CLIENT))
    _, environ = gunicorn_wsgi.create(parsed, None, CLIENT, SERVER, CFG)
    return dict(environ), parsed.should_close()


def comparable(environ: dict[str, Any]) -> dict[str, Any]:
    """Without what is an object of the one or the other."""
    plain = {name: value for name, value in environ.items() if not name.startswith(("wsgi.", "gunicorn."))}
    return plain | {name: environ[name] for name in ("wsgi.version", "wsgi.url_scheme", "wsgi.input_terminated")}


def requests_in(sent: Iterable[bytes]) -> list[PlainRequest]:
    incoming = Incoming()
    for piece in sent:
        incoming.feed(piece)
    return [*incoming.requests]


def compared(request: PlainRequest) -> bool:
    """Whether the gateway takes it; then it takes it as gunicorn does."""
    environ = gateway.environment(request, LINES, CLIENT, SERVER)
    if environ is None:
        return False
    theirs, closes = by_gunicorn(request)
    assert comparable(theirs) == comparable(environ)
    assert bytes(theirs["wsgi.input"].read()) == environ["wsgi.input"].read()
    assert request.is_last or not closes
    return True


@pytest.mark.parametrize("seed", range(4))
def test_the_environment_is_that_of_gunicorn(seed: int):
    chance = random.Random(seed)
    taken = 0
    for _ in range(1500):
        fields = [*chance.sample(FIELDS, chance.choice([1, 2, 4])), b"Content-Length: %d" % len(BODY)]
        chance.shuffle(fields)
        line = chance.choice(LINE[: chance.choice([2, 8])])
        taken += sum(map(compared, requests_in([b"\r\n".join([line, *fields]) + b"\r\n\r\n" + BODY])))
    assert taken > 400


@pytest.mark.parametrize("seed", range(4))
def test_the_environment_of_what_is_nearly_a_request_is_that_of_gunicorn(seed: int):
    generator = RandomRequests(seed)
    assert sum(compared(one) for _ in range(1500) for one in requests_in([generator.a_connection()])) > 50


PLAIN = (b"POST /truthvouch/alerts HTTP/1.1", b"Host: x", b"Content-Length: 15")


def plain_request(*fields: bytes, body: bytes = BODY) -> PlainRequest:
    return PlainRequest(b"\r\n".join([*PLAIN, *fields]) + b"\r\n\r\n", bytearray(body), False)


def test_what_is_unusual_goes_the_way_of_gunicorn():
    assert compared(plain_request(b"X-A: " + b"a" * 8000))
    unusual = [
        plain_request(b"X-A: " + b"a" * gateway.MAX_HEAD_BYTES),
        plain_request(*(b"X-%d: 1" % n for n in range(gateway.MAX_FIELDS))),
        plain_request(b"X-A: 1", b"x-a: 2"),
        plain_request(b"X_A: 1"),
        plain_request(b"Expect: 200-ok"),
        plain_request(b"X-A: \xe4"),
        plain_request(body=BODY[1:]),
        PlainRequest(b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\n\r\n", bytearray(), False),
    ]
    assert [] == [one for one in unusual if gateway.environment(one, LINES, CLIENT, SERVER) is not None]
    assert gateway.environment(plain_request(), LINES, "", SERVER) is None, "a client without an address"
    assert gateway.environment(plain_request(), {}, CLIENT, SERVER) is None


class Kept:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    send = sendall


@pytest.mark.parametrize("keeps", [True, False])
def test_the_answer_is_that_of_gunicorn(keeps: bool, monkeypatch: pytest.MonkeyPatch):
    headers = [("Content-Type", "application/json"), ("Content-Length", "2"), ("X-A", "b"), ("Connection", "close")]

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("413 REQUEST ENTITY TOO LARGE", headers)
        return [b"{}"]

    monkeypatch.setattr(gateway, "time", lambda: 1_700_000_000.9)
    monkeypatch.setattr(gunicorn_wsgi.util.time, "time", lambda: 1_700_000_000.9)
    request, sock = plain_request(), Kept()
    response = gunicorn_wsgi.Response(next(get_parser(CFG, request.pieces(), CLIENT)), sock, CFG)
    if not keeps:
        response.force_close()
    for piece in app({}, response.start_response):
        response.write(piece)
    response.close()
    assert sock.sent == gateway.answer(app, {}, keeps)


def test_a_fault_behind_the_gateway_closes_the_connection_and_is_logged(monkeypatch: pytest.MonkeyPatch):
    def app(_environ: Any, _start_response: Any) -> list[bytes]:
        raise RuntimeError

    said: list[str] = []
    worker = server.Worker.__new__(server.Worker)
    worker.__dict__.update(wsgi=app, keepalived_conns=(), max_keepalived=9, alive=True, cfg=CFG)
    worker.log = type("Log", (), {"exception": staticmethod(said.append)})
    exchange: Any = type("Exchange", (), {"request": plain_request(), "sock": type("Sock", (), {"unsent": b""})})
    assert worker._call(exchange, {}) is False
    assert (["Error handling request"], b"") == (said, exchange.sock.unsent)
