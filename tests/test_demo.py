"""``truthvouch demo``: its children end with it however it ends, and its chaos run judges honestly."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from click.testing import CliRunner

from app import demo as demonstration
from app.cli import main
from app.sandbox.chaos_run import is_well, verdict
from app.sandbox.scenarios import Figures, ScenarioCheck
from tests.system.processes import PYTHON, ROOT, Tree, free_port, kill
from tests.system.sandbox import Sandbox
from tests.system.signing import key_of
from tests.system.waiting import until

StartDemo = Callable[..., Tree]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[StartDemo]:
    """``truthvouch demo`` with these options; whatever is left of it is ended."""
    started: list[Tree] = []

    def start(*options: str) -> Tree:
        environment = {"PORT": str(free_port()), "BRIDGE_DATA_DIR": str(tmp_path / "data")}
        started.append(Tree([PYTHON, "-m", "app.cli", "demo", *options], environment, tmp_path / "demo.log"))
        return started[-1]

    yield start
    for tree in started:
        tree.destroy()


def says(tree: Tree, words: str) -> bool:
    return words in tree.output() or tree.process.poll() is not None


@pytest.mark.system
def test_a_killed_demo_leaves_nothing_running(demo: StartDemo):
    tree = demo("--no-first-alert")
    until(lambda: says(tree, "Ctrl-C"), "it runs", 60, tree.output)
    assert len(tree.members()) > 4
    kill(tree.pid)
    until(lambda: tree.members() == {}, "nothing is left", 30, lambda: str(tree.members()))


@pytest.mark.system
def test_the_demo_says_how_to_look_behind_it(demo: StartDemo):
    tree = demo()
    until(lambda: says(tree, "Ctrl-C"), "it runs", 60, tree.output)
    [(settings, words)] = re.findall(r"Look behind it +((?:[A-Z_]+=\S+ )+)truthvouch (timeline '#1')", tree.output())
    command = [str(PYTHON), "-m", "app.cli", *shlex.split(words)]
    environment = {"PATH": os.environ["PATH"], **dict(one.split("=", 1) for one in shlex.split(settings))}
    assert {"PORT", "BRIDGE_DATA_DIR", "BRIDGE_CONFIG", "PATH"} == environment.keys()
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert "The bridge resolved the alert at TruthVouch." in answer.stdout, answer.stderr
    [sandbox] = re.findall(r"The simulation +(http://127\.0\.0\.1:\d+)/", tree.output())
    [medium, _] = requests.get(f"{sandbox}/sandbox/state", timeout=10).json()["alerts"]
    said = requests.get(f"{sandbox}/sandbox/bridge/alerts/{medium['id']}", timeout=10).json()
    assert "No incident: the severity map says so." == said["decided"]


@pytest.mark.parametrize(
    ("called", "found", "command"),
    [
        (".venv/bin/truthvouch", None, ".venv/bin/truthvouch"),
        (".venv/bin/truthvouch", "/usr/bin/truthvouch", "truthvouch"),
        ("app/cli/__main__.py", None, "truthvouch"),
    ],
)
def test_the_command_is_one_that_the_shell_finds(
    monkeypatch: pytest.MonkeyPatch, called: str, found: str | None, command: str
):
    """``make run`` calls ``.venv/bin/truthvouch``, which is on nobody's path."""
    monkeypatch.setattr("sys.argv", [called, "serve"])
    monkeypatch.setattr("shutil.which", lambda _name: found)
    environment = {"PORT": "8080", "BRIDGE_DATA_DIR": "a folder"}
    running = demonstration.Running(
        cast(Any, None), "http://127.0.0.1:8080", "", Path("bridge.log"), False, environment
    )
    monkeypatch.setenv("DATABASE_URL", "postgresql://")
    assert f"env -u DATABASE_URL PORT=8080 BRIDGE_DATA_DIR='a folder' {command}" == demonstration._cli(running)


@pytest.mark.system
def test_the_incident_of_the_demo_carries_an_evidence_link_that_opens(demo: StartDemo):
    tree = demo()
    until(lambda: says(tree, "Ctrl-C"), "it runs", 60, tree.output)
    [sandbox] = re.findall(r"The simulation +(http://127\.0\.0\.1:\d+)/", tree.output())
    [incident] = requests.get(f"{sandbox}/sandbox/state", timeout=10).json()["incidents"]
    [link] = re.findall(r"Evidence link: (http://127\.0\.0\.1:\d+/e/\S+)", incident["body"])
    page = requests.get(link, timeout=10)
    assert (200, "no-store") == (page.status_code, page.headers["Cache-Control"])
    assert f"Incident #{incident['incident_number']}" in page.text


@pytest.mark.system
def test_the_demo_leads_to_the_console(demo: StartDemo):
    tree = demo()
    until(lambda: says(tree, "Ctrl-C"), "it runs", 60, tree.output)
    [(base, link)] = re.findall(r"The console +(http://127\.0\.0\.1:\d+)(/console/link/\S+)", tree.output())
    browser = requests.Session()
    [token] = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get(base + link, timeout=10).text)
    page = browser.post(base + link, data={"csrf_token": token}, timeout=10)
    assert (200, f"{base}/console/") == (page.status_code, page.url)
    assert "Alerts and incidents" in page.text
    again = requests.Session()
    [token] = re.findall(r'name="csrf_token" value="([^"]+)"', again.get(base + link, timeout=10).text)
    assert 403 == again.post(base + link, data={"csrf_token": token}, timeout=10).status_code, "it works once"


@pytest.mark.system
def test_a_chaos_run_kills_the_worker_and_ends_with_a_verdict(demo: StartDemo):
    tree = demo("--chaos", "--seconds", "9", "--seed", "5")
    assert 0 == tree.process.wait(150), tree.output()
    said = tree.output()
    assert "seed 5" in said
    assert "Nothing was lost, nothing was doubled, and both sides agree about every alert." in said
    assert int(re.findall(r"kills +(\d+)", said)[-1]) >= 1, said
    assert int(re.findall(r"raised +(\d+)", said)[-1]) >= 3, said
    assert {} == tree.members()


@pytest.mark.system
def test_ctrl_c_ends_the_trouble_and_judges(demo: StartDemo):
    tree = demo("--chaos")
    until(lambda: says(tree, "raised"), "figures", 60, tree.output)
    tree.process.send_signal(signal.SIGINT)
    assert 0 == tree.process.wait(120), tree.output()
    assert "both sides agree about every alert" in tree.output()


@pytest.mark.parametrize(
    ("named", "taken", "tried"),
    [("", False, ["9100"]), ("", True, ["0"]), ("", None, ["9100", "0"]), ("9222", False, ["9222"])],
)
def test_the_simulation_is_at_its_usual_port_where_that_is_free(
    monkeypatch: pytest.MonkeyPatch, named: str, taken: bool | None, tried: list[str]
):
    """None: it is taken a moment after somebody looked."""
    asked: list[str] = []

    def start(_root: Path, bridge_url: str, port: str) -> tuple[None, str]:
        asked.append(port)
        if taken is None and port != "0":
            raise RuntimeError("the sandbox did not start")
        return None, bridge_url

    monkeypatch.setenv("SANDBOX_PORT", named)
    monkeypatch.setattr(demonstration, "listen_problem", lambda _host, _port: "in use" if taken else "")
    monkeypatch.setattr(demonstration, "_start_sandbox", start)
    demonstration._sandbox(ROOT, "http://127.0.0.1:1")
    assert tried == asked


def test_options_of_the_chaos_run_need_a_chaos_run():
    answer = CliRunner().invoke(main, ["demo", "--seconds", "5"])
    assert 2 == answer.exit_code
    assert "--chaos" in answer.output


WELL = Figures(
    raised=9, paged=8, agree=8, unpaged=0, doubled=0, waiting=0, undelivered=0, kills=2, repeated=1, writes=20
)


@pytest.mark.parametrize(
    ("wrong", "word"), [({"unpaged": 1}, "LOST"), ({"doubled": 2}, "DOUBLED"), ({"agree": 7}, "APART")]
)
def test_the_verdict_can_be_no(wrong: dict[str, Any], word: str):
    assert is_well(WELL, every_alert_pages=True)
    assert not is_well(replace(WELL, **wrong), every_alert_pages=True)
    assert word in " ".join(verdict(replace(WELL, **wrong), 3.0, every_alert_pages=True))


def test_with_rules_of_ones_own_an_alert_without_an_incident_is_no_loss():
    assert is_well(replace(WELL, unpaged=3), every_alert_pages=False)
    assert "LOST" not in " ".join(verdict(replace(WELL, unpaged=3), 3.0, every_alert_pages=False))


def test_a_line_of_figures_fits_any_terminal():
    """A longer one would leave a line behind whenever the next is written over it."""
    many = Figures(
        raised=9999, paged=9999, agree=9999, unpaged=0, doubled=0, waiting=9999, undelivered=0, kills=999, repeated=999,
        writes=0,
    )  # fmt: skip
    assert len(many.line()) < 80


def test_a_verdict_before_it_was_quiet_says_so():
    assert "not quiet" in verdict(WELL, None, every_alert_pages=True)[0]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("partners"), "http://127.0.0.1:9")
    yield sandbox
    sandbox.close()


def test_the_check_counts_what_it_sees(sandbox: Sandbox):
    check = ScenarioCheck(sandbox.url, "http://127.0.0.1:9")
    for alert_id in ("paged", "apart", "unpaged", "over"):
        sandbox.raise_alert(alert_id, deliver=0)
    sandbox.at_truthvouch("over", "dismiss", deliver=0)
    sandbox.at_truthvouch("apart", "acknowledge", deliver=0)
    for alert_id in ("paged", "apart"):
        _open_as_a_bridge(sandbox, alert_id)
    figures = check.measure(kills=3)
    seen = (figures.raised, figures.paged, figures.agree, figures.unpaged, figures.doubled, figures.kills)
    assert (4, 2, 1, 1, 0, 3) == seen
    assert (None, 0) == (figures.waiting, figures.repeated)


def test_the_check_notices_a_change_made_twice(sandbox: Sandbox):
    check = ScenarioCheck(sandbox.url, "http://127.0.0.1:9")
    sandbox.raise_alert("twice", deliver=0)
    for _ in range(2):
        _send_to_truthvouch(sandbox, "twice", "acknowledged")
    assert 1 == check.measure(0).repeated
    check.forget("twice")
    _send_to_truthvouch(sandbox, "twice", "acknowledged")
    assert 1 == check.measure(0).repeated


def _open_as_a_bridge(sandbox: Sandbox, alert_id: str) -> None:
    incident = {
        "type": "incident",
        "title": alert_id,
        "service": {"id": "PSANDBX", "type": "service_reference"},
        "incident_key": key_of(alert_id),
    }
    headers = {"Authorization": "Token token=key", "From": "oncall@example.com"}
    answer = requests.post(f"{sandbox.url}/incidents", json={"incident": incident}, headers=headers, timeout=10)
    assert answer.status_code == 201, answer.text


def _send_to_truthvouch(sandbox: Sandbox, alert_id: str, status: str) -> None:
    url, headers = f"{sandbox.url}/api/v1/alerts/{alert_id}", {"X-API-Key": "key"}
    assert requests.patch(url, json={"status": status}, headers=headers, timeout=10).ok
