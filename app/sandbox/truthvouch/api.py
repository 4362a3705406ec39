"""TruthVouch's alert API as routes, below ``/api/v1``. https://docs.truthvouch.ai/developers/api/shield"""

from math import ceil
from typing import Any

from flask import Blueprint, Response, request

from app.sandbox.answers import answer, read_json
from app.sandbox.truthvouch.alert import Alert
from app.sandbox.truthvouch.organization import Conflict, Organization

DEFAULT_PAGE_SIZE = 25
MAX_PAGE_SIZE = 100
PATCHABLE = ("open", "acknowledged", "investigating", "resolved", "dismissed")


class Refusal(Exception):
    """A call that TruthVouch refuses. https://truthvouch-doc.pages.dev/developers/api/errors"""

    def __init__(self, status: int, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field


def alert_routes(organization: Organization) -> Blueprint:
    """``GET /alerts``, ``GET /alerts/{id}`` (undocumented, by analogy) and ``PATCH /alerts/{id}``."""
    routes = Blueprint("truthvouch", __name__, url_prefix="/api/v1")
    _guard(routes, organization)

    def known(alert_id: str) -> Alert:
        if alert_id not in organization.alerts:
            raise Refusal(404, "RESOURCE_NOT_FOUND", "No such alert")
        return organization.alerts[alert_id]

    @routes.get("/alerts")
    def list_alerts() -> Response:
        number, size = _page()
        with organization.lock:
            found = _in_order([a for a in organization.alerts.values() if _passes(a)], organization.list_order)
            chosen = [alert.in_api() for alert in found[(number - 1) * size : number * size]]
        meta = {"page": number, "pageSize": size, "total": len(found), "totalPages": ceil(len(found) / size)}
        return answer({"data": chosen, "meta": meta})

    @routes.get("/alerts/<path:alert_id>")
    def get_alert(alert_id: str) -> Response:
        with organization.lock:
            return answer({"data": known(alert_id).in_api()})

    @routes.patch("/alerts/<path:alert_id>")
    def patch_alert(alert_id: str) -> Response:
        wish = read_json()
        if not isinstance(wish, dict):
            raise Refusal(400, "INVALID_REQUEST", "The body must be a JSON object")
        if wish.get("status") not in PATCHABLE:
            raise Refusal(422, "VALIDATION_ERROR", f"status must be one of {', '.join(PATCHABLE)}", "status")
        resolution = wish.get("resolution")
        with organization.lock:
            alert = known(alert_id)
            organization.patch(alert, wish["status"], None if resolution is None else str(resolution))
            return answer({"data": alert.in_api()})

    return routes


def _guard(routes: Blueprint, organization: Organization) -> None:
    """A key, the limit, and TruthVouch's error envelope."""

    @routes.before_request
    def admit() -> None:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        key = bearer.strip() if scheme == "Bearer" else request.headers.get("X-API-Key", "")
        if key in ("", "wrong"):
            raise Refusal(401, "INVALID_API_KEY", "The API key is missing or not valid")
        request.environ["sandbox.allowance"] = allowance = organization.limit.take()
        if allowance.exceeded:
            raise Refusal(429, "RATE_LIMIT_EXCEEDED", "Too many requests")

    @routes.errorhandler(Refusal)
    def refuse(refusal: Refusal) -> Response:
        return _error(organization, refusal)

    @routes.errorhandler(Conflict)
    def conflict(fault: Conflict) -> Response:
        return _error(organization, Refusal(409, "INVALID_STATE", str(fault)))


def _error(organization: Organization, refusal: Refusal) -> Response:
    error: dict[str, Any] = {
        "code": refusal.code,
        "message": refusal.message,
        "statusCode": refusal.status,
        "requestId": organization.names.next("req_", 20),
    }
    if refusal.field:
        error["details"] = [{"field": refusal.field, "message": refusal.message}]
    allowance = request.environ.get("sandbox.allowance")
    retry = {"Retry-After": str(allowance.reset_seconds)} if allowance and refusal.status == 429 else {}
    return answer({"error": error}, refusal.status, retry)


def _passes(alert: Alert) -> bool:
    severity, status = request.args.get("severity"), request.args.get("status")
    return severity in (None, "", alert.facts.get("severity")) and status in (None, "", alert.status)


def _in_order(alerts: list[Alert], order: str) -> list[Alert]:
    """By creation; of two made in the same instant, the one made later counts as newer."""
    oldest_first = sorted(alerts, key=lambda alert: alert.created_at)
    return oldest_first if order == "oldest_first" else oldest_first[::-1]


def _page() -> tuple[int, int]:
    try:
        number, size = int(request.args.get("page", 1)), int(request.args.get("pageSize", DEFAULT_PAGE_SIZE))
    except ValueError:
        raise Refusal(400, "INVALID_REQUEST", "page and pageSize must be numbers", "page") from None
    return max(1, number), max(1, min(size, MAX_PAGE_SIZE))
