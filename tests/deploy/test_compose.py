"""The containers on PostgreSQL find one another, and everything that is mounted is there."""

import ipaddress
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.config.settings import Settings
from tests.deploy.manifests import DEPLOY, IMAGE, Yaml, documents, of_compose, services_of
from tests.test_docker import NGINX

FILE = "compose.postgres.yaml"
(COMPOSE,) = documents(DEPLOY / FILE)
SERVICES = services_of(FILE)
LISTENS = {"postgres": 5432, "prometheus": 9090, "grafana": 3000, "proxy": 443}
"""Where the programs of others listen by themselves."""
BROUGHT = {"./tls"}
"""What its operator has to put there."""


def mounts(service: Yaml) -> dict[str, str]:
    """By the place inside the container, what is mounted there."""
    return {inside: outside for outside, inside in (one.split(":")[:2] for one in service["volumes"])}


def ports_of(name: str) -> int:
    ours = of_compose(FILE)
    return ours[name].port if name in ours else LISTENS[name]


def test_there_are_two_of_each_of_ours():
    assert {"web": 2, "worker": 2} == {name: one.copies for name, one in of_compose(FILE).items()}
    assert [] == [name for name, one in SERVICES.items() if one["image"] == IMAGE and "ports" in one], (
        "two cannot share one"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name: str):
    for outside in mounts(SERVICES[name]).values():
        if outside.startswith("."):
            assert outside in BROUGHT or (DEPLOY / outside).exists()
        else:
            assert outside in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_the_host_serves_leads_to_where_the_service_listens(name: str):
    for port in SERVICES[name].get("ports", []):
        *host, inside = port.split(":")
        assert ports_of(name) == int(inside)
        assert "proxy" == name or "127.0.0.1" == host[0], "for the host alone"


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_has_a_health_check(name: str):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert {"condition": "service_healthy"} == how
        assert "healthcheck" in SERVICES[other] or SERVICES[other]["image"] == IMAGE


@pytest.mark.parametrize("name", of_compose(FILE))
def test_ours_find_the_database_under_its_own_name(name: str):
    url, server = urlsplit(of_compose(FILE)[name].environment["DATABASE_URL"]), SERVICES["postgres"]["environment"]
    assert url.hostname in SERVICES
    assert url.port == LISTENS[str(url.hostname)]
    assert (url.username, url.path) == (server["POSTGRES_USER"], f"/{server['POSTGRES_DB']}")
    assert url.password == "some-" + re.findall(r"\$\{(\w+):\?", server["POSTGRES_PASSWORD"])[0]


def test_the_proxy_is_the_only_one_whose_headers_are_believed():
    ((network,),) = [one["ipam"]["config"] for one in COMPOSE["networks"].values()]
    trusted = of_compose(FILE)["web"].environment["BRIDGE_TRUSTED_PROXIES"]
    assert trusted == network["subnet"]
    assert ipaddress.ip_network(trusted).is_private


@pytest.mark.parametrize("file", ["compose.yaml", FILE])
def test_the_program_takes_the_environment_as_it_stands(file: str, tmp_path: Path):
    for one in of_compose(file).values():
        settings = Settings.from_env(one.environment | {"BRIDGE_CONFIG": str(tmp_path / "bridge.yaml")})
        assert ("web" if one.name == "web" else "all") == settings.role


# ------------------------------------------------------------------------------------------------- programs of others


def test_the_proxy_has_its_configuration_its_certificate_and_its_log_where_it_looks_for_them():
    mounted = mounts(SERVICES["proxy"])
    here = {Path(inside).parent for inside in mounted if inside.endswith(".conf")}
    assert {Path("/etc/nginx/conf.d")} == here
    assert {"./nginx.conf", "./nginx-upstream.compose.conf"} == set(mounted.values()) - BROUGHT
    certificates = {str(Path(path).parent) for path in re.findall(r"ssl_certificate(?:_key)? (\S+);", NGINX)}
    assert {"./tls"} == {mounted[folder] for folder in certificates}
    (log,) = re.findall(r"access_log (\S+) ", NGINX)
    assert f"ln -sf /dev/stdout {log} && exec nginx " in SERVICES["proxy"]["command"][2]
    assert {str(LISTENS["proxy"])} == set(re.findall(r"listen (?:\[::\]:)?(\d+) ssl;", NGINX))


def test_prometheus_has_our_configuration_and_the_alert_rules():
    assert "./prometheus" == mounts(SERVICES["prometheus"])["/etc/prometheus"]
    assert (DEPLOY / "prometheus/prometheus.yml").is_file(), "the name that the image looks for"


def test_grafana_has_our_dashboard_and_asks_prometheus():
    mounted = mounts(SERVICES["grafana"])
    assert "./grafana/provisioning" == mounted["/etc/grafana/provisioning"]
    (dashboards,) = (DEPLOY / "grafana/provisioning/dashboards").iterdir()
    (provider,) = documents(dashboards)[0]["providers"]
    found = [outside for inside, outside in mounted.items() if str(Path(inside).parent) == provider["options"]["path"]]
    (dashboard,) = [json.loads((DEPLOY / outside).read_text("utf-8")) for outside in found]
    assert "truthvouch-bridge" == dashboard["uid"]
    (sources,) = (DEPLOY / "grafana/provisioning/datasources").iterdir()
    (source,) = documents(sources)[0]["datasources"]
    url = urlsplit(source["url"])
    assert ports_of(str(url.hostname)) == url.port
    assert {"prometheus"} == {one["query"] for one in dashboard["templating"]["list"] if one["type"] == "datasource"}
    assert "prometheus" == source["type"]
    assert source["isDefault"] is True
