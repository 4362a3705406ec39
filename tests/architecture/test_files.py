"""What lies where, how big it may be, and what a public repository must not say."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCES = sorted(path for name in ("app", "truthvouch_pagerduty") for path in (ROOT / name).rglob("*.py"))
ROOMS = sorted(path.parent for path in (ROOT / "app").rglob("*/__init__.py"))

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
SHORT_FILE_LINES = 40


def lines_of(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def functions() -> list[tuple[str, int]]:
    """Every function of the application with its number of lines, without those of functions inside it."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", own_lines(node)))
    return found


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    inner = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node is not function]
    return lines - sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in inner)


def tracked_files() -> list[Path]:
    """What a commit would hold: everything git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if answer.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in answer.stdout.splitlines() if (ROOT / name).is_file()]


# ------------------------------------------------------------------------------------------------- size and shape


def test_no_file_is_too_long():
    assert {} == {str(path.relative_to(ROOT)): n for path in SOURCES if (n := lines_of(path)) > MAX_FILE_LINES}


def test_few_files_are_short():
    """A file holds one idea and is as long as the idea: many short ones are one idea in pieces."""
    counted = [path for path in SOURCES if path.stem[:2] != "__" and "migrations" not in path.parts]
    short = [str(path.relative_to(ROOT)) for path in counted if lines_of(path) < SHORT_FILE_LINES]
    assert len(short) <= len(counted) / 10, short


def test_no_function_is_too_long():
    assert {} == {name: length for name, length in functions() if length > MAX_FUNCTION_LINES}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_every_room_states_its_law_in_few_lines(room: Path):
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8"))) or ""
    (law,) = re.findall(r"^LAW: [^\n]+(?:\n[^\n]+)*", docstring, re.M)
    assert law.count("\n") < 5


def test_every_module_opens_with_the_reason_it_exists():
    silent = [str(p.relative_to(ROOT)) for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text("utf-8")))]
    assert [] == silent


def test_every_folder_of_tests_is_a_package():
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [] == [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()]


# ------------------------------------------------------------------------------------------------- dependencies


def distribution(module: str) -> str:
    """The distribution an import comes from, where the two names differ."""
    if module == "opentelemetry":  # one name of many distributions
        return "opentelemetry-sdk"
    return {"ruamel": "ruamel-yaml", "importlinter": "import-linter"}.get(module, module.replace("_", "-"))


def imported_by(paths: list[Path]) -> set[str]:
    """Third-party distributions these files import."""
    modules = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add((node.module or "").partition(".")[0])
    ours = {"app", "truthvouch_pagerduty", "tests", "wsgi", "bench", "_typeshed"}
    return {distribution(module) for module in modules - ours - set(sys.stdlib_module_names)}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[ \[<>=;]", line)[0].lower().replace(".", "-").replace("_", "-") for line in requirements}


def test_every_import_of_the_application_is_declared():
    top = [ROOT / "wsgi.py", ROOT / "gunicorn.conf.py"]
    # Flask brings Werkzeug, Jinja and MarkupSafe, requests brings urllib3: asking for them by name would let the pairs
    # drift apart.
    brought = {"werkzeug", "jinja2", "markupsafe", "urllib3"}
    declared = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["otel"])
    assert set() == imported_by([*SOURCES, *top]) - declared - brought


def test_every_import_of_the_tests_is_declared():
    declared = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["dev"])
    assert set() == imported_by(sorted((ROOT / "tests").rglob("*.py"))) - declared - {"werkzeug", "urllib3"}


def test_no_declared_dependency_is_idle():
    # itsdangerous is imported by Flask, whose sessions it signs: declared so that its major version is chosen here.
    started_by_name = {"gunicorn", "psycopg", "itsdangerous"}
    assert set() == names(PROJECT["dependencies"]) - imported_by(SOURCES) - started_by_name


def test_no_declared_dependency_of_the_tests_is_idle():
    commands = {"import-linter", "mypy", "pip-tools", "pytest-xdist", "ruff"}
    commands |= names(PROJECT["optional-dependencies"]["otel"])  # what the tests of spans export by
    declared = {name for name in names(PROJECT["optional-dependencies"]["dev"]) if not name.startswith("types-")}
    assert set() == declared - imported_by(sorted((ROOT / "tests").rglob("*.py"))) - commands


def pins(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / file).read_text("utf-8"), re.M))


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_with_hashes(file: str):
    text = (ROOT / file).read_text("utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.M).strip())
    assert [] == [entry for entry in entries if not re.match(r"[a-z0-9._-]+==\S+ \\\n\s+--hash=sha256:", entry)]


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_name_no_host_and_no_option(file: str):
    text = (ROOT / file).read_text("utf-8")
    assert [] == re.findall(r"://|^--|--index|--find-links|--trusted", text, re.M)


def test_what_is_tested_is_what_runs():
    runtime, everything = pins("requirements.txt"), pins("requirements-dev.txt")
    assert runtime == {name: everything.get(name) for name in runtime}


def test_everything_declared_is_pinned():
    assert set() == names(PROJECT["dependencies"]) - set(pins("requirements.txt"))
    assert set() == names(PROJECT["optional-dependencies"]["dev"]) - set(pins("requirements-dev.txt"))


# ------------------------------------------------------------------------------------------------- commands


def test_the_first_target_of_the_makefile_lists_the_others():
    answer = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^make (\S+)|^\s+make (\S+)", answer.stdout, re.M))
    flat = {name for pair in listed for name in pair if name}
    assert {"setup", "run", "test", "check", "bench", "lock", "clean"} <= flat


def test_the_list_of_targets_says_all_of_each():
    found = [
        line.partition(" ## ")[2] for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if " ## " in line
    ]
    answer = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found == [line.split(None, 2)[2] for line in answer.stdout.splitlines()]


def test_the_makefile_says_so_when_there_is_no_python():
    answer = subprocess.run(
        ["make", "-n", "run", "PYTHON="], cwd=ROOT, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
    )
    assert "No Python 3.11 or newer was found" in answer.stdout or (ROOT / ".venv/bin/python").exists()


def test_continuous_integration_is_one_executable_script():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_nothing_an_operator_makes_can_be_committed_by_accident():
    ignored = [
        "data/inbox.db",
        "bridge.yaml",
        ".env",
        ".venv/bin/python",
        "deploy/bridge.env",
        "deploy/.env",
        "deploy/kubernetes/secrets.env",
        "bridge.env",
        "new-secret",
    ]
    ignored += [
        "deploy/bridge.yaml",
        "deploy/key.pem",
        "truthvouch-report-2026-02.html",
        "truthvouch-report-2026-02.csv",
    ]
    answer = subprocess.run(["git", "check-ignore", *ignored], cwd=ROOT, capture_output=True, text=True)
    if answer.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored == answer.stdout.splitlines()


# ------------------------------------------------------------------------------------------------- public words

# Spelt in pieces, so that this file does not say them either.
UNFIT_FOR_THE_PUBLIC = (
    r"/(wo" r"rk|fa" r"rm)/",
    r"\.\./sha" r"red",
    r"(py" r"pi|registry\.np" r"mjs|files\.python" r"hosted)\.org",
    r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b",
)


@pytest.mark.parametrize("pattern", UNFIT_FOR_THE_PUBLIC)
def test_no_file_says_what_only_its_makers_need(pattern: str):
    said = []
    for path in tracked_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        said += [f"{path.relative_to(ROOT)}: {match.group()}" for match in re.finditer(pattern, text)]
    assert [] == said


def test_no_module_takes_a_method_from_its_logger_when_it_is_imported():
    """It would keep the configuration of before the start: no JSON, no level, nothing concealed."""
    taken = []
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
        inside = {part for function in functions for part in ast.walk(function)}
        used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node not in inside]
        taken += [f"{path.relative_to(ROOT)}:{node.lineno}" for node in used if getattr(node.value, "id", "") == "log"]
    assert [] == taken


def test_whatever_is_imported_from_the_ports_is_defined_there_once():
    """``app.ports`` hands on what its modules define, and nobody relies on what they import themselves."""
    defined = [name for path in (ROOT / "app" / "ports").glob("[a-z]*.py") for name in names_defined(path)]
    assert len(defined) == len(set(defined))
    imported = {
        alias.name
        for path in (*SOURCES, *(ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "app.ports"
        for alias in node.names
    }
    assert set() == imported - set(defined)


def names_defined(path: Path) -> list[str]:
    """The public names that this module gives to something of its own."""
    found = []
    for node in ast.parse(path.read_text("utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        found += [getattr(target, "id", getattr(target, "name", "")) for target in targets]
    return [name for name in found if name and not name.startswith("_")]
