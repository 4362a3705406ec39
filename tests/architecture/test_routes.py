"""No door is open by oversight: every route has an authentication hook, except those that are open on purpose."""

from collections.abc import Iterator

import pytest
from flask import Blueprint, Flask

from tests.conftest import FakeClock
from tests.doors import Doors

OPEN_ON_PURPOSE = {
    "health.healthz": "a load balancer has no login; holds no secret",
    "health.readyz": "a load balancer has no login; holds no secret",
    "health.metrics": "Prometheus has no login; holds no secret",
    "outbound.alerts": "TruthVouch signs every delivery",
    "inbound.webhook": "PagerDuty signs every delivery",
}
MARK = "__authenticates__"
"""A ``before_request`` hook that turns strangers away carries this attribute, set to True."""


def unguarded(app: Flask) -> Iterator[str]:
    """The endpoints no authentication hook of theirs or of the application stands before."""
    for rule in app.url_map.iter_rules():
        rooms = [None, *rule.endpoint.split(".")[:-1]]
        hooks = [hook for room in rooms for hook in app.before_request_funcs.get(room, [])]
        if not any(getattr(hook, MARK, False) for hook in hooks):
            yield rule.endpoint


@pytest.fixture
def app(clock: FakeClock) -> Flask:
    return Doors(clock).app()


def test_every_route_has_an_authentication_hook_or_is_open_on_purpose(app: Flask):
    assert set(OPEN_ON_PURPOSE) == set(unguarded(app))


def test_every_route_of_the_api_is_guarded_by_the_token(app: Flask):
    api = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/")}
    assert api
    assert set() == api & set(unguarded(app))


def test_a_forgotten_hook_is_noticed(app: Flask):
    forgotten, guarded = Blueprint("forgotten", __name__), Blueprint("guarded", __name__)
    for room in (forgotten, guarded):
        room.add_url_rule(f"/{room.name}", "page", lambda: "")

    def ask_who_it_is() -> None:
        """Turns nobody away: this is about being there at all."""

    setattr(ask_who_it_is, MARK, True)
    guarded.before_request(ask_who_it_is)
    app.register_blueprint(forgotten)
    app.register_blueprint(guarded)
    assert {"forgotten.page"} == set(unguarded(app)) - set(OPEN_ON_PURPOSE)


def test_no_door_answers_what_it_does_not_serve(app: Flask):
    served = {rule.rule: sorted(rule.methods or ()) for rule in app.url_map.iter_rules()}
    assert ["POST"] == served["/truthvouch/alerts"] == served["/pagerduty/webhook"]
