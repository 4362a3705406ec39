"""``truthvouch config pagerduty``: what it writes, what it proves against simulated partners, what it never says."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.config.bridge_yaml import load
from app.config.schema import held_in
from app.config.settings import Settings
from tests.system.processes import PYTHON, ROOT
from tests.system.sandbox import Sandbox
from tests.system.waiting import until
from tests.test_logs import configured

INTEGRATION_KEY = "sandboxsandboxsandboxsandbox0000"
API_KEY, TRUTHVOUCH_KEY = "rest-api-key-marker-7788", "tv_test_key-marker-9900"
SECRETS = (INTEGRATION_KEY, API_KEY, TRUTHVOUCH_KEY)
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What whoever runs the tests has set is not ours; a command configures the log of its process, which is ours."""
    for name in os.environ:
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")):
            monkeypatch.delenv(name)
    with configured("json", "WARNING"):
        yield


class Shell:
    """A shell in a folder of its own, with an environment of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.config = folder / "bridge.yaml"
        self.environment = {
            "BRIDGE_CONFIG": str(self.config),
            "BRIDGE_DATA_DIR": str(folder / "data"),
            "PAGERDUTY_API_URL": NOBODY,
            "PAGERDUTY_EVENTS_URL": NOBODY,
            "TRUTHVOUCH_API_URL": f"{NOBODY}/api/v1",
            **environment,
        }

    def pagerduty(self, *words: str, code: int = 0, stdin: str = "", **more: str) -> Result:
        environment = {**self.environment, **more}
        result = CliRunner().invoke(main, ["config", "pagerduty", *words], input=stdin, env=environment)
        assert code == result.exit_code, result.output
        assert [] == [secret for secret in SECRETS if secret in result.output]
        return result

    def tested(self, code: int = 0, **more: str) -> dict[str, tuple[str, str]]:
        """By check: state and code of its first finding that is not fine, else of its first."""
        answer = json.loads(self.pagerduty("--test", "--json", code=code, **more).stdout)
        assert answer["well"] is (code == 0)
        found: dict[str, tuple[str, str]] = {}
        for check in answer["checks"]:
            if found.get(check["check"], ("fine", ""))[0] == "fine":
                found[check["check"]] = (check["state"], check["code"])
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


# ------------------------------------------------------------------------------------------------ writing


def test_it_works_as_the_page_says(shell: Shell):
    said = shell.pagerduty("--integration-key", INTEGRATION_KEY, "--service-id", "pxxxxx").output
    assert "pagerduty.integration_key: ****0000" in said
    assert "pagerduty.service_id: 'pxxxxx'" in said
    assert 0o600 == stat.S_IMODE(shell.config.stat().st_mode)
    settings = Settings.from_env(shell.environment)
    assert INTEGRATION_KEY == settings.pagerduty.integration_key
    assert "pxxxxx" == settings.over(load(shell.config)).service_id
    assert settings.has_partner_credentials
    assert () == tuple(words for words in settings.missing(load(shell.config)) if "INTEGRATION" in words)
    assert "unchanged" in shell.pagerduty("--integration-key", INTEGRATION_KEY, "--service-id", "pxxxxx").output


def test_everything_that_can_be_set_is_set(shell: Shell):
    shell.config.write_text("# ours\npagerduty:\n  webhook_secrets:\n    - the-old-one  # 2025\nrules: []\n")
    values = {
        "--api-key": API_KEY, "--from-email": "bridge@example.com", "--region": "eu", "--via": "events",
        "--escalation-policy-id": "PEP1", "--webhook-secret": "the-new-one",
    }  # fmt: skip
    shell.pagerduty(*(word for pair in values.items() for word in pair))
    held, rulebook = held_in(shell.config), load(shell.config)
    assert (API_KEY, "bridge@example.com") == (held["pagerduty.api_key"], held["pagerduty.from_email"])
    assert ("the-new-one", "the-old-one") == held["pagerduty.webhook_secrets"]
    assert ("eu", "events", "PEP1") == (rulebook.region, rulebook.via, rulebook.escalation_policy_id)
    assert shell.config.read_text().startswith("# ours\npagerduty:\n")
    assert API_KEY not in repr(rulebook) + repr(Settings.from_env(shell.environment)) + rulebook.version


def test_the_environment_beats_the_file_and_that_is_said(shell: Shell):
    said = shell.pagerduty(
        "--integration-key", INTEGRATION_KEY, "--service-id", "P1", PAGERDUTY_SERVICE_ID="P2", PAGERDUTY_API_KEY="x"
    ).output
    assert "PAGERDUTY_SERVICE_ID is set in the environment and beats pagerduty.service_id" in said
    assert "PAGERDUTY_API_KEY" not in said
    settings = Settings.from_env({**shell.environment, "PAGERDUTY_INTEGRATION_KEY": "from-outside"})
    assert "from-outside" == settings.pagerduty.integration_key


def test_a_dash_reads_from_standard_input(shell: Shell):
    stdin = f"{INTEGRATION_KEY}\n{API_KEY}\n"
    shell.pagerduty("--integration-key", "-", "--service-id", "P1", "--api-key", "-", stdin=stdin)
    held = held_in(shell.config)
    assert (INTEGRATION_KEY, API_KEY) == (held["pagerduty.integration_key"], held["pagerduty.api_key"])
    shell.pagerduty("--api-key", "-", stdin="", code=2)
    shell.pagerduty("--service-id", "", code=2)
    assert API_KEY == held_in(shell.config)["pagerduty.api_key"]


def test_nothing_to_do_is_wrong_use(shell: Shell):
    assert "--test" in shell.pagerduty(code=2).output
    assert not shell.config.exists()


@pytest.mark.parametrize("text", ["rules: 7\n", "pagerduty: [\n"])
def test_a_broken_file_is_refused_and_left(shell: Shell, text: str):
    shell.config.write_text(text)
    assert "left as it is" in shell.pagerduty("--service-id", "P1", code=2).output
    assert text == shell.config.read_text()
    shell.pagerduty("--test", code=2)


def test_an_impossible_value_is_refused(shell: Shell):
    assert "e-mail" in shell.pagerduty("--from-email", "nobody", code=2).output
    assert not shell.config.exists()


def test_a_folder_that_takes_no_file_is_reported(shell: Shell):
    """Root, who runs the tests in many places, may write into a read-only folder: so it is one that cannot be."""
    (shell.config.parent / "file").write_text("")
    for place in ("nowhere/bridge.yaml", "file/bridge.yaml"):
        elsewhere = str(shell.config.parent / place)
        assert "cannot be changed" in shell.pagerduty("--service-id", "P1", code=2, BRIDGE_CONFIG=elsewhere).output


def test_json_tells_what_changed(shell: Shell):
    answer = json.loads(shell.pagerduty("--service-id", "P1", "--json", PAGERDUTY_SERVICE_ID="P2").stdout)
    assert {"pagerduty.service_id": "PAGERDUTY_SERVICE_ID"} == answer["overridden"]
    assert ["pagerduty.service_id: 'P1'"] == answer["changed"]


def test_keys_that_others_can_read_are_reported(shell: Shell):
    def checked() -> str:
        return CliRunner().invoke(main, ["config", "check"], env=shell.environment).output

    shell.pagerduty("--integration-key", INTEGRATION_KEY, "--service-id", "P1")
    assert "exposed" not in checked()
    shell.config.chmod(0o644)
    assert "chmod 600" in checked()
    shell.config.write_text("pagerduty: {service_id: P1}\n")
    assert "exposed" not in checked()


# ------------------------------------------------------------------------------------------------ testing


@pytest.fixture(scope="module")
def partners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Simulated partners for this module. No bridge listens where their webhooks go."""
    sandbox = Sandbox(tmp_path_factory.mktemp("partners"), NOBODY)
    yield sandbox
    sandbox.close()


@pytest.fixture
def real(partners: Sandbox, tmp_path: Path) -> Shell:
    """A shell whose configuration is right, and partners who behave."""
    partners.post("reset")
    return Shell(
        tmp_path,
        PAGERDUTY_API_URL=partners.url,
        PAGERDUTY_EVENTS_URL=partners.url,
        TRUTHVOUCH_API_URL=f"{partners.url}/api/v1",
        PAGERDUTY_API_KEY=API_KEY,
        PAGERDUTY_FROM_EMAIL="oncall@example.com",
        PAGERDUTY_INTEGRATION_KEY=INTEGRATION_KEY,
        PAGERDUTY_SERVICE_ID="PSANDBX",
        TRUTHVOUCH_API_KEY=TRUTHVOUCH_KEY,
    )


def incidents(partners: Sandbox) -> list[tuple[str, str, str]]:
    return [(one["title"], one["status"], one["urgency"]) for one in partners.state()["incidents"]]


TITLE = "TruthVouch bridge connection test"


def test_a_good_configuration_passes_every_check(real: Shell, partners: Sandbox):
    said = real.pagerduty("--test").output
    assert "✘" not in said
    for check in ("pagerduty_key", "pagerduty_service", "escalation_policy", "from_user", "abilities", "test_event"):
        assert f"✔ {check}" in said
    assert "✔ truthvouch_key" in said
    assert "! webhook_ping  skipped: No test event was asked for: BRIDGE_PUBLIC_URL is not set" in said
    assert "The connection works." in said
    assert [(TITLE, "resolved", "low")] == incidents(partners)


def test_setting_and_testing_go_together(real: Shell, partners: Sandbox):
    for name in ("PAGERDUTY_API_KEY", "PAGERDUTY_FROM_EMAIL", "PAGERDUTY_SERVICE_ID", "PAGERDUTY_INTEGRATION_KEY"):
        del real.environment[name]
    said = real.pagerduty("--integration-key", INTEGRATION_KEY, "--service-id", "PSANDBX", "--test").output
    assert "! test_event  test_event_unseen" in said
    assert "nobody can see more" in said
    assert "The connection works." not in said
    assert "whether an incident came of it is not known." in said
    until(lambda: incidents(partners) == [(TITLE, "resolved", "low")], "it came and went")


def test_by_rest_alone_the_test_goes_by_rest(real: Shell, partners: Sandbox):
    assert ("fine", "ok") == real.tested(PAGERDUTY_INTEGRATION_KEY="")["test_event"]
    assert [(TITLE, "resolved", "low")] == incidents(partners)
    assert [] == partners.calls(path="/v2/enqueue")


def test_a_refused_key_of_the_file_is_changed_in_the_file(real: Shell):
    for name in ("PAGERDUTY_API_KEY", "PAGERDUTY_INTEGRATION_KEY"):
        del real.environment[name]
    said = real.pagerduty("--api-key", "wrong", "--test", code=1).output
    assert "PagerDuty refuses the key in pagerduty.api_key of bridge.yaml" in said
    assert "Put a valid one into PAGERDUTY_API_KEY" not in said
    assert 2 == said.count("Run `truthvouch config pagerduty --api-key -` with a valid one and restart.")


@pytest.mark.parametrize(
    ("broken", "check", "finding"),
    [
        ({"PAGERDUTY_API_KEY": "wrong"}, "pagerduty_key", ("wrong", "key_refused")),
        ({"PAGERDUTY_INTEGRATION_KEY": "too-short"}, "test_event", ("wrong", "test_event_refused")),
        ({"PAGERDUTY_SERVICE_ID": "PNONE"}, "pagerduty_service", ("wrong", "service_missing")),
        ({"PAGERDUTY_FROM_EMAIL": "nobody@example.com"}, "from_user", ("wrong", "from_unknown")),
        ({"TRUTHVOUCH_API_KEY": "wrong"}, "truthvouch_key", ("wrong", "key_refused")),
        ({"PAGERDUTY_API_URL": NOBODY}, "pagerduty_key", ("unknown", "not_reachable")),
        ({"PAGERDUTY_API_KEY": "", "PAGERDUTY_INTEGRATION_KEY": ""}, "test_event", ("wrong", "no_way_out")),
    ],
)
def test_each_thing_that_is_wrong_has_its_name(
    real: Shell, partners: Sandbox, broken: dict[str, str], check: str, finding: tuple[str, str]
):
    if broken.get("PAGERDUTY_API_URL"):
        broken = {**broken, "PAGERDUTY_EVENTS_URL": NOBODY}
    assert finding == real.tested(code=1, **broken)[check]
    # A resolve by event has its effect moments after the answer, which a quick command does not wait for.
    until(lambda: "triggered" not in {status for _, status, _ in incidents(partners)}, "nothing is left open")


def test_a_level_without_anybody_on_call_is_named(real: Shell, partners: Sandbox):
    real.config.write_text("escalation: {policy_id: PSBXEP2, levels: [{level: 1, timeout_minutes: 5}]}\n")
    assert ("fine", "ok") == real.tested()["escalation_policy"]
    partners.post("pagerduty/policies/PSBXEP2", {"empty_levels": [2]})
    assert ("wrong", "level_empty") == real.tested(code=1)["escalation_policy"]
    partners.post("pagerduty/policies/PSBXEP2", {"empty_levels": [1, 2, 3]})
    said = real.pagerduty("--test", code=1).output
    assert "nobody_on_call" in said
    assert "escalation.policy_id" in said
    real.config.write_text("pagerduty: {escalation_policy_id: PNONE}\n")
    assert ("wrong", "policy_missing") == real.tested(code=1)["escalation_policy"]


def test_the_doctor_asks_about_people_too_and_opens_nothing(real: Shell, partners: Sandbox):
    partners.post("pagerduty/policies/PSBXEP1", {"empty_levels": [2]})
    answer = CliRunner().invoke(main, ["doctor", "--json"], env=real.environment)
    found = {check["check"]: check["code"] for check in json.loads(answer.stdout)["checks"]}
    assert ("level_empty", "ok", "ok") == (found["escalation_policy"], found["from_user"], found["abilities"])
    assert [] == incidents(partners)


def start(shell: Shell) -> "subprocess.Popen[str]":
    environment = {"PATH": os.environ["PATH"], **shell.environment}
    command = [str(PYTHON), "-m", "app.cli", "config", "pagerduty", "--test"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_halfway_it_resolves_what_it_opened(real: Shell, partners: Sandbox, number: signal.Signals):
    partners.post("settings", {"events_delay_seconds": 3.0})
    try:
        with start(real) as process:
            until(lambda: partners.calls(path="/incidents"), "it waits for the incident", 30)
            process.send_signal(number)
            said = process.communicate(timeout=30)[0]
        assert (1, True) == (process.returncode, "Stopped; what the test had opened was resolved." in said), said
        actions = [call["body"]["event_action"] for call in partners.calls(path="/v2/enqueue")]
        assert ["trigger", "resolve"] == actions
        assert "Traceback" not in said
    finally:
        partners.post("settings", {"events_delay_seconds": 0.05})


def test_help_says_what_every_option_does() -> None:
    said = CliRunner().invoke(main, ["config", "pagerduty", "--help"]).output
    options: Any = main.commands["config"].commands["pagerduty"].params  # type: ignore[attr-defined]
    assert all(option.help for option in options)
    assert "Exit code 0" in said
