"""The two webhooks as a partner sees them: the status table holds whatever is sent."""

import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.ports import StoreUnavailable
from app.web.incoming import MAX_BODY_BYTES
from tests.conftest import FakeClock
from tests.web_fakes import FakeBridge, sign

HOOKS = ("/truthvouch/alerts", "/pagerduty/webhook")
BODY = b"evt-1\nalert-7"

hooks = pytest.mark.parametrize("hook", HOOKS)


@pytest.fixture
def bridge(clock: FakeClock) -> FakeBridge:
    return FakeBridge(clock)


@pytest.fixture
def client(bridge: FakeBridge) -> FlaskClient:
    return bridge.app().test_client()


def post(client: FlaskClient, hook: str, body: bytes = BODY, **options: Any) -> TestResponse:
    headers = {**sign(body), **options.pop("headers", {})}
    return client.post(hook, data=body, headers=headers, **options)


def assert_error(answer: TestResponse, status: int, code: str) -> None:
    assert status == answer.status_code
    assert answer.json is not None
    assert code == answer.json["error"]["code"]
    assert answer.json["error"]["message"]
    assert answer.headers["X-Request-ID"] == answer.json["request_id"]


@hooks
def test_an_authentic_delivery_is_accepted_and_then_known(client: FlaskClient, hook: str):
    for status in ("accepted", "duplicate"):
        answer = post(client, hook)
        assert (202, status) == (answer.status_code, answer.json["status"])  # type: ignore[index]


@hooks
def test_the_trace_of_a_delivery_is_stored_with_it_and_one_without_begins_a_new_one(
    client: FlaskClient, bridge: FakeBridge, hook: str
):
    given = "0af7651916cd43dd8448eb211c80319c"
    post(client, hook, headers={"traceparent": f"00-{given}-b7ad6b7169203331-01"})
    assert f"{given}-01" == bridge.inbox.only.trace
    post(client, hook, b"evt-2\nalert-7", headers={"traceparent": "00-nonsense-01"})
    fresh = [delivery.trace for delivery in bridge.inbox.deliveries.values()][1]
    assert fresh
    assert (35, False) == (len(fresh), given in fresh)


@hooks
@pytest.mark.parametrize("slashes", ["{}/", "{}//", "/{}"])
def test_a_slash_too_many_makes_no_difference(client: FlaskClient, hook: str, slashes: str):
    for path in (slashes.format(hook), slashes.format(hook.replace("/", "//"))):
        as_sent = {"PATH_INFO": path}
        assert 202 == post(client, hook, environ_overrides=as_sent).status_code
        assert 401 == client.post(hook, environ_overrides=as_sent).status_code


@pytest.mark.parametrize(
    "path", ["//healthz", "/healthz//", "/truthvouch//", "//api/v1/health", "/pagerduty/webhook/x", "//x"]
)
def test_nobody_is_redirected_to_a_path_with_fewer_slashes(client: FlaskClient, path: str):
    answer = client.get("/", headers={"X-Forwarded-Host": "evil.example"}, environ_overrides={"PATH_INFO": path})
    assert answer.status_code in (200, 401, 404, 503)
    assert "Location" not in answer.headers


@hooks
def test_an_authentic_delivery_that_is_no_event_is_parked(client: FlaskClient, hook: str):
    answer = post(client, hook, b"")
    assert (202, "parked") == (answer.status_code, answer.json["status"])  # type: ignore[index]


KINDS = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "a/b/c;;=")


@hooks
@pytest.mark.parametrize("kind", KINDS)
def test_the_raw_bytes_are_stored_whatever_they_claim_to_be(
    client: FlaskClient, bridge: FakeBridge, hook: str, kind: str
):
    assert 202 == post(client, hook, b"a=1&b=2", headers={"Content-Type": kind}).status_code
    assert b"a=1&b=2" == bridge.inbox.only.body


@hooks
def test_a_compressed_body_is_not_decoded(client: FlaskClient, bridge: FakeBridge, hook: str):
    assert 202 == post(client, hook, headers={"Content-Encoding": "gzip"}).status_code
    assert (BODY, "gzip") == (bridge.inbox.only.body, bridge.inbox.only.content_encoding)


@hooks
def test_an_unsigned_delivery_is_refused(client: FlaskClient, hook: str):
    assert_error(client.post(hook, data=BODY), 401, "signature_missing")


@hooks
@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 202), (MAX_BODY_BYTES + 1, 413)])
def test_a_body_may_be_one_mebibyte(client: FlaskClient, hook: str, size: int, status: int):
    assert status == post(client, hook, b"evt".ljust(size)).status_code


class Endless(io.RawIOBase):
    """A body without end that knows how much of it was read."""

    taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0
        self.taken += size
        return b"x" * size


@hooks
@pytest.mark.parametrize("declared", [{"CONTENT_LENGTH": str(10**12)}, {"HTTP_TRANSFER_ENCODING": "chunked"}])
def test_no_more_than_a_mebibyte_is_read_of_a_body_that_is_too_large(
    client: FlaskClient, hook: str, declared: dict[str, str]
):
    body = Endless()
    environ = {"wsgi.input": body, "wsgi.input_terminated": True, **declared}
    answer = client.post(hook, environ_overrides=environ)
    assert_error(answer, 413, "body_too_large")
    assert "close" == answer.headers["Connection"]
    assert body.taken <= MAX_BODY_BYTES + 1


class Broken(io.RawIOBase):
    """A body whose sender is gone after the first piece."""

    pieces = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.pieces += 1
        if self.pieces > 1:
            raise ConnectionResetError
        return b"evt"


@hooks
@pytest.mark.parametrize(
    "environ",
    [
        {"wsgi.input": Broken(), "HTTP_TRANSFER_ENCODING": "chunked"},
        {"wsgi.input": io.BytesIO(BODY), "CONTENT_LENGTH": "1000"},
    ],
)
@pytest.mark.parametrize("terminated", [True, False])
def test_a_body_that_does_not_come_whole_is_refused_without_a_fuss(
    client: FlaskClient, bridge: FakeBridge, hook: str, environ: dict[str, Any], terminated: bool
):
    if terminated:
        environ = {**environ, "wsgi.input_terminated": True}
    answer = client.post(hook, environ_overrides=environ)
    assert 401 == answer.status_code
    assert {} == bridge.inbox.deliveries


@hooks
def test_without_a_secret_the_webhook_answers_503(clock: FakeClock, hook: str):
    client = FakeBridge(clock, secrets=()).app().test_client()
    assert_error(post(client, hook), 503, "no_secret")


@hooks
def test_a_store_that_is_gone_answers_503(client: FlaskClient, bridge: FakeBridge, hook: str):
    bridge.inbox.broken = StoreUnavailable("disk full")
    answer = post(client, hook)
    assert_error(answer, 503, "store_unavailable")
    assert "disk" not in answer.text


@hooks
def test_a_fault_of_ours_makes_the_sender_try_again_and_tells_nothing(
    client: FlaskClient, bridge: FakeBridge, hook: str
):
    bridge.inbox.broken = RuntimeError("secret detail")
    answer = post(client, hook)
    assert_error(answer, 503, "internal_error")
    assert "secret detail" not in answer.text


@hooks
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_not_allowed(client: FlaskClient, hook: str, method: str):
    answer = client.open(hook, method=method)
    assert (405, "POST") == (answer.status_code, answer.headers["Allow"])


@hooks
@pytest.mark.parametrize("host", ["", "a b", "x" * 300, "[::1", "ünicode", "a:b:c", "a..b", "[::1]:80"])
def test_the_host_header_does_not_matter(client: FlaskClient, hook: str, host: str):
    assert 202 == post(client, hook, environ_overrides={"HTTP_HOST": host.encode().decode("latin-1")}).status_code
