"""Nothing starts on a broken configuration, and everything wrong with it is said at once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app import metrics, startup


def test_the_faults_of_environment_and_file_are_told_together(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("no_such_key: 1\nseverity_map: {critical: loud}\n", "utf-8")
    words = startup.faults({"PORT": "eighty", "PAGERDUTY_REGION": "moon", "BRIDGE_CONFIG": str(file)})
    assert [] == [name for name in ("PORT", "PAGERDUTY_REGION", "no_such_key", "severity_map") if name not in words]


def test_a_configuration_without_faults_says_nothing(tmp_path: Path):
    assert "" == startup.faults({"BRIDGE_CONFIG": str(tmp_path / "absent.yaml")})


def run(tmp_path: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "BRIDGE_DATA_DIR": str(tmp_path / "data"), **environ}
    command = [sys.executable, "-m", "app.startup"]
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


@pytest.mark.parametrize("data_dir", ["data", "data/inside"])
def test_a_data_directory_that_is_a_file_is_said_in_words(tmp_path: Path, data_dir: str):
    (tmp_path / "data").touch()
    done = run(tmp_path, BRIDGE_DATA_DIR=str(tmp_path / data_dir))
    assert (2, "") == (done.returncode, done.stdout)
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
