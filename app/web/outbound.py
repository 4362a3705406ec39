"""Outbound incident creation begins here: TruthVouch delivers an alert."""

from flask import Blueprint, Response, request

from app.web import answers, arrivals
from app.web.bridge import Receiver


def blueprint(receive_alert: Receiver) -> Blueprint:
    """``POST /truthvouch/alerts``; proved by TruthVouch's signature, hence without a login."""
    door = Blueprint("outbound", __name__)

    @door.post("/truthvouch/alerts", provide_automatic_options=False)
    def alerts() -> Response:
        """Take in one delivery."""
        return answers.of(receive_alert(arrivals.read(request)))

    return door
