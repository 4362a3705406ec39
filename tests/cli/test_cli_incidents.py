"""``truthvouch incidents`` against simulated partners: what it prints and how it ends."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.system.sandbox import Sandbox
from tests.test_logs import configured

API_KEY = "rest-key-marker-0000"
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with closing(Sandbox(tmp_path_factory.mktemp("partners"), "http://127.0.0.1:9")) as running:
        yield running


@pytest.fixture
def command(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    for name in os.environ:
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")):
            monkeypatch.delenv(name)
    environment = {
        "BRIDGE_CONFIG": str(tmp_path / "bridge.yaml"),
        "BRIDGE_DATA_DIR": str(tmp_path / "data"),
        "PAGERDUTY_API_URL": sandbox.url,
        "PAGERDUTY_API_KEY": API_KEY,
        "PAGERDUTY_FROM_EMAIL": "oncall@example.com",
        "PAGERDUTY_SERVICE_ID": "PSBXSV2",
    }

    def run(*words: str, **settings: str) -> Result:
        chosen = {name: value or None for name, value in {**environment, **settings}.items()}
        with configured("json", "WARNING"):
            answer = CliRunner().invoke(main, ["incidents", *words], env=chosen)
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        assert API_KEY not in answer.output
        return answer

    return run


def parsed(answer: Result) -> Any:
    assert 0 == answer.exit_code, answer.stderr
    return json.loads(answer.stdout)


def test_an_incident_is_opened_seen_told_and_ended(command: Command, sandbox: Sandbox):
    words = ["--alert", "cli-1", "--detail", "model=example=1", "--field", "kind=x", "--description", "why", "--json"]
    opened = parsed(command("create", "--title", "From the command line", *words))
    assert opened["id"] == parsed(command("create", "--title", "Again", "--alert", "cli-1", "--json"))["id"]
    assert opened["id"] in [row["id"] for row in parsed(command("list", "--json"))]
    assert "From the command line" in command("list").stdout
    notified = parsed(command("notify", opened["id"], "--message", "Look", "--link", "https://tv.example/1", "--json"))
    assert ["responder_request", "note"] == notified["done"]
    acknowledged = command("acknowledge", opened["id"], "--user", "PSBXUS2")
    assert (0, True) == (acknowledged.exit_code, "acknowledged" in acknowledged.stdout)
    assert "resolved" == parsed(command("resolve", opened["id"], "--note", "Fixed", "--json"))["status"]
    assert opened["id"] not in command("list").stdout
    [there] = [one for one in sandbox.state()["incidents"] if one["id"] == opened["id"]]
    assert ["Alert id: cli-1", "Description: why", "Model: example=1"] == there["body"].splitlines()
    assert "Fixed" in [note["content"] for note in there["notes"]]


def test_what_is_not_so_is_exit_code_1(command: Command):
    gone = command("resolve", "QNONE")
    assert (1, "") == (gone.exit_code, gone.stdout)
    assert "not_found" in gone.stderr
    ended = parsed(command("create", "--title", "Ended", "--json"))["id"]
    assert 0 == command("resolve", ended).exit_code
    late = command("acknowledge", ended)
    assert (1, True) == (late.exit_code, "resolved" in late.stdout)
    assert f"{ended} is resolved already, and stays so: PagerDuty would open it again." in late.stderr
    assert "incidents create" in late.stderr
    machines = command("acknowledge", ended, "--json")
    assert (1, "resolved") == (machines.exit_code, json.loads(machines.stdout)["status"])


def test_what_may_have_been_opened_is_reported_with_the_option_to_repeat_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.retrying.RetryPolicy.__call__", lambda _self, call: call())
    dead = command("create", "--title", "t", "--incident-key", "it's mine", PAGERDUTY_API_URL="http://127.0.0.1:9")
    assert 1 == dead.exit_code
    assert """Call again with --incident-key 'it'"'"'s mine'""" in dead.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("create",),
        ("create", "--title", " "),
        ("create", "--title", "t", "--urgency", "medium"),
        ("create", "--title", "t", "--detail", "no value"),
        ("resolve", ".."),
        ("notify", "Q1"),
    ],
)
def test_wrong_use_is_exit_code_2(command: Command, words: tuple[str, ...]):
    assert 2 == command(*words).exit_code


def test_a_missing_credential_is_exit_code_2_and_named(command: Command):
    answer = command("list", PAGERDUTY_API_KEY="")
    assert 2 == answer.exit_code
    assert "PAGERDUTY_API_KEY" in answer.stderr
