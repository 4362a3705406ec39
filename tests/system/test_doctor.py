"""``truthvouch doctor`` on a running bridge, and the worker's own watch over the webhook subscription."""

import json
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.bridge import SECRETS, Bridge
from tests.system.conftest import StartWorld, a_world
from tests.system.processes import PYTHON, ROOT
from tests.system.signing import PAGERDUTY_SECRET, from_pagerduty, from_truthvouch
from tests.system.waiting import until
from tests.system.world import World

SEEDED = "PSBXWH1"
OLD_SECRET = "an-older-pagerduty-secret"


def doctor(bridge: Bridge, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command, in the environment of that bridge."""
    chosen = {**bridge.environment, **settings}
    environment = {name: value for name, value in chosen.items() if value}
    command = [str(PYTHON), "-m", "app.cli", "doctor", *options]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in answer.stdout + answer.stderr, answer.stderr
    assert [] == [secret for secret in SECRETS if secret in answer.stdout + answer.stderr]
    return answer


def examined(bridge: Bridge, *options: str, **settings: str) -> tuple[int, dict[str, Any]]:
    answer = doctor(bridge, "--json", *options, **settings)
    assert answer.returncode in (0, 1), answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    assert (answer.returncode == 0) is found["well"]
    return answer.returncode, found


def codes(fields: dict[str, Any]) -> set[str]:
    return {check["code"] for check in fields["checks"] if check["state"] in ("wrong", "unknown")}


def known_refused(bridge: Bridge, source: str, count: int) -> dict[str, Any]:
    """What ``/readyz`` says of that side once it knows of so many refused deliveries; nothing before."""
    check: dict[str, Any] = bridge.readyz()["checks"][source]
    return check if check.get("refused") == count else {}


TWO_SECRETS = f"{PAGERDUTY_SECRET},{OLD_SECRET}"


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A bridge that knows its address, has two secrets, and looks by itself for nothing."""
    with a_world(tmp_path_factory.mktemp("doctor"), PAGERDUTY_WEBHOOK_SECRETS=TWO_SECRETS) as world:
        world.bridge.environment["BRIDGE_PUBLIC_URL"] = world.bridge.url
        yield world


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The same for each test: whatever one has changed at the partners or in the file is as it was."""
    healthy = shared_world.bridge.config.read_text("utf-8")
    yield shared_world
    shared_world.bridge.config.write_text(healthy, "utf-8")
    shared_world.sandbox.post("reset")


def test_a_healthy_installation_is_well_and_each_fault_has_its_code(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    until(lambda: world.sandbox.undelivered() == 0, "webhooks are delivered")
    code, answer = examined(world.bridge)
    assert (0, set()) == (code, codes(answer)), answer
    checks = {check["check"] for check in answer["checks"]}
    expected = {"configuration", "bridge_store", "migrations", "store", "worker", "oldest_waiting", "dead_letters"}
    expected |= {"paused_targets", "truthvouch", "pagerduty", "pagerduty_key", "pagerduty_service", "truthvouch_key"}
    assert expected | {"subscription", "pagerduty_secrets", "truthvouch_secrets"} <= checks

    broken = {"PAGERDUTY_API_KEY": "wrong", "TRUTHVOUCH_API_KEY": "wrong", "PAGERDUTY_SERVICE_ID": "PNONE"}
    code, answer = examined(world.bridge, **broken)
    assert 1 == code
    unread = {"service_not_read", "from_not_read", "abilities_not_read", "subscriptions_not_read"}
    assert {"key_refused", *unread} == codes(answer)
    assert 2 == len([check for check in answer["checks"] if check["code"] == "key_refused"])
    assert {"service_missing"} == codes(examined(world.bridge, PAGERDUTY_SERVICE_ID="PNONE")[1])

    world.sandbox.post("pagerduty/services/PSANDBX", {"status": "maintenance", "auto_resolve_timeout": 14_400})
    code, answer = examined(world.bridge)
    warnings = {check["code"] for check in answer["checks"] if check["state"] == "warning"}
    assert code == 0
    assert {"service_in_maintenance", "service_auto_resolves"} <= warnings


def test_no_part_that_is_down_hides_another(world: World):
    world.sandbox.fault(partner="pagerduty", kind="refuse")
    world.bridge.config.write_text("rules: 7\n", "utf-8")
    _, answer = examined(world.bridge, BRIDGE_DATA_DIR=str(world.bridge.folder / "elsewhere"))
    assert {"config_broken", "store_unavailable", "not_checked", "not_reachable", "subscriptions_not_read"} <= codes(
        answer
    )
    assert {"truthvouch_key"} <= {check["check"] for check in answer["checks"] if check["state"] == "fine"}
    assert not (world.bridge.folder / "elsewhere" / "bridge.db").exists()


def test_an_old_secret_in_use_is_reported(world: World):
    event = {"event": {"id": "01OLD", "event_type": "pagey.ping", "data": {"type": "ping"}}}
    body = json.dumps(event).encode()
    assert 202 == world.bridge.deliver("pagerduty", body, from_pagerduty(body, OLD_SECRET)).status_code
    _, answer = examined(world.bridge)
    (found,) = [check for check in answer["checks"] if check["check"] == "pagerduty_secrets"]
    assert "old_secret_in_use" == found["code"]
    assert "ago" in found["message"]
    (single,) = [check for check in answer["checks"] if check["check"] == "truthvouch_secrets"]
    assert "One secret is set." == single["message"]


@pytest.mark.parametrize(
    ("source", "sign", "good"),
    [
        ("truthvouch", from_truthvouch, {"event_id": "evt-1", "event_type": "alert.escalated", "alert_id": "unknown"}),
        (
            "pagerduty",
            from_pagerduty,
            {"event": {"id": "01GOOD", "event_type": "pagey.ping", "data": {"type": "ping"}}},
        ),
    ],
)
def test_deliveries_signed_with_another_secret_are_named_until_a_good_one_comes(
    world: World, source: str, sign: Callable[[bytes, str], dict[str, str]], good: dict[str, Any]
):
    for _ in range(4):
        assert 401 == world.bridge.deliver(source, b"{}", sign(b"{}", "rotated")).status_code
    check = until(lambda: known_refused(world.bridge, source, 4), "all four are known", evidence=world.evidence)
    assert ("degraded", "signature_mismatch") == (check["state"], check["reason"])
    assert f"{source.upper()}_WEBHOOK_SECRETS" in check["remedy"]
    code, answer = examined(world.bridge)
    assert (1, {"deliveries_refused"}) == (code, codes(answer))
    assert 202 == world.bridge.send_webhook(source, good).status_code
    code, answer = examined(world.bridge)
    assert (0, set()) == (code, codes(answer))


def test_repair_mends_the_subscription_and_fills_the_gap(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    until(lambda: world.sandbox.undelivered() == 0, "webhooks are delivered")
    changes = {"temporarily_disabled": True, "active": False, "events": ["incident.triggered"]}
    world.sandbox.post(f"pagerduty/subscriptions/{SEEDED}", changes)
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    expected = ["subscription_temporarily_disabled", "subscription_inactive", "subscription_events_missing"]
    assert set(expected) == codes(examined(world.bridge)[1])
    exit_code, answer = examined(world.bridge, "--repair")
    assert (0, expected) == (exit_code, answer["mended"])
    assert ["ok"] == [check["code"] for check in answer["checks"] if check["check"] == "webhook_ping"]
    world.until_both_are(alert_id, "acknowledged", "acknowledged", 30)
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")


def test_a_subscription_is_created_once_and_its_secret_has_one_place(world: World, tmp_path: Path):
    world.sandbox.post(f"pagerduty/subscriptions/{SEEDED}", {"url": "http://old.example.com/pagerduty/webhook"})
    kept = tmp_path / "secret"
    kept.write_text("somebody else's")
    taken = doctor(world.bridge, "--create-subscription", "--yes", "--secret-file", str(kept))
    assert (2, "somebody else's") == (taken.returncode, kept.read_text())
    assert 2 == doctor(world.bridge, "--create-subscription", "--yes", BRIDGE_PUBLIC_URL="").returncode
    assert 1 == doctor(world.bridge, "--create-subscription").returncode  # nobody said yes
    assert [] == world.sandbox.calls(partner="pagerduty", method="POST", path="/webhook_subscriptions")

    fresh = tmp_path / "fresh"
    _, answer = examined(world.bridge, "--create-subscription", "--yes", "--secret-file", str(fresh))
    assert set() == codes(answer)
    (unknown,) = [check for check in answer["checks"] if check["code"] == "secret_not_in_force"]
    assert "PAGERDUTY_WEBHOOK_SECRETS" in unknown["remedy"]
    secret = fresh.read_text().strip()
    assert secret
    assert 0o600 == stat.S_IMODE(fresh.stat().st_mode)
    assert secret not in json.dumps(answer)

    shown = doctor(world.bridge, "--create-subscription", "--yes")
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("secret")]
    assert 1 == shown.stdout.count(line.split()[-1])
    assert "PAGERDUTY_WEBHOOK_SECRETS" in shown.stdout


def test_a_new_subscription_with_its_secret_in_front_brings_webhooks(start_world: StartWorld, tmp_path: Path):
    """The whole exchange of a secret: create, put first, restart, delete the old one, and nothing is missed."""
    world = start_world()
    world.bridge.environment["BRIDGE_PUBLIC_URL"] = world.bridge.url
    fresh = tmp_path / "fresh"
    examined(world.bridge, "--create-subscription", "--yes", "--secret-file", str(fresh))
    world.bridge.tree.terminate()
    world.bridge.environment["PAGERDUTY_WEBHOOK_SECRETS"] = f"{fresh.read_text().strip()},{PAGERDUTY_SECRET}"
    world.bridge.start()
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox._session.delete(f"{world.sandbox.url}/sandbox/pagerduty/subscriptions/{SEEDED}", timeout=10)
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")


def test_a_new_secret_is_written_before_the_others_and_is_in_force_after_a_restart(start_world: StartWorld):
    """In ``bridge.yaml``, and told until it is in force: by the command that made it and by every later look."""
    held = f"  webhook_secrets:  # the newest first\n    - {PAGERDUTY_SECRET}\n"
    world = start_world(config=held, PAGERDUTY_WEBHOOK_SECRETS="")
    world.bridge.environment["BRIDGE_PUBLIC_URL"] = world.bridge.url
    assert "Nothing is wrong." in doctor(world.bridge).stdout
    world.bridge.config.chmod(0o644)
    made = doctor(world.bridge, "--create-subscription", "--yes", "--write-secret")
    assert 0 == made.returncode, made.stdout
    text = world.bridge.config.read_text("utf-8")
    new, old = re.findall(r"^ +- (\S+)$", text, re.M)
    assert PAGERDUTY_SECRET == old
    assert new not in made.stdout
    assert "# the newest first" in text
    assert 0o600 == stat.S_IMODE(world.bridge.config.stat().st_mode)
    for said in (made.stdout, doctor(world.bridge).stdout):
        assert "not in force until the bridge is restarted" in said
        assert "Nothing is wrong" not in said
    world.bridge.tree.terminate()
    world.bridge.start()
    said = doctor(world.bridge).stdout
    assert "not in force" not in said
    assert "Nothing is wrong." in said, said
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox._session.delete(f"{world.sandbox.url}/sandbox/pagerduty/subscriptions/{SEEDED}", timeout=10)
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")


def test_no_secret_is_written_where_it_would_not_be_in_force(world: World, tmp_path: Path):
    before = world.bridge.config.read_text("utf-8")
    named = tmp_path / "secrets"
    named.write_text(PAGERDUTY_SECRET)
    by_name = {"PAGERDUTY_WEBHOOK_SECRETS": "", "PAGERDUTY_WEBHOOK_SECRETS_FILE": str(named)}
    for given, variable in (({}, "PAGERDUTY_WEBHOOK_SECRETS"), (by_name, "PAGERDUTY_WEBHOOK_SECRETS_FILE")):
        refused = doctor(world.bridge, "--create-subscription", "--yes", "--write-secret", **given)
        assert (2, "") == (refused.returncode, refused.stdout)
        assert f"{variable} is set in the environment and beats" in refused.stderr
    assert before == world.bridge.config.read_text("utf-8")
    assert [] == world.sandbox.calls(partner="pagerduty", method="POST", path="/webhook_subscriptions")


def test_the_worker_switches_on_what_pagerduty_switched_off(start_world: StartWorld):
    world = start_world(BRIDGE_RECONCILE_SECONDS="3600")
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    until(lambda: world.sandbox.undelivered() == 0, "webhooks are delivered")
    world.bridge.tree.terminate()
    world.sandbox.post(f"pagerduty/subscriptions/{SEEDED}", {"temporarily_disabled": True})
    world.sandbox.at_pagerduty(alert_id, "acknowledge")
    world.bridge.start()
    until(lambda: world.bridge.events("subscription.mended"), "it is switched on", evidence=world.evidence)
    world.until_both_are(alert_id, "acknowledged", "acknowledged", 30)
    world.sandbox.at_pagerduty(alert_id, "resolve")
    world.until_both_are(alert_id, "resolved", "resolved")


def test_the_worker_creates_none(start_world: StartWorld):
    world = start_world(BRIDGE_RECONCILE_SECONDS="3600", BRIDGE_PUBLIC_URL="https://elsewhere.example.com")
    (line,) = until(lambda: world.bridge.events("subscription.unhealthy"), "it says so", evidence=world.evidence)
    assert "subscription_wrong_url" == line["code"]
    assert [] == world.sandbox.calls(partner="pagerduty", method="POST", path="/webhook_subscriptions")
