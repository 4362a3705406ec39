"""Who may import whom: the contracts hold, and each of them can fail."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
}

VIOLATIONS = {
    "Rooms import downwards only": ("app/remote/transport.py", "import app.services"),
    "Adapters are named by bootstrap alone": ("app/process/worker.py", "import app.engine"),
    "Settings stop at the composition root": ("app/services/__init__.py", "import app.config.settings"),
    "Services talk to ports only": ("app/services/__init__.py", "import app.remote.transport"),
    "Capabilities do not know one another": ("app/services/reports/report.py", "import app.services.incidents.draft"),
    "What listens to the sync is not known by it": ("app/services/sync/receive.py", "import app.services.escalation"),
    "The domain has four floors": ("app/domain/rules/decide.py", "import app.domain.sync.link"),
    "The domain knows nothing of ours": ("app/domain/sync/link.py", "import app.logs"),
    "The domain, the readers and the writers of both wires reach no I/O": ("app/pagerduty/wire.py", "import time"),
    "Only transport imports requests": ("app/pagerduty/rest_api.py", "import requests"),
    "Only the store speaks SQL": ("app/engine/__init__.py", "import sqlalchemy"),
    "Only the engine knows DBOS": ("app/process/worker.py", "import dbos"),
    "Only bootstrap's spans know OpenTelemetry": ("app/remote/spans.py", "import opentelemetry"),
    "Nothing of ours goes by the importable name": ("app/process/worker.py", "import truthvouch_pagerduty"),
    "The ui makes markup of values": ("app/ui/pages.py", "import app.ports"),
    "Pages are made for people who look at them": ("app/process/worker.py", "import app.ui"),
    "The sandbox has a kit, two vendors and a world": ("app/sandbox/kit/faults.py", "import app.sandbox.world"),
    "The web never reaches the engine, whatever the way": ("app/web/__init__.py", "import app.bootstrap.worker"),
}
"""For each law one line that breaks it."""


def lint(folder: Path) -> str:
    """What import-linter says about the application in this folder."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def verdict_on_a_lawless_copy(tmp_path_factory: pytest.TempPathFactory) -> str:
    copy = tmp_path_factory.mktemp("lawless")
    for package in ("app", "truthvouch_pagerduty"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for file, statement in VIOLATIONS.values():
        path = copy / file
        path.write_text(path.read_text("utf-8") + f"\n{statement}\n", "utf-8")
    return lint(copy)


def test_the_import_law_holds():
    report = lint(ROOT)
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in report, report


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_contract_notices_its_violation(contract: str, verdict_on_a_lawless_copy: str):
    assert re.search(rf"^{re.escape(contract)} BROKEN", verdict_on_a_lawless_copy, re.M), verdict_on_a_lawless_copy


def modules_after(statement: str, environment: dict[str, str]) -> set[str]:
    """The top-level packages in memory after a fresh interpreter ran this."""
    code = f"{statement}\nimport sys\nprint(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.splitlines()[-1].split())


def test_the_web_process_never_loads_the_engine(tmp_path: Path):
    environment = {"PATH": os.environ["PATH"], "BRIDGE_DATA_DIR": str(tmp_path), "BRIDGE_ROLE": "web"}
    assert "dbos" not in modules_after("import wsgi", environment)


def test_the_console_loads_what_draws_a_report_with_the_first_report():
    loaded = modules_after("import app.web.console, app.ui.charts", {"PATH": os.environ["PATH"]})
    assert set() == loaded & {"pygal", "dbos", "sqlalchemy", "requests"}


def test_the_domain_loads_no_framework_and_no_driver():
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "app/domain").rglob("*.py")]
    names = " ,".join(".".join(path.parts) for path in paths if path.stem[0] != "_")
    loaded = modules_after(f"import {names}", {"PATH": os.environ["PATH"]})
    assert set() == loaded & {"flask", "requests", "sqlalchemy", "dbos", "structlog", "sqlite3", "psycopg"}


def test_gunicorns_master_loads_no_framework():
    """It reads the worker's class, and lives as long as the bridge."""
    loaded = modules_after("import app.web.server, app.web.server_log", {"PATH": os.environ["PATH"]})
    assert set() == loaded & {"flask", "werkzeug", "requests", "sqlalchemy", "dbos", "sqlite3", "psycopg"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "app/domain").rglob("*.py")), ids=lambda path: f"{path.parent.name}.{path.stem}"
)
def test_the_domain_asks_no_clock_and_touches_no_file(path: Path):
    forbidden = {"now", "utcnow", "today", "open", "print", "input", "uuid4", "sleep"}
    calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    named = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    assert set() == named & forbidden


def test_no_system_test_imports_the_application():
    for path in (ROOT / "tests/system").rglob("*.py"):
        names: list[str] = []
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert [] == [name for name in names if name.partition(".")[0] in {"app", "wsgi"}], path
