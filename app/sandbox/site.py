"""All routes behind the gate, and the one page."""

from functools import lru_cache
from pathlib import Path

from flask import Flask, Response

from app.sandbox.administrators import administrator_routes
from app.sandbox.answers import answer
from app.sandbox.control import control_routes
from app.sandbox.gate import Gate
from app.sandbox.pagerduty.analytics import analytics_routes
from app.sandbox.pagerduty.enqueue import event_routes
from app.sandbox.pagerduty.extras import extra_routes
from app.sandbox.pagerduty.lookups import lookup_routes
from app.sandbox.pagerduty.refusal import not_found
from app.sandbox.pagerduty.rest import incident_routes
from app.sandbox.pagerduty.subscriptions import subscription_routes
from app.sandbox.people import people_routes
from app.sandbox.truthvouch.api import alert_routes
from app.sandbox.world import World

CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_app(world: World) -> Gate:
    """The whole sandbox as one WSGI application."""
    app = Flask(__name__, static_folder=None)
    account = world.pagerduty
    for routes in (
        event_routes(account), incident_routes(account), extra_routes(account), lookup_routes(account),
        subscription_routes(account), alert_routes(world.truthvouch), control_routes(world), people_routes(world),
        administrator_routes(world), analytics_routes(account),
    ):  # fmt: skip
        app.register_blueprint(routes)
    app.add_url_rule("/", view_func=page)
    app.register_error_handler(404, lambda fault: answer(not_found().as_json(), 404))
    app.register_error_handler(405, lambda fault: answer(not_found().as_json(), 405))
    return Gate(app.wsgi_app, world)


def page() -> Response:
    """The one screen, self-contained."""
    return Response(_html(), mimetype="text/html", headers={"Content-Security-Policy": CONTENT_POLICY})


@lru_cache
def _html() -> bytes:
    return Path(__file__).with_name("page.html").read_bytes()
