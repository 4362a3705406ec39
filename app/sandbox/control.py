"""The control API below ``/sandbox``: play the people on both sides, look behind the curtain, order faults."""

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from app.sandbox.answers import answer, read_json
from app.sandbox.faults import BadFault
from app.sandbox.world import World


class BadOrder(Exception):
    """A control request that cannot be followed; the text says why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def words(*known: str) -> dict[str, Any]:
    """The request's JSON object, empty where there is no body. Raises ``BadOrder`` on words that mean nothing."""
    read = read_json() if request.get_data() else {}
    if not isinstance(read, dict):
        raise BadOrder("the body must be a JSON object")
    strange = sorted(set(read) - set(known)) if known else []
    if strange:
        raise BadOrder(f"unknown: {', '.join(strange)}; known: {', '.join(known)}")
    return read


def speak_json(routes: Blueprint) -> None:
    """Faults as JSON, and no orders from other web sites."""

    @routes.before_request
    def refuse_strangers() -> None:
        origin = request.headers.get("Origin")
        if request.method != "GET" and origin and origin.partition("://")[2] != request.host:
            raise BadOrder("orders from other web sites are refused", 403)

    @routes.errorhandler(BadOrder)
    def bad_order(fault: BadOrder) -> Response:
        return answer({"error": str(fault)}, fault.status)

    @routes.errorhandler(BadFault)
    @routes.errorhandler(ValueError)
    def bad_value(fault: ValueError) -> Response:
        return answer({"error": str(fault)}, 400)

    @routes.errorhandler(HTTPException)
    def http_fault(fault: HTTPException) -> Response:
        return answer({"error": fault.description}, fault.code or 500)


def control_routes(world: World) -> Blueprint:
    """State, calls, webhooks, faults, settings."""
    routes = Blueprint("control", __name__, url_prefix="/sandbox")
    speak_json(routes)
    _telling(routes, world)
    _ordering(routes, world)
    _webhooks(routes, world)
    return routes


def _telling(routes: Blueprint, world: World) -> None:
    @routes.get("/health")
    def health() -> Response:
        return answer({"sandbox": "simulation", "status": "ok", "bridge_url": world.bridge_url})

    @routes.get("/state")
    def state() -> Response:
        return answer(state_of(world, _limit(100_000)))

    @routes.get("/calls")
    def calls() -> Response:
        found = world.calls.find(
            request.args.get("partner", ""), request.args.get("method", ""), request.args.get("path", ""),
            float(request.args.get("since", 0)),
        )  # fmt: skip
        return answer({"calls": [call.as_json() for call in found]})

    @routes.get("/log")
    def log() -> Response:
        limit = _limit(40)
        return answer({
            "webhooks": [parcel.as_json() for parcel in world.outbox.newest(limit)],
            "calls": [call.as_json() for call in world.calls.newest(limit)],
        })  # fmt: skip


def _ordering(routes: Blueprint, world: World) -> None:
    @routes.get("/faults")
    def list_faults() -> Response:
        return answer({"faults": world.faults.as_json()})

    @routes.post("/faults")
    def order_fault() -> Response:
        return answer({"fault": world.faults.order(words(*FAULT_WORDS)).as_json()}, 201)

    @routes.delete("/faults")
    @routes.delete("/faults/<int:fault_id>")
    def clear_faults(fault_id: int | None = None) -> Response:
        world.faults.clear(fault_id)
        return answer({"faults": world.faults.as_json()})

    @routes.post("/reset")
    def reset() -> Response:
        world.reset()
        return answer({"status": "reset"})

    @routes.post("/bridge")
    def move_bridge() -> Response:
        url = words("url").get("url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise BadOrder("url must begin with http:// or https://")
        world.bridge_url = url.rstrip("/")
        return answer({"bridge_url": world.bridge_url})

    @routes.route("/settings", methods=["GET", "POST"])
    def settings() -> Response:
        if request.method == "POST":
            world.change(words())
        return answer(world.settings())


def _webhooks(routes: Blueprint, world: World) -> None:
    @routes.get("/webhooks")
    def counts() -> Response:
        return answer(world.outbox.as_json())

    @routes.post("/webhooks")
    def set_mode() -> Response:
        wish = words("mode", "partner")
        world.outbox.set_mode(str(wish.get("mode", "")), wish.get("partner"))
        return answer(world.outbox.as_json())

    @routes.post("/webhooks/flush")
    def flush() -> Response:
        wish = words("order", "seed", "copies", "partner")
        flushed = world.outbox.flush(
            wish.get("order", "same"), int(wish.get("seed", 0)), int(wish.get("copies", 1)), wish.get("partner")
        )
        return answer({"flushed": flushed, **world.outbox.as_json()})


def state_of(world: World, limit: int) -> dict[str, Any]:
    """Both sides, newest first, at most ``limit`` of each."""
    with world.lock:
        alerts, incidents = list(world.truthvouch.alerts.values()), list(world.pagerduty.desk.by_id.values())
        shown = {
            "alerts": [alert.in_state() for alert in alerts[: -limit - 1 : -1]],
            "incidents": [world.pagerduty.in_state(incident) for incident in incidents[: -limit - 1 : -1]],
        }
    counts = {"alerts": len(alerts), "incidents": len(incidents), "calls": len(world.calls)}
    return {"simulation": True, "now": world.clock(), "bridge_url": world.bridge_url, "counts": counts, **shown,
            "webhooks": world.outbox.as_json(), "faults": world.faults.as_json()}  # fmt: skip


def _limit(default: int) -> int:
    return max(0, int(request.args.get("limit", default)))


FAULT_WORDS = ("partner", "method", "path_regex", "kind", "status", "headers", "seconds", "times")
