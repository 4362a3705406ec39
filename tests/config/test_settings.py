"""The environment: everything it can say, every fault at once, and no secret in sight."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from app.config.bridge_yaml import load
from app.config.environment import SECRETS, VARIABLES
from app.config.settings import Settings
from app.domain.model.types import Via
from app.domain.rules.rulebook import ConsoleRules, Rulebook
from app.errors import ConfigFault

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"
QUICK_START = {"PAGERDUTY_INTEGRATION_KEY": "R1"}
REST = {"PAGERDUTY_API_KEY": "k", "PAGERDUTY_FROM_EMAIL": "bridge@example.com", "PAGERDUTY_SERVICE_ID": "P1"}
ADDRESSES = {"DATABASE_URL", "BRIDGE_HEARTBEAT_URL"}
"""Secrets that have a shape of their own."""
HOOKS = {"TRUTHVOUCH_WEBHOOK_SECRETS": "a", "PAGERDUTY_WEBHOOK_SECRETS": "b", "TRUTHVOUCH_API_KEY": "c"}


def faults(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(ConfigFault) as refusal:
        Settings.from_env(environ)
    return {fault.path: fault.description for fault in refusal.value.faults}


def test_an_empty_environment_means_the_defaults():
    settings = Settings.from_env({})
    assert (8080, 2, "all", Path("data"), None, Path("bridge.yaml"), 300) == (
        settings.port,
        settings.web_concurrency,
        settings.role,
        settings.data_dir,
        settings.database_url,
        settings.config_path,
        settings.reconcile_seconds,
    )
    assert (None, (), None, "INFO") == (
        settings.public_url,
        settings.trusted_proxies,
        settings.log_format,
        settings.log_level,
    )
    assert settings.truthvouch.api_url == "https://api.truthvouch.com/api/v1"
    assert (960, 120) == (settings.pagerduty.rest_per_minute, settings.pagerduty.events_per_minute)
    assert not settings.has_partner_credentials


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("10.0.0.5:9464", ("10.0.0.5", 9464)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[fd00::5]:65535", ("fd00::5", 65535)),
    ],
)
def test_a_worker_serves_its_metrics_at_a_port_or_at_an_address_and_a_port(value: str, expected: tuple[str, int]):
    assert expected == Settings.from_env({"BRIDGE_METRICS_PORT": value}).metrics_listener


@pytest.mark.parametrize(
    "value",
    ["0", "65536", "x", "localhost:9464", "fd00::5:9464", "[10.0.0.5]:9464", "10.0.0:9464", ":9464", "::1", "-1"],
)
def test_where_nobody_can_listen_is_a_fault(value: str):
    assert {"BRIDGE_METRICS_PORT"} == set(faults({"BRIDGE_METRICS_PORT": value}))


def test_the_address_of_a_service_of_that_name_is_none_of_ours():
    """Kubernetes sets it for a Service that is called ``bridge-metrics``."""
    assert Settings.from_env({"BRIDGE_METRICS_PORT": "tcp://10.0.0.1:9464"}).metrics_listener is None


def test_an_empty_variable_counts_as_unset():
    assert Settings.from_env({}) == Settings.from_env(dict.fromkeys(VARIABLES, ""))


def test_everything_that_can_be_set():
    settings = Settings.from_env(
        {
            "PORT": "0",
            "BIND": "127.0.0.1, [::1]",
            "WEB_CONCURRENCY": "4",
            "BRIDGE_ROLE": "web",
            "BRIDGE_DATA_DIR": "/data",
            "DATABASE_URL": "postgresql://u:p@db/bridge",
            "BRIDGE_CONFIG": "/etc/bridge.yaml",
            "BRIDGE_ADMIN_TOKEN": "t",
            "BRIDGE_SECRET_KEY": "new, old",
            "BRIDGE_METRICS_PORT": "[::1]:9464",
            "BRIDGE_RECONCILE_SECONDS": "1.5",
            "BRIDGE_PUBLIC_URL": "https://bridge.example.com/",
            "BRIDGE_TRUSTED_PROXIES": "10.0.0.5, 192.168.0.0/16,::1",
            "LOG_FORMAT": "JSON",
            "LOG_LEVEL": "debug",
            "TRUTHVOUCH_API_URL": "http://127.0.0.1:9001/api/v1/",
            "TRUTHVOUCH_API_KEY": "tk",
            "TRUTHVOUCH_WEBHOOK_SECRETS": "new, old,",
            "PAGERDUTY_API_KEY": "pk",
            "PAGERDUTY_FROM_EMAIL": "bridge@example.com",
            "PAGERDUTY_INTEGRATION_KEY": "ik",
            "PAGERDUTY_SERVICE_ID": "P1",
            "PAGERDUTY_INTEGRATION_KEY_P2": "ik2",
            "PAGERDUTY_REST_PER_MINUTE": "0",
            "PAGERDUTY_EVENTS_PER_MINUTE": "60",
            "PAGERDUTY_WEBHOOK_SECRETS": "w",
        }
    )
    assert (0, 4, "web", Path("/data"), "postgresql://u:p@db/bridge", Path("/etc/bridge.yaml"), "t", 1.5) == (
        settings.port,
        settings.web_concurrency,
        settings.role,
        settings.data_dir,
        settings.database_url,
        settings.config_path,
        settings.admin_token,
        settings.reconcile_seconds,
    )
    assert (("127.0.0.1", "::1"), ("::1", 9464)) == (settings.bind, settings.metrics_listener)
    assert ("new", "old") == settings.secret_keys
    assert ("https://bridge.example.com", ("10.0.0.5", "192.168.0.0/16", "::1"), "json", "DEBUG") == (
        settings.public_url,
        settings.trusted_proxies,
        settings.log_format,
        settings.log_level,
    )
    assert ("http://127.0.0.1:9001/api/v1", "tk", ("new", "old")) == (
        settings.truthvouch.api_url,
        settings.truthvouch.api_key,
        settings.truthvouch.webhook_secrets,
    )
    pagerduty = settings.pagerduty
    assert ("pk", "bridge@example.com", "ik", "P1", {"P2": "ik2"}, 0, 60, ("w",)) == (
        pagerduty.api_key,
        pagerduty.from_email,
        pagerduty.integration_key,
        pagerduty.service_id,
        pagerduty.service_keys,
        pagerduty.rest_per_minute,
        pagerduty.events_per_minute,
        pagerduty.webhook_secrets,
    )


@pytest.mark.parametrize(("region", "infix"), [("us", ""), ("EU", ".eu")])
def test_the_region_sets_both_addresses(region: str, infix: str):
    pagerduty = Settings.from_env({"PAGERDUTY_REGION": region}).pagerduty
    assert (f"https://api{infix}.pagerduty.com", f"https://events{infix}.pagerduty.com") == (
        pagerduty.api_url,
        pagerduty.events_url,
    )


def test_an_address_beats_the_region():
    pagerduty = Settings.from_env({"PAGERDUTY_REGION": "eu", "PAGERDUTY_API_URL": "http://localhost:1"}).pagerduty
    assert ("http://localhost:1", "https://events.eu.pagerduty.com") == (pagerduty.api_url, pagerduty.events_url)


def test_the_file_fills_region_and_service_where_the_environment_is_silent():
    book = Rulebook(region="eu", service_id="PFILE")
    filled = Settings.from_env({}).with_rulebook(book).pagerduty
    assert ("eu", "https://api.eu.pagerduty.com", "PFILE") == (filled.region, filled.api_url, filled.service_id)


def test_the_environment_beats_the_file():
    book = Rulebook(region="eu", service_id="PFILE")
    settings = Settings.from_env({"PAGERDUTY_REGION": "us", "PAGERDUTY_SERVICE_ID": "PENV"})
    kept = settings.with_rulebook(book).pagerduty
    assert ("us", "https://api.pagerduty.com", "PENV") == (kept.region, kept.api_url, kept.service_id)
    assert settings.over(book).service_id == "PENV"
    assert Settings.from_env({}).over(book).service_id == "PFILE"
    assert (Via.EVENTS, Via.REST) == (Settings.from_env({}).over(book).via, Settings.from_env(REST).over(book).via)


def test_an_address_in_the_environment_beats_the_files_region():
    settings = Settings.from_env({"PAGERDUTY_EVENTS_URL": "http://localhost:2"})
    filled = settings.with_rulebook(Rulebook(region="eu")).pagerduty
    assert ("https://api.eu.pagerduty.com", "http://localhost:2") == (filled.api_url, filled.events_url)


def test_a_changed_file_may_take_back_what_it_filled_in():
    filled = Settings.from_env({}).with_rulebook(Rulebook(region="eu", service_id="PFILE"))
    assert Settings.from_env({}) == filled.with_rulebook(Rulebook())


def test_every_secret_may_come_in_a_file(tmp_path: Path):
    path = tmp_path / "secret"
    path.write_bytes(b"postgresql://hush\n")
    address = tmp_path / "address"
    address.write_bytes(b"https://beats.example.com/hush?status=up\n")
    files = dict.fromkeys((*SECRETS, "PAGERDUTY_INTEGRATION_KEY_P2"), path) | {"BRIDGE_HEARTBEAT_URL": address}
    read = Settings.from_env({f"{name}_FILE": str(file) for name, file in files.items()})
    assert "https://beats.example.com/hush?status=up" == read.heartbeat_url
    assert {"postgresql://hush"} == {
        read.database_url,
        read.admin_token,
        *read.secret_keys,
        read.self_integration_key,
        read.truthvouch.api_key,
        *read.truthvouch.webhook_secrets,
        read.pagerduty.api_key,
        read.pagerduty.integration_key,
        read.pagerduty.service_keys["P2"],
        *read.pagerduty.webhook_secrets,
    }


@pytest.mark.parametrize("value", ["hc-ping.com/token", "ftp://beats.example.com/token", "https://", "https:///token"])
def test_a_heartbeat_address_that_is_none_is_a_fault_that_does_not_quote_it(value: str):
    answer = faults({"BRIDGE_HEARTBEAT_URL": value})["BRIDGE_HEARTBEAT_URL"]
    assert "is no web address" in answer
    assert "token" not in answer


def test_a_file_that_cannot_be_read_is_a_fault_that_names_it(tmp_path: Path):
    latin = tmp_path / "latin"
    latin.write_bytes(b"\xe9")
    answer = faults({"PAGERDUTY_API_KEY_FILE": str(tmp_path / "gone"), "TRUTHVOUCH_API_KEY_FILE": str(latin)})
    assert f"'{tmp_path / 'gone'}' cannot be read" in answer["PAGERDUTY_API_KEY_FILE"]
    assert "no text in UTF-8" in answer["TRUTHVOUCH_API_KEY_FILE"]


def test_a_secret_put_where_a_path_belongs_is_not_quoted():
    assert "hush" not in str(faults({"PAGERDUTY_API_KEY_FILE": "hush-hush"}))


def test_a_variable_and_its_file_together_are_a_fault(tmp_path: Path):
    path = tmp_path / "secret"
    path.write_text("hush", "utf-8")
    answer = faults({"PAGERDUTY_API_KEY": "hush", "PAGERDUTY_API_KEY_FILE": str(path)})
    assert {"PAGERDUTY_API_KEY": "is set, and PAGERDUTY_API_KEY_FILE too; set one of them"} == answer


@pytest.mark.parametrize("secret", ["x", "x" * 10_000, "tv-wrong-prefix", "p@ss word", '"', "it's", "é"])
def test_no_secret_is_refused_for_its_shape_or_length(secret: str):
    settings = Settings.from_env({"PAGERDUTY_API_KEY": secret, "BRIDGE_ADMIN_TOKEN": secret})
    assert (secret, secret) == (settings.pagerduty.api_key, settings.admin_token)


SERVICE_KEY_P2 = "PAGERDUTY_INTEGRATION_KEY_P2"
AROUND = ["k\n", "k\r\n", " k", "\tk \n", '"k"', "'k'", '"k"\n', '" k "']


def secrets_of(settings: Settings) -> set[str | None]:
    """Every secret of these settings."""
    truthvouch, pagerduty = settings.truthvouch, settings.pagerduty
    listed = (*truthvouch.webhook_secrets, *pagerduty.webhook_secrets, *pagerduty.service_keys.values())
    return {settings.admin_token, *settings.secret_keys, truthvouch.api_key, pagerduty.api_key,
            pagerduty.integration_key, *listed}  # fmt: skip


@pytest.mark.parametrize("secret", AROUND)
def test_blanks_line_breaks_and_quotes_around_a_secret_are_none_of_it(secret: str):
    names = {*SECRETS, SERVICE_KEY_P2} - ADDRESSES
    assert {"k"} == secrets_of(Settings.from_env(dict.fromkeys(names, secret)))
    address = Settings.from_env({"DATABASE_URL": secret.replace("k", "postgresql://u@h/d")})
    assert "postgresql://u@h/d" == address.database_url


@pytest.mark.parametrize("secret", ["k\n", "\ufeffk\r\n", " k "])
def test_blanks_and_line_breaks_around_a_secret_in_a_file_are_none_of_it(tmp_path: Path, secret: str):
    path = tmp_path / "secret"
    path.write_bytes(secret.encode())
    names = {*SECRETS, SERVICE_KEY_P2} - ADDRESSES
    assert {"k"} == secrets_of(Settings.from_env({f"{name}_FILE": str(path) for name in names}))


def test_a_blank_secret_is_none(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("pagerduty: {api_key: k, webhook_secrets: [s]}\n", "utf-8")
    blank = {"PAGERDUTY_API_KEY": " \n", "PAGERDUTY_WEBHOOK_SECRETS": "", "BRIDGE_CONFIG": str(file)}
    settings = Settings.from_env(blank)
    assert ("k", ("s",)) == (settings.pagerduty.api_key, settings.pagerduty.webhook_secrets)
    assert {"pagerduty.api_key", "pagerduty.webhook_secrets"} == settings.in_file


def test_line_breaks_part_the_secrets_of_a_list():
    answer = Settings.from_env({"PAGERDUTY_WEBHOOK_SECRETS": "new\r\nold\n\nolder, oldest\n"})
    assert ("new", "old", "older", "oldest") == answer.pagerduty.webhook_secrets


@pytest.mark.parametrize("name", ["TRUTHVOUCH_WEBHOOK_SECRETS", "PAGERDUTY_WEBHOOK_SECRETS"])
@pytest.mark.parametrize(
    "listed",
    ['"aaa","bbb"', "'aaa', 'bbb'", '"aaa, bbb"', '\'"aaa","bbb"\'', '"aaa"\n"bbb"', "aaa,'bbb'", '"","aaa",bbb'],
)
def test_quotes_around_a_list_of_secrets_or_each_of_them_are_none_of_it(name: str, listed: str):
    settings = Settings.from_env({name: listed})
    assert {"aaa", "bbb", None} == secrets_of(settings)


def test_quotes_in_a_file_of_secrets_are_of_the_secret(tmp_path: Path):
    (tmp_path / "secrets").write_text('"aaa"\nbbb\n')
    settings = Settings.from_env({"PAGERDUTY_WEBHOOK_SECRETS_FILE": str(tmp_path / "secrets")})
    assert ('"aaa"', "bbb") == settings.pagerduty.webhook_secrets


@pytest.mark.parametrize("name", [*SECRETS, SERVICE_KEY_P2])
@pytest.mark.parametrize("secret", ["hu\0sh", "hu\x7fsh", "hu\tsh"])
def test_a_control_character_inside_a_secret_is_a_fault_that_names_the_variable(name: str, secret: str):
    answer = faults({name: secret if name != "DATABASE_URL" else f"postgresql://{secret}"})
    assert [name] == list(answer)
    assert "control character" in answer[name]
    assert "hu" not in answer[name]


@pytest.mark.parametrize("name", ["TRUTHVOUCH_API_KEY", "PAGERDUTY_API_KEY", "PAGERDUTY_FROM_EMAIL"])
def test_what_no_header_can_carry_is_a_fault_where_it_would_be_sent_in_one(name: str):
    answer = faults({name: "me@example.com\u200b"})
    assert [name] == list(answer)
    assert "no HTTP header can carry" in answer[name]
    assert ("me@example" in answer[name]) is (name == "PAGERDUTY_FROM_EMAIL")
    assert "🔑" == Settings.from_env({"BRIDGE_ADMIN_TOKEN": "🔑"}).admin_token


@pytest.mark.parametrize("email", ["ü\u0100@example.com", "a\x01b@example.com", "'me@example.com'", "me", "@", "a b@c"])
def test_an_address_that_cannot_be_sent_is_a_fault_in_either_place(tmp_path: Path, email: str):
    assert ["PAGERDUTY_FROM_EMAIL"] == list(faults({"PAGERDUTY_FROM_EMAIL": email}))
    file = tmp_path / "bridge.yaml"
    file.write_text(json.dumps({"pagerduty": {"from_email": email}}), "utf-8")
    with pytest.raises(ConfigFault, match="from_email"):
        load(file)
    assert "dané@example.com" == Settings.from_env({"PAGERDUTY_FROM_EMAIL": "dané@example.com"}).pagerduty.from_email


@pytest.mark.parametrize(
    "name", ["PORT", "BRIDGE_DATA_DIR", "BRIDGE_CONFIG", "PAGERDUTY_SERVICE_ID", "LOG_LEVEL", "PAGERDUTY_API_URL"]
)
def test_quotes_around_anything_else_are_a_fault_that_says_where_they_come_from(name: str):
    answer = faults({name: '"8080"'})
    assert [name] == list(answer)
    assert "--env-file" in answer[name]


@pytest.mark.parametrize("place", ["pagerduty.api_key", "pagerduty.integration_key", "truthvouch.api_key"])
def test_a_key_in_the_file_is_read_like_one_in_the_environment(tmp_path: Path, place: str):
    file, (section, key) = tmp_path / "bridge.yaml", place.split(".")
    file.write_text(json.dumps({section: {key: " k\n"}}), "utf-8")
    settings = Settings.from_env({"BRIDGE_CONFIG": str(file)})
    assert {"k", None} == secrets_of(settings)
    file.write_text(json.dumps({section: {key: "hu\nsh"}}), "utf-8")
    with pytest.raises(ConfigFault, match=place) as refused:
        load(file)
    assert "hu" not in str(refused.value)


def test_webhook_secrets_in_the_file_are_read_like_those_in_the_environment(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text(json.dumps({"pagerduty": {"webhook_secrets": ["new\n", " old"]}}), "utf-8")
    assert ("new", "old") == Settings.from_env({"BRIDGE_CONFIG": str(file)}).pagerduty.webhook_secrets
    file.write_text(json.dumps({"pagerduty": {"webhook_secrets": ["hu\nsh", " "]}}), "utf-8")
    with pytest.raises(ConfigFault, match="control character") as refused:
        load(file)
    assert 2 == len(refused.value.faults)


MALFORMED = {
    "PORT": "eighty",
    "BIND": "127.0.0.1,localhost",
    "WEB_CONCURRENCY": "0",
    "BRIDGE_ROLE": "worker",
    "DATABASE_URL": "sqlite:///hush",
    "BRIDGE_RECONCILE_SECONDS": "0.5",
    "BRIDGE_PUBLIC_URL": "bridge",
    "BRIDGE_TRUSTED_PROXIES": "10.0.0.1, proxy",
    "LOG_FORMAT": "xml",
    "LOG_LEVEL": "loud",
    "TRUTHVOUCH_API_URL": "https://user:hush@h",
    "PAGERDUTY_REGION": "mars",
    "PAGERDUTY_API_URL": "https://h?key=hush",
    "PAGERDUTY_EVENTS_URL": "https://h:99999",
    "PAGERDUTY_FROM_EMAIL": "me",
    "PAGERDUTY_REST_PER_MINUTE": "-1",
    "PAGERDUTY_EVENTS_PER_MINUTE": "1.5",
    "PAGERDUTY_APIKEY": "hush",
    "TRUTHVOUCH_WEBHOOK_SECRET": "hush",
    "BRIDGE_TOKEN": "hush",
    "PAGERDUTY_INTEGRATION_KEY_": "hush",
}


def test_all_malformed_values_and_unknown_names_are_named_at_once_in_order():
    assert sorted(MALFORMED) == list(faults(MALFORMED))


def test_no_fault_quotes_a_secret():
    assert "hush" not in str(faults(MALFORMED))


def test_a_misspelt_variable_is_reported_its_name():
    answer = faults(MALFORMED)
    assert answer["PAGERDUTY_APIKEY"] == "unknown variable; did you mean PAGERDUTY_API_KEY?"
    assert answer["TRUTHVOUCH_WEBHOOK_SECRET"] == "unknown variable; did you mean TRUTHVOUCH_WEBHOOK_SECRETS?"


SERVICE_LINKS = {
    "BRIDGE_SERVICE_HOST": "10.0.0.7",
    "BRIDGE_SERVICE_PORT": "8080",
    "BRIDGE_SERVICE_PORT_HTTP": "8080",
    "BRIDGE_PORT": "tcp://10.0.0.7:8080",
    "BRIDGE_PORT_8080_TCP": "tcp://10.0.0.7:8080",
    "BRIDGE_PORT_8080_TCP_PROTO": "tcp",
    "BRIDGE_PORT_8080_TCP_PORT": "8080",
    "BRIDGE_PORT_8080_TCP_ADDR": "10.0.0.7",
    "TRUTHVOUCH_BRIDGE_SERVICE_HOST": "10.0.0.8",
    "TRUTHVOUCH_BRIDGE_PORT": "tcp://[fd00::8]:8080",
    "PAGERDUTY_PROXY_PORT_53_UDP": "udp://10.0.0.9:53",
    "BRIDGE_PORT_8080_TCP_START": "tcp://172.17.0.2:8080",
    "BRIDGE_PORT_8080_TCP_PORT_START": "8080",
    "BRIDGE_PORT_8080_TCP_END": "tcp://172.17.0.2:8089",
    "BRIDGE_PORT_8080_TCP_PORT_END": "8089",
}


def test_the_addresses_that_a_cluster_puts_into_every_pod_are_no_settings():
    Settings.from_env(SERVICE_LINKS)


CONTAINER_LINK = {
    "BRIDGE_NAME": "/web/bridge",
    "BRIDGE_ENV_PATH": "/usr/bin:/bin",
    "BRIDGE_ENV_TRUTHVOUCH_API_KEY": "k",
}


def test_what_docker_tells_of_a_linked_container_is_no_setting():
    Settings.from_env(CONTAINER_LINK | {"BRIDGE_PORT": "tcp://172.17.0.2:8080"})


@pytest.mark.parametrize("name", CONTAINER_LINK)
def test_without_the_address_of_a_linked_container_such_a_variable_is_refused(name: str):
    for port in ({}, {"TRUTHVOUCH_BRIDGE_PORT": "tcp://172.17.0.2:8080"}):
        assert [name] == list(faults({name: "x"} | port))
    assert {name, "BRIDGE_PORT"} == set(faults({name: "x", "BRIDGE_PORT": "8080"}))


@pytest.mark.parametrize("name", ["BRIDGE_PORT", "BRIDGE_SERVICE_HOTS", "PAGERDUTY_SERVICE_PROT", "BRIDGE_PORT_HTTP"])
def test_a_misspelt_variable_that_looks_like_such_an_address_is_still_refused(name: str):
    assert list(faults({name: "8080"})) == [name]


def test_what_only_the_bridge_itself_sets_is_never_suggested():
    assert "PARENT_FD" not in faults({"BRIDGE_PARENT_F": "3"})["BRIDGE_PARENT_F"]


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon", "0.99"])
def test_a_time_to_reconcile_that_cannot_be_is_a_fault(seconds: str):
    assert list(faults({"BRIDGE_RECONCILE_SECONDS": seconds})) == ["BRIDGE_RECONCILE_SECONDS"]


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("1", 1), ("2.5", 2.5), ("86400", 86400)])
def test_any_time_from_a_second_on_is_honoured_and_zero_is_never(text: str, seconds: float):
    assert seconds == Settings.from_env({"BRIDGE_RECONCILE_SECONDS": text}).reconcile_seconds


def test_variables_of_other_programs_are_none_of_our_business():
    assert Settings.from_env({}) == Settings.from_env({"PATH": "/bin", "PAGER": "less", "BRIDGES": "2"})


def test_the_other_spelling_of_a_postgresql_address_is_read():
    assert Settings.from_env({"DATABASE_URL": "postgres://u@h/d"}).database_url == "postgresql://u@h/d"


def test_no_secret_shows_when_settings_are_printed():
    hushed = dict.fromkeys((*SECRETS, "PAGERDUTY_INTEGRATION_KEY_P2"), "postgresql://hush")
    hushed["BRIDGE_HEARTBEAT_URL"] = "https://hush"
    assert "hush" not in repr(Settings.from_env(hushed))


@pytest.mark.parametrize(
    "name",
    [
        "TRUTHVOUCH_API_KEY",
        "TRUTHVOUCH_WEBHOOK_SECRETS",
        "PAGERDUTY_API_KEY",
        "PAGERDUTY_INTEGRATION_KEY",
        "PAGERDUTY_INTEGRATION_KEY_P2",
        "PAGERDUTY_WEBHOOK_SECRETS",
    ],
)
def test_any_credential_of_a_partner_makes_it_the_real_bridge(name: str):
    assert Settings.from_env({name: "x"}).has_partner_credentials


def test_no_credential_of_a_partner_makes_it_the_sandbox():
    ours = {"BRIDGE_ADMIN_TOKEN": "x", "PAGERDUTY_REGION": "eu", "PAGERDUTY_SERVICE_ID": "P1"}
    assert not Settings.from_env(ours).has_partner_credentials


def test_the_api_is_rest_where_an_api_key_is_set_unless_the_file_says_otherwise():
    with_key, without = Settings.from_env(REST), Settings.from_env(QUICK_START)
    assert (Via.REST, Via.EVENTS) == (with_key.via(Rulebook()), without.via(Rulebook()))
    assert (Via.EVENTS, Via.REST) == (with_key.via(Rulebook(via=Via.EVENTS)), without.via(Rulebook(via=Via.REST)))


def missing(environ: dict[str, str], rulebook: Rulebook | None = None) -> list[str]:
    """The first word of everything that is missing: the variable."""
    return [re.split(r"[: ]", words)[0] for words in Settings.from_env(environ).missing(rulebook)]


def test_nothing_set_means_that_every_credential_is_missing():
    assert [
        "TRUTHVOUCH_WEBHOOK_SECRETS",
        "PAGERDUTY_WEBHOOK_SECRETS",
        "TRUTHVOUCH_API_KEY",
        "PAGERDUTY_API_KEY",
    ] == missing({})
    assert "PAGERDUTY_API_KEY or PAGERDUTY_INTEGRATION_KEY" in Settings.from_env({}).missing()[3]


@pytest.mark.parametrize(
    ("way_out", "rulebook", "expected"),
    [
        (REST, Rulebook(), []),
        (QUICK_START, Rulebook(), []),
        ({"PAGERDUTY_INTEGRATION_KEY_P2": "k"}, Rulebook(), []),
        ({"PAGERDUTY_API_KEY": "k"}, Rulebook(), ["PAGERDUTY_FROM_EMAIL", "PAGERDUTY_SERVICE_ID"]),
        ({"PAGERDUTY_API_KEY": "k"}, Rulebook(service_id="PFILE"), ["PAGERDUTY_FROM_EMAIL"]),
        (REST, Rulebook(via=Via.EVENTS), ["PAGERDUTY_INTEGRATION_KEY"]),
        (QUICK_START, Rulebook(via=Via.REST, service_id="P"), ["PAGERDUTY_API_KEY", "PAGERDUTY_FROM_EMAIL"]),
    ],
)
def test_what_is_missing_depends_on_the_api(way_out: dict[str, str], rulebook: Rulebook, expected: list[str]):
    assert expected == missing({**HOOKS, **way_out}, rulebook)


def test_the_quick_start_is_degraded_and_not_missing():
    settings = Settings.from_env({**HOOKS, **QUICK_START})
    assert settings.missing() == ()
    assert "PAGERDUTY_API_KEY" in settings.degraded(Rulebook())[0]


def test_the_events_api_with_a_key_wants_a_user_for_notes_and_escalation():
    settings = Settings.from_env({**HOOKS, **QUICK_START, "PAGERDUTY_API_KEY": "k"})
    assert "PAGERDUTY_FROM_EMAIL" in settings.degraded(Rulebook(via=Via.EVENTS))[0]


def test_evidence_links_need_an_address():
    book = Rulebook(console=ConsoleRules(evidence_links=True))
    (said,) = Settings.from_env(REST).degraded(book)
    assert said.startswith("BRIDGE_PUBLIC_URL is not set")
    assert "console.evidence_links" in said
    assert () == Settings.from_env({**REST, "BRIDGE_PUBLIC_URL": "https://bridge.example.com"}).degraded(book)


def test_the_rest_api_is_never_degraded():
    assert Settings.from_env(REST).degraded(Rulebook()) == ()


@pytest.mark.parametrize("name", [*VARIABLES, "PAGERDUTY_INTEGRATION_KEY_<SERVICE_ID>"])
def test_every_variable_is_described_in_the_docs(name: str):
    assert re.search(rf"^\| `{re.escape(name)}`", DOCS.read_text("utf-8"), re.M)


def test_the_docs_describe_no_variable_that_does_not_exist():
    described = re.findall(r"^\| `([A-Z][A-Z_]+)`", DOCS.read_text("utf-8"), re.M)
    assert sorted(VARIABLES) == sorted(described)


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_is_marked_as_one_in_the_docs(name: str):
    assert f"| `{name}` 🔑 |" in DOCS.read_text("utf-8")


@pytest.mark.parametrize(
    ("line", "variable"),
    [
        ("pagerduty: {integration_key: %s}", "PAGERDUTY_INTEGRATION_KEY"),
        ("pagerduty: {api_key: %s}", "PAGERDUTY_API_KEY"),
        ("pagerduty: {from_email: %s}", "PAGERDUTY_FROM_EMAIL"),
        ("pagerduty: {webhook_secrets: [%s]}", "PAGERDUTY_WEBHOOK_SECRETS"),
        ("truthvouch: {api_key: %s}", "TRUTHVOUCH_API_KEY"),
        ("truthvouch: {webhook_secrets: [%s]}", "TRUTHVOUCH_WEBHOOK_SECRETS"),
        ("truthvouch: {api_url: 'https://%s'}", "TRUTHVOUCH_API_URL"),
    ],
)
def test_keys_may_stand_in_the_file_and_the_environment_beats_them(tmp_path: Path, line: str, variable: str):
    """The same value from either place makes the same settings, and where both speak the environment is heard."""
    file, none, value = tmp_path / "bridge.yaml", tmp_path / "none.yaml", "marker.example.com"
    value = f"bridge@{value}" if variable.endswith("EMAIL") else value
    file.write_text(line % value, "utf-8")
    given = f"https://{value}" if variable.endswith("URL") else value
    from_file = Settings.from_env({"BRIDGE_CONFIG": str(file)})
    from_environment = Settings.from_env({"BRIDGE_CONFIG": str(none), variable: given})
    assert Settings.from_env({"BRIDGE_CONFIG": str(none)}) != replace(from_file, config_path=none)
    assert from_environment == replace(from_file, config_path=none)
    assert (value in repr(from_file)) is (variable in ("PAGERDUTY_FROM_EMAIL", "TRUTHVOUCH_API_URL"))
    file.write_text(line % f"{value}.other", "utf-8")
    assert from_environment == replace(
        Settings.from_env({"BRIDGE_CONFIG": str(file), variable: given}), config_path=none
    )


def test_a_broken_file_has_no_keys_and_is_reported_by_whoever_reads_its_rules(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("pagerduty: {api_key: [marker]}", "utf-8")
    assert Settings.from_env({"BRIDGE_CONFIG": str(file)}).pagerduty.api_key is None


def test_whether_the_file_gave_a_credential_is_known(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("pagerduty: {api_key: k, webhook_secrets: [s]}\n", "utf-8")
    assert {"pagerduty.api_key", "pagerduty.webhook_secrets"} == Settings.from_env({"BRIDGE_CONFIG": str(file)}).in_file
    beaten = {"PAGERDUTY_API_KEY": "e", "TRUTHVOUCH_API_KEY": "e"}
    assert {"pagerduty.webhook_secrets"} == Settings.from_env({"BRIDGE_CONFIG": str(file), **beaten}).in_file
    assert set() == Settings.from_env(beaten).in_file
