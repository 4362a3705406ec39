"""No route is open by oversight: every view says what it asks of its caller, and one that does not lets nobody in."""

from collections.abc import Iterator

import pytest
from flask import Blueprint, Flask

from app.web.access import Access, needs
from tests.conftest import FakeClock
from tests.web_fakes import FakeBridge

WITHOUT_A_LOGIN = {
    "health.healthz": (Access.OPEN, "a load balancer has no login; holds no secret"),
    "health.readyz": (Access.OPEN, "a load balancer has no login; holds no secret"),
    "health.metrics": (Access.OPEN, "Prometheus has no login; holds no secret"),
    "outbound.alerts": (Access.SIGNED, "TruthVouch signs every delivery"),
    "inbound.webhook": (Access.SIGNED, "PagerDuty signs every delivery"),
    "console.root": (Access.OPEN, "leads to the console"),
    "console.without_slash": (Access.OPEN, "leads to the console"),
    "console.static": (Access.OPEN, "style and script, which the login loads, too"),
    "evidence.show": (Access.LINK, "the signed link of one incident, which the service checks"),
    "evidence.press": (Access.LINK, "the signed link of one incident, and the signed word of a button"),
    "evidence.static": (Access.OPEN, "style, which the page behind an evidence link loads"),
    "login.show": (Access.OPEN, "here one logs in"),
    "login.log_in": (Access.OPEN, "here one logs in"),
    "login.show_link": (Access.OPEN, "here one logs in"),
    "login.spend_link": (Access.OPEN, "here one logs in"),
}
READS = {"GET", "HEAD", "OPTIONS"}


def access_of(app: Flask, endpoint: str) -> object:
    return getattr(app.view_functions[endpoint], "__access__", None)


def marked(app: Flask) -> Iterator[tuple[str, object]]:
    """Every route with what its view asks for."""
    for rule in app.url_map.iter_rules():
        yield rule.endpoint, access_of(app, rule.endpoint)


@pytest.fixture
def app(clock: FakeClock) -> Flask:
    return FakeBridge(clock).app(BRIDGE_ADMIN_TOKEN="t")


def test_every_route_says_what_it_asks_of_its_caller(app: Flask):
    assert [] == [endpoint for endpoint, access in marked(app) if not isinstance(access, Access)]


def test_every_route_asks_for_a_login_or_goes_without_one_on_purpose(app: Flask):
    without = {endpoint: access for endpoint, access in marked(app) if access not in (Access.READ, Access.ADMIN)}
    assert {endpoint: access for endpoint, (access, _why) in WITHOUT_A_LOGIN.items()} == without


def test_whatever_changes_something_asks_for_an_admin(app: Flask):
    """But for logging in and out, and questions that carry an alert or a trigger."""
    changing = {rule.endpoint for rule in app.url_map.iter_rules() if set(rule.methods or ()) - READS}
    read_only = {one for one in changing - set(WITHOUT_A_LOGIN) if access_of(app, one) is not Access.ADMIN}
    asking = {"api.POST /rules/explain", "api.POST /silences/preview"}
    assert {"login.log_out", "console.explain", *asking} == read_only


def test_a_route_that_says_nothing_lets_nobody_in(app: Flask):
    forgotten = Blueprint("forgotten", __name__)
    forgotten.add_url_rule("/forgotten", "page", lambda: "in", methods=["GET", "POST"])
    app.register_blueprint(forgotten)
    assert ["forgotten.page"] == [endpoint for endpoint, access in marked(app) if access is None]
    client = app.test_client()
    for headers in ({}, {"Authorization": "Bearer t"}):
        answers = [client.open("/forgotten", method=method, headers=headers) for method in ("GET", "HEAD", "POST")]
        assert [403] * 3 == [answer.status_code for answer in answers]
        assert "in" not in [answer.text for answer in answers]


def test_a_route_outside_of_the_console_and_the_api_is_opened_by_neither_login(app: Flask):
    strange = Blueprint("strange", __name__)
    strange.add_url_rule("/strange", "page", needs(Access.READ)(lambda: "in"))
    app.register_blueprint(strange)
    answer = app.test_client().get("/strange", headers={"Authorization": "Bearer t"})
    assert 403 == answer.status_code
    assert "in" != answer.text


def test_no_route_answers_what_it_does_not_serve(app: Flask):
    served = {rule.rule: sorted(rule.methods or ()) for rule in app.url_map.iter_rules()}
    assert ["POST"] == served["/truthvouch/alerts"] == served["/pagerduty/webhook"]
