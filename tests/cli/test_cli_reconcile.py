"""``truthvouch reconcile``: what its exit code and its sentences may say, and when."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.bootstrap.container import Container
from app.cli import main
from app.domain.model.types import Side
from app.domain.sync.observations import FindingOutcome
from app.services.reconciliation.context import Findings
from app.services.reconciliation.events import Finding
from tests.rig import Rig
from tests.test_logs import configured

NOBODY = "http://127.0.0.1:9"
MOVED = Finding(Side.PAGERDUTY, "a1", "Q1", "open", "resolved", FindingOutcome.MOVED)
STRANGER = Finding(Side.PAGERDUTY, None, "Q9", "", "open", FindingOutcome.UNKNOWN_INCIDENT)
CALLS = {Side.PAGERDUTY: 1, Side.TRUTHVOUCH: 1}
HALF = Findings(calls=CALLS, reads=1, complete=False, faults=("TruthVouch: not listed",))


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What whoever runs the tests has set is not ours; a command configures the log of its process, which is ours."""
    for name in os.environ:
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")):
            monkeypatch.delenv(name)
    with configured("json", "WARNING"):
        yield


def run(folder: Path, *words: str, **more: str) -> Result:
    environment = {"BRIDGE_DATA_DIR": str(folder), "BRIDGE_CONFIG": str(folder / "none.yaml"), **more}
    return CliRunner().invoke(main, ["reconcile", *words], env=environment)


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--json"]])
def test_where_nobody_answers_nothing_agrees(tmp_path: Path, words: list[str]) -> None:
    Rig(tmp_path)
    keys = {"PAGERDUTY_API_KEY": "k", "PAGERDUTY_SERVICE_ID": "P1", "TRUTHVOUCH_API_KEY": "t"}
    urls = {"PAGERDUTY_API_URL": NOBODY, "TRUTHVOUCH_API_URL": f"{NOBODY}/api/v1"}
    said = run(tmp_path, *words, **keys, **urls)
    assert 2 == said.exit_code, said.output
    assert "agree" not in said.stdout
    assert "Nothing could be read." in said.stderr


@pytest.mark.parametrize(
    ("found", "code", "sentence"),
    [
        (Findings(calls=CALLS, reads=2), 0, "Both sides agree."),
        (HALF, 1, ""),
        (Findings((MOVED,), calls=CALLS, reads=2), 1, "Nothing was changed."),
        (Findings((STRANGER,), calls=CALLS, reads=2), 0, "truthvouch reconcile --since"),
    ],
)
def test_a_dry_run_is_0_only_where_all_was_read_and_there_is_nothing_to_take_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Findings, code: int, sentence: str
) -> None:
    Rig(tmp_path)
    monkeypatch.setattr(Container, "reconcile", lambda *_: found)
    said = run(tmp_path, "--dry-run")
    assert (code, True) == (said.exit_code, sentence in said.stdout), said.output
    assert ("agree" in said.stdout) is ("agree" in sentence)
    assert ("Not read" in said.stderr) is bool(found.faults)
    answer = json.loads(run(tmp_path, "--dry-run", "--json").stdout)
    assert [one.remedy or None for one in found.findings] == [one["remedy"] for one in answer["findings"]]
