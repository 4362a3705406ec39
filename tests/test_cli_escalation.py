"""``truthvouch escalation`` on a real store: what it says, what it stores, and how it ends."""

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.store.marks import StoredMarks
from app.store.vitals import WORKER_SEEN
from tests.climbing import ClimbingRig
from tests.test_logs import configured
from tests.web.test_api import Said

BOOK = """
escalation:
  policy_id: PMGMT
  levels:
    - {level: 1, timeout_minutes: 15, description: the team}
    - {level: 2, timeout_minutes: 90}
"""


class Shell:
    """A shell on the machine of the store."""

    def __init__(self, rig: ClimbingRig, data_dir: Path) -> None:
        self.rig, self.data_dir = rig, data_dir
        self.book = data_dir / "bridge.yaml"
        self.book.write_text(BOOK, "utf-8")

    def run(self, *words: str, **settings: str) -> Result:
        environment = {"BRIDGE_DATA_DIR": str(self.data_dir), "BRIDGE_CONFIG": str(self.book), **settings}
        return CliRunner().invoke(main, ["escalation", *words], env=environment)

    def json(self, *words: str, code: int = 0) -> Any:
        result = self.run(*words, "--json")
        assert code == result.exit_code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    for name in os.environ:
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")):
            monkeypatch.delenv(name)
    rig = ClimbingRig(tmp_path)
    rig.said = Said()
    with configured("json", "WARNING"):
        yield Shell(rig, tmp_path)


@pytest.fixture
def worker(shell: Shell) -> Iterator[None]:
    """A worker lives and takes in what is stored."""
    with shell.rig.database.begin() as tx:
        StoredMarks().put(tx, WORKER_SEEN, datetime.now(UTC).isoformat())
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            shell.rig.intake.take()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_the_list_says_what_is_under_way(shell: Shell) -> None:
    assert "No escalations.\n" == shell.run("list").output
    shell.rig.page()
    (row,) = shell.json("list")
    assert ("Q1", "a1", "running", 1, 2, "PMGMT", "rulebook") == tuple(
        row[name] for name in ("incident_id", "alert_id", "state", "level", "levels", "policy_id", "by")
    )
    assert "2026-05-04 09:15:00Z" in shell.run("list").output


@pytest.mark.usefixtures("worker")
def test_any_incident_is_armed_and_cancelled(shell: Shell) -> None:
    (armed,) = shell.json("arm", "QHAND", "--policy", "PMGMT", "--minutes", "30", "--minutes", "1.5")
    assert "armed" == armed["outcome"]
    assert (30 * 60, 90) == tuple(rung.timeout_seconds for rung in shell.rig.climb("QHAND").course.rungs)
    assert "cancelled" == shell.json("cancel", "QHAND")[0]["outcome"]
    assert "not_armed" == shell.json("cancel", "QHAND", code=1)[0]["outcome"]
    assert "cancelled" == shell.json("list", "--all")[0]["because"]


def test_without_a_worker_it_is_stored_and_said(shell: Shell) -> None:
    result = shell.run("arm", "QHAND", "--minutes", "30")
    assert 0 == result.exit_code
    assert "no worker is running" in result.output


@pytest.mark.parametrize(
    "words", [("arm", "Q1"), ("arm", "Q1", "--minutes", "0"), ("arm", "Q1", "--minutes", "1", "--policy", "P X")]
)
def test_wrong_use_is_told(shell: Shell, words: tuple[str, ...]) -> None:
    assert 2 == shell.run(*words).exit_code


def test_an_id_that_is_none_is_refused(shell: Shell) -> None:
    assert "bad_request" == shell.json("arm", "Q 1", "--minutes", "5", code=1)[0]["outcome"]


# ------------------------------------------------------------------------------------------------- plan


def test_the_plan_of_an_incident_under_way_has_real_times(shell: Shell) -> None:
    shell.rig.page()
    for target in ("Q1", "a1"):
        plan = shell.json("plan", target)
        assert ["2026-05-04T09:15:00+00:00", "2026-05-04T09:45:00+00:00"] == [one["at"] for one in plan["levels"]]
        assert [None, None] == [one["on_call"] for one in plan["levels"]]  # without an API key nobody can tell


def test_the_plan_of_an_alert_to_come_runs_on_a_virtual_clock(shell: Shell, tmp_path: Path) -> None:
    alert = tmp_path / "alert.json"
    alert.write_text(json.dumps({"alertId": "a9", "severity": "critical"}), "utf-8")
    result = shell.run("plan", str(alert))
    assert 0 == result.exit_code, result.output
    assert ["T+15:00", "T+1:45:00"] == [word for word in result.output.split() if word.startswith("T+")]
    assert "put on PMGMT, level 1" in result.output
    assert "raised to level 2 of PMGMT" in result.output


@pytest.mark.parametrize(
    ("alert", "because"),
    [({"alertId": "a9", "severity": "high"}, "low_urgency"), ({"alertId": "a9", "severity": "low"}, "no_incident")],
)
def test_why_an_alert_would_not_be_escalated(shell: Shell, tmp_path: Path, alert: dict[str, str], because: str) -> None:
    (tmp_path / "alert.json").write_text(json.dumps(alert), "utf-8")
    assert because == shell.json("plan", str(tmp_path / "alert.json"), code=1)["because"]


def test_without_levels_the_plan_says_so(shell: Shell, tmp_path: Path) -> None:
    shell.book.write_text("{}", "utf-8")
    (tmp_path / "alert.json").write_text(json.dumps({"alertId": "a9", "severity": "critical"}), "utf-8")
    assert "no_levels" == shell.json("plan", str(tmp_path / "alert.json"), code=1)["because"]


def test_a_plan_of_nothing_known_is_no_plan(shell: Shell, tmp_path: Path) -> None:
    assert 1 == shell.run("plan", "nobody").exit_code
    assert 2 == shell.run("plan", str(tmp_path / "missing.json")).exit_code
    (tmp_path / "bad.json").write_text("[]", "utf-8")
    assert 2 == shell.run("plan", str(tmp_path / "bad.json")).exit_code


# ------------------------------------------------------------------------------------------------- drill

CREDENTIALS = {"PAGERDUTY_API_KEY": "k", "PAGERDUTY_FROM_EMAIL": "a@example.com", "PAGERDUTY_SERVICE_ID": "P1"}


def test_a_drill_without_a_worker_pages_nobody(shell: Shell) -> None:
    result = shell.run("drill", "--yes", **CREDENTIALS, PAGERDUTY_API_URL="http://127.0.0.1:9")
    assert 1 == result.exit_code
    assert "No worker is running" in result.output


@pytest.mark.usefixtures("worker")
def test_a_drill_that_pagerduty_does_not_open_pages_nobody(shell: Shell) -> None:
    result = shell.run("drill", "--yes", **CREDENTIALS, PAGERDUTY_API_URL="http://127.0.0.1:9")
    assert 2 == result.exit_code
    assert "Nobody was paged" in result.output


def test_a_drill_asks_before_it_pages(shell: Shell) -> None:
    result = shell.run("drill", **CREDENTIALS, PAGERDUTY_API_URL="http://127.0.0.1:9")
    assert 1 == result.exit_code
    assert "This pages whoever is on call on policy PMGMT" in result.output


@pytest.mark.parametrize("missing", CREDENTIALS)
def test_a_drill_says_what_it_needs(shell: Shell, missing: str) -> None:
    result = shell.run("drill", "--yes", **{name: word for name, word in CREDENTIALS.items() if name != missing})
    assert 2 == result.exit_code
    assert missing in result.output
