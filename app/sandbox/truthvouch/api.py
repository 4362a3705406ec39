"""TruthVouch's alert API as routes, below ``/api/v1``. https://docs.truthvouch.ai/developers/api/shield"""

from math import ceil
from typing import Any

from flask import Blueprint, Response, request

from app.sandbox.kit.support import add_routes, answer, read_json, route
from app.sandbox.truthvouch.alerts import Alert, Conflict, Organization

DEFAULT_PAGE_SIZE = 25
MAX_PAGE_SIZE = 100
PATCHABLE = ("open", "acknowledged", "investigating", "resolved", "dismissed")


class Refusal(Exception):
    """A call that TruthVouch refuses. https://truthvouch-doc.pages.dev/developers/api/errors"""

    def __init__(self, status: int, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field


class Alerts:
    """``GET /alerts``, ``GET /alerts/{id}`` (undocumented, by analogy) and ``PATCH /alerts/{id}``."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization

    def routes(self) -> Blueprint:
        """They ask for a key, count against the limit and speak TruthVouch's errors."""
        blueprint = Blueprint("truthvouch", __name__, url_prefix="/api/v1")
        blueprint.before_request(self._admit)
        blueprint.register_error_handler(Refusal, self._refuse)
        blueprint.register_error_handler(
            Conflict, lambda fault: self._refuse(Refusal(409, "INVALID_STATE", str(fault)))
        )
        return add_routes(blueprint, self, self.organization.lock)

    @route("GET", "/alerts")
    def list_alerts(self) -> Response:
        number, size = _page()
        found = [alert for alert in self.organization.alerts.values() if _passes(alert)]
        # Of two made in the same instant, the one made later counts as newer.
        found.sort(key=lambda alert: alert.created_at)
        if self.organization.list_order != "oldest_first":
            found.reverse()
        meta = {"page": number, "pageSize": size, "total": len(found), "totalPages": ceil(len(found) / size)}
        return answer({"data": [alert.in_api() for alert in found[(number - 1) * size : number * size]], "meta": meta})

    @route("GET", "/alerts/<path:alert_id>")
    def get_alert(self, alert_id: str) -> Response:
        return answer({"data": self._known(alert_id).in_api()})

    @route("PATCH", "/alerts/<path:alert_id>")
    def patch_alert(self, alert_id: str) -> Response:
        sent = read_json()
        if not isinstance(sent, dict):
            raise Refusal(400, "INVALID_REQUEST", "The body must be a JSON object")
        if sent.get("status") not in PATCHABLE:
            raise Refusal(422, "VALIDATION_ERROR", f"status must be one of {', '.join(PATCHABLE)}", "status")
        alert, resolution = self._known(alert_id), sent.get("resolution")
        self.organization.patch(alert, sent["status"], None if resolution is None else str(resolution))
        return answer({"data": alert.in_api()})

    def _known(self, alert_id: str) -> Alert:
        if alert_id not in self.organization.alerts:
            raise Refusal(404, "RESOURCE_NOT_FOUND", "No such alert")
        return self.organization.alerts[alert_id]

    def _admit(self) -> None:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        key = bearer.strip() if scheme == "Bearer" else request.headers.get("X-API-Key", "")
        if key in ("", "wrong"):
            raise Refusal(401, "INVALID_API_KEY", "The API key is missing or not valid")
        request.environ["sandbox.rate_limit"] = rate_limit = self.organization.limit.take()
        if rate_limit.exceeded:
            raise Refusal(429, "RATE_LIMIT_EXCEEDED", "Too many requests")

    def _refuse(self, refusal: Refusal) -> Response:
        error: dict[str, Any] = {
            "code": refusal.code,
            "message": refusal.message,
            "statusCode": refusal.status,
            "requestId": self.organization.ids.next("req_", 20),
        }
        if refusal.field:
            error["details"] = [{"field": refusal.field, "message": refusal.message}]
        rate_limit = request.environ.get("sandbox.rate_limit")
        retry = {"Retry-After": str(rate_limit.reset_seconds)} if rate_limit and refusal.status == 429 else {}
        return answer({"error": error}, refusal.status, retry)


def _passes(alert: Alert) -> bool:
    severity, status = request.args.get("severity"), request.args.get("status")
    return severity in (None, "", alert.facts.get("severity")) and status in (None, "", alert.status)


def _page() -> tuple[int, int]:
    try:
        number, size = int(request.args.get("page", 1)), int(request.args.get("pageSize", DEFAULT_PAGE_SIZE))
    except ValueError:
        raise Refusal(400, "INVALID_REQUEST", "page and pageSize must be numbers", "page") from None
    return max(1, number), max(1, min(size, MAX_PAGE_SIZE))
