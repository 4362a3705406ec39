"""``make run`` without any account: the sandbox starts, a first alert goes through, and all of it can be ended."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.system.conftest import STOP_SECONDS
from tests.system.processes import PYTHON, Tree, free_port
from tests.system.waiting import until


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def serving(tmp_path: Path, port: int) -> Iterator[Tree]:
    """``truthvouch serve`` as ``make run`` starts it, with no credential in sight."""
    environment = {
        "PORT": str(port),
        "BRIDGE_DATA_DIR": str(tmp_path / "data"),
        "BRIDGE_CONFIG": str(tmp_path / "none.yaml"),
    }
    tree = Tree([PYTHON, "-m", "app.cli", "serve"], environment, tmp_path / "serve.log")
    yield tree
    tree.destroy()


def is_done(tree: Tree) -> bool:
    """The addresses come last."""
    return "Ctrl-C" in tree.output() or tree.process.poll() is not None


def end(tree: Tree, number: signal.Signals) -> None:
    """Everything it started goes with it."""
    tree.process.send_signal(number)
    assert 0 == tree.process.wait(STOP_SECONDS)
    until(lambda: tree.members() == {}, "nothing is left", 5, lambda: tree.members())


def test_the_first_alert_pages_somebody_and_its_scenario_is_reported(serving: Tree, port: int):
    until(lambda: is_done(serving), "the first alert", 60, serving.output)
    output = serving.output()
    assert serving.process.poll() is None, output
    assert "Traceback" not in output
    assert [] == [word for word in ("sandbox", "incident", "acknowledged", "resolved") if word not in output.lower()]
    addresses = {address.rstrip(".,") for address in re.findall(r"http://127\.0\.0\.1:\d+/\S*", output)}
    assert f"http://127.0.0.1:{port}/readyz" in addresses
    answers = {address: requests.get(address, timeout=5).status_code for address in addresses}
    assert dict.fromkeys(addresses, 200) == answers
    end(serving, signal.SIGINT)


def test_it_can_be_ended_in_the_middle_of_it(serving: Tree):
    until(lambda: len(serving.members()) > 3, "the sandbox and the bridge were started", 30, serving.output)
    end(serving, signal.SIGTERM)
