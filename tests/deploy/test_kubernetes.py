"""The manifests are what Kubernetes takes, fit together, and say what the program needs."""

import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from app.bootstrap.container import fingerprint
from app.config import bridge_yaml
from app.config.settings import Settings
from app.process import job_child, worker
from tests.conftest import prometheus_tool
from tests.deploy.manifests import (
    ADAPTER,
    CLUSTER,
    FINAL,
    MANIFESTS,
    ROOT,
    Yaml,
    documents,
    every,
    example_of,
    of_kubernetes,
    pods,
    resources,
)

VERSIONS = ("1.28", kubernetes_validate.latest_version())
"""The oldest that the documents name, and the newest that the schemas know."""
STOPS_WITHIN = 20
"""Seconds that ending may take: docs/operating.md."""
by_pod = pytest.mark.parametrize("pod", pods().values(), ids=pods().keys())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_every_manifest_is_what_kubernetes_takes(file: Path, version: str):
    assert documents(file)
    for document in documents(file):
        kubernetes_validate.validate(document, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found():
    (deployment, *_) = documents(CLUSTER / "worker.yaml")
    deployment["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


def test_the_oldest_version_is_the_one_that_the_documents_name():
    said = re.findall(r"Kubernetes (1\.\d+) or newer", (ROOT / "docs/operating.md").read_text("utf-8"))
    assert [VERSIONS[0]] == said


# ------------------------------------------------------------------------------------------------- what leads where


def test_everything_selects_pods_that_are_there():
    labels = [pod["metadata"]["labels"] for pod in pods().values()]

    def selected(by: Mapping[str, str]) -> int:
        return sum(by.items() <= one.items() for one in labels)

    for name, one in resources("Deployment").items():
        assert one["spec"]["selector"]["matchLabels"] == pods()[name]["metadata"]["labels"]
        (spread,) = pods()[name]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == pods()[name]["metadata"]["labels"]
    assert {1} == {selected(one["spec"]["selector"]) for one in resources("Service").values()}
    budgets = resources("PodDisruptionBudget")
    assert budgets.keys() == pods().keys()
    for name, budget in budgets.items():
        assert budget["spec"]["selector"]["matchLabels"] == pods()[name]["metadata"]["labels"]
        assert budget["spec"]["maxUnavailable"] < resources("Deployment")[name]["spec"]["replicas"]


def test_the_ingress_leads_to_the_web_by_way_of_its_service():
    (service,), (ingress,) = resources("Service").values(), resources("Ingress").values()
    (port,) = service["spec"]["ports"]
    (rule,) = ingress["spec"]["rules"]
    for path in rule["http"]["paths"]:
        assert {"name": service["metadata"]["name"], "port": {"name": port["name"]}} == path["backend"]["service"]
    (container,) = pods()["truthvouch-bridge-web"]["spec"]["containers"]
    assert port["targetPort"] in [one["name"] for one in container["ports"]]
    assert service["spec"]["selector"] == pods()["truthvouch-bridge-web"]["metadata"]["labels"]


@by_pod
def test_what_is_mounted_is_there(pod: Yaml):
    (container,) = pod["spec"]["containers"]
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert volumes.keys() == mounted.keys()
    assert volumes["config"]["configMap"]["name"] in resources("ConfigMap")
    assert container["envFrom"][0]["configMapRef"]["name"] in resources("ConfigMap")
    secret, mode = volumes["secrets"]["secret"]["secretName"], volumes["secrets"]["secret"]["defaultMode"]
    assert f"kubectl create secret generic {secret} " in (CLUSTER / "secrets.env.example").read_text("utf-8")
    assert 0o440 == mode
    # Every folder that the image writes to.
    assert {"/data", "/tmp"} <= {path for name, path in mounted.items() if "emptyDir" in volumes[name]}
    assert [] == [one for one in container["volumeMounts"] if "subPath" in one], "it would never change"


def test_every_file_that_the_environment_names_is_in_a_mounted_folder():
    keys = {*example_of(CLUSTER / "secrets.env.example")}
    data = resources("ConfigMap")["truthvouch-bridge-environment"]["data"]
    for pod in pods().values():
        (container,) = pod["spec"]["containers"]
        mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        files = {Path(path) for name, path in data.items() if name.endswith("_FILE")}
        assert {Path(mounted["secrets"]) / key for key in keys} == files
        config = Path(data["BRIDGE_CONFIG"])
        assert str(config.parent) == mounted["config"]
        assert config.name in resources("ConfigMap")["truthvouch-bridge-rules"]["data"]


def test_no_example_holds_a_secret():
    assert {""} == set(example_of(CLUSTER / "secrets.env.example").values())
    assert {} == resources("Secret")


# ------------------------------------------------------------------------------------------------- for the program


@pytest.mark.parametrize("name", ["web", "worker"])
def test_the_program_takes_the_environment_as_it_stands(name: str, tmp_path: Path):
    environment = {key: value for key, value in of_kubernetes()[name].environment.items() if key != "PATH"}
    for key in [key for key in environment if key.endswith("_FILE")]:
        (tmp_path / key).write_text("")
        environment[key] = str(tmp_path / key)
    environment["BRIDGE_CONFIG"] = str(tmp_path / "bridge.yaml")
    settings = Settings.from_env(environment)
    if name == "web":
        assert "web" == settings.role
    else:
        assert settings.metrics_listener == ("0.0.0.0", of_kubernetes()["worker"].port)


def test_the_example_of_a_rulebook_is_one(tmp_path: Path):
    path = tmp_path / "bridge.yaml"
    path.write_text(resources("ConfigMap")["truthvouch-bridge-rules"]["data"]["bridge.yaml"], "utf-8")
    bridge_yaml.load(path)


def test_a_changed_map_is_seen_in_a_mounted_folder(tmp_path: Path):
    """Kubernetes makes a folder anew and moves a link to it, as here."""

    def publish(version: str, text: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "bridge.yaml").write_text(text)
        (tmp_path / "new").symlink_to(version)
        (tmp_path / "new").replace(tmp_path / "..data")

    publish("1", "severity_map: {low: none}\n")
    (tmp_path / "bridge.yaml").symlink_to("..data/bridge.yaml")
    before = fingerprint(tmp_path / "bridge.yaml")
    publish("2", "severity_map: {low: high}\n")
    assert before is not None
    assert before != fingerprint(tmp_path / "bridge.yaml")


@by_pod
def test_every_pod_is_locked_down(pod: Yaml):
    spec = pod["spec"]
    (container,) = spec["containers"]
    (user,) = every("USER", FINAL)
    own = spec["securityContext"]
    assert f"{own['runAsUser']}:{own['runAsGroup']}" == user
    assert own["fsGroup"] == own["runAsGroup"]
    assert own["runAsNonRoot"] is True
    assert {"type": "RuntimeDefault"} == own["seccompProfile"]
    expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert expected == container["securityContext"]
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False


@by_pod
def test_every_pod_is_given_time_to_end(pod: Yaml):
    (container,) = pod["spec"]["containers"]
    pause = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    assert worker.LAST_CALL_SECONDS < STOPS_WITHIN
    assert pod["spec"]["terminationGracePeriodSeconds"] > STOPS_WITHIN + int(pause[1])


@by_pod
def test_no_limit_of_cpu_delays_a_page_and_memory_has_room_for_long_work(pod: Yaml):
    (container,) = pod["spec"]["containers"]
    limits, requests = container["resources"]["limits"], container["resources"]["requests"]
    assert {"memory"} == limits.keys()
    assert {"cpu", "memory"} == requests.keys()
    if container["name"] == "worker":
        room = mebibytes(limits["memory"]) - mebibytes(requests["memory"])
        assert room * 1024 * 1024 >= job_child.MEMORY_BYTES


def mebibytes(quantity: str) -> int:
    return int(quantity.removesuffix("Mi"))


def test_an_old_worker_is_gone_before_a_new_one_starts_and_web_processes_overlap():
    strategies = {name: one["spec"]["strategy"] for name, one in resources("Deployment").items()}
    assert {"type": "Recreate"} == strategies["truthvouch-bridge-worker"]
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert rolling == strategies["truthvouch-bridge-web"]


def test_no_probe_takes_the_web_away_because_workers_are_gone():
    assert {"/healthz", "/metrics"} == {path for one in of_kubernetes().values() for path, _ in one.asked}


def test_the_image_is_this_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    images = {pod["spec"]["containers"][0]["image"].rpartition("/")[2] for pod in pods().values()}
    assert {f"truthvouch-pagerduty-bridge:{version}"} == images


# ------------------------------------------------------------------------------------------------- autoscaling


def adapter_rule() -> Yaml:
    (rule,) = documents(ADAPTER)[0]["rules"]["external"]
    found: Yaml = rule
    return found


def test_workers_are_scaled_by_what_the_adapter_serves():
    (scaler,) = resources("HorizontalPodAutoscaler").values()
    (metric,) = scaler["spec"]["metrics"]
    assert adapter_rule()["name"]["as"] == metric["external"]["metric"]["name"]
    target = scaler["spec"]["scaleTargetRef"]
    deployment = resources(target["kind"])[target["name"]]
    assert (target["apiVersion"], "worker") == (
        deployment["apiVersion"],
        pods()[target["name"]]["spec"]["containers"][0]["name"],
    )
    assert scaler["spec"]["minReplicas"] == deployment["spec"]["replicas"]
    assert scaler["spec"]["maxReplicas"] <= 64
    asked = re.findall(r"(truthvouch_bridge_\w+)\{", adapter_rule()["metricsQuery"])
    assert adapter_rule()["seriesQuery"].partition("{")[0] in asked
    assert adapter_rule()["metricsQuery"].count("{<<.LabelMatchers>>}") == len(asked)


@pytest.mark.prometheus
def test_the_age_counts_while_no_target_is_paused(tmp_path: Path):
    """In two namespaces: the other's age is nobody's business here."""
    query = adapter_rule()["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="here"')

    def case(name: str, paused: int, expected: int) -> dict[str, Any]:
        series = [
            ('truthvouch_bridge_oldest_waiting_seconds{namespace="here",pod="a"}', "90"),
            ('truthvouch_bridge_oldest_waiting_seconds{namespace="here",pod="b"}', "91"),
            ('truthvouch_bridge_oldest_waiting_seconds{namespace="there",pod="c"}', "900"),
            ('truthvouch_bridge_paused_targets{namespace="here",pod="a"}', str(paused)),
            ('truthvouch_bridge_paused_targets{namespace="there",pod="c"}', "2"),
        ]
        asked = {"expr": query, "eval_time": "0m", "exp_samples": [{"labels": "{}", "value": expected}]}
        inputs = [{"series": one, "values": value} for one, value in series]
        return {"name": name, "interval": "1m", "input_series": inputs, "promql_expr_test": [asked]}

    file = tmp_path / "adapter.test.yml"
    with file.open("w") as out:
        YAML(typ="safe").dump({"tests": [case("waiting", 0, 91), case("paused", 1, 0)]}, out)
    command = [prometheus_tool("promtool"), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
