"""The only way out, against a real socket: what is sent, what is believed, and what a broken call means."""

import gzip
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import structlog

from app.remote.replies import Answer, Failure
from app.remote.transport import Transport
from tests.far_side import FarSide, Reply, far_side


@pytest.fixture
def partner() -> Iterator[FarSide]:
    """The far side."""
    with far_side() as here:
        yield here


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport with short timeouts and small buffers."""
    transport = Transport(connect_seconds=0.5, read_seconds=0.3, total_seconds=0.5, max_answer_bytes=100_000)
    yield transport
    transport.close()


def closed_port() -> int:
    """A port nobody listens on."""
    with closing(socket.socket()) as spare:
        spare.bind(("127.0.0.1", 0))
        return spare.getsockname()[1]


def test_an_answer_comes_back_whole_with_lower_case_header_names(transport, partner):
    partner.will_answer(200, {"café": "✓"}, Retry_After="7")
    answer = transport.call("GET", partner.url + "/a")
    assert (200, b'{"caf\\u00e9": "\\u2713"}', "7") == (answer.status, answer.body, answer.headers["retry-after"])


def test_json_is_sent_as_utf8_with_its_type_and_no_body_means_none(transport, partner):
    partner.will_answer(200)
    partner.will_answer(200)
    transport.call("post", partner.url, json={"a": "café\ud800"})
    transport.call("POST", partner.url)
    first, second = partner.requests
    assert ('{"a":"café?"}'.encode(), "application/json") == (first.body, first.headers["Content-Type"])
    assert (b"", None) == (second.body, second.headers["Content-Type"])


def test_query_values_are_encoded_and_lists_repeated(transport, partner):
    partner.will_answer(200)
    transport.call("GET", partner.url, params={"q": "a&b", "s[]": ["x", "y"]})
    assert {"q": ["a&b"], "s[]": ["x", "y"]} == partner.only_request.params


def test_redirects_are_answers_and_never_followed(transport, partner):
    partner.will_answer(302, Location=partner.url + "/elsewhere")
    assert 302 == transport.call("GET", partner.url).status
    assert 1 == len(partner.requests)


def test_nothing_is_tried_twice(transport, partner):
    partner.will_answer(503)
    partner.will_answer(200)
    assert 503 == transport.call("GET", partner.url).status
    assert 1 == len(partner.requests)


def test_connections_are_kept_for_the_next_call(transport, partner):
    for status in (200, 204, 500, 200):
        partner.will_answer(status, None if status == 204 else {"ok": True})
        transport.call("POST", partner.url, json={})
    assert 1 == len({sent.connection for sent in partner.requests})


def test_head_and_body_leave_together(transport, partner, monkeypatch):
    sent: list[bytes] = []
    send = socket.socket.sendall

    def sendall(self: socket.socket, data: bytes) -> None:
        sent.append(bytes(data))
        send(self, data)

    for _ in range(2):
        partner.will_answer(200)
    transport.call("POST", partner.url)
    with monkeypatch.context() as watched:
        watched.setattr(socket.socket, "sendall", sendall)
        transport.call("POST", partner.url, json={"a": 1})
    requests = [data for data in sent if data.startswith(b"POST")]
    assert [b'{"a":1}'] == [data.partition(b"\r\n\r\n")[2] for data in requests]
    assert b'{"a":1}' == partner.requests[1].body


def test_a_server_that_was_not_called_for_long_is_called_again(transport, partner):
    """Its connections are closed when many others are called."""
    partner.will_answer(200)
    transport.call("GET", partner.url)
    for _ in range(8):
        transport.call("GET", f"http://127.0.0.1:{closed_port()}/")
    partner.will_answer(200)
    assert 200 == transport.call("GET", partner.url).status
    assert 2 == len({request.connection for request in partner.requests})


def test_a_header_that_comes_twice_is_one_list(transport, partner):
    def twice(handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nLink: a\r\nLink: b\r\nContent-Length: 0\r\n\r\n")

    partner.replies.append(Reply(raw=twice))
    assert "a, b" == transport.call("GET", partner.url).headers["link"]


def test_cookies_are_not_kept(transport, partner):
    partner.will_answer(200, Set_Cookie="session=1; Path=/")
    partner.will_answer(200)
    transport.call("GET", partner.url)
    transport.call("GET", partner.url)
    assert [None, None] == [sent.headers["Cookie"] for sent in partner.requests]


def test_netrc_does_not_override_our_authorization(transport, partner, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    partner.will_answer(200)
    transport.call("GET", partner.url, headers={"Authorization": "Bearer ours"})
    assert "Bearer ours" == partner.only_request.headers["Authorization"]


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(transport, partner, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    partner.will_answer(200)
    assert 200 == transport.call("GET", partner.url).status
    assert Failure("proxy_unreachable") == transport.call("POST", "http://partner.example/", json={})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_certainly_sent_nothing(transport, method):
    assert Failure("connect_failed") == transport.call(method, f"http://127.0.0.1:{closed_port()}/")


def silence(released: threading.Event) -> Reply:
    def wait(_handler: object) -> None:
        released.wait(5)

    return Reply(raw=wait)


@pytest.mark.parametrize(("method", "unclear"), [("GET", False), ("PATCH", True)])
def test_silence_is_a_timeout_and_unclear_for_writes(transport, partner, method, unclear):
    released = threading.Event()
    partner.replies.append(silence(released))
    failure = transport.call(method, partner.url)
    released.set()
    assert Failure("read_timeout", unclear=unclear) == failure


def reset(handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def hang_up(handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def say(handler, answer: bytes) -> None:
    handler.wfile.write(answer)


def half_an_answer(handler) -> None:
    say(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


def nonsense(handler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def two_lengths(handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}")


def bad_gzip(handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")


def bad_chunks(handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")


BROKEN = [reset, hang_up, half_an_answer, nonsense, two_lengths, bad_gzip, bad_chunks]


@pytest.mark.parametrize("breakage", BROKEN)
@pytest.mark.parametrize(("method", "unclear"), [("GET", False), ("POST", True)])
def test_a_broken_answer_is_a_failure_and_unclear_for_writes(transport, partner, breakage, method, unclear):
    partner.replies.append(Reply(raw=breakage))
    assert Failure("connection_broken", unclear=unclear) == transport.call(method, partner.url, json={})


def test_chunked_and_compressed_answers_are_read(transport, partner):
    packed = gzip.compress(b'{"ok": true}')
    chunks = f"{len(packed):x}\r\n".encode() + packed + b"\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    partner.replies.append(Reply(raw=lambda handler: say(handler, head + chunks)))
    assert b'{"ok": true}' == transport.call("GET", partner.url).body


@pytest.mark.parametrize(
    "reply",
    [Reply(body=b"x" * 100_001), Reply(body=gzip.compress(b"\0" * 50_000_000), headers={"Content-Encoding": "gzip"})],
)
def test_an_answer_too_large_is_not_read_to_its_end(transport, partner, reply):
    partner.replies.append(reply)
    assert Failure("answer_too_large", unclear=True) == transport.call("POST", partner.url)


DRIPPING = {
    "status line": b"HTTP/1.1 200 ",
    "headers": b"HTTP/1.1 200 OK\r\nX-Long: ",
    "many headers": b"HTTP/1.1 200 OK\r\nX-1: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n500\r\n",
    "what comes before an answer": b"HTTP/1.1 100 Continue\r\nX-1: ",
}


@pytest.mark.parametrize("beginning", DRIPPING.values(), ids=DRIPPING)
@pytest.mark.parametrize(("method", "unclear"), [("GET", False), ("POST", True)])
def test_an_answer_that_drips_is_cut_off_however_lively_it_is(transport, partner, beginning, method, unclear):
    done = threading.Event()

    def drip(handler) -> None:
        handler.wfile.write(beginning)
        with suppress(OSError):
            while not done.wait(0.05):
                handler.wfile.write(b"x")

    partner.replies.append(Reply(raw=drip))
    began = time.monotonic()
    failure = transport.call(method, partner.url)
    done.set()
    assert Failure("read_timeout", unclear=unclear) == failure
    assert time.monotonic() - began < 2


def test_a_proxy_that_drips_is_cut_off_too(transport, partner, monkeypatch):
    """Its answer to CONNECT has headers of its own."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def drip() -> None:
            connection, _ = proxy.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                while not done.wait(0.05):
                    connection.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        began = time.monotonic()
        failure = transport.call("POST", "https://partner.example/")
        done.set()
        dripping.join()
    assert Failure("read_timeout", unclear=True) == failure
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("no-scheme", {}),
        ("ftp://127.0.0.1/", {}),
        ("http://", {}),
        ("http://[::1", {}),
        ("http://127.0.0.1:1/", {"Authorization": "Bearer café✓"}),
        ("http://127.0.0.1:1/", {"Authorization": "Bearer two\nlines"}),
        ("http://" + "x" * 70 + ".example/", {}),
    ],
)
def test_what_cannot_be_written_at_all_is_hopeless_until_mended(transport, url, headers):
    assert Failure("unsendable", hopeless=True) == transport.call("POST", url, headers=headers)


def test_a_partner_whose_certificate_nobody_vouches_for_is_not_spoken_to(transport, tmp_path):
    made = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
        "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem"),
    ]  # fmt: skip
    try:
        subprocess.run(made, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=_shake_hands, args=(server, context))
        thread.start()
        failure = transport.call("POST", f"https://127.0.0.1:{server.getsockname()[1]}/", json={})
        thread.join()
    assert "tls_failed" == failure.reason


def _shake_hands(server: socket.socket, context: ssl.SSLContext) -> None:
    with closing(server.accept()[0]) as plain:
        try:
            context.wrap_socket(plain, server_side=True).close()
        except OSError:
            return  # what the client thinks of us is what is tested


def test_the_log_names_the_call_but_never_query_headers_or_body(transport, partner):
    partner.will_answer(201, {"secret": "told"})
    with structlog.testing.capture_logs() as logged:
        transport.call(
            "PUT",
            partner.url + "/incidents/Q1",
            headers={"Authorization": "hidden"},
            params={"key": "hidden"},
            json={"text": "hidden"},
            target="pagerduty_rest",
        )
    [entry] = logged
    assert isinstance(entry.pop("ms"), int)
    assert {
        "event": "partner.called",
        "log_level": "debug",
        "target": "pagerduty_rest",
        "method": "PUT",
        "path": "/incidents/Q1",
        "status": 201,
    } == entry


def test_many_threads_share_one_transport(transport, partner):
    for _ in range(40):
        partner.will_answer(200, {"ok": True})
    answers: list[Answer | Failure] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(transport.call("GET", partner.url) for _ in range(5)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [200] * 40 == [answer.status for answer in answers if isinstance(answer, Answer)]


def test_importing_the_inbound_readers_reaches_no_network_library():
    """The webhooks start without the client's machinery: the readers are pure."""
    program = (
        "import sys, app.truthvouch.wire, app.pagerduty.inbound;"
        "sys.exit(any(name in sys.modules for name in ('requests', 'urllib3', 'sqlalchemy', 'dbos')))"
    )
    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
