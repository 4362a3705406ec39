"""What load balancers, orchestrators and Prometheus ask. Open to all: it holds no secret."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from app.metrics import CONTENT_TYPE
from app.services.diagnostics.health import Check, Report, State
from app.web.access import Access, needs
from app.web.bridge import HealthReport, MetricsText


def blueprint(health_report: HealthReport, metrics_text: MetricsText) -> Blueprint:
    """``/healthz``, ``/readyz`` and ``/metrics``."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    @needs(Access.OPEN)
    def healthz() -> Response:
        """The process lives; says nothing about its work."""
        return _fresh(jsonify({"status": "ok"}))

    @blueprint.get("/readyz")
    @needs(Access.OPEN)
    def readyz() -> Response:
        """Whether the bridge can do its work: 503 when it cannot."""
        current = health_report()
        response = jsonify(shown(current))
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE if current.state is State.RED else HTTPStatus.OK
        return _fresh(response)

    @blueprint.get("/metrics")
    @needs(Access.OPEN)
    def metrics() -> Response:
        """The counters of every process, as Prometheus reads them."""
        return _fresh(Response(metrics_text(), content_type=CONTENT_TYPE))

    return blueprint


def shown(health_report: Report) -> dict[str, object]:
    """The report as JSON."""
    return {
        "status": health_report.state,
        "checks": {name: _check(check) for name, check in health_report.checks.items()},
    }


def _check(check: Check) -> dict[str, object]:
    advice = {"remedy": check.remedy} if check.remedy else {}
    return {"state": check.state, "message": check.message, **advice, **check.facts}


def _fresh(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
