"""``truthvouch_pagerduty``: the name by which other projects import the bridge, whatever they call ``app``."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import truthvouch_pagerduty

ROOT = Path(__file__).parents[2]

HEAVY = {"gunicorn", "dbos", "sqlalchemy", "flask", "requests", "structlog", "ruamel"}
WEB = {"gunicorn", "dbos", "sqlalchemy", "flask"}

USES_IT = """
from truthvouch_pagerduty import BridgeError, NotSetUp, PagerDutyHandler, TruthVouchClient
with PagerDutyHandler(environ={}) as handler, TruthVouchClient(environ={}) as client:
    for call in (
        lambda: handler.resolve_incident("Q1"),
        lambda: handler.configure_rule("Sure", "confidence < 0.5", {"type": "suppress"}),
        lambda: handler.generate_report(None),
        lambda: handler.escalate_if_unacknowledged("Q1", 5, "P1"),
        lambda: client.alerts.acknowledge("a1"),
    ):
        try:
            print(call()["changed"])
        except NotSetUp as error:
            assert isinstance(error, BridgeError)
            print(error.reason)
"""
USED = "no_api_key\n[\"rules: 'Sure' added\"]\nno_bridge_store\nno_bridge_store\nno_api_key\n"


def answer_of(folder: Path, *arguments: str) -> str:
    """What a Python says that has the bridge installed; this folder is the project's own, and comes first."""
    environment = {"PYTHONPATH": f"{folder}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (0, "") == (answer.returncode, answer.stderr), answer.stderr
    return answer.stdout


def loaded_after(folder: Path, statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    return set(json.loads(answer_of(folder, "-c", code)))


def test_the_import_loads_nothing_else(tmp_path: Path):
    assert set() == loaded_after(tmp_path, "import truthvouch_pagerduty") & (HEAVY | {"app"})


def test_the_handler_comes_without_what_it_needs_for_its_first_call(tmp_path: Path):
    names = "BridgeError, PagerDutyHandler, PartlyDone"
    assert set() == loaded_after(tmp_path, f"from truthvouch_pagerduty import {names}") & (HEAVY | {"app"})


def test_the_client_comes_without_server_engine_and_store(tmp_path: Path):
    assert set() == loaded_after(tmp_path, "from truthvouch_pagerduty import TruthVouchClient") & (WEB | {"app"})


def test_it_works_in_a_script_called_app(tmp_path: Path):
    (tmp_path / "app.py").write_text(USES_IT)
    assert USED == answer_of(tmp_path, "app.py")


def test_it_works_in_a_flask_application_called_app(tmp_path: Path):
    (tmp_path / "app.py").write_text(f"from flask import Flask\n\napp = Flask(__name__)\n{USES_IT}")
    assert answer_of(tmp_path, "-m", "flask", "--app", "app", "routes").startswith(USED)


def test_it_works_beside_a_package_called_app_with_modules_of_the_same_names(tmp_path: Path):
    for name in ("__init__", "errors", "handler", "settings", "configfile", "domain"):
        (tmp_path / "app").mkdir(exist_ok=True)
        (tmp_path / "app" / f"{name}.py").write_text(f'OWN = "{name}"\n')
    before, after = "import app.errors", "import app, app.settings\nprint(app.OWN, app.errors.OWN, app.settings.OWN)"
    (tmp_path / "main.py").write_text(f"{before}\n{USES_IT}\n{after}\n")
    assert f"{USED}__init__ errors settings\n" == answer_of(tmp_path, "main.py")


def test_every_name_it_promises_is_there_and_no_other():
    for name in truthvouch_pagerduty.__all__:
        assert name == getattr(truthvouch_pagerduty, name).__name__
    with pytest.raises(AttributeError, match="has no attribute 'create_app'"):
        truthvouch_pagerduty.create_app  # noqa: B018


def test_what_is_installed_holds_both_packages_and_says_that_they_are_typed(tmp_path: Path):
    backend = pytest.importorskip(
        "poetry.core.masonry.api", reason="not installed anew since it is in requirements.txt"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        wheel = backend.build_wheel(str(tmp_path))
    held = set(zipfile.ZipFile(tmp_path / wheel).namelist())
    assert {"app/__init__.py", "app/py.typed", "app/ui/assets/report.css"} <= held
    assert {"truthvouch_pagerduty/__init__.py", "truthvouch_pagerduty/py.typed"} <= held
    assert set() == {name.partition("/")[0] for name in held if "dist-info" not in name} - {
        "app",
        "truthvouch_pagerduty",
    }
