"""``truthvouch escalation`` on a real store: what it says, what it stores, and how it ends."""

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from app.cli import main
from app.domain.rules.rulebook import Origin, Rulebook, Silence
from app.store.database import StoredKeyValues
from app.store.health import WORKER_SEEN
from app.store.schema import inbox
from app.store.stored_rules import RulesInStore
from tests.escalation_rig import EscalationRig
from tests.far_side import FarSide, far_side
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

    def __init__(self, rig: EscalationRig, data_dir: Path) -> None:
        self.rig, self.data_dir = rig, data_dir
        self.book = data_dir / "bridge.yaml"
        self.book.write_text(BOOK, "utf-8")

    def run(self, *words: str, **settings: str) -> Result:
        environment = {"BRIDGE_DATA_DIR": str(self.data_dir), "BRIDGE_CONFIG": str(self.book), **settings}
        return CliRunner().invoke(main, ["escalation", *words], env=environment)

    def stored_commands(self) -> int:
        """How many commands were stored."""
        with self.rig._inbox.connect() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(inbox)).scalar_one()

    def json(self, *words: str, code: int = 0) -> Any:
        result = self.run(*words, "--json")
        assert code == result.exit_code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    for name in os.environ:
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")):
            monkeypatch.delenv(name)
    rig = EscalationRig(tmp_path)
    rig.said = Said()
    with configured("json", "WARNING"):
        yield Shell(rig, tmp_path)


@pytest.fixture
def worker(shell: Shell) -> Iterator[None]:
    """A worker lives and takes in what is stored."""
    with shell.rig.database.begin() as tx:
        StoredKeyValues().put(tx, WORKER_SEEN, datetime.now(UTC).isoformat())
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
    assert (30 * 60, 90) == tuple(level.timeout_seconds for level in shell.rig.escalation("QHAND").plan.levels)
    assert "cancelled" == shell.json("cancel", "QHAND")[0]["outcome"]
    assert "not_armed" == shell.json("cancel", "QHAND", code=1)[0]["outcome"]
    assert "cancelled" == shell.json("list", "--all")[0]["because"]


@pytest.mark.usefixtures("worker")
def test_the_next_level_comes_now(shell: Shell) -> None:
    shell.rig.page()
    assert "hurried" == shell.json("now", "Q1")[0]["outcome"]
    escalation = shell.rig.escalation("Q1")
    assert escalation.due_at is not None
    assert escalation.due_at <= datetime.now(UTC)
    (second,) = shell.json("now", "Q1", "--moves", "0")
    assert ("already_asked", True) == (second["outcome"], second["message"].startswith("Already asked for by "))
    assert "not_armed" == shell.json("now", "QHAND", code=1)[0]["outcome"]


def test_without_a_worker_it_is_stored_and_said(shell: Shell) -> None:
    result = shell.run("arm", "QHAND", "--minutes", "30")
    assert 0 == result.exit_code
    assert "no worker is running" in result.output


@pytest.mark.parametrize(
    "words", [("arm", "Q1"), ("arm", "Q1", "--minutes", "0"), ("arm", "Q1", "--minutes", "1", "--policy", "P X")]
)
def test_wrong_use_is_reported(shell: Shell, words: tuple[str, ...]) -> None:
    assert 2 == shell.run(*words).exit_code


def test_an_id_that_is_none_is_refused(shell: Shell) -> None:
    assert "bad_request" == shell.json("arm", "Q 1", "--minutes", "5", code=1)[0]["outcome"]


# ------------------------------------------------------------------------------------- what PagerDuty knows

KEY = {"PAGERDUTY_API_KEY": "k"}
NOWHERE = {**KEY, "PAGERDUTY_API_URL": "http://127.0.0.1:9"}


@pytest.fixture
def pagerduty() -> Iterator[FarSide]:
    with far_side() as far:
        yield far


def knows(pagerduty: FarSide, *words: str) -> None:
    """It answers the next questions: an incident, a policy, or neither."""
    answer = {
        "incident": (200, {"incident": {"id": "Q16", "incident_number": 16, "status": "triggered"}}),
        "policy": (200, {"escalation_policy": {"id": "PMGMT", "name": "Managers", "escalation_rules": []}}),
        "nothing": (404, {"error": {"code": 2100, "message": "Not Found"}}),
    }
    for word in words:
        pagerduty.will_answer(*answer[word])


@pytest.mark.usefixtures("worker")
def test_a_number_arms_and_cancels_the_incident_under_its_id(shell: Shell, pagerduty: FarSide) -> None:
    there = {**KEY, "PAGERDUTY_API_URL": pagerduty.url}
    for named in ("16", "#16", "Q16"):
        knows(pagerduty, "incident", "policy")
        (armed,) = json.loads(shell.run("arm", named, "--minutes", "30", "--policy", "PMGMT", "--json", **there).stdout)
        assert ("Q16", "armed") == (armed["subject"], armed["outcome"])
    assert ["Q16"] == [row["incident_id"] for row in shell.json("list")]
    knows(pagerduty, "incident", "incident")
    assert "Q16" in shell.run("plan", "16", **there).output
    knows(pagerduty, "incident")
    assert 0 == shell.run("cancel", "16", **there).exit_code
    assert [] == shell.json("list")


@pytest.mark.parametrize(
    ("answers", "outcome"), [(["nothing"], "not_found"), (["incident", "nothing"], "policy_not_found")]
)
def test_what_pagerduty_does_not_know_is_not_armed(
    shell: Shell, pagerduty: FarSide, answers: list[str], outcome: str
) -> None:
    there = {**KEY, "PAGERDUTY_API_URL": pagerduty.url}
    words = ("arm", "nosuch", "--minutes", "30", "--policy", "PNOPE")
    knows(pagerduty, *answers, *answers)
    result = shell.run(*words, "--json", **there)
    assert (1, outcome) == (result.exit_code, json.loads(result.stdout)[0]["outcome"])
    assert "Its id is the end of its address" in shell.run(*words, **there).stdout
    assert 0 == shell.stored_commands()


@pytest.mark.parametrize("named", ["16", "#16"])
@pytest.mark.parametrize("settings", [{}, NOWHERE])
def test_a_number_nobody_can_look_up_is_refused(shell: Shell, named: str, settings: dict[str, str]) -> None:
    result = shell.run("arm", named, "--minutes", "30", **settings)
    assert 1 == result.exit_code
    assert "Give its id" in result.stdout
    assert 0 == shell.stored_commands()


def test_an_id_is_armed_while_pagerduty_is_silent_and_that_is_said(shell: Shell) -> None:
    result = shell.run("arm", "Q16", "--minutes", "30", **NOWHERE)
    assert 0 == result.exit_code
    assert "could not be checked" in result.stderr
    assert 1 == shell.stored_commands()


# ------------------------------------------------------------------------------------------------- plan


def test_the_plan_of_an_incident_under_way_has_real_times(shell: Shell) -> None:
    shell.rig.page()
    for target in ("Q1", "a1", "1", "#1"):
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


def test_a_silence_in_the_store_is_part_of_the_plan(shell: Shell, tmp_path: Path) -> None:
    alert = tmp_path / "alert.json"
    alert.write_text(json.dumps({"alertId": "a9", "severity": "critical"}), "utf-8")
    silence = Silence("drill", "true", "dana", "drill", datetime.now(UTC) + timedelta(hours=1), origin=Origin.STORE)
    with shell.rig.database.begin() as tx:
        RulesInStore().put_silence(tx, silence)
    assert "No incident: drill gives it urgency none." == shell.run("plan", str(alert)).stdout.strip()


def test_without_levels_the_plan_says_so(shell: Shell, tmp_path: Path) -> None:
    shell.book.write_text("{}", "utf-8")
    (tmp_path / "alert.json").write_text(json.dumps({"alertId": "a9", "severity": "critical"}), "utf-8")
    assert "no_levels" == shell.json("plan", str(tmp_path / "alert.json"), code=1)["because"]


def test_an_incident_that_is_not_escalated_is_known_all_the_same(shell: Shell) -> None:
    shell.rig.rulebook.rulebook = Rulebook()
    shell.rig.page()
    for target in ("a1", "Q1", "1", "#1"):
        plan = shell.json("plan", target, code=1)
        assert ("a1", "Q1", "not_armed") == (plan["alert_id"], plan["incident_id"], plan["because"])
    result = shell.run("plan", "2")
    assert 1 == result.exit_code
    assert "truthvouch links list" in result.stderr


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
def test_a_drill_up_a_policy_that_is_none_opens_nothing(shell: Shell, pagerduty: FarSide) -> None:
    knows(pagerduty, "nothing", "nothing")
    there = {**CREDENTIALS, "PAGERDUTY_API_URL": pagerduty.url}
    result = shell.run("drill", "--yes", "--policy", "PNOPE", **there)
    assert 1 == result.exit_code
    assert "Nothing was opened with PNOPE, and nobody was paged" in result.stdout
    result = shell.run("drill", "--yes", "--policy", "PNOPE", "--json", **there)
    assert {"outcome": "policy_not_found", "passed": False, "steps": []} == json.loads(result.stdout)
    assert ["GET", "GET"] == [request.method for request in pagerduty.requests]
    assert 0 == shell.stored_commands()


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
