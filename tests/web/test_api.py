"""``/api/v1``: one token opens it, every answer is as its document says, and no input breaks it."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from openapi_core import OpenAPI
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

import app.web.api
from app import create_app
from app.bootstrap import WebBridge
from app.config.settings import Settings
from app.domain.model.events import AlertEvent, AlertEventType, CommandType, Reading, Unreadable
from app.domain.model.types import Alert, AlertId, Side
from app.domain.rules.rulebook import Silence
from app.ports import StoreUnavailable
from app.ports.console import AuditFilter
from app.ports.jobs import JobResult, JobState, ReplayWanted
from app.services.access.tokens import LOCKED, LONGEST_DELAY, MANY, delay
from app.services.escalation.target import arming
from app.services.operator.retention import EraseBodies
from app.services.rules.stored import silence_as_text
from app.store import inbox as internal_events
from app.store.database import StoredKeyValues
from app.store.evidence import StoredBodies
from app.store.health import WORKER_SEEN
from app.store.jobs import StoredAudit, StoredJobs, encode_job
from app.web.api.parameters import DEFAULT_LIMIT, KEY, MAX_LIMIT, MAX_NUMBER
from app.web.bearer import source_of
from tests.conftest import FakeClock
from tests.rig import Rig
from tests.services.rigs import DatedRig
from tests.services.sync.test_commands import dead_letters, frozen, with_a_delivery_that_waits
from tests.web import openapi_document
from tests.web_fakes import FakeBridge

TOKEN = "a token only operators have"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}
ROOT = "/api/v1"


class Said(dict[bytes, tuple[Reading, ...]]):
    """What the rig was told to read, and internal events as they are."""

    def __missing__(self, body: bytes) -> tuple[Reading, ...]:
        return internal_events.read(body, None)


@dataclass
class Api:
    """The web application as it is built, on a real store, and the worker behind that store."""

    app: Flask
    rig: Rig

    def ask(self, method: str, path: str, headers: Mapping[str, str] = LOGIN, **more: Any) -> TestResponse:
        return self.app.test_client().open(ROOT + path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        answer = self.ask("GET", path, **more)
        assert 200 == answer.status_code, answer.text
        return answer.json

    def post(self, path: str, key: str = "", status: int = 200) -> Any:
        answer = self.ask("POST", path, {**LOGIN, **({"Idempotency-Key": key} if key else {})})
        assert status == answer.status_code, answer.text
        return answer.json

    def beat(self) -> None:
        """A worker lives."""
        with self.rig.database.begin() as tx:
            StoredKeyValues().put(tx, WORKER_SEEN, datetime.now(UTC).isoformat())


@contextmanager
def an_api(data_dir: Path, url: str | None = None) -> Iterator[Api]:
    """An empty store; whoever waits lets the worker work, if one lives."""
    rig = DatedRig(data_dir, url=url)
    rig.said = Said()
    given = {"BRIDGE_ADMIN_TOKEN": TOKEN, "BRIDGE_CONFIG": str(data_dir / "none.yaml"), "DATABASE_URL": url or ""}
    settings = Settings.from_env({"BRIDGE_DATA_DIR": str(data_dir), **given})
    bridge = WebBridge(settings)
    # The worker executes what is no matter of links, too, and writes down who asked.
    object.__setattr__(rig.intake.execute_command, "handlers", bridge.command_handlers())
    object.__setattr__(rig.intake.execute_command, "audit", StoredAudit())

    erase = EraseBodies(StoredBodies(rig.database, rig._inbox, data_dir), lambda _seconds: None)
    rig.intake.erase_bodies = erase.soon

    def work(_seconds: float) -> None:
        rig.intake.take()
        if erase.asked.now:
            erase.asked.now = False
            erase()

    bridge.operate = replace(bridge.operate, pause=work)
    yield Api(create_app(settings, bridge), rig)
    bridge.close()


def people(api: Api) -> Api:
    """A frozen link, another behind its dead letter, an unreadable event, a silence, a job that is done and one that
    waits; and a worker that lives."""
    frozen(api.rig)
    with_a_delivery_that_waits(api.rig, "alert/2 ü")
    api.rig.say(Side.TRUTHVOUCH, Unreadable("unknown_shape"))
    api.beat()
    operate = api.app.extensions["bridge"].operate
    assert "armed" == operate(CommandType.ESCALATE, "Q1", detail=arming(None, (60.0,))).outcome
    until = datetime.now(UTC) + timedelta(hours=2)
    silence = silence_as_text(Silence("deploy/2", 'severity == "low"', "dana", "a release", until))
    assert "silenced" == operate(CommandType.SILENCE, "deploy/2", detail=silence).outcome
    for key in ("done", "waits"):
        assert "queued" == operate.start_job(encode_job(ReplayWanted((99,))), key).outcome
    jobs, now = StoredJobs(), datetime.now(UTC)
    with api.rig.database.begin() as tx:
        jobs.claim(tx, "run", now)
        jobs.finish(tx, 1, "run", JobState.DONE, now, result=JobResult("made.csv", "text/csv", "ü,1\n".encode()))
    return api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as made:
        yield made


@pytest.fixture
def peopled(api: Api) -> Api:
    return people(api)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """For tests that change nothing: one store for all of them."""
    with an_api(tmp_path_factory.mktemp("unchanged")) as made:
        yield people(made)


def document() -> Any:
    return json.loads((Path(app.web.api.__file__).parent / "openapi.json").read_text("utf-8"))


# -------------------------------------------------------------------------------------------------- who may come in


ENDPOINTS = [
    ("GET", "/dead-letters"),
    ("GET", "/dead-letters/1"),
    ("POST", "/dead-letters/1/replay"),
    ("POST", "/dead-letters/1/discard"),
    ("GET", "/links"),
    ("GET", "/links/a1"),
    ("GET", "/search?text=a"),
    ("GET", "/evidence/a1"),
    ("POST", "/links/a1/thaw"),
    ("POST", "/links/a1/acknowledge"),
    ("POST", "/links/a1/resolve"),
    ("POST", "/links/a1/false-alert"),
    ("POST", "/links/a1/note"),
    ("POST", "/links/a1/erase"),
    ("GET", "/timeline/a1"),
    ("GET", "/escalations"),
    ("GET", "/escalations/Q1"),
    ("POST", "/escalations/Q1/cancel"),
    ("POST", "/escalations/Q1/now"),
    ("GET", "/stats"),
    ("GET", "/report"),
    ("POST", "/reconciliations"),
    ("POST", "/evidence-links/a1/revoke"),
    ("POST", "/evidence-links/revoke"),
    ("GET", "/health"),
    ("GET", "/rules"),
    ("POST", "/rules/explain"),
    ("GET", "/silences"),
    ("POST", "/silences/preview"),
    ("POST", "/silences"),
    ("POST", "/silences/deploy/2/end"),
    ("GET", "/jobs"),
    ("GET", "/jobs/1"),
    ("GET", "/jobs/1/result"),
    ("POST", "/jobs/1/cancel"),
    ("POST", "/jobs/backtest"),
    ("POST", "/jobs/report"),
    ("POST", "/jobs/replay"),
    ("POST", "/jobs/erase"),
    ("POST", "/jobs/repair"),
    ("POST", "/jobs/reconcile"),
    ("POST", "/jobs/connection-test"),
    ("GET", "/audit"),
    ("GET", "/openapi.json"),
]
ADDRESSES = count()
"""Each wrong token comes from one of its own, or it would not be looked at."""
WRONG = [
    "Bearer wrong",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    f"Bearer {TOKEN.upper()}",
    "Bearer caf\xe9",
    f"Bearer {TOKEN}\x00",
]
MISSING = ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Token {TOKEN}"]


def message(answer: TestResponse) -> str:
    found: Any = answer.json
    return str(found["detail"])


def fault(answer: TestResponse) -> tuple[int, str]:
    found: Any = answer.json
    assert "application/problem+json" == answer.mimetype
    assert set(found) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (answer.status_code, f"urn:truthvouch-bridge:problem:{found['code']}") == (found["status"], found["type"])
    return answer.status_code, found["code"]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_without_the_token_no_endpoint_opens(unchanged: Api, method: str, path: str):
    before = dead_letters(unchanged.rig)
    for given, code in [*((text, "token_wrong") for text in WRONG), *((text, "token_missing") for text in MISSING)]:
        headers, base = {"Authorization": given} if given else {}, {"REMOTE_ADDR": f"198.51.100.{next(ADDRESSES)}"}
        answer = unchanged.ask(method, path, headers, environ_base=base)
        assert (401, code) == fault(answer), given
        assert "Bearer" == answer.headers["WWW-Authenticate"]
    assert before == dead_letters(unchanged.rig)


def test_whoever_guesses_the_token_is_slowed_down_and_nobody_else(clock: FakeClock):
    client = FakeBridge(clock).app(BRIDGE_ADMIN_TOKEN=TOKEN).test_client()

    def ask(token: str, address: str = "203.0.113.7") -> TestResponse:
        headers, base = {"Authorization": f"Bearer {token}"}, {"REMOTE_ADDR": address}
        return client.get(f"{ROOT}/health", headers=headers, environ_base=base)

    with capture_logs() as lines:
        for number in range(MANY):
            assert (401, "token_wrong") == fault(ask(f"guess-{number}"))
            slowed = ask(TOKEN)
            assert (429, "too_many_wrong") == fault(slowed)
            assert str(int(delay(number + 1))) == slowed.headers["Retry-After"]
            assert 200 == ask(TOKEN, "203.0.113.8").status_code
            clock.advance(min(LONGEST_DELAY, delay(number + 1)))
    assert ["operator.guessing"] == [line["event"] for line in lines if line["log_level"] == "error"]
    assert 401 == client.get(f"{ROOT}/health", environ_base={"REMOTE_ADDR": "203.0.113.7"}).status_code, (
        "no token is no guess"
    )
    clock.advance(LOCKED.total_seconds() - LONGEST_DELAY - 1)
    assert 429 == ask(TOKEN).status_code
    clock.advance(1)
    assert 200 == ask(TOKEN).status_code


def test_an_ipv6_client_has_one_limit_for_all_its_addresses():
    same = ("2001:db8:0:7::1", "2001:db8:0:7:ffff::1", "2001:DB8:0:7::")
    assert {"2001:db8:0:7::/64"} == {source_of(address) for address in same}
    others = ("2001:db8:0:8::1", "::ffff:192.0.2.1", "192.0.2.1", "", "unix:")
    assert ["2001:db8:0:8::/64", "192.0.2.1", "192.0.2.1", "", "unix:"] == [source_of(address) for address in others]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_where_no_token_is_configured_nobody_can_come_in(clock: FakeClock, method: str, path: str):
    client = FakeBridge(clock).app().test_client()
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        answer = client.open(ROOT + path, method=method, headers=headers)
        assert (503, "no_admin_token") == fault(answer)
        assert "BRIDGE_ADMIN_TOKEN" in message(answer)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_may_be_written_as_one_likes(unchanged: Api, scheme: str):
    assert 200 == unchanged.ask("GET", "/health", {"Authorization": f"{scheme} {TOKEN}"}).status_code


def test_a_token_may_hold_any_dead_letter(clock: FakeClock):
    client = FakeBridge(clock).app(BRIDGE_ADMIN_TOKEN="schlüssel☃").test_client()
    sent = "schlüssel☃".encode().decode("latin-1")
    assert 200 == client.get(f"{ROOT}/health", headers={"Authorization": f"Bearer {sent}"}).status_code


def test_the_endpoints_of_this_test_are_all_there_are(unchanged: Api):
    served = {(method, rule.rule) for rule in unchanged.app.url_map.iter_rules() for method in rule.methods or ()}
    ours = {(method, path) for method, path in served if path.startswith(ROOT) and method != "HEAD"}
    assert len(ENDPOINTS) == len(ours)


def test_the_document_names_every_route_and_no_other(unchanged: Api):
    served = {
        (re.sub(r"<[^>]*>", "{}", rule.rule.removeprefix(ROOT)), method.lower())
        for rule in unchanged.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if rule.rule.startswith(ROOT)
    }
    answer = {(re.sub(r"{[^}]*}", "{}", path), method) for path, way in document()["paths"].items() for method in way}
    assert served == answer


def test_the_document_is_served_as_it_is(unchanged: Api):
    assert isinstance(OpenAPI.from_dict(document()), OpenAPI)
    assert document() == unchanged.get("/openapi.json")


def test_the_document_is_what_the_endpoints_say():
    assert document() == openapi_document.document(), "make openapi writes it anew"


def test_the_document_names_the_limits_of_a_list_and_the_pattern_of_a_key():
    parameters = {one["name"]: one["schema"] for one in document()["paths"]["/links"]["get"]["parameters"]}
    assert {"limit", "after", "open", "frozen", "since"} == set(parameters)
    assert (1, MAX_LIMIT, DEFAULT_LIMIT) == tuple(
        parameters["limit"][name] for name in ("minimum", "maximum", "default")
    )
    assert (0, MAX_NUMBER) == tuple(parameters["after"][name] for name in ("minimum", "maximum"))
    assert f"^{KEY.pattern}$" == document()["components"]["parameters"]["key"]["schema"]["pattern"]


# -------------------------------------------------------------------------------------------------- looking


def test_dead_letters_are_listed_and_shown(unchanged: Api):
    answer = unchanged.get("/dead-letters")
    about = [(row["kind"], row["effect"]) for row in answer["dead_letters"]]
    assert [("effect", "SetIncident acknowledged"), ("event", "")] == about
    assert None is answer["next_after"]
    assert [] == unchanged.get("/dead-letters?closed=true")["dead_letters"]
    number = answer["dead_letters"][0]["id"]
    shown = unchanged.get(f"/dead-letters/{number}")
    assert ("bad_request", "Invalid Input Provided", "alert/2 ü", "Q2", "SetIncident acknowledged") == tuple(
        shown[name] for name in ("reason", "detail", "alert_id", "incident_id", "waits")
    )


def test_links_are_listed_and_shown(unchanged: Api):
    assert ["alert/2 ü", "a1"] == [row["alert_id"] for row in unchanged.get("/links?open=true")["links"]]
    assert ["a1"] == [row["alert_id"] for row in unchanged.get("/links?frozen=true")["links"]]
    assert [] == unchanged.get("/links?open=false")["links"]
    shown = unchanged.get("/links/alert%2F2%20%C3%BC")
    assert "bad_request" == shown["deliveries"]["pagerduty"]["dead"]
    assert shown == {**unchanged.get("/links/alert/2 ü"), "request_id": shown["request_id"]}


def test_lists_come_in_pieces(unchanged: Api):
    first = unchanged.get("/links?limit=1")
    second = unchanged.get(f"/links?limit=1&after={first['next_after']}")
    assert ["alert/2 ü", "a1"] == [row["alert_id"] for row in first["links"] + second["links"]]
    assert [] == unchanged.get(f"/links?after={second['next_after']}")["links"]


def test_the_timeline_tells_by_alert_and_by_incident(unchanged: Api):
    by_alert, by_incident = unchanged.get("/timeline/a1"), unchanged.get("/timeline/Q1")
    assert by_alert["timeline"] == by_incident["timeline"]
    assert "link.frozen" in [line["event"] for line in by_alert["timeline"]]
    datetime.fromisoformat(by_alert["timeline"][0]["at"])


def test_escalations_are_listed_shown_and_ended(peopled: Api):
    (row,) = peopled.get("/escalations")["escalations"]
    assert ("Q1", "running", 1) == (row["incident_id"], row["state"], row["levels"])
    assert row == {name: value for name, value in peopled.get("/escalations/Q1").items() if name != "request_id"}
    assert "cancelled" == peopled.post("/escalations/Q1/cancel")["outcome"]
    assert [] == peopled.get("/escalations")["escalations"]
    assert "finished" == peopled.get("/escalations?all=true")["escalations"][0]["state"]


def test_the_numbers_of_a_period_are_those_of_the_command(unchanged: Api):
    day, reports = unchanged.rig.clock().date().isoformat(), unchanged.app.extensions["bridge"].reports
    asked = {**reports.stats(start=day, end=day, time_zone="Europe/Berlin"), "period": ""}
    query = f"?from={day}&to={day}&time_zone=Europe/Berlin"
    stats, report = unchanged.get(f"/stats{query}"), unchanged.get(f"/report{query}")
    assert asked == {name: one for name, one in {**stats, "period": ""}.items() if name in asked}
    assert asked["total"] == report["stats"]["total"] == len(report["incidents"]) > 0


@pytest.mark.parametrize("query", ["period=never", "time_zone=Mars", "from=soon", "from=2026-02-30", "previous=1"])
@pytest.mark.parametrize("path", ["/stats", "/report"])
def test_a_period_that_is_none_is_refused(unchanged: Api, path: str, query: str):
    assert (400, "bad_parameter") == fault(unchanged.ask("GET", f"{path}?{query}"))


def test_health_is_what_readyz_says_with_200(unchanged: Api):
    answer = unchanged.get("/health")
    ready = unchanged.app.test_client().get("/readyz")
    assert 503 == ready.status_code  # no credentials are configured
    assert {"checks", "status", "request_id"} == set(answer)
    assert f'"status":"{answer["status"]}"' in ready.text
    assert ["degraded", 1] == [answer["checks"]["frozen_links"][name] for name in ("state", "count")]


def test_what_alerts_and_people_say_is_in_no_answer(api: Api):
    said: Any = {
        "message": "MARKER-M",
        "claim": "MARKER-C",
        "truth": "MARKER-T",
        "query": "MARKER-Q",
        "response": "MARKER-R",
    }
    alert = Alert(AlertId("a1"), severity="critical", model="MARKER-X", **said)
    api.rig.say(Side.TRUTHVOUCH, AlertEvent(AlertEventType.CREATED, alert, "alert.created", api.rig.clock()))
    api.rig.run()
    api.rig.clock.move(60)
    api.rig.alert(AlertEventType.RESOLVED, reason="MARKER-REASON", text="MARKER-TEXT")
    for path in ("/links", "/links/a1", "/timeline/a1", "/dead-letters", "/health"):
        assert "MARKER" not in api.ask("GET", path).text


# -------------------------------------------------------------------------------------------------- asking


def test_a_replay_is_done_and_told(peopled: Api):
    answer = peopled.post("/dead-letters/1/replay")
    assert ("done", "replayed") == (answer["status"], answer["outcome"])
    assert ("done", "replayed", None) == tuple(
        peopled.post("/dead-letters/1/discard")[name] for name in ("status", "outcome", "idempotency_key")
    )
    peopled.rig.run()
    assert 1 == peopled.rig.pagerduty.calls.count("put acknowledged")


def test_without_a_worker_it_is_stored_and_found_again_by_its_key(api: Api):
    number = with_a_delivery_that_waits(api.rig)
    answer = api.post(f"/dead-letters/{number}/replay", status=202)
    assert ("stored", None) == (answer["status"], answer["outcome"])
    assert "no worker is running" in answer["message"]
    again = api.post(f"/dead-letters/{number}/replay", answer["idempotency_key"], 202)
    assert answer["idempotency_key"] == again["idempotency_key"]
    while api.rig.intake.take():
        pass
    done = api.post(f"/dead-letters/{number}/replay", answer["idempotency_key"])
    assert ("done", "replayed", answer["idempotency_key"]) == (done["status"], done["outcome"], done["idempotency_key"])
    api.rig.run()
    assert 1 == api.rig.pagerduty.calls.count("put acknowledged")


def test_a_discard_lets_the_rest_go_on(peopled: Api):
    assert "discarded" == peopled.post("/dead-letters/1/discard")["outcome"]
    assert ["api:admin"] == [row["closed_by"] for row in dead_letters(peopled.rig, closed=True)]
    peopled.rig.run()
    assert ["put acknowledged"] == peopled.rig.pagerduty.calls


def test_an_unreadable_event_stays_open(peopled: Api):
    assert "still_unreadable" == peopled.post("/dead-letters/2/replay")["outcome"]
    assert 1 == peopled.get("/dead-letters/2")["attempts"]


def test_the_same_request_under_one_key_gets_the_same_answer(peopled: Api):
    first = peopled.ask("POST", "/links/a1/thaw", {**LOGIN, "Idempotency-Key": "k1"})
    again = peopled.ask("POST", "/links/a1/thaw", {**LOGIN, "Idempotency-Key": "k1"})
    assert (first.status_code, first.data, first.mimetype) == (again.status_code, again.data, again.mimetype)
    assert "thawed" == peopled.post("/links/a1/thaw", "k1")["outcome"]
    assert "not_frozen" == peopled.post("/links/a1/thaw", "k2")["outcome"]


def test_a_refusal_is_kept_too(peopled: Api):
    refused = [peopled.ask("POST", "/links/nobody/thaw", {**LOGIN, "Idempotency-Key": "k1"}) for _ in range(2)]
    assert [(404, "no_such_link")] * 2 == [fault(answer) for answer in refused]
    assert refused[0].data == refused[1].data


def test_another_request_under_the_same_key_is_refused(peopled: Api):
    peopled.post("/links/a1/thaw", "k1")
    other = peopled.ask("POST", "/links/a1/thaw", {**LOGIN, "Idempotency-Key": "k1"}, data=b"{}")
    assert (422, "key_reused") == fault(other)
    assert "asked" == peopled.post("/reconciliations", "k1")["outcome"], "each route has keys of its own"


def test_a_request_that_is_under_way_is_not_begun_again(peopled: Api):
    inner: list[tuple[int, str]] = []

    def impatient(seconds: float) -> None:
        inner.append(fault(peopled.ask("POST", "/links/a1/thaw", {**LOGIN, "Idempotency-Key": "k1"})))
        peopled.rig.intake.take()

    bridge = peopled.app.extensions["bridge"]
    bridge.operate = replace(bridge.operate, pause=impatient)
    assert "thawed" == peopled.post("/links/a1/thaw", "k1")["outcome"]
    assert [(409, "key_under_way")] == inner


def test_evidence_links_are_revoked_by_whoever_has_the_token(peopled: Api):
    assert ["a1"] == peopled.post("/evidence-links/Q1/revoke")["alerts"]
    assert [] == peopled.post("/evidence-links/revoke")["alerts"]
    assert (404, "no_such_alert_or_incident") == fault(peopled.ask("POST", "/evidence-links/nobody/revoke", LOGIN))
    bridge = peopled.app.extensions["bridge"]
    found = bridge.audit_log.find(AuditFilter())
    assert [("api:admin", "api", ""), ("api:admin", "api", "a1")] == [
        (one.actor, one.way, one.subject) for one in found[:2]
    ]


def test_a_thaw_is_done_once(peopled: Api):
    assert ["thawed", "not_frozen"] == [peopled.post("/links/a1/thaw")["outcome"] for _ in range(2)]
    assert [] == peopled.get("/links?frozen=true")["links"]


def test_a_reconciliation_is_asked_for(peopled: Api):
    assert "asked" == peopled.post("/reconciliations")["outcome"]
    assert 1 == peopled.rig.reconciliations


# -------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=501", "limit=x", "limit=", "limit=-1", "limit=1.5", "limit=1e3", "limit=%D9%A1", "limit=1_0",
        "limit=+1", "limit=" + "9" * 6000, "after=-1", "after=" + "9" * 19, "open=maybe", "open=1", "open=True",
        "open=", "frozen=%00", "since=", "since=yesterday", "since=2026-05-04", "since=2026-05-04T09:00:00",
        "limit=1&limit=2", "closed=true", "page=2", "%00=1", "limit=%ff",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_is_refused_by_name(unchanged: Api, query: str):
    answer = unchanged.ask("GET", f"/links?{query}")
    assert (400, "bad_parameter") == fault(answer)
    assert len(message(answer)) <= 500


@pytest.mark.parametrize("number", ["x", "0", "-1", "1.0", "9" * 19, "9" * 6000, "%00", "%D9%A1", " 1", "1_0"])
@pytest.mark.parametrize("way", ["", "/replay", "/discard"])
def test_a_number_that_is_none_is_refused(unchanged: Api, number: str, way: str):
    answer = unchanged.ask("POST" if way else "GET", f"/dead-letters/{number}{way}")
    assert (400, "bad_parameter") == fault(answer)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/dead-letters/999", "no_such_dead_letter"),
        ("GET", "/dead-letters/" + "9" * 18, "no_such_dead_letter"),
        ("POST", "/dead-letters/999/replay", "no_such_dead_letter"),
        ("POST", "/dead-letters/999/discard", "no_such_dead_letter"),
        ("GET", "/links/nobody", "no_such_link"),
        ("GET", "/links/%00", "no_such_link"),
        ("GET", "/links/%ff%fe", "no_such_link"),
        ("GET", "/links/a%0d%0aSet-Cookie:%20x", "not_found"),
        ("GET", "/links/a//b", "no_such_link"),
        ("GET", "/links/" + "x" * 50_000, "no_such_link"),
        ("POST", "/links/nobody/thaw", "no_such_link"),
        ("POST", "/links/%1b[31m/thaw", "no_such_link"),
        ("GET", "/timeline/nobody", "no_such_alert_or_incident"),
        ("GET", "/timeline/%00", "no_such_alert_or_incident"),
        ("GET", "/nowhere", "not_found"),
    ],
)
def test_what_nobody_knows_is_not_found(unchanged: Api, method: str, path: str, code: str):
    answer = unchanged.ask(method, path)
    assert (404, code) == fault(answer)
    assert "Set-Cookie" not in answer.headers


@pytest.mark.postgres
def test_a_nul_breaks_nothing_on_postgresql(tmp_path: Path, migrated_postgres_url: str):
    """PostgreSQL takes it in no text: what is asked of the store is without it."""
    queries = ("audit?actor=%00", "audit?subject=a%00b", "stats?service_id=P%00", "report?service_id=P%00")
    with an_api(tmp_path, migrated_postgres_url) as api:
        for path in (*queries, "links/%00", "timeline/%00", "escalations/%00", "rules"):
            assert api.ask("GET", f"/{path}").status_code in (200, 404), path
        span = {"since": "2026-05-04T09:00:00Z", "until": "2026-05-05T09:00:00Z"}
        assert 202 == api.ask("POST", "/jobs/backtest", json={**span, "draft": "a\0b"}).status_code
        api.rig.intake.take()
        with api.rig.database.read() as tx:
            job = StoredJobs().get(tx, 1)
        assert job is not None
        assert "ab" == getattr(job.wanted, "draft", None)
        bridge = api.app.extensions["bridge"]
        bridge.wakeup.close()
        for engine in (bridge.database.engine, api.rig.database.engine, api.rig._inbox):
            engine.dispose()


@pytest.mark.parametrize("key", ["", " ", "x" * 101, "a b", "a\tb", "caf\xe9", 'a"b'])
def test_a_key_that_cannot_be_is_refused(unchanged: Api, key: str):
    answer = unchanged.ask("POST", "/reconciliations", {**LOGIN, "Idempotency-Key": key})
    assert (400, "bad_parameter") == fault(answer)


@pytest.mark.parametrize("body", [b"{}", b"not json", b"\x00" * 4096])
def test_a_small_body_harms_nobody(api: Api, body: bytes):
    assert 202 == api.ask("POST", "/reconciliations", data=body).status_code


def test_a_large_body_is_refused(unchanged: Api):
    answer = unchanged.ask("POST", "/reconciliations", data=b"x" * 4097)
    assert (413, "body_too_large") == fault(answer)
    assert "close" == answer.headers["Connection"]


def test_a_body_of_unsaid_length_is_read_no_further_than_it_may_go(unchanged: Api):
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    endless = Endless()
    stream = {"wsgi.input": endless, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    answer = unchanged.ask("POST", "/reconciliations", environ_overrides=stream)
    assert (413, "body_too_large") == fault(answer)
    assert endless.given < 100_000


def test_a_store_that_cannot_be_read_is_said():
    def broken(*_arguments: object, **_named: object) -> Any:
        raise StoreUnavailable("the disk is on fire")

    bridge = FakeBridge(
        FakeClock(),
        operate=SimpleNamespace(as_actor=lambda _by, _way: broken),
        overview=SimpleNamespace(links=broken, dead_letter=broken),
    )
    client = bridge.app(BRIDGE_ADMIN_TOKEN=TOKEN).test_client()
    for method, path in [("GET", "/links"), ("GET", "/dead-letters/1"), ("POST", "/reconciliations")]:
        answer = client.open(ROOT + path, method=method, headers=LOGIN)
        assert (503, "store_unavailable") == fault(answer)
        assert "fire" not in answer.text


def test_no_answer_is_kept_by_anybody_on_the_way(unchanged: Api):
    assert "no-store" == unchanged.ask("GET", "/links").headers["Cache-Control"]
