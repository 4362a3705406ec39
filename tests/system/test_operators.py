"""A partner's final no, mended, and done after all: by the command line and by the API, each once."""

import json
import os
import subprocess
from typing import Any

import pytest
import requests

from tests.system.bridge import ADMIN_TOKEN, Bridge
from tests.system.conftest import in_worlds
from tests.system.processes import PYTHON, ROOT
from tests.system.waiting import until
from tests.system.world import World

on_both_stores = in_worlds("rest", "rest-postgres")

Json = dict[str, Any]


def api(bridge: Bridge, method: str, path: str, token: str = ADMIN_TOKEN, **headers: str) -> requests.Response:
    login = {"Authorization": f"Bearer {token}", **headers}
    return requests.request(method, f"{bridge.url}/api/v1{path}", headers=login, timeout=10)


def command(bridge: Bridge, *words: str, program: tuple[str, ...] = ("-m", "app.cli")) -> tuple[int, Any]:
    """Run ``truthvouch`` on the bridge's machine; its exit code and what it says as JSON."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(bridge.folder), **bridge.environment}
    answer = subprocess.run(
        [str(PYTHON), *program, *words, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert answer.stdout, answer.stderr
    return answer.returncode, json.loads(answer.stdout)


def dead_letters_of(world: World, alert_id: str) -> list[Json]:
    answer = api(world.bridge, "GET", "/dead-letters?limit=500").json()
    return [row for row in answer["dead_letters"] if row["alert_id"] == alert_id]


def with_a_dead_resolve(world: World) -> tuple[str, str]:
    """TruthVouch said a final no to the resolve, and has been mended since: the alert, and the letter's number."""
    alert_id = world.new_alert_id()
    world.sandbox.raise_alert(alert_id)
    world.until_both_are(alert_id, "open", "triggered")
    world.sandbox.fault(
        partner="truthvouch", method="PATCH", path_regex=f"/alerts/{alert_id}", kind="status", status=400
    )
    world.sandbox.at_pagerduty(alert_id, "resolve")
    (dead_letter,) = until(lambda: dead_letters_of(world, alert_id), "a dead letter", 20, world.evidence)
    assert ("effect", "SetAlert resolved") == (dead_letter["kind"], dead_letter["effect"])
    world.sandbox.heal()
    return alert_id, str(dead_letter["id"])


def assert_resolved_once(world: World, alert_id: str) -> None:
    world.until_both_are(alert_id, "resolved", "resolved")
    tried = [call for call in world.sandbox.calls(partner="truthvouch", method="PATCH") if alert_id in call["path"]]
    assert [400, 200] == [call["status"] for call in tried], world.evidence()
    assert [] == dead_letters_of(world, alert_id)


@on_both_stores
def test_a_replay_by_the_api_is_done_once(world: World):
    alert_id, number = with_a_dead_resolve(world)
    first = api(world.bridge, "POST", f"/dead-letters/{number}/replay", **{"Idempotency-Key": alert_id})
    assert first.status_code in (200, 202)
    until(lambda: not dead_letters_of(world, alert_id), "the dead letter is closed", 10, world.evidence)
    for key in (alert_id, f"{alert_id}-again"):
        answer = api(world.bridge, "POST", f"/dead-letters/{number}/replay", **{"Idempotency-Key": key})
        assert (200, "replayed") == (answer.status_code, answer.json()["outcome"])
    assert_resolved_once(world, alert_id)


TRUTHVOUCH, FLASK = ("-m", "app.cli"), ("-m", "flask", "--app", "wsgi")


@pytest.mark.parametrize(("world", "program"), [("rest", FLASK), ("rest-postgres", TRUTHVOUCH)], indirect=["world"])
def test_a_replay_by_the_command_line_is_done_once(world: World, program: tuple[str, ...]):
    alert_id, number = with_a_dead_resolve(world)
    code, listed = command(world.bridge, "dead-letters", "list", program=program)
    assert 0 == code
    assert alert_id in [row["alert_id"] for row in listed]
    for _ in range(2):
        code, (answer,) = command(world.bridge, "dead-letters", "replay", number, program=program)
        assert (0, "replayed") == (code, answer["outcome"]), answer
    assert_resolved_once(world, alert_id)


@on_both_stores
def test_a_discard_closes_it_and_nothing_is_sent(world: World):
    alert_id, number = with_a_dead_resolve(world)
    code, (answer,) = command(world.bridge, "dead-letters", "discard", number, "--yes")
    assert (0, "discarded") == (code, answer["outcome"])
    assert [] == dead_letters_of(world, alert_id)
    world.bridge.send_webhook(
        "truthvouch", {"id": f"evt-{alert_id}", "type": "alert.escalated", "data": {"alert_id": alert_id}}
    )
    assert ["opened", "alert resolved"] == world.writes(alert_id)
    assert "open" == world.sandbox.alert(alert_id)["status"]


@on_both_stores
def test_the_link_and_its_timeline_can_be_read(world: World):
    alert_id, number = with_a_dead_resolve(world)
    link = api(world.bridge, "GET", f"/links/{alert_id}").json()
    assert ("resolved", "open", "resolved") == (link["status"], link["alert"]["status"], link["incident"]["status"])
    assert link["deliveries"]["truthvouch"]["dead"]
    incident_id = world.sandbox.incident(alert_id)["id"]
    assert incident_id == link["incident"]["id"]
    for subject in (alert_id, incident_id):
        lines = api(world.bridge, "GET", f"/timeline/{subject}?limit=500").json()["timeline"]
        assert "delivery.dead" in [line["event"] for line in lines]
    assert 0 == command(world.bridge, "dead-letters", "discard", number, "--yes")[0]


@in_worlds("rest")
def test_nobody_comes_in_without_the_token(world: World):
    for token in ("", ADMIN_TOKEN + "x"):
        answer = api(world.bridge, "POST", "/reconciliations", token)
        assert 401 == answer.status_code
        assert "Bearer" == answer.headers["WWW-Authenticate"]
    assert 401 == requests.get(f"{world.bridge.url}/api/v1/links", timeout=10).status_code
