"""``/api/v1``: what your own scripts use, from this machine or another. docs/api.md.

LAW: reads go to the store; a change is a command in the inbox, which the worker does. Nothing here calls a partner.
"""

from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Response

from app.ports import StoreUnavailable
from app.web import http
from app.web.access import Access, needs
from app.web.api.alerts import ENDPOINTS as OF_ALERTS
from app.web.api.endpoint import Endpoint, register
from app.web.api.jobs import ENDPOINTS as OF_JOBS
from app.web.api.parameters import BadRequest
from app.web.api.resources import ENDPOINTS as OF_LINKS
from app.web.api.rules import ENDPOINTS as OF_RULES
from app.web.bridge import WebBridge

ENDPOINTS: tuple[Endpoint, ...] = (*OF_LINKS, *OF_ALERTS, *OF_RULES, *OF_JOBS)
DOCUMENT = Path(__file__).with_name("openapi.json")
"""Written by ``make openapi`` from ``ENDPOINTS``; a test fails while it is not."""


def blueprint(bridge: WebBridge) -> Blueprint:
    """The whole API, every route of it behind a token (``web/auth.py``)."""
    blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
    blueprint.after_request(_keep_nothing)
    blueprint.register_error_handler(BadRequest, _bad_request)
    blueprint.register_error_handler(StoreUnavailable, _store_unavailable)
    for endpoint in ENDPOINTS:
        register(blueprint, endpoint, bridge)

    @blueprint.get("/openapi.json", provide_automatic_options=False)
    @needs(Access.READ)
    def openapi() -> Response:
        """This API, for machines."""
        return Response(DOCUMENT.read_bytes(), content_type="application/json")

    return blueprint


def _keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _bad_request(fault: BadRequest) -> Response:
    return http.refusal("bad_parameter", str(fault), HTTPStatus.BAD_REQUEST)


def _store_unavailable(_fault: StoreUnavailable) -> Response:
    message = "The store cannot be read or written at the moment; try again later."
    return http.refusal("store_unavailable", message, HTTPStatus.SERVICE_UNAVAILABLE)
