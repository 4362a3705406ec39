"""The JSON every door answers with."""

from http import HTTPStatus
from typing import Any

from flask import Response, g, jsonify

from app.services.receiving import Outcome, Receipt

STATUSES = {
    Outcome.ACCEPTED: HTTPStatus.ACCEPTED,
    Outcome.DUPLICATE: HTTPStatus.ACCEPTED,
    Outcome.PARKED: HTTPStatus.ACCEPTED,
    Outcome.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Outcome.REFUSED: HTTPStatus.UNAUTHORIZED,
    Outcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""PagerDuty drops what gets a 4xx and switches a webhook off after three of them; a 503 is tried again for 48 hours."""

MESSAGES = {
    Outcome.TOO_LARGE: "The body is larger than 1 MiB.",
    Outcome.REFUSED: "The signature is missing or does not match the body.",
    Outcome.UNAVAILABLE: "Nothing can be taken in at the moment; try again later.",
}


def of(receipt: Receipt) -> Response:
    """What the sender of a delivery reads."""
    status = STATUSES[receipt.outcome]
    if status is HTTPStatus.ACCEPTED:
        return told({"status": receipt.outcome}, status)
    response = refusal(receipt.reason, MESSAGES[receipt.outcome], status)
    if receipt.outcome is Outcome.TOO_LARGE:
        # What was not read is still on its way: the connection cannot be used for another request.
        response.headers["Connection"] = "close"
    return response


def refusal(code: str, message: str, status: int) -> Response:
    """An error: ``code`` for machines, ``message`` for people."""
    return told({"error": {"code": code, "message": message}}, status)


def told(content: dict[str, Any], status: int = HTTPStatus.OK) -> Response:
    """JSON with the id that finds the request in the log."""
    response = jsonify({**content, "request_id": g.get("request_id", "")})
    response.status_code = status
    return response
