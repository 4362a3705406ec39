"""``/api/v1``: one token opens it, every answer is as its document says, and no input breaks it."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from app.bootstrap import build_web
from app.domain.alert import Alert
from app.domain.names import AlertId, Side
from app.domain.words import AlertVerb, AlertWord, Reading, Unreadable
from app.ports import StoreUnavailable
from app.settings import Settings
from app.store import own_mail
from app.store.marks import StoredMarks
from app.store.vitals import WORKER_SEEN
from app.web.auth import MAX_ADDRESSES, MAX_WRONG, SECONDS_EACH, Guesses, bearer
from tests.conftest import FakeClock
from tests.doors import Doors
from tests.rig import Rig
from tests.services.rigs import DatedRig
from tests.services.test_wishes import frozen, letters, with_a_lane_that_waits

TOKEN = "a token only operators have"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}
ROOT = "/api/v1"


class Said(dict[bytes, tuple[Reading, ...]]):
    """What the rig was told to read, and our own mail as it is."""

    def __missing__(self, body: bytes) -> tuple[Reading, ...]:
        return own_mail.read(body, None)


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
            StoredMarks().put(tx, WORKER_SEEN, datetime.now(UTC).isoformat())


@contextmanager
def an_api(data_dir: Path) -> Iterator[Api]:
    """An empty store; whoever waits lets the worker work, if one lives."""
    rig = DatedRig(data_dir)
    rig.said = Said()
    settings = Settings.from_env(
        {"BRIDGE_DATA_DIR": str(data_dir), "BRIDGE_ADMIN_TOKEN": TOKEN, "BRIDGE_CONFIG": str(data_dir / "none.yaml")}
    )
    bridge = build_web(settings)

    def work(_seconds: float) -> None:
        rig.intake.take()

    waits = replace(bridge.operate, pause=work)
    yield Api(create_app(settings, replace(bridge, operate=waits)), rig)
    bridge.close()


def people(api: Api) -> Api:
    """A frozen link, another behind its dead letter, an unreadable event, and a worker that lives."""
    frozen(api.rig)
    with_a_lane_that_waits(api.rig, "alert/2 ü")
    api.rig.say(Side.TRUTHVOUCH, Unreadable("unknown_shape"))
    api.beat()
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
    ("POST", "/links/a1/thaw"),
    ("GET", "/timeline/a1"),
    ("POST", "/reconciliations"),
    ("GET", "/health"),
    ("GET", "/openapi.json"),
]
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
    told: Any = answer.json
    return str(told["error"]["message"])


def fault(answer: TestResponse) -> tuple[int, str]:
    told: Any = answer.json
    assert set(told) == {"error", "request_id"}
    assert set(told["error"]) == {"code", "message"}
    return answer.status_code, told["error"]["code"]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_without_the_token_no_endpoint_opens(unchanged: Api, method: str, path: str):
    before = letters(unchanged.rig)
    for given, code in [*((text, "token_wrong") for text in WRONG), *((text, "token_missing") for text in MISSING)]:
        answer = unchanged.ask(method, path, {"Authorization": given} if given else {})
        assert (401, code) == fault(answer), given
        assert "Bearer" == answer.headers["WWW-Authenticate"]
    assert before == letters(unchanged.rig)


def test_whoever_guesses_the_token_is_slowed_down_and_nobody_else():
    now = 1_000.0
    guesses = Guesses(lambda: now)
    app = Flask("guessed")
    app.before_request(bearer(TOKEN, guesses))
    app.add_url_rule("/", view_func=lambda: "in")
    client = app.test_client()

    def ask(token: str, address: str = "203.0.113.7") -> TestResponse:
        return client.get("/", headers={"Authorization": f"Bearer {token}"}, environ_base={"REMOTE_ADDR": address})

    with capture_logs() as lines:
        assert {401} == {ask(f"guess-{number}").status_code for number in range(MAX_WRONG)}
        slowed = ask(TOKEN)
    assert ["operator.guessing"] == [line["event"] for line in lines if line["log_level"] == "error"]
    assert (429, "1") == (slowed.status_code, slowed.headers["Retry-After"])
    assert fault(slowed) == (429, "too_many_wrong")
    assert 200 == ask(TOKEN, "203.0.113.8").status_code
    now += SECONDS_EACH
    assert [200, 200] == [ask(TOKEN).status_code for _ in range(2)]
    assert [401, 429] == [ask("guess").status_code for _ in range(2)]
    assert 401 == client.get("/", environ_base={"REMOTE_ADDR": "203.0.113.7"}).status_code, "no token is no guess"
    now += MAX_WRONG * SECONDS_EACH
    assert {401} == {ask("guess").status_code for _ in range(MAX_WRONG)}


def test_an_ipv6_client_has_one_allowance_for_all_its_addresses():
    guesses = Guesses(lambda: 0.0)
    for number in range(MAX_WRONG):
        guesses.count(f"2001:db8:0:7::{number:x}")
    same, others = ("2001:db8:0:7:ffff::1", "2001:DB8:0:7::"), ("2001:db8:0:8::1", "::ffff:192.0.2.1", "192.0.2.1", "")
    assert ([1.0, 1.0], [0.0] * 4) == ([guesses.wait(each) for each in same], [guesses.wait(each) for each in others])


def test_the_addresses_of_those_who_guess_are_bounded():
    guesses = Guesses(lambda: 0.0)
    for number in range(MAX_ADDRESSES + 50):
        guesses.count(str(number))
    assert MAX_ADDRESSES == len(guesses._paid_until)


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_where_no_token_is_configured_nobody_can_come_in(clock: FakeClock, method: str, path: str):
    door = Doors(clock).app().test_client()
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        answer = door.open(ROOT + path, method=method, headers=headers)
        assert (503, "no_admin_token") == fault(answer)
        assert "BRIDGE_ADMIN_TOKEN" in message(answer)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_may_be_written_as_one_likes(unchanged: Api, scheme: str):
    assert 200 == unchanged.ask("GET", "/health", {"Authorization": f"{scheme} {TOKEN}"}).status_code


def test_a_token_may_hold_any_letter(clock: FakeClock):
    door = Doors(clock).app(BRIDGE_ADMIN_TOKEN="schlüssel☃").test_client()
    sent = "schlüssel☃".encode().decode("latin-1")
    assert 200 == door.get(f"{ROOT}/health", headers={"Authorization": f"Bearer {sent}"}).status_code


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
    told = {(re.sub(r"{[^}]*}", "{}", path), method) for path, way in document()["paths"].items() for method in way}
    assert served == told


def test_the_document_is_served_as_it_is(unchanged: Api):
    assert isinstance(OpenAPI.from_dict(document()), OpenAPI)
    assert document() == unchanged.get("/openapi.json")


# -------------------------------------------------------------------------------------------------- looking


def test_dead_letters_are_listed_and_shown(unchanged: Api):
    told = unchanged.get("/dead-letters")
    about = [(row["kind"], row["effect"]) for row in told["dead_letters"]]
    assert [("effect", "SetIncident acknowledged"), ("event", "")] == about
    assert None is told["next_after"]
    assert [] == unchanged.get("/dead-letters?closed=true")["dead_letters"]
    number = told["dead_letters"][0]["id"]
    shown = unchanged.get(f"/dead-letters/{number}")
    assert ("bad_request", "Invalid Input Provided", "alert/2 ü", "Q2", "SetIncident acknowledged") == tuple(
        shown[name] for name in ("reason", "detail", "alert_id", "incident_id", "waits")
    )


def test_links_are_listed_and_shown(unchanged: Api):
    assert ["alert/2 ü", "a1"] == [row["alert_id"] for row in unchanged.get("/links?open=true")["links"]]
    assert ["a1"] == [row["alert_id"] for row in unchanged.get("/links?frozen=true")["links"]]
    assert [] == unchanged.get("/links?open=false")["links"]
    shown = unchanged.get("/links/alert%2F2%20%C3%BC")
    assert "bad_request" == shown["lanes"]["pagerduty"]["dead"]
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


def test_health_is_what_readyz_says_with_200(unchanged: Api):
    told = unchanged.get("/health")
    ready = unchanged.app.test_client().get("/readyz")
    assert 503 == ready.status_code  # no credentials are configured
    assert {"checks", "status", "request_id"} == set(told)
    assert f'"status":"{told["status"]}"' in ready.text
    assert ["degraded", 1] == [told["checks"]["frozen_links"][name] for name in ("state", "count")]


def test_what_alerts_and_people_say_is_in_no_answer(api: Api):
    said: Any = {
        "message": "MARKER-M",
        "claim": "MARKER-C",
        "truth": "MARKER-T",
        "query": "MARKER-Q",
        "response": "MARKER-R",
    }
    alert = Alert(AlertId("a1"), severity="critical", model="MARKER-X", **said)
    api.rig.say(Side.TRUTHVOUCH, AlertWord(AlertVerb.CREATED, alert, "alert.created", api.rig.clock()))
    api.rig.run()
    api.rig.clock.move(60)
    api.rig.alert(AlertVerb.RESOLVED, reason="MARKER-REASON", text="MARKER-TEXT")
    for path in ("/links", "/links/a1", "/timeline/a1", "/dead-letters", "/health"):
        assert "MARKER" not in api.ask("GET", path).text


# -------------------------------------------------------------------------------------------------- asking


def test_a_replay_is_done_and_told(peopled: Api):
    told = peopled.post("/dead-letters/1/replay")
    assert ("done", "replayed") == (told["status"], told["outcome"])
    assert ("done", "replayed", None) == tuple(
        peopled.post("/dead-letters/1/discard")[name] for name in ("status", "outcome", "wish")
    )
    peopled.rig.run()
    assert 1 == peopled.rig.pagerduty.calls.count("put acknowledged")


def test_without_a_worker_it_is_stored_and_found_again_by_its_key(api: Api):
    number = with_a_lane_that_waits(api.rig)
    told = api.post(f"/dead-letters/{number}/replay", status=202)
    assert ("stored", None) == (told["status"], told["outcome"])
    assert "no worker is running" in told["message"]
    again = api.post(f"/dead-letters/{number}/replay", told["wish"], 202)
    assert told["wish"] == again["wish"]
    while api.rig.intake.take():
        pass
    done = api.post(f"/dead-letters/{number}/replay", told["wish"])
    assert ("done", "replayed", told["wish"]) == (done["status"], done["outcome"], done["wish"])
    api.rig.run()
    assert 1 == api.rig.pagerduty.calls.count("put acknowledged")


def test_a_discard_lets_the_rest_go_on(peopled: Api):
    assert "discarded" == peopled.post("/dead-letters/1/discard")["outcome"]
    peopled.rig.run()
    assert ["put acknowledged"] == peopled.rig.pagerduty.calls


def test_an_unreadable_event_stays_open(peopled: Api):
    assert "still_unreadable" == peopled.post("/dead-letters/2/replay")["outcome"]
    assert 1 == peopled.get("/dead-letters/2")["attempts"]


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
        ("GET", "/dead-letters/999", "no_such_letter"),
        ("GET", "/dead-letters/" + "9" * 18, "no_such_letter"),
        ("POST", "/dead-letters/999/replay", "no_such_letter"),
        ("POST", "/dead-letters/999/discard", "no_such_letter"),
        ("GET", "/links/nobody", "no_such_link"),
        ("GET", "/links/%00", "no_such_link"),
        ("GET", "/links/%ff%fe", "no_such_link"),
        ("GET", "/links/a%0d%0aSet-Cookie:%20x", "not_found"),
        ("GET", "/links/a//b", "no_such_link"),
        ("GET", "/links/" + "x" * 50_000, "no_such_link"),
        ("POST", "/links/nobody/thaw", "no_such_link"),
        ("POST", "/links/%1b[31m/thaw", "no_such_link"),
        ("GET", "/timeline/nobody", "no_such_matter"),
        ("GET", "/timeline/%00", "no_such_matter"),
        ("GET", "/nowhere", "not_found"),
    ],
)
def test_what_nobody_knows_is_not_found(unchanged: Api, method: str, path: str, code: str):
    answer = unchanged.ask(method, path)
    assert (404, code) == fault(answer)
    assert "Set-Cookie" not in answer.headers


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

    doors = Doors(FakeClock(), operate=broken, overview=SimpleNamespace(links=broken, letter=broken))
    door = doors.app(BRIDGE_ADMIN_TOKEN=TOKEN).test_client()
    for method, path in [("GET", "/links"), ("GET", "/dead-letters/1"), ("POST", "/reconciliations")]:
        answer = door.open(ROOT + path, method=method, headers=LOGIN)
        assert (503, "store_unavailable") == fault(answer)
        assert "fire" not in answer.text


def test_no_answer_is_kept_by_anybody_on_the_way(unchanged: Api):
    assert "no-store" == unchanged.ask("GET", "/links").headers["Cache-Control"]
