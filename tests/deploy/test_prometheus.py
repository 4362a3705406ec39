"""The alert rules and the dashboard name what the bridge exports, and do in a real Prometheus what they say."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from ruamel.yaml import YAML

from app import metrics
from app.bootstrap import migrate_stores
from app.bootstrap.web import WebBridge
from app.config.settings import Settings
from app.domain.model.types import Side, Source, Urgency
from app.metrics.exposition import Gauges
from app.ports import BudgetLeft, Delivery
from app.process.metrics_server import MetricsServer, listen
from app.store.database import KEY_VALUES
from app.store.health import RECONCILED, SWEPT, WORKER_SEEN
from tests.conftest import FakeClock, prometheus_tool
from tests.deploy.alerts import CASES, Case
from tests.system.processes import free_port
from tests.system.waiting import until
from tests.web_fakes import FakeHealthSource, healthy

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES, DASHBOARD = DEPLOY / "prometheus/alerts.yml", DEPLOY / "grafana/truthvouch-bridge.json"
PAGE = Path(__file__).parents[2] / "docs/metrics.md"


def rules() -> list[Mapping[str, Any]]:
    return [rule for group in YAML(typ="safe").load(RULES)["groups"] for rule in group["rules"]]


def panels() -> list[Mapping[str, Any]]:
    made: list[Mapping[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [panel for panel in made if panel["type"] != "row"]


def queries() -> list[str]:
    """Of the dashboard, with an interval for Grafana's variable."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [query.replace("$__rate_interval", "30s") for query in asked]


# ------------------------------------------------------------------------------------------------- names and labels


@dataclass
class Exported:
    """What a process exports: by the name of each sample its labels, and by name and label the values."""

    labels: dict[str, set[str]]
    values: dict[tuple[str, str], set[str]]


@pytest.fixture(scope="module")
def exported() -> Exported:
    meter, now = metrics.PrometheusMeter(), datetime.now(UTC)
    meter.expect_secrets(Side.PAGERDUTY, 1)
    meter.dropped("bridge", "unknown_alert")
    meter.parked("page", "http_400")
    health_source = FakeHealthSource(healthy(now))
    health_source.set(reconciled_at=now, swept_at=now)
    gauges = Gauges(health_source, lambda: (BudgetLeft("pagerduty-rest", 1, 1.0),), FakeClock(now))
    found = Exported({}, {})
    for family in (*meter.registry.collect(), *gauges.collect()):
        for sample in family.samples:
            found.labels.setdefault(sample.name, set()).update(sample.labels)
            for label, value in sample.labels.items():
                found.values.setdefault((sample.name, label), set()).add(value)
    return found


EXPRESSIONS = [*(rule["expr"] for rule in rules()), *queries()]
OF_PROMETHEUS = {"instance"}
"""Labels that the scrape adds."""


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_exists_with_the_labels_that_are_asked_for(expression: str, exported: Exported):
    named = re.findall(r"(truthvouch_bridge_\w+)(?:\{([^}]*)\})?", expression)
    assert named
    known: set[str] = set()
    for name, matchers in named:
        assert name in exported.labels
        known |= exported.labels[name]
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers or ""):
            assert set(values.split("|")) <= exported.values[name, label]
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    assert grouped <= known | OF_PROMETHEUS


def test_a_legend_names_labels_that_the_query_keeps():
    for panel in panels():
        for target in panel["targets"]:
            kept = {one.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for one in by.split(",")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_the_dashboard_shows_every_metric_once_at_least():
    shown = {
        re.sub(r"_bucket$", "", name) for query in queries() for name in re.findall(r"truthvouch_bridge_\w+", query)
    }
    assert {f"truthvouch_bridge_{name}" for name in described()} <= shown


# ------------------------------------------------------------------------------------------------- the page


def described() -> set[str]:
    """The metrics that docs/metrics.md describes, without their prefix."""
    return set(re.findall(r"^\| `truthvouch_bridge_([a-z_]+)`", PAGE.read_text("utf-8"), re.M))


def test_the_page_describes_what_is_exported_and_nothing_else(exported: Exported):
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported.labels}
    assert {name.removeprefix("truthvouch_bridge_") for name in names} == described()


def test_the_page_names_the_labels_of_each_metric(exported: Exported):
    rows = re.findall(r"^\| `(truthvouch_bridge_[a-z_]+)` \| ([^|]*) \|", PAGE.read_text("utf-8"), re.M)
    assert rows
    for name, labels in rows:
        sample = name if name in exported.labels else f"{name}_count"
        assert exported.labels[sample] == set(re.findall(r"`(\w+)`", labels)), name


def test_the_page_says_what_to_do_at_each_alert():
    assert {rule["alert"] for rule in rules()} == set(
        re.findall(r"^\| `(TruthVouch\w+)`", PAGE.read_text("utf-8"), re.M)
    )


# ------------------------------------------------------------------------------------------------- promtool


def promtool(*arguments: object) -> None:
    tool = prometheus_tool("promtool")
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.prometheus
def test_the_rules_and_the_example_of_a_configuration_are_well_formed():
    promtool("check", "rules", RULES)
    promtool("check", "config", DEPLOY / "prometheus/prometheus.yml")


def test_every_alert_has_a_case_in_which_it_fires():
    assert {rule["alert"] for rule in rules()} == {case.alert for case in CASES if case.fires}


@pytest.mark.prometheus
def test_each_alert_fires_when_it_has_to_and_not_otherwise(tmp_path: Path):
    annotations = {rule["alert"]: rule["annotations"] for rule in rules()}
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}

    def as_test(case: Case) -> dict[str, Any]:
        labels = {"severity": severity[case.alert], **case.labels}
        expected = [{"exp_labels": labels, "exp_annotations": annotations[case.alert]}] if case.fires else []
        asked = {"eval_time": case.after, "alertname": case.alert, "exp_alerts": expected}
        series = [{"series": f"truthvouch_bridge_{name}", "values": values} for name, values in case.series.items()]
        return {"name": case.name, "interval": "1m", "input_series": series, "alert_rule_test": [asked]}

    file = tmp_path / "alerts.test.yml"
    with file.open("w") as out:
        YAML(typ="safe").dump({"rule_files": [str(RULES)], "tests": [as_test(case) for case in CASES]}, out)
    promtool("test", "rules", file)


# ------------------------------------------------------------------------------------------------- a real Prometheus


@pytest.fixture(scope="module")
def bridge_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A store at which a worker has worked, and the metrics of a web process over it, served."""
    folder = tmp_path_factory.mktemp("bridge")
    settings = Settings.from_env(
        {
            "BRIDGE_DATA_DIR": str(folder),
            "BRIDGE_CONFIG": str(folder / "bridge.yaml"),
            "PAGERDUTY_API_KEY": "key",
            "PAGERDUTY_WEBHOOK_SECRETS": "new,old",
        }
    )
    migrate_stores(settings)
    counts_before = os.environ.pop(metrics.FOLDER_VARIABLE, None)  # this process counts for itself
    bridge = WebBridge(settings)
    with bridge.database.begin() as tx:
        for name in (WORKER_SEEN, RECONCILED, SWEPT):
            KEY_VALUES.put(tx, name, (datetime.now(UTC) - timedelta(seconds=5)).isoformat())
    for source in (Source.TRUTHVOUCH, Source.PAGERDUTY):
        bridge.inbox.add(Delivery(source, "1", datetime.now(UTC), b"{}"))
    meter = metrics.meter()
    meter.accepted(Side.TRUTHVOUCH, 0.004)
    meter.dropped("bridge", "unknown_alert")
    meter.parked("event", "poison")
    meter.paged(Urgency.HIGH, 0.5)
    listener = listen("127.0.0.1", 0)
    assert listener is not None
    MetricsServer(listener, bridge.metrics_text).start()
    yield listener.getsockname()[1]
    listener.close()
    bridge.close()
    if counts_before is not None:
        os.environ[metrics.FOLDER_VARIABLE] = counts_before


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, bridge_port: int) -> Iterator[str]:
    """A Prometheus that scrapes it every other second and evaluates our rules; its address."""
    tool, folder, port = prometheus_tool("prometheus"), tmp_path_factory.mktemp("prometheus"), free_port()
    config = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "bridge", "static_configs": [{"targets": [f"127.0.0.1:{bridge_port}"]}]}],
    }
    with (folder / "prometheus.yml").open("w") as out:
        YAML(typ="safe").dump(config, out)
    options = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen([tool, *options], stdout=log, stderr=log) as process:
        yield f"http://127.0.0.1:{port}/api/v1"
        process.kill()


def ask(address: str, path: str, **parameters: str) -> dict[str, Any]:
    """The data of an answer, empty while it is starting."""
    try:
        answer = requests.get(f"{address}/{path}", params=parameters, timeout=10)
    except requests.ConnectionError:
        return {}
    if answer.status_code == 503:
        return {}
    assert "success" == answer.json()["status"], answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def result_of(address: str, query: str) -> list[Any]:
    """What a query finds now."""
    found: list[Any] = ask(address, "query", query=query).get("result", [])
    return found


@pytest.mark.prometheus
def test_every_query_of_the_dashboard_is_answered_by_a_real_prometheus(prometheus: str):
    for query in queries():
        until(partial(result_of, prometheus, query), query, 60)


@pytest.mark.prometheus
def test_a_real_prometheus_evaluates_every_rule_and_a_healthy_bridge_raises_no_alert(prometheus: str):
    def evaluated() -> list[dict[str, Any]]:
        found = [rule for group in ask(prometheus, "rules").get("groups", ()) for rule in group["rules"]]
        return found if found and all(rule["health"] != "unknown" for rule in found) else []

    found = until(evaluated, "the rules are evaluated", 60)
    assert {rule["alert"]: "ok" for rule in rules()} == {rule["name"]: rule["health"] for rule in found}
    until(partial(result_of, prometheus, "truthvouch_bridge_build_info"), "a scrape", 60)
    firing = [rule["name"] for rule in evaluated() if rule["state"] == "firing"]
    assert [] == firing
