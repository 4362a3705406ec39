"""The sandbox as a process: ready line, real sockets, the first alert, and its end."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from app.sandbox.scenarios import bridge_ready, run_first_alert
from tests.sandbox.fake_bridge import FakeBridge

COMMAND = [sys.executable, "-m", "app.sandbox", "--port", "0"]


def _start() -> "subprocess.Popen[str]":
    return subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True)


def _url(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    url: str = json.loads(process.stdout.readline())["sandbox"]
    return url


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with _start() as process:
        try:
            yield _url(process)
        finally:
            process.terminate()


@pytest.fixture
def clean(sandbox: str) -> str:
    _order(sandbox, "/sandbox/reset", {})
    return sandbox


def _order(url: str, path: str, body: dict[str, Any]) -> Any:
    with urlopen(Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})) as answer:
        return json.load(answer)


def test_the_scenario_comes_true_and_is_reported_line_by_line(clean: str) -> None:
    lines: list[str] = []
    with FakeBridge(clean) as bridge:
        _order(clean, "/sandbox/bridge", {"url": bridge.url})

        assert bridge_ready(bridge.url)
        assert run_first_alert(clean, bridge.url, lines.append), lines

    assert lines[0].startswith("SIMULATION")
    assert 5 == sum("✓" in line for line in lines)
    assert "high urgency" in lines[2]
    assert "rolled back" in lines[6]


@pytest.mark.parametrize(("answers", "hint"), [(401, "TRUTHVOUCH_WEBHOOK_SECRETS"), (503, "/readyz"), (202, "worker")])
def test_a_first_alert_that_sticks_says_what_to_look_at(clean: str, answers: int, hint: str) -> None:
    lines: list[str] = []
    with FakeBridge(clean, urgencies={}, answers=answers) as bridge:
        _order(clean, "/sandbox/bridge", {"url": bridge.url})

        assert not run_first_alert(clean, bridge.url, lines.append, step_seconds=0.5)

    assert hint in next(line for line in lines if "✗" in line)


def test_a_medium_alert_that_pages_spoils_it(clean: str) -> None:
    lines: list[str] = []
    with FakeBridge(clean, urgencies={"critical": "high", "medium": "low"}) as bridge:
        _order(clean, "/sandbox/bridge", {"url": bridge.url})

        assert not run_first_alert(clean, bridge.url, lines.append)

    assert "severity_map" in next(line for line in lines if "✗" in line)


def test_a_scenario_without_a_sandbox_is_reported_as_such() -> None:
    lines: list[str] = []

    assert not run_first_alert("http://127.0.0.1:9", "http://127.0.0.1:9", lines.append)
    assert "does not answer" in lines[1]
    assert not bridge_ready("http://127.0.0.1:9", timeout=0.0)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("reset_before", ConnectionResetError), ("reset_after", ConnectionResetError), ("refuse", RemoteDisconnected)],
)
def test_a_fault_really_cuts_the_connection(clean: str, kind: str, fault: type[OSError]) -> None:
    _order(clean, "/sandbox/faults", {"kind": kind, "partner": "pagerduty", "times": 1})
    connection = HTTPConnection(urlsplit(clean).netloc, timeout=5)

    connection.request("GET", "/users/me", headers={"Authorization": "Token token=key"})
    with pytest.raises(OSError) as caught:
        connection.getresponse()
    connection.close()

    assert fault is type(caught.value)


def test_a_partners_answer_has_one_date_header_and_it_is_of_the_partners_clock(clean: str) -> None:
    def hours_ahead(path: str) -> float:
        connection = HTTPConnection(urlsplit(clean).netloc, timeout=5)
        connection.request("GET", path)
        [date] = connection.getresponse().headers.get_all("Date") or []
        connection.close()
        return round((parsedate_to_datetime(date).timestamp() - time.time()) / 3600, 2)

    _order(clean, "/sandbox/settings", {"clocks": {"pagerduty": {"offset_seconds": 7200}}})
    try:
        assert [2, 2, 0, 0] == [
            hours_ahead(path) for path in ("/users/me", "/none", "/api/v1/alerts", "/sandbox/state")
        ]
    finally:
        _order(clean, "/sandbox/settings", {"clocks": {"pagerduty": {"offset_seconds": 0}}})


def test_sigterm_ends_it_at_once_and_cleanly() -> None:
    with _start() as process:
        _url(process)
        began = time.monotonic()
        process.terminate()

        assert 0 == process.wait(timeout=10)
        assert time.monotonic() - began < 3


def test_it_does_not_outlive_whoever_started_it() -> None:
    starter = f"import subprocess, time; subprocess.Popen({COMMAND!r}); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as parent:
        url = _url(parent)
        parent.kill()

        # The sandbox holds the same pipe: its end is the end of the last process that does.
        parent.communicate(timeout=10)
        with pytest.raises(URLError):
            urlopen(f"{url}/sandbox/health", timeout=1)
