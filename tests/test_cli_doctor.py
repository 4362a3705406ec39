"""``truthvouch doctor --create-subscription``: the new secret goes to where the others are."""

from pathlib import Path

import pytest

from app.cli.doctor import _next_step
from app.settings import Settings

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
