"""How operators log in to the console and out."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from structlog.testing import capture_logs

from app.ports.access import Role
from app.ports.console import AuditFilter
from app.services.access.sessions import IDLE
from app.services.access.tokens import LOCKED, MANY, delay
from app.store.jobs import StoredAudit
from app.web.console.login import next_page
from tests.conftest import FakeClock
from tests.web.console_client import HTTPS, LOOPBACK, TOKEN, Browser, console, named, with_a_page
from tests.web_fakes import FakeBridge


@pytest.fixture
def made(clock: FakeClock) -> tuple[FakeBridge, Flask]:
    return console(clock)


@pytest.fixture
def browser(made: tuple[FakeBridge, Flask]) -> Browser:
    return Browser(made[1])


def set_cookie(answer: Any) -> str:
    (cookie,) = answer.headers.getlist("Set-Cookie")
    return str(cookie)


# --------------------------------------------------------------------------------------------------------- by a token


def test_the_admin_token_logs_in_and_a_log_out_ends_it(browser: Browser):
    assert not browser.is_in
    answer = browser.log_in()
    assert (303, "/console/") == (answer.status_code, answer.headers["Location"])
    assert "console:admin (admin)" in browser.get("/console/").text
    assert "done by console:admin" == browser.post("/console/act", "/console/").text
    answer = browser.post("/console/logout", "/console/")
    assert (303, "/console/login") == (answer.status_code, answer.headers["Location"])
    assert not browser.is_in


def test_a_named_token_logs_in_with_its_role(made: tuple[FakeBridge, Flask], browser: Browser):
    browser.log_in(named(made[0]))
    assert "console:ci (read-only)" in browser.get("/console/").text
    answer = browser.post("/console/act", "/console/")
    assert 403 == answer.status_code
    assert "read-only" in answer.text


def test_the_first_address_leads_to_the_console_and_that_to_the_login_and_back(browser: Browser):
    assert "/console/" == browser.get("/").headers["Location"]
    path = "/console/?which=a%2Fb&q=%C3%BC"
    to_login = browser.get(path).headers["Location"]
    assert to_login.startswith("/console/login?next=")
    assert path == browser.post(to_login, to_login, token=TOKEN, next=path).headers["Location"]
    assert path == browser.get(to_login).headers["Location"], "who is logged in need not do so again"


def test_a_wrong_token_is_refused_and_slowed_down(browser: Browser, clock: FakeClock):
    assert [403, 429] == [browser.log_in(token).status_code for token in ("wrong", TOKEN)]
    clock.advance(1)
    assert [403, 429] == [browser.log_in(token).status_code for token in ("wrong", TOKEN)]
    answer = browser.log_in()
    assert "2" == answer.headers["Retry-After"]
    assert "wait 2 s" in answer.text.lower()


def test_nobody_who_guesses_can_lock_the_operator_out(made: tuple[FakeBridge, Flask], clock: FakeClock):
    """Neither somebody who is logged in, nor one elsewhere, nor one who comes by a link from the same address."""
    bridge, app = made
    inside = Browser(app)
    inside.log_in()
    for count in range(1, MANY + 1):
        assert 403 == Browser(app).log_in("wrong").status_code
        clock.advance(delay(count) if count < MANY else 0)
    assert [429, True] == [Browser(app).log_in().status_code, inside.is_in]
    assert 303 == Browser(app, address="203.0.113.8").log_in().status_code
    link = f"/console/link/{bridge.sessions.make_link('root', timedelta(minutes=5))}"
    assert 303 == Browser(app).post(link, link).status_code
    clock.advance(LOCKED.total_seconds())
    assert 303 == Browser(app).log_in().status_code


def test_without_any_token_the_login_says_what_to_do(clock: FakeClock):
    answer = Browser(console(clock, BRIDGE_ADMIN_TOKEN="")[1]).log_in("x")
    assert 403 == answer.status_code
    assert "BRIDGE_ADMIN_TOKEN" in answer.text


# ---------------------------------------------------------------------------------------------------------- by a link


def test_a_look_at_a_link_spends_nothing_and_its_button_works_once(made: tuple[FakeBridge, Flask]):
    bridge, app = made
    link = f"/console/link/{bridge.sessions.make_link('root', timedelta(minutes=5))}"
    for method in ("GET", "HEAD", "OPTIONS"):
        assert 200 == Browser(app).open(method, link).status_code
    browser = Browser(app)
    assert 400 == browser.open("POST", link).status_code, "without the form token"
    assert 303 == browser.post(link, link).status_code
    assert "console:link:root (admin)" in browser.get("/console/").text
    again = Browser(app)
    assert 403 == again.post(link, link).status_code
    assert not again.is_in


def test_an_expired_and_a_foreign_link_open_nothing(made: tuple[FakeBridge, Flask], clock: FakeClock):
    bridge, app = made
    link = f"/console/link/{bridge.sessions.make_link('root', timedelta(minutes=5))}"
    clock.advance(300)
    for path in (link, "/console/link/x", f"{link}x", "/console/link/%00", "/console/link/" + "x" * 5000):
        browser = Browser(app)
        assert 403 == browser.post(path, path).status_code
        assert not browser.is_in


def test_no_log_line_holds_a_links_secret_or_a_token(made: tuple[FakeBridge, Flask]):
    bridge, app = made
    secret = bridge.sessions.make_link("root", timedelta(minutes=5))
    with capture_logs() as lines:
        for link in (f"/console/link/{secret}", f"/console//link/{secret}", f"/Console/link/{secret}/x"):
            Browser(app).post(link, link)
            Browser(app).get("/", environ_overrides={"PATH_INFO": f"/{link}"})
        Browser(app).log_in()
        Browser(app).log_in("a wrong one")
        Browser(app).get(f"/e/{secret}")
    assert lines
    assert [] == [line for line in lines if any(one in repr(line) for one in (secret, TOKEN, "a wrong one"))]


# ---------------------------------------------------------------------------------------------------------- the cookie


def test_over_https_the_cookie_is_the_hosts_alone(browser: Browser):
    assert {"__Host-truthvouch"} == set(browser.cookies) if browser.cookies else True
    parts = set_cookie(browser.log_in()).split("; ")
    assert parts[0].startswith("__Host-truthvouch=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} == set(parts[1:])


@pytest.mark.parametrize("origin", [LOOPBACK, "http://localhost:8080", "http://[::1]:8080", "http://127.9.9.9"])
def test_on_a_loopback_address_it_works_over_plain_http(made: tuple[FakeBridge, Flask], origin: str):
    browser = Browser(made[1], origin, "127.0.0.1")
    parts = set_cookie(browser.log_in()).split("; ")
    assert parts[0].startswith("truthvouch=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} == set(parts[1:])
    assert browser.is_in


@pytest.mark.parametrize(
    "origin",
    ["http://bridge.example.com", "http://10.0.0.4:8080", "http://localhost.example.com", "http://127.0.0.1.nip.io"],
)
def test_plain_http_elsewhere_refuses_the_login_and_says_why(
    made: tuple[FakeBridge, Flask], origin: str, clock: FakeClock
):
    bridge, app = made
    link = f"/console/link/{bridge.sessions.make_link('root', timedelta(minutes=5))}"
    browser = Browser(app, origin)
    asked = [browser.get("/console/login"), browser.log_in(), browser.get(link), browser.post(link, link)]
    asked += [browser.get("/console/"), browser.open("POST", "/console/act")]
    assert {403} == {answer.status_code for answer in asked}
    assert [] == [answer for answer in asked if "plain HTTP" not in answer.text or "Set-Cookie" in answer.headers]
    assert 303 == Browser(app).post(link, link).status_code, "it was not spent"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"])
def test_a_proxy_that_is_not_trusted_makes_no_loopback_address(made: tuple[FakeBridge, Flask], header: str):
    answer = Browser(made[1], LOOPBACK, "127.0.0.1").get("/console/login", headers={header: "https"})
    assert 403 == answer.status_code
    assert "BRIDGE_TRUSTED_PROXIES" in answer.text


def test_behind_a_trusted_proxy_that_ends_tls_it_works_as_over_https(clock: FakeClock):
    bridge, app = console(clock, BRIDGE_TRUSTED_PROXIES="10.0.0.5")
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Host": "bridge.example.com",
    }
    client = app.test_client(use_cookies=False)

    def ask(method: str, path: str, peer: str = "10.0.0.5", **more: Any) -> Any:
        headers = {**forwarded, "Referer": f"{HTTPS}/console/login"}
        base = {"REMOTE_ADDR": peer}
        return client.open(path, method=method, headers=headers, environ_base=base, **more)

    page = ask("GET", "/console/login")
    assert set_cookie(page).startswith("__Host-truthvouch=")
    # The test client keeps cookies by the address it asked; a browser keeps them by the one it sees.
    cookie = {"HTTP_COOKIE": set_cookie(page).partition(";")[0]}
    fields = {"csrf_token": page.text.partition('csrf_token" value="')[2].partition('"')[0], "token": TOKEN}
    assert 303 == ask("POST", "/console/login", data=fields, environ_overrides=cookie).status_code
    assert 403 == ask("POST", "/console/login", "10.0.0.6", data=fields, environ_overrides=cookie).status_code
    wrong = ask("POST", "/console/login", data={**fields, "token": "wrong"}, environ_overrides=cookie)
    assert 403 == wrong.status_code
    with bridge.database.read() as tx:
        store = bridge.tokens._store
        assert [1, 0] == [store.guesses(tx, source).count for source in ("203.0.113.9", "10.0.0.5")]


def test_a_login_begins_with_another_form_token_and_another_id(browser: Browser):
    browser.get("/console/login")
    before = browser.get("/console/session").json
    browser.log_in()
    first = browser.get("/console/session").json
    assert before
    assert first
    assert {"csrf_token"} == set(before)
    assert before["csrf_token"] != first.get("csrf_token")
    browser.post("/console/logout", "/console/")
    browser.log_in()
    assert first["id"] != browser.get("/console/session").json["id"]  # type: ignore[index]


def test_pages_that_load_at_once_share_one_form_token(browser: Browser):
    assert "Set-Cookie" in browser.log_in().headers
    pages = [browser.get("/console/") for _ in range(2)]
    assert ["Set-Cookie" in page.headers for page in pages] == [False, False]


def test_an_idle_session_ends(browser: Browser, clock: FakeClock):
    browser.log_in()
    clock.advance(IDLE.total_seconds())
    assert not browser.is_in


def test_a_login_lasts_while_keys_change_and_ends_with_the_key_that_signed_it(clock: FakeClock):
    """The variable names the newest key first; the library that signs wants it last."""
    bridge, before = console(clock, BRIDGE_SECRET_KEY="old")
    browser = Browser(before)
    browser.log_in()
    old_cookie = browser.cookies["__Host-truthvouch"]

    def with_keys(keys: str) -> Flask:
        later = FakeBridge(clock)
        later.__dict__["database"] = bridge.database
        return with_a_page(later.app(BRIDGE_ADMIN_TOKEN=TOKEN, BRIDGE_SECRET_KEY=keys))

    def is_in(app: Flask, cookie: str) -> bool:
        headers = {"Cookie": f"__Host-truthvouch={cookie}"}
        return 200 == app.test_client(use_cookies=False).get("/console/", base_url=HTTPS, headers=headers).status_code

    assert [True, True, False] == [is_in(with_keys(keys), old_cookie) for keys in ("new,old", "old,older", "new")]
    another = Browser(with_keys("new,old"))
    another.log_in()
    new_cookie = another.cookies["__Host-truthvouch"]
    assert [True, False] == [is_in(with_keys(keys), new_cookie) for keys in ("new", "old")], "the newest one signs"


def test_a_form_from_before_a_new_key_is_still_taken(clock: FakeClock):
    bridge, before = console(clock, BRIDGE_SECRET_KEY="old")
    browser = Browser(before)
    given = {"csrf_token": browser.form_token(), "token": TOKEN}
    later = FakeBridge(clock)
    later.__dict__["database"] = bridge.database
    after = later.app(BRIDGE_ADMIN_TOKEN=TOKEN, BRIDGE_SECRET_KEY="new,old").test_client(use_cookies=False)
    headers = {
        "Referer": f"{HTTPS}/console/login",
        "Cookie": f"__Host-truthvouch={browser.cookies['__Host-truthvouch']}",
    }
    assert 303 == after.post("/console/login", base_url=HTTPS, headers=headers, data=given).status_code


# ------------------------------------------------------------------------------------------------------- where it leads


@pytest.mark.parametrize(
    "path",
    ["/console", "/console/", "/console/links", "/console/links/a%2Fb?q=1&next=//evil.example", "/console?x=%C3%BC"],
)
def test_a_path_of_the_console_is_where_the_login_leads(path: str):
    assert path == next_page(path)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
        "HTTPS:evil.example", "javascript:alert(1)", "data:text/html,x", "/consoles", "/api/v1/links", "console/",
        "//console/", "/%2fevil.example", "%2f%2fevil.example", "/console\\..\\evil", "/console/..//evil.example",
        "/console/../api", "/console/%2e%2e/api", "/console/%2E./api", "/console/./x", "/console/..%5cx",
        "/console/\r\nSet-Cookie:x", "/console/\x00", "/console/\t", " /console/", "/console/ x", "/console/\u2028",
        "/console/\x7f", "\ufeff/console/", "/\t/evil.example", "/console/login", "/console/login?next=/console/",
        "/console/logout", "/console/link/x", "/console@evil.example", "/console.evil.example", "/console:80",
        "/console/" + "x" * 2000, "//evil.example/console/", "/CONSOLE/",
    ],
)  # fmt: skip
def test_a_path_of_anybody_else_is_not(browser: Browser, path: str):
    assert "/console/" == next_page(path)
    assert "/console/" == browser.log_in(next=path).headers["Location"]


def test_roles_are_those_of_the_tokens(made: tuple[FakeBridge, Flask]):
    bridge, app = made
    browser = Browser(app)
    browser.log_in(named(bridge, "deputy", Role.ADMIN))
    assert "done by console:deputy" == browser.post("/console/act", "/console/").text


# ---------------------------------------------------------------------------------------------------------- audit


def audited(bridge: FakeBridge) -> list[tuple[str, str, str, str]]:
    with bridge.database.read() as tx:
        found = StoredAudit().find(tx, AuditFilter())
    return [(one.actor, one.way.value, one.action, one.subject) for one in reversed(found)]


def test_logins_and_logouts_leave_a_line_each(made: tuple[FakeBridge, Flask]):
    bridge, app = made
    browser = Browser(app)
    browser.log_in()
    browser.post("/console/logout", "/console/")
    link = f"/console/link/{bridge.sessions.make_link('root', timedelta(minutes=5))}"
    Browser(app).post(link, link)
    Browser(app).post(link, link)
    assert [
        ("console:admin", "console", "log_in", "admin"),
        ("console:admin", "console", "log_out", "admin"),
        ("console:link:root", "link", "log_in", "link:root"),
    ] == audited(bridge)


def test_an_address_that_is_locked_out_leaves_a_line_and_its_guesses_before_none(
    made: tuple[FakeBridge, Flask], clock: FakeClock
):
    bridge, app = made
    for count in range(1, MANY + 1):
        Browser(app, address="203.0.113.9").log_in("wrong")
        assert (count == MANY) == bool(audited(bridge))
        clock.advance(delay(count))
    Browser(app, address="203.0.113.9").log_in("wrong")
    line = ("somebody at 203.0.113.9", "console", "guess_token", "203.0.113.9")
    assert [line, line] == audited(bridge), "every quarter of an hour that it is locked out"
