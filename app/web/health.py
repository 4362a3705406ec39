"""What load balancers, orchestrators and Prometheus ask. Open to all: it holds no secret."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from app.services.health import Check, Report, State
from app.web.bridge import HealthReport, MetricsText

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/"""


def blueprint(report: HealthReport, metrics_text: MetricsText) -> Blueprint:
    """``/healthz``, ``/readyz`` and ``/metrics``."""
    door = Blueprint("health", __name__)

    @door.get("/healthz")
    def healthz() -> Response:
        """The process lives; says nothing about its work."""
        return _fresh(jsonify({"status": "ok"}))

    @door.get("/readyz")
    def readyz() -> Response:
        """Whether the bridge can do its work: 503 when it cannot."""
        told = report()
        response = jsonify(shown(told))
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE if told.state is State.RED else HTTPStatus.OK
        return _fresh(response)

    @door.get("/metrics")
    def metrics() -> Response:
        """The counters of every process, as Prometheus reads them."""
        return _fresh(Response(metrics_text(), content_type=METRICS_TYPE))

    return door


def shown(report: Report) -> dict[str, object]:
    """The report as JSON."""
    return {"status": report.state, "checks": {name: _check(check) for name, check in report.checks.items()}}


def _check(check: Check) -> dict[str, object]:
    advice = {"remedy": check.remedy} if check.remedy else {}
    return {"state": check.state, "message": check.message, **advice, **check.facts}


def _fresh(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
