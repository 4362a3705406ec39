"""Inbound sync begins here: PagerDuty says what became of an incident."""

from flask import Blueprint, Response, request

from app.web import answers, arrivals
from app.web.bridge import Receiver


def blueprint(receive_incident_event: Receiver) -> Blueprint:
    """``POST /pagerduty/webhook``; proved by PagerDuty's signature, hence without a login."""
    door = Blueprint("inbound", __name__)

    @door.post("/pagerduty/webhook", provide_automatic_options=False)
    def webhook() -> Response:
        """Take in one delivery."""
        return answers.of(receive_incident_event(arrivals.read(request)))

    return door
