"""Reading the account, and every answer against the written-down contract."""

import json
from functools import cache
from typing import Any

import pytest
from openapi_core import OpenAPI
from openapi_core.contrib.werkzeug import WerkzeugOpenAPIRequest, WerkzeugOpenAPIResponse
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from tests.sandbox.conftest import CONTRACT, KEY, Rig, code_of, service


@cache
def _contract() -> OpenAPI:
    return OpenAPI.from_dict(json.loads((CONTRACT / "openapi.json").read_text()))


def test_the_known_ids_are_there(rig: Rig) -> None:
    found = rig.rest("GET", "/services/PSANDBX?include[]=integrations").json["service"]
    assert (KEY, "PSBXEP1") == (found["integrations"][0]["integration_key"], found["escalation_policy"]["id"])
    assert 2 == len(rig.rest("GET", "/escalation_policies/PSBXEP1").json["escalation_policy"]["escalation_rules"])
    assert "oncall@example.com" == rig.rest("GET", "/users/me").json["user"]["email"]
    assert ["PSBXUS1"] == [u["id"] for u in rig.rest("GET", "/users?query=oncall@").json["users"]]
    assert [1, 2] == [
        o["escalation_level"] for o in rig.rest("GET", "/oncalls?escalation_policy_ids[]=PSBXEP1").json["oncalls"]
    ]
    assert (404, 2100) == code_of(rig.rest("GET", "/services/PNONE"))


def test_an_ability_is_there_or_costs_money(rig: Rig) -> None:
    assert 204 == rig.rest("GET", "/abilities/coordinated_responding").status_code
    assert (402, 2014) == code_of(rig.rest("GET", "/abilities/flying"))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/incidents", None),
        ("GET", "/incidents/{id}", None),
        ("GET", "/incidents/{id}/notes", None),
        ("GET", "/incidents/{id}/alerts", None),
        ("GET", "/incidents/{id}/log_entries", None),
        ("GET", "/log_entries", None),
        ("GET", "/oncalls", None),
        ("GET", "/escalation_policies", None),
        ("GET", "/services/PSANDBX", None),
        ("GET", "/users", None),
        ("GET", "/users/me", None),
        ("GET", "/priorities", None),
        ("GET", "/abilities", None),
        ("GET", "/webhook_subscriptions", None),
        ("GET", "/incidents/{id}/custom_fields/values", None),
        ("GET", "/incidents/QNONE", None),
        ("POST", "/incidents", {"incident": {"type": "incident", "title": "t", "service": service()}}),
        ("PUT", "/incidents/{id}", {"incident": {"type": "incident", "status": "acknowledged"}}),
        ("POST", "/incidents/{id}/notes", {"note": {"content": "n"}}),
        ("POST", "/incidents/{id}/status_updates", {"message": "m"}),
        ("PUT", "/incidents/{id}/custom_fields/values", {"custom_fields": [{"name": "k", "value": "v"}]}),
        ("POST", "/webhook_subscriptions/PSBXWH1/enable", None),
        ("POST", "/v2/enqueue", {"routing_key": KEY, "event_action": "resolve", "dedup_key": "d"}),
    ],
)
def test_answers_keep_the_contract(rig: Rig, method: str, path: str, body: Any) -> None:
    path = path.replace("{id}", rig.incident()["id"])
    host = "https://events.pagerduty.com" if path.startswith("/v2/") else "https://api.pagerduty.com"
    headers: Any = {"Authorization": "Token token=key", "From": "oncall@example.com"}
    asked = Request(EnvironBuilder(path, host, method=method, json=body, headers=headers).get_environ())

    answer = rig.rest(method, path, body)

    _contract().validate_response(WerkzeugOpenAPIRequest(asked), WerkzeugOpenAPIResponse(answer))


def test_a_service_shows_how_it_stands(rig: Rig) -> None:
    rig.order("/pagerduty/services/PSBXSV2", {"status": "maintenance", "auto_resolve_timeout": 14_400})
    first, second = rig.rest("GET", "/services").json["services"]
    assert ("active", None) == (first["status"], first["auto_resolve_timeout"])
    assert ("maintenance", 14_400) == (second["status"], second["auto_resolve_timeout"])
    rig.order("/reset")
    assert "active" == rig.rest("GET", "/services/PSBXSV2").json["service"]["status"]


def test_a_service_that_is_not_there_has_no_standing(rig: Rig) -> None:
    answer = rig.client.post("/sandbox/pagerduty/services/PNONE", json={"status": "maintenance"})
    assert 404 == answer.status_code
    answer = rig.client.post("/sandbox/pagerduty/services/PSANDBX", json={"status": "asleep"})
    assert 400 == answer.status_code


def test_a_level_can_have_nobody_on_call(rig: Rig) -> None:
    made = rig.incident()
    rig.order("/pagerduty/policies/PSBXEP2", {"empty_levels": [1]})
    on_call = rig.rest("GET", "/oncalls?escalation_policy_ids[]=PSBXEP2").json["oncalls"]
    assert [2, 3] == [entry["escalation_level"] for entry in on_call]
    move = {"type": "incident", "escalation_policy": {"id": "PSBXEP2", "type": "escalation_policy_reference"}}
    moved = rig.rest("PUT", f"/incidents/{made['id']}", {"incident": move}).json["incident"]
    assert ["PSBXUS3"] == [one["assignee"]["id"] for one in moved["assignments"]]
    back = {"incident": {"type": "incident", "escalation_level": 1}}
    assert (400, 1015) == code_of(rig.rest("PUT", f"/incidents/{made['id']}", back))
    rig.order("/pagerduty/policies/PSBXEP2", {"empty_levels": []})
    assert 200 == rig.rest("PUT", f"/incidents/{made['id']}", back).status_code
