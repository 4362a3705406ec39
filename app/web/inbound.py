"""Inbound sync begins here: PagerDuty says what became of an incident."""

from flask import Blueprint

from app.web.access import Access, needs
from app.web.bridge import Receiver
from app.web.hooks import Hook


def blueprint(receive_incident_event: Receiver) -> Blueprint:
    """``POST /pagerduty/webhook``; proved by PagerDuty's signature, hence without a login."""
    blueprint = Blueprint("inbound", __name__)

    @blueprint.post("/pagerduty/webhook", provide_automatic_options=False)
    @needs(Access.SIGNED)
    def webhook() -> Hook:
        """Take in one delivery."""
        return Hook(receive_incident_event)

    return blueprint
