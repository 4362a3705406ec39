"""Nothing starts on a broken configuration, and everything wrong with it is said at once."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app import metrics
from app.process import startup


def test_the_faults_of_environment_and_file_are_reported_together(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("no_such_key: 1\nseverity_map: {critical: loud}\n", "utf-8")
    words = startup.faults({"PORT": "eighty", "PAGERDUTY_REGION": "moon", "BRIDGE_CONFIG": str(file)})
    assert [] == [name for name in ("PORT", "PAGERDUTY_REGION", "no_such_key", "severity_map") if name not in words]


def test_a_configuration_without_faults_says_nothing(tmp_path: Path):
    assert "" == startup.faults({"BRIDGE_CONFIG": str(tmp_path / "absent.yaml")})


def run(tmp_path: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "BRIDGE_DATA_DIR": str(tmp_path / "data"), **environ}
    command = [sys.executable, "-m", "app.process.startup"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_fault_ends_it_with_status_2_and_no_stack(tmp_path: Path):
    done = run(tmp_path, PORT="eighty")
    assert (2, "") == (done.returncode, done.stdout)
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_without_faults_the_stores_are_prepared(tmp_path: Path):
    assert 0 == run(tmp_path).returncode
    assert (tmp_path / "data" / "inbox.db").exists()


def remarks(output: str) -> list[tuple[str, str, str]]:
    """Level, event and the first word of what a start said about the settings."""
    lines = [json.loads(line) for line in output.splitlines()]
    return [(line["level"], line["event"], line["message"].partition(":")[0]) for line in lines if "message" in line]


def test_a_start_says_once_and_loudly_which_credentials_are_missing(tmp_path: Path):
    said = remarks(run(tmp_path, LOG_FORMAT="json", PAGERDUTY_API_KEY="k", TRUTHVOUCH_API_KEY="k").stdout)
    expected = ["TRUTHVOUCH_WEBHOOK_SECRETS", "PAGERDUTY_WEBHOOK_SECRETS", "PAGERDUTY_FROM_EMAIL"]
    expected += ["PAGERDUTY_SERVICE_ID (or pagerduty.service_id in bridge.yaml)"]
    assert [("error", "setting.missing", name) for name in expected] == said


def test_a_start_says_what_works_only_in_part_and_knows_the_file(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("pagerduty: {webhook_secrets: [s], integration_key: k}\n", "utf-8")
    said = remarks(
        run(
            tmp_path, LOG_FORMAT="json", BRIDGE_CONFIG=str(file), TRUTHVOUCH_API_KEY="k", TRUTHVOUCH_WEBHOOK_SECRETS="s"
        ).stdout
    )
    assert [("warning", "setting.works_in_part")] == [remark[:2] for remark in said]


def test_a_start_names_a_rule_that_asks_for_a_misspelt_word(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("rules:\n  - {name: r, trigger: 'confidnce < 0.5', action: {type: suppress}}\n", "utf-8")
    lines = [json.loads(line) for line in run(tmp_path, LOG_FORMAT="json", BRIDGE_CONFIG=str(file)).stdout.splitlines()]
    said = [line["message"] for line in lines if line["event"] == "rule.misspelt"]
    assert ["rules: 'r' names confidnce, a field no alert is known to have; did you mean confidence?"] == said


@pytest.mark.parametrize("data_dir", ["data", "data/inside"])
def test_a_data_directory_that_is_a_file_is_said_in_words(tmp_path: Path, data_dir: str):
    (tmp_path / "data").touch()
    done = run(tmp_path, BRIDGE_DATA_DIR=str(tmp_path / data_dir))
    assert 2 == done.returncode
    assert {"setting.missing"} >= {event for _, event, _ in remarks(done.stdout)} - {"setting.works_in_part"}
    assert "Traceback" not in done.stderr
    assert "cannot be made" in done.stderr
    assert f"Check BRIDGE_DATA_DIR ({tmp_path / data_dir})." in done.stderr


@pytest.mark.parametrize("first", [metrics.prepare, metrics.join])
def test_whoever_makes_the_data_directory_makes_it_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Callable[[Path], None]
):
    """Some processes count before they open the store."""
    monkeypatch.setenv(metrics.FOLDER_VARIABLE, "before")
    monkeypatch.delenv(metrics.FOLDER_VARIABLE)
    first(tmp_path / "data")
    assert 0o700 == (tmp_path / "data").stat().st_mode & 0o777


def test_a_port_that_is_taken_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(startup.Refused) as refusal:
            startup.check_listening(False, [("127.0.0.1", port)])
    assert f"Port {port} is in use: stop what listens there, or set PORT to another one." == str(refusal.value)
    assert 1 == refusal.value.status
    startup.check_listening(False, [("127.0.0.1", port), "unix:/tmp/x", 3])


def test_an_address_of_another_machine_is_one_sentence():
    assert "192.0.2.1 is no address of this machine" in startup.listen_problem("192.0.2.1", 0)


def test_tls_is_left_to_a_proxy():
    with pytest.raises(startup.Refused, match="proxy"):
        startup.check_listening(True, [])
