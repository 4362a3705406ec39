"""``/api/v1``: what your own scripts use, from this machine or another. docs/api.md.

Reads go to the store; a change is a wish in the inbox, which the worker does. Nothing here calls a partner.
"""

from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Response, request

from app.ports import StoreUnavailable
from app.services.operate import Operate
from app.services.overview import Overview
from app.web import answers, auth, health
from app.web.api import letters, links
from app.web.api.reading import BadRequest
from app.web.bridge import HealthReport

MAX_BODY_BYTES = 4 * 1024
"""Nothing here needs a body; a script that sends ``{}`` all the same is no enemy."""
DOCUMENT = Path(__file__).with_name("openapi.json")


def blueprint(operate: Operate, overview: Overview, report: HealthReport, admin_token: str | None) -> Blueprint:
    """The whole API, every route of it behind the token."""
    door = Blueprint("api", __name__, url_prefix="/api/v1")
    door.before_request(auth.bearer(admin_token))
    door.before_request(_refuse_large_bodies)
    door.after_request(_keep_nothing)
    door.register_error_handler(BadRequest, _bad_request)
    door.register_error_handler(StoreUnavailable, _store_unavailable)
    letters.install(door, operate, overview)
    links.install(door, operate, overview)

    @door.get("/health", provide_automatic_options=False)
    def told_health() -> Response:
        """What ``/readyz`` says, always with 200."""
        return answers.told(health.shown(report()))

    @door.get("/openapi.json", provide_automatic_options=False)
    def openapi() -> Response:
        """This API, for machines."""
        return Response(DOCUMENT.read_bytes(), content_type="application/json")

    return door


def _refuse_large_bodies() -> Response | None:
    """Reads what came, up to the limit: what stays unread would be taken for the connection's next request."""
    declared = request.content_length or 0
    try:
        large = declared > MAX_BODY_BYTES or len(request.stream.read(MAX_BODY_BYTES + 1)) > MAX_BODY_BYTES
    except Exception:  # a dropped connection, a malformed chunk: servers raise errors of their own for each
        return answers.refusal("body_incomplete", "The body did not come whole.", HTTPStatus.BAD_REQUEST)
    if not large:
        return None
    response = answers.refusal("body_too_large", "No body is needed here.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    response.headers["Connection"] = "close"
    return response


def _keep_nothing(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _bad_request(fault: BadRequest) -> Response:
    return answers.refusal("bad_parameter", str(fault), HTTPStatus.BAD_REQUEST)


def _store_unavailable(_fault: StoreUnavailable) -> Response:
    message = "The store cannot be read or written at the moment; try again later."
    return answers.refusal("store_unavailable", message, HTTPStatus.SERVICE_UNAVAILABLE)
