"""Every file of ``deploy/`` names only what the program has: variables, paths, ports, metrics."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import requests
from werkzeug.exceptions import HTTPException

from app.config.environment import SECRETS
from app.process.metrics_server import MetricsServer, listen
from tests.conftest import FakeClock
from tests.deploy.manifests import (
    ADAPTER,
    CLUSTER,
    DEPLOY,
    IMAGE_CHECK,
    ROOT,
    Started,
    documents,
    is_variable,
    of_compose,
    of_kubernetes,
    resources,
)
from tests.deploy.test_prometheus import described
from tests.web_fakes import FakeBridge

FILES = sorted(
    path for path in DEPLOY.rglob("*") if path.is_file() and (path.suffix != ".env") and "tls" not in path.parts
)
OF_A_CLUSTER = {"BRIDGE_PORT"}
"""Named to say that it is kept out."""
files = pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(DEPLOY).as_posix())

STARTED = {
    **{f"compose.yaml {name}": one for name, one in of_compose("compose.yaml").items()},
    **{f"compose.postgres.yaml {name}": one for name, one in of_compose("compose.postgres.yaml").items()},
    **{f"kubernetes {name}": one for name, one in of_kubernetes().items()},
}
started = pytest.mark.parametrize("one", STARTED.values(), ids=STARTED.keys())


def unknown_variables(text: str) -> set[str]:
    named = set(re.findall(r"\b(?:BRIDGE|TRUTHVOUCH|PAGERDUTY)_[A-Z0-9_]*[A-Z0-9]\b", text))
    return {name for name in named - OF_A_CLUSTER if not is_variable(name)}


def unknown_metrics(text: str) -> set[str]:
    named = set(re.findall(r"\btruthvouch_bridge_[a-z_]+[a-z]\b", text))
    return {
        name
        for name in named
        if re.sub(r"_(bucket|sum|count)$", "", name.removeprefix("truthvouch_bridge_")) not in described()
    }


@files
def test_every_variable_exists(file: Path):
    assert set() == unknown_variables(file.read_text("utf-8"))


@files
def test_every_metric_exists(file: Path):
    made_by_the_adapter = {rule["name"]["as"] for rule in documents(ADAPTER)[0]["rules"]["external"]}
    assert set() == unknown_metrics(file.read_text("utf-8")) - made_by_the_adapter


def test_a_name_that_does_not_exist_is_found():
    assert {"BRIDGE_METRIC_PORT"} == unknown_variables(["BRIDGE_METRIC_PORT: 1", " BRIDGE_CONFIG_FILE"][0])
    assert {"BRIDGE_CONFIG_FILE"} == unknown_variables("- {name: BRIDGE_CONFIG_FILE}")
    assert {"truthvouch_bridge_oldest_waiting"} == unknown_metrics("max(truthvouch_bridge_oldest_waiting)")


# ------------------------------------------------------------------------------------------------- what is asked


def web_serves(path: str, method: str = "GET") -> bool:
    """Whether the web has a view there; nothing is asked."""
    app = FakeBridge(FakeClock()).app()
    try:
        app.url_map.bind("localhost").match(path, method=method)
    except HTTPException as no_such:
        return no_such.code is not None and no_such.code < HTTPStatus.BAD_REQUEST  # a slash too many is taken, too
    return True


@pytest.fixture(scope="module")
def worker_url() -> Iterator[str]:
    """What a worker on its own serves."""
    listener = listen("127.0.0.1", 0)
    assert listener is not None
    MetricsServer(listener, lambda: b"truthvouch_bridge_build_info 1\n").start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def serves(one: Started, path: str, worker_url: str) -> bool:
    if "worker" in one.command:
        return requests.get(worker_url + path, timeout=10).status_code == 200
    return web_serves(path)


@started
def test_everything_that_is_asked_of_a_container_is_served_at_its_port(one: Started, worker_url: str):
    asked = [*one.asked, *of_a_check(one)]
    assert asked
    for path, port in asked:
        assert port == one.port, path
        assert serves(one, path, worker_url), path


def of_a_check(one: Started) -> list[tuple[str, int]]:
    """(path, port) of the health check that is run inside the container."""
    code = (one.check or ["", "", ""])[2].replace("' + os.environ['PORT'] + '", one.environment["PORT"])
    return [(path, int(port)) for port, path in re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", code)]


def test_what_is_not_served_is_found(worker_url: str):
    assert not web_serves("/livez")
    assert not web_serves("/truthvouch/alerts")
    assert not serves(of_kubernetes()["worker"], "/readyz", worker_url)
    assert [("/healthz", 8080)] == of_a_check(of_compose("compose.yaml")["bridge"])
    assert "PORT" in IMAGE_CHECK[2]


def test_the_ingress_lets_through_what_the_internet_needs_and_no_more():
    (ingress,) = resources("Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    paths = {one["path"]: one["pathType"] for one in rule["http"]["paths"]}
    assert {"/truthvouch/alerts": "Exact", "/pagerduty/webhook": "Exact", "/e/": "Prefix"} == paths
    assert web_serves("/truthvouch/alerts", "POST")
    assert web_serves("/pagerduty/webhook", "POST")
    assert web_serves("/e/some-token")
    assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]


# ------------------------------------------------------------------------------------------------- where it listens


@pytest.mark.parametrize("file", ["nginx-upstream.conf", "nginx-upstream.compose.conf"])
def test_the_proxy_finds_the_web_where_it_listens(file: str):
    text = re.sub(r"#.*", "", (DEPLOY / file).read_text("utf-8"))
    ((host, port),) = re.findall(r"\bserver ([\w.]+):(\d+)", text)
    if file == "nginx-upstream.conf":
        assert (host, int(port)) == ("127.0.0.1", of_compose("compose.yaml")["bridge"].port)
    else:
        assert int(port) == of_compose("compose.postgres.yaml")[host].port
    (name,) = re.findall(r"upstream (\w+) \{", text)
    assert {name} == set(re.findall(r"proxy_pass http://(\w+)", (DEPLOY / "nginx.conf").read_text("utf-8")))


def test_prometheus_scrapes_services_at_the_ports_that_they_have():
    (config,) = documents(DEPLOY / "prometheus/prometheus.yml")
    found = [one for job in config["scrape_configs"] for one in job["dns_sd_configs"]]
    targets = {name: one["port"] for one in found for name in one["names"]}
    assert {name: one.port for name, one in of_compose("compose.postgres.yaml").items()} == targets
    assert all((DEPLOY / "prometheus" / file).is_file() for file in config["rule_files"])


def test_every_secret_of_the_program_has_its_file():
    (config,) = [one for name, one in resources("ConfigMap").items() if name.endswith("environment")]
    named = {name.removesuffix("_FILE") for name in config["data"] if name.endswith("_FILE")}
    assert set(SECRETS) == named


def test_the_documents_name_every_folder_and_file_of_the_deployment():
    said = (ROOT / "docs/operating.md").read_text("utf-8") + (ROOT / "docs/metrics.md").read_text("utf-8")
    top = {path.name for path in DEPLOY.iterdir() if path in FILES or path.is_dir()} - {"tls"}
    assert {name for name in top if f"deploy/{name}" not in said} == set()
    assert {path.name for path in CLUSTER.rglob("*") if path.is_file() and path.name not in said} - {
        "secrets.env"
    } == set()
