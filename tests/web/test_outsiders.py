"""An outsider gets nothing: every route without a login, with one that is none, and every trick at its edges.

What is behind the routes here breaks when it is called: an answer of 500 would mean that somebody came in.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.domain.model.events import Way
from app.domain.model.types import IncidentKey, Status
from app.ports import StoreUnavailable
from app.ports.access import Role
from app.services.access.evidence import LONGEST, EvidenceAction, EvidenceTokens
from app.services.access.sessions import IDLE
from app.web.access import Access
from app.web.auth import HEADERS, ConsoleCookie
from tests.conftest import FakeClock
from tests.web.console_client import HTTPS, TOKEN, Browser, console, named
from tests.web.evidence_rig import KEY as EVIDENCE_KEY
from tests.web.evidence_rig import EvidenceRig
from tests.web_fakes import FakeBridge

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


KEY = "the key"


@pytest.fixture
def made(clock: FakeClock) -> tuple[FakeBridge, Flask]:
    return console(clock, BRIDGE_SECRET_KEY=KEY)


def path_of(rule: Rule) -> str:
    """A path of this route."""
    return str(rule.rule.split("<")[0] + "1" * ("<" in rule.rule) + rule.rule.rpartition(">")[2] * ("<" in rule.rule))


def guarded(app: Flask, *wanted: Access) -> Iterator[tuple[str, str, bool]]:
    """Method and path of every route that needs a login, and whether a session is what it needs."""
    for rule in app.url_map.iter_rules():
        if getattr(app.view_functions[rule.endpoint], "__access__", None) in wanted:
            for method in rule.methods or ():
                yield method, path_of(rule), rule.endpoint.partition(".")[0] != "api"


def is_turned_away(answer: TestResponse, has_session: bool) -> bool:
    """Led to the login, or told that a token is missing or wrong."""
    if has_session:
        return answer.status_code == 303 and answer.headers["Location"].startswith("/console/login")
    return answer.status_code == 401


def forged(secret: str, content: Any) -> str:
    """A session cookie as whoever knows ``secret`` makes it."""
    cookie = ConsoleCookie
    kwargs = {"key_derivation": cookie.key_derivation, "digest_method": cookie.digest_method}
    signer = URLSafeTimedSerializer(secret, salt=cookie.salt, serializer=cookie.serializer, signer_kwargs=kwargs)
    return str(signer.dumps(content))


def test_every_route_of_the_url_map_that_needs_a_login_turns_a_stranger_away(made: tuple[FakeBridge, Flask]):
    app, seen = made[1], 0
    for method, path, has_session in guarded(app, Access.READ, Access.ADMIN):
        answer = Browser(app).open(method, path)
        assert is_turned_away(answer, has_session), (method, path, answer.status_code)
        seen += 1
    assert seen > 20


def no_logins(bridge: FakeBridge, clock: FakeClock) -> Iterator[tuple[str, str]]:
    """Cookies that were made with care and are no login, each with what is wrong with it. The idle one is the last: the
    clock has moved then."""
    sessions, tokens = bridge.sessions, bridge.tokens
    live = {"id": sessions.start(tokens.admin)}
    yield "signed with another key", forged("a guess", live)
    yield "signed for another use", str(URLSafeTimedSerializer(KEY, salt="cookie-session").dumps(live))
    yield "without its signature", forged(KEY, live).rpartition(".")[0]
    yield "of nobody", forged(KEY, {"id": "x" * 43})
    yield "no text", forged(KEY, {"id": ["x"]})
    yield "no cookie at all", "\u00ff.x.y"
    yield "empty", ""
    sessions.end(live["id"])
    yield "logged out", forged(KEY, live)
    named_one = tokens.check(named(bridge, role=Role.ADMIN), "203.0.113.1").identity
    assert named_one
    of_token = {"id": sessions.start(named_one)}
    tokens.revoke("ci")
    yield "of a revoked token", forged(KEY, of_token)
    of_link = {"id": sessions.spend_link(sessions.make_link("root", timedelta(minutes=1)))}
    tokens.revoke("link:root")
    yield "of a link that was revoked", forged(KEY, of_link)
    idle = {"id": sessions.start(tokens.admin)}
    clock.advance(IDLE.total_seconds())
    yield "idle", forged(KEY, idle)


def test_a_cookie_that_is_no_login_opens_no_route(made: tuple[FakeBridge, Flask], clock: FakeClock):
    bridge, app = made
    client = app.test_client(use_cookies=False)
    for what, cookie in no_logins(bridge, clock):
        headers = {"Cookie": f"__Host-truthvouch={cookie}; truthvouch={cookie}"}
        for method, path, has_session in guarded(app, Access.READ, Access.ADMIN):
            answer = client.open(path, method=method, base_url=HTTPS, headers=headers)
            assert is_turned_away(answer, has_session), (what, method, path, answer.status_code)


def test_a_live_login_of_the_same_making_opens_them(made: tuple[FakeBridge, Flask]):
    """Or the test above would prove nothing."""
    bridge, app = made
    cookie = forged(KEY, {"id": bridge.sessions.start(bridge.tokens.admin)})
    headers = {"Cookie": f"__Host-truthvouch={cookie}"}
    assert 200 == app.test_client(use_cookies=False).get("/console/", base_url=HTTPS, headers=headers).status_code


def test_a_cookie_of_plain_http_is_none_over_https(made: tuple[FakeBridge, Flask]):
    """Whoever can set a cookie for a neighbouring name cannot set one of that prefix."""
    bridge, app = made
    cookie = forged(KEY, {"id": bridge.sessions.start(bridge.tokens.admin)})
    headers = {"Cookie": f"truthvouch={cookie}"}
    assert 303 == app.test_client(use_cookies=False).get("/console/", base_url=HTTPS, headers=headers).status_code


def test_a_token_that_is_revoked_ends_the_login_that_is_open(made: tuple[FakeBridge, Flask]):
    bridge, app = made
    browser = Browser(app)
    browser.log_in(named(bridge, role=Role.ADMIN))
    given = {"csrf_token": browser.form_token("/console/")}
    assert browser.is_in
    bridge.tokens.revoke("ci")
    answer = browser.open("POST", "/console/act", {"Referer": f"{HTTPS}/console/"}, data=given)
    assert [303, False] == [answer.status_code, browser.is_in]


def test_the_api_takes_no_session_and_the_console_no_token(made: tuple[FakeBridge, Flask]):
    app = made[1]
    browser = Browser(app)
    browser.log_in()
    for method, path, has_session in guarded(app, Access.READ, Access.ADMIN):
        if not has_session:
            assert 401 == browser.open(method, path).status_code, (method, path)
        else:
            answer = Browser(app).open(method, path, {"Authorization": f"Bearer {TOKEN}"})
            assert is_turned_away(answer, has_session), (method, path)


# ------------------------------------------------------------------------------------------------------- read-only role


def test_a_read_only_login_is_refused_by_every_route_that_changes_something(made: tuple[FakeBridge, Flask]):
    bridge, app = made
    token, browser = named(bridge), Browser(app)
    browser.log_in(token)
    headers = {"Referer": f"{HTTPS}/console/", "X-CSRFToken": browser.form_token("/console/")}
    refused = []
    for method, path, has_session in guarded(app, Access.ADMIN):
        bearer = {} if has_session else {"Authorization": f"Bearer {token}"}
        answer = browser.open(method, path, {**headers, **bearer})
        assert 403 == answer.status_code, (method, path)
        assert has_session or "read_only" == answer.json["code"]  # type: ignore[index]
        refused.append(path)
    assert "/console/act" in refused
    assert len(refused) >= 5


# ---------------------------------------------------------------------------------------------------------- form tokens


def test_a_form_without_the_token_of_this_login_changes_nothing(made: tuple[FakeBridge, Flask]):
    browser, another = Browser(made[1]), Browser(made[1])
    browser.log_in()
    another.log_in()
    own, foreign, referer = browser.form_token("/console/"), another.form_token("/console/"), f"{HTTPS}/console/"
    forged_token = str(URLSafeTimedSerializer("a guess", salt="wtf-csrf-token").dumps("x"))

    def act(token: str, source: str | None = referer, method: str = "POST") -> int:
        headers = {"Referer": source} if source else {}
        return browser.open(method, "/console/act", headers, data={"csrf_token": token}).status_code

    assert {400} == {act(token) for token in ("", foreign, forged_token, own[:-1], own + "x", "\x00", "x" * 10_000)}
    elsewhere = [None, "https://evil.example/", "http://bridge.example.com/", f"{HTTPS}.evil.example/", f"{HTTPS}:444/"]
    assert {400} == {act(own, source) for source in elsewhere}
    assert 200 == act(own)


def test_nobody_is_logged_in_as_somebody_else(made: tuple[FakeBridge, Flask]):
    """A foreign page can send a form to the login too: with its owner's token, or a link of its own."""
    bridge, app = made
    link = f"/console/link/{bridge.sessions.make_link('evil', timedelta(minutes=1))}"
    for path, fields in (("/console/login", {"token": TOKEN}), (link, {})):
        browser = Browser(app)
        browser.get("/console/login")
        answer = browser.open("POST", path, {"Referer": "https://evil.example/"}, data=fields)
        assert [400, False] == [answer.status_code, browser.is_in]


def test_a_form_may_not_be_sent_by_a_get(made: tuple[FakeBridge, Flask]):
    browser = Browser(made[1])
    browser.log_in()
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        answer = browser.open(method, "/console/act", query_string={"csrf_token": browser.form_token("/console/")})
        assert answer.status_code in (404, 405)
    override = {"X-HTTP-Method-Override": "POST", "Referer": f"{HTTPS}/console/"}
    assert 404 == browser.open("GET", "/console/act", override).status_code


def test_webhooks_and_the_api_need_no_form_token(made: tuple[FakeBridge, Flask]):
    client = made[1].test_client()
    for path in ("/truthvouch/alerts", "/pagerduty/webhook"):
        assert 401 == client.post(path, data=b"x").status_code
    answer = client.get("/api/v1/health", headers={"Authorization": f"Bearer {TOKEN}"})
    assert [200, None] == [answer.status_code, answer.headers.get("Set-Cookie")]


# ------------------------------------------------------------------------------------------------------- paths, queries

PATHS = [
    "//console/", "///console/", "/console/../console/", "/console/./", "/x/../console/", "/console//", "/console/%2e/",
    "/%63onsole/", "/console/;x", "/console/.json", "/console/\x00", "/Console/", "/CONSOLE/", "/console\\",
    "/console/..;/", "/.//console/", "/console/%2e%2e/console/", "/console/act/", "/console/act/..", "//console//act",
    "/console/login/../act", "/console/login/..%2fact", "/console/link/../act", "/console/link/x/../../act",
    "/healthz/../console/", "/healthz/..;/console/", "/truthvouch/alerts/../../console/", "/api/v1/../../console/",
    "/api/v1/health/", "//api/v1/health", "/api//v1/health", "/API/v1/health", "/api/v1/./health", "/api/v1/%2e/health",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_way_of_writing_a_path_opens_it(made: tuple[FakeBridge, Flask], path: str):
    app = made[1]
    for method in METHODS:
        answer = Browser(app).open(method, "/", environ_overrides={"PATH_INFO": path, "REQUEST_URI": path})
        assert answer.status_code in (303, 308, 401, 404, 405), (method, answer.status_code)
        location = answer.headers.get("Location", "")
        assert not location or location.startswith(("/console/", f"{HTTPS}/console/", "/api/", f"{HTTPS}/api/"))
        assert "console:" not in answer.text


@pytest.mark.parametrize(
    "query",
    ["next=//evil.example", "next=https://evil.example",
     "next=%0d%0aSet-Cookie:x", "next=/console/&next=//evil.example", "next[]=x",
     "next=" + "x" * 60_000, "%00=%00", "%ff=%fe", "__access__=open", "_method=POST", "id=x", "csrf_token=x",
     "next=<script>alert(1)</script>", "next=%22%3E%3Cscript%3E"],
)  # fmt: skip
def test_no_query_opens_a_page_or_gets_into_one(made: tuple[FakeBridge, Flask], query: str):
    browser = Browser(made[1])
    assert 303 == browser.get(f"/console/?{query}").status_code
    page = browser.get(f"/console/login?{query}")
    assert 200 == page.status_code
    assert [] == [text for text in ("evil.example", "<script>", "x" * 100) if text in page.text]
    assert 'name="next" value="/console/"' in page.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:443", "bridge.example.com@evil.example", "[::1]x"])
def test_no_host_header_gets_into_an_answer(made: tuple[FakeBridge, Flask], host: str):
    for path in ("/", "/console/", "/console/login", "/console"):
        answer = made[1].test_client().get(path, environ_overrides={"HTTP_HOST": host, "wsgi.url_scheme": "https"})
        assert "evil" not in answer.headers.get("Location", "") + answer.text


# -------------------------------------------------------------------------------------------------------------- headers


def test_every_page_of_the_console_says_how_it_may_be_used(made: tuple[FakeBridge, Flask]):
    browser = Browser(made[1])
    outside = [
        browser.get(path) for path in ("/", "/console/", "/console/login", "/console/nowhere", "/console/link/x")
    ]
    browser.log_in()
    for answer in (*outside, browser.get("/console/"), browser.post("/console/act", "/console/")):
        assert HEADERS == {name: answer.headers.get(name) for name in HEADERS}
    policy = HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "no-store" == HEADERS["Cache-Control"]


def test_pages_hold_no_script_and_no_style_of_their_own(made: tuple[FakeBridge, Flask]):
    browser = Browser(made[1])
    pages = [browser.get("/console/login").text, browser.get("/console/link/x").text]
    browser.log_in()
    pages.append(browser.get("/console/").text)
    pages = [re.sub(r'<script src="/console/static/console[^"]*" defer></script>', "", page) for page in pages]
    assert [] == [page for page in pages if any(one in page for one in ("<script", "<style", "style=", "onclick"))]


# ------------------------------------------------------------------------------------------------------- evidence links


def no_evidence_links(rig: EvidenceRig) -> Iterator[tuple[str, str]]:
    """Addresses that were made with care and open nothing, each with what is wrong with it. The last ones need time to
    pass."""
    token, link = rig.opened(), rig.rig.link()
    content = [link.link_id, link.incident_key[-16:], int(rig.clock().timestamp())]
    yield (
        "signed with another key",
        EvidenceTokens(lambda: ("a guess",), rig.clock).make(link.link_id, link.incident_key),
    )
    yield "signed for a cookie", forged(EVIDENCE_KEY, content)
    yield "signed for a button", rig.tokens.make_button(token, EvidenceAction.ACKNOWLEDGE)
    yield "without its signature", token.rpartition(".")[0]
    yield "of another store", rig.tokens.make(link.link_id, IncidentKey("truthvouch-" + "0" * 64))
    yield "the alert's id", link.alert.alert_id
    yield "the admin token", TOKEN
    yield "a path behind it", f"{token}/"
    yield "a path before it", f"../e/{token}"
    rig.clock.move(1)
    rig.revoke("a1", "root", Way.CLI)
    yield "revoked", token
    rig.clock.move(1)
    later = rig.tokens.make(link.link_id, link.incident_key)
    rig.clock.move(LONGEST.total_seconds())
    yield "too old", later


def test_an_address_that_is_no_evidence_link_opens_nothing(tmp_path: Path):
    rig = EvidenceRig(tmp_path)
    for what, address in no_evidence_links(rig):
        button = rig.tokens.make_button(address, EvidenceAction.ACKNOWLEDGE)
        form = {"action": "acknowledge", "button": button}
        for method in METHODS:
            answer = rig.client.open(f"/e/{address}", method=method, base_url=HTTPS, data=form)
            assert answer.status_code in (404, 405, 410), (what, method)
            assert "dose" not in answer.text, what
    assert Status.OPEN is rig.rig.link().status
    assert [] == rig.operator.stored()
    rig.close()


def test_an_evidence_link_opens_neither_the_console_nor_the_api(tmp_path: Path):
    rig = EvidenceRig(tmp_path)
    token = rig.opened()
    for method, path, has_session in guarded(rig.app, Access.READ, Access.ADMIN):
        headers = {"Cookie": f"__Host-truthvouch={token}", "Authorization": f"Bearer {token}"}
        rig.clock.move(3_600)  # wrong tokens make nobody wait here
        answer = rig.client.open(path, method=method, base_url=HTTPS, headers=headers)
        assert is_turned_away(answer, has_session), (method, path, answer.status_code)
    rig.close()


class Gone:
    """A store that cannot be reached."""

    def begin(self) -> Any:
        raise StoreUnavailable("the disk is on fire")

    read = begin


@pytest.mark.parametrize("keys", ["", KEY])
def test_without_the_store_nobody_comes_in_and_that_is_said(clock: FakeClock, keys: str):
    bridge, app = console(clock, BRIDGE_SECRET_KEY=keys)
    bridge.__dict__["database"] = Gone()
    headers = {"Cookie": f"__Host-truthvouch={forged(KEY, {'id': 'x'})}"}
    client = app.test_client(use_cookies=False)
    for method, path in (("GET", "/console/"), ("POST", "/console/act")):
        answer = client.open(path, method=method, base_url=HTTPS, headers=headers)
        assert 503 == answer.status_code
        assert "fire" not in answer.text
        assert HEADERS["Cache-Control"] == answer.headers["Cache-Control"]
    assert 503 == Browser(app).post("/console/link/x", "/console/login" if keys else "/console/").status_code
