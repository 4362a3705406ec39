"""Everything a stranger, a broken sender or a hurried partner can throw at the two webhooks.

Authentic bodies get 202 whatever they hold, the rest 401 or 413, nothing gets a 5xx, and no answer shows a stack.
"""

import gzip
import json
import socket
import threading
import time

import pytest

from tests.system.bridge import HOOKS, Bridge
from tests.system.conftest import in_worlds
from tests.system.signing import PAGERDUTY_SECRET, TRUTHVOUCH_SECRET, digest, from_pagerduty, from_truthvouch
from tests.system.world import World

SIGN = {"truthvouch": from_truthvouch, "pagerduty": from_pagerduty}
HEADER = {"truthvouch": "X-TruthVouch-Signature", "pagerduty": "X-PagerDuty-Signature"}
PREFIX = {"truthvouch": "sha256=", "pagerduty": "v1="}
SECRET = {"truthvouch": TRUTHVOUCH_SECRET, "pagerduty": PAGERDUTY_SECRET}
MIB = 1024 * 1024

pytestmark = in_worlds("rest")

sources = pytest.mark.parametrize("source", HOOKS)


@pytest.fixture
def bridge(world: World) -> Bridge:
    return world.bridge


def alert(**data: object) -> bytes:
    return json.dumps({"id": "evt-odd", "type": "alert.created", "data": {"alertId": "a-odd", **data}}).encode()


def incident(**event: object) -> bytes:
    return json.dumps({"event": {"id": "01ODD", "event_type": "incident.acknowledged", **event}}).encode()


STRANGE_BODIES = {
    "empty": b"",
    "white space": b" \r\n\t ",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"alert.created"',
    "a number": b"1",
    "not a number": b'{"id": NaN, "data": {"confidence": Infinity}}',
    "cut off": b'{"id": "evt-1", "type": "alert.cre',
    "not JSON": b"alert=1&severity=critical",
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "with a byte order mark": b'\xef\xbb\xbf{"id": "evt-bom"}',
    "UTF-16": '{"id": "evt-16"}'.encode("utf-16"),
    "NUL": b"\0\0\0\0",
    "a lone surrogate": b'{"id": "\\ud800", "type": "\\udfff", "data": {"alertId": "\\ud800", "severity": "critical"}}',
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"event":' * 50_000 + b"1" + b"}" * 50_000,
    "deep inside an event": b'{"id":"evt-deep","type":"alert.created","data":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    "a huge number": b'{"id": "evt-big", "type": "alert.created", "data": {"alertId": "a", "confidence": '
    + b"9" * 5000
    + b"}}",
    "a huge exponent": b'{"id": "evt-e", "type": "alert.created", "data": {"alertId": "a-e", "confidence": 1e999999}}',
    "many keys": json.dumps({f"key{n}": n for n in range(20_000)}).encode(),
    "the same key twice": b'{"id": "a", "id": "b", "event": {}, "event": []}',
    "ids of the wrong kind": b'{"id": {}, "event_id": [], "type": 7, "data": {"alertId": [1]}}',
    "data of the wrong kind": b'{"id": "evt-w", "type": "alert.created", "data": "critical"}',
    "fields of the wrong kind": alert(severity=["critical"], confidence={"a": 1}, message=5, model=[], category=True),
    "an empty alert id": alert(alertId=""),
    "an alert id that is a path": alert(alertId="../../incidents?x=1#y"),
    "a very long alert id": alert(alertId="a" * 100_000),
    "an alert id with control characters": alert(alertId="a\r\nX-Injected: 1\0"),
    "a time out of range": json.dumps(
        {"id": "evt-t", "type": "alert.resolved", "timestamp": "9999-12-31T23:59:59-23:59", "data": {"alertId": "a-t"}}
    ).encode(),
    "a time that is none": json.dumps(
        {"id": "evt-u", "type": "alert.resolved", "timestamp": 1e300, "data": {"alertId": "a-u"}}
    ).encode(),
    "an unknown event": b'{"id": "evt-x", "type": "moon.rose", "data": {}}',
    "event is null": b'{"event": null}',
    "event is a list": b'{"event": [1, 2]}',
    "an event without data": incident(),
    "incident data of the wrong kind": incident(data=[1, "2"]),
    "an incident id of the wrong kind": incident(data={"id": {"a": 1}, "type": "incident"}),
    "an agent of the wrong kind": incident(data={"id": "PX", "type": "incident"}, agent=7, occurred_at=[]),
    "a merge into itself": incident(
        event_type="incident.resolved",
        data={
            "id": "PX",
            "type": "incident",
            "resolve_reason": {"type": "merge_resolve_reason", "incident": {"id": "PX"}},
        },
    ),
    "a ping": b'{"event": {"id": "01PING", "event_type": "pagey.ping", "data": {"type": "ping", "message": "Hello"}}}',
    "exactly one mebibyte": b'{"id": "evt-mib", "pad": "' + b"x" * (MIB - 28) + b'"}',
}


def assert_accepted(answer) -> None:
    assert 202 == answer.status_code, answer.text
    assert {"status", "request_id"} <= set(answer.json())


def assert_refused(answer, status: int) -> None:
    assert status == answer.status_code, answer.text
    found = answer.json()
    assert {"code", "message"} <= set(found["error"])
    assert found["request_id"]
    assert "Traceback" not in answer.text


@sources
@pytest.mark.parametrize("body", STRANGE_BODIES.values(), ids=STRANGE_BODIES)
def test_an_authentic_body_is_accepted_whatever_it_holds(bridge: Bridge, source: str, body: bytes):
    assert_accepted(bridge.deliver(source, body))


@sources
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "a/b/c;;="]
)
def test_the_content_type_does_not_matter(bridge: Bridge, source: str, kind: str):
    body = b'{"id": "evt-ct", "type": "moon.rose", "event": {"id": "01CT"}}'
    assert_accepted(bridge.deliver(source, body, more={"Content-Type": kind}))


@sources
def test_a_compressed_body_is_kept_as_it_came(bridge: Bridge, source: str):
    body = gzip.compress(b'{"id": "evt-gzip"}')
    assert_accepted(bridge.deliver(source, body, more={"Content-Encoding": "gzip"}))


@sources
def test_a_chunked_body_is_read(bridge: Bridge, source: str):
    body = b'{"id": "evt-chunked", "event": {"id": "01CHUNK"}}'
    answer = bridge._session.post(
        bridge.url + HOOKS[source], data=iter([body[:10], body[10:]]), headers=SIGN[source](body), timeout=10
    )
    assert_accepted(answer)


BODY = b'{"id": "evt-forged", "type": "alert.created", "data": {"alertId": "a-forged", "severity": "critical"}}'


def forged(source: str) -> dict[str, dict[str, str]]:
    """Signatures that must not be accepted."""
    header, prefix = HEADER[source], PREFIX[source]
    right = digest(SECRET[source], BODY)
    wrong = digest("another secret", BODY)
    return {
        "none": {},
        "empty": {header: ""},
        "only the prefix": {header: prefix},
        "of the right length": {header: prefix + wrong},
        "all zeroes": {header: prefix + "0" * 64},
        "one digit off": {header: prefix + ("0" if right[0] != "0" else "1") + right[1:]},
        "cut short": {header: prefix + right[:-1]},
        "too long": {header: prefix + right + "0"},
        "of another body": {header: prefix + digest(SECRET[source], BODY + b" ")},
        "with an empty secret": {header: prefix + digest("", BODY)},
        "not hexadecimal": {header: prefix + "z" * 64},
        "not ASCII": {header: (prefix + "é" * 64).encode("utf-8").decode("latin-1")},
        "another algorithm": {header: "sha1=" + right[:40]},
        "many wrong ones": {header: ",".join([prefix + wrong] * 50)},
        "very long": {header: prefix + "a" * 6000},
        "in another header": {"Authorization": f"Bearer {right}"},
        "the other vendor's": SIGN["pagerduty" if source == "truthvouch" else "truthvouch"](BODY),
    }


@sources
@pytest.mark.parametrize("forgery", forged("truthvouch"))
def test_a_forged_signature_is_refused(bridge: Bridge, source: str, forgery: str):
    assert_refused(bridge.deliver(source, BODY, forged(source)[forgery]), 401)


@sources
def test_one_byte_over_a_mebibyte_is_too_much_signed_or_not(bridge: Bridge, source: str):
    body = b"x" * (MIB + 1)
    assert_refused(bridge.deliver(source, body), 413)
    assert_refused(bridge.deliver(source, body, {}), 413)


@sources
def test_a_chunked_body_cannot_hide_its_size(bridge: Bridge, source: str):
    pieces = iter([b"x" * 65_536] * 32)
    answer = bridge._session.post(bridge.url + HOOKS[source], data=pieces, headers={}, timeout=10)
    assert_refused(answer, 413)


@sources
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_do_no_harm(bridge: Bridge, source: str, method: str):
    answer = bridge._session.request(method, bridge.url + HOOKS[source], data=BODY, timeout=10)
    assert answer.status_code in ({200, 405} if method == "OPTIONS" else {405, 501})
    assert answer.status_code != 501 or method in {"TRACE", "BREW"}


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/truthvouch", "/truthvouch/alerts/", "/%00", "/..%2f..%2fetc/passwd", "/console/nowhere"]
)
def test_unknown_paths_are_ordinary_refusals(bridge: Bridge, path: str):
    answer = bridge.get(path, allow_redirects=False)
    assert answer.status_code in {302, 303, 307, 308, 401, 404, 405}
    assert "Traceback" not in answer.text


@sources
def test_every_refusal_leaves_one_clear_line(bridge: Bridge, source: str):
    request_id = bridge.deliver(source, BODY, {}).json()["request_id"]
    lines = [line for line in bridge.events() if line.get("request_id") == request_id]
    (refusal,) = [line for line in lines if "reason" in line]
    assert refusal["reason"]
    assert len(lines) <= 2


def raw(bridge: Bridge, request: bytes, seconds: float = 5.0) -> bytes:
    """What comes back for these very bytes."""
    with socket.create_connection(("127.0.0.1", bridge.port), timeout=seconds) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while part := connection.recv(65_536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            return answer
    return answer


HEAD = b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\n"
MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "a header flood": HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(500)) + b"\r\n",
    "a very long header": HEAD + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n",
    "a very long path": b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: many\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "an immense length": HEAD + b"Content-Length: 99999999999999\r\n\r\n",
    "a broken chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "both lengths": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_proper_request_gets_no_server_error(bridge: Bridge, request_bytes: bytes):
    answer = raw(bridge, request_bytes)
    assert b" 5" not in answer.split(b"\r\n")[0]
    assert b"Traceback" not in answer


def test_a_sender_that_hangs_up_in_the_middle_harms_nobody(bridge: Bridge):
    with socket.create_connection(("127.0.0.1", bridge.port)) as connection:
        connection.sendall(b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert_accepted(bridge.deliver("truthvouch", b'{"id": "evt-after-hang-up"}'))


SLOW_SENDERS = 60
"""Many more than there are threads: a request takes one only when all of it is here."""


def test_slow_senders_do_not_starve_the_others(bridge: Bridge):
    start = b"POST /truthvouch/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", bridge.port)) for _ in range(SLOW_SENDERS)]
    try:
        for connection in slow:
            connection.sendall(start)
        began = time.monotonic()
        for n in range(10):
            assert_accepted(bridge.deliver("truthvouch", b'{"id": "evt-beside-%d"}' % n))
        assert time.monotonic() - began < 5
    finally:
        for connection in slow:
            connection.close()


def test_a_storm_of_good_and_bad_is_answered_in_full(bridge: Bridge):
    answers: list[int] = []

    def knock(n: int) -> None:
        body = b'{"id": "evt-storm-%d", "type": "moon.rose"}' % n
        answers.append(bridge.deliver("truthvouch", body, None if n % 2 else {}).status_code)

    threads = [threading.Thread(target=knock, args=(n,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [202] * 30 + [401] * 30 == sorted(answers)
