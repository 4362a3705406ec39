"""``POST /v2/enqueue`` and ``/v2/change/enqueue``: no Authorization header, the key is in the body."""

from typing import Any

from flask import Blueprint, Response, request

from app.sandbox.answers import answer, read_json
from app.sandbox.pagerduty.account import Account
from app.sandbox.pagerduty.events import MAX_EVENT_BYTES, faults_of


def event_routes(account: Account) -> Blueprint:
    """The Events API v2. Its 429 carries no rate headers: none are documented."""
    routes = Blueprint("pagerduty_events", __name__)

    @routes.post("/v2/enqueue")
    def enqueue() -> Response:
        if account.events_limit.take().exceeded:
            return answer({"status": "throttle exceeded", "message": "Requests for this routing key exceed its limit"},
                          429)  # fmt: skip
        if len(request.get_data()) > MAX_EVENT_BYTES:
            return _invalid(["Event exceeds 512 KB"], 413)
        event = read_json()
        faults = faults_of(event)
        if faults:
            return _invalid(faults)
        dedup_key = account.events.accept(event)
        return answer({"status": "success", "message": "Event processed", "dedup_key": dedup_key}, 202)

    @routes.post("/v2/change/enqueue")
    def enqueue_change() -> Response:
        event: Any = read_json()
        routing_key = event.get("routing_key") if isinstance(event, dict) else None
        if not isinstance(routing_key, str) or len(routing_key) != 32:
            return _invalid(["Length of 'routing_key' is incorrect (should be 32 characters)"])
        return answer({"status": "success", "message": "Change event processed"}, 202)

    return routes


def _invalid(errors: list[str], status: int = 400) -> Response:
    return answer({"status": "invalid event", "message": "Event object is invalid", "errors": errors}, status)
