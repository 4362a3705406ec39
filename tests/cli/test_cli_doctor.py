"""``truthvouch doctor --create-subscription``: the new secret goes to where the others are."""

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli.doctor import _next_step, _offer, _written, doctor
from app.config.settings import Settings
from tests.far_side import far_side

MADE = {"subscription_id": "P1", "secret": "x"}


@pytest.mark.parametrize(
    ("file", "variable", "goes_to_file"),
    [
        ("webhook_secrets: [old]", "", True),
        ("webhook_secrets: [old]", "of-the-environment", False),
        ("api_key: k", "", True),
        ("api_key: k", "of-the-environment", False),
        ("service_id: P1", "", False),
    ],
)
def test_a_new_secret_goes_to_where_the_others_are(
    tmp_path: Path, file: str, variable: str, goes_to_file: bool
) -> None:
    config = tmp_path / "bridge.yaml"
    config.write_text(f"pagerduty: {{{file}}}\n")
    given = {"PAGERDUTY_WEBHOOK_SECRETS": variable} if variable else {}
    settings = Settings.from_env({"BRIDGE_CONFIG": str(config), **given})
    said = _next_step(MADE, settings)
    assert goes_to_file is ("truthvouch config pagerduty --webhook-secret -`" in said)
    assert goes_to_file is ("PAGERDUTY_WEBHOOK_SECRETS" not in said), "the variable would beat the file"


def test_a_secret_in_a_file_is_read_from_there(tmp_path: Path) -> None:
    config = tmp_path / "bridge.yaml"
    config.write_text("pagerduty: {webhook_secrets: [old]}\n")
    settings = Settings.from_env({"BRIDGE_CONFIG": str(config)})
    said = _next_step({"subscription_id": "P1", "secret_file": "a new one"}, settings)
    assert "`truthvouch config pagerduty --webhook-secret - < 'a new one'`" in said


@pytest.mark.parametrize(
    ("file", "variable", "asked", "by_itself"),
    [
        ("webhook_secrets: [old]", "", True, True),
        ("service_id: P1", "", True, False),
        ("api_key: k", "_FILE", False, True),
    ],
)
def test_at_a_terminal_the_file_is_offered_where_the_secret_would_be_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, variable: str, asked: bool, by_itself: bool
) -> None:
    config = tmp_path / "bridge.yaml"
    config.write_text(f"pagerduty: {{{file}}}\n")
    for name in ("PAGERDUTY_WEBHOOK_SECRETS", "PAGERDUTY_WEBHOOK_SECRETS_FILE"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(f"PAGERDUTY_WEBHOOK_SECRETS{variable}", str(tmp_path / "secrets"))
    settings = Settings.from_env({"BRIDGE_CONFIG": str(config)})
    questions: list[tuple[str, bool]] = []

    def confirm(question: str, default: bool, **_: bool) -> bool:
        questions.append((question, default))
        return default

    monkeypatch.setattr(click, "confirm", confirm)
    assert not _offer(settings), "nobody is asked without a terminal"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert (asked and by_itself) is _offer(settings)
    assert [(f"Write its secret into {config}, before the others?", by_itself)] * asked == questions


def test_a_secret_that_cannot_be_written_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"secret": "new"} == _written(tmp_path / "nowhere" / "bridge.yaml", "new")
    assert "nothing was written" in capsys.readouterr().err


def test_the_variable_that_names_a_file_is_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGERDUTY_WEBHOOK_SECRETS_FILE", str(tmp_path / "secrets"))
    said = _next_step(MADE, Settings.from_env({"BRIDGE_CONFIG": str(tmp_path / "bridge.yaml")}))
    assert "first in the file that PAGERDUTY_WEBHOOK_SECRETS_FILE names" in said


def test_the_bridges_own_page_cannot_be_tested_without_its_key(tmp_path: Path) -> None:
    environment = {"BRIDGE_DATA_DIR": str(tmp_path), "BRIDGE_CONFIG": str(tmp_path / "bridge.yaml")}
    answer = CliRunner().invoke(doctor, ["--self-test"], env=environment)
    assert 2 == answer.exit_code
    assert "BRIDGE_SELF_INTEGRATION_KEY is not set" in answer.output


def test_the_test_of_the_bridges_own_page_opens_and_resolves_one_incident(tmp_path: Path) -> None:
    with far_side() as pagerduty:
        pagerduty.will_answer(202)
        pagerduty.will_answer(202)
        environment = {
            "BRIDGE_DATA_DIR": str(tmp_path), "BRIDGE_CONFIG": str(tmp_path / "bridge.yaml"),
            "BRIDGE_SELF_INTEGRATION_KEY": "s" * 32, "PAGERDUTY_EVENTS_URL": pagerduty.url,
        }  # fmt: skip
        answer = CliRunner().invoke(doctor, ["--self-test", "--json"], env=environment)
        sent = [request.json for request in pagerduty.requests]
    assert ["trigger", "resolve"] == [event["event_action"] for event in sent]
    assert 1 == len({event["dedup_key"] for event in sent})
    assert "self_page_unseen" in answer.output
    assert "s" * 32 not in answer.output
