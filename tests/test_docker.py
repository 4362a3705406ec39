"""The container and deployment files promise what the documents say; no engine is needed to read them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.manifests import BUILD, FINAL, ROOT, every, services_of


def test_there_are_two_stages_on_one_base_pinned_by_patch_version():
    bases = [every("FROM", stage)[0].split()[0] for stage in (BUILD, FINAL)]
    assert bases[0] == bases[1]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", bases[0])


def test_dependencies_are_installed_by_hash_and_before_the_code():
    steps = [f"{word} {rest}" for word, rest in BUILD]
    install = next(i for i, step in enumerate(steps) if "pip install --require-hashes -r requirements.txt" in step)
    code = next(i for i, step in enumerate(steps) if step.startswith("COPY app/"))
    assert install < code


def test_only_the_application_and_its_documents_are_copied():
    copied = {part for rest in every("COPY", FINAL) if "--from" not in rest for part in rest.split()[:-1]}
    assert {"app/", "truthvouch_pagerduty/", "docs/", "wsgi.py", "gunicorn.conf.py", "pyproject.toml"} == copied


def test_it_runs_as_a_numeric_user_without_rights():
    assert ["10001:10001"] == every("USER", FINAL)
    assert FINAL.index(("USER", "10001:10001")) > max(i for i, (word, _) in enumerate(FINAL) if word in {"COPY", "RUN"})


def test_data_lives_in_one_volume():
    assert ['["/data"]'] == every("VOLUME", FINAL)
    assert "BRIDGE_DATA_DIR=/data" in " ".join(every("ENV", FINAL))


@pytest.mark.parametrize("setting", ["PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"])
def test_python_writes_at_once_and_leaves_no_bytecode(setting: str):
    assert setting in " ".join(every("ENV", FINAL))


def test_the_process_is_started_without_a_shell():
    assert [["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]] == [json.loads(rest) for rest in every("CMD", FINAL)]
    assert [] == every("ENTRYPOINT", FINAL)


def test_the_health_check_is_valid_python_from_the_standard_library():
    (check,) = every("HEALTHCHECK", FINAL)
    program, flag, code = json.loads(check.partition("CMD ")[2])
    assert ("python", "-c") == (program, flag)
    compile(code, "healthcheck", "exec")
    assert "/healthz" in code


def test_the_build_context_holds_only_what_is_copied():
    lines = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and line[0] != "#"]
    allowed = {line.removeprefix("!") for line in lines if line[0] == "!"}
    needed = {
        part
        for stage in (BUILD, FINAL)
        for rest in every("COPY", stage)
        if "--from" not in rest
        for part in rest.split()[:-1]
    }
    assert "*" == lines[0]
    assert needed == allowed


@pytest.mark.parametrize("file", ["compose.yaml", "compose.postgres.yaml"])
def test_every_container_of_ours_is_locked_down_and_given_time_to_stop(file: str):
    services = services_of(file)
    ours = [service for service in services.values() if service["image"] == "truthvouch-pagerduty-bridge"]
    assert ours
    for service in ours:
        assert service["read_only"] is True
        assert "/tmp" in service["tmpfs"]
        assert ["ALL"] == service["cap_drop"]
        assert int(service["stop_grace_period"].removesuffix("s")) > 20


def test_web_and_worker_can_be_scaled_apart():
    services = services_of("compose.postgres.yaml")
    assert "web" == services["web"]["environment"]["BRIDGE_ROLE"]
    assert ["truthvouch", "worker"] == services["worker"]["command"]
    assert services["worker"]["environment"]["DATABASE_URL"] == services["web"]["environment"]["DATABASE_URL"]


@pytest.mark.parametrize("file", ["compose.yaml", "compose.postgres.yaml"])
def test_what_commands_write_to_the_configuration_outlives_its_container_and_is_known_to_all(file: str):
    [image] = re.findall(r"BRIDGE_CONFIG=(\S+)", " ".join(every("ENV", FINAL)))
    owned = " ".join(every("RUN", FINAL)).partition("install -d -o 10001 -g 10001 -m 0700 ")[2].split()
    for service in services_of(file).values():
        if service["image"] == "truthvouch-pagerduty-bridge":
            folder = str(Path(service.get("environment", {}).get("BRIDGE_CONFIG", image)).parent)
            assert folder in [volume.partition(":")[2] for volume in service["volumes"]]
            assert folder in owned
            assert folder not in [entry.partition(":")[0] for entry in service["tmpfs"]]


# ------------------------------------------------------------------------------------------------- the proxy

NGINX = re.sub(r"#.*", "", (ROOT / "deploy/nginx.conf").read_text("utf-8"))


def locations() -> dict[str, str]:
    """What nginx does with which paths."""
    return dict(re.findall(r"location ([^{]+?) \{([^}]*)\}", NGINX))


def test_the_proxy_lets_the_internet_reach_the_two_webhooks_and_evidence_links_and_nothing_else():
    passed_on = {path: rules for path, rules in locations().items() if "proxy_pass" in rules}
    public, evidence = [path for path, rules in passed_on.items() if "deny all;" not in rules]
    assert public.startswith("~ ^(?P<let_through>/+")
    for hook in ("/truthvouch/alerts", "/pagerduty/webhook"):
        for path in (hook, hook + "/", hook + "//", "/" + hook, hook.replace("/", "//") + "/"):
            assert re.search(public.removeprefix("~ "), path), path
        for path in (hook + "/x", hook + "x", "/x" + hook, hook.replace("/", "", 1), hook + "/../x", hook.upper()):
            assert not re.search(public.removeprefix("~ "), path), path
    assert not re.search(public.removeprefix("~ "), "/truthvouch/webhook")
    assert "return 404;" in locations()["/"]
    assert "merge_slashes off;" in NGINX

    for path, is_let in (("/e/WzEs.x-_y", True), ("/e/static/style.0a1b.css", True), ("/e/", False), ("/ex", False)):
        assert is_let == bool(re.search(evidence.removeprefix("~ "), path)), path


def test_what_the_internet_reaches_is_passed_on_as_the_path_by_which_it_was_let_through():
    """Without a path in ``proxy_pass``, ``/api/v1/../../e/x`` is let through as ``/e/x`` and passed on as it came."""
    public = {path: rules for path, rules in locations().items() if "proxy_pass" in rules and "deny all;" not in rules}
    for (location, rules), path in zip(public.items(), ("//pagerduty/webhook/", "/e/WzEs.x-_y"), strict=True):
        (passed_on,) = re.findall(r"proxy_pass http://truthvouch_bridge(\S*);", rules)
        found = re.search(location.removeprefix("~ "), path + "\n")  # as %0A is matched: `$` is before it, too
        assert found
        assert "$let_through$is_args$args" == passed_on
        assert path == found["let_through"]


def test_no_log_of_the_proxy_holds_an_address_that_lets_somebody_in():
    text = (ROOT / "deploy/nginx.conf").read_text("utf-8")
    hidden = [pattern for pattern, _ in re.findall(r'"~\*([^"]+)" "([^"]+)";', text)]
    for path in ("/e/secret", "//e//secret", "/E/secret", "/console/link/secret", "//console//link/secret?x"):
        assert any(re.search(pattern, path, re.IGNORECASE) for pattern in hidden), path
    (form,) = re.findall(r"log_format (\w+) '([^']*)'", text)
    assert {"$request_method", "$logged_uri"} <= set(form[1].replace('"', "").split())
    assert [] == [name for name in ("$request ", "$request_uri", "$uri", "$http_referer") if name in form[1]]
    assert re.search(rf"access_log \S+ {form[0]};", NGINX)
    (rules,) = [rules for path, rules in locations().items() if "/e/" in path]
    assert re.search(r"error_log \S+ crit;", rules)


def test_the_proxy_hands_over_whole_requests_and_no_client_names_its_own_address():
    settings = {" ".join(line.split()) for line in NGINX.split(";")}
    assert {"proxy_request_buffering on", "client_max_body_size 1m"} <= settings
    for header in ("X-Forwarded-Host $host", "X-Forwarded-For $remote_addr", "X-Forwarded-Proto https"):
        assert f"proxy_set_header {header}" in settings


def unit() -> dict[str, list[str]]:
    """The systemd unit's settings by name; a name may occur more than once."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "deploy/truthvouch-bridge.service").read_text("utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "[")):
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_starts_what_the_image_starts_and_waits_long_enough():
    settings = unit()
    assert settings["ExecStart"][0].endswith("/gunicorn -c gunicorn.conf.py wsgi:app")
    assert int(settings["TimeoutStopSec"][0]) > 20
    assert ["mixed"] == settings["KillMode"]
    assert "%S/truthvouch-bridge" in " ".join(settings["Environment"])


def test_systemd_takes_the_unit(tmp_path: Path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd-analyze on this machine (apt-get install systemd)")
    text = (ROOT / "deploy/truthvouch-bridge.service").read_text("utf-8")
    installed = text.replace("/opt/truthvouch-bridge/.venv/bin/", f"{Path(sys.executable).parent}/")
    assert "" == said_of_a_unit(tool, tmp_path / "good.service", installed)
    assert "Unknown key" in said_of_a_unit(tool, tmp_path / "bad.service", installed.replace("KillMode", "KilMode"))


def said_of_a_unit(tool: str, file: Path, text: str) -> str:
    """What it says of an unknown key it says with status 0."""
    file.write_text(text, "utf-8")
    done = subprocess.run([tool, "verify", "--man=no", file], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr + (f"status {done.returncode}" if done.returncode else "")


def test_the_example_environment_holds_no_values_that_look_real():
    text = (ROOT / "deploy/bridge.env.example").read_text("utf-8")
    assert [] == re.findall(r"^(?:\w+(?:KEY|TOKEN|SECRETS?))=\S+", text, re.M)
