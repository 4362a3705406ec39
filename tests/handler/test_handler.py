"""``PagerDutyHandler`` against simulated and scripted partners: what it promises when things go wrong."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap.container import migrate_stores
from app.bootstrap.handler import PagerDutyActions, settings_of
from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.types import Alert, AlertId, Side
from app.errors import BridgeError, ConfigFault, NotSetUp, PartnerRefused, PartnerUnavailable, WrongUse
from app.handler import PagerDutyHandler, PartlyDone
from app.retrying import RetryPolicy
from app.services.incidents.draft import Wanted
from tests.far_side import FarSide, far_side
from tests.rig import Rig
from tests.system.sandbox import Sandbox
from tests.system.waiting import until

KEY, API_KEY = "sandboxsandboxsandboxsandbox0000", "rest-key-marker-0000"
SECRETS = (KEY, API_KEY)

Json = dict[str, Any]
Make = Callable[..., PagerDutyHandler]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with closing(Sandbox(tmp_path_factory.mktemp("partners"), "http://127.0.0.1:9")) as running:
        yield running


@pytest.fixture
def environment(sandbox: Sandbox, tmp_path: Path) -> Iterator[dict[str, str]]:
    yield {
        "BRIDGE_CONFIG": str(tmp_path / "bridge.yaml"),
        "BRIDGE_DATA_DIR": str(tmp_path / "data"),
        "PAGERDUTY_API_URL": sandbox.url,
        "PAGERDUTY_EVENTS_URL": sandbox.url,
        "PAGERDUTY_API_KEY": API_KEY,
        "PAGERDUTY_FROM_EMAIL": "oncall@example.com",
        "PAGERDUTY_SERVICE_ID": "PSANDBX",
    }
    sandbox.heal()


@pytest.fixture
def make(environment: dict[str, str]) -> Iterator[Make]:
    """A handler with these variables instead of the usual ones; an empty value takes one away."""
    made: list[PagerDutyHandler] = []

    def handler(key: str | None = None, **settings: str) -> PagerDutyHandler:
        chosen = {name: value for name, value in {**environment, **settings}.items() if value}
        made.append(PagerDutyHandler(key, environ=chosen))
        return made[-1]

    yield handler
    for one in made:
        one.close()


@pytest.fixture
def handler(make: Make) -> PagerDutyHandler:
    return make()


def incidents(sandbox: Sandbox, title: str) -> list[Json]:
    """What PagerDuty has under this title."""
    return [incident for incident in sandbox.state()["incidents"] if incident["title"] == title]


def has_status(sandbox: Sandbox, title: str, status: str) -> bool:
    return [status] == [incident["status"] for incident in incidents(sandbox, title)]


def notes(sandbox: Sandbox, title: str) -> list[str]:
    return [note["content"] for incident in incidents(sandbox, title) for note in incident["notes"]]


# ------------------------------------------------------------------------------------------------ opening


def test_the_incident_comes_back_in_pagerdutys_shape(handler: PagerDutyHandler, sandbox: Sandbox):
    answer = handler.create_incident("shape", description="how", urgency="low", escalation_policy_id="PSBXEP2")
    [there] = incidents(sandbox, "shape")
    incident = answer["incident"]
    assert (there["id"], there["incident_number"], "triggered", there["html_url"]) == tuple(
        incident[name] for name in ("id", "incident_number", "status", "html_url")
    )
    assert ("low", "PSBXEP2", "PSANDBX") == (
        there["urgency"], there["escalation_policy"]["id"], incident["service"]["id"],
    )  # fmt: skip
    assert "Description: how" == there["body"]
    assert [] == answer["warnings"]


def test_after_an_unclear_answer_there_is_one_incident(handler: PagerDutyHandler, sandbox: Sandbox):
    sandbox.fault(kind="reset_after", partner="pagerduty", method="POST", path_regex="^/incidents$", times=1)
    answer = handler.create_incident("once, please")
    [there] = incidents(sandbox, "once, please")
    assert there["id"] == answer["incident"]["id"]


def test_what_an_unclear_call_opened_and_somebody_resolved_is_not_opened_again():
    """PagerDuty's own refusal of a key that is in use is no help any more: only a look is."""
    with far_side() as far, closing(PagerDutyActions(settings_of(variables(far)))) as actions:
        far.will_answer(503)
        far.will_answer(200, {"incidents": [{"id": "Q1", "status": "resolved"}], "more": False})
        answer, _ = actions.create(Wanted("once"), {})
    assert ("Q1", "resolved") == (answer["id"], answer["status"])
    assert ["POST", "GET"] == [request.method for request in far.requests]


def test_one_key_has_one_incident_also_when_it_is_resolved(handler: PagerDutyHandler, sandbox: Sandbox):
    first = handler.create_incident("mine", incident_key="my-key")["incident"]
    handler.resolve_incident(first["id"])
    again = handler.create_incident("mine", incident_key="my-key")["incident"]
    assert (first["id"], "resolved") == (again["id"], again["status"])
    assert 1 == len(incidents(sandbox, "mine"))


def test_a_key_that_is_taken_when_nobody_could_see_it_is_found(handler: PagerDutyHandler, sandbox: Sandbox):
    """The look before the creation misses it; PagerDuty's refusal then says that it is there."""
    opened = handler.create_incident("taken", incident_key="taken-key")["incident"]
    with far_side() as far, closing(PagerDutyActions(settings_of(variables(far)))) as actions:
        far.will_answer(200, {"incidents": [], "more": False})
        far.will_answer(400, {"error": {"message": "Arguments Caused Error", "code": 2002, "errors": ["matching key"]}})
        far.will_answer(200, {"incidents": [opened], "more": False})
        answer, _ = actions.create(Wanted("taken", incident_key="taken-key"), {})
    assert opened["id"] == answer["id"]


def test_without_a_key_every_call_is_an_incident_of_its_own(handler: PagerDutyHandler, sandbox: Sandbox):
    ids = {handler.create_incident("two")["incident"]["id"] for _ in range(2)}
    assert ids == {incident["id"] for incident in incidents(sandbox, "two")}
    assert 2 == len(ids)


@pytest.mark.parametrize("way", [{"details": {"alert_id": "a-7"}}, {"body": {"details": {"alertId": "a-7"}}}])
def test_an_alert_id_makes_it_the_incident_the_bridge_would_open(handler: PagerDutyHandler, way: Json):
    answer = handler.create_incident("of an alert", **way)["incident"]
    assert "truthvouch-" + hashlib.sha256(b"a-7").hexdigest() == answer["incident_key"]


def test_details_become_readable_lines_with_the_alert_first(handler: PagerDutyHandler, sandbox: Sandbox):
    body = {"type": "incident_body", "details": {"confidence": "5%", "facts": {"true": False}, "none": None}}
    handler.create_incident(
        "lines", "why", body=body, details={"alert_id": 12}, client="api.integration.client:TruthVouch"
    )
    lines = ["Alert id: 12", "Description: why", "Confidence: 5%", 'Facts: {"true": false}',
             "Client: TruthVouch (api.integration.client)"]  # fmt: skip
    assert lines == incidents(sandbox, "lines")[0]["body"].splitlines()


def test_priority_and_custom_fields_are_set(handler: PagerDutyHandler, sandbox: Sandbox):
    handler.create_incident("fields", priority="PSBXPR1", custom_fields={"kind": "hallucination", "score": 5})
    [there] = incidents(sandbox, "fields")
    assert ("PSBXPR1", {"kind": "hallucination", "score": "5"}) == (there["priority"]["id"], there["custom_fields"])


def test_fields_an_account_has_not_are_reported_and_the_incident_stays(handler: PagerDutyHandler, sandbox: Sandbox):
    sandbox.fault(kind="status", status=402, method="PUT", path_regex="custom_fields")
    with pytest.warns(PartlyDone, match="incident_custom_fields"):
        answer = handler.create_incident("no fields", custom_fields={"kind": "x"})
    assert answer["incident"]["id"]
    assert 1 == len(answer["warnings"])


# ------------------------------------------------------------------------------------------------ by event


def test_with_an_integration_key_alone_it_goes_by_event_and_says_what_stays_unknown(make: Make, sandbox: Sandbox):
    handler = make(KEY, PAGERDUTY_API_KEY="")
    with pytest.warns(PartlyDone, match="PAGERDUTY_API_KEY"):
        answer = handler.create_incident("by event", details={"alert_id": "e-1"})["incident"]
    assert (None, None, "triggered") == (answer["id"], answer["incident_number"], answer["status"])
    [there] = until(lambda: incidents(sandbox, "by event"), "the event is an incident")
    assert there["alert_keys"] == [answer["incident_key"]]
    for move, status in ((handler.acknowledge_incident, "acknowledged"), (handler.resolve_incident, "resolved")):
        assert status == move(answer["incident_key"])["incident"]["status"]
        until(partial(has_status, sandbox, "by event", status), status)
    with pytest.raises(NotSetUp, match="PAGERDUTY_API_KEY") as caught:
        handler.acknowledge_incident(there["id"])
    assert "no_api_key" == caught.value.reason


def test_the_event_names_the_client_and_where_it_is(make: Make, sandbox: Sandbox):
    with pytest.warns(PartlyDone):
        make(KEY, PAGERDUTY_API_KEY="").create_incident("client", client="https://tv.example/alerts:Vouching")
    events = [call["body"] for call in sandbox.calls(path="/v2/enqueue")]
    [event] = [event for event in events if event.get("payload", {}).get("summary") == "client"]
    assert ("Vouching", "https://tv.example/alerts") == (event["client"], event["client_url"])


@pytest.mark.parametrize("setting", [{"config": "pagerduty: {via: events}\n"}, {"PAGERDUTY_FROM_EMAIL": ""}])
def test_with_both_keys_an_event_s_incident_is_looked_up(
    make: Make, sandbox: Sandbox, environment: dict[str, str], setting: dict[str, str]
):
    Path(environment["BRIDGE_CONFIG"]).write_text(setting.pop("config", ""), "utf-8")
    title = f"looked up {len(setting)}"
    answer = make(KEY, **setting).create_incident(title)["incident"]
    [there] = incidents(sandbox, title)
    assert there["alert_keys"] != []
    assert (there["id"], there["incident_number"]) == (answer["id"], answer["incident_number"])


def test_with_no_key_at_all_the_error_names_both(make: Make):
    with pytest.raises(NotSetUp, match=r"PAGERDUTY_API_KEY .* or PAGERDUTY_INTEGRATION_KEY"):
        make(PAGERDUTY_API_KEY="").create_incident("nothing")


# ------------------------------------------------------------------------------------------------ moving


def test_an_acknowledge_is_the_users_own_and_twice_is_once(handler: PagerDutyHandler, sandbox: Sandbox):
    ident = handler.create_incident("acknowledge")["incident"]["id"]
    for user in ("PSBXUS2", "manager@example.com"):
        answer = handler.acknowledge_incident(ident, user)["incident"]
        assert "acknowledged" == answer["status"]
    [there] = incidents(sandbox, "acknowledge")
    assert "PSBXUS2" == there["acknowledgements"][0]["acknowledger"]["id"]
    assert 1 == len([line for line in there["log"] if line["summary"].startswith("acknowledge")])


@pytest.mark.parametrize("user", ["user123", "nobody@example.com"])
def test_an_unknown_user_is_named_as_such_and_nothing_is_changed(
    handler: PagerDutyHandler, sandbox: Sandbox, user: str
):
    ident = handler.create_incident(f"by {user}")["incident"]["id"]
    with pytest.raises(PartnerRefused, match="user of this account") as caught:
        handler.acknowledge_incident(ident, user)
    assert "unknown_user" == caught.value.reason
    assert "triggered" == incidents(sandbox, f"by {user}")[0]["status"]


def test_a_late_acknowledge_opens_nothing_again(handler: PagerDutyHandler, sandbox: Sandbox):
    ident = handler.create_incident("late")["incident"]["id"]
    handler.resolve_incident(ident)
    assert "resolved" == handler.acknowledge_incident(ident)["incident"]["status"]
    assert "resolved" == incidents(sandbox, "late")[0]["status"]


def test_a_resolution_note_is_written_once_whatever_happens(handler: PagerDutyHandler, sandbox: Sandbox):
    ident = handler.create_incident("resolve")["incident"]["id"]
    sandbox.fault(kind="reset_after", partner="pagerduty", method="POST", path_regex="/notes$", times=1)
    sandbox.fault(kind="reset_after", partner="pagerduty", method="PUT", path_regex="^/incidents/", times=1)
    for _ in range(2):
        assert "resolved" == handler.resolve_incident(ident, "Fixed in production")["incident"]["status"]
    assert ["Fixed in production"] == notes(sandbox, "resolve")
    [put, *_] = [call["body"] for call in sandbox.calls(method="PUT", path=f"/incidents/{ident}")]
    assert "Fixed in production" == put["incident"]["resolution"]


def test_an_unknown_incident_is_not_found(handler: PagerDutyHandler):
    with pytest.raises(PartnerRefused, match=r"not_found \(PagerDuty: Not Found\).*Check the id") as caught:
        handler.resolve_incident("QNONE", "note")
    assert (404, 2100) == (caught.value.status, caught.value.code)


# ------------------------------------------------------------------------------------------------ telling people


def requests_made(sandbox: Sandbox, ident: str) -> int:
    return len(sandbox.calls(method="POST", path=f"/incidents/{ident}/responder_requests"))


def test_responders_are_asked_once_also_after_an_unclear_answer(handler: PagerDutyHandler, sandbox: Sandbox):
    ident = handler.create_incident("notify")["incident"]["id"]
    sandbox.fault(kind="reset_after", partner="pagerduty", method="POST", path_regex="responder_requests$", times=1)
    sandbox.fault(kind="reset_after", partner="pagerduty", method="POST", path_regex="/notes$", times=1)
    answer = handler.notify_responder(ident, "Look at this", "https://tv.example/1")
    assert (["responder_request", "note"], ["PSBXUS1"]) == (answer["done"], answer["users"])
    assert [] == handler.notify_responder(ident, "Look at this", "https://tv.example/1")["done"]
    assert 1 == requests_made(sandbox, ident)
    [note] = notes(sandbox, "notify")
    assert note.startswith("[TruthVouch] ")
    assert f"Look at this https://tv.example/1 (ref {answer['ref']})" in note


def test_a_message_interrupted_before_its_note_pages_nobody_twice(handler: PagerDutyHandler, sandbox: Sandbox):
    ident = handler.create_incident("interrupted")["incident"]["id"]
    sandbox.fault(kind="status", status=400, method="POST", path_regex="/notes$", times=1)
    with pytest.raises(PartnerRefused):
        handler.notify_responder(ident, "Look")
    handler.notify_responder(ident, "Look")
    assert (1, 1) == (requests_made(sandbox, ident), len(notes(sandbox, "interrupted")))


def test_the_named_users_are_asked(handler: PagerDutyHandler, sandbox: Sandbox):
    ident = handler.create_incident("named")["incident"]["id"]
    assert ["PSBXUS2", "PSBXUS3"] == handler.notify_responder(ident, "Both", users=["PSBXUS2", "PSBXUS3"])["users"]


def test_a_resolved_incident_has_whoever_is_on_call(handler: PagerDutyHandler):
    ident = handler.create_incident("on call", escalation_policy_id="PSBXEP2")["incident"]["id"]
    handler.resolve_incident(ident)
    assert ["PSBXUS2"] == handler.notify_responder(ident, "Who?")["users"]


def test_what_the_plan_has_not_is_replaced_by_the_next_best(handler: PagerDutyHandler, sandbox: Sandbox):
    ident = handler.create_incident("plan")["incident"]["id"]
    sandbox.fault(kind="status", status=402, method="POST", path_regex="responder_requests$")
    assert ["status_update", "note"] == handler.notify_responder(ident, "First")["done"]
    sandbox.fault(kind="status", status=402, method="POST", path_regex="status_updates$")
    assert ["note"] == handler.notify_responder(ident, "Second")["done"]
    assert 2 == len(notes(sandbox, "plan"))


def test_without_the_ability_no_responder_is_asked_for():
    with far_side() as far, closing(PagerDutyActions(settings_of(variables(far)))) as actions:
        far.will_answer(200, {"notes": []})
        far.will_answer(200, {"abilities": ["urgencies"]})
        far.will_answer(200, {"log_entries": []})
        far.will_answer(200, {"status_update": {}})
        far.will_answer(200, {"notes": []})
        far.will_answer(200, {"note": {"id": "N1", "content": "x"}})
        answer = actions.notify("Q1", "hello", None, ())
    assert ("status_update", "note") == answer.done
    assert [] == [request.path for request in far.requests if request.path.endswith("responder_requests")]


# ------------------------------------------------------------------------------------------------ no answer


def variables(far: FarSide) -> dict[str, str]:
    return {
        "BRIDGE_CONFIG": "/nowhere/bridge.yaml",
        "PAGERDUTY_API_URL": far.url,
        "PAGERDUTY_EVENTS_URL": far.url,
        "PAGERDUTY_API_KEY": API_KEY,
        "PAGERDUTY_FROM_EMAIL": "oncall@example.com",
        "PAGERDUTY_SERVICE_ID": "PSANDBX",
    }


def test_a_wait_that_is_asked_for_is_kept_and_tries_end():
    waits: list[float] = []
    with (
        far_side() as far,
        closing(PagerDutyActions(settings_of(variables(far)), RetryPolicy(pause=waits.append))) as actions,
    ):
        far.will_answer(429, {"error": {"code": 2020}}, retry_after="7")
        for _ in range(4):
            far.will_answer(503)
        with pytest.raises(PartnerUnavailable, match=r"resolve Q1.*http_503.*safe to repeat") as caught:
            actions.resolve("Q1")
    assert (5, 4) == (len(far.requests), len(waits))
    assert waits[0] >= 7
    assert caught.value.unclear


def test_a_wait_that_is_too_long_is_reported_instead():
    with far_side() as far, closing(PagerDutyActions(settings_of(variables(far)))) as actions:
        far.will_answer(429, {"error": {"code": 2020}}, retry_after="900")
        with pytest.raises(PartnerUnavailable, match="wait 900 seconds") as caught:
            actions.resolve("Q1")
    assert (1, 900) == (len(far.requests), caught.value.after_seconds)


def test_an_incident_that_may_have_been_opened_is_reported_with_its_key():
    with far_side() as far, closing(PagerDutyActions(settings_of(variables(far)), RetryPolicy(tries=1))) as actions:
        far.will_answer(503)
        with pytest.raises(PartnerUnavailable, match=r"not known.*incident_key='truthvouch-by-hand-[0-9a-f]{32}'"):
            actions.create(Wanted("x"), {})


TAKEN = "Open incident with matching dedup key already exists on this service"


def test_what_an_unclear_call_opened_and_no_list_shows_yet_is_reported_with_its_key():
    """PagerDuty refuses the second creation, for the first one had its effect: that is no final no."""
    with (
        far_side() as far,
        closing(PagerDutyActions(settings_of(variables(far)), RetryPolicy(2, pause=lambda _: None))) as actions,
    ):
        far.will_answer(503)
        far.will_answer(200, {"incidents": [], "more": False})
        far.will_answer(400, {"error": {"message": "Arguments Caused Error", "code": 2002, "errors": ["in use"]}})
        far.will_answer(200, {"incidents": [], "more": False})
        with pytest.raises(PartnerUnavailable, match=r"not known.*incident_key='truthvouch-by-hand-[0-9a-f]{32}'"):
            actions.create(Wanted("x"), {})
    assert ["POST", "GET"] * 2 == [request.method for request in far.requests]


@pytest.mark.parametrize(("words", "fault"), [(TAKEN, PartnerUnavailable), ("priority is odd", PartnerRefused)])
def test_a_key_that_is_in_use_is_no_final_no_and_other_arguments_are(words: str, fault: type[Exception]):
    """One code for both."""
    with far_side() as far, closing(PagerDutyActions(settings_of(variables(far)), RetryPolicy(tries=1))) as actions:
        far.will_answer(400, {"error": {"message": "Arguments Caused Error", "code": 2002, "errors": [words]}})
        far.will_answer(200, {"incidents": [], "more": False})
        with pytest.raises(fault):
            actions.create(Wanted("x"), {})


# ------------------------------------------------------------------------------------------------ errors and secrets


@pytest.mark.parametrize(
    "wrong",
    [
        lambda handler: handler.create_incident(" \n"),
        lambda handler: handler.create_incident("t", urgency="medium"),
        lambda handler: handler.create_incident("t", incident_key=" "),
        lambda handler: handler.create_incident("t", incident_key="k" * 256),
        lambda handler: handler.acknowledge_incident(" .. "),
        lambda handler: handler.resolve_incident(""),
        lambda handler: handler.notify_responder("Q1", " "),
        lambda handler: handler.configure_escalation("P1", []),
        lambda handler: PagerDutyHandler(region="mars"),
    ],
)
def test_wrong_use_is_reported_before_anything_is_sent(
    handler: PagerDutyHandler, sandbox: Sandbox, wrong: Callable[[PagerDutyHandler], object]
):
    before = len(sandbox.calls())
    with pytest.raises(WrongUse) as caught:
        wrong(handler)
    assert caught.value.remedy
    assert before == len(sandbox.calls())


def test_keys_are_in_no_error_and_no_repr():
    with far_side() as far:
        environment = variables(far)
        with closing(PagerDutyHandler(KEY, environ=environment)) as handler:
            far.will_answer(400, {"error": {"message": f"key {API_KEY} is odd", "code": 2001}})
            with pytest.raises(BridgeError) as caught:
                handler.acknowledge_incident("Q1")
            said = f"{caught.value} {handler!r} {handler._actions.given!r} {vars(caught.value)}"
    assert "*** is odd" in said
    assert [] == [secret for secret in SECRETS if secret in said]


def test_what_nobody_said_is_not_called_none():
    assert "<PagerDutyHandler>" == repr(PagerDutyHandler(KEY))
    assert "<PagerDutyHandler service_id='P1' region='eu'>" == repr(PagerDutyHandler(service_id="P1", region="eu"))
    assert "<PagerDutyHandler region='us'>" == repr(PagerDutyHandler(region="us"))


def test_arguments_beat_the_environment():
    with far_side() as far:
        answer = {"incident": {"id": "Q1", "status": "resolved"}}
        far.will_answer(200, answer)
        with closing(PagerDutyHandler(api_key="other", from_email="me@x.example", environ=variables(far))) as handler:
            handler.resolve_incident("Q1")
    assert "Token token=other" == far.only_request.headers["Authorization"]
    assert "me@x.example" == far.only_request.headers["From"]


def test_what_the_environment_does_not_say_is_taken_from_the_file(tmp_path: Path):
    config = tmp_path / "bridge.yaml"
    config.write_text(
        "pagerduty:\n  api_key: from-the-file\n  from_email: file@x.example\n  service_id: PFILE\n"
        "  escalation_policy_id: PPOLICY\n", "utf-8",
    )  # fmt: skip
    config.chmod(0o600)
    with far_side() as far:
        unsaid = {"PAGERDUTY_API_KEY", "PAGERDUTY_FROM_EMAIL", "PAGERDUTY_SERVICE_ID"}
        environment = {name: value for name, value in variables(far).items() if name not in unsaid}
        for service_id in (None, "PGIVEN"):
            far.will_answer(201, {"incident": {"id": "Q1", "status": "triggered"}})
            given = PagerDutyHandler(service_id=service_id, environ=environment | {"BRIDGE_CONFIG": str(config)})
            with closing(given) as handler:
                handler.create_incident("from the file")
    first, second = far.requests
    assert "Token token=from-the-file" == first.headers["Authorization"]
    assert "file@x.example" == first.headers["From"]
    sent = first.json["incident"]
    assert ("PFILE", "PPOLICY") == (sent["service"]["id"], sent["escalation_policy"]["id"])
    assert "PGIVEN" == second.json["incident"]["service"]["id"]


def test_a_region_beats_the_address_of_the_environment():
    given = PagerDutyHandler(region="eu", environ={"PAGERDUTY_API_URL": "http://127.0.0.1:9"})._actions.given
    assert "https://api.eu.pagerduty.com" == given.pagerduty.api_url


@pytest.mark.parametrize("around", ["{}\n", " {}\t", "\r\n{}"])
def test_blanks_and_line_breaks_around_an_argument_are_none_of_it(around: str):
    texts = {"api_key": "k", "integration_key": "i", "from_email": "me@x.example", "service_id": "P1"}
    with closing(PagerDutyHandler(**{name: around.format(text) for name, text in texts.items()}, environ={})) as made:
        assert texts == {name: getattr(made._actions.given.pagerduty, name) for name in texts}
    with closing(PagerDutyHandler('"i"', api_key="'k'", environ={})) as made:
        assert ("i", "k") == (made._actions.given.pagerduty.integration_key, made._actions.given.pagerduty.api_key)


def test_every_argument_that_can_never_be_sent_is_named_and_no_key_is_shown():
    wrong = {
        "api_key": "hu\u200bsh",
        "integration_key": "hu\nsh",
        "from_email": "me\u200b@x.example",
        "service_id": "'P1'",
    }
    with pytest.raises(ConfigFault, match="the arguments: 4 faults") as caught:
        PagerDutyHandler(**wrong, environ={}).resolve_incident("Q1")
    assert sorted(wrong) == [fault.path for fault in caught.value.faults]
    assert "hu" not in str(caught.value)


def test_what_was_never_used_closes_and_what_was_closed_opens_again():
    with far_side() as far:
        PagerDutyHandler(environ={"PORT": "none"}).close()
        with closing(PagerDutyHandler(environ=variables(far))) as handler:
            for _ in range(2):
                far.will_answer(200, {"incident": {"id": "Q1", "status": "resolved"}})
                assert "resolved" == handler.resolve_incident("Q1")["incident"]["status"]
                handler.close()
        with pytest.raises(ConfigFault, match="PORT"):
            PagerDutyHandler(environ={"PORT": "none"}).resolve_incident("Q1")


# ------------------------------------------------------------------------------------------------ configuration

RULE: Json = {"type": "create_incident", "title": "Wrong answer", "urgency": "high", "service_id": "PSANDBX"}


def test_a_rule_is_written_once_and_comments_stay(handler: PagerDutyHandler, environment: dict[str, str]):
    path = Path(environment["BRIDGE_CONFIG"])
    path.write_text("# ours\nseverity_map:\n  low: none # quiet\n", "utf-8")
    answer = handler.configure_rule("Wrong", "confidence < 0.5", RULE)
    assert ({"name": "Wrong", "trigger": "confidence < 0.5", "action": RULE}, 1) == (answer["rule"], answer["place"])
    assert str(path) == answer["written_to"]
    written = path.read_text("utf-8")
    assert [] == handler.configure_rule("Wrong", "confidence < 0.5", RULE)["changed"]
    assert written == path.read_text("utf-8")
    assert "# ours" in written
    assert "# quiet" in written
    other = handler.configure_rule("Wrong", "confidence < 0.4", RULE | {"urgency": None})
    assert ("confidence < 0.4", 1) == (other["rule"]["trigger"], other["place"])
    assert "urgency" not in other["rule"]["action"]


def test_the_severity_map_answers_for_every_severity(handler: PagerDutyHandler):
    answer = handler.configure_severity_map({"high": "high", "medium": None})
    assert {"critical": "high", "high": "high", "medium": "none", "low": "none"} == answer["severity_map"]


def test_escalation_is_what_is_in_force(handler: PagerDutyHandler):
    levels: list[Json] = [
        {"level": 1, "timeout_minutes": 0.5},
        {"level": 2, "timeout_minutes": 30, "description": "manager"},
    ]
    answer = handler.configure_escalation("PSBXEP2", levels)["escalation"]
    assert "PSBXEP2" == answer["escalation_policy_id"]
    assert [(1, 0.5, ""), (2, 30.0, "manager")] == [tuple(level.values()) for level in answer["levels"]]


def test_an_escalation_without_levels_is_refused_and_the_one_in_force_stays(
    handler: PagerDutyHandler, environment: dict[str, str]
):
    handler.configure_escalation("PSBXEP2", [{"level": 1, "timeout_minutes": 5}])
    before = Path(environment["BRIDGE_CONFIG"]).read_text()
    with pytest.raises(WrongUse, match="take escalation: out of"):
        handler.configure_escalation("PSBXEP2", [])
    assert before == Path(environment["BRIDGE_CONFIG"]).read_text()


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ("trigger", lambda handler: handler.configure_rule("R", "confidence <", RULE)),
        ("urgency", lambda handler: handler.configure_rule("R", "true", RULE | {"urgency": "medium"})),
        ("severity_map", lambda handler: handler.configure_severity_map({"high": "loud"})),
        ("did you mean confidence", lambda handler: handler.configure_rule("R", "confidnce < 0.5", RULE)),
        ("did you mean critical", lambda handler: handler.configure_rule("R", "severity == critcal", RULE)),
        ("did you mean critical", lambda handler: handler.configure_severity_map({"critcal": "high"})),
        ("levels", lambda handler: handler.configure_escalation("P1", [{"level": 2, "timeout_minutes": 1}])),
    ],
)
def test_what_the_file_could_not_say_is_refused_and_not_written(
    handler: PagerDutyHandler, environment: dict[str, str], fault: str, wrong: Callable[[PagerDutyHandler], object]
):
    with pytest.raises(ConfigFault, match=fault) as caught:
        wrong(handler)
    assert isinstance(caught.value, BridgeError)
    assert not Path(environment["BRIDGE_CONFIG"]).exists()


def test_words_of_ones_own_that_are_nearly_known_ones_can_be_insisted_on(handler: PagerDutyHandler):
    answer = handler.configure_rule("R", "confidnce < 0.5", RULE, check_spelling=False)
    assert "confidnce < 0.5" == answer["rule"]["trigger"]
    answer = handler.configure_severity_map({"critcal": "high"}, check_spelling=False)
    assert "high" == answer["severity_map"]["critcal"]
    with pytest.raises(ConfigFault, match="did you mean critical"):  # the file's own misspelling is not a known word
        handler.configure_rule("Own severity", "severity == critcal", RULE)
    handler.configure_rule("Own severity", "severity == critcal", RULE, check_spelling=False)
    handler.configure_severity_map({"severe": "high"})
    handler.configure_rule("Severe", "severity == severe", RULE)


# ------------------------------------------------------------------------------------------------ beside a bridge


def test_a_field_that_alerts_of_the_bridge_had_is_not_misspelt(handler: PagerDutyHandler, environment: dict[str, str]):
    rig = Rig(Path(environment["BRIDGE_DATA_DIR"]))
    alert = Alert(AlertId("a1"), severity="low", extra={"confidnce": 0.2})
    rig.say(Side.TRUTHVOUCH, AlertEvent(AlertEventType.CREATED, alert, "alert.created", rig.clock()))
    assert "confidnce < 0.5" == handler.configure_rule("R", "confidnce < 0.5", RULE)["rule"]["trigger"]


def test_an_escalation_needs_a_bridge_and_says_so(handler: PagerDutyHandler):
    with pytest.raises(NotSetUp, match=r"worker escalates.*Start the bridge") as caught:
        handler.escalate_if_unacknowledged("Q1", 30, "PSBXEP2")
    assert "no_bridge_store" == caught.value.reason


def test_without_a_worker_an_escalation_is_stored_and_a_warning_says_so(
    handler: PagerDutyHandler, environment: dict[str, str]
):
    Path(environment["BRIDGE_DATA_DIR"]).mkdir()
    migrate_stores(settings_of(environment))
    incident = handler.create_incident("escalated")["incident"]
    for named in (incident["id"], incident["incident_number"], f"#{incident['incident_number']}"):
        with pytest.warns(PartlyDone, match="no worker is running"):
            answer = handler.escalate_if_unacknowledged(str(named), 30, "PSBXEP2")
        assert (incident["id"], "stored") == (answer["incident_id"], answer["outcome"])


def test_what_pagerduty_does_not_know_is_not_escalated(make: Make, environment: dict[str, str]):
    Path(environment["BRIDGE_DATA_DIR"]).mkdir()
    migrate_stores(settings_of(environment))
    handler = make()
    known = handler.create_incident("known")["incident"]["id"]
    for incident_id, policy_id, reason in (
        ("QNOSUCH", "PSBXEP2", "not_found"),
        ("99999", "PSBXEP2", "not_found"),
        (known, "PNOPE", "policy_not_found"),
    ):
        with pytest.raises(PartnerRefused, match="nothing was stored") as caught:
            handler.escalate_if_unacknowledged(incident_id, 30, policy_id)
        assert (reason, 404) == (caught.value.reason, caught.value.status)
    blind = make(PAGERDUTY_API_KEY="")
    with pytest.raises(WrongUse, match="Give its id"):
        blind.escalate_if_unacknowledged("16", 30, "PSBXEP2")
    with pytest.warns(PartlyDone, match="no worker"), pytest.warns(PartlyDone, match="could not be checked"):
        blind.escalate_if_unacknowledged("Q1", 30, "PSBXEP2")


@pytest.mark.parametrize(("minutes", "policy"), [(0, "P1"), (-1, "P1"), (float("nan"), "P1"), (30, "not an id")])
def test_what_cannot_be_escalated_is_reported(
    handler: PagerDutyHandler, environment: dict[str, str], minutes: float, policy: str
):
    Path(environment["BRIDGE_DATA_DIR"]).mkdir()
    migrate_stores(settings_of(environment))
    with pytest.raises(WrongUse):
        handler.escalate_if_unacknowledged("Q1", minutes, policy)


def test_a_period_that_is_none_is_wrong_use(handler: PagerDutyHandler, environment: dict[str, str]):
    Path(environment["BRIDGE_DATA_DIR"]).mkdir()
    migrate_stores(settings_of(environment))
    for ask in (
        lambda: handler.generate_report(None, "fortnightly"),
        lambda: handler.get_incident_stats(None, "2026-02-30", "2026-03-01"),
        lambda: handler.get_incident_stats(None, "2026-02-01", "2026-03-01", time_zone="Mars/North"),
    ):
        with pytest.raises(WrongUse) as caught:
            ask()
        assert "bad_period" == caught.value.reason


# ------------------------------------------------------------------------------------------------ alone in a script


def test_without_a_bridge_reports_say_where_they_looked(handler: PagerDutyHandler, environment: dict[str, str]):
    with pytest.raises(NotSetUp, match="BRIDGE_DATA_DIR") as caught:
        handler.generate_report(service_id=None, period="monthly")
    assert "no_bridge_store" == caught.value.reason
    assert not Path(environment["BRIDGE_DATA_DIR"]).exists()


SCRIPT = """
from truthvouch_pagerduty import PagerDutyHandler
with PagerDutyHandler() as handler:
    handler.resolve_incident(handler.create_incident("alone")["incident"]["id"])
"""


def test_a_script_hears_nothing_it_did_not_ask_for(environment: dict[str, str], sandbox: Sandbox):
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (0, "", "") == (answer.returncode, answer.stdout, answer.stderr)
    assert "resolved" == incidents(sandbox, "alone")[0]["status"]
