"""``TruthVouchClient``: dictionaries back, one error family, and the key nowhere."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import BridgeError, ConfigFault, NotSetUp, PartnerRefused
from app.truthvouch.client import TruthVouchClient
from tests.far_side import FarSide, far_side
from tests.system.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
KEY = "tv-key-marker-0000"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with closing(Sandbox(tmp_path_factory.mktemp("partners"), "http://127.0.0.1:9")) as running:
        running.webhooks("drop")
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[TruthVouchClient]:
    environment = {"TRUTHVOUCH_API_URL": f"{sandbox.url}/api/v1", "BRIDGE_CONFIG": "/nowhere"}
    with TruthVouchClient(api_key=KEY, environ=environment) as client:
        yield client
    sandbox.heal()


def scripted(far: FarSide) -> TruthVouchClient:
    return TruthVouchClient(KEY, far.url, environ={"BRIDGE_CONFIG": "/nowhere"})


def test_an_alert_is_acknowledged_and_resolved_and_twice_is_once(client: TruthVouchClient, sandbox: Sandbox):
    sandbox.raise_alert("both")
    for _ in range(2):
        assert {"id": "both", "status": "acknowledged"} == client.alerts.acknowledge(alert_id="both")
    for _ in range(2):
        assert {"id": "both", "status": "resolved"} == client.alerts.resolve(alert_id="both", resolution="It was right")
    there = sandbox.alert("both")
    assert ("resolved", "It was right") == (there["status"], there["resolution"])


def test_a_lost_answer_is_asked_for_again(client: TruthVouchClient, sandbox: Sandbox):
    sandbox.raise_alert("lost")
    sandbox.fault(kind="reset_after", partner="truthvouch", method="PATCH", times=1)
    assert "resolved" == client.alerts.resolve(alert_id="lost")["status"]
    assert "resolved" == sandbox.alert("lost")["status"]


def test_an_alert_comes_in_truthvouchs_own_words(client: TruthVouchClient, sandbox: Sandbox):
    sandbox.raise_alert("words", severity="high")
    answer = client.alerts.get(alert_id="words")
    assert ("words", "high", "open") == (answer["id"], answer["severity"], answer["status"])
    assert "createdAt" in answer


def test_where_no_single_alert_is_shown_the_list_is_looked_through(client: TruthVouchClient, sandbox: Sandbox):
    sandbox.raise_alert("listed")
    sandbox.fault(kind="status", status=405, partner="truthvouch", method="GET", path_regex="/alerts/.")
    assert "open" == client.alerts.get(alert_id="listed")["status"]
    with pytest.raises(PartnerRefused) as caught:
        client.alerts.get(alert_id="nobody")
    assert 405 == caught.value.status


def test_an_alert_whose_id_is_a_number_is_found_in_the_list_by_its_digits():
    with far_side() as far, scripted(far) as client:
        far.will_answer(405)
        far.will_answer(200, {"data": [{"id": 123456789012345680}, {"id": 123456789012345678}]})
        assert {"id": 123456789012345678} == client.alerts.get(alert_id="123456789012345678")


def test_the_list_asks_for_pages_as_they_are_wanted():
    with far_side() as far, scripted(far) as client:
        far.will_answer(200, {"data": [{"id": "a"}, {"id": "b"}], "meta": {"totalPages": 2}})
        far.will_answer(200, {"data": [{"id": "c"}], "meta": {"totalPages": 2}})
        alerts = client.alerts.list(status="open")
        assert {"id": "a"} == next(alerts)
        assert 1 == len(far.requests)
        assert ["b", "c"] == [alert["id"] for alert in alerts]
    assert [["1"], ["2"]] == [request.params["page"] for request in far.requests]
    assert [["open"], ["open"]] == [request.params["status"] for request in far.requests]


def test_one_page_is_one_call():
    with far_side() as far, scripted(far) as client:
        far.will_answer(200, {"data": [{"id": "a"}], "meta": {"totalPages": 9}})
        assert [{"id": "a"}] == list(client.alerts.list(page=3))
    assert ["3"] == far.only_request.params["page"]


def test_errors_say_what_to_do_and_hold_no_key():
    with far_side() as far, scripted(far) as client:
        far.will_answer(401)
        far.will_answer(404, {"error": {"code": "RESOURCE_NOT_FOUND", "message": f"not for {KEY}"}})
        with pytest.raises(PartnerRefused, match="TRUTHVOUCH_API_KEY") as refused:
            client.alerts.resolve(alert_id="a")
        with pytest.raises(PartnerRefused, match="Check the alert id") as missing:
            client.alerts.resolve(alert_id="a")
    assert (401, 404) == (refused.value.status, missing.value.status)
    assert KEY not in f"{missing.value} {client!r}"
    assert issubclass(PartnerRefused, BridgeError)


def test_without_a_key_nothing_is_sent():
    with far_side() as far:
        with (
            TruthVouchClient(base_url=far.url, environ={"BRIDGE_CONFIG": "/nowhere"}) as client,
            pytest.raises(NotSetUp, match="TRUTHVOUCH_API_KEY"),
        ):
            client.alerts.acknowledge(alert_id="a")
        assert [] == far.requests


def test_the_operators_calls_and_key_are_taken_from_the_file(tmp_path: Path):
    config = tmp_path / "bridge.yaml"
    with far_side() as far:
        config.write_text(
            f"truthvouch:\n  api_key: from-the-file\n  api_url: {far.url}\n"
            "  calls:\n    acknowledge: {method: POST, path: '/alerts/{alert_id}/ack'}\n",
            "utf-8",
        )
        config.chmod(0o600)
        far.will_answer(204)
        with TruthVouchClient(environ={"BRIDGE_CONFIG": str(config)}) as client:
            client.alerts.acknowledge(alert_id="a/b")
    request = far.only_request
    assert ("POST", "/alerts/a%2Fb/ack") == (request.method, request.path)
    assert "Bearer from-the-file" == request.headers["Authorization"]


@pytest.mark.parametrize("given", ["k\n", " k ", '"k"'])
def test_blanks_line_breaks_and_quotes_around_a_key_that_is_given_are_none_of_it(given: str):
    with far_side() as far, TruthVouchClient(given, f" {far.url}/\n", environ={"BRIDGE_CONFIG": "/nowhere"}) as client:
        far.will_answer(204)
        client.alerts.resolve(alert_id="a")
    assert "Bearer k" == far.only_request.headers["Authorization"]


@pytest.mark.parametrize(
    ("argument", "value"),
    [("api_key", "hu\nsh"), ("api_key", "hush\u200b"), ("base_url", "hush"), ("base_url", "https://me:hush@x.example")],
)
def test_an_argument_that_can_never_be_sent_is_refused_at_once_and_named(argument: str, value: str):
    with pytest.raises(ConfigFault, match=f"the arguments: 1 fault\n  {argument}: ") as caught:
        TruthVouchClient(**{argument: value}, environ={"BRIDGE_CONFIG": "/nowhere"})
    assert argument == "base_url" or "hu" not in str(caught.value)


PIPED = """
import json
from truthvouch_pagerduty import TruthVouchClient
with TruthVouchClient("a-key") as client:
    print(json.dumps([alert["id"] for alert in client.alerts.list()]))
"""


def test_a_script_prints_what_it_prints_and_nothing_of_ours(sandbox: Sandbox):
    sandbox.raise_alert("piped")
    environment = {"TRUTHVOUCH_API_URL": f"{sandbox.url}/api/v1", "BRIDGE_CONFIG": "/nowhere"}
    answer = subprocess.run(
        [sys.executable, "-c", PIPED], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (0, "") == (answer.returncode, answer.stderr)
    assert "piped" in json.loads(answer.stdout)
