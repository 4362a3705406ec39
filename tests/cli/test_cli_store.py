"""``truthvouch store``: what it says, and how it ends."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.domain.model.events import AlertEventType
from tests.cli.test_cli import Shell
from tests.rig import Rig
from tests.test_logs import configured


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of ours is set, and the log of this process, which a command configures, stays as it is."""
    for name in (*os.environ, "PORT", "BIND"):
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_", "DATABASE_", "PORT", "BIND")):
            monkeypatch.delenv(name, raising=False)
    with configured("json", "WARNING"):
        yield


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A store with one alert, that nobody has open."""
    (tmp_path / "data").mkdir()
    rig = Rig(tmp_path / "data")
    rig.alert(AlertEventType.CREATED)
    rig.let_go()
    yield Shell(rig, tmp_path / "data")
    rig.let_go()


def test_a_backup_and_its_way_back(shell: Shell, tmp_path: Path) -> None:
    folder = str(tmp_path / "backup")
    result = shell.run("store", "backup", folder)
    assert (0, "links: 1, lines of the time line: 1, deliveries: 1.") == (
        result.exit_code,
        result.stdout.partition("checked: ")[2].strip(),
    )
    assert 2 == shell.run("store", "backup", folder).exit_code, "one folder for each"
    assert 1 == shell.json("store", "backup", str(tmp_path / "more"))["rows"]["links"]
    assert 1 == shell.run("store", "restore", folder, stdin="n\n").exit_code
    assert 2 == shell.run("store", "restore", folder, "--json").exit_code, "--json asks nothing"
    assert Path(shell.json("store", "restore", folder, "--yes")["before"]).is_dir()
    assert "Start the bridge" in shell.run("store", "restore", folder, "--yes", "--keep-inbox").stdout


def test_a_move_and_its_way_back(shell: Shell, postgres_url: str) -> None:
    assert 1 == shell.json("store", "copy", "--to", postgres_url)["rows"]["links"]
    again = shell.run("store", "copy", "--to", "-", stdin=f"{postgres_url}\n")
    assert (0, True) == (again.exit_code, "links: 1" in again.stdout)
    refused = shell.run("migrate")
    assert (2, True) == (refused.exit_code, "--undo" in refused.stderr)
    assert {"undone": True} == shell.json("store", "copy", "--undo")
    assert {"undone": False} == json.loads(shell.run("store", "copy", "--undo", "--json").stdout)
    assert 0 == shell.run("migrate").exit_code
    assert 2 == shell.run("store", "copy", "--to", postgres_url).exit_code, "it is somebody's store by now"


@pytest.mark.parametrize(
    "words",
    [[], ["--undo", "--to", "postgresql://x/y"], ["--to", "mysql://x/y"], ["--to", "postgresql://127.0.0.1:9/x"]],
)
def test_what_cannot_be_copied_to_is_refused(shell: Shell, words: list[str]) -> None:
    result = shell.run("store", "copy", *words)
    assert 2 == result.exit_code, result.output
    assert "Traceback" not in result.output
    assert 0 == shell.run("migrate").exit_code


@pytest.mark.parametrize("words", [["backup", "x"], ["restore", "."], ["copy", "--undo"]])
def test_a_store_that_is_not_in_files_here_is_refused(words: list[str], tmp_path: Path) -> None:
    def run(*more: str, **environ: str) -> Result:
        return CliRunner().invoke(main, [*more, "store", *words], env={"BRIDGE_DATA_DIR": str(tmp_path), **environ})

    on_postgres, elsewhere = run(DATABASE_URL="postgresql://x/y"), run("--url", "http://127.0.0.1:9")
    assert [2, 2] == [on_postgres.exit_code, elsewhere.exit_code]
    assert "PostgreSQL" in on_postgres.stderr
    assert "--url" in elsewhere.stderr
