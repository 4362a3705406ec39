"""Outbound incident creation begins here: TruthVouch delivers an alert."""

from flask import Blueprint, Response, request

from app.web import http
from app.web.access import Access, needs
from app.web.bridge import Receiver


def blueprint(receive_alert: Receiver) -> Blueprint:
    """``POST /truthvouch/alerts``; proved by TruthVouch's signature, hence without a login."""
    blueprint = Blueprint("outbound", __name__)

    @blueprint.post("/truthvouch/alerts", provide_automatic_options=False)
    @needs(Access.SIGNED)
    def alerts() -> Response:
        """Take in one delivery."""
        return http.receive_response(receive_alert(http.webhook_request(request)))

    return blueprint
