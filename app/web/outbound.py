"""Outbound incident creation begins here: TruthVouch delivers an alert."""

from flask import Blueprint

from app.web.access import Access, needs
from app.web.bridge import Receiver
from app.web.hooks import Hook


def blueprint(receive_alert: Receiver) -> Blueprint:
    """``POST /truthvouch/alerts``; proved by TruthVouch's signature, hence without a login."""
    blueprint = Blueprint("outbound", __name__)

    @blueprint.post("/truthvouch/alerts", provide_automatic_options=False)
    @needs(Access.SIGNED)
    def alerts() -> Hook:
        """Take in one delivery."""
        return Hook(receive_alert)

    return blueprint
