"""Inbound sync begins here: PagerDuty says what became of an incident."""

from flask import Blueprint, Response, request

from app.web import http
from app.web.access import Access, needs
from app.web.bridge import Receiver


def blueprint(receive_incident_event: Receiver) -> Blueprint:
    """``POST /pagerduty/webhook``; proved by PagerDuty's signature, hence without a login."""
    blueprint = Blueprint("inbound", __name__)

    @blueprint.post("/pagerduty/webhook", provide_automatic_options=False)
    @needs(Access.SIGNED)
    def webhook() -> Response:
        """Take in one delivery."""
        return http.receive_response(receive_incident_event(http.webhook_request(request)))

    return blueprint
