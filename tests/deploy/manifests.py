"""What lies in ``deploy/``, read, and what of the program it may name."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from app.config.environment import SECRETS, SERVICE_KEY, VARIABLES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
IMAGE = "truthvouch-pagerduty-bridge"

Yaml = dict[str, Any]


def documents(file: Path) -> list[Yaml]:
    with file.open("r", encoding="utf-8") as text:
        return list(YAML(typ="safe").load_all(text))


def known_variables() -> set[str]:
    return {*VARIABLES, *(f"{secret}_FILE" for secret in SECRETS)}


def is_variable(name: str) -> bool:
    return name in known_variables() or name.startswith(SERVICE_KEY)


def example_of(file: Path) -> dict[str, str]:
    """The variables of an example environment, empty ones included."""
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", file.read_text("utf-8"), re.M))


# ------------------------------------------------------------------------------------------------- the image


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of the Dockerfile in order, continuation lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.M)
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def every(word: str, stage: list[tuple[str, str]]) -> list[str]:
    return [rest for name, rest in stage if name == word]


BUILD, FINAL = stages()
IMAGE_ENVIRONMENT = dict(re.findall(r"([A-Z_]+)=(\S+)", " ".join(every("ENV", FINAL))))
IMAGE_COMMAND: list[str] = json.loads(every("CMD", FINAL)[0])
IMAGE_CHECK: list[str] = json.loads(every("HEALTHCHECK", FINAL)[0].partition("CMD ")[2])


# ------------------------------------------------------------------------------------------------- our containers


@dataclass
class Started:
    """What a manifest starts from our image."""

    name: str
    environment: dict[str, str]
    """All of it: the image's, that of files and maps, the container's own."""
    command: list[str]
    check: list[str] | None = None
    """The health check that is run inside the container."""
    asked: list[tuple[str, int]] = field(default_factory=list)
    """(path, port) of everything that is asked from outside by GET: probes and Prometheus."""
    copies: int = 1
    files: dict[str, str] = field(default_factory=dict)
    """What is mounted from maps: the text by its path."""

    @property
    def port(self) -> int:
        """Where it has to listen by its own environment."""
        if self.command == IMAGE_COMMAND:
            return int(self.environment["PORT"])
        assert ["truthvouch", "worker"] == self.command
        return int(self.environment["BRIDGE_METRICS_PORT"].rpartition(":")[2])


def of_compose(file: str) -> dict[str, Started]:
    """Our services of a compose file."""
    return {name: started_by(name, service) for name, service in services_of(file).items() if service["image"] == IMAGE}


def services_of(file: str) -> dict[str, Yaml]:
    services: dict[str, Yaml] = documents(DEPLOY / file)[0]["services"]
    return services


def started_by(name: str, service: Yaml) -> Started:
    own = {
        key: re.sub(r"\$\{(\w+):\?[^}]*\}", r"some-\1", value) for key, value in service.get("environment", {}).items()
    }
    environment = IMAGE_ENVIRONMENT | example_of(DEPLOY / f"{service['env_file']}.example") | own
    check = service.get("healthcheck", {}).get("test", ["CMD", *IMAGE_CHECK])
    assert "CMD" == check[0]
    copies = service.get("deploy", {}).get("replicas", 1)
    return Started(name, environment, service.get("command", IMAGE_COMMAND), check[1:], copies=copies)


# ------------------------------------------------------------------------------------------------- Kubernetes

CLUSTER = DEPLOY / "kubernetes"
ADAPTER = CLUSTER / "optional/prometheus-adapter.values.yaml"
MANIFESTS = sorted({*CLUSTER.rglob("*.yaml")} - {ADAPTER})


def resources(kind: str) -> dict[str, Yaml]:
    """Every resource of that kind by its name."""
    every = [one for file in MANIFESTS for one in documents(file)]
    return {one["metadata"]["name"]: one for one in every if one["kind"] == kind}


def pods() -> dict[str, Yaml]:
    """The pod templates by the name of their Deployment."""
    return {name: one["spec"]["template"] for name, one in resources("Deployment").items()}


def of_kubernetes() -> dict[str, Started]:
    """The containers of all Deployments by name."""
    found = {}
    for deployment in resources("Deployment").values():
        pod = deployment["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        environment = dict(IMAGE_ENVIRONMENT)
        for source in container["envFrom"]:
            environment |= resources("ConfigMap")[source["configMapRef"]["name"]]["data"]
        environment |= {one["name"]: one["value"] for one in container["env"]}
        asked = [*probes(container), scraped(pod)]
        copies = deployment["spec"]["replicas"]
        command = container.get("args", IMAGE_COMMAND)
        files = dict(mapped(pod["spec"]))
        found[container["name"]] = Started(container["name"], environment, command, None, asked, copies, files)
    return found


def mapped(pod: Yaml) -> Iterator[tuple[str, str]]:
    """Path and text of what a pod mounts from maps."""
    maps = {one["name"]: one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one}
    for mount in pod["containers"][0]["volumeMounts"]:
        if mount["name"] in maps:
            for name, text in resources("ConfigMap")[maps[mount["name"]]]["data"].items():
                yield f"{mount['mountPath']}/{name}", text


def probes(container: Yaml) -> Iterator[tuple[str, int]]:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[name]["httpGet"]
        yield asked["path"], ports[asked["port"]]


def scraped(pod: Yaml) -> tuple[str, int]:
    noted = pod["metadata"]["annotations"]
    assert "true" == noted["prometheus.io/scrape"]
    return noted["prometheus.io/path"], int(noted["prometheus.io/port"])
