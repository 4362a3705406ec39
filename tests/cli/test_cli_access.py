"""``truthvouch tokens`` and ``truthvouch console-link`` on a real store."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.bootstrap.container import Container, user
from app.cli import main
from app.config.settings import Settings
from app.ports.access import Identity, Role
from app.ports.console import AuditFilter
from app.services.access.tokens import TokenOutcome
from tests.cli.test_cli import Shell
from tests.rig import Rig
from tests.test_logs import configured


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of ours is set, and the log of this process, which a command configures, stays as it is."""
    for name in (*os.environ, "PORT", "BIND"):
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_", "PORT", "BIND")):
            monkeypatch.delenv(name, raising=False)
    with configured("json", "WARNING"):
        yield


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A store where nothing happened yet."""
    return Shell(Rig(tmp_path), tmp_path)


@pytest.fixture
def store(shell: Shell) -> Any:
    with Container(Settings.from_env({"BRIDGE_DATA_DIR": str(shell.data_dir), "BRIDGE_ADMIN_TOKEN": "t"})) as made:
        yield made


def link_of(shell: Shell, *words: str, **environ: str) -> tuple[str, str]:
    """What is printed, and what is said about it."""
    environment = {"BRIDGE_DATA_DIR": str(shell.data_dir), "BRIDGE_CONFIG": str(shell.data_dir / "no.yaml"), **environ}
    result = CliRunner().invoke(main, ["console-link", *words], env=environment)
    assert 0 == result.exit_code, result.output
    return result.stdout.strip(), result.stderr


def test_a_token_is_printed_once_and_opens_what_its_role_says(shell: Shell, store: Container):
    made = shell.json("tokens", "add", "ci", "--role", "read-only")
    assert {"name": "ci", "role": "read-only", "sees_evidence": False} == {
        name: value for name, value in made.items() if name != "token"
    }
    identity = store.tokens.check(made["token"], "192.0.2.1").identity
    assert Identity("ci", Role.READ_ONLY, False, 1) == identity
    result = shell.run("tokens", "add", "qa", "--role", "admin", "--evidence")
    identity = store.tokens.check(result.stdout.strip(), "192.0.2.1").identity
    assert Identity("qa", Role.ADMIN, True, 2) == identity
    for listed in (shell.run("tokens", "list").stdout, repr(shell.json("tokens", "list"))):
        assert "qa" in listed
        assert made["token"] not in listed


def test_a_name_in_use_and_one_that_cannot_be_are_refused(shell: Shell):
    assert [0, 1, 2, 2] == [
        shell.run("tokens", "add", *words).exit_code
        for words in (
            ("ci", "--role", "admin"),
            ("ci", "--role", "admin"),
            ("admin", "--role", "admin"),
            ("x", "--role", "x"),
        )
    ]


def test_a_revoked_token_ends_its_sessions(shell: Shell, store: Container):
    token = shell.json("tokens", "add", "ci", "--role", "admin")["token"]
    identity = store.tokens.check(token, "192.0.2.1").identity
    assert identity
    session_id = store.sessions.start(identity)
    assert ["ci"] == [one["name"] for one in shell.json("tokens", "list")["sessions"]]
    assert "LOGGED IN" in shell.run("tokens", "list").stdout
    assert {"name": "ci", "revoked": True, "sessions_ended": 1} == shell.json("tokens", "revoke", "ci")
    assert TokenOutcome.WRONG is store.tokens.check(token, "192.0.2.1").outcome
    assert store.sessions.find(session_id) is None
    [listed] = shell.json("tokens", "list")["tokens"]
    assert listed["revoked_at"]
    assert 1 == shell.run("tokens", "revoke", "ci").exit_code


def test_who_made_and_revoked_a_token_is_in_the_audit_log(shell: Shell):
    shell.run("tokens", "add", "ci", "--role", "admin")
    shell.run("tokens", "add", "ci", "--role", "admin")
    shell.run("console-link")
    shell.run("tokens", "revoke", "ci")
    shell.run("tokens", "revoke", "ci")
    lines = shell.json("audit", "list")
    assert [("add_token", "added"), ("add_token", "name_in_use"), ("make_console_link", "made")] == [
        (one["action"], one["outcome"]) for one in reversed(lines)
    ][:3]
    assert ["no_such_token", "revoked"] == [one["outcome"] for one in lines[:2]]
    assert {("cli", user())} == {(one["way"], one["actor"]) for one in lines}


def test_whoever_came_by_a_link_is_logged_out_by_name(shell: Shell, store: Container):
    session_id = store.sessions.spend_link(store.sessions.make_link("root", timedelta(minutes=1))) or ""
    assert "sessions ended: 1" in shell.run("tokens", "revoke", "link:root").stdout
    assert store.sessions.find(session_id) is None


def test_a_link_logs_in_once_for_its_minutes(shell: Shell, store: Container):
    url, said = link_of(shell, "--minutes", "3")
    assert "once, for 3 minutes" in said
    secret = url.rpartition("/")[2]
    identity = store.sessions.find(store.sessions.spend_link(secret) or "")
    assert identity
    assert (f"link:{user()}", Role.ADMIN) == (identity.name, identity.role)
    assert store.sessions.spend_link(secret) is None


def test_evidence_links_are_revoked(shell: Shell, store: Container):
    assert 2 == shell.run("evidence", "revoke").exit_code
    assert 2 == shell.run("evidence", "revoke", "a1", "--all").exit_code
    unknown = shell.run("evidence", "revoke", "a1")
    assert (1, True) == (unknown.exit_code, "knows no such alert" in unknown.stderr)
    assert {"all": True, "alerts": []} == shell.json("evidence", "revoke", "--all")
    (done,) = store.audit_log.find(AuditFilter())
    assert ("cli", "revoke_evidence_links", user()) == (done.way.value, done.action, done.actor)


def test_a_link_for_machines_says_when_it_ends(shell: Shell):
    made = shell.json("console-link", "--minutes", "10")
    assert {"url", "expires_at"} == set(made)
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"PORT": "9000", "BIND": "::"}, "http://127.0.0.1:9000"),
        ({"BIND": "10.0.0.4,::1"}, "http://[::1]:8080"),
        ({"BIND": "10.0.0.4"}, "http://10.0.0.4:8080"),
        ({"BRIDGE_PUBLIC_URL": "https://bridge.example.com/"}, "https://bridge.example.com"),
        ({"BRIDGE_PUBLIC_URL": "https://bridge.example.com/pagerduty/webhook"}, "https://bridge.example.com"),
    ],
)
def test_a_link_leads_to_where_the_bridge_is(shell: Shell, environ: dict[str, str], address: str):
    url, said = link_of(shell, **environ)
    assert url.startswith(f"{address}/console/link/")
    assert ("BRIDGE_PUBLIC_URL" in said) is ("BRIDGE_PUBLIC_URL" not in environ)


def test_where_the_port_is_not_known_no_link_is_made(shell: Shell):
    result = CliRunner().invoke(main, ["console-link"], env={"BRIDGE_DATA_DIR": str(shell.data_dir), "PORT": "0"})
    assert 2 == result.exit_code
    assert "BRIDGE_PUBLIC_URL" in result.stderr


def test_without_a_store_nothing_is_made(shell: Shell):
    environ = {"BRIDGE_DATA_DIR": str(shell.data_dir / "none")}
    for words in (["console-link"], ["tokens", "list"], ["tokens", "add", "x", "--role", "admin"]):
        assert 2 == CliRunner().invoke(main, words, env=environ).exit_code
