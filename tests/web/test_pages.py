"""Health, metrics, request ids, the access line, errors and proxies."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from app.ports import StoreUnavailable
from app.web.access import Access, needs
from app.web.proxies import BehindProxies
from tests.conftest import FakeClock
from tests.web_fakes import FakeBridge


@pytest.fixture
def bridge(clock: FakeClock) -> FakeBridge:
    return FakeBridge(clock)


@pytest.fixture
def client(bridge: FakeBridge) -> FlaskClient:
    return bridge.app().test_client()


# --------------------------------------------------------------------------------------------------------- health


def test_healthz_is_fine_while_the_process_lives(client: FlaskClient, bridge: FakeBridge):
    bridge.inbox.broken = StoreUnavailable("disk full")
    assert (200, {"status": "ok"}) == ((answer := client.get("/healthz")).status_code, answer.json)
    assert 0 == bridge.inbox.writes


def test_readyz_names_each_check_with_its_numbers(client: FlaskClient):
    answer = client.get("/readyz")
    assert 200 == answer.status_code
    found = json.loads(answer.text)
    assert "ok" == found["status"]
    assert {"state": "ok", "message": "The worker is alive.", "heartbeat_age_seconds": 0.0} == found["checks"]["worker"]
    assert "no-store" == answer.headers["Cache-Control"]


def test_readyz_is_503_only_when_red(client: FlaskClient, bridge: FakeBridge, clock: FakeClock):
    bridge.health_source.set(dead=1)
    assert (200, "degraded") == ((answer := client.get("/readyz")).status_code, answer.json["status"])  # type: ignore[index]
    bridge.missing = ("TRUTHVOUCH_API_KEY: alerts cannot be updated",)
    clock.advance(2)
    assert (503, "red") == ((answer := client.get("/readyz")).status_code, answer.json["status"])  # type: ignore[index]


def test_metrics_are_prometheus_text(client: FlaskClient):
    answer = client.get("/metrics")
    assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["Content-Type"]
    assert "truthvouch_bridge_waiting 0" in answer.text


# -------------------------------------------------------------------------------------------------------- request ids


@pytest.mark.parametrize("given", ["abc-1_2.3", "A" * 64])
def test_a_plain_request_id_is_kept(client: FlaskClient, given: str):
    assert given == client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]


@pytest.mark.parametrize("given", ["", "A" * 65, "a b", '"}', "é", "a;b"])
def test_any_other_request_id_is_replaced(client: FlaskClient, given: str):
    used = client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert given != used
    assert 32 == len(used)


def lines_of(client: FlaskClient, path: str, **options: Any) -> list[Any]:
    with capture_logs() as lines:
        client.open(path, **options)
    return [line for line in lines if line["event"] == "request.answered"]


def test_each_request_has_one_access_line(client: FlaskClient):
    (line,) = lines_of(client, "/nowhere?token=secret", method="POST")
    assert ("info", "POST", "/nowhere", 404) == (line["log_level"], line["method"], line["path"], line["status"])
    assert line["ms"] >= 0


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_health_checks_are_received_only_by_who_listens(client: FlaskClient, path: str):
    assert ["debug"] == [line["log_level"] for line in lines_of(client, path)]


def test_a_very_long_path_is_cut(client: FlaskClient):
    (line,) = lines_of(client, "/" + "a" * 5000)
    assert len(line["path"]) <= 200


# --------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("path", ["/nowhere", "/truthvouch/alerts/x", "/%00", "/..%2f..%2fetc/passwd"])
def test_an_unknown_path_is_a_json_404(client: FlaskClient, path: str):
    answer = client.get(path)
    assert (404, "not_found") == (answer.status_code, answer.json["error"]["code"])  # type: ignore[index]


def test_a_fault_elsewhere_is_a_500_without_detail(bridge: FakeBridge):
    app = bridge.app()

    @app.get("/broken")
    @needs(Access.OPEN)
    def broken() -> str:
        raise RuntimeError("secret detail")

    with capture_logs() as lines:
        answer = app.test_client().get("/broken")
    assert (500, "internal_error") == (answer.status_code, answer.json["error"]["code"])  # type: ignore[index]
    assert "secret detail" not in answer.text
    assert ["request.failed", "request.answered"] == [line["event"] for line in lines]


# -------------------------------------------------------------------------------------------------------- proxies


def client_of(forwarded: dict[str, str], peer: str, trusted: str) -> tuple[str, str, str]:
    """Who a request seems to come from: address, scheme, host."""
    app = Flask("probe")
    seen: dict[str, Any] = {}

    def probe(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return []

    app.wsgi_app = BehindProxies(probe, trusted.split(","))  # type: ignore[method-assign]
    app.test_client().get("/", headers=forwarded, environ_overrides={"REMOTE_ADDR": peer, "HTTP_HOST": "inside"})
    return seen["REMOTE_ADDR"], seen["wsgi.url_scheme"], seen["HTTP_HOST"]


FORWARDED = {
    "X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.0.0.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "bridge.example.com",
}


def test_a_trusted_proxy_is_believed_up_to_the_first_stranger():
    assert ("203.0.113.9", "https", "bridge.example.com") == client_of(FORWARDED, "10.0.0.1", "10.0.0.0/8,192.168.0.1")


def test_a_stranger_is_not_believed():
    assert ("203.0.113.1", "http", "inside") == client_of(FORWARDED, "203.0.113.1", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("::ffff:10.0.0.1", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "::ffff:10.0.0.0/104"),
        ("fd00::1", "fd00::/8"),
        ("FD00:0::1", "fd00::1"),
        ("10.0.0.1", "fd00::/8,10.0.0.1"),
    ],
)
def test_a_proxy_is_known_by_either_family_of_its_address(peer: str, trusted: str):
    forwarded = {"X-Forwarded-For": "::ffff:203.0.113.9, ::ffff:10.0.0.1" if "10." in peer else "203.0.113.9"}
    assert "203.0.113.9" == client_of(forwarded, peer, trusted)[0]


@pytest.mark.parametrize(("peer", "trusted"), [("::ffff:11.0.0.1", "10.0.0.0/8"), ("::a00:1", "10.0.0.0/8")])
def test_another_address_is_still_a_stranger(peer: str, trusted: str):
    assert peer == client_of(FORWARDED, peer, trusted)[0]


@pytest.mark.parametrize("said", ["", "nonsense", "1.2.3.4.5, ,", "unknown"])
def test_a_forwarded_address_that_is_none_is_ignored(said: str):
    assert "10.0.0.1" == client_of({"X-Forwarded-For": said}, "10.0.0.1", "10.0.0.0/8")[0]


def test_nobody_is_believed_by_default(bridge: FakeBridge):
    app = bridge.app()
    with capture_logs() as lines:
        app.test_client().get("/nowhere", headers=FORWARDED)
    assert ["127.0.0.1"] == [line["client"] for line in lines]


def test_the_proxies_of_the_settings_are_believed(bridge: FakeBridge):
    app = bridge.app(BRIDGE_TRUSTED_PROXIES="127.0.0.1")
    with capture_logs() as lines:
        app.test_client().get("/nowhere", headers={"X-Forwarded-For": "203.0.113.9"})
    assert ["203.0.113.9"] == [line["client"] for line in lines]
