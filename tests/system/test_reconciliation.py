"""What no webhook told is found by reading both sides back; where they agree, or cannot be read, nothing is done."""

import json
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from tests.system.conftest import a_world
from tests.system.processes import PYTHON, ROOT
from tests.system.waiting import until
from tests.system.world import World

EVERY_SECOND = {"BRIDGE_RECONCILE_SECONDS": "1"}


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that is read back every second, with calls enough for all of this module."""
    config = "truthvouch: {reconcile_calls_per_hour: 100000}\n"
    with a_world(tmp_path_factory.mktemp("reconciliation"), config=config, **EVERY_SECOND) as world:
        yield world


@pytest.fixture
def deaf(reading: World) -> Iterator[World]:
    """The same, with no webhook reaching the bridge but where a test lets it."""
    yield reading
    reading.sandbox.heal()
    reading.sandbox.webhooks("send")


def opened(world: World) -> str:
    """A new alert with its incident; from then on no webhook is sent."""
    world.sandbox.webhooks("send")
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    until(lambda: world.sandbox.undelivered() == 0, "webhooks are delivered", evidence=world.evidence)
    world.sandbox.webhooks("drop")
    return alert_id


def runs(world: World) -> int:
    """How often both sides have been read back."""
    return len(world.bridge.events("reconciliation.done"))


def wait_for_runs(world: World, more: int) -> None:
    """Until so many runs that began from now on have ended."""
    goal = runs(world) + more + 1
    until(lambda: runs(world) >= goal, f"{more} more reconciliations", evidence=world.bridge.tail)


def reconcile(world: World, *options: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The command, beside the running bridge."""
    environment = {name: value for name, value in {**world.bridge.environment, **settings}.items() if value}
    command = [str(PYTHON), "-m", "app.cli", "reconcile", *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


# ------------------------------------------------------------ lost webhooks


def test_acknowledge_unacknowledge_and_resolve_at_pagerduty_are_found(deaf: World):
    alert_id = opened(deaf)
    for action, alert, incident in (
        ("acknowledge", "acknowledged", "acknowledged"),
        ("unacknowledge", "open", "triggered"),
        ("resolve", "resolved", "resolved"),
    ):
        deaf.sandbox.at_pagerduty(alert_id, action)
        deaf.until_both_are(alert_id, alert, incident)
    assert ["opened", "alert acknowledged", "alert open", "alert resolved"] == deaf.writes(alert_id)


def test_a_reopened_incident_is_found_although_the_matter_was_closed(deaf: World):
    alert_id = opened(deaf)
    deaf.sandbox.at_pagerduty(alert_id, "resolve")
    deaf.until_both_are(alert_id, "resolved", "resolved")
    wait_for_runs(deaf, 1)
    deaf.sandbox.at_pagerduty(alert_id, "reopen")
    until(lambda: "alert open" in deaf.sandbox.writes(alert_id), "TruthVouch is asked", evidence=deaf.evidence)
    wait_for_runs(deaf, 2)
    assert ("resolved", ["triggered"]) == deaf.statuses(alert_id)
    assert 1 == deaf.writes(alert_id).count("alert open"), "its refusal is final"


@pytest.mark.parametrize("action", ["resolve", "dismiss"])
def test_what_ends_an_alert_at_truthvouch_is_found(deaf: World, action: str):
    alert_id = opened(deaf)
    deaf.sandbox.at_truthvouch(alert_id, "acknowledge")
    deaf.until_both_are(alert_id, "acknowledged", "acknowledged")
    deaf.sandbox.at_truthvouch(alert_id, action)
    deaf.until_both_are(alert_id, {"resolve": "resolved", "dismiss": "dismissed"}[action], "resolved")


def test_an_alert_nobody_reported_gets_exactly_one_incident(deaf: World):
    deaf.sandbox.webhooks("drop")
    alert_id = deaf.new_alert_id()
    deaf.sandbox.raise_alert(alert_id)
    deaf.until_both_are(alert_id, "open", "triggered")
    wait_for_runs(deaf, 2)
    assert ["opened"] == deaf.writes(alert_id)


def test_an_alert_that_is_not_in_the_newest_pages_is_read_by_itself(deaf: World):
    alert_id = opened(deaf)
    for _ in range(30):  # the list shows 25 a page
        deaf.sandbox.raise_alert(deaf.new_alert_id(), severity="low")
    deaf.sandbox.at_truthvouch(alert_id, "resolve")
    until(lambda: deaf.sandbox.incident(alert_id)["status"] == "resolved", "it is resolved", evidence=deaf.evidence)


def test_where_single_alerts_cannot_be_read_the_list_tells(deaf: World):
    deaf.sandbox.fault(partner="truthvouch", method="GET", path_regex=r"/alerts/[^/]+$", kind="status", status=405)
    alert_id = opened(deaf)
    for _ in range(30):
        deaf.sandbox.raise_alert(deaf.new_alert_id(), severity="low")
    deaf.sandbox.at_truthvouch(alert_id, "resolve")
    until(lambda: deaf.sandbox.incident(alert_id)["status"] == "resolved", "it is resolved", evidence=deaf.evidence)


# ------------------------------------------------------------ nothing to do


def test_nothing_is_written_while_both_sides_agree(deaf: World):
    alert_ids = [opened(deaf) for _ in range(3)]
    wait_for_runs(deaf, 3)
    assert [["opened"]] * 3 == [deaf.writes(alert_id) for alert_id in alert_ids]


@pytest.mark.parametrize("partner", ["pagerduty", "truthvouch"])
def test_a_side_that_cannot_be_read_resolves_nothing(deaf: World, partner: str):
    alert_id = opened(deaf)
    deaf.sandbox.fault(partner=partner, method="GET", kind="status", status=503)
    wait_for_runs(deaf, 2)
    deaf.sandbox.heal()
    deaf.sandbox.fault(partner=partner, method="GET", kind="status", status=404)
    wait_for_runs(deaf, 2)
    deaf.sandbox.heal()
    assert ("open", ["triggered"]) == deaf.statuses(alert_id)
    assert ["opened"] == deaf.writes(alert_id)


# ------------------------------------------------------------ at the start, and on demand


@pytest.fixture(scope="module")
def rarely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that is read back at its start, and then not within the time of a test."""
    with a_world(tmp_path_factory.mktemp("rarely"), BRIDGE_RECONCILE_SECONDS="3600") as world:
        until(lambda: runs(world) == 1, "the run at the start", evidence=world.bridge.tail)
        yield world


def test_what_happened_while_the_bridge_was_down_is_read_at_its_start(rarely: World):
    resolved, moved, survivor = (opened(rarely) for _ in range(3))
    raised = rarely.new_alert_id()
    assert 0 == rarely.bridge.tree.terminate(), rarely.bridge.tail()
    rarely.sandbox.at_pagerduty(resolved, "resolve")
    rarely.sandbox.at_pagerduty(moved, "merge", into=rarely.sandbox.incident(survivor)["id"])
    rarely.sandbox.raise_alert(raised)
    rarely.bridge.start()
    rarely.until_both_are(resolved, "resolved", "resolved")
    rarely.until_both_are(raised, "open", "triggered")
    assert ["opened"] == rarely.writes(raised)
    assert "open" == rarely.sandbox.alert(moved)["status"], "a merge is no resolve"
    rarely.sandbox.webhooks("send")
    rarely.sandbox.at_pagerduty(survivor, "resolve")
    for alert_id in (moved, survivor):
        is_resolved = partial(resolved_at_truthvouch, rarely, alert_id)
        until(is_resolved, "the survivor ends the alerts of both", evidence=rarely.evidence)


def resolved_at_truthvouch(world: World, alert_id: str) -> bool:
    return bool(world.sandbox.alert(alert_id)["status"] == "resolved")


def test_the_command_tells_first_and_takes_in_then(rarely: World):
    alert_id = opened(rarely)
    agreeing = reconcile(rarely, "--dry-run")
    assert (0, "Both sides agree.") == (agreeing.returncode, agreeing.stdout.splitlines()[0]), agreeing
    rarely.sandbox.at_pagerduty(alert_id, "resolve")
    incident_id = rarely.sandbox.incident(alert_id)["id"]
    answer = reconcile(rarely, "--dry-run")
    assert 1 == answer.returncode, answer
    (line,) = [line for line in answer.stdout.splitlines() if alert_id in line]
    assert ["pagerduty", alert_id, incident_id, "open", "resolved", "moved"] == line.split()[:6]
    assert ["opened"] == rarely.writes(alert_id)
    done = json.loads(reconcile(rarely, "--json").stdout)
    assert ("taken_in", [alert_id]) == (done["status"], [one["alert_id"] for one in done["findings"]])
    rarely.until_both_are(alert_id, "resolved", "resolved")


def test_older_alerts_are_taken_in_only_on_demand(rarely: World):
    rarely.sandbox.webhooks("drop")
    alert_id = rarely.new_alert_id()
    rarely.sandbox.raise_alert(alert_id, at="2020-01-01T00:00:00Z")
    assert alert_id not in reconcile(rarely).stdout
    done = reconcile(rarely, "--since", "2019-12-31T00:00:00Z")
    assert (0, True) == (done.returncode, alert_id in done.stdout), done
    rarely.until_both_are(alert_id, "open", "triggered")


def test_a_side_without_a_key_is_skipped_and_said(rarely: World):
    half = reconcile(rarely, "--dry-run", PAGERDUTY_API_KEY="", PAGERDUTY_INTEGRATION_KEY="")
    assert 1 == half.returncode, half
    assert "agree" not in half.stdout
    assert "PAGERDUTY_API_KEY" in half.stderr
    nothing = reconcile(rarely, PAGERDUTY_API_KEY="", TRUTHVOUCH_API_KEY="")
    assert 2 == nothing.returncode, nothing
    assert "TRUTHVOUCH_API_KEY" in nothing.stderr
